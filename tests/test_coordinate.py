"""Coordination: a pair statistic by hand, calibration on organic corpora, planted groups, confounders, and odd input."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from builders import document
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from greyzone import records
from greyzone.coordinate import account_chances, find_carriers, find_groups, flagged, rhythm
from greyzone.coordinate.bicm import fit_bicm
from greyzone.coordinate.communities import find_communities
from greyzone.coordinate.cores import components, core_groups, core_numbers
from greyzone.coordinate.fast import span, widths, windows
from greyzone.coordinate.groups import _expected, _group_p, cauchy, false_discovery
from greyzone.coordinate.membership import membership
from greyzone.coordinate.pairs import Judge, item_weights, kept_pairs, pair_null
from greyzone.coordinate.traces import KINDS, build_traces, read_corpus
from greyzone.doctrine import load_doctrine
from greyzone.errors import SchemaError

START = datetime(2024, 3, 1, tzinfo=UTC)
DOCTRINE = load_doctrine().replace(coordination__resamples=60)
NO_COPIES = records.empty(records.COPIES)


def _organic(seed: int, *, accounts: int = 400, own: float = 0.8, posts: float = 20) -> list[dict[str, object]]:
    """Four communities with a taste of their own, bursty items, busy and quiet accounts; nobody coordinates."""
    rng = np.random.default_rng(seed)
    activity = np.maximum(3, posts * rng.lognormal(-0.4, 0.9, accounts)).astype(int)
    popularity = np.arange(1, 376) ** -0.8
    popularity /= popularity.sum()
    born = rng.random(1500) * 30
    rows = []
    for account, count in enumerate(activity):
        community = np.where(rng.random(count) < own, account % 4, rng.integers(0, 4, count))
        items = community * 375 + rng.choice(375, count, p=popularity)
        for item, later in zip(items, rng.exponential(1.0, count), strict=True):
            when = START + timedelta(days=float(born[item] + later))
            rows.append(document(len(rows), f"user{account:04d}", when, urls=[f"https://site{item % 40}.example/{item}"]))
    return rows


def _planted(
    rows: list[dict[str, object]], seed: int, *, members: int = 20, items: int = 12, minutes: float = 60
) -> list[dict[str, object]]:
    """Add a group that shares twelve addresses of its own, seven members in ten each time, within an hour."""
    rng = np.random.default_rng([seed, 9])
    rows = list(rows)
    for item in range(items):
        day = rng.random() * 30
        for member in np.flatnonzero(rng.random(members) < 0.7):
            when = START + timedelta(days=float(day), minutes=float(rng.random() * minutes))
            rows.append(document(len(rows), f"user{380 + member:04d}", when, urls=[f"https://pushed{item % 3}.example/{item}"]))
    return rows


def _find(rows: list[dict[str, object]], *, copies: pa.Table = NO_COPIES, seed: int = 0) -> records.Coordination:
    return find_groups(records.table(rows, records.DOCUMENTS), copies, doctrine=DOCTRINE, seed=seed)


# ---------------------------------------------------------------- pairs, cores, combination


def test_pair_statistic_by_hand():
    # Four accounts of degree 2 and four items of degree 2: P = 1/2. Accounts 0 and 1 share items 0 and 1.
    # w = ln(4/2)^2 for every item, so T = 2w, mu = 4 w/4 = w, var = 4 w^2 (1/4 - 1/16) = 3w^2/4, shape 4/3, scale 3w/4.
    matrix = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=float))
    w = math.log(2) ** 2
    weights = item_weights(np.full(4, 2), 4)
    null = pair_null(fit_bicm(np.full(4, 2), np.full(4, 2)), weights)
    assert null.mean == pytest.approx(np.array([[w]]))
    assert null.variance == pytest.approx(np.array([[0.75 * w * w]]))
    judge = Judge(null, np.full(4, -1), np.zeros(4, dtype=np.int64), (), 0.9)
    pairs = kept_pairs(matrix, weights, judge, minimum=2)
    assert list(zip(pairs.a, pairs.b, strict=True)) == [(0, 1), (2, 3)]
    assert pairs.shared.tolist() == [2, 2]
    assert pairs.tested == 2
    assert pairs.statistic == pytest.approx([2 * w, 2 * w])
    assert pairs.p == pytest.approx([stats.gamma.sf(2 * w, 4 / 3, scale=0.75 * w)] * 2)
    assert len(kept_pairs(matrix, weights, judge, minimum=3).a) == 0


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_pairs_agree_with_dense_matrices(seed):
    rng = np.random.default_rng(seed)
    dense = (rng.random((14, 20)) < 0.3).astype(float)
    incidence = sparse.csr_array(dense)
    model = fit_bicm(dense.sum(axis=1).astype(int), dense.sum(axis=0).astype(int))
    weights = item_weights(dense.sum(axis=0).astype(int), 14)
    null = pair_null(model, weights)
    p = model.probability[np.ix_(model.account_class, model.item_class)]
    both = p[:, None, :] * p[None, :, :]
    mean, variance = (both * weights).sum(axis=2), ((both - both**2) * weights**2).sum(axis=2)
    statistic = (dense * weights) @ dense.T
    expected = {
        (a, b)
        for a in range(14)
        for b in range(a + 1, 14)
        if dense[a] @ dense[b] >= 2
        and stats.gamma.sf(statistic[a, b], mean[a, b] ** 2 / variance[a, b], scale=variance[a, b] / mean[a, b]) <= 0.2
    }
    pairs = kept_pairs(incidence, weights, Judge(null, np.full(14, -1), np.zeros(14, dtype=np.int64), (), 0.2), minimum=2)
    assert set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == expected


def test_cores_by_hand():
    # A 4-clique (0-3) with a tail 3-4-5, and a triangle 6-7-8: cores 3, 1 and 2.
    edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (6, 7), (6, 8), (7, 8)]
    a, b = (np.array(side) for side in zip(*edges, strict=True))
    assert core_numbers(10, a, b).tolist() == [3, 3, 3, 3, 1, 1, 2, 2, 2, 0]
    assert [part.tolist() for part in components(10, a, b)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8]]
    assert [(part.tolist(), core) for part, core in core_groups(10, a, b, 2)] == [([0, 1, 2, 3], 3), ([6, 7, 8], 2)]
    assert core_groups(10, a, b, 4) == []


def test_combination_and_false_discovery_by_hand():
    # tan((.5 - .25) pi) = 1 and tan(0) = 0: mean 1/2, p = 1/2 - arctan(1/2)/pi.
    assert cauchy(np.array([0.25, 0.5]), np.ones(2)) == pytest.approx(0.5 - math.atan(0.5) / math.pi)
    assert cauchy(np.array([0.03]), np.ones(1)) == pytest.approx(0.03)
    # Two scales that say the same have one vote between them.
    assert cauchy(np.array([0.25, 0.25, 0.5]), np.array([0.5, 0.5, 1.0])) == pytest.approx(0.5 - math.atan(0.5) / math.pi)
    # p * 3 / rank: .03, .045, .9; the middle one stays below the last.
    assert false_discovery(np.array([0.9, 0.01, 0.03])) == pytest.approx([0.9, 0.03, 0.045])


def test_random_graph_tells_the_expected_number_of_dense_subgraphs():
    # Five accounts with all ten ties among 20 at rate .3: C(20,5) .3^10 = 15504 * 5.9049e-6.
    assert _expected(5, 10, 20, 0.3) == pytest.approx(15504 * 0.3**10, rel=1e-6)
    assert _expected(5, 10, 20, 0.001) == 1e-6


def test_draws_decide_where_one_of_them_is_as_deep():
    assert _group_p(np.array([2, 3, 5, 2]), 5, 1e-6) == 2 / 5
    assert _group_p(np.array([2, 3, 5, 2]), 6, 1e-6) == 1e-6
    assert _group_p(np.array([2, 3, 5, 2]), 6, 0.9) == 1 / 5


def test_membership_by_hand():
    # Four of five accounts are tied to three of the other four, the last to none. Shares have mean .6, variance .09 and no spread beyond
    # the binomial one would be .06: a + b = .24 / .03 - 1 = 7, so a = 4.2, b = 2.8.
    ties, chance, population = np.array([3, 3, 3, 3, 0]), 0.01, 100
    found = membership(ties, chance, population)
    law = stats.betabinom(4, 4.2, 2.8)
    for place, count in enumerate(ties):
        odds = 5 / 95 * law.pmf(count) / stats.binom(4, chance).pmf(count)
        assert found[place] == pytest.approx(odds / (1 + odds))
    assert found[0] > 0.99 > 0.05 > found[4]


def test_an_account_with_no_more_ties_than_chance_gives_is_no_member():
    ties = np.r_[np.full(99, 10), 2]
    assert membership(ties, 0.05, 100)[-1] < membership(ties, 0.001, 100)[-1]
    assert (membership(np.full(6, 5), 0.01, 1000) > 0.999).all()


def test_how_far_accounts_are_from_chance_by_hand():
    # Votes: co-url 1, the two fast scales 1/2 each, co-text not supported. "ann" has pairs in two traces, "dan" one that says little.
    rows = [
        ("co-url", "ann", "ben", 1e-4),
        ("co-url", "ann", "cat", 1e-3),
        ("fast-10s", "ann", "ben", 1e-5),
        ("fast-1m", "cat", "dan", 0.02),
    ]
    edges = [{"trace": trace, "account_a": a, "account_b": b, "shared": 2, "statistic": 1.0, "p": p} for trace, a, b, p in rows]
    sizes = [("co-url", 101, True), ("co-text", 0, False), ("fast-10s", 51, True), ("fast-1m", 51, True)]
    traces = [{"trace": trace, "accounts": count, "supported": supported} for trace, count, supported in sizes]
    found = account_chances(records.table(edges, records.EDGES), records.table(traces, records.TRACES)).to_pylist()
    assert [(row["account"], row["partners"], row["traces"]) for row in found] == [
        ("ann", 2, ["co-url", "fast-10s"]),
        ("ben", 1, ["co-url", "fast-10s"]),
        ("cat", 2, ["co-url", "fast-1m"]),
        ("dan", 1, ["fast-1m"]),
    ]
    one, two, three, four = (math.tan((0.5 - p) * math.pi) for p in (1e-4, 1e-3, 1e-5, 0.02))
    by_hand = [(one + two) / 100 + three / 50 / 2, one / 100 + three / 50 / 2, two / 100 + four / 50 / 2, four / 50 / 2]
    assert [row["p"] for row in found] == [pytest.approx(0.5 - math.atan(evidence / 2) / math.pi) for evidence in by_hand]


def test_planted_accounts_are_far_from_chance_and_others_are_not():
    truth = {f"user{380 + member:04d}" for member in range(20)}
    found = _find(_planted(_organic(0, own=0.8), 0))
    rows = account_chances(found.edges, found.traces)
    shuffled = account_chances(found.edges.take(np.random.default_rng(1).permutation(found.edges.num_rows)), found.traces)
    assert rows.equals(shuffled)
    p = dict(zip(rows["account"].to_pylist(), rows["p"].to_pylist(), strict=True))
    assert len(truth & set(rows["account"].to_pylist()[:20])) >= 18
    assert sum(value <= 0.05 for account, value in p.items() if account not in truth) <= 0.05 * 380
    nothing = account_chances(records.empty(records.EDGES), found.traces)
    assert nothing.schema == records.ACCOUNTS
    assert nothing.num_rows == 0


def test_communities_are_found_and_small_ones_left_alone():
    rng = np.random.default_rng(0)
    side = np.arange(120) % 2
    dense = rng.random((120, 200)) < np.where(side[:, None] == (np.arange(200) % 2)[None, :], 0.2, 0.02)
    label = find_communities(sparse.csr_array(dense.astype(float)), smallest=30, rng=np.random.default_rng(0))
    agree = (label == side).mean()
    assert max(agree, 1 - agree) > 0.97
    assert (find_communities(sparse.csr_array(dense.astype(float)), smallest=61, rng=np.random.default_rng(0)) == -1).all()


def test_a_community_that_few_carry_is_none():
    # Ten accounts share 40 items in full, ninety share one of them each: (400 + 90)^2 / (10 * 1600 + 90) = 14.9 of 100 accounts.
    dense = np.zeros((200, 240))
    dense[:10, :40] = 1
    dense[np.arange(10, 100), np.arange(90) % 40] = 1
    dense[np.arange(100, 200)[:, None], 40 + (np.arange(100)[:, None] * 2 + np.arange(4) * 7) % 200] = 1
    label = find_communities(sparse.csr_array(dense), smallest=20, rng=np.random.default_rng(0))
    assert (label[:100] == -1).all()
    label = find_communities(sparse.csr_array(dense), smallest=12, rng=np.random.default_rng(0))
    assert (label[:10] >= 0).all()


# ---------------------------------------------------------------- calibration and power


def test_organic_corpora_are_not_flagged():
    # E2 of the method: at most .5 % of the accounts of organic corpora, here over weak to strong homophily.
    taken = 0
    for seed in range(20):
        found = _find(_organic(seed, own=(0.6, 0.7, 0.8, 0.9)[seed % 4], posts=12))
        taken += len(pc.unique(found.group_members["account"]))
        assert found.traces["supported"].to_pylist()[0]
        assert found.traces["pairs_tested"].to_pylist()[0] > 5000
    assert taken <= 0.005 * 20 * 400


def test_planted_groups_are_found():
    # E2 of the method: precision >= .95 and recall >= .90 with 20 of 400 accounts planted.
    truth = {f"user{380 + member:04d}" for member in range(20)}
    hits = found_accounts = 0
    for seed in range(4):
        found = _find(_planted(_organic(seed, own=(0.6, 0.7, 0.8, 0.9)[seed]), seed))
        members = set(found.group_members["account"].to_pylist())
        hits += len(members & truth)
        found_accounts += len(members)
        assert flagged(found.groups).to_pylist() == [True] * found.groups.num_rows
    assert hits >= 0.9 * 4 * len(truth)
    assert hits >= 0.95 * found_accounts


def test_group_row_tells_what_was_shared():
    found = _find(_planted(_organic(0, own=0.8), 0))
    (group,) = found.groups.to_pylist()
    assert group["accounts"] == sorted(group["accounts"])
    assert "co-url" in group["traces"]
    assert set(group["items"][:6]) <= {f"url:https://pushed{item % 3}.example/{item}" for item in range(12)}
    assert group["statistic"] >= 4
    assert 0 < group["p"] <= group["q"] <= 0.05
    assert START <= group["window_lo"] < group["window_hi"]
    edges = found.edges.filter(pc.equal(found.edges["group_id"], group["group_id"]))
    assert set(edges["account_a"].to_pylist()) <= set(group["accounts"])
    assert found.group_members.num_rows == len(group["accounts"])
    assert all(0 < strength <= 1 for strength in found.group_members["strength"].to_pylist())


def test_order_of_rows_does_not_matter():
    rows = _planted(_organic(4, accounts=400, own=0.7, posts=8), 4)
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    first, second = _find(rows), _find(shuffled)
    assert first.groups.num_rows
    for name in ("groups", "group_members", "edges", "traces"):
        assert getattr(first, name).equals(getattr(second, name)), name


def _crowd(count: int, *, posts: int = 6) -> list[dict[str, object]]:
    """Accounts that post addresses and texts of their own."""
    rows = []
    for account in range(count):
        for post in range(posts):
            when = START + timedelta(hours=7.0 * post + 0.37 * account)
            url = f"https://own{account}.example/{post}"
            rows.append(document(len(rows), f"other{account:03d}", when, urls=[url], hashtags=[f"a{account}", f"b{post}"]))
    return rows


# ---------------------------------------------------------------- traces and odd input


def _trace(rows: list[dict[str, object]], name: str, copies: pa.Table = NO_COPIES):
    traces = build_traces(read_corpus(records.table(rows, records.DOCUMENTS), copies), DOCTRINE)
    return next(trace for trace in traces if trace.name == name)


def test_trace_items_by_hand():
    rows = [
        document(0, "ann", START, urls=["https://x.example/1"], hashtags=["One", "two"]),
        document(1, "bob", START + timedelta(minutes=5), urls=["https://x.example/1", ""], hashtags=["#one", "TWO"]),
        document(2, "cat", START + timedelta(minutes=20), urls=["https://x.example/1"], hashtags=["two", "one"]),
        document(3, "ann", START, is_repost=True, repost_of="p1", hashtags=["one", "two"]),
        document(4, "bob", START, text="too short", hashtags=None, urls=None),
        document(5, "cat", START, text="Too short!"),
        document(6, None, START, urls=["https://x.example/1"]),
    ]
    copies = records.table([{"doc_id": "doc-000005", "representative": "doc-000004", "kind": "exact", "similarity": 1.0}], records.COPIES)
    urls = _trace(rows, "co-url")
    assert urls.items.tolist() == []  # one address of all three accounts is too popular to tell anything
    assert "1 items of more than 2 accounts" in urls.note
    assert "1 shares without account" in urls.note
    assert _trace(rows, "co-hashtag").items.tolist() == ["hashtags:#one #two", "hashtags:#two #one"]
    assert _trace(rows, "co-repost").items.tolist() == ["repost:p1"]
    assert "text:doc-000004" not in _trace(rows, "co-text", copies).items.tolist()
    fast = _trace(rows, "fast-6m")
    stamp = int(START.timestamp())
    # Minute 0 and 5 fall into one window, minute 20 opens the next one.
    assert [label for label in fast.items if "x.example" in label] == [
        f"fast:{stamp:014d}:url:https://x.example/1",
        f"fast:{stamp + 1200:014d}:url:https://x.example/1",
    ]


def test_widths_are_named_as_people_write_them():
    assert list(widths(DOCTRINE)) == ["fast-10s", "fast-1m", "fast-6m", "fast-36m", "fast-3.6h"]
    assert span(2 * 86_400) == "2d"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=40), st.integers(1, 20))
def test_windows_open_as_by_hand(shares, seconds):
    shares = sorted(shares)
    codes, time = (np.array(column, dtype=np.int64) for column in zip(*shares, strict=True)) if shares else (np.empty(0, int),) * 2
    naive, last, start = [], None, 0
    for code, moment in shares:
        if code != last or moment - start > seconds:
            last, start = code, moment
        naive.append(start * 1_000_000)
    assert windows(codes, time * 1_000_000, seconds).tolist() == naive


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [document(0, "ann", START, urls=["https://x.example/1"])],
        [document(number, None, None) for number in range(5)],
        [document(number, "ann", START, urls=[f"https://x.example/{number % 7}"]) for number in range(50)],
        [document(number, f"user{number:02d}", None, urls=["https://x.example/1"]) for number in range(40)],
    ],
    ids=["nothing", "one document", "nobody", "one account", "one item of everybody, undated"],
)
def test_too_little_is_said_and_not_guessed(rows):
    found = _find(rows)
    assert found.groups.num_rows == 0
    assert flagged(found.groups).to_pylist() == []
    assert found.traces["trace"].to_pylist() == [*KINDS, *widths(DOCTRINE), rhythm.NAME]
    assert not any(found.traces["supported"].to_pylist())
    assert all(found.traces["note"].to_pylist())


def test_identical_times_and_no_times():
    for when in (START, None):
        rows = [{**row, "published_at": when, "published_precision": "second" if when else "unknown"} for row in _planted(_crowd(150), 0)]
        found = _find(rows)
        assert found.groups.num_rows == 1
        (group,) = found.groups.to_pylist()
        assert group["window_lo"] == when


def test_a_flood_and_a_hit_do_not_blow_up():
    # One account with 30,000 posts and one address of 3,000 accounts: 4.5 million pairs if it were not left out.
    rows = _planted(_crowd(150), 0)
    for account in range(3000):
        rows.append(document(len(rows), f"extra{account:04d}", START, urls=["https://hit.example/"]))
    for post in range(30_000):
        rows.append(document(len(rows), "flood", START + timedelta(minutes=post), urls=[f"https://flood.example/{post}"]))
    found = _find(rows)
    assert found.traces["pairs_tested"].to_pylist()[0] < 5000
    assert "too popular" in found.traces["note"].to_pylist()[0]
    assert found.groups["accounts"].to_pylist()[0][0] == "user0380"


def test_wrong_tables_are_refused():
    with pytest.raises(SchemaError):
        find_groups(NO_COPIES, NO_COPIES, doctrine=DOCTRINE)


def test_carriers_count_documents_by_group_and_flagged_groups_together():
    documents = records.table(
        [
            {"doc_id": f"doc-{n}", "account": account, "outlet": outlet}
            for n, (account, outlet) in enumerate([("a", None), ("b", None), ("c", None), (None, "paper"), ("a", "paper"), ("z", None)])
        ],
        records.DOCUMENTS,
    )
    members = records.table(
        [{"doc_id": f"doc-{n}", "narrative_id": "nar-1" if n < 4 else "nar-2" if n == 4 else None} for n in range(6)], records.MEMBERS
    )
    fits, not_fits = ([{"name": "single feed", "fits": value}] for value in (True, False))
    groups = records.table(
        [
            {"group_id": "grp-1", "accounts": ["a", "b"], "explanations": not_fits},
            {"group_id": "grp-2", "accounts": ["b", "paper"], "explanations": not_fits},
            {"group_id": "grp-3", "accounts": ["c"], "explanations": fits},
        ],
        records.GROUPS,
    )
    found = {
        (row["narrative_id"], row["group_id"]): (row["documents"], row["share"])
        for row in find_carriers(groups, documents, members).to_pylist()
    }
    # By hand: nar-1 holds a, b, c and the paper; b is in two groups and counts once in the sum over flagged ones.
    assert found == {
        ("nar-1", None): (3, 0.75),
        ("nar-1", "grp-1"): (2, 0.5),
        ("nar-1", "grp-2"): (2, 0.5),
        ("nar-1", "grp-3"): (1, 0.25),
        ("nar-2", None): (1, 1.0),
        ("nar-2", "grp-1"): (1, 1.0),
    }
    assert find_carriers(groups.slice(0, 0), documents, members).num_rows == 0


def test_windows_of_a_single_item_are_an_event_and_not_a_pattern():
    rows = _crowd(200)
    for repeat in range(6):
        for member in range(12):
            when = START + timedelta(days=2, hours=5 * repeat, seconds=20 * member)
            rows.append(
                document(
                    len(rows), f"user{member:04d}", when, text="one slogan that some repeat all day long", is_repost=True, repost_of="p1"
                )
            )
    found = _find(rows)
    assert found.groups.num_rows == 0
    notes = dict(zip(found.traces["trace"].to_pylist(), found.traces["note"].to_pylist(), strict=True))
    assert "groups not listed, as they share windows of a single item, which is an event and no pattern: 1" in notes["fast-6m"]
