"""Training of the calibrated model of links: non-negative logistic regression, then a monotone calibration, nested by group.

*Weights* minimise, with z = b + sum_k w_k llr_k and w_k >= 0,

    sum_i [ln(1 + exp(z_i)) - y_i z_i] + sum_k (w_k - rho)^2 / (2 s^2) + (b - b0)^2 / (2 S^2)

that is, the likelihood times a Gaussian prior around the unlabelled rule (`link.rho` for every kind, its prior for b0): with few labels the
model stays near that rule. The spread s is the one of `SPREADS` with the least loss on groups that were not trained on.

*Calibration* (`greyzone.models.links`: beta or steps) is fitted to log-odds of groups that were not trained on; "auto" takes the one with
the least loss on further groups. *Figures* come from an outer split by group, within which s and the map are chosen again (nested
cross-validation; Varma and Simon 2006). *Intervals*: groups are drawn with replacement and weights and map fitted again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize

from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError, StorageError
from greyzone.eval.metrics import average_precision, ece
from greyzone.models.links import FILE, Beta, Fit, LinkModel, Steps, dump_link_model, load_link_model, raw_log_odds, sigmoid
from greyzone.training.link_card import link_card, reliability, reliability_plot
from greyzone.training.link_data import LabelledLinks, read_labelled
from greyzone.training.stratify import stratified_parts

__all__ = ["Rule", "fit_beta", "fit_steps", "fit_weights", "load_link_model", "main", "penalised_loss", "train"]

FEWEST = 50
"""Positives, and negatives, below which there is no model (METHOD, stage C): the rarer of the two limits what can be learnt."""
FOLDS = 5
"""Parts of a split by group; at least so many groups must have a positive, and as many a negative."""
SPREADS = (0.1, 0.3, 1.0)
"""Standard deviations of the prior of a weight: from hardly any move away from the unlabelled rule to next to no prior."""
INTERCEPT_SPREAD = 10.0
"""Standard deviation of the prior of the intercept, in nats: it only keeps a sample of one class from running away."""
REPLICATES = 200
"""Refits behind the interval: the 5 % point of 200 draws has a standard error of 1.5 points of level."""
CALIBRATIONS = ("auto", "beta", "steps")

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """The unlabelled rule that the model starts from: log-odds of the prior, and the shrink of the summed evidence."""

    prior: float
    rho: float

    @classmethod
    def of_doctrine(cls, name: str = "default") -> Rule:
        """Return the rule of a doctrine."""
        doctrine = load_doctrine(name)
        share = doctrine["link.prior"]
        return cls(float(np.log(share / (1.0 - share))), doctrine["link.rho"])

    def log_odds(self, features: Doubles) -> Doubles:
        """Return the log-odds that the rule gives."""
        return raw_log_odds(features, [self.rho] * features.shape[1], self.prior)


def penalised_loss(theta: Doubles, features: Doubles, labels: Flags, spread: float, rule: Rule) -> tuple[float, Doubles]:
    """Return the loss of the module's formula and its gradient at theta = (b, w_1 … w_K); features without nan."""
    z = raw_log_odds(features, theta[1:].tolist(), float(theta[0]))
    wrong = sigmoid(z) - labels
    away = theta - np.array([rule.prior, *[rule.rho] * (len(theta) - 1)])
    narrow = np.array([INTERCEPT_SPREAD, *[spread] * (len(theta) - 1)]) ** -2
    loss = float(np.sum(np.logaddexp(0.0, z) - labels * z) + 0.5 * np.sum(narrow * away * away))
    # Sums by column, not matrix products: those add in an order that depends on the number of threads.
    slope = np.array([np.sum(wrong), *(np.sum(wrong * features[:, column]) for column in range(features.shape[1]))])
    return loss, slope + narrow * away


def fit_weights(features: Doubles, labels: Flags, spread: float, rule: Rule) -> tuple[float, tuple[float, ...]]:
    """Return the intercept and the weights, none negative; nan counts as no evidence."""
    known = np.nan_to_num(features, nan=0.0)
    start = np.array([rule.prior, *[rule.rho] * known.shape[1]])
    bounds = [(None, None), *[(0.0, None)] * known.shape[1]]
    found = minimize(
        penalised_loss, start, (known, labels, spread, rule), "L-BFGS-B", jac=True, bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-7}
    )
    return float(found.x[0]), tuple(max(float(value), 0.0) for value in found.x[1:])


def fit_beta(z: Doubles, labels: Flags) -> Beta:
    """Fit the beta map, its slopes not negative, with a prior as wide as that of the intercept around the map that changes nothing."""
    basis = np.stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z)], axis=1)
    rule = Rule(0.0, 1.0)
    found = minimize(
        penalised_loss,
        np.array([0.0, 1.0, 1.0]),
        (basis, labels, INTERCEPT_SPREAD, rule),
        "L-BFGS-B",
        jac=True,
        bounds=[(None, None), (0.0, None), (0.0, None)],
        options={"ftol": 1e-12, "gtol": 1e-7},
    )
    c, a, b = (float(value) for value in found.x)
    return Beta(max(a, 0.0), max(b, 0.0), c)


def fit_steps(z: Doubles, labels: Flags) -> Steps:
    """Fit the isotonic map: shares of pooled neighbours, kept off 0 and 1 by one in n + 2."""
    values, place = np.unique(z, return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    share = np.bincount(place, weights=labels.astype(np.float64)) / weight
    pooled = np.asarray(isotonic_regression(share, weights=weight).x, dtype=np.float64)
    least = 1.0 / (len(z) + 2.0)
    p = np.clip(pooled, least, 1.0 - least)
    # The ends of each step are all that the lines between them need.
    inner = (
        np.concatenate([[True], (pooled[1:-1] != pooled[:-2]) | (pooled[1:-1] != pooled[2:]), [True]])
        if len(p) > 2
        else np.ones(len(p), bool)
    )
    return Steps(tuple(values[inner].tolist()), tuple(np.log(p[inner] / (1.0 - p[inner])).tolist()))


def train(
    data: LabelledLinks, *, rule: Rule | None = None, calibration: str = "auto", replicates: int = REPLICATES, seed: int = 0
) -> LinkModel:
    """Train a calibrated model of links.

    Parameters
    ----------
    data
        As from `link_data.read_labelled`.
    rule
        The unlabelled rule; that of the default doctrine if not given.
    calibration
        "beta", "steps", or "auto".
    replicates
        Refits behind the interval.
    seed
        Of the splits and of the resampling.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST` positives or negatives, or fewer than `FOLDS` groups with either.
    """
    if calibration not in CALIBRATIONS:
        raise InputError(f"calibration {calibration!r}", f"one of {', '.join(CALIBRATIONS)}")
    _check_enough(data)
    rule = rule or Rule.of_doctrine()
    outer = _parts(data.labels, data.groups, seed)
    p = np.zeros(len(data.labels))
    for part in range(FOLDS):
        held, rest = outer == part, outer != part
        p[held] = sigmoid(
            _fit(data.features[rest], data.labels[rest], data.groups[rest], calibration, rule, seed)[0].log_odds(data.features[held])
        )
    central, spread, kind = _fit(data.features, data.labels, data.groups, calibration, rule, seed)
    rng = np.random.default_rng(seed)
    refits = []
    numbers = np.unique(data.groups)
    for _ in range(replicates):
        drawn = rng.choice(numbers, size=len(numbers))
        rows = np.concatenate([np.flatnonzero(data.groups == group) for group in drawn])
        x, y = data.features[rows], data.labels[rows]
        z = _held_out(x, y, outer[rows], spread, rule)
        b, w = fit_weights(x, y, spread, rule)
        refits.append(Fit(w, b, _map(kind, z, y)))
    record: dict[str, Any] = {
        "sources": list(data.sources),
        "pairs": len(data.labels),
        "positives": int(data.labels.sum()),
        "groups": len(numbers),
        "left_out": dict(sorted(data.left_out.items())),
        "settings": {"calibration": kind, "spread": spread, "replicates": replicates, "seed": seed, "prior": rule.prior, "rho": rule.rho},
        "figures": {"model": _figures(data.labels, p), "unlabelled rule": _figures(data.labels, sigmoid(rule.log_odds(data.features)))},
        "reliability": reliability(data.labels, p),
    }
    return LinkModel(central, tuple(refits), record)


def _check_enough(data: LabelledLinks) -> None:
    positives = int(data.labels.sum())
    for name, count, flags in (("positive", positives, data.labels), ("negative", len(data.labels) - positives, ~data.labels)):
        told = ", ".join(f"{number} {reason}" for reason, number in sorted(data.left_out.items())) or "none"
        if count < FEWEST:
            raise InputError(
                f"{count} {name} pairs (left out: {told})",
                f"at least {FEWEST}",
                "decide on more links with greyzone review; until then links stay uncalibrated",
            )
        groups = len(np.unique(data.groups[flags]))
        if groups < FOLDS:
            raise InputError(f"{name} pairs in {groups} campaigns or narratives", f"at least {FOLDS}", "decide on links of others, too")


def _parts(labels: Flags, groups: Integers, seed: int) -> Integers:
    numbered = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return stratified_parts(np.stack([labels, ~labels], axis=1), numbered, [1.0 / FOLDS] * FOLDS, seed=seed)


def _fit(x: Doubles, y: Flags, groups: Integers, calibration: str, rule: Rule, seed: int) -> tuple[Fit, float, str]:
    """Choose the spread and the map on groups that were not trained on, and fit both to all."""
    parts = _parts(y, groups, seed)
    held = {spread: _held_out(x, y, parts, spread, rule) for spread in SPREADS}
    spread = min(SPREADS, key=lambda one: (_loss(held[one], y), one))
    z = held[spread]
    losses = {}
    for kind in CALIBRATIONS[1:]:
        mapped = np.zeros(len(y))
        for part in np.unique(parts):
            mapped[parts == part] = _map(kind, z[parts != part], y[parts != part]).log_odds(z[parts == part])
        losses[kind] = _loss(mapped, y)
    kind = calibration if calibration != "auto" else min(losses, key=lambda one: (losses[one], one))
    b, w = fit_weights(x, y, spread, rule)
    return Fit(w, b, _map(kind, z, y)), spread, kind


def _held_out(x: Doubles, y: Flags, parts: Integers, spread: float, rule: Rule) -> Doubles:
    """Return each row's raw log-odds by weights fitted to the other parts."""
    z = np.zeros(len(y))
    for part in np.unique(parts):
        b, w = fit_weights(x[parts != part], y[parts != part], spread, rule)
        z[parts == part] = raw_log_odds(x[parts == part], w, b)
    return z


def _map(kind: str, z: Doubles, y: Flags) -> Beta | Steps:
    return fit_beta(z, y) if kind == "beta" else fit_steps(z, y)


def _loss(log_odds: Doubles, y: Flags) -> float:
    return float(np.mean(np.logaddexp(0.0, log_odds) - y * log_odds))


def _figures(y: Flags, p: Doubles) -> dict[str, float]:
    safe = np.clip(p, 1e-12, 1 - 1e-12)
    return {
        "ece": ece(y, p),
        "brier": float(np.mean((p - y) ** 2)),
        "log_loss": _loss(np.log(safe / (1 - safe)), y),
        "average_precision": average_precision(y, p),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(prog="greyzone train links", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("cases", nargs="*", type=Path, metavar="CASE", help="case folders with decisions (greyzone review)")
    parser.add_argument("--table", action="append", default=[], type=Path, help="labelled table: label, group, llr_temporal … llr_artefact")
    parser.add_argument("--out", required=True, type=Path, help="folder for model.json, README.md and reliability.svg")
    parser.add_argument("--doctrine", default="default", help="where the unlabelled rule comes from")
    parser.add_argument("--calibration", default="auto", choices=CALIBRATIONS, help="the map from raw to calibrated log-odds")
    parser.add_argument("--replicates", default=REPLICATES, type=int, help="refits behind the interval")
    parser.add_argument("--seed", default=0, type=int, help="of the splits and of the resampling")
    parser.add_argument("--note", default="", help="a sentence for the card")
    given = parser.parse_args(argv)
    if not given.cases and not given.table:
        raise InputError("nothing to train on", "at least one CASE or --table FILE")
    data = read_labelled(given.cases, given.table)
    model = train(data, rule=Rule.of_doctrine(given.doctrine), calibration=given.calibration, replicates=given.replicates, seed=given.seed)
    save(model, given.out, note=given.note)
    told = {"out": str(given.out), **{name: model.record[name] for name in ("pairs", "positives", "groups", "left_out", "figures")}}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def save(model: LinkModel, folder: Path, *, note: str = "") -> None:
    """Write the model, its card and its reliability plot into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text(link_card(model, folder.name, note), "utf-8")
        (folder / "reliability.svg").write_text(reliability_plot(model.record["reliability"]), "utf-8")
        (folder / FILE).write_text(dump_link_model(model), "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write into {folder} ({error.strerror or error})", "", "name another --out") from error


if __name__ == "__main__":
    raise SystemExit(main())
