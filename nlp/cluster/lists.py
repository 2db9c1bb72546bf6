"""Near neighbours of many unit rows: inverted lists, searched by blocks of exact matrix products.

Rows are divided among lists by spherical k-means (Dhillon and Modha 2001) on a sample; a row is compared with the members of the
`probes` lists whose centroids are most like it (Jégou, Douze and Schmid 2011, without compression). One list is one matrix product of
the rows that probe it by its members, so that the work is dense and the same code runs on a GPU.

Every row is scaled to whole numbers of norm 4096 at most (`whole_rows`). A product of two is then a whole number, and no partial sum
leaves the 2^24 up to which float32 counts exactly: products are the same to the last bit whatever the order of the additions, the shape
of the block, the number of threads or the library. A cosine from them is off by about 1e-4.

The cost of n rows is n (n / LIST_ROWS + probes LIST_ROWS) products at most, nearly linear up to a million; a row that a few lists bring
nothing nearer stops looking (`PATIENCE`), so that on planted narratives of a million rows 6.8 lists of 12 are looked into on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.engine import on_threads
from greyzone.models.search import NORM, Search
from greyzone.neighbours import Doubles, Ints, taken, unit_rows
from greyzone.records import Floats

LIST_ROWS = 1000
"""Rows of a list, on average."""

SAMPLE_ROWS = 40
"""Rows a list that its centroid is learnt from."""

ROUNDS = 6
"""Rounds of k-means; lists need not be good clusters, and more raised recall by less than 0.002."""

PATIENCE = 2
"""Lists running that bring a query no nearer neighbour before it stops looking: most rows of background stop early, most rows of a
narrative that k-means cut go on."""

BLOCK_ROWS = 2**10
"""Rows scaled at a time; it leaves no trace in the result."""

Numbers = npt.NDArray[np.int32]
"""Numbers of lists."""

EMPTY = np.iinfo(np.int64).max
"""Stands for a neighbour that is not there."""


def whole_rows(rows: Floats, chosen: Ints | None = None) -> Floats:
    """Return (n, d) unit or zero rows, or the `chosen` of them, scaled to whole numbers, as float32, of a norm of `NORM` at most."""
    # Rounding lengthens a row by half a unit an axis at most.
    scale = np.float32(NORM - math.sqrt(rows.shape[1]) / 2 - 1)
    out = np.empty((len(rows) if chosen is None else len(chosen), rows.shape[1]), dtype=np.float32)

    def scale_block(start: int) -> None:
        block = slice(start, start + BLOCK_ROWS)
        np.multiply(rows[block] if chosen is None else rows[chosen[block]], scale, out=out[block])
        np.rint(out[block], out=out[block])

    on_threads(scale_block, range(0, len(out), BLOCK_ROWS))
    return out


def norms(whole: Floats) -> Doubles:
    """Return the (n,) norm of each row, 1 for a zero row."""
    out = np.empty(len(whole), dtype=np.float64)
    for start in range(0, len(whole), BLOCK_ROWS):
        block = whole[start : start + BLOCK_ROWS]
        # Sums of squares of whole numbers are exact up to 2^24.
        out[start : start + BLOCK_ROWS] = np.vecdot(block, block)
    return np.where(out > 0, np.sqrt(out), 1.0)


@dataclass(frozen=True, slots=True)
class Lists:
    """Centroids of the lists: (lists, d) whole rows."""

    centroids: Floats

    def probe(self, whole: Floats, probes: int, search: Search) -> Numbers:
        """Return for each row the (n, probes) numbers of the lists most like it, the most like first; fewer if there are fewer lists."""
        count = min(probes, len(self.centroids))
        out = np.empty((len(whole), count), dtype=np.int32)
        step = search.rows_at_once(len(self.centroids))

        def look(start: int) -> None:
            _, out[start : start + step] = search.top(whole[start : start + step], self.centroids, count)

        on_threads(look, range(0, len(whole), step))
        return out


def learn_lists(whole: Floats, search: Search, *, list_rows: int = LIST_ROWS) -> Lists:
    """Learn lists from the first rows of `whole`, which must stand in an order that says nothing (of hashes, say)."""
    count = max(1, round(len(whole) / list_rows))
    sample = whole[: SAMPLE_ROWS * count]
    centroids = sample[:count].copy()
    lists = Lists(centroids)
    for _ in range(ROUNDS if count > 1 else 0):
        owner = lists.probe(sample, 1, search)[:, 0]
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(count))
        filled = np.flatnonzero(np.diff(np.append(starts, len(order))) > 0)
        # Sums of whole numbers are exact in float64, in whatever order.
        sums = np.add.reduceat(sample[order], starts[filled], axis=0, dtype=np.float64)
        centroids = lists.centroids.copy()
        centroids[filled] = whole_rows(unit_rows(sums))
        lists = Lists(centroids)
    return lists


@dataclass(frozen=True, slots=True)
class Shelf:
    """Rows put into their lists: `whole` (n, d) list by list, `order` (n,) the number of each, `starts` (lists + 1,) bounds."""

    whole: Floats
    order: Ints
    starts: Ints

    @classmethod
    def put(cls, whole: Floats, home: npt.NDArray[np.integer], lists: int) -> Shelf:
        """Put each row into list `home`; rows of a list stay in their order."""
        order, starts = by_list(home, lists)
        return cls(taken(whole, order), order, starts)

    def members(self, number: int) -> Ints:
        """Return the rows of a list."""
        return self.order[self.starts[number] : self.starts[number + 1]]

    def rows(self, number: int) -> Floats:
        """Return the (m, d) whole rows of a list."""
        return self.whole[self.starts[number] : self.starts[number + 1]]


def by_list(home: npt.NDArray[np.integer], lists: int) -> tuple[Ints, Ints]:
    """Return the rows (n,) list by list, and the bounds (lists + 1,) of each list among them."""
    # In as few bits as will do: numpy sorts numbers of 16 bits many times as fast.
    order = np.argsort(home.astype(np.min_scalar_type(lists)), kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(home, minlength=lists))])


def nearest_on_shelf(
    queries: Floats,
    probed: npt.NDArray[np.integer],
    shelf: Shelf,
    k: int,
    search: Search,
    *,
    own: Ints | None = None,
    patience: int = PATIENCE,
) -> tuple[Ints, Floats]:
    """Find the `k` most similar rows of a shelf for each query, among the lists that it probes.

    Parameters
    ----------
    queries
        (q, d) whole rows.
    probed
        (q, p) lists of each query, the likeliest first.
    shelf
        The rows that are searched.
    k
        Neighbours wanted.
    search
        Where products are made.
    own
        (q,) row of the shelf that a query is, which is not its own neighbour; None if queries are other rows.
    patience
        Lists running, after the first, that bring a query nothing nearer before it stops looking.

    Returns
    -------
    indices, products
        (q, k) int64 rows of the shelf, most similar first, ties by row; -1 and -inf where there are too few.
    """
    best = np.full((len(queries), k), EMPTY, dtype=np.int64)
    idle = np.zeros(len(queries), dtype=np.int64)
    # The likeliest list of every query first: of the others, only what beats its neighbours there needs sorting.
    for turn in range(probed.shape[1]):
        looking = np.flatnonzero(idle < patience)
        order, starts = by_list(probed[looking, turn], len(shelf.starts) - 1)
        asked = looking[order]
        idle[looking] += turn > 0

        def look(number: int, first: bool = turn == 0, asked: Ints = asked, starts: Ints = starts) -> None:
            asking, members = asked[starts[number] : starts[number + 1]], shelf.members(number)
            if not len(asking) or not len(members):
                return
            there, width = search.hold(shelf.rows(number)), min(k, len(members))
            step = search.rows_at_once(len(members))
            for start in range(0, len(asking), step):
                rows = asking[start : start + step]
                if first:
                    hidden = None if own is None else _places(members, own[rows])
                    values, places = search.top(queries[rows], there, width, hidden=hidden)
                    best[rows, :width] = _keys(values, members[places])
                else:
                    some, values, places = search.top_above(queries[rows], there, width, _products(best[rows, -1]))
                    rows = rows[some]
                    idle[rows] = 0
                    best[rows] = np.sort(np.concatenate([best[rows], _keys(values, members[places])], axis=1), axis=1)[:, :k]

        on_threads(look, range(len(shelf.starts) - 1))
    return np.where(best == EMPTY, -1, best & (2**32 - 1)), _products(best)


def _places(members: Ints, rows: Ints) -> Ints:
    """Return the place of each row among ascending `members`, -1 for none."""
    place = np.minimum(np.searchsorted(members, rows), len(members) - 1)
    return np.where(members[place] == rows, place, -1)


def _keys(products: Floats, rows: Ints) -> Ints:
    """Return numbers that sort by product, greatest first, and then by row; `EMPTY` for -inf."""
    below = NORM**2 - np.where(np.isneginf(products), 0, products).astype(np.int64)
    return np.where(np.isneginf(products), EMPTY, (below << 32) + rows)


def _products(keys: Ints) -> Floats:
    """Return the products that `_keys` took, -inf for `EMPTY`."""
    return np.where(keys == EMPTY, -np.inf, NORM**2 - (keys >> 32)).astype(np.float32)
