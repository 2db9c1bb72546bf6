"""How much the order of states owes to the doctrine: Kendall's tau with the order under 243 other doctrines, on EuRepoC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from scipy import stats

from greyzone.doctrine import load_doctrine
from greyzone.eval.impact.cases import EUREPOC, canonical
from greyzone.eval.impact.findings import Finding
from greyzone.impact.draws import central_world, dose_curve, ensemble_grid, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.impact.vector import moment_of, rank_agreement
from greyzone.records import INCIDENTS, LINKS, NARRATIVES, empty, table

ASKED = 0.84
DAYS = (date(2015, 12, 31), date(2018, 12, 31), date(2020, 12, 31), date(2023, 6, 30))


def measure_ensemble(folder: Path) -> Iterator[Finding]:
    """Yield the taus on several days; states below the doctrine's minimum of items have no score and are left out."""
    doctrine = load_doctrine()
    rows = table(canonical(folder, (EUREPOC,), doctrine), INCIDENTS)
    exposure = read_exposure(rows, empty(NARRATIVES), empty(LINKS), doctrine=doctrine)
    grid, middle = ensemble_grid(doctrine), theta_of(doctrine)
    medians = []
    for day in DAYS:
        moment = moment_of(day)
        worlds = [central_world(state.items, doctrine) for state in exposure.states]
        worlds = [world for world in worlds if int((world.onset[0] <= moment).sum()) >= doctrine["impact.coverage_minimum"]]
        moments = np.array([moment])
        scores = np.concatenate([dose_curve(world, grid, moments) for world in worlds], axis=1)
        own = np.array([dose_curve(world, middle, moments)[0, 0] for world in worlds])
        taus = np.array([stats.kendalltau(own, row).statistic for row in scores])
        by_state = rank_agreement(worlds, doctrine, moment)
        medians.append(float(np.median(by_state)))
        told = f"over states: median {medians[-1]:.3f}, lowest {by_state.min():.3f}"
        told += f"; over doctrines: median {np.median(taus):.3f}, lowest {taus.min():.3f}"
        yield Finding(f"tau of {len(worlds)} states on {day}", f"median {ASKED}", told, medians[-1] >= ASKED)
    yield Finding("median over the days", f"{ASKED}", f"{np.median(medians):.3f}", float(np.median(medians)) >= ASKED)
