"""`NarrativeClusterer`, the scikit-learn estimator over the other files; the steps are at the head of `greyzone.cluster`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from greyzone.cluster.graph import neighbour_graph
from greyzone.cluster.hierarchy import Neighbours, base_similarity
from greyzone.cluster.joining import Fitted, add_rows, among, take_in
from greyzone.cluster.levels import Rule, centroids, cosine_with, find_levels
from greyzone.errors import InputError
from greyzone.neighbours import Ints, distinct_rows, taken, unit_rows
from greyzone.records import Floats

logger = logging.getLogger(__name__)

LEVELS = ("story", "narrative", "theme")
"""Levels of the hierarchy, the columns of `hierarchy_`."""


class NarrativeClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Group unit rows into narratives of any size, leaving background as noise.

    Parameters
    ----------
    min_cluster_size
        Fewest documents (weight) of a narrative.
    n_neighbors
        Edges of a row in the neighbour graph.
    duplicates
        Cosine from which rows are near-duplicates of a leader.
    linkage
        "average" (mean cosine of all pairs) or "density" (HDBSCAN's mutual reachability).
    min_samples
        Only for "density": rows in the neighbourhood whose radius is a row's core distance, the row itself counted (as scikit-learn
        does; hdbscan does not count it).
    selection
        "eom" (excess of mass) or "leaf".
    closure
        Share of its members' neighbours, by similarity mass, that a narrative must hold; 0 asks for none.
    cohesion
        How far the members of a narrative are alike on average, 0 as texts that share a subject in this corpus (`base_`), 1 as copies;
        -1 asks for none.
    contrast
        How far they are more alike than with the next narrative, 0 not at all, 1 entirely; -1 asks for none.
    attach
        Share of an outlier's similarity mass that a narrative must hold to take it in; a member of which it holds less than the rest
        (or than `attach`, if that is less) is let go. 1 attaches none and lets none go.
    level
        "story", "narrative" or "theme": the level of `labels_`.
    allow_single_cluster
        Let all rows be one narrative when the hierarchy does not split.
    device
        "auto", "cpu" or "cuda": where many rows are searched for neighbours.

    Attributes
    ----------
    labels_
        (n,) int64 narrative of each row, 0 the largest; -1 is noise. Zero rows are always noise, equal rows always together.
    hierarchy_
        (n, 3) int64 story, narrative and theme of each row, numbered by size; -1 for none. A story lies within one narrative, a
        narrative within one theme. Documents of a theme need not be in a narrative.
    probabilities_
        (n,) float32 in [0, 1]: strength of membership of its narrative in the hierarchy, for attached rows the share of mass; 0 for
        none.
    leaders_
        (n,) int64 index of the row that each row nearly repeats, its own for leaders, zero rows and rows of weight 0.
    base_
        Cosine of two rows that only share a subject.
    centroids_
        (n_clusters, d) float32 unit rows: mean of the distinct rows of each label.
    medoids_
        (n_clusters,) int64 index of the row nearest to each centroid.
    n_features_in_
        Width of the rows seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.repeat(np.eye(2), 6, axis=0)
    >>> NarrativeClusterer().fit(rows).labels_.tolist()
    [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "min_cluster_size": [Interval(Integral, 2, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "duplicates": [Interval(Real, 0, 1, closed="right")],
        "linkage": [StrOptions({"average", "density"})],
        "min_samples": [Interval(Integral, 1, None, closed="left")],
        "selection": [StrOptions({"eom", "leaf"})],
        "closure": [Interval(Real, 0, 1, closed="both")],
        "cohesion": [Interval(Real, -1, 1, closed="both")],
        "contrast": [Interval(Real, -1, 1, closed="both")],
        "attach": [Interval(Real, 0, 1, closed="both")],
        "level": [StrOptions(set(LEVELS))],
        "allow_single_cluster": ["boolean"],
        "device": [str],
    }

    def __init__(
        self,
        *,
        min_cluster_size: int = 5,
        n_neighbors: int = 16,
        duplicates: float = 0.97,
        linkage: str = "average",
        min_samples: int = 3,
        selection: str = "eom",
        closure: float = 0.75,
        cohesion: float = 0.2,
        contrast: float = 0.2,
        attach: float = 0.8,
        level: str = "narrative",
        allow_single_cluster: bool = False,
        device: str = "auto",
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.n_neighbors = n_neighbors
        self.duplicates = duplicates
        self.linkage = linkage
        self.min_samples = min_samples
        self.selection = selection
        self.closure = closure
        self.cohesion = cohesion
        self.contrast = contrast
        self.attach = attach
        self.level = level
        self.allow_single_cluster = allow_single_cluster
        self.device = device

    def fit(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002, N803
        """Find the narratives among the rows of `X`.

        Parameters
        ----------
        X
            (n, d) numbers; rows are scaled to norm 1. No rows give no narratives.
        y
            Not used.
        sample_weight
            (n,) whole numbers >= 0: how many documents a row stands for (1 each without it). Rows of weight 0 are noise.

        Returns
        -------
        NarrativeClusterer
            Itself.

        Raises
        ------
        InputError
            If a weight is negative or not whole.
        ValueError
            If `X` is not a matrix of finite numbers, all weights are 0, or a parameter is out of its range.
        """
        self._validate_params()
        data = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=0)
        self._settle(self._first(data, sample_weight))
        return self

    def _first(self, data: npt.NDArray[np.floating], sample_weight: npt.ArrayLike | None) -> Fitted:
        """Return what is known of the first rows."""
        used, rows, count, inverse = _distinct(data, sample_weight)
        graph = neighbour_graph(rows, self.n_neighbors, duplicates=self.duplicates, device=self.device)
        size = np.bincount(graph.follows, weights=count, minlength=len(graph.chosen)).astype(np.int64)
        rows = taken(rows, graph.chosen)
        neighbours = Neighbours(graph.indices, graph.similarities)
        self.base_ = base_similarity(rows)
        levels, strength = find_levels(rows, size, neighbours, self._rule())
        follows = np.full(len(data), -1, dtype=np.int64)
        follows[used] = graph.follows[inverse]
        return Fitted(rows, size, levels, strength, neighbours, _origins(follows, len(rows)), follows, graph.lists, graph.home)

    def partial_fit(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002, N803
        """Let the rows of `X` join those fitted so far: their attributes then stand after those of the earlier rows.

        Rows join narratives or found new ones (`joining`); narratives that are there neither merge nor split until the next
        `fit`. The cost grows with `X`, but for a small part for each known row. Without an earlier fit this is `fit`. Parameters, return
        value and errors are those of `fit`.
        """
        if not hasattr(self, "_fitted"):
            return self.fit(X, sample_weight=sample_weight)
        self._validate_params()
        data = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=0, reset=False)
        known = self._fitted
        if not len(known.rows):
            grown = self._first(data, sample_weight)
            follows = grown.follows
        else:
            used, rows, count, inverse = _distinct(data, sample_weight)
            grown, leader = add_rows(known, rows, count, self.n_neighbors, duplicates=self.duplicates, device=self.device)
            grown = self._grown(grown, np.arange(len(known.rows), len(grown.rows)))
            follows = np.full(len(data), -1, dtype=np.int64)
            follows[used] = leader[inverse]
        follows = np.concatenate([known.follows, follows])
        self._settle(replace(grown, follows=follows, origin=_origins(follows, len(grown.rows))))
        return self

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return parameters and all that `partial_fit` needs as arrays without objects; `from_arrays` reads them.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is nothing to keep yet.
        """
        check_is_fitted(self)
        told = json.dumps({"params": self.get_params(), "base": self.base_, "features": self.n_features_in_}).encode()
        return {"told": np.frombuffer(told, dtype=np.uint8), **self._fitted.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Return the clusterer that `to_arrays` took apart."""
        told = json.loads(arrays["told"].tobytes())
        made = cls(**told["params"])
        made.base_, made.n_features_in_ = told["base"], told["features"]
        made._settle(Fitted.from_arrays(arrays))
        return made

    def _rule(self) -> Rule:
        params = self.get_params()
        return Rule(base=self.base_, **{item.name: params[item.name] for item in fields(Rule) if item.name != "base"})

    def _grown(self, known: Fitted, fresh: Ints) -> Fitted:
        """Return `known` with a place for the `fresh` leaders and the outliers beside them."""
        rule = self._rule()
        known, waiting = take_in(known, fresh, rule)
        if not len(waiting):
            return known
        part, outside = among(known.neighbours, waiting)
        born, strength = find_levels(known.rows[waiting], known.size[waiting], part, rule, outside=outside)
        levels, old = known.levels.copy(), known.strength.copy()
        found = born[:, 1] >= 0
        # Numbers above those in use: what is born is new on every level.
        levels[waiting[found]] = np.where(born[found] >= 0, born[found] + levels.max(axis=0) + 1, -1)
        old[waiting[found]] = strength[found]
        return replace(known, levels=levels, strength=old)

    def _settle(self, fitted: Fitted) -> None:
        """Keep what is known of the leaders, and give every row what its leader has."""
        levels = np.column_stack([_by_size(level, fitted.size) for level in fitted.levels.T])
        self._fitted = fitted = replace(fitted, levels=levels)
        label, leader, used = levels[:, LEVELS.index(self.level)], fitted.follows, np.flatnonzero(fitted.follows >= 0)
        count = len(leader)
        self.hierarchy_ = np.full((count, len(LEVELS)), -1, dtype=np.int64)
        self.hierarchy_[used] = levels[leader[used]]
        self.labels_ = self.hierarchy_[:, LEVELS.index(self.level)].copy()
        self.probabilities_ = np.zeros(count, dtype=np.float32)
        self.probabilities_[used] = np.where(levels[:, 1] >= 0, fitted.strength, 0.0)[leader[used]]
        self.leaders_ = np.arange(count)
        self.leaders_[used] = fitted.origin[leader[used]]
        self.centroids_ = centroids(fitted.rows, label)
        self.medoids_ = fitted.origin[_medoids(fitted.rows, label, self.centroids_)]
        logger.info(
            "%d rows, %d leaders: %d narratives, %d rows in none",
            *(count, len(fitted.rows), levels[:, 1].max(initial=-1) + 1, (self.hierarchy_[:, 1] < 0).sum()),
        )


def _distinct(data: npt.NDArray[np.floating], sample_weight: npt.ArrayLike | None) -> tuple[Ints, Floats, Ints, Ints]:
    """Return the rows that count, their distinct unit rows in content order, how many documents each is, and the place of each row."""
    weight = _weights(sample_weight, data)
    rows = unit_rows(data)
    used = np.flatnonzero((np.vecdot(rows, rows) > 0) & (weight > 0))
    if len(used) < len(rows):
        rows = taken(rows, used)
    first, inverse = distinct_rows(rows)
    return used, taken(rows, first), np.bincount(inverse, weights=weight[used], minlength=len(first)).astype(np.int64), inverse


def _origins(follows: Ints, leaders: int) -> Ints:
    """Return the first input row that follows each leader."""
    used = np.flatnonzero(follows >= 0)
    found = np.full(leaders, -1, dtype=np.int64)
    # Later assignments win, so that going backwards leaves the first.
    found[follows[used[::-1]]] = used[::-1]
    return found


def _weights(sample_weight: npt.ArrayLike | None, data: npt.NDArray[np.floating]) -> Ints:
    if sample_weight is None or not len(data):
        return np.ones(len(data), dtype=np.int64)
    weight = np.asarray(_check_sample_weight(sample_weight, data, dtype=np.float64))
    wrong = weight[(weight < 0) | (weight != np.floor(weight))]
    if len(wrong):
        raise InputError(f"a sample weight of {wrong[0]:g}", "whole numbers >= 0", "weights count the documents of a row")
    return weight.astype(np.int64)


def _by_size(label: Ints, count: Ints) -> Ints:
    """Order the labels by documents, largest first; equal ones by their first row in content order."""
    inside = label >= 0
    if not inside.any():
        return label
    _, first, number = np.unique(label[inside], return_index=True, return_inverse=True)
    size = np.bincount(number, weights=count[inside])
    place = np.empty(len(size), dtype=np.int64)
    place[np.lexsort((first, -size))] = np.arange(len(size))
    found = np.full(len(label), -1, dtype=np.int64)
    found[inside] = place[number]
    return found


def _medoids(rows: Floats, label: Ints, centroids: Floats) -> Ints:
    inside = np.flatnonzero(label >= 0)
    cosine = cosine_with(rows, inside, centroids, label[inside])
    order = np.lexsort((inside, -cosine, label[inside]))
    _, first = np.unique(label[inside][order], return_index=True)
    return inside[order[first]]
