"""Figures that say how far a result is from known truth.

B-cubed (Bagga and Baldwin 1998; extended tests in Amigó et al. 2009) is the mean over documents of the share of a document's cluster
that is of its narrative (precision), and of its narrative that is in its cluster (recall). With n_tc documents of narrative t in
cluster c, P = sum n_tc^2 / n_c / N and R = sum n_tc^2 / n_t / N, so that the non-empty cells of the contingency table suffice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError

Labels = Sequence[Hashable] | npt.NDArray[np.generic]
"""One label a document; None and -1 mean "of no cluster"."""


@dataclass(frozen=True, slots=True)
class BCubed:
    """B-cubed precision, recall and their harmonic mean, each in [0, 1]."""

    precision: float
    recall: float
    f1: float

    def __iter__(self) -> Iterator[float]:
        """Unpack as precision, recall, f1."""
        return iter((self.precision, self.recall, self.f1))


@dataclass(frozen=True, slots=True)
class Recovery:
    """How well a true group was found: its best match among the found groups by Jaccard index."""

    match: str | None
    jaccard: float
    recall: float
    precision: float


def bcubed(truth: Labels, predicted: Labels, *, subset: npt.NDArray[np.bool_] | None = None) -> BCubed:
    """Return B-cubed precision, recall and F1.

    Parameters
    ----------
    truth
        (n,) true labels; every None or -1 is a narrative of its own.
    predicted
        (n,) found labels; every None or -1 is a cluster of its own.
    subset
        (n,) documents to average over, all if not given. Clusters are counted over all documents either way.

    Raises
    ------
    InputError
        If the lengths differ or nothing is left to average over.
    """
    if len(truth) != len(predicted):
        raise InputError(f"{len(truth)} true and {len(predicted)} found labels", "one of each a document")
    if len(truth) == 0 or (subset is not None and not bool(np.any(subset))):
        raise InputError("no documents to compare", "at least one")
    rows, columns = _codes(truth), _codes(predicted)
    width = int(columns.max()) + 1
    _, inverse, cells = np.unique(rows * width + columns, return_inverse=True, return_counts=True)
    shared = cells[inverse].astype(np.float64)
    precision = shared / np.bincount(columns)[columns]
    recall = shared / np.bincount(rows)[rows]
    chosen = slice(None) if subset is None else np.asarray(subset, dtype=np.bool_)
    p, r = float(precision[chosen].mean()), float(recall[chosen].mean())
    return BCubed(p, r, 2 * p * r / (p + r))


def group_recovery(truth: Mapping[str, AbstractSet[str]], found: Mapping[str, AbstractSet[str]]) -> dict[str, Recovery]:
    """Return the best match of each true group; ties go to the smaller id."""
    result = {}
    for key in sorted(truth):
        accounts = truth[key]
        best = Recovery(None, 0.0, 0.0, 0.0)
        for candidate in sorted(found):
            common = len(accounts & found[candidate])
            if common == 0:
                continue
            jaccard = common / len(accounts | found[candidate])
            if jaccard > best.jaccard:
                best = Recovery(candidate, jaccard, common / len(accounts), common / len(found[candidate]))
        result[key] = best
    return result


def average_precision(relevant: Sequence[bool] | npt.NDArray[np.bool_], scores: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return the mean precision at each gain of recall; equal scores count as one step, so their order cannot matter.

    Raises
    ------
    InputError
        If the lengths differ or nothing is relevant.
    """
    marks, values = np.asarray(relevant, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    if marks.shape != values.shape:
        raise InputError(f"{marks.size} marks and {values.size} scores", "one of each an item")
    if not marks.any():
        raise InputError("nothing relevant to rank", "at least one relevant item")
    order = np.argsort(-values, kind="stable")
    marks, values = marks[order], values[order]
    last = np.append(np.flatnonzero(np.diff(values)), values.size - 1)
    hits = np.cumsum(marks)[last]
    gains = np.diff(np.concatenate([[0], hits])) / hits[-1]
    return float(np.sum(gains * hits / (last + 1)))


def ece(
    outcomes: Sequence[bool] | npt.NDArray[np.bool_], probabilities: Sequence[float] | npt.NDArray[np.float64], *, bins: int = 10
) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al. 2017).

    Raises
    ------
    InputError
        If the lengths differ, nothing is given, or a probability lies outside [0, 1].
    """
    truth, p = np.asarray(outcomes, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if truth.shape != p.shape or p.size == 0:
        raise InputError(f"{truth.size} outcomes and {p.size} probabilities", "one of each, at least one")
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise InputError("a probability outside 0..1", "probabilities")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=p - truth, minlength=bins)
    return float(np.abs(gap).sum() / p.size)


def _codes(labels: Labels) -> npt.NDArray[np.int64]:
    """Return a number from 0 on for each label, and a number of its own for each None and -1."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        values, codes = np.unique(labels, return_inverse=True)
        codes = codes.astype(np.int64)
        alone = labels == -1
        first = len(values)
    else:
        numbers: dict[Hashable, int] = {}
        codes = np.fromiter((numbers.setdefault(label, len(numbers)) for label in labels), np.int64, len(labels))
        alone = np.zeros(len(labels), dtype=np.bool_)
        for noise in (None, -1):
            if noise in numbers:
                alone |= codes == numbers[noise]
        first = len(numbers)
    codes[alone] = first + np.arange(int(alone.sum()))
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)
