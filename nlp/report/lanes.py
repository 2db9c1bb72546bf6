"""The timeline of one campaign: a lane an incident and a lane a narrative, in units of a drawing that is 1000 wide.

A bar is as long as the onset is uncertain, a thin line goes on to the end where a source gives one; the daily volume of a narrative
is drawn against its own busiest day; a link goes from the middle of the incident's onset to the first day of the narrative, as strong
as it is probable. What does not fit is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from greyzone.report.parts import Row, day

WIDTH = 1000.0
LANE = 30.0
LANES = 24
"""Lanes of a campaign's timeline: incidents and narratives get half each, and what the other kind leaves."""
LEAST = 4.0
"""Width of a bar whose onset is known to the second, so that it can be seen."""
TICKS = 7
STEPS = (1, 2, 7, 14, 30, 91, 182, 365, 730, 1825, 3650)
"""Days between the marks of the axis."""


def draw_lanes(incidents: Sequence[Row], narratives: Sequence[Row], links: Iterable[Row]) -> Row:
    """Lay out the incidents, narratives and links of a campaign.

    Parameters
    ----------
    incidents, narratives, links
        Rows of the tables of those names.

    Returns
    -------
    dict
        `lanes` (label, kind, what it says, top), `bars`, `areas`, `threads` and `ticks` in drawing units, `height`, and `left_out`:
        how many incidents and narratives have no date or no lane. Nothing to draw gives no lanes.
    """
    dated = sorted((row for row in incidents if row["onset_lo"]), key=lambda row: (row["onset_lo"], row["incident_id"]))
    told = sorted((row for row in narratives if row["onset_lo"]), key=lambda row: (row["onset_lo"], row["narrative_id"]))
    room = LANES // 2
    shown = dated[: max(room, LANES - len(told))]
    seen = told[: max(room, LANES - len(dated))]
    left_out = {"incidents": len(incidents) - len(shown), "narratives": len(narratives) - len(seen)}
    moments = [moment for row in shown for moment in (row["onset_lo"], row["onset_hi"], row["end_hi"]) if moment]
    moments += [moment for row in seen for moment in (row["onset_lo"], row["onset_hi"], row["last_seen"]) if moment]
    if not moments:
        return {"lanes": [], "bars": [], "areas": [], "threads": [], "ticks": [], "height": 0, "left_out": left_out}
    axis = _Axis(min(moments), max(moments))
    parts = [_incident(row, axis, LANE * number) for number, row in enumerate(shown)]
    parts += [_narrative(row, axis, LANE * number) for number, row in enumerate(seen, start=len(shown))]
    place = {part.id: part.place for part in parts}
    return {
        "lanes": [part.lane for part in parts],
        "bars": [bar for part in parts for bar in part.bars],
        "areas": [area for part in parts for area in part.areas],
        "threads": [_thread(link, place) for link in links if link["incident_id"] in place and link["narrative_id"] in place],
        "ticks": axis.ticks(),
        "height": LANE * len(parts),
        "left_out": left_out,
    }


class _Part(NamedTuple):
    """A lane and what is drawn in it; links begin and end at its `place`."""

    id: str
    place: tuple[float, float]
    lane: Row
    bars: list[Row]
    areas: list[Row]


def _incident(row: Row, axis: _Axis, top: float) -> _Part:
    low, high = axis.at(row["onset_lo"]), axis.at(row["onset_hi"] or row["onset_lo"])
    middle, width = (low + high) / 2, max(high - low, LEAST)
    onset = f"onset {_span(row['onset_lo'], row['onset_hi'])}"
    bars = [_bar("onset", middle - width / 2, top + 8, width, LANE - 16, onset)]
    if row["end_hi"] and axis.at(row["end_hi"]) > high:
        bars.append(_bar("goes-on", high, top + 13, axis.at(row["end_hi"]) - high, 4, f"until {day(row['end_hi'])}"))
    lane = {"label": row["name"], "kind": "incident", "says": f"{onset}, known to the {row['onset_precision'] or 'unknown'}"}
    return _Part(row["incident_id"], (middle, top + LANE / 2), lane, bars, [])


def _narrative(row: Row, axis: _Axis, top: float) -> _Part:
    low, high = axis.at(row["onset_lo"]), axis.at(row["onset_hi"] or row["onset_lo"])
    volume = [(entry["day"], entry["documents"]) for entry in row["volume"] or ()]
    busiest = max((count for _, count in volume), default=0)
    says = f"first seen {_span(row['onset_lo'], row['onset_hi'])}, last {day(row['last_seen']) or 'unknown'}, "
    says += f"at most {busiest} documents a day"
    lane = {"label": row["label"], "kind": "narrative", "says": says}
    bars = [_bar("first", low, top + LANE - 5, max(high - low, LEAST), 3, "first seen")]
    return _Part(row["narrative_id"], (low, top + LANE / 2), lane, bars, [{"path": _area(volume, busiest, axis, top), "says": says}])


def _bar(kind: str, x: float, y: float, width: float, height: float, says: str) -> Row:
    return {"kind": kind, "x": _u(x), "y": y, "width": _u(width), "height": height, "says": says}


class _Axis:
    """Time as drawing units, with 3 % of room at both ends."""

    def __init__(self, first: datetime, last: datetime) -> None:
        room = max((last - first) * 0.03, timedelta(days=1))
        self.first, self.last = first - room, last + room

    def at(self, moment: datetime) -> float:
        return WIDTH * ((moment - self.first) / (self.last - self.first))

    def of_day(self, when: date) -> float:
        return self.at(datetime.combine(when, time(), UTC))

    def ticks(self) -> list[Row]:
        """Return marks at whole days; whole months where they are a month or more apart."""
        days = (self.last - self.first).days + 1
        step = next((step for step in STEPS if days / step <= TICKS), STEPS[-1])
        when, found = self.first.date() + timedelta(days=1), []
        while when <= self.last.date():
            label = when.replace(day=1) if step >= 30 else when
            x = self.of_day(label)
            if 0 <= x <= 0.97 * WIDTH:
                found.append({"x": _u(x), "percent": _u(x / WIDTH * 100), "label": label.isoformat()[: 7 if step >= 30 else 10]})
            when += timedelta(days=step)
        return [tick for number, tick in enumerate(found) if not number or tick["label"] != found[number - 1]["label"]]


def _area(volume: Sequence[tuple[date, int]], busiest: int, axis: _Axis, top: float) -> str:
    """Return the path of steps, a day wide each: a day without documents is zero."""
    base, reach, parts = top + LANE - 6, LANE - 10, []
    for when, count in volume:
        left, right = axis.of_day(when), axis.of_day(when + timedelta(days=1))
        # A day may be narrower than a hair on a long axis.
        right = max(right, left + 1.5)
        parts.append(f"M{_u(left)} {_u(base)}V{_u(base - reach * count / max(busiest, 1))}H{_u(right)}V{_u(base)}Z")
    return "".join(parts)


def _thread(link: Row, place: Mapping[str, tuple[float, float]]) -> Row:
    (x1, y1), (x2, y2) = place[link["incident_id"]], place[link["narrative_id"]]
    low, p, high = (link["p"] if link[key] is None else link[key] for key in ("p_lo", "p", "p_hi"))
    says = f"{link['type']}, p {p:.2f} ({low:.2f}–{high:.2f})"
    return {"x1": _u(x1), "y1": _u(y1), "x2": _u(x2), "y2": _u(y2), "width": _u(0.8 + 2.2 * p), "says": says}


def _span(low: datetime, high: datetime | None) -> str:
    first, last = day(low), day(high)
    return str(first) if last in (None, first) else f"{first} to {last}"


def _u(value: float) -> float:
    return round(value, 1)
