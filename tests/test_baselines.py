"""The rules of the literature against naive versions of what their sources say, and what they do to rows in another order."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.coordinate import baselines
from greyzone.coordinate.baselines import NO_ERROR_CONTROL, RULES, coortweet, cosine_percentile, eigenvector_pruning
from greyzone.coordinate.traces import UNDATED
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError

DOCTRINE = load_doctrine()
LOW = DOCTRINE.replace(
    coordination_rules__cosine_support=2, coordination_rules__cosine_item_accounts=2, coordination_rules__cosine_percentile=0.9
)


def corpus(seed, *, accounts=60, items=80, shares=900, seconds=3000):
    rng = np.random.default_rng(seed)
    account = rng.zipf(1.4, shares * 3)
    account = account[account <= accounts][:shares] - 1
    item = rng.integers(0, items, len(account)) ** 2 // items
    return account.astype(np.int64), item.astype(np.int64), rng.integers(0, seconds, len(account)).astype(np.int64) * 1_000_000


def naive_vectors(account, item, doctrine):
    size = account.max() + 1
    shares = np.bincount(account, minlength=size)
    counts = np.zeros((size, item.max() + 1))
    for u, i in zip(account, item, strict=True):
        if shares[u] >= doctrine["coordination_rules.cosine_support"]:
            counts[u, i] += 1
    degree = (counts > 0).sum(axis=0)
    present = (counts.sum(axis=1) > 0).sum()
    kept = degree >= doctrine["coordination_rules.cosine_item_accounts"]
    counts[:, ~kept] = 0
    with np.errstate(divide="ignore"):
        tf = np.where(counts > 0, 1 + np.log(counts), 0)
    vectors = tf * (np.log((1 + present) / (1 + degree)) + 1)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def naive_cosines(account, item, doctrine):
    vectors = naive_vectors(account, item, doctrine)
    cosine = np.round(vectors @ vectors.T, 12)
    return {(u, v): cosine[u, v] for u, v in combinations(range(len(vectors)), 2) if cosine[u, v] > 0}


def naive_coortweet(account, item, time, *, seconds, least, percentile):
    rows = [r for r in range(len(account)) if time[r] != UNDATED]
    totals = np.bincount(account[rows], minlength=account.max() + 1)
    rows = [r for r in rows if totals[account[r]] >= least]
    pairs = [
        (r, s)
        for r, s in combinations(rows, 2)
        if item[r] == item[s] and account[r] != account[s] and abs(time[r] - time[s]) <= seconds * 1_000_000
    ]
    acting = {r for pair in pairs for r in pair}
    often = {u for u in set(account.tolist()) if sum(account[r] == u for r in acting) >= least}
    weights = {}
    for r, s in pairs:
        if account[r] in often or account[s] in often:
            edge = tuple(sorted((int(account[r]), int(account[s]))))
            weights[edge] = weights.get(edge, 0) + 1
    threshold = np.quantile(list(weights.values()), percentile) if weights else np.nan
    return {edge: weight for edge, weight in weights.items() if weight > threshold}, threshold


def edges(found):
    return dict(zip(zip(found.a.tolist(), found.b.tolist(), strict=True), found.weight.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_cosine_percentile_is_that_of_all_positive_cosines(seed, monkeypatch):
    monkeypatch.setattr(baselines, "BLOCK_WORK", 300)
    account, item, _ = corpus(seed)
    found, naive = cosine_percentile(account, item, doctrine=LOW), naive_cosines(account, item, LOW)
    threshold = np.quantile(list(naive.values()), 0.9)
    assert found.threshold == pytest.approx(threshold, abs=1e-11)
    assert found.pairs == len(naive) > 100
    expected = {edge: weight for edge, weight in naive.items() if weight > threshold + 1e-11}
    assert edges(found).keys() == expected.keys()
    assert list(edges(found).values()) == pytest.approx([expected[edge] for edge in edges(found)], abs=1e-11)
    assert set(np.flatnonzero(found.flagged).tolist()) == {account for edge in expected for account in edge}
    assert found.error_control == NO_ERROR_CONTROL == "no error control"


def test_cosine_percentile_by_hand():
    """Three accounts with equal item counts and idf alike: two share all, the third shares half with each."""
    account, item = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 1, 2])
    doctrine = LOW.replace(coordination_rules__cosine_item_accounts=1, coordination_rules__cosine_percentile=0.5)
    found = cosine_percentile(account, item, doctrine=doctrine)
    assert edges(found) == {(0, 1): 1.0}
    assert found.flagged.tolist() == [True, True, False]
    # Items 0, 1, 2 are shared by 2, 3, 1 of 3: idf 1 + ln(4/3), 1 + ln(4/4), 1 + ln(4/2).
    x, y, z = 1 + np.log(4 / 3), 1.0, 1 + np.log(2)
    assert found.threshold == pytest.approx(y * y / np.sqrt((x * x + y * y) * (y * y + z * z)))


def test_accounts_of_few_shares_are_left_out_and_counted():
    account, item, _ = corpus(1)
    found = cosine_percentile(account, item, doctrine=LOW.replace(coordination_rules__cosine_support=12))
    few = np.bincount(account)
    assert not found.flagged[few < 12].any()
    assert f"{((few > 0) & (few < 12)).sum()} accounts of fewer than 12 shares left out" in found.note


@pytest.mark.parametrize("seed", range(5))
def test_eigenvector_centrality_is_that_of_the_dense_network(seed):
    account, item, _ = corpus(seed)
    found = eigenvector_pruning(account, item, doctrine=LOW)
    vectors = naive_vectors(account, item, LOW)
    network = vectors @ vectors.T
    np.fill_diagonal(network, 0)
    nodes = network.sum(axis=1) > 1e-12
    values, columns = np.linalg.eigh(network)
    centrality = np.abs(columns[:, values.argmax()])
    threshold = np.quantile(centrality[nodes], 0.95)
    assert found.threshold == pytest.approx(threshold, abs=1e-7)
    assert np.flatnonzero(found.flagged).tolist() == np.flatnonzero(nodes & (centrality > threshold)).tolist()
    naive = naive_cosines(account, item, LOW)
    kept = np.flatnonzero(found.flagged).tolist()
    assert edges(found).keys() == {edge for edge in naive if set(edge) <= set(kept)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("seconds", "least", "percentile"), [(10, 2, 0.5), (60, 5, 0.9), (0, 1, 0.0), (600, 30, 0.75)])
def test_coortweet_counts_acts_as_the_package_does(seed, seconds, least, percentile, monkeypatch):
    monkeypatch.setattr(baselines, "BLOCK_WORK", 50)
    account, item, time = corpus(seed, shares=400)
    time[::17] = UNDATED
    doctrine = DOCTRINE.replace(
        coordination_rules__coortweet_seconds=seconds,
        coordination_rules__coortweet_participation=least,
        coordination_rules__coortweet_percentile=percentile,
    )
    found = coortweet(account, item, time, doctrine=doctrine)
    expected, threshold = naive_coortweet(account, item, time, seconds=seconds, least=least, percentile=percentile)
    assert edges(found) == expected
    assert found.threshold == pytest.approx(threshold, nan_ok=True)
    assert set(np.flatnonzero(found.flagged).tolist()) == {account for edge in expected for account in edge}
    assert f"{(time == UNDATED).sum()} shares without a time left out" in found.note


def test_coortweet_by_hand():
    """Accounts 0 and 1 act together three times, 1 and 2 once; the median weight is 2, so one edge stays."""
    account, item = np.array([0, 1, 0, 1, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 2, 2, 3])
    time = np.array([0, 10, 100, 95, 200, 202, 212, 900]) * 1_000_000
    found = coortweet(account, item, time, doctrine=DOCTRINE)
    # 200 and 212 are 12 s apart, 202 and 212 are 10 s: the window is closed.
    assert (found.pairs, found.threshold, edges(found)) == (2, 2.0, {(0, 1): 3.0})
    assert found.flagged.tolist() == [True, True, False]


def test_coortweet_without_times_says_so():
    found = coortweet(np.array([0, 1]), np.array([0, 0]), None, doctrine=DOCTRINE)
    assert not found.flagged.any()
    assert "2 shares without a time left out" in found.note
    assert "no network" in found.note


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), shares=st.integers(0, 120))
def test_rows_in_any_order_give_the_same_bytes(rule, seed, shares):
    account, item, time = corpus(seed, shares=shares, accounts=20, items=10, seconds=60)
    order = np.random.default_rng(seed).permutation(len(account))
    one, other = rule(account, item, time, doctrine=LOW), rule(account[order], item[order], time[order], doctrine=LOW)
    for name in ("flagged", "a", "b", "weight"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert (one.pairs, one.note) == (other.pairs, other.note)
    assert one.threshold == pytest.approx(other.threshold, nan_ok=True)
    assert len(one.flagged) == account.max(initial=-1) + 1


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_item_shared_by_everybody_is_left_out_where_it_costs_too_much(rule):
    account = np.concatenate([np.arange(300), np.arange(300)])
    item = np.concatenate([np.zeros(300, dtype=int), 1 + np.arange(300) // 3])
    doctrine = LOW.replace(coordination_rules__budget=5_000)
    found = rule(account, item, np.zeros(600, dtype=np.int64), doctrine=doctrine)
    assert "1 most popular items left out: their pairs would exceed the budget of 5000" in found.note
    assert found.pairs <= 300


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_bad_columns_are_named(rule):
    with pytest.raises(InputError, match="one length"):
        rule(np.array([0, 1]), np.array([0]), doctrine=DOCTRINE)
    with pytest.raises(InputError, match="negative"):
        rule(np.array([0, -1]), np.array([0, 0]), doctrine=DOCTRINE)


@pytest.mark.shared
def test_coortweet_agrees_with_the_vignette_of_the_package(shared_data):
    """Its example of Russian tweets (600 s, participation 2, percentile .99) keeps edges of three acts and more."""
    columns = pq.read_table(shared_data / "coortweet_russian_coord_tweets.parquet")
    account, item = (
        np.unique(columns[name].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1] for name in ("account_id", "object_id")
    )
    time = (columns["timestamp_share"].to_numpy() * 1_000_000).astype(np.int64)
    doctrine = DOCTRINE.replace(coordination_rules__coortweet_seconds=600, coordination_rules__coortweet_percentile=0.99)
    found = coortweet(account, item, time, doctrine=doctrine)
    assert (found.threshold, found.weight.min()) == (2.0, 3.0)
    assert (found.pairs, int(found.flagged.sum())) == (36620, 233)
