"""Time and memory of 10,000 incidents, 1,000 draws and 365 days, and the same doses from PyTorch.

The case has more than that: 100 narratives and 1,000 links, half of the incidents dated to the month and three in ten going on for up to
two months. It runs in a process of its own, so that the peak of memory is its own; processor seconds are what a busy machine leaves true.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import numpy as np

from greyzone import impact
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.eval.impact.findings import Finding
from greyzone.eval.impact.invented import START, busy_state

INCIDENTS, NARRATIVES, LINKS, DRAWS, DAYS = 10_000, 100, 1_000, 1_000, 365
SECONDS, SECONDS_ONE, GIBIBYTES, CLOSE = 10.0, 5.0, 2.0, 1e-6
"""Bounds: the year, one day (METHOD E7), memory, and what PyTorch may differ by."""
DAY = 86_400.0


def measure_speed() -> Iterator[Finding]:
    """Yield the findings; each measurement runs in a fresh process."""
    curve = _apart("curve")
    size = f"{INCIDENTS} incidents x {DRAWS} draws x {DAYS} days"
    told = f"{curve['cpu']:.1f} s of processors ({curve['draw']:.1f} drawing), {curve['wall']:.1f} s by the clock"
    yield Finding(f"scores of {size}", f"{SECONDS:g} s", told, curve["cpu"] <= SECONDS)
    alone = curve["draw"] + curve["one"]
    yield Finding(
        f"{INCIDENTS} incidents x {DRAWS} draws on one day", f"{SECONDS_ONE:g} s", f"{alone:.1f} s of processors", alone <= SECONDS_ONE
    )
    peak = curve["bytes"] / 2**30
    yield Finding("peak memory of it", f"{GIBIBYTES:g} GiB", f"{peak:.2f} GiB", peak <= GIBIBYTES)
    whole = _apart("whole")
    told = f"{whole['cpu']:.1f} s of processors, {whole['wall']:.1f} s by the clock"
    told += f", {whole['bytes'] / 2**30:.2f} GiB, {whole['rows']:.0f} dates"
    yield Finding("impact.score of it: two intervals, shares, tempo, peak on every date", "", told)
    other = _apart("torch")
    for device in ("cpu", "cuda"):
        if f"{device}_gap" in other:
            gap = other[f"{device}_gap"]
            told = f"largest difference {gap:.1e} of 100, {other[f'{device}_wall']:.1f} s by the clock for {other['size']:.0f} doses"
            yield Finding(f"scores from PyTorch on {device}", f"within {CLOSE:g}", told, gap <= CLOSE)
        else:
            yield Finding(f"scores from PyTorch on {device}", f"within {CLOSE:g}", "no such device here: not measured", None)


def run_curve() -> dict[str, float]:
    """Draw all worlds and compute the score of each on every day."""
    from greyzone.impact.dose import score_of
    from greyzone.impact.draws import CHUNK, dose_curve, drawn_world, theta_of
    from greyzone.impact.exposure import read_exposure

    doctrine = load_doctrine()
    items = read_exposure(*busy_state(INCIDENTS, NARRATIVES, LINKS), doctrine=doctrine).states[0].items
    moments = START.timestamp() + DAY * np.arange(1, DAYS + 1, dtype=np.float64)
    wall, cpu, drawing, one = time.perf_counter(), time.process_time(), 0.0, 0.0
    scores = []
    for chunk in range(DRAWS // CHUNK):
        begun = time.process_time()
        world = drawn_world(items, doctrine, chunk=chunk, draws=CHUNK)
        drawing += time.process_time() - begun
        scores.append(score_of(dose_curve(world, theta_of(doctrine), moments), doctrine["dose.d0"]))
        begun = time.process_time()
        dose_curve(world, theta_of(doctrine), moments[-1:])
        one += time.process_time() - begun
    points = np.percentile(np.concatenate(scores), [5, 50, 95], axis=0)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu - one}
    return spent | {"draw": drawing, "one": one, "points": float(points.size)}


def run_whole() -> dict[str, float]:
    """Score the same state from its tables."""
    tables = busy_state(INCIDENTS, NARRATIVES, LINKS)
    wall, cpu = time.perf_counter(), time.process_time()
    found = impact.score(*tables, doctrine=load_doctrine(), as_of=date(START.year, 12, 31), days=DAYS, draws=DRAWS)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rows": float(found.impact.num_rows)}


def run_torch() -> dict[str, float]:
    """Compare the scores of a smaller case on every device there is; no bound on time is asked of a CPU here."""
    import torch

    from greyzone.impact.dose import score_of
    from greyzone.impact.draws import dose_curve, drawn_world, ensemble_draws, theta_of
    from greyzone.impact.exposure import read_exposure
    from greyzone.impact.tensors import dose_curve_on

    doctrine = load_doctrine()
    items = read_exposure(*busy_state(1_000, 50, 200), doctrine=doctrine).states[0].items
    moments = START.timestamp() + DAY * np.arange(1, DAYS + 1, 3, dtype=np.float64)
    draws, d0 = 50, doctrine["dose.d0"]
    found = {"size": float(2 * draws * len(moments))}
    world = drawn_world(items, doctrine, chunk=0, draws=draws)
    thetas = (theta_of(doctrine), ensemble_draws(doctrine, draws))
    own = [score_of(dose_curve(world, theta, moments), d0) for theta in thetas]
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        begun = time.perf_counter()
        other = [score_of(dose_curve_on(world, theta, moments, device=device), d0) for theta in thetas]
        found[f"{device}_wall"] = time.perf_counter() - begun
        found[f"{device}_gap"] = max(float(np.abs(one - two).max()) for one, two in zip(own, other, strict=True))
    return found


def _apart(what: str) -> dict[str, float]:
    code = f"""
import json
from greyzone.eval.memory import peak_bytes
from greyzone.eval.impact import speed
print(json.dumps(speed.run_{what}() | {{"bytes": peak_bytes()}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise InputError(f"the measurement of {what} failed ({done.stderr.strip().splitlines()[-1:]})", "a run to the end")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
