"""How well the time of a narrative fits an incident whose onset is known only as an interval.

For a linked pair the lag tau (start of a burst minus onset, days) has the density (METHOD, stage C)

    f1(tau) = a Exp(tau; m_a) for tau >= 0,   (1 - a) Exp(-tau; m_b) for tau < 0.

Candidates are pairs at most W days apart, so that an unlinked burst lies anywhere in the window: f0 = 1 / (2 W + 1). (A longer
reference period would count the nearness twice: it is in the prior already, which is a share of candidate pairs.) A narrative's own
rate enters by the shares w_k of its documents in burst k: what lies in no burst, or in one out of the window, fits any onset in the
window alike and has ratio 1. For an onset u with a burst in its window

    LR(u) = 1 + sum_k w_k c_k(u) [(2 W + 1) f1(b_k - u) - 1],   c_k = 1 if |b_k - u| <= W,

and LR(u) = 0 for any other, since such a pair would be no candidate. LR is averaged over u in the onset interval and b_k in its day in
closed form: with H'' = f1 the mean of f1 over u in [u0, u1] and b in [b0, b1] is
[H(b1 - u0) - H(b1 - u1) - H(b0 - u0) + H(b0 - u1)] / ((u1 - u0)(b1 - b0)). So a day-precise onset can reach log(.85 (2 W + 1) / 3), a month
says little, and a year only that the pair is as likely to be a candidate as the window is of the year. Where an incident's end is
known and later than its onset, stories may answer the disclosure instead: LR is then (1 - e) LR(onset) + e LR(end).

The envelope takes, burst by burst, the least and the largest ratio over both intervals: a wider interval can only widen it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine
from greyzone.link.bursts import Bursts

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

SHORTEST = 1.0 / 24.0
"""Intervals count as at least an hour: below that the closed form loses digits and no burst is that well known."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Lag density f1 in days and the window within which pairs are candidates."""

    after_share: float
    after_mean: float
    before_mean: float
    window: float
    end_share: float

    @property
    def spread(self) -> float:
        """1 / f0, days."""
        return 2.0 * self.window + 1.0

    def density(self, lag: Vector) -> Vector:
        """Return f1 at `lag` days."""
        after = self.after_share / self.after_mean * np.exp(-np.maximum(lag, 0.0) / self.after_mean)
        before = (1.0 - self.after_share) / self.before_mean * np.exp(np.minimum(lag, 0.0) / self.before_mean)
        return np.where(lag >= 0, after, before)

    def after(self, lag: Vector) -> Vector:
        """Return the double integral of the part of f1 after the onset, up to `lag`."""
        positive = np.maximum(lag, 0.0)
        return self.after_share * (positive + self.after_mean * np.expm1(-positive / self.after_mean))

    def before(self, lag: Vector) -> Vector:
        """Return the double integral of the part of f1 before the onset, up to `lag`."""
        return (1.0 - self.after_share) * (self.before_mean * np.exp(np.minimum(lag, 0.0) / self.before_mean) + np.maximum(lag, 0.0))


@dataclass(frozen=True, slots=True)
class Onsets:
    """Onset (and end) intervals in days since 1970-01-01, float64 (n,); nan where not known."""

    lo: Vector
    hi: Vector
    end_lo: Vector
    end_hi: Vector

    def shifted(self, days: float, start: float, length: float) -> Onsets:
        """Return every interval moved by `days` on a circle of `length` days from `start`; widths and durations are kept."""
        middle = (self.lo + self.hi) / 2.0
        moved = start + np.mod(middle + days - start, length) - middle
        return Onsets(self.lo + moved, self.hi + moved, self.end_lo + moved, self.end_hi + moved)


@dataclass(frozen=True, slots=True)
class Timing:
    """Temporal evidence of candidate pairs, sorted by (incident, narrative).

    Attributes
    ----------
    incident, narrative
        int64 rows.
    ratio, lowest, highest
        float64 likelihood ratios: the mean over the intervals, and the envelope.
    after
        float64 posterior share of the linked density that lies after the onset.
    burst
        int64 index of the burst that carries most of the linked density.
    """

    incident: Rows
    narrative: Rows
    ratio: Vector
    lowest: Vector
    highest: Vector
    after: Vector
    burst: Rows


def kernel_of(doctrine: Doctrine) -> Kernel:
    """Return the lag density of a doctrine."""
    return Kernel(
        doctrine["link.after_share"],
        doctrine["link.after_mean_days"],
        doctrine["link.before_mean_days"],
        doctrine["link.window_days"],
        doctrine["link.end_share"],
    )


def timing(onsets: Onsets, bursts: Bursts, kernel: Kernel) -> Timing:
    """Weigh the time of every candidate pair.

    Parameters
    ----------
    onsets
        Intervals of the incidents, row i for incident i.
    bursts
        Bursts of the narratives.
    kernel
        Lag density and window.

    Returns
    -------
    Timing
        Pairs whose onset or end interval lies within the window of a burst. The evidence of a pair depends on that pair alone.
    """
    ended = onsets.end_lo > onsets.hi
    share = np.where(ended, kernel.end_share, 0.0)
    anchors = [
        _anchor(onsets.lo, onsets.hi, bursts, kernel),
        _anchor(np.where(ended, onsets.end_lo, np.nan), np.where(ended, onsets.end_hi, np.nan), bursts, kernel),
    ]
    kind = np.repeat([0, 1], [len(part.incident) for part in anchors])
    burst = np.concatenate([part.burst for part in anchors])
    incident = np.concatenate([part.incident for part in anchors])
    order = np.lexsort((burst, bursts.day[burst], kind, bursts.narrative[burst], incident))
    incident, burst, kind = incident[order], burst[order], kind[order]
    narrative, mass = bursts.narrative[burst], bursts.mass[burst]
    weight = np.where(kind == 0, 1.0 - share[incident], share[incident])

    def column(name: str) -> Vector:
        values: Vector = np.concatenate([getattr(part, name) for part in anchors])[order]
        return values

    sides = _starts(incident, narrative, kind)
    covered = _union(column("left"), column("right"), sides)
    linked = mass * (column("later") + column("earlier"))
    ratio = covered + _total(kernel.spread * linked - mass * column("inside"), sides)
    lowest = np.where(covered > 1.0 - 1e-9, 1.0 + _total(mass * (column("least") - 1.0), sides), 0.0)
    highest = 1.0 + _total(mass * (column("most") - 1.0), sides)
    pairs = _starts(incident[sides], narrative[sides])
    shares = weight[sides]
    new = sides[pairs]
    density, after = _total(weight * linked, new), _total(weight * mass * column("later"), new)
    return Timing(
        incident[new],
        narrative[new],
        _total(shares * ratio, pairs),
        _total(shares * lowest, pairs),
        _total(shares * highest, pairs) + (1.0 - _total(shares, pairs)),
        np.divide(after, density, out=np.full(len(new), kernel.after_share), where=density > 0),
        burst[_heaviest(weight * linked, new)],
    )


@dataclass(frozen=True, slots=True)
class _Anchored:
    incident: Rows
    burst: Rows
    later: Vector
    earlier: Vector
    inside: Vector
    left: Vector
    right: Vector
    least: Vector
    most: Vector


def _anchor(lo: Vector, hi: Vector, bursts: Bursts, kernel: Kernel) -> _Anchored:
    incident, burst = _near(lo, hi, bursts.day, kernel.window)
    width = np.maximum(hi[incident] - lo[incident], SHORTEST)
    start, stop = lo[incident], lo[incident] + width
    begin, end = bursts.day[burst], bursts.day[burst] + 1.0

    def mean(h: Callable[[Vector], Vector]) -> Vector:
        values: Vector = h(end - start) - h(end - stop) - h(begin - start) + h(begin - stop)
        return np.maximum(values, 0.0) / width

    middle = begin + 0.5
    left = (np.maximum(start, middle - kernel.window) - start) / width
    right = (np.minimum(stop, middle + kernel.window) - start) / width
    low, high = begin - stop, end - start
    edge = kernel.window + 0.5
    near_low, near_high = np.clip(low, -edge, edge), np.clip(high, -edge, edge)
    ends = kernel.spread * np.stack([kernel.density(near_low), kernel.density(near_high)])
    peak = np.where((low <= 0) & (high >= 0), kernel.spread * kernel.density(np.zeros(1)), ends.max(axis=0))
    outside = (low < -edge) | (high > edge)
    least = np.where(outside, np.minimum(ends.min(axis=0), 1.0), ends.min(axis=0))
    most = np.where(outside, np.maximum(peak, 1.0), peak)
    return _Anchored(incident, burst, mean(kernel.after), mean(kernel.before), np.maximum(right - left, 0.0), left, right, least, most)


def _near(lo: Vector, hi: Vector, days: Vector, window: float) -> tuple[Rows, Rows]:
    """Return (incident, burst) for the bursts within `window` days of an interval, without looking at every pair."""
    order = np.argsort(days, kind="stable")
    ordered = days[order] + 0.5
    known = np.flatnonzero(np.isfinite(lo) & np.isfinite(hi))
    left = np.searchsorted(ordered, lo[known] - window, side="left")
    right = np.searchsorted(ordered, np.maximum(hi[known], lo[known] + SHORTEST) + window, side="right")
    counts = np.maximum(right - left, 0)
    incident = np.repeat(known, counts)
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return incident.astype(np.int64), order[np.repeat(left, counts) + offsets].astype(np.int64)


def _starts(*keys: Rows) -> Rows:
    """Return where a run of equal keys starts."""
    size = len(keys[0])
    changed = np.zeros(max(size - 1, 0), dtype=bool)
    for key in keys:
        changed |= key[1:] != key[:-1]
    return np.flatnonzero(np.concatenate([[True], changed])[:size])


def _total(values: Vector, starts: Rows) -> Vector:
    return np.add.reduceat(values, starts) if len(starts) else np.zeros(0)


def _union(left: Vector, right: Vector, starts: Rows) -> Vector:
    """Return by run the length covered by intervals [left, right] whose bounds both ascend within a run."""
    before = np.concatenate([[-np.inf], right[:-1]])[: len(right)]
    before[starts] = -np.inf
    return _total(np.maximum(right - np.maximum(left, before), 0.0), starts)


def _heaviest(values: Vector, new: Rows) -> Rows:
    """Return the first index of the largest value in every run that starts at `new`."""
    if len(new) == 0:
        return np.zeros(0, dtype=np.int64)
    run = np.repeat(np.arange(len(new)), np.diff(np.append(new, len(values))))
    order = np.lexsort((np.arange(len(values)), -values, run))
    return order[new].astype(np.int64)
