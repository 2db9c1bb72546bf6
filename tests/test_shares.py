"""Groups in tables of shares: the same as in documents, read from every format, with nothing lost on the way."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from greyzone.coordinate import find_groups
from greyzone.coordinate.share_files import read_shares
from greyzone.coordinate.shares import OURS, SHARE_ROWS, compare_rules, compare_rules_in_documents, find_groups_in_shares, share_rows
from greyzone.coordinate.traces import UNDATED
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.records import COPIES, DOCUMENTS, empty, table

DOCTRINE = load_doctrine().replace(coordination__resamples=50)
SECOND = 1_000_000
START = 1_650_000_000


def planted(seed=0, *, accounts=150, items=400, members=8):
    """Shares of independent accounts, and of `members` that share 12 items within seconds of each other: (account, item, time)."""
    rng = np.random.default_rng(seed)
    count = accounts * 8
    rows = list(zip(rng.integers(0, accounts, count), rng.integers(0, items, count), rng.integers(0, 10**6, count), strict=True))
    rows = [(f"a{u:03d}", f"i{i:03d}", START + int(t)) for u, i, t in rows]
    for item in range(12):
        moment = START + int(rng.integers(0, 10**6))
        rows += [(f"m{member}", f"p{item:02d}", moment + int(rng.integers(0, 5))) for member in range(members)]
    return rows


def as_table(rows, *, kinds=None, posts=None):
    accounts, items, times = zip(*rows, strict=True)
    return share_rows(accounts, items, [time * SECOND for time in times], kinds=kinds, posts=posts)


@pytest.fixture(scope="module")
def rows():
    return planted()


@pytest.fixture(scope="module")
def found(rows):
    return find_groups_in_shares(as_table(rows), doctrine=DOCTRINE)


def test_the_planted_group_is_found_with_its_days_and_items(found, rows):
    assert [group["accounts"] for group in found.groups.to_pylist()] == [[f"m{n}" for n in range(8)]]
    group = found.groups.to_pylist()[0]
    assert {item for item in group["items"] if item.startswith("item:")} == {f"item:p{n:02d}" for n in range(12)}
    times = [time for account, _, time in rows if account.startswith("m")]
    assert (group["window_lo"].timestamp(), group["window_hi"].timestamp()) == (min(times), max(times))
    assert len(group["documents"]) == len(times)
    assert {"co-item"} < set(group["traces"])
    assert {trace["trace"] for trace in found.traces.to_pylist()} >= {"co-item", "fast-10s", "fast-1m"}


def test_shares_are_judged_as_documents_are(rows):
    """A table of addresses gives the groups, edges and traces that documents with these addresses give."""
    when = [pa.scalar(time * SECOND, pa.timestamp("us", "UTC")).as_py() for _, _, time in rows]
    documents = table(
        [
            {
                "doc_id": f"doc-{number:05d}",
                "account": account,
                "urls": [item],
                "hashtags": [],
                "published_at": moment,
                "published_precision": "second",
                "is_repost": True,
                "repost_of": f"own {number}",
            }
            for number, ((account, item, _), moment) in enumerate(zip(rows, when, strict=True))
        ],
        DOCUMENTS,
    )
    other = find_groups(documents, empty(COPIES), doctrine=DOCTRINE, seed=0)
    one = find_groups_in_shares(as_table(rows, kinds=["url"] * len(rows)), doctrine=DOCTRINE, seed=0)
    keep = ["trace", "account_a", "account_b", "shared", "statistic", "p"]
    own, theirs = (edges.select(keep).to_pylist() for edges in (one.edges, other.edges))
    assert [row for row in own if row["trace"] == "co-url"] == [row for row in theirs if row["trace"] == "co-url"] != []
    assert one.groups["accounts"].to_pylist() == other.groups["accounts"].to_pylist() != []


def test_rows_in_any_order_give_the_same_tables(rows, found):
    order = np.random.default_rng(1).permutation(len(rows))
    other = find_groups_in_shares(as_table([rows[place] for place in order]), doctrine=DOCTRINE)
    for name in ("groups", "group_members", "edges", "traces"):
        assert getattr(found, name).equals(getattr(other, name)), name


def test_every_kind_is_a_trace_and_a_post_is_one_act(rows):
    double = [row for row in rows for _ in range(2)]
    kinds = ["url", "image"] * len(rows)
    posts = [f"post {place // 2}" for place in range(len(double))]
    found = find_groups_in_shares(as_table(double, kinds=kinds, posts=posts), doctrine=DOCTRINE)
    traces = {trace["trace"]: trace for trace in found.traces.to_pylist()}
    assert {"co-url", "co-image"} < set(traces)
    once = find_groups_in_shares(as_table(rows, kinds=["image"] * len(rows)), doctrine=DOCTRINE)
    fast = {trace["trace"]: trace for trace in once.traces.to_pylist()}
    for name in ("items", "accounts", "pairs_tested", "pairs_kept"):
        assert traces["fast-1m"][name] == fast["fast-1m"][name], name
    assert {document for group in found.groups.to_pylist() for document in group["documents"]} <= set(posts)


def test_alternatives_about_times_and_hashtags_can_be_tested(rows):
    found = find_groups_in_shares(as_table(rows, kinds=["hashtag"] * len(rows)), doctrine=DOCTRINE)
    (group,) = found.groups.to_pylist()
    told = {item["name"]: item for item in group["explanations"]}
    assert "act together in the median" in told["party or institution discipline"]["note"]
    # Members share nothing but the twelve items of the group, and all of them within seconds.
    assert told["party or institution discipline"]["statistic"] == 0.0


def test_posts_of_one_name_by_two_accounts_stay_two():
    rows = [(account, f"i{item}", START + item) for account in ("x", "y", "z", "w", "v") for item in range(6)]
    posts = [f"p{place % 6}" for place in range(len(rows))]
    rows += [(f"other {place}", f"own {place}", START) for place in range(15)]
    posts += [f"q{place}" for place in range(15)]
    found = find_groups_in_shares(as_table(rows, posts=posts), doctrine=DOCTRINE)
    fast = next(trace for trace in found.traces.to_pylist() if trace["trace"] == "fast-10s")
    assert fast["accounts"] == 20


def test_without_times_the_timed_traces_say_so(rows):
    accounts, items, _ = zip(*rows, strict=True)
    found = find_groups_in_shares(share_rows(accounts, items), doctrine=DOCTRINE)
    timed = [trace for trace in found.traces.to_pylist() if trace["trace"].startswith("fast")]
    assert timed
    assert all(not trace["supported"] and f"{len(rows)} of {len(rows)} posts without a time" in trace["note"] for trace in timed)
    assert found.groups["accounts"].to_pylist() == [[f"m{n}" for n in range(8)]]


def test_all_rules_in_one_call(rows):
    told = compare_rules(as_table(rows), doctrine=DOCTRINE)
    assert list(told.flagged) == [OURS, "cosine_percentile", "eigenvector_pruning", "coortweet"]
    members = [name.startswith("m") for name in told.accounts]
    assert told.grouped.tolist() == members
    # The 28 pairs of members act together twelve times each: above the median of equal weights there is nothing.
    assert (told.rules[2].pairs, told.rules[2].threshold, told.flagged["coortweet"].any()) == (28, 12.0, False)
    members_only = told.accounts[told.flagged["cosine_percentile"]]
    assert set(members_only) <= set(told.accounts[members])
    lines = told.rows()
    assert [line["error_control"] for line in lines] == ["false discovery rate over groups"] + ["no error control"] * 3
    assert [line["flagged"] for line in lines] == [int(flagged.sum()) for flagged in told.flagged.values()]


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "i", START)],
        [("a", f"i{n}", START) for n in range(50)],
        [(f"a{n}", "i", START) for n in range(50)],
        [(f"a{n % 9}", f"i{n % 7}", START) for n in range(63)],
    ],
    ids=["one share", "one account", "one item", "one time"],
)
def test_edges_of_what_can_be_given(rows):
    told = compare_rules(as_table(rows), doctrine=DOCTRINE)
    assert told.found.traces.num_rows > 1
    assert len(told.accounts) == len({account for account, _, _ in rows})


def test_shares_without_account_or_item_are_refused_or_left_out():
    with pytest.raises(InputError, match="none with an account and an item"):
        find_groups_in_shares(share_rows([None, "a"], ["i", ""]), doctrine=DOCTRINE)
    with pytest.raises(InputError, match="one length"):
        share_rows(["a"], ["i", "j"])
    with pytest.raises(InputError, match="share_rows"):
        find_groups_in_shares(pa.table({"account": ["a"]}), doctrine=DOCTRINE)


# --- files ---

COLUMNS = {"account_id": "account", "object_id": "item", "timestamp_share": "time"}


def columns(rows):
    accounts, items, times = zip(*rows, strict=True)
    return pa.table({"account_id": accounts, "object_id": items, "timestamp_share": times})


def write(folder, name, found):
    path = folder / name
    if ".csv" in name or ".tsv" in name:
        pacsv.write_csv(found, path, pacsv.WriteOptions(delimiter="\t" if "tsv" in name else ","))
    elif name.endswith("parquet"):
        pq.write_table(found, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in found.to_pylist()))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def read(path, **more):
    settings = {"account": "account_id", "items": {"item": "object_id"}, "time": "timestamp_share"} | more
    return read_shares(path, **settings)


@pytest.mark.parametrize("name", ["s.csv", "s.tsv", "s.csv.gz", "s.parquet", "s.jsonl"])
def test_formats_read_alike(tmp_path, rows, name):
    got = read(write(tmp_path, name, columns(rows)))
    assert got.rows.equals(as_table(rows))
    assert got.counts["rows"] == got.counts["shares"] == len(rows)
    assert got.counts["times_not_understood"] == got.counts["times_missing"] == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1650000000", "1650000001"], [START, START + 1]),
        (["1650000000.5", ""], [START + 0.5, None]),
        (["1650000000000", "1650000001500"], [START, START + 1.5]),
        (["2022-04-15T05:20:00Z", "2022-04-15 05:20:01"], [START, START + 1]),
        (["2022-04-15T07:20:00+02:00", "soon"], [START, None]),
        (["0", "60"], [0, 60]),
        (["-5", "9e99"], [None, None]),
    ],
)
def test_times_in_every_form(tmp_path, values, expected):
    path = write(tmp_path, "s.csv", pa.table({"account_id": ["a", "b"], "object_id": ["i", "j"], "timestamp_share": values}))
    got = read(path)
    micro = [None if value is None else int(value) for value in got.rows["time"].cast(pa.int64()).to_pylist()]
    assert micro == [None if value is None else int(value * SECOND) for value in expected]
    assert got.counts["times_missing"] == values.count("")
    assert got.counts["times_not_understood"] == sum(value is None for value in expected) - values.count("")


def test_times_of_parquet_and_days(tmp_path):
    when = pa.array([START * SECOND, None], pa.int64()).cast(pa.timestamp("us"))
    found = pa.table({"account_id": ["a", "b"], "object_id": ["i", "j"], "timestamp_share": when})
    got = read(write(tmp_path, "s.parquet", found))
    assert got.rows["time"].cast(pa.int64()).to_pylist() == [START * SECOND, None]
    days = pa.table({"account_id": ["a"], "object_id": ["i"], "timestamp_share": ["2022-04-15"]})
    assert read(write(tmp_path, "d.csv", days)).rows["precision"].to_pylist() == ["day"]


def test_several_item_columns_lists_and_addresses(tmp_path):
    found = pa.table(
        {
            "account_id": ["007", "b", None],
            "urls": ["http://x.org/a  http://y.org", "", "http://z.org"],
            "tags": [["p", "q"], None, ["r"]],
            "image": [1.0, None, 3.0],
        }
    )
    path = write(tmp_path, "s.parquet", found)
    got = read_shares(path, account="account_id", items={"url": "urls", "tag": "tags", "image": "image"})
    assert [(row["account"], row["kind"], row["item"]) for row in got.rows.to_pylist()] == [
        ("007", "url", "http://x.org/a"),
        ("007", "url", "http://y.org"),
        ("007", "tag", "p"),
        ("007", "tag", "q"),
        ("007", "image", "1"),
    ]
    assert (got.counts["rows"], got.counts["shares"], got.counts["shares_without_account"]) == (3, 5, 3)
    assert (got.counts["rows_without_item"], got.counts["times_missing"]) == (1, 3)
    assert got.rows.schema.equals(SHARE_ROWS)


def test_a_column_may_name_the_kind(tmp_path):
    found = pa.table({"account_id": ["a", "b"], "object_id": ["i", "j"], "what": ["url", None]})
    got = read(write(tmp_path, "s.csv", found), time=None, kind_column="what")
    assert got.rows["kind"].to_pylist() == ["url", "item"]
    with pytest.raises(InputError, match="2 item columns and a kind column"):
        read(write(tmp_path, "s.csv", found), items={"a": "object_id", "b": "what"}, kind_column="what")


def test_words_for_nothing_are_names_and_other_columns_are_not_read(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text('text,account_id,object_id,timestamp_share\n"a, ""b""\nc",NA,null,1\n,nan,NaN,2\n')
    assert [(row["account"], row["item"]) for row in read(path).rows.to_pylist()] == [("NA", "null"), ("nan", "NaN")]


def test_torn_rows_are_counted(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("account_id,object_id,timestamp_share\na,i,1\nb,j\nc,k,3,4\nd,l,4\n")
    got = read(path)
    assert (got.rows.num_rows, got.counts["rows_not_read"], got.counts["rows"]) == (2, 2, 4)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.csv", b"", "cannot be read"),
        ("s.csv", b"account_id,thing\na,i\n", "has no column 'object_id', 'timestamp_share'"),
        ("s.csv", b"account_id,object_id,timestamp_share\n,i,1\n", "none with an account and an item"),
        ("s.csv", b"account_id,object_id,timestamp_share\n\xff\xfe,i,1\n", "cannot be read"),
        ("s.parquet", b"PAR1 torn", "cannot be read"),
        ("s.jsonl", b"{", "cannot be read"),
        ("s.csv.gz", b"no gzip", "cannot be read"),
        ("s.xlsx", b"PK", "of no known format"),
        ("absent.csv", None, "does not exist"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


# --- a case ---


def test_rules_see_the_documents_of_a_case_as_they_see_a_table_of_its_items(rows, found):
    documents = table(
        [
            {"doc_id": f"doc-{number:05d}", "account": account, "urls": [item], "published_at": moment, "published_precision": "second"}
            for number, ((account, item, _), moment) in enumerate(zip(rows, as_table(rows)["time"].to_pylist(), strict=True))
        ],
        DOCUMENTS,
    )
    # With the default no account has shares enough for a cosine.
    lax = DOCTRINE.replace(coordination_rules__cosine_support=2)
    asked = compare_rules(as_table(rows), doctrine=lax)
    told = compare_rules_in_documents(documents, empty(COPIES), found, doctrine=lax)
    assert told.rows() == asked.rows()
    for rule, flags in asked.flagged.items():
        assert set(told.accounts[told.flagged[rule]]) == set(asked.accounts[flags])
    assert told.flagged["eigenvector_pruning"].any()
    assert told.rules[2].pairs == 28


# --- the command ---


def greyzone(*arguments):
    return subprocess.run([sys.executable, "-m", "greyzone", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_command_writes_tables_network_and_summary(tmp_path, rows):
    path = write(tmp_path, "s.csv", columns(rows))
    options = ["--account", "account_id", "--item", "url=object_id", "--time", "timestamp_share"]
    done = greyzone("coordinate", path, *options, "--out", tmp_path / "out", "--compare")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == str(tmp_path / "out")
    assert [json.loads(line)["rule"] for line in lines[:-1]] == [OURS, "cosine_percentile", "eigenvector_pruning", "coortweet"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["groups"] == pq.read_table(tmp_path / "out" / "groups.parquet").num_rows == 1
    assert summary["read"]["shares"] == len(rows)
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {
        "groups.parquet",
        "group_members.parquet",
        "accounts.parquet",
        "edges.parquet",
        "traces.parquet",
        "network.graphml",
        "summary.json",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent", "--account", "a"], "does not exist, and --account is for a table"),
        ([".", "--item", "a"], "is a folder, and --item is for a table"),
        (["s.csv", "--account", "a"], "is a file and --item, --out is missing"),
        (["s.csv", "--account", "a", "--item", "=x", "--out", "o"], "KIND=COLUMN"),
        (["s.csv", "--account", "nobody", "--item", "object_id", "--out", "o"], "no column 'nobody'"),
    ],
)
def test_bad_calls_are_one_line(tmp_path, monkeypatch, rows, arguments, said):
    write(tmp_path, "s.csv", columns(rows[:5]))
    monkeypatch.chdir(tmp_path)
    done = greyzone("coordinate", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_undated_marks_a_missing_time():
    assert share_rows(["a"], ["i"], [UNDATED])["time"].null_count == 1
