"""A tree of merges to clusters: hdbscan's condensed tree and selection, and what a cluster must show to count as one.

Clusters are the branches of the tree that hold `min_cluster_size` documents (Campello, Moulavi and Sander 2013; the tree is made by
the hdbscan package), and of nested ones those with the greatest excess of mass: the sum over their documents of how long they
stay in it. `Tree` takes a distance for each merge, so that "how long" is the caller's to define.

Excess of mass alone takes all background for clusters of their own, since something is always the most alike. So a cluster must also be

* closed: on average over its leaders, it holds at least `closure` of the similarity mass exp((cos - 1) / `MASS_SCALE`) of a leader's
  neighbours, its copies counted as neighbours. The nearest relatives of a narrative are its own;
* cohesive: the mean cosine of its pairs, as a share of what lies between `base` and 1, is at least `cohesion`;
* contrasted: that mean cosine, as a share of what lies between the likeness at which it merges with the next and 1, is at least
  `contrast`.

Where a cluster fails, its parts are asked.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from hdbscan import _hdbscan_tree
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster._hierarchical_fast import single_linkage_label

from greyzone.cluster.condense import condense
from greyzone.engine import on_threads
from greyzone.neighbours import Doubles, Ints, pair_similarities, places_of
from greyzone.records import Floats

MASS_SCALE = 0.1
"""Scale of the similarity mass exp((cos - 1) / MASS_SCALE) of a neighbour."""

BASE_QUANTILE = 0.95
"""Quantile of the cosines of leaders taken at random that counts as the likeness of what only shares a subject. From the corpus, since
some encoders give any two texts a high cosine."""

REST_QUANTILE, MOST_BASE = 0.1, 0.4
"""Where narratives are few, a twentieth of all pairs lies within one. So the base is at most this share of the way from the cosine that
a tenth of all pairs stay below to 1; in the corpora measured the quantile above is the smaller of the two."""

BASE_PAIRS = 100_000
"""About how many pairs of leaders these quantiles are taken over."""

PAIRS, CLUSTERS = 2**13, 2**8
"""Pairs of clusters and sums of clusters looked at together, so that they stay in the cache; it leaves no trace in the result."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The neighbour graph of leaders: `indices` and `similarities` (m, k), -1 and -1.0 where there are too few."""

    indices: Ints
    similarities: Doubles

    def masses(self) -> Doubles:
        """Return the similarity mass (m, k) of each neighbour."""
        return np.where(self.indices >= 0, np.exp((self.similarities - 1.0) / MASS_SCALE), 0.0)

    def of(self, rows: Ints) -> Neighbours:
        """Return the neighbours of some rows."""
        return Neighbours(self.indices[rows], self.similarities[rows])

    def with_lone(self) -> Neighbours:
        """Return the graph with one more leader, which has no neighbours."""
        none = ((0, 1), (0, 0))
        return Neighbours(np.pad(self.indices, none, constant_values=-1), np.pad(self.similarities, none, constant_values=-1.0))


@dataclass(frozen=True, slots=True)
class Branches:
    """Merges of leaders by distance, smallest first: `left`, `right` rows of the two sides, and the distance at which copies join.

    Attributes
    ----------
    left, right
        (m - 1,) int64.
    distance
        (m - 1,) float64, above 0.
    copies
        (m,) float64: distance at which the documents that a leader stands for are one.
    """

    left: Ints
    right: Ints
    distance: Doubles
    copies: Doubles


class Tree:
    """The condensed tree of leaders that stand for `size` documents each.

    Attributes
    ----------
    leaders, points
        How many leaders and documents; points from `leaders` on are documents beyond the first of a leader.
    home
        (leaders,) cluster that each leader falls out of, numbered from 0 (the root).
    left_at
        (leaders,) inverse distance at which it does.
    above
        (clusters,) the cluster that each is part of; the root has itself.
    birth
        (clusters,) inverse distance at which it begins.
    """

    def __init__(self, branches: Branches, size: Ints, min_cluster_size: int) -> None:
        self.leaders = len(size)
        owner = np.repeat(np.arange(self.leaders), size - 1)
        self.points = self.leaders + len(owner)
        merges = np.empty((self.points - 1, 3))
        distance = np.concatenate([branches.copies[owner], branches.distance])
        order = np.argsort(distance, kind="stable")
        merges[:, 0] = np.concatenate([owner, branches.left])[order]
        merges[:, 1] = np.concatenate([self.leaders + np.arange(len(owner)), branches.right])[order]
        merges[:, 2] = distance[order]
        self._condensed = rows = condense(single_linkage_label(merges), min_cluster_size)
        inner = np.flatnonzero(rows.child >= self.points)
        self.above = np.zeros(len(inner) + 1, dtype=np.int64)
        self.above[rows.child[inner] - self.points] = rows.parent[inner]
        self.birth = np.zeros(len(self.above))
        self.birth[rows.child[inner] - self.points] = rows.leaves_at[inner]
        leading = np.flatnonzero(rows.child < self.leaders)
        self.home, self.left_at = np.empty(self.leaders, dtype=np.int64), np.empty(self.leaders)
        self.home[rows.child[leading]], self.left_at[rows.child[leading]] = rows.parent[leading], rows.leaves_at[leading]

    @property
    def condensed(self) -> npt.NDArray[np.void]:
        """Return the tree as hdbscan has it."""
        return self._condensed.table(self.points)

    def down_to(self, least: float) -> Tree:
        """Return the tree with whatever happens below the inverse distance `least` happening there."""
        tree = copy(self)
        tree._condensed = replace(self._condensed, leaves_at=np.maximum(self._condensed.leaves_at, least))
        tree.birth, tree.left_at = np.maximum(self.birth, least), np.maximum(self.left_at, least)
        tree.birth[0] = self.birth[0]
        return tree

    def gather(self, values: npt.NDArray[np.floating]) -> Doubles:
        """Add the `values` (clusters, ...) of every cluster to all that it is part of."""
        total = np.array(values, dtype=np.float64)
        for left in reversed(self._condensed.levels):
            whole = self.above[left]
            total[whole] += total[left + 1]
            total[whole] += total[left]
        return total

    def leader_counts(self) -> Doubles:
        """Return the leaders under each cluster."""
        return self.gather(np.bincount(self.home, minlength=len(self.above)).astype(np.float64))

    def cohesions(self, rows: Floats) -> Doubles:
        """Return the mean cosine between the leaders under each cluster, 1 for a lone one; copies say nothing on it."""
        members = csr_array(
            (np.ones(self.leaders, dtype=np.float32), (self.home, np.arange(self.leaders))), shape=(len(self.above), self.leaders)
        )
        own = np.empty((len(self.above), rows.shape[1]))

        def add(start: int) -> None:
            own[start : start + CLUSTERS] = members[start : start + CLUSTERS] @ rows

        on_threads(add, range(0, len(own), CLUSTERS))
        total, count = self.gather(own), self.leader_counts()
        squares = np.concatenate([(total[start : start + CLUSTERS] ** 2).sum(axis=1) for start in range(0, len(total), CLUSTERS)])
        pairs = count * (count - 1.0)
        return np.where(pairs > 0, (squares - count) / np.where(pairs > 0, pairs, 1.0), 1.0)

    def closures(self, neighbours: Neighbours, size: Ints, outside: Doubles | None = None) -> Doubles:
        """Return the mean share of its neighbours' similarity mass that each cluster holds, over the leaders under it.

        `outside` (leaders,) is the mass of neighbours that are not in the tree.
        """
        masses, k = neighbours.masses(), neighbours.indices.shape[1]
        # A copy is a neighbour at cosine 1; no more of them count than would stand in the list.
        own = np.minimum(size - 1, k).astype(np.float64)
        total = masses.sum(axis=1) + own + (0.0 if outside is None else outside)
        share = masses / np.where(total > 0, total, 1.0)[:, None]
        place, column = places_of(share > 0)
        one, other = self.home[place], self.home[neighbours.indices[place, column]]
        count = len(self.above)
        joined = coo_array((share[place, column], (one, other)), shape=(count, count)).tocsr().tocoo()
        held = np.bincount(self.home, weights=own / np.where(total > 0, total, 1.0), minlength=count)
        np.add.at(held, self._meeting(joined.row.astype(np.int64), joined.col.astype(np.int64)), joined.data)
        leaders = self.leader_counts()
        return np.asarray(self.gather(np.asarray(held, dtype=np.float64)) / np.where(leaders > 0, leaders, 1.0))

    def apart_from(self, label: Ints) -> npt.NDArray[np.bool_]:
        """Return for each cluster whether it neither holds nor lies within any of the clusters that were selected as `label`."""
        chosen = self._chosen(label)
        within = np.zeros(len(self.above), dtype=bool)
        within[chosen] = True
        holds = self.gather(within.astype(np.float64)) > 0
        for left in self._condensed.levels:
            within[left] |= within[self.above[left]]
            within[left + 1] |= within[self.above[left]]
        return ~(holds | within)

    def _chosen(self, label: Ints) -> Ints:
        """Return the cluster that each label (0 .. max) was selected for: the smallest that holds all its leaders."""
        inside = np.flatnonzero(label >= 0)
        inside = inside[np.argsort(label[inside], kind="stable")]
        group, home = label[inside], self.home[inside]
        while len(group) and (group[1:] == group[:-1]).any():
            rank = np.arange(len(group)) - np.searchsorted(group, group)
            first = np.flatnonzero(rank % 2 == 0)
            # The last of an odd number waits for the next round.
            after = np.minimum(first + 1, len(group) - 1)
            other = np.where(group[after] == group[first], home[after], home[first])
            group, home = group[first], self._meeting(home[first], other)
        return home

    def _meeting(self, one: Ints, other: Ints) -> Ints:
        """Return the smallest cluster that holds both of each pair, by jumps of powers of two."""
        depth, jumps = self._jumps
        found, pairs = one.copy(), np.flatnonzero(one != other)

        def meet(start: int) -> None:
            part = pairs[start : start + PAIRS]
            a, b = one[part], other[part]
            lower, upper = np.where(depth[a] >= depth[b], a, b), np.where(depth[a] >= depth[b], b, a)
            gap = depth[lower] - depth[upper]
            for power, jump in enumerate(jumps):
                lower = np.where((gap >> power) & 1, jump[lower], lower)
            for jump in reversed(jumps):
                apart = jump[lower] != jump[upper]
                lower, upper = np.where(apart, jump[lower], lower), np.where(apart, jump[upper], upper)
            found[part] = np.where(lower == upper, lower, self.above[lower])

        on_threads(meet, range(0, len(pairs), PAIRS))
        return found

    @cached_property
    def _jumps(self) -> tuple[Ints, list[Ints]]:
        """Return how many clusters each is within, and what lies 1, 2, 4, ... above it."""
        depth = np.zeros(len(self.above), dtype=np.int64)
        for number, left in enumerate(self._condensed.levels):
            depth[left] = depth[left + 1] = number + 1
        jumps = [self.above]
        while 2 ** len(jumps) <= len(self._condensed.levels):
            jumps.append(jumps[-1][jumps[-1]])
        return depth, jumps

    def select(self, refused: npt.NDArray[np.bool_], selection: str, allow_single_cluster: bool) -> tuple[Ints, Doubles]:
        """Return the cluster (-1: none) and strength of membership of each leader; `refused` clusters are never taken."""
        # Below the sum over no parts at all: excess of mass then never takes it.
        mass = np.where(refused, -1.0, self._masses(0.0, np.inf))
        if selection == "eom" and not allow_single_cluster:
            found = self._excess(mass)
            return _numbered(found), self._strengths(found)
        stability = dict(enumerate(mass.tolist(), start=self.points))
        label, probability, _ = _hdbscan_tree.get_clusters(self.condensed, stability, selection, allow_single_cluster)
        label = np.asarray(label[: self.leaders], dtype=np.int64)
        return label, np.clip(np.nan_to_num(probability[: self.leaders]), 0.0, 1.0)

    def select_between(self, refused: npt.NDArray[np.bool_], low: float, high: float) -> Ints:
        """Return the cluster (-1: none) of each leader by excess of the mass between two inverse distances.

        `refused` clusters are never taken, nor is the root.
        """
        return self._excess(np.where(refused, -1.0, self._masses(low, high)))

    def _excess(self, mass: Doubles) -> Ints:
        """Return the cluster (-1: none) of each leader by excess of `mass`: one whose parts have no more is taken, the root never."""
        parts, most = np.zeros(len(mass)), mass.copy()
        for left in reversed(self._condensed.levels):
            for part in (left + 1, left):
                most[part] = np.where(parts[part] > mass[part], parts[part], mass[part])
                parts[self.above[part]] += most[part]
        taken = mass >= parts
        taken[0] = False
        found = np.where(taken, np.arange(len(mass)), -1)
        for left in self._condensed.levels:
            for part in (left, left + 1):
                whole = found[self.above[part]]
                found[part] = np.where(whole >= 0, whole, found[part])
        return found[self.home]

    def _strengths(self, found: Ints) -> Doubles:
        """Return how long each leader stays in its cluster, against those that stay longest in it itself, as hdbscan does."""
        longest = np.zeros(len(self.above))
        np.maximum.at(longest, self._condensed.parent, self._condensed.leaves_at)
        most = longest[found]
        strength = np.divide(np.minimum(self.left_at, most), most, out=np.ones(self.leaders), where=np.isfinite(self.left_at) & (most > 0))
        return np.where(found >= 0, strength, 0.0)

    def _masses(self, low: float, high: float) -> Doubles:
        """Return the mass of each cluster between two inverse distances; from 0 to infinity it is hdbscan's stability."""
        rows = self._condensed
        stay = np.clip(rows.leaves_at, low, high) - np.clip(self.birth, low, high)[rows.parent]
        return np.bincount(rows.parent, weights=stay * rows.child_size, minlength=len(self.above)).astype(np.float64)


def _numbered(found: Ints) -> Ints:
    """Return the clusters as numbers from 0 in their order; -1 stays."""
    return np.where(found >= 0, np.searchsorted(np.unique(found[found >= 0]), found), -1).astype(np.int64)


def cut(left: Ints, right: Ints, leaders: int) -> Ints:
    """Return the group of each leader where these merges happened: (leaders,) int64 from 0 on, in the order of their first leader."""
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(leaders, leaders))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def base_similarity(rows: Floats) -> float:
    """Return the cosine of two leaders that only share a subject, from pairs at fixed strides in content order; 0 for fewer than two."""
    n = len(rows)
    strides = [stride for stride in range(1, n) if stride <= max(1, BASE_PAIRS // n)] if n < BASE_PAIRS else [1]
    every = np.arange(n) if n < BASE_PAIRS else np.linspace(0, n - 1, BASE_PAIRS, dtype=np.int64)
    found = [pair_similarities(rows, every, (every + n // 2 + stride) % n) for stride in strides if (n // 2 + stride) % n]
    if not found:
        return 0.0
    rest, high = np.quantile(np.concatenate(found), [REST_QUANTILE, BASE_QUANTILE]).tolist()
    return float(min(high, rest + MOST_BASE * (1.0 - rest)))
