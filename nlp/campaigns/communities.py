"""Overlapping campaigns over the weighted graph of incidents and narratives: links are grouped, so that what they join may lie in several.

A node belongs to as many campaigns as its links do, hence the links are what is grouped (Ahn, Bagrow and Lehmann 2010). Weight w = h p:
probability of the link times the weight of its type. Steps, each local, so that what happens far away changes nothing here:

1. Episodes. A node's links are put in order of time and parted where `gap_days` pass without one: what follows counts as another node.
2. Two links that share an end are of one part if their other ends are kin: the cosine of their rows of weights exceeds `kin`. Two
   stories of one incident and of no other are kin whatever their weights (1); neighbours in a chain in which every end has two equal
   links are not (1/2); nor is what a weak link ties to a foreign incident. Parts are united over such pairs (single linkage).
3. Parts that have more than half of the nodes of the smaller in common are one, until none do.
4. Home. A part is the home of a node if no other holds more of its weight. Home to an incident and a narrative, a part is a campaign.
   Home to one side only (an incident whose one story belongs elsewhere), it joins the home of the other side. Home to none, its links
   are bridges: told, and joined to nothing.
5. Where the links of a campaign leave a gap of more than `gap_days` it is parted.

Membership. P(node in campaign) = 1 - prod (1 - w) over its links there: the chance that one of them at least is real and of a kind that
joins, were they independent. It does not sum to one over campaigns.

Cost: linear in the links where degrees are bounded, else the sum of squared degrees; nodes with one link count once a neighbour. Memory is
bounded by blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from greyzone.ranges import ranges

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BLOCK = 4_000_000
"""Products that are held at a time."""
ROUNDING = 1e-9
"""Cosines and weights this near are equal."""


@dataclass(frozen=True, slots=True)
class Ties:
    """Links that may join, one entry each, in any order; no pair has two.

    Attributes
    ----------
    incident, narrative
        Ids of the ends.
    weight
        (n,) float64 in (0, 1].
    start, end
        (n,) float64 days between which a link lies; NaN where it has no date, and then no gap parts it.
    """

    incident: Sequence[str]
    narrative: Sequence[str]
    weight: Doubles
    start: Doubles
    end: Doubles


@dataclass(frozen=True, slots=True)
class Community:
    """A campaign: its ends with the probability of each, in order of ids, and the places of its links among the `Ties`."""

    incidents: dict[str, float]
    narratives: dict[str, float]
    ties: list[int]


def find_communities(ties: Ties, *, kin: float, gap_days: float) -> tuple[list[Community], list[int]]:
    """Group links into campaigns that may share incidents and narratives.

    Parameters
    ----------
    ties
        The links.
    kin
        Cosine above which two ends of links that share the other end are kin.
    gap_days
        Days without a link after which another campaign begins.

    Returns
    -------
    list of Community, list of int
        Campaigns in order of their incidents and narratives, and the places of the links that are bridges. Every link is in one campaign
        or a bridge.
    """
    order = sorted(range(len(ties.weight)), key=lambda place: (ties.incident[place], ties.narrative[place]))
    if not order:
        return [], []
    rows = np.array(order, dtype=np.int64)
    graph = _Graph(
        np.unique(np.array(ties.incident, dtype=object)[rows], return_inverse=True)[1].astype(np.int64),
        np.unique(np.array(ties.narrative, dtype=object)[rows], return_inverse=True)[1].astype(np.int64),
        *(values[rows] for values in (ties.weight, ties.start, ties.end)),
    )
    episodes = graph.parted(graph.incident, gap_days), graph.parted(graph.narrative, gap_days)
    pairs = [*_kin(*episodes, graph.weight, kin), *_kin(*episodes[::-1], graph.weight, kin)]
    label = _united(len(order), np.concatenate([np.empty((2, 0), dtype=np.int64), *pairs], axis=1))
    label, stands = _settled(graph, _nested(label, episodes))
    parts = graph.parted(label, gap_days)
    found = []
    bridges: list[int] = []
    for own in _by_label(parts):
        places = [order[row] for row in own.tolist()]
        if stands[own[0]]:
            found.append(Community(_members(ties.incident, ties.weight, places), _members(ties.narrative, ties.weight, places), places))
        else:
            bridges += places
    return sorted(found, key=lambda item: (list(item.incidents), list(item.narratives))), sorted(bridges)


@dataclass(frozen=True, slots=True)
class _Graph:
    """Links in order of their ends, these as numbers."""

    incident: Ints
    narrative: Ints
    weight: Doubles
    start: Doubles
    end: Doubles

    def parted(self, side: Ints, gap: float) -> Ints:
        """Return numbers in which links of one `side` are parted where `gap` days pass between all earlier ends and the next start."""
        found = np.empty(len(side), dtype=np.int64)
        number, last, until = -1, -1, -np.inf
        for row in np.lexsort((self.end, self.start, side)).tolist():
            start, end = float(self.start[row]), float(self.end[row])
            # NaN comes last and compares false: a link without a date stays with the latest.
            if side[row] != last or start > until + gap:
                number, last, until = number + 1, int(side[row]), -np.inf
            until = end if end > until else until
            found[row] = number
        return found


def _kin(shared: Ints, other: Ints, weight: Doubles, least: float) -> Iterator[Ints]:
    """Yield (2, k) pairs of links with one `shared` end whose `other` ends are kin."""
    lone = np.bincount(other)[other] == 1
    # Nodes whose one link goes to the same end have the same row: one stands for all.
    rows = np.flatnonzero(lone)
    _, first, where = np.unique(shared[rows], return_index=True, return_inverse=True)
    yield np.stack([rows, rows[first[where]]])
    kept = np.sort(np.concatenate([np.flatnonzero(~lone), rows[first]]))
    yield from (kept[pair] for pair in _near(shared[kept], other[kept], weight[kept], least))


def _near(shared: Ints, other: Ints, weight: Doubles, least: float) -> Iterator[Ints]:
    """Yield pairs of places of links, block by block of the rows of `other`."""
    _, other = np.unique(other, return_inverse=True)
    table = sparse.csr_array((weight, (other, shared)), shape=(int(other.max()) + 1, int(shared.max()) + 1))
    norm = np.sqrt(np.bincount(other, weights=weight**2))
    unit = sparse.csr_array(table.multiply(1 / norm[:, None]))
    back = unit.T.tocsr()
    place = np.lexsort((shared, other))
    keys = other[place] * table.shape[1] + shared[place]
    reach = np.cumsum(np.bincount(other, weights=np.bincount(shared)[shared]))
    first = 0
    while first < table.shape[0]:
        done = reach[first - 1] if first else 0
        stop = max(first + 1, int(np.searchsorted(reach, done + BLOCK, side="right")))
        near = (unit[first:stop] @ back).tocoo()
        keep = (near.data > least + ROUNDING) & (near.row + first < near.col)
        a, b = (near.row[keep] + first).astype(np.int64), near.col[keep].astype(np.int64)
        # Every link of a, beside the link of b to the same end, where there is one.
        degree = (table.indptr[a + 1] - table.indptr[a]).astype(np.int64)
        ours = ranges(table.indptr[a], degree)
        wanted = np.repeat(b, degree) * table.shape[1] + shared[place][ours]
        theirs = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        met = keys[theirs] == wanted
        yield np.stack([place[ours[met]], place[theirs[met]]])
        first = stop


def _nested(label: Ints, sides: tuple[Ints, Ints]) -> Ints:
    """Unite parts that have more than half of the nodes of the smaller in common, until none do."""
    nodes = np.concatenate([sides[0], sides[1] + sides[0].max() + 1])
    while True:
        parts = int(label.max()) + 1
        both = np.unique(np.concatenate([label, label]) * (int(nodes.max()) + 1) + nodes)
        part, node = both // (int(nodes.max()) + 1), both % (int(nodes.max()) + 1)
        size = np.bincount(part, minlength=parts)
        # Only nodes of several parts can be shared.
        several = np.bincount(node)[node] > 1
        held = sparse.csr_array((np.ones(int(several.sum())), (part[several], node[several])), shape=(parts, int(nodes.max()) + 1))
        common = (held @ held.T).tocoo()
        keep = (common.row < common.col) & (2 * common.data > np.minimum(size[common.row], size[common.col]))
        if not keep.any():
            return label
        label = _united(parts, np.stack([common.row[keep], common.col[keep]]).astype(np.int64))[label]


def _settled(graph: _Graph, label: Ints) -> tuple[Ints, Mask]:
    """Join parts that are home to one side only to the home of the other; return labels, and for each link whether its part stands."""
    while True:
        homes = [_homes(side, label, graph.weight) for side in (graph.incident, graph.narrative)]
        has = [_any(home, label) for home in homes]
        if not (has[0] ^ has[1]).any():
            return label, (has[0] & has[1])[label]
        # A link whose part is home to the other side alone points to the home of its end; the heaviest such link decides for its part.
        pairs = []
        for side, ours, theirs in ((graph.incident, has[0], has[1]), (graph.narrative, has[1], has[0])):
            weight = _weights(side, label, graph.weight)
            best = np.lexsort((label, -np.round(weight, 9), side))
            target = np.zeros(int(side.max()) + 1, dtype=np.int64)
            target[side[best][::-1]] = label[best][::-1]
            for own in _by_label(label):
                if theirs[label[own[0]]] and not ours[label[own[0]]]:
                    heaviest = own[np.lexsort((target[side[own]], -np.round(graph.weight[own], 9)))[0]]
                    pairs.append((int(label[own[0]]), int(target[side[heaviest]])))
        label = _united(int(label.max()) + 1, np.array(pairs, dtype=np.int64).T)[label]


def _weights(side: Ints, label: Ints, weight: Doubles) -> Doubles:
    """Return for each link the weight that its end has in its part."""
    _, where = np.unique(side * (int(label.max()) + 1) + label, return_inverse=True)
    return np.asarray(np.bincount(where, weights=weight)[where], dtype=np.float64)


def _homes(side: Ints, label: Ints, weight: Doubles) -> Mask:
    """Return for each link whether its part is a home of its end."""
    held = _weights(side, label, weight)
    most = np.zeros(int(side.max()) + 1)
    np.maximum.at(most, side, held)
    return np.asarray(held >= most[side] - ROUNDING)


def _any(mask: Mask, label: Ints) -> Mask:
    return np.asarray(np.bincount(label, weights=mask) > 0)


def _united(n: int, pairs: Ints) -> Ints:
    """Return the component of each of `n` things, numbered by their first members."""
    graph = sparse.coo_array((np.ones(pairs.shape[1], dtype=np.int8), (pairs[0], pairs[1])), shape=(n, n))
    _, found = connected_components(graph, directed=False)
    _, first, where = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[where].astype(np.int64)


def _by_label(label: Ints) -> list[Ints]:
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _members(side: Sequence[str], weight: Doubles, places: Sequence[int]) -> dict[str, float]:
    absent: dict[str, float] = {}
    for place in places:
        absent[side[place]] = absent.get(side[place], 1.0) * (1.0 - float(weight[place]))
    return {name: 1.0 - absent[name] for name in sorted(absent)}
