"""From shares to the incidence of a trace: numbers throughout, since a million items have no names until one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from greyzone.coordinate import fast, rhythm
from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.traces.corpus import UNDATED, Corpus, Labels, Mask, ranks
from greyzone.doctrine import Doctrine
from greyzone.neighbours import distinct

FAMILIES = (fast.FAMILY, rhythm.FAMILY)
"""Timed families, whose traces are named ``<family>-<width>``; every other trace is a family by itself."""


def family_of(trace: str) -> str:
    """Return the family that the trace of a name belongs to."""
    family = trace.partition("-")[0]
    return family if family in FAMILIES else trace


class Shares(NamedTuple):
    """What is shared in one trace, before anything is left out.

    Parameters
    ----------
    rows
        (shares,) int64 rows of the documents.
    label
        (shares,) strings: the item that each shares; one document may share several.
    reason
        Why there are none, if there are none.
    note
        What the trace should tell besides.
    minimum
        Items that a pair must share, where that is not what the doctrine says for all.
    """

    rows: Ints
    label: pa.Array
    reason: str
    note: str = ""
    minimum: int | None = None


class Items:
    """Names of the items of a trace in the order of its columns, made when they are asked for.

    Parameters
    ----------
    names
        Distinct strings.
    number
        (m,) int64: which of them each item is; None takes them as they are.
    prefix
        (m,) int64 of a timed trace: second at which the window opened. The name is then ``fast:<second>:<name>``, with zeros before it, so
        that the windows of one item sort by time.
    """

    def __init__(self, names: pa.Array, number: Ints | None = None, prefix: Ints | None = None) -> None:
        self._names = names
        self._number = np.arange(len(names)) if number is None else number
        self._prefix = prefix

    def __len__(self) -> int:
        return len(self._number)

    @overload
    def __getitem__(self, place: int | np.integer) -> str: ...

    @overload
    def __getitem__(self, place: slice | Ints | Mask) -> Labels: ...

    def __getitem__(self, place: int | np.integer | slice | Ints | Mask) -> str | Labels:
        if isinstance(place, int | np.integer):
            return str(self.labels(np.array([place]))[0])
        return np.asarray(self.labels(place).to_numpy(zero_copy_only=False), dtype=object)

    def __iter__(self) -> Iterator[str]:
        yield from self.labels(slice(None)).to_pylist()

    def chosen(self, place: Ints) -> Items:
        """Return some of the items."""
        return Items(self._names, self._number[place], None if self._prefix is None else self._prefix[place])

    @property
    def shared(self) -> Ints:
        """Return a number for what is shared, one for all windows of it, (m,) int64."""
        return self._number

    def tolist(self) -> list[str]:
        """Return all names."""
        return list(self)

    def labels(self, place: slice | Ints | Mask) -> pa.Array:
        """Return the names of some as strings of Arrow, which take less room than those of Python."""
        names = self._names.take(pa.array(self._number[place], pa.int64()))
        if self._prefix is None:
            return names
        stamp = pc.utf8_lpad(pa.array(self._prefix[place], pa.int64()).cast(pa.string()), 14, "0")
        return pc.binary_join_element_wise("fast", stamp, names, ":")


@dataclass(frozen=True, slots=True)
class Trace:
    """Shares of one kind.

    Parameters
    ----------
    name
        One of `greyzone.coordinate.traces.KINDS`, or of a timed trace.
    accounts
        (n,) int64 rows of `Corpus.names`, ascending.
    items
        (m,) labels, ascending.
    incidence
        (n, m) float64 of ones.
    share_account, share_item, share_document
        (shares,) int64: row of `accounts`, column of `items`, row of the documents; ordered by (item, time, document).
    share_time
        (shares,) int64 microseconds, or `UNDATED` where the time is not good to a minute.
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
    items: Items
    incidence: sparse.csr_array
    share_account: Ints
    share_item: Ints
    share_document: Ints
    share_time: Ints
    supported: bool
    note: str
    seconds: float | None = None
    minimum: int | None = None

    @property
    def family(self) -> str:
        """What is shared, whatever the scale: scales of one family weigh as one trace."""
        return family_of(self.name)


@dataclass(frozen=True, slots=True)
class Coded:
    """`Shares` with the items as numbers: `codes` (shares,) int64 into `items`, of which some may be nobody's."""

    rows: Ints
    codes: Ints
    items: Items
    reason: str
    note: str = ""
    minimum: int | None = None

    @classmethod
    def of(cls, shares: Shares) -> Coded:
        """Give every item its rank among the labels."""
        names, codes = ranks(shares.label)
        return cls(shares.rows, codes, Items(names), shares.reason, shares.note, shares.minimum)


def assemble(corpus: Corpus, name: str, shares: Coded, doctrine: Doctrine, *, seconds: float | None = None) -> Trace:
    """Leave out what has no account or is too popular, and say whether the rest can be tested."""
    rows, codes, reason = shares.rows, shares.codes, shares.reason
    notes = [shares.note] if shares.note else []
    account = corpus.account[rows]
    known = account >= 0
    if not known.all():
        notes.append(f"{int((~known).sum())} shares without account or outlet left out")
        reason = reason if known.any() else "no document of this kind names an account or an outlet"
        rows, codes, account = rows[known], codes[known], account[known]
    present = np.zeros(len(corpus.names), dtype=bool)
    present[account] = True
    pairs = distinct(codes * len(corpus.names) + account)
    degrees = np.bincount(pairs // max(len(corpus.names), 1), minlength=len(shares.items))
    limit = int(max(min(doctrine["coordination.popular_accounts"], doctrine["coordination.popular_share"] * present.sum()), 2))
    popular = degrees > limit
    if popular.any():
        notes.append(f"{int(popular.sum())} items of more than {limit} accounts left out as too popular to tell anything")
        kept, left = ~popular[codes], ~popular[pairs // len(corpus.names)]
        rows, codes, account, pairs = rows[kept], codes[kept], account[kept], pairs[left]
    column, items = _renumbered(codes, len(degrees))
    row, accounts = _renumbered(account, len(corpus.names))
    incidence = sparse.csr_array(
        (np.ones(len(pairs)), (row[pairs % max(len(corpus.names), 1)], column[pairs // max(len(corpus.names), 1)])),
        shape=(len(accounts), len(items)),
    )
    problem = _unsupported(len(accounts), degrees[degrees > 0], popular[degrees > 0], reason, doctrine)
    order = np.lexsort((rows, corpus.time[rows], codes))
    note = "; ".join([problem, *notes] if problem else notes)
    names = shares.items.chosen(items)
    rows = rows[order]
    found = (row[account[order]], column[codes[order]], rows, np.where(corpus.timed[rows], corpus.time[rows], UNDATED))
    return Trace(name, accounts, names, incidence, *found, not problem, note, seconds, shares.minimum)


def is_shared(corpus: Corpus, shares: Coded) -> Mask:
    """Return which shares are of items that two accounts or more share, (shares,) bool."""
    account = corpus.account[shares.rows]
    known = account >= 0
    low = np.full(len(shares.items), np.iinfo(np.int64).max)
    high = np.full(len(shares.items), -1)
    np.minimum.at(low, shares.codes[known], account[known])
    np.maximum.at(high, shares.codes[known], account[known])
    return np.asarray((high > low)[shares.codes] & known)


def _renumbered(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """Return the new number of each of `count` codes and which of them occur, ascending."""
    occurs = np.zeros(count, dtype=bool)
    occurs[codes] = True
    return np.cumsum(occurs) - 1, np.flatnonzero(occurs)


def _unsupported(accounts: int, degrees: Ints, popular: Mask, reason: str, doctrine: Doctrine) -> str:
    """Return why no group could be found among so many accounts and items of these degrees, or an empty text."""
    small = "_small" if accounts < doctrine["coordination.small_n"] else ""
    least = int(doctrine["coordination.core" + small]) + 1
    if not len(degrees):
        return reason
    if not ((degrees > 1) & ~popular).any():
        return "no item is shared by two accounts" + (" but the most popular ones" if popular.any() else "")
    if accounts < least:
        return f"{accounts} active accounts; a group needs {least}"
    return ""
