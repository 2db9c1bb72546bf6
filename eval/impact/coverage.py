"""How often the true score lies within the 90 % interval, on worlds whose truth is known.

A world is made from the priors: a few incidents with true levels, dates and reality, narratives with a true category, links with a true
strength. Then it is observed as sources would: a level with a coder's error, a month for a date, a credibility for the truth of a
report, an interval for a link. The score of the observed tables is compared with the score of the truth, put through the same tables
with everything certain.

In the `stated` worlds the observer errs as the doctrine states (levels within half a step, a report of credibility p true with
probability p). The others show what happens where that is not so; nothing is asked of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from greyzone import impact
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.eval.impact.findings import Finding
from greyzone.eval.impact.invented import START, Row, Tables, incident, link, made

CASES, DRAWS = 400, 400
LOW, HIGH = 0.85, 0.95
CREDIBILITIES = (0.5, 0.7, 0.9, 0.99)
BREAKOUTS = 6


@dataclass(frozen=True, slots=True)
class Observer:
    """How an observer errs: `level` scales the coder's error, `trust` is added to each credibility, `dates` shifts them by days."""

    level: float = 1.0
    trust: float = 0.0
    dates: float = 0.0


STATED = Observer()
OTHERS = {
    "coders err by a whole step where half is stated": Observer(level=2.0),
    "sources are believed .2 too much": Observer(trust=0.2),
    "months are wrong by one": Observer(dates=30.0),
}


def measure_coverage(cases: int = CASES, seed: int = 0) -> Iterator[Finding]:
    """Yield how often the truth lay inside, with the standard error, for the stated observer and for others."""
    share = coverage_of(STATED, cases, seed)
    error = (share * (1 - share) / cases) ** 0.5
    asked = f"{100 * LOW:.0f} to {100 * HIGH:.0f} %"
    yield Finding(
        f"true score within 5-95 % of the draws, {cases} worlds",
        asked,
        f"{100 * share:.1f} % (s.e. {100 * error:.1f})",
        LOW <= share <= HIGH,
    )
    for name, observer in OTHERS.items():
        yield Finding(f"the same where {name}", "", f"{100 * coverage_of(observer, cases, seed):.1f} %")


def coverage_of(observer: Observer, cases: int, seed: int) -> float:
    """Return the share of worlds whose true score lies within the interval of what the observer saw."""
    doctrine = load_doctrine()
    inside = 0
    for number in range(cases):
        truth, seen = world_of(np.random.default_rng([seed, number]), observer, doctrine)
        day = date(START.year, 12, 31)
        right = impact.score(*truth, doctrine=doctrine, as_of=day, days=0, draws=2).impact.to_pylist()[-1]
        found = impact.score(*seen, doctrine=doctrine, as_of=day, days=0, draws=DRAWS, seed=number).impact.to_pylist()[-1]
        inside += found["score_p05"] - 1e-9 <= right["score_p50"] <= found["score_p95"] + 1e-9
    return inside / cases


def world_of(random: np.random.Generator, observer: Observer, doctrine: Doctrine) -> tuple[Tables, Tables]:
    """Return the tables of the truth, in which nothing is uncertain, and those of the observer."""
    half = doctrine["levels.half_width"]
    truth, seen = [], []
    for number in range(int(random.integers(4, 20))):
        pair = _incident(number, random, observer, half)
        truth.append(pair[0])
        seen.append(pair[1])
    stories, told, true_links, links = [], [], [], []
    for number in range(int(random.integers(0, 5))):
        begin = START + timedelta(days=float(random.uniform(0, 300)))
        chances = random.dirichlet(np.ones(BREAKOUTS))
        category = int(random.choice(BREAKOUTS, p=chances))
        story: Row = {"narrative_id": f"nar-{number:05d}", "onset_lo": begin, "onset_hi": begin, "targets": ["EE"]}
        story |= {"last_seen": begin + timedelta(days=float(random.uniform(0, 60)))}
        stories.append(story | {"breakout": np.eye(BREAKOUTS)[category].tolist()})
        told.append(story | {"breakout": chances.tolist()})
        for other in random.choice(len(truth), size=min(3, len(truth)), replace=False):
            # the observer's interval is drawn first and the true strength from it, as the draws assume
            low, p, high = np.sort(random.uniform(0, 1, 3))
            strength = float(random.triangular(low, p, high))
            true_links.append(link(int(other), number, strength, low=strength, high=strength))
            links.append(link(int(other), number, float(p), low=float(low), high=float(high)))
    return made(truth, stories, true_links), made(seen, told, links)


def _incident(number: int, random: np.random.Generator, observer: Observer, half: float) -> tuple[Row, Row]:
    level = float(random.uniform(half, 5 - half))
    coded = float(np.clip(level + observer.level * random.triangular(-half, 0, half), 0, 5))
    credibility = float(random.choice(CREDIBILITIES))
    month = float(30 * random.integers(0, 12))
    day = month + float(random.uniform(0, 30))
    more: Row = {"critical": bool(random.random() < 0.5), "reach": str(random.choice(["local", "sector", "national"]))}
    true = incident(number, day, level, level_lo=level, level_hi=level, credibility=float(random.random() < credibility), **more)
    begin = START + timedelta(days=month + observer.dates)
    seen = incident(number, month, coded, credibility=min(0.99, credibility + observer.trust), **more)
    seen |= {"level_lo": max(0.0, coded - half), "level_hi": min(5.0, coded + half)}
    return true, seen | {"onset_lo": begin, "onset_hi": begin + timedelta(days=30), "onset_precision": "month"}
