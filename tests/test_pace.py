"""How soon accounts come to an item: ranks of lags by hand and by brute force, and what taste explains and what it does not."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from greyzone import records
from greyzone.coordinate import find_groups
from greyzone.coordinate import pace as pace_module
from greyzone.coordinate.pace import DISTANCES, Arrivals, Hurry, Pace, taste_p
from greyzone.coordinate.traces import UNDATED, Items, Trace, family_of
from greyzone.doctrine import load_doctrine

START = datetime(2024, 3, 1, tzinfo=UTC)
DOCTRINE = load_doctrine().replace(coordination__resamples=50)


def _trace(shares: list[tuple[int, int, int]]) -> Trace:
    """Make a trace of (item, account, time)."""
    rows = np.array(sorted(shares, key=lambda share: (share[0], share[2])), dtype=np.int64).reshape(-1, 3)
    size, count = int(rows[:, 0].max()) + 1, int(rows[:, 1].max()) + 1
    incidence = sparse.csr_array((np.ones(len(rows)), (rows[:, 1], rows[:, 0])), shape=(count, size))
    incidence.sum_duplicates()
    incidence.data[:] = 1.0
    names = Items(pa.array([f"url:{item:04d}" for item in range(size)]))
    return Trace("co-url", np.arange(count), names, incidence, rows[:, 1], rows[:, 0], np.arange(len(rows)), rows[:, 2], True, "")


def _arrivals(shares: list[tuple[int, int, int]]) -> Arrivals:
    return Arrivals.of(_trace(shares))


def _brute(shares: list[tuple[int, int, int]]) -> dict[int, float]:
    """Return the pace of every item from all pairs of its accounts."""
    first: dict[int, dict[int, int]] = {}
    for item, account, time in shares:
        came = first.setdefault(item, {})
        came[account] = min(time, came.get(account, time))
    lags = {item: [abs(a - b) for a, b in combinations(came.values(), 2)] for item, came in first.items() if len(came) > 1}

    def rank(lag: int) -> float:
        return float(np.mean([np.mean([(other < lag) + (other == lag) / 2 for other in own]) for own in lags.values()]))

    return {item: float(np.mean([rank(lag) for lag in own])) for item, own in lags.items()}


def test_pace_by_hand():
    # Lags: item 0 has 10, item 1 has 30, item 2 has 30 and 40 and 70; one vote an item. Account 0 comes to item 0 twice.
    shares = [(0, 0, 0), (0, 0, 500), (0, 1, 10), (1, 0, 0), (1, 2, 30), (2, 0, 0), (2, 1, 30), (2, 2, 70), (3, 1, 5)]
    pace = Pace(_arrivals(shares)).of_items(_arrivals(shares))
    middle = 1 / 3 + (1 / 3 + 1 / 9) / 2
    assert pace[:3] == pytest.approx([1 / 6, middle, (middle + 7 / 9 + 1 / 18 + 8 / 9 + 1 / 18) / 3])
    assert math.isnan(pace[3])


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 50)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_pace_of_small_items_is_that_of_all_pairs(shares):
    # Of up to three accounts the circle holds every pair, each as often as the others.
    pace = Pace(_arrivals(shares)).of_items(_arrivals(shares))
    brute = _brute(shares)
    assert {item for item in range(len(pace)) if not math.isnan(pace[item])} == set(brute)
    for item, value in brute.items():
        assert pace[item] == pytest.approx(value)


@pytest.mark.parametrize("count", [4, 16, 17, 200])
def test_accounts_of_an_item_are_compared_with_so_many_others(count):
    arrivals = _arrivals([(0, account, 1 << account % 60) for account in range(count)])
    item, _ = arrivals.lags()
    assert len(item) == count * min(count // 2, DISTANCES)


def test_every_item_has_one_vote_and_the_mean_rank_is_a_half():
    rng = np.random.default_rng(0)
    shares = [(item, account, int(rng.integers(10**6))) for item in range(60) for account in range(2 + item)]
    pace = Pace(_arrivals(shares)).of_items(_arrivals(shares))
    assert pace.mean() == pytest.approx(0.5, abs=1e-9)


def test_undated_shares_have_no_pace():
    trace = _trace([(0, account, int(UNDATED)) for account in range(5)])
    assert not len(Arrivals.of(trace).item)
    assert Pace(Arrivals.of(trace)).items == 0


def test_windows_of_one_item_are_one_item():
    rows = [(0, 0, 0), (0, 1, 5), (1, 2, 900), (2, 0, 0)]
    items = Items(pa.array(["url:a", "url:b"]), np.array([0, 0, 1]), np.array([0, 900, 0]))
    windowed = replace(_trace(rows), name="fast-1m", items=items, seconds=60.0)
    arrivals = Arrivals.of(windowed)
    assert arrivals.item.tolist() == [0, 0, 0]
    assert arrivals.time.tolist() == [0, 5, 900]


def test_taste_by_hand():
    # Three items, votes 2:1:1; shares of the votes 1/2, 1/4, 1/4 with squares 3/8.
    z = (0.1 / 2 + 0.2 / 4 + 0.3 / 4 - 0.5) / math.sqrt(3 / 8 / 12 + 0.01)
    assert taste_p(np.array([0.1, 0.2, 0.3]), np.array([2.0, 1.0, 1.0]), 0.1) == pytest.approx(stats.norm.cdf(z))
    assert taste_p(np.full(4, 0.5), np.ones(4), 0.1) == 0.5


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_items_of_a_usual_pace_are_seldom_called_hurried(seed, items):
    # Uniform paces have the largest variance that a pace can have.
    rng = np.random.default_rng(seed)
    p = [taste_p(rng.random(items), rng.random(items) + 0.1, 0.0) for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)


def test_hurry_is_told_of_the_accounts_that_ask():
    # Sixty items that two accounts share days apart; one that four share within seconds, a fifth much later.
    shares = [(item, account, account * 10**6 * (item + 1)) for item in range(60) for account in (8, 9)]
    shares += [(60, account, account) for account in range(4)] + [(60, 9, 10**12)]
    hurry = Hurry(_trace(shares), least=50, members=3, most=0.25)
    assert np.flatnonzero(hurry(np.arange(4))).tolist() == [60]
    assert not hurry(np.array([0, 1])).any()
    assert not hurry(np.array([0, 1, 9])).any()
    assert not Hurry(_trace(shares), least=500, members=3, most=0.25)(np.arange(4)).any()


def test_families_by_hand():
    assert [family_of(name) for name in ("co-url", "fast-10s", "fast-3.6h", "rhythm-1m", "fasting")] == [
        "co-url",
        "fast",
        "fast",
        "rhythm",
        "fasting",
    ]


def _rows(seed: int, *, fans: int, hurried: bool, items: int = 12) -> list[dict[str, object]]:
    """Three hundred accounts that come to addresses days after each other, and fans of some addresses of their own."""
    rng = np.random.default_rng(seed)
    popularity = np.arange(1, 301) ** -0.7
    acts = [
        (f"user{account:04d}", f"https://news.example/{item}", float(item % 28) + float(rng.exponential(2.0)))
        for account in range(300)
        for item in rng.choice(300, 8, p=popularity / popularity.sum())
    ]
    for item in range(items):
        for fan in np.flatnonzero(rng.random(fans) < 0.6):
            later = rng.random() / 24 if hurried else rng.exponential(2.0)
            acts.append((f"user{280 - fan:04d}", f"https://fans.example/{item}", 28.0 * item / items + float(later)))
    return [
        {
            "doc_id": f"d{number:05d}",
            "text": f"remark {number} in words of nobody else",
            "account": account,
            "urls": [url],
            "published_at": START + timedelta(days=when),
            "published_precision": "second",
        }
        for number, (account, url, when) in enumerate(acts)
    ]


def _found(rows: list[dict[str, object]], **changed: float) -> tuple[list[frozenset[str]], list[str]]:
    doctrine = DOCTRINE.replace(**{f"coordination__{name}": value for name, value in changed.items()})
    found = find_groups(records.table(rows, records.DOCUMENTS), records.empty(records.COPIES), doctrine=doctrine)
    groups = [frozenset(accounts) for accounts in found.groups["accounts"].to_pylist()]
    return groups, [str(note) for note in found.traces["note"].to_pylist()]


def test_fans_of_the_same_things_are_no_group_unless_they_come_together():
    fans = {f"user{280 - fan:04d}" for fan in range(16)}
    groups, notes = _found(_rows(1, fans=16, hurried=False))
    assert groups == []
    assert any("common taste" in note for note in notes)
    # Where no usual pace can be told, they are a group: taste is then not tested.
    (group,), _ = _found(_rows(1, fans=16, hurried=False), pace_items=10_000)
    assert group <= fans
    groups, notes = _found(_rows(1, fans=16, hurried=True))
    assert len(fans & frozenset[str]().union(*groups)) >= 14
    assert not any("common taste" in note for note in notes)


def test_groups_as_large_as_a_community_with_a_null_are_left_to_it():
    # Groups of fewer than seventeen accounts are tested, so that the sixteen are, however large communities are in this corpus.
    rows = _rows(1, fans=16, hurried=False)
    assert _found(rows, community_accounts=17, community_share=0.01)[0] == []
    _, notes = _found(rows, community_accounts=10, community_share=0.2)
    assert not any("common taste" in note for note in notes)


def test_without_times_taste_is_not_tested():
    rows = [{**row, "published_at": None, "published_precision": "unknown"} for row in _rows(1, fans=16, hurried=False)]
    groups, _ = _found(rows)
    assert len(groups) == 1


def test_a_hurried_crowd_is_no_excuse_for_itself():
    crowd = {f"user{280 - fan:04d}" for fan in range(70)}
    rows = _rows(2, fans=70, hurried=True, items=24)
    recall = []
    for pace in (0.0, 0.25):
        groups, _ = _found(rows, community_pace=pace)
        found = frozenset[str]().union(*groups)
        assert found <= crowd
        recall.append(len(found) / len(crowd))
    assert recall[1] >= 0.9 > 0.7 > recall[0]


def test_many_lags_are_ranked_by_those_of_some_items(monkeypatch):
    rng = np.random.default_rng(3)
    arrivals = _arrivals([(item, account, int(rng.integers(10**9))) for item in range(400) for account in range(20)])
    whole = Pace(arrivals).of_items(arrivals)
    monkeypatch.setattr(pace_module, "LAGS", 16_000)
    some = Pace(arrivals)
    assert some.items == 400
    assert some.of_items(arrivals) == pytest.approx(whole, abs=0.03)
