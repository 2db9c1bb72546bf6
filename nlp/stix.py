"""Export as STIX 2.1, so that a threat-intelligence platform can read what greyzone found.

Incidents, campaigns, reports, locations, notes and relationships are STIX's own types. A narrative is a new object type that an
extension definition of ours declares (STIX 2.1, section 7.3). Actors are hypotheses: they stand in notes, and no attributed-to
relationship and no threat actor is ever written. Ids are UUIDv5 in a namespace of ours, times come from the data, so the same tables
give the same bytes. TLP 2.0 markings are the published objects of the OASIS CTI committee (cti-stix-common-objects, tlp-2.0).
Accounts appear only as members of a coordinated group, under a hashed name unless handles are asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TextIO

import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.records import CAMPAIGNS, DECISIONS, GROUPS, IMPACT, INCIDENTS, LINKS, NARRATIVES, check, empty
from greyzone.words import Interval, pseudonym

logger = logging.getLogger(__name__)

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
EPOCH = "2024-01-01T00:00:00.000Z"
"""Creation time of the objects that do not depend on data: our identity and extension definition."""
SOURCES = {"attack": "mitre-attack", "att&ck": "mitre-attack", "mitre": "mitre-attack", "disarm": "DISARM"}
SCHEMAS = {
    "campaigns": CAMPAIGNS,
    "incidents": INCIDENTS,
    "narratives": NARRATIVES,
    "links": LINKS,
    "decisions": DECISIONS,
    "groups": GROUPS,
    "impact": IMPACT,
}
OPINIONS = {"yes": "agree", "no": "disagree", "unsure": "neutral"}
"""What a decision on a link is in the vocabulary of STIX 2.1, section 10.19."""


def to_bundle(tables: Mapping[str, pa.Table], *, doctrine: Doctrine, handles: bool = False) -> Object:
    """Return the tables as a STIX 2.1 bundle.

    Parameters
    ----------
    tables
        Any of campaigns, incidents, narratives, links, decisions, groups, impact; others are not exported.
    doctrine
        Gives the TLP marking, and the probability from which a link is exported; those that people decided on are exported, too.
    handles
        Whether accounts of groups keep their handles; hashed names otherwise.

    Raises
    ------
    InputError
        If a table has not its declared columns or a TLP word is unknown.
    """
    found = list(iter_objects(tables, doctrine=doctrine, handles=handles))
    return {"type": "bundle", "id": _bundle_id(found[0]["id"], tables), "objects": found}


def write_bundle(tables: Mapping[str, pa.Table], stream: TextIO, *, doctrine: Doctrine, handles: bool = False) -> int:
    """Write the bundle of `to_bundle` object by object to an open text file and return how many objects there are."""
    count = 0
    for count, item in enumerate(iter_objects(tables, doctrine=doctrine, handles=handles), start=1):
        stream.write(",\n" if count > 1 else f'{{"type": "bundle", "id": "{_bundle_id(item["id"], tables)}", "objects": [\n')
        stream.write(json.dumps(item, ensure_ascii=False, sort_keys=True, allow_nan=False))
    stream.write("\n]}\n")
    return count


def iter_objects(tables: Mapping[str, pa.Table], *, doctrine: Doctrine, handles: bool = False) -> Iterator[Object]:
    """Yield the objects of the bundle, what is referred to before what refers to it."""
    rows = {name: check(tables.get(name, empty(schema)), schema, name).to_pylist() for name, schema in SCHEMAS.items()}
    make = _Maker(_stamp(rows), _tlp(doctrine.phrase("tlp_default")))
    yield make.identity
    yield make.extension
    words = {doctrine.phrase("tlp_default")} | {row["tlp"] for row in rows["campaigns"] if row["tlp"]}
    for word in sorted(words):
        yield _marking(_tlp(word))
    states = sorted({row["target_state"] for row in (*rows["incidents"], *rows["impact"]) if row["target_state"]})
    for state in states:
        yield make("location", state, country=state, name=state)
    for row in sorted(rows["incidents"], key=lambda row: row["incident_id"]):
        yield from _incident(make, row)
    for row in sorted(rows["narratives"], key=lambda row: row["narrative_id"]):
        yield _narrative(make, row)
    known = {row["incident_id"] for row in rows["incidents"]} | {row["narrative_id"] for row in rows["narratives"]}
    decided = {row["link_id"] for row in rows["decisions"]}
    strong = [row for row in rows["links"] if row["p"] >= doctrine["campaign.link"] or row["link_id"] in decided]
    told = [row for row in strong if {row["incident_id"], row["narrative_id"]} <= known]
    for row in sorted(told, key=lambda row: row["link_id"]):
        yield _link(make, row)
    logger.info(
        "exported %d of %d links: those with both ends and p >= %g or a decision", len(told), len(rows["links"]), doctrine["campaign.link"]
    )
    yield from _opinions(make, rows["decisions"], {row["link_id"] for row in told})
    for row in sorted(rows["groups"], key=lambda row: row["group_id"]):
        yield from _group(make, row, handles)
    last = {row["target_state"]: row for row in sorted(rows["impact"], key=lambda row: (row["target_state"], row["date"]))}
    for state, row in sorted(last.items()):
        yield _score_note(make, state, row)
    patterns: set[str] = set()
    exported = {row["link_id"] for row in told}
    for row in sorted(rows["campaigns"], key=lambda row: row["campaign_id"]):
        yield from _campaign(make, row, known, exported, patterns)


class _Maker:
    """Makes objects of one export: same times, same creator, same marking."""

    def __init__(self, stamp: str, tlp: str) -> None:
        self.stamp = stamp
        self.tlp = tlp
        self.creator = object_id("identity", "greyzone")
        self.extension_id = object_id("extension-definition", "narrative")

    @property
    def identity(self) -> Object:
        return {
            "type": "identity",
            "spec_version": "2.1",
            "id": self.creator,
            "created": EPOCH,
            "modified": EPOCH,
            "name": "greyzone",
            "identity_class": "system",
        }

    @property
    def extension(self) -> Object:
        return {
            "type": "extension-definition",
            "spec_version": "2.1",
            "id": self.extension_id,
            "created_by_ref": self.creator,
            "created": EPOCH,
            "modified": EPOCH,
            "name": "Narrative",
            "description": "A story that many documents tell, with the times at which it was first and last seen.",
            "schema": "Object type narrative: name, description (string), keywords, languages (lists of strings), documents, accounts "
            "(integers), first_seen, last_seen (timestamps).",
            "version": "1.0.0",
            "extension_types": ["new-sdo"],
        }

    def __call__(self, kind: str, *key: str, tlp: str | None = None, **properties: object) -> Object:
        made: Object = {
            "type": kind,
            "spec_version": "2.1",
            "id": object_id(kind, *key),
            "created_by_ref": self.creator,
            "created": self.stamp,
            "modified": self.stamp,
            "object_marking_refs": [TLP_MARKINGS[tlp or self.tlp]],
        }
        return made | {name: value for name, value in properties.items() if value not in (None, "", [])}

    def relationship(self, kind: str, source: str, target: str, *, tlp: str | None = None, **properties: object) -> Object:
        ends = {"relationship_type": kind, "source_ref": source, "target_ref": target}
        return self("relationship", kind, source, target, tlp=tlp, **ends, **properties)


def object_id(kind: str, *key: str) -> str:
    """Return the deterministic id of the object of type `kind` called `key`."""
    return f"{kind}--{uuid.uuid5(NAMESPACE, chr(31).join((kind, *key)))}"


def _incident(make: _Maker, row: Row) -> Iterator[Object]:
    dated = f"Onset between {_time(row['onset_lo'])} and {_time(row['onset_hi'])} ({row['onset_precision'] or 'unknown'})."
    text = f"{dated} Probability of being real {row['credibility'] or 0:.2f}. {row['description'] or ''}".strip()
    references = [{"source_name": source, "external_id": row["incident_id"]} for source in sorted(set(row["sources"] or ())) if source]
    item = make("incident", row["incident_id"], name=row["name"] or row["incident_id"], description=text, external_references=references)
    yield item
    if row["target_state"]:
        yield make.relationship("related-to", item["id"], object_id("location", row["target_state"]), description="target state")


def _narrative(make: _Maker, row: Row) -> Object:
    return make(
        "narrative",
        row["narrative_id"],
        name=row["label"] or row["narrative_id"],
        description=row["headline"],
        keywords=row["keywords"],
        languages=row["languages"],
        documents=row["size"],
        accounts=row["accounts"],
        first_seen=_time(row["onset_lo"]),
        last_seen=_time(row["last_seen"]),
        extensions={make.extension_id: {"extension_type": "new-sdo"}},
    )


def _link(make: _Maker, row: Row) -> Object:
    low, high = (row["p"] if row[key] is None else row[key] for key in ("p_lo", "p_hi"))
    state = "calibrated" if row["calibrated"] else "uncalibrated"
    return make.relationship(
        "related-to",
        object_id("narrative", row["narrative_id"]),
        object_id("incident", row["incident_id"]),
        confidence=round(100 * row["p"]),
        description=f"{row['type']}: probability {row['p']:.2f} (interval {low:.2f}-{high:.2f}), {state}; not a statement about causes.",
    )


def _opinions(make: _Maker, decisions: Sequence[Row], exported: set[str]) -> Iterator[Object]:
    """Yield what each person last decided of a link that is exported; its id stays when the person decides anew."""
    history: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(decisions, key=lambda row: (row["link_id"], row["who"], row["revision"])):
        history.setdefault((row["link_id"], row["who"]), []).append(row)
    told = {key: rows for key, rows in history.items() if key[0] in exported}
    logger.info("%d of %d opinions are on links that are not exported", len(history) - len(told), len(history))
    for (link, who), rows in told.items():
        first, last = rows[0], rows[-1]
        ends = object_id("narrative", last["narrative_id"]), object_id("incident", last["incident_id"])
        yield make(
            "opinion",
            link,
            who,
            opinion=OPINIONS[last["decision"]],
            explanation="; ".join(part for part in (last["type"], last["note"]) if part),
            authors=[who],
            object_refs=[object_id("relationship", "related-to", *ends)],
        ) | {"created": _midnight(first["day"]), "modified": _midnight(last["day"])}


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00.000Z"


def _group(make: _Maker, row: Row, handles: bool) -> Iterator[Object]:
    accounts = []
    for account in sorted(set(row["accounts"] or ())):
        name = account if handles else pseudonym(account)
        contributing = json.dumps({"user_id": name}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        item = {"type": "user-account", "spec_version": "2.1", "id": f"user-account--{uuid.uuid5(SCO_NAMESPACE, contributing)}"}
        accounts.append(item["id"])
        yield item | {"user_id": name, "object_marking_refs": [TLP_MARKINGS[make.tlp]]}
    if accounts:
        yield make(
            "grouping",
            row["group_id"],
            name=f"Accounts that share content beyond chance ({len(accounts)})",
            context="suspicious-activity",
            description="Shared behaviour that chance does not explain; it says nothing about who the accounts are or what they intend.",
            object_refs=accounts,
        )


def _score_note(make: _Maker, state: str, row: Row) -> Object:
    if row["score_p50"] is None:
        text = f"No score for {state} on {row['date']}: insufficient evidence."
    else:
        text = (
            f"Cumulative score of {state} on {row['date']}: {Interval(row['score_p05'], row['score_p50'], row['score_p95'])}; with the "
            f"doctrine's uncertainty {row['doctrine_p05']:.0f}–{row['doctrine_p95']:.0f}; peak {row['peak_words']}; "
            f"status {row['status']}; doctrine {row['doctrine']} {row['doctrine_hash']}."
        )
    return make(
        "note",
        "score",
        state,
        abstract=f"Score of {state}",
        content=f"{text} {row['coverage'] or ''}",
        object_refs=[object_id("location", state)],
    )


def _campaign(make: _Maker, row: Row, known: set[str], exported: set[str], patterns: set[str]) -> Iterator[Object]:
    tlp = _tlp(row["tlp"]) if row["tlp"] else make.tlp
    confidence = CONFIDENCE.get(row["confidence"] or "")
    item = make(
        "campaign",
        row["campaign_id"],
        tlp=tlp,
        name=row["title"],
        description=" ".join(statement["text"] for statement in row["statements"] or ()),
        first_seen=_time(row["window_lo"]),
        last_seen=_time(row["window_hi"]),
        confidence=confidence,
    )
    yield item
    parts = [
        object_id(kind, part)
        for kind, key in (("incident", "incidents"), ("narrative", "narratives"))
        for part in row[key] or ()
        if part in known
    ]
    for part in parts:
        yield make.relationship("related-to", item["id"], part, tlp=tlp)
    for technique in json.loads(row["profile"] or "{}").get("techniques", ()):
        pattern = _pattern(make, technique)
        if pattern["id"] not in patterns:
            patterns.add(pattern["id"])
            yield pattern
        yield make.relationship("uses", item["id"], pattern["id"], tlp=tlp, description=f"{technique['subject']}: {technique['trigger']}")
    note = make(
        "note",
        "caveats",
        row["campaign_id"],
        tlp=tlp,
        abstract="Caveats",
        content=_caveats(row),
        object_refs=[item["id"]],
        confidence=confidence,
    )
    yield note
    yield make(
        "report",
        row["campaign_id"],
        tlp=tlp,
        name=row["title"],
        report_types=["campaign"],
        published=make.stamp,
        object_refs=[item["id"], *parts, note["id"]],
        confidence=confidence,
        description=f"{len(exported & set(row['links'] or ()))} links tie {len(parts)} incidents and narratives.",
    )


def _pattern(make: _Maker, technique: Row) -> Object:
    source = SOURCES.get(str(technique["framework"]).casefold(), str(technique["framework"]))
    reference = {"source_name": source, "external_id": str(technique["id"])}
    name = str(technique["name"]).strip("“”")
    return make("attack-pattern", source, str(technique["id"]), name=name, external_references=[reference])


def _caveats(row: Row) -> str:
    profile = json.loads(row["profile"] or "{}")
    lines = [f"Confidence: {row['confidence']}.", *(row["gaps"] or ()), *(item["text"] for item in row["alternatives"] or ())]
    for hypothesis in profile.get("hypotheses", {}).get("hypotheses", ()):
        p = "not given" if hypothesis["p"] is None else f"{hypothesis['p']:.2f}"
        lines.append(f"Hypothesis {hypothesis['name']}: probability {p}; {hypothesis['basis']}.")
    return "\n".join([*lines, f"This profile is {profile.get('decision', 'a hypothesis')}."])


def _marking(tlp: str) -> Object:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP_MARKINGS[tlp],
        "created": "2022-10-01T00:00:00.000Z",
        "name": f"TLP:{tlp.upper()}",
        "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp}},
    }


def _tlp(word: str) -> str:
    level = word.casefold().removeprefix("tlp:").strip()
    if level not in TLP_MARKINGS:
        raise InputError(f"TLP {word!r}", f"one of {', '.join(f'TLP:{name.upper()}' for name in TLP_MARKINGS)}")
    return level


def _stamp(rows: Mapping[str, Sequence[Row]]) -> str:
    """Return the last moment that the data speak of."""
    moments = [
        row[key] for name, key in (("narratives", "last_seen"), ("incidents", "onset_hi"), ("campaigns", "window_hi")) for row in rows[name]
    ]
    moments += [datetime(row["date"].year, row["date"].month, row["date"].day, tzinfo=UTC) for row in rows["impact"]]
    return _time(max((moment for moment in moments if moment), default=None)) or EPOCH


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z" if moment else None


def _bundle_id(first: str, tables: Mapping[str, pa.Table]) -> str:
    keys = {"campaigns": "campaign_id", "incidents": "incident_id", "narratives": "narrative_id", "links": "link_id", "groups": "group_id"}
    keys["decisions"] = "decision_id"
    digest = hashlib.blake2b(first.encode(), digest_size=16)
    for name, key in sorted(keys.items()):
        for identifier in sorted(tables[name][key].to_pylist() if name in tables else ()):
            digest.update(f"{name}\x1f{identifier}\x1e".encode())
    return f"bundle--{uuid.uuid5(NAMESPACE, digest.hexdigest())}"
