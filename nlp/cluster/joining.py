"""Later rows join clusters that are there: at a cost that grows with what is new, and little with what was known.

Known rows are only put into their lists and their neighbours weighed; nothing of theirs is searched or linked again.

1. A new row that nearly repeats a leader follows it; the others get leaders among themselves. Neighbours of a new leader are sought among
   the lists of the known rows (`greyzone.cluster.lists`) and among the new ones; where it is nearer to a known leader than the last of that
   one's neighbours, it takes that place.
2. A new leader, or a known outlier beside one, joins the narrative that holds more than `SHARE` of the similarity mass of its
   neighbours, if its mean cosine with the members is at least what a full fit asks of the fringe. This is repeated while any join, so
   that a narrative can grow by what lies beside the new.
3. What is left of these is clustered by itself, as in a full fit, with the neighbours outside counted as outside: narratives are born.

Narratives that are there neither merge nor split here, and outliers far from all that is new stay what they are: that is for the next
full fit (`greyzone.growth` says when). docs/benchmarks.md has how far a corpus fed day by day agrees with one go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.cluster.graph import PROBES, cosines, neighbour_graph
from greyzone.cluster.hierarchy import Neighbours
from greyzone.cluster.levels import Rule, sums
from greyzone.cluster.lists import Lists, Shelf, by_list, learn_lists, nearest_on_shelf, norms, whole_rows
from greyzone.models.search import Search
from greyzone.neighbours import Doubles, Ints, pair_similarities, places_of
from greyzone.records import Floats

SHARE = 0.65
"""Share of a row's neighbours by similarity mass that the narrative it joins must hold."""

ROUNDS = 10
"""Rounds of joining at most; each round adds what lies one step further from the new rows."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Leaders with all that is known of them.

    Attributes
    ----------
    rows
        (m, d) float32 unit rows.
    size
        (m,) int64 documents that each stands for.
    levels
        (m, 3) int64 story, narrative, theme; -1 for none.
    strength
        (m,) float64 strength of membership.
    neighbours
        The neighbour graph.
    origin
        (m,) int64 input row of each.
    follows
        (n,) int64 leader of each input row, -1 for rows that have none.
    lists
        Inverted lists to search them by; None where there were too few rows for any.
    home
        (m,) list of each leader; None without lists.
    """

    rows: Floats
    size: Ints
    levels: Ints
    strength: Doubles
    neighbours: Neighbours
    origin: Ints
    follows: Ints
    lists: Lists | None
    home: Ints | None

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything as arrays; rows as float16, which moves a cosine by about 1e-4."""
        held: dict[str, npt.NDArray[Any]] = {
            "rows": self.rows.astype(np.float16),
            "size": self.size,
            "levels": self.levels,
            "strength": self.strength,
            "indices": self.neighbours.indices.astype(np.int32),
            "similarities": self.neighbours.similarities.astype(np.float32),
            "origin": self.origin,
            "follows": self.follows,
        }
        if self.lists is None or self.home is None:
            return held
        return held | {"centroids": self.lists.centroids, "home": self.home.astype(np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Fitted:
        """Return what `to_arrays` took apart."""
        return cls(
            rows=arrays["rows"].astype(np.float32),
            size=arrays["size"],
            levels=arrays["levels"],
            strength=arrays["strength"],
            neighbours=Neighbours(arrays["indices"].astype(np.int64), arrays["similarities"].astype(np.float64)),
            origin=arrays["origin"],
            follows=arrays["follows"],
            lists=Lists(arrays["centroids"]) if "centroids" in arrays else None,
            home=arrays["home"].astype(np.int64) if "home" in arrays else None,
        )


def add_rows(known: Fitted, rows: Floats, count: Ints, k: int, *, duplicates: float, device: str = "auto") -> tuple[Fitted, Ints]:
    """Let distinct unit rows become followers or leaders with neighbours.

    Parameters
    ----------
    known
        What is there: one leader at least.
    rows
        (r, d) distinct unit rows, in an order of their content.
    count
        (r,) documents of each.
    k
        Neighbours of a leader.
    duplicates
        Cosine from which a row follows a leader.
    device
        Where products are made.

    Returns
    -------
    fitted, follows
        With new leaders at the end, not yet in any narrative; its `follows` and `origin` are those of the known rows. And the leader of
        each new row.
    """
    search, whole = Search(device), whole_rows(rows)
    lists, home = known.lists, known.home
    if lists is None or home is None:
        known_whole = whole_rows(known.rows)
        lists = learn_lists(known_whole, search)
        home = lists.probe(known_whole, 1, search)[:, 0].astype(np.int64)
        del known_whole
    probed = lists.probe(whole, PROBES, search)
    order, starts = by_list(home, len(lists.centroids))
    near, products = nearest_on_shelf(whole, probed, Shelf(whole_rows(known.rows, order), order, starts), k, search)
    seen, where = np.unique(near, return_inverse=True)
    alike = cosines(products, norms(whole), near, norms(whole_rows(known.rows, seen))[where.reshape(near.shape)])
    best = near[:, 0]
    exact = np.full(len(rows), -1.0)
    met = np.flatnonzero(best >= 0)
    exact[met] = _row_cosines(rows[met], known.rows[best[met]])
    follows = np.where(exact >= duplicates, best, -1)
    rest = np.flatnonzero(follows < 0)
    graph = neighbour_graph(rows[rest], k, duplicates=duplicates, device=device)
    start = len(known.rows)
    follows[rest] = start + graph.follows
    lead = rest[graph.chosen]
    size = np.concatenate([known.size, np.zeros(len(lead), dtype=np.int64)])
    np.add.at(size, follows, count)
    indices, similarities = _merged(
        (near[lead], alike[lead]), (np.where(graph.indices >= 0, graph.indices + start, -1), graph.similarities), k
    )
    neighbours = _with_new(_widened(known.neighbours, k), Neighbours(indices, similarities))
    fitted = replace(
        known,
        rows=np.concatenate([known.rows, rows[lead]]),
        size=size,
        levels=np.concatenate([known.levels, np.full((len(lead), known.levels.shape[1]), -1, dtype=np.int64)]),
        strength=np.concatenate([known.strength, np.zeros(len(lead))]),
        neighbours=neighbours,
        lists=lists,
        home=np.concatenate([home, probed[lead, 0]]),
    )
    return fitted, follows


def take_in(fitted: Fitted, fresh: Ints, rule: Rule) -> tuple[Fitted, Ints]:
    """Let `fresh` leaders, and outliers beside them, join narratives that are there.

    Returns
    -------
    fitted, open
        And the places of those that joined none.
    """
    levels, strength = fitted.levels.copy(), fitted.strength.copy()
    narratives = int(levels[:, 1].max(initial=-1)) + 1
    waiting = np.unique(np.concatenate([fresh, _outliers_beside(fitted.neighbours, levels, fresh)]))
    if not narratives:
        return fitted, waiting
    theme = np.full(narratives, -1, dtype=np.int64)
    theme[levels[levels[:, 1] >= 0, 1]] = levels[levels[:, 1] >= 0, 2]
    sums, counts = _narrative_sums(fitted.rows, levels[:, 1], narratives, _touched(fitted.neighbours, levels, waiting))
    for _ in range(ROUNDS):
        seen = np.where(fitted.neighbours.indices[waiting] >= 0, levels[fitted.neighbours.indices[waiting], 1], -1)
        top, share = _majority(seen, fitted.neighbours.of(waiting).masses())
        alike = np.einsum("ij,ij->i", fitted.rows[waiting], sums[top]) / np.maximum(counts[top], 1.0)
        joins = (top >= 0) & (share > SHARE) & (counts[top] > 0) & (alike >= rule.fringe)
        if not joins.any():
            break
        who, where = waiting[joins], top[joins]
        nearest = _first_in(fitted.neighbours.indices[who], levels[:, 1], where)
        story = np.where(pair_similarities(fitted.rows, who, nearest) >= rule.story, levels[nearest, 0], -1)
        levels[who] = np.column_stack([story, where, theme[where]])
        strength[who] = np.minimum(share[joins], 1.0)
        waiting = np.setdiff1d(waiting, who, assume_unique=True)
        waiting = np.unique(np.concatenate([waiting, _outliers_beside(fitted.neighbours, levels, who)]))
        more = np.setdiff1d(_touched(fitted.neighbours, levels, waiting), np.flatnonzero(counts > 0), assume_unique=True)
        if len(more):
            extra, extra_counts = _narrative_sums(fitted.rows, levels[:, 1], narratives, more)
            sums, counts = sums + extra, counts + extra_counts
    return replace(fitted, levels=levels, strength=strength), waiting


def among(neighbours: Neighbours, rows: Ints) -> tuple[Neighbours, Doubles]:
    """Return the graph among `rows` alone, and the similarity mass (rows,) of their neighbours outside."""
    place = np.full(len(neighbours.indices) + 1, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    indices = place[neighbours.indices[rows]]
    part = Neighbours(indices, np.where(indices >= 0, neighbours.similarities[rows], -1.0))
    return part, neighbours.of(rows).masses().sum(axis=1) - part.masses().sum(axis=1)


def _row_cosines(one: Floats, other: Floats) -> Doubles:
    return np.asarray(np.round(np.einsum("ij,ij->i", one.astype(np.float64), other), 6))


def _merged(one: tuple[Ints, Doubles], other: tuple[Ints, Doubles], k: int) -> tuple[Ints, Doubles]:
    """Return the `k` most similar of two lists of neighbours each, filled with -1."""
    indices = np.concatenate([one[0], other[0]], axis=1)
    similarities = np.concatenate([one[1], other[1]], axis=1)
    short = max(0, k - indices.shape[1])
    indices = np.pad(indices, ((0, 0), (0, short)), constant_values=-1)
    similarities = np.pad(similarities, ((0, 0), (0, short)), constant_values=-1.0)
    order = np.lexsort((indices, -similarities), axis=1)[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(similarities, order, axis=1)


def _widened(neighbours: Neighbours, k: int) -> Neighbours:
    """Return the graph with room for `k` neighbours, where it was made of fewer rows than that."""
    short = ((0, 0), (0, k - neighbours.indices.shape[1]))
    return Neighbours(np.pad(neighbours.indices, short, constant_values=-1), np.pad(neighbours.similarities, short, constant_values=-1.0))


def _with_new(known: Neighbours, new: Neighbours) -> Neighbours:
    """Return the graph with new rows at the end, which take places among the neighbours of known rows where they are nearer."""
    start, k = len(known.indices), known.indices.shape[1]
    indices, similarities = known.indices.copy(), known.similarities.copy()
    place, column = places_of((new.indices >= 0) & (new.indices < start))
    owner, guest, alike = new.indices[place, column], place + start, new.similarities[place, column]
    order = np.lexsort((guest, -alike, owner))
    owner, guest, alike = owner[order], guest[order], alike[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = np.flatnonzero(rank < k)
    touched, at = np.unique(owner[kept], return_inverse=True)
    guests = np.full((len(touched), k), -1, dtype=np.int64)
    nearness = np.full((len(touched), k), -1.0)
    guests[at, rank[kept]], nearness[at, rank[kept]] = guest[kept], alike[kept]
    indices[touched], similarities[touched] = _merged((indices[touched], similarities[touched]), (guests, nearness), k)
    return Neighbours(np.concatenate([indices, new.indices]), np.concatenate([similarities, new.similarities]))


def _outliers_beside(neighbours: Neighbours, levels: Ints, rows: Ints) -> Ints:
    """Return the neighbours of `rows` that are in no narrative."""
    beside = np.unique(neighbours.indices[rows])
    found: Ints = beside[(beside >= 0) & (levels[beside, 1] < 0)]
    return found


def _touched(neighbours: Neighbours, levels: Ints, rows: Ints) -> Ints:
    """Return the narratives that neighbours of `rows` are in."""
    indices = neighbours.indices[rows]
    seen = np.unique(levels[indices[indices >= 0], 1])
    return seen[seen >= 0]


def _narrative_sums(rows: Floats, label: Ints, narratives: int, chosen: Ints) -> tuple[Doubles, Doubles]:
    """Return the sums (narratives, d) and counts of the leaders of the `chosen` narratives; 0 for the others."""
    wanted = np.zeros(narratives + 1, dtype=bool)
    wanted[chosen] = True
    told = np.where(wanted[label], label, -1)
    return sums(rows, told, narratives), np.bincount(told[told >= 0], minlength=narratives).astype(np.float64)


def _majority(seen: Ints, masses: Doubles) -> tuple[Ints, Doubles]:
    """Return the narrative with most of the mass of each row's neighbours (-1: none) and its share."""
    total = masses.sum(axis=1)
    best, share = np.full(len(seen), -1, dtype=np.int64), np.zeros(len(seen))
    for column in range(seen.shape[1]):
        held = np.where((seen == seen[:, column : column + 1]) & (seen >= 0), masses, 0.0).sum(axis=1)
        part = held / np.where(total > 0, total, 1.0)
        better = part > share
        best, share = np.where(better, seen[:, column], best), np.where(better, part, share)
    return best, share


def _first_in(indices: Ints, label: Ints, wanted: Ints) -> Ints:
    """Return for each row its most similar neighbour in the `wanted` narrative."""
    inside = (np.where(indices >= 0, label[indices], -1) == wanted[:, None]) & (indices >= 0)
    found: Ints = np.take_along_axis(indices, inside.argmax(axis=1)[:, None], axis=1)[:, 0]
    return found
