"""Weights of severity levels from the judgements of a panel: which of two events is the worse, and how surely the panel says so.

Bradley and Terry (1952): the odds that level i is called worse than level j are u_i / u_j. Two fits are made of the same judgements:

    free      ln u of every level, Newton's method with a weak ridge that keeps a level that always wins finite
    one base  u(L) = (b^L - 1) / (b^5 - 1), the base b of the largest likelihood, with the 90 % interval of the profile
              (2 (l_max - l) <= 2.706); twice the difference of the two likelihoods says whether one base is enough

A tie is half a judgement each way. Agreement: Kendall's W (Kendall and Babington Smith 1939) between the rankings of the raters, with
correction for ties. Consistency: the share of the triads that a rater judged whole (three levels, three preferences) which are circular.
The panel is refused where it is too small or where its comparisons do not connect the levels: weights of levels that nobody compared,
not even by a chain, have no common unit.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError

COLUMNS = ("rater", "a", "b", "worse")
TIE = "tie"
HIGHEST = 5.0
PROFILE_90 = 2.706
"""90 % point of chi-squared with one degree of freedom."""
STEPS, CLOSE = 100, 1e-10
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rater said of two levels: `worse` is one of them, or None for a tie."""

    rater: str
    a: float
    b: float
    worse: float | None


@dataclass(frozen=True, slots=True)
class Elicited:
    """Weights and base of a panel with everything that says how far to trust them.

    `weights` are u of the free fit by level, the highest level judged being 1; `base_interval` is the 90 % profile interval; `fit_p` is
    the probability of so large a difference between the fits if one base were right (None with two levels).
    """

    levels: tuple[float, ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    base: float
    base_interval: tuple[float, float]
    fit_p: float | None
    raters: int
    judgements: int
    kendall_w: float | None
    circular: float | None
    triads: int
    remarks: tuple[str, ...]

    def told(self) -> dict[str, object]:
        """Return everything as JSON-able values."""
        return {
            "base": round(self.base, 4),
            "base_p05": round(self.base_interval[0], 4),
            "base_p95": round(self.base_interval[1], 4),
            "weights": {f"{level:g}": round(weight, 5) for level, weight in zip(self.levels, self.weights, strict=True)},
            "log_errors": {f"{level:g}": round(error, 4) for level, error in zip(self.levels, self.errors, strict=True)},
            "one_base_p": None if self.fit_p is None else round(self.fit_p, 4),
            "raters": self.raters,
            "judgements": self.judgements,
            "kendall_w": None if self.kendall_w is None else round(self.kendall_w, 4),
            "circular_triads": None if self.circular is None else round(self.circular, 4),
            "triads": self.triads,
        }

    def doctrine_file(self, source: Path, *, extends: str) -> str:
        """Return a YAML doctrine with the base and the ends of its interval as those of the ensemble, all with status elicited."""
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        w = "not known" if self.kendall_w is None else f"{self.kendall_w:.2f}"
        circular = "none judged whole" if self.circular is None else f"{100 * self.circular:.0f} % of {self.triads} triads circular"
        panel = f"Panel of {self.raters} raters, {self.judgements} judgements (SHA-256 {digest}), Kendall W {w}, {circular}"
        low, high = self.base_interval
        weights = ", ".join(f"{level:g}: {weight:.4g}" for level, weight in zip(self.levels, self.weights, strict=True))

        def number(value: float, what: str) -> str:
            return f"{{value: {value:.4f}, range: [1.5, 10], status: elicited, source: {json.dumps(f'{what}. {panel}')}}}"

        return "\n".join(
            [
                "# Made by greyzone doctrine elicit.",
                f"# Weights of the free fit, relative to the highest level judged: {weights}.",
                f"id: elicited-{digest}",
                "version: 1",
                f"title: Base of the severity levels from a panel of {self.raters}",
                f"extends: {extends}",
                "",
                "numbers:",
                "  levels:",
                f"    base: {number(self.base, f'Bradley-Terry, 90 % interval {low:.2f} to {high:.2f}')}",
                "  ensemble:",
                f"    base_lo: {number(low, 'Low end of the 90 % interval of levels.base')}",
                f"    base_hi: {number(high, 'High end of the 90 % interval of levels.base')}",
                "",
            ]
        )


def read_judgements(path: str | Path) -> list[Judgement]:
    """Read a panel's judgements.

    Parameters
    ----------
    path
        CSV with the columns rater, a, b and worse: `a` and `b` are levels above 0 and up to 5, `worse` repeats one of them or is "tie".

    Raises
    ------
    InputError
        If the file cannot be read, or a row is not a judgement; the row is named.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := set(COLUMNS) - set(rows.fieldnames or ()):
                raise InputError(f"{path} without column {min(missing)}", ", ".join(COLUMNS))
            return [_judgement(row, number, str(path)) for number, row in enumerate(rows, start=2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error})", f"a CSV file with columns {', '.join(COLUMNS)}") from None


def elicit_base(judgements: Sequence[Judgement], *, doctrine: Doctrine) -> Elicited:
    """Fit weights and base to the judgements of a panel.

    Parameters
    ----------
    judgements
        At least `elicitation.pairs_minimum` by `elicitation.raters_minimum` raters, which connect all levels.
    doctrine
        Gives these minima, the ridge, and the range of `levels.base`.

    Raises
    ------
    InputError
        If the panel is too small, or levels are not connected by comparisons.
    """
    raters = sorted({judgement.rater for judgement in judgements})
    for found, name, what in ((len(raters), "raters", "raters"), (len(judgements), "pairs", "judgements")):
        if found < doctrine[f"elicitation.{name}_minimum"]:
            raise InputError(f"{found} {what}", f"{doctrine[f'elicitation.{name}_minimum']:g} or more", "ask a larger panel")
    levels = tuple(sorted({level for judgement in judgements for level in (judgement.a, judgement.b)}))
    wins = _wins(judgements, levels)
    _check_connected(wins + wins.T, levels, "compared with any of the others")
    log_weights, errors = _free_fit(wins, doctrine["elicitation.ridge"])
    base, interval, at_edge = _base_fit(wins, levels, doctrine.number("levels.base").range)
    freedom = len(levels) - 2
    gap = 2 * (_likelihood(wins, log_weights) - _likelihood(wins, _log_units(levels, base)))
    circular, triads = circular_triads(judgements)
    remarks = ["the likeliest base is at the end of its range: the panel's weights are not of this form"] if at_edge else []
    if not _strongly_connected(wins):
        remarks.append("some levels always win against the others: only the ridge keeps their free weights finite")
    return Elicited(
        levels=levels,
        weights=tuple(np.exp(log_weights - log_weights[-1]).tolist()),
        errors=tuple(errors.tolist()),
        base=base,
        base_interval=interval,
        fit_p=float(stats.chi2.sf(max(gap, 0.0), freedom)) if freedom > 0 else None,
        raters=len(raters),
        judgements=len(judgements),
        kendall_w=kendall_w(judgements),
        circular=circular,
        triads=triads,
        remarks=tuple(remarks),
    )


def kendall_w(judgements: Sequence[Judgement]) -> float | None:
    """Return Kendall's W of the raters' rankings of the levels that all of them judged, ties corrected; None where it has no meaning.

    A rater's ranking is by the share of comparisons in which a level was the worse.
    """
    shares: dict[str, dict[float, list[float]]] = {}
    for judgement in judgements:
        won = 0.5 if judgement.worse is None else float(judgement.worse == judgement.a)
        own = shares.setdefault(judgement.rater, {})
        own.setdefault(judgement.a, []).append(won)
        own.setdefault(judgement.b, []).append(1 - won)
    common = sorted(set.intersection(*(set(own) for own in shares.values())))
    if len(common) < 2 or len(shares) < 2:
        return None
    ranks = np.array([stats.rankdata([np.mean(own[level]) for level in common]) for _, own in sorted(shares.items())])
    m, n = ranks.shape
    ties = sum(float((counts**3 - counts).sum()) for row in ranks for counts in [np.unique(row, return_counts=True)[1]])
    spread = float(((ranks.sum(axis=0) - m * (n + 1) / 2) ** 2).sum())
    whole = m**2 * (n**3 - n) - m * ties
    return 12 * spread / whole if whole > 0 else None


def circular_triads(judgements: Sequence[Judgement]) -> tuple[float | None, int]:
    """Return the share of circular triads among those that a rater judged whole without ties, and their number over all raters."""
    ahead: dict[str, dict[tuple[float, float], float]] = {}
    for judgement in judgements:
        if judgement.worse is not None:
            low, high = sorted((judgement.a, judgement.b))
            own = ahead.setdefault(judgement.rater, {})
            # a pair judged several times counts by its majority
            own[low, high] = own.get((low, high), 0.0) + (1.0 if judgement.worse == high else -1.0)
    circular = whole = 0
    for _, own in sorted(ahead.items()):
        levels = sorted({level for pair in own for level in pair})
        for x, y, z in itertools.combinations(levels, 3):
            signs = [own.get(pair, 0.0) for pair in ((x, y), (y, z), (x, z))]
            if 0.0 not in signs:
                whole += 1
                circular += (signs[0] > 0) == (signs[1] > 0) != (signs[2] > 0)
    return (circular / whole if whole else None), whole


def _judgement(row: Mapping[str, str | None], number: int, path: str) -> Judgement:
    def level(name: str) -> float:
        try:
            value = float(row[name] or "")
        except ValueError:
            value = math.nan
        if not 0 < value <= HIGHEST:
            raise InputError(
                f"{path} row {number}: {name} = {row[name]!r}", "a level above 0 and up to 5 (level 0 weighs nothing by definition)"
            )
        return value

    a, b = level("a"), level("b")
    worse = None if (row["worse"] or "").strip().casefold() == TIE else level("worse")
    rater = (row["rater"] or "").strip()
    if not rater or a == b or worse not in (a, b, None):
        raise InputError(
            f"{path} row {number}: rater {rater!r} on {a:g} and {b:g}, worse {row['worse']!r}",
            "a rater, two levels, and one of them or tie",
        )
    return Judgement(rater, a, b, worse)


def _wins(judgements: Sequence[Judgement], levels: Sequence[float]) -> Reals:
    """(n, n) how often the row's level was called worse than the column's."""
    place = {level: index for index, level in enumerate(levels)}
    wins = np.zeros((len(levels), len(levels)))
    for judgement in judgements:
        i, j = place[judgement.a], place[judgement.b]
        share = 0.5 if judgement.worse is None else float(judgement.worse == judgement.a)
        wins[i, j] += share
        wins[j, i] += 1 - share
    return wins


def _check_connected(links: Reals, levels: Sequence[float], what: str) -> None:
    reached = _reach(links > 0, 0)
    if not reached.all():
        alone = ", ".join(f"{level:g}" for level, found in zip(levels, reached, strict=True) if not found)
        raise InputError(f"levels {alone} are not {what}", "comparisons that connect all levels", "ask for more pairs")


def _strongly_connected(wins: Reals) -> bool:
    return bool(_reach(wins > 0, 0).all() and _reach((wins > 0).T, 0).all())


def _reach(edges: npt.NDArray[np.bool_], start: int) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(edges), bool)
    found[start] = True
    for _ in range(len(edges)):
        found |= edges[found].any(axis=0)
    return found


def _likelihood(wins: Reals, log_weights: Reals) -> float:
    gaps = log_weights[:, None] - log_weights[None, :]
    return float(-(wins * np.logaddexp(0.0, -gaps)).sum())


def _free_fit(wins: Reals, ridge: float) -> tuple[Reals, Reals]:
    """Newton's method on the penalised likelihood; returns log weights of mean 0 and their standard errors."""
    found = np.zeros(len(wins))
    both = wins + wins.T
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(found[None, :] - found[:, None]))
        slope = wins.sum(axis=1) - (both * p).sum(axis=1) - ridge * found
        curve = both * p * (1 - p)
        hessian = np.diag(curve.sum(axis=1) + ridge) - curve
        step = np.linalg.solve(hessian, slope)
        found = found + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < CLOSE:
            return found - found.mean(), np.sqrt(np.diag(np.linalg.inv(hessian)))
    raise InputError("weights that do not settle", "judgements that a Bradley-Terry model can take", "look at the panel's pairs")


def _log_units(levels: Sequence[float], base: float) -> Reals:
    return np.asarray(np.log(np.power(base, np.array(levels)) - 1) - math.log(base**HIGHEST - 1))


def _base_fit(wins: Reals, levels: Sequence[float], span: tuple[float, float]) -> tuple[float, tuple[float, float], bool]:
    """Return the likeliest base within `span`, its 90 % profile interval, cut at the span, and whether it lies at its end."""

    def lost(log_base: float) -> float:
        return -_likelihood(wins, _log_units(levels, math.exp(log_base)))

    low, high = map(math.log, span)
    best = optimize.minimize_scalar(lost, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    at, floor = float(best.x), float(best.fun)

    def over(log_base: float) -> float:
        return 2 * (lost(log_base) - floor) - PROFILE_90

    left = low if over(low) <= 0 else float(optimize.brentq(over, low, at))
    right = high if over(high) <= 0 else float(optimize.brentq(over, at, high))
    edge = min(at - low, high - at) < 1e-6
    return math.exp(at), (math.exp(left), math.exp(right)), edge
