"""The last score of a state seen otherwise: by who may have begun the incidents, and without one source at a time.

Same originator. An incident names its suspected originators with probabilities; those of each source are one distribution, sources
count alike, and what is missing to 1 is "unknown". An originator is the state that is named, or the name where no state is. For each
originator h

    D_h = dose of the incidents alone, each with the probability P(real) P(i by h)
    P(h) = sum of P(real) P(i by h) over the incidents / sum of P(real), which sums to 1 over all h, "unknown" included

Narratives name no originator and are in no D_h. The views answer "what if only what h may have done counts"; they attribute nothing, are
not summed with each other nor with the score of all sources, and a suspicion that many sources repeat from each other stays one.

Without a source. Incidents that only this source tells are left out; one that k sources tell keeps P(real) as though its sources were
equally credible: 1 - (1 - pi)^((k-1)/k). "documents" leaves out all narratives and links.

The worlds are those of `greyzone.impact.draws`, item by item the same draws, so that views differ by what is left out and not by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.impact.dose import Reals, score_of
from greyzone.impact.draws import CHUNK, Items, dose_at, drawn_world, theta_of
from greyzone.impact.exposure import StateExposure, read_exposure
from greyzone.impact.vector import moment_of
from greyzone.records import VIEWS, table
from greyzone.scores import INSUFFICIENT, NOT_ROBUST

UNKNOWN = "unknown"
NOBODY = frozenset({"", UNKNOWN, "undetermined", "unnamed", "not attributed", "unattributed", "not available", "none"})
"""Names by which sources say that they name nobody."""
DOCUMENTS = "documents"
Row = dict[str, object]


def views(
    incidents: pa.Table,
    narratives: pa.Table,
    links: pa.Table,
    impact: pa.Table,
    *,
    doctrine: Doctrine,
    draws: int | None = None,
    seed: int = 0,
) -> pa.Table:
    """See the last score of every state that has one by originator, and without each source.

    Parameters
    ----------
    incidents, narratives, links
        What was scored.
    impact
        The table that `greyzone.impact.score` made of it; its last date of each state is taken.
    doctrine
        Every number used.
    draws
        Draws behind the intervals; the doctrine's ``impact.draws`` where None.
    seed
        Seed of the draws, that of `score` for the same worlds.

    Returns
    -------
    Table of the schema `VIEWS`, in order of state, view and key.
    """
    count = int(doctrine["impact.draws"]) if draws is None else draws
    days = last_days(impact)
    told = {row["incident_id"]: row for row in incidents.select(["incident_id", "sources", "actors"]).to_pylist()}
    rows: list[Row] = []
    for state in read_exposure(incidents, narratives, links, doctrine=doctrine).states:
        if state.state in days:
            viewer = _Viewer(state, days[state.state], doctrine, count, seed)
            rows.extend(viewer.by_originator([told[item] for item in state.items.incident_ids]))
            rows.extend(viewer.without_sources([told[item] for item in state.items.incident_ids]))
    return table(rows, VIEWS)


def last_days(impact: pa.Table) -> dict[str, date]:
    """Return the last date of each state whose last row has a score."""
    last: dict[str, Mapping[str, Any]] = {}
    for row in impact.select(["target_state", "date", "status"]).to_pylist():
        if row["target_state"] not in last or row["date"] > last[row["target_state"]]["date"]:
            last[row["target_state"]] = row
    return {state: row["date"] for state, row in sorted(last.items()) if row["status"] != INSUFFICIENT}


def originators(actors: Sequence[Mapping[str, Any]] | None) -> dict[str, float]:
    """Return P(i by h) of one incident by originator, with "unknown"; it sums to 1."""
    by_source: dict[str, dict[str, float]] = {}
    for actor in actors or ():
        name = (actor["name"] or "").strip()
        key = actor["state"] or (UNKNOWN if name.casefold() in NOBODY else name)
        said = by_source.setdefault(actor["said_by"] or "", {})
        # Several names of one state by one source are one suspicion.
        said[key] = max(said.get(key, 0.0), min(1.0, max(0.0, actor["probability"] or 0.0)))
    found: dict[str, float] = {}
    for _, said in sorted(by_source.items()):
        total = max(1.0, sum(said.values()))
        for key, p in sorted(said.items()):
            found[key] = found.get(key, 0.0) + p / total / len(by_source)
    known = {key: p for key, p in sorted(found.items()) if key != UNKNOWN and p > 0}
    return known | {UNKNOWN: max(0.0, 1.0 - sum(known.values()))}


@dataclass(frozen=True, slots=True)
class _Viewer:
    """One state on its last date."""

    state: StateExposure
    day: date
    doctrine: Doctrine
    draws: int
    seed: int

    @property
    def moment(self) -> float:
        return moment_of(self.day)

    def by_originator(self, told: Sequence[Mapping[str, Any]]) -> list[Row]:
        items = self.state.items
        begun = items.onset.mean(axis=0) <= self.moment
        suspected = [originators(row["actors"]) for row in told]
        mass = float(items.credibility[begun].sum())
        rows = []
        for key in sorted({key for found, here in zip(suspected, begun, strict=True) if here for key, p in found.items() if p > 0}):
            by = np.array([found.get(key, 0.0) for found in suspected])
            p = float((items.credibility * by)[begun].sum() / mass) if mass else None
            chosen = np.flatnonzero((by > 0) & begun)
            part = without_narratives(replace_incidents(items, chosen, items.credibility * by))
            rows.append(self._row("same-originator", key, p, part))
        return rows

    def without_sources(self, told: Sequence[Mapping[str, Any]]) -> list[Row]:
        items = self.state.items
        rows = []
        for source in self.state.sources:
            others = np.array([len(set(row["sources"] or ()) - {source}) for row in told], np.float64)
            names = np.array([source in (row["sources"] or ()) for row in told])
            share = np.divide(others, others + names, out=np.ones_like(others), where=others + names > 0)
            left = 1.0 - np.power(1.0 - items.credibility, share)
            chosen = np.flatnonzero(~names | (others > 0))
            rows.append(
                self._row("without source", source, None, replace_incidents(items, chosen, np.where(names, left, items.credibility)))
            )
        if len(items.narrative_ids) and len(items.incident_ids):
            rows.append(self._row("without source", DOCUMENTS, None, without_narratives(items)))
        return rows

    def _row(self, view: str, key: str, p: float | None, items: Items) -> Row:
        count = int((items.onset.mean(axis=0) <= self.moment).sum() + (items.narrative_onset.mean(axis=0) <= self.moment).sum())
        row: Row = {"target_state": self.state.state, "date": self.day, "view": view, "key": key, "p": p, "items": count}
        row |= {"doctrine": f"{self.doctrine.id} {self.doctrine.version}", "doctrine_hash": self.doctrine.hash}
        if count < self.doctrine["impact.coverage_minimum"]:
            return row | {"status": INSUFFICIENT}
        low, middle, high = map(float, self._points(items))
        status = NOT_ROBUST if high - low > self.doctrine["impact.wide"] else "ok"
        return row | {"score_p05": low, "score_p50": middle, "score_p95": high, "status": status}

    def _points(self, items: Items) -> Reals:
        theta = theta_of(self.doctrine)
        scores = []
        for chunk, start in enumerate(range(0, self.draws, CHUNK)):
            world = drawn_world(items, self.doctrine, chunk=chunk, draws=min(CHUNK, self.draws - start), seed=self.seed)
            scores.append(score_of(dose_at(world, theta, self.moment).total, self.doctrine["dose.d0"]))
        return np.asarray(np.percentile(np.concatenate(scores), [5, 50, 95]))


def without_narratives(items: Items) -> Items:
    """Return `items` with its incidents alone."""
    nothing = np.zeros(0, np.intp)
    return replace(
        items,
        narrative_ids=(),
        narrative_onset=np.zeros((2, 0)),
        narrative_end=np.zeros(0),
        breakout=np.zeros((0, items.breakout.shape[1])),
        link_incident=nothing,
        link_narrative=nothing,
        link_p=np.zeros((3, 0)),
        link_weight=np.zeros(0),
    )


def replace_incidents(items: Items, chosen: npt.NDArray[np.intp], credibility: Reals) -> Items:
    """Return `items` with the incidents at `chosen` alone, of another credibility (n,), and the links to them."""
    place = np.full(len(items.incident_ids), -1, np.intp)
    place[chosen] = np.arange(len(chosen))
    kept = place[items.link_incident] >= 0 if len(items.link_incident) else np.zeros(0, bool)
    return replace(
        items,
        incident_ids=tuple(items.incident_ids[column] for column in chosen.tolist()),
        onset=items.onset[:, chosen],
        end=items.end[:, chosen],
        level=items.level[:, chosen],
        credibility=credibility[chosen],
        sector_weight=items.sector_weight[chosen],
        technique=items.technique[chosen],
        sectors=tuple(items.sectors[column] for column in chosen.tolist()),
        link_incident=place[items.link_incident[kept]],
        link_narrative=items.link_narrative[kept],
        link_p=items.link_p[:, kept],
        link_weight=items.link_weight[kept],
    )
