"""Average linkage on a neighbour graph: which groups of rows are most alike, from pairs up to themes.

Two groups are as alike as the mean cosine of their pairs (UPGMA, Sokal and Michener 1958); with S the sum of a group's unit rows that
is S_a . S_b / (n_a n_b), whatever the sizes. Only groups that the graph joins are compared. Groups merge from the most alike down, in
layers of `LAYER`: within a layer all pairs that are each other's most alike merge at once, which for average linkage gives the tree of
one-by-one merging (reducibility, Murtagh 1983); a pair need only be looked at again when one of its sides has grown.

A group of ten thousand documents would take in its fringe one by one. So a group may take in at once, beside its own most alike, others
that are most like it, while they add `GROWTH` of its size at most: they then differ from one-by-one merging by less than that share
in what they are compared with (as ParHAC does in layers: Dhulipala et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.engine import on_threads
from greyzone.neighbours import Doubles, Ints, distinct, places_of, taken, unit_rows
from greyzone.records import Floats

LAYER = 0.02
"""Height of a layer: merges within it happen in the order of rounds, not of likeness."""

GROWTH = 0.1
"""Share of its size that a group may grow by in a round, beyond the one most like it."""

BRIDGE = 0.6
"""Height at which groups get neighbours of their own."""

LEAST_BRIDGED = 3
"""Rows of a group that gets some."""

DECIMALS = 6
"""Decimals of a mean cosine; sums are float32."""

PAIRS = 2**9
"""Pairs compared at once, so that their rows stay in the cache; it leaves no trace in the result."""

NOBODY = np.iinfo(np.int32).max
"""Stands for the partner of a group that has no pair."""

Places = npt.NDArray[np.int32]
"""Groups, and rounds: of pairs there are many, and half the width is half the memory."""


@dataclass(frozen=True, slots=True)
class Merges:
    """Merges of groups, the most alike first.

    Attributes
    ----------
    left, right
        (m,) int64 a row of each of the two groups.
    height
        (m,) float64 mean cosine of their pairs.
    """

    left: Ints
    right: Ints
    height: Doubles


@dataclass(slots=True)
class _Pairs:
    """Pairs of groups `left` < `right`, how alike they were in round `seen`."""

    left: Places
    right: Places
    alike: Doubles
    seen: Places

    def part(self, chosen: Ints | slice) -> _Pairs:
        return _Pairs(self.left[chosen], self.right[chosen], self.alike[chosen], self.seen[chosen])

    @classmethod
    def joined(cls, parts: list[_Pairs]) -> _Pairs:
        return cls(
            np.concatenate([part.left for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.alike for part in parts]),
            np.concatenate([part.seen for part in parts]),
        )


class _Layers:
    """Pairs by the layer at which their likeness is reached, so that none is looked at before."""

    def __init__(self, floor: float) -> None:
        heights = np.round(np.arange(1.0 - LAYER, floor - LAYER, -LAYER), DECIMALS)
        self.heights = np.maximum(heights, floor)
        self.held: list[list[_Pairs]] = [[] for _ in heights]
        self.now = 0

    def put(self, pairs: _Pairs) -> None:
        """Keep pairs for their layers, the present one at the earliest; what is below the floor is dropped."""
        layer = np.maximum(np.searchsorted(-self.heights, -pairs.alike), self.now).astype(np.int16)
        order = np.argsort(layer, kind="stable")
        bounds = np.searchsorted(layer[order], np.arange(len(self.held) + 1))
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            self.held[number].append(pairs.part(order[bounds[number] : bounds[number + 1]]))

    def take(self) -> _Pairs | None:
        """Return the pairs of the present layer, forget them, and go on to the next."""
        found, self.held[self.now] = self.held[self.now], []
        self.now += 1
        return _Pairs.joined(found) if found else None


class _Groups:
    """Groups of rows: sums, sizes, the group of each row, and the round in which it last grew."""

    def __init__(self, rows: Floats, sizes: Doubles | None) -> None:
        # Copied on all threads: of a million rows it is a GiB.
        self.sums = taken(rows, np.arange(len(rows)))
        self.sizes = np.ones(len(rows)) if sizes is None else sizes.astype(np.float64)
        self.heads = np.arange(len(rows), dtype=np.int32)
        self.grown = np.zeros(len(rows), dtype=np.int32)
        self.round = 0
        # Of the pairs that are looked at; as good as new after each look.
        self._best = np.full(len(rows), -np.inf)
        self._partner = np.full(len(rows), NOBODY, dtype=np.int32)

    def merge(self, kept: Places, gone: Places) -> None:
        """Let groups `kept`, ascending, take in groups `gone`; a group may take in several."""
        self.round += 1
        starts = np.flatnonzero(np.r_[True, kept[1:] != kept[:-1]])
        several = np.repeat(np.diff(np.append(starts, len(kept))) > 1, np.diff(np.append(starts, len(kept))))
        once = np.flatnonzero(~several)

        def add(start: int) -> None:
            part = once[start : start + PAIRS]
            self.sums[kept[part]] += self.sums[gone[part]]

        on_threads(add, range(0, len(once), PAIRS))
        # One after the other, in their order.
        np.add.at(self.sums, kept[several], self.sums[gone[several]])
        np.add.at(self.sizes, kept, self.sizes[gone])
        self.heads[gone] = kept
        self.grown[kept] = self.grown[gone] = self.round

    def nearest(self, pairs: _Pairs) -> tuple[Places, Places, Doubles]:
        """Return the groups that have a pair, ascending, the one most like each (the lowest of several), and how alike they are."""
        ends = ((pairs.left, pairs.right), (pairs.right, pairs.left))
        for one, _ in ends:
            np.maximum.at(self._best, one, pairs.alike)
        for one, other in ends:
            most = np.flatnonzero(pairs.alike == self._best[one])
            np.minimum.at(self._partner, one[most], other[most])
        node = distinct(np.concatenate([pairs.left, pairs.right]))
        found, height = self._partner[node], self._best[node]
        self._partner[node], self._best[node] = NOBODY, -np.inf
        return node, found, height

    def head(self, rows: Places) -> Places:
        """Return the groups that the groups `rows` have become."""
        found = self.heads[rows]
        while True:
            further = self.heads[found]
            if (further == found).all():
                return found
            found = further

    def settle(self) -> None:
        """Point every row at its group, so that `head` is one step."""
        self.heads = self.head(np.arange(len(self.heads), dtype=np.int32))

    def alike(self, left: Places, right: Places) -> Doubles:
        """Return the mean cosine of the pairs of two groups each."""
        found = np.empty(len(left))

        def compare(start: int) -> None:
            a, b = left[start : start + PAIRS], right[start : start + PAIRS]
            found[start : start + PAIRS] = np.vecdot(self.sums[a], self.sums[b])

        on_threads(compare, range(0, len(left), PAIRS))
        return np.asarray(np.round(found / (self.sizes[left] * self.sizes[right]), DECIMALS))

    def refreshed(self, pairs: _Pairs) -> _Pairs:
        """Return the pairs between the groups as they now are, those that have grown once each and compared anew."""
        changed = np.maximum(self.grown[pairs.left], self.grown[pairs.right]) > pairs.seen
        keys = self._keys(pairs.part(np.flatnonzero(changed)))
        left, right = (keys // len(self.heads)).astype(np.int32), (keys % len(self.heads)).astype(np.int32)
        anew = _Pairs(left, right, self.alike(left, right), np.full(len(keys), self.round, dtype=np.int32))
        return _Pairs.joined([pairs.part(np.flatnonzero(~changed)), anew])

    def _keys(self, pairs: _Pairs) -> Ints:
        """Return one number for each pair of groups that the pairs have become; whichever of equal ones stays, it is compared anew."""
        one, other = self.head(pairs.left), self.head(pairs.right)
        left, right = np.minimum(one, other), np.maximum(one, other)
        return distinct((left.astype(np.int64) * len(self.heads) + right)[left != right])


def average_linkage(
    rows: Floats,
    left: Ints | Places,
    right: Ints | Places,
    similarity: Doubles,
    *,
    floor: float,
    sizes: Doubles | None = None,
    nearest: Callable[[Floats], Ints] | None = None,
) -> Merges:
    """Merge rows, and groups of them, that are alike on average.

    Parameters
    ----------
    rows
        (n, d) float32 unit rows, or sums of the unit rows of groups.
    left, right
        (e,) pairs of rows that are compared, each once.
    similarity
        (e,) float64 cosine (of groups: the mean cosine) of each pair.
    floor
        Groups less alike than this are not merged.
    sizes
        (n,) unit rows that each row is the sum of; 1 each if not given.
    nearest
        Finds for unit rows (g, d) the places (g, k) of the nearest others, -1 where there are too few; without it no bridges are built.

    Returns
    -------
    Merges
        At most n - 1; where the graph falls apart, or below the floor, some are missing.
    """
    groups = _Groups(rows, sizes)
    layers = _Layers(floor)
    # Without names of their own, so that twelve million pairs of a million rows are held once.
    layers.put(
        _Pairs(
            np.minimum(left, right).astype(np.int32), np.maximum(left, right).astype(np.int32), similarity, np.zeros(len(left), np.int32)
        )
    )
    done: list[tuple[Places, Places, Doubles]] = []
    bridged = False
    for least in layers.heights.tolist():
        if nearest is not None and not bridged and least < BRIDGE:
            bridged = True
            layers.put(_bridges(groups, nearest))
        if (active := layers.take()) is None:
            continue
        active = groups.refreshed(active)
        # What falls below the layer is kept till its end, since its groups may grow more alike.
        while (high := np.flatnonzero(active.alike >= least)).size:
            kept, gone, alike = _chosen(active.part(high), groups)
            done.append((kept, gone, alike))
            groups.merge(kept, gone)
            active = groups.refreshed(active)
        layers.put(active)
        groups.settle()
    if not done:
        return Merges(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
    kept, gone, alike = (np.concatenate(part) for part in zip(*done, strict=True))
    order = np.argsort(-alike, kind="stable")
    return Merges(kept[order].astype(np.int64), gone[order].astype(np.int64), alike[order])


def _bridges(groups: _Groups, nearest: Callable[[Floats], Ints]) -> _Pairs:
    """Return pairs of larger groups whose means are near."""
    heads, rows = np.unique(groups.heads, return_counts=True)
    heads = heads[(rows >= LEAST_BRIDGED) | (groups.sizes[heads] >= LEAST_BRIDGED)]
    if len(heads) < 2:
        none = np.empty(0, dtype=np.int32)
        return _Pairs(none, none, np.empty(0), none)
    found = nearest(unit_rows(groups.sums[heads]))
    place, column = places_of(found >= 0)
    ends = np.sort(np.stack([heads[place], heads[found[place, column]]]), axis=0)
    left, right = np.unique(ends, axis=1)
    return _Pairs(left, right, groups.alike(left, right), np.full(len(left), groups.round, dtype=np.int32))


def _chosen(pairs: _Pairs, groups: _Groups) -> tuple[Places, Places, Doubles]:
    """Return the merges of a round: the group that takes in, ascending, the group taken in, and how alike they are."""
    node, best, height = groups.nearest(pairs)
    sizes = groups.sizes
    # Groups are numbered here by their place among those that have a pair.
    partner = np.searchsorted(node, best)
    mutual = partner[partner] == np.arange(len(node))
    larger = (sizes[node] > sizes[best]) | ((sizes[node] == sizes[best]) & (node < best))
    takes = mutual & larger
    asking = np.flatnonzero(takes[partner] & ~takes)
    # Its own most alike stands first and is always taken in; the others while the sum of their sizes stays small.
    asking = asking[np.lexsort((-height[asking], ~mutual[asking], best[asking]))]
    added = np.where(mutual[asking], 0.0, sizes[node[asking]])
    total = np.cumsum(added)
    first = np.flatnonzero(mutual[asking])
    before = np.repeat(total[first], np.diff(np.append(first, len(asking))))
    taken = asking[mutual[asking] | (total - before <= GROWTH * sizes[best[asking]])]
    return best[taken], node[taken], height[taken]
