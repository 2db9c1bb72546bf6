"""hdbscan's condensed tree (Campello, Moulavi and Sander 2013), for all nodes at once.

Going down a tree of merges, a node whose two sides hold `least` points and more splits its cluster into two; a side that holds fewer falls
out, point by point, at the inverse distance of the merge. hdbscan walks from node to node; here nodes find the cluster that they are in
by jumps of powers of two, so that a million of them take well under a second. Clusters have hdbscan's numbers: in the order in which a
walk by levels comes to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.neighbours import Doubles, Ints

TABLE = np.dtype([("parent", np.intp), ("child", np.intp), ("lambda_val", np.float64), ("child_size", np.intp)])
"""Rows of the condensed tree, as hdbscan has them."""


@dataclass(frozen=True, slots=True)
class Condensed:
    """A condensed tree.

    Attributes
    ----------
    parent
        (rows,) int64 cluster that is left: 0 is the root, the parts of a cluster are 2k + 1 and 2k + 2.
    child
        (rows,) int64 what leaves it: a point, or the number of points and a cluster.
    leaves_at
        (rows,) float64 inverse distance.
    child_size
        (rows,) int64 points of it.
    levels
        The odd one of each two clusters that are parts of one, by how many clusters they lie within.

    Of one cluster, what leaves it at the smallest inverse distance comes first, and its parts last.
    """

    parent: Ints
    child: Ints
    leaves_at: Doubles
    child_size: Ints
    levels: tuple[Ints, ...]

    def table(self, points: int) -> npt.NDArray[np.void]:
        """Return the rows as hdbscan has them, clusters numbered from `points` on."""
        found = np.empty(len(self.parent), dtype=TABLE)
        # hdbscan labels points by a union that must come to a cluster before it comes to what leaves that one.
        order = np.argsort(self.parent, kind="stable")
        found["parent"], found["child"] = self.parent[order] + points, self.child[order]
        found["lambda_val"], found["child_size"] = self.leaves_at[order], self.child_size[order]
        return found


def condense(linkage: Doubles, least: int) -> Condensed:
    """Condense a tree of merges.

    Parameters
    ----------
    linkage
        (m, 4) as scipy has it: the two sides, their distance, the points below; nearest first.
    least
        Fewest points of a cluster, 2 at least.
    """
    points, root = len(linkage) + 1, 2 * len(linkage)
    sides = linkage[:, :2].astype(np.int64)
    above = np.full(root + 1, root)
    above[sides] = np.arange(points, root + 1)[:, None]
    size = np.concatenate([np.ones(points, dtype=np.int64), linkage[:, 3].astype(np.int64)])
    large = size >= least
    large[root] = True
    # From here on large nodes have numbers of their own, and a split is told by its node.
    node, number = np.flatnonzero(large), np.cumsum(large) - 1
    split = number[points + np.flatnonzero(large[sides].all(axis=1))]
    left, right = number[sides[node[split] - points].T]
    begins = np.zeros(len(node), dtype=bool)
    begins[left] = begins[right] = begins[-1] = True
    cluster = _first_above(number[above[node]], begins)
    rank, levels = _walked(cluster, split, left, right)
    name = np.zeros(len(node), dtype=np.int64)
    name[left], name[right] = 2 * rank + 1, 2 * rank + 2
    owner, inverse = name[cluster], np.full(len(linkage), np.inf)
    np.divide(1.0, linkage[:, 2], out=inverse, where=linkage[:, 2] > 0)
    falls = _first_above(above, large)[:points]
    point = np.argsort(-falls, kind="stable")
    split, parts = split[np.argsort(rank)], np.arange(1, 2 * len(rank) + 1)
    at = np.concatenate([falls[point], np.repeat(node[split], 2)])
    ends = np.concatenate([left[:, None], right[:, None]], axis=1)[np.argsort(rank)].ravel()
    return Condensed(
        owner[number[at]],
        np.concatenate([point, points + parts]),
        inverse[at - points],
        np.concatenate([np.ones(points, dtype=np.int64), size[node[ends]]]),
        tuple(2 * np.sort(rank[level]) + 1 for level in levels),
    )


def _first_above(above: Ints, stops: npt.NDArray[np.bool_]) -> Ints:
    """Return for each node (n,) the first of itself and those above it that is one of `stops`; the uppermost is one."""
    found = np.where(stops, np.arange(len(above)), above)
    while True:
        further = found[found]
        if np.array_equal(further, found):
            return found
        found = further


def _walked(cluster: Ints, split: Ints, left: Ints, right: Ints) -> tuple[Ints, list[Ints]]:
    """Return the place of each split in a walk by levels from the uppermost node, and the splits by how many they lie under."""
    # A cluster is a chain of nodes, and its split the last of them.
    length = np.bincount(cluster)
    splits = np.full(len(cluster), -1)
    splits[cluster[split]] = np.arange(len(split))
    depth, levels = np.zeros(len(cluster), dtype=np.int64), []
    level = splits[[cluster[-1]]]
    while len(level := level[level >= 0]):
        levels.append(level)
        sides = np.stack([left[level], right[level]], axis=1).ravel()
        depth[sides] = np.repeat(depth[cluster[split[level]]] + length[cluster[split[level]]], 2)
        level = splits[sides]
    # Of splits at one depth, those further left come first: that is the order of a walk that goes to the left as long as it can.
    below, before = np.zeros(len(split) + 1, dtype=np.int64), np.zeros(len(split) + 1, dtype=np.int64)
    for level in reversed(levels):
        below[level] = 1 + below[splits[left[level]]] + below[splits[right[level]]]
    for level in levels:
        before[splits[right[level]]] = before[level] + 1 + below[splits[left[level]]]
        before[splits[left[level]]] = before[level] + 1
    order = np.lexsort((before[:-1], depth[left]))
    rank = np.empty(len(split), dtype=np.int64)
    rank[order] = np.arange(len(split))
    return rank, levels
