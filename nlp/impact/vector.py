"""How incidents and narratives build up against a state: the score vector on a date, with intervals and shares.

The dose D and the score S = 100 (1 - exp(-D / D0)) are in `greyzone.impact.dose`, the uncertain inputs in `greyzone.impact.draws`, what
counts for which state in `greyzone.impact.exposure`. This module assembles the vector: score with intervals from the data and from data
and doctrine together, peak, cumulative excess, tempo, breadth, hybridity, coverage and a stamp. A score never stands without its interval
and the hash of its doctrine, and none is given below the doctrine's minimum of items.

The *central score* is S at the expected inputs; `shares` sum to it. The score's median (`score_p50`) comes from the draws and may
differ, since S is not linear in its inputs. The score measures accumulation. It says neither who acted nor what follows from it.

Adding an incident, narrative or link never lowers the central score while clusters and links are frozen (docs/method/impact.md).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.impact.dose import LEVEL_MAX, DoseParts, Reals, score_of
from greyzone.impact.draws import (
    CHUNK,
    DAY,
    Theta,
    World,
    central_world,
    dose_at,
    dose_curve,
    drawn_world,
    ensemble_draws,
    ensemble_grid,
    own_doses,
    part_of,
    theta_of,
)
from greyzone.impact.exposure import Exposure, StateExposure, read_exposure, seconds
from greyzone.impact.tensors import dose_curve_on
from greyzone.records import IMPACT, SHARES, ImpactResult, table
from greyzone.words import counted

logger = logging.getLogger(__name__)

LEVEL_WORDS = ("baseline", "low", "medium", "high", "severe", "emergency")
"""CISA Cyber Incident Severity Schema, levels 0 to 5."""
GRID_DAYS = 7
"""Dates of the table: every seventh day back from the last, and every day on which something begins."""
RECENT_DAYS, BASELINE_DAYS = 30, 365
BLOCK_CELLS = 1_000_000
"""Moments times items and links that are computed at once; bounds memory."""
P05, P50, P95 = 5.0, 50.0, 95.0
BIAS_NOTE = "reporting favours states, sectors and languages that are watched and published about; do not rank states by it"
Row = dict[str, object]


def score(
    incidents: pa.Table,
    narratives: pa.Table,
    links: pa.Table,
    *,
    doctrine: Doctrine,
    as_of: date,
    days: int = 365,
    draws: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> ImpactResult:
    """Score every target state on dates up to `as_of`.

    Parameters
    ----------
    incidents, narratives, links
        Tables of the schemas `INCIDENTS`, `NARRATIVES`, `LINKS`.
    doctrine
        Every number used.
    as_of
        Last date; a date means its end (24:00 UTC), so what begins that day counts.
    days
        How far back the table goes. Its dates are every seventh day before `as_of`, and the days on which something begins.
    draws
        Monte Carlo draws behind the intervals; the doctrine's ``impact.draws`` where None.
    seed
        Seed of the draws. The same input, seed and doctrine give the same bytes, in whatever order the rows come.
    device
        "cpu" or "cuda" takes the doses of the draws to PyTorch; intervals then agree with those of NumPy (None) within 1e-6.

    Returns
    -------
    ImpactResult
        `impact`, one row a state and date; `shares`, one row a state and item that has begun, at `as_of`.

    Raises
    ------
    InputError
        If `days` or `draws` is too small, or a table holds values outside their range.
    """
    count = int(doctrine["impact.draws"]) if draws is None else draws
    if count < 2:
        raise InputError(f"{count} draws", "2 or more", "leave draws out to take the doctrine's number")
    if days < 0:
        raise InputError(f"{days} days", "0 or more")
    exposure = read_exposure(incidents, narratives, links, doctrine=doctrine)
    worlds = [central_world(state.items, doctrine) for state in exposure.states]
    agreement = rank_agreement(worlds, doctrine, moment_of(as_of))
    rows: list[Row] = []
    shares: list[Row] = []
    for state, world, tau in zip(exposure.states, worlds, agreement, strict=True):
        run = _StateRun(state, world, doctrine, _dates(world, as_of, days), count, seed, device)
        spread = run.simulate() if any(run.enough()) else None
        rows.extend(run.rows(spread, tau, exposure))
        if spread is not None and run.enough()[-1]:
            shares.extend(run.shares(spread.shares))
    logger.info("scored %d states on %d dates and state pairs", len(exposure.states), len(rows))
    return ImpactResult(table(rows, IMPACT), table(shares, SHARES))


def moment_of(day: date) -> float:
    """Return the end of `day` in seconds since 1970 (UTC)."""
    return seconds(datetime(day.year, day.month, day.day, tzinfo=UTC)) + DAY


def level_word(level: float) -> str:
    """Return the CISS word of a level on 0..5, halves rounded up."""
    return LEVEL_WORDS[int(np.clip(np.floor(level + 0.5), 0, len(LEVEL_WORDS) - 1))]


@dataclass(frozen=True, slots=True)
class _StateRun:
    """One state on its dates: the central parts, the draws, and the rows made of them."""

    state: StateExposure
    world: World
    doctrine: Doctrine
    dates: Sequence[date]
    draws: int
    seed: int
    device: str | None

    @property
    def moments(self) -> Reals:
        return np.array([moment_of(day) for day in self.dates])

    def begun(self, moment: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        return self.world.onset[0] <= moment, self.world.narrative_onset[0] <= moment

    def enough(self) -> list[bool]:
        """Whether the doctrine's minimum of items has begun, on each date."""
        minimum = self.doctrine["impact.coverage_minimum"]
        return [sum(int(begun.sum()) for begun in self.begun(moment)) >= minimum for moment in self.moments]

    def rows(self, spread: _Spread | None, tau: float, exposure: Exposure) -> list[Row]:
        d0, theta = self.doctrine["dose.d0"], theta_of(self.doctrine)
        tempo = _tempo(self.world, theta, self.moments)
        enough = self.enough()
        vectors = iter(_vectors(self.state, self.world, theta, self.moments[enough], d0)) if spread is not None else iter(())
        rows: list[Row] = []
        version, digest = f"{self.doctrine.id} {self.doctrine.version}", self.doctrine.hash
        for column, (day, moment) in enumerate(zip(self.dates, self.moments, strict=True)):
            row: Row = {
                "target_state": self.state.state,
                "date": day,
                "status": "insufficient evidence",
                "coverage": _coverage(self.state, *self.begun(moment), exposure),
                "doctrine": version,
                "doctrine_hash": digest,
            }
            if enough[column] and spread is not None:
                low, middle, high = map(float, spread.data[:, column])
                row |= {"score_p05": low, "score_p50": middle, "score_p95": high}
                row |= {"doctrine_p05": float(spread.both[0, column]), "doctrine_p95": float(spread.both[2, column])}
                row |= next(vectors)
                row |= {"tempo": tempo[0][column], "tempo_p": tempo[1][column]}
                wide = high - low > self.doctrine["impact.wide"]
                row["status"] = "not robust" if wide or tau < self.doctrine["impact.tau"] else "ok"
            rows.append(row)
        return rows

    def shares(self, spread: tuple[Reals, Reals]) -> list[Row]:
        moment, items = self.moments[-1], self.state.items
        central = dose_at(self.world, theta_of(self.doctrine), moment).shares(self.doctrine["dose.d0"])
        rows: list[Row] = []
        for side, (kind, ids) in enumerate((("incident", items.incident_ids), ("narrative", items.narrative_ids))):
            for column in np.flatnonzero(self.begun(moment)[side]).tolist():
                row: Row = {"target_state": self.state.state, "date": self.dates[-1], "item_id": ids[column], "kind": kind}
                row |= {"share": float(central[side][0, column])}
                rows.append(row | {"share_p05": float(spread[side][0, column]), "share_p95": float(spread[side][1, column])})
        return sorted(rows, key=lambda row: (-float(str(row["share"])), str(row["item_id"])))

    def simulate(self) -> _Spread:
        """Percentiles over the draws; a chunk of worlds serves the scores of every date and the shares of the last."""
        theta, d0 = theta_of(self.doctrine), self.doctrine["dose.d0"]
        ensemble = ensemble_draws(self.doctrine, self.draws, seed=self.seed)
        data, both, cyber, told = [], [], [], []
        for chunk, start in enumerate(range(0, self.draws, CHUNK)):
            stop = min(start + CHUNK, self.draws)
            world = drawn_world(self.state.items, self.doctrine, chunk=chunk, draws=stop - start, seed=self.seed)
            data.append(self._curve(world, theta))
            both.append(self._curve(world, part_of(ensemble, start, stop)))
            shares = dose_at(world, theta, self.moments[-1]).shares(d0)
            cyber.append(shares[0].astype(np.float32))
            told.append(shares[1].astype(np.float32))
        return _Spread(
            data=np.percentile(score_of(np.concatenate(data), d0), [P05, P50, P95], axis=0),
            both=np.percentile(score_of(np.concatenate(both), d0), [P05, P50, P95], axis=0),
            shares=(np.percentile(np.concatenate(cyber), [P05, P95], axis=0), np.percentile(np.concatenate(told), [P05, P95], axis=0)),
        )

    def _curve(self, world: World, theta: Theta) -> Reals:
        if self.device is None:
            return dose_curve(world, theta, self.moments)
        return dose_curve_on(world, theta, self.moments, device=self.device)


@dataclass(frozen=True, slots=True)
class _Spread:
    """(3, T) 5, 50 and 95 % points of the score from the data and from data and doctrine; (2, n) and (2, m) of the shares."""

    data: Reals
    both: Reals
    shares: tuple[Reals, Reals]


def _vectors(state: StateExposure, world: World, theta: Theta, moments: Reals, d0: float) -> list[Row]:
    """Dose, peak, excess, breadth and hybridity at the central inputs, at each moment."""
    items = state.items
    width = 1 + len(items.incident_ids) + len(items.narrative_ids) + len(items.link_incident)
    height = max(1, BLOCK_CELLS // width)
    rows: list[Row] = []
    for start in range(0, len(moments), height):
        block = moments[start : start + height]
        parts = dose_at(world, theta, block)
        peaks = _peaks(state, world, theta, block)
        told = (world.narrative_onset[0] <= block[:, None]).any(axis=1)
        for place, (peak, item, level) in enumerate(peaks):
            total, own = float(parts.total[place]), float(score_of(np.array(peak), d0))
            row: Row = {"dose": total, "peak": own, "peak_item": item, "peak_words": level_word(level)}
            row["excess"] = max(0.0, float(score_of(np.array(total), d0)) - own)
            # where no narrative has begun nothing is known of synergy, which is not the same as none
            row["hybridity"] = (float(parts.synergy[place]) / total if total > 0 else 0.0) if told[place] else None
            rows.append(row)
        for row, breadth in zip(rows[start:], _breadths(state, parts), strict=True):
            row["breadth"] = breadth
    return rows


def _peaks(state: StateExposure, world: World, theta: Theta, moments: Reals) -> list[tuple[float, str, float]]:
    """Dose, id and level of the item that weighs most by itself, at each moment; of equals the first id."""
    items = state.items
    ids = np.array((*items.incident_ids, *items.narrative_ids))
    order = np.argsort(ids)
    levels = np.concatenate([world.level[0].mean(axis=1), items.breakout @ world.category_levels])
    doses = np.concatenate(own_doses(world, theta, moments), axis=1)[:, order]
    found = doses.argmax(axis=1)
    best = order[found]
    values = doses[np.arange(len(doses)), found]
    return [(float(dose), str(ids[column]), float(min(levels[column], LEVEL_MAX))) for dose, column in zip(values, best, strict=True)]


def _breadths(state: StateExposure, parts: DoseParts) -> list[float]:
    """Effective number of sectors: exp of the entropy of contributions over sectors; narratives are the information sphere."""
    sectors = state.items.sectors
    names = sorted({sector for found in sectors for sector in found})
    incident = np.repeat(np.arange(len(sectors)), [len(found) for found in sectors])
    sector = np.searchsorted(names, [name for found in sectors for name in found])
    count = np.array([len(found) for found in sectors])
    rows = len(parts.total)
    cells = (np.arange(rows)[:, None] * len(names) + sector).ravel()
    spread = (parts.incidents / count)[:, incident].ravel()
    summed = np.bincount(cells, weights=spread, minlength=rows * len(names)).reshape(rows, len(names))
    doses = np.concatenate([summed, parts.narratives.sum(axis=1)[:, None]], axis=1)
    whole = doses.sum(axis=1)
    portions = doses / np.where(whole > 0, whole, 1.0)[:, None]
    terms = portions * np.log(np.where(portions > 0, portions, 1.0))
    return [float(breadth) for breadth in np.where(whole > 0, np.exp(-terms.sum(axis=1)), 0.0)]


def _tempo(world: World, theta: Theta, moments: Reals) -> tuple[list[float | None], list[float | None]]:
    """Dose that began in the last 30 days against the mean of the 365 before, and how many circular shifts reach as much.

    An item's new dose is spread evenly over its onset interval, so that a date known to the year makes no spike. Every one of the
    365 shifts of the daily series is tried, so the p is exact for that null and at least 1/365.
    """
    items = world.items
    doses = np.concatenate([world.incident_doses(theta.base)[0], world.narrative_doses(theta.base, theta.v)[0]])
    low, high = np.concatenate([items.onset, items.narrative_onset], axis=1)
    ratios: list[float | None] = []
    shifts: list[float | None] = []
    for moment in moments:
        edges = moment - DAY * np.arange(BASELINE_DAYS, -1, -1)
        near = (high >= edges[0]) & (low <= edges[-1])
        width = np.maximum(high[near] - low[near], 1.0)
        reached = np.clip((edges[:, None] - low[near]) / width, 0.0, 1.0) @ doses[near]
        daily = np.diff(reached)
        if daily.sum() <= 0:
            ratios.append(None)
            shifts.append(None)
            continue
        wrapped = np.concatenate([[0.0], np.cumsum(np.concatenate([daily, daily[: RECENT_DAYS - 1]]))])
        sums = wrapped[RECENT_DAYS:] - wrapped[:-RECENT_DAYS]
        observed = sums[BASELINE_DAYS - RECENT_DAYS]
        ratios.append(float(observed / RECENT_DAYS / daily.mean()))
        shifts.append(float(np.mean(sums >= observed - 1e-9 * daily.sum())))
    return ratios, shifts


def rank_agreement(worlds: Sequence[World], doctrine: Doctrine, moment: float) -> Reals:
    """(states,) mean agreement of a state's rank with its rank under 243 other doctrines, on Kendall's scale -1..1.

    For a state it is the mean over other states and doctrines of sign(S_s - S_r) sign(S'_s - S'_r); the mean over states is the
    mean Kendall tau-a. With one state there is no rank to disagree about: 1.
    """
    if len(worlds) < 2:
        return np.ones(len(worlds))
    grid, middle = ensemble_grid(doctrine), theta_of(doctrine)
    moments = np.array([moment])
    scores = np.concatenate([dose_curve(world, grid, moments) for world in worlds], axis=1)
    own = np.array([dose_curve(world, middle, moments)[0, 0] for world in worlds])
    found = np.empty(len(worlds))
    for column in range(len(worlds)):
        others = np.arange(len(worlds)) != column
        signs = np.sign(scores[:, [column]] - scores[:, others]) * np.sign(own[column] - own[others])
        found[column] = signs.mean()
    return found


def _dates(world: World, as_of: date, days: int) -> list[date]:
    first = as_of - timedelta(days=days)
    grid = {as_of - timedelta(days=back) for back in range(0, days + 1, GRID_DAYS)}
    low, high = moment_of(first) - DAY, moment_of(as_of)
    for onset in np.concatenate([world.onset[0], world.narrative_onset[0]]):
        if low <= onset < high:
            grid.add((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(onset))).date())
    return sorted(grid)


def _coverage(state: StateExposure, incidents: npt.NDArray[np.bool_], narratives: npt.NDArray[np.bool_], exposure: Exposure) -> str:
    told = int(incidents.sum())
    coarse = 100 * float(state.coarse[incidents].mean()) if told else 0.0
    text = (
        f"{counted(told, 'incident')} and {counted(int(narratives.sum()), 'narrative')} begun, "
        f"{counted(len(state.sources), 'source')} of incidents; "
        f"{coarse:.0f} % of incident dates are known to the month or worse; {BIAS_NOTE}"
    )
    left_out = [
        f"{counted(count, thing)} without a {what}"
        for count, thing, what in (
            (exposure.incidents_without_state, "incident", "state"),
            (exposure.incidents_without_date, "incident", "date"),
            (exposure.narratives_without_state, "narrative", "state or date"),
        )
        if count
    ]
    incomplete = [
        f"{count} without a {what}"
        for what, flags in (("level", state.ungraded), ("sector", state.sectorless))
        if (count := int(flags[incidents].sum()))
    ]
    text += f"; of the incidents, {' and '.join(incomplete)}" if incomplete else ""
    return text + (f"; in no score: {', '.join(left_out)}" if left_out else "")
