"""Copies: which documents repeat an earlier one, word for word or nearly.

Exact copies have one normal form (`greyzone.text.normal_form`); a text of which nothing is left there (addresses, emoji) is compared
as it stands. The representative is the earliest, undated ones last, then the smallest doc_id.

Near copies are found among the distinct normal forms in that same order, by the Jaccard similarity of their character 5-grams: a
form at `similarity` or more of an earlier representative follows the most similar one (the earliest among equals), and is then no
representative itself: there are no chains. Candidates are found (`greyzone.collapse.grams`: without misses among short texts, and
with 1 in 7 million at 0.8 among texts of more than 256 grams) among representatives alone (`greyzone.collapse.leaders`), and every
pair is decided by its true similarity.

Normal forms and signatures are maps over shards of documents (`greyzone.engine`); their merge is one pass in order of time. What the
pass has learnt is a `CopyIndex`: with it, the copies of later documents are found at a cost that grows with the new documents alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.collapse.differences import DIFFERENCES, differences, lags, previous
from greyzone.collapse.index import REPRESENTATIVES, CopyIndex, Known, digest
from greyzone.collapse.leaders import Leaders, Signatures, follow, sign
from greyzone.engine import map_batches, shards
from greyzone.errors import InputError
from greyzone.records import COPIES
from greyzone.text import normal_form

__all__ = ["DIFFERENCES", "SIMILARITY", "Collapsed", "CopyIndex", "collapse", "collapse_into", "representatives", "weights"]

Ints = npt.NDArray[np.int64]

SIMILARITY = 0.8
"""Least similarity of a near copy."""

LEAST_SIMILARITY = 0.7
"""Below this, parts of a gram set are too small to tell texts apart, and time is no longer near to linear."""

SHARD_ROWS = 2**15
"""Documents of a shard, and distinct texts settled at once."""

SHARD_CHARACTERS = 2**22
"""Characters of distinct texts settled at once, about: the memory that a pass takes beside its tables."""

_FORM = "n"
"""First letter of a key that is a normal form."""


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The `copies` (`COPIES`) among some documents, and the `index` that knows these documents and all before them."""

    copies: pa.Table
    index: CopyIndex


def collapse(documents: pa.Table, *, similarity: float = SIMILARITY, shard_rows: int = SHARD_ROWS, workers: int | None = None) -> pa.Table:
    """Find the documents that repeat an earlier one.

    Parameters
    ----------
    documents
        `DOCUMENTS`, in any order. A document without text is compared by its title; one without either is nobody's copy.
    similarity
        Least Jaccard similarity of the character 5-grams of a near copy and its representative, 0.7 to 1.
    shard_rows
        Documents of a shard; the result is the same whatever it is.
    workers
        As for `greyzone.engine.map_batches`.

    Returns
    -------
    pa.Table
        `COPIES` in the order (published_at, doc_id), undated last. A copy of a near copy is itself a near copy of the representative.

    Raises
    ------
    InputError
        If `similarity` or `shard_rows` is out of its range.
    """
    index = CopyIndex.empty(_checked(similarity))
    return _copies(*_pass(documents, index, shard_rows, workers), index, shard_rows, workers)


def collapse_into(
    documents: pa.Table,
    index: CopyIndex | None = None,
    *,
    similarity: float = SIMILARITY,
    shard_rows: int = SHARD_ROWS,
    workers: int | None = None,
) -> Collapsed:
    """Find which new documents repeat one of the index or of each other, at a cost that grows with the new documents.

    Parameters
    ----------
    documents
        `DOCUMENTS` that the index does not know.
    index
        What an earlier call returned (or `CopyIndex.read`); None begins one. It is not changed.
    similarity
        Of a new index; an index that is given keeps its own.
    shard_rows, workers
        As for `collapse`.

    Returns
    -------
    Collapsed
        The new rows of `COPIES`, and the index that knows the new documents too. Where all new documents come after the known ones
        in the order (published_at, doc_id), undated last, the rows of all calls together are those of one `collapse`. A document
        that is older than what is known never replaces a representative: it follows one (its lag is then negative) or becomes one,
        and its `previous` is sought among its own call's documents, else it is null.

    Raises
    ------
    InputError
        If `similarity` or `shard_rows` is out of its range.
    """
    index = index or CopyIndex.empty(_checked(similarity))
    found = _pass(documents, index, shard_rows, workers)
    return Collapsed(_copies(*found, index, shard_rows, workers), _index(*found, index))


def representatives(documents: pa.Table, copies: pa.Table) -> pa.Table:
    """Return the documents that are no copies, in the order of `documents`."""
    return documents.filter(pc.invert(pc.is_in(documents["doc_id"], value_set=copies["doc_id"].combine_chunks())))


def weights(documents: pa.Table, copies: pa.Table) -> Ints:
    """Return how many documents each row of `representatives` stands for, itself counted: (rows,) int64."""
    kept = representatives(documents.select(["doc_id"]), copies)["doc_id"]
    counts = pc.value_counts(copies["representative"].combine_chunks())
    place = pc.index_in(kept, value_set=counts.field("values"))
    found = pc.fill_null(counts.field("counts").take(place.combine_chunks()), 0)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _checked(similarity: float) -> float:
    if not LEAST_SIMILARITY <= similarity <= 1:
        raise InputError(f"similarity {similarity:g}", f"a number from {LEAST_SIMILARITY:g} to 1")
    return similarity


@dataclass(frozen=True, slots=True)
class _Forms:
    """Distinct `keys` in the order in which they come, the key `of` each document, and the `first` document of each key."""

    keys: pa.Array
    of: Ints
    first: Ints


@dataclass(frozen=True, slots=True)
class _Settled:
    """By key: number of its `leader`, `similarity` with it, and whether it is `near`; `fresh` are the keys of the new leaders."""

    leader: Ints
    similarity: npt.NDArray[np.float64]
    near: npt.NDArray[np.bool_]
    fresh: Ints
    leaders: Leaders


def _pass(documents: pa.Table, index: CopyIndex, shard_rows: int, workers: int | None) -> tuple[pa.Table, _Forms, _Settled]:
    if shard_rows < 1:
        raise InputError(f"shard_rows {shard_rows}", "at least 1")
    rows = _arranged(documents)
    forms = _distinct(rows, shard_rows, workers)
    return rows, forms, _settled(forms.keys, index, shard_rows, workers)


def _arranged(documents: pa.Table) -> pa.Table:
    """Return doc_id, published_at and what is compared (`text`) in the order of time."""
    rows = documents.select(["doc_id", "published_at", "text", "title"])
    order = pc.sort_indices(rows, sort_keys=[("published_at", "ascending"), ("doc_id", "ascending")]).to_numpy()
    if (np.diff(order.astype(np.int64)) != 1).any():
        rows = rows.take(pa.array(order))
    written = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(rows["text"]), ""), False)
    content = pc.if_else(written, rows["text"], pc.fill_null(rows["title"], "")).cast(pa.large_string())
    return pa.table({"doc_id": rows["doc_id"], "published_at": rows["published_at"], "text": content}).combine_chunks()


def _distinct(rows: pa.Table, shard_rows: int, workers: int | None) -> _Forms:
    keys = pa.chunked_array(map_batches(_keys, shards(rows, shard_rows), workers=workers), pa.large_string())
    encoded = keys.combine_chunks().dictionary_encode()
    number = encoded.indices.to_numpy().astype(np.int64)
    # Keys are numbered as they come, so that a new one is a new greatest number.
    return _Forms(encoded.dictionary, number, np.flatnonzero(np.diff(np.maximum.accumulate(number), prepend=-1)))


def _keys(rows: pa.Table) -> pa.Array:
    """Return what each document is compared by. Prefixes keep the kinds of key apart."""
    keys = []
    for doc_id, text in zip(rows["doc_id"].to_pylist(), rows["text"].to_pylist(), strict=True):
        form = normal_form(text)
        if form:
            keys.append(_FORM + form)
        else:
            keys.append("t" + text.strip() if text.strip() else "i" + doc_id)
    return pa.array(keys, pa.large_string())


def _stretches(keys: pa.Table, shard_rows: int) -> Iterator[pa.Table]:
    """Yield shards of at most `shard_rows` texts, shorter ones of long texts: signatures grow with the characters."""
    passed = np.cumsum(pc.utf8_length(keys["key"]).to_numpy().astype(np.int64)) // SHARD_CHARACTERS
    cuts = np.union1d(np.arange(0, keys.num_rows, shard_rows), np.flatnonzero(np.diff(passed)) + 1)
    for begin, end in pairwise([*cuts.tolist(), keys.num_rows]):
        yield keys.slice(begin, end - begin)


def _signed(keys: pa.Table, similarity: float) -> Signatures:
    return sign([key[1:] if key[0] == _FORM else "" for key in keys["key"].to_pylist()], similarity)


def _settled(keys: pa.Array, index: CopyIndex, shard_rows: int, workers: int | None) -> _Settled:
    known, count, before = index.known, len(keys), len(index.leaders.sizes)
    place = np.full(count, -1, dtype=np.int64)
    if len(known.leader):
        place = known.find(digest(keys.to_pylist()))
    old, new = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
    found = _Settled(np.empty(count, np.int64), np.ones(count), np.zeros(count, dtype=bool), np.empty(0, np.int64), index.leaders.copy())
    found.leader[old], found.similarity[old] = known.leader[place[old]], known.similarity[place[old]]
    found.near[old] = known.near[place[old]]
    fresh: list[int] = []

    def led(numbers: Ints) -> list[str]:
        earlier, later = numbers[numbers < before], numbers[numbers >= before]
        texts = [normal_form(text) for text in index.representatives["text"].take(pa.array(earlier)).to_pylist()]
        return texts + _texts(keys, np.array([fresh[number - before] for number in later.tolist()], dtype=np.int64))

    begin = 0
    parts = _stretches(pa.table({"key": keys.take(pa.array(new))}), shard_rows)
    for signatures in map_batches(partial(_signed, similarity=index.leaders.similarity), parts, workers=workers):
        places = new[begin : begin + len(signatures.sizes)]
        found.leader[places], found.similarity[places], leads = follow(signatures, _texts(keys, places), found.leaders, led)
        found.near[places] = ~leads
        fresh.extend(places[leads].tolist())
        begin += len(places)
    return replace(found, fresh=np.array(fresh, dtype=np.int64))


def _texts(keys: pa.Array, places: Ints) -> list[str]:
    """Return some keys without their prefix."""
    return [key[1:] for key in keys.take(pa.array(places)).to_pylist()]


def _of_leaders(name: str, rows: pa.Table, forms: _Forms, settled: _Settled, index: CopyIndex, numbers: Ints) -> pa.Array:
    """Return a column of the representatives with these numbers, whether the index knew them or not."""
    before = index.representatives.num_rows
    known = numbers < before
    new = rows[name].take(pa.array(forms.first[settled.fresh[numbers[~known] - before]]))
    parts = pa.chunked_array([*index.representatives[name].take(pa.array(numbers[known])).chunks, *new.chunks], new.type)
    place = np.empty(len(numbers), dtype=np.int64)
    place[known], place[~known] = np.arange(known.sum()), known.sum() + np.arange((~known).sum())
    return parts.combine_chunks().take(pa.array(place))


def _copies(rows: pa.Table, forms: _Forms, settled: _Settled, index: CopyIndex, shard_rows: int, workers: int | None) -> pa.Table:
    leader, near = settled.leader[forms.of], settled.near[forms.of]
    leads = np.zeros(rows.num_rows, dtype=bool)
    leads[forms.first[settled.fresh]] = True
    places = np.flatnonzero(~leads)
    chosen = rows.take(pa.array(places))
    of_leaders = partial(_of_leaders, rows=rows, forms=forms, settled=settled, index=index, numbers=leader[places])
    times, since = chosen["published_at"].combine_chunks(), of_leaders("published_at")
    pairs = pa.table({"text": chosen["text"], "representative": of_leaders("text")})
    differs = np.full(len(places), DIFFERENCES[0], dtype=object)
    differs[near[places]] = DIFFERENCES[-1]
    unlike = np.flatnonzero(~near[places] & pc.not_equal(pairs["text"], pairs["representative"]).to_numpy())
    named = map_batches(differences, shards(pairs.take(pa.array(unlike)), shard_rows), workers=workers)
    differs[unlike] = pa.chunked_array(named, pa.string()).to_numpy()
    return pa.table(
        {
            "doc_id": chosen["doc_id"].combine_chunks(),
            "representative": of_leaders("doc_id"),
            "kind": pa.array(np.where(near[places], "near", "exact").tolist(), pa.string()),
            "similarity": pa.array(settled.similarity[forms.of[places]].astype(np.float32)),
            "differs": pa.array(differs, pa.string()),
            "previous": _previous(rows, leader, index).take(pa.array(places)),
            "lag_seconds": lags(times, since),
        },
        schema=COPIES,
    )


def _previous(rows: pa.Table, leader: Ints, index: CopyIndex) -> pa.Array:
    """Return the document just before each one in its set of copies, the last known one of the index where that is later."""
    times = rows["published_at"].combine_chunks()
    dated = pc.is_valid(times).to_numpy(zero_copy_only=False)
    before = previous(leader, dated)
    own = pa.array(before, mask=before < 0)
    ids, found_at = rows["doc_id"].combine_chunks(), times.take(own)
    if not index.representatives.num_rows:
        return ids.take(own)
    place = pa.array(leader, mask=leader >= index.representatives.num_rows)
    last_id, last_at = (index.representatives[name].take(place).combine_chunks() for name in ("last_id", "last_at"))
    earlier = pc.or_(pc.less(last_at, times), pc.and_(pc.equal(last_at, times), pc.less(last_id, ids)))
    later = pc.or_kleene(pc.is_null(found_at), pc.greater(last_at, found_at))
    return pc.if_else(pc.fill_null(pc.and_kleene(earlier, later), False), last_id, ids.take(own))


def _index(rows: pa.Table, forms: _Forms, settled: _Settled, index: CopyIndex) -> CopyIndex:
    new = np.setdiff1d(np.arange(len(forms.keys)), np.flatnonzero(index.known.find(digests := digest(forms.keys.to_pylist())) >= 0))
    known = index.known.with_more(Known(digests[new], settled.leader[new], settled.similarity[new], settled.near[new]))
    led = rows.take(pa.array(forms.first[settled.fresh]))
    table = pa.concat_tables([index.representatives.select(["doc_id", "published_at", "text"]), led]).combine_chunks()
    # Documents are in the order of time, so that the last dated one of a set is the latest.
    leader = settled.leader[forms.of]
    latest = np.full(table.num_rows, -1, dtype=np.int64)
    dated = np.flatnonzero(pc.is_valid(rows["published_at"]).to_numpy())
    latest[leader[dated]] = dated
    place = pa.array(latest, mask=latest < 0)
    last = {"last_id": rows["doc_id"].take(place).combine_chunks(), "last_at": rows["published_at"].take(place).combine_chunks()}
    unseen = len(settled.fresh)
    held = [pa.concat_arrays([index.representatives[name].combine_chunks(), pa.nulls(unseen, last[name].type)]) for name in last]
    newer = pc.or_(pc.greater(last["last_at"], held[1]), pc.and_(pc.equal(last["last_at"], held[1]), pc.greater(last["last_id"], held[0])))
    newer = pc.fill_null(newer, pc.is_null(held[1]))
    for name, old in zip(last, held, strict=True):
        table = table.append_column(name, pc.if_else(newer, last[name], old))
    return CopyIndex(known, table.cast(REPRESENTATIVES), settled.leaders)
