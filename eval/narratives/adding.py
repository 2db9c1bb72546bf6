"""What it costs to add a few rows to many: ``greyzone eval update --planted 1000000``.

Planted rows (`planted.py`) are fitted but for the last hundredth, which `NarrativeClusterer.partial_fit` then takes in; told are
the seconds of both by the clock and of the processors, the peak of the process, and the B-cubed F of all rows against the truth.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from greyzone.cluster import NarrativeClusterer
from greyzone.errors import InputError
from greyzone.eval.memory import peak_bytes
from greyzone.eval.narratives.grouping import b_cubed
from greyzone.eval.narratives.planted import planted

SHARE = 0.01
"""Share of the rows that come later."""


@dataclass(frozen=True, slots=True)
class Added:
    """Figures: rows fitted and added, (seconds by the clock, of the processors) of both, B-cubed F of all rows, peak in MiB."""

    fitted: int
    added: int
    fit: tuple[float, float]
    add: tuple[float, float]
    b3: float
    peak_mib: float


def measure_adding(rows: int, *, seed: int = 0) -> Added:
    """Fit all but the last hundredth of `rows` planted rows, then add those.

    Raises
    ------
    InputError
        If a hundredth is no row.
    """
    later = round(rows * SHARE)
    if later < 1:
        raise InputError(f"{rows} planted rows", f"{round(1 / SHARE)} and more: one in {round(1 / SHARE)} is added later")
    made = planted(rows, seed=seed)
    clusterer = NarrativeClusterer()
    begun, busy = time.perf_counter(), time.process_time()
    clusterer.fit(made.rows[:-later])
    middle, between = time.perf_counter(), time.process_time()
    clusterer.partial_fit(made.rows[-later:])
    ended, done = time.perf_counter(), time.process_time()
    figure = b_cubed(made.labels, clusterer.labels_).f1
    return Added(rows - later, later, (middle - begun, between - busy), (ended - middle, done - between), figure, peak_bytes() / 2**20)


def format_adding(found: Added) -> str:
    """Return the figures in words."""
    parts = (("fitted", found.fitted, found.fit), ("added", found.added, found.add))
    told = [f"{rows} rows {what} in {clock:.1f} s ({busy:.1f} s of the processors)" for what, rows, (clock, busy) in parts]
    return f"{'; '.join(told)}; B-cubed F of all rows {found.b3:.3f}, peak {found.peak_mib:.0f} MiB"
