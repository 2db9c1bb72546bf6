"""Where the accounts of the coordination network stand on the page.

Groups sit on a spiral around the largest, their members on a circle; so the picture is the same on every machine, and two groups
never overlap. Edges outside every group are counted, not drawn: they carry no group-level test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

Row = dict[str, Any]


def layout_network(groups: pa.Table, edges: pa.Table, flagged: Mapping[str, bool], rename: Callable[[str], str]) -> Row:
    """Place groups and their members.

    Parameters
    ----------
    groups, edges
        Tables of the coordination stage.
    flagged
        By group id: true where no tested alternative fits.
    rename
        Gives an account its name on the page.

    Returns
    -------
    dict
        ``nodes`` [x, y, name, group index], ``edges`` [node, node, trace, shared, p], ``groups`` [id, flagged, x, y, radius], and
        ``outside``, the number of kept pairs in no group.
    """
    nodes: list[list[object]] = []
    places: list[list[object]] = []
    index: dict[tuple[str, str], int] = {}
    ordered = sorted(groups.select(["group_id", "accounts"]).to_pylist(), key=lambda row: (-len(row["accounts"]), row["group_id"]))
    centres = _spiral([_radius(len(row["accounts"])) for row in ordered])
    for number, (row, (x, y)) in enumerate(zip(ordered, centres, strict=True)):
        radius = _radius(len(row["accounts"]))
        places.append([row["group_id"], flagged[row["group_id"]], round(x, 3), round(y, 3), round(radius, 3)])
        for position, account in enumerate(row["accounts"]):
            angle = 2 * math.pi * position / len(row["accounts"])
            index[row["group_id"], account] = len(nodes)
            nodes.append([round(x + radius * math.cos(angle), 3), round(y + radius * math.sin(angle), 3), rename(account), number])
    drawn: list[list[object]] = []
    outside = 0
    for row in edges.to_pylist():
        ends = [index.get((row["group_id"], row[side])) for side in ("account_a", "account_b")] if row["group_id"] else [None]
        if None in ends:
            outside += 1
            continue
        drawn.append([*ends, row["trace"], row["shared"], float(f"{row['p']:.2e}") if row["p"] is not None else None])
    return {"nodes": nodes, "edges": drawn, "groups": places, "outside": outside}


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
            if all(math.hypot(x - a, y - b) >= radius + other + 0.5 for a, b, other in placed):
                placed.append((x, y, radius))
                break
            step += 1
    return [(x, y) for x, y, _ in placed]
