"""Documents' vectors to narratives: near-duplicates, neighbour graph, a hierarchy by average likeness, and where to cut it.

1. Rows at cosine >= `duplicates` follow a leader (no chains). Copies make dense cores of their own that tear narratives apart.
2. The `n_neighbors` nearest leaders of each leader: exact for few rows, through inverted lists for many (`greyzone.graph`).
3. Average linkage on that graph (`greyzone.linkage`), down to a mean cosine of `FLOOR`. Density alone, which HDBSCAN goes by, splits a
   story into its wordings and chains stories that share them; the mean cosine of all pairs does neither.
4. hdbscan's condensed tree of these merges, sizes counting documents, and clusters by excess of mass or the leaves (`greyzone.hierarchy`).
   A document at mean cosine s lies at 1 / (1 + s), so that mass is counted in likeness, not in the inverse of a distance, which would
   give all weight to near-copies. A cluster must be closed, cohesive and contrasted; where it is not, its parts are asked. What joined
   a cluster at a likeness hardly above the base is left out again.
5. Stories are the groups within a narrative whose mean cosine is `STORY` or more, themes the groups of narratives and documents around
   them that merge down to `THEME`: `hierarchy_` holds all three, each inside the next.
6. An outlier joins the narrative that holds more than `attach` of the similarity mass of its neighbours, unless it lies farther from
   the centroid than `STRETCH` times the radius that holds nine tenths of the members.

With ``linkage="density"`` step 3 is HDBSCAN's: mutual reachability and its spanning tree (`greyzone.density`).

Leaders stand in an order of their content, and products of many rows are exact (`greyzone.lists`): neither the order of the rows nor
the number of threads leaves a trace. docs/method/narratives.md says what the settings were chosen on, docs/benchmarks.md what it costs.
"""

from __future__ import annotations

import logging
from numbers import Integral, Real
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from greyzone.density import core_distances, spanning_tree
from greyzone.errors import InputError
from greyzone.graph import Graph, nearest_rows, neighbour_graph
from greyzone.hierarchy import MASS_SCALE, Branches, Neighbours, Tree, base_similarity, closures_of, cut
from greyzone.linkage import Merges, average_linkage
from greyzone.neighbours import DECIMALS, Doubles, Ints, distinct_rows, unit_rows
from greyzone.records import Floats

logger = logging.getLogger(__name__)

LEVELS = ("story", "narrative", "theme")
"""Levels of the hierarchy, the columns of `hierarchy_`."""

FLOOR = 0.1
"""Mean cosine below which groups are not merged: in every encoder measured, texts without a common subject lie below it."""

BRIDGES = 8
"""Nearest groups that a group is compared with beyond the neighbours of its members."""

FRINGE = 0.5
"""A document belongs to a narrative if its likeness to the rest is this share of the way from the base to the cohesion asked for."""

STORY, THEME = 0.6, 0.25
"""Mean cosines down to which groups are stories, and themes."""

STRETCH = 1.5
"""An outlier may lie this many radii from the centroid: to have no other narrative near is not to have a home."""

RADIUS_QUANTILE = 0.9
"""Share of the members within the radius; the hierarchy leaves some background in a narrative, which must not draw in more."""


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
        Share of an outlier's similarity mass that a narrative must hold to take it in; 1 attaches none.
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
        weight = _weights(sample_weight, data)
        used = np.flatnonzero(data.any(axis=1) & (weight > 0))
        rows = unit_rows(data if len(used) == len(data) else data[used])
        first, inverse = distinct_rows(rows)
        rows = rows[first]
        count = np.bincount(inverse, weights=weight[used], minlength=len(first)).astype(np.int64)
        graph = neighbour_graph(rows, self.n_neighbors, duplicates=self.duplicates, device=self.device)
        size = np.bincount(graph.follows, weights=count, minlength=len(graph.chosen)).astype(np.int64)
        rows = rows[graph.chosen]
        levels, probability = self._levels(rows, size, graph)
        levels = np.column_stack([_by_size(level, size) for level in levels.T])
        label = levels[:, LEVELS.index(self.level)]

        self._spread(levels, probability, used, graph.follows[inverse], len(data))
        self.leaders_ = np.arange(len(data))
        self.leaders_[used] = used[first[graph.chosen]][graph.follows[inverse]]
        self.centroids_ = _centroids(rows, label)
        self.medoids_ = used[first[graph.chosen[_medoids(rows, label, self.centroids_)]]]
        logger.info(
            "%d rows, %d distinct, %d leaders: %d narratives, %d noise",
            *(len(data), len(first), len(rows), self.hierarchy_[:, 1].max(initial=-1) + 1, (self.labels_ < 0).sum()),
        )
        return self

    def _spread(self, levels: Ints, probability: Doubles, used: Ints, leader: Ints, rows: int) -> None:
        """Give every row what its leader has."""
        self.hierarchy_ = np.full((rows, len(LEVELS)), -1, dtype=np.int64)
        self.hierarchy_[used] = levels[leader]
        self.labels_ = self.hierarchy_[:, LEVELS.index(self.level)].copy()
        self.probabilities_ = np.zeros(rows, dtype=np.float32)
        self.probabilities_[used] = np.where(levels[:, 1] >= 0, probability, 0.0)[leader]

    def _levels(self, rows: Floats, size: Ints, graph: Graph) -> tuple[Ints, Doubles]:
        """Return story, narrative and theme (leaders, 3) of each leader, and its strength of membership."""
        if len(rows) < 2:
            self.base_ = 0.0
            label = np.where(size >= self.min_cluster_size, 0, -1)
            return np.repeat(label[:, None], len(LEVELS), axis=1), np.ones(len(rows))
        self.base_ = base_similarity(rows)
        neighbours = Neighbours(graph.indices, graph.similarities)
        merges = average_linkage(
            rows, *_pairs(neighbours), floor=FLOOR, nearest=lambda means: nearest_rows(means, BRIDGES, device=self.device)
        )
        if self.linkage == "density":
            core = core_distances(graph.similarities, self.min_samples)
            edges = spanning_tree(rows, graph.indices, 1.0 - graph.similarities, core)
            tree = Tree(Branches(edges.left, edges.right, edges.distance, core), size, self.min_cluster_size)
            reach = 1.0 - 1.0 / np.where(tree.birth > 0, tree.birth, 1.0)
        else:
            tree = Tree(_branches(merges, len(rows), self.base_), size, self.min_cluster_size)
            reach = np.maximum(tree.birth - 1.0, 0.0)
        alike = tree.cohesions(rows)
        refused = (
            (tree.closures(neighbours, size) < self.closure)
            | (alike < self.base_ + self.cohesion * (1.0 - self.base_))
            | (alike < reach + self.contrast * (1.0 - reach))
        )
        # Who allows one narrative of everything says that everything is one.
        refused[0] &= not self.allow_single_cluster
        label, probability = tree.select(refused, self.selection, self.allow_single_cluster)
        if self.linkage == "average" and self.cohesion > -1 and not self.allow_single_cluster:
            label = np.where(tree.left_at - 1.0 < self.base_ + FRINGE * self.cohesion * (1.0 - self.base_), -1, label)
            held = np.bincount(label[label >= 0], weights=size[label >= 0], minlength=1)
            label = _compact(np.where(held[label] >= self.min_cluster_size, label, -1))
        label, probability = _attach(rows, label, probability, neighbours, self.attach)
        theme = _themes(merges, label, size, neighbours, self.min_cluster_size, self.closure)
        return np.column_stack([_stories(merges, label, size, self.min_cluster_size), label, theme]), probability


def _pairs(neighbours: Neighbours) -> tuple[Ints, Ints, Doubles]:
    """Return the edges of a neighbour graph, each once: lower end, higher end, similarity."""
    place, column = np.nonzero(neighbours.indices >= 0)
    other = neighbours.indices[place, column]
    key = np.minimum(place, other) * len(neighbours.indices) + np.maximum(place, other)
    key, first = np.unique(key, return_index=True)
    return key // len(neighbours.indices), key % len(neighbours.indices), neighbours.similarities[place[first], column[first]]


def _branches(merges: Merges, leaders: int, base: float) -> Branches:
    """Return merges as branches of one tree; what merged below `base`, or never, meets there: a shared subject is no shared story.

    Copies are one where their leader first merges: a text that many repeat is part of its story, not a narrative of its own beside it.
    A leader that never merges is one with its copies from the start.
    """
    group = cut(merges.left, merges.right, leaders)
    _, heads = np.unique(group, return_index=True)
    height = np.maximum(np.concatenate([merges.height, np.zeros(len(heads) - 1)]), base)
    first = np.full(leaders, -1.0)
    for side in (merges.left, merges.right):
        np.maximum.at(first, side, merges.height)
    return Branches(
        np.concatenate([merges.left, heads[:-1]]),
        np.concatenate([merges.right, heads[1:]]),
        _distance(height),
        _distance(np.where(first < 0, 1.0, np.maximum(first, base))),
    )


def _distance(height: Doubles) -> Doubles:
    return np.asarray(1.0 / (1.0 + np.maximum(height, 0.0)))


def _stories(merges: Merges, label: Ints, size: Ints, least: int) -> Ints:
    """Return the groups within narratives that merge down to `STORY` and have `least` documents."""
    near = merges.height >= STORY
    group = cut(merges.left[near], merges.right[near], len(label))
    inside = np.flatnonzero(label >= 0)
    found = np.full(len(label), -1, dtype=np.int64)
    _, story = np.unique(group[inside] * (int(label.max(initial=-1)) + 1) + label[inside], return_inverse=True)
    found[inside] = np.where(np.bincount(story, weights=size[inside])[story] >= least, story, -1)
    return _compact(found)


def _themes(merges: Merges, label: Ints, size: Ints, neighbours: Neighbours, least: int, closure: float) -> Ints:
    """Return the groups that merge down to `THEME` and hold a narrative, or are closed and have `least` documents."""
    near = merges.height >= THEME
    inside = np.flatnonzero(label >= 0)
    _, first = np.unique(label[inside], return_index=True)
    # A narrative that merges further down still lies within one theme.
    heads = inside[first][label[inside]] if len(inside) else inside
    group = cut(np.concatenate([merges.left[near], heads]), np.concatenate([merges.right[near], inside]), len(label))
    kept = (np.bincount(group, weights=size) >= least) & (closures_of(group, neighbours, size) >= closure)
    kept[group[inside]] = True
    return _compact(np.where(kept[group], group, -1))


def _compact(label: Ints) -> Ints:
    """Return the labels that occur as numbers from 0 on."""
    inside = label >= 0
    found = np.full(len(label), -1, dtype=np.int64)
    found[inside] = np.unique(label[inside], return_inverse=True)[1]
    return found


def _weights(sample_weight: npt.ArrayLike | None, data: npt.NDArray[np.floating]) -> Ints:
    if sample_weight is None or not len(data):
        return np.ones(len(data), dtype=np.int64)
    weight = np.asarray(_check_sample_weight(sample_weight, data, dtype=np.float64))
    wrong = weight[(weight < 0) | (weight != np.floor(weight))]
    if len(wrong):
        raise InputError(f"a sample weight of {wrong[0]:g}", "whole numbers >= 0", "weights count the documents of a row")
    return weight.astype(np.int64)


def _attach(rows: Floats, label: Ints, probability: Doubles, neighbours: Neighbours, share: float) -> tuple[Ints, Doubles]:
    """Give each outlier to the narrative that holds more than `share` of its neighbours' similarity mass, if it is near enough."""
    clusters = int(label.max(initial=-1)) + 1
    outliers = np.flatnonzero(label < 0)
    if not clusters or not len(outliers) or share >= 1:
        return label, probability
    indices = neighbours.indices[outliers]
    mass = np.where(indices >= 0, np.exp((neighbours.similarities[outliers] - 1.0) / MASS_SCALE), 0.0)
    seen = np.where(indices >= 0, label[indices], -1)
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


def _sums(rows: npt.NDArray[np.floating], label: Ints) -> Doubles:
    """Return the (n_clusters, d) float64 sums of rows by label, added up in row order."""
    found = np.zeros((int(label.max(initial=-1)) + 1, rows.shape[1]))
    inside = np.flatnonzero(label >= 0)
    order = inside[np.argsort(label[inside], kind="stable")]
    if len(order):
        starts = np.flatnonzero(np.r_[True, np.diff(label[order]) > 0])
        found[label[order][starts]] = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    return found


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
