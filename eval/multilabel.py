"""How well sets of labels were told: F1 in its three averages, average precision and calibration, with intervals.

With tp, fp and fn counted per label over n texts, F1 = 2 tp / (2 tp + fp + fn). *Micro* sums the counts over labels first, *macro* is the
mean of the labels' F1, *samples* the mean over texts of the F1 of their label sets. Where nothing is true and nothing told, F1 is 0 for
a label and `empty` for a text (scikit-learn's default is 0 for both), so a label that was refused counts as a miss, never as absent.

Intervals are percentiles over resampled groups (Efron 1979; the group is the unit because texts of one article are alike): counts are
summed per group, so that a draw is a product of weights and counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.metrics import average_precision, ece

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Interval = tuple[float, float]

DRAWS = 1000
"""Resamples of an interval; the third digit of its ends is then still noise."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Figures of one label; `average_precision` is None without positives, `ece` None without probabilities."""

    label: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    interval: Interval
    average_precision: float | None
    ece: float | None


@dataclass(frozen=True, slots=True)
class MultilabelScores:
    """Figures over all labels; an `..._interval` is the 95 % interval; `ece` is None without probabilities."""

    texts: int
    micro_f1: float
    micro_interval: Interval
    macro_f1: float
    macro_interval: Interval
    samples_f1: float
    ece: float | None
    labels: tuple[LabelScore, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """A row of a reliability table: texts whose probability lies in [low, high), the mean of it, and how often the label was there."""

    low: float
    high: float
    count: int
    probability: float
    frequency: float


def multilabel_scores(
    truth: Flags,
    decided: Flags,
    probabilities: Doubles | None,
    labels: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    empty: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> MultilabelScores:
    """Return all figures.

    Parameters
    ----------
    truth, decided
        (texts, labels) whether a label is there, and whether it was told.
    probabilities
        (texts, labels) in [0, 1]; a column of NaN stands for a label that was refused.
    labels
        Names of the columns.
    groups
        (texts,) what is resampled together; each text by itself if not given.
    empty
        F1 of a text that has no label and was told none.
    draws, seed
        Of the intervals; no draws give intervals of (nan, nan).

    Raises
    ------
    InputError
        If shapes differ, nothing is given, or a probability lies outside [0, 1].
    """
    truth, decided = np.asarray(truth, dtype=np.bool_), np.asarray(decided, dtype=np.bool_)
    shapes = {truth.shape, decided.shape} | ({probabilities.shape} if probabilities is not None else set())
    if len(shapes) != 1 or truth.ndim != 2 or truth.shape[1] != len(labels) or 0 in truth.shape:
        raise InputError(f"arrays of shapes {sorted(shapes)} and {len(labels)} labels", "one (texts, labels) shape, not empty")
    counts = np.stack([(truth & decided), (~truth & decided), (truth & ~decided)]).astype(np.float64)
    places = _codes(groups, len(truth))
    drawn = _draws(counts, places, draws, seed)
    total = counts.sum(axis=1)
    f1 = _f1(*total)
    f1_drawn = _f1(*np.moveaxis(drawn, 1, 0))
    rows = counts.sum(axis=2)
    found = [
        LabelScore(
            label=label,
            support=int(truth[:, j].sum()),
            predicted=int(decided[:, j].sum()),
            precision=float(total[0, j] / max(1.0, total[0, j] + total[1, j])),
            recall=float(total[0, j] / max(1.0, total[0, j] + total[2, j])),
            f1=float(f1[j]),
            interval=_interval(f1_drawn[:, j]),
            average_precision=_precision(truth[:, j], probabilities, j),
            ece=_label_ece(truth[:, j], probabilities, j),
        )
        for j, label in enumerate(labels)
    ]
    return MultilabelScores(
        texts=len(truth),
        micro_f1=float(_f1(*total.sum(axis=1))),
        micro_interval=_interval(_f1(*drawn.sum(axis=2).T)),
        macro_f1=float(f1.mean()),
        macro_interval=_interval(f1_drawn.mean(axis=1)),
        samples_f1=float(_f1(rows[0], rows[1], rows[2], empty).mean()),
        ece=_pooled_ece(truth, probabilities),
        labels=tuple(found),
    )


def reliability(truth: Flags, probabilities: Doubles, *, bins: int = 10) -> tuple[Bin, ...]:
    """Return the reliability table over bins of equal width; empty bins are left out, and so are columns of NaN.

    Raises
    ------
    InputError
        If shapes differ or a probability lies outside [0, 1].
    """
    marks, values = _told(np.asarray(truth, dtype=np.bool_), np.asarray(probabilities, dtype=np.float64))
    ece(marks, values)
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    return tuple(
        Bin(j / bins, (j + 1) / bins, int(here.sum()), float(values[here].mean()), float(marks[here].mean()))
        for j in range(bins)
        if (here := place == j).any()
    )


def _f1(tp: Doubles, fp: Doubles, fn: Doubles, empty: float = 0.0) -> Doubles:
    both = 2 * tp + fp + fn
    found: Doubles = np.where(both > 0, 2 * tp / np.where(both > 0, both, 1.0), empty)
    return found


def _draws(counts: Doubles, places: npt.NDArray[np.int64], draws: int, seed: int) -> Doubles:
    """Return (draws, 3, labels) counts of resampled groups."""
    n_groups = int(places.max()) + 1
    summed = np.zeros((n_groups, 3, counts.shape[2]))
    np.add.at(summed, places, np.moveaxis(counts, 0, 1))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(np.float64)
    found: Doubles = (weights @ summed.reshape(n_groups, -1)).reshape(draws, 3, counts.shape[2])
    return found


def _interval(values: Doubles) -> Interval:
    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high))


def _codes(groups: Sequence[Hashable] | None, n: int) -> npt.NDArray[np.int64]:
    if groups is None:
        return np.arange(n, dtype=np.int64)
    if len(groups) != n:
        raise InputError(f"{len(groups)} groups for {n} texts", "one a text")
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(group, len(numbers)) for group in groups), np.int64, n)


def _precision(truth: Flags, probabilities: Doubles | None, column: int) -> float | None:
    if probabilities is None or not truth.any() or np.isnan(probabilities[:, column]).any():
        return None
    return average_precision(truth, probabilities[:, column])


def _label_ece(truth: Flags, probabilities: Doubles | None, column: int) -> float | None:
    if probabilities is None or np.isnan(probabilities[:, column]).any():
        return None
    return ece(truth, probabilities[:, column])


def _pooled_ece(truth: Flags, probabilities: Doubles | None) -> float | None:
    if probabilities is None or np.isnan(probabilities).all():
        return None
    return ece(*_told(truth, probabilities))


def _told(truth: Flags, probabilities: Doubles) -> tuple[Flags, Doubles]:
    if truth.shape != probabilities.shape:
        raise InputError(f"arrays of shapes {truth.shape} and {probabilities.shape}", "one shape")
    there = ~np.isnan(probabilities)
    return truth[there], probabilities[there]
