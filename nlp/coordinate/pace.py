"""How soon accounts share an item after each other: what common taste cannot explain.

Taste says which items accounts share; it does not say when. Two accounts that come to an item each in his own time are as far apart as any
two that share an item. So the lags between the accounts that share an item are compared with the lags in all items of the trace, each item
having one vote: the rank of a lag is the share of lags below it (half of the equal ones), and the pace of an item is the mean rank of its
lags, about 1/2 if it is like the others and near 0 where accounts act together. Of a large item not all pairs are looked at: the accounts
stand in a circle, each beside those a few distances on, evenly chosen, whatever their names.

Which accounts make a group of a trace of content, and which items show it, is told from who shares what. The times have no part in it, so
that the pace of these items is a test of its own (`taste_p`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.traces import UNDATED, Mask, Trace

DISTANCES = 8
"""Others on the circle that each account is compared with, at the most."""

LAGS = 1_000_000
"""Lags by which others are ranked, about; where there are more, they are those of every second item, every third one and so on."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When accounts came to items: the first dated share of each, ordered by item and account.

    Parameters
    ----------
    item
        (n,) int64: what is shared; in a timed trace whatever the window.
    account
        (n,) int64 rows of the trace.
    time
        (n,) int64 microseconds.
    size
        Numbers of items there are.
    """

    item: Ints
    account: Ints
    time: Ints
    size: int

    @classmethod
    def of(cls, trace: Trace) -> Arrivals:
        """Read the arrivals of a trace, without items that one share alone shows."""
        number = shared_items(trace)
        size = int(number.max(initial=-1)) + 1
        item, account, time = number[trace.share_item], trace.share_account, trace.share_time
        kept = (time != UNDATED) & (np.bincount(item, minlength=size)[item] > 1)
        item, account, time = item[kept], account[kept], time[kept]
        order = np.lexsort((time, account, item))
        item, account, time = item[order], account[order], time[order]
        first = np.diff(item, prepend=-1) != 0
        first |= np.diff(account, prepend=-1) != 0
        return cls(item[first], account[first], time[first], size)

    def among(self, accounts: Mask) -> Arrivals:
        """Return the arrivals of some accounts, given by a mask over the rows of the trace."""
        kept = accounts[self.account]
        return Arrivals(self.item[kept], self.account[kept], self.time[kept], self.size)

    def every(self, step: int) -> Arrivals:
        """Return the arrivals of every so-manieth item."""
        kept = self.item % step == 0
        return Arrivals(self.item[kept], self.account[kept], self.time[kept], self.size)

    def lags(self) -> tuple[Ints, Ints]:
        """Return the item of each lag and its microseconds."""
        counts = np.bincount(self.item, minlength=self.size)
        start, count = (np.cumsum(counts) - counts)[self.item], counts[self.item]
        half = count // 2
        place = np.arange(len(self.item)) - start
        items, found = [], []
        for step in range(1, DISTANCES + 1):
            kept = np.flatnonzero(half >= step)
            chosen = np.minimum(half[kept], DISTANCES)
            distance = -(-step * half[kept] // chosen)
            other = start[kept] + (place[kept] + distance) % count[kept]
            items.append(self.item[kept])
            found.append(np.abs(self.time[other] - self.time[kept]))
        return np.concatenate(items), np.concatenate(found)


class Pace:
    """Lags between accounts that share an item, each item having one vote; `items` is how many there are."""

    def __init__(self, arrivals: Arrivals) -> None:
        counts = np.bincount(arrivals.item, minlength=arrivals.size)
        self.items = int((counts > 1).sum())
        step = -(-int((counts * np.minimum(counts // 2, DISTANCES)).sum()) // LAGS)
        item, lag = arrivals.every(step).lags() if step > 1 else arrivals.lags()
        votes = 1.0 / np.bincount(item, minlength=arrivals.size)[item]
        order = np.argsort(lag, kind="stable")
        self._lags = lag[order]
        self._below = np.r_[0.0, np.cumsum(votes[order])]
        self._below /= max(self._below[-1], 1.0)

    def of_items(self, arrivals: Arrivals) -> Doubles:
        """Return the mean rank of the lags of each item, (items,) float64, nan where fewer than two accounts came."""
        item, lag = arrivals.lags()
        below, up_to = (self._below[np.searchsorted(self._lags, lag, side=side)] for side in ("left", "right"))
        counts = np.bincount(item, minlength=arrivals.size)
        return np.where(counts > 0, np.bincount(item, weights=(below + up_to) / 2, minlength=arrivals.size) / np.maximum(counts, 1), np.nan)


class Hurry:
    """Which items some accounts come to so soon after each other that taste does not explain it.

    Parameters
    ----------
    trace
        What is shared.
    least
        Items from which a usual pace can be told; with fewer of them nothing is said.
    members
        Accounts that must share an item.
    most
        Pace up to which they are in a hurry.
    """

    def __init__(self, trace: Trace, *, least: int, members: int, most: float) -> None:
        self._trace = trace
        self._least, self._members, self._most = least, members, most

    @cached_property
    def _usual(self) -> tuple[Arrivals, Pace]:
        """Look through the trace when the first community asks; most small corpora have none."""
        arrivals = Arrivals.of(self._trace)
        return arrivals, Pace(arrivals)

    def __call__(self, accounts: Ints) -> Mask:
        """Return the items that `accounts`, (s,) int64 rows of the trace, come to in a hurry, (m,) bool."""
        everybody, pace = self._usual
        if pace.items < self._least:
            return np.zeros(len(self._trace.items), dtype=bool)
        inside = np.zeros(len(self._trace.accounts), dtype=bool)
        inside[accounts] = True
        arrivals = everybody.among(inside)
        many = np.bincount(arrivals.item, minlength=arrivals.size) >= self._members
        return np.asarray((many & (pace.of_items(arrivals) <= self._most))[shared_items(self._trace)])


def shared_items(trace: Trace) -> Ints:
    """Return the number of what each item of a trace is, one for all windows of it, (m,) int64."""
    return np.arange(len(trace.items)) if trace.seconds is None else trace.items.shared


def taste_p(pace: Doubles, votes: Doubles, spread: float) -> float:
    """Return how probable it is that items of a common taste are as close in time on average, each with its vote.

    A pace has the mean 1/2 and at most the variance of a uniform number, 1/12, with which the mean is below a value no more often than the
    normal law says; communities come sooner or later than others, with the standard deviation `spread` between them.

    Parameters
    ----------
    pace, votes
        (items,) float64.
    spread
        Of the mean pace of communities.
    """
    share = votes / votes.sum()
    return float(special.ndtr((share @ pace - 0.5) / np.sqrt((share @ share) / 12 + spread**2)))
