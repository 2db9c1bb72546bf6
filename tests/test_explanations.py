"""Alternative explanations: every one on the ordinary case that it is meant for and on a case that only looks like it; parts by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from builders import document
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import records
from greyzone.coordinate import find_groups, flagged
from greyzone.coordinate.explanations import Background, explain, gather
from greyzone.coordinate.explanations.background import ranges
from greyzone.coordinate.explanations.by_accounts import chance_of_meeting, nearly_same, plain_name
from greyzone.coordinate.explanations.items import together, within
from greyzone.coordinate.groups import Group, find_network
from greyzone.coordinate.traces import build_traces, read_corpus
from greyzone.doctrine import load_doctrine

START = datetime(2024, 3, 1, tzinfo=UTC)
DOCTRINE = load_doctrine().replace(coordination__resamples=50)
NO_COPIES = records.empty(records.COPIES)
NAMES = [
    "press echo",
    "syndication",
    "single feed or app",
    "fandom or hashtag day",
    "party or institution discipline",
    "shared time zone",
    "bridged accounts of one person",
]


def _crowd(count: int = 150, *, posts: int = 6, **fields: object) -> list[dict[str, object]]:
    """Accounts that post addresses and texts of their own."""
    rows = []
    for account in range(count):
        for post in range(posts):
            when = START + timedelta(hours=7.0 * post + 0.37 * account)
            url = f"https://own{account}.example/{post}"
            rows.append(document(len(rows), f"other{account:03d}", when, urls=[url], hashtags=[f"a{account}", f"b{post}"], **fields))
    return rows


def _corpus(rows, copies: pa.Table = NO_COPIES):
    return read_corpus(records.table(rows, records.DOCUMENTS), copies)


def _explained(rows, members: str, *traces: str, copies: pa.Table = NO_COPIES) -> dict[str, dict[str, object]]:
    """Take the accounts whose names begin with `members` for a group that rests on these traces."""
    corpus = _corpus(rows, copies)
    accounts = np.flatnonzero([str(name).startswith(members) for name in corpus.names])
    found = {trace.name: trace for trace in build_traces(corpus, DOCTRINE) if trace.name in traces}
    group = Group(accounts, traces, 4, 0.001, 0.001)
    evidence = [gather(find_network(found[name], DOCTRINE, np.random.default_rng(0)), group, corpus, DOCTRINE) for name in traces]
    tests = explain(group, evidence, Background(corpus), DOCTRINE)
    assert [test["name"] for test in tests] == NAMES
    return {str(test["name"]): test for test in tests}


def _pushed(rows, members: int = 12, items: int = 8, *, hours: float = 30.0, name: str = "user", site: str = "s{item}.example", **fields):
    """Let members share addresses, each at an hour of its own within `hours`."""
    rng = np.random.default_rng(5)
    rows = list(rows)
    for item in range(items):
        for member in rng.permutation(members):
            when = START + timedelta(days=2.0 * item, hours=1 + float(rng.random()) * hours)
            url = f"https://{site.format(item=item)}/{item}"
            rows.append(document(len(rows), f"{name}{member:02d}", when, urls=[url], **fields))
    return rows


# ---------------------------------------------------------------- all of them


def test_every_group_has_every_alternative_and_a_fitting_one_takes_the_flag_away():
    rows = _pushed(_crowd(), hours=0.5)
    rows = _pushed(rows, hours=30.0, name="reader", site="courier.example")
    found = find_groups(records.table(rows, records.DOCUMENTS), NO_COPIES, doctrine=DOCTRINE)
    told = {row["accounts"][0]: row["explanations"] for row in found.groups.to_pylist()}
    assert set(told) == {"user00", "reader00"}
    for tests in told.values():
        assert [test["name"] for test in tests] == NAMES
        assert all(test["threshold"] is not None and test["note"] for test in tests)
    assert [test["name"] for test in told["user00"] if test["fits"]] == []
    assert [test["name"] for test in told["reader00"] if test["fits"]] == ["single feed or app"]
    flags = dict(zip((row["accounts"][0] for row in found.groups.to_pylist()), flagged(found.groups).to_pylist(), strict=True))
    assert flags == {"user00": True, "reader00": False}


def test_order_of_rows_does_not_matter():
    rows = _pushed(_crowd(60), hours=2.0, platform="x", app="deck")
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    assert _explained(rows, "user", "co-url") == _explained(shuffled, "user", "co-url")


# ---------------------------------------------------------------- press echo


def test_articles_of_the_press_are_echo_unless_shared_in_a_rush_or_by_the_press_itself():
    def outcome(hours: float, outlet: str) -> bool:
        rows = _pushed(_crowd(), hours=hours, site="courier.example")
        days = (START + timedelta(days=2.0 * item) for item in range(8))
        for item, day in enumerate(days):
            rows.append(document(len(rows), None, day, outlet=outlet, url=f"https://courier.example/{item}"))
        return bool(_explained(rows, "user", "co-url")["press echo"]["fits"])

    assert outcome(30.0, "courier.example")
    assert not outcome(0.5, "courier.example")
    # An outlet that is a member of the group is no press that the group could echo.
    assert not outcome(30.0, "user-courier.example")


@pytest.mark.parametrize(("before", "after", "fits"), [(12, 0, True), (1, 30, False), (0, 30, False)])
def test_what_as_many_others_knew_before_is_public(before, after, fits):
    rows = _pushed(_crowd(), hours=20.0)
    for item in range(8):
        for other in range(before + after):
            when = START + timedelta(days=2.0 * item, hours=0.0 if other < before else 40.0)
            # Other ones each time: a public is no group.
            rows.append(document(len(rows), f"other{(19 * item + other) % 150:03d}", when, urls=[f"https://s{item}.example/{item}"]))
    assert _explained(rows, "user", "co-url")["press echo"]["fits"] is fits


def test_groups_do_not_vouch_for_each_other():
    rows = _pushed(_crowd(), hours=20.0)
    for item in range(8):
        for other in range(12):
            when = START + timedelta(days=2.0 * item, minutes=float(other))
            rows.append(document(len(rows), f"squad{other:02d}", when, urls=[f"https://s{item}.example/{item}"]))
    # Twelve others were there before, but they are in a core themselves.
    assert not _explained(rows, "user", "co-url")["press echo"]["fits"]


def test_a_core_of_any_trace_is_no_public():
    rows = _pushed(_crowd(), hours=20.0)
    for item in range(8):
        for other in range(12):
            when = START + timedelta(days=2.0 * item)
            rows.append(document(len(rows), f"other{(19 * item + other) % 150:03d}", when, urls=[f"https://s{item}.example/{item}"]))
    corpus = _corpus(rows)
    accounts, others = (np.flatnonzero([str(name).startswith(start) for name in corpus.names]) for start in ("user", "other"))
    (trace,) = (trace for trace in build_traces(corpus, DOCTRINE) if trace.name == "co-url")
    group = Group(accounts, ("co-url",), 4, 0.001, 0.001)
    evidence = [gather(find_network(trace, DOCTRINE, np.random.default_rng(0)), group, corpus, DOCTRINE)]
    told = [explain(group, evidence, Background(corpus, cores), DOCTRINE)[0]["fits"] for cores in ((), [others])]
    assert told == [True, False]


# ---------------------------------------------------------------- syndication


def _prints(name: str, outlet: bool):
    rows, copies = _crowd(), []
    for story in range(8):
        first = len(rows)
        for paper in range(12):
            who = f"paper{paper}.example"
            when = START + timedelta(days=3.0 * story, minutes=4.0 * paper)
            rows.append(document(len(rows), None if outlet else who, when, outlet=who if outlet else None))
            if paper:
                copies.append({"doc_id": rows[-1]["doc_id"], "representative": f"doc-{first:06d}", "kind": "exact", "similarity": 1.0})
    return _explained(rows, "paper", "co-text", copies=records.table(copies, records.COPIES))[name]


def test_wire_texts_of_outlets_are_syndication_and_those_of_accounts_are_not():
    assert _prints("syndication", outlet=True)["fits"]
    assert _prints("syndication", outlet=True)["statistic"] == 1.0
    assert not _prints("syndication", outlet=False)["fits"]


# ---------------------------------------------------------------- single feed or app


@pytest.mark.parametrize("hours", [0.2, 30.0])
def test_items_of_one_site_are_a_feed_and_those_of_a_platform_are_not(hours):
    told = _explained(_pushed(_crowd(), site="site.example", hours=hours), "user", "co-url")["single feed or app"]
    assert told["fits"]
    assert "of the site site.example" in told["note"]
    # Everybody publishes there, so it is no site.
    assert not _explained(_pushed(_crowd(), site="youtube.com", hours=hours), "user", "co-url")["single feed or app"]["fits"]


@pytest.mark.parametrize(
    ("rotating", "minutes", "times"), [(False, 10.0, True), (True, 10.0, True), (False, 1.0, True), (False, 10.0, False)]
)
def test_one_leader_is_a_feed_unless_the_lead_rotates_or_all_follow_in_a_rush(rotating, minutes, times):
    rows = _crowd()
    for item in range(10):
        for member in range(10):
            account = (member + item) % 10 if rotating else member
            when = START + timedelta(days=float(item), minutes=minutes * member)
            rows.append(document(len(rows), f"reader{account}", when, urls=[f"https://site{item % 4}.example/feed/{item}"]))
    if not times:
        rows = [{**row, "published_at": None, "published_precision": "unknown"} for row in rows]
    told = _explained(rows, "reader", "co-url")["single feed or app"]
    assert told["fits"] is (not rotating and minutes > 1 and times)
    assert "reader0" not in told["note"]


@pytest.mark.parametrize(
    ("theirs", "crowd", "fits", "note"),
    [
        ("ticker", "phone", True, "ticker posted 100% of the shared documents and 0% of all others"),
        ("phone", "phone", False, "phone posted 100% of the shared documents and 100% of all others"),
        (None, "phone", False, "not testable for apps"),
        ("ticker", None, False, "not testable for apps"),
    ],
)
def test_an_app_explains_only_where_hardly_anybody_else_uses_it(theirs, crowd, fits, note):
    rows = _pushed(_crowd(app=crowd), hours=0.5, app=theirs)
    told = _explained(rows, "user", "co-url")["single feed or app"]
    assert told["fits"] is fits
    assert note in told["note"]


# ---------------------------------------------------------------- fandom or hashtag day


def _fans(days: int, *, others: int = 90, tag: str = "FanDay"):
    rng = np.random.default_rng(3)
    rows = _crowd()
    for day in range(days):
        for fan in range(12 + others):
            # Twelve keen ones use the same sequences over and over; the others use the tag once.
            for sequence in range(6 if fan < 12 else 1):
                when = START + timedelta(days=5 + 7 * day, hours=float(rng.random() * 20))
                more = [f"song{sequence}", "live"] if fan < 12 else [f"mine{fan}"]
                rows.append(document(len(rows), f"fan{fan:02d}" if fan < 12 else f"guest{fan:03d}", when, hashtags=[tag, *more]))
    return _explained(rows, "fan", "co-hashtag")["fandom or hashtag day"]


def test_a_hashtag_day_of_many_is_one_and_so_are_weekly_ones():
    assert _fans(1)["fits"]
    weekly = _fans(3)
    assert weekly["fits"]
    assert "on 3 days" in weekly["note"]
    assert "#fanday" in weekly["note"]


def test_a_hashtag_that_the_group_has_for_itself_is_no_day():
    assert not _fans(1, others=5)["fits"]
    assert not _fans(3, others=5)["fits"]


# ---------------------------------------------------------------- party or institution discipline


def _deputies(own: int, hours: float = 12.0, copied: int = 0, when: bool = True):
    rows = _pushed(_crowd(), hours=hours, name="deputy")
    for member in range(12):
        for post in range(own):
            rows.append(document(len(rows), f"deputy{member:02d}", START + timedelta(hours=11.0 * post + member)))
        for post in range(copied):
            # Filler that two members post alike, and that no trace needs to have found.
            text = {"is_repost": True, "repost_of": f"p{member // 2}-{post}"}
            rows.append(document(len(rows), f"deputy{member:02d}", START + timedelta(hours=13.0 * post + member), **text))
    if not when:
        rows = [{**row, "published_at": None, "published_precision": "unknown"} for row in rows]
    return _explained(rows, "deputy", "co-url")["party or institution discipline"]


def test_slow_speakers_with_much_of_their_own_are_discipline():
    told = _deputies(32)
    assert told["fits"]
    assert told["statistic"] == pytest.approx(32 / 40)
    assert not _deputies(0)["fits"]
    assert not _deputies(32, hours=0.5)["fits"]


def test_filler_that_members_copy_from_each_other_is_not_their_own():
    told = _deputies(12, copied=20)
    assert told["statistic"] == pytest.approx(12 / 40)
    assert not told["fits"]


def test_without_times_hurry_is_not_testable():
    told = _deputies(32, when=False)
    assert not told["fits"]
    assert "not testable" in told["note"]


# ---------------------------------------------------------------- shared time zone


def _meeting(within_hours: float, trace: str):
    """Let members share items of a day at random within some hours after nine in the morning."""
    rng = np.random.default_rng(8)
    rows = _crowd()
    for item in range(20):
        for member in range(12):
            when = START + timedelta(days=float(item), hours=9 + within_hours * float(rng.random()))
            rows.append(document(len(rows), f"clerk{member:02d}", when, urls=[f"https://s{item}.example/{item}"]))
    return _explained(rows, "clerk", trace)["shared time zone"]


def test_people_of_one_office_meet_by_their_hours_alone():
    names = {trace.name: trace.seconds for trace in build_traces(_corpus(_crowd(8)), DOCTRINE) if trace.seconds}
    width = next(name for name, seconds in names.items() if seconds and 3000 < seconds < 20_000)
    told = _meeting(6.0, width)
    assert told["fits"]
    assert told["statistic"] > 0.9
    narrow = next(name for name, seconds in names.items() if seconds and 50 < seconds < 100)
    rows = _crowd()
    for item in range(20):
        for member in range(12):
            # Each day at another hour, but within the minute.
            when = START + timedelta(days=float(item), hours=float(item % 6) + 9, seconds=3.0 * member)
            rows.append(document(len(rows), f"clerk{member:02d}", when, urls=[f"https://s{item}.example/{item}"]))
    told = _explained(rows, "clerk", narrow)["shared time zone"]
    assert not told["fits"]
    assert told["statistic"] < 0.05


@pytest.mark.parametrize("together", [False, True])
def test_minutes_are_compared_over_all_posts_of_a_day(together):
    rng = np.random.default_rng(6)
    rows = _crowd()
    for day in range(40):
        for post in range(3):
            minute = 60 * post + int(rng.integers(60))
            for member in range(12):
                own = minute if together else 60 * post + int(rng.integers(60))
                rows.append(document(len(rows), f"clerk{member:02d}", START + timedelta(days=float(day), hours=9, minutes=own)))
    told = _explained(rows, "clerk", "rhythm-1m")
    assert told["shared time zone"]["fits"] is not together
    # Nothing is shared but minutes: what they say is their own.
    assert told["party or institution discipline"]["statistic"] == 1.0
    assert not told["party or institution discipline"]["fits"]
    assert not told["press echo"]["fits"]
    assert not told["single feed or app"]["fits"]


def test_a_group_that_shares_content_is_no_matter_of_hours():
    told = _explained(_pushed(_crowd()), "user", "co-url")["shared time zone"]
    assert told["statistic"] is None
    assert not told["fits"]


@pytest.mark.parametrize("width", [0.01, 0.5, 1.0, 3.6, 12.0, 23.0, 24.0])
def test_meetings_of_an_even_day_by_the_formula(width):
    # Two uniform moments of a day of 24 hours are within w with probability 1 - (1 - w/24)^2.
    assert chance_of_meeting(np.full(24, 1 / 24), width) == pytest.approx(1 - (1 - width / 24) ** 2)


def test_meetings_of_an_uneven_day_by_simulation():
    rng = np.random.default_rng(4)
    hours = rng.dirichlet(np.full(24, 0.3))
    a, b = (rng.choice(24, 200_000, p=hours) + rng.random(200_000) for _ in range(2))
    for width in (0.2, 1.7, 6.0):
        assert chance_of_meeting(hours, width) == pytest.approx(float((np.abs(a - b) <= width).mean()), abs=0.006)


# ---------------------------------------------------------------- bridged accounts of one person


def _bridged(names: list[tuple[str, str, str]], *, mirrored: bool = False, handles: bool = False):
    """Let accounts (name, handle, platform) share eight addresses, and as much of their own unless each person's accounts mirror."""
    rows = _crowd(platform="x")
    for number, (name, handle, platform) in enumerate(names):
        for item in range(16):
            when = START + timedelta(days=float(item), minutes=17.0 * number)
            mine = f"https://u{handle if mirrored else number}.example/{item}" if item >= 8 else f"https://s{item}.example/{item}"
            more = {"is_repost": True, "repost_of": mine} if mirrored else {}
            fields = {"urls": [mine], "platform": platform, "handle": handle if handles else None, **more}
            rows.append(document(len(rows), f"member {name}", when, **fields))
    return _explained(rows, "member", "co-url")["bridged accounts of one person"]


PLATFORMS = ["x", "telegram", "facebook", "tiktok"]


def test_few_persons_on_many_platforms_are_counted_by_their_names():
    two = [(f"{who}_{place}", f"{who}", place) for who in ("annajensen", "bobmartin") for place in PLATFORMS]
    told = _bridged(two, handles=True)
    assert (told["statistic"], told["threshold"], told["fits"]) == (2.0, 5.0, True)
    # Without the handles the names differ by more than a letter.
    assert not _bridged(two)["fits"]


def test_few_persons_are_counted_by_what_they_post_on_both_sides():
    two = [(f"n{number}{place}", who, place) for number, who in enumerate(("anna", "bob")) for place in PLATFORMS]
    assert _bridged(two, mirrored=True)["statistic"] == 2.0
    assert not _bridged(two)["fits"]


def test_as_many_accounts_on_one_platform_are_as_many_persons():
    farm = [(f"{number}{place}", f"person{number}", place) for number in range(5) for place in ("x", "telegram")]
    told = _bridged(farm, mirrored=True, handles=True)
    assert (told["statistic"], told["fits"]) == (5.0, False)
    alone = _bridged([(f"{number}", f"person{number}", "x") for number in range(8)])
    assert (alone["statistic"], alone["fits"]) == (8.0, False)
    assert "not testable" in str(_explained(_pushed(_crowd()), "user", "co-url")["bridged accounts of one person"]["note"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Anna_Jensen", "annajensen", True),
        ("@AnnaJensen", "anna.jensen@mastodon.example", True),
        ("annajensen", "anna-jensen.bsky.social", True),
        ("annajensen", "annajensenn", True),
        ("annajensen", "annajenson", True),
        ("anna", "anne", False),
        ("annajensen", "annjenson", False),
        ("patriot2016", "patriot2017", False),
        ("patriot201", "patriot2011", False),
        ("annajensen", "bobmartin", False),
    ],
)
def test_names_that_are_nearly_the_same(one, other, same):
    assert nearly_same(plain_name(one), plain_name(other)) is same
    assert nearly_same(plain_name(other), plain_name(one)) is same


# ---------------------------------------------------------------- parts


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), max_size=40), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_within_and_together_agree_with_counting(entries, width):
    entries = sorted(entries)
    group, time = (np.array([entry[place] for entry in entries], dtype=np.int64) for place in (0, 1))
    naive = [
        sum(other == own and later >= place and when <= moment + width for later, (other, when) in enumerate(entries))
        for place, (own, moment) in enumerate(entries)
    ]
    assert within(group, time, width).tolist() == naive
    shares = together(group, time, 5, width)
    for number in range(5):
        counts = [count for count, (own, _) in zip(naive, entries, strict=True) if own == number]
        assert np.isnan(shares[number]) if not counts else shares[number] == max(counts) / len(counts)


def test_ranges_by_hand():
    assert ranges(np.array([3, 9, 5]), np.array([5, 9, 8])).tolist() == [3, 4, 5, 6, 7]
    assert ranges(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []


def test_evidence_is_shared_by_three_and_by_more_than_chance():
    rows = _pushed(_crowd(), members=6, items=4)
    rows.append(document(len(rows), "user00", START, urls=["https://rare.example/"]))
    rows.append(document(len(rows), "user01", START, urls=["https://rare.example/"]))
    for account in range(70):
        rows.append(document(len(rows), f"other{account:03d}", START, urls=["https://hit.example/"]))
    rows += [document(len(rows) + member, f"user{member:02d}", START, urls=["https://hit.example/"]) for member in range(3)]
    corpus = _corpus(rows)
    (trace,) = (trace for trace in build_traces(corpus, DOCTRINE) if trace.name == "co-url")
    accounts = np.flatnonzero([str(name).startswith("user") for name in corpus.names])
    found = gather(find_network(trace, DOCTRINE, np.random.default_rng(0)), Group(accounts, ("co-url",), 4, 0.001, 0.001), corpus, DOCTRINE)
    # Two members are too few, and three of six are what the popularity of the hit gives.
    assert trace.items[found.columns].tolist() == [f"url:https://s{item}.example/{item}" for item in range(4)]
    assert found.inside.tolist() == [6] * 4
    assert [len(documents) for documents in found.rows] == [6] * 4
