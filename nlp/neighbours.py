"""Exact neighbours of unit rows by blocks of matrix products, and near-duplicate leaders, in bounded memory.

Two rows of one block product may differ in the last bit from the same rows in another block, so products only rank: the
similarities that are kept are recomputed pair by pair in float64, and rows are put in an order that depends on their content
alone. The order of the input rows, the size of a block and the number of threads then leave no trace in the result.

Cost is n^2 d / block memory: 20 k rows of 384 take seconds, 100 k minutes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from greyzone.engine import on_threads
from greyzone.records import Floats

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.integer)

BLOCK_CELLS = 2**24
"""Similarities held at once: 64 MiB of float32."""

UNIT_CELLS = 2**16
"""Numbers scaled or copied at once: .5 MiB of float64, which the cache of a core holds."""

SPARE = 8
"""Neighbours ranked beyond k in float32, so that float64 decides near-ties at the border."""

BORDER = 1e-5
"""Float32 products this near to a threshold are decided in float64."""

DECIMALS = 9
"""Float64 similarities are rounded to this many decimals before they are compared, so that ties are ties."""


def unit_rows(vectors: npt.NDArray[np.floating]) -> Floats:
    """Return `vectors` (n, d) scaled to norm 1 in float32; zero rows stay zero."""
    out = np.empty(vectors.shape, dtype=np.float32)
    step = max(1, UNIT_CELLS // max(1, vectors.shape[1]))

    def scale_block(start: int) -> None:
        rows = np.array(vectors[start : start + step], dtype=np.float64, order="C")
        scale = np.maximum(rows.max(axis=1, keepdims=True, initial=0.0), -rows.min(axis=1, keepdims=True, initial=0.0))
        rows /= np.where(scale > 0, scale, 1.0)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        rows /= np.where(norms > 0, norms, 1.0)
        # Adding 0 turns -0 into 0, so that equal rows have equal bytes.
        np.add(rows.astype(np.float32), np.float32(0), out=out[start : start + step])

    on_threads(scale_block, range(0, len(vectors), step))
    return out


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the distinct whole numbers among `values` (n,), ascending; sorting is many times as fast as the hashing of `numpy.unique`."""
    ordered = np.sort(values)
    found: npt.NDArray[Number] = ordered[np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]]
    return found


def places_of(mask: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return rows and columns of what is true in `mask` (n, d), row by row: `numpy.nonzero`, many times as fast where little is."""
    flat = np.flatnonzero(mask)
    row = flat // max(1, mask.shape[1])
    return row, flat - row * mask.shape[1]


def taken(rows: Floats, chosen: Ints) -> Floats:
    """Return ``rows[chosen]``, copied on all threads."""
    out = np.empty((len(chosen), rows.shape[1]), dtype=rows.dtype)
    step = max(1, UNIT_CELLS // max(1, rows.shape[1]))

    def take_block(start: int) -> None:
        # Unchecked, or numpy would copy into a buffer first.
        np.take(rows, chosen[start : start + step], axis=0, out=out[start : start + step], mode="clip")

    on_threads(take_block, range(0, len(chosen), step))
    return out


def distinct_rows(rows: Floats) -> tuple[Ints, Ints]:
    """Put rows in an order of their content, which is as good as random, and join equal ones.

    Returns
    -------
    first, inverse
        int64. `first` (m,): for each distinct row one index that holds it, in content order; `inverse` (n,): the place of each row
        in `first`.
    """
    if rows.size == 0:
        return np.zeros(min(len(rows), 1), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    high, low = _row_hashes(rows)
    order = np.lexsort((low, high))
    alike = np.flatnonzero((high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1]))
    starts = np.ones(len(rows), dtype=bool)
    starts[alike + 1] = np.any(rows[order[alike]] != rows[order[alike + 1]], axis=1)
    if starts[alike + 1].any():
        # Two rows share all 128 bits: as good as impossible, and then their bytes decide.
        keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
        order = np.argsort(keys, kind="stable")
        starts = np.r_[True, np.any(rows[order][1:] != rows[order][:-1], axis=1)]
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = np.cumsum(starts) - 1
    return order[starts].astype(np.int64), inverse


def _row_hashes(rows: Floats) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return two 64-bit hashes of the bytes of each row: sums of its 32-bit words times fixed odd numbers, then mixed."""
    factors = np.random.default_rng(0).integers(0, 2**63, size=(rows.shape[1], 2), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty((2, len(rows)), dtype=np.uint64)
    step = max(1, UNIT_CELLS // rows.shape[1])

    def hash_block(start: int) -> None:
        numbers = np.ascontiguousarray(rows[start : start + step]).view(np.uint32).astype(np.uint64)
        found[:, start : start + step] = (numbers @ factors).T

    on_threads(hash_block, range(0, len(rows), step))
    for half in found:
        half ^= half >> np.uint64(29)
        half *= np.uint64(0xBF58476D1CE4E5B9)
        half ^= half >> np.uint64(32)
    return found[0], found[1]


def pair_similarities(rows: Floats, left: Ints, right: Ints) -> Doubles:
    """Return the cosine (p,) float64 of rows `left` with rows `right`, each pair reduced in the same way wherever it stands."""
    found = np.empty(len(left), dtype=np.float64)
    step = max(1, BLOCK_CELLS // (4 * max(1, rows.shape[1])))
    for start in range(0, len(left), step):
        stop = start + step
        a, b = rows[left[start:stop]].astype(np.float64), rows[right[start:stop]]
        found[start:stop] = (a * b).sum(axis=1)
    return np.clip(np.round(found, DECIMALS), -1.0, 1.0)


def leaders(rows: Floats, similarity: float) -> Ints:
    """Assign each row to a leader within `similarity`, without chains.

    Rows are met in the order given: a row is a leader unless an earlier leader is that near. Every other row then follows the
    leader nearest to it (the earlier one if two are equally near).

    Parameters
    ----------
    rows
        (n, d) float32 unit rows.
    similarity
        Least cosine of a follower with its leader.

    Returns
    -------
    Ints
        (n,) int64 index of the leader; leaders have their own.
    """
    n = len(rows)
    chosen = np.empty(0, dtype=np.int64)
    start = 0
    while start < n:
        block = np.arange(start, min(n, start + max(1, min(2048, BLOCK_CELLS // max(1, len(chosen))))))
        start = int(block[-1]) + 1
        free = block[~_near(rows, block, chosen, similarity).any(axis=1)]
        near = _near(rows, free, free, similarity)
        alive = np.ones(len(free), dtype=bool)
        # Only what has another row near can fall or make one fall.
        for place in np.flatnonzero(np.count_nonzero(near, axis=1) > 1).tolist():
            if alive[place]:
                alive[place + 1 :] &= ~near[place, place + 1 :]
        chosen = np.concatenate([chosen, free[alive]])
    leader = np.arange(n, dtype=np.int64)
    followers = np.setdiff1d(leader, chosen, assume_unique=True)
    step = max(1, BLOCK_CELLS // max(1, len(chosen)))
    for first in range(0, len(followers), step):
        block = followers[first : first + step]
        hits, columns = places_of(_near(rows, block, chosen, similarity))
        cosine = pair_similarities(rows, block[hits], chosen[columns])
        order = np.lexsort((columns, -cosine, hits))
        _, best = np.unique(hits[order], return_index=True)
        leader[block] = chosen[columns[order][best]]
    return leader


def _near(rows: Floats, left: Ints, right: Ints, similarity: float) -> npt.NDArray[np.bool_]:
    """Tell which of `left` are within `similarity` of which of `right`; float64 decides at the border."""
    if not len(left) or not len(right):
        return np.zeros((len(left), len(right)), dtype=bool)
    products = rows[left] @ rows[right].T
    found = products >= similarity - BORDER
    hits, columns = places_of(found)
    doubtful = np.flatnonzero(products[hits, columns] <= similarity + BORDER)
    hits, columns = hits[doubtful], columns[doubtful]
    found[hits, columns] = pair_similarities(rows, left[hits], right[columns]) >= similarity
    return found


def nearest(rows: Floats, k: int) -> tuple[Ints, Doubles]:
    """Find the `k` most similar other rows of each row, exactly.

    Parameters
    ----------
    rows
        (n, d) float32 unit rows.
    k
        Neighbours wanted; n - 1 at most are returned.

    Returns
    -------
    indices, similarities
        (n, k) int64 and float64, most similar first, ties by index.
    """
    n = len(rows)
    k = min(k, n - 1)
    wide = min(k + SPARE, n - 1)
    indices = np.empty((n, max(k, 0)), dtype=np.int64)
    similarities = np.empty((n, max(k, 0)), dtype=np.float64)
    if k <= 0:
        return indices, similarities
    transposed = np.ascontiguousarray(rows.T)
    step = max(1, BLOCK_CELLS // n)
    for start in range(0, n, step):
        stop = min(n, start + step)
        size = stop - start
        products = rows[start:stop] @ transposed
        products[np.arange(size), np.arange(start, stop)] = -np.inf
        found = np.argpartition(products, n - wide, axis=1)[:, n - wide :]
        own = np.repeat(np.arange(start, stop), wide)
        exact = pair_similarities(rows, own, found.ravel()).reshape(size, wide)
        order = np.lexsort((found, -exact), axis=1)[:, :k]
        indices[start:stop] = np.take_along_axis(found, order, axis=1)
        similarities[start:stop] = np.take_along_axis(exact, order, axis=1)
    return indices, similarities


def nearest_outside(rows: Floats, queries: Ints, component: Ints, core: Doubles) -> tuple[Ints, Doubles]:
    """Find for each query the row of another component at the least mutual-reachability distance.

    Parameters
    ----------
    rows
        (n, d) float32 unit rows.
    queries
        (q,) int64 rows to start from.
    component
        (n,) int64 component of each row; at least two differ.
    core
        (n,) float64 core distances.

    Returns
    -------
    targets, distances
        (q,) int64 and float64; ties by index.
    """
    targets = np.empty(len(queries), dtype=np.int64)
    distances = np.empty(len(queries), dtype=np.float64)
    n = len(rows)
    wide = min(SPARE, n)
    narrow = core.astype(np.float32)
    step = max(1, BLOCK_CELLS // n)
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        reach = np.maximum(np.float32(1) - rows[block] @ rows.T, narrow[None, :])
        reach[component[block][:, None] == component[None, :]] = np.inf
        found = np.argpartition(reach, wide - 1, axis=1)[:, :wide]
        exact = 1.0 - pair_similarities(rows, np.repeat(block, wide), found.ravel()).reshape(found.shape)
        exact = np.maximum(np.maximum(exact, core[found]), core[block][:, None])
        exact[component[found] == component[block][:, None]] = np.inf
        best = np.lexsort((found, exact), axis=1)[:, :1]
        targets[start : start + step] = np.take_along_axis(found, best, axis=1)[:, 0]
        distances[start : start + step] = np.take_along_axis(exact, best, axis=1)[:, 0]
    return targets, distances
