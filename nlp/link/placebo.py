"""What would be linked if the incidents had happened at another time: the time-shift placebo.

All incidents near the corpus are moved together, with all their anchors, by the same number of whole days on a circle as long as the
corpus and its margins (`circle`), so that their own waves stay as they are (a shuffle of dates would break them and find too much,
METHOD finding 2). Names, meaning and places of a pair stay; only its time changes. The estimate errs on the low side (METHOD finding
10: truth .89, estimate .72), since a story told for months is found again at every shift.

    precision(x) = max(0, 1 - mean over shifts of #{placebo pairs with log-odds >= x} / #{pairs with log-odds >= x})
    p(x) = (1 + #{placebo pairs >= x}) / (1 + #{placebo pairs}),   q by Benjamini and Hochberg (1995) over all candidate pairs
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.link.bursts import Bursts
from greyzone.link.circle import Circle, Courses, blocks_of, chunks_of, tabulate
from greyzone.link.lag import Kernel, Onsets, Pairs

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placebo:
    """Log-odds of the placebo pairs that came out at `floor` or above, ascending; `pairs` counts all of them."""

    shifts: int
    pairs: int
    log_odds: Vector


def shift_days(length: float, kernel: Kernel, shifts: int) -> Rows:
    """Return evenly spaced shifts of whole days that keep clear of zero by four mean lags; none where the circle is too short for that."""
    guard = 4.0 * max(kernel.after_mean, kernel.before_mean)
    if length <= 2.0 * guard:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.rint(np.linspace(guard, length - guard, shifts)).astype(np.int64))


def draw_placebo(
    onsets: Onsets, bursts: Bursts, kernel: Kernel, *, shifts: int, floor: float, log_odds: Callable[[Pairs], Vector]
) -> Placebo:
    """Link the shifted incidents.

    Parameters
    ----------
    onsets, bursts, kernel
        As in `lag.timing`.
    shifts
        How many shifts.
    floor
        Placebo pairs below this are counted, not kept.
    log_odds
        Gives the log-odds of candidate pairs from their incident, narrative and likelihood ratio of time.
    """
    if len(bursts.day) == 0:
        return Placebo(0, 0, np.zeros(0))
    circle = Circle.of(bursts, kernel)
    courses = Courses.of(bursts, int(bursts.narrative.max()) + 1, circle)
    days = shift_days(circle.length, kernel, shifts)
    kept: list[Vector] = [np.zeros(0)]
    pairs = 0
    for chunk in chunks_of(circle.near(onsets), circle):
        tables = tabulate(onsets.rows(chunk), circle)
        for block in blocks_of(courses.narratives, len(chunk)):
            for day in days.tolist():
                row, column, ratio = courses.pairs(tables, block, day)
                values = log_odds(Pairs(chunk[column], row + block.start, ratio))
                pairs += len(values)
                kept.append(values[values >= floor])
    return Placebo(len(days), pairs, np.sort(np.concatenate(kept)))


def precision_at(log_odds: Vector, placebo: Placebo) -> Vector:
    """Return the estimated precision of the list cut at each of `log_odds`; nan without shifts."""
    if not placebo.shifts:
        return np.full(len(log_odds), np.nan)
    ordered = np.sort(log_odds)
    real = len(ordered) - np.searchsorted(ordered, log_odds, side="left")
    chance = (len(placebo.log_odds) - np.searchsorted(placebo.log_odds, log_odds, side="left")) / placebo.shifts
    return np.maximum(0.0, 1.0 - chance / np.maximum(real, 1))


def q_values(log_odds: Vector, placebo: Placebo, candidates: int) -> Vector:
    """Return Benjamini-Hochberg q of each of `log_odds` among `candidates` pairs (those not given count as larger); nan without shifts."""
    if not placebo.pairs:
        return np.full(len(log_odds), np.nan)
    above = len(placebo.log_odds) - np.searchsorted(placebo.log_odds, log_odds, side="left")
    p = (1.0 + above) / (1.0 + placebo.pairs)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * candidates / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
