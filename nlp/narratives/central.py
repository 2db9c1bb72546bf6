"""What stands in the middle of a narrative, and which narratives are near.

Exemplars. The first is the text nearest to the centroid. The others come from the central half of the distinct texts, each the one
least like those already chosen (the farthest-first rule of Gonzalez 1985), so that they show what the narrative is made of and no
outlier is among them.

Float32 products only rank here: every cosine that decides or is written is computed in float64, pair by pair, and rounded
(`greyzone.neighbours`), so that neither blocks nor threads leave a trace. Every narrative is compared with every distinct text: the cost
is texts x narratives x d, one matrix product for each block of texts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from greyzone.engine import available_workers
from greyzone.narratives.frame import Doubles, Frame, Ints
from greyzone.neighbours import BORDER, pair_similarities
from greyzone.records import Floats

EXEMPLARS = 5

CELLS = 2**24
"""Similarities held at once: 64 MiB of float32."""


def exemplars(frame: Frame) -> Ints:
    """Return (k, EXEMPLARS) int64 documents that stand for each narrative, the most central first, -1 where there are no more."""
    chosen = np.full((frame.clusters, EXEMPLARS), -1, dtype=np.int64)
    rows, cosine = _central(frame, frame.distinct())
    likeness = np.full(len(rows), -np.inf)
    # The first round takes the most central text, every other one the text least like those taken.
    score = -cosine
    for turn in range(EXEMPLARS):
        if not len(rows):
            break
        cluster = frame.label[rows]
        order = np.lexsort((rows, score, cluster))
        found, first = np.unique(cluster[order], return_index=True)
        chosen[found, turn] = rows[order[first]]
        left = np.ones(len(rows), dtype=bool)
        left[order[first]] = False
        rows, likeness = rows[left], likeness[left]
        last = chosen[frame.label[rows], turn]
        likeness = np.maximum(likeness, pair_similarities(frame.vectors, frame.place[rows], frame.place[last]))
        score = likeness
    return chosen


def _central(frame: Frame, rows: Ints) -> tuple[Ints, Doubles]:
    """Return the central half of the distinct texts of each narrative (EXEMPLARS at least), and their cosines to the centroid."""
    cluster = frame.label[rows]
    cosine = cross_similarities(frame.vectors, frame.place[rows], frame.centroids, cluster)
    order = np.lexsort((rows, -cosine, cluster))
    starts = np.searchsorted(cluster, np.arange(frame.clusters))
    counts = np.bincount(cluster, minlength=frame.clusters)
    kept = (np.arange(len(rows)) - starts[cluster]) < np.maximum(EXEMPLARS, (counts + 1) // 2)[cluster]
    return rows[order[kept]], cosine[order[kept]]


def cross_similarities(left: Floats, row: Ints, right: Floats, column: Ints) -> Doubles:
    """Return the cosines (p,) float64 of rows of `left` with rows of `right`, as `neighbours.pair_similarities` does within one array."""
    found = np.empty(len(row), dtype=np.float64)
    step = max(1, CELLS // (4 * max(1, left.shape[1])))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        found[part] = (left[row[part]].astype(np.float64) * right[column[part]]).sum(axis=1)
    return np.clip(np.round(found, 9), -1.0, 1.0)


def two_nearest(rows: Floats, centroids: Floats, own: Ints) -> tuple[Ints, Ints, Doubles]:
    """Find the cluster of each row (the nearest one where it has none), the nearest other one, and both distances.

    Parameters
    ----------
    rows
        (n, d) float32 unit rows.
    centroids
        (k, d) float32 unit rows.
    own
        (n,) int64 cluster of each row, -1 for none.

    Returns
    -------
    first, second, distances
        (n,) int64 twice and (n, 2) float64, ties by number. -1 stands for none: there is no (other) cluster, or the row has none and
        nothing is known of it (a zero row).
    """
    n, k = len(rows), len(centroids)
    found, distances = np.full((n, 2), -1, dtype=np.int64), np.ones((n, 2), dtype=np.float64)
    found[:, 0] = own
    known = np.flatnonzero(rows.any(axis=1)) if k else np.zeros(0, dtype=np.int64)
    threads = available_workers()
    step = max(1, CELLS // (max(k, rows.shape[1], 1) * threads))
    # Two kinds of rows, so that those with a cluster are looked through once less.
    kinds = (known[own[known] < 0], known[own[known] >= 0])
    blocks = [part[start : start + step] for part in kinds for start in range(0, len(part), step)]
    look = partial(_look, rows, centroids, np.ascontiguousarray(centroids.T), own)
    with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool:
        for block, (best, cosine) in zip(blocks, pool.map(look, blocks), strict=True):
            found[block], distances[block] = best, np.where(best >= 0, 1.0 - cosine, 1.0)
    return found[:, 0], found[:, 1], distances


def _look(rows: Floats, centroids: Floats, transposed: Floats, own: Ints, block: Ints) -> tuple[Ints, Doubles]:
    """Return the two clusters of each row of a block, its own first where it has one (-1: no second), and their cosines."""
    given = own[block]
    hits, columns = _ranked(rows[block] @ transposed, given)
    exact = cross_similarities(rows, block[hits], centroids, columns)
    order = np.lexsort((columns, -exact, hits))
    place = np.searchsorted(hits[order], np.arange(len(block)))
    best, cosine = np.full((len(block), 2), -1, dtype=np.int64), np.zeros((len(block), 2))
    if given[0] < 0:
        best[:, 0], cosine[:, 0] = columns[order[place]], exact[order[place]]
        place = place + 1
    else:
        best[:, 0], cosine[:, 0] = given, cross_similarities(rows, block, centroids, given)
    if len(centroids) > 1:
        best[:, 1], cosine[:, 1] = columns[order[place]], exact[order[place]]
    return best, cosine


def _ranked(products: Floats, own: Ints) -> tuple[Ints, Ints]:
    """Return the (row, column) pairs that float64 must decide between: the best, or the two best of a row without a cluster."""
    places = np.arange(len(products))
    alone = own[0] < 0
    if not alone:
        products[places, own] = -np.inf
    taken: list[tuple[Ints, Floats]] = []
    for _ in range(min(1 + alone, products.shape[1])):
        best = products.argmax(axis=1)
        taken.append((best, products[places, best]))
        products[places, best] = -np.inf
    # Almost no row has another one within the border of the last one taken: only those are looked through once more.
    least = taken[-1][1] - np.float32(BORDER)
    tied = np.flatnonzero(products.max(axis=1) >= least)
    more, columns = np.nonzero(products[tied] >= least[tied, None])
    hits = np.concatenate([*(places for _ in taken), tied[more]])
    return hits, np.concatenate([*(best for best, _ in taken), columns])
