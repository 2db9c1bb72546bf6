"""What would be linked if the incidents had happened at another time: the time-shift placebo.

All incidents near the corpus are moved together, with all their anchors, by the same number of whole days on a circle as long as the
corpus and its margins (`circle`), so that their own waves stay as they are (a shuffle of dates would break them and find too much,
METHOD finding 2). Names, meaning and places of a pair stay; only its time changes. With B(x) the narratives that have a link at
log-odds x or above, B_s(x) those at shift s, and E(x) the pairs of narrative and event there,

    precision(x) = max(0, B(x) - mean over shifts of B_s(x)) / E(x)
    p(x) = (1 + #{placebo pairs >= x}) / (1 + #{placebo pairs}),   q by Benjamini and Hochberg (1995) over all candidate pairs

A narrative counts once, since incidents that look alike lie close to the one that it answers (another organisation of the state, the same
week): they are near it in time too, and no shift reproduces that. So the precision errs on the low side, as it does because a story told
for months, or an incident dated by the month, is found again at shifts of weeks (METHOD finding 10: truth .89, estimate .72). An event
against several states is one; a narrative that answers several events counts once all the same. What no shift can tell is a story that
merely falls into the days of an incident that resembles its own.
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
Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placebo:
    """Log-odds of the placebo pairs that came out at `floor` or above, ascending; `pairs` counts all of them.

    `best` (shifts, narratives) is the largest log-odds of each narrative at each shift, -inf where it has none at the floor.
    """

    pairs: int
    log_odds: Vector
    best: Matrix

    @property
    def shifts(self) -> int:
        """How many shifts."""
        return len(self.best)

    @classmethod
    def none(cls, narratives: int = 0) -> Placebo:
        """Return that of no shifts."""
        return cls(0, np.zeros(0), np.zeros((0, narratives)))


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
        return Placebo.none()
    circle = Circle.of(bursts, kernel)
    narratives = int(bursts.narrative.max()) + 1
    courses = Courses.of(bursts, narratives, circle)
    days = shift_days(circle.length, kernel, shifts)
    kept: list[Vector] = [np.zeros(0)]
    pairs = 0
    best = np.full((len(days), narratives), -np.inf)
    for chunk in chunks_of(circle.near(onsets), circle):
        tables = tabulate(onsets.rows(chunk), circle)
        for block in blocks_of(courses.narratives, len(chunk)):
            for at, day in enumerate(days.tolist()):
                row, column, ratio = courses.pairs(tables, block, day)
                values = log_odds(Pairs(chunk[column], row + block.start, ratio))
                pairs += len(values)
                likely = values >= floor
                kept.append(values[likely])
                np.maximum.at(best[at], row[likely] + block.start, values[likely])
    return Placebo(pairs, np.sort(np.concatenate(kept)), best)


def precision_at(log_odds: Vector, narrative: Rows, event: Rows, placebo: Placebo) -> Vector:
    """Return the precision of the list cut at each link, on the low side; nan without shifts.

    Parameters
    ----------
    log_odds, narrative, event
        (n,) of the links; rows of incidents that are one event have one number.
    placebo
        What the shifts gave.
    """
    if not placebo.shifts:
        return np.full(len(log_odds), np.nan)
    order = np.argsort(-log_odds, kind="stable")
    pair = narrative * (int(event.max(initial=0)) + 1) + event
    stories, pairs = (_above(_first(keys[order], log_odds[order]), log_odds) for keys in (narrative, pair))
    chance = _above(np.sort(placebo.best, axis=None), log_odds) / placebo.shifts
    found: Vector = np.maximum(stories - chance, 0.0) / np.maximum(pairs, 1)
    return found


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


def _above(ascending: Vector, thresholds: Vector) -> Rows:
    """Return how many values are at least each threshold."""
    found: Rows = len(ascending) - np.searchsorted(ascending, thresholds, side="left")
    return found


def _first(keys: Rows, values: Vector) -> Vector:
    """Return the value where each key is first met, ascending."""
    return np.sort(values[np.unique(keys, return_index=True)[1]])
