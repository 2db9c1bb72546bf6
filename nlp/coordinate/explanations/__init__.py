"""Why a group might be nothing but ordinary life: every alternative is tested on every group and listed, fitting or not.

Each test asks what would be true of the ordinary case and not of the other one, and none of them asks who is behind an account.

- Alternatives about items (`by_items`) say which of the shared items they cover. Those are taken out of the traces, the pairs among the
  members are judged again against the same null, and the statistic is the share of the members that no core holds any more: what the
  alternative accounts for. It fits from ``accounted`` on.
- Alternatives about accounts (`by_accounts`) look at what members do besides: own words without hurry (party or institution discipline),
  hours of the day (a shared time zone), and how many persons there are (bridged accounts of one person).

The public that an alternative appeals to are accounts in no core of any trace: groups do not vouch for each other. An
alternative that the data cannot test does not fit, and its note says so. Read the files in this order: `evidence` (what shows the group),
`background` (what is told of the corpus once for all groups), `items`, `by_items`, `by_accounts`.
"""

from __future__ import annotations

import pyarrow as pa

from greyzone.coordinate.explanations.background import Background, Press, read_press
from greyzone.coordinate.explanations.by_accounts import bridged, discipline, time_zone
from greyzone.coordinate.explanations.by_items import explain_by_items
from greyzone.coordinate.explanations.evidence import Evidence, Row, gather
from greyzone.coordinate.explanations.items import read_items
from greyzone.coordinate.groups import Group
from greyzone.doctrine import Doctrine

__all__ = ["Background", "Evidence", "Press", "Row", "explain", "flagged", "gather", "read_press"]


def explain(group: Group, evidence: list[Evidence], background: Background, doctrine: Doctrine) -> list[Row]:
    """Test every alternative on a group; rows of `records.EXPLANATIONS`, in a fixed order.

    Parameters
    ----------
    group
        The group.
    evidence
        What `gather` found in each of its traces.
    background
        Of the corpus; the same for all groups.
    doctrine
        Section ``coordination_explanations``.
    """
    items = read_items(group, evidence, background, doctrine)
    return [
        *explain_by_items(group, evidence, items, background, doctrine),
        discipline(group, items, background, doctrine),
        time_zone(group, evidence, items, background, doctrine),
        bridged(group, evidence, background, doctrine),
    ]


def flagged(groups: pa.Table) -> pa.BooleanArray:
    """Return which groups no tested alternative accounts for, (groups,) bool.

    Parameters
    ----------
    groups
        `records.GROUPS`. A group with a fitting explanation stays in the table and is not flagged.
    """
    fits = [any(test["fits"] for test in tests or []) for tests in groups["explanations"].to_pylist()]
    return pa.array([not fit for fit in fits], type=pa.bool_())
