"""What the tests need of the whole corpus, told once for all groups: what the press publishes, and who used which tag, app or name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.traces import Corpus, Labels, Trace

Publishers = dict[str, frozenset[int]]
"""Rows of `Corpus.names` of the outlets by what they published."""
WINDOW_PREFIX = len("fast:00000000000000:")
"""What stands before the shared item in the label of a window."""


@dataclass(frozen=True, slots=True)
class Press:
    """What outlets in the documents publish: the addresses and hosts of their pages, and the texts whose first document is theirs."""

    urls: Publishers
    hosts: Publishers
    texts: Publishers


@dataclass(frozen=True, slots=True)
class Uses:
    """Who used which value of a column, ordered by value and document.

    Parameters
    ----------
    names
        (values,) object, ascending.
    code, document
        (uses,) int64.
    """

    names: Labels
    code: Ints
    document: Ints

    def documents(self, code: int) -> Ints:
        """Return the rows of the documents with one value, ascending."""
        return self.document[np.searchsorted(self.code, code) : np.searchsorted(self.code, code, side="right")]


class Background:
    """What is told of a corpus for all groups at once; each part is made when the first group asks for it.

    Parameters
    ----------
    corpus
        The documents in canonical order.
    cores
        Accounts, rows of `Corpus.names`, of every core of every trace: they are no public that could vouch for each other.
    """

    def __init__(self, corpus: Corpus, cores: Iterable[Ints] = ()) -> None:
        self.corpus = corpus
        self.public = np.ones(len(corpus.names), dtype=bool)
        for accounts in cores:
            self.public[accounts] = False
        self._bare: dict[str, tuple[Ints, Ints, Ints]] = {}

    @cached_property
    def press(self) -> Press:
        """Return what outlets publish."""
        return read_press(self.corpus)

    @cached_property
    def posts(self) -> tuple[Ints, Ints]:
        """Return the rows of the documents in the order of their accounts, and where each account's begin, (accounts + 1,) int64."""
        order = np.argsort(self.corpus.account, kind="stable")
        return order, np.searchsorted(self.corpus.account[order], np.arange(len(self.corpus.names) + 1))

    def posts_of(self, accounts: Ints) -> Ints:
        """Return the rows of the documents of these accounts, ascending."""
        order, start = self.posts
        return np.sort(order[ranges(start[accounts], start[accounts + 1])])

    @cached_property
    def content(self) -> tuple[Ints, Ints]:
        """Return what the documents say: where the codes of each document begin, (documents + 1,) int64, and the codes.

        What a document says is the post that it repeats or else its own text, copies being one text, and every address in it.
        """
        table, size = self.corpus.table, self.corpus.table.num_rows
        given = _filled(table["repost_of"])
        text = pc.coalesce(pc.binary_join_element_wise("repost", given, ":"), self.corpus.representative)
        codes = _codes(text)
        addresses = table["urls"].combine_chunks()
        parents, urls = pc.list_parent_indices(addresses).to_numpy(), _codes(_filled(pc.list_flatten(addresses)))
        document = np.concatenate([np.arange(size), parents[urls >= 0]]).astype(np.int64)
        code = np.concatenate([codes, urls[urls >= 0] + codes.max(initial=-1) + 1])
        order = np.argsort(document, kind="stable")
        return np.searchsorted(document[order], np.arange(size + 1)), code[order]

    @cached_property
    def tags(self) -> Uses:
        """Return the hashtags in lower case."""
        column = self.corpus.table["hashtags"].combine_chunks()
        tags = pc.utf8_lower(pc.utf8_ltrim(pc.list_flatten(column), characters="#＃"))
        return _uses(pc.list_parent_indices(column).to_numpy().astype(np.int64), tags)

    @cached_property
    def tags_of(self) -> tuple[Ints, Ints]:
        """Return where the hashtags of each document begin, (documents + 1,) int64, and their codes in `tags`."""
        order = np.lexsort((self.tags.code, self.tags.document))
        return np.searchsorted(self.tags.document[order], np.arange(len(self.corpus.time) + 1)), self.tags.code[order]

    @cached_property
    def apps(self) -> tuple[Labels, Ints]:
        """Return the names of the apps and the code of each document's, (documents,) int64, -1 where not known."""
        return _ranked(self.corpus.table["app"].combine_chunks())

    @cached_property
    def platforms(self) -> tuple[Labels, Ints]:
        """Return the names of the platforms and the code of each document's, (documents,) int64, -1 where not known."""
        return _ranked(self.corpus.table["platform"].combine_chunks())

    def bare(self, trace: Trace) -> tuple[Ints, Ints, Ints]:
        """Return what was shared in a timed trace, whatever the window.

        Returns
        -------
        tuple
            (items,) int64 code of each item, (shares,) int64 shares in the order of code, time and document, and where each code begins
            among them, (codes + 1,) int64.
        """
        if trace.name not in self._bare:
            code = trace.items.shared
            of_share = code[trace.share_item]
            # Windows are in order of time, since their labels begin with it.
            order = np.argsort(of_share, kind="stable")
            self._bare[trace.name] = code, order, np.searchsorted(of_share[order], np.arange(code.max(initial=-1) + 2))
        return self._bare[trace.name]


def read_press(corpus: Corpus) -> Press:
    """Collect the pages, hosts and texts that come from outlets."""
    outlet = pc.fill_null(pc.not_equal(corpus.table["outlet"], ""), False).combine_chunks()
    rows = np.flatnonzero(outlet.to_numpy(zero_copy_only=False))
    urls = corpus.table["url"].take(pa.array(rows)).to_pylist()
    pages = [(url, int(corpus.account[row])) for url, row in zip(urls, rows, strict=True) if url]
    # Documents are in order of time, so the first one of a representative is its origin.
    encoded = corpus.representative.dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    first = first[np.isin(first, rows)]
    texts = corpus.representative.take(pa.array(first)).to_pylist()
    return Press(
        _grouped(pages),
        _grouped((host_of(url), account) for url, account in pages),
        _grouped(zip(texts, corpus.account[first].tolist(), strict=True)),
    )


def host_of(url: str) -> str:
    """Return the host of an address without ``www.``, empty where there is none."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def ranges(start: Ints, stop: Ints) -> Ints:
    """Return start[0], ..., stop[0] - 1, start[1], ... in one array."""
    length = stop - start
    before = np.cumsum(length) - length
    return np.asarray(np.arange(int(length.sum())) + np.repeat(start - before, length))


def _grouped(pairs: Iterable[tuple[str, int]]) -> Publishers:
    found: dict[str, set[int]] = {}
    for name, account in pairs:
        if name:
            found.setdefault(name, set()).add(account)
    return {name: frozenset(accounts) for name, accounts in found.items()}


def _uses(document: Ints, values: pa.Array) -> Uses:
    names, code = _ranked(values)
    kept = code >= 0
    order = np.lexsort((document[kept], code[kept]))
    return Uses(names, code[kept][order], document[kept][order])


def _ranked(values: pa.Array) -> tuple[Labels, Ints]:
    """Return the distinct values ascending and the rank of each value, -1 for null and empty ones."""
    encoded = _filled(values).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), len(order)).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_numpy(zero_copy_only=False)[order], rank[indices]


def _codes(values: pa.Array | pa.ChunkedArray) -> Ints:
    """Return a number for every distinct value, -1 for null."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    indices = whole.dictionary_encode().indices
    return np.asarray(pc.fill_null(indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False))


def _filled(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.if_else(pc.equal(column, ""), None, column)
