"""The items that show a group in one trace: those that enough members share, and more of them than the null expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    """Collect the items that show the group in the trace (`Network.driving`) and the members' documents behind them."""
    del corpus
    trace = network.trace
    member = np.isin(trace.accounts, group.accounts)
    columns, inside = network.driving(group.accounts, doctrine)
    start = np.searchsorted(trace.share_item, columns, side="left")
    stop = np.searchsorted(trace.share_item, columns, side="right")
    rows = [np.unique(trace.share_document[a:b][member[trace.share_account[a:b]]]) for a, b in zip(start, stop, strict=True)]
    return Evidence(network, columns, inside, rows)
