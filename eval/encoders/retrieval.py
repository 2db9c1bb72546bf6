"""Figures of vectors against known truth: ranks, pairs of one story, neighbours.

A tie never helps: the rank of a right candidate counts every wrong one that scores as high, so that vectors which are all alike
(texts that an encoder knows nothing of) get no credit.

Average precision over all pairs of documents is taken from a histogram of cosines, since 11,000 documents have 62 million pairs. All
pairs of one bin count as one step, as equal scores do in `greyzone.eval.metrics.average_precision`: the value is the exact average
precision of the cosines rounded down to multiples of 2 / `BINS`, about what float32 can tell apart. What rounding can have changed is
bounded: with H hits and N pairs above a bin of p hits and q others, the precision at each of its hits lies between (H+1) / (N+q+1)
and (H+p) / (N+p); `PairPrecision` sums both over the bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.records import Floats

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

BINS = 1 << 21
"""Bins of a cosine between -1 and 1: a width of 1e-6, ten times what float32 sums of 256 products are uncertain by."""

CHUNK = 512
"""Rows whose products with all others are held at a time."""


@dataclass(frozen=True, slots=True)
class PairPrecision:
    """Average precision of pairs of one cluster, and what bounds it whatever the order within a bin."""

    value: float
    lowest: float
    highest: float
    pairs: int
    pairs_alike: int


@dataclass(frozen=True, slots=True)
class NeighbourShare:
    """Mean share of the nearest neighbours that have a property, and the share that chance would give."""

    share: float
    chance: float


def pair_precision(vectors: Floats, labels: Integers, *, bins: int = BINS) -> PairPrecision:
    """Return the average precision of "same label" over all pairs of rows, ranked by cosine.

    Parameters
    ----------
    vectors
        (n, d) float32, unit or zero rows.
    labels
        (n,) cluster of each row.
    bins
        Steps into which [-1, 1] is cut.

    Raises
    ------
    InputError
        If the lengths differ or no two rows have one label.
    """
    if len(vectors) != len(labels):
        raise InputError(f"{len(vectors)} vectors and {len(labels)} labels", "one of each a document")
    every, alike = np.zeros(bins, dtype=np.int64), np.zeros(bins, dtype=np.int64)
    for start in range(0, len(vectors), CHUNK):
        block = vectors[start : start + CHUNK]
        cosines = block @ vectors[start:].T
        rows, columns = np.triu_indices(len(block), 1, cosines.shape[1])
        flat = np.clip((cosines[rows, columns] + np.float32(1)) * np.float32(bins / 2), 0, bins - 1).astype(np.int32)
        every += np.bincount(flat, minlength=bins)
        alike += np.bincount(flat[labels[start + rows] == labels[start + columns]], minlength=bins)
    if not alike.any():
        raise InputError(f"no two of {len(labels)} documents in one cluster", "at least one pair")
    inside = np.flatnonzero(alike)[::-1]
    hits_to, pairs_to = np.cumsum(alike[::-1])[::-1][inside], np.cumsum(every[::-1])[::-1][inside]
    hits, pairs = alike[inside], every[inside]
    total = float(alike.sum())
    others = pairs - hits
    before = pairs_to - pairs
    return PairPrecision(
        value=float(np.sum(hits * (hits_to / pairs_to)) / total),
        lowest=float(np.sum(hits * ((hits_to - hits + 1) / (before + others + 1))) / total),
        highest=float(np.sum(hits * (hits_to / (before + hits))) / total),
        pairs=int(every.sum()),
        pairs_alike=int(total),
    )


def ranks(queries: Floats, candidates: Floats, gold: Sequence[Sequence[int]]) -> Integers:
    """Return the rank of the best right candidate of each query, from 1 on.

    Parameters
    ----------
    queries
        (n, d) float32 unit or zero rows.
    candidates
        (m, d) float32 unit or zero rows.
    gold
        Per query the places of its right candidates.

    Returns
    -------
    Integers
        (n,) int64: one more than the wrong candidates that score at least as high as the best right one.

    Raises
    ------
    InputError
        If the lengths differ, or a query has no right candidate.
    """
    if len(queries) != len(gold):
        raise InputError(f"{len(queries)} queries and {len(gold)} answers", "one of each")
    if not all(gold):
        raise InputError(f"{sum(not right for right in gold)} queries without a right candidate", "one at least each")
    found = np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(queries), CHUNK):
        right = gold[start : start + CHUNK]
        scores = queries[start : start + CHUNK] @ candidates.T
        rows = np.repeat(np.arange(len(right)), [len(places) for places in right])
        columns = np.concatenate([np.asarray(places, dtype=np.int64) for places in right])
        best = np.full(len(right), -np.inf, dtype=np.float32)
        np.maximum.at(best, rows, scores[rows, columns])
        scores[rows, columns] = -np.inf
        found[start : start + CHUNK] = 1 + np.sum(scores >= best[:, None], axis=1)
    return found


def mean_reciprocal_rank(found: Integers) -> float:
    """Return the mean of 1 / rank over queries."""
    return float(np.mean(1.0 / _some(found)))


def recall_at(found: Integers, depth: int) -> float:
    """Return the share of queries whose best right candidate is among the first `depth`."""
    return float(np.mean(_some(found) <= depth))


def pair_cosines(first: Floats, second: Floats) -> Doubles:
    """Return the cosine of row i of `first` and row i of `second`, (n,) float64; a zero row has cosine 0 with all."""
    return np.asarray(np.einsum("ij,ij->i", first.astype(np.float64), second.astype(np.float64)), dtype=np.float64)


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation, equal values sharing their mean rank; 0 if either side is constant.

    Raises
    ------
    InputError
        If the lengths differ or there are fewer than two values.
    """
    from scipy.stats import rankdata

    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if left.shape != right.shape or left.size < 2:
        raise InputError(f"{left.size} and {right.size} values", "as many of each, two at least")
    a, b = rankdata(left), rankdata(right)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def nearest(vectors: Floats, count: int, *, allowed: npt.NDArray[np.bool_] | None = None) -> Integers:
    """Return the places of the `count` rows nearest to each row by cosine, itself left out; equal cosines go to the earlier row.

    Parameters
    ----------
    vectors
        (n, d) float32, unit or zero rows.
    count
        Neighbours of each row.
    allowed
        (n, n) whether column j may be a neighbour of row i; all others if not given.

    Returns
    -------
    Integers
        (n, count) int64; -1 where fewer rows are allowed.
    """
    found = np.full((len(vectors), count), -1, dtype=np.int64)
    for start in range(0, len(vectors), CHUNK):
        scores = vectors[start : start + CHUNK] @ vectors.T
        own = np.arange(len(scores))
        if allowed is not None:
            scores[~allowed[start : start + CHUNK]] = -np.inf
        scores[own, start + own] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        kept = np.take_along_axis(scores, order, axis=1) > -np.inf
        found[start : start + CHUNK, : order.shape[1]] = np.where(kept, order, -1)
    return found


def own_language_share(vectors: Floats, languages: Sequence[str], *, count: int = 10) -> NeighbourShare:
    """Return the share of each row's `count` nearest neighbours that are in its own language, and what chance would give.

    Raises
    ------
    InputError
        If the lengths differ or there are not more rows than `count`.
    """
    if len(vectors) != len(languages) or len(vectors) <= count:
        raise InputError(f"{len(vectors)} vectors and {len(languages)} languages", f"one of each, more than {count}")
    codes = np.unique(list(languages), return_inverse=True)[1]
    share = np.mean(codes[nearest(vectors, count)] == codes[:, None])
    chance = np.mean((np.bincount(codes)[codes] - 1) / (len(codes) - 1))
    return NeighbourShare(float(share), float(chance))


def label_agreement(vectors: Floats, labels: Sequence[frozenset[str]], allowed: npt.NDArray[np.bool_]) -> NeighbourShare:
    """Return how often the nearest allowed row shares a label, and the share of allowed rows that do (chance).

    Rows that may have no neighbour are left out of both means.

    Raises
    ------
    InputError
        If the lengths differ or no row may have a neighbour.
    """
    if not len(vectors) == len(labels) == len(allowed):
        raise InputError(f"{len(vectors)} vectors and {len(labels)} sets of labels", "one of each a document")
    names = {name: place for place, name in enumerate(sorted(set().union(*labels)))}
    told = np.zeros((len(labels), len(names)), dtype=np.float32)
    for row, own in enumerate(labels):
        told[row, [names[name] for name in own]] = 1
    agree = told @ told.T > 0
    others = allowed & ~np.eye(len(labels), dtype=np.bool_)
    first = nearest(vectors, 1, allowed=others)[:, 0]
    rows = np.flatnonzero(first >= 0)
    if len(rows) == 0:
        raise InputError(f"no neighbour allowed for any of {len(labels)} documents", "one at least")
    chance = (agree & others).sum(axis=1)[rows] / others.sum(axis=1)[rows]
    return NeighbourShare(float(agree[rows, first[rows]].mean()), float(chance.mean()))


def _some(found: Integers) -> Integers:
    if len(found) == 0:
        raise InputError("no queries", "at least one")
    return found
