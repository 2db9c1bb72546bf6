"""Time and memory of making many reports canonical: invented reports of events that one to three of four sources tell.

An event has a day, a target state, two rare names of its own and words of the trade; each source words it anew, a day off now and then, one
source by month. The number of reports grows, the number of words a language has grows with its logarithm only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from greyzone.doctrine import load_doctrine
from greyzone.eval.incidents.tables import group_of
from greyzone.eval.memory import peak_bytes
from greyzone.incidents import canonicalise
from greyzone.records import REPORTS, content_id, table

SIZES = (10_000, 50_000)
STATES = ("EE", "LV", "LT", "PL", "UA", "DE", "FR", "US", "GB", "SE", "FI", "NO", "CZ", "SK", "RO", "BG", "TW", "JP", "KR", "IN")
_KINDS = ("disruption", "data theft", "espionage", "ransomware", "defacement")
_PLACES = ["ministry", "bank", "railway", "port", "hospital", "university", "broadcaster", "utility", "parliament", "airline", "court"]
_VERBS = ["struck", "disabled", "copied", "encrypted", "flooded", "entered", "probed", "defaced"]


@dataclass(frozen=True, slots=True)
class Scaled:
    """What one size took: seconds of the processors, peak of the process, and pair precision and recall against the truth."""

    reports: int
    seconds: float
    peak_mb: float
    precision: float
    recall: float


def invented(reports: int, seed: int = 0) -> tuple[pa.Table, dict[str, int]]:
    """Return at least so many reports, and report_id -> number of its event."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    truth: dict[str, int] = {}
    event = 0
    while len(rows) < reports:
        first = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=int(draw.integers(0, 5000)))
        state, kind = STATES[int(draw.integers(len(STATES)))], _KINDS[int(draw.integers(len(_KINDS)))]
        names = [_name(draw) for _ in range(2)]
        place = _PLACES[int(draw.integers(len(_PLACES)))]
        for source in sorted(draw.choice(4, size=int(draw.integers(1, 4)), replace=False).tolist()):
            start = first + timedelta(days=int(draw.integers(0, 2)) * int(draw.random() < 0.2))
            end = start + timedelta(hours=23)
            if source == 3:
                start = start.replace(day=1)
                end = start + timedelta(days=27)
            verb, other = (_VERBS[int(draw.integers(len(_VERBS)))] for _ in range(2))
            name = f"{names[0]} {verb} a {place}" if draw.random() < 0.8 else f"{place} {other}"
            number = f"{source}-{event}"
            row: dict[str, object] = {"report_id": content_id("rep", number), "source": f"source{source}", "source_id": number}
            row |= {"name": name, "description": f"{names[0]} and {names[1]} {other} the {place}, {_name(draw)} said", "onset_lo": start}
            row |= {"onset_hi": end, "target_states": [state], "technique_class": kind, "admiralty": 2, "path": "", "offset": len(rows) + 1}
            row |= {"onset_precision": "month" if source == 3 else "day"}
            rows.append(row)
            truth[str(row["report_id"])] = event
        event += 1
    return table(rows, REPORTS), truth


def measure_scale(say: Callable[[str], None], sizes: Sequence[int] = SIZES) -> Iterator[Scaled]:
    """Make invented reports canonical, size by size."""
    for size in sizes:
        reports, truth = invented(size)
        started = time.process_time()
        canonical = canonicalise(reports, doctrine=load_doctrine())
        seconds = time.process_time() - started
        group = group_of(reports["report_id"].to_pylist(), canonical)
        found = _pairs({name: group[name] for name in truth})
        true = _pairs({name: str(number) for name, number in truth.items()})
        both = len(found & true)
        yield Scaled(reports.num_rows, seconds, peak_bytes() / 1e6, both / max(len(found), 1), both / max(len(true), 1))
        say(f"{reports.num_rows} reports: {seconds:.0f} s")


def format_scale(rows: Sequence[Scaled]) -> str:
    """Return the table, with the growth of time against that of the reports."""
    lines = ["| reports | seconds of the processors | per 1,000 | peak MB | precision | recall |", "|---|---|---|---|---|---|"]
    for row in rows:
        each = 1000 * row.seconds / row.reports
        lines.append(f"| {row.reports:,} | {row.seconds:.1f} | {each:.2f} | {row.peak_mb:,.0f} | {row.precision:.3f} | {row.recall:.3f} |")
    return "\n".join(lines)


def _name(draw: np.random.Generator) -> str:
    syllables = ["ka", "lo", "mi", "ra", "te", "nu", "so", "vi", "pel", "dor", "gan", "fi", "zu", "hol", "mer", "tas"]
    return "".join(syllables[int(at)] for at in draw.integers(0, len(syllables), 4)).capitalize()


def _pairs(group: dict[str, str]) -> set[tuple[str, str]]:
    members: dict[str, list[str]] = {}
    for name in sorted(group):
        members.setdefault(group[name], []).append(name)
    return {(one, other) for names in members.values() for at, one in enumerate(names) for other in names[at + 1 :]}
