"""The documents as traces need them: in canonical order, with accounts, times and the text that stands for its copies resolved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.fast import MINUTE, SECOND

UNDATED = np.iinfo(np.int64).min
"""Stands for a missing time among microseconds since 1970."""
TIMED = ("second", "minute")
"""Precisions that allow timed traces; those below a minute need the first."""

Labels = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents in canonical order with the columns that traces need.

    Parameters
    ----------
    table
        `records.DOCUMENTS`, sorted by (published_at, doc_id).
    names
        (accounts,) object, account names ascending.
    account
        (documents,) int64 into `names`, -1 where there is neither account nor outlet.
    is_outlet
        (accounts,) bool: most of its documents name an outlet.
    time
        (documents,) int64 microseconds since 1970 or `UNDATED`.
    timed, to_second
        (documents,) bool: the time is good to a minute, to a second. Where most times given to the second are at second 0, those are
        good to a minute only.
    representative
        (documents,) strings, doc_id of the text that stands for this one.
    """

    table: pa.Table
    names: Labels
    account: Ints
    is_outlet: Mask
    time: Ints
    timed: Mask
    to_second: Mask
    representative: pa.Array

    @property
    def is_repost(self) -> Mask:
        """Return which documents repeat another one, (documents,) bool."""
        flag = pc.fill_null(self.table["is_repost"], False).to_numpy()
        return np.asarray(flag | pc.is_valid(filled(self.table["repost_of"])).to_numpy())


def read_corpus(documents: pa.Table, copies: pa.Table) -> Corpus:
    """Bring the documents into canonical order and resolve accounts, times and representatives."""
    table = documents.take(pc.sort_indices(documents, sort_keys=[("published_at", "ascending"), ("doc_id", "ascending")])).combine_chunks()
    names = pc.coalesce(filled(table["account"]), filled(table["outlet"])).combine_chunks()
    labels, account = ranks(names)
    has_outlet = pc.is_valid(filled(table["outlet"])).to_numpy()
    known = account >= 0
    total = np.maximum(np.bincount(account[known], minlength=len(labels)), 1)
    outlets = np.bincount(account[known & has_outlet], minlength=len(labels))
    time = pc.fill_null(table["published_at"].cast(pa.int64()), UNDATED).to_numpy()
    precision = table["published_precision"]
    timed, to_second = (
        pc.fill_null(pc.is_in(precision, value_set=pa.array(good)), False).to_numpy() & (time != UNDATED) for good in (TIMED, TIMED[:1])
    )
    whole = to_second & (time % (MINUTE * SECOND) == 0)
    if 2 * whole.sum() > to_second.sum():
        to_second &= ~whole
    place = pc.index_in(table["doc_id"], value_set=copies["doc_id"].combine_chunks())
    representative = pc.coalesce(copies["representative"].combine_chunks().take(place.combine_chunks()), table["doc_id"].combine_chunks())
    return Corpus(table, labels.to_numpy(zero_copy_only=False), account, outlets * 2 > total, time, timed, to_second, representative)


def ranks(values: pa.Array) -> tuple[pa.Array, Ints]:
    """Return the distinct values ascending and the rank of each value, -1 for null."""
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), len(order)).to_numpy(zero_copy_only=False)
    return encoded.dictionary.take(pa.array(order)), rank[indices]


def filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with empty strings as null."""
    return pc.if_else(pc.equal(column, ""), None, column)
