"""Adversaries who want a score down, intervals that should not depend on the seed, and input that cannot be used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np

from greyzone import impact
from greyzone.doctrine import load_doctrine
from greyzone.errors import GreyzoneError
from greyzone.eval.impact.findings import Finding
from greyzone.eval.impact.invented import START, Row, busy_state, incident, made
from greyzone.impact.draws import central_world, dose_at, theta_of
from greyzone.impact.exposure import read_exposure

CASES = 300
DAY = 86_400.0
SEEDS = 5
POINTS = ("p05", "p50", "p95")
LAST = date(START.year, 12, 31)
DOCTRINE = load_doctrine()


def measure_robustness() -> Iterator[Finding]:
    """Yield the adversaries, the seeds and the bad input."""
    for name, attack in ATTACKS.items():
        changes = np.array([_change(attack, seed) for seed in range(CASES)])
        told = f"{int((changes < -1e-9).sum())} of {CASES} lowered; dose changes by {changes.min():+.3f} to {changes.max():+.3f}"
        yield Finding(name, "none lowered", told, bool((changes >= -1e-9).all()))
    yield _seeds()
    yield from _bad_input()


def _dose(rows: list[Row]) -> float:
    [state] = read_exposure(*made(rows), doctrine=DOCTRINE).states
    return float(dose_at(central_world(state.items, DOCTRINE), theta_of(DOCTRINE), START.timestamp() + 400 * DAY).total[0])


def _rows(random: np.random.Generator) -> list[Row]:
    return [
        incident(number, float(random.uniform(0, 30)), float(random.uniform(0, 5)), technique_class=f"c{random.integers(2)}")
        for number in range(int(random.integers(2, 9)))
    ]


def _bridge(rows: list[Row], random: np.random.Generator) -> list[Row]:
    """Add a weak incident between two of one class, so that chaining would join their waves."""
    between = float(random.uniform(0, 30))
    return [*rows, incident(900, between, 0.1, technique_class=str(rows[0]["technique_class"]))]


def _duplicates(rows: list[Row], random: np.random.Generator) -> list[Row]:
    """Repeat rows of the same id up to fifty times, in any order."""
    copies = [rows[int(random.integers(len(rows)))] for _ in range(50)]
    return [(rows + copies)[place] for place in random.permutation(len(rows) + 50).tolist()]


def _aliases(rows: list[Row], _: np.random.Generator) -> list[Row]:
    """Tell an incident under fifty more names by fifty more sources: what canonicalising makes of it is one row, more credible."""
    names: Row = {"name": "; ".join(f"Alias {number}" for number in range(50)), "sources": [f"s{number}" for number in range(50)]}
    names |= {"reports": [f"rep-{number}" for number in range(50)], "credibility": 0.99}
    return [rows[0] | names, *rows[1:]]


def _split(rows: list[Row], random: np.random.Generator) -> list[Row]:
    """Tell an incident as up to ten of the same moment and class, which canonicalising did not see through."""
    parts = [rows[0] | {"incident_id": f"inc-9{number:05d}"} for number in range(int(random.integers(1, 10)))]
    return [*rows, *parts]


def _nuisances(rows: list[Row], random: np.random.Generator) -> list[Row]:
    """Add a hundred nuisances to hide what is there."""
    return [*rows, *(incident(1000 + number, float(random.uniform(0, 30)), 0.0) for number in range(100))]


ATTACKS: dict[str, Callable[[list[Row], np.random.Generator], list[Row]]] = {
    "a weak incident that bridges two waves": _bridge,
    "a flood of duplicates": _duplicates,
    "a flood of aliases and sources of one incident": _aliases,
    "one incident told as many": _split,
    "a hundred nuisances beside": _nuisances,
}


def _change(attack: Callable[[list[Row], np.random.Generator], list[Row]], seed: int) -> float:
    random = np.random.default_rng(seed)
    rows = _rows(random)
    return _dose(attack(rows, random)) - _dose(rows)


def _seeds() -> Finding:
    tables = busy_state(60, 6, 30)
    points = np.array(
        [
            [impact.score(*tables, doctrine=DOCTRINE, as_of=LAST, days=0, seed=seed).impact.to_pylist()[-1][f"score_{p}"] for p in POINTS]
            for seed in range(SEEDS)
        ]
    )
    spread = points.max(axis=0) - points.min(axis=0)
    told = ", ".join(f"{name} {value:.1f}" for name, value in zip(POINTS, spread, strict=True))
    return Finding(f"spread of the points of one state over {SEEDS} seeds of 1,000 draws, of 100", "", told)


def _bad_input() -> Iterator[Finding]:
    """Show what each faulty input gets: an error of one line, or a note that counts it."""
    good = [incident(number, float(number), 3.0) for number in range(4)]

    def scored(rows: list[Row]) -> Row:
        found: Row = impact.score(*made(rows), doctrine=DOCTRINE, as_of=LAST, days=0, draws=50).impact.to_pylist()[-1]
        return found

    def refused(action: Callable[[], object]) -> tuple[str, bool]:
        try:
            action()
        except GreyzoneError as error:
            return str(error), error.exit_code == 2 and "\n" not in str(error)
        return "accepted", False

    def with_doctrine(value: str) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "own.yaml"
            number = f"{{value: {value}, range: [-5, 5], status: judgement, source: because we say so}}"
            path.write_text(f"id: own\nversion: 1\ntitle: t\nextends: default\nnumbers: {{sector_weights: {{critical: {number}}}}}\n")
            try:
                return load_doctrine(path)
            except GreyzoneError as error:
                raise type(error)(error.found.replace(f"{folder}/", ""), error.expected, error.remedy) from None

    level = scored([row | dict.fromkeys(("level_lo", "level_mode", "level_hi")) for row in good])
    width = float(str(level["score_p95"])) - float(str(level["score_p05"]))
    counted = str(level["coverage"]).split(";")
    yield Finding(
        "no level on four incidents",
        "wide, and told",
        f"interval {width:.0f} wide; {counted[-1].strip()}",
        "4 without a level" in str(level["coverage"]),
    )
    state = scored([*good, incident(9, 1.0, 5.0, target_state=None)])
    told = "1 incident without a state" in str(state["coverage"])
    yield Finding("no state on one incident", "in no score, counted", str(state["coverage"]).rpartition("; ")[2], told)
    sector = scored([*good, incident(9, 1.0, 5.0, sectors=["basket weaving"])])
    told = "4 without a sector" in str(sector["coverage"])
    yield Finding("no sector on four incidents, an unknown one on a fifth", "weight of other sectors, counted", "counted in the note", told)
    few = scored(good[:2])
    yield Finding("two incidents", "insufficient evidence", f"{few['status']}, score {few['score_p50']}", few["score_p50"] is None)
    for what, action in {
        "a reversed onset interval": lambda: scored(
            [*good, incident(9, 1.0, 3.0, onset_lo=good[3]["onset_lo"], onset_hi=good[0]["onset_lo"])]
        ),
        "a reversed level interval": lambda: scored([*good, incident(9, 1.0, 3.0, level_lo=4.0, level_hi=2.0)]),
        "a level of 7": lambda: scored([*good, incident(9, 1.0, 3.0, level_hi=7.0)]),
        "a credibility of 1.5": lambda: scored([*good, incident(9, 1.0, 3.0, credibility=1.5)]),
        "a reach that is no reach": lambda: scored([*good, incident(9, 1.0, 3.0, reach="galactic")]),
        "a negative weight in a doctrine": lambda: with_doctrine("-1"),
        "a doctrine's weight that is no number": lambda: with_doctrine("heavy"),
    }.items():
        message, one_line = refused(action)
        yield Finding(what, "one line, exit code 2", message, one_line)
