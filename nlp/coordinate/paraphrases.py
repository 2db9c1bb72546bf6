"""Texts of different accounts that say one thing in other words: groups of alike embeddings above a similarity calibrated on the corpus.

A rewording has to be told from another text on the same subject, and how alike two texts on one subject are depends on the encoder, the
language, the length of the texts and the corpus. So the corpus is asked, without labels: for a sample of texts, how alike is the nearest
text of another account? Most texts are nobody's rewording, so the middle and the lower half of these similarities show what a shared
subject gives, whatever the upper half holds (an empirical null, Efron 2004). With z = artanh(similarity), median m and the distance s
from m down to the lower sixth (one standard deviation of a normal law), the threshold is

    tanh(m + q s),  q the normal quantile of 1 - ``paraphrase_level``.

If that exceeds ``paraphrase_highest``, rewordings and near copies cannot be told apart and nothing is said.

Texts that stand for exact and near copies stand once; reposts and texts below ``words_minimum`` words are left out. Every text follows
the leader nearest to it within the threshold, and leaders follow nobody (`greyzone.neighbours.leaders`): no chains of texts that drift
away from their beginning. That leaves the rewordings of one claim in several groups, since many of them are no nearer to each other than
the threshold. But the mean of a group loses what is particular to its wordings: of k texts at cosine r to each other, one more is at
r / sqrt((1 + (k - 1) r) / k) to their mean. So groups whose means are within the threshold unite, and a text that is alone joins the
nearest mean within it.

Beyond `greyzone.cluster.graph.EXACT_ROWS` texts all this is near-linear through inverted lists (`neighbour_graph` of the same file):
of the texts that leaders among all pairs group, 98 % are found in 44,000 posts of members of Congress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from greyzone.cluster.graph import EXACT_ROWS, cosines, neighbour_graph
from greyzone.cluster.lists import LIST_ROWS, Lists, Numbers, Shelf, learn_lists, nearest_on_shelf, norms, whole_rows
from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.wording import has_words
from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.models.search import Search
from greyzone.neighbours import distinct_rows, nearest, unit_rows
from greyzone.records import Floats

PROBES = 8
"""Lists in which the nearest text of a sampled one is sought."""

MEANS_PROBES = 4
"""Lists in which the nearest mean of a text is sought: of all texts, so that more of them would be most of the cost."""

ROUNDS = 5
"""Rounds of uniting at most: each moves the means a little, and two or three leave little to do."""

NEIGHBOURS = 16
"""Nearest texts of a sampled one that are looked at for another account; where all are its own, the last bounds the likeness."""

TWINS = 4
"""Nearest leaders of a leader that are looked at for one that is as near as a follower would be."""

LOWER = 0.15865525393145707
"""Share of a normal law that lies more than a standard deviation below its middle."""

LARGEST = 1 - 1e-9
"""Nearest to 1 that a cosine may come before its artanh is taken."""

NOBODY, SEVERAL = -1, -2
"""Stand for the account of a text that nobody, or that more than one account posted as its own."""

TABLE = pa.schema([pa.field("doc_id", pa.string()), pa.field("item", pa.string())])
"""A text by the document that stands for its copies, and the first text of its group; texts that reword nothing have no row."""


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """Groups of rewordings: `items` of the schema `TABLE`, the least cosine of a text with its leader (nan: cannot be told), and a note."""

    items: pa.Table
    similarity: float
    note: str


def find_paraphrases(
    documents: pa.Table, copies: pa.Table, ids: Sequence[str], vectors: Floats, *, doctrine: Doctrine, device: str = "auto"
) -> Paraphrases:
    """Group the texts of different accounts that reword each other.

    Parameters
    ----------
    documents, copies
        `records.DOCUMENTS` in any order and their `records.COPIES`.
    ids, vectors
        The document that stands for its copies, and (len(ids), d) float32 embeddings; zero rows are texts unknown to the encoder.
    doctrine
        Section ``coordination``.
    device
        As for `greyzone.cluster.graph.neighbour_graph`.

    Raises
    ------
    InputError
        If `ids` and `vectors` differ in length, or an id is of no document.
    """
    if len(ids) != len(vectors):
        raise InputError(f"{len(ids)} ids and {len(vectors)} vectors", "one vector an id")
    row, account = _texts(documents, copies, pa.array(ids, pa.string()))
    least, needed = int(doctrine["coordination.words_minimum"]), int(doctrine["coordination.paraphrase_texts"])
    own = np.flatnonzero((account != NOBODY) & vectors.any(axis=1))
    own = own[has_words(documents["text"].take(pa.array(row[own])), least)]
    if len(own) < needed:
        return _nothing(f"{len(own)} own texts of {least} words and more have an embedding; the calibration needs {needed}")
    rows = unit_rows(vectors[own])
    first, place = distinct_rows(rows)
    space = _Space.of(rows[first], _owners(place, account[own], len(first)), Search(device))
    near = space.nearest_of_others(int(doctrine["coordination.paraphrase_sample"]))
    similarity, highest = calibrate(near, doctrine["coordination.paraphrase_level"]), doctrine["coordination.paraphrase_highest"]
    if not similarity <= highest:
        return _nothing(f"rewordings would need a similarity of {similarity:.3f}, above the {highest:g} of near copies")
    items = _items(space.groups(similarity)[place], row[own], documents)
    note = (
        f"{items.num_rows} of {len(own)} own texts reword another at a similarity of {similarity:.3f} and more; "
        f"the nearest text of another account has {float(np.median(near)):.3f} in the median of {len(near)} texts"
    )
    return Paraphrases(items, similarity, note)


def calibrate(near: Doubles, level: float) -> float:
    """Return the similarity that a shared subject exceeds at a rate of `level`, from those of nearest texts, (n,) float64."""
    z = np.arctanh(np.clip(near, -LARGEST, LARGEST))
    middle, lower = np.quantile(z, [0.5, LOWER], method="inverted_cdf")
    return float(np.tanh(middle + stats.norm.isf(level) * (middle - lower)))


@dataclass(frozen=True, slots=True)
class _Space:
    """Distinct rows in an order of their content, who posted them, and the lists that they are in (none for few rows)."""

    rows: Floats
    owner: Ints
    search: Search
    whole: Floats | None = None
    lists: Lists | None = None
    home: Numbers | None = None

    @classmethod
    def of(cls, rows: Floats, owner: Ints, search: Search) -> _Space:
        if len(rows) <= EXACT_ROWS:
            return cls(rows, owner, search)
        whole = whole_rows(rows)
        lists = learn_lists(whole, search)
        return cls(rows, owner, search, whole, lists, lists.probe(whole, 1, search)[:, 0].astype(np.int64))

    def nearest_of_others(self, sample: int) -> Doubles:
        """Return the cosine of each of the first `sample` rows with its nearest row of another account."""
        count = min(sample, len(self.rows))
        if self.whole is None or self.lists is None or self.home is None:
            indices, near = nearest(self.rows, NEIGHBOURS)
            indices, near = indices[:count], near[:count]
        else:
            shelf = Shelf.put(self.whole, self.home, len(self.lists.centroids))
            some = self.whole[:count]
            probed = self.lists.probe(some, PROBES, self.search)
            indices, products = nearest_on_shelf(some, probed, shelf, NEIGHBOURS, self.search, own=np.arange(count))
            lengths = norms(self.whole)
            near = cosines(products, lengths[:count], indices, lengths[indices])
        if not indices.shape[1]:
            return np.full(count, -1.0)
        others = (self.owner[indices] != self.owner[:count, None]) | (self.owner[:count, None] == SEVERAL)
        column = np.where(others.any(axis=1), others.argmax(axis=1), indices.shape[1] - 1)
        return np.asarray(near[np.arange(count), column], dtype=np.float64)

    def groups(self, similarity: float) -> Ints:
        """Return the group of each row: a number that rewordings have in common, its own for a row that is alone."""
        graph = neighbour_graph(self.rows, TWINS, duplicates=similarity, device=self.search.device)
        group = graph.chosen[graph.follows]
        # Middles of groups lose what is particular to a wording, so that those of one claim are nearer than its texts are.
        for _ in range(ROUNDS):
            before = group.copy()
            self._unite(group, similarity)
            if np.array_equal(group, before):
                break
        self._join(group, similarity)
        self._unite(group, similarity)
        return group

    def _unite(self, group: Ints, similarity: float) -> None:
        """Make groups one, in place, whose means are within the similarity of a leading mean."""
        middles, member = self._middles(group)
        if len(middles) > 1:
            united = neighbour_graph(middles, TWINS, duplicates=similarity, device=self.search.device).follows
            inside = np.flatnonzero(member >= 0)
            first = np.unique(united[member[inside]], return_index=True)[1]
            group[inside] = group[inside[first]][united[member[inside]]]

    def _join(self, group: Ints, similarity: float) -> None:
        """Let rows that are alone join the group of the nearest mean, in place."""
        middles, member = self._middles(group)
        alone, inside = np.flatnonzero(member < 0), np.flatnonzero(member >= 0)
        if len(middles) and len(alone):
            near, cosine = _nearest_among(self.rows[alone], middles, self.search)
            joins = cosine >= similarity
            first = inside[np.unique(member[inside], return_index=True)[1]]
            group[alone[joins]] = group[first][near[joins]]

    def _middles(self, group: Ints) -> tuple[Floats, Ints]:
        """Return the unit mean of every group of two rows and more, and which of them each row is in (-1: alone)."""
        _, number, count = np.unique(group, return_inverse=True, return_counts=True)
        several = count > 1
        place = np.where(several, np.cumsum(several) - 1, -1)[number]
        inside = np.flatnonzero(place >= 0)
        order = inside[np.argsort(place[inside], kind="stable")]
        if not len(order):
            return np.empty((0, self.rows.shape[1]), dtype=np.float32), place
        starts = np.flatnonzero(np.r_[True, np.diff(place[order]) > 0])
        return unit_rows(np.add.reduceat(self.rows[order], starts, axis=0, dtype=np.float64)).astype(np.float32), place


def _nearest_among(rows: Floats, middles: Floats, search: Search) -> tuple[Ints, Doubles]:
    """Return the middle nearest to each row and its cosine; beyond `EXACT_ROWS` middles through inverted lists."""
    whole, there = whole_rows(rows), whole_rows(middles)
    lists = learn_lists(there, search, list_rows=len(there) if len(there) <= EXACT_ROWS else LIST_ROWS)
    shelf = Shelf.put(there, lists.probe(there, 1, search)[:, 0], len(lists.centroids))
    indices, products = nearest_on_shelf(whole, lists.probe(whole, MEANS_PROBES, search), shelf, 1, search)
    return indices[:, 0], cosines(products, norms(whole), indices, norms(there)[indices])[:, 0]


def _nothing(reason: str) -> Paraphrases:
    return Paraphrases(TABLE.empty_table(), float("nan"), reason)


def _texts(documents: pa.Table, copies: pa.Table, ids: pa.Array) -> tuple[Ints, Ints]:
    """Return the row among the documents of each id, and the account that posted its text as its own: `NOBODY`, `SEVERAL` or one."""
    names = documents["doc_id"].combine_chunks()
    row = pc.index_in(ids, value_set=names)
    if row.null_count:
        raise InputError(f"{row.null_count} vectors of unknown documents", "vectors of the representatives of these documents")
    copied = pc.index_in(names, value_set=copies["doc_id"].combine_chunks())
    stands = pc.coalesce(copies["representative"].combine_chunks().take(copied), names)
    place = pc.fill_null(pc.index_in(stands, value_set=ids), -1).to_numpy().astype(np.int64)
    who = pc.coalesce(*(pc.if_else(pc.equal(documents[name], ""), None, documents[name]) for name in ("account", "outlet")))
    account = pc.fill_null(who.combine_chunks().dictionary_encode().indices, NOBODY).to_numpy().astype(np.int64)
    repost = pc.or_(pc.fill_null(documents["is_repost"], False), pc.fill_null(pc.not_equal(documents["repost_of"], ""), False))
    posted = np.flatnonzero((place >= 0) & (account >= 0) & ~repost.to_numpy())
    return row.to_numpy().astype(np.int64), _owners(place[posted], account[posted], len(ids))


def _owners(place: Ints, account: Ints, count: int) -> Ints:
    """Return the account of each of `count` places: the only one there, `SEVERAL` or `NOBODY`, (count,) int64."""
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, NOBODY)
    np.minimum.at(low, place, np.where(account == SEVERAL, -1, account))
    np.maximum.at(high, place, np.where(account == SEVERAL, np.iinfo(np.int64).max, account))
    return np.where(high == NOBODY, NOBODY, np.where(low == high, high, SEVERAL))


def _items(group: Ints, row: Ints, documents: pa.Table) -> pa.Table:
    """Name every group of two texts and more after its first text, which is the same whatever the order of the documents."""
    kept = np.flatnonzero(np.bincount(group)[group] > 1)
    group, texts = group[kept], documents.select(["doc_id", "published_at"]).take(pa.array(row[kept]))
    order = pc.sort_indices(texts, sort_keys=[("published_at", "ascending"), ("doc_id", "ascending")]).to_numpy()
    found, start, inverse = np.unique(group[order], return_index=True, return_inverse=True)
    names = texts["doc_id"].combine_chunks()
    item = names.take(pa.array(order[start])).take(pa.array(inverse)) if len(found) else names
    return pa.Table.from_arrays([names.take(pa.array(order)), item], schema=TABLE)
