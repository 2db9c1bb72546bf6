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
    return [_draft(report) for report in _reports(item)]


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
    actors = [
        {"name": actor.get("name"), "state": actor.get("state"), "probability": actor.get("probability"), "said_by": actor.get("said_by")}
        for actor in row.get("actors") or ()
    ]
    return Draft(
        source=str(row.get("source") or ""),
        source_id=str(row.get("source_id") or ""),
        name=str(row.get("name") or ""),
        description=str(row.get("description") or ""),
        onset=_moment(row, "onset", str(row.get("onset_precision") or "unknown")),
        end=_moment(row, "end", "unknown"),
        disclosed=_moment(row, "disclosed", "unknown"),
        published_at=_time(row.get("published_at")),
        target_states=list(row.get("target_states") or ()),
        sectors=list(row.get("sectors") or ()),
        technique_class=str(row.get("technique_class") or "unknown"),
        actors=actors,
        entities=[(str(entity.get("kind")), str(entity.get("value"))) for entity in row.get("entities") or ()],
        scale=row.get("scale"),
        scale_code=row.get("scale_code"),
        reach=row.get("reach"),
        admiralty=int(row.get("admiralty") or 6),
        information_operation=row.get("information_operation"),
        urls=list(row.get("urls") or ()),
        flags=list(row.get("flags") or ()),
        extra=json.loads(row["extra"]) if row.get("extra") else {},
    )


def _moment(row: Row, name: str, precision: str) -> Moment | None:
    low, high = _time(row.get(f"{name}_lo")), _time(row.get(f"{name}_hi"))
    return None if low is None or high is None else Moment(low, high, precision)


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
