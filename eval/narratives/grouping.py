"""How far found narratives agree with true ones, with the figures that papers on clustering use, and what each takes noise for.

``b3``       B-cubed F1 over all documents: true background is one narrative a document, found noise one cluster a document
             (`greyzone.eval.metrics.bcubed`). The figure that punishes both too much noise and too much taken in.
``ari``      adjusted Rand index (Hubert and Arabie 1985) over documents that have a narrative, noise as one cluster a document.
``ami``      adjusted mutual information (Vinh, Epps and Bailey 2010), likewise, noise as one cluster: so many lone clusters would
             carry much chance agreement, which the adjustment takes off again.
``noise``    share of all documents in no narrative; ``taken in`` share of true background that was put into one, the price of
             attaching outliers.

Where documents may have several narratives, B-cubed is the extended one (Amigó et al. 2009): for two documents that share a cluster,
min(shared clusters, shared narratives) / shared clusters, averaged over those documents (itself among them) and then over all; recall
the same with the parts exchanged. Clusters are disjoint here, so a document with L narratives has a recall of at most 1/L of itself: the
figure of a perfect grouping is below 1. ARI and AMI have no such form and are left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import InputError
from greyzone.eval.metrics import BCubed, bcubed

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Truth = Ints | Flags
"""(n,) int64 narratives, -1 for background; or (n, narratives) bool where a document may have several."""

SAMPLE = 20_000
"""Documents with a narrative over which ARI and AMI are taken, at most: a fixed choice by seed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one grouping; None where one has no meaning: see the head of this file."""

    b3: float
    precision: float
    recall: float
    ari: float | None
    ami: float | None
    noise: float
    taken_in: float | None
    clusters: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the figures by name."""
        return asdict(self)


def score(truth: Truth, found: Ints) -> Figures:
    """Return the figures of the found narratives.

    Parameters
    ----------
    truth
        See `Truth`.
    found
        (n,) int64, -1 for noise.

    Raises
    ------
    InputError
        If the lengths differ or there are no documents.
    """
    b3 = b_cubed(truth, found)
    noise = float(np.mean(found < 0))
    clusters = len(np.unique(found[found >= 0]))
    if truth.ndim == 2:
        ari, ami = None, None
        outside = ~truth.any(axis=1)
    else:
        ari, ami = _adjusted(truth.astype(np.int64), found)
        outside = truth < 0
    taken_in = float(np.mean(found[outside] >= 0)) if outside.any() else None
    return Figures(b3.f1, b3.precision, b3.recall, ari, ami, noise, taken_in, clusters)


def b_cubed(truth: Truth, found: Ints) -> BCubed:
    """Return B-cubed over all documents, the extended one where documents may have several narratives."""
    return extended_bcubed(truth.astype(np.bool_), found) if truth.ndim == 2 else bcubed(truth, found)


def extended_bcubed(truth: Flags, found: Ints) -> BCubed:
    """Return extended B-cubed where documents may have several narratives; one without any is a narrative of its own.

    Takes time and memory by the pairs of documents that share a narrative or a cluster.

    Parameters
    ----------
    truth
        (n, narratives) bool.
    found
        (n,) int64, -1 for a cluster of its own.

    Raises
    ------
    InputError
        If the lengths differ or are 0.
    """
    n = len(truth)
    if n != len(found) or n == 0:
        raise InputError(f"{n} true and {len(found)} found labels", "one of each a document, at least one")
    outside = np.flatnonzero(~truth.any(axis=1))
    alone = sparse.csr_array((np.ones(len(outside)), (outside, np.arange(len(outside)))), shape=(n, len(outside)))
    told = sparse.hstack([sparse.csr_array(truth.astype(np.float64)), alone]).tocsr()
    label = separate_noise(found)
    put = sparse.csr_array((np.ones(n), (np.arange(n), label)), shape=(n, int(label.max()) + 1))
    same_told, same_put = (told @ told.T).tocsr(), (put @ put.T).tocsr()
    both = same_told.minimum(same_put).tocsr()
    precision = _mean_of_pairs(both, same_put)
    recall = _mean_of_pairs(both, same_told)
    return BCubed(precision, recall, 2 * precision * recall / (precision + recall))


def agreement(one: Ints, other: Ints) -> float:
    """Return the adjusted Rand index of two groupings of the same documents, noise as one cluster a document in both."""
    return _rand(separate_noise(one), separate_noise(other))


def separate_noise(labels: Ints) -> Ints:
    """Return labels from 0 on in which every -1 has a number of its own."""
    values, codes = np.unique(labels, return_inverse=True)
    codes = codes.astype(np.int64)
    noise = labels < 0
    codes[noise] = len(values) + np.arange(int(noise.sum()))
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)


def _adjusted(truth: Ints, found: Ints) -> tuple[float | None, float | None]:
    from sklearn.metrics import adjusted_mutual_info_score

    inside = np.flatnonzero(truth >= 0)
    if not len(inside):
        return None, None
    if len(inside) > SAMPLE:
        inside = np.sort(np.random.default_rng(0).choice(inside, SAMPLE, replace=False))
    truth, found = truth[inside], found[inside]
    return _rand(truth, separate_noise(found)), float(adjusted_mutual_info_score(truth, found))


def _rand(one: Ints, other: Ints) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))


def _mean_of_pairs(both: sparse.csr_array, against: sparse.csr_array) -> float:
    """Return the mean over rows of the mean, over the entries of `against`, of both / against."""
    ratio = against.copy()
    ratio.data = 1.0 / ratio.data
    each = np.asarray(both.multiply(ratio).sum(axis=1)).ravel() / np.diff(against.indptr)
    return float(each.mean())
