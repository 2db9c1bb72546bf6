"""Part `type1`: how often tests of time find what is not there, on bursty series of talk and incidents in waves, independent of each other.

A series is a Neyman-Scott process on days: bursts begin at random (Poisson), the documents of a burst are negative binomial (heavy-tailed),
fall off exponentially, and lie over a background of talk that is negative binomial too. Incidents come in waves of their own: parents
at random, a few incidents each within days. Nothing of the one enters the other, so every p at or below the level is a false alarm.

Asked: .03 to .07 at the 5 % level (METHOD finding 2 has .375 for Poisson z, .16 for a shuffle of days and .10 for random dates, .055 for
circular shifts). The same statistic is judged by the test that ships and by the three rivals, on the same series:

- *Poisson z*: (A - B) / sqrt(A + B) over all documents after and before, against 1.645
- *day shuffle*: the days of the series in random order
- *random dates*: as many incident days, drawn evenly
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import load_doctrine
from greyzone.eval.commands import aligned
from greyzone.eval.coordination.judging import wilson
from greyzone.link.bursts import Bursts
from greyzone.link.eventstudy import SPAN, shift_test
from greyzone.link.lag import Onsets, Pairs, kernel_of, timing
from greyzone.link.placebo import draw_placebo

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

LEVEL = 0.05
ASKED = (0.03, 0.07)
RIVAL_DRAWS = 199
"""Draws behind the shuffle and the random dates: p is a multiple of 1 / 200, so that the level is met exactly."""

TESTS = ("circular shifts (ships)", "Poisson z", "day shuffle", "random dates")


@dataclass(frozen=True, slots=True)
class Regime:
    """What a series is like: days, background a day, bursts a year, mean documents of a burst, incidents, mean of a wave."""

    name: str
    days: int
    background: float
    bursts: float
    documents: float
    incidents: int
    wave: float


REGIMES = (
    Regime("year, few bursts", 365, 2.0, 6.0, 60.0, 12, 2.0),
    Regime("year, many bursts", 365, 5.0, 25.0, 80.0, 20, 3.0),
    Regime("two years, sparse", 730, 0.3, 8.0, 30.0, 15, 2.0),
    Regime("half a year, huge bursts", 180, 4.0, 8.0, 400.0, 8, 2.0),
    Regime("long waves", 730, 4.0, 20.0, 120.0, 40, 6.0),
)


@dataclass(frozen=True, slots=True)
class NullRun:
    """One series: its regime, and the p of each of `TESTS` (Poisson z: of the normal)."""

    regime: str
    seed: int
    p: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LinkNull:
    """Temporal evidence of unlinked pairs: how many, and how many at p <= the level by the time-shift placebo; pairs are dependent."""

    seed: int
    pairs: int
    false: int


def measure_type1(runs: int, seed: int, say: Callable[[str], None]) -> Iterator[NullRun]:
    """Yield `runs` null series, the regimes in turns, judged by all tests."""
    shifts = int(load_doctrine()["link.event_shifts"])
    for number in range(seed, seed + runs):
        regime = REGIMES[number % len(REGIMES)]
        rng = np.random.default_rng([number, 7])
        series, days = make_series(regime, rng), make_incidents(regime, rng)
        _, ours = shift_test(series, np.sort(days), shifts=shifts, seed=number)
        yield NullRun(regime.name, number, (ours, *_rivals(series, days, rng)))
        if (number - seed + 1) % 200 == 0:
            say(f"type1: {number - seed + 1} of {runs} series")


def measure_pairs(runs: int, seed: int) -> Iterator[LinkNull]:
    """Yield for each run the temporal evidence of all candidate pairs of independent bursts and incidents, against the placebo."""
    kernel = kernel_of(load_doctrine())
    for number in range(seed, seed + runs):
        rng = np.random.default_rng([number, 8])
        regime = REGIMES[number % len(REGIMES)]
        days = np.sort(rng.integers(0, regime.days, 60)).astype(np.float64)
        bursts = Bursts(np.arange(60, dtype=np.int64), days, rng.beta(4.0, 2.0, 60))
        starts = np.concatenate([make_incidents(regime, rng) for _ in range(2)]).astype(np.float64)
        width = rng.choice([1.0, 30.0, 365.0], len(starts), p=[0.42, 0.31, 0.27])
        lo = np.floor(starts / width) * width
        unknown = np.full(len(lo), np.nan)
        onsets = _onsets(lo, lo + width, unknown)

        def log_odds(pairs: Pairs) -> Vector:
            return np.log(np.maximum(pairs.ratio, 1e-300))

        found = log_odds(timing(onsets, bursts, kernel))
        # Every pair of the placebo is kept: p of all candidates is wanted, not of the likely ones.
        placebo = draw_placebo(onsets, bursts, kernel, shifts=int(load_doctrine()["link.placebo_shifts"]), floor=-np.inf, log_odds=log_odds)
        above = len(placebo.log_odds) - np.searchsorted(placebo.log_odds, found, side="left")
        yield LinkNull(number, len(found), int(((1.0 + above) / (1.0 + placebo.pairs) <= LEVEL).sum()))


def format_type1(runs: Sequence[NullRun], pairs: Sequence[LinkNull]) -> str:
    """Return the rates of false alarms by test and regime, with Wilson intervals of 95 %."""
    lines = [["series", "runs", *TESTS, "asked of the first"]]
    for name in ("all", *(regime.name for regime in REGIMES)):
        chosen = [run for run in runs if name in ("all", run.regime)]
        if chosen:
            cells = [_rate([run.p[at] for run in chosen]) for at in range(len(TESTS))]
            lines.append([name, str(len(chosen)), *cells, f"{ASKED[0]} to {ASKED[1]}"])
    rates = [one.false / one.pairs for one in pairs if one.pairs]
    told = f"p of single pairs by the time-shift placebo, time alone: {len(rates)} runs, {sum(one.pairs for one in pairs):,} pairs"
    error = float(np.std(rates) / np.sqrt(len(rates)))
    return "\n".join([*aligned(lines), "", f"{told}; share at p <= {LEVEL}: {np.mean(rates):.3f} ± {error:.3f} (mean over runs)"])


def make_series(regime: Regime, rng: np.random.Generator) -> Vector:
    """Return (days,) daily documents."""
    series = rng.negative_binomial(1.5, 1.5 / (1.5 + regime.background), regime.days).astype(np.float64)
    margin = 60
    for _ in range(rng.poisson(regime.bursts * (regime.days + margin) / 365.0)):
        begin = rng.integers(-margin, regime.days)
        size = rng.negative_binomial(0.8, 0.8 / (0.8 + regime.documents))
        days = begin + np.floor(rng.exponential(rng.uniform(1.0, 10.0), size)).astype(np.int64)
        inside = days[(days >= 0) & (days < regime.days)]
        series += np.bincount(inside, minlength=regime.days)
    return series


def make_incidents(regime: Regime, rng: np.random.Generator) -> Rows:
    """Return the days of the incidents, in waves."""
    found: list[int] = []
    while len(found) < regime.incidents:
        begin = int(rng.integers(0, regime.days))
        wave = begin + rng.integers(0, 8, 1 + rng.poisson(regime.wave - 1.0))
        found += [int(day) for day in wave if day < regime.days]
    return np.array(found[: regime.incidents], dtype=np.int64)


def _rivals(series: Vector, days: Rows, rng: np.random.Generator) -> tuple[float, float, float]:
    length = len(series)
    observed, after, before = _statistic(series, days)
    z = (after - before) / np.sqrt(after + before) if after + before > 0 else 0.0
    shuffled = [_statistic(rng.permutation(series), days)[0] for _ in range(RIVAL_DRAWS)]
    dated = [_statistic(series, rng.integers(0, length, len(days)))[0] for _ in range(RIVAL_DRAWS)]

    def p(drawn: list[float]) -> float:
        return (1 + sum(value >= observed - 1e-12 for value in drawn)) / (1 + RIVAL_DRAWS)

    return (0.0 if z >= 1.6449 else 1.0, p(shuffled), p(dated))


def _statistic(series: Vector, days: Rows) -> tuple[float, float, float]:
    """Return the event study's statistic, and the documents after and before, on a circle as there."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([series[-SPAN:], series, series[:SPAN]]))])
    at = days + SPAN
    after, before = total[at + SPAN] - total[at], total[at] - total[at - SPAN]
    return float((np.log1p(after) - np.log1p(before)).mean()), float(after.sum()), float(before.sum())


def _rate(p: Sequence[float]) -> str:
    # A shuffle has p of multiples of 1 / 200; a tie with the level counts as at or below it.
    false = sum(value <= LEVEL + 1e-12 for value in p)
    low, high = wilson(false, len(p))
    return f"{false / len(p):.3f} [{low:.3f}, {high:.3f}]"


def _onsets(lo: Vector, hi: Vector, unknown: Vector) -> Onsets:
    return Onsets(lo, hi, unknown, unknown)
