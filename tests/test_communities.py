"""Communities of links: bridges do not glue, ends may lie in several campaigns, gaps in time part, order is irrelevant."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.campaigns import communities
from greyzone.campaigns.communities import Ties, find_communities

Link = tuple[str, str, float]


def of(*links: Link, days: dict[tuple[str, str], tuple[float, float]] | None = None, kin: float = 0.5, gap: float = 90):
    """Campaigns as (incidents, narratives), and the pairs that are bridges."""
    when = [(days or {}).get(link[:2], (np.nan, np.nan)) for link in links]
    ties = Ties(
        [link[0] for link in links],
        [link[1] for link in links],
        np.array([link[2] for link in links]),
        np.array([start for start, _ in when]),
        np.array([end for _, end in when]),
    )
    found, bridges = find_communities(ties, kin=kin, gap_days=gap)
    joined = sorted(tie for part in found for tie in part.ties)
    assert sorted(joined + bridges) == list(range(len(links)))
    return [(sorted(part.incidents), sorted(part.narratives)) for part in found], [links[place][:2] for place in bridges]


def block(name: str, incidents: int = 3, narratives: int = 3, p: float = 0.9) -> list[Link]:
    return [(f"i{name}{a}", f"n{name}{b}", p) for a in range(incidents) for b in range(narratives)]


def test_nothing_is_no_campaign():
    assert of() == ([], [])


def test_an_incident_and_its_one_story_are_a_campaign():
    assert of(("i", "n", 0.2)) == ([(["i"], ["n"])], [])


@pytest.mark.parametrize("weights", [(0.9, 0.9), (1.0, 0.05)])
def test_all_stories_of_one_incident_are_one_campaign_whatever_their_weights(weights):
    assert of(*(("i", f"n{at}", p) for at, p in enumerate(weights))) == ([(["i"], ["n0", "n1"])], [])


@pytest.mark.parametrize("weight", [0.1, 0.9])
def test_a_bridge_does_not_glue_two_campaigns(weight):
    found, bridges = of(*block("a"), *block("b"), ("ia0", "nb0", weight))
    assert found == [(["ia0", "ia1", "ia2"], ["na0", "na1", "na2"]), (["ib0", "ib1", "ib2"], ["nb0", "nb1", "nb2"])]
    assert bridges == [("ia0", "nb0")]


def test_an_incident_that_both_blocks_tell_lies_in_both():
    shared = [("x", f"n{name}{at}", 0.9) for name in "ab" for at in range(3)]
    found, bridges = of(*block("a"), *block("b"), *shared)
    assert [incidents for incidents, _ in found] == [["ia0", "ia1", "ia2", "x"], ["ib0", "ib1", "ib2", "x"]]
    assert bridges == []


def test_a_chain_of_equal_links_is_not_one_campaign():
    names = ["i0", "n0", "i1", "n1", "i2", "n2", "i3"]
    links = [(one, two, 0.9) if one.startswith("i") else (two, one, 0.9) for one, two in itertools.pairwise(names)]
    found, _ = of(*links)
    assert len(found) > 1
    assert max(len(incidents) + len(narratives) for incidents, narratives in found) < len(names)


def test_an_incident_whose_one_story_belongs_to_a_block_joins_it():
    found, bridges = of(*block("a", 4, 4), ("leaf", "na0", 0.6))
    assert found == [(["ia0", "ia1", "ia2", "ia3", "leaf"], ["na0", "na1", "na2", "na3"])]
    assert bridges == []


def test_a_gap_in_time_parts_a_story_that_comes_back():
    links = [("i1", "n", 0.9), ("i2", "n", 0.9), ("i3", "n", 0.9)]
    days = {("i1", "n"): (0.0, 2.0), ("i2", "n"): (92.0, 93.0), ("i3", "n"): (184.0, 184.0)}
    assert of(*links, days=days)[0] == [(["i1", "i2"], ["n"]), (["i3"], ["n"])]
    assert of(*links, days=days, gap=91)[0] == [(["i1", "i2", "i3"], ["n"])]


def test_a_long_link_covers_the_gap_and_one_without_a_date_parts_nothing():
    links = [("i1", "n", 0.9), ("i2", "n", 0.9), ("i3", "n", 0.9)]
    days = {("i1", "n"): (0.0, 300.0), ("i2", "n"): (10.0, 10.0), ("i3", "n"): (320.0, 320.0)}
    assert len(of(*links, days=days)[0]) == 1
    assert len(of(*links, days={("i1", "n"): (0.0, 0.0)})[0]) == 1


def test_membership_is_the_chance_that_one_link_at_least_is_real():
    none = np.full(2, np.nan)
    [part], _ = find_communities(Ties(["i", "i"], ["n", "m"], np.array([0.5, 0.8]), none, none), kin=0.5, gap_days=90)
    assert part.incidents == {"i": pytest.approx(1 - 0.5 * 0.2)}
    assert part.narratives == {"m": pytest.approx(0.8), "n": pytest.approx(0.5)}
    assert part.ties == [1, 0]


def drawn(seed: int, n: int = 40) -> list[Link]:
    rng = np.random.default_rng(seed)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, 12, (n, 2))}
    return [(f"i{a}", f"n{b}", float(p)) for (a, b), p in zip(sorted(pairs), rng.uniform(0.05, 1, len(pairs)), strict=True)]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_links_is_irrelevant(seed, random):
    links = drawn(seed)
    days = {link[:2]: (float(at * 17 % 400), float(at * 17 % 400 + 3)) for at, link in enumerate(links)}
    turned = random.sample(links, len(links))
    found, bridges = of(*links, days=days)
    again, bridged = of(*turned, days=days)
    assert (again, sorted(bridged)) == (found, sorted(bridges))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 50, 10**6]))
def test_kin_in_blocks_is_kin_by_the_formula(seed, size):
    links = drawn(seed)
    one, two = (np.unique([link[side] for link in links], return_inverse=True)[1] for side in (0, 1))
    weight = np.array([link[2] for link in links])
    naive = []
    rows = np.zeros((two.max() + 1, one.max() + 1))
    rows[two, one] = weight
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for a, b in itertools.combinations(range(len(links)), 2):
        if one[a] == one[b] and unit[two[a]] @ unit[two[b]] > 0.5 + communities.ROUNDING:
            naive.append((a, b))
    before, communities.BLOCK = communities.BLOCK, size
    try:
        pairs = np.concatenate(list(communities._kin(one, two, weight, 0.5)), axis=1)
    finally:
        communities.BLOCK = before
    expected = communities._united(len(links), np.array(naive, dtype=np.int64).reshape(-1, 2).T)
    assert communities._united(len(links), pairs).tolist() == expected.tolist()


def test_what_is_far_away_changes_nothing():
    alone, _ = of(*block("a"), ("ia0", "x", 0.6))
    beside, _ = of(*block("a"), ("ia0", "x", 0.6), *block("b", 5, 2), *block("c", 1, 4))
    assert [part for part in beside if part[0][0].startswith("ia")] == alone


def test_a_story_of_thousands_of_incidents_is_one_campaign():
    [(incidents, narratives)], bridges = of(*((f"i{at:05d}", "n", 0.5 + at / 10**5) for at in range(20_000)))
    assert len(incidents) == 20_000
    assert (narratives, bridges) == (["n"], [])
