"""Bursts of daily volume, by two rules for two questions.

`kleinberg` asks when a narrative ran at twice its mean rate: the two-state automaton of Kleinberg (2002, "Bursty and hierarchical
structure in streams") on daily counts. In state 0 a day has lambda = documents / days observed, in state 1 twice as much (s = 2); a
day with r documents costs -ln Poisson(r; rate), to rise costs gamma ln(days observed) with gamma = 1, to fall costs nothing. The path
of least cost (Viterbi) is found; ties stay low. A burst is a run of days in state 1, its weight what state 0 would have cost more.
The days observed are those of the corpus: a narrative that lives for three days of two years is one burst. About ln(days) / ln 2
documents above the mean are needed for any: a narrative of five documents on one day has none.

`burst_starts` asks on which days a narrative rises, however small it is: linking needs one such day of every narrative. A day rises
whose count is larger than on each of the `QUIET` days before, and at least m + 3 sqrt(m + 1), m the mean of the `BASE` days before
(three standard deviations of a Poisson count, one pseudo-count). Days that follow one another start one burst. Its mass is the volume
above m from its start until the next start, at most `LENGTH` days; what no burst holds is background. A narrative without such a day
has one burst, its first week. The rule looks at one narrative alone, so that adding others never changes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

SCALING, GAMMA = 2.0, 1.0
"""Kleinberg's s and gamma."""

QUIET = 7
BASE = 28
LENGTH = 14
FIRST_WEEK = 7


@dataclass(frozen=True, slots=True)
class Burst:
    """Days `first` to `last` (both in it), their `documents`, and the `weight`: nats by which state 1 explains them better."""

    first: int
    last: int
    documents: int
    weight: float


def kleinberg(days: Sequence[int], counts: Sequence[int], observed: int) -> list[Burst]:
    """Return the bursts of one series of daily counts, by the two-state automaton of this module's docstring.

    Parameters
    ----------
    days
        Days with documents, ascending.
    counts
        Documents of each, positive.
    observed
        Days of the whole corpus; at least ``days[-1] - days[0] + 1``.

    Returns
    -------
    list of Burst
        In the order of time; empty where nothing bursts.
    """
    if not days:
        return []
    rise, gain = GAMMA * math.log(max(1, observed)), math.log(SCALING)
    quiet = (SCALING - 1.0) * sum(counts) / observed
    # Costs are told as the advantage of state 1 over state 0: r ln s - (s - 1) lambda a day. A gap of empty days is one step: the best
    # path through it stays in state 1 to the end, or falls at its start; `held` says which, `higher` whether state 1 was ahead before.
    low, high = 0.0, -math.inf
    gaps = [0, *(late - early - 1 for early, late in pairwise(days))]
    held: list[bool] = []
    higher: list[bool] = []
    for gap, count in zip(gaps, counts, strict=True):
        rested = max(low, high) if gap else low
        stayed = high - quiet * gap
        held.append(stayed > rested - rise)
        higher.append(high > low)
        low, high = max(low, high), max(stayed, rested - rise) + count * gain - quiet
    raised = _walked_back(gaps, held, higher, last=high > low)
    found: list[Burst] = []
    for place in np.flatnonzero(raised).tolist():
        weight = counts[place] * gain - quiet
        if place and raised[place - 1] and held[place]:
            begun = found.pop()
            weight += begun.weight - gaps[place] * quiet
            found.append(Burst(begun.first, days[place], begun.documents + counts[place], weight))
        else:
            found.append(Burst(days[place], days[place], counts[place], weight))
    return found


def _walked_back(gaps: list[int], held: list[bool], higher: list[bool], *, last: bool) -> list[bool]:
    """Tell which days the best path spends in state 1, from the last day back."""
    raised = [False] * len(gaps)
    state = last
    for place in range(len(gaps) - 1, -1, -1):
        raised[place] = state
        fell = higher[place]
        state = held[place] or (gaps[place] > 0 and fell) if state else fell
    return raised


def burst_starts(counts: npt.NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return (day of start, share of the volume) of the rises of one series of daily counts.

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
