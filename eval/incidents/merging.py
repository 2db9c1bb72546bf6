"""Weights of the evidence that two reports tell one event, fitted to labelled pairs.

A pair's posterior is that of a choice: each report of a source tells the event of one report of the other source or of none (a multinomial
logit; McFadden 1974), with odds exp(b + sum_k w_k x_k) for every candidate over the parts x of `greyzone.incidents.evidence`,

    P(pair) = odds(pair) / (1 + odds(pair) + sum of the odds of its rivals)

Weights w_k >= 0 and b minimise the negative log-likelihood of the labels plus sum_k (w_k s_k)^2 / (2 `SPREAD`^2), s_k the standard
deviation of part k over the labelled pairs. Which other reports are rivals and which tell the same event again depends on the weights: it
is decided by those of the doctrine that is given, and again by the fitted ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import minimize

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.incidents.blocking import candidates
from greyzone.incidents.canonical import prepare
from greyzone.incidents.evidence import WEIGHTS, Judge, Part, judge_of
from greyzone.incidents.linkage import rivals_of, twins
from greyzone.incidents.record import Record

SPREAD = 1.0
"""Standard deviation of the prior of a weight of a standardised part."""

FEWEST = 50
"""Pairs of each label below which nothing is fitted."""

ROUNDS = 2
"""Fits, each with the rivals that the weights of the one before leave."""

_MOST_NATS = 40.0
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pair = tuple[int, int]


def fit_merging(reports: pa.Table, labelled: Mapping[tuple[str, str], bool], doctrine: Doctrine) -> dict[str, float]:
    """Fit the weights of merging.

    Parameters
    ----------
    reports
        A table of `REPORTS`, all that would be made canonical together: rivals and frequencies come from all of them.
    labelled
        Pairs of report ids of two sources, and whether both tell one event.
    doctrine
        Gives all other numbers, and the weights to start from.

    Returns
    -------
    dict of str to float
        "base" and "weight_*", as section ``canonical`` of a doctrine has them, in nats.

    Raises
    ------
    InputError
        If a pair is of one source or names a report that is not there, or there are fewer than `FEWEST` pairs of a label.
    """
    _, records = prepare(reports, doctrine)
    place = {record.report_id: at for at, record in enumerate(records)}
    pairs: dict[Pair, bool] = {}
    for (one, other), same in labelled.items():
        if one not in place or other not in place:
            raise InputError(f"a labelled pair {one}, {other}", "ids of the reports", "label pairs of these tables")
        a, b = sorted((place[one], place[other]))
        if records[a].source == records[b].source:
            raise InputError(f"a labelled pair of one source, {records[a].source!r}", "reports of two sources", "leave it out")
        pairs[a, b] = same
    alike = sum(pairs.values())
    if min(alike, len(pairs) - alike) < FEWEST:
        raise InputError(f"{alike} pairs of one event and {len(pairs) - alike} others", f"at least {FEWEST} of each", "label more pairs")
    numbers = dict(doctrine.section("canonical"))
    judge = judge_of(records, numbers)
    rows = _touching(records, judge, pairs)
    design = np.array([_row(judge.parts(a, b)) for a, b in rows])
    for _ in range(ROUNDS):
        judge = replace(judge, numbers=numbers)
        numbers |= _fitted(design, rows, pairs, _rivals(records, judge, rows, pairs))
    return {name: numbers[name] for name in ("base", *(f"weight_{kind}" for kind in WEIGHTS))}


def _touching(records: Sequence[Record], judge: Judge, pairs: Mapping[Pair, bool]) -> list[Pair]:
    """Return the labelled pairs and all compared ones that share a report with one of them."""
    held = {at for pair in pairs for at in pair}
    compared = candidates(records, judge.rarity, int(judge.numbers["block"]))
    near = {(a, b) for a, b in compared if (a in held or b in held) and records[a].source != records[b].source}
    return sorted(near | pairs.keys())


def _row(parts: Sequence[Part]) -> list[float]:
    values = dict.fromkeys(WEIGHTS, 0.0)
    for part in parts:
        values[part.kind] += part.value
    return list(values.values())


def _rivals(records: Sequence[Record], judge: Judge, rows: Sequence[Pair], pairs: Mapping[Pair, bool]) -> tuple[Integers, Integers]:
    """Return the rivals of the labelled pairs: places among these, and places of the rivals among `rows`."""
    place = {pair: at for at, pair in enumerate(rows)}
    found = rivals_of(records, place, lambda a, b: twins(judge, a, b), of=pairs)
    whose = [at for at, pair in enumerate(pairs) for _ in found[pair]]
    return np.array(whose, dtype=np.int64), np.array([place[rival] for pair in pairs for rival in found[pair]], dtype=np.int64)


def _fitted(design: Doubles, rows: Sequence[Pair], pairs: Mapping[Pair, bool], rivals: tuple[Integers, Integers]) -> dict[str, float]:
    place = {pair: at for at, pair in enumerate(rows)}
    own = np.array([place[pair] for pair in pairs], dtype=np.int64)
    scale = design[own].std(axis=0) + 1e-9
    choice = Choice(design / scale, own, np.array(list(pairs.values()), dtype=bool), *rivals)
    n = design.shape[1]
    bounds = [(0.0, None)] * n + [(None, None)]
    found = minimize(choice.loss, np.append(np.full(n, 0.3), 0.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = dict(zip((f"weight_{kind}" for kind in WEIGHTS), (found[:n] / scale).tolist(), strict=True))
    return {"base": float(found[n]), **weights}


@dataclass(frozen=True, slots=True)
class Choice:
    """The labelled pairs as choices.

    Attributes
    ----------
    design
        Standardised parts of every candidate (candidates, parts).
    own, same
        Of every labelled pair: its place in `design`, and its label.
    whose, which
        Of every rival: the labelled pair that it stands beside, and its own place in `design`.
    """

    design: Doubles
    own: Integers
    same: npt.NDArray[np.bool_]
    whose: Integers
    which: Integers

    def loss(self, values: Doubles) -> tuple[float, Doubles]:
        """Return the penalised negative log-likelihood of weights and intercept (the last of `values`), and its gradient."""
        weights, nats = values[:-1], self.design @ values[:-1] + values[-1]
        odds = np.exp(np.minimum(nats, _MOST_NATS))
        beside = np.bincount(self.whose, weights=odds[self.which], minlength=len(self.own))
        whole = 1 + odds[self.own] + beside
        share = odds[self.own] / whole
        loss = -np.where(self.same, np.log(share), np.log((1 + beside) / whole)).sum() + (weights**2).sum() / (2 * SPREAD**2)
        slope = np.zeros(len(nats))
        np.add.at(slope, self.own, np.where(self.same, share - 1, share))
        each = np.where(self.same, 1 / whole, 1 / whole - 1 / (1 + beside))
        np.add.at(slope, self.which, each[self.whose] * odds[self.which])
        slope[nats > _MOST_NATS] = 0
        return float(loss), np.append(self.design.T @ slope + weights / SPREAD**2, slope.sum())
