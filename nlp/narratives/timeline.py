"""When a narrative began, how it rose and how fast it fell.

Onset. Dates are intervals of the precision they carry. ``onset_lo`` is the earliest beginning; ``onset_hi`` the instant by which 5 % of
the dated documents, and 3 at least (all if fewer), had certainly appeared: one early stray widens the interval, it does not move it.
Documents known to the month or year only count here, but in nothing that follows; undated ones in none of it.

Volume, and the bursts of `greyzone.bursts.kleinberg` in it, over the days of the corpus (from its first to its last dated document).

Half-life. Days from the peak (the first of the fullest days) until half of the documents of later days had appeared: the least h with
documents(peak + 1 .. peak + h) >= half of documents(after the peak). Null with fewer than `HALF_LIFE_LEAST` documents after the peak,
and where the corpus does not run on for more than 2 h days after it: a volume that merely goes on until the data end has its half in
the middle of what was seen, whatever its true half-life.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from greyzone.bursts import kleinberg
from greyzone.errors import InputError
from greyzone.narratives.frame import Frame, Ints, Times
from greyzone.records import BURSTS, TIME, VOLUME

ONSET_SHARE, ONSET_LEAST = 0.05, 3

HALF_LIFE_LEAST = 5
"""Documents after the peak without which a half-life says nothing: those of the smallest narrative."""

_EPOCH = date(1970, 1, 1)


def timeline(frame: Frame) -> dict[str, pa.Array]:
    """Return the columns that date each narrative: onset_lo, onset_hi, last_seen, peak_day, volume, bursts, half_life."""
    lo, hi, last = _onsets(frame)
    cluster, day, count = _daily(frame)
    bounds = np.searchsorted(cluster, np.arange(frame.clusters + 1))
    peak = _peaks(cluster, count, bounds)
    known = bounds[1:] > bounds[:-1]
    first, final = _observed(frame)
    return {
        "onset_lo": _times(lo),
        "onset_hi": _times(hi),
        "last_seen": _times(last),
        "peak_day": pa.array(day[peak].astype(np.int32) if len(day) else np.zeros(frame.clusters, np.int32), mask=~known).cast(pa.date32()),
        "volume": pa.ListArray.from_arrays(
            pa.array(bounds.astype(np.int32)),
            pa.StructArray.from_arrays([pa.array(day.astype(np.int32)).cast(pa.date32()), pa.array(count)], fields=list(VOLUME.value_type)),
        ),
        "bursts": _bursts(day, count, bounds, final - first + 1),
        "half_life": _half_lives(day, count, bounds, peak, final),
    }


def _onsets(frame: Frame) -> tuple[Times, Times, Times]:
    lo, hi, last = (np.full(frame.clusters, np.datetime64("NaT"), dtype="datetime64[us]") for _ in range(3))
    rows = frame.inside[~np.isnat(frame.begins[frame.inside])]
    if not len(rows):
        return lo, hi, last
    found, starts, counts = np.unique(frame.label[rows], return_index=True, return_counts=True)
    lo[found] = np.minimum.reduceat(frame.begins[rows], starts)
    last[found] = np.maximum.reduceat(frame.begins[rows], starts)
    early = np.minimum(counts, np.maximum(ONSET_LEAST, np.ceil(ONSET_SHARE * counts).astype(np.int64)))
    ends = frame.ends[rows][np.lexsort((frame.ends[rows], frame.label[rows]))]
    hi[found] = ends[starts + early - 1]
    return lo, hi, last


def _daily(frame: Frame) -> tuple[Ints, Ints, Ints]:
    """Return (cluster, day since 1970-01-01, documents) of every day with documents, ordered."""
    rows = frame.inside[frame.exact[frame.inside]]
    if not len(rows):
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    days = frame.begins[rows].astype("datetime64[D]").astype(np.int64)
    least, span = days.min(), days.max() - days.min() + 1
    keys, counts = np.unique(frame.label[rows] * span + (days - least), return_counts=True)
    return keys // span, keys % span + least, counts.astype(np.int64)


def _observed(frame: Frame) -> tuple[int, int]:
    """Return the first and the last day of the corpus."""
    days = frame.begins[frame.exact].astype("datetime64[D]").astype(np.int64)
    return (int(days.min()), int(days.max())) if len(days) else (0, 0)


def _peaks(cluster: Ints, count: Ints, bounds: Ints) -> Ints:
    """Return for each narrative the place of its first fullest day (any place where it has none)."""
    order = np.lexsort((np.arange(len(count)), -count, cluster))
    return order[np.minimum(bounds[:-1], max(0, len(order) - 1))] if len(order) else bounds[:-1]


def _bursts(day: Ints, count: Ints, bounds: Ints, observed: int) -> pa.Array:
    days, counts = day.tolist(), count.tolist()
    found: list[list[dict[str, object]] | None] = []
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        met = kleinberg(days[start:stop], counts[start:stop], observed)
        told = [
            {"first": _date(burst.first), "last": _date(burst.last), "documents": burst.documents, "weight": burst.weight} for burst in met
        ]
        found.append(told if stop > start else None)
    return pa.array(found, BURSTS)


def _half_lives(day: Ints, count: Ints, bounds: Ints, peak: Ints, final: int) -> pa.Array:
    sums = np.concatenate([[0], np.cumsum(count)])
    found: list[float | None] = []
    for stop, top in zip(bounds[1:].tolist(), peak.tolist(), strict=True):
        after = int(sums[stop] - sums[min(top + 1, stop)])
        if after < HALF_LIFE_LEAST:
            found.append(None)
            continue
        place = int(np.searchsorted(sums, sums[top + 1] + after / 2.0)) - 1
        half = int(day[place] - day[top])
        found.append(float(half) if final - int(day[top]) > 2 * half else None)
    return pa.array(found, pa.float64())


def _date(day: int) -> date:
    return date.fromordinal(_EPOCH.toordinal() + day)


def _times(instants: Times) -> pa.Array:
    years = instants[~np.isnat(instants)].astype("datetime64[Y]").astype(np.int64) + 1970
    if len(years) and not 1 <= years.min() <= years.max() <= 9999:
        raise InputError(f"a date of the year {years.min() if years.min() < 1 else years.max()}", "a date of the years 1 to 9999")
    return pa.array(instants).cast(TIME)
