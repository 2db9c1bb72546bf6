"""Profiles, tables and the export commands: hostile words stay words, every sentence has its sources, bad ids are one line."""

from __future__ import annotations

import json
import random
import re
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import START, build_campaigns, incident, link, narrative
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from greyzone import impact
from greyzone.case import Case
from greyzone.cli import app
from greyzone.doctrine import load_doctrine
from greyzone.dossier import SCHEMA, SCHEMA_VERSION, build, choose, code, plain, references, to_json, to_markdown
from greyzone.errors import InputError
from greyzone.eval import exports
from greyzone.handles import hide, hide_in_json, hider, shown_url
from greyzone.records import (
    CAMPAIGNS,
    DOCUMENTS,
    GROUP_MEMBERS,
    GROUPS,
    INCIDENTS,
    LINKS,
    MEMBERS,
    NARRATIVES,
    REJECTS,
    REPORTS,
    TABLES,
    empty,
    table,
)
from greyzone.tabular import ACCOUNTS, described, hidden_table, meanings
from greyzone.words import pseudonym, refused

DOCTRINE = load_doctrine()
HOSTILE = "<script>alert(1)</script> ![x](http://evil.example/a.png) [go](javascript:1) | `rm` **b** https://evil.example &lt;i&gt;"
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Technique:
    framework, id, name, subject, trigger, documents = "ATT&CK", "T1498", "Network denial", "inc-1", "flooded | <b>", ["rep-1"]


@pytest.fixture(scope="module")
def tables():
    names = {1: {"name": HOSTILE, "actor": HOSTILE}}
    incidents = table([incident(k, sectors=["energy"], **names.get(k, {})) for k in (1, 2, 3)], INCIDENTS)
    urls = ["https://register.example/7", "javascript:1"]
    reports = table([{"report_id": "rep-1", "source": "one", "source_id": "7", "name": HOSTILE, "urls": urls}], REPORTS)
    story = {"label": "the port\n# was sold <b>", "headline": "@Some_One says: they sold it.", "exemplars": ["doc-1", "doc-2", "doc-3"]}
    narratives = table([narrative(1, **story)], NARRATIVES)
    links = table([link(1, 1, 0.8, evidence=["doc-1", "doc-2"])], LINKS)
    documents = table(
        [
            {
                "doc_id": "doc-1",
                "published_at": START,
                "account": "Some_One",
                "url": "https://twitter.com/Some_One/status/1",
                "text": "RT @Some_One",
            },
            {"doc_id": "doc-2", "published_at": START, "title": HOSTILE, "outlet": "news.example", "url": "https://news.example/p?a=1|2"},
            {"doc_id": "doc-3", "title": "Port", "url": "https://news.example/port"},
        ],
        DOCUMENTS,
    )
    groups = table([{"group_id": "grp-1", "accounts": ["Some_One", "Other"], "documents": ["doc-1"], "q": 0.01}], GROUPS)
    members = table([{"doc_id": f"doc-{k}", "narrative_id": "nar-1"} for k in (1, 2, 3)], MEMBERS)
    result = impact.score(incidents, narratives, links, doctrine=DOCTRINE, as_of=date(2024, 6, 1), days=3, draws=8)
    campaigns = build_campaigns(incidents, narratives, members, groups, links, documents, result, [Technique()], doctrine=DOCTRINE)
    made = {name: empty(schema) for name, schema in TABLES.items()}
    made |= {"incidents": incidents, "reports": reports, "narratives": narratives, "links": links, "documents": documents}
    people = table([{"group_id": "grp-1", "account": "Some_One"}], GROUP_MEMBERS)
    made |= {"groups": groups, "members": members, "group_members": people, "impact": result.impact, "shares": result.shares}
    return made | {"campaigns": campaigns}


@pytest.fixture(scope="module")
def product(tables):
    [row] = choose(tables["campaigns"], ())
    return build(row, tables)


@pytest.fixture(scope="module")
def case(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "case"
    with Case.writing(folder) as opened:
        for name, rows in tables.items():
            opened.write_table(name, rows)
    return folder


def tokens(text: str):
    for token in MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*"\\`*_[]()<>|#!&~-+=1. \n@$", "://", "www.", "&lt;", "<b>", "](", "``"]), max_size=14).map("".join)
)
def test_any_words_are_shown_as_they_are_and_nothing_else(text):
    line = plain(text)
    assert "\n" not in line
    kinds = {token.type for token in tokens(f"x {line} y")}
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}, line
    shown = "".join(token.content for token in tokens(f"x {line} y") if token.type in ("text", "text_special"))
    assert shown.split() == [
        "x",
        *re.sub(
            "[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]", "", re.sub(r"[\u0000-\u001f\u007f-\u009f]", " ", text)
        ).split(),
        "y",
    ]
    # At the begin of a line it is a paragraph as well: no list, heading, rule or code.
    assert {token.type for token in tokens(line)} <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}, line


def test_code_spans_cannot_be_left():
    assert code("inc-`<b>`|x\n") == "`inc-bx`"


def test_hostile_titles_make_no_markup_and_no_links(product):
    text = to_markdown(product)
    kinds = [token for token in tokens(text) if token.type in ("html_block", "html_inline", "image", "link_open", "fence", "code_block")]
    assert {token.content for token in kinds if token.type == "html_inline"} <= {"<br>"}
    assert {token.type for token in kinds} <= {"link_open", "html_inline"}
    targets = {token.attrs["href"] for token in kinds if token.type == "link_open"}
    assert targets == {"https://news.example/port", "https://register.example/7"}
    headings = [token.content for token in tokens(text) if token.type == "inline" and token.level == 1 and token.content.startswith("#")]
    assert headings == []


def test_tables_keep_their_cells(product):
    """A sign in a cell that ends it would shift the row: every row of a table has as many cells as its head."""
    width = 0
    for token in tokens(to_markdown(product)):
        if token.type == "table_open":
            width = 0
        elif token.type == "tr_open":
            cells = 0
        elif token.type in ("th_open", "td_open"):
            cells += 1
        elif token.type == "thead_close":
            width = cells
        elif token.type == "tr_close" and width:
            assert cells == width
    assert "flooded \\| &lt;b&gt;" in to_markdown(product)


def test_it_reads_like_a_product(product):
    text = to_markdown(product)
    lines = text.splitlines()
    assert lines[0] == "**TLP:AMBER**"
    assert lines[-1] == "**TLP:AMBER**"
    sections = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    wanted = ["Key judgements", "Timeline", "Evidence", "Competing hypotheses", "Factors", "Techniques", "Alternative explanations", "Gaps"]
    assert [name for name in sections if name in wanted] == wanted
    assert sections[-2:] == ["Cumulative impact", "Sources"]
    assert "| unknown |" in text
    assert "There is no total" in text
    assert DOCTRINE.hash in text
    assert "90 % interval" in text
    assert "for human case-by-case assessment" in text
    assert "- Attribution: unknown" in text


def test_every_sentence_has_sources_and_every_source_is_listed(product):
    text = to_markdown(product)
    ids = {source["id"]: place for place, source in enumerate(product.content["sources"], start=1)}
    assert {"doc-1", "doc-2", "rep-1"} <= set(ids)
    for statement in product.content["campaign"]["statements"]:
        assert statement["documents"]
        assert set(statement["documents"]) <= set(ids)
        assert f"{plain(statement['text'])} {references(statement['documents'], ids)}" in text
    for identifier, place in ids.items():
        assert f"| S{place} | `{identifier}` |" in text


def test_runs_of_sources_are_drawn_together_by_hand():
    number = {f"d{k}": k for k in range(1, 10)}
    assert references(["d3", "d1", "d2", "d9", "d3"], number) == "[S1–S3, S9]"
    assert references(["d5", "d4"], number) == "[S4, S5]"
    assert references(["d7", "unheard of"], number) == "[S7]"
    assert references([], number) == ""


def test_handles_are_hidden_unless_asked_for(tables, product):
    for text in (to_markdown(product), to_json(product)):
        assert "Some_One" not in text.replace("\\_", "_")
    [row] = choose(tables["campaigns"], ())
    text = to_markdown(build(row, tables, handles=True)).replace("\\_", "_")
    assert "Some_One says" in text
    assert "<https://twitter.com/Some_One/status/1>" in text


def test_json_declares_its_schema_and_says_the_same(tables, product):
    content = json.loads(to_json(product))
    assert (content["schema"], content["schema_version"]) == (SCHEMA, SCHEMA_VERSION) == ("greyzone/campaign-profile", "1.0.0")
    assert set(content) == {"schema", "schema_version", "greyzone", "campaign", "profile", "scores", "sources"}
    assert {"phase", "timeline", "techniques", "hypotheses", "indicators", "decision"} <= set(content["profile"])
    [score] = content["scores"]
    assert score["date"] == "2024-06-01"
    assert score["score_p05"] <= score["score_p50"] <= score["score_p95"]


def test_the_order_of_rows_changes_nothing(tables, product):
    turned = {name: rows.take(pa.array(range(rows.num_rows)[::-1], pa.int64())) for name, rows in tables.items()}
    [row] = choose(turned["campaigns"], ())
    again = build(row, turned)
    assert to_markdown(again) == to_markdown(product)
    assert to_json(again) == to_json(product)


def test_no_line_of_ours_holds_a_refusal_phrase(product):
    for line in to_markdown(product).splitlines():
        assert not refused(line, DOCTRINE), line


def test_a_person_s_attribution_is_shown_as_theirs(tables):
    [row] = choose(tables["campaigns"], ())
    said = {"value": "“Group 9”", "who": "“A. Reader”", "note": "set by “A. Reader”, not by greyzone"}
    text = to_markdown(build(dict(row) | {"profile": json.dumps({"attribution": said})}, tables))
    assert "- Attribution: “Group 9” (set by “A. Reader”, not by greyzone)" in text
    # A profile of an earlier version lacks most keys.
    assert "## Sources" in text


def test_choosing_what_is_not_there_says_what_is(tables):
    [row] = choose(tables["campaigns"], ())
    with pytest.raises(InputError, match=row["campaign_id"]):
        choose(tables["campaigns"], ["cmp-0"])
    with pytest.raises(InputError, match="one of none"):
        choose(empty(TABLES["campaigns"]), ["cmp-0"])


def run(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_commands_write_files_and_print_their_paths(case, tables, tmp_path):
    [row] = choose(tables["campaigns"], ())
    name = row["campaign_id"]
    done = run("profile", case, "--out", tmp_path / "new" / "folder")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "new" / "folder" / f"{name}.md")]
    first = (tmp_path / "new" / "folder" / f"{name}.md").read_bytes()
    assert run("profile", case, "--campaign", name, "--out", tmp_path / "new" / "folder").exit_code == 0
    assert (tmp_path / "new" / "folder" / f"{name}.md").read_bytes() == first
    assert run("profile", case, "--format", "json", "--out", tmp_path / "json").exit_code == 0
    assert json.loads((tmp_path / "json" / f"{name}.json").read_text("utf-8"))["schema"] == SCHEMA
    for framework, count in (("attack", 1), ("disarm", 0)):
        done = run("navigator", case, "--framework", framework, "--campaign", name, "--out", tmp_path / "layer.json")
        assert done.exit_code == 0, done.output
        assert len(json.loads((tmp_path / "layer.json").read_text("utf-8"))["techniques"]) == count
    assert run("navigator", case, "--framework", "attack").exit_code == 0
    assert (case / "export" / "navigator-attack.json").is_file()
    assert run("stix", case).exit_code == 0
    assert json.loads((case / "export" / "bundle.json").read_text("utf-8"))["type"] == "bundle"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("profile", "--campaign", "cmp-0"), "no campaign 'cmp-0'"),
        (("navigator", "--framework", "attack", "--campaign", "cmp-0"), "no campaign 'cmp-0'"),
        (("navigator", "--framework", "capec"), "one of attack, disarm"),
        (("profile", "--format", "pdf"), "one of md, json"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(case, arguments, message):
    done = run(arguments[0], case, *arguments[1:])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_tables_are_written_whole_with_a_page_on_their_columns(case, tables, tmp_path):
    done = run("tables", case, "--out", tmp_path / "open", "--handles")
    assert done.exit_code == 0, done.output
    for name, rows in tables.items():
        assert pq.read_table(tmp_path / "open" / f"{name}.parquet").equals(rows), name
    page = (tmp_path / "open" / "README.md").read_text("utf-8")
    for name, rows in tables.items():
        assert f"## {name}" in page
        assert f"| {name}.parquet | {rows.num_rows:,} |" in page
        assert all(f"| {column} |" in page for column in rows.schema.names)
    assert run("tables", case, "--out", tmp_path / "hidden").exit_code == 0
    for file in (tmp_path / "hidden").glob("*.parquet"):
        found = pq.read_table(file)
        assert found.schema.equals(tables[file.stem].schema)
        assert "Some_One" not in str(found.to_pylist()), file.stem
    assert pq.read_table(tmp_path / "hidden" / "group_members.parquet")["account"].to_pylist() == [pseudonym("Some_One")]


def test_hiding_by_column_is_hiding_by_row():
    """Oracle: the column-wise way against the plain one, over nulls, empty lists and repeats."""
    pick = random.Random(3)
    words = [None, "", "plain", "@some_one here", "https://x.com/some_one/status/1", "a@b.org"]
    rows = [
        {
            "doc_id": f"doc-{k}",
            "text": pick.choice(words),
            "account": pick.choice([None, "a", "b"]),
            "urls": pick.choice([None, [], [pick.choice(words), pick.choice(words)]]),
            "mentions": pick.choice([None, ["a", "b"], []]),
        }
        for k in range(60)
    ]
    found = hidden_table("documents", table(rows, DOCUMENTS)).to_pylist()
    for before, after in zip(rows, found, strict=True):
        assert after["text"] == (before["text"] and hide(before["text"]))
        assert after["account"] == (before["account"] and pseudonym(before["account"]))
        assert after["urls"] == (before["urls"] and [word and hide(word) for word in before["urls"]])
        assert after["mentions"] == (before["mentions"] and [pseudonym(word) for word in before["mentions"]])


def test_every_table_has_a_meaning_and_every_column_of_accounts_exists():
    said = meanings()
    assert list(said) == list(TABLES)
    # Every table has the text of its own schema, and of no other.
    assert all(said.values())
    assert len(set(said.values())) == len({id(schema) for schema in TABLES.values()})
    assert said["members"].startswith("One row a document. `narrative_id` is null for noise")
    for name, columns in ACCOUNTS.items():
        assert set(columns) <= set(TABLES[name].names)
    named = {(name, field.name) for name, schema in TABLES.items() for field in schema if field.name.startswith("account")}
    counted = {(name, column) for name, column in named if pa.types.is_integer(TABLES[name].field(column).type)}
    counted |= {(name, column) for name, column in named if column.startswith(("accounts_", "accounts")) and name not in ("groups",)}
    assert named - counted == {(name, column) for name, columns in ACCOUNTS.items() for column in columns if column.startswith("account")}
    page = described({"members": empty(MEMBERS), "documents": table([{"doc_id": "doc-1"}], DOCUMENTS)}, handles=False)
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## documents", "## members"]
    assert "| doc_id | `string` | 0 |" in page
    assert "| title | `string` | 1 |" in page


def test_what_a_profile_says_is_hidden_and_still_can_be_read():
    said = {"text": 'quotes "@Some_One" \\ and\n@Some_One', "members": [{"id": "nar-1", "p": 0.5}]}
    [hidden] = hidden_table("campaigns", table([{"profile": json.dumps(said)}], CAMPAIGNS))["profile"].to_pylist()
    assert json.loads(hidden) == said | {"text": hide(said["text"])}
    assert "Some_One" not in hidden


def test_first_movers_and_groups_are_hidden_by_what_they_are_whatever_they_look_like():
    movers = [{"kind": kind, "name": name, "doc_id": "doc-1"} for kind, name in (("account", "person a"), ("outlet", "news.example"))]
    [row] = hidden_table("narratives", table([narrative(1, first_movers=movers)], NARRATIVES)).to_pylist()
    assert [mover["name"] for mover in row["first_movers"]] == [pseudonym("person a"), "news.example"]
    labels = ["handle:twitter/some_one", "handle:some_one", "mention:@some_one @other", "url:https://x.com/some_one", "url:https://a.org/x"]
    rows = table([{"group_id": "grp-1", "accounts": ["person a"], "items": labels}], GROUPS)
    name, other = pseudonym("some_one"), pseudonym("other")
    hidden = [f"handle:twitter/{name}", f"handle:{name}", f"mention:@{name} @{other}", f"url:https://x.com/{name}", "url:https://a.org/x"]
    expected = rows.to_pylist()[0] | {"accounts": [pseudonym("person a")], "items": hidden}
    assert hider(GROUPS)(rows.to_pylist()[0]) == hidden_table("groups", rows).to_pylist()[0] == expected


def test_an_account_and_a_mention_of_it_have_one_pseudonym_whatever_their_case():
    row = {"doc_id": "doc-1", "text": "so says @ann, https://x.com/ANN/status/1", "account": "Ann", "handle": "ann", "mentions": ["ann"]}
    [shown] = hidden_table("documents", table([row], DOCUMENTS)).to_pylist()
    name = pseudonym("Ann")
    assert {shown["account"], shown["handle"], *shown["mentions"]} == {name}
    assert shown["text"] == f"so says @{name}, https://x.com/{name}/status/1"
    assert pseudonym("STRASSE") == pseudonym("straße") != pseudonym("Ann")


def test_what_an_unreadable_row_holds_stays_at_home():
    rows = table([{"kind": "document", "action": "rejected", "reason": "not JSON", "detail": '{"user": "person a', "offset": 3}], REJECTS)
    assert hidden_table("rejects", rows).to_pylist() == [rows.to_pylist()[0] | {"detail": None}]


@pytest.mark.parametrize(
    ("url", "account", "hidden", "open_"),
    [
        ("https://news.example/a?b=1", None, True, True),
        ("https://news.example/a?b=1", "person a", False, True),
        ("https://twitter.com/some_one/status/1", None, False, True),
        ("javascript:alert(1)", None, False, False),
        ("https://news.example/a b", None, False, False),
        (None, None, False, False),
    ],
)
def test_addresses_are_shown_where_they_are_safe_and_name_nobody(url, account, hidden, open_):
    assert shown_url(url, account, handles=False) == (url if hidden else None)
    assert shown_url(url, account, handles=True) == (url if open_ else None)


@pytest.mark.parametrize("said", ["https://x.com/Some_One", "@Some_One", "＠Some_One"])
def test_any_sign_of_a_name_is_hidden_in_json(said):
    assert json.loads(hide_in_json(json.dumps([{"text": said}], ensure_ascii=False))) == [{"text": hide(said)}]
    assert "Some_One" not in hide(said)


def test_the_benchmark_prints_what_it_measured(monkeypatch, capsys):
    monkeypatch.setattr(exports, "SMALL", 120)
    assert exports.main(["--objects", "1200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [size["objects"] > 200 for size in found["sizes"]] == [True, True]
    assert set(found["equal"].values()) == {True}
    assert found["valid"] == {"stix2": True, "stix2-validator": True}
    assert exports.main(["--objects", "3"]) == 2
