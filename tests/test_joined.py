"""Connected components: by hand, and against merging sets one pair at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greyzone.eval.joined import joined


def test_components_by_hand():
    assert joined(6, [(4, 1), (1, 5), (2, 2), (5, 4)]).tolist() == [0, 1, 2, 3, 1, 1]
    assert joined(3, []).tolist() == [0, 1, 2]
    assert joined(0, []).tolist() == []


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))))
def test_the_same_as_merging_sets_pair_by_pair(case):
    count, pairs = case
    parts = [{node} for node in range(count)]
    for one, other in pairs:
        whole = parts[one] | parts[other]
        for node in whole:
            parts[node] = whole
    assert joined(count, pairs).tolist() == [min(part) for part in parts]
