"""The time of all pairs at once: evidence on a grid of days on a circle, so that a placebo is a turn of the circle.

The evidence of a pair (`lag`) is a sum over the narrative's bursts, and what a burst gives an incident depends on the day of the burst
alone. So with T[c, i] what a burst on day c gives incident i, and G_i(t) the share of the incident's interval before t,

    LR(n, i) = sum_segments [G_i(end) - G_i(begin)] + sum_k w_k T[day_k, i],

segments being the union of the windows [b_k - W, b_k + W]: two sparse products with few terms a narrative, whatever the number of
incidents and anchors (T and G are the anchors' sums weighed by their shares).

The circle has whole days: those of the bursts, and a window to either side, so that nothing meets its own tail. What lies off it of an
interval is out of every window and stays out. To move all incidents s days on is to move all bursts s days back: T is read at
(day - s) mod length, G at t - s with G(t + length) = G(t) + (share of the interval on the circle). So a shift keeps the waves of the
incidents, their widths and anchors, and costs no new table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.link.bursts import Bursts
from greyzone.link.lag import TOUCH, Kernel, Onsets, linked_density

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


TABLE_CELLS = 8_000_000
"""Cells of one table of `Tables`: 64 MB."""

TILE_CELLS = 1 << 20
"""Pairs of a block of narratives with some incidents that are looked at in one go: 8 MB an array."""


@dataclass(frozen=True, slots=True)
class Circle:
    """`length` whole days from `origin` (days since 1970-01-01), with the window to either side of the bursts."""

    origin: int
    length: int
    kernel: Kernel

    @classmethod
    def of(cls, bursts: Bursts, kernel: Kernel) -> Circle:
        """Return the circle of the bursts; there must be one."""
        margin = int(np.ceil(kernel.window))
        first, last = int(bursts.day.min()), int(bursts.day.max())
        return cls(first - margin, last + 1 + margin - (first - margin), kernel)

    def near(self, onsets: Onsets) -> Rows:
        """Return the rows of the incidents with an anchor on the circle; no other can be near a burst, at any shift."""
        stop = self.origin + self.length
        touched = [(anchor.lo < stop) & (anchor.hi > self.origin) for anchor in onsets.anchors(self.kernel)]
        return np.flatnonzero(np.any(touched, axis=0))


@dataclass(frozen=True, slots=True)
class Tables:
    """T and G of some incidents: (length, n) float64 what a burst gives, G at its window's end and begin; (n,) the share on the circle."""

    given: Matrix
    until: Matrix
    since: Matrix
    inside: Vector


def tabulate(onsets: Onsets, circle: Circle) -> Tables:
    """Tabulate the evidence of incidents by the day of a burst."""
    kernel, length = circle.kernel, circle.length
    size = len(onsets.lo)
    given, until, since = (np.zeros((length, size)) for _ in range(3))
    inside = np.zeros(size)
    for anchor in onsets.anchors(kernel):
        lo = np.maximum(anchor.lo, circle.origin)
        hi = np.minimum(anchor.hi, circle.origin + length)
        rows = np.flatnonzero(hi > lo)
        if not len(rows):
            continue
        lo, hi, width = lo[rows], hi[rows], (anchor.hi - anchor.lo)[rows]
        first = np.ceil(lo - kernel.window - 0.5).astype(np.int64)
        counts = np.floor(hi + kernel.window - 0.5).astype(np.int64) - first + 1
        at = np.repeat(np.arange(len(rows)), counts)
        day = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts) + first[at]
        later, earlier, left, right = linked_density(lo[at], hi[at], day.astype(np.float64), kernel)
        value = (kernel.spread * (later + earlier) - (right - left)) / width[at] * anchor.share[rows[at]]
        # An interval as long as the circle meets some days twice.
        np.add.at(given, ((day - circle.origin) % length, rows[at]), value)
        part = (hi - lo) / width
        inside[rows] += anchor.share[rows] * part
        scale = anchor.share[rows] / width
        for table, offset in ((until, 0.5 + kernel.window), (since, 0.5 - kernel.window)):
            turns, rest = np.divmod(np.arange(length) + offset, length)
            before = np.clip(rest[:, None] + circle.origin, lo, hi) - lo
            table[:, rows] += before * scale + turns[:, None] * (anchor.share[rows] * part)
    return Tables(given, until, since, inside)


@dataclass(frozen=True, slots=True)
class Courses:
    """The bursts of narratives on a circle: by narrative the bursts' days and masses, and the segments that their windows cover."""

    circle: Circle
    bursts: tuple[Rows, Rows, Vector]
    segments: tuple[Rows, Rows, Rows]

    @classmethod
    def of(cls, bursts: Bursts, narratives: int, circle: Circle) -> Courses:
        """Lay the bursts of a number of narratives on the circle."""
        order = np.lexsort((bursts.day, bursts.narrative))
        narrative, day, mass = bursts.narrative[order], bursts.day[order].astype(np.int64) - circle.origin, bursts.mass[order]
        joins = np.zeros(len(day), dtype=bool)
        joins[1:] = (narrative[1:] == narrative[:-1]) & (day[1:] - day[:-1] <= 2.0 * circle.kernel.window)
        begins = np.flatnonzero(~joins)
        ends = np.append(begins[1:], len(day)) - 1 if len(begins) else begins
        bounds = np.arange(narratives + 1)
        return cls(
            circle,
            (np.searchsorted(narrative, bounds), day, mass),
            (np.searchsorted(narrative[begins], bounds), day[begins], day[ends]),
        )

    @property
    def narratives(self) -> int:
        """How many narratives lie on the circle."""
        return len(self.bursts[0]) - 1

    def pairs(self, tables: Tables, block: slice, shift: int = 0) -> tuple[Rows, Rows, Vector]:
        """Return row in the block, incident of the tables and likelihood ratio of all candidate pairs."""
        ratio, candidate = self.ratios(tables, block, shift)
        places = np.flatnonzero(candidate)
        row, column = np.divmod(places, ratio.shape[1])
        return row, column, ratio.ravel()[places]

    def ratios(self, tables: Tables, block: slice, shift: int = 0) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """Return the likelihood ratios of a block of narratives with all incidents of the tables, moved `shift` days on.

        Returns
        -------
        ratio, candidate
            (block, n) float64, and whether the pair is a candidate; the ratio of others says nothing.
        """
        length = self.circle.length
        indptr, day, mass = self.bursts
        bound, first, last = self.segments
        rows = block.stop - block.start
        own = slice(indptr[block.start], indptr[block.stop])
        part = slice(bound[block.start], bound[block.stop])

        def weighed(starts: Rows, columns: Rows, values: Vector, table: Matrix) -> Matrix:
            chosen = starts[block.start : block.stop + 1] - starts[block.start]
            found: Matrix = sparse.csr_array((values, columns % length, chosen), shape=(rows, length)) @ table
            return found

        ones = np.ones(part.stop - part.start)
        end_turn, begin_turn = (last[part] - shift) // length, (first[part] - shift) // length
        turns = np.bincount(
            np.repeat(np.arange(rows), np.diff(bound[block.start : block.stop + 1])), weights=end_turn - begin_turn, minlength=rows
        )
        covered = weighed(bound, last[part] - shift, ones, tables.until)
        covered -= weighed(bound, first[part] - shift, ones, tables.since)
        covered += turns[:, None] * tables.inside
        candidate = covered > TOUCH
        covered += weighed(indptr, day[own] - shift, mass[own], tables.given)
        return covered, candidate


def chunks_of(near: Rows, circle: Circle) -> list[Rows]:
    """Return the incidents near the circle in chunks whose tables have a bounded size."""
    size = max(1, TABLE_CELLS // circle.length)
    return [near[start : start + size] for start in range(0, len(near), size)]


def blocks_of(narratives: int, incidents: int) -> list[slice]:
    """Return narratives in blocks whose pairs with some incidents are boundedly many."""
    size = max(1, TILE_CELLS // max(incidents, 1))
    return [slice(start, min(start + size, narratives)) for start in range(0, narratives, size)]
