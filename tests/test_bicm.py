"""The null model: oracle against a naive solver, golden degrees, sampling frequencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from greyzone.coordinate.bicm import fit_bicm, sample_bicm


def _matrix(seed: int, n: int, m: int, density: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rate = np.outer(rng.lognormal(0, 1, n), rng.lognormal(0, 1, m))
    return rng.random((n, m)) < np.minimum(0.9, density * rate / rate.mean())


def _probabilities(model):
    return model.probability[np.ix_(model.account_class, model.item_class)]


def test_equal_degrees_give_the_density():
    # By hand: 4 accounts of degree 3 on 6 items of degree 2 are exchangeable, so P = 12 / 24 everywhere.
    model = fit_bicm(np.full(4, 3), np.full(6, 2))
    assert model.probability == pytest.approx(np.array([[0.5]]))
    assert model.residual <= 1e-8


def test_agrees_with_a_naive_solver_without_degree_classes():
    matrix = _matrix(3, 12, 15, 0.3)
    matrix = matrix[matrix.any(axis=1)][:, matrix.any(axis=0)]
    k, d = matrix.sum(axis=1), matrix.sum(axis=0)

    def gap(theta):
        p = 1 / (1 + np.exp(-(theta[: len(k), None] + theta[None, len(k) :])))
        return np.concatenate([p.sum(axis=1) - k, p.sum(axis=0) - d])

    naive = optimize.least_squares(gap, np.concatenate([np.log(k), np.log(d)]) - np.log(k.sum()) / 2, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert np.abs(naive.fun).max() < 1e-6
    expected = 1 / (1 + np.exp(-(naive.x[: len(k), None] + naive.x[None, len(k) :])))
    assert _probabilities(fit_bicm(k, d)) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 25), st.floats(0.05, 0.7))
@settings(max_examples=60, deadline=None)
def test_expected_degrees_are_the_observed_ones(seed, n, m, density):
    matrix = _matrix(seed, n, m, density)
    model = fit_bicm(matrix.sum(axis=1), matrix.sum(axis=0))
    p = _probabilities(model)
    assert ((p >= 0) & (p <= 1)).all()
    assert model.residual <= 1e-6
    assert p.sum(axis=1) == pytest.approx(matrix.sum(axis=1), abs=1e-6)
    assert p.sum(axis=0) == pytest.approx(matrix.sum(axis=0), abs=1e-6)


def test_full_empty_and_nested_degrees():
    # Nested rows have one realisation only; row 0 is full, column 3 has row 0 alone.
    matrix = np.tril(np.ones((4, 4), dtype=bool))[::-1]
    p = _probabilities(fit_bicm(matrix.sum(axis=1), matrix.sum(axis=0)))
    assert p == pytest.approx(matrix.astype(float), abs=1e-6)
    assert fit_bicm(np.zeros(3, dtype=int), np.zeros(2, dtype=int)).probability.tolist() == [[0.0]]
    assert fit_bicm(np.empty(0, dtype=int), np.empty(0, dtype=int)).probability.shape == (0, 0)


def test_samples_have_the_probabilities_of_the_model():
    matrix = _matrix(5, 8, 10, 0.5)
    model = fit_bicm(matrix.sum(axis=1), matrix.sum(axis=0))
    p, rng, draws = _probabilities(model), np.random.default_rng(1), 2000
    total = np.zeros(matrix.shape)
    for _ in range(draws):
        graph = sample_bicm(model, rng)
        assert graph.data.max(initial=1.0) == 1.0
        total += graph.toarray()
    # Five standard errors of a binomial share.
    assert (np.abs(total / draws - p) <= 5 * np.sqrt(p * (1 - p) / draws) + 1e-12).all()


def test_same_seed_same_graph_and_degrees_only_matter():
    matrix = _matrix(7, 30, 40, 0.2)
    model = fit_bicm(matrix.sum(axis=1), matrix.sum(axis=0))
    first, second = (sample_bicm(model, np.random.default_rng(4)) for _ in range(2))
    assert (first != second).nnz == 0
    assert (first != sample_bicm(model, np.random.default_rng(5))).nnz > 0
