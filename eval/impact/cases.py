"""Incidents of the public tables, read and made canonical as a case does, and the score of single events among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.impact.dose import Reals, score_of
from greyzone.impact.draws import Items, central_world, dose_at, dose_curve, drawn_world, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.incidents import canonicalise, read_reports
from greyzone.records import INCIDENTS, LINKS, NARRATIVES, empty, table
from greyzone.scores import Score

EUREPOC = "eurepoc_global_1.1.csv.gz"
DCID = "dcid_2.0_odd.csv.gz"
DRAWS = 250
UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


@cache
def reports_of(folder: Path, name: str) -> pa.Table:
    """Return the reports of one table of the folder."""
    path = folder / name
    if not path.exists():
        raise InputError(f"no {path}", "the table", "docs/data.md says where it is found")
    return read_reports(path, as_of=UNTIL).reports


def canonical(folder: Path, names: Sequence[str], doctrine: Doctrine) -> list[Row]:
    """Return canonical incidents of one or several tables."""
    reports = pa.concat_tables([reports_of(folder, name) for name in names])
    rows: list[Row] = canonicalise(reports, doctrine=doctrine).incidents.to_pylist()
    return rows


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one state, as some rows tell it: central score at its height, and scores over draws."""

    name: str
    central: float
    draws: Reals
    doctrine: str

    @property
    def score(self) -> Score:
        """Return the score with its interval."""
        low, middle, high = map(float, np.percentile(self.draws, [5, 50, 95]))
        return Score((low, middle, high), self.doctrine)


def event(name: str, rows: Sequence[Row], doctrine: Doctrine) -> Event:
    """Score rows of one state by themselves, at the end of whichever of them scores most.

    Dates are taken in the middle of their intervals, so that the interval shows what is unsure of level and reality, not of the calendar.
    """
    items = items_of(rows, doctrine)
    items = replace(items, onset=np.tile(items.onset.mean(axis=0), (2, 1)), end=np.tile(items.end.mean(axis=0), (2, 1)))
    moments = np.unique(np.maximum(items.onset, items.end)[0])
    theta, d0 = theta_of(doctrine), doctrine["dose.d0"]
    central = score_of(dose_curve(central_world(items, doctrine), theta, moments), d0)[0]
    height = float(moments[int(central.argmax())])
    world = drawn_world(items, doctrine, chunk=0, draws=DRAWS)
    scores = score_of(dose_at(world, theta, height).total, d0)
    return Event(name, float(central.max()), scores, f"{doctrine.id} {doctrine.version} {doctrine.hash}")


def items_of(rows: Sequence[Row], doctrine: Doctrine) -> Items:
    """Return what counts of rows of one state."""
    exposure = read_exposure(table(list(rows), INCIDENTS), empty(NARRATIVES), empty(LINKS), doctrine=doctrine)
    if len(exposure.states) != 1:
        raise InputError(f"incidents of {len(exposure.states)} states", "dated incidents of one state")
    return exposure.states[0].items


def pick(rows: Sequence[Row], wanted: Callable[[Row], bool], what: str) -> list[Row]:
    """Return the rows that are wanted; an event that is not there is an error, not an empty score."""
    found = [row for row in rows if row["onset_lo"] and wanted(row)]
    if not found:
        raise InputError(f"no incident for {what}", "the public tables of docs/data.md")
    return found
