"""When a narrative rises: the starts of its bursts of daily volume, with the share of its documents that each holds.

A burst starts on a day whose count

- is larger than on each of the `QUIET` days before, and
- is at least m + 3 sqrt(m + 1), m the mean of the `BASE` days before (three standard deviations of a Poisson count, one pseudo-count).

Days that follow one another start one burst. Its mass is the volume above m from its start until the next start, at most `LENGTH`
days; what no burst holds is background. A narrative without such a day has one burst, its first week. Kleinberg's automaton was
left aside here: with its usual s = 2, gamma = 1 a narrative of five documents on one day is no burst at all, and narratives of that
size are common. The rule looks at one narrative alone, so that adding others never changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

QUIET = 7
BASE = 28
LENGTH = 14
FIRST_WEEK = 7

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts of many narratives.

    Attributes
    ----------
    narrative
        int64 rows of the narratives, ascending; one entry a burst.
    day
        float64 start days since 1970-01-01; a burst starts within [day, day + 1).
    mass
        float64 share of the narrative's documents in the burst; at most 1 in sum over a narrative.
    """

    narrative: npt.NDArray[np.int64]
    day: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]


def find_bursts(narratives: pa.Table) -> Bursts:
    """Return the bursts of every narrative of a `records.NARRATIVES` table; one without volume has none."""
    rows: list[int] = []
    days: list[float] = []
    masses: list[float] = []
    for row, volume in enumerate(daily(narratives)):
        first, counts = volume
        for start, mass in burst_starts(counts):
            rows.append(row)
            days.append(float(first + start))
            masses.append(mass)
    return Bursts(np.array(rows, dtype=np.int64), np.array(days, dtype=np.float64), np.array(masses, dtype=np.float64))


def daily(narratives: pa.Table) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Return (first day since 1970-01-01, dense daily counts) of every narrative; (0, empty) without volume."""
    found = []
    for volume in narratives["volume"].to_pylist():
        pairs = [((item["day"] - _EPOCH).days, float(item["documents"])) for item in volume or () if item["documents"]]
        if not pairs:
            found.append((0, np.zeros(0)))
            continue
        first = min(day for day, _ in pairs)
        counts = np.zeros(max(day for day, _ in pairs) - first + 1)
        for day, documents in pairs:
            counts[day - first] += documents
        found.append((first, counts))
    return found


def burst_starts(counts: npt.NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return (day of start, share of the volume) of the bursts of one series of daily counts.

    Parameters
    ----------
    counts
        (n_days,) float64, the first and last positive; days before the first count as empty.
    """
    total = float(counts.sum())
    if total <= 0:
        return []
    padded = np.concatenate([np.zeros(BASE), counts])
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    mean = (sums[BASE : BASE + len(counts)] - sums[: len(counts)]) / BASE
    quiet = np.lib.stride_tricks.sliding_window_view(padded, QUIET)[BASE - QUIET : BASE - QUIET + len(counts)].max(axis=1)
    rises = (counts > quiet) & (counts >= mean + 3.0 * np.sqrt(mean + 1.0))
    starts = np.flatnonzero(rises & ~np.concatenate([[False], rises[:-1]]))
    if len(starts) == 0:
        return [(0, float(counts[:FIRST_WEEK].sum()) / total)]
    ends = np.minimum(np.append(starts[1:], len(counts)), starts + LENGTH)
    return [
        (int(start), float(np.maximum(counts[start:end] - mean[start], 0.0).sum()) / total) for start, end in zip(starts, ends, strict=True)
    ]
