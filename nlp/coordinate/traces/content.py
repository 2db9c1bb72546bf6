"""Traces of content: what a document shares by what it says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.paraphrases import Paraphrases
from greyzone.coordinate.traces.corpus import Corpus, Mask, filled, ranks
from greyzone.coordinate.traces.incidence import Coded, Shares, is_shared
from greyzone.coordinate.wording import has_words


def urls(corpus: Corpus) -> Shares:
    """Return the addresses that documents point to."""
    column = corpus.table["urls"].combine_chunks()
    rows, values = pc.list_parent_indices(column).to_numpy().astype(np.int64), pc.list_flatten(column)
    given = pc.fill_null(pc.not_equal(values, ""), False)
    return Shares(rows[given.to_numpy(zero_copy_only=False)], prefixed("url:", values.filter(given)), "no addresses in the documents")


def texts(corpus: Corpus, minimum: int) -> Shares:
    """Return the texts of own posts, copies under the text that stands for them."""
    rows = np.flatnonzero(~corpus.is_repost)
    label = corpus.representative.take(pa.array(rows))
    names, codes = ranks(label)
    shared = is_shared(corpus, Coded.of(Shares(rows, label, "")))
    # Only shared texts are counted in words; the others are there as activity.
    looked, first = np.unique(codes[shared], return_index=True)
    short = np.zeros(len(names), dtype=bool)
    short[looked] = ~has_words(corpus.table["text"].take(pa.array(rows[shared][first])), minimum)
    kept = ~(shared & short[codes])
    return Shares(rows[kept], prefixed("text:", label.filter(pa.array(kept))), "no own posts in the documents")


def paraphrases(corpus: Corpus, found: Paraphrases | None) -> Shares:
    """Return the texts of own posts, rewordings under the first text of their group.

    A text counts once, for the account that posted it first: what repeats it is in the trace of texts, and accounts share an item here only
    by wordings of their own.
    """
    nothing = np.empty(0, dtype=np.int64)
    if found is None:
        return Shares(nothing, pa.array([], pa.string()), "no embeddings of the texts were given")
    if not found.items.num_rows:
        return Shares(nothing, pa.array([], pa.string()), found.note)
    rows = np.flatnonzero(~corpus.is_repost & (corpus.account >= 0))
    label = corpus.representative.take(pa.array(rows))
    _, first = np.unique(ranks(label)[1], return_index=True)
    first = np.sort(first)
    rows, label = rows[first], label.take(pa.array(first))
    group = found.items["item"].combine_chunks().take(pc.index_in(label, value_set=found.items["doc_id"].combine_chunks()))
    return Shares(rows, prefixed("paraphrase:", pc.coalesce(group, label)), "no own posts in the documents", found.note)


def hashtags(corpus: Corpus, minimum: int) -> Shares:
    """Return the sequences of hashtags of own posts: many use one popular tag, few the same ones in the same order."""
    rows, label = sequences(corpus.table["hashtags"], ~corpus.is_repost, minimum, "#")
    return Shares(rows, prefixed("hashtags:", label), f"no own post with {minimum} hashtags or more")


def reposts(corpus: Corpus) -> Shares:
    """Return the post that is repeated, or the text of it where the data name no post."""
    rows = np.flatnonzero(corpus.is_repost)
    given = filled(corpus.table["repost_of"]).combine_chunks().take(pa.array(rows))
    label = pc.coalesce(given, corpus.representative.take(pa.array(rows)))
    return Shares(rows, prefixed("repost:", label), "no reposts in the documents")


def prefixed(prefix: str, values: pa.Array) -> pa.Array:
    """Return the values with the kind of item before them."""
    return pc.binary_join_element_wise(pa.scalar(prefix), values, "")


def sequences(column: pa.ChunkedArray, wanted: Mask, minimum: int, mark: str) -> tuple[Ints, pa.Array]:
    """Return the rows with `minimum` names or more, and their names in order with a `mark` before each."""
    lists = column.combine_chunks()
    rows = np.flatnonzero(wanted & (pc.fill_null(pc.list_value_length(lists), 0).to_numpy() >= minimum))
    chosen = lists.take(pa.array(rows))
    names = pc.utf8_lower(pc.utf8_ltrim(pc.fill_null(pc.list_flatten(chosen), ""), characters="#＃@＠"))
    joined = pc.binary_join(pa.ListArray.from_arrays(_offsets(chosen), names), f" {mark}")
    return rows, prefixed(mark, joined)


def _offsets(column: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
