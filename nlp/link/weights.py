"""How evidence becomes log-odds: prior and shrink of the doctrine, or a calibrated model in their place.

    eta = logit(prior) + rho (sum of the log-likelihood ratios),   p = 1 / (1 + exp(-eta))

A kind of evidence without data is null and adds nothing. rho < 1 shrinks the sum because the kinds depend on one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine
from greyzone.models.links import LinkModel
from greyzone.records import LLRS

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weights:
    """Least, central and largest log-odds of the prior and shrink, the clip of temporal evidence, and a model that replaces the former."""

    prior: tuple[float, float, float]
    rho: tuple[float, float, float]
    clip: float
    model: LinkModel | None

    @classmethod
    def of(cls, doctrine: Doctrine, model: LinkModel | None) -> Weights:
        """Return the weights of a doctrine, or those of a model."""
        low, middle, high = (logit(doctrine[f"link.{name}"]) for name in ("prior_lo", "prior", "prior_hi"))
        rho = doctrine["link.rho_lo"], doctrine["link.rho"], doctrine["link.rho_hi"]
        # A doctrine may move the central value out of the range that it inherits; the range then reaches up to it.
        return cls((min(low, middle), middle, max(high, middle)), (min(rho), rho[1], max(rho)), doctrine["link.clip"], model)

    @property
    def floor(self) -> float:
        """Log-odds from which a pair is listed: nothing speaks against it."""
        return self.prior[1] - 1e-9

    def temporal(self, ratio: Vector) -> Vector:
        """Return the clipped log of likelihood ratios of time."""
        logged: Vector = np.clip(np.log(np.maximum(ratio, 1e-300)), -self.clip, self.clip)
        return logged

    def static(self, evidence: Mapping[str, Vector]) -> Vector:
        """Return the sum of the evidence that does not move in time, weighed if there is a model."""
        if self.model is not None:
            return self.model.weighed(evidence)
        return np.asarray(np.sum([np.nan_to_num(values, nan=0.0) for values in evidence.values()], axis=0), dtype=np.float64)

    def eta(self, temporal: Vector, static: Vector) -> Vector:
        """Return the log-odds."""
        if self.model is not None:
            return self.model.log_odds(self.model.weight("temporal") * temporal + static)
        return self.prior[1] + self.rho[1] * (temporal + static)

    def share(self, kind: str) -> float:
        """Return what a nat of a kind of evidence adds to the log-odds before calibration."""
        return self.rho[1] if self.model is None else self.model.weight(kind)

    def bounds(self, least: Vector, most: Vector, static: Mapping[str, Vector]) -> tuple[Vector, Vector]:
        """Return the ends of the interval from the ends of the temporal evidence and the other kinds."""
        if self.model is not None:
            ends = [np.stack([{"temporal": end, **static}[name] for name in LLRS], axis=1) for end in (least, most)]
            return self.model.bounds(ends[0], ends[1])
        total = np.sum([np.nan_to_num(values, nan=0.0) for values in static.values()], axis=0)
        least, most = least + total, most + total
        low = self.prior[0] + np.minimum(self.rho[0] * least, self.rho[2] * least)
        return low, self.prior[2] + np.maximum(self.rho[0] * most, self.rho[2] * most)


def logit(p: float) -> float:
    """Return ln(p / (1 - p))."""
    return float(np.log(p) - np.log1p(-p))


def sigmoid(eta: Vector) -> Vector:
    """Return 1 / (1 + exp(-eta))."""
    return 1.0 / (1.0 + np.exp(-eta))
