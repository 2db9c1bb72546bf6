"""Ids of campaigns last from run to run, what became of each is told, and attributions are people's alone."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.campaigns import set_by_hand
from greyzone.campaigns.attribution import attributed, unattributed
from greyzone.campaigns.tracking import EVENTS, keep_ids
from greyzone.errors import InputError
from greyzone.records import ATTRIBUTIONS, CAMPAIGNS, empty, table

FEW = table([{"campaign_id": "cmp-1"}, {"campaign_id": "cmp-2"}], CAMPAIGNS)


def tracked(before: dict[str, str], after: dict[str, str]):
    """Members are letters."""
    was, is_ = ({name: frozenset(members) for name, members in sets.items()} for sets in (before, after))
    return keep_ids(was, is_, share=0.3, update=4)


def figures(before: dict[str, str], after: dict[str, str]):
    """Return the members before and after, those shared and the overlap, by campaign."""
    rows = tracked(before, after).events.to_pylist()
    return {row["campaign_id"]: tuple(row[name] for name in ("members_before", "members_after", "shared", "overlap")) for row in rows}


def kept(before: dict[str, str], after: dict[str, str]):
    """Return the ids and (event, campaign, other) rows."""
    found = tracked(before, after)
    rows = found.events.to_pylist()
    assert {row["update"] for row in rows} <= {4}
    return dict(found.ids), [(row["event"], row["campaign_id"], row["other_id"]) for row in rows]


def test_a_campaign_that_only_grows_keeps_its_id():
    assert kept({"old": "ab"}, {"new": "abcdefgh"}) == ({"new": "old"}, [("continued", "old", None)])
    assert kept({"old": "ab"}, {"new": "ab"}) == ({"new": "old"}, [])


def test_first_run_has_births_alone():
    assert kept({}, {"a": "xy", "b": "z"}) == ({"a": "a", "b": "b"}, [("born", "a", None), ("born", "b", None)])


def test_merges_splits_births_and_ends():
    # C goes into the heir of A; the smaller half of D breaks away; E is gone; Z is new
    before = {"A": "abcdef", "C": "ghi", "D": "klmnop", "E": "q"}
    after = {"1": "abcdefghi", "2": "klmn", "3": "op", "4": "z"}
    ids, events = kept(before, after)
    assert ids == {"1": "A", "2": "D", "3": "3", "4": "4"}
    assert figures(before, after) == {
        "4": (0, 1, 0, 0),
        "3": (6, 2, 2, pytest.approx(2 / 6)),
        "A": (6, 9, 6, pytest.approx(6 / 9)),
        "D": (6, 4, 4, pytest.approx(4 / 6)),
        "C": (3, 9, 3, pytest.approx(3 / 9)),
        "E": (1, 0, 0, 0),
    }
    assert events == [
        ("born", "4", None),
        ("split", "3", "D"),
        ("continued", "A", None),
        ("continued", "D", None),
        ("merged", "C", "A"),
        ("ended", "E", None),
    ]


def test_a_new_campaign_never_takes_the_id_of_another_that_lived():
    ids, events = kept({"x": "abcdef", "y": "gh"}, {"x": "gh", "y": "uvw"})
    assert ids["x"] == "y"
    assert ids["y"] not in {"x", "y"}
    assert events == [("born", ids["y"], None), ("ended", "x", None)]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6))
def test_every_old_campaign_lives_or_ends_once_and_every_new_one_begins_once(seed):
    rng = np.random.default_rng(seed)

    def drawn(names):
        return {name: "".join(sorted(set(rng.choice(list("abcdefghijkl"), rng.integers(1, 8))))) for name in names[: rng.integers(0, 6)]}

    before, after = drawn("ABCDEF"), drawn("abcABC")
    ids, events = kept(before, after)
    living = set(ids.values())
    assert len(living) == len(after)
    assert {name for event, name, _ in events if event in ("merged", "ended")} == set(before) - living
    assert {name for event, name, _ in events if event in ("born", "split")} == living - set(before)
    assert [EVENTS.index(event) for event, _, _ in events] == sorted(EVENTS.index(event) for event, _, _ in events)
    turned = kept(dict(reversed(before.items())), dict(reversed(after.items())))
    assert turned == (ids, events)


def said(history, value="Group 9", who="A. Reader", basis="two sources", day="2024-06-01", campaign="cmp-1"):
    return set_by_hand(history, FEW, said=f"{campaign}={value}", who=who, basis=basis, day=day)


def test_an_attribution_is_kept_with_who_day_and_basis_and_quoted_as_theirs():
    history = said(empty(ATTRIBUTIONS))
    assert history.to_pylist() == [
        {"campaign_id": "cmp-1", "value": "Group 9", "who": "A. Reader", "day": date(2024, 6, 1), "basis": "two sources", "revision": 0}
    ]
    shown = attributed(history)["cmp-1"]
    assert shown["value"] == "“Group 9”"
    assert shown["note"] == "set by “A. Reader”, not by greyzone"
    assert unattributed()["value"] == "unknown"


def test_history_only_grows_and_the_last_word_counts():
    history = said(empty(ATTRIBUTIONS))
    assert said(history).equals(history)
    later = said(history, value="unknown", who="B", day="2024-06-02")
    assert later.slice(0, 1).equals(history)
    assert later["revision"].to_pylist() == [0, 1]
    assert attributed(later)["cmp-1"]["value"] == "unknown"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"campaign": "cmp-9"}, "no campaign 'cmp-9'"),
        ({"value": " "}, "CAMPAIGN=ACTOR"),
        ({"who": ""}, "without --who"),
        ({"basis": " "}, "without --basis"),
        ({"day": "June"}, "day 'June'"),
        ({"day": "2024-05-01", "who": "B"}, "that day or a later one"),
    ],
)
def test_what_cannot_be_attributed_is_refused_in_one_line(change, match):
    with pytest.raises(InputError, match=match) as caught:
        said(said(empty(ATTRIBUTIONS)), **change)
    assert "\n" not in str(caught.value)
