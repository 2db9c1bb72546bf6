"""Where the accounts of the coordination network stand on the page.

Groups sit on a spiral around the largest, their members on a circle; so the picture is the same on every machine, and two groups
never overlap. Edges outside every group are counted, not drawn: they carry no group-level test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.report.parts import rounded

Row = dict[str, Any]

_GAP = 0.9
"""Room between two groups, for the rings around them."""
_TOLD = ["group_id", "accounts", "p", "q", "explanations"]


def layout_network(
    groups: pa.Table, edges: pa.Table, flagged: Mapping[str, bool], rename: Callable[[str], str], members: pa.Table | None = None
) -> Row:
    """Place groups and their members.

    Parameters
    ----------
    groups, edges
        Tables of the coordination stage.
    flagged
        By group id: true where no tested alternative fits.
    rename
        Gives an account its name on the page.
    members
        `records.GROUP_MEMBERS`, for the probability that an account belongs to its group.

    Returns
    -------
    dict
        ``nodes`` [x, y, name, group index, probability], ``edges`` [node, node, place in traces], ``groups`` [id, flagged, x, y, radius],
        ``about`` [number, accounts, p, q, fitting alternatives] in their order, ``traces`` [trace, edges drawn], ``outside`` the number
        of kept pairs in no group. The number of a group is its place in the table.
    """
    nodes: list[list[object]] = []
    places: list[list[object]] = []
    about: list[list[object]] = []
    index: dict[tuple[str, str], int] = {}
    belongs = _probabilities(members)
    told = [row | {"number": place} for place, row in enumerate(groups.select(_TOLD).to_pylist(), start=1)]
    ordered = sorted(told, key=lambda row: (-len(row["accounts"]), row["group_id"]))
    centres = _spiral([_radius(len(row["accounts"])) for row in ordered])
    for number, (row, (x, y)) in enumerate(zip(ordered, centres, strict=True)):
        radius = _radius(len(row["accounts"]))
        places.append([row["group_id"], flagged[row["group_id"]], round(x, 3), round(y, 3), round(radius, 3)])
        fitting = [item["name"] for item in row["explanations"] or [] if item["fits"]]
        about.append([row["number"], len(row["accounts"]), _short(row["p"]), _short(row["q"]), fitting])
        for position, account in enumerate(row["accounts"]):
            angle = 2 * math.pi * position / len(row["accounts"])
            index[row["group_id"], account] = len(nodes)
            here = [round(x + radius * math.cos(angle), 3), round(y + radius * math.sin(angle), 3)]
            nodes.append([*here, rename(account), number, rounded(belongs.get((row["group_id"], account)))])
    drawn: list[list[object]] = []
    counts: dict[str, int] = {}
    inside = edges.select(["trace", "account_a", "account_b", "group_id"]).filter(pc.is_valid(edges["group_id"]))
    for row in inside.to_pylist():
        ends = [index.get((row["group_id"], row[side])) for side in ("account_a", "account_b")]
        if None in ends:
            continue
        counts[row["trace"]] = counts.get(row["trace"], 0) + 1
        drawn.append([*ends, list(counts).index(row["trace"])])
    # The order of the edges is that of the traces, in which windows grow.
    shown = [[trace, count] for trace, count in counts.items()]
    return {"nodes": nodes, "edges": drawn, "groups": places, "about": about, "traces": shown, "outside": edges.num_rows - len(drawn)}


def _probabilities(members: pa.Table | None) -> dict[tuple[str, str], object]:
    if members is None:
        return {}
    columns = (members[name].to_pylist() for name in ("group_id", "account", "probability"))
    return {(group, account): probability for group, account, probability in zip(*columns, strict=True)}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2e}")


def _radius(members: int) -> float:
    return 0.35 + members / (2 * math.pi) * 0.45


def _spiral(radii: list[float]) -> list[tuple[float, float]]:
    """Place circles one by one on a spiral, each at the first free spot."""
    placed: list[tuple[float, float, float]] = []
    for radius in radii:
        step = 0
        while True:
            angle, distance = step * 0.35, step * 0.08
            x, y = distance * math.cos(angle) * 1.5, distance * math.sin(angle)
            if all(math.hypot(x - a, y - b) >= radius + other + _GAP for a, b, other in placed):
                placed.append((x, y, radius))
                break
            step += 1
    return [(x, y) for x, y, _ in placed]
