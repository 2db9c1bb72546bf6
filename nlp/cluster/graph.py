"""Near-duplicates and the neighbour graph of distinct unit rows: exact for few, through inverted lists for many.

Near-duplicates follow a leader within `duplicates` of them, and a leader follows nobody: no chains. Up to `EXACT_ROWS` rows all pairs
are looked at. Beyond, rows are put into lists (`lists`): leaders are sought within each list, where near copies nearly always
meet; where the neighbour graph then finds two leaders that are near-duplicates, one gives way to the other if all that follow it are
near-duplicates of the other too. A text with very many copies fills lists of its own: lists are then learnt anew from the leaders alone.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass

import numpy as np

from greyzone.cluster.lists import LIST_ROWS, Lists, Numbers, Shelf, by_list, learn_lists, nearest_on_shelf, norms, whole_rows
from greyzone.engine import on_threads
from greyzone.models.search import Search
from greyzone.neighbours import Doubles, Ints, leaders, nearest, pair_similarities, places_of
from greyzone.records import Floats

logger = logging.getLogger(__name__)

EXACT_ROWS = 4096
"""Distinct rows up to which all pairs are compared: a second or less, and nothing is approximate."""

PROBES = 12
"""Lists that a row is compared with; docs/benchmarks.md has what more of them find and cost."""

HEAD_AXES = 64
"""Axes by which rows are screened before near-duplicates are sought among them."""

SCREENED_ROWS = 2**13
"""Rows of a list up to which they are screened; a longer list holds copies, of which few lead."""

SCREENED_AT_ONCE = 2**8
"""Rows screened against all after them at a time, so that what is found stays in the cache."""

CROWD_ROWS, CROWD_SHARE = LIST_ROWS // 4, 0.05
"""A list is crowded if it has so many rows and at most this share of them lead: nearly all are copies."""

BORDER = 1e-4
"""Rounding of float32 that the screen allows for."""

DECIMALS = 6
"""Decimals of a cosine from whole rows: finer ones are rounding."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Leaders among rows and their nearest leaders.

    Attributes
    ----------
    chosen
        (m,) rows that are leaders, ascending.
    follows
        (n,) place in `chosen` of the leader of each row, its own for leaders.
    indices, similarities
        (m, k) int64 places in `chosen`, most similar first, and float64 cosines; -1 and -1.0 where there are too few.
    lists
        The inverted lists; None where all pairs were compared.
    home
        (m,) list that each leader is in; None without lists.
    """

    chosen: Ints
    follows: Ints
    indices: Ints
    similarities: Doubles
    lists: Lists | None = None
    home: Ints | None = None


def neighbour_graph(rows: Floats, k: int, *, duplicates: float, device: str = "auto", probes: int = PROBES) -> Graph:
    """Find leaders and their neighbours.

    Parameters
    ----------
    rows
        (n, d) distinct float32 unit rows, in an order of their content that is as good as random.
    k
        Neighbours of a leader.
    duplicates
        Cosine from which a row follows a leader.
    device
        Where blocks of products are made, as for `greyzone.models.search.Search`; only beyond `EXACT_ROWS`.
    probes
        Lists that a row is compared with.
    """
    if len(rows) <= EXACT_ROWS:
        chosen, follows = np.unique(leaders(rows, duplicates), return_inverse=True)
        indices, similarities = nearest(rows[chosen], k)
        return Graph(chosen, follows.astype(np.int64), indices, similarities)
    search = Search(device)
    whole = whole_rows(rows)
    lists = learn_lists(whole, search)
    probed = lists.probe(whole, probes, search)
    home = probed[:, 0].astype(np.int64)
    leader = _leaders_by_list(rows, home, duplicates)
    chosen = np.flatnonzero(leader == np.arange(len(rows)))
    logger.debug("%d rows in %d lists of about %d: %d leaders", len(rows), len(lists.centroids), LIST_ROWS, len(chosen))
    # Made anew, list by list: two copies at once would be the peak of memory.
    del whole
    probed = probed[chosen]
    if _crowded(home, chosen):
        whole = whole_rows(rows, chosen)
        lists = learn_lists(whole, search)
        probed = lists.probe(whole, probes, search)
        home[chosen] = probed[:, 0]
        del whole
    order, starts = by_list(probed[:, 0], len(lists.centroids))
    shelf = Shelf(whole_rows(rows, chosen[order]), order, starts)
    indices, similarities = _nearest_leaders(shelf.whole, order, probed, shelf, min(k, len(chosen) - 1), search)
    left, leader, indices, similarities = _give_way(rows, chosen, leader, indices, similarities, duplicates)
    poor = np.flatnonzero(2 * (indices >= 0).sum(axis=1) < min(k, len(left) - 1))
    if len(poor):
        # Where most neighbours gave way, those that stand are sought again.
        number = np.full(len(chosen) + 1, -1, dtype=np.int64)
        number[left] = np.arange(len(left))
        order, starts = by_list(probed[left, 0], len(lists.centroids))
        standing, asking = Shelf(whole_rows(rows, chosen[left[order]]), left[order], starts), left[poor]
        again, alike = _nearest_leaders(whole_rows(rows, chosen[asking]), asking, probed, standing, indices.shape[1], search)
        indices[poor], similarities[poor] = number[again[asking]], alike[asking]
    del shelf, probed
    chosen = chosen[left]
    place = np.full(len(rows), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    return Graph(chosen, place[leader], indices, similarities, lists, home[chosen])


def nearest_rows(rows: Floats, k: int, *, device: str = "auto", probes: int = PROBES) -> Ints:
    """Return the places (n, k) of the rows nearest to each of `rows`, in a fixed order as good as random; -1 where there are too few."""
    if len(rows) <= EXACT_ROWS:
        return nearest(rows, k)[0]
    search, whole = Search(device), whole_rows(rows)
    lists = learn_lists(whole, search)
    probed = lists.probe(whole, probes, search)
    shelf = Shelf.put(whole, probed[:, 0], len(lists.centroids))
    return nearest_on_shelf(whole, probed, shelf, k, search, own=np.arange(len(rows)))[0]


def _nearest_leaders(whole: Floats, asking: Ints, probed: Numbers, shelf: Shelf, k: int, search: Search) -> tuple[Ints, Doubles]:
    """Return the neighbours (m, k) and their cosines of the leaders `asking`, whose whole rows these are, in the places of all m."""
    found, products = nearest_on_shelf(whole, probed[asking], shelf, k, search, own=asking)
    lengths = np.ones(len(probed))
    lengths[shelf.order] = norms(shelf.whole)
    indices, similarities = np.full((len(probed), k), -1, dtype=np.int64), np.full((len(probed), k), -1.0)
    indices[asking] = found
    similarities[asking] = cosines(products, lengths[asking], found, lengths[found])
    return indices, similarities


def cosines(products: Floats, lengths: Doubles, indices: Ints, others: Doubles) -> Doubles:
    """Return the cosines (q, k) of products of whole rows, -1 where `indices` is -1; `others` (q, k) are the lengths of those found."""
    found = products.astype(np.float64) / lengths[:, None] / others
    return np.where(indices >= 0, np.clip(np.round(found, DECIMALS), -1.0, 1.0), -1.0)


def _crowded(home: Ints, chosen: Ints) -> bool:
    """Return whether copies of one row fill more than one list, so that their leaders lie in lists of their own and cannot meet there."""
    count = np.bincount(home)
    leading = np.bincount(home[chosen], minlength=len(count))
    return int(((count >= CROWD_ROWS) & (leading <= CROWD_SHARE * count)).sum()) > 1


def _leaders_by_list(rows: Floats, home: Ints, duplicates: float) -> Ints:
    """Return the leader of each row among the rows of its list."""
    order = np.argsort(home, kind="stable")
    bounds = np.flatnonzero(np.r_[True, np.diff(home[order]) > 0, True])
    leader = np.arange(len(rows), dtype=np.int64)

    def lead(list_bounds: tuple[int, int]) -> None:
        members = order[slice(*list_bounds)]
        some = members[_perhaps_copied(rows[members, :HEAD_AXES], duplicates)] if len(members) <= SCREENED_ROWS else members
        leader[some] = some[leaders(rows[some], duplicates)]

    on_threads(lead, itertools.pairwise(bounds.tolist()))
    return leader


def _perhaps_copied(heads: Floats, duplicates: float) -> Ints:
    """Return the rows that may have a near-duplicate among these, from their first axes alone.

    Unit rows at cosine c are at squared distance 2 - 2c, and on some of the axes at no more.
    """
    half = np.square(heads).sum(axis=1, keepdims=True) / 2
    ones = np.ones_like(half)
    left, right = np.hstack([heads, half, ones]), np.hstack([heads, -ones, -half])
    most = np.full(len(heads), -np.inf, dtype=np.float32)
    # Each row with those after it, so that a pair is looked at once.
    for start in range(0, len(heads), SCREENED_AT_ONCE):
        likeness = left[start : start + SCREENED_AT_ONCE] @ right[start:].T
        np.fill_diagonal(likeness, -np.inf)
        own = most[start : start + SCREENED_AT_ONCE]
        np.maximum(own, likeness.max(axis=1), out=own)
        np.maximum(most[start:], likeness.max(axis=0), out=most[start:])
    return np.flatnonzero(most >= duplicates - 1.0 - BORDER)


def _give_way(
    rows: Floats, chosen: Ints, leader: Ints, indices: Ints, similarities: Doubles, duplicates: float
) -> tuple[Ints, Ints, Ints, Doubles]:
    """Let leaders that are near-duplicates of each other be one, with all that follow them, and drop those from the graph.

    Returns the places in `chosen` of those that stand, the leader of each row, and their neighbours as places among them.
    """
    own, column = places_of(similarities >= duplicates)
    other = indices[own, column]
    # The one that gives way is the later in the order of content; a pair stands twice, or once where one list of neighbours is full.
    pairs = np.unique(np.stack([np.maximum(own, other), np.minimum(own, other)], axis=1), axis=0)
    pairs = pairs[pair_similarities(rows, chosen[pairs[:, 0]], chosen[pairs[:, 1]]) >= duplicates]
    if not len(pairs):
        return np.arange(len(chosen)), leader, indices, similarities
    place = np.full(len(rows), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    owner = place[leader]
    by_owner = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_owner], np.arange(len(chosen) + 1))
    gone = np.zeros(len(chosen), dtype=bool)
    kept = np.zeros(len(chosen), dtype=bool)
    for later, earlier in pairs.tolist():
        if gone[later] or gone[earlier] or kept[later]:
            continue
        following = by_owner[starts[later] : starts[later + 1]]
        if (pair_similarities(rows, following, np.full(len(following), chosen[earlier])) >= duplicates).all():
            leader[following] = chosen[earlier]
            gone[later], kept[earlier] = True, True
    left = np.flatnonzero(~gone)
    number = np.full(len(chosen) + 1, -1, dtype=np.int64)
    number[left] = np.arange(len(left))
    indices, similarities = number[indices[left]], similarities[left]
    # The gaps of those that gave way go to the end.
    similarities = np.where(indices >= 0, similarities, -1.0)
    order = np.argsort(-similarities, axis=1, kind="stable")
    return left, leader, np.take_along_axis(indices, order, axis=1), np.take_along_axis(similarities, order, axis=1)
