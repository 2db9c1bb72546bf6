"""Which links may join a campaign, with what weight, and between which days each lies.

A link ties if its probability is ``campaign.link`` or more and its type is not plain reporting. Its weight is its probability times the
expected weight of its type, as in the impact score. What people decided on a link (`greyzone review`) goes before: if all who decided said
yes it ties, as though p were 1 and with the type that they gave, if they gave one and the same; if all said no it does not. If they
differ, or are unsure, the link is as it was.

A link lies between the points of its incident (onset, end, disclosure) and of its story that are nearest to each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from greyzone.campaigns.communities import Ties
from greyzone.doctrine import Doctrine
from greyzone.records import DECISIONS, LINK_TYPES, check

Row = Mapping[str, Any]
DAY = 86_400.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Said:
    """What people decided: the last row of each person by link, sorted by name."""

    rows: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, decisions: pa.Table) -> Said:
        """Read the history of `DECISIONS`."""
        last: dict[tuple[str, str], Row] = {}
        for row in sorted(check(decisions, DECISIONS, "decisions").to_pylist(), key=lambda row: row["revision"]):
            last[row["link_id"], row["who"]] = row
        found: dict[str, list[Row]] = defaultdict(list)
        for key in sorted(last):
            found[key[0]].append(last[key])
        return cls(found)

    def verdict(self, link: str) -> str | None:
        """Return "yes" or "no" where all who decided on a link agree, else None."""
        said = {row["decision"] for row in self.rows.get(link, ())}
        return said.pop() if said in ({"yes"}, {"no"}) else None

    def kind(self, link: str) -> str | None:
        """Return the type that people gave a link, where they gave one and the same."""
        given = {row["type"] for row in self.rows.get(link, ()) if row["type"]}
        return str(given.pop()) if len(given) == 1 else None


def find_ties(
    links: Sequence[Row], incidents: Mapping[str, Row], narratives: Mapping[str, Row], said: Said, *, doctrine: Doctrine
) -> tuple[Ties, list[Row], list[Row]]:
    """Return the links that may join, their rows in the same order, and the rows that would join had people not decided against them.

    Parameters
    ----------
    links
        Rows of `LINKS` in order of ids, both ends known.
    incidents, narratives
        Rows by id.
    said
        What people decided.
    doctrine
        ``campaign.link`` and ``type_weight``.
    """
    weights = [doctrine[f"type_weight.{name}"] for name in LINK_TYPES]
    joined: list[Row] = []
    against: list[Row] = []
    columns: list[tuple[float, float, float]] = []
    for link in links:
        verdict = said.verdict(link["link_id"])
        kind = said.kind(link["link_id"]) if verdict == "yes" else None
        if verdict != "yes" and (link["p"] is None or link["p"] < doctrine["campaign.link"]):
            continue
        weight = (1.0 if verdict == "yes" else link["p"]) * _hostility(link, kind, weights)
        if weight <= 0:
            continue
        if verdict == "no":
            against.append(link)
            continue
        joined.append(link)
        columns.append((min(1.0, weight), *_when(incidents[link["incident_id"]], narratives[link["narrative_id"]])))
    numbers = np.array(columns, dtype=np.float64).reshape(-1, 3)
    return Ties([row["incident_id"] for row in joined], [row["narrative_id"] for row in joined], *numbers.T), joined, against


def _hostility(link: Row, kind: str | None, weights: Sequence[float]) -> float:
    """Return the weight of the type of a link: of the one that people gave, else expected over its types; 0 for reporting."""
    told = kind or link["type"]
    if told not in LINK_TYPES or told == "reports":
        return 0.0
    types = link["type_probabilities"] or []
    if kind is not None or len(types) != len(weights):
        return weights[LINK_TYPES.index(told)]
    return float(sum(h * q for h, q in zip(weights, types, strict=True)))


def _when(incident: Row, narrative: Row) -> tuple[float, float]:
    start, end = narrative["onset_lo"], narrative["last_seen"] or narrative["onset_hi"] or narrative["onset_lo"]
    spans = [(incident[f"{name}_lo"], incident[f"{name}_hi"] or incident[f"{name}_lo"]) for name in ("onset", "end", "disclosed")]
    dated = [(_days(low), _days(high)) for low, high in spans if low]
    if start is None:
        return dated[0] if dated else (np.nan, np.nan)
    first, last = _days(start), _days(end)
    meets = [_nearest(low, high, first, last) for low, high in dated] or [(first, first)]
    return min(meets, key=lambda pair: (pair[1] - pair[0], pair))


def _nearest(low: float, high: float, first: float, last: float) -> tuple[float, float]:
    if high < first:
        return high, first
    return (last, low) if low > last else (max(low, first), max(low, first))


def _days(moment: datetime) -> float:
    return moment.timestamp() / DAY
