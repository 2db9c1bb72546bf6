"""From raw scores to probabilities and decisions, each label as far by itself as its positives allow.

*Calibration.* p = sigmoid(a z + b) (Platt 1999). (a, b) of all labels together are fitted first; those of one label then maximise its
likelihood times a Gaussian prior around the pooled pair, so that a label with few positives stays near the pooled line and one with
many has its own.

*Thresholds.* On calibrated probabilities the micro-F1 of all labels is greatest at one threshold for all (Lipton, Elkan and
Naryanaswamy, ECML 2014: half the F1 reached there), the macro-F1 at one of each label's own. The own threshold of a rare label is noise,
so in log-odds it is moved towards the common one: t = w t_own + (1 - w) t_common, w = positives / (positives + `THRESHOLD_PRIOR`).

Scores must come from texts that the scorer was not trained on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.models.heads import Calibration, sigmoid

THRESHOLD_PRIOR = 10.0
"""Positives at which a label's own threshold and the common one count alike. Inside the training texts of two public sets, going from 0
to 20 lost .001 and .009 of macro-F1 and won .019 and .023 of micro-F1: 10 lies between."""

SLOPE_SPREAD, OFFSET_SPREAD = 0.25, 0.5
"""Standard deviations of the prior on a label's slope (as a log-ratio would spread) and offset (log-odds) around the pooled ones."""

NEWTON_STEPS = 50

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def fit_calibration(scores: Doubles, truth: Flags) -> Calibration:
    """Return slopes, offsets and both kinds of thresholds from held-back scores.

    Parameters
    ----------
    scores
        (n, labels) raw scores (log-odds) of texts not trained on.
    truth
        (n, labels) which labels they have.

    Raises
    ------
    InputError
        If shapes differ or a score is not finite.
    """
    if scores.shape != truth.shape or scores.ndim != 2 or not len(scores):
        raise InputError(f"scores of shape {scores.shape} for labels of shape {truth.shape}", "one (texts, labels) shape, not empty")
    if not np.isfinite(scores).all():
        raise InputError("a score that is not finite", "numbers", "lower the learning rate or regularise more")
    values = scores.astype(np.float64)
    pooled = _platt(values.ravel(), truth.ravel(), (1.0, 0.0), (1.0, 10.0))
    pairs = [_platt(values[:, j], truth[:, j], pooled, (SLOPE_SPREAD, OFFSET_SPREAD)) for j in range(values.shape[1])]
    slopes, offsets = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    probabilities = sigmoid(values * slopes + offsets)
    common = best_threshold(probabilities.ravel(), truth.ravel())
    own = np.array([_shrunk(probabilities[:, j], truth[:, j], common) for j in range(values.shape[1])])
    return Calibration(slopes=slopes, offsets=offsets, common=common, own=own)


def best_threshold(probabilities: Doubles, truth: Flags) -> float:
    """Return the threshold at which F1 is greatest, midway to the next lower probability; 0.5 without positives.

    Of several best the highest is taken, which tells the fewest.

    >>> best_threshold(np.array([0.9, 0.6, 0.4, 0.2]), np.array([True, False, True, False]))
    0.30000000000000004
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    values, hits = probabilities[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    f1 = 2 * hits[last] / (last + 1 + hits[-1])
    place = int(last[int(np.argmax(f1))])
    below = values[place + 1] if place + 1 < len(values) else 0.0
    return float((values[place] + below) / 2)


def _shrunk(probabilities: Doubles, truth: Flags, common: float) -> float:
    weight = truth.sum() / (truth.sum() + THRESHOLD_PRIOR)
    own = best_threshold(probabilities, truth)
    return float(sigmoid(np.array([weight * _logit(own) + (1 - weight) * _logit(common)]))[0])


def _logit(p: float) -> float:
    clipped = min(max(p, 1e-6), 1 - 1e-6)
    return float(np.log(clipped / (1 - clipped)))


def _platt(scores: Doubles, truth: Flags, centre: tuple[float, float], spread: tuple[float, float]) -> tuple[float, float]:
    """Return the slope and offset of greatest posterior, by Newton's method with halved steps; a slope is at least 0.05."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    precision = 1 / np.square(spread)
    origin = np.array(centre)

    def loss(pair: Doubles) -> float:
        z = design @ pair
        return float((np.logaddexp(0, z) - truth * z).sum() + 0.5 * (precision * np.square(pair - origin)).sum())

    pair = origin.astype(np.float64)
    now = loss(pair)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ pair)
        gradient = design.T @ (p - truth) + precision * (pair - origin)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and loss(pair - size * step) > now:
            size /= 2
        pair = pair - size * step
        before, now = now, loss(pair)
        if before - now < 1e-9 * max(1.0, abs(before)):
            break
    # A slope below zero would turn the ranking of a label upside down: with so few positives that is noise.
    return max(float(pair[0]), 0.05), float(pair[1])
