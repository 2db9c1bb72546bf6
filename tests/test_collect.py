"""Readers: the same rows from every format, hostile and broken files, and that no row is lost."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import re
from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import greyzone.collect.streams as streams
from greyzone.collect import read_documents
from greyzone.collect.columns import find, lists
from greyzone.errors import InputError
from greyzone.records import RAW_DOCUMENTS, REJECTS, check

ROWS = [
    {"tweet_id": "1", "author_id": "ann", "content": "Hello #World", "publish_date": "2016-07-22 10:00:00", "language": "English"},
    {"tweet_id": "2", "author_id": "bob", "content": 'Two "lines",\nhere', "publish_date": "2016-07-23", "language": "Russian"},
    {"tweet_id": "3", "author_id": "ann", "content": "Привет, мир; €", "publish_date": "", "language": ""},
]


def collect(path, **options):
    batches = list(read_documents(path, **options))
    for batch in batches:
        check(batch.rows, RAW_DOCUMENTS, "rows")
        check(batch.rejects, REJECTS, "rejects")
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    return rows, [row for batch in batches for row in batch.rejects.to_pylist()]


def csv_bytes(rows, delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def jsonl_bytes(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def plain(rows):
    return [{key: value for key, value in row.items() if key not in ("path", "offset", "collector")} for row in rows]


def reasons(rejects):
    return [(row["reason"], row["offset"], row["action"]) for row in rejects]


def parquet_of(rows, path):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_every_format_gives_the_same_rows(tmp_path):
    expected = plain(collect(write(tmp_path, "a.csv", csv_bytes(ROWS)))[0])
    assert [row["account"] for row in expected] == ["ann", "bob", "ann"]
    assert [row["post_id"] for row in expected] == ["1", "2", "3"]
    assert expected[1]["text"] == 'Two "lines",\nhere'
    assert [row["published_precision"] for row in expected] == ["second", "day", "unknown"]
    assert expected[0]["published_at"] == datetime(2016, 7, 22, 10, tzinfo=UTC)
    paths = [
        write(tmp_path, "a.tsv", csv_bytes(ROWS, "\t")),
        write(tmp_path, "semicolons.csv", csv_bytes(ROWS, ";")),
        write(tmp_path, "bom.csv", b"\xef\xbb\xbf" + csv_bytes(ROWS)),
        write(tmp_path, "utf16.csv", csv_bytes(ROWS).decode().encode("utf-16")),
        write(tmp_path, "a.csv.gz", gzip.compress(csv_bytes(ROWS))),
        write(tmp_path, "a.csv.zst", zstandard.compress(csv_bytes(ROWS))),
        write(tmp_path, "two-frames.csv.zst", zstandard.compress(csv_bytes(ROWS)[:50]) + zstandard.compress(csv_bytes(ROWS)[50:])),
        write(tmp_path, "a.jsonl", jsonl_bytes(ROWS)),
        write(tmp_path, "array.json", json.dumps(ROWS, indent=1).encode()),
        write(tmp_path, "lines.json", jsonl_bytes(ROWS)),
        write(tmp_path, "no-suffix", jsonl_bytes(ROWS)),
        write(tmp_path, "table.txt", csv_bytes(ROWS)),
        parquet_of(ROWS, tmp_path / "a.parquet"),
        parquet_of(ROWS, tmp_path / "odd-name"),
    ]
    for path in paths:
        rows, rejects = collect(path)
        assert plain(rows) == expected, path
        assert rejects == []


def test_hugging_face_folders(tmp_path):
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_list(ROWS)
    whole.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": whole.select([0]), "a_test": whole.select([1, 2])}).save_to_disk(str(tmp_path / "splits"))
    expected = plain(collect(write(tmp_path, "a.csv", csv_bytes(ROWS)))[0])
    assert plain(collect(tmp_path / "one")[0]) == expected
    rows, _ = collect(tmp_path / "splits")
    assert [(row["text"][:3], row["path"].rsplit("/", 1)[1], row["offset"]) for row in rows] == [
        ("Two", "a_test", 1),
        ("При", "a_test", 2),
        ("Hel", "train", 1),
    ]
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a dataset"):
        collect(tmp_path / "one")


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_batch_size_changes_nothing(tmp_path, size):
    content = csv_bytes(ROWS) + b"too,few\n" + csv_bytes(ROWS).split(b"\n", 1)[1]
    path = write(tmp_path, "a.csv", content)
    assert collect(path, batch_rows=size) == collect(path)
    assert all(batch.rows.num_rows + batch.rejects.num_rows <= size for batch in read_documents(path, batch_rows=size))


def test_offsets_are_lines_and_paths_stay_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.csv", csv_bytes(ROWS))
    rows, _ = collect("a.csv")
    # The header is line 1; row 2 takes lines 3 and 4.
    assert [(row["path"], row["offset"]) for row in rows] == [("a.csv", 2), ("a.csv", 3), ("a.csv", 5)]


def test_a_folder_is_read_in_the_order_of_names(tmp_path, caplog):
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path, name, jsonl_bytes([{"text": name}]))
    write(tmp_path, "notes.docx", b"x")
    write(tmp_path, ".hidden.csv", b"x")
    (tmp_path / "c").mkdir()
    write(tmp_path / "c", "z.csv", b"text\nz\n")
    rows, _ = collect(tmp_path)
    assert [row["text"] for row in rows] == ["a.jsonl", "b.jsonl", "z"]
    assert "notes.docx passed over" in caplog.text


EMPTY = {
    "a.csv": b"",
    "b.jsonl": b"",
    "c.csv.gz": gzip.compress(b""),
    "d.json": b"",
    "e.parquet": b"",
    "g.jsonl.zst": zstandard.compress(b""),
}


def test_an_empty_file_among_others_of_a_folder_is_a_reject(tmp_path):
    (tmp_path / "h").mkdir()
    for folder in (tmp_path, tmp_path / "h"):
        for name, content in EMPTY.items():
            write(folder, name, content)
    write(tmp_path, "f.jsonl", jsonl_bytes([{"text": "one"}]))
    write(tmp_path / "h", "z.csv", b"text\ntwo\n")
    rows, rejects = collect(tmp_path)
    assert [row["text"] for row in rows] == ["one", "two"]
    assert reasons(rejects) == [("empty file", 0, "rejected")] * 2 * len(EMPTY)
    assert {row["kind"] for row in rejects} == {"document"}
    assert [row["path"] for row in rejects] == [(folder / name).as_posix() for folder in (tmp_path, tmp_path / "h") for name in EMPTY]


def test_a_damaged_file_among_others_of_a_folder_is_still_an_error(tmp_path):
    write(tmp_path, "a.csv", b"text\none\n")
    write(tmp_path, "b.jsonl.gz", gzip.compress(jsonl_bytes(ROWS) * 2000)[:-200])
    with pytest.raises(InputError, match="breaks off or is damaged"):
        collect(tmp_path)


@pytest.mark.parametrize("name", EMPTY)
def test_a_folder_of_empty_files_or_one_given_by_name_is_an_error(tmp_path, name):
    path = write(tmp_path, name, EMPTY[name])
    with pytest.raises(InputError, match=f"{name} is empty"):
        collect(path)
    write(tmp_path, "z.csv", b"")
    with pytest.raises(InputError, match="no file of 2 in"):
        collect(tmp_path)


def test_bad_csv_rows_cost_one_row_each(tmp_path):
    content = b'text,account\none,a\nonly one\na,b,c\nbad \xff byte,b\n"never closed,c\ntwo,d\n\n"quoted\nbreak",e\nnul \x00 byte,f\n'
    rows, rejects = collect(write(tmp_path, "a.csv", content))
    assert [row["text"] for row in rows] == ["one", "two", "quoted\nbreak", "nul \x00 byte"]
    assert reasons(rejects) == [
        ("wrong number of columns", 3, "rejected"),
        ("wrong number of columns", 4, "rejected"),
        ("not valid UTF-8", 5, "rejected"),
        ("quote never closed", 6, "rejected"),
    ]
    assert rejects[0]["detail"] == "1 found, 2 expected"


def test_a_ragged_row_of_several_lines_is_one_reject(tmp_path):
    rows, rejects = collect(write(tmp_path, "a.csv", b'text,account\n"a\nb",c,d\nnext,x\n'))
    assert [row["text"] for row in rows] == ["next"]
    assert reasons(rejects) == [("wrong number of columns", 2, "rejected")]


def test_an_open_quote_at_the_end_swallows_nothing(tmp_path):
    content = b'text,account\n"open,x\n' + b"".join(b"row %d,a\n" % number for number in range(50))
    rows, rejects = collect(write(tmp_path, "a.csv", content))
    assert len(rows) == 50
    assert reasons(rejects) == [("quote never closed", 2, "rejected")]


def test_bad_json_lines_are_counted(tmp_path):
    content = b'{"text": "one"}\n{"text": \n[1]\n\n{"text": "bad \xff"}\n{"text": "two", "extra": 1}\n' + b"[" * 100_000 + b"\n"
    content += b'{"text": "lone \\ud800"}\n{"title": "no text"}'
    rows, rejects = collect(write(tmp_path, "a.jsonl", content))
    assert [row["text"] for row in rows] == ["one", "two", "lone \ufffd", None]
    assert reasons(rejects) == [
        ("not valid JSON", 2, "rejected"),
        ("not a JSON object", 3, "rejected"),
        ("not valid UTF-8", 5, "rejected"),
        ("not valid JSON", 7, "rejected"),
    ]
    assert all(len(row["detail"]) <= 200 for row in rejects)


def test_a_key_that_stands_twice_is_told_wherever_it_stands(tmp_path, monkeypatch):
    monkeypatch.setattr("greyzone.collect.telegram.BLOCK", 7)
    twice = '{"text": "one", "id": 1, "text": "two", "user": {"id": 5, "id": 6, "id": 7}}'
    once = '{"text": "three", "user": {"text": "no"}, "id": 2, "list": [{"id": 3}, {"id": 4}]}'
    expected = ["two", "three"], ["7", None], [("key stands twice", 1, "repaired")], ["id, text"]
    for name, content in (
        ("a.jsonl", f'{twice}\n{once}\n[{{"a": 1, "a": 2}}]\n{{"a": 1, "a": 2, '),
        ("array.json", f"[{twice}, {once}]"),
        ("result.json", f'{{"messages": [{twice}, {once}]}}'),
    ):
        rows, rejects = collect(write(tmp_path, name, content.encode()))
        told = [row for row in rejects if row["action"] == "repaired"]
        accounts = [None, None] if name == "result.json" else [row["account"] for row in rows]
        assert ([row["text"] for row in rows], reasons(told), [row["detail"] for row in told]) == (expected[0], *expected[2:]), name
        assert accounts == ([None, None] if name == "result.json" else expected[1])


def test_lists_and_objects_in_the_place_of_a_string_are_told(tmp_path):
    rows = [
        {"text": ["one", "two"], "title": [], "url": [None]},
        {"text": ["three"], "title": [], "url": None},
    ]
    expected = ['["one", "two"]', '["three"]'], [None, None], [None, None]
    told = [("list or object kept as JSON", offset, "repaired") for offset in (1, 2)]
    for path in (write(tmp_path, "a.jsonl", jsonl_bytes(rows)), parquet_of(rows, tmp_path / "a.parquet")):
        found, rejects = collect(path)
        assert tuple([row[name] for row in found] for name in ("text", "title", "url")) == expected, path
        assert reasons(rejects) == told
        assert rejects[0]["detail"] == 'text: ["one", "two"]'
    rows = [{"text": {"en": "one", "de": "eins"}, "a": 1}]
    for path in (write(tmp_path, "b.jsonl", jsonl_bytes(rows)), parquet_of(rows, tmp_path / "b.parquet")):
        with pytest.raises(InputError, match=r"no text column; its columns are text.en, text.de, a; name it with --map text=COLUMN"):
            collect(path)
        assert collect(path, mapping={"text": "text.de"})[0][0]["text"] == "eins"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    if name == "a.csv":
        path = write(tmp_path, name, b"text,note,note,text\na,b,c,d\n")
    else:
        path = tmp_path / name
        pq.write_table(pa.table([["a"], ["b"], ["c"], ["d"]], names=["text", "note", "note", "text"]), path)
    with pytest.raises(InputError, match="has two columns 'text'"):
        collect(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_too_long_a_line_is_one_reject(tmp_path, name):
    long = b"x" * (streams.LINE_LIMIT + 5000)
    content = b"text,account\na,1\n" + long + b",1\nb,1\n" if name == "a.csv" else b'{"text":"a"}\n' + long + b'\n{"text":"b"}\n'
    rows, rejects = collect(write(tmp_path, name, content))
    assert [row["text"] for row in rows] == ["a", "b"]
    assert reasons(rejects) == [("line too long", 3 if name == "a.csv" else 2, "rejected")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "is empty"),
        ("empty.csv.gz", gzip.compress(b""), "is empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "binary file"),
        ("utf16.csv", "text,account\nhello,you\n".encode("utf-16-le") * 5, "encoding=utf-16-le"),
        ("cp1251.csv", b"text,account\n" + "привет,мир\n".encode("cp1251") * 30, "iconv -f cp1251"),
        ("no_text.csv", b"when,what\n1,2\n", r"when, what; name it with --map text=COLUMN"),
        ("no_text.jsonl", b'{"when": 1}\n', "--map text=COLUMN"),
        ("no_text.parquet", None, "--map text=COLUMN"),
        ("damaged.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("no_objects.jsonl", b"[1]\n[2]\n", "no JSON objects"),
        ("prose.txt", b"Just a letter\nwithout columns\n", "no known format"),
        ("broken.json", b'[{"text": "a"}, {"text": ', "not valid JSON near character"),
        ("cut.jsonl.gz", gzip.compress(jsonl_bytes(ROWS) * 2000)[:-200], "breaks off or is damaged after"),
        ("cut.jsonl.zst", zstandard.compress(jsonl_bytes(ROWS) * 2000)[:-50], "breaks off or is damaged"),
        ("damaged.csv.gz", b"\x1f\x8b" + b"nonsense" * 10, "damaged"),
        ("a.csv.bz2", bz2.compress(jsonl_bytes(ROWS)), "packed with bzip2.*bunzip2"),
        ("a.jsonl.xz", lzma.compress(jsonl_bytes(ROWS)), "packed with xz"),
        ("workbook.xlsx", b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "workbook.*save a workbook as CSV"),
        ("wrapped.json", b'{"data": [\n {\n  "text": "a"\n }\n]}\n', "take a list out of an object"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, name, content, message):
    path = parquet_of([{"when": 1}], tmp_path / name) if content is None else write(tmp_path, name, content)
    with pytest.raises(InputError, match=message) as caught:
        collect(path)
    assert "\n" not in str(caught.value)
    assert name.split(".")[0] in str(caught.value)


def test_bad_arguments_fail_at_once(tmp_path):
    path = write(tmp_path, "a.csv", csv_bytes(ROWS))
    for options in (
        {"mapping": {"texd": "content"}},
        {"mapping": {"day_first": "maybe"}},
        {"batch_rows": 0},
        {"as_of": datetime(2020, 1, 1)},
    ):
        with pytest.raises(InputError):
            read_documents(path, **options)
    with pytest.raises(InputError, match="does not exist"):
        read_documents(tmp_path / "missing.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no file that can be read"):
        read_documents(tmp_path / "folder")
    with pytest.raises(InputError, match=r"no column 'nope' for text.*tweet_id"):
        collect(path, mapping={"text": "nope"})
    with pytest.raises(InputError, match="unknown encoding"):
        collect(path, mapping={"encoding": "klingon"})


def test_a_named_encoding_is_used(tmp_path):
    path = write(tmp_path, "a.csv", "text,account\nпривет,мир\n".encode("cp1251"))
    assert collect(path, mapping={"encoding": "cp1251"})[0][0]["text"] == "привет"
    with pytest.raises(InputError, match="not ascii near byte 13"):
        collect(path, mapping={"encoding": "ascii"})


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "RATIO_FREE", 2**20)
    for name, pack in (("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)):
        with pytest.raises(InputError, match="unpacks to more than 250 times"):
            collect(write(tmp_path, name, pack(b'{"text": "a"}\n' + b" " * 2**23)))


def test_aliases():
    assert find(["content", "full_text"], {})["text"] == "full_text"
    assert find(["Publish Date", "TEXT"], {}) == {"text": "TEXT", "published_at": "Publish Date"}
    assert find(["Text", "body"], {})["text"] == "body", "an exact name wins over a folded one"
    assert find(["text", "body"], {"text": "body"})["text"] == "body"
    assert find(["text", "source"], {})["outlet"] == "source"
    assert "outlet" not in find(["text", "source", "tweet_id"], {}), "the client a post was sent from is no outlet"
    assert "account" not in find(["text", "author"], {"outlet": "author"})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b c']", ["a", "b c"]),
        ("['a' 'b']", ["a", "b"]),
        ('c("a", "b")', ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("a b,c;d|e", ["a", "b", "c", "d", "e"]),
        ([{"text": "a", "indices": [1, 2]}, {"tag": "b"}], ["a", "b"]),
        ("[]", None),
        ("", None),
        ("nan", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_lists_however_they_are_written(written, expected):
    assert lists([written], "hashtags").to_pylist() == [expected]
    if isinstance(written, str):
        assert lists(pa.array([written]), "hashtags").to_pylist() == [expected]


def test_commas_within_addresses_do_not_split():
    assert lists(["https://a.org/1,2 https://b.org/,https://c.org"], "urls").to_pylist() == [
        ["https://a.org/1,2", "https://b.org/", "https://c.org"]
    ]


def test_kinds_of_post(tmp_path):
    rows = [
        {"text": "a", "post_type": kind, "rt_user": origin}
        for kind, origin in (("retweet", "x"), ("quote", "x"), ("original", None), ("", "x"), ("", None))
    ]
    assert [row["is_repost"] for row in collect(write(tmp_path, "a.jsonl", jsonl_bytes(rows)))[0]] == [True, False, False, True, False]


def test_nested_json_is_reached(tmp_path):
    rows = [
        {
            "id_str": "9",
            "full_text": "RT",
            "created_at": "Fri Oct 07 20:32:00 +0000 2016",
            "user": {"screen_name": "ann", "id": 1},
            "entities": {"hashtags": [{"text": "One"}], "urls": [{"url": "https://t.co/a", "expanded_url": "https://a.org"}]},
            "retweeted_status": {"id_str": "8", "user": {"screen_name": "bob"}},
        }
    ]
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "folder"))
    lines, table = write(tmp_path, "a.jsonl", jsonl_bytes(rows)), parquet_of(rows, tmp_path / "a.parquet")
    for path in (lines, table, tmp_path / "folder"):
        [row], rejects = collect(path)
        assert (row["account"], row["post_id"], row["hashtags"], row["urls"]) == ("1", "9", ["One"], ["https://a.org"]), path
        assert (row["handle"], row["is_repost"], row["repost_of"], rejects) == ("ann", True, "bob", [])


def test_references_of_twitter_v2_say_what_is_reposted_and_answered(tmp_path):
    references = [
        [{"type": "retweeted", "id": "8"}],
        [{"type": "quoted", "id": "7"}, {"type": "replied_to", "id": "6"}],
        [{"type": "quoted", "id": "7"}],
        None,
    ]
    rows = [{"id": str(number), "text": "words", "author_id": "1", "referenced_tweets": given} for number, given in enumerate(references)]
    head = "id,text,author_id,referenced_tweets.retweeted.id,referenced_tweets.replied_to.id"
    table = "\n".join([head, "0,words,1,8,", "1,words,1,,6", "2,words,1,,", "3,words,1,,"]).encode()
    array = write(tmp_path, "a.json", json.dumps(rows).encode())
    for file in (write(tmp_path, "a.jsonl", jsonl_bytes(rows)), array, write(tmp_path, "a.csv", table)):
        found = [(row["repost_of"], row["is_repost"], row["reply_to"]) for row in collect(file)[0]]
        assert found == [("8", True, None), (None, False, "6"), (None, False, None), (None, False, None)]


def test_a_lasting_id_is_the_account_and_the_screen_name_its_handle(tmp_path):
    rows = [
        {"text": "a", "user_id": 7, "screen_name": "Ann", "source": '<a href="https://a.org">App <b>One</b></a>', "retweet_count": 0},
        {"text": "b", "user_id": None, "screen_name": "Ben", "source": "Web", "retweet_count": 0},
    ]
    found = collect(write(tmp_path, "a.jsonl", jsonl_bytes(rows)))[0]
    assert [(row["account"], row["handle"], row["outlet"]) for row in found] == [("7", "Ann", None), ("Ben", "Ben", None)]
    assert [row["app"] for row in found] == ['<a href="https://a.org">App <b>One</b></a>', "Web"]
    names = ["text", "user_id", "screen_name"]
    assert find(names, {}) == {"text": "text", "account": "user_id", "handle": "screen_name"}
    assert find(names, {"account": "screen_name"}) == {"text": "text", "account": "screen_name"}, "what the user names stands"
    assert find(names, {"handle": "user_id"})["handle"] == "user_id"
    assert find(["text", "screen_name"], {}) == {"text": "text", "account": "screen_name"}
    assert find(["text", "account", "user_id"], {}) == {"text": "text", "account": "account"}, "account may be either"
    assert "app" not in find(["text", "source"], {}), "the source of what is no tweet is an outlet"


def test_handle_and_app_by_mapping(tmp_path):
    path = write(tmp_path, "a.csv", b"text,who,called,via\na,1,@Ann,bot\n")
    row = collect(path, mapping={"account": "who", "handle": "called", "app": "via"})[0][0]
    assert (row["account"], row["handle"], row["app"]) == ("1", "@Ann", "bot")


def test_the_furthest_address_of_a_short_link_is_taken(tmp_path):
    entities = [
        {"url": "https://t.co/a", "expanded_url": "https://bit.ly/a", "unwound_url": "https://a.org/1"},
        {"url": "https://t.co/b", "expanded_url": "https://bit.ly/b", "unwound": {"url": "https://b.org/1"}},
        {"url": "https://t.co/c", "expanded_url": "https://c.org/1"},
    ]
    rows = [
        {"text": "x", "entities": {"urls": entities}},
        {"text": "x", "extended_tweet": {"full_text": "long", "entities": {"urls": entities}}},
    ]
    found = collect(write(tmp_path, "a.jsonl", jsonl_bytes(rows)))[0]
    assert [row["urls"] for row in found] == [["https://a.org/1", "https://b.org/1", "https://c.org/1"]] * 2
    assert [row["text"] for row in found] == ["x", "long"]
    assert find(["text", "urls", "expanded_urls"], {})["urls"] == "expanded_urls"


def test_bad_and_future_dates_are_mended_and_told(tmp_path):
    rows = [{"text": str(day), "date": day} for day in ("2016-07-22", "soon", "2031-01-01", None)]
    as_of = datetime(2020, 1, 1, tzinfo=UTC)
    found, rejects = collect(write(tmp_path, "a.jsonl", jsonl_bytes(rows)), as_of=as_of)
    assert [row["published_precision"] for row in found] == ["day", "unknown", "unknown", "unknown"]
    assert [row["published_at"] is None for row in found] == [False, True, True, True]
    assert reasons(rejects) == [("date not understood", 2, "repaired"), ("date in the future", 3, "repaired")]
    table = pa.table({"text": ["a", "b"], "date": pa.array([datetime(2016, 1, 1), datetime(2031, 1, 1)], pa.timestamp("ms"))})
    pq.write_table(table, tmp_path / "a.parquet")
    found, rejects = collect(tmp_path / "a.parquet", as_of=as_of)
    assert [row["published_precision"] for row in found] == ["second", "unknown"]
    assert reasons(rejects) == [("date in the future", 2, "repaired")]


@pytest.mark.parametrize(
    ("kind", "good", "odd"),
    [
        (pa.timestamp("us"), 1_450_000_000_000_000, [-62_135_596_800_000_000, 253_402_214_400_000_000]),
        (pa.timestamp("ms", "UTC"), 1_450_000_000_000, [-9 * 10**18, 9 * 10**18]),
        (pa.timestamp("s"), 1_450_000_000, [-62_135_596_800, 253_402_214_400]),
        (pa.date32(), 16_000, [-719_162, 2_932_896, 2**31 - 1]),
    ],
)
def test_placeholders_among_timestamps_are_no_dates_either(tmp_path, kind, good, odd):
    """0001-01-01 and 9999-12-31 are refused as text; so they are as numbers, and so are years that no calendar has."""
    rows = [*odd, None, good]
    number = pa.int32() if kind == pa.date32() else pa.int64()
    dates = pa.array(rows, number).cast(kind)
    # Parquet has no seconds: they are written as milliseconds.
    pq.write_table(pa.table({"text": [f"text {place}" for place in range(len(rows))], "date": dates}), tmp_path / "a.parquet")
    found, rejects = collect(tmp_path / "a.parquet")
    assert [row["published_precision"] for row in found] == ["unknown"] * (len(odd) + 1) + ["day" if kind == pa.date32() else "second"]
    assert found[-1]["published_at"].year in (2013, 2015)
    assert reasons(rejects) == [("date not understood", place, "repaired") for place in range(1, len(odd) + 1)]


def test_lines_may_end_in_carriage_returns_alone(tmp_path):
    found, rejects = collect(write(tmp_path, "a.csv", csv_bytes(ROWS).replace(b"\r\n", b"\n").replace(b"\n", b"\r")))
    assert (plain(found), rejects) == (plain(collect(write(tmp_path, "b.csv", csv_bytes(ROWS)))[0]), [])


@pytest.mark.parametrize("size", [1, 100])
def test_the_whole_file_settles_the_order_of_day_and_month(tmp_path, size):
    american = write(tmp_path, "a.csv", b"text,date\na,03/04/2016\nb,3/22/2016\n")
    british = write(tmp_path, "b.csv", b"text,date\na,03/04/2016\nb,22/3/2016\n")
    unclear = write(tmp_path, "c.csv", b"text,date\na,03/04/2016\n")
    assert collect(american, batch_rows=size)[0][0]["published_at"] == datetime(2016, 3, 4, tzinfo=UTC)
    assert collect(british, batch_rows=size)[0][0]["published_at"] == datetime(2016, 4, 3, tzinfo=UTC)
    rows, rejects = collect(unclear, batch_rows=size)
    assert rows[0]["published_precision"] == "year"
    assert reasons(rejects) == [("date reads as two days", 2, "repaired")]
    assert rejects[0]["detail"] == "03/04/2016: 2016-03-04 or 2016-04-03"
    rows, rejects = collect(unclear, mapping={"day_first": "true"})
    assert (rows[0]["published_at"], rejects) == (datetime(2016, 4, 3, tzinfo=UTC), [])


MESSAGES = [
    {"id": 1, "type": "service", "date": "2022-02-24T05:00:00", "action": "create_channel", "text": ""},
    {
        "id": 2,
        "type": "message",
        "date": "2022-02-24T06:00:00",
        "date_unixtime": "1645675200",
        "from": "A channel",
        "from_id": "channel7",
        "text": [
            "See ",
            {"type": "link", "text": "https://a.org"},
            " ",
            {"type": "text_link", "text": "this", "href": "https://b.org"},
            " ",
            {"type": "hashtag", "text": "#Tag"},
            " ",
            {"type": "mention", "text": "@name"},
        ],
    },
    {"id": 3, "type": "message", "date": "2022-02-25T06:00:00", "from_id": "user8", "text": "Ответ €", "reply_to_message_id": 2},
    {"id": 4, "type": "message", "date_unixtime": "1645675200", "from_id": "channel7", "text": "f", "forwarded_from": "Other"},
]


@pytest.mark.parametrize("block", [7, 2**20])
@pytest.mark.parametrize("whole", [True, False])
def test_telegram_exports(tmp_path, monkeypatch, whole, block):
    chat = {"name": "A channel", "type": "public_channel", "id": 7, "messages": MESSAGES}
    export = {"about": "x", "chats": {"about": "y", "list": [chat]}, "left_chats": {"list": []}} if whole else chat
    monkeypatch.setattr("greyzone.collect.telegram.BLOCK", block)
    path = write(tmp_path, "result.json", json.dumps(export, indent=1, ensure_ascii=False).encode())
    rows, rejects = collect(path)
    assert reasons(rejects) == [("service message", 1, "rejected")]
    assert [row["text"] for row in rows] == ["See https://a.org this #Tag @name", "Ответ €", "f"]
    first, second, third = rows
    assert (first["account"], first["outlet"], first["platform"], first["post_id"]) == ("channel7", "A channel", "telegram", "7/2")
    assert (first["urls"], first["hashtags"], first["mentions"]) == (["https://a.org", "https://b.org"], ["#Tag"], ["@name"])
    # 1645675200 is 2022-02-24 04:00 UTC: the exporting machine stood two hours east.
    assert (first["published_at"], first["published_precision"]) == (datetime(2022, 2, 24, 4, tzinfo=UTC), "second")
    assert (second["published_at"], second["published_precision"]) == (datetime(2022, 2, 25, tzinfo=UTC), "day")
    assert (second["reply_to"], second["is_repost"]) == ("7/2", False)
    assert (third["repost_of"], third["is_repost"]) == ("Other", True)
    one_line = write(tmp_path, "one_line.json", json.dumps(export).encode())
    assert plain(collect(one_line)[0]) == plain(rows)
    cut = write(tmp_path, "cut.json", path.read_bytes()[:-30])
    with pytest.raises(InputError, match="not valid JSON near character"):
        collect(cut)


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n\t\x85"), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=12))
def test_csv_round_trip_loses_nothing(tmp_path, cells):
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["text", "account"])
    writer.writerows(cells)
    rows, rejects = collect(write(tmp_path, "round.csv", out.getvalue().encode()), batch_rows=5)
    assert [(row["text"] or "", row["account"] or "") for row in rows] == cells
    assert rejects == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example([b'"q,b', b"\xff,b", b'"q,b'])
@given(st.lists(st.sampled_from([b"a,b", b'"q,b', b'x"y,b', b'"a\nb",c', b"a", b"a,b,c", b"\xff,b", b'"', b'a,"b"']), max_size=12))
def test_every_line_of_a_csv_is_a_row_or_a_reject(tmp_path, lines):
    content = b"text,account\n" + b"\n".join(lines) + b"\n"
    rows, rejects = collect(write(tmp_path, "lines.csv", b"text,account\n" + b"pad,pad\n" * 20 + content.split(b"\n", 1)[1]))
    told = Counter(row["offset"] for row in rows + rejects)
    assert max(told.values()) == 1
    covered = sum(1 + (row["text"] or "").count("\n") + (row["account"] or "").count("\n") for row in rows)
    for row in rejects:
        spanned = re.search(r"lines (\d+) to (\d+)", row["detail"])
        covered += int(spanned[2]) - int(spanned[1]) + 1 if spanned else 1
    assert covered == 20 + sum(line.count(b"\n") + 1 for line in lines)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from(["x.csv", "x.jsonl", "x.json", "x.parquet", "x.gz", "x"]))
def test_any_bytes_are_rows_rejects_or_one_clear_error(tmp_path, content, name):
    with contextlib.suppress(InputError):
        collect(write(tmp_path, name, content))
