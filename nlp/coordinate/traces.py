"""What accounts can be seen sharing: one bipartite account x item incidence per kind of trace.

Kinds (after Pacheco et al., ICWSM 2021, and Giglietto et al. 2020 for the fast one):

- co-url: an address of the text;
- co-text: the representative of exact and near copies, own posts of at least ``words_minimum`` words;
- co-hashtag: a whole sequence of hashtags in order, own posts; single popular hashtags are organic;
- co-repost: the reposted post, or the representative of its text where the post's id is not given;
- fast-10s and so on: any of those, shared within that time of the first share of a window (`greyzone.coordinate.fast`);
- rhythm-1m: posting in the same minutes, whatever is posted (`greyzone.coordinate.rhythm`).

An account is the `account` of a document, or its `outlet` where no account is given. Items of one account cannot show coordination, but
they are activity: they stay in the incidence, so that a handful of accounts that share everything among many that share nothing are
not taken for the whole population. Items of more than ``popular_share`` of the accounts or of more than ``popular_accounts`` are left out
before the null is fitted, so that the test stays exact for what remains; the note of the trace counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from greyzone.coordinate import rhythm
from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.fast import MINUTE, SECOND, widths, windows
from greyzone.doctrine import Doctrine
from greyzone.text import words

KINDS = ("co-url", "co-text", "co-hashtag", "co-repost")
"""Traces of content; the timed ones come after them, one a scale."""
UNDATED = np.iinfo(np.int64).min
"""Stands for a missing time among microseconds since 1970."""
TIMED = ("second", "minute")
"""Precisions that allow timed traces; those below a minute need the first."""

NO_TIMES = "no document with an account and a time good to a {}"

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


@dataclass(frozen=True, slots=True)
class Trace:
    """Shares of one kind.

    Parameters
    ----------
    name
        One of `KINDS`, or of a timed trace.
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
    seconds
        Width of the windows of a timed trace, else None.
    minimum
        Items that a pair must share, where that is not what the doctrine says for all.
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
    seconds: float | None = None
    minimum: int | None = None

    @property
    def family(self) -> str:
        """What is shared, whatever the scale: scales of one family weigh as one trace."""
        return self.name if self.seconds is None else self.name.partition("-")[0]


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
    precision = table["published_precision"]
    timed, to_second = (
        pc.fill_null(pc.is_in(precision, value_set=pa.array(good)), False).to_numpy() & (time != UNDATED) for good in (TIMED, TIMED[:1])
    )
    whole = to_second & (time % (MINUTE * SECOND) == 0)
    if 2 * whole.sum() > to_second.sum():
        to_second &= ~whole
    place = pc.index_in(table["doc_id"], value_set=copies["doc_id"].combine_chunks())
    representative = pc.coalesce(copies["representative"].combine_chunks().take(place.combine_chunks()), table["doc_id"].combine_chunks())
    return Corpus(table, labels, account, outlets * 2 > total, time, timed, to_second, representative)


def build_traces(corpus: Corpus, doctrine: Doctrine) -> list[Trace]:
    """Return the traces of content in the order of `KINDS`, then the timed ones by scale."""
    repost = pc.fill_null(corpus.table["is_repost"], False).to_numpy() | pc.is_valid(_filled(corpus.table["repost_of"])).to_numpy()
    shares = {
        "co-url": _urls(corpus),
        "co-text": _texts(corpus, repost, int(doctrine["coordination.words_minimum"])),
        "co-hashtag": _hashtags(corpus, repost, int(doctrine["coordination.hashtags_minimum"])),
        "co-repost": _reposts(corpus, repost),
    }
    # Of a document that shares several things, the repost is what it is, then its text, then what the text holds.
    return traces_of(corpus, shares, ("co-repost", "co-text", "co-url", "co-hashtag"), doctrine)


def traces_of(corpus: Corpus, shares: dict[str, Shares], first: Sequence[str], doctrine: Doctrine) -> list[Trace]:
    """Return the traces of `shares` in their order, then the timed ones by scale; `first` says what a document counts for there."""
    found = [_assemble(corpus, kind, shares[kind], doctrine) for kind in shares]
    scales = widths(doctrine)
    for name, timed in _fast(corpus, [shares[kind] for kind in first], scales).items():
        found.append(_assemble(corpus, name, timed, doctrine, seconds=scales[name]))
    posts = np.flatnonzero(corpus.timed & (corpus.account >= 0))
    when = posts, rhythm.minutes(corpus.time[posts]), NO_TIMES.format("minute")
    return [*found, _assemble(corpus, rhythm.NAME, when, doctrine, seconds=MINUTE)]


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


def _fast(corpus: Corpus, kinds: list[Shares], scales: dict[str, float]) -> dict[str, Shares]:
    """Give every timed document one item, its first shared repost, text, address or hashtag sequence, and its window at each scale.

    A document counts once, or one copied post with an address and hashtags would look like three acts.
    """
    documents = np.full(len(corpus.time), -1, dtype=np.int64)
    labels: list[pa.Array] = []
    for only_shared in (True, False):
        for rows, label, _ in kinds:
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
    rows, label, codes, time = rows[order], label.take(pa.array(order)), codes[order], time[order]
    found = {}
    for name, seconds in scales.items():
        good = corpus.to_second[rows] if seconds < MINUTE else np.ones(len(rows), dtype=bool)
        opened = windows(codes[good], time[good], seconds)
        # Zero-padded so that the windows of one item sort by time.
        stamp = pc.utf8_lpad(pa.array(opened // SECOND).cast(pa.string()), 14, "0")
        items = pc.binary_join_element_wise("fast", stamp, label.filter(pa.array(good)), ":")
        found[name] = rows[good], items, NO_TIMES.format("second" if seconds < MINUTE else "minute")
    return found


def _assemble(corpus: Corpus, name: str, shares: Shares, doctrine: Doctrine, *, seconds: float | None = None) -> Trace:
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
    return Trace(name, accounts, items, incidence, account[order], codes[order], rows[order], not problem, note, seconds)


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
