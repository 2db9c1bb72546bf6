"""The bursts of every narrative, each with the share of its documents that it holds (the rule is that of `greyzone.bursts`).

Kleinberg's automaton was left aside for linking: with its usual s = 2, gamma = 1 a narrative of five documents on one day is no burst
at all, and narratives of that size are common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.bursts import burst_starts


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
    listed = narratives["volume"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(listed), 0).to_numpy(zero_copy_only=False)
    items = pc.list_flatten(listed)
    days = pc.struct_field(items, "day").cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64)
    documents = pc.fill_null(pc.struct_field(items, "documents"), 0).to_numpy(zero_copy_only=False).astype(np.float64)
    stops = np.cumsum(lengths)
    found = []
    for start, stop in zip((stops - lengths).tolist(), stops.tolist(), strict=True):
        told = np.flatnonzero(documents[start:stop]) + start
        if not len(told):
            found.append((0, np.zeros(0)))
            continue
        first = int(days[told].min())
        found.append((first, np.bincount(days[told] - first, weights=documents[told]).astype(np.float64)))
    return found
