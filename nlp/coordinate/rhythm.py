"""Accounts that post at the same minutes, whatever they post, more than their days and their clocks explain.

An item of the trace is a minute in which accounts post. Two accounts of one time zone, of one news day or of one scheduling app meet
without acting together, so a pair must beat two nulls, both of which keep each account's own rhythm and the bursts of all:

- jitter within the hour (as in the study of synchrony between neurons; Amarasingham et al. 2012): account u posts in n_uh minutes of
  hour h, wherever in the hour; P(u in minute t) = n_uh (d_t + 1) / (D_h + 60), with d_t accounts in minute t and D_h their sum over the
  hour. All that is slower than an hour is kept: shifts, days, news, how long an account existed.
- the clock: account u posts n_um times at minute m of the day, on whatever of the N days; P(u in minute t) = n_um (d_t + 1) / (D_m + N).
  Accounts that always post on the hour meet on the hour.

The one post that every minute is given beforehand (Laplace) keeps a group from explaining itself in an hour in which nobody else posts.
Meetings of u and v are Poisson with mean sum_b n_ub n_vb sum_{t in b} share_t^2 over the blocks b of each; p is the larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse, special

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.fast import MINUTE, SECOND
from greyzone.neighbours import distinct

FAMILY = "rhythm"
NAME = f"{FAMILY}-1m"
HOUR, DAY = 60, 1440
"""Minutes."""
PAIRS_AT_ONCE = 50_000
"""Pairs whose expected meetings are computed at a time: a hundred megabytes for busy accounts."""
TABLE_ACCOUNTS = 4096
"""Accounts up to which the expected meetings of all pairs are kept: 128 MB at most."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Minutes grouped into blocks within which an account's posts may move.

    Parameters
    ----------
    of
        (m,) int64 block of every minute.
    counts
        (n, blocks) float64, minutes in which each account posts in each block.
    share
        (m,) float64, probability that a post of the block falls into the minute.
    elsewhere
        (blocks,) float64, sum of the squared probabilities of the minutes in which nobody posts.
    """

    of: Ints
    counts: sparse.csr_array
    share: Doubles
    elsewhere: Doubles

    @classmethod
    def build(cls, incidence: sparse.csr_array, key: Ints, size: int) -> Blocks:
        """Group the minutes, columns of `incidence` (n, m), by `key` (m,); a block has `size` minutes, with posts or without."""
        names, of = np.unique(key, return_inverse=True)
        degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.float64)
        onto = sparse.csr_array((np.ones(len(of)), (np.arange(len(of)), of)), shape=(len(of), len(names)))
        total = np.bincount(of, weights=degrees, minlength=len(names)) + size
        counts = sparse.csr_array(incidence @ onto)
        counts.sort_indices()
        empty = size - np.bincount(of, minlength=len(names))
        return cls(of.astype(np.int64), counts, (degrees + 1) / total[of], empty / total**2)

    def scaled(self, weights: Doubles) -> sparse.csr_array:
        """Return the counts, each times the expected weighted meetings of two single posts in its block."""
        chance = np.bincount(self.of, weights=weights * self.share**2, minlength=self.counts.shape[1]) + self.elsewhere
        return sparse.csr_array(self.counts.multiply(chance[None, :]))


class ClockJudge:
    """Decides which pairs meet more often than both nulls give; the interface is that of `greyzone.coordinate.pairs.Judge`."""

    def __init__(self, nulls: tuple[Blocks, Blocks], weights: Doubles, threshold: float) -> None:
        self.threshold = threshold
        self._hours, self._clock = ((null.scaled(weights), null.counts) for null in nulls)
        few = self._hours[1].shape[0] <= TABLE_ACCOUNTS
        self._table = (self._hours[0] @ self._hours[1].T).toarray() if few else None

    def may_pass(self, a: Ints, b: Ints, statistic: Doubles) -> npt.NDArray[np.bool_]:
        """Return which pairs beat the jitter within the hour, (pairs,) bool."""
        mean = _meetings(*self._hours, a, b) if self._table is None else self._table[a, b]
        return np.asarray(_tail(statistic, mean) <= self.threshold)

    def p_values(self, a: Ints, b: Ints, statistic: Doubles) -> Doubles:
        """Return P(meetings >= statistic) under the null that makes them likelier, (pairs,) float64."""
        mean = np.maximum(_meetings(*self._hours, a, b), _meetings(*self._clock, a, b))
        return _tail(statistic, mean)


def _meetings(scaled: sparse.csr_array, counts: sparse.csr_array, a: Ints, b: Ints) -> Doubles:
    """Return the expected meetings of the pairs (a, b), (pairs,) float64."""
    found = np.empty(len(a))
    for start in range(0, len(a), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        found[part] = scaled[a[part]].multiply(counts[b[part]]).sum(axis=1)
    return found


def _tail(statistic: Doubles, mean: Doubles) -> Doubles:
    """Return P(N >= statistic) for N Poisson of that mean."""
    return np.asarray(special.gammainc(np.maximum(statistic, 1e-12), np.maximum(mean, 1e-300)))


@dataclass(frozen=True, slots=True)
class Clock:
    """Both nulls of a rhythm; the interface is that of `greyzone.coordinate.chance.Chance`.

    Parameters
    ----------
    incidence
        (n, m) float64 of ones, account by minute.
    minute
        (m,) int64, minutes since 1970, ascending.
    nulls
        Jitter within the hour, then the clock.
    """

    incidence: sparse.csr_array
    minute: Ints
    nulls: tuple[Blocks, Blocks]
    parts: tuple[()] = ()
    residual: float = 0.0

    def judge(self, weights: Doubles, threshold: float) -> ClockJudge:
        """Return what a pair is judged by when minutes weigh `weights` (m,) float64."""
        return ClockJudge(self.nulls, weights, threshold)

    def expected(self, accounts: Ints) -> Doubles:
        """Return how many of `accounts` post in each minute by the jitter null, (m,) float64."""
        hours = self.nulls[0]
        posts = np.asarray(hours.counts[accounts].sum(axis=0)).ravel()
        return posts[hours.of] * hours.share

    def sampler(self, weights: Doubles) -> Callable[[np.random.Generator], tuple[sparse.csr_array, Doubles]]:  # noqa: ARG002
        """Return what draws a null graph, and the weights of its minutes, all 1.

        Every post moves within its hour, as the jitter null has it.
        """
        accounts = self.incidence.shape[0]
        rows = np.repeat(np.arange(accounts), np.diff(self.incidence.indptr))
        posts = np.sort(self.incidence.indices)
        hour, hours = self.minute[self.incidence.indices] // HOUR, self.minute[posts] // HOUR
        first, last = (np.searchsorted(hours, hour, side=side) for side in ("left", "right"))

        def draw(rng: np.random.Generator) -> tuple[sparse.csr_array, Doubles]:
            # A place among the posts of the hour and one more in every minute.
            place = rng.integers(0, last - first + HOUR)
            drawn = np.where(place < HOUR, hour * HOUR + place, self.minute[posts[np.minimum(first + place - HOUR, len(posts) - 1)]])
            # In the order of minutes, an account once in each.
            minute, row = np.divmod(distinct(drawn * accounts + rows), accounts)
            column = np.cumsum(np.diff(minute, prepend=minute[:1]) != 0)
            graph = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(accounts, int(column.max(initial=-1)) + 1))
            return graph, np.ones(graph.shape[1])

        return draw


def minutes(time: Ints) -> pa.Array:
    """Return the label of the minute of each time, microseconds since 1970: labels sort by time."""
    stamp = pc.utf8_lpad(pa.array(time // (MINUTE * SECOND)).cast(pa.string()), 10, "0")
    return pc.binary_join_element_wise(FAMILY, stamp, ":")


def fit_clock(incidence: sparse.csr_array, items: Iterable[str]) -> Clock:
    """Fit both nulls to an account x minute incidence whose columns are labelled by `minutes`."""
    minute = np.array([int(label.partition(":")[2]) for label in items], dtype=np.int64)
    days = len(np.unique(minute // DAY))
    return Clock(incidence, minute, (Blocks.build(incidence, minute // HOUR, HOUR), Blocks.build(incidence, minute % DAY, days)))
