"""Review: what is most worth a look comes first, a filled table comes back as it was written, and nothing is lost on the way."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_string
from typer.testing import CliRunner

from greyzone.case import Case
from greyzone.cli import app
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.records import DECISIONS, DOCUMENTS, INCIDENTS, LINKS, NARRATIVES, TABLES, content_id, empty, table
from greyzone.review import COLUMNS, TO_FILL, escape, latest, read_decisions, read_rows, review_rows, unescape, write_rows
from greyzone.stix import to_bundle

START = datetime(2024, 5, 1, tzinfo=UTC)
HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\tx", "\rx", "'", "''=", "＝1", 'a "quoted", note', "two\nlines", "שלום; и; 中"]


def link(number: int, p: float, low: float, high: float, **more):
    ids = {"link_id": content_id("lnk", f"inc-{number}", "nar-1"), "incident_id": f"inc-{number}", "narrative_id": "nar-1"}
    return {**ids, "type": "exploits", "p": p, "p_lo": low, "p_hi": high, "calibrated": False, "evidence": ["doc-1"], **more}


@pytest.fixture
def tables():
    numbers = range(1, 6)
    incidents = [{"incident_id": f"inc-{k}", "name": f"=Outage {k}", "onset_lo": START, "onset_hi": START} for k in numbers]
    links = [
        link(1, 0.95, 0.8, 0.99),
        link(2, 0.6, 0.3, 0.8),
        link(3, 0.45, 0.2, 0.7),
        link(4, 0.1, 0.05, 0.3),
        link(5, 0.99, 0.9, 0.999),
    ]
    return {
        "incidents": table(incidents, INCIDENTS),
        "narratives": table([{"narrative_id": "nar-1", "label": "@the port was sold"}], NARRATIVES),
        "documents": table([{"doc_id": "doc-1", "text": "-They sold it. " * 40}], DOCUMENTS),
        "links": table(links, LINKS),
        "decisions": empty(DECISIONS),
    }


def filled(tables, decisions):
    """Rows of the table to fill, by the number of the incident, with some cells filled."""
    rows = review_rows(tables)
    for row in rows:
        row |= decisions.get(int(row["incident_id"][4:]), {})
    return rows


def read(tables, tmp_path, text, **given):
    file = tmp_path / "filled.csv"
    file.write_bytes(text.encode())
    return read_decisions(
        read_rows(file), links=tables["links"], decisions=tables["decisions"], **{"who": "A", "day": "2024-06-01", **given}
    )


def test_open_pairs_nearest_to_one_half_come_first_then_the_likeliest(tables):
    assert [row["incident_id"] for row in review_rows(tables)] == ["inc-3", "inc-2", "inc-5", "inc-1", "inc-4"]


def test_a_row_holds_what_chance_gives_and_who_lost_and_leaves_what_is_to_fill(tables):
    lost = [{"incident_id": "inc-2", "p": 0.6}, {"incident_id": "inc-9", "p": 0.2}]
    reasons = [{"log_odds": 0.4, "kind": "entity", "nats": 2.14}, {"log_odds": -1.4, "kind": "temporal", "nats": -0.5}]
    one = link(1, 0.95, 0.8, 0.99, q=0.04, placebo_precision=0.9, rivals=lost, rival_reasons=reasons)
    (row,) = review_rows(tables | {"links": table([one], LINKS)})
    assert (row["q"], row["placebo_precision"], row["proposed_type"]) == (0.04, 0.9, "exploits")
    assert row["rivals"] == "=Outage 2 (inc-2): p 0.600, entity +2.1; unnamed (inc-9): p 0.200, temporal -0.5"
    assert {row[name] for name in TO_FILL} == {""}
    (row,) = review_rows(tables | {"links": table([one | {"rival_reasons": None}], LINKS)})
    assert row["rivals"] == "=Outage 2 (inc-2): p 0.600; unnamed (inc-9): p 0.200"


def test_what_was_decided_comes_last_and_says_so(tables, tmp_path):
    tables["decisions"] = read(tables, tmp_path, write_rows(filled(tables, {3: {"decision": "no"}}))).decisions
    rows = review_rows(tables)
    assert rows[-1]["incident_id"] == "inc-3"
    assert rows[-1]["earlier"] == "no by A on 2024-06-01"
    assert rows[-1]["decision"] == ""


def test_order_of_the_input_does_not_matter(tables):
    backwards = {name: rows.take(pa.array(range(rows.num_rows)[::-1], pa.int64())) for name, rows in tables.items()}
    assert write_rows(review_rows(backwards)) == write_rows(review_rows(tables))


def test_cells_that_a_spreadsheet_would_run_are_escaped_when_written(tables):
    grid = list(
        csv.reader(io.StringIO(write_rows(filled(tables, {1: {"decision": "yes", "note": "=HYPERLINK(1)"}})).lstrip("\ufeff"), newline=""))
    )
    assert grid[0] == list(COLUMNS)
    text = [cell for row in grid[1:] for name, cell in zip(grid[0], row, strict=True) if not name.startswith(("p", "q", "llr_", "lag"))]
    assert any(cell.startswith("'=") for cell in text)
    assert not [cell for cell in text if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert max(len(cell) for cell in text) < 300


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("note", HOSTILE)
def test_hostile_notes_come_back_as_they_were(tables, tmp_path, note, lines):
    rows = filled(tables, {2: {"decision": "unsure", "note": note, "who": note, "type": "reports", "day": "2024-05-30"}})
    file = tmp_path / ("filled.jsonl" if lines else "filled.csv")
    file.write_bytes(write_rows(rows, lines=lines).encode())
    found = read_decisions(read_rows(file), links=tables["links"], decisions=tables["decisions"]).decisions.to_pylist()
    assert [(row["incident_id"], row["decision"], row["type"], row["note"], row["who"], row["day"]) for row in found] == [
        ("inc-2", "unsure", "reports", note, note.strip(), date(2024, 5, 30))
    ]


def test_json_that_no_table_holds_is_mended_or_refused(tables, tmp_path):
    file = tmp_path / "filled.jsonl"
    row = {"incident_id": "inc-1", "narrative_id": "nar-1", "decision": "yes", "who": "A", "day": "2024-06-01", "note": "seen\ud800"}
    file.write_text(json.dumps(row))
    assert read_decisions(read_rows(file), links=tables["links"], decisions=tables["decisions"]).decisions["note"].to_pylist() == ["seen?"]
    file.write_text("[" * 200_000)
    with pytest.raises(InputError, match="line 1: not JSON"):
        read_rows(file)


@given(st.text())
def test_escaping_is_undone_exactly_and_leaves_no_formula(text):
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_spreadsheet_may_have_changed_the_delimiter_and_left_columns_out(tables, tmp_path):
    ids = tables["links"]["link_id"].to_pylist()
    found = read(tables, tmp_path, f"link_id;decision;note\r\n{ids[0]};YES ;a, b\r\n{ids[1]};;\r\n;;\r\n")
    assert found.counts == {"rows": 2, "undecided": 1, "unchanged": 0, "new": 1}
    assert found.decisions.to_pylist()[0]["note"] == "a, b"
    by_pair = read(tables, tmp_path, "incident_id,narrative_id,decision\ninc-4,nar-1,no\n")
    assert by_pair.decisions["link_id"].to_pylist() == [content_id("lnk", "inc-4", "nar-1")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("link_id,decision\nlnk-0,yes\n", "row 1: unknown pair ('lnk-0')"),
        ("incident_id,narrative_id,decision\ninc-1,nar-9,yes\n", "row 1: unknown pair ('inc-1', 'nar-9')"),
        (
            "incident_id,narrative_id,decision\ninc-1,nar-1,yes\ninc-2,nar-1,maybe\n",
            "row 2: decision 'maybe'; expected one of yes, no, unsure",
        ),
        ("incident_id,narrative_id,decision,type\ninc-1,nar-1,yes,caused\n", "row 1: type 'caused'"),
        ("incident_id,narrative_id,decision,day\ninc-1,nar-1,yes,yesterday\n", "row 1: day 'yesterday'"),
        ("a,b\n1,2\n", "has the columns a, b"),
        ("", "has the columns none"),
        ("link_id,decision\nx,yes,no\n", "row 1: 3 cells under 2 columns"),
        ('link_id,decision\n"x,yes\n', "is not CSV"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_row(tables, tmp_path, text, said):
    with pytest.raises(InputError) as caught:
        read(tables, tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_decision_needs_a_name(tables, tmp_path):
    with pytest.raises(InputError, match="without a name"):
        read(tables, tmp_path, "incident_id,narrative_id,decision\ninc-1,nar-1,yes\n", who=None)


def test_the_history_only_grows_and_the_last_word_of_each_person_counts(tables, tmp_path):

    for who, day, decision in (
        ("A", "2024-06-01", "yes"),
        ("B", "2024-06-02", "no"),
        ("A", "2024-06-03", "no"),
        ("A", "2024-06-04", "yes"),
    ):
        text = f"incident_id,narrative_id,decision\ninc-1,nar-1,{decision}\n"
        for expected in (1, 0):
            found = read(tables, tmp_path, text, who=who, day=day)
            assert found.counts["new"] == expected
            tables["decisions"] = pa.concat_tables([tables["decisions"], found.decisions])
    history = tables["decisions"].to_pylist()
    assert [(row["who"], row["decision"], row["revision"]) for row in history] == [
        ("A", "yes", 0),
        ("B", "no", 0),
        ("A", "no", 1),
        ("A", "yes", 2),
    ]
    assert len({row["decision_id"] for row in history}) == 4
    assert [(row["who"], row["decision"]) for row in latest(tables["decisions"])] == [("A", "yes"), ("B", "no")]
    with pytest.raises(InputError, match="decided on 2024-06-04"):
        read(tables, tmp_path, "incident_id,narrative_id,decision\ninc-1,nar-1,no\n", who="A", day="2024-06-02")


@pytest.fixture
def case(tables, tmp_path):
    folder = tmp_path / "case"
    with Case.writing(folder) as made:
        for name in TABLES:
            if name != "decisions":
                made.write_table(name, tables.get(name, empty(TABLES[name])))
    return folder


def invoke(*arguments):
    return CliRunner().invoke(app, [str(item) for item in arguments])


def test_the_command_writes_reads_and_keeps(case, tmp_path):
    written = invoke("review", case)
    file = case / "export" / "review.csv"
    assert (written.exit_code, written.stdout.strip()) == (0, str(file))
    untouched = invoke("review", case, "--read", file, "--who", "A", "--day", "2024-06-01")
    assert json.loads(untouched.stdout) == {"rows": 5, "undecided": 5, "unchanged": 0, "new": 0, "decisions": 0}
    assert not (case / "decisions.parquet").exists()

    grid = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"), newline="")))
    for row, decision in zip(grid[1:], ("yes", "no", "unsure", "", ""), strict=True):
        row[grid[0].index("decision")] = decision
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(grid)
    refused = invoke("review", case)
    assert isinstance(refused.exception, InputError)
    assert "3 decisions that the case has not" in str(refused.exception)
    other = tmp_path / "other"
    shutil.copytree(case, other)
    for folder in (case, other):
        assert json.loads(invoke("review", folder, "--read", file, "--who", "A", "--day", "2024-06-01").stdout)["decisions"] == 3
    assert (case / "decisions.parquet").read_bytes() == (other / "decisions.parquet").read_bytes()
    assert json.loads(invoke("review", case, "--read", file, "--who", "A", "--day", "2024-06-09").stdout)["unchanged"] == 3
    assert invoke("review", case).exit_code == 0
    assert "unsure by A on 2024-06-01" in file.read_text("utf-8-sig")


def test_a_bad_row_leaves_the_case_as_it_was(case, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("incident_id,narrative_id,decision\ninc-1,nar-1,yes\n")
    bad.write_text("incident_id,narrative_id,decision\ninc-2,nar-1,yes\ninc-9,nar-1,yes\n")
    assert invoke("review", case, "--read", good, "--who", "A", "--day", "2024-06-01").exit_code == 0
    before = (case / "decisions.parquet").read_bytes()
    failed = invoke("review", case, "--read", bad, "--who", "A", "--day", "2024-06-01")
    assert isinstance(failed.exception, InputError)
    assert failed.exception.exit_code == 2
    assert (case / "decisions.parquet").read_bytes() == before


@pytest.mark.parametrize("arguments", [["--who", "A"], ["--read", "x.csv", "--limit", "3"], ["--read", "absent.csv", "--who", "A"]])
def test_options_that_do_not_go_together(case, arguments):
    assert isinstance(invoke("review", case, *arguments).exception, InputError)


def test_limit_counts_what_is_left_out(case):
    done = invoke("review", case, "--limit", "2", "--out", "-")
    assert len(list(csv.reader(io.StringIO(done.stdout.lstrip("\ufeff"), newline="")))) == 3
    assert "2 of 5 links" in done.stderr


def test_decisions_are_exported_as_opinions(tables, tmp_path):

    doctrine = load_doctrine()
    without = to_bundle(tables, doctrine=doctrine)
    for who, day, cells in (("A", "2024-06-01", "yes,=seen"), ("B", "2024-06-02", "unsure,"), ("A", "2024-06-03", "no,second look")):
        text = f"incident_id,narrative_id,decision,note\ninc-4,nar-1,{cells}\n"
        tables["decisions"] = pa.concat_tables([tables["decisions"], read(tables, tmp_path, text, who=who, day=day).decisions])
    bundle = to_bundle(tables, doctrine=doctrine)
    opinions = {item["authors"][0]: item for item in bundle["objects"] if item["type"] == "opinion"}
    assert {who: item["opinion"] for who, item in opinions.items()} == {"A": "disagree", "B": "neutral"}
    assert opinions["A"]["explanation"] == "second look"
    assert (opinions["A"]["created"], opinions["A"]["modified"]) == ("2024-06-01T00:00:00.000Z", "2024-06-03T00:00:00.000Z")
    # The link lies below the probability from which links are exported; it is exported because somebody spoke of it.
    ids = {item["id"] for item in bundle["objects"]}
    assert set(opinions["A"]["object_refs"]) <= ids
    assert not set(opinions["A"]["object_refs"]) & {item["id"] for item in without["objects"]}
    assert bundle == to_bundle(tables, doctrine=doctrine)
    assert stix2.parse(json.dumps(bundle), allow_custom=True)
    assert validate_string(json.dumps(bundle), ValidationOptions(version="2.1")).is_valid


def test_decisions_on_pairs_that_are_gone_stay_and_are_counted(tables, tmp_path, caplog):
    tables["decisions"] = read(tables, tmp_path, "incident_id,narrative_id,decision\ninc-1,nar-1,yes\n").decisions
    tables["links"] = tables["links"].slice(1)
    with caplog.at_level("INFO"):
        assert not [item for item in to_bundle(tables, doctrine=load_doctrine())["objects"] if item["type"] == "opinion"]
    assert "1 of 1 opinions" in caplog.text
    again = read(tables, tmp_path, "incident_id,narrative_id,decision\ninc-1,nar-1,no\n", who="B")
    assert again.counts["new"] == 1
