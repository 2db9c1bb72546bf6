"""NarrativeClusterer: against hdbscan, against naive neighbours, and the promises on order, copies and odd input."""

from __future__ import annotations

import gzip
import json
import pathlib

import hdbscan
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from greyzone import neighbours
from greyzone.cluster import NarrativeClusterer, levels
from greyzone.cluster.hierarchy import Neighbours
from greyzone.errors import InputError
from greyzone.eval.narratives.planted import planted_giant
from greyzone.neighbours import unit_rows

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def blobs(seed: int = 0, sizes: tuple[int, ...] = (30, 20, 12), noise: int = 25, width: int = 32, spread: float = 0.09):
    """Return unit rows around random directions, background last, and their truth (-1 background)."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(len(sizes), width))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = [centre + generator.normal(scale=spread, size=(size, width)) for centre, size in zip(centres, sizes, strict=True)]
    rows.append(generator.normal(size=(noise, width)))
    truth = np.repeat(np.r_[np.arange(len(sizes)), -1], [*sizes, noise])
    return neighbours.unit_rows(np.concatenate(rows)), truth


PLAIN = {"linkage": "density", "closure": 0.0, "cohesion": -1.0, "contrast": -1.0, "attach": 1.0, "duplicates": 1.0}
"""HDBSCAN and nothing else."""


def partition(labels):
    """Return the groups of a labelling, whatever their numbers."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels >= 0])}


# The checks plant blobs in two dimensions, where the default `duplicates` of 0.97 is an arc of 14 degrees and joins half a blob.
@parametrize_with_checks(
    [NarrativeClusterer(duplicates=0.999)],
    expected_failed_checks=lambda _: {
        "check_estimators_empty_data_messages": "no documents are a corpus without narratives, not an error",
    },
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("selection", ["eom", "leaf"])
# hdbscan's own result hangs on the order of the rows for some seeds (1 and 7, say), where distances tie.
@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5, 6])
def test_hierarchy_is_that_of_hdbscan(seed, selection):
    # With every other row a neighbour, and no collapse, merging or attaching, what is left is HDBSCAN on 1 - cosine.
    # hdbscan does not count the row itself in min_samples.
    rows, _ = blobs(seed, sizes=(20, 14, 9), noise=15)
    exact = rows.astype(np.float64)
    distance = np.clip(1.0 - exact @ exact.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    wanted = hdbscan.HDBSCAN(min_cluster_size=5, min_samples=2, metric="precomputed", cluster_selection_method=selection).fit(distance)
    found = NarrativeClusterer(n_neighbors=len(rows), selection=selection, **PLAIN).fit(rows)
    assert partition(found.labels_) == partition(wanted.labels_)
    assert len(partition(found.labels_)) > 1
    np.testing.assert_allclose(found.probabilities_, wanted.probabilities_, atol=1e-5)


def test_finds_planted_narratives_and_leaves_background():
    rows, truth = blobs()
    model = NarrativeClusterer().fit(rows)
    assert adjusted_rand_score(truth[truth >= 0], model.labels_[truth >= 0]) > 0.95
    assert (model.labels_[truth < 0] < 0).mean() > 0.8
    sizes = np.bincount(model.labels_[model.labels_ >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert (model.labels_[model.medoids_] == np.arange(len(sizes))).all()
    np.testing.assert_allclose(np.linalg.norm(model.centroids_, axis=1), 1.0, atol=1e-6)


def test_wordings_of_one_story_are_one_narrative():
    # Two tight bundles 25 degrees apart are one story against a third and a fourth at right angles.
    generator = np.random.default_rng(1)
    angle = np.deg2rad(25)
    bases = np.zeros((4, 24))
    bases[0, 0] = bases[2, 2] = bases[3, 3] = 1.0
    bases[1, 0], bases[1, 1] = np.cos(angle), np.sin(angle)
    rows = np.repeat(bases, 12, axis=0) + generator.normal(scale=0.05, size=(48, 24))
    assert partition(NarrativeClusterer().fit(rows).labels_) == {frozenset(range(24)), frozenset(range(24, 36)), frozenset(range(36, 48))}


def test_unrelated_narratives_never_merge_however_large_one_is():
    generator = np.random.default_rng(2)
    rows = np.repeat(np.eye(20)[:3], [180, 10, 10], axis=0) + generator.normal(scale=0.08, size=(200, 20))
    model = NarrativeClusterer().fit(rows)
    assert len({model.labels_[181], model.labels_[195], model.labels_[0]}) == 3


def test_wordings_are_stories_of_one_narrative():
    generator = np.random.default_rng(4)
    axes = np.eye(60)
    wordings = [axes[number] + 0.55 * axes[10 + 2 * number + turn] for number in range(4) for turn in range(2)]
    rows = np.repeat(wordings, 10, axis=0) + generator.normal(scale=0.07, size=(80, 60))
    model = NarrativeClusterer().fit(np.concatenate([rows, generator.normal(size=(60, 60))]))
    story, narrative, _ = model.hierarchy_[:80].T
    assert partition(story) == {frozenset(range(start, start + 10)) for start in range(0, 80, 10)}
    assert partition(narrative) == {frozenset(range(start, start + 20)) for start in range(0, 80, 20)}
    assert (model.labels_[:80] == narrative).all()


def test_narratives_on_one_subject_are_one_theme():
    generator = np.random.default_rng(5)
    axes = np.eye(80)
    tellings = [0.7 * axes[number // 2] + 0.714 * axes[10 + number] for number in range(8)]
    rows = np.repeat(tellings, 12, axis=0) + generator.normal(scale=0.04, size=(96, 80))
    rows = np.concatenate([rows, generator.normal(size=(60, 80))])
    model = NarrativeClusterer().fit(rows)
    _, narrative, theme = model.hierarchy_[:96].T
    assert partition(narrative) == {frozenset(range(start, start + 12)) for start in range(0, 96, 12)}
    assert partition(theme) == {frozenset(range(start, start + 24)) for start in range(0, 96, 24)}
    for level, column in zip(("story", "narrative", "theme"), model.hierarchy_.T, strict=True):
        assert (NarrativeClusterer(level=level).fit(rows).labels_ == column).all()


def test_a_theme_holds_narratives_whole_by_hand():
    # Narrative 0 has two documents in theme 4 and three in theme 7, narrative 1 none in any, narrative 2 two copies in theme 4.
    label = np.array([0, 0, 0, 0, 0, 1, 1, 2, -1, -1, -1])
    theme = np.array([4, 4, 7, 7, 7, -1, -1, 4, 4, 9, -1])
    size = np.array([1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 5])
    rule = levels.Rule(3, "average", 3, "eom", 0.75, 0.2, 0.2, 0.8, False, "cpu", 0.3)
    # Theme 9 has one document: too few.
    assert levels._themes(theme, label, size, rule).tolist() == [1, 1, 1, 1, 1, 2, 2, 0, 0, -1, -1]
    assert (rule.subject, levels.Rule(3, "average", 3, "eom", 0.75, 0.2, 0.2, 0.8, False, "cpu", 0.0).subject) == (0.3, pytest.approx(0.12))


def test_subjects_are_themes_though_they_hold_more_than_a_twentieth_of_all_pairs():
    # Two subjects of four narratives each: the base, a high quantile of all cosines, lies within a subject.
    generator = np.random.default_rng(6)
    axes = np.eye(80)
    tellings = [0.6 * axes[number // 4] + 0.8 * axes[10 + number] for number in range(8)]
    rows = np.repeat(tellings, 12, axis=0) + generator.normal(scale=0.06, size=(96, 80))
    model = NarrativeClusterer().fit(np.concatenate([rows, generator.normal(size=(30, 80))]))
    assert partition(model.hierarchy_[:96, 1]) == {frozenset(range(start, start + 12)) for start in range(0, 96, 12)}
    assert partition(model.hierarchy_[:96, 2]) == {frozenset(range(48)), frozenset(range(48, 96))}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_every_story_has_one_narrative_and_every_narrative_one_theme(seed):
    rows, _ = blobs(seed, sizes=(30, 20, 12, 9), noise=30, spread=0.05 + seed % 7 * 0.03)
    hierarchy = NarrativeClusterer().fit(rows).hierarchy_
    for inner, outer in ((0, 1), (1, 2)):
        inside = hierarchy[hierarchy[:, inner] >= 0]
        assert (inside[:, outer] >= 0).all()
        assert len({(a, b) for a, b in inside[:, [inner, outer]].tolist()}) == len(set(inside[:, inner].tolist()))


def test_leaders_are_near_and_follow_nobody():
    rows, _ = blobs(9, spread=0.01)
    rows = np.concatenate([rows, rows[:7], np.zeros((1, rows.shape[1]), dtype=np.float32)])
    leaders = NarrativeClusterer().fit(rows).leaders_
    assert (leaders[leaders] == leaders).all()
    assert (np.einsum("ij,ij->i", rows, rows[leaders])[:-1] >= 0.97 - 1e-6).all()
    assert leaders[-1] == len(rows) - 1
    assert len(set(leaders.tolist())) < len(rows) / 2


def test_attaching_by_hand():
    # Members at 0, 5, 10, 15 and 20 degrees: centroid at 10, radius 1 - cos 10 = 0.0152, of which 1.5 reach to 12.3 degrees from it.
    # An outlier at 22 degrees is within, one at 24 is not. Both see two members and one outlier, all as near: share 2/3.
    angle = np.deg2rad([0, 5, 10, 15, 20, 22, 24])
    rows = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    label, strength = np.array([0, 0, 0, 0, 0, -1, -1]), np.array([1.0] * 5 + [0.0] * 2)
    seen = Neighbours(np.array([[0, 1, 2]] * 5 + [[4, 3, 6], [4, 3, 5]]), np.full((7, 3), 0.9))
    found, probability = levels._attach(rows, label, strength, seen, 0.6)
    assert found.tolist() == [0, 0, 0, 0, 0, 0, -1]
    assert probability[5] == pytest.approx(2 / 3)
    assert levels._attach(rows, label, strength, seen, 0.7)[0].tolist() == label.tolist()


def test_letting_go_by_hand():
    # Row 3 has one of four neighbours, all as near, in its narrative: a share of 1/4. Row 4 has a copy beside the same, which counts as a
    # neighbour at cosine 1: (1 + m) / (1 + 4 m) with m = exp(-1), .55. Row 5 has two of six, four of them outside the graph: 1/3.
    seen = Neighbours(np.array([[1, 2, 3, 4]] * 3 + [[0, 5, 6, 7]] * 2 + [[0, 1, -1, -1]] + [[3, 4, 5, -1]] * 2), np.full((8, 4), 0.9))
    label, size = np.array([0, 0, 0, 0, 0, 0, -1, -1]), np.array([1, 1, 1, 1, 2, 1, 1, 1])
    copies, total = levels._near_masses(size, seen, np.array([0.0, 0, 0, 0, 0, 4 * np.exp(-1), 0, 0]))
    assert copies.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert total[[3, 4, 5]].tolist() == pytest.approx([4 * np.exp(-1), 1 + 4 * np.exp(-1), 6 * np.exp(-1)])
    label[5] = -1
    assert levels._let_go(label, seen, copies, total, 0.7).tolist() == [0, 0, 0, -1, 0, -1, -1, -1]
    assert levels._let_go(label, seen, copies, total, 0.8).tolist() == label.tolist()
    label[5] = 0
    assert levels._let_go(label, seen, copies, total, 0.6).tolist() == [0, 0, 0, 0, 0, -1, -1, -1]
    for attach in (0.1, 1.0):
        assert levels._let_go(label, seen, copies, total, attach).tolist() == label.tolist()


def test_attaching_only_adds():
    rows, _ = blobs(4, spread=0.15)
    strict, wide = NarrativeClusterer(attach=1.0).fit(rows), NarrativeClusterer(attach=0.2).fit(rows)
    gained = (strict.labels_ < 0) & (wide.labels_ >= 0)
    assert (wide.probabilities_[gained] > 0.2).all()
    assert partition(np.where(gained, -1, wide.labels_)) == partition(strict.labels_)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_row_order_leaves_no_trace(seed, shuffle):
    rows, _ = blobs(seed % 50, spread=0.15)
    rows = np.concatenate([rows, rows[:20], np.zeros((2, rows.shape[1]), dtype=np.float32)])
    order = np.random.default_rng(shuffle).permutation(len(rows))
    one, other = NarrativeClusterer().fit(rows), NarrativeClusterer().fit(rows[order])
    assert (one.labels_[order] == other.labels_).all()
    assert (one.probabilities_[order] == other.probabilities_).all()
    assert one.centroids_.tobytes() == other.centroids_.tobytes()
    assert (rows[one.medoids_] == rows[order][other.medoids_]).all()


def test_block_size_leaves_no_trace(monkeypatch):
    rows, _ = blobs(3, sizes=(60, 40, 30), noise=60)
    whole = NarrativeClusterer(n_neighbors=4).fit(rows)
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 700)
    blocks = NarrativeClusterer(n_neighbors=4).fit(rows)
    assert (whole.labels_ == blocks.labels_).all()
    assert (whole.probabilities_ == blocks.probabilities_).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=40, max_size=40).filter(any))
def test_weights_are_documents(seed, extra):
    # A row of weight w is w equal rows; equal rows share their label.
    rows, _ = blobs(seed % 20, sizes=(16, 12), noise=12)
    weight = np.array(extra)
    weighted = NarrativeClusterer().fit(rows, sample_weight=weight)
    repeated = NarrativeClusterer().fit(np.repeat(rows, weight, axis=0))
    assert (np.repeat(weighted.labels_, weight) == repeated.labels_).all()
    assert (weighted.labels_[weight == 0] == -1).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=0, max_size=60), st.integers(1, 4))
def test_equal_rows_are_never_split(picks, min_samples):
    base = np.random.default_rng(7).normal(size=(12, 6))
    rows = base[picks].reshape(len(picks), 6)
    labels = NarrativeClusterer(min_samples=min_samples).fit(rows).labels_
    assert labels.shape == (len(picks),)
    for pick in set(picks):
        assert len(set(labels[np.array(picks) == pick])) == 1


@pytest.mark.parametrize("rows", [0, 1, 2, 4])
def test_too_few_rows_are_noise(rows):
    model = NarrativeClusterer().fit(np.eye(6)[:rows].reshape(rows, 6))
    assert model.labels_.tolist() == [-1] * rows
    assert model.probabilities_.tolist() == [0.0] * rows
    assert model.centroids_.shape == (0, 6)
    assert model.medoids_.shape == (0,)


def test_identical_rows_are_one_narrative_from_the_minimum_on():
    assert NarrativeClusterer().fit(np.ones((4, 3))).labels_.tolist() == [-1] * 4
    model = NarrativeClusterer().fit(np.ones((5, 3)))
    assert model.labels_.tolist() == [0] * 5
    assert model.probabilities_.tolist() == [1.0] * 5


def test_all_different_rows_are_noise():
    assert (NarrativeClusterer().fit(np.eye(40)).labels_ == -1).all()


def test_zero_rows_are_noise():
    rows, _ = blobs()
    labels = NarrativeClusterer().fit(np.concatenate([rows, np.zeros((9, rows.shape[1]))])).labels_
    assert (labels[-9:] == -1).all()
    assert (labels[:-9] == NarrativeClusterer().fit(rows).labels_).all()


def test_one_blob_is_one_narrative_only_if_allowed():
    rows, _ = blobs(5, sizes=(40,), noise=0)
    assert len(NarrativeClusterer(allow_single_cluster=True).fit(rows).centroids_) >= 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        NarrativeClusterer().fit(np.full((6, 2), np.nan))
    with pytest.raises(InputError, match=r"weight of 0\.5"):
        NarrativeClusterer().fit(np.eye(3), sample_weight=[1, 0.5, 2])
    with pytest.raises(InputError, match="weight of -1"):
        NarrativeClusterer().fit(np.eye(3), sample_weight=[1, -1, 2])
    with pytest.raises(ValueError, match="min_cluster_size"):
        NarrativeClusterer(min_cluster_size=1).fit(np.eye(3))


def test_nearest_is_brute_force(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 500)
    rows, _ = blobs(6)
    indices, similarities = neighbours.nearest(rows, 7)
    exact = np.round((rows[:, None, :].astype(np.float64) * rows[None, :, :]).sum(axis=2), neighbours.DECIMALS)
    np.fill_diagonal(exact, -np.inf)
    wanted = np.lexsort((np.broadcast_to(np.arange(len(rows)), exact.shape), -exact), axis=1)[:, :7]
    assert (indices == wanted).all()
    assert (similarities == np.take_along_axis(exact, wanted, axis=1)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([64, 300, 2**24]))
def test_leaders_are_the_greedy_ones(seed, cells):
    generator = np.random.default_rng(seed)
    rows = neighbours.unit_rows(generator.normal(size=(60, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK_CELLS", cells)
        found = neighbours.leaders(rows, 0.9)
    exact = np.round((rows[:, None, :].astype(np.float64) * rows[None, :, :]).sum(axis=2), neighbours.DECIMALS)
    chosen: list[int] = []
    for row in range(len(rows)):
        if not any(exact[row, leader] >= 0.9 for leader in chosen):
            chosen.append(row)
    wanted = [row if row in chosen else max(chosen, key=lambda leader: (exact[row, leader], -leader)) for row in range(len(rows))]
    assert found.tolist() == wanted


def test_components_are_joined_at_their_true_distance(monkeypatch):
    # One neighbour a row leaves many components; joined exactly, the hierarchy must be that of the full graph when the core distance
    # is that of the only neighbour (min_samples 2).
    rows, _ = blobs(8)
    sparse = NarrativeClusterer(n_neighbors=1, min_samples=2, **PLAIN).fit(rows)
    dense = NarrativeClusterer(n_neighbors=len(rows), min_samples=2, **PLAIN).fit(rows)
    assert partition(sparse.labels_) == partition(dense.labels_)


@pytest.mark.shared
def test_story_clusters_of_real_headlines():
    path = SHARED / "uci_news_aggregator_6k.jsonl.gz"
    if not path.exists():
        pytest.skip("research data not beside the repository")
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import adjusted_mutual_info_score

    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:3000]
    matrix = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english").fit_transform([row["title"] for row in rows])
    labels = NarrativeClusterer().fit(TruncatedSVD(64, random_state=0).fit_transform(matrix)).labels_
    assert adjusted_mutual_info_score([row["label"] for row in rows], labels) > 0.6


def test_background_is_not_taken_for_one_large_narrative():
    generator = np.random.default_rng(8)
    background = generator.normal(size=(400, 200))
    centres = np.eye(200)[:4] * 20
    stories = np.concatenate([centre + generator.normal(size=(12, 200)) * 0.6 for centre in centres])
    rows = np.concatenate([background, stories]).astype(np.float32)
    told = NarrativeClusterer(attach=1).fit(rows).labels_
    assert (told[:400] >= 0).mean() < 0.2
    for label in range(told.max() + 1):
        inside = unit_rows(rows[told == label]).astype(np.float64)
        alike = (np.linalg.norm(inside.sum(axis=0)) ** 2 - len(inside)) / (len(inside) * (len(inside) - 1))
        assert alike > 0.2
    assert len({tuple(told[400 + 12 * story : 412 + 12 * story]) for story in range(4)}) == 4
    assert (told[400:] >= 0).all()


def test_one_story_alone_still_holds_together():
    generator = np.random.default_rng(5)
    rows = (np.ones(16) + generator.normal(size=(40, 16)) * 0.3).astype(np.float32)
    assert NarrativeClusterer(allow_single_cluster=True).fit(rows).labels_.max() >= 0


@pytest.mark.parametrize("rows", [300, 5000])
@pytest.mark.parametrize("weight", [5, 12_000])
def test_a_text_that_many_repeat_is_a_narrative_though_nothing_is_like_it(rows, weight):
    data = unit_rows(np.random.default_rng(0).normal(size=(rows, 64)))
    found = NarrativeClusterer().fit(data, sample_weight=np.where(np.arange(rows) == 7, weight, 1))
    assert np.flatnonzero(found.labels_ >= 0).tolist() == [7]
    assert found.probabilities_[7] == 1
    fewer = NarrativeClusterer().fit(data, sample_weight=np.where(np.arange(rows) == 7, 4, 1))
    assert (fewer.labels_ < 0).all()


@pytest.mark.parametrize(("copies", "others"), [(12_000, 1000), (30_000, 2000)])
def test_copies_that_fill_lists_of_their_own_are_one_narrative(copies, others):
    made = planted_giant(copies, others=others)
    found = NarrativeClusterer().fit(made.rows)
    giant = found.labels_[made.labels == 0]
    assert len(giant) == copies + 1
    assert (giant == giant[0]).all()
    assert giant[0] >= 0
    assert (found.labels_ == giant[0]).sum() <= copies + 1 + others // 100
