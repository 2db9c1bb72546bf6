"""The items that show a group in one trace: those that enough members share, and more of them than the null expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.groups import Group, Network
from greyzone.coordinate.traces import Corpus
from greyzone.doctrine import Doctrine

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The items of one trace that members of a group share.

    Parameters
    ----------
    network
        The trace they are from.
    columns
        (items,) int64 into the items of the trace, ascending.
    inside
        (items,) int64 members that share each.
    rows
        One (documents,) int64 array an item: rows of the members' documents, ascending.
    """

    network: Network
    columns: Ints
    inside: Ints
    rows: list[Ints]


def gather(network: Network, group: Group, corpus: Corpus, doctrine: Doctrine) -> Evidence:
    """Collect the items that ``driving_members`` members share, and more of them than the null expects.

    The null expects a number of members that is the sum of their probabilities; p is its Poisson tail, at most ``driving_p``.
    """
    del corpus
    trace = network.trace
    member = np.isin(trace.accounts, group.accounts)
    inside = np.bincount(trace.incidence[np.flatnonzero(member)].indices, minlength=len(trace.items)).astype(np.int64)
    columns = np.flatnonzero((inside >= doctrine["coordination.driving_members"]) & (network.weights > 0))
    if len(columns):
        expected = network.chance.expected(np.flatnonzero(member))[columns]
        columns = columns[special.pdtrc(inside[columns] - 1, expected) <= doctrine["coordination.driving_p"]]
    start = np.searchsorted(trace.share_item, columns, side="left")
    stop = np.searchsorted(trace.share_item, columns, side="right")
    rows = [np.unique(trace.share_document[a:b][member[trace.share_account[a:b]]]) for a, b in zip(start, stop, strict=True)]
    return Evidence(network, columns, inside[columns], rows)
