"""Tests of states as a whole, as context of the links: event study, bursts, Hawkes processes, changepoints. None of them moves a link.

For each state the daily volume of the narratives that name it, and the days of the incidents against it whose onset is known to the
week. Every test refuses with a reason where it has too little, and takes its null from circular shifts of the incidents: Poisson and
shuffled nulls call bursty noise significant (METHOD finding 2).

Bursts. Kleinberg's automaton (s = 2, gamma = 1, `greyzone.bursts.kleinberg`) over the volume; the statistic is the share of incidents
with a day of a burst in the week from their onset.

Hawkes. Items a day are Poisson with

    lambda_d = mu + alpha sum_{e < d} N_e k(d - e) + gamma sum_{incidents j, t_j <= d} k(d - t_j),     k(t) = exp(-t / m) scaled to sum 1,

m the mean lag of the doctrine. The statistic is 2 [l(mu, alpha, gamma) - l(mu, alpha, 0)], each maximised by EM, which is deterministic and
keeps all of them >= 0 (the likelihood is concave). As real volume is burstier than the model allows, a chi-square would reject too often.

Changepoints. The weekly log volume cut into stretches of constant mean: least squares by dynamic programming, a penalty of
3 s^2 ln(weeks) a cut (BIC counts a place and a level), s from the differences of neighbouring weeks (their median size / .954).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.bursts import kleinberg
from greyzone.doctrine import Doctrine
from greyzone.errors import CaseError
from greyzone.link.eventstudy import FEWEST, SHORTEST_SERIES, SPAN, shift_test
from greyzone.link.lag import Onsets

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Result = dict[str, object]

STRIDES = 40
"""Strides of EM (Varadhan and Roland 2008): the likelihood changes by less than a thousandth long before."""

FEWEST_WEEKS = 12

TESTS = {"population_tests": "event study", "burst_tests": "bursts", "hawkes_tests": "Hawkes process", "changepoints": "changepoints"}
"""The tests, by what the notes of the stage call them."""

TEST_COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("state", "test")),
        ("incidents", pa.int64()),
        *((name, pa.float64()) for name in ("statistic", "p")),
        *((name, pa.string()) for name in ("found", "refused")),
    ]
)


@dataclass(frozen=True, slots=True)
class State:
    """A state with the daily volume of narratives that name it, from `first` (days since 1970-01-01), and the days of its incidents."""

    code: str
    first: int
    series: Vector
    days: Rows
    narratives: int

    def refusal(self, *, incidents: int, items: int = 1) -> str | None:
        """Return why a test is refused that needs so many incidents and documents, or None."""
        if len(self.days) < incidents:
            return f"incidents with an onset known to the week during the corpus: {len(self.days)}; at least {incidents} are needed"
        if not self.narratives:
            return "no narrative names the state"
        if len(self.series) < SHORTEST_SERIES:
            return f"the corpus covers {len(self.series)} days; at least {SHORTEST_SERIES} are needed for circular shifts"
        if self.series.sum() < items:
            return f"{self.series.sum():.0f} documents of narratives that name the state; at least {items} are needed"
        return None

    def too_short(self) -> str | None:
        """Return why no changepoints are looked for, or None."""
        weeks = len(self.series) // SPAN
        if not self.narratives:
            return "no narrative names the state"
        return f"{weeks} whole weeks; at least {FEWEST_WEEKS} are needed" if weeks < FEWEST_WEEKS else None


def population_tests(
    onsets: Onsets,
    states: Sequence[str | None],
    volumes: Sequence[tuple[int, Vector]],
    targets: Sequence[Sequence[str]],
    *,
    doctrine: Doctrine,
    seed: int,
) -> dict[str, list[Result]]:
    """Run every test for every state that incidents or narratives name.

    Parameters
    ----------
    onsets, states
        Onset intervals and target states of the incidents.
    volumes, targets
        (first day, daily counts) and states named, one entry a narrative.
    doctrine
        `link.event_shifts`, `hawkes_shifts`, `hawkes_incidents`, `hawkes_items` and `after_mean_days` are read.
    seed
        Of the draw of shifts.

    Returns
    -------
    dict
        "population_tests" (event studies), "burst_tests", "hawkes_tests" and "changepoints": by state its figures, or why it is refused.
    """
    shifts, few = int(doctrine["link.event_shifts"]), int(doctrine["link.hawkes_incidents"])
    items, draws, mean = int(doctrine["link.hawkes_items"]), int(doctrine["link.hawkes_shifts"]), doctrine["link.after_mean_days"]
    found: dict[str, list[Result]] = {"population_tests": [], "burst_tests": [], "hawkes_tests": [], "changepoints": []}

    def told(name: str, state: State, refused: str | None, test: Callable[[], Result], **unknown: object) -> None:
        result: Result = {"state": state.code, "incidents": len(state.days), **unknown, "refused": refused}
        found[name].append(result if refused else result | test())

    for state in states_of(onsets, states, volumes, targets):
        refused = state.refusal(incidents=FEWEST)
        told("population_tests", state, refused, partial(_event, state, shifts, seed), statistic=None, p=None, shifts=0)
        inside = kleinberg_days(state.series)
        reason = refused or (None if inside.any() else "no burst by Kleinberg's automaton")
        told("burst_tests", state, reason, partial(_bursts, state, inside, shifts, seed), bursts=0, statistic=None, p=None)
        reason = state.refusal(incidents=few, items=items)
        hawkes = partial(hawkes_test, state.series, state.days, mean=mean, shifts=draws, seed=seed)
        told("hawkes_tests", state, reason, hawkes, statistic=None, p=None)
        told("changepoints", state, state.too_short(), partial(_changes, state), changes=[])
    return found


def state_tests(notes: Mapping[str, object]) -> pa.Table:
    """Return the tests of states as a table.

    Parameters
    ----------
    notes
        Of a case, as `Case.notes` gives them.

    Returns
    -------
    pa.Table
        One row a state and test, by state: `incidents` with an onset known to the week, `statistic` and `p` where the test has them,
        `found` what else it found, `refused` why it was not made (null where it was).

    Raises
    ------
    CaseError
        If the link stage has left no tests.

    Examples
    --------
    >>> state_tests(Case("CASE").notes())  # doctest: +SKIP
    """
    stage = notes.get("link")
    context = stage.get("context", {}) if isinstance(stage, Mapping) else {}
    if not all(name in context for name in TESTS):
        raise CaseError("no tests of states", "a case with a finished link stage", "run: greyzone link CASE")
    rows = [
        {
            "state": result["state"],
            "test": test,
            **{column: result.get(column) for column in ("incidents", "statistic", "p", "refused")},
            "found": None if result["refused"] else _found(result),
        }
        for name, test in TESTS.items()
        for result in context[name]
    ]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["state"]), TEST_COLUMNS)


def _found(result: Mapping[str, object]) -> str | None:
    """Return what a test found besides its statistic and p, in words."""
    told = [f"{name} {result[name]:g}" for name in ("shifts", "bursts", "expected", "branching", "excited") if name in result]
    changes = result.get("changes")
    if isinstance(changes, list):
        told += [f"{change['week']}: {change['before']:g} to {change['after']:g} a week" for change in changes] or ["no change of level"]
    return ", ".join(told) or None


def states_of(
    onsets: Onsets, states: Sequence[str | None], volumes: Sequence[tuple[int, Vector]], targets: Sequence[Sequence[str]]
) -> Iterator[State]:
    """Yield every state that incidents or narratives name, sorted."""
    filled = [volume for volume in volumes if len(volume[1])]
    first = min((start for start, _ in filled), default=0)
    length = max((start + len(counts) for start, counts in filled), default=0) - first
    day = np.floor(np.nan_to_num(onsets.lo, nan=-1e9)).astype(np.int64) - first
    precise = (onsets.hi - onsets.lo <= SPAN + 1e-6) & (day >= 0) & (day < length)
    against: dict[str, list[int]] = {}
    for place, state in enumerate(states):
        if state and precise[place]:
            against.setdefault(state, []).append(int(day[place]))
    talk: dict[str, list[int]] = {}
    for row, codes in enumerate(targets):
        for code in set(codes) if len(volumes[row][1]) else ():
            talk.setdefault(code, []).append(row)
    for code in sorted({state for state in states if state} | {code for codes in targets for code in codes}):
        series = np.zeros(length)
        for row in talk.get(code, ()):
            start, counts = volumes[row]
            series[start - first : start - first + len(counts)] += counts
        yield State(code, first, series, np.sort(np.array(against.get(code, ()), dtype=np.int64)), len(talk.get(code, ())))


def kleinberg_days(series: Vector) -> npt.NDArray[np.bool_]:
    """Return which days of a daily series lie in a burst."""
    inside = np.zeros(len(series), dtype=bool)
    days = np.flatnonzero(series)
    for burst in kleinberg(days.tolist(), [int(count) for count in series[days]], len(series)):
        inside[burst.first : burst.last + 1] = True
    return inside


def hawkes_test(series: Vector, days: Rows, *, mean: float, shifts: int, seed: int) -> Result:
    """Test whether incidents excite items beyond what items excite themselves.

    Parameters
    ----------
    series
        (n_days,) items a day.
    days
        Positions of the incidents.
    mean
        Of the exponential kernel, days.
    shifts, seed
        Circular shifts behind the null, and the seed of their draw.

    Returns
    -------
    dict
        statistic, p, branching (alpha: items that an item excites) and excited (items that an incident does, gamma).
    """
    length = len(series)
    kernel = np.exp(-np.arange(length) / mean)
    kernel /= kernel.sum()
    own = np.convolve(series, np.concatenate([[0.0], kernel[1:] / max(kernel[1:].sum(), 1e-300)]))[:length]
    events = np.bincount(days, minlength=length).astype(np.float64)
    others = _shifts(length, shifts, seed)
    # Incidents excite along the circle, so that every shift has as much excitation in sight as the true days.
    spectrum = np.fft.rfft(kernel)
    turned = np.stack([np.roll(events, int(shift)) for shift in [0, *others.tolist()]])
    excited = np.maximum(np.fft.irfft(np.fft.rfft(turned, axis=1) * spectrum, n=length, axis=1), 0.0)
    alone, _ = _fit(series, own, np.zeros((1, length)))
    full, weights = _fit(series, own, excited)
    statistic = 2.0 * np.maximum(full - alone[0], 0.0)
    p = (1 + int((statistic[1:] >= statistic[0] - 1e-9).sum())) / len(statistic)
    return {
        "statistic": round(float(statistic[0]), 6),
        "p": p,
        "shifts": len(others),
        "branching": round(float(weights[0, 1]), 6),
        "excited": round(float(weights[0, 2]), 6),
    }


def _fit(series: Vector, own: Vector, excited: npt.NDArray[np.float64]) -> tuple[Vector, npt.NDArray[np.float64]]:
    """Return the log-likelihood and (mu, alpha, gamma) for each row of `excited`, by EM in strides (SQUAREM)."""
    rows, length = excited.shape
    parts = np.stack([np.ones((rows, length)), np.broadcast_to(own, (rows, length)), excited], axis=1)
    total = parts.sum(axis=2)

    def rate(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        expected: npt.NDArray[np.float64] = np.maximum(np.matmul(weights[:, None, :], parts)[:, 0], 1e-12)
        return expected

    def step(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found = weights * np.matmul(parts, (series / rate(weights))[:, :, None])[:, :, 0]
        scaled: npt.NDArray[np.float64] = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
        return scaled

    def likelihood(weights: npt.NDArray[np.float64]) -> Vector:
        expected = rate(weights)
        found: Vector = (series * np.log(expected) - expected).sum(axis=1)
        return found

    weights = np.where(total > 0, series.sum() / 3.0 / np.maximum(total, 1e-300), 0.0)
    for _ in range(STRIDES):
        once = step(weights)
        twice = step(once)
        move, bend = once - weights, twice - 2.0 * once + weights
        sizes = np.linalg.norm(bend, axis=1)
        length_of = np.maximum(np.divide(np.linalg.norm(move, axis=1), sizes, out=np.ones(rows), where=sizes > 0), 1.0)[:, None]
        # A weight that reached 0 could never leave it.
        far = step(np.maximum(weights + 2.0 * length_of * move + length_of**2 * bend, 0.1 * twice))
        weights = np.where((likelihood(far) >= likelihood(twice))[:, None], far, twice)
    return likelihood(weights), weights


def change_points(values: Vector) -> list[int]:
    """Return where the mean of a series changes: the first places of all stretches but the first."""
    n = len(values)
    spread = float(np.median(np.abs(np.diff(values)))) / 0.954 if n > 1 else 0.0
    penalty = 3.0 * max(spread, 1e-6) ** 2 * np.log(max(n, 2))
    sums, squares = (np.concatenate([[0.0], np.cumsum(values**power)]) for power in (1, 2))
    best, came = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.int64)
    best[0] = -penalty
    for stop in range(1, n + 1):
        starts = np.arange(stop)
        length = stop - starts
        cost = squares[stop] - squares[starts] - (sums[stop] - sums[starts]) ** 2 / length
        whole = best[starts] + np.maximum(cost, 0.0) + penalty
        came[stop] = int(np.argmin(whole))
        best[stop] = whole[came[stop]]
    found: list[int] = []
    place = int(came[n]) if n else 0
    while place > 0:
        found.append(place)
        place = int(came[place])
    return found[::-1]


def _event(state: State, shifts: int, seed: int) -> Result:
    statistic, p = shift_test(state.series, state.days, shifts=shifts, seed=seed)
    return {"statistic": round(statistic, 9), "p": p, "shifts": min(shifts, len(state.series) - 1)}


def _bursts(state: State, inside: npt.NDArray[np.bool_], shifts: int, seed: int) -> Result:
    length = len(inside)
    week = np.arange(SPAN)
    soon = inside[(np.arange(length)[:, None] + week) % length].any(axis=1).astype(np.float64)
    others = _shifts(length, shifts, seed)
    observed = float(soon[state.days].mean())
    shifted = soon[(state.days[:, None] - others) % length].mean(axis=0)
    begun = int(inside[0]) + int((inside[1:] & ~inside[:-1]).sum())
    p = (1 + int((shifted >= observed - 1e-12).sum())) / (1 + len(others))
    return {"bursts": begun, "statistic": round(observed, 9), "p": p, "expected": round(float(soon.mean()), 9)}


def _changes(state: State) -> Result:
    weeks = len(state.series) // SPAN
    volume = state.series[: weeks * SPAN].reshape(weeks, SPAN).sum(axis=1)
    values = np.log1p(volume)
    bounds = [0, *change_points(values), weeks]
    start = date(1970, 1, 1) + timedelta(days=state.first)
    changes = [
        {
            "week": (start + timedelta(days=SPAN * bounds[at])).isoformat(),
            "before": round(float(np.expm1(values[bounds[at - 1] : bounds[at]].mean())), 3),
            "after": round(float(np.expm1(values[bounds[at] : bounds[at + 1]].mean())), 3),
        }
        for at in range(1, len(bounds) - 1)
    ]
    return {"changes": changes}


def _shifts(length: int, shifts: int, seed: int) -> Rows:
    """Return all shifts but none, or a draw of some."""
    others = np.arange(1, length)
    return others if len(others) <= shifts else np.random.default_rng(seed).choice(others, size=shifts, replace=False)
