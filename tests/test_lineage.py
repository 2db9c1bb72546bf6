"""What narratives are called from one clustering to the next: worked examples by hand, and what must hold of any."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.lineage import SHARE, parents, renamed, trace
from greyzone.records import LINEAGE, MEMBERS, NARRATIVES, NarrativeResult, check, content_id, empty, table

BEGINS, ENDS = {"birth", "split"}, {"merge", "death"}


def clustering(groups: dict[str | None, range | list[int]]) -> pa.Table:
    """Return doc_id and narrative_id of numbered documents by narrative (None: noise)."""
    rows = [(f"doc-{number:04}", name) for name, numbers in groups.items() for number in numbers]
    return pa.table({"doc_id": [row[0] for row in rows], "narrative_id": pa.array([row[1] for row in rows], pa.string())})


def told(before: pa.Table, after: pa.Table) -> list[tuple[object, ...]]:
    """Return the events as (event, narrative, other, before, after, shared)."""
    rows = trace(before, after, update=1).events.to_pylist()
    keys = ("event", "narrative_id", "other_id", "documents_before", "documents_after", "shared")
    return [tuple(row[key] for key in keys) for row in rows]


def test_the_first_clustering_is_all_births():
    first = trace(empty(MEMBERS), clustering({"x": range(5), "y": range(5, 12), None: range(12, 20)}), update=0)
    assert first.ids == {"x": "x", "y": "y"}
    assert check(first.events, LINEAGE, "lineage").to_pylist() == [
        {"update": 0, "event": "birth", "narrative_id": name, "other_id": None, "documents_before": 0, "documents_after": size,
         "shared": 0, "overlap": 0.0}
        for name, size in (("x", 5), ("y", 7))
    ]  # fmt: skip


def test_nothing_changed_nothing_told():
    same = {"a": range(10), "b": range(10, 30), None: range(30, 40)}
    found = trace(clustering(same), clustering({"p": same["b"], "q": same["a"], None: same[None]}), update=3)
    assert found.ids == {"p": "b", "q": "a"}
    assert found.events.num_rows == 0


def test_new_documents_and_former_noise_make_growth_not_another_narrative():
    # 10 documents of a, all 60 of the noise and 900 new ones: overlap 10/10, since none of the others had a name.
    before = clustering({"a": range(10), None: range(10, 70)})
    found = trace(before, clustering({"z": range(970)}), update=1)
    assert found.ids == {"z": "a"}
    assert found.events.to_pylist() == [
        {"update": 1, "event": "growth", "narrative_id": "a", "other_id": None, "documents_before": 10, "documents_after": 970,
         "shared": 10, "overlap": 1.0}
    ]  # fmt: skip


def test_a_narrative_that_loses_documents_survives():
    assert told(clustering({"a": range(10)}), clustering({"z": range(4), None: range(4, 10)})) == [("survival", "a", None, 10, 4, 4)]
    # As many as before, but others: 6 of 10 kept, 4 new.
    assert told(clustering({"a": range(10)}), clustering({"z": range(4, 14)})) == [("survival", "a", None, 10, 10, 6)]


def test_merge_keeps_the_name_of_the_larger():
    # overlap(a, z) = 12 / 22, overlap(b, z) = 10 / 22.
    found = trace(clustering({"a": range(12), "b": range(12, 22)}), clustering({"z": range(25)}), update=1)
    assert found.ids == {"z": "a"}
    rows = found.events.to_pylist()
    assert [(row["event"], row["narrative_id"], row["other_id"]) for row in rows] == [("growth", "a", None), ("merge", "b", "a")]
    assert [row["overlap"] for row in rows] == [pytest.approx(12 / 22), pytest.approx(10 / 22)]
    assert parents(found.events) == {"a": ["b"]}


def test_split_keeps_the_name_on_the_larger_part():
    # The smaller part has the earliest text, so "a" is proposed for it; the name stays with the 12 of 20, and it gets another.
    found = trace(clustering({"a": range(20)}), clustering({"a": range(8), "m": range(8, 20)}), update=1)
    other = content_id("nar", "a", 1)
    assert found.ids == {"a": other, "m": "a"}
    assert told(clustering({"a": range(20)}), clustering({"a": range(8), "m": range(8, 20)})) == [
        ("split", other, "a", 20, 8, 8),
        ("survival", "a", None, 20, 12, 12),
    ]
    assert parents(found.events) == {other: ["a"]}


def test_merge_and_split_at_once():
    # a (20) leaves 12 in p and sends 8 to q, which takes all 10 of b: overlap(a, p) = 12/20, (b, q) = 10/18, (a, q) = 8/30;
    # c (6) goes wholly into q: 6/24 < 0.3, so it ends; d (9) falls apart into noise; r (5) is new.
    before = clustering({"a": range(20), "b": range(20, 30), "c": range(30, 36), "d": range(40, 49)})
    after = clustering({"p": range(12), "q": range(12, 36), "r": range(60, 65), None: range(40, 49)})
    assert trace(before, after, update=1).ids == {"p": "a", "q": "b", "r": "r"}
    assert told(before, after) == [
        ("birth", "r", None, 0, 5, 0),
        ("growth", "b", None, 10, 24, 10),
        ("survival", "a", None, 20, 12, 12),
        ("merge", "c", "b", 6, 24, 6),
        ("death", "d", None, 9, 0, 0),
    ]


def test_of_three_equal_parts_one_keeps_the_name_of_four_none():
    three = told(clustering({"a": range(12)}), clustering({"p": range(4), "q": range(4, 8), "r": range(8, 12)}))
    assert three == [("split", "q", "a", 12, 4, 4), ("split", "r", "a", 12, 4, 4), ("survival", "a", None, 12, 4, 4)]
    four = told(clustering({"a": range(12)}), clustering({"p": range(3), "q": range(3, 6), "r": range(6, 9), "s": range(9, 12)}))
    assert [row[:3] for row in four] == [*(("split", name, "a") for name in "pqrs"), ("death", "a", None)]


def test_many_small_ones_become_one_of_its_own():
    # Ten of 5: overlap 5/50 each, so none gives its name; all end in it.
    before = clustering({f"n{number}": range(5 * number, 5 * number + 5) for number in range(10)})
    found = trace(before, clustering({"z": range(50)}), update=1)
    assert found.ids == {"z": "z"}
    assert [row["event"] for row in found.events.to_pylist()] == ["birth"] + ["merge"] * 10
    assert parents(found.events) == {"z": [f"n{number}" for number in range(10)]}


def test_a_few_stray_documents_do_not_make_a_child():
    # z has 2 documents of a and 8 new ones: 2 < 0.3 * 10.
    rows = told(clustering({"a": range(20)}), clustering({"p": range(18), "z": [18, 19, *range(30, 38)]}))
    assert rows == [("birth", "z", None, 0, 10, 0), ("survival", "a", None, 20, 18, 18)]


def test_a_narrative_whose_documents_left_the_case_dies():
    assert told(clustering({"a": range(5), "b": range(5, 10)}), clustering({"z": range(5, 10)})) == [("death", "a", None, 5, 0, 0)]
    # Of a's ten, four are still in the case and all of them in z.
    assert told(clustering({"a": range(10)}), clustering({"z": range(6, 10)})) == [("survival", "a", None, 10, 4, 4)]


def test_a_name_may_come_back():
    gone = trace(clustering({"a": range(6)}), clustering({None: range(6)}), update=1)
    back = trace(clustering({None: range(6)}), clustering({"a": range(6)}), update=2)
    assert [row["event"] for row in (*gone.events.to_pylist(), *back.events.to_pylist())] == ["death", "birth"]
    assert back.ids == {"a": "a"}


def test_a_name_that_ends_is_not_given_away_at_once():
    # a (20) goes into b's cluster but for 5, which keep the earliest text: 5/20 < 0.3, so a ends, and the 5 need another name.
    before = clustering({"a": range(20), "b": range(20, 60)})
    found = trace(before, clustering({"a": range(5), "q": range(5, 60)}), update=1)
    assert found.ids == {"q": "b", "a": content_id("nar", "a", 1)}
    assert [(row["event"], row["narrative_id"]) for row in found.events.to_pylist()] == [
        ("split", content_id("nar", "a", 1)),
        ("growth", "b"),
        ("merge", "a"),
    ]


def test_a_document_with_two_rows_is_refused():
    with pytest.raises(InputError, match="two rows"):
        trace(empty(MEMBERS), clustering({"a": [1, 1]}), update=0)


def test_lasting_names_reach_every_table():
    rivals = (("p", "r"), ("q", "p"), ("r", None))
    stories = table([{"narrative_id": name, "rival_id": rival, "size": 5, "parents": []} for name, rival in rivals], NARRATIVES)
    rows = [{"doc_id": "1", "narrative_id": "p", "nearest_id": "p", "second_id": "q"}, {"doc_id": "2", "nearest_id": "r"}]
    result = NarrativeResult(stories, table(rows, MEMBERS), np.eye(3, dtype=np.float32))
    found = renamed(result, {"p": "z", "q": "b", "r": "r"}, {"r": ["b", "gone"]})
    assert found.narratives["narrative_id"].to_pylist() == ["b", "r", "z"]
    assert found.narratives["rival_id"].to_pylist() == ["z", None, "r"]
    assert found.narratives["parents"].to_pylist() == [[], ["b", "gone"], []]
    assert found.vectors.argmax(axis=1).tolist() == [1, 2, 0]
    columns = ("narrative_id", "nearest_id", "second_id")
    assert [[row[name] for name in columns] for row in found.members.to_pylist()] == [["z", "z", "b"], [None, "r", None]]
    assert check(found.members, MEMBERS, "members").num_rows == 2
    assert check(found.narratives, NARRATIVES, "narratives").num_rows == 3


LABELS = st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=40)


@st.composite
def histories(draw) -> list[pa.Table]:
    """A case that grows: each time there are more documents, clustered anew, each cluster named by its first document."""
    tables, size = [], 0
    for _ in range(draw(st.integers(2, 4))):
        labels = draw(st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=size + 1, max_size=size + 12))
        size = len(labels)
        first: dict[int, str] = {}
        names = [None if label is None else first.setdefault(label, f"nar-{row:03}") for row, label in enumerate(labels)]
        tables.append(pa.table({"doc_id": [f"{row:03}" for row in range(size)], "narrative_id": pa.array(names, pa.string())}))
    return tables


def living(members: pa.Table) -> set[str]:
    return set(members["narrative_id"].to_pylist()) - {None}


def lived(history: list[pa.Table]) -> list[tuple[pa.Table, pa.Table, dict[str, str]]]:
    """Return (members, events, ids) after each clustering."""
    members, steps = empty(MEMBERS).select(["doc_id", "narrative_id"]), []
    for number, proposed in enumerate(history):
        found = trace(members, proposed, update=number)
        names = [found.ids.get(name) for name in proposed["narrative_id"].to_pylist()]
        members = pa.table({"doc_id": proposed["doc_id"], "narrative_id": pa.array(names, pa.string())})
        steps.append((members, found.events, dict(found.ids)))
    return steps


@given(histories())
def test_ids_are_unique_and_the_rows_add_up(history):
    alive: set[str] = set()
    for members, events, ids in lived(history):
        assert len(set(ids.values())) == len(ids)
        rows = events.to_pylist()
        begun = [row["narrative_id"] for row in rows if row["event"] in BEGINS]
        ended = [row["narrative_id"] for row in rows if row["event"] in ENDS]
        assert len(set(begun)) == len(begun)
        assert len(set(ended)) == len(ended)
        assert not set(begun) & alive
        assert set(ended) <= alive
        assert (alive - set(ended)) | set(begun) == living(members)
        alive = living(members)


@given(histories())
def test_rows_say_what_the_documents_say(history):
    held: dict[str, set[str]] = {}
    for members, events, _ in lived(history):
        now: dict[str, set[str]] = {}
        for doc, name in zip(*(members[column].to_pylist() for column in ("doc_id", "narrative_id")), strict=True):
            if name is not None:
                now.setdefault(name, set()).add(doc)
        named = set().union(*held.values()) if held else set()
        for row in events.to_pylist():
            one, other, shared = row["narrative_id"], row["other_id"], row["shared"]
            if row["event"] in {"birth", "death"}:
                assert other is None
                assert shared == 0
                continue
            old = held[other if row["event"] == "split" else one]
            new = now[other if row["event"] == "merge" else one]
            assert (row["documents_before"], row["documents_after"], shared) == (len(old), len(new), len(old & new))
            assert row["overlap"] == pytest.approx(len(old & new) / len(old | (new & named)))
            if row["event"] in {"growth", "survival"}:
                assert old != new
                assert row["overlap"] >= SHARE
        for name in now.keys() & held.keys():
            told_of = name in events["narrative_id"].to_pylist()
            assert told_of or now[name] == held[name]
        held = now


@given(LABELS)
def test_nothing_changes_when_nothing_changed(labels):
    members = pa.table(
        {
            "doc_id": [f"{row:03}" for row in range(len(labels))],
            "narrative_id": [None if label is None else f"a{label}" for label in labels],
        },
        schema=pa.schema([("doc_id", pa.string()), ("narrative_id", pa.string())]),
    )
    fresh = pa.table(
        {"doc_id": members["doc_id"], "narrative_id": pa.array([None if one is None else f"z{9 - one}" for one in labels], pa.string())}
    )
    found = trace(members, fresh, update=7)
    assert found.events.num_rows == 0
    assert found.ids == {f"z{9 - label}": f"a{label}" for label in labels if label is not None}


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_rows_leaves_no_trace(history, chance: random.Random):
    before, after = history[0], history[1]
    expected = trace(before, after, update=1)
    shuffled = [one.take(pa.array(chance.sample(range(one.num_rows), one.num_rows))) for one in (before, after)]
    found = trace(*shuffled, update=1)
    assert found.ids == expected.ids
    assert found.events.equals(expected.events)
