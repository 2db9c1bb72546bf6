"""Narratives, the channels that carried them, and the days on which they were told more than before.

STIX has none of the three: they are object types of our own under extension definitions of ours (STIX 2.1, section 7.3), named as other
tools of the field name them. How a narrative spread stands in relationships to channels, when it rose in events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.handles import hide
from greyzone.records import NARRATIVES
from greyzone.stix.objects import Maker, Object, object_id, span
from greyzone.stix.rows import encode
from greyzone.words import quoted

Row = Mapping[str, Any]

CHANNELS = ("outlet", "platform")
"""Kinds of `SPREAD` that are places; a language is none."""


def channel_objects(make: Maker, narratives: pa.Table, *, handles: bool) -> Iterator[Object]:
    """Yield every channel of `narratives` once, in order of kind and name."""
    spread = pc.list_flatten(narratives["spread"])
    kinds, names = pc.struct_field(spread, "kind"), pc.struct_field(spread, "name")
    pairs = pa.table({"kind": kinds, "name": names}).group_by(["kind", "name"]).aggregate([]).to_pylist()
    shown = {(row["kind"], row["name"] if handles else hide(row["name"])) for row in pairs if row["kind"] in CHANNELS and row["name"]}
    for kind, name in sorted(shown):
        yield make("channel", kind, name, name=name, channel_types=[kind])


def narrative_objects(make: Maker, row: Row, observed: Sequence[str]) -> Iterator[Object]:
    """Yield a narrative, its sighting in the documents `observed`, its ties to channels, and its bursts."""
    identifier = row["narrative_id"]
    item = make(
        "narrative",
        identifier,
        since=row["onset_lo"],
        name=row["label"] or identifier,
        description=row["headline"],
        narrative_types=["observed"],
        keywords=row["keywords"],
        languages=row["languages"],
        documents=row["size"],
        accounts=row["accounts"],
        **span(row["onset_lo"], row["last_seen"]),
        record={"table": "narratives", **encode(row, NARRATIVES)},
    )
    yield item
    if observed:
        yield make(
            "sighting",
            identifier,
            since=row["onset_lo"],
            **span(row["onset_lo"], row["last_seen"]),
            count=row["size"],
            sighting_of_ref=item["id"],
            observed_data_refs=list(observed),
            summary=len(observed) < (row["size"] or 0),
            description=f"Seen in {row['size'] or 0} documents; the {len(observed)} most central of them are given.",
        )
    # Two spellings of one handle have one hashed name, and so one channel.
    places = {
        (place["kind"], place["name"]): place for place in reversed(row["spread"] or ()) if place["kind"] in CHANNELS and place["name"]
    }
    for place in reversed(places.values()):
        yield make.relationship(
            "related-to",
            item["id"],
            object_id("channel", place["kind"], place["name"]),
            since=place["first_seen"],
            **span(place["first_seen"], place["last_seen"], ("start_time", "stop_time"))
            if place["first_seen"] != place["last_seen"]
            else {},
            description=f"{place['documents'] or 0} documents were carried there.",
        )
    for number, burst in enumerate(row["bursts"] or ()):
        yield from _burst(make, item, number, burst)


def _burst(make: Maker, narrative: Object, number: int, burst: Row) -> Iterator[Object]:
    first, last = (_at(burst[name]) for name in ("first", "last"))
    event = make(
        "event",
        narrative["id"],
        str(number),
        str(burst["first"]),
        since=first,
        name=f"{quoted(narrative['name'])} told more than before, {burst['first']} to {burst['last']}",
        event_types=["burst"],
        start_time=None if first is None else f"{first.date().isoformat()}T00:00:00.000Z",
        stop_time=None if last is None else f"{(last.date() + timedelta(days=1)).isoformat()}T00:00:00.000Z",
        documents=burst["documents"],
    )
    yield event
    yield make.relationship("related-to", event["id"], narrative["id"], since=first, description="burst of this narrative")


def _at(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
