"""Invented tables of incidents, narratives and links, for the parts that need no data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from greyzone.records import INCIDENTS, LINK_TYPES, LINKS, NARRATIVES, table

START = datetime(2023, 1, 1, tzinfo=UTC)
TECHNIQUES = ("disruption", "data theft", "ransomware", "defacement", "hijacking", "espionage", "doxing", "wiper")
Row = dict[str, object]
Tables = tuple[pa.Table, pa.Table, pa.Table]


def incident(number: int, day: float, level: float, **more: object) -> Row:
    """Return a row of `INCIDENTS`: a confirmed event against one state on a known day, unless `more` says otherwise."""
    moment = START + timedelta(days=day)
    row: Row = {"incident_id": f"inc-{number:06d}", "name": f"Event {number}", "onset_lo": moment, "onset_hi": moment}
    row |= {"onset_precision": "day", "target_state": "EE", "technique_class": TECHNIQUES[number % len(TECHNIQUES)], "reach": "local"}
    row |= {"level_lo": max(0.0, level - 0.5), "level_mode": level, "level_hi": min(5.0, level + 0.5), "credibility": 0.9}
    return row | {"critical": False, "sources": ["one"]} | more


def busy_state(incidents: int, narratives: int, links: int, *, seed: int = 0) -> Tables:
    """Return a year of one state: half of the incidents dated to the day, half to the month, three in ten going on for up to two months."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(incidents):
        day, lasts = float(random.uniform(0, 365)), float(random.uniform(0, 60)) if random.random() < 0.3 else 0.0
        width = 1.0 if random.random() < 0.5 else 30.0
        begin = START + timedelta(days=day)
        row = incident(number, day, float(random.triangular(0, 1, 4)), critical=bool(random.random() < 0.5))
        row |= {"onset_hi": begin + timedelta(days=width), "credibility": float(random.choice([0.5, 0.7, 0.9]))}
        row |= {"end_lo": begin + timedelta(days=lasts), "end_hi": begin + timedelta(days=lasts + width)}
        rows.append(row)
    stories: list[Row] = []
    for number in range(narratives):
        begin = START + timedelta(days=float(random.uniform(0, 330)))
        chances = random.dirichlet(np.ones(6))
        stories.append(
            {"narrative_id": f"nar-{number:05d}", "onset_lo": begin, "onset_hi": begin, "last_seen": begin + timedelta(days=30)}
            | {"targets": ["EE"], "breakout": chances.tolist()}
        )
    pairs = sorted({(int(random.integers(incidents)), int(random.integers(narratives))) for _ in range(links)}) if narratives else []
    return made(rows, stories, [link(*pair, float(random.random())) for pair in pairs])


def link(incident_number: int, narrative_number: int, p: float, *, low: float | None = None, high: float | None = None) -> Row:
    """Return a row of `LINKS` of the type exploits."""
    row: Row = {"link_id": f"lnk-{incident_number}-{narrative_number}", "incident_id": f"inc-{incident_number:06d}"}
    row |= {"narrative_id": f"nar-{narrative_number:05d}", "type": "exploits"}
    row |= {"type_probabilities": [float(name == "exploits") for name in LINK_TYPES]}
    return row | {"p": p, "p_lo": p / 2 if low is None else low, "p_hi": min(1.0, 1.5 * p) if high is None else high}


def made(incidents: Sequence[Row], narratives: Sequence[Row] = (), links: Sequence[Row] = ()) -> Tables:
    """Return the three tables of rows."""
    return table(list(incidents), INCIDENTS), table(list(narratives), NARRATIVES), table(list(links), LINKS)
