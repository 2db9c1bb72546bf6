"""Bundles that greyzone itself exported: the reports behind an incident stand in its extension and are read as they were.

So the incidents that are made of them are the same again: ids, onset intervals, levels, states, sectors. A report of an event that struck
several states stands in one of its incidents. Campaigns and reports of greyzone are findings and no incidents; they are counted. An
incident whose reports were not exported is read as any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from greyzone.dates import Moment
from greyzone.errors import InputError
from greyzone.incidents.reports import Draft

RECORD = "extension-definition--58bcc02a-c1f3-51c5-80ee-324db21f0d82"
"""Id of the extension definition of greyzone that holds rows, version 1.0.0 (`greyzone.stix.objects`)."""

Row = Mapping[str, Any]


def reports_held(objects: Iterable[Row]) -> frozenset[str]:
    """Return the ids of the reports that bundles of ours hold."""
    return frozenset(str(row.get("report_id")) for item in objects for row in _reports(item))


def drafts_of(item: Row, held: frozenset[str]) -> list[Draft] | None:
    """Return the reports that an object of ours holds, none for one that is no incident; None for an object to be read as any other.

    Parameters
    ----------
    item
        An incident, campaign or report.
    held
        As from `reports_held`.

    Raises
    ------
    InputError
        If a report in it is not as greyzone writes them.
    """
    record = _record(item)
    if record is None:
        return None
    if item.get("type") != "incident":
        return []
    row = record.get("row")
    behind = row.get("reports") if isinstance(row, Mapping) else None
    if not isinstance(behind, list) or not held.issuperset(map(str, behind)):
        return None
    try:
        return [_draft(report) for report in _reports(item)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"a report of greyzone that is not one ({error})", "what greyzone export stix writes") from error


def _record(item: Row) -> Row | None:
    extensions = item.get("extensions")
    found = extensions.get(RECORD) if isinstance(extensions, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _reports(item: Row) -> list[Row]:
    record = _record(item) or {}
    listed = record.get("reports")
    rows = [entry.get("row") for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    return [row for row in rows if isinstance(row, Mapping) and row.get("report_id")]


def _draft(row: Row) -> Draft:
    admiralty = int(row.get("admiralty") or 6)
    if not 1 <= admiralty <= 6:
        raise ValueError(f"admiralty {admiralty}")
    return Draft(
        source=_text(row, "source"),
        source_id=_text(row, "source_id"),
        name=_text(row, "name"),
        description=_text(row, "description"),
        onset=_moment(row, "onset", _text(row, "onset_precision") or "unknown"),
        end=_moment(row, "end", "unknown"),
        disclosed=_moment(row, "disclosed", "unknown"),
        published_at=_time(row.get("published_at")),
        target_states=_texts(row, "target_states"),
        sectors=_texts(row, "sectors"),
        technique_class=_text(row, "technique_class") or "unknown",
        actors=[_actor(actor) for actor in row.get("actors") or ()],
        entities=[(_text(entity, "kind"), _text(entity, "value")) for entity in row.get("entities") or ()],
        scale=_text(row, "scale") or None,
        scale_code=_text(row, "scale_code") or None,
        reach=_text(row, "reach") or None,
        admiralty=admiralty,
        information_operation=row.get("information_operation"),
        urls=_texts(row, "urls"),
        flags=_texts(row, "flags"),
        extra=json.loads(row["extra"]) if row.get("extra") else {},
    )


def _actor(actor: Row) -> dict[str, object]:
    told = {name: _text(actor, name) for name in ("name", "said_by")}
    return {
        "name": told["name"],
        "state": _text(actor, "state") or None,
        "probability": float(actor["probability"]),
        "said_by": told["said_by"],
    }


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is a {type(value).__name__}")
    return value or ""


def _texts(row: Row, name: str) -> list[str]:
    values = row.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} is no list of texts")
    return values


def _moment(row: Row, name: str, precision: str) -> Moment | None:
    low, high = _time(row.get(f"{name}_lo")), _time(row.get(f"{name}_hi"))
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name} from {low} to {high}")
    return None if low is None or high is None else Moment(low, high, precision)


def _time(text: object) -> datetime | None:
    moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment
