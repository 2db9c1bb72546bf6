"""Ranks, pairs, neighbours and clusterings against hand-computed values and naive references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.eval.encoders import clustering, retrieval
from greyzone.eval.metrics import average_precision


def unit(angles):
    """Rows in the plane at these angles (degrees)."""
    radians = np.radians(np.asarray(angles, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def random_rows(seed, count, width=8):
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_golden_pair_precision():
    # Angles 0, 10, 40, 90; labels a a b a. Pairs from near to far: 0-10 (10 degrees, alike), 10-40 (30, no), 0-40 (40, no),
    # 40-90 (50, no), 10-90 (80, alike), 0-90 (90, alike). AP = (1/1 + 2/5 + 3/6) / 3.
    found = retrieval.pair_precision(unit([0, 10, 40, 90]), np.array([0, 0, 1, 0]))
    assert found.value == pytest.approx((1 + 2 / 5 + 3 / 6) / 3)
    assert (found.pairs, found.pairs_alike) == (6, 3)


def test_pair_precision_of_equal_rows_is_the_share_of_pairs_alike():
    # All cosines are equal, so all six pairs are one step: two of them alike.
    found = retrieval.pair_precision(unit([30, 30, 30, 30]), np.array([0, 0, 1, 1]))
    assert found.value == pytest.approx(2 / 6)
    zero = retrieval.pair_precision(np.zeros((4, 2), dtype=np.float32), np.array([0, 0, 1, 1]))
    assert zero.value == pytest.approx(2 / 6)


def pairs_of(vectors, labels):
    rows, columns = np.triu_indices(len(vectors), 1)
    return labels[rows] == labels[columns], (vectors @ vectors.T)[rows, columns]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(1, 4), st.sampled_from([4, 64, 1 << 12, retrieval.BINS]))
def test_oracle_pair_precision_and_its_bounds(seed, count, clusters, bins):
    vectors = random_rows(seed, count)
    # Labels repeat, so that there is a pair; a copy gives cosines of exactly 1.
    labels = np.arange(count) % min(clusters, count - 1)
    vectors[1] = vectors[0]
    found = retrieval.pair_precision(vectors, labels, bins=bins)
    alike, cosines = pairs_of(vectors, labels)
    rounded = np.clip(np.floor((cosines + np.float32(1)) * np.float32(bins / 2)), 0, bins - 1)
    assert found.value == pytest.approx(average_precision(alike, rounded), abs=1e-12)
    exact = average_precision(alike, cosines)
    assert found.lowest - 1e-12 <= exact <= found.highest + 1e-12
    assert found.lowest - 1e-12 <= found.value <= found.highest + 1e-12


def test_pair_precision_in_blocks(monkeypatch):
    vectors, labels = random_rows(3, 50), np.arange(50) % 7
    whole = retrieval.pair_precision(vectors, labels)
    monkeypatch.setattr(retrieval, "CHUNK", 7)
    assert retrieval.pair_precision(vectors, labels) == whole


def test_pair_precision_needs_a_pair():
    with pytest.raises(InputError, match="no two of 3"):
        retrieval.pair_precision(unit([0, 1, 2]), np.array([0, 1, 2]))
    with pytest.raises(InputError, match="3 vectors and 2"):
        retrieval.pair_precision(unit([0, 1, 2]), np.array([0, 1]))


def test_golden_ranks():
    # The query at 0 degrees sees candidates at 5, 20, 60, 100 in that order.
    candidates = unit([5, 20, 60, 100])
    assert retrieval.ranks(unit([0, 0, 0, 0]), candidates, [(0,), (2,), (3, 1), (3,)]).tolist() == [1, 3, 2, 4]
    # 1, 1/3, 1/2, 1/4
    found = np.array([1, 3, 2, 4])
    assert retrieval.mean_reciprocal_rank(found) == pytest.approx((1 + 1 / 3 + 1 / 2 + 1 / 4) / 4)
    assert [retrieval.recall_at(found, depth) for depth in (1, 2, 3, 10)] == [0.25, 0.5, 0.75, 1.0]


def test_ties_do_not_help():
    # A zero query has cosine 0 with all: the right candidate is last of four. A zero candidate ties with an orthogonal one.
    candidates = unit([5, 20, 60, 100])
    assert retrieval.ranks(np.zeros((1, 2), dtype=np.float32), candidates, [(0,)]).tolist() == [4]
    assert retrieval.ranks(unit([0]), unit([10, 10, 50]), [(0,)]).tolist() == [2]
    # Two right candidates that tie with each other do not push one another down.
    assert retrieval.ranks(unit([0]), unit([10, 10, 50]), [(0, 1)]).tolist() == [1]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 15), st.data())
def test_oracle_ranks(seed, n_queries, n_candidates, data):
    queries, candidates = random_rows(seed, n_queries), random_rows(seed + 1, n_candidates)
    answer = st.lists(st.integers(0, n_candidates - 1), min_size=1, max_size=3, unique=True)
    gold = [data.draw(answer) for _ in range(n_queries)]
    naive = []
    for query, right in zip(queries, gold, strict=True):
        scores = [float(score) for score in query @ candidates.T]
        best = max(scores[place] for place in right)
        naive.append(1 + sum(scores[place] >= best for place in range(n_candidates) if place not in right))
    assert retrieval.ranks(queries, candidates, gold).tolist() == naive


def test_queries_without_an_answer():
    with pytest.raises(InputError, match="1 queries without"):
        retrieval.ranks(unit([0, 1]), unit([0]), [(0,), ()])
    with pytest.raises(InputError, match="no queries"):
        retrieval.mean_reciprocal_rank(np.array([], dtype=np.int64))


def test_golden_spearman():
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * (1 + 1 + 1 + 1) / (5 * 24).
    assert retrieval.spearman([10, 20, 30, 40, 50], [2, 1, 4, 3, 5]) == pytest.approx(1 - 6 * 4 / 120)
    # Ties share a mean rank: 1.5, 1.5, 3 against 1, 2, 3 have Pearson correlation 1.5 / sqrt(1.5 * 2).
    assert retrieval.spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)
    assert retrieval.spearman([1, 1, 1], [1, 2, 3]) == 0.0
    with pytest.raises(InputError):
        retrieval.spearman([1], [1])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30))
def test_oracle_spearman(values):
    from scipy.stats import spearmanr

    one, other = map(list, zip(*values, strict=True))
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert retrieval.spearman(one, other) == pytest.approx(float(spearmanr(one, other).statistic), abs=1e-12)


def test_golden_pair_cosines():
    found = retrieval.pair_cosines(unit([0, 0, 45]), np.array([[0.5, math.sqrt(0.75)], [0, 0], [0, 1]], dtype=np.float32))
    np.testing.assert_allclose(found, [0.5, 0, math.sqrt(0.5)], atol=1e-7)


def test_golden_nearest():
    vectors = unit([0, 10, 25, 90])
    assert retrieval.nearest(vectors, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    allowed = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)
    assert retrieval.nearest(vectors, 2, allowed=allowed).tolist() == [[3, -1], [0, 2], [-1, -1], [1, 0]]


def test_golden_own_language_share():
    # Two clumps of one language each, two apart: every nearest neighbour speaks alike; by chance one of three would.
    found = retrieval.own_language_share(unit([0, 1, 90, 91]), ["de", "de", "ru", "ru"], count=1)
    assert found.share == 1.0
    assert found.chance == pytest.approx(1 / 3)
    mixed = retrieval.own_language_share(unit([0, 1, 90, 91]), ["de", "ru", "de", "ru"], count=1)
    assert mixed.share == 0.0
    with pytest.raises(InputError, match="more than 4"):
        retrieval.own_language_share(unit([0, 1, 90, 91]), ["de"] * 4, count=4)


def test_golden_label_agreement():
    labels = [frozenset("a"), frozenset("ab"), frozenset("b"), frozenset("c")]
    everything = np.ones((4, 4), dtype=bool)
    # Nearest: 0-1 share a, 1-0 share a, 2-1 share b, 3-2 share nothing. By chance: 1/3, 2/3, 1/3, 0.
    found = retrieval.label_agreement(unit([0, 10, 25, 90]), labels, everything)
    assert found.share == pytest.approx(3 / 4)
    assert found.chance == pytest.approx((1 / 3 + 2 / 3 + 1 / 3 + 0) / 4)
    # Only row 0 may have a neighbour, and only row 3.
    only = np.zeros((4, 4), dtype=bool)
    only[0, 3] = True
    assert retrieval.label_agreement(unit([0, 10, 25, 90]), labels, only).share == 0.0
    with pytest.raises(InputError, match="no neighbour allowed"):
        retrieval.label_agreement(unit([0, 10, 25, 90]), labels, np.eye(4, dtype=bool))


def test_clusterings_find_clear_clusters():
    angles = [0, 2, 4, 90, 92, 94, 180, 182, 184]
    labels = np.repeat([2, 0, 1], 3)
    for found in (clustering.kmeans_agreement(unit(angles), labels), clustering.linkage_agreement(unit(angles), labels)):
        assert found.ami == pytest.approx(1)
        assert found.ari == pytest.approx(1)
    shuffled = clustering.kmeans_agreement(unit(angles), np.array([0, 1, 2, 0, 1, 2, 0, 1, 2]))
    assert shuffled.ami < 0
    with pytest.raises(InputError):
        clustering.kmeans_agreement(unit([0]), np.array([0]))


def test_kmeans_is_repeatable_and_averages_its_seeds():
    vectors, labels = random_rows(5, 60), np.arange(60) % 6
    found = clustering.kmeans_agreement(vectors, labels)
    assert clustering.kmeans_agreement(vectors, labels) == found
    single = [clustering.kmeans_agreement(vectors, labels, seeds=(seed,)).ami for seed in clustering.SEEDS]
    assert len(set(single)) > 1
    assert found.ami == pytest.approx(np.mean(single))


def test_oracle_linkage_distances(monkeypatch):
    from scipy.spatial.distance import pdist

    vectors = random_rows(8, 23)
    monkeypatch.setattr(clustering, "CHUNK", 5)
    np.testing.assert_allclose(clustering.pair_distances(vectors), pdist(vectors, "cosine"), atol=1e-6)


def test_linkage_takes_the_height_with_the_highest_agreement():
    # 20 degrees within, 70 between neighbouring clusters: only cuts between 0.06 and 0.36 or so separate them.
    found = clustering.linkage_agreement(unit([0, 20, 90, 110, 180, 200]), np.array([0, 0, 1, 1, 2, 2]))
    assert found.ami == pytest.approx(1)
    assert 1 - math.cos(math.radians(20)) < found.height < 1 - math.cos(math.radians(70))
