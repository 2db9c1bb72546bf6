"""The items that a group shares, each once, whatever number of traces and windows show it: who shared it, when, and after whom.

Who was first, who else shares an item and how close in time the members were is told over all shares of the item, not over one window of a
timed trace, in which everybody is close by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.explanations.background import WINDOW_PREFIX, Background, ranges
from greyzone.coordinate.explanations.evidence import Evidence
from greyzone.coordinate.groups import Group
from greyzone.coordinate.traces import UNDATED, Labels, Mask, Trace
from greyzone.doctrine import Doctrine

MINUTE = 60_000_000
"""Microseconds."""
WINDOWED = "fast:"
"""How the label of an item begins that is an item of another trace in one window."""
MINUTES = "rhythm:"
"""How the label of an item begins that is a moment and nothing that is shared."""
TIMED = ("fast", "rhythm")
"""How names of traces begin that are about time."""


@dataclass(frozen=True, slots=True)
class Items:
    """The distinct items behind the evidence, in the order in which the traces name them.

    Parameters
    ----------
    labels
        (items,) object, without windows.
    places
        One (columns,) int64 array a trace of the evidence: the item of each of its columns.
    inside, outside
        (items,) int64: members that share it, accounts of the public that share it.
    public_before
        (items,) int64: accounts of the public that shared it no later than the median member.
    members_before
        (items,) int64: members that did.
    together
        (items,) float64: largest share of the sharing members within ``together_minutes``; nan without times.
    outlets
        (items,) float64: share of the sharing members that are outlets.
    leader
        (items,) int64: row of `Corpus.names` that shared first of all, -1 without times.
    document_item, document
        (n,) int64: item and row of every document of a member that shares it, each pair once, ordered.
    first_item, first_account, first_time
        (m,) int64: item, member and microseconds of each member's first dated share, ordered by item and time.
    public
        (accounts,) bool: accounts that are in no core of any trace.
    content
        (items,) bool: something that is shared, and not a minute in which they post.
    """

    labels: Labels
    places: list[Ints]
    inside: Ints
    outside: Ints
    public_before: Ints
    members_before: Ints
    together: Doubles
    outlets: Doubles
    leader: Ints
    document_item: Ints
    document: Ints
    first_item: Ints
    first_account: Ints
    first_time: Ints
    public: Mask
    content: Mask

    @property
    def documents(self) -> Ints:
        """Return the rows of the members' documents that show the group, ascending."""
        return np.unique(self.document)

    def majority(self, holds: Mask) -> Mask:
        """Return which items have a majority of their documents among those that `holds`, (n,) bool, says; (items,) bool."""
        size = len(self.labels)
        total = np.bincount(self.document_item, minlength=size)
        return np.asarray(2 * np.bincount(self.document_item[holds], minlength=size) > total) & (total > 0)


def is_timed(trace: Trace) -> bool:
    """Return whether a trace is about when accounts post."""
    return trace.name.startswith(TIMED)


def read_items(group: Group, evidence: list[Evidence], background: Background, doctrine: Doctrine) -> Items:
    """Collect the shares of every item that shows the group, and tell their order in time."""
    corpus = background.corpus
    labels, places, shares = _collected(evidence, background)
    item, account, document = shares
    size, everybody = len(labels), len(corpus.names)
    member, public = np.zeros(everybody, dtype=bool), background.public.copy()
    member[group.accounts] = True
    for accounts in [group.accounts, *(found.accounts for part in evidence for found in part.network.groups)]:
        public[accounts] = False
    time = corpus.time[document]
    order = np.lexsort((document, time, item))
    item, account, document, time = item[order], account[order], document[order], time[order]
    # An undated share is last among those of its account, so that the first one tells when.
    late = np.where(time == UNDATED, np.iinfo(np.int64).max, time)
    order = np.lexsort((document, late, account, item))
    fresh = order[_heads(item[order], account[order])]
    i, who, when = item[fresh], account[fresh], time[fresh]
    dated = when != UNDATED
    mine = np.flatnonzero(member[who] & dated)
    mine = mine[np.lexsort((who[mine], when[mine], i[mine]))]
    median = _medians(i[mine], when[mine], size)
    early = dated & (when <= median[i])
    own = member[account]
    pairs = np.stack(np.divmod(np.unique(item[own] * len(corpus.time) + document[own]), max(len(corpus.time), 1)), axis=1)
    inside = np.bincount(i[member[who]], minlength=size)
    return Items(
        labels=labels,
        places=places,
        inside=inside,
        outside=np.bincount(i[public[who]], minlength=size),
        public_before=np.bincount(i[early & public[who]], minlength=size),
        members_before=np.bincount(i[early & member[who]], minlength=size),
        together=together(i[mine], when[mine], size, int(doctrine["coordination_explanations.together_minutes"] * MINUTE)),
        outlets=np.bincount(i[member[who] & corpus.is_outlet[who]], minlength=size) / np.maximum(inside, 1),
        leader=_leaders(i[dated], when[dated], who[dated], size),
        document_item=pairs[:, 0],
        document=pairs[:, 1],
        first_item=i[mine],
        first_account=who[mine],
        first_time=when[mine],
        public=public,
        content=np.array([not str(label).startswith(MINUTES) for label in labels], dtype=bool),
    )


def together(group: Ints, time: Ints, size: int, width: int) -> Doubles:
    """Return the largest share of the entries of each of `size` groups that lie within `width` of each other, nan for a group without.

    Parameters
    ----------
    group, time
        (n,) int64, ordered by both.
    size, width
        Number of groups, and microseconds.
    """
    most = np.zeros(size, dtype=np.int64)
    np.maximum.at(most, group, within(group, time, width))
    total = np.bincount(group, minlength=size)
    return np.where(total > 0, most / np.maximum(total, 1), np.nan)


def within(group: Ints, time: Ints, width: int) -> Ints:
    """Return how many entries of its own group lie in [time, time + width] and not before the entry itself, (n,) int64.

    Parameters
    ----------
    group, time
        (n,) int64, ordered by both.
    """
    count = len(time)
    kind = np.repeat([0, 1], count)
    order = np.lexsort((kind, np.concatenate([time, time + width]), np.concatenate([group, group])))
    begins = order < count
    passed = np.cumsum(begins)
    reached = np.empty(count, dtype=np.int64)
    reached[order[~begins] - count] = passed[~begins]
    return reached - np.arange(count)


def _collected(evidence: list[Evidence], background: Background) -> tuple[Labels, list[Ints], tuple[Ints, Ints, Ints]]:
    """Return the labels, the item of each column of each trace, and item, account and document of all shares of the items."""
    known: dict[str, int] = {}
    places = [np.empty(0, dtype=np.int64) for _ in evidence]
    parts = [tuple(np.empty(0, dtype=np.int64) for _ in range(3))]
    # Traces of content see all shares of an item; a timed one only those that no other item of the document stands for.
    for number in sorted(range(len(evidence)), key=lambda number: is_timed(evidence[number].network.trace)):
        trace, columns = evidence[number].network.trace, evidence[number].columns
        bare = [str(label) for label in trace.items[columns]]
        windowed = bool(bare) and bare[0].startswith(WINDOWED)
        if windowed:
            bare = [label[WINDOW_PREFIX:] for label in bare]
        old = len(known)
        places[number] = np.array([known.setdefault(label, len(known)) for label in bare], dtype=np.int64)
        _, first = np.unique(places[number], return_index=True)
        new = first[places[number][first] >= old]
        if windowed:
            code, order, start = background.bare(trace)
            begin, end = start[code[columns[new]]], start[code[columns[new]] + 1]
            shares = order[ranges(begin, end)]
        else:
            begin, end = (np.searchsorted(trace.share_item, columns[new], side=side) for side in ("left", "right"))
            shares = ranges(begin, end)
        item = np.repeat(places[number][new], end - begin)
        parts.append((item, trace.accounts[trace.share_account[shares]], trace.share_document[shares]))
    item, account, document = (np.concatenate(column) for column in zip(*parts, strict=True))
    return np.array(list(known), dtype=object), places, (item, account, document)


def _heads(item: Ints, account: Ints) -> Mask:
    """Return which entries are the first of their item and account; entries are ordered by both."""
    if not len(item):
        return np.empty(0, dtype=bool)
    return np.asarray(np.r_[True, (np.diff(item) != 0) | (np.diff(account) != 0)])


def _medians(item: Ints, time: Ints, size: int) -> Ints:
    """Return the lower median of the times of each item, which are in order; the least number where there are none."""
    start = np.searchsorted(item, np.arange(size))
    count = np.searchsorted(item, np.arange(size), side="right") - start
    found = np.full(size, UNDATED)
    some = count > 0
    found[some] = time[start[some] + (count[some] - 1) // 2]
    return found


def _leaders(item: Ints, time: Ints, account: Ints, size: int) -> Ints:
    order = np.lexsort((account, time, item))
    items, first = np.unique(item[order], return_index=True)
    found = np.full(size, -1)
    found[items] = account[order][first]
    return found
