"""Figures of label sets: by hand, against scikit-learn, and what must hold of any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from greyzone.errors import InputError
from greyzone.eval.multilabel import multilabel_scores, reliability

LABELS = ("doubt", "fear")


def flags(rows):
    return np.array(rows, dtype=bool)


def test_golden_counts():
    """doubt: tp 1, fp 1, fn 1, F1 2/4. fear: tp 1, fp 0, fn 1, F1 2/3. Micro: tp 2, fp 1, fn 2, F1 4/7.

    Samples: 2/3 for both told one, 0 for none told one, 0 for one told none, 1 for one told right, 0 for none told none.
    """
    truth = flags([[1, 1], [0, 0], [1, 0], [0, 1], [0, 0]])
    told = flags([[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]])
    found = multilabel_scores(truth, told, None, LABELS, draws=10)
    assert [row.f1 for row in found.labels] == pytest.approx([1 / 2, 2 / 3])
    assert found.micro_f1 == pytest.approx(4 / 7)
    assert found.macro_f1 == pytest.approx(7 / 12)
    assert found.samples_f1 == pytest.approx((2 / 3 + 1) / 5)
    assert multilabel_scores(truth, told, None, LABELS, draws=0, empty=1.0).samples_f1 == pytest.approx((2 / 3 + 1 + 1) / 5)
    assert (found.labels[0].precision, found.labels[0].recall) == (0.5, 0.5)
    assert found.ece is None
    assert found.labels[0].average_precision is None


def test_golden_calibration():
    """Two texts at .8 of which one is right, two at .3 of which none: gaps |.8 - .5| and |.3 - 0|, so the error is .3."""
    p = np.array([[0.8], [0.8], [0.3], [0.3]])
    truth = flags([[1], [0], [0], [0]])
    found = multilabel_scores(truth, p >= 0.5, p, ("doubt",), draws=0)
    assert found.ece == pytest.approx(0.3)
    table = reliability(truth, p)
    assert [(row.count, row.probability, row.frequency) for row in table] == [
        (2, pytest.approx(0.3), 0.0),
        (2, pytest.approx(0.8), 0.5),
    ]


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(bool, (7, 3)), hnp.arrays(bool, (7, 3)))
def test_oracle_scikit_learn(truth, told):
    found = multilabel_scores(truth, told, None, ("a", "b", "c"), draws=0)
    for name, value in (("micro", found.micro_f1), ("macro", found.macro_f1), ("samples", found.samples_f1)):
        assert value == pytest.approx(metrics.f1_score(truth, told, average=name, zero_division=0))


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(bool, (9, 3)), hnp.arrays(bool, (9, 3)), st.permutations(range(3)))
def test_order_of_labels_is_irrelevant(truth, told, order):
    names = np.array(["a", "b", "c"])
    one = multilabel_scores(truth, told, None, tuple(names), draws=50)
    other = multilabel_scores(truth[:, order], told[:, order], None, tuple(names[order]), draws=50)
    assert one.macro_interval == pytest.approx(other.macro_interval)
    assert {row.label: row.f1 for row in one.labels} == {row.label: row.f1 for row in other.labels}


def test_groups_widen_the_interval_and_perfect_has_none():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random((20, 2)) < 0.5, 10, axis=0)
    told = np.repeat(rng.random((20, 2)) < 0.5, 10, axis=0)
    alone = multilabel_scores(truth, told, None, LABELS)
    together = multilabel_scores(truth, told, None, LABELS, groups=np.repeat(np.arange(20), 10).tolist())
    assert np.diff(together.micro_interval) > 2 * np.diff(alone.micro_interval)
    low, high = together.micro_interval
    assert low < together.micro_f1 < high
    assert multilabel_scores(truth, truth, None, LABELS).micro_interval == (1.0, 1.0)


def test_a_refused_label_is_a_miss():
    truth = flags([[1, 1], [0, 1]])
    p = np.array([[0.9, np.nan], [0.1, np.nan]])
    found = multilabel_scores(truth, p >= 0.5, p, LABELS, draws=0)
    assert found.macro_f1 == 0.5
    assert found.labels[1].average_precision is None
    assert found.labels[0].average_precision == 1.0
    assert found.ece == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("truth", "told", "p"),
    [
        (np.zeros((2, 2), bool), np.zeros((3, 2), bool), None),
        (np.zeros((0, 2), bool), np.zeros((0, 2), bool), None),
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool), np.full((2, 2), 1.5)),
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool), np.zeros((2, 1))),
    ],
)
def test_errors_are_one_line(truth, told, p):
    with pytest.raises(InputError) as error:
        multilabel_scores(truth, told, p, LABELS)
    assert "\n" not in str(error.value)


def test_groups_must_match():
    with pytest.raises(InputError, match="3 groups for 2 texts"):
        multilabel_scores(np.zeros((2, 2), bool), np.zeros((2, 2), bool), None, LABELS, groups=[1, 2, 3])
