"""Narratives: every document once, nothing split, the same bytes whatever the order; dates, labels and breakout by hand."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import records
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.narratives import breakout, central, frame
from greyzone.narratives import describe_narratives as described
from greyzone.neighbours import unit_rows

START = datetime(2024, 3, 1, 9, tzinfo=UTC)
STORIES = (
    "The grain terminal of Poland stays closed because the harbour cranes failed again.",
    "Voters in Estonia could not reach the election portal after an outage of the ballot servers.",
)

DOCTRINE = load_doctrine()


def describe_narratives(*arrays, **levels):
    return described(*arrays, doctrine=DOCTRINE, **levels)


def scenario(seed: int = 0, size: int = 24):
    """Return documents of two stories and a background, with copies, vectors, labels and probabilities of the representatives."""
    generator = np.random.default_rng(seed)
    rows, copies, vectors, marks = [], [], [], []
    for place in range(size):
        story = place % 3
        text = f"{STORIES[story]} Witness number {place} adds detail." if story < 2 else f"Unrelated remark {place} about gardens"
        row = {
            "doc_id": f"doc-{place:04d}",
            "text": text,
            "lang": "en",
            "account": f"account{place % 5}",
            "outlet": "Morning Paper" if place % 4 == 0 else None,
            "platform": ("board", "forum")[place % 2],
            "published_at": START + timedelta(hours=5 * place) if place % 6 else None,
            "published_precision": "second" if place % 6 else "unknown",
        }
        rows.append(row)
        if place >= 9 and generator.random() < 0.4:
            copies.append({"doc_id": row["doc_id"], "representative": f"doc-{story:04d}", "kind": "near", "similarity": 0.9})
        else:
            vector = np.eye(8)[story] + generator.normal(scale=0.1, size=8)
            vectors.append(vector / np.linalg.norm(vector))
            marks.append(story if story < 2 else -1)
    return (
        records.table(rows, records.DOCUMENTS),
        records.table(copies, records.COPIES),
        np.array(vectors, dtype=np.float32),
        np.array(marks),
        np.where(np.array(marks) >= 0, 0.75, 0.0).astype(np.float32),
    )


def kept(documents, copies):
    copied = set(copies["doc_id"].to_pylist())
    return [name for name in documents["doc_id"].to_pylist() if name not in copied]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 40))
def test_every_document_once_and_order_leaves_no_trace(seed, size):
    documents, copies, vectors, marks, strength = scenario(seed, size)
    result = describe_narratives(documents, copies, vectors.reshape(-1, 8), marks, strength)
    records.check(result.narratives, records.NARRATIVES, "narratives")
    records.check(result.members, records.MEMBERS, "members")
    members = result.members.to_pylist()
    assert [row["doc_id"] for row in members] == sorted(documents["doc_id"].to_pylist())
    by_doc = {row["doc_id"]: row["narrative_id"] for row in members}
    assert sum(result.narratives["size"].to_pylist()) + list(by_doc.values()).count(None) == size
    assert Counter(name for name in by_doc.values() if name) == Counter(
        dict(zip(result.narratives["narrative_id"].to_pylist(), result.narratives["size"].to_pylist(), strict=True))
    )
    for row in copies.to_pylist():
        assert by_doc[row["doc_id"]] == by_doc[row["representative"]]
    assert result.vectors.shape == (result.narratives.num_rows, 8)

    order = np.random.default_rng(seed + 1).permutation(size)
    shuffled = documents.take(order)
    rank = {name: place for place, name in enumerate(kept(documents, copies))}
    take = np.array([rank[name] for name in kept(shuffled, copies)], dtype=np.int64)
    other = describe_narratives(
        shuffled, copies.take(np.arange(copies.num_rows)[::-1]), vectors.reshape(-1, 8)[take], marks[take], strength[take]
    )
    assert other.narratives.equals(result.narratives)
    assert other.members.equals(result.members)
    assert other.vectors.tobytes() == result.vectors.tobytes()


def test_cluster_numbers_do_not_matter():
    documents, copies, vectors, marks, strength = scenario()
    one = describe_narratives(documents, copies, vectors, marks, strength)
    other = describe_narratives(documents, copies, vectors, np.where(marks >= 0, 7 - 3 * marks, -1), strength)
    assert one.narratives.equals(other.narratives)
    assert one.members.equals(other.members)


def test_what_a_narrative_says():
    documents, copies, vectors, marks, strength = scenario(3)
    result = describe_narratives(documents, copies, vectors, marks, strength)
    found = {row["targets"][0]: row for row in result.narratives.to_pylist()}
    assert set(found) == {"PL", "EE"}
    assert {"grain", "terminal"} & set(found["PL"]["keywords"])
    assert found["PL"]["label"].split(", ") == found["PL"]["keywords"][:4]
    assert found["EE"]["headline"] == STORIES[1]
    assert len(found["PL"]["exemplars"]) == min(5, found["PL"]["distinct_texts"]) > 2
    assert set(found["PL"]["exemplars"]) <= set(kept(documents, copies))
    assert found["PL"]["platforms"] == ["board", "forum"]
    assert found["PL"]["languages"] == ["en"]
    assert found["PL"]["outlets"] == 1
    assert sum(found["PL"]["breakout"]) == pytest.approx(1.0)


def timeline(times, precisions):
    rows = [
        {"doc_id": f"doc-{place:04d}", "text": f"text {place}", "published_at": time, "published_precision": precision}
        for place, (time, precision) in enumerate(zip(times, precisions, strict=True))
    ]
    documents = records.table(rows, records.DOCUMENTS)
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(rows), 1))
    none = records.empty(records.COPIES)
    return describe_narratives(documents, none, vectors, np.zeros(len(rows), dtype=int), np.ones(len(rows))).narratives.to_pylist()[0]


def test_onset_is_an_interval_that_carries_the_precision():
    # 5 % of 4 dated documents is 1, so 3 count: the third end is that of 3 March, a day.
    day = datetime(2024, 3, 1, tzinfo=UTC)
    found = timeline(
        [day, day + timedelta(days=1), day + timedelta(days=2), day + timedelta(days=9), None], ["day", "day", "day", "second", "unknown"]
    )
    assert found["onset_lo"] == day
    assert found["onset_hi"] == day + timedelta(days=3) - timedelta(microseconds=1)
    assert found["last_seen"] == day + timedelta(days=9)
    assert found["size"] == 5
    assert found["peak_day"] == date(2024, 3, 1)
    assert [(entry["day"].day, entry["documents"]) for entry in found["volume"]] == [(1, 1), (2, 1), (3, 1), (10, 1)]


def test_five_percent_of_many_documents():
    # 200 documents an hour apart: 5 % is the tenth, which ends with the hour that begins 9 hours after the first.
    found = timeline([START + timedelta(hours=hour) for hour in range(200)], ["hour"] * 200)
    assert found["onset_hi"] == START + timedelta(hours=10) - timedelta(microseconds=1)


def test_months_widen_the_onset_and_stay_out_of_the_volume():
    found = timeline([datetime(2024, 2, 1, tzinfo=UTC)] * 2, ["month", "day"])
    assert found["onset_lo"] == datetime(2024, 2, 1, tzinfo=UTC)
    assert found["onset_hi"] == datetime(2024, 3, 1, tzinfo=UTC) - timedelta(microseconds=1)
    assert [entry["documents"] for entry in found["volume"]] == [1]


def test_half_life_by_hand():
    # Peak on day 0 (6); after it 4 + 2 + 1 + 1 = 8 documents: half are there with day 1. A stray a month later lets the corpus run on.
    counts = {0: 6, 1: 4, 2: 2, 3: 1, 30: 1}
    days = [START + timedelta(days=day) for day, count in counts.items() for _ in range(count)]
    assert timeline(days, ["second"] * len(days))["half_life"] == 1.0
    # Half of the five documents after the peak come on day 3 only (1, 1, 3).
    days = [START + timedelta(days=day) for day in [0] * 6 + [1, 2, 3, 3, 3, 40]]
    assert timeline(days, ["day"] * len(days))["half_life"] == 3.0


def test_a_half_life_that_the_data_cannot_tell_is_null():
    steady = [START + timedelta(days=day) for day in range(20) for _ in range(2)]
    assert timeline(steady, ["second"] * 40)["half_life"] is None
    assert timeline([START] * 9 + [START + timedelta(days=1)] * 4, ["second"] * 13)["half_life"] is None
    assert timeline([START] * 9, ["month"] * 9)["half_life"] is None


def test_bursts_of_a_narrative_stand_in_the_days_of_the_corpus():
    # 100 days, one document each, and 30 more on days 50 and 51.
    days = [START + timedelta(days=day) for day in [*range(100), *[50] * 30, *[51] * 30]]
    found = timeline(days, ["second"] * len(days))["bursts"]
    assert [(entry["first"], entry["last"], entry["documents"]) for entry in found] == [(date(2024, 4, 20), date(2024, 4, 21), 62)]
    # rate 1.6 a day, so a day of 31 documents is worth 31 ln 2 - 1.6.
    assert found[0]["weight"] == pytest.approx(2 * (31 * np.log(2) - 1.6))


def carried(rows):
    rows = [{"doc_id": f"doc-{place}", "text": f"text {place}", "lang": "en"} | row for place, row in enumerate(rows)]
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(rows), 1))
    tables = records.table(rows, records.DOCUMENTS), records.empty(records.COPIES)
    return describe_narratives(*tables, vectors, np.zeros(len(rows), dtype=int), np.ones(len(rows))).narratives.to_pylist()[0]


def test_first_movers_are_those_who_certainly_were_there_first():
    hour = timedelta(hours=1)
    found = carried(
        [
            {"account": "late", "published_at": START + 5 * hour, "published_precision": "second"},
            {"account": "early", "published_at": START + hour, "published_precision": "second"},
            {"account": "early", "published_at": START, "published_precision": "second"},
            # A day that began before all: but when in it?
            {"outlet": "Paper", "published_at": START - 9 * hour, "published_precision": "day"},
            {"account": "both", "outlet": "Paper", "published_at": START + 2 * hour, "published_precision": "hour"},
            {"account": "vague", "published_at": START - 24 * hour, "published_precision": "month"},
            {"account": "undated"},
        ]
    )["first_movers"]
    assert [(entry["kind"], entry["name"], entry["doc_id"]) for entry in found] == [
        ("account", "early", "doc-2"),
        ("account", "both", "doc-4"),
        ("account", "late", "doc-0"),
        ("outlet", "Paper", "doc-3"),
    ]
    assert found[3]["at_lo"] == START - 9 * hour
    assert found[3]["at_hi"] == START + 15 * hour - timedelta(microseconds=1)


def test_five_first_movers_and_none_where_nobody_is_known():
    times = [
        {"account": f"a{place}", "published_at": START + timedelta(hours=place), "published_precision": "second"} for place in range(9)
    ]
    assert [entry["name"] for entry in carried(times)["first_movers"]] == ["a0", "a1", "a2", "a3", "a4"]
    assert carried([{}, {}])["first_movers"] is None


def test_who_carried_it_when():
    found = carried(
        [
            {"lang": "de", "published_at": START, "published_precision": "second", "outlet": "Paper"},
            {"lang": "de", "published_at": START + timedelta(days=2), "published_precision": "second"},
            {"lang": "en", "published_at": START + timedelta(days=1), "published_precision": "day", "platform": "board"},
            {"lang": "en"},
            {"lang": "fr"},
        ]
    )["spread"]
    assert [tuple(entry.values()) for entry in found] == [
        ("language", "de", 2, START, START + timedelta(days=2)),
        ("language", "en", 2, START + timedelta(days=1), START + timedelta(days=1)),
        ("language", "fr", 1, None, None),
        ("outlet", "Paper", 1, START, START),
        ("platform", "board", 1, START + timedelta(days=1), START + timedelta(days=1)),
    ]


@pytest.mark.parametrize("size", [1, 5, 7])
def test_batches_and_workers_leave_no_trace(monkeypatch, size):
    tables = scenario(4)
    whole = describe_narratives(*tables)
    monkeypatch.setattr(frame, "SLICE", size)
    monkeypatch.setattr(central, "CELLS", 64 * size)
    other = describe_narratives(*tables, workers=2 if size == 5 else 1)
    assert other.narratives.equals(whole.narratives)
    assert other.members.equals(whole.members)


def test_undated_narratives_have_no_dates():
    found = timeline([None] * 3, ["unknown"] * 3)
    assert found["bursts"] is found["half_life"] is found["first_movers"] is None
    assert found["onset_lo"] is found["onset_hi"] is found["last_seen"] is found["peak_day"] is None
    assert found["volume"] == []


def test_identity_survives_later_documents():
    few = timeline([START + timedelta(hours=hour) for hour in range(5)], ["second"] * 5)
    many = timeline([START + timedelta(hours=hour) for hour in range(60)], ["second"] * 60)
    assert few["narrative_id"] == many["narrative_id"]


def test_distances_of_members_and_noise_by_hand():
    rows = [{"doc_id": f"doc-{place}", "text": f"text {place}"} for place in range(4)]
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, 0]], dtype=np.float32)
    result = describe_narratives(
        records.table(rows, records.DOCUMENTS), records.empty(records.COPIES), vectors, np.array([0, 1, -1, -1]), np.array([1, 1, 0, 0])
    )
    members = result.members.to_pylist()
    assert members[2]["narrative_id"] is None
    assert members[2]["nearest_id"] == members[0]["narrative_id"]
    assert members[2]["second_id"] == members[1]["narrative_id"]
    assert members[2]["distance"] == pytest.approx(0.2, abs=1e-6)
    assert members[2]["second_distance"] == pytest.approx(0.4, abs=1e-6)
    assert members[0]["distance"] == pytest.approx(0.0, abs=1e-6)
    assert members[0]["second_distance"] == pytest.approx(1.0, abs=1e-6)
    assert members[3]["nearest_id"] is members[3]["distance"] is members[3]["second_id"] is None


def four_texts(**levels):
    """Two narratives of two texts, a copy of the second text, the third earlier than the fourth."""
    rows = [{"doc_id": f"doc-{place}", "text": f"text {place}"} for place in range(5)]
    rows[2] |= {"published_at": START + timedelta(days=2), "published_precision": "day"}
    rows[3] |= {"published_at": START, "published_precision": "day"}
    copies = [{"doc_id": "doc-4", "representative": "doc-1", "kind": "near", "similarity": 0.9}]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    tables = records.table(rows, records.DOCUMENTS), records.table(copies, records.COPIES)
    return describe_narratives(*tables, vectors, np.array([0, 0, 1, 1]), np.ones(4), **levels)


def test_stories_themes_and_echoes_by_hand():
    found = four_texts(hierarchy=np.array([[7, 0, 3], [-1, 0, 3], [5, 1, 3], [5, 1, 3]]), leaders=np.array([0, 0, 2, 3]))
    members = found.members.to_pylist()
    first, late = records.content_id("sto", "doc-0"), records.content_id("sto", "doc-3")
    assert [row["story_id"] for row in members] == [first, None, late, late, None]
    assert [row["echo_of"] for row in members] == [None, "doc-0", None, None, "doc-0"]
    assert found.narratives["theme_id"].to_pylist() == [records.content_id("thm", "doc-3")] * 2
    assert found.narratives["stories"].to_pylist() == [1, 1]


def test_without_a_hierarchy_nothing_is_said_of_it():
    found = four_texts()
    assert found.members["story_id"].null_count == found.members["echo_of"].null_count == 5
    assert found.narratives["theme_id"].null_count == found.narratives["stories"].null_count == 2


def test_levels_that_do_not_nest_are_refused():
    with pytest.raises(InputError, match="two themes"):
        four_texts(hierarchy=np.array([[0, 0, 1], [0, 0, 2], [1, 1, 2], [1, 1, 2]]))
    with pytest.raises(InputError, match="shape"):
        four_texts(hierarchy=np.zeros((4, 2), dtype=int))
    with pytest.raises(InputError, match="leaders"):
        four_texts(leaders=np.array([0, 0, 2, 9]))


def test_exemplars_are_central_first_and_then_unlike_each_other():
    # The centroid is near (1, 0, 0); rows 2 and 3 are the central ones at its two sides, row 1 nearly repeats row 0, 8 and 9 are out.
    angles = [(0.0, 0), (0.01, 1), (0.3, 1), (-0.3, 1), (0.32, 1), (-0.32, 1), (0.05, 2), (0.06, 2), (1.2, 2), (-1.2, 2)]
    vectors = np.array([[np.cos(a), np.sin(a) * (axis != 2), np.sin(a) * (axis == 2)] for a, axis in angles], dtype=np.float32)
    rows = [{"doc_id": f"doc-{place}", "text": f"text {place}"} for place in range(10)]
    tables = records.table(rows, records.DOCUMENTS), records.empty(records.COPIES)
    found = describe_narratives(*tables, vectors, np.zeros(10, dtype=int), np.ones(10)).narratives["exemplars"][0].as_py()
    assert found[0] == "doc-0"
    # The central half is 0, 1, 6, 7 and 2 or 3 (equally far): the first after 0 is the one least like it.
    assert found[1] in {"doc-2", "doc-3"}
    assert set(found) == {"doc-0", "doc-1", "doc-6", "doc-7", found[1]}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.integers(0, 9), st.sampled_from([1, 40, 2**24]))
def test_two_nearest_against_sorting_all(seed, n, k, cells):
    generator = np.random.default_rng(seed)
    rows, centroids = (unit_rows(generator.integers(-1, 2, size=(size, 4))) for size in (n, k))
    own = generator.integers(-1, k, size=n) if k else np.full(n, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(central, "CELLS", cells)
        first, second, distances = central.two_nearest(rows, centroids, own)
    for row in range(n):
        cosine = [round(float((rows[row].astype(float) * other).sum()), 9) for other in centroids]
        best = own[row] if own[row] >= 0 else (min(range(k), key=lambda c: (-cosine[c], c)) if k and rows[row].any() else -1)
        others = [c for c in range(k) if c != best] if best >= 0 and rows[row].any() else []
        other = min(others, key=lambda c: (-cosine[c], c)) if others else -1
        assert (first[row], second[row]) == (best, other)
        assert distances[row].tolist() == pytest.approx([1 - cosine[c] if c >= 0 else 1.0 for c in (best, other)])


def test_why_a_document_is_here():
    rows = [{"doc_id": f"doc-{place}", "text": f"text {place}"} for place in range(4)]
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.96, 0.28]], dtype=np.float32)
    tables = records.table(rows, records.DOCUMENTS), records.empty(records.COPIES)
    result = describe_narratives(*tables, vectors, np.array([0, 0, 1, -1]), np.ones(4))
    last = result.members.to_pylist()[3]
    assert last["narrative_id"] is None
    assert last["exemplar"] == "doc-0"
    assert last["exemplar_distance"] == pytest.approx(0.04, abs=1e-6)
    assert result.members["exemplar"].to_pylist()[:3] == ["doc-0", "doc-1", "doc-2"]
    big, small = result.narratives.to_pylist()
    # The centroid of the first is (1.8, .6) / sqrt(3.6); the second is (0, 1).
    assert (big["rival_id"], small["rival_id"]) == (small["narrative_id"], big["narrative_id"])
    assert big["rival_distance"] == small["rival_distance"] == pytest.approx(1 - 0.6 / np.sqrt(3.6), abs=1e-6)


def test_no_narratives_at_all():
    rows = [{"doc_id": "doc-1", "text": "alone"}]
    result = describe_narratives(
        records.table(rows, records.DOCUMENTS),
        records.empty(records.COPIES),
        np.ones((1, 3), dtype=np.float32),
        np.array([-1]),
        np.zeros(1),
    )
    assert result.narratives.num_rows == 0
    assert result.vectors.shape == (0, 3)
    assert result.members.to_pylist()[0]["nearest_id"] is None


def test_arrays_of_another_length_are_refused():
    documents, copies, vectors, marks, strength = scenario()
    with pytest.raises(InputError, match="rows of vectors"):
        describe_narratives(documents, copies, vectors[1:], marks, strength)


@pytest.mark.parametrize(
    ("platforms", "languages", "accounts", "outlets", "best"),
    [
        ({"board": 9}, {"en": 9}, 1, 0, 1),
        ({"board": 5, "forum": 4}, {"en": 9}, 1, 0, 2),
        ({"board": 5, "forum": 4}, {"en": 5, "de": 4}, 6, 0, 3),
        ({"board": 5, "forum": 4}, {"en": 5, "de": 4}, 6, 9, 4),
    ],
)
def test_breakout(platforms, languages, accounts, outlets, best):
    found = breakout(Counter(platforms), Counter(languages), accounts, outlets, scale=DOCTRINE.section("breakout"))
    assert sum(found) == pytest.approx(1.0)
    assert min(found) >= 0
    assert found.index(max(found)) == best - 1


def test_unknown_audience_spreads_the_mass():
    found = breakout(Counter(), Counter({"und": 5}), 3, 0, scale=DOCTRINE.section("breakout"))
    assert found[:3] == pytest.approx([0.23, 0.46, 0.23])
