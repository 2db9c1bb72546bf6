"""How well the time of a narrative fits an incident whose dates are known only as intervals.

For a linked pair the lag tau (start of a burst minus anchor, days) has the density (METHOD, stage C)

    f1(tau) = a Exp(tau; m_a) for tau >= 0,   (1 - a) Exp(-tau; m_b) for tau < 0.

Candidates are pairs at most W days apart, so that an unlinked burst lies anywhere in the window: f0 = 1 / (2 W + 1). (A longer
reference period would count the nearness twice: it is in the prior already, which is a share of candidate pairs.) A narrative's own
rate enters by the shares w_k of its documents in burst k: what lies in no burst, or in one out of the window, fits any date in the
window alike and has ratio 1. For a date u with a burst in its window

    LR(u) = 1 + sum_k w_k c_k(u) [(2 W + 1) f1(b_k - u) - 1],   c_k = 1 if |b_k - u| <= W (b_k the middle of its day),

and LR(u) = 0 for any other, since such a pair would be no candidate. LR is averaged over u in the interval and b_k in its day in
closed form: with H'' = f1 the integral of f1 over u in [u0, u1], averaged over b in [b0, b1], is
[H(b1 - u0) - H(b1 - u1) - H(b0 - u0) + H(b0 - u1)] / (b1 - b0). So a day-precise onset can reach log(.85 (2 W + 1) / 3), a month
says little, and a year only that the pair is as likely to be a candidate as the window is of the year.

Anchors. Sources date intrusions, stories answer what becomes known: the onset is one anchor, the end (if known and later) and the
disclosure (if known and not over before the onset) are others. Where sources date several disclosures (what was taken is published
months after the theft was told) the last is one as well, and stories answer either alike. LR = sum_a v_a LR(a) with v = d for the
disclosures, half each if there are two, (1 - d) e for the end and the rest for the onset, over the anchors that are known. An anchor
out of the window of every burst counts 0 there.

The envelope takes, burst by burst, the least and the largest ratio over the intervals: a wider interval can only widen it.
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

ANCHORS = ("onset", "end", "disclosure", "later disclosure")

SHORTEST = 1.0 / 24.0
"""Intervals count as at least an hour: below that the closed form loses digits and no burst is that well known."""

TOUCH = 1e-9
"""Share of an interval that a window must cover: less is a rounding."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Lag density f1 in days, the window within which pairs are candidates, and the shares of the later anchors."""

    after_share: float
    after_mean: float
    before_mean: float
    window: float
    end_share: float
    disclosed_share: float = 0.0

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
        """Return the double integral of the part of f1 after the anchor, up to `lag`."""
        positive = np.maximum(lag, 0.0)
        return self.after_share * (positive + self.after_mean * np.expm1(-positive / self.after_mean))

    def before(self, lag: Vector) -> Vector:
        """Return the double integral of the part of f1 before the anchor, up to `lag`."""
        return (1.0 - self.after_share) * (self.before_mean * np.exp(np.minimum(lag, 0.0) / self.before_mean) + np.maximum(lag, 0.0))


@dataclass(frozen=True, slots=True)
class Onsets:
    """Intervals of onset, end, first and last disclosure in days since 1970-01-01, float64 (n,).

    nan where not known, None where no row has any.
    """

    lo: Vector
    hi: Vector
    end_lo: Vector
    end_hi: Vector
    disclosed_lo: Vector | None = None
    disclosed_hi: Vector | None = None
    again_lo: Vector | None = None
    again_hi: Vector | None = None

    def anchors(self, kernel: Kernel) -> list[Anchor]:
        """Return the anchors in the order of `ANCHORS`."""
        nothing = np.full(len(self.lo), np.nan)
        told_lo, told_hi, again_lo, again_hi = (
            nothing if known is None else known for known in (self.disclosed_lo, self.disclosed_hi, self.again_lo, self.again_hi)
        )
        dated = np.isfinite(self.lo) & np.isfinite(self.hi)
        ended = np.isfinite(self.end_lo) & np.isfinite(self.end_hi) & ~(dated & (self.end_lo <= self.hi))
        told = np.isfinite(told_lo) & np.isfinite(told_hi) & ~(dated & (told_hi < self.lo))
        of_told = np.where(told, kernel.disclosed_share, 0.0)
        of_again = np.where(told & np.isfinite(again_lo) & np.isfinite(again_hi), of_told / 2.0, 0.0)
        of_end = np.where(ended, (1.0 - of_told) * kernel.end_share, 0.0)
        shares = [np.where(dated, 1.0 - of_told - of_end, 0.0), of_end, of_told - of_again, of_again]
        whole = np.sum(shares, axis=0)
        bounds = ((self.lo, self.hi), (self.end_lo, self.end_hi), (told_lo, told_hi), (again_lo, again_hi))
        return [
            Anchor(
                np.where(share > 0, lo, np.nan),
                np.where(share > 0, np.maximum(hi, lo + SHORTEST), np.nan),
                np.divide(share, whole, out=np.zeros(len(share)), where=whole > 0),
            )
            for share, (lo, hi) in zip(shares, bounds, strict=True)
        ]

    def rows(self, chosen: Rows) -> Onsets:
        """Return the intervals of some incidents."""
        columns = (self.lo, self.hi, self.end_lo, self.end_hi, self.disclosed_lo, self.disclosed_hi, self.again_lo, self.again_hi)
        return Onsets(*(None if column is None else column[chosen] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One kind of date of every incident: [lo, hi], at least an hour, and the share of linked narratives that answer it; nan, 0: none."""

    lo: Vector
    hi: Vector
    share: Vector


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs: int64 rows of incident and narrative, and the float64 likelihood ratio of their time."""

    incident: Rows
    narrative: Rows
    ratio: Vector


@dataclass(frozen=True, slots=True)
class Timing(Pairs):
    """Temporal evidence of candidate pairs, sorted by (incident, narrative).

    Attributes
    ----------
    lowest, highest
        float64 envelope of the ratio.
    after
        float64 posterior share of the linked density that lies after the onset.
    burst, anchor
        int64 index of the burst, and into `ANCHORS`, that carry most of the linked density.
    """

    lowest: Vector
    highest: Vector
    after: Vector
    burst: Rows
    anchor: Rows


def kernel_of(doctrine: Doctrine) -> Kernel:
    """Return the lag density of a doctrine."""
    names = ("after_share", "after_mean_days", "before_mean_days", "window_days", "end_share", "disclosed_share")
    return Kernel(*(doctrine[f"link.{name}"] for name in names))


def timing(onsets: Onsets, bursts: Bursts, kernel: Kernel, pairs: tuple[Rows, Rows] | None = None) -> Timing:
    """Weigh the time of candidate pairs one by one; `circle` does the same for all pairs at once, without the envelope.

    Parameters
    ----------
    onsets
        Intervals of the incidents, row i for incident i.
    bursts
        Bursts of the narratives.
    kernel
        Lag density and window.
    pairs
        Rows of incidents and narratives, sorted, without repeats; None for all.

    Returns
    -------
    Timing
        Pairs with an anchor within the window of a burst. The evidence of a pair depends on that pair alone.
    """
    anchors = onsets.anchors(kernel)
    parts = [_anchored(anchor, _near(anchor, bursts, kernel.window, pairs), bursts, kernel) for anchor in anchors]
    kind = np.repeat(np.arange(len(parts)), [len(part.incident) for part in parts])

    def joined(name: str) -> Vector:
        values: Vector = np.concatenate([getattr(part, name) for part in parts])
        return values

    incident, burst = joined("incident").astype(np.int64), joined("burst").astype(np.int64)
    order = np.lexsort((burst, bursts.day[burst], kind, bursts.narrative[burst], incident))
    incident, burst, kind = incident[order], burst[order], kind[order]
    narrative, mass = bursts.narrative[burst], bursts.mass[burst]
    weight = np.stack([anchor.share for anchor in anchors])[kind, incident] if len(kind) else np.zeros(0)
    left, right, later, earlier, inside, least, most = (
        joined(name)[order] for name in ("left", "right", "later", "earlier", "inside", "least", "most")
    )
    sides = _starts(incident, narrative, kind)
    covered = _union(left, right, sides)
    linked = mass * (later + earlier)
    ratio = covered + _total(kernel.spread * linked - mass * inside, sides)
    lowest = np.where(covered > 1.0 - TOUCH, 1.0 + _total(mass * (least - 1.0), sides), 0.0)
    highest = 1.0 + _total(mass * (most - 1.0), sides)
    new = sides[_starts(incident[sides], narrative[sides])]
    pair = _starts(incident[sides], narrative[sides])
    shares = weight[sides]
    # What precedes a disclosure may still follow the onset, and is no preparation then.
    follows = np.where(kind == 0, 0.0, _passed(onsets, incident, bursts.day[burst] + 0.5))
    density, after = _total(weight * linked, new), _total(weight * mass * (later + follows * earlier), new)
    heaviest = _heaviest(weight * linked, new)
    return Timing(
        incident[new],
        narrative[new],
        _total(shares * ratio, pair),
        _total(shares * lowest, pair),
        _total(shares * highest, pair) + (1.0 - _total(shares, pair)),
        np.divide(after, density, out=np.full(len(new), kernel.after_share), where=density > 0),
        burst[heaviest],
        kind[heaviest],
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


def linked_density(lo: Vector, hi: Vector, day: Vector, kernel: Kernel) -> tuple[Vector, Vector, Vector, Vector]:
    """Return the integrals of f1 after and before u, for the u in [lo, hi] in the window of a burst on `day`, and that part's ends."""
    middle = day + 0.5
    left = np.maximum(lo, middle - kernel.window)
    right = np.maximum(np.minimum(hi, middle + kernel.window), left)

    def mean(h: Callable[[Vector], Vector]) -> Vector:
        values: Vector = h(day + 1.0 - left) - h(day + 1.0 - right) - h(day - left) + h(day - right)
        return np.maximum(values, 0.0)

    return mean(kernel.after), mean(kernel.before), left, right


def _anchored(anchor: Anchor, near: tuple[Rows, Rows], bursts: Bursts, kernel: Kernel) -> _Anchored:
    incident, burst = near
    start, stop = anchor.lo[incident], anchor.hi[incident]
    width = stop - start
    later, earlier, left, right = linked_density(start, stop, bursts.day[burst], kernel)
    begin, end = bursts.day[burst], bursts.day[burst] + 1.0
    low, high = begin - stop, end - start
    edge = kernel.window + 0.5
    near_low, near_high = np.clip(low, -edge, edge), np.clip(high, -edge, edge)
    ends = kernel.spread * np.stack([kernel.density(near_low), kernel.density(near_high)])
    peak = np.where((low <= 0) & (high >= 0), kernel.spread * kernel.density(np.zeros(1)), ends.max(axis=0))
    outside = (low < -edge) | (high > edge)
    least = np.where(outside, np.minimum(ends.min(axis=0), 1.0), ends.min(axis=0))
    most = np.where(outside, np.maximum(peak, 1.0), peak)
    return _Anchored(
        incident,
        burst,
        later / width,
        earlier / width,
        (right - left) / width,
        (left - start) / width,
        (right - start) / width,
        least,
        most,
    )


def _near(anchor: Anchor, bursts: Bursts, window: float, pairs: tuple[Rows, Rows] | None) -> tuple[Rows, Rows]:
    """Return (incident, burst) where the burst's window covers some of the interval, of all pairs or of some."""
    if pairs is not None:
        starts, stops = (np.searchsorted(bursts.narrative, pairs[1], side=side) for side in ("left", "right"))
        chosen = np.flatnonzero(np.isfinite(anchor.lo[pairs[0]]))
        incident, burst = _ranges(pairs[0][chosen], starts[chosen], stops[chosen])
    else:
        order = np.argsort(bursts.day, kind="stable")
        middle = bursts.day[order] + 0.5
        known = np.flatnonzero(np.isfinite(anchor.lo))
        starts = np.searchsorted(middle, anchor.lo[known] - window, side="left")
        stops = np.searchsorted(middle, anchor.hi[known] + window, side="right")
        incident, place = _ranges(known, starts, stops)
        burst = order[place]
    lo, hi, day = anchor.lo[incident], anchor.hi[incident], bursts.day[burst] + 0.5
    # Pairs that were chosen by the sum over their anchors are not chosen again by each anchor alone.
    least = TOUCH * (hi - lo) if pairs is None else 0.0
    covers = np.minimum(hi, day + window) - np.maximum(lo, day - window) > least
    return incident[covers], burst[covers]


def _ranges(keys: Rows, starts: Rows, stops: Rows) -> tuple[Rows, Rows]:
    """Return every key as often as its range is long, and the members of the ranges."""
    counts = np.maximum(stops - starts, 0)
    offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(keys, counts).astype(np.int64), (np.repeat(starts, counts) + offsets).astype(np.int64)


def _passed(onsets: Onsets, incident: Rows, day: Vector) -> Vector:
    """Return the probability that the onset lies before `day`; 1 where it is not known, so that nothing passes for preparation."""
    lo, hi = onsets.lo[incident], onsets.hi[incident]
    share: Vector = np.clip((day - lo) / np.maximum(hi - lo, SHORTEST), 0.0, 1.0)
    return np.where(np.isfinite(share), share, 1.0)


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
