"""What accounts can be seen sharing: one bipartite account x item incidence per kind of trace.

Kinds (after Pacheco et al., ICWSM 2021, and Giglietto et al. 2020 for the fast one):

- co-url: an address of the text;
- co-text: the representative of exact and near copies, own posts of at least ``words_minimum`` words;
- co-hashtag: a whole sequence of hashtags in order, own posts; single popular hashtags are organic;
- co-repost: the reposted post, or the representative of its text where the post's id is not given;
- fast: any of those, shared within ``fast_seconds`` of the first share of a window.

An account is the `account` of a document, or its `outlet` where no account is given. Items of one account cannot show coordination, but
they are activity: they stay in the incidence, so that a handful of accounts that share everything among many that share nothing are
not taken for the whole population. Items of more than ``popular_share`` of the accounts or of more than ``popular_accounts`` are left out
before the null is fitted, so that the test stays exact for what remains; the note of the trace counts them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from greyzone.coordinate.bicm import Ints
from greyzone.doctrine import Doctrine
from greyzone.text import words

KINDS = ("co-url", "co-text", "co-hashtag", "co-repost", "fast")
UNDATED = np.iinfo(np.int64).min
"""Stands for a missing time among microseconds since 1970."""
TIMED = ("second", "minute")
"""Precisions that allow the fast trace."""

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
    timed
        (documents,) bool: the time is good to a minute.
    representative
        (documents,) strings, doc_id of the text that stands for this one.
    """

    table: pa.Table
    names: Labels
    account: Ints
    is_outlet: Mask
    time: Ints
    timed: Mask
    representative: pa.Array


@dataclass(frozen=True, slots=True)
class Trace:
    """Shares of one kind.

    Parameters
    ----------
    name
        One of `KINDS`.
    accounts
        (n,) int64 rows of `Corpus.names`, ascending.
    items
        (m,) object labels, ascending.
    incidence
        (n, m) float64 of ones.
    share_account, share_item, share_document
        (shares,) int64: row of `accounts`, column of `items`, row of the documents; ordered by (item, time, document).
    supported
        Whether the data allow a test.
    note
        What was left out, or why there is no test.
    """

    name: str
    accounts: Ints
    items: Labels
    incidence: sparse.csr_array
    share_account: Ints
    share_item: Ints
    share_document: Ints
    supported: bool
    note: str


def read_corpus(documents: pa.Table, copies: pa.Table) -> Corpus:
    """Bring the documents into canonical order and resolve accounts, times and representatives."""
    table = documents.take(pc.sort_indices(documents, sort_keys=[("published_at", "ascending"), ("doc_id", "ascending")])).combine_chunks()
    names = pc.coalesce(_filled(table["account"]), _filled(table["outlet"])).combine_chunks()
    labels, account = _ranks(names)
    has_outlet = pc.is_valid(_filled(table["outlet"])).to_numpy()
    known = account >= 0
    total = np.maximum(np.bincount(account[known], minlength=len(labels)), 1)
    outlets = np.bincount(account[known & has_outlet], minlength=len(labels))
    time = pc.fill_null(table["published_at"].cast(pa.int64()), UNDATED).to_numpy()
    timed = pc.fill_null(pc.is_in(table["published_precision"], value_set=pa.array(TIMED)), False).to_numpy() & (time != UNDATED)
    place = pc.index_in(table["doc_id"], value_set=copies["doc_id"].combine_chunks())
    representative = pc.coalesce(copies["representative"].combine_chunks().take(place.combine_chunks()), table["doc_id"].combine_chunks())
    return Corpus(table, labels, account, outlets * 2 > total, time, timed, representative)


def build_traces(corpus: Corpus, doctrine: Doctrine) -> list[Trace]:
    """Return the traces in the order of `KINDS`."""
    repost = pc.fill_null(corpus.table["is_repost"], False).to_numpy() | pc.is_valid(_filled(corpus.table["repost_of"])).to_numpy()
    shares = {
        "co-url": _urls(corpus),
        "co-text": _texts(corpus, repost, int(doctrine["coordination.words_minimum"])),
        "co-hashtag": _hashtags(corpus, repost, int(doctrine["coordination.hashtags_minimum"])),
        "co-repost": _reposts(corpus, repost),
    }
    shares["fast"] = _fast(corpus, list(shares.values()), doctrine["coordination.fast_seconds"])
    return [_assemble(corpus, kind, shares[kind], doctrine) for kind in KINDS]


Shares = tuple[Ints, pa.Array, str]
"""Rows of the documents, the label of the item that each shares (strings), and why there are none."""


def _urls(corpus: Corpus) -> Shares:
    column = corpus.table["urls"].combine_chunks()
    rows, values = pc.list_parent_indices(column).to_numpy().astype(np.int64), pc.list_flatten(column)
    given = pc.fill_null(pc.not_equal(values, ""), False)
    return rows[given.to_numpy(zero_copy_only=False)], _prefixed("url:", values.filter(given)), "no addresses in the documents"


def _texts(corpus: Corpus, repost: Mask, minimum: int) -> Shares:
    rows = np.flatnonzero(~repost)
    label = corpus.representative.take(pa.array(rows))
    shared = _is_shared(corpus, rows, label)
    texts = corpus.table["text"].combine_chunks()
    names, codes = _ranks(label.filter(pa.array(shared)))
    _, first = np.unique(codes, return_index=True)
    enough = np.array([len(words(texts[int(row)].as_py() or "")) >= minimum for row in rows[shared][first]], dtype=bool)
    # Only shared texts are counted in words; the others are there as activity.
    kept = ~shared
    kept[shared] = enough[codes] if len(names) else False
    return rows[kept], _prefixed("text:", label.filter(pa.array(kept))), "no own posts in the documents"


def _hashtags(corpus: Corpus, repost: Mask, minimum: int) -> Shares:
    column = corpus.table["hashtags"].combine_chunks()
    rows = np.flatnonzero(~repost & (pc.fill_null(pc.list_value_length(column), 0).to_numpy() >= minimum))
    chosen = column.take(pa.array(rows))
    tags = pc.utf8_lower(pc.utf8_ltrim(pc.fill_null(pc.list_flatten(chosen), ""), characters="#＃"))
    joined = pc.binary_join(pa.ListArray.from_arrays(_offsets(chosen), tags), " #")
    return rows, _prefixed("hashtags:#", joined), f"no own post with {minimum} hashtags or more"


def _reposts(corpus: Corpus, repost: Mask) -> Shares:
    rows = np.flatnonzero(repost)
    given = _filled(corpus.table["repost_of"]).combine_chunks().take(pa.array(rows))
    label = pc.coalesce(given, corpus.representative.take(pa.array(rows)))
    return rows, _prefixed("repost:", label), "no reposts in the documents"


def _fast(corpus: Corpus, kinds: list[Shares], seconds: float) -> Shares:
    """Give every timed document one item: its first shared repost, text, address or hashtag sequence, and the window it falls into.

    A document counts once, or one copied post with an address and hashtags would look like three acts.
    """
    urls, texts, tags, reposts = kinds
    documents = np.full(len(corpus.time), -1, dtype=np.int64)
    labels: list[pa.Array] = []
    for only_shared in (True, False):
        for rows, label, _ in (reposts, texts, urls, tags):
            wanted = corpus.timed[rows] & (documents[rows] < 0) & (corpus.account[rows] >= 0)
            if only_shared:
                wanted &= _is_shared(corpus, rows, label)
            chosen, first = np.unique(rows[wanted], return_index=True)
            documents[chosen] = sum(map(len, labels)) + np.arange(len(chosen))
            labels.append(label.filter(pa.array(wanted)).take(pa.array(first)))
    rows = np.flatnonzero(documents >= 0)
    label = pa.concat_arrays(labels).take(pa.array(documents[rows]))
    codes, time = _ranks(label)[1], corpus.time[rows]
    order = np.lexsort((rows, time, codes))
    opened = _windows(codes[order], time[order], int(seconds * 1_000_000))
    # Zero-padded so that the windows of one item sort by time.
    stamps = pa.array([f"fast:{start:014d}:" for start in (opened // 1_000_000).tolist()], type=pa.string())
    reason = "no document with an account and a time good to a minute"
    return rows[order], pc.binary_join_element_wise(stamps, label.take(pa.array(order)), ""), reason


def _windows(codes: Ints, time: Ints, width: int) -> Ints:
    """Return when the window of every share opened: a window takes all shares of an item up to `width` after its first one."""
    opened = np.empty(len(codes), dtype=np.int64)
    current, start = -1, 0
    for index, (code, moment) in enumerate(zip(codes.tolist(), time.tolist(), strict=True)):
        if code != current or moment - start > width:
            current, start = code, moment
        opened[index] = start
    return opened


def _assemble(corpus: Corpus, name: str, shares: Shares, doctrine: Doctrine) -> Trace:
    rows, label, reason = shares
    notes: list[str] = []
    known = corpus.account[rows] >= 0
    if not known.all():
        notes.append(f"{int((~known).sum())} shares without account or outlet left out")
        reason = reason if known.any() else "no document of this kind names an account or an outlet"
        rows, label = rows[known], label.filter(pa.array(known))
    active = len(np.unique(corpus.account[rows]))
    codes = _ranks(label)[1]
    degrees = np.bincount(np.unique(np.stack([codes, corpus.account[rows]], axis=1), axis=0)[:, 0]) if len(rows) else np.empty(0, int)
    limit = int(max(min(doctrine["coordination.popular_accounts"], doctrine["coordination.popular_share"] * active), 2))
    popular = degrees > limit
    if popular.any():
        notes.append(f"{int(popular.sum())} items of more than {limit} accounts left out as too popular to tell anything")
        kept = ~popular[codes]
        rows, label = rows[kept], label.filter(pa.array(kept))
    items, codes = _ranks(label)
    accounts, account = np.unique(corpus.account[rows], return_inverse=True)
    incidence = _incidence(account, codes, len(accounts), len(items))
    problem = _unsupported(incidence, degrees, popular, reason, doctrine)
    order = np.lexsort((rows, corpus.time[rows], codes))
    note = "; ".join([problem, *notes] if problem else notes)
    return Trace(name, accounts, items, incidence, account[order], codes[order], rows[order], not problem, note)


def _unsupported(incidence: sparse.csr_array, degrees: Ints, popular: Mask, reason: str, doctrine: Doctrine) -> str:
    """Return why no group could be found in this incidence, or an empty text."""
    accounts = incidence.shape[0]
    least = int(doctrine[_sized("core", accounts, doctrine)]) + 1
    if not len(degrees):
        return reason
    if not ((degrees > 1) & ~popular).any():
        return "no item is shared by two accounts" + (" but the most popular ones" if popular.any() else "")
    if accounts < least:
        return f"{accounts} active accounts; a group needs {least}"
    return ""


def _sized(name: str, accounts: int, doctrine: Doctrine) -> str:
    return f"coordination.{name}" + ("_small" if accounts < doctrine["coordination.small_n"] else "")


def _incidence(account: Ints, item: Ints, accounts: int, items: int) -> sparse.csr_array:
    found = sparse.csr_array((np.ones(len(item)), (account, item)), shape=(accounts, items))
    found.sum_duplicates()
    found.data[:] = 1.0
    return found


def _is_shared(corpus: Corpus, rows: Ints, label: pa.Array) -> Mask:
    """Return which shares are of items that two accounts or more share, (shares,) bool."""
    account, codes = corpus.account[rows], _ranks(label)[1]
    low = np.full(int(codes.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1)
    known = account >= 0
    np.minimum.at(low, codes[known], account[known])
    np.maximum.at(high, codes[known], account[known])
    return (high > low)[codes] & known if len(codes) else np.empty(0, dtype=bool)


def _ranks(values: pa.Array) -> tuple[Labels, Ints]:
    """Return the distinct values ascending and the rank of each value, -1 for null."""
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), len(order)).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_numpy(zero_copy_only=False)[order], rank[indices]


def _offsets(column: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _prefixed(prefix: str, values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), values, "")


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column with empty strings as null."""
    return pc.if_else(pc.equal(column, ""), None, column)
