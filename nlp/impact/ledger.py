r"""The last day of each state, item by item: what a reader needs to take a score apart and put it together again.

For every doctrine that the page offers (the bundled ones and the case's own) the ledger holds the terms of the closed form of
`greyzone.impact.dose` at the expected inputs: dose and wave of each item, weight h p of each link, and q, gamma, D0. From these the
score without any set of items is

    S(R) = 100 (1 - exp(-D(a, b without R) / D0)).

Over the draws each item is taken out alone. It changes only the norm of its wave and the norms of its narratives, so no other sum is
made again:

    D - D(without incident i)  = [N_g - N_g\i] + gamma sum over its narratives n of [M_n - M_n\i]
    D - D(without narrative n) = b_n + gamma M_n        N, M: the q-norms of waves and of the links of a narrative

A norm without its largest element is summed on its own scale; any other one is the whole sum less the element, and that sum holds the
largest, so nothing cancels. Removal asks what the score would be if the item were not in the data, all clusters, links and draws
being as they are. It does not ask what would have happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.doctrine import Doctrine, bundled, load_doctrine
from greyzone.impact.dose import NO_COUPLING, Coupling, Indices, Reals, decay, dose, partition, score_of
from greyzone.impact.draws import CHUNK, Theta, World, central_world, drawn_world, theta_of
from greyzone.impact.exposure import StateExposure, read_exposure
from greyzone.impact.vector import moment_of
from greyzone.records import COUPLINGS, DOSES, IMPACT, LEDGER, check, table

ELEMENTS = 4_000_000
"""Doses and terms of links that are worked on at once (32 MB an array)."""
CLOSED_FORM = ("dose.q", "dose.gamma", "dose.d0")
"""Numbers that enter after the draws: doctrines that differ in these alone share their worlds."""
INSUFFICIENT, NOT_ROBUST = "insufficient evidence", "not robust"
PERCENTILES = (5.0, 50.0, 95.0)
Row = dict[str, object]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tables of the schemas `LEDGER` (a row a state and doctrine), `DOSES` (a row an item more) and `COUPLINGS` (a row a link)."""

    ledger: pa.Table
    doses: pa.Table
    couplings: pa.Table


def take_apart(
    incidents: pa.Table,
    narratives: pa.Table,
    links: pa.Table,
    scored: pa.Table,
    *,
    doctrine: Doctrine,
    draws: int | None = None,
    seed: int = 0,
) -> Ledger:
    """Take the last score of every state apart, under each doctrine of the page.

    Parameters
    ----------
    incidents, narratives, links
        What was scored.
    scored
        Table of the schema `IMPACT` made of them: its last date and status of each state are taken over. A state with
        insufficient evidence gets a row without any number and no doses.
    doctrine
        The doctrine of the case.
    draws, seed
        As for `greyzone.impact.score`; with the same values the intervals rest on the same draws.

    Returns
    -------
    Ledger
        Sorted by state, doctrine and item; the same input gives the same bytes.
    """
    last = _last(check(scored, IMPACT, "impact"))
    rows: list[Row] = []
    doses: list[Row] = []
    couplings: list[Row] = []
    for shared in _sharing_worlds(doctrines_of(doctrine)):
        exposure = read_exposure(incidents, narratives, links, doctrine=next(iter(shared.values())))
        for state in exposure.states:
            if state.state not in last:
                continue
            day, status = last[state.state]
            count = int(doctrine["impact.draws"]) if draws is None else draws
            told = _Account(state, day, status, shared, doctrine.hash, count, seed).tell()
            rows, doses, couplings = rows + told[0], doses + told[1], couplings + told[2]
    return Ledger(_sorted(rows, LEDGER), _sorted(doses, DOSES), _sorted(couplings, COUPLINGS))


def doctrines_of(own: Doctrine) -> dict[str, Doctrine]:
    """Return the doctrines that a score is taken apart under, by name: the bundled ones, and the case's own where it is another."""
    found = {name: load_doctrine(name) for name in bundled()}
    if own.hash not in {other.hash for other in found.values()}:
        found[own.id if own.id not in found else f"{own.id} {own.hash}"] = own
    return found


def score_without(
    a: Reals, waves: npt.NDArray[np.int64], b: Reals, coupling: Coupling, removed: Reals, *, theta: Theta, d0: float
) -> float:
    """Return the score when the items flagged in `removed` (n + m,) are not there; the formula that the page computes."""
    keep = 1.0 - removed
    left = dose(a * keep[: len(a)], waves, b * keep[len(a) :], coupling, q=theta.q, gamma=theta.gamma)
    return float(score_of(left.total, d0)[0])


def losses(a: Reals, waves: npt.NDArray[np.int64], b: Reals, coupling: Coupling, *, q: float, gamma: float) -> tuple[Reals, Reals, Reals]:
    """Return the dose (B,) and what it loses without each incident (B, n) and without each narrative (B, m).

    Parameters
    ----------
    a, waves, b
        (B, n), (B, n) and (B, m): decayed doses and wave keys in B worlds.
    coupling
        Its weight is (B, k).
    q, gamma
        One number each.
    """
    size = len(a)
    groups = partition(waves)
    norms, lost = _leave_one_out(np.take_along_axis(a, groups.order, axis=1), groups.lengths, q)
    of_incident = np.zeros_like(a)
    np.put_along_axis(of_incident, groups.order, lost, axis=1)
    total = a.sum(axis=1) if q == 1 else np.bincount(groups.starts // max(a.shape[1], 1), weights=norms, minlength=size)
    total, of_narrative = total + b.sum(axis=1), b.copy()
    if gamma and len(coupling.narrative):
        order = np.argsort(coupling.narrative, kind="stable")
        incident, narrative = coupling.incident[order], coupling.narrative[order]
        terms = coupling.weight[:, order] * np.sqrt(a[:, incident] * b[:, narrative])
        linked, lengths = np.unique(narrative, return_counts=True)
        norms, lost = _leave_one_out(terms, np.tile(lengths, size), q)
        of_narrative[:, linked] += gamma * norms.reshape(size, -1)
        cells = (np.arange(size)[:, None] * a.shape[1] + incident).ravel()
        of_incident += gamma * np.bincount(cells, weights=lost.ravel(), minlength=a.size).reshape(a.shape)
        total = total + gamma * norms.reshape(size, -1).sum(axis=1)
    return total, of_incident, of_narrative


@dataclass(frozen=True, slots=True)
class _Account:
    """One state on its last day, under doctrines that share their worlds; `own` is the hash of the case's doctrine."""

    state: StateExposure
    day: date
    status: str
    doctrines: Mapping[str, Doctrine]
    own: str
    draws: int
    seed: int

    def tell(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Return rows of the ledger, of the doses and of the couplings."""
        if self.status == INSUFFICIENT:
            return [self._head(name, doctrine) | {"status": INSUFFICIENT} for name, doctrine in self.doctrines.items()], [], []
        first = next(iter(self.doctrines.values()))
        moment, items = moment_of(self.day), self.state.items
        world = central_world(items, first)
        a, b = _at_work(world, theta_of(first), moment)
        begun = np.concatenate([world.onset[0] <= moment, world.narrative_onset[0] <= moment])
        coupling = Coupling(items.link_incident, items.link_narrative, world.coupling)
        spread = self._simulate(moment, np.flatnonzero(begun))
        rows: list[Row] = []
        doses: list[Row] = []
        couplings: list[Row] = []
        for name, doctrine in self.doctrines.items():
            theta, d0 = theta_of(doctrine), doctrine["dose.d0"]
            whole = score_without(a[0], world.waves()[0], b[0], coupling, np.zeros(len(begun)), theta=theta, d0=d0)
            low, middle, high = np.percentile(score_of(spread[name].totals, d0), PERCENTILES).tolist()
            wide = high - low > doctrine["impact.wide"]
            row = self._head(name, doctrine) | {"score": whole, "score_p05": low, "score_p50": middle, "score_p95": high}
            rows.append(row | {"status": NOT_ROBUST if wide else self.status})
            doses += self._items(name, np.concatenate([a[0], b[0]]), world.waves()[0], begun, spread[name])
            couplings += self._links(name, coupling, begun)
        return rows, doses, couplings

    def _head(self, name: str, doctrine: Doctrine) -> Row:
        return {
            "target_state": self.state.state,
            "date": self.day,
            "doctrine": name,
            "doctrine_hash": doctrine.hash,
            "own": doctrine.hash == self.own,
            "q": doctrine["dose.q"],
            "gamma": doctrine["dose.gamma"],
            "d0": doctrine["dose.d0"],
        }

    def _items(self, name: str, doses: Reals, waves: npt.NDArray[np.int64], begun: npt.NDArray[np.bool_], spread: _Removals) -> list[Row]:
        items = self.state.items
        count, ids = len(items.incident_ids), (*items.incident_ids, *items.narrative_ids)
        rows = []
        for place, column in enumerate(np.flatnonzero(begun).tolist()):
            row: Row = {"target_state": self.state.state, "date": self.day, "doctrine": name, "item_id": ids[column]}
            row |= {"kind": "incident" if column < count else "narrative", "dose": float(doses[column])}
            row |= {"wave": int(waves[column]) if column < count else None}
            for part, points in (("without", spread.without), ("drop", spread.drop)):
                row |= {f"{part}_{point}": float(points[which, place]) for which, point in enumerate(("p05", "p50", "p95"))}
            rows.append(row)
        return rows

    def _links(self, name: str, coupling: Coupling, begun: npt.NDArray[np.bool_]) -> list[Row]:
        items = self.state.items
        live = begun[coupling.incident] & begun[len(items.incident_ids) + coupling.narrative] & (coupling.weight[0] > 0)
        return [
            {
                "target_state": self.state.state,
                "date": self.day,
                "doctrine": name,
                "incident_id": items.incident_ids[coupling.incident[k]],
                "narrative_id": items.narrative_ids[coupling.narrative[k]],
                "weight": float(coupling.weight[0, k]),
            }
            for k in np.flatnonzero(live).tolist()
        ]

    def _simulate(self, moment: float, columns: Indices) -> dict[str, _Removals]:
        """Percentiles over the draws of the score without each of `columns`, by doctrine."""
        first = next(iter(self.doctrines.values()))
        totals: dict[str, list[Reals]] = {name: [] for name in self.doctrines}
        without: dict[str, list[Floats]] = {name: [] for name in self.doctrines}
        drop: dict[str, list[Floats]] = {name: [] for name in self.doctrines}
        for chunk, start in enumerate(range(0, self.draws, CHUNK)):
            count = min(CHUNK, self.draws - start)
            world = drawn_world(self.state.items, first, chunk=chunk, draws=count, seed=self.seed)
            for a, waves, b, coupling in _blocks(world, theta_of(first), moment):
                for name, doctrine in self.doctrines.items():
                    q, gamma, d0 = (doctrine[number] for number in CLOSED_FORM)
                    total, cyber, told = losses(a, waves, b, coupling, q=q, gamma=gamma)
                    lost = np.concatenate([cyber, told], axis=1)[:, columns]
                    left = score_of(np.maximum(total[:, None] - lost, 0.0), d0)
                    totals[name].append(total)
                    without[name].append(left.astype(np.float32))
                    drop[name].append((score_of(total, d0)[:, None] - left).astype(np.float32))
        return {
            name: _Removals(
                np.concatenate(totals[name]),
                np.percentile(np.concatenate(without[name]), PERCENTILES, axis=0),
                np.percentile(np.concatenate(drop[name]), PERCENTILES, axis=0),
            )
            for name in self.doctrines
        }


@dataclass(frozen=True, slots=True)
class _Removals:
    """`totals` (draws,) doses; (3, items) 5, 50 and 95 % points of the score without each item and of how far that lies below."""

    totals: Reals
    without: Reals
    drop: Reals


def _blocks(world: World, theta: Theta, moment: float) -> Iterator[tuple[Reals, npt.NDArray[np.int64], Reals, Coupling]]:
    """Doses, waves and couplings of the worlds, as many at once as `ELEMENTS` allows."""
    a, b = _at_work(world, theta, moment)
    waves, items = world.waves(), world.items
    rows = max(1, ELEMENTS // max(1, a.shape[1] + b.shape[1] + world.coupling.shape[1]))
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        links = Coupling(items.link_incident, items.link_narrative, world.coupling[part]) if len(items.link_incident) else NO_COUPLING
        yield a[part], waves[part], b[part], links


def _at_work(world: World, theta: Theta, moment: float) -> tuple[Reals, Reals]:
    """(B, n) and (B, m) doses of incidents and narratives at `moment`, faded; nothing before its onset."""
    a = (world.onset <= moment) * decay(moment - world.end, theta.half_life_cyber)
    b = (world.narrative_onset <= moment) * decay(moment - world.narrative_end, theta.half_life_information)
    doses = world.narrative_doses(theta.base, theta.v)
    return world.incident_doses(theta.base) * a, np.broadcast_to(doses, b.shape) * b


def _leave_one_out(ordered: Reals, lengths: Indices, q: float) -> tuple[Reals, Reals]:
    """Return the q-norm of each group of the flat, ordered values, and (shape of `ordered`) what it loses without each element.

    `lengths` are those of the groups, one row after another.
    """
    flat = ordered.ravel()
    norms, lost = np.zeros(len(lengths)), flat.copy()
    if q == 1:
        return (np.add.reduceat(flat, _starts(lengths)) if flat.size else norms), lost.reshape(ordered.shape)
    norms[lengths == 1] = flat[np.repeat(lengths == 1, lengths)]
    several = np.repeat(lengths > 1, lengths)
    if several.any():
        norms[lengths > 1], lost[several] = _leave_one_of_several(flat[several], lengths[lengths > 1], q)
    return norms, lost.reshape(ordered.shape)


def _leave_one_of_several(flat: Reals, lengths: Indices, q: float) -> tuple[Reals, Reals]:
    starts = _starts(lengths)
    largest, sums, powered = _scaled(flat, starts, lengths, q)
    norms = largest * np.power(sums, 1 / q)
    rest = np.maximum(np.repeat(sums, lengths) - powered, 0.0)
    without = np.repeat(largest, lengths) * np.power(rest, 1 / q)
    candidates = np.flatnonzero(flat == np.repeat(largest, lengths))
    group = np.repeat(np.arange(len(lengths)), lengths)[candidates]
    top = candidates[np.unique(group, return_index=True)[1]]
    others = flat.copy()
    others[top] = 0.0
    second, left, _ = _scaled(others, starts, lengths, q)
    without[top] = second * np.power(left, 1 / q)
    return norms, np.maximum(np.repeat(norms, lengths) - without, 0.0)


def _scaled(flat: Reals, starts: Indices, lengths: Indices, q: float) -> tuple[Reals, Reals, Reals]:
    """Largest of each group, the sum of (x / largest)^q in it, and these powers."""
    largest = np.maximum.reduceat(flat, starts)
    ratio = flat / np.repeat(np.where(largest > 0, largest, 1.0), lengths)
    powered = np.square(ratio) if q == 2 else np.power(ratio, q)
    return largest, np.add.reduceat(powered, starts), powered


def _starts(lengths: Indices) -> Indices:
    return np.concatenate([np.zeros(1, np.intp), np.cumsum(lengths)[:-1]])


def _sharing_worlds(doctrines: Mapping[str, Doctrine]) -> list[dict[str, Doctrine]]:
    """Sort doctrines by the numbers that shape the draws."""
    found: dict[tuple[tuple[str, float], ...], dict[str, Doctrine]] = {}
    for name, doctrine in doctrines.items():
        key = tuple((leaf, number.value) for leaf, number in sorted(doctrine.leaves.items()) if leaf not in CLOSED_FORM)
        found.setdefault(key, {})[name] = doctrine
    return list(found.values())


def _last(scored: pa.Table) -> dict[str, tuple[date, str]]:
    """Last date and its status, by state."""
    rows = scored.select(["target_state", "date", "status"]).sort_by([("target_state", "ascending"), ("date", "ascending")]).to_pylist()
    return {row["target_state"]: (row["date"], row["status"]) for row in rows}


def _sorted(rows: list[Row], schema: pa.Schema) -> pa.Table:
    keys = [name for name in ("target_state", "doctrine", "item_id", "incident_id", "narrative_id") if name in schema.names]
    return table(rows, schema).sort_by([(key, "ascending") for key in keys])
