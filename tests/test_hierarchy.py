"""Parts of the clusterer against naive ones: average linkage, closure, the lists of neighbours, and rows that join later."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hdbscan import _hdbscan_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster._hierarchical_fast import single_linkage_label
from sklearn.metrics import adjusted_rand_score

from greyzone.cluster import NarrativeClusterer, graph, joining, lists
from greyzone.cluster import linkage as average
from greyzone.cluster.condense import condense
from greyzone.cluster.graph import neighbour_graph
from greyzone.cluster.hierarchy import Branches, Neighbours, Tree, base_similarity, cut
from greyzone.cluster.linkage import average_linkage
from greyzone.cluster.lists import Shelf, learn_lists, nearest_on_shelf, whole_rows
from greyzone.models.search import Search
from greyzone.neighbours import distinct, nearest, places_of, unit_rows


def stories(seed: int, count: int = 12, size: int = 30, noise: int = 120, width: int = 24, spread: float = 0.12):
    """Return unit rows around random directions among background, shuffled, and their truth."""
    generator = np.random.default_rng(seed)
    centres = unit_rows(generator.normal(size=(count, width)))
    rows = np.repeat(centres, size, axis=0) + generator.normal(scale=spread, size=(count * size, width))
    rows = np.concatenate([rows, generator.normal(size=(noise, width))])
    truth = np.concatenate([np.repeat(np.arange(count), size), np.full(noise, -1)])
    order = generator.permutation(len(rows))
    return unit_rows(rows[order]), truth[order]


def singles(labels):
    """Return labels with every -1 a cluster of its own."""
    out = labels.copy()
    out[out < 0] = out.max(initial=-1) + 1 + np.arange((out < 0).sum())
    return out


def all_pairs(rows):
    left, right = np.triu_indices(len(rows), 1)
    return left, right, np.round((rows[left].astype(np.float64) * rows[right]).sum(axis=1), 9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_average_linkage_is_that_of_scipy(seed):
    rows, _ = stories(seed, count=4, size=8, noise=10, width=8, spread=0.3)
    with pytest.MonkeyPatch.context() as patch:
        # One by one, as scipy does: nothing beside the most alike.
        patch.setattr(average, "GROWTH", 0.0)
        merges = average_linkage(rows, *all_pairs(rows), floor=0.1)
    exact = rows.astype(np.float64)
    tree = linkage(1.0 - np.clip((exact @ exact.T)[np.triu_indices(len(rows), 1)], -1, 1), "average")
    for height in (0.2, 0.4, 0.6, 0.8):
        # A cut that passes within rounding of a merge may fall on either side of it.
        if np.abs(1.0 - tree[:, 2] - height).min() < 1e-5:
            continue
        near = merges.height >= height
        found = cut(merges.left[near], merges.right[near], len(rows))
        assert adjusted_rand_score(fcluster(tree, 1.0 - height, "distance"), found) == 1.0


def test_a_large_group_takes_its_fringe_in_few_rounds():
    # 400 rows round one direction: merged one by one into the largest group they would need hundreds of rounds.
    rows, _ = stories(1, count=1, size=400, noise=0, spread=0.2)
    merges = average_linkage(rows, *all_pairs(rows), floor=0.1)
    assert len(merges.left) == len(rows) - 1
    assert (np.diff(merges.height) <= 0).all()


def test_bridges_join_groups_whose_neighbours_are_all_within():
    # Two tight groups of 12 at a cosine of 0.5; three neighbours a row never leave their own group.
    base = np.zeros((2, 40))
    base[0, 0] = base[1, 1] = np.sqrt(0.5)
    base[:, 2] = np.sqrt(0.5)
    rows = unit_rows(np.repeat(base, 12, axis=0) + np.random.default_rng(0).normal(scale=0.02, size=(24, 40)))
    indices, _ = nearest(rows, 3)
    own = np.repeat(np.arange(24), 3)
    pairs = np.unique(np.sort(np.stack([own, indices.ravel()]), axis=0), axis=1)
    alike = np.round((rows[pairs[0]].astype(np.float64) * rows[pairs[1]]).sum(axis=1), 9)
    without = average_linkage(rows, pairs[0], pairs[1], alike, floor=0.1)
    bridged = average_linkage(rows, pairs[0], pairs[1], alike, floor=0.1, nearest=lambda means: nearest(means, 3)[0])
    assert len(np.unique(cut(without.left, without.right, 24))) == 2
    assert len(np.unique(cut(bridged.left, bridged.right, 24))) == 1
    assert bridged.height[-1] == pytest.approx((rows[:12].sum(0) / 12) @ (rows[12:].sum(0) / 12), abs=1e-4)


def test_tree_figures_are_the_naive_ones():
    rows, _ = stories(3, count=5, size=12, noise=20)
    indices, similarities = nearest(rows, 6)
    near, size = Neighbours(indices, similarities), np.random.default_rng(3).integers(1, 6, len(rows))
    merges = average_linkage(rows, *all_pairs(rows), floor=-1.0)
    branches = Branches(merges.left, merges.right, 1.0 / (2.0 + merges.height), np.full(len(rows), 0.1))
    tree = Tree(branches, size, 5)
    masses = np.exp((similarities - 1.0) / 0.1)
    outside = np.random.default_rng(4).random(len(rows))
    closures, cohesions = tree.closures(near, size, outside), tree.cohesions(rows)
    cosines = rows.astype(np.float64) @ rows.astype(np.float64).T
    assert len(tree.above) > 4
    for cluster in range(len(tree.above)):
        inside = []
        for row in range(len(rows)):
            home = tree.home[row]
            while home not in (cluster, 0):
                home = tree.above[home]
            if home == cluster:
                inside.append(row)
        held = [
            (sum(mass for mass, other in zip(masses[row], indices[row], strict=True) if other in inside) + min(size[row] - 1, 6))
            / (masses[row].sum() + min(size[row] - 1, 6) + outside[row])
            for row in inside
        ]
        assert closures[cluster] == pytest.approx(np.mean(held))
        pairs = [cosines[i, j] for i in inside for j in inside if i != j]
        assert cohesions[cluster] == pytest.approx(np.mean(pairs) if pairs else 1.0, abs=1e-5)


def grown(seed: int, low: float = -1.0) -> Tree:
    """Return a tree of a few stories, heights below `low` raised to it."""
    rows, _ = stories(seed, count=4, size=8, noise=12, width=10, spread=0.25)
    merges = average_linkage(rows, *all_pairs(rows), floor=-1.0)
    size = np.random.default_rng(seed).integers(1, 3, len(rows))
    return Tree(Branches(merges.left, merges.right, 1.0 / (2.0 + np.maximum(merges.height, low)), np.full(len(rows), 0.3)), size, 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.6))
def test_clusters_and_strengths_are_those_that_hdbscan_selects(seed, share):
    tree = grown(seed)
    refused = np.random.default_rng(seed).random(len(tree.above)) < share
    label, strength = tree.select(refused, "eom", allow_single_cluster=False)
    stability = _hdbscan_tree.compute_stability(tree.condensed)
    for cluster in np.flatnonzero(refused).tolist():
        stability[cluster + tree.points] = -1.0
    theirs, probability, _ = _hdbscan_tree.get_clusters(tree.condensed, stability, "eom", False)
    assert label.tolist() == theirs[: tree.leaders].tolist()
    assert strength.tolist() == np.asarray(probability[: tree.leaders]).tolist()


def merged(seed: int, points: int, deep: float) -> np.ndarray:
    """Return a random tree of merges with many equal distances; `deep` is how often the last group made merges again."""
    generator = np.random.default_rng(seed)
    groups, sides = list(range(points)), []
    while len(groups) > 1:
        one = groups.pop() if generator.random() < deep else groups.pop(int(generator.integers(len(groups))))
        other = groups.pop(int(generator.integers(len(groups))))
        sides.append((one, other) if generator.random() < 0.5 else (other, one))
        groups.append(one)
    distances = np.sort(np.round(generator.random(points - 1), 1))
    return single_linkage_label(np.column_stack([np.array(sides, dtype=np.float64), distances]))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 90), st.integers(2, 8), st.floats(0.0, 1.0))
def test_condensed_trees_are_those_of_hdbscan(seed, points, least, deep):
    tree = merged(seed, points, deep)
    theirs, ours = _hdbscan_tree.condense_tree(tree, least), condense(tree, least)
    rows = ours.table(points)
    assert sorted(rows.tolist()) == sorted(theirs.tolist())
    # Masses are sums over the rows of a cluster, one after the other: their order is part of the result.
    for cluster in np.unique(theirs["parent"]):
        ordered = [table[table["parent"] == cluster][["lambda_val", "child_size"]].tolist() for table in (rows, theirs)]
        assert ordered[0] == ordered[1]
    above = {part - points: whole - points for whole, part, _, _ in theirs.tolist() if part >= points}
    within = {0: 0}
    for part in sorted(above):
        within[part] = within[above[part]] + 1
    told = {part: number + 1 for number, level in enumerate(ours.levels) for left in level.tolist() for part in (left, left + 1)}
    assert told == {part: depth for part, depth in within.items() if part}


def test_a_chain_of_a_hundred_thousand_merges_is_condensed():
    count = 100_000
    steps = np.arange(1, count, dtype=np.float64)
    chain = np.column_stack([np.r_[0, count + steps[:-1] - 1], steps, steps, steps + 1])
    found = condense(chain, 5)
    assert not found.levels
    assert (np.diff(found.leaves_at) >= 0).all()
    assert sorted(found.child.tolist()) == list(range(count))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_each_group_asks_the_one_most_like_it_and_of_several_the_lowest(seed):
    generator = np.random.default_rng(seed)
    left, right = np.triu_indices(12, 1)
    some = generator.random(len(left)) < 0.3
    left, right, alike = left[some].astype(np.int32), right[some].astype(np.int32), np.round(generator.random(some.sum()), 1)
    groups = average._Groups(unit_rows(generator.normal(size=(12, 4))), None)
    for _ in range(2):
        node, found, height = groups.nearest(average._Pairs(left, right, alike, np.zeros_like(left)))
        naive = {}
        for one, other, how in [*zip(left, right, alike, strict=True), *zip(right, left, alike, strict=True)]:
            naive[one] = min(naive.get(one, (2.0, 0)), (-how, other))
        assert node.tolist() == sorted(naive)
        assert [(-how, other) for how, other in zip(height, found, strict=True)] == [naive[one] for one in node]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.2, 0.6))
def test_a_tree_down_to_a_height_is_that_of_raised_merges(seed, low):
    raised, whole = grown(seed, low), grown(seed)
    cleared = whole.down_to(2.0 + low)
    assert (cleared.above == raised.above).all()
    assert cleared.birth == pytest.approx(raised.birth)
    assert cleared.left_at == pytest.approx(raised.left_at)
    refused = np.random.default_rng(seed).random(len(raised.above)) < 0.2
    assert (cleared.select(refused, "eom", False)[0] == raised.select(refused, "eom", False)[0]).all()
    assert whole.birth[1:].min() < 2.0 + low or (cleared.birth == whole.birth).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.4))
def test_mass_between_two_heights_is_the_greatest_of_all_choices(seed, high):
    tree, low, high = grown(seed), 2.05, 2.0 + high
    refused = np.random.default_rng(seed).random(len(tree.above)) < 0.3
    between = lambda value: min(max(float(value), low), high)  # noqa: E731
    mass = np.zeros(len(tree.above))
    for parent, _, leaving, size in tree.condensed.tolist():
        mass[parent - tree.points] += (between(leaving) - between(tree.birth[parent - tree.points])) * size

    def best(cluster: int) -> float:
        parts = sum(best(int(part)) for part in np.flatnonzero(tree.above == cluster) if part != cluster)
        return parts if refused[cluster] or cluster == 0 else max(parts, mass[cluster])

    found = tree.select_between(refused, low, high)
    chosen = np.unique(found[found >= 0])
    assert mass[chosen].sum() == pytest.approx(best(0))
    assert not refused[chosen].any()
    for row, home in enumerate(tree.home.tolist()):
        path = [home]
        while path[-1] != 0:
            path.append(int(tree.above[path[-1]]))
        assert [cluster for cluster in path if cluster in chosen] == ([found[row]] if found[row] >= 0 else [])


def test_base_is_what_a_subject_shares():
    rows = np.repeat(np.eye(40, dtype=np.float32), 5, axis=0)
    assert base_similarity(rows) == 0.0
    # One narrative of everything: not the cosine within it, but that much of the way from what a tenth of the pairs have.
    one = unit_rows(np.ones((30, 8)) + np.random.default_rng(0).normal(scale=0.6, size=(30, 8)))
    within = (one @ one.T)[np.triu_indices(30, 1)]
    assert base_similarity(one) < np.quantile(within, 0.95)


def test_base_of_many_rows_is_that_of_few():
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(20, 8))
    rows = unit_rows(centres[generator.integers(0, 20, 100_002)] + generator.normal(size=(100_002, 8)))
    few = base_similarity(rows[:4000])
    assert few > 0.05
    for count in (99_999, 100_000, 100_001, 100_002):
        assert base_similarity(rows[:count]) == pytest.approx(few, abs=0.03)


def test_whole_rows_count_exactly():
    rows = unit_rows(np.random.default_rng(0).normal(size=(50, 256)))
    whole = whole_rows(rows)
    assert (whole == np.rint(whole)).all()
    assert np.square(whole.astype(np.float64)).sum(axis=1).max() <= 2.0**24
    products = whole @ whole.T
    assert (products == whole.astype(np.int64) @ whole.astype(np.int64).T).all()
    lengths = lists.norms(whole)
    assert np.abs(products / np.outer(lengths, lengths) - rows @ rows.T).max() < 5e-4


@pytest.mark.parametrize("cells", [1, 10_000, 2**23])
def test_all_lists_probed_are_brute_force(monkeypatch, cells):
    from greyzone.models import search

    monkeypatch.setattr(search, "CELLS", cells)
    rows, _ = stories(5)
    whole = whole_rows(rows)
    made = learn_lists(whole, Search("cpu"), list_rows=60)
    assert len(made.centroids) == 8
    probed = made.probe(whole, 8, Search("cpu"))
    shelf = Shelf.put(whole, probed[:, 0], 8)
    found, products = nearest_on_shelf(whole, probed, shelf, 5, Search("cpu"), own=np.arange(len(rows)), patience=8)
    exact = whole.astype(np.int64) @ whole.astype(np.int64).T
    np.fill_diagonal(exact, -(2**30))
    assert (products == -np.sort(-exact, axis=1)[:, :5]).all()
    assert (np.take_along_axis(exact, found, axis=1) == products).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([1, 3, 40, 400, 700]), st.integers(1, 20))
def test_greatest_products_are_those_of_a_full_sort(seed, queries, columns, k):
    # Few different numbers, so that most products are equal to others: ties go to the lower place.
    generator, k = np.random.default_rng(seed), min(k, columns)
    asking = generator.integers(-2, 3, size=(queries, 4)).astype(np.float32)
    rows = generator.integers(-2, 3, size=(columns, 4)).astype(np.float32)
    hidden = generator.integers(-1, columns, size=queries)
    exact = (asking @ rows.T).astype(np.float64)
    least = generator.integers(-8, 9, size=queries).astype(np.float32)
    above = np.where(exact > least[:, None], exact, -np.inf)
    exact[np.flatnonzero(hidden >= 0), hidden[hidden >= 0]] = -np.inf
    products, places = Search("cpu").top(asking, rows, k, hidden=hidden)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    assert (products == np.take_along_axis(exact, order, axis=1)).all()
    assert (places == order)[np.isfinite(products)].all()
    some, products, places = Search("cpu").top_above(asking, rows, k, least)
    order = np.argsort(-above, axis=1, kind="stable")[some, :k]
    assert (some == np.flatnonzero(np.isfinite(above).any(axis=1))).all()
    assert (products == np.take_along_axis(above[some], order, axis=1)).all()
    assert (places == order)[np.isfinite(products)].all()


@pytest.mark.parametrize("k", [1, 5, 16])
def test_what_a_gpu_runs_finds_the_same_greatest_products(k):
    generator = np.random.default_rng(1)
    asking, rows = (generator.integers(-3, 4, size=(count, 6)).astype(np.float32) for count in (30, 500))
    hidden, least = generator.integers(-1, 500, size=30), generator.integers(0, 20, size=30).astype(np.float32)
    here, there = Search("cpu"), Search("cpu")
    # torch's name for the processor: whatever is not "cpu" goes through torch.
    there.device = "cpu:0"
    for one, other in zip(here.top(asking, rows, k, hidden=hidden), there.top(asking, there.hold(rows), k, hidden=hidden), strict=True):
        assert (one == other).all()
    some, products, places = here.top_above(asking, rows, k, least)
    also, same, spots = there.top_above(asking, rows, k, least)
    assert (some == also).all()
    assert (products == same).all()
    assert (places == spots)[np.isfinite(products)].all()


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_query_stops_after_lists_that_bring_nothing_nearer(patience):
    rows, _ = stories(5)
    whole, search, k = whole_rows(rows), Search("cpu"), 5
    made = learn_lists(whole, search, list_rows=60)
    probed = made.probe(whole, 8, search)
    shelf = Shelf.put(whole, probed[:, 0], 8)
    _, products = nearest_on_shelf(whole, probed, shelf, k, search, own=np.arange(len(rows)), patience=patience)
    exact = whole.astype(np.int64) @ whole.astype(np.int64).T
    np.fill_diagonal(exact, -(2**30))
    stopped = 0
    for row, order in enumerate(probed):
        kept, idle = np.full(k, -np.inf), 0
        for turn, number in enumerate(order):
            if idle == patience:
                stopped += 1
                break
            better = np.sort(np.concatenate([kept, exact[row, shelf.members(number)]]))[::-1][:k]
            idle = 0 if turn == 0 or better.sum() > kept.sum() else idle + 1
            kept = better
        assert (products[row] == kept).all()
    assert stopped


def test_one_two_and_seven_shards_of_queries_find_the_same_bytes():
    rows, _ = stories(5)
    whole, search = whole_rows(rows), Search("cpu")
    made = learn_lists(whole, search, list_rows=60)
    shelf = Shelf.put(whole, made.probe(whole, 1, search)[:, 0], len(made.centroids))
    found = set()
    for shards in (1, 2, 7):
        parts = []
        for part in np.array_split(np.arange(len(rows)), shards):
            probed = made.probe(whole[part], 3, search)
            parts.append(nearest_on_shelf(whole[part], probed, shelf, 5, search, own=part))
        found.add(b"".join(np.concatenate(column).tobytes() for column in zip(*parts, strict=True)))
    assert len(found) == 1


def test_a_graph_through_lists_is_nearly_the_exact_one(monkeypatch):
    rows, _ = stories(6, count=30, size=25, noise=300)
    rows = np.concatenate([rows, rows[:100] + np.float32(0.001)])
    order = np.argsort(np.random.default_rng(0).random(len(rows)))
    rows = unit_rows(rows[order])
    exact = neighbour_graph(rows, 8, duplicates=0.97)
    monkeypatch.setattr(graph, "EXACT_ROWS", 10)
    monkeypatch.setattr(lists, "LIST_ROWS", 100)
    monkeypatch.setattr(lists.learn_lists, "__kwdefaults__", {"list_rows": 100})
    near = neighbour_graph(rows, 8, duplicates=0.97, device="cpu")
    assert near.lists is not None
    assert abs(len(near.chosen) - len(exact.chosen)) <= 2
    # Who follows is a near-duplicate of its leader, and leaders follow nobody.
    led = near.chosen[near.follows]
    assert ((rows * rows[led]).sum(axis=1) >= 0.97 - 1e-5).all()
    assert (near.follows[near.chosen] == np.arange(len(near.chosen))).all()
    common, one, other = np.intersect1d(exact.chosen, near.chosen, return_indices=True)
    hits = [
        len(set(exact.chosen[exact.indices[a]].tolist()) & set(near.chosen[near.indices[b]].tolist()))
        for a, b in zip(one, other, strict=True)
    ]
    assert np.mean(hits) / 8 > 0.9
    assert len(common) > 0.98 * len(exact.chosen)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_rows_leaves_no_trace_through_lists(seed):
    rows, _ = stories(seed, count=10, size=20, noise=100)
    rows = np.concatenate([rows, rows[:30]])
    order = np.random.default_rng(seed).permutation(len(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "EXACT_ROWS", 10)
        patch.setattr(lists.learn_lists, "__kwdefaults__", {"list_rows": 50})
        one, other = NarrativeClusterer().fit(rows), NarrativeClusterer().fit(rows[order])
    assert (one.hierarchy_[order] == other.hierarchy_).all()
    assert (one.probabilities_[order] == other.probabilities_).all()
    assert one.centroids_.tobytes() == other.centroids_.tobytes()
    assert len(one.centroids_) >= 8


THREADS = """
import hashlib, sys
import numpy as np
from threadpoolctl import threadpool_limits
from greyzone.cluster import NarrativeClusterer
from greyzone.eval.narratives.planted import planted
rows = planted(6000).rows
with threadpool_limits(int(sys.argv[1])):
    model = NarrativeClusterer().fit(rows)
print(hashlib.sha256(model.hierarchy_.tobytes() + model.probabilities_.tobytes() + model.centroids_.tobytes()).hexdigest())
"""


def test_number_of_threads_leaves_no_trace():
    found = set()
    for threads in (1, 2, 3):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, "-c", THREADS, str(threads)], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    assert len(found) == 1


def test_rows_fed_in_parts_end_nearly_as_in_one_go():
    rows, truth = stories(7, count=15, size=40, noise=200)
    batch = NarrativeClusterer().fit(rows).labels_
    model = NarrativeClusterer().fit(rows[:500])
    for start in range(500, len(rows), 50):
        model.partial_fit(rows[start : start + 50])
    assert len(model.labels_) == len(rows)
    for inner, outer in ((0, 1), (1, 2)):
        inside = model.hierarchy_[model.hierarchy_[:, inner] >= 0]
        assert (inside[:, outer] >= 0).all()
        assert len({(a, b) for a, b in inside[:, [inner, outer]].tolist()}) == len(set(inside[:, inner].tolist()))
    assert adjusted_rand_score(singles(batch), singles(model.labels_)) > 0.95
    assert adjusted_rand_score(truth[truth >= 0], model.labels_[truth >= 0]) > 0.9


def test_later_rows_found_a_narrative_of_their_own():
    rows, truth = stories(8)
    early = truth != 3
    model = NarrativeClusterer().fit(rows[early]).partial_fit(rows[~early])
    born = model.labels_[early.sum() :]
    assert (born >= 0).mean() > 0.9
    assert len(set(born[born >= 0].tolist())) == 1
    assert not set(born[born >= 0].tolist()) & set(model.labels_[: early.sum()].tolist())


def test_equal_rows_join_equal_rows():
    rows, _ = stories(9)
    model = NarrativeClusterer().fit(rows)
    before = model.labels_.copy()
    model.partial_fit(np.concatenate([rows[::3], np.zeros((2, rows.shape[1]))]), sample_weight=[2] * len(rows[::3]) + [1, 1])
    now = model.labels_
    assert (now[: len(rows)] == np.where(before >= 0, now[: len(rows)], -1)).all()
    assert adjusted_rand_score(before, now[: len(rows)]) == 1.0
    assert (now[len(rows) : -2] == now[: len(rows)][::3]).all()
    assert (model.leaders_[len(rows) : -2] == model.leaders_[: len(rows)][::3]).all()
    assert now[-2:].tolist() == [-1, -1]


def test_arrays_hold_all_that_is_needed_to_go_on():
    rows, _ = stories(10)
    first = NarrativeClusterer(min_cluster_size=6).fit(rows[:350])
    arrays = first.to_arrays()
    assert all(array.dtype != object for array in arrays.values())
    again = NarrativeClusterer.from_arrays(arrays)
    assert again.get_params() == first.get_params()
    assert (again.hierarchy_ == first.hierarchy_).all()
    assert (again.leaders_ == first.leaders_).all()
    one, other = first.partial_fit(rows[350:]).labels_, again.partial_fit(rows[350:]).labels_
    assert adjusted_rand_score(singles(one), singles(other)) > 0.99


def test_nothing_joins_and_nothing_was_there():
    rows, _ = stories(11)
    model = NarrativeClusterer().fit(rows)
    before = model.hierarchy_.copy()
    assert (model.partial_fit(rows[:0]).hierarchy_ == before).all()
    late = NarrativeClusterer().fit(np.zeros((3, rows.shape[1]))).partial_fit(rows)
    assert late.labels_[:3].tolist() == [-1] * 3
    assert (late.hierarchy_[3:] == before).all()
    few = NarrativeClusterer().fit(rows[:1]).partial_fit(rows[1:])
    assert adjusted_rand_score(singles(before[:, 1]), singles(few.labels_)) > 0.5


def test_a_known_row_takes_a_nearer_new_neighbour():
    known = Neighbours(np.array([[1, 2], [0, 2], [0, 1]]), np.array([[0.9, 0.3], [0.9, 0.4], [0.3, 0.4]]))
    new = Neighbours(np.array([[0, 1]]), np.array([[0.5, 0.35]]))
    found = joining._with_new(known, new)
    assert found.indices.tolist() == [[1, 3], [0, 2], [0, 1], [0, 1]]
    assert found.similarities.tolist() == [[0.9, 0.5], [0.9, 0.4], [0.3, 0.4], [0.5, 0.35]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(0, 6))
def test_distinct_numbers_and_places_are_those_of_numpy(seed, rows, columns):
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-3, 4, rows * columns)
    assert distinct(numbers).tolist() == np.unique(numbers).tolist()
    mask = generator.random((rows, columns)) < 0.4
    assert [part.tolist() for part in places_of(mask)] == [part.tolist() for part in np.nonzero(mask)]
