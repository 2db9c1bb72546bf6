"""Spanning trees of unit rows under mutual reachability: what makes `NarrativeClusterer` HDBSCAN when it is asked for density.

The distance of two rows is max(core_i, core_j, 1 - cos_ij) (Campello, Moulavi and Sander 2013), where core_i is the distance to the
`min_samples`-th nearest row, the row itself counted. Edges are those of the neighbour graph; components of the graph are joined at their
true distance, which costs a matrix product of all rows outside the largest component by all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from greyzone.neighbours import Doubles, Ints, nearest_outside, places_of
from greyzone.records import Floats


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges between rows: ends and mutual-reachability distance."""

    left: Ints
    right: Ints
    distance: Doubles


def core_distances(similarities: Doubles, min_samples: int) -> Doubles:
    """Return the core distance of each row from the similarities (n, k) of its neighbours, most similar first."""
    if min_samples == 1:
        return np.zeros(len(similarities))
    return 1.0 - similarities[:, min(min_samples - 2, similarities.shape[1] - 1)]


def spanning_tree(rows: Floats, indices: Ints, distance: Doubles, core: Doubles) -> Edges:
    """Return the minimum spanning tree of the neighbour graph under mutual reachability, its components joined."""
    n = len(indices)
    place, column = places_of(indices >= 0)
    own, other = place.astype(np.int64), indices[place, column]
    reach = np.maximum(np.maximum(core[own], core[other]), distance[place, column])
    edges = _ranked(Edges(np.minimum(own, other), np.maximum(own, other), reach), n)
    tree = _minimum(edges, n)
    while True:
        parts, component = _components(tree, n)
        if parts == 1:
            return tree
        largest = int(np.bincount(component).argmax())
        queries = np.flatnonzero(component != largest)
        target, outside = nearest_outside(rows, queries, component, core)
        order = np.lexsort((np.maximum(queries, target), np.minimum(queries, target), outside, component[queries]))
        _, first = np.unique(component[queries][order], return_index=True)
        kept = order[first]
        left, right = queries[kept], target[kept]
        joined = Edges(
            np.concatenate([tree.left, np.minimum(left, right)]),
            np.concatenate([tree.right, np.maximum(left, right)]),
            np.concatenate([tree.distance, outside[kept]]),
        )
        tree = _minimum(_ranked(joined, n), n)


def _ranked(edges: Edges, n: int) -> Edges:
    """Sort edges by (distance, left, right) and drop repeats of a pair."""
    order = np.lexsort((edges.right, edges.left, edges.distance))
    _, first = np.unique(edges.left[order] * n + edges.right[order], return_index=True)
    kept = order[np.sort(first)]
    return Edges(edges.left[kept], edges.right[kept], edges.distance[kept])


def _minimum(edges: Edges, n: int) -> Edges:
    # Ranks instead of distances: no two weights are equal, so the tree is unique, and scipy cannot take a 0 for a missing edge.
    ranks = np.arange(1, len(edges.left) + 1, dtype=np.float64)
    tree = minimum_spanning_tree(coo_array((ranks, (edges.left, edges.right)), shape=(n, n)).tocsr())
    kept = np.sort(tree.tocoo().data.astype(np.int64) - 1)
    return Edges(edges.left[kept], edges.right[kept], edges.distance[kept])


def _components(edges: Edges, n: int) -> tuple[int, Ints]:
    graph = coo_array((np.ones(len(edges.left)), (edges.left, edges.right)), shape=(n, n)).tocsr()
    parts, component = connected_components(graph, directed=False)
    return int(parts), component.astype(np.int64)
