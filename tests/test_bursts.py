"""Kleinberg's automaton: bursts by hand, and the path of least cost against all paths."""

from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.bursts import Burst, kleinberg


def cost(path, series, observed):
    """Return the cost of a path of states by the formula, up to what both states share."""
    rate = sum(series) / observed
    rises = sum(late > early for early, late in pairwise([0, *path]))
    days = (count * math.log(2) * state - rate * state for count, state in zip(series, path, strict=True))
    return rises * math.log(observed) - sum(days)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5, 9]), min_size=1, max_size=9), st.integers(0, 40))
def test_the_path_costs_least_of_all(series, more):
    observed = len(series) + more
    days = [day for day, count in enumerate(series) if count]
    found = kleinberg(days, [series[day] for day in days], observed)
    path = [0] * len(series)
    for burst in found:
        path[burst.first : burst.last + 1] = [1] * (burst.last + 1 - burst.first)
    least = min(cost(other, series, observed) for other in product((0, 1), repeat=len(series)))
    assert cost(path, series, observed) == pytest.approx(least, abs=1e-9)
    for burst in found:
        assert burst.documents == sum(series[burst.first : burst.last + 1])
        assert min(series[burst.first], series[burst.last]) > 0
        assert burst.weight == pytest.approx(burst.documents * math.log(2) - sum(series) / observed * (burst.last + 1 - burst.first))


def test_bursts_by_hand():
    # 20 documents in 100 days: .2 a day. Ten on one day: 10 ln 2 - .2 = 6.73 > ln 100 = 4.61. Five: 3.27, no burst.
    assert kleinberg([0, 50, 51, 52], [5, 1, 10, 4], 100) == [Burst(50, 52, 15, pytest.approx(15 * math.log(2) - 0.6))]
    # The empty day between costs .2 and a second rise 4.61: one burst.
    assert kleinberg([50, 52], [10, 10], 100) == [Burst(50, 52, 20, pytest.approx(20 * math.log(2) - 0.6))]
    # Thirty empty days cost 6, a second rise 4.61: two bursts.
    assert [(burst.first, burst.last) for burst in kleinberg([50, 81], [10, 10], 100)] == [(50, 50), (81, 81)]


def test_nothing_bursts():
    assert kleinberg([], [], 10) == []
    assert kleinberg([3], [5], 400) == []
    assert kleinberg(list(range(50)), [2] * 50, 50) == []
