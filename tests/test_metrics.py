from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.eval.metrics import average_precision, bcubed, ece, group_recovery

labels = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"])), min_size=1, max_size=30)


def naive_bcubed(truth, predicted):
    def same(items, i, j):
        return i == j or (items[i] is not None and items[i] == items[j])

    n = len(truth)
    precision = recall = 0.0
    for i in range(n):
        cluster = [j for j in range(n) if same(predicted, i, j)]
        narrative = [j for j in range(n) if same(truth, i, j)]
        both = len(set(cluster) & set(narrative))
        precision += both / len(cluster) / n
        recall += both / len(narrative) / n
    return precision, recall


def test_bcubed_golden():
    # Truth {0,1,2}, {3,4}, {5}; found {0,1}, {2,3,4}, {5}.
    # Precision: 1, 1, 1/3, 2/3, 2/3, 1 -> 14/3 / 6 = 7/9. Recall: 2/3, 2/3, 1/3, 1, 1, 1 -> 14/3 / 6 = 7/9.
    precision, recall, f1 = bcubed(["x", "x", "x", "y", "y", None], [1, 1, 2, 2, 2, -1])
    assert precision == pytest.approx(7 / 9)
    assert recall == pytest.approx(7 / 9)
    assert f1 == pytest.approx(7 / 9)


def test_bcubed_counts_noise_as_singletons():
    # One narrative of four, all called noise: precision 1, recall 1/4, F1 2/5. The other way round precision 1/4, recall 1.
    assert tuple(bcubed(np.zeros(4, dtype=int), np.full(4, -1))) == pytest.approx((1.0, 0.25, 0.4))
    assert tuple(bcubed([None] * 4, ["one"] * 4)) == pytest.approx((0.25, 1.0, 0.4))


def test_bcubed_subset_keeps_the_clusters_whole():
    # The first two documents are narrative x, but their cluster also holds the third: precision 2/3, recall 1.
    value = bcubed(["x", "x", None], [7, 7, 7], subset=np.array([True, True, False]))
    assert (value.precision, value.recall) == pytest.approx((2 / 3, 1.0))


@given(st.data())
def test_bcubed_equals_the_naive_one(data):
    truth = data.draw(labels)
    predicted = data.draw(st.lists(st.one_of(st.none(), st.sampled_from(["p", "q", "r"])), min_size=len(truth), max_size=len(truth)))
    value = bcubed(truth, predicted)
    assert (value.precision, value.recall) == pytest.approx(naive_bcubed(truth, predicted))


@given(labels)
def test_bcubed_of_the_truth_is_one_and_names_do_not_matter(truth):
    renamed = [None if label is None else f"other {label}" for label in truth]
    assert bcubed(truth, renamed).f1 == pytest.approx(1.0)


def test_bcubed_of_integers_and_of_strings_agree():
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(-1, 5, 400), generator.integers(-1, 7, 400)
    as_names = [[None if value == -1 else f"n{value}" for value in row] for row in (truth, predicted)]
    assert tuple(bcubed(truth, predicted)) == pytest.approx(tuple(bcubed(*as_names)))


def test_bcubed_is_fast_enough_for_many():
    generator = np.random.default_rng(0)
    value = bcubed(generator.integers(-1, 50_000, 1_000_000), generator.integers(-1, 50_000, 1_000_000))
    assert 0 < value.f1 < 0.1


def test_group_recovery_golden():
    # Planted {a,b,c,d}; found g1 {a,b,c,x} shares 3 of 5 (.6), g2 {a} shares 1 of 4 (.25).
    match = group_recovery({"one": {"a", "b", "c", "d"}, "two": {"z"}}, {"g1": {"a", "b", "c", "x"}, "g2": {"a"}})
    assert (match["one"].match, match["one"].jaccard) == ("g1", pytest.approx(0.6))
    assert (match["one"].recall, match["one"].precision) == (0.75, 0.75)
    assert (match["two"].match, match["two"].jaccard) == (None, 0.0)


def test_average_precision_golden():
    # Order: hit, miss, hit, miss -> (1/1 + 2/3) / 2 = 5/6.
    assert average_precision([True, False, True, False], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(5 / 6)
    # All scores equal: one step with 1 hit of 4.
    assert average_precision([True, False, False, False], [0.5] * 4) == pytest.approx(0.25)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30).filter(lambda rows: any(mark for mark, _ in rows)))
def test_average_precision_equals_scikit_learn(rows):
    metrics = pytest.importorskip("sklearn.metrics")
    marks, scores = [mark for mark, _ in rows], [float(score) for _, score in rows]
    assert average_precision(marks, scores) == pytest.approx(metrics.average_precision_score(marks, scores))


def test_ece_golden():
    # Bin .1-.2: mean p .1, no hit, gap .2 over 2; bin .9-1: p .9 twice, one hit, gap .8 over 2 -> (0.2 + 0.8) / 4.
    assert ece([False, False, True, False], [0.1, 0.1, 0.9, 0.9]) == pytest.approx(0.25)
    assert ece([True, False], [1.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: bcubed([1], [1, 2]),
        lambda: bcubed([], []),
        lambda: bcubed([1], [1], subset=np.array([False])),
        lambda: average_precision([False], [1.0]),
        lambda: average_precision([True], [1.0, 2.0]),
        lambda: ece([], []),
        lambda: ece([True], [1.5]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
