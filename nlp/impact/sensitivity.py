"""What a score owes to each number behind it: one at a time, and as shares of its variance.

One at a time: the central score with one number of the doctrine at a low and at a high value and all others as they are. The values are
those of the doctrine ensemble (`ensemble.*`) and of `one_at_a_time.*`.

Sobol indices: the five numbers of the ensemble, each evenly one of its low, middle and high member, and the data, evenly one of
`sensitivity.worlds` drawn worlds, are six independent factors. All their combinations are computed, so that the indices are sums and not
estimates from a sample of combinations (Sobol 2001, by the definitions of Saltelli et al. 2010):

    S1_x = Var(E[S | x]) / Var(S)          ST_x = E[Var(S | all but x)] / Var(S)

That takes 27 evaluations of the dose a world instead of 243, because v and gamma act in closed form: the doses of narratives are
proportional to v, the synergy to gamma sqrt(v). Only the worlds are a sample: S1 of the data is off by about Var(S) / worlds.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.impact.dose import Reals, score_of
from greyzone.impact.draws import Items, Theta, central_world, dose_at, drawn_world, theta_of
from greyzone.impact.exposure import count_rows, weigh
from greyzone.impact.vector import moment_of
from greyzone.impact.views import last_days
from greyzone.records import SENSITIVITY, table

FACTORS = ("levels.base", "half_life", "dose.q", "dose.gamma", "dose.v", "data")
"""Axes of the grid after which the indices are named; `half_life` is a factor on both half-lives."""
ONE_AT_A_TIME = {
    "dose.d0": "d0",
    "dose.wave_hours": "wave_hours",
    "reach.national": "reach_national",
    "sector_weights.critical": "critical",
    "type_weight.co-occurs": "co_occurs",
}
"""Further numbers, and what their low and high value are called under `one_at_a_time`."""
READ_ANEW = ("reach.national", "sector_weights.critical", "type_weight.co-occurs")
"""Numbers that act where the tables are read."""
Row = dict[str, object]


def sensitivity(
    incidents: pa.Table, narratives: pa.Table, links: pa.Table, impact: pa.Table, *, doctrine: Doctrine, seed: int = 0
) -> pa.Table:
    """Say for the last score of every state that has one what it owes to each number and to the data.

    Parameters
    ----------
    incidents, narratives, links
        What was scored.
    impact
        The table that `greyzone.impact.score` made of it.
    doctrine
        Every number used, and the low and high values.
    seed
        Seed of the draws.

    Returns
    -------
    Table of the schema `SENSITIVITY`, in order of state, then of swing, the largest first.
    """
    days = last_days(impact)
    counted = count_rows(incidents, narratives, links)

    def items_of(chosen: Doctrine) -> dict[str, Items]:
        exposure = weigh(counted, chosen)
        return {state.state: state.items for state in exposure.states if state.state in days}

    found = items_of(doctrine)
    rows: dict[str, list[Row]] = {state: [] for state in found}
    for name in (*FACTORS[:-1], *ONE_AT_A_TIME):
        low, high = _ends(name, doctrine)
        scores = []
        for value in (low, high):
            side = _with(name, value, doctrine)
            held = items_of(side) if name in READ_ANEW else found
            scores.append({state: _central(items, side, days[state]) for state, items in held.items()})
        for state in found:
            rows[state].append({"parameter": name, "low": low, "high": high, "score_low": scores[0][state], "score_high": scores[1][state]})
    for row in impact.to_pylist():
        if days.get(row["target_state"]) == row["date"]:
            rows[row["target_state"]].append({"parameter": "data", "score_low": row["score_p05"], "score_high": row["score_p95"]})
    told: list[Row] = []
    for state, items in found.items():
        indices = dict(zip(FACTORS, zip(*sobol_indices(grid_scores(items, doctrine, days[state], seed=seed)), strict=True), strict=True))
        for row in rows[state]:
            first, total = indices.get(str(row["parameter"]), (None, None))
            row |= {"target_state": state, "date": days[state], "swing": abs(float(str(row["score_high"])) - float(str(row["score_low"])))}
            row |= {"s1": first, "st": total, "doctrine": f"{doctrine.id} {doctrine.version}", "doctrine_hash": doctrine.hash}
        told.extend(sorted(rows[state], key=lambda row: (-float(str(row["swing"])), str(row["parameter"]))))
    return table(told, SENSITIVITY)


def grid_scores(items: Items, doctrine: Doctrine, day: date, *, seed: int = 0) -> Reals:
    """Return (3, 3, 3, 3, 3, W) scores of W drawn worlds under every doctrine of the ensemble; axes as in `FACTORS`."""
    worlds = int(doctrine["sensitivity.worlds"])
    world = drawn_world(items, doctrine, chunk=0, draws=worlds, seed=seed)
    base, half_life, q, gamma, v = (_members(name, doctrine) for name in FACTORS[:-1])
    middle, moment = theta_of(doctrine), moment_of(day)
    doses = np.empty((3, 3, 3, 3, 3, worlds))
    for b, h, e in np.ndindex(3, 3, 3):
        theta = Theta(
            base[b], float(middle.half_life_cyber) * half_life[h], float(middle.half_life_information) * half_life[h], q[e], 1.0, 1.0
        )
        parts = dose_at(world, theta, moment)
        information = v[None, :, None] * parts.information
        synergy = gamma[:, None, None] * np.sqrt(v)[None, :, None] * parts.synergy
        doses[b, h, e] = parts.cyber + information + synergy
    return score_of(doses, doctrine["dose.d0"])


def sobol_indices(values: Reals) -> tuple[list[float | None], list[float | None]]:
    """Return first-order and total indices of the axes of a full grid of equally likely points; None where nothing varies."""
    axes = range(values.ndim)
    total = float(values.var())
    if total <= 1e-18:
        return [None] * values.ndim, [None] * values.ndim
    first: list[float | None] = [float(values.mean(axis=tuple(other for other in axes if other != axis)).var() / total) for axis in axes]
    whole: list[float | None] = [float(values.var(axis=axis).mean() / total) for axis in axes]
    return first, whole


def _central(items: Items, doctrine: Doctrine, day: date) -> float:
    total = dose_at(central_world(items, doctrine), theta_of(doctrine), moment_of(day)).total
    return float(score_of(total, doctrine["dose.d0"])[0])


def _members(name: str, doctrine: Doctrine) -> Reals:
    low, high = _ends(name, doctrine)
    return np.array([low, 1.0 if name == "half_life" else doctrine[name], high])


def _ends(name: str, doctrine: Doctrine) -> tuple[float, float]:
    short = name.rpartition(".")[2]
    prefix = f"one_at_a_time.{ONE_AT_A_TIME[name]}" if name in ONE_AT_A_TIME else f"ensemble.{short}"
    return doctrine[f"{prefix}_lo"], doctrine[f"{prefix}_hi"]


def _with(name: str, value: float, doctrine: Doctrine) -> Doctrine:
    """Return the doctrine with one number changed; a factor on half-lives changes both."""
    if name == "half_life":
        names = ("half_life.cyber_days", "half_life.information_days")
        return doctrine.replace(**{key: doctrine[key] * value for key in names})
    return doctrine.replace(**{name: value})
