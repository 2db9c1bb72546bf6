"""Documents' vectors to narratives: near-duplicates, neighbour graph, HDBSCAN hierarchy, merging, attaching.

1. Rows at cosine >= `duplicates` follow a leader (no chains). Copies make dense cores of their own that tear narratives apart.
2. The exact `n_neighbors` of each leader, and mutual reachability max(core_i, core_j, 1 - cos_ij) on these edges (Campello, Moulavi
   and Sander 2013), where core_i is the distance to the `min_samples`-th nearest leader, the leader itself counted.
3. Minimum spanning tree; components of the graph are joined at their true distance. Followers and weights hang on their leader at its
   core distance, so that sizes count documents.
4. hdbscan's condensed tree, and clusters by excess of mass or the leaves. A cluster must hold together: the mean cosine between its
   leaders, as a share of what lies between 1 and the `BASE_QUANTILE` of the whole corpus, is at least `cohesion`. Excess of mass weighs
   by density alone, and would else take all the background for one large narrative; where it fails, its parts are asked.
5. Density alone splits one story into its wordings: clusters are merged, nearest pair first, while the cosine of their centroids is at
   least `merge`. Centroids are taken about the common point of the corpus (the mean of the clusters and the outliers, each counted
   once), so that a threshold means the same for encoders whose vectors all lean one way.
6. An outlier joins the narrative that holds more than `attach` of the similarity mass exp((cos - 1) / 0.1) of its neighbours, unless
   it lies farther from the centroid than `STRETCH` times the radius that holds nine tenths of the members.

Leaders stand in an order of their content and edges in the order (distance, i, j): neither the order of the rows nor the number of
threads leaves a trace. Cost is n^2 d: 20 k rows take seconds, 100 k minutes, and memory stays bounded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from hdbscan import _hdbscan_linkage, _hdbscan_tree
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from greyzone.errors import InputError
from greyzone.neighbours import DECIMALS, Doubles, Ints, distinct_rows, leaders, nearest, nearest_outside, unit_rows
from greyzone.records import Floats

logger = logging.getLogger(__name__)

MASS_SCALE = 0.1
"""Scale of the similarity mass exp((cos - 1) / MASS_SCALE) of a neighbour."""

STRETCH = 1.5
"""An outlier may lie this many radii from the centroid: to have no other narrative near is not to have a home."""

BASE_QUANTILE = 0.05
"""Quantile of the cosines of leaders taken at random that counts as having nothing in common: low, so that a corpus of one story has
a base too, and from the corpus, since some encoders give any two texts a high cosine."""

BASE_PAIRS = 100_000
"""About how many pairs of leaders that quantile is taken over."""

RADIUS_QUANTILE = 0.9
"""Share of the members within the radius; the hierarchy leaves some background in a narrative, which must not draw in more."""


@dataclass(frozen=True, slots=True)
class _Edges:
    """Edges between leaders: ends and mutual-reachability distance."""

    left: Ints
    right: Ints
    distance: Doubles


class NarrativeClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Group unit rows into narratives of any size, leaving background as noise.

    Parameters
    ----------
    min_cluster_size
        Fewest documents (weight) of a narrative.
    min_samples
        Rows in the neighbourhood whose radius is a row's core distance, the row itself counted (as scikit-learn does; hdbscan
        does not count it).
    n_neighbors
        Edges of a row in the neighbour graph.
    duplicates
        Cosine from which rows are near-duplicates of a leader.
    selection
        "eom" (excess of mass) or "leaf".
    cohesion
        How far the members of a narrative are alike, 0 as two texts with nothing in common, 1 as copies; -1 asks for none.
    merge
        Cosine of two clusters' centroids, about the common point of the corpus, from which they are one narrative; 1 merges none.
    attach
        Share of an outlier's similarity mass that a narrative must hold to take it in; 1 attaches none.
    allow_single_cluster
        Let all rows be one narrative when the hierarchy does not split.

    Attributes
    ----------
    labels_
        (n,) int64 narrative of each row, 0 the largest; -1 is noise. Zero rows are always noise, equal rows always together.
    probabilities_
        (n,) float32 in [0, 1]: strength of membership in the density hierarchy, for attached rows the share of mass; 0 for noise.
    centroids_
        (n_clusters, d) float32 unit rows: mean of each narrative's distinct rows.
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
        "min_samples": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "duplicates": [Interval(Real, 0, 1, closed="right")],
        "selection": [StrOptions({"eom", "leaf"})],
        "cohesion": [Interval(Real, -1, 1, closed="both")],
        "merge": [Interval(Real, -1, 1, closed="both")],
        "attach": [Interval(Real, 0, 1, closed="both")],
        "allow_single_cluster": ["boolean"],
    }

    def __init__(
        self,
        *,
        min_cluster_size: int = 5,
        min_samples: int = 3,
        n_neighbors: int = 16,
        duplicates: float = 0.97,
        selection: str = "eom",
        cohesion: float = 0.25,
        merge: float = 0.6,
        attach: float = 0.55,
        allow_single_cluster: bool = False,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.n_neighbors = n_neighbors
        self.duplicates = duplicates
        self.selection = selection
        self.cohesion = cohesion
        self.merge = merge
        self.attach = attach
        self.allow_single_cluster = allow_single_cluster

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
        weight = _weights(sample_weight, data)
        rows = unit_rows(data)
        used = np.flatnonzero(rows.any(axis=1) & (weight > 0))
        first, inverse = distinct_rows(rows[used])
        distinct = rows[used][first]
        count = np.bincount(inverse, weights=weight[used], minlength=len(first)).astype(np.int64)
        label, probability = self._fit_distinct(distinct, count)
        label = _by_size(label, count)

        self.labels_ = np.full(len(rows), -1, dtype=np.int64)
        self.labels_[used] = label[inverse]
        self.probabilities_ = np.zeros(len(rows), dtype=np.float32)
        self.probabilities_[used] = np.where(label >= 0, probability, 0.0)[inverse]
        self.centroids_ = _centroids(distinct, label)
        self.medoids_ = used[first[_medoids(distinct, label, self.centroids_)]]
        logger.info("%d rows, %d distinct: %d narratives, %d noise", len(rows), len(first), len(self.centroids_), (self.labels_ < 0).sum())
        return self

    def _fit_distinct(self, rows: Floats, count: Ints) -> tuple[Ints, Doubles]:
        """Label distinct rows that stand for `count` documents each."""
        if not len(rows):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
        chosen, follows = np.unique(leaders(rows, self.duplicates), return_inverse=True)
        led = rows[chosen]
        size = np.bincount(follows, weights=count, minlength=len(chosen)).astype(np.int64)
        if len(led) == 1:
            label = np.full(1, 0 if size[0] >= self.min_cluster_size else -1, dtype=np.int64)
            return label[follows], np.ones(len(rows))
        indices, similarities = nearest(led, self.n_neighbors)
        core = _core_distances(similarities, self.min_samples)
        tree = _spanning_tree(led, indices, 1.0 - similarities, core)
        label, probability = self._select(tree, core, size, led)
        label = _merge(led, label, self.merge)
        label, probability = _attach(led, label, probability, (indices, similarities), self.attach)
        return label[follows], probability[follows]

    def _select(self, tree: _Edges, core: Doubles, size: Ints, rows: Floats) -> tuple[Ints, Doubles]:
        """Cut the hierarchy of `tree`, each leader standing for `size` documents."""
        n = len(core)
        owner = np.repeat(np.arange(n), size - 1)
        left = np.concatenate([owner, tree.left])
        right = np.concatenate([n + np.arange(len(owner)), tree.right])
        distance = np.concatenate([core[owner], tree.distance])
        order = np.argsort(distance, kind="stable")
        linkage = _hdbscan_linkage.label(np.column_stack([left, right, distance])[order].astype(np.float64))
        condensed = _hdbscan_tree.condense_tree(linkage, self.min_cluster_size)
        stability = _hdbscan_tree.compute_stability(condensed)
        if self.cohesion > -1:
            base = _base(rows)
            for cluster, alike in _cohesions(condensed, rows, len(core) + len(owner)).items():
                if alike < base + self.cohesion * (1.0 - base):
                    # Below the sum over no parts at all: excess of mass then never takes it.
                    stability[cluster] = -1.0
        label, probability, _ = _hdbscan_tree.get_clusters(condensed, stability, self.selection, self.allow_single_cluster)
        return np.asarray(label[:n], dtype=np.int64), np.clip(np.nan_to_num(probability[:n]), 0.0, 1.0)


def _weights(sample_weight: npt.ArrayLike | None, data: npt.NDArray[np.floating]) -> Ints:
    if sample_weight is None or not len(data):
        return np.ones(len(data), dtype=np.int64)
    weight = np.asarray(_check_sample_weight(sample_weight, data, dtype=np.float64))
    wrong = weight[(weight < 0) | (weight != np.floor(weight))]
    if len(wrong):
        raise InputError(f"a sample weight of {wrong[0]:g}", "whole numbers >= 0", "weights count the documents of a row")
    return weight.astype(np.int64)


def _core_distances(similarities: Doubles, min_samples: int) -> Doubles:
    if min_samples == 1:
        return np.zeros(len(similarities))
    return 1.0 - similarities[:, min(min_samples - 2, similarities.shape[1] - 1)]


def _spanning_tree(rows: Floats, indices: Ints, distance: Doubles, core: Doubles) -> _Edges:
    """Return the minimum spanning tree of the neighbour graph under mutual reachability, its components joined."""
    n, k = indices.shape
    own, other = np.repeat(np.arange(n), k), indices.ravel()
    reach = np.maximum(np.maximum(core[own], core[other]), distance.ravel())
    edges = _ranked(_Edges(np.minimum(own, other), np.maximum(own, other), reach), n)
    tree = _minimum(edges, n)
    while True:
        parts, component = _components(tree, n)
        if parts == 1:
            return tree
        largest = int(np.bincount(component).argmax())
        queries = np.flatnonzero(component != largest)
        target, outside = nearest_outside(rows, queries, component, core)
        order = np.lexsort((np.maximum(queries, target), np.minimum(queries, target), outside, component[queries]))
        _, first = np.unique(component[queries][order], return_index=True)
        kept = order[first]
        left, right = queries[kept], target[kept]
        joined = _Edges(
            np.concatenate([tree.left, np.minimum(left, right)]),
            np.concatenate([tree.right, np.maximum(left, right)]),
            np.concatenate([tree.distance, outside[kept]]),
        )
        tree = _minimum(_ranked(joined, n), n)


def _base(rows: Floats) -> float:
    """Return the `BASE_QUANTILE` of the cosines between leaders, over pairs at fixed strides in content order."""
    n = len(rows)
    strides = [stride for stride in range(1, n) if stride <= max(1, BASE_PAIRS // n)] if n < BASE_PAIRS else [n // 2]
    every = np.arange(n)
    found = [_cosine_with(rows, every, rows, (every + n // 2 + stride) % n) for stride in strides if (n // 2 + stride) % n]
    return float(np.quantile(np.concatenate(found), BASE_QUANTILE)) if found else 0.0


def _cohesions(condensed: npt.NDArray[np.void], rows: Floats, points: int) -> dict[int, float]:
    """Return the mean cosine between the leaders under each cluster of a condensed tree over `points`; lone leaders have 1."""
    parent, child = condensed["parent"].astype(np.int64), condensed["child"].astype(np.int64)
    clusters = int(parent.max()) - points + 1
    total, members = np.zeros((clusters, rows.shape[1])), np.zeros(clusters)
    # Copies hang on their leader and say nothing on whether the cluster holds together.
    leading = np.flatnonzero(child < len(rows))
    order = leading[np.lexsort((child[leading], parent[leading]))]
    np.add.at(total, parent[order] - points, rows[child[order]].astype(np.float64))
    np.add.at(members, parent[order] - points, 1.0)
    inner = np.flatnonzero(child >= points)
    for edge in inner[np.argsort(-child[inner], kind="stable")]:
        total[parent[edge] - points] += total[child[edge] - points]
        members[parent[edge] - points] += members[child[edge] - points]
    pairs = members * (members - 1.0)
    alike = np.where(pairs > 0, ((total**2).sum(axis=1) - members) / np.where(pairs > 0, pairs, 1.0), 1.0)
    return {points + place: float(value) for place, value in enumerate(alike)}


def _ranked(edges: _Edges, n: int) -> _Edges:
    """Sort edges by (distance, left, right) and drop repeats of a pair."""
    order = np.lexsort((edges.right, edges.left, edges.distance))
    _, first = np.unique(edges.left[order] * n + edges.right[order], return_index=True)
    kept = order[np.sort(first)]
    return _Edges(edges.left[kept], edges.right[kept], edges.distance[kept])


def _minimum(edges: _Edges, n: int) -> _Edges:
    # Ranks instead of distances: no two weights are equal, so the tree is unique, and scipy cannot take a 0 for a missing edge.
    ranks = np.arange(1, len(edges.left) + 1, dtype=np.float64)
    tree = minimum_spanning_tree(coo_array((ranks, (edges.left, edges.right)), shape=(n, n)).tocsr())
    kept = np.sort(tree.tocoo().data.astype(np.int64) - 1)
    return _Edges(edges.left[kept], edges.right[kept], edges.distance[kept])


def _components(edges: _Edges, n: int) -> tuple[int, Ints]:
    graph = coo_array((np.ones(len(edges.left)), (edges.left, edges.right)), shape=(n, n)).tocsr()
    parts, component = connected_components(graph, directed=False)
    return int(parts), component.astype(np.int64)


def _sums(rows: npt.NDArray[np.floating], label: Ints) -> Doubles:
    """Return the (n_clusters, d) float64 sums of rows by label, added up in row order."""
    found = np.zeros((int(label.max(initial=-1)) + 1, rows.shape[1]))
    inside = np.flatnonzero(label >= 0)
    order = inside[np.argsort(label[inside], kind="stable")]
    if len(order):
        starts = np.flatnonzero(np.r_[True, np.diff(label[order]) > 0])
        found[label[order][starts]] = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    return found


def _merge(rows: Floats, label: Ints, threshold: float) -> Ints:
    """Merge clusters, nearest pair first, while the cosine of their centred centroids is at least `threshold`."""
    clusters = int(label.max(initial=-1)) + 1
    if clusters < 2 or threshold >= 1:
        return label
    size = np.bincount(label[label >= 0], minlength=clusters).astype(np.float64)
    mean = _sums(rows, label) / size[:, None]
    outliers = rows[label < 0].astype(np.float64)
    common = (unit_rows(mean).astype(np.float64).sum(axis=0) + outliers.sum(axis=0)) / (clusters + len(outliers))
    total = (mean - common) * size[:, None]
    cosine = _cosines(total, total)
    np.fill_diagonal(cosine, -np.inf)
    best, partner = cosine.max(axis=1), cosine.argmax(axis=1)
    into = np.arange(clusters)
    while True:
        kept = int(best.argmax())
        if best[kept] < threshold:
            break
        gone = int(partner[kept])
        into[into == gone] = kept
        total[kept] += total[gone]
        dead = np.isneginf(best)
        dead[gone] = True
        fresh = _cosines(total, total[kept : kept + 1])[:, 0]
        fresh[dead] = fresh[kept] = -np.inf
        cosine[kept], cosine[:, kept] = fresh, fresh
        cosine[gone], cosine[:, gone] = -np.inf, -np.inf
        stale = np.flatnonzero((partner == kept) | (partner == gone) | (fresh >= best))
        best[stale], partner[stale] = cosine[stale].max(axis=1), cosine[stale].argmax(axis=1)
        best[[kept, gone]], partner[kept] = [fresh.max(), -np.inf], fresh.argmax()
    _, place = np.unique(into, return_inverse=True)
    return np.where(label >= 0, place[label], -1)


def _cosines(left: Doubles, right: Doubles) -> Doubles:
    scale = np.sqrt((left**2).sum(axis=1))[:, None] * np.sqrt((right**2).sum(axis=1))[None, :]
    return np.asarray(np.round(left @ right.T / np.where(scale > 0, scale, 1.0), DECIMALS))


def _attach(rows: Floats, label: Ints, probability: Doubles, neighbours: tuple[Ints, Doubles], share: float) -> tuple[Ints, Doubles]:
    """Give each outlier to the narrative that holds more than `share` of its neighbours' similarity mass, if it is near enough."""
    indices, similarities = neighbours
    clusters = int(label.max(initial=-1)) + 1
    outliers = np.flatnonzero(label < 0)
    if not clusters or not len(outliers) or share >= 1:
        return label, probability
    mass = np.exp((similarities[outliers] - 1.0) / MASS_SCALE)
    seen = label[indices[outliers]]
    place, column = np.nonzero(seen >= 0)
    # Built through rows, so that the masses of one narrative are added up.
    held = coo_array((mass[place, column], (place, seen[place, column])), shape=(len(outliers), clusters)).tocsr().tocoo()
    part = held.data / mass.sum(axis=1)[held.row]
    order = np.lexsort((held.col, -part, held.row))
    _, first = np.unique(held.row[order], return_index=True)
    top = order[first]
    top = top[part[top] > share]
    centroids = _centroids(rows, label)
    inside = np.flatnonzero(label >= 0)
    radius = _radii(1.0 - _cosine_with(rows, inside, centroids, label[inside]), label[inside])
    distance = 1.0 - _cosine_with(rows, outliers[held.row[top]], centroids, held.col[top])
    top = top[distance <= STRETCH * radius[held.col[top]]]
    label, probability = label.copy(), probability.copy()
    label[outliers[held.row[top]]] = held.col[top]
    probability[outliers[held.row[top]]] = np.minimum(part[top], 1.0)
    return label, probability


def _radii(distance: Doubles, label: Ints) -> Doubles:
    """Return for each cluster the distance within which `RADIUS_QUANTILE` of its members lie (the lower of two)."""
    order = np.lexsort((distance, label))
    bounds = np.searchsorted(label[order], np.arange(int(label.max()) + 2))
    return distance[order][bounds[:-1] + (RADIUS_QUANTILE * (np.diff(bounds) - 1)).astype(np.int64)]


def _by_size(label: Ints, count: Ints) -> Ints:
    """Order the labels by documents, largest first; equal ones by their first row in content order."""
    inside = label >= 0
    if not inside.any():
        return label
    size = np.bincount(label[inside], weights=count[inside])
    _, first = np.unique(label[inside], return_index=True)
    place = np.empty(len(size), dtype=np.int64)
    place[np.lexsort((first, -size))] = np.arange(len(size))
    return np.where(inside, place[label], -1)


def _centroids(rows: Floats, label: Ints) -> Floats:
    return unit_rows(_sums(rows, label))


def _medoids(rows: Floats, label: Ints, centroids: Floats) -> Ints:
    inside = np.flatnonzero(label >= 0)
    cosine = _cosine_with(rows, inside, centroids, label[inside])
    order = np.lexsort((inside, -cosine, label[inside]))
    _, first = np.unique(label[inside][order], return_index=True)
    return inside[order[first]]


def _cosine_with(rows: Floats, chosen: Ints, centroids: Floats, cluster: Ints) -> Doubles:
    """Return the cosine of each chosen row with the centroid of its cluster."""
    return np.asarray(np.round((rows[chosen].astype(np.float64) * centroids[cluster]).sum(axis=1), DECIMALS))
