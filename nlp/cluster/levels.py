"""Where the hierarchy of leaders is cut: stories, narratives and themes, each inside the next.

Narratives have the greatest excess of mass above the base, the likeness of texts that only share a subject; themes have it below, between
that and the floor, where texts share nothing. Both must be closed.

The steps and their reasons are at the head of `greyzone.cluster`; this file is what a full fit and the birth of narratives among later
rows have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from greyzone.cluster.density import core_distances, spanning_tree
from greyzone.cluster.graph import nearest_rows
from greyzone.cluster.hierarchy import Branches, Neighbours, Tree, cut
from greyzone.cluster.linkage import LAYER, Merges, Places, average_linkage
from greyzone.engine import on_threads
from greyzone.neighbours import DECIMALS, Doubles, Ints, places_of, unit_rows
from greyzone.records import Floats

FLOOR = 0.1
"""Mean cosine below which groups are not merged: in every encoder measured, texts without a common subject lie below it."""

BRIDGES = 8
"""Nearest groups that a group is compared with beyond the neighbours of its members."""

ALONE = 0.7
"""Share of the closure asked for that does for a cluster beside which there is no closed one."""

STORY = 0.5
"""Likeness down to which groups are stories, as a share of what lies between the base and 1."""

STRETCH = 1.5
"""An outlier may lie this many radii from the centroid: to have no other narrative near is not to have a home."""

BLOCK_ROWS = 2**10
"""Rows compared with their centroids at a time; it leaves no trace in the result."""

RADIUS_QUANTILE = 0.9
"""Share of the members within the radius; the hierarchy leaves some background in a narrative, which must not draw in more."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as a cluster: the parameters of `greyzone.cluster.NarrativeClusterer` of these names, and the base of the corpus."""

    min_cluster_size: int
    linkage: str
    min_samples: int
    selection: str
    closure: float
    cohesion: float
    contrast: float
    attach: float
    allow_single_cluster: bool
    device: str
    base: float

    @property
    def fringe(self) -> float:
        """Return the least likeness of a member to the rest of its narrative: what is asked of a narrative on average."""
        return self._above_base(max(self.cohesion, 0.0))

    @property
    def story(self) -> float:
        """Return the mean cosine down to which groups are stories."""
        return self._above_base(STORY)

    @property
    def subject(self) -> float:
        """Return the mean cosine up to which groups share a subject and no more: the base, a layer above the floor at least."""
        return max(self.base, FLOOR + LAYER)

    def _above_base(self, share: float) -> float:
        return self.base + share * (1.0 - self.base)


def find_levels(rows: Floats, size: Ints, neighbours: Neighbours, rule: Rule, *, outside: Doubles | None = None) -> tuple[Ints, Doubles]:
    """Find stories, narratives and themes among leaders.

    Parameters
    ----------
    rows
        (m, d) float32 unit rows.
    size
        (m,) int64 documents that each stands for.
    neighbours
        The neighbour graph.
    rule
        What counts as a cluster.
    outside
        (m,) similarity mass of neighbours that are not among these leaders, which are then part of a corpus and may all be one
        narrative; None if they are all there is.

    Returns
    -------
    levels, strength
        (m, 3) int64 story, narrative and theme, -1 for none; (m,) float64 strength of membership of the narrative.
    """
    if len(rows) < 2 and outside is None:
        label = np.where(size >= rule.min_cluster_size, 0, -1)
        return np.repeat(label[:, None], 3, axis=1), np.ones(len(rows))
    real = len(rows)
    if outside is not None:
        # One far leader stands for the rest of the corpus, so that the root of the tree is never what is sought.
        rows, size = np.concatenate([rows, np.zeros((1, rows.shape[1]), np.float32)]), np.append(size, rule.min_cluster_size)
        neighbours, outside = neighbours.with_lone(), np.append(outside, 0.0)
    merges = average_linkage(rows, *_pairs(neighbours), floor=FLOOR, nearest=lambda means: nearest_rows(means, BRIDGES, device=rule.device))
    whole = Tree(_branches(merges, len(rows), rule.base), size, rule.min_cluster_size)
    closed = whole.closures(neighbours, size, outside)
    if rule.linkage == "density":
        core = core_distances(neighbours.similarities, rule.min_samples)
        edges = spanning_tree(rows, neighbours.indices, 1.0 - neighbours.similarities, core)
        tree = Tree(Branches(edges.left, edges.right, edges.distance, core), size, rule.min_cluster_size)
        reach = 1.0 - 1.0 / np.where(tree.birth > 0, tree.birth, 1.0)
        label, strength = _select(tree, tree.closures(neighbours, size, outside), tree.cohesions(rows), reach, rule)
    else:
        # What merged below the base is one there: a shared subject is no shared story.
        tree = whole.down_to(1.0 + max(rule.base, 0.0))
        label, strength = _select(tree, closed, tree.cohesions(rows), np.maximum(tree.birth - 1.0, 0.0), rule)
    if rule.linkage == "average" and not rule.allow_single_cluster:
        copies, total = _near_masses(size, neighbours, outside)
        label = _let_go(np.where(tree.left_at - 1.0 < rule.fringe, -1, label), neighbours, copies, total, rule.attach)
        held = np.bincount(label[label >= 0], weights=size[label >= 0], minlength=1)
        label = _compact(np.where(held[label] >= rule.min_cluster_size, label, -1))
        repeated = (size >= rule.min_cluster_size) & (copies >= rule.closure * total) & (np.arange(len(label)) < real)
        label, strength = _repeated(label, strength, repeated)
    label, strength = _attach(rows, label, strength, neighbours, rule.attach)
    theme = _themes(whole.select_between(closed < rule.closure, 1.0 + FLOOR, 1.0 + rule.subject), label, size, rule)
    return np.column_stack([_stories(merges, label, size, rule), label, theme])[:real], strength[:real]


def _near_masses(size: Ints, neighbours: Neighbours, outside: Doubles | None) -> tuple[Doubles, Doubles]:
    """Return the similarity mass of the copies of each leader, and of all that is near it, copies included."""
    copies = np.minimum(size - 1, neighbours.indices.shape[1]).astype(np.float64)
    return copies, neighbours.masses().sum(axis=1) + copies + (0.0 if outside is None else outside)


def _let_go(label: Ints, neighbours: Neighbours, copies: Doubles, total: Doubles, attach: float) -> Ints:
    """Take out each leader whose narrative holds less of the `total` mass near it than what a narrative that attaches it may leave."""
    inside = np.flatnonzero(label >= 0)
    near = neighbours.of(inside)
    own = (near.indices >= 0) & (label[near.indices] == label[inside, None])
    held = np.where(own, near.masses(), 0.0).sum(axis=1) + copies[inside]
    found = label.copy()
    # Who attaches on less than half lets nobody go whom it would attach.
    found[inside[held < min(attach, 1.0 - attach) * total[inside]]] = -1
    return found


def _repeated(label: Ints, strength: Doubles, repeated: npt.NDArray[np.bool_]) -> tuple[Ints, Doubles]:
    """Let each leader in no narrative be one by itself that enough documents repeat, if its copies are most of what is near it."""
    alone = (label < 0) & repeated
    numbers = label.max(initial=-1) + np.cumsum(alone)
    return np.where(alone, numbers, label), np.where(alone, 1.0, strength)


def _select(tree: Tree, closed: Doubles, alike: Doubles, reach: Doubles, rule: Rule) -> tuple[Ints, Doubles]:
    """Return the narrative of each leader (-1: none) and its strength of membership.

    Among clusters within each other closure decides which is the narrative. Where none is closed enough, what is left over may still
    stand alone with `ALONE` of the closure asked for: in a large corpus every small narrative has strangers among its neighbours.
    """
    refused = (alike < rule.base + rule.cohesion * (1.0 - rule.base)) | (alike < reach + rule.contrast * (1.0 - reach))
    strict = refused | (closed < rule.closure)
    # Who allows one narrative of everything says that everything is one.
    strict[0] &= not rule.allow_single_cluster
    label, strength = tree.select(strict, rule.selection, rule.allow_single_cluster)
    if rule.allow_single_cluster:
        return label, strength
    lenient = refused | (closed < ALONE * rule.closure) | ~tree.apart_from(label)
    more, weaker = tree.select(lenient, rule.selection, allow_single_cluster=False)
    added = (label < 0) & (more >= 0)
    return np.where(added, more + label.max(initial=-1) + 1, label), np.where(added, weaker, strength)


def centroids(rows: Floats, label: Ints) -> Floats:
    """Return the unit mean (labels, d) of the rows of each label."""
    return unit_rows(sums(rows, label, int(label.max(initial=-1)) + 1))


def _pairs(neighbours: Neighbours) -> tuple[Places, Places, Doubles]:
    """Return the edges of a neighbour graph, each once: lower end, higher end, similarity."""
    indices = neighbours.indices

    def of_block(start: int) -> tuple[Places, Places, Doubles]:
        own, others = np.arange(start, min(start + BLOCK_ROWS, len(indices)))[:, None], indices[start : start + BLOCK_ROWS]
        # The lower end tells of an edge; where it is not among its neighbours, the higher one.
        told = others > own
        place, column = places_of((others >= 0) & (others < own))
        untold = (indices[others[place, column]] != own[place]).all(axis=1)
        told[place[untold], column[untold]] = True
        place, column = places_of(told)
        one, other = place + start, others[place, column]
        return (
            np.minimum(one, other).astype(np.int32),
            np.maximum(one, other).astype(np.int32),
            neighbours.similarities[one, column],
        )

    left, right, similarity = zip(*on_threads(of_block, range(0, max(1, len(indices)), BLOCK_ROWS)), strict=True)
    return np.concatenate(left), np.concatenate(right), np.concatenate(similarity)


def _branches(merges: Merges, leaders: int, base: float) -> Branches:
    """Return merges as branches of one tree; what never merged meets at a likeness of 0.

    Copies are one where their leader first merges: a text that many repeat is part of its story, not a narrative of its own beside it.
    A leader that merges with nothing above `base` is one with its copies from the start.
    """
    group = cut(merges.left, merges.right, leaders)
    _, heads = np.unique(group, return_index=True)
    height = np.concatenate([merges.height, np.zeros(len(heads) - 1)])
    first = np.full(leaders, -1.0)
    for side in (merges.left, merges.right):
        np.maximum.at(first, side, merges.height)
    return Branches(
        np.concatenate([merges.left, heads[:-1]]),
        np.concatenate([merges.right, heads[1:]]),
        _distance(height),
        _distance(np.where(first <= base, 1.0, first)),
    )


def _distance(height: Doubles) -> Doubles:
    return np.asarray(1.0 / (1.0 + np.maximum(height, 0.0)))


def _stories(merges: Merges, label: Ints, size: Ints, rule: Rule) -> Ints:
    """Return the groups within narratives that are stories and have documents enough."""
    near = merges.height >= rule.story
    group = cut(merges.left[near], merges.right[near], len(label))
    inside = np.flatnonzero(label >= 0)
    found = np.full(len(label), -1, dtype=np.int64)
    _, story = np.unique(group[inside] * (int(label.max(initial=-1)) + 1) + label[inside], return_inverse=True)
    found[inside] = np.where(np.bincount(story, weights=size[inside])[story] >= rule.min_cluster_size, story, -1)
    return _compact(found)


def _themes(theme: Ints, label: Ints, size: Ints, rule: Rule) -> Ints:
    """Return themes of documents enough, each narrative whole in the one that has most of its documents; in its own where none has any."""
    inside, kinds = np.flatnonzero(label >= 0), int(theme.max(initial=0)) + 1
    placed = inside[theme[inside] >= 0]
    pairs, which = np.unique(label[placed] * kinds + theme[placed], return_inverse=True)
    order = np.lexsort((-np.bincount(which, weights=size[placed]), pairs // kinds))
    narratives, first = np.unique(pairs[order] // kinds, return_index=True)
    home = kinds + np.arange(int(label.max(initial=-1)) + 1)
    home[narratives] = pairs[order][first] % kinds
    theme = theme.copy()
    theme[inside] = home[label[inside]]
    held = np.bincount(theme[theme >= 0], weights=size[theme >= 0], minlength=1)
    return _compact(np.where(held[theme] >= rule.min_cluster_size, theme, -1))


def _compact(label: Ints) -> Ints:
    """Return the labels that occur as numbers from 0 on."""
    inside = label >= 0
    found = np.full(len(label), -1, dtype=np.int64)
    found[inside] = np.unique(label[inside], return_inverse=True)[1]
    return found


def _attach(rows: Floats, label: Ints, probability: Doubles, neighbours: Neighbours, share: float) -> tuple[Ints, Doubles]:
    """Give each outlier to the narrative that holds more than `share` of its neighbours' similarity mass, if it is near enough."""
    clusters = int(label.max(initial=-1)) + 1
    outliers = np.flatnonzero(label < 0)
    if not clusters or not len(outliers) or share >= 1:
        return label, probability
    indices = neighbours.indices[outliers]
    mass = Neighbours(indices, neighbours.similarities[outliers]).masses()
    seen = np.where(indices >= 0, label[indices], -1)
    place, column = places_of(seen >= 0)
    # Built through rows, so that the masses of one narrative are added up.
    held = coo_array((mass[place, column], (place, seen[place, column])), shape=(len(outliers), clusters)).tocsr().tocoo()
    part = held.data / mass.sum(axis=1)[held.row]
    order = np.lexsort((held.col, -part, held.row))
    _, first = np.unique(held.row[order], return_index=True)
    top = order[first]
    top = top[part[top] > share]
    centres = centroids(rows, label)
    inside = np.flatnonzero(label >= 0)
    radius = _radii(1.0 - cosine_with(rows, inside, centres, label[inside]), label[inside])
    distance = 1.0 - cosine_with(rows, outliers[held.row[top]], centres, held.col[top])
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


def sums(rows: Floats, label: Ints, groups: int) -> Doubles:
    """Return the (groups, d) float64 sums of rows by label, added up in row order; label -1 counts nowhere."""
    found = np.zeros((groups, rows.shape[1]))
    inside = np.flatnonzero(label >= 0)
    order = inside[np.argsort(label[inside], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(label[order]) > 0]) if len(order) else order

    def add(cluster: int) -> None:
        part = order[starts[cluster] : starts[cluster + 1] if cluster + 1 < len(starts) else None]
        np.add.reduce(rows[part], axis=0, dtype=np.float64, out=found[label[part[0]]])

    on_threads(add, range(len(starts)))
    return found


def cosine_with(rows: Floats, chosen: Ints, centroids: Floats, cluster: Ints) -> Doubles:
    """Return the cosine of each chosen row with the centroid of its cluster."""
    found = np.empty(len(chosen))

    def compare(start: int) -> None:
        part = slice(start, start + BLOCK_ROWS)
        found[part] = (rows[chosen[part]].astype(np.float64) * centroids[cluster[part]]).sum(axis=1)

    on_threads(compare, range(0, len(chosen), BLOCK_ROWS))
    return np.asarray(np.round(found, DECIMALS))
