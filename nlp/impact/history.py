"""A state's dose against its own past: an optional number beside the score, never part of it.

    z = (ln D(now) - mean ln D) / standard deviation of ln D, over the weeks of the past that had any dose

The logarithm is taken because doses decay by factors: a steady state then has a steady spread. A z says that a state stands higher than
it used to be recorded, which more reporting does as well as more incidents; it ranks nobody, since each state is its own measure, and a
state that has always been hit hard has a low one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.impact.draws import CHUNK, DAY, dose_curve, drawn_world, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.impact.vector import moment_of
from greyzone.impact.views import last_days

WARNING = "more reporting raises it as more incidents do, and a state that was always hit hard has a low one; no ranking of states"
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class OwnPast:
    """z of a state with its 90 % interval over draws, and the weeks of the past that it rests on; None where they do not suffice."""

    interval: tuple[float, float, float] | None
    weeks: int
    doctrine: str

    def __str__(self) -> str:
        if self.interval is None:
            return f"no z against its own past: {self.weeks} weeks with any dose are too few or too even (doctrine {self.doctrine})"
        low, middle, high = self.interval
        points = f"{middle:+.1f} (90 % interval {low:+.1f} to {high:+.1f}, {self.weeks} weeks, doctrine {self.doctrine})"
        return f"z against its own past {points}; {WARNING}"


def against_own_past(
    incidents: pa.Table, narratives: pa.Table, links: pa.Table, impact: pa.Table, *, doctrine: Doctrine, seed: int = 0
) -> Mapping[str, OwnPast]:
    """Return z by state, for every state whose last row in the table `impact` has a score; one chunk of draws stands for all."""
    days: dict[str, date] = last_days(impact)
    weeks = int(doctrine["history.days"] // 7)
    found: dict[str, OwnPast] = {}
    for state in read_exposure(incidents, narratives, links, doctrine=doctrine).states:
        if state.state not in days:
            continue
        moments = moment_of(days[state.state]) - WEEK * np.arange(weeks, -1, -1, dtype=np.float64)
        world = drawn_world(state.items, doctrine, chunk=0, draws=CHUNK, seed=seed)
        doses = dose_curve(world, theta_of(doctrine), moments)
        name = f"{doctrine.id} {doctrine.version} {doctrine.hash}"
        scores = []
        known = []
        for row in doses:
            past = row[:-1][row[:-1] > 0]
            known.append(len(past))
            if len(past) >= doctrine["history.points_minimum"] and row[-1] > 0 and np.log(past).std() > 0:
                scores.append((np.log(row[-1]) - np.log(past).mean()) / np.log(past).std())
        enough = len(scores) >= 0.95 * len(doses)
        points = tuple(map(float, np.percentile(scores, [5, 50, 95]))) if enough else None
        found[state.state] = OwnPast(points, int(np.median(known)), name)  # type: ignore[arg-type]
    return found
