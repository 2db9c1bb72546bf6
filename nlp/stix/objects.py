"""What every object of a bundle has: a deterministic id, times from the data, a creator, a marking, our extensions.

Ids are UUIDv5 (STIX 2.1, section 2.9) in a namespace of ours. ``created`` is the first moment that the object's data speak of, so that it
stays while a case grows; ``modified`` is the last moment of the whole case, so that a later export is a later version. Neither comes from
a clock: the same tables give the same bytes.

Extensions follow section 7.3. Each definition of ours carries its version in its id: an object that names it names that version, for good.
`RECORD` is the property extension that holds what STIX has no word for: the row of the table that an object was made of.

TLP 2.0 markings are the published objects of the OASIS CTI committee (cti-stix-common-objects, extension-definition tlp-2.0).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from greyzone.errors import InputError

Object = dict[str, Any]
Row = Mapping[str, Any]

NAMESPACE = uuid.UUID("6b1d6c1e-1f0a-5f57-9d63-7f0c2c9a4e11")
"""Namespace of every id of ours; changing it renames every object."""

SCO_NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""Namespace that STIX 2.1 (section 2.9) gives to observables."""

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_MARKINGS = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}

CONFIDENCE = {"low": 15, "moderate": 50, "high": 85}
"""STIX 2.1, appendix A, None / Low / Med / High scale."""

WORDS_SCALE = "STIX 2.1 appendix A, None / Low / Med / High: low 15, moderate 50, high 85"
SHARE_SCALE = "STIX 2.1 0-100: 100 times the probability, rounded"
"""What a number in ``confidence`` means; it stands beside every one of ours as ``confidence_scale`` of the extension."""

EPOCH = "2024-01-01T00:00:00.000Z"
"""Creation time of objects that do not depend on data, such as our identity and the extension definitions."""

VERSION = "1.0.0"
"""Version of every extension definition below. What an extension holds does not change without a new version, and so a new id."""

EXTENSIONS: dict[str, tuple[str, str, str]] = {
    "channel": (
        "new-sdo",
        "A place where narratives were carried: an outlet or a platform.",
        "Object type channel: name (string), channel_types (list of strings: outlet, platform).",
    ),
    "event": (
        "new-sdo",
        "A span of days in which a narrative was told more often than before (a burst).",
        "Object type event: name (string), event_types (list of strings), start_time, stop_time (timestamps), documents (integer).",
    ),
    "narrative": (
        "new-sdo",
        "A story that many documents tell, with the times at which it was first and last seen.",
        "Object type narrative: name, description (strings), narrative_types, keywords, languages (lists of strings), documents, accounts "
        "(integers), first_seen, last_seen (timestamps).",
    ),
    "record": (
        "property-extension",
        "What the object was made of, where STIX has no property for it.",
        "Optional properties: table (string), row (dictionary: the row of that table of greyzone by column; absent columns are null, "
        "timestamps and dates are ISO 8601), rows (list of such), reports (list of rows of the table reports), empty_lists (list of "
        "strings: paths of lists without elements, which STIX does not allow), confidence_scale (string: what confidence counts), "
        "said_by, link_type (strings).",
    ),
}
"""Extension definitions of ours by name: type, description, and the schema in words."""


def object_id(kind: str, *key: str) -> str:
    """Return the deterministic id of the object of type `kind` called `key`."""
    return f"{kind}--{uuid.uuid5(NAMESPACE, chr(31).join((kind, *key)))}"


def observable_id(kind: str, contributing: Mapping[str, str]) -> str:
    """Return the id that STIX 2.1 gives to an observable with these contributing properties."""
    canonical = json.dumps(dict(contributing), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{kind}--{uuid.uuid5(SCO_NAMESPACE, canonical)}"


def extension_id(name: str) -> str:
    """Return the id of the extension definition of ours called `name`, of this `VERSION`."""
    return object_id("extension-definition", name, VERSION)


RECORD = extension_id("record")
"""Id of the property extension that holds rows; readers know bundles of ours by it."""


def timestamp(moment: datetime | None) -> str | None:
    """Return a moment as STIX writes it, to the millisecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z" if moment else None


def midnight(day: date) -> str:
    """Return the begin of a day as STIX writes it."""
    return f"{day.isoformat()}T00:00:00.000Z"


def span(first: datetime | None, last: datetime | None, names: tuple[str, str] = ("first_seen", "last_seen")) -> Object:
    """Return two times under their names; the last is left out where it lies before the first, which STIX does not allow."""
    kept = last if first is None or last is None or last >= first else None
    return {names[0]: timestamp(first), names[1]: timestamp(kept)}


def tlp_level(word: str) -> str:
    """Return the level of a TLP 2.0 word.

    Raises
    ------
    InputError
        If TLP 2.0 has no such word.
    """
    level = word.casefold().removeprefix("tlp:").strip()
    if level not in TLP_MARKINGS:
        raise InputError(f"TLP {word!r}", f"one of {', '.join(f'TLP:{name.upper()}' for name in TLP_MARKINGS)}")
    return level


def marking(tlp: str) -> Object:
    """Return the published marking definition of a TLP 2.0 level."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP_MARKINGS[tlp],
        "created": "2022-10-01T00:00:00.000Z",
        "name": f"TLP:{tlp.upper()}",
        "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp}},
    }


class Maker:
    """Makes objects of one export: one creator, one marking, one time of modification.

    Parameters
    ----------
    stamp
        ``modified`` of every object, as STIX writes it.
    tlp
        Level of objects that name none.
    """

    def __init__(self, stamp: str, tlp: str) -> None:
        self.stamp = stamp
        self.tlp = tlp
        self.creator = object_id("identity", "greyzone")

    @property
    def identity(self) -> Object:
        """The identity that everything but people's own words is created by."""
        fixed = {"type": "identity", "spec_version": "2.1", "id": self.creator, "created": EPOCH, "modified": EPOCH}
        return fixed | {"name": "greyzone", "identity_class": "system"}

    def definitions(self) -> list[Object]:
        """Return our extension definitions, in order of name."""
        return [
            {
                "type": "extension-definition",
                "spec_version": "2.1",
                "id": extension_id(name),
                "created_by_ref": self.creator,
                "created": EPOCH,
                "modified": EPOCH,
                "name": name,
                "description": description,
                "schema": schema,
                "version": VERSION,
                "extension_types": [kind],
            }
            for name, (kind, description, schema) in sorted(EXTENSIONS.items())
        ]

    def __call__(self, kind: str, *key: str, tlp: str | None = None, since: datetime | None = None, **properties: object) -> Object:
        """Return an object; properties that say nothing are left out.

        Parameters
        ----------
        kind, key
            Give the id.
        tlp
            Level of the marking.
        since
            First moment that the object speaks of; `EPOCH` where there is none.
        properties
            Of the object; ``record`` is put under our property extension, ``created_by_ref`` takes the place of ours.
        """
        made: Object = {
            "type": kind,
            "spec_version": "2.1",
            "id": object_id(kind, *key),
            "created_by_ref": self.creator,
            "created": min(timestamp(since) or EPOCH, self.stamp),
            "modified": self.stamp,
            "object_marking_refs": [TLP_MARKINGS[tlp or self.tlp]],
        }
        record = properties.pop("record", None)
        extensions: Object = {extension_id(kind): {"extension_type": "new-sdo"}} if kind in EXTENSIONS else {}
        if isinstance(record, Mapping):
            extensions[RECORD] = {"extension_type": "property-extension", **record}
        made |= {name: value for name, value in properties.items() if value is not None and value != "" and value != []}
        return made | {"extensions": extensions} if extensions else made

    def relationship(
        self, kind: str, source: str, target: str, *, tlp: str | None = None, since: datetime | None = None, **properties: object
    ) -> Object:
        """Return a relationship between two ids; its id is that of the two and the kind."""
        ends = {"relationship_type": kind, "source_ref": source, "target_ref": target}
        return self("relationship", kind, source, target, tlp=tlp, since=since, **ends, **properties)

    def person(self, name: str) -> Object:
        """Return the identity of a person who decided something."""
        made = self("identity", "person", name, name=name, identity_class="individual")
        return made | {"created": EPOCH, "modified": EPOCH}

    def note(
        self,
        *key: str,
        abstract: str,
        lines: Sequence[str],
        refs: Sequence[str],
        tlp: str | None = None,
        since: datetime | None = None,
        **properties: object,
    ) -> Object:
        """Return a note of several lines on `refs`."""
        content = {"abstract": abstract, "content": "\n".join(lines), "object_refs": list(refs)}
        return self("note", *key, tlp=tlp, since=since, **content, **properties)
