"""Hard negatives: a case worked by hand, a naive oracle, and what must hold for any vectors and groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from greyzone.errors import InputError
from greyzone.eval.encoders.retrieval import mean_reciprocal_rank, ranks
from greyzone.training import mining as module
from greyzone.training.mining import MiningSettings, mine_hard_negatives, reciprocal_ranks


def at(*cosines):
    """Unit vectors in the plane with these cosines to (1, 0)."""
    return np.array([[cosine, np.sqrt(1 - cosine**2)] for cosine in cosines], dtype=np.float32)


QUERY = np.array([[1.0, 0.0]], dtype=np.float32)
CANDIDATES = at(0.8, 0.9, 0.79, 0.75, 0.7, 0.1)
"""The positive, a text of its group, one above .95 * .8 = .76, and three below."""
GROUPS = np.array([0, 0, 1, 2, 3, 4])


def mined(**chosen):
    return mine_hard_negatives(QUERY, CANDIDATES, np.array([0]), np.array([0]), GROUPS, settings=MiningSettings(**chosen))


def test_golden():
    found = mined(per_query=2)
    assert found.negatives.tolist() == [[3, 4]]
    assert found.counts == {"same_group": 2, "too_close": 1, "skipped": 0, "taken": 2, "unused": 1, "without": 0}


def test_golden_margins():
    assert mined(relative=1.0).negatives.tolist() == [[2]]
    assert mined(relative=1.0, absolute=0.06).negatives.tolist() == [[4]]
    assert mined(skip=1).negatives.tolist() == [[4]]
    assert mined(skip=1).skipped == 1
    far = mined(relative=0.1, per_query=2)
    assert far.negatives.tolist() == [[-1, -1]]
    assert far.without == 1


def test_a_positive_that_is_not_near_gives_no_negatives():
    found = mine_hard_negatives(QUERY, at(-0.2, -0.5, 0.9), np.array([0]), np.array([7]), np.array([7, 8, 9]))
    assert found.negatives.tolist() == [[-1]]
    assert found.too_close == 2


vectors = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-1, 1, width=32))


def unit(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > 1e-3, rows / np.maximum(norms, 1e-3), 0).astype(np.float32)


def naive(queries, candidates, positives, query_groups, groups, chosen):
    cosines = queries @ candidates.T
    rows = []
    for query, row in enumerate(cosines):
        right = row[positives[query]]
        limit = min(np.float32(chosen.relative) * right, right - np.float32(chosen.absolute))
        fine = [place for place in range(len(row)) if groups[place] != query_groups[query] and row[place] <= limit and right > 0]
        fine = sorted(fine, key=lambda place: (-row[place], place))[chosen.skip : chosen.skip + chosen.per_query]
        rows.append(fine + [-1] * (chosen.per_query - len(fine)))
    return rows


@settings(deadline=None, max_examples=150)
@given(
    vectors,
    vectors,
    st.integers(0, 2**31),
    st.builds(MiningSettings, st.integers(1, 4), st.sampled_from([0.5, 0.95, 1.0]), st.sampled_from([0.0, 0.1]), st.integers(0, 2)),
    st.sampled_from([1, 7, 1 << 24]),
)
def test_property_and_oracle(queries, candidates, seed, chosen, cells):
    queries, candidates = unit(queries), unit(candidates)
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 4, len(candidates))
    positives = rng.integers(0, len(candidates), len(queries))
    before, module.CHUNK_CELLS = module.CHUNK_CELLS, cells
    try:
        found = mine_hard_negatives(queries, candidates, positives, groups[positives], groups, settings=chosen)
    finally:
        module.CHUNK_CELLS = before
    taken = found.negatives >= 0
    assert not (groups[found.negatives] == groups[positives][:, None])[taken].any()
    counts = found.counts
    assert counts.pop("without") == (~taken).all(axis=1).sum()
    assert sum(counts.values()) == len(queries) * len(candidates)
    assert min(counts.values()) >= 0
    assert counts["taken"] == taken.sum()
    if cells == 1 << 24:
        assert found.negatives.tolist() == naive(queries, candidates, positives, groups[positives], groups, chosen)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(2, 20), st.integers(1, 5))
def test_oracle_ranks_of_evaluation(seed, count, n_groups):
    """Queries that are no candidates: the figure is the one that `greyzone.eval.encoders.retrieval` gives."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.integers(-2, 3, (2 * count, 4)).astype(np.float32))
    groups = np.concatenate([rng.integers(0, n_groups, count)] * 2)
    anchors, candidates = np.arange(count), np.arange(count, 2 * count)
    gold = [[place for place in range(count) if groups[count + place] == groups[query]] for query in anchors]
    expected = mean_reciprocal_rank(ranks(rows[anchors], rows[candidates], gold))
    assert reciprocal_ranks(rows, anchors, candidates, groups).mean() == pytest.approx(expected, abs=1e-12)


def test_golden_ranks():
    rows = at(1.0, 0.9, 0.8, 0.8, 0.5)
    groups = np.array([0, 1, 0, 2, 1])
    everything = np.arange(5)
    # From 0 the right one is 2: the wrong 1 is nearer, the wrong 3 ties, and 0 itself does not count.
    assert reciprocal_ranks(rows, np.array([0]), everything, groups).tolist() == [1 / 3]
    with pytest.raises(InputError, match="1 anchors without a right candidate"):
        reciprocal_ranks(rows, np.array([3]), everything, groups)


@pytest.mark.parametrize("chosen", [{"per_query": 0}, {"relative": 0.0}, {"relative": 1.1}, {"absolute": -0.1}, {"skip": -1}])
def test_settings_out_of_range(chosen):
    with pytest.raises(InputError):
        mined(**chosen)


def test_lengths_and_groups_must_fit():
    with pytest.raises(InputError, match="one of each"):
        mine_hard_negatives(QUERY, CANDIDATES, np.array([0, 1]), np.array([0]), GROUPS)
    with pytest.raises(InputError, match="another group"):
        mine_hard_negatives(QUERY, CANDIDATES, np.array([2]), np.array([0]), GROUPS)
