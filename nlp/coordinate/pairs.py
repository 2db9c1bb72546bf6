"""How much two accounts share beyond chance.

T_uv = sum_l w_l A_ul A_vl with w_l = ln(n/d_l)^2, for n accounts and d_l of them sharing item l. Under the bipartite configuration model
the mean is sum_l w_l P_ul P_vl and the variance sum_l w_l^2 (P_ul P_vl - (P_ul P_vl)^2); p is the upper tail of the Gamma distribution
of that mean and variance. Both moments depend on the degree classes of u and v only, and T is computed only for pairs that share
something: rows of A W A' come in blocks of bounded work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from greyzone.coordinate.bicm import Bicm, Doubles, Ints

LARGEST_TABLE = 400_000
"""Pairs of degree classes for which critical values are worth a table."""
BLOCK_WORK = 4_000_000
"""Multiplications a block of rows may need: 16 bytes each at the most, so that a block stays near 64 MB."""


@dataclass(frozen=True, slots=True)
class PairNull:
    """What chance gives a pair, by the degree classes of its two accounts.

    Parameters
    ----------
    account_class
        (n,) int64.
    mean, variance
        (account classes, account classes) float64 of the pair statistic.
    """

    account_class: Ints
    mean: Doubles
    variance: Doubles

    def p_values(self, a: Ints, b: Ints, statistic: Doubles) -> Doubles:
        """Return P(T >= statistic) for the pairs (a, b), (pairs,) float64."""
        mean = self.mean[self.account_class[a], self.account_class[b]]
        variance = self.variance[self.account_class[a], self.account_class[b]]
        # A pair of full rows has no variance: its statistic is what it must be.
        certain = (variance <= 0) | (mean <= 0)
        shape = np.where(certain, 1.0, mean**2 / np.where(certain, 1.0, variance))
        rate = np.where(certain, 1.0, mean / np.where(certain, 1.0, variance))
        p = special.gammaincc(shape, rate * statistic)
        return np.where(certain, np.where(statistic > mean * (1 + 1e-9), 0.0, 1.0), p)

    def critical(self, threshold: float) -> Doubles | None:
        """Return the least statistic with p <= `threshold` by degree classes, or None where the table would be large."""
        if self.mean.size > LARGEST_TABLE:
            return None
        certain = (self.variance <= 0) | (self.mean <= 0)
        variance = np.where(certain, 1.0, self.variance)
        value = (
            special.gammainccinv(np.where(certain, 1.0, self.mean**2 / variance), threshold) * variance / np.where(certain, 1.0, self.mean)
        )
        # A little room, for the exact p decides in the end.
        return np.where(certain, self.mean, value * (1 - 1e-9))


class Judges(Protocol):
    """What decides which pairs to keep.

    Pairs (a, b) come as rows of the accounts, (pairs,) int64, with their statistic, (pairs,) float64; `threshold` is the largest p to keep.
    """

    threshold: float

    def may_pass(self, a: Ints, b: Ints, statistic: Doubles) -> npt.NDArray[np.bool_]:
        """Return which pairs may have p <= threshold: a cheap look, (pairs,) bool."""
        ...

    def p_values(self, a: Ints, b: Ints, statistic: Doubles) -> Doubles:
        """Return the p of each pair, (pairs,) float64."""
        ...


class Judge:
    """Decides which pairs to keep: they must beat the whole population's null and, within a community, its own.

    Parameters
    ----------
    whole
        Null of the whole population.
    community
        (n,) int64 community of every account or -1.
    place
        (n,) int64 row of an account within its community.
    local
        Null of every community.
    threshold
        Largest p to keep.
    """

    def __init__(self, whole: PairNull, community: Ints, place: Ints, local: tuple[PairNull, ...], threshold: float) -> None:
        self.whole = whole
        self.community = community
        self.place = place
        self.local = local
        self.threshold = threshold
        self._critical = whole.critical(threshold)

    def may_pass(self, a: Ints, b: Ints, statistic: Doubles) -> npt.NDArray[np.bool_]:
        """Return which pairs may have p <= threshold: a cheap look at a table, (pairs,) bool."""
        if self._critical is None:
            return np.ones(len(a), dtype=bool)
        return np.asarray(statistic >= self._critical[self.whole.account_class[a], self.whole.account_class[b]])

    def p_values(self, a: Ints, b: Ints, statistic: Doubles) -> Doubles:
        """Return the larger one of the p-values of each pair, (pairs,) float64."""
        p = self.whole.p_values(a, b, statistic)
        for number, null in enumerate(self.local):
            inside = (self.community[a] == number) & (self.community[b] == number)
            own = null.p_values(self.place[a[inside]], self.place[b[inside]], statistic[inside])
            p[inside] = np.maximum(p[inside], own)
        return p


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of accounts a < b that pass the threshold, ordered by (a, b).

    Parameters
    ----------
    a, b
        (pairs,) int64 account rows.
    shared
        (pairs,) int64, items that both share.
    statistic, p
        (pairs,) float64.
    tested
        Pairs that share at least one item; for all others p is 1.
    """

    a: Ints
    b: Ints
    shared: Ints
    statistic: Doubles
    p: Doubles
    tested: int


def item_weights(item_degrees: Ints, accounts: int) -> Doubles:
    """Return w_l = ln(n/d_l)^2, (m,) float64; an item that everybody shares weighs nothing."""
    return np.log(accounts / np.maximum(item_degrees, 1)) ** 2


def pair_null(model: Bicm, weights: Doubles) -> PairNull:
    """Return the moments of the pair statistic when items weigh `weights`, (m,) float64."""
    classes = model.probability.shape[1]
    by_class = np.bincount(model.item_class, weights=weights, minlength=classes)
    squares = np.bincount(model.item_class, weights=weights**2, minlength=classes)
    p = model.probability
    mean = (p * by_class) @ p.T
    variance = (p * squares) @ p.T - (p**2 * squares) @ (p**2).T
    return PairNull(model.account_class, mean, np.maximum(variance, 0.0))


def pair_work(incidence: sparse.csr_array) -> int:
    """Return the multiplications that A A' takes: the sum of the squared item degrees."""
    degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64)
    return int((degrees**2).sum())


def kept_pairs(incidence: sparse.csr_array, weights: Doubles, judge: Judges, *, minimum: int, rows: Ints | None = None) -> Pairs:
    """Return the pairs that the judge keeps and that share at least `minimum` items.

    Parameters
    ----------
    incidence
        (n, m) float64 of ones, canonical.
    weights
        (m,) float64.
    judge
        Null models and threshold.
    minimum
        Fewest shared items: one shared item is an event, not a pattern.
    rows
        (n,) int64 accounts of the judge that the rows of `incidence` are; by default all in order.
    """
    parts: list[tuple[Ints, Ints, Ints, Doubles, Doubles]] = []
    tested = 0
    for a, b, shared, statistic in _shared(incidence, weights):
        tested += len(a)
        u, v = (a, b) if rows is None else (rows[a], rows[b])
        chance = np.flatnonzero((shared >= minimum) & judge.may_pass(u, v, statistic))
        p = judge.p_values(u[chance], v[chance], statistic[chance])
        keep = chance[p <= judge.threshold]
        parts.append((a[keep], b[keep], shared[keep], statistic[keep], p[p <= judge.threshold]))
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Pairs(none, none, none, np.empty(0), np.empty(0), 0)
    a, b, shared, statistic, p = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    return Pairs(a[order], b[order], shared[order], statistic[order], p[order], tested)


def _shared(incidence: sparse.csr_array, weights: Doubles) -> Iterator[tuple[Ints, Ints, Ints, Doubles]]:
    """Yield (a, b, shared, statistic) of pairs a < b in blocks of rows of A W A'."""
    # An item of one account is in no pair; of those that chance draws most are.
    several = np.flatnonzero(np.bincount(incidence.indices, minlength=incidence.shape[1]) > 1)
    if len(several) < incidence.shape[1]:
        incidence, weights = sparse.csr_array(incidence[:, several]), weights[several]
    # One complex product gives both sums: the real part is T, the imaginary part the number of shared items.
    left = incidence.astype(np.complex128)
    left.data = (weights + 1j)[incidence.indices]
    right = incidence.T.tocsr().astype(np.complex128)
    degrees = np.diff(right.indptr)
    work = np.add.reduceat(np.append(degrees[incidence.indices], 0), incidence.indptr[:-1]) if incidence.shape[0] else np.empty(0)
    work = np.where(np.diff(incidence.indptr) > 0, work, 0)
    block = (np.cumsum(work) - work) // BLOCK_WORK
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=block[-1] + 1 if len(block) else 0))
    for start, stop in pairwise(edges.tolist()):
        product = (left[start:stop] @ right).tocoo()
        a, b = product.row.astype(np.int64) + start, product.col.astype(np.int64)
        upper = a < b
        yield a[upper], b[upper], np.rint(product.data.imag[upper]).astype(np.int64), product.data.real[upper]
