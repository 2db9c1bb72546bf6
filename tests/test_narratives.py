"""Narratives: every document once, nothing split, the same bytes whatever the order; dates, labels and breakout by hand."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import labels, records
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.narratives import breakout
from greyzone.narratives import describe_narratives as described

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


def test_undated_narratives_have_no_dates():
    found = timeline([None] * 3, ["unknown"] * 3)
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


def test_keyword_weights_by_hand():
    # Words: 4 in the first class, 2 in the second, mean 3. grain: 3 of 4 words, 3 overall: .75 ln 2. news: 1 of 4, 2 overall, but in
    # one text only, where grain is in two: left out.
    found = labels.keyword_weights([[["grain", "news"], ["grain", "grain"]], [["news", "vote"]]])
    assert found[0] == {"grain": pytest.approx(0.75 * np.log(2))}
    assert list(found[1]) == ["vote", "news"]
    assert found[1]["vote"] == pytest.approx(0.5 * np.log(4))


def test_terms_leave_out_what_names_nothing():
    assert labels.terms("The 2024 vote: see https://example.org/vote @someone #Harbour is at 5", "en") == ["vote", "harbour"]
    assert labels.terms("選挙", "ja") == ["選挙"]


def test_spellings_of_one_word_stand_once():
    weights = {"ukraine": 3.0, "ukrainian": 2.0, "harbour": 1.0, "harbours": 0.5, "vote": 0.2}
    assert labels.top_terms(weights) == ["ukraine", "harbour", "vote"]
    assert labels.top_terms(weights, 2) == ["ukraine", "harbour"]


def test_headlines_are_extracts_cut_at_a_word():
    long = "Harbour " + "closed again after the storm " * 12
    found = labels.headline(None, "Short aside. " + long, {"harbour": 1.0, "storm": 1.0})
    assert len(found) <= labels.HEADLINE_LENGTH
    assert found.endswith("…")
    assert long.startswith(found[:-1])
    assert long[len(found) - 1] == " "
    assert labels.headline("A title", "https://example.org/x", {}) == "A title"
    assert labels.headline(None, None, {}) == ""
