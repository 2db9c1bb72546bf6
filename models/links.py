"""A calibrated model of links: the log-likelihood ratios of a pair, weighed as people decided of other pairs.

    z = b + sum_k w_k llr_k,   w_k >= 0,   p = g(z),   g never falling

A kind of evidence without data is null and adds nothing. As no weight is negative and g never falls, stronger evidence of any kind
never lowers p. g is one of two:

- *beta* (Kull, Silva Filho and Flach, AISTATS 2017), on s = 1 / (1 + exp(-z)): logit p = c + a ln s - b ln(1 - s), with a, b >= 0;
- *steps* (isotonic regression; Zadrozny and Elkan, KDD 2002): log-odds of the pooled shares, straight lines between them, flat outside.

The interval of a pair runs over refits on resampled groups of pairs (bootstrap), which stand in the file beside the model. The file is
JSON: it holds numbers alone and runs no code. `greyzone.training.links` makes it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.records import LLRS

FORMAT = "greyzone link model 1"
FILE = "model.json"
"""Name of the model within the folder that training writes."""
LEVEL = 0.9
"""Share of the refits between the ends of an interval, as with the 5 and 95 % of impact scores."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beta:
    """The map logit p = c + a ln s - b ln(1 - s), s = 1 / (1 + exp(-z)), a and b not negative."""

    a: float
    b: float
    c: float

    def log_odds(self, z: Doubles) -> Doubles:
        """Return the calibrated log-odds of raw ones, an array of any shape."""
        found: Doubles = self.c - self.a * np.logaddexp(0.0, -z) + self.b * np.logaddexp(0.0, z)
        return found


@dataclass(frozen=True, slots=True)
class Steps:
    """Calibrated log-odds `y` (never falling) at raw log-odds `x` (rising)."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def log_odds(self, z: Doubles) -> Doubles:
        """Return the calibrated log-odds of raw ones, an array of any shape."""
        found: Doubles = np.asarray(np.interp(z, self.x, self.y), dtype=np.float64)
        return found


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit: a weight for each of `LLRS`, an intercept, and the map to calibrated log-odds."""

    weights: tuple[float, ...]
    intercept: float
    calibration: Beta | Steps

    def log_odds(self, features: Doubles) -> Doubles:
        """Return (n,) calibrated log-odds of (n, kinds) log-likelihood ratios, nan where there is no data."""
        return self.calibration.log_odds(raw_log_odds(features, self.weights, self.intercept))


@dataclass(frozen=True, slots=True)
class LinkModel:
    """A calibrated model of links; `load_link_model` reads one.

    Parameters
    ----------
    central
        The fit that gives p.
    replicates
        Refits on resampled groups, which give the interval.
    record
        JSON-able: what it was trained on, and how well it does.
    """

    central: Fit
    replicates: tuple[Fit, ...]
    record: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hex digest of the numbers."""
        return hashlib.sha256(json.dumps(_numbers(self), sort_keys=True).encode()).hexdigest()[:16]

    def weighed(self, evidence: Mapping[str, Doubles]) -> Doubles:
        """Return the weighed sum of some kinds of evidence, arrays of one shape with nan where there is no data."""
        return np.asarray(sum(self.weight(name) * np.nan_to_num(values, nan=0.0) for name, values in evidence.items()), dtype=np.float64)

    def weight(self, kind: str) -> float:
        """Return the weight of a kind of evidence."""
        return self.central.weights[LLRS.index(kind)]

    def log_odds(self, weighed: Doubles) -> Doubles:
        """Return the calibrated log-odds of a weighed sum of all kinds of evidence."""
        return self.central.calibration.log_odds(self.central.intercept + weighed)

    def bounds(self, least: Doubles, most: Doubles) -> tuple[Doubles, Doubles]:
        """Return the ends of the interval of the log-odds.

        Parameters
        ----------
        least, most
            (n, kinds) log-likelihood ratios: the least and the largest that a pair's dates allow; equal where they are known.
        """
        if not self.replicates:
            return self.central.log_odds(least), self.central.log_odds(most)
        low = np.quantile([fit.log_odds(least) for fit in self.replicates], (1.0 - LEVEL) / 2.0, axis=0)
        high = np.quantile([fit.log_odds(most) for fit in self.replicates], (1.0 + LEVEL) / 2.0, axis=0)
        return np.minimum(low, self.central.log_odds(least)), np.maximum(high, self.central.log_odds(most))

    def predict(self, features: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Return p and the ends of its interval.

        Parameters
        ----------
        features
            (n, kinds) log-likelihood ratios in the order of `LLRS`, nan where there is no data.
        """
        low, high = self.bounds(features, features)
        return sigmoid(self.central.log_odds(features)), sigmoid(low), sigmoid(high)


def raw_log_odds(features: Doubles, weights: Sequence[float], intercept: float) -> Doubles:
    """Return intercept + sum of weights times features, nan counting as 0; summed kind by kind, so that the order of rows is free."""
    total = np.full(len(features), intercept, dtype=np.float64)
    for column, weight in enumerate(weights):
        total += weight * np.nan_to_num(features[:, column], nan=0.0)
    return total


def sigmoid(z: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-z)) without overflow."""
    found: Doubles = np.exp(-np.logaddexp(0.0, -np.asarray(z, dtype=np.float64)))
    return found


def dump_link_model(model: LinkModel) -> str:
    """Return the model as JSON text."""
    content = {"format": FORMAT, "kinds": list(LLRS), **_numbers(model), "fingerprint": model.fingerprint, "record": dict(model.record)}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def load_link_model(path: str | Path) -> LinkModel:
    """Read a model, given its file or the folder that training wrote.

    Raises
    ------
    InputError
        If there is no such file, or it is not a model of links whose numbers keep p monotone.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"link model {file} cannot be read ({error})", "what greyzone train links writes", "check the path") from error
    try:
        if content["format"] != FORMAT or content["kinds"] != list(LLRS):
            raise ValueError(f"format {content['format']!r} with kinds {content['kinds']!r}")
        return LinkModel(_fit(content["central"]), tuple(_fit(item) for item in content["replicates"]), dict(content["record"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"link model {file}: {told}", f"{FORMAT} over {', '.join(LLRS)}, weights not negative", "train it again: greyzone train links"
        ) from error


def _numbers(model: LinkModel) -> dict[str, Any]:
    return {"central": _stated(model.central), "replicates": [_stated(fit) for fit in model.replicates]}


def _stated(fit: Fit) -> dict[str, Any]:
    calibration = fit.calibration
    told = (
        {"kind": "beta", "a": calibration.a, "b": calibration.b, "c": calibration.c}
        if isinstance(calibration, Beta)
        else {"kind": "steps", "x": list(calibration.x), "y": list(calibration.y)}
    )
    return {"weights": list(fit.weights), "intercept": fit.intercept, "calibration": told}


def _fit(content: Mapping[str, Any]) -> Fit:
    weights = tuple(_number(value) for value in content["weights"])
    if len(weights) != len(LLRS) or min(weights) < 0:
        raise ValueError(f"weights {list(weights)}")
    told = content["calibration"]
    calibration: Beta | Steps
    if told["kind"] == "beta":
        calibration = Beta(*(_number(told[name]) for name in ("a", "b", "c")))
        if min(calibration.a, calibration.b) < 0:
            raise ValueError("a beta map that falls")
    elif told["kind"] == "steps":
        calibration = Steps(*(tuple(_number(value) for value in told[name]) for name in ("x", "y")))
        rising = all(one < other for one, other in zip(calibration.x, calibration.x[1:], strict=False))
        if not calibration.x or len(calibration.x) != len(calibration.y) or not rising or list(calibration.y) != sorted(calibration.y):
            raise ValueError("steps that fall or have no order")
    else:
        raise ValueError(f"calibration {told['kind']!r}")
    return Fit(weights, _number(content["intercept"]), calibration)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} for a number")
    return float(value)
