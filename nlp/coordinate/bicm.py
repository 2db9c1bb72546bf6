"""The bipartite configuration model: who would share what if only activity and popularity mattered.

P(account u shares item i) = x_u y_i / (1 + x_u y_i), with x and y such that every account's expected number of items and every
item's expected number of accounts equal the observed ones (Saracco et al. 2015, 2017). Accounts of one degree have one x and items of
one degree one y, so the model is solved, stored and sampled on degree classes: a million accounts have a few thousand of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse, special

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

TOLERANCE = 1e-8
"""Largest difference between an expected and an observed degree."""
WARM_UP = 30
"""Fixed-point steps before Newton's method, which needs a start in its basin."""
NEWTON_STEPS = 200
LARGEST_STEP = 4.0
"""Cap on a Newton step in log-fitness: far from the solution the quadratic model overshoots."""


@dataclass(frozen=True, slots=True)
class Bicm:
    """A solved bipartite configuration model.

    Parameters
    ----------
    account_class, item_class
        (n,) and (m,) int64, degree class of every account and item; classes are numbered by growing degree.
    probability
        (account classes, item classes) float64, P of an edge between their members.
    residual
        Largest difference between an expected and an observed degree.
    """

    account_class: Ints
    item_class: Ints
    probability: Doubles
    residual: float

    @property
    def account_counts(self) -> Ints:
        """Accounts in every account class, (account classes,) int64."""
        return np.bincount(self.account_class, minlength=self.probability.shape[0]).astype(np.int64)

    @property
    def item_counts(self) -> Ints:
        """Items in every item class, (item classes,) int64."""
        return np.bincount(self.item_class, minlength=self.probability.shape[1]).astype(np.int64)


def fit_bicm(account_degrees: Ints, item_degrees: Ints, *, tolerance: float = TOLERANCE) -> Bicm:
    """Solve the model for two degree sequences that sum to the same number of edges.

    Rows and columns that are full or empty are set to 1 or 0 first: their fitness would be infinite. The rest is solved by fixed-point
    steps and then by damped Newton steps on the concave log-likelihood. A sequence with one realisation only (a nested one) has no
    finite solution; the steps then run until the expected degrees are as close as `residual` says.

    Parameters
    ----------
    account_degrees, item_degrees
        (n,) and (m,) int64.
    tolerance
        Largest difference of an expected from an observed degree to stop at.

    Returns
    -------
    Bicm
    """
    degrees_a, class_a, count_a = np.unique(account_degrees, return_inverse=True, return_counts=True)
    degrees_i, class_i, count_i = np.unique(item_degrees, return_inverse=True, return_counts=True)
    probability = np.zeros((len(degrees_a), len(degrees_i)))
    k, d = degrees_a.astype(np.float64), degrees_i.astype(np.float64)
    n, m = count_a.astype(np.float64), count_i.astype(np.float64)
    rows, columns = _peel(probability, k, d, n, m)
    if rows.any() and columns.any():
        inner = _solve(k[rows], d[columns], n[rows], m[columns], tolerance)
        probability[np.ix_(rows, columns)] = inner
    residual = 0.0
    if probability.size:
        off_rows = np.abs(probability @ m - degrees_a)
        off_columns = np.abs(n @ probability - degrees_i)
        residual = float(max(off_rows.max(), off_columns.max()))
    if residual > tolerance:
        logger.warning("BiCM stopped at a largest degree difference of %.3g (tolerance %.3g)", residual, tolerance)
    return Bicm(class_a.astype(np.int64).ravel(), class_i.astype(np.int64).ravel(), probability, residual)


class Sampler:
    """Draws bipartite graphs from a model; what all draws have in common is worked out once.

    A cell (account class, item class) gets a binomial number of edges, placed uniformly without replacement, so that the cost grows
    with the number of edges and of cells, not with accounts x items.
    """

    def __init__(self, model: Bicm) -> None:
        counts_a, counts_i = model.account_counts, model.item_counts
        self._chance = np.clip(model.probability, 0.0, 1.0).ravel()
        self._sizes = np.outer(counts_a, counts_i).ravel()
        self._ends = np.cumsum(self._sizes)
        self._accounts, self._items = np.argsort(model.account_class, kind="stable"), np.argsort(model.item_class, kind="stable")
        # By cell: its first account and item in these orders, and how many items.
        self._first_account = np.repeat(np.cumsum(counts_a) - counts_a, len(counts_i))
        self._first_item = np.tile(np.cumsum(counts_i) - counts_i, len(counts_a))
        self._width = np.tile(counts_i, len(counts_a))

    def edges(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Return account and item of every edge of a graph, (edges,) int64 each, in no order."""
        sizes = self._sizes
        drawn = rng.binomial(sizes, self._chance)
        dense = drawn > sizes // 2
        few, full = np.where(dense, 0, drawn), np.flatnonzero(dense)
        keys, cell = self._distinct(few, rng), np.repeat(np.arange(len(sizes)), few)
        if len(full):
            holes = self._distinct(np.where(dense, sizes - drawn, 0), rng)
            keys = np.concatenate([keys, np.setdiff1d(_all_keys(full, sizes), holes, assume_unique=True)])
            cell = np.concatenate([cell, np.repeat(full, drawn[full])])
        row, column = np.divmod(keys - (self._ends - sizes)[cell], self._width[cell])
        return self._accounts[self._first_account[cell] + row], self._items[self._first_item[cell] + column]

    def _distinct(self, wanted: Ints, rng: np.random.Generator) -> Ints:
        """Draw `wanted[c]` distinct positions of every cell c, uniformly; a key is the position plus the sizes of the cells before.

        Keys ascend.
        """
        starts = self._ends - self._sizes
        keys = np.empty(0, dtype=np.int64)
        cells = np.repeat(np.arange(len(wanted)), wanted)
        while len(cells):
            drawn = np.sort(np.concatenate([keys, starts[cells] + rng.integers(0, self._sizes[cells])]))
            again = np.r_[False, drawn[1:] == drawn[:-1]]
            # What a cell drew twice is drawn anew: as if one drew in turn and put back what is there already.
            cells = np.searchsorted(self._ends, drawn[again], side="right")
            keys = drawn[~again]
        return keys


def sample_bicm(model: Bicm, rng: np.random.Generator) -> sparse.csr_array:
    """Draw a bipartite graph from the model.

    Returns
    -------
    scipy.sparse.csr_array
        (n, m) float64 of ones.
    """
    accounts, items = Sampler(model).edges(rng)
    return sparse.csr_array((np.ones(len(accounts)), (accounts, items)), shape=(len(model.account_class), len(model.item_class)))


def _peel(probability: Doubles, k: Doubles, d: Doubles, n: Doubles, m: Doubles) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Fix full and empty classes in place (`probability`, `k`, `d` change); return the masks of classes that remain."""
    rows, columns = n > 0, m > 0
    while rows.any() and columns.any():
        width, height = m[columns].sum(), n[rows].sum()
        full_rows, empty_rows = rows & (k >= width), rows & (k <= 0)
        full_columns, empty_columns = columns & (d >= height), columns & (d <= 0)
        if full_rows.any():
            probability[np.ix_(full_rows, columns)] = 1.0
            d[columns] -= n[full_rows].sum()
            rows &= ~full_rows
        elif full_columns.any():
            probability[np.ix_(rows, full_columns)] = 1.0
            k[rows] -= m[full_columns].sum()
            columns &= ~full_columns
        elif empty_rows.any() or empty_columns.any():
            rows &= ~empty_rows
            columns &= ~empty_columns
        else:
            break
    return rows, columns


def _solve(k: Doubles, d: Doubles, n: Doubles, m: Doubles, tolerance: float) -> Doubles:
    """Return the (classes, classes) probabilities for degrees strictly between empty and full."""
    edges = float(n @ k)
    alpha, beta = np.log(k) - 0.5 * np.log(edges), np.log(d) - 0.5 * np.log(edges)
    for _ in range(WARM_UP):
        odds = np.exp(alpha[:, None] + beta[None, :])
        alpha = np.log(k) - np.log((np.exp(beta)[None, :] / (1 + odds)) @ m)
        odds = np.exp(alpha[:, None] + beta[None, :])
        beta = np.log(d) - np.log(n @ (np.exp(alpha)[:, None] / (1 + odds)))
    best = special.expit(alpha[:, None] + beta[None, :])
    error = _error(best, k, d, n, m)
    for _ in range(NEWTON_STEPS):
        if error <= tolerance:
            break
        step_a, step_b = _newton_step(best, k, d, n, m)
        shrink = min(1.0, LARGEST_STEP / max(float(np.abs(step_a).max()), float(np.abs(step_b).max()), 1e-300))
        before = _likelihood(alpha, beta, k, d, n, m)
        for _ in range(30):
            trial_a, trial_b = alpha + shrink * step_a, beta + shrink * step_b
            trial = special.expit(trial_a[:, None] + trial_b[None, :])
            trial_error = _error(trial, k, d, n, m)
            if trial_error < error or _likelihood(trial_a, trial_b, k, d, n, m) > before:
                break
            shrink *= 0.5
        else:
            break
        alpha, beta, best, error = trial_a, trial_b, trial, trial_error
    return np.asarray(best, dtype=np.float64)


def _error(p: Doubles, k: Doubles, d: Doubles, n: Doubles, m: Doubles) -> float:
    return max(float(np.abs(p @ m - k).max()), float(np.abs(n @ p - d).max()))


def _likelihood(alpha: Doubles, beta: Doubles, k: Doubles, d: Doubles, n: Doubles, m: Doubles) -> float:
    partition = n @ np.logaddexp(0.0, alpha[:, None] + beta[None, :]) @ m
    return float((n * k) @ alpha + (m * d) @ beta - partition)


def _newton_step(p: Doubles, k: Doubles, d: Doubles, n: Doubles, m: Doubles) -> tuple[Doubles, Doubles]:
    """Newton step of the log-likelihood by a Schur complement on the side with fewer classes."""
    if len(k) > len(d):
        step_b, step_a = _newton_step(np.ascontiguousarray(p.T), d, k, m, n)
        return step_a, step_b
    weight = n[:, None] * m[None, :] * p * (1 - p)
    slope_a, slope_b = n * (k - p @ m), m * (d - n @ p)
    curve_a, curve_b = weight.sum(axis=1), np.maximum(weight.sum(axis=0), 1e-300)
    schur = np.diag(curve_a) - (weight / curve_b) @ weight.T
    right = slope_a - (weight / curve_b) @ slope_b
    step_a = np.zeros_like(k)
    if len(k) > 1:
        # x and y are only fixed up to a common factor: the last class keeps its fitness.
        inner = schur[:-1, :-1] + np.diag(1e-13 * curve_a[:-1] + 1e-300)
        try:
            step_a[:-1] = linalg.solve(inner, right[:-1], assume_a="pos")
        except (linalg.LinAlgError, ValueError):
            step_a[:-1] = linalg.lstsq(inner, right[:-1])[0]
    return step_a, (slope_b - weight.T @ step_a) / curve_b


def _all_keys(cells: Ints, sizes: Ints) -> Ints:
    """Return every key of some cells, ascending."""
    starts, lengths = (np.cumsum(sizes) - sizes)[cells], sizes[cells]
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
