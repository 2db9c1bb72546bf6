"""Cores and components of a small undirected graph given as pairs.

The k-core is what remains after accounts with fewer than k ties are taken away until none is left (Seidman 1983). A sparse random graph has
no 4-core below a mean degree near 5.15 (Pittel, Spencer and Wormald 1996), so a core is evidence about a group, not about a pair.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from greyzone.coordinate.bicm import Ints


def core_numbers(nodes: int, a: Ints, b: Ints) -> Ints:
    """Return the largest k whose k-core holds each node, (nodes,) int64.

    Parameters
    ----------
    nodes
        Number of nodes.
    a, b
        (edges,) int64 ends of the edges, each edge once.
    """
    core = np.zeros(nodes, dtype=np.int64)
    k = 1
    while len(a):
        degree = np.bincount(a, minlength=nodes) + np.bincount(b, minlength=nodes)
        weak = degree < k
        stays = ~(weak[a] | weak[b])
        if stays.all():
            core[np.union1d(a, b)] = k
            k += 1
        else:
            a, b = a[stays], b[stays]
    return core


def components(nodes: int, a: Ints, b: Ints) -> list[Ints]:
    """Return the connected components of two nodes and more, each ascending, ordered by their first node."""
    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(nodes, nodes))
    _, label = csgraph.connected_components(graph, directed=False)
    touched = np.union1d(a, b)
    order = touched[np.argsort(label[touched], kind="stable")]
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    found = [part for part in np.split(order, cuts) if len(part) > 1]
    return sorted(found, key=lambda part: int(part[0]))


def core_groups(nodes: int, a: Ints, b: Ints, k: int) -> list[tuple[Ints, int]]:
    """Return the components of the k-core, each with the largest core number inside it."""
    core = core_numbers(nodes, a, b)
    inside = (core[a] >= k) & (core[b] >= k)
    return [(part, int(core[part].max())) for part in components(nodes, a[inside], b[inside])]
