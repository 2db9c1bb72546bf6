"""When a group acted and when it slept, and what else its accounts were used for, short enough for its row on the page.

Windows that follow each other in one state are one line, and accounts that posted in one narrative are one line; what is left out is
counted beside, and the tables ``group_windows`` and ``group_reuse`` of the case hold it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import pyarrow as pa

from greyzone.report.parts import Row, day, rounded

_LINES = 12
"""Lines of each list; more would hide the group's alternatives."""


def group_activity(windows: pa.Table) -> dict[str, Row]:
    """Return by group ``shown``, [state, first day, last day, windows, acting accounts at most, documents that show it], and ``of``.

    Parameters
    ----------
    windows
        `records.GROUP_WINDOWS`.
    """
    lines: dict[str, list[list[Any]]] = {}
    for row in windows.sort_by([("group_id", "ascending"), ("window_start", "ascending")]).to_pylist():
        own = lines.setdefault(row["group_id"], [])
        if own and own[-1][0] == row["state"]:
            own[-1][2] = day(row["window_end"])
            own[-1][3:] = [own[-1][3] + 1, max(own[-1][4], row["acting"] or 0), own[-1][5] + (row["evidence"] or 0)]
        else:
            own.append([row["state"], day(row["window_start"]), day(row["window_end"]), 1, row["acting"] or 0, row["evidence"] or 0])
    return {group: {"shown": own[:_LINES], "of": len(own)} for group, own in lines.items()}


def group_reuse(reuse: pa.Table, labels: Mapping[str, str]) -> dict[str, Row]:
    """Return by group ``shown``, [narrative, accounts, documents, first day, last day, median silent days before], and ``of``.

    Parameters
    ----------
    reuse
        `records.GROUP_REUSE`.
    labels
        Label of every narrative.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in reuse.to_pylist():
        found.setdefault(row["group_id"], {}).setdefault(row["narrative_id"], []).append(row)
    return {
        group: {"shown": [_line(labels.get(name, name), rows) for name, rows in _by_weight(own)[:_LINES]], "of": len(own)}
        for group, own in found.items()
    }


def _by_weight(own: dict[str, list[Row]]) -> list[tuple[str, list[Row]]]:
    return sorted(own.items(), key=lambda entry: (-len(entry[1]), -sum(row["documents"] for row in entry[1]), entry[0]))


def _line(label: str, rows: list[Row]) -> list[object]:
    first = [row["first"] for row in rows if row["first"] is not None]
    last = [row["last"] for row in rows if row["last"] is not None]
    silent = [row["silent_days"] for row in rows if row["silent_days"] is not None]
    days = [day(min(first, default=None)), day(max(last, default=None))]
    return [label, len(rows), sum(row["documents"] for row in rows), *days, rounded(median(silent), 1) if silent else None]
