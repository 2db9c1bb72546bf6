"""Groups in time: ids from run to run, windows by hand, dormancy, re-use of accounts, odd input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import records
from greyzone.acts import Settings, Work, do_coordinate
from greyzone.case import Case
from greyzone.coordinate import follow, keep_ids
from greyzone.coordinate.tracking import DAY, EVENTS, LENGTHS, window_length
from greyzone.doctrine import load_doctrine

DOCTRINE = load_doctrine()
MONDAY = datetime(2024, 3, 4, tzinfo=UTC)


def _groups(**accounts: str) -> pa.Table:
    rows = [{"group_id": name.replace("_", "-"), "accounts": sorted(members), "q": 0.01, "p": 0.01} for name, members in accounts.items()]
    return records.table(rows, records.GROUPS)


def _found(**accounts: str) -> records.Coordination:
    groups = _groups(**accounts)
    members = [{"group_id": row["group_id"], "account": account} for row in groups.to_pylist() for account in row["accounts"]]
    edges = [{"trace": "co-url", "account_a": "a", "account_b": "b", "group_id": name} for name in [*groups["group_id"].to_pylist(), None]]
    return records.Coordination(
        groups, records.table(members, records.GROUP_MEMBERS), records.table(edges, records.EDGES), records.empty(records.TRACES)
    )


def _kept(old: pa.Table, new: records.Coordination):
    kept = keep_ids(old, new, doctrine=DOCTRINE, update=3)
    named = {"".join(row["accounts"]): row["group_id"] for row in kept.coordination.groups.to_pylist()}
    return named, [(row["event"], row["group_id"], row["other_id"]) for row in kept.events.to_pylist()], kept


# ---------------------------------------------------------------- identity


def test_groups_that_live_on_keep_their_ids_and_the_others_are_told():
    old = _groups(grp_grows="abcd", grp_stays="efgh", grp_parts="klmnop", grp_melts="qrst", grp_joins="uv", grp_fades="yz")
    new = _found(grp_1="abcdXY", grp_2="efgh", grp_3="klmn", grp_4="op", grp_5="qrstuv", grp_6="STU")
    named, events, kept = _kept(old, new)
    # By hand: X and Y were in no group, so grp-1 is grp-grows whole; of klmnop four stay and two split off; uv are taken up by qrst.
    assert named == {
        "XYabcd": "grp-grows",
        "efgh": "grp-stays",
        "klmn": "grp-parts",
        "op": "grp-4",
        "qrstuv": "grp-melts",
        "STU": "grp-6",
    }
    assert events == [
        ("birth", "grp-6", None),
        ("split", "grp-4", "grp-parts"),
        ("growth", "grp-grows", None),
        ("growth", "grp-melts", None),
        ("survival", "grp-parts", None),
        ("merge", "grp-joins", "grp-melts"),
        ("death", "grp-fades", None),
    ]
    figures = {row["group_id"]: row for row in kept.events.to_pylist()}
    assert figures["grp-grows"] | {"event": ""} == {
        "update": 3,
        "event": "",
        "group_id": "grp-grows",
        "other_id": None,
        "accounts_before": 4,
        "accounts_after": 6,
        "shared": 4,
        "overlap": 1.0,
    }
    assert figures["grp-parts"]["overlap"] == pytest.approx(4 / 6)


def test_ids_change_in_all_tables_alike():
    old = _groups(grp_old="abcd")
    kept = _kept(old, _found(grp_1="abcd", grp_2="xyz"))[2].coordination
    assert set(kept.group_members["group_id"].to_pylist()) == {"grp-old", "grp-2"}
    assert kept.edges["group_id"].to_pylist() == ["grp-old", "grp-2", None]
    assert kept.groups.schema == records.GROUPS
    assert kept.group_members["group_id"].to_pylist() == ["grp-old"] * 4 + ["grp-2"] * 3


def test_a_first_run_changes_nothing_but_the_books():
    new = _found(grp_1="abcd", grp_2="xyz")
    named, events, kept = _kept(records.empty(records.GROUPS), new)
    assert kept.coordination.groups.equals(new.groups)
    assert kept.coordination.edges.equals(new.edges)
    assert [event for event, _, _ in events] == ["birth", "birth"]
    assert keep_ids(new.groups, new, doctrine=DOCTRINE, update=1).events.num_rows == 0
    assert named == {"abcd": "grp-1", "xyz": "grp-2"}


def test_an_id_is_not_given_twice():
    # What is proposed for the part that broke away is the id of the whole that lived before.
    named, events, _ = _kept(_groups(grp_1="abcdefgh"), _found(grp_2="abcde", grp_1="fgh"))
    assert named["abcde"] == "grp-1"
    assert named["fgh"] not in {"grp-1", "grp-2"}
    assert ("split", named["fgh"], "grp-1") in events


MEMBERS = st.lists(st.sets(st.sampled_from("abcdefghij"), min_size=2), max_size=5)


@given(MEMBERS, MEMBERS)
@settings(max_examples=60, deadline=None)
def test_every_old_group_lives_or_ends_and_every_new_one_begins_or_goes_on(before, after):
    old = _groups(**{f"grp_o{number}": members for number, members in enumerate(before)})
    new = _found(**{f"grp_n{number}": members for number, members in enumerate(after)})
    kept = keep_ids(old, new, doctrine=DOCTRINE, update=0)
    ids = kept.coordination.groups["group_id"].to_pylist()
    told = {event: [row["group_id"] for row in kept.events.to_pylist() if row["event"] == event] for event in EVENTS}
    assert len(set(ids)) == len(ids) == len(after)
    ended, begun = told["merge"] + told["death"], told["birth"] + told["split"]
    assert len(set(ended + begun)) == len(ended + begun)
    assert set(old["group_id"].to_pylist()) - set(ended) == set(ids) - set(begun)
    shuffled = old.take(pa.array(np.random.default_rng(1).permutation(old.num_rows)))
    assert keep_ids(shuffled, new, doctrine=DOCTRINE, update=0).events.equals(kept.events)


# ---------------------------------------------------------------- windows


def _document(number: int, account: str | None, when: datetime | None, **fields: object) -> dict[str, object]:
    return {"doc_id": f"doc-{number:04d}", "account": account, "published_at": when, **fields}


def _tracked(rows, told: dict[str, str], shown: list[str], accounts: str = "abc"):
    groups = records.table([{"group_id": "grp-1", "accounts": list(accounts), "documents": shown}], records.GROUPS)
    members = records.table([{"doc_id": row["doc_id"], "narrative_id": told.get(row["doc_id"])} for row in rows], records.MEMBERS)
    return follow(groups, records.table(rows, records.DOCUMENTS), members, doctrine=DOCTRINE)


def test_windows_by_hand():
    hours = [0, 1, 2, 24, 26, 24 * 6, 24 * 6 + 1, 24 * 6 + 2]
    rows = [_document(number, "abc"[number % 3], MONDAY + timedelta(hours=hour)) for number, hour in enumerate(hours)]
    rows += [_document(8, "a", None), _document(9, "somebody", MONDAY + timedelta(days=8, hours=5)), _document(10, "", MONDAY, outlet="c")]
    told = {"doc-0000": "nar-1", "doc-0001": "nar-1", "doc-0002": "nar-2", "doc-0006": "nar-2"}
    found = _tracked(rows, told, ["doc-0000", "doc-0001", "doc-0002", "doc-0005", "doc-0006", "doc-0007"]).windows.to_pylist()
    # Three documents that show the group take two hours, so a window is a day. Day 0: all three act, c also in the name of its outlet. Day
    # 1: two post, nobody acts. Days 2 to 5: nothing. Day 6: three act. Day 7 and the rest of the corpus, to the day of somebody's: nothing.
    assert [(row["state"], row["accounts"], row["acting"], row["documents"], row["evidence"], row["narratives"]) for row in found] == [
        ("active", 3, 3, 4, 3, ["nar-1", "nar-2"]),
        ("present", 2, 0, 2, 0, []),
        ("dormant", 0, 0, 0, 0, []),
        ("active", 3, 3, 3, 3, ["nar-2"]),
        ("dormant", 0, 0, 0, 0, []),
        ("undated", 1, 0, 1, 0, []),
    ]
    days = [tuple(None if row[side] is None else (row[side] - MONDAY).days for side in ("window_start", "window_end")) for row in found]
    assert days == [(0, 1), (1, 2), (2, 6), (6, 7), (7, 9), (None, None)]


def test_window_length_follows_the_pace_and_not_the_pauses():
    hour = DAY // 24
    assert window_length(np.array([], dtype=np.int64), 3) == DAY
    assert window_length(np.arange(9) * hour, 3) == DAY
    # Two documents a day, with a year of silence between the halves.
    twice = np.arange(60) * 12 * hour
    assert window_length(twice, 3) == window_length(np.concatenate([twice, twice + 400 * DAY]), 3) == DAY
    assert window_length(np.arange(30) * 2 * DAY, 3) == 7 * DAY
    assert window_length(np.arange(30) * 9 * DAY, 3) == window_length(np.arange(30) * 90 * DAY, 3) == LENGTHS[-1]


def test_weeks_begin_on_mondays():
    rows = [_document(number, "abc"[number % 3], MONDAY + timedelta(days=3 * number + 2)) for number in range(9)]
    found = _tracked(rows, {}, [str(row["doc_id"]) for row in rows]).windows.to_pylist()
    assert found[0]["window_start"] == MONDAY
    assert {row["window_start"].weekday() for row in found} == {0}
    assert {(row["window_end"] - row["window_start"]).days for row in found} == {7}


# ---------------------------------------------------------------- re-use


def test_reuse_tells_order_and_silence():
    rows = [
        _document(0, "a", MONDAY),
        _document(1, "a", MONDAY + timedelta(days=1)),
        _document(2, "a", MONDAY + timedelta(days=101, hours=12)),
        _document(3, "a", MONDAY + timedelta(days=102)),
        _document(4, "b", MONDAY + timedelta(days=5)),
        _document(5, "b", MONDAY + timedelta(days=5, hours=6)),
        _document(6, "b", None),
        _document(7, "c", None),
    ]
    told = {"doc-0000": "nar-2", "doc-0001": "nar-2", "doc-0002": "nar-1", "doc-0003": "nar-2", "doc-0005": "nar-1", "doc-0006": "nar-1"}
    told |= {"doc-0007": "nar-1"}
    found = _tracked(rows, told, []).reuse.to_pylist()
    assert [tuple(row.values())[1:] for row in found] == [
        ("a", "nar-2", MONDAY, MONDAY + timedelta(days=102), 3, None, 0),
        ("a", "nar-1", MONDAY + timedelta(days=101, hours=12), MONDAY + timedelta(days=101, hours=12), 1, 100.5, 1),
        ("b", "nar-1", MONDAY + timedelta(days=5, hours=6), MONDAY + timedelta(days=5, hours=6), 2, 0.25, 0),
        ("c", "nar-1", None, None, 1, None, 0),
    ]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_document_of_a_member_is_counted_once_in_any_order(seed):
    rng = np.random.default_rng(seed)
    rows = [
        _document(number, "abcz"[rng.integers(4)], None if rng.random() < 0.1 else MONDAY + timedelta(hours=float(rng.integers(2000))))
        for number in range(30)
    ]
    told = {str(row["doc_id"]): f"nar-{rng.integers(3)}" for row in rows if rng.random() < 0.6}
    shown = [str(row["doc_id"]) for row in rows if row["account"] != "z" and rng.random() < 0.5]
    found = _tracked(rows, told, shown)
    members = [row for row in rows if row["account"] != "z"]
    assert sum(row["documents"] for row in found.windows.to_pylist()) == len(members)
    assert sum(row["evidence"] for row in found.windows.to_pylist()) == len(shown)
    assert sum(row["documents"] for row in found.reuse.to_pylist()) == sum(str(row["doc_id"]) in told for row in members)
    windows = [row for row in found.windows.to_pylist() if row["window_start"]]
    assert all(before["window_end"] == after["window_start"] for before, after in pairwise(windows))
    again = _tracked([rows[place] for place in rng.permutation(30)], told, shown)
    assert again.windows.equals(found.windows)
    assert again.reuse.equals(found.reuse)


def test_no_groups_and_no_documents_give_empty_tables():
    empty = records.empty
    for documents in (empty(records.DOCUMENTS), records.table([_document(0, "a", MONDAY)], records.DOCUMENTS)):
        found = follow(empty(records.GROUPS), documents, empty(records.MEMBERS), doctrine=DOCTRINE)
        assert found.windows.num_rows == found.reuse.num_rows == 0
    alone = records.table([{"group_id": "grp-1", "accounts": ["gone"], "documents": []}], records.GROUPS)
    found = follow(alone, empty(records.DOCUMENTS), empty(records.MEMBERS), doctrine=DOCTRINE)
    assert found.windows.num_rows == found.reuse.num_rows == 0


# ---------------------------------------------------------------- in a case


def _posted(members: int, items: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    rng = np.random.default_rng(2)

    def post(account: str, days: float, url: str) -> None:
        when = MONDAY + timedelta(days=days)
        more = {"text": f"remark {len(rows)}", "published_precision": "second", "urls": [url], "hashtags": [], "is_repost": False}
        rows.append({**_document(len(rows), account, when), **more})

    for account in range(120):
        for number in range(4):
            post(f"other{account:03d}", 1.1 * number + account / 500, f"https://own{account}.example/{number}")
    for item in range(items):
        for member in range(members):
            post(f"user{member:02d}", item + float(rng.random()) * 0.8, f"https://s{item}.example/{item}")
    return rows


def _vectors(count: int) -> np.ndarray:
    """Texts that nobody rewords."""
    found = np.random.default_rng(7).standard_normal((count, 64)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_group_keeps_its_id_when_the_case_grows(tmp_path):
    tables = ("groups", "group_members", "accounts", "group_windows", "group_reuse", "group_lineage", "carriers", "edges", "traces")
    seen = []
    for members, items in ((10, 6), (12, 9), (12, 9)):
        rows = _posted(members, items)
        placed = [{"doc_id": row["doc_id"], "narrative_id": "nar-1" if str(row["account"]).startswith("user") else None} for row in rows]
        with Case.writing(tmp_path / "case") as case:
            case.write_table("documents", records.table(rows, records.DOCUMENTS))
            case.write_table("copies", records.empty(records.COPIES))
            case.write_table("members", records.table(placed, records.MEMBERS))
            case.write_vectors("embeddings", [str(row["doc_id"]) for row in rows], _vectors(len(rows)))
            with case.staged():
                notes = do_coordinate(Work(case, Settings(), lambda *_: None, None))
                case.finish_stage("coordinate", "print", [f"{name}.parquet" for name in tables], notes)
        case = Case(tmp_path / "case")
        (group,) = case.table("groups").to_pylist()
        events = [row["event"] for row in case.table("group_lineage").to_pylist()]
        seen.append((group["group_id"], len(group["accounts"]), notes["update"], events))
        for name in ("group_members", "group_windows", "group_reuse"):
            assert set(case.table(name)["group_id"].to_pylist()) == {group["group_id"]}
    name = seen[0][0]
    assert seen == [(name, 10, 0, ["birth"]), (name, 12, 1, ["birth", "growth"]), (name, 12, 2, ["birth", "growth"])]
