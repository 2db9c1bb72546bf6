"""The command line: data on stdout, one clear line for bad input, exit codes that tell, every command documented."""

from __future__ import annotations

import contextlib
import errno
import gzip
import importlib
import io
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import types

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from greyzone.case import Case
from greyzone.cli import app, main, printing
from greyzone.cli.evaluate import MEASURES
from greyzone.cli.journey import summary
from greyzone.cli.train import TRAININGS
from greyzone.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]


def greyzone(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess:
    """Run a command in this process, as `main` does it for the shell: starting a second Python costs a second each."""
    given = ["greyzone", *map(str, arguments)]
    out, told, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        patch.setattr(sys, "argv", given)
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
    return subprocess.CompletedProcess(given, code, out.getvalue(), told.getvalue())


def in_a_shell(*arguments: object) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "greyzone", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_run_says_when_no_document_has_a_date_or_an_account():
    notes = {
        "collect": {"documents": 9, "undated": 9, "accounts": 0},
        "narratives": {"narratives": 1},
        "coordinate": {"groups": 0, "flagged": 0},
        "link": {"links": 0, "context": {"displayed": {"links": 0, "q": 0.1}}},
        "campaigns": {"campaigns": 0},
    }
    told = "9 documents (none has a date: name the column with --map published_at=COLUMN; none has an account: name the column with --map "
    assert summary(notes).startswith(told + "account=COLUMN), 1 narrative, ")
    notes["collect"] |= {"undated": 2, "accounts": 3}
    assert summary(notes).startswith("9 documents (2 without a date), 1 narrative, ")
    notes["collect"] |= {"undated": 0}
    assert summary(notes).startswith("9 documents, 1 narrative, ")


@pytest.fixture(scope="module")
def case(scenario, scenario_case, tmp_path_factory):
    """The case of the scenario, brought up to this day by the command: what does not depend on the day is kept."""
    folder = tmp_path_factory.mktemp("cli") / "case"
    shutil.copytree(scenario_case.path, folder)
    done = in_a_shell("run", scenario.documents, "--incidents", scenario.incidents, "--incident-mapping", scenario.mapping, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "report.html")
    assert "report: kept" in done.stderr
    told = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"\d+ documents, \d+ narratives, \d+ groups? of accounts \(\d+ that no tested alternative explains\), "
        r"\d+ candidate links \(\d+ beyond chance timing, at q <= 0\.1\), \d+ campaigns?",
        told,
    ), told
    assert told.startswith(f"{Case(folder).table('documents').num_rows} documents, ")
    return folder


def test_progress_goes_to_stderr(scenario, tmp_path):
    done = greyzone("collect", scenario.documents, "--out", tmp_path / "case")
    assert done.returncode == 0
    assert "collect: done" in done.stderr
    assert json.loads(done.stdout)["documents"] > 0


def test_a_stage_that_takes_long_says_so_where_there_are_no_bars(monkeypatch):
    told: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(printing, "note", told.put)
    monkeypatch.setattr(printing, "LONG", 0.001)
    with contextlib.redirect_stderr(io.StringIO()), printing.progress_shown() as progress:
        progress("embed", 0, None)
        assert re.fullmatch(r"embed: at work for 0\.001 s(, .*)?", told.get(timeout=60))
        progress("embed", 1200, 5000)
        while not (line := told.get(timeout=60)).endswith(" s, 1,200 of 5,000"):
            assert line.startswith("embed: at work for ")
        progress("embed", 1, 1)
    lines = [told.get(timeout=60)]
    while lines[-1].startswith("embed: at work"):
        lines.append(told.get(timeout=60))
    assert lines[-1].startswith("embed: done in ")


def test_show_lists_tables_and_counts_what_is_not_shown(case):
    listed = [json.loads(line) for line in greyzone("show", case, "--json").stdout.splitlines()]
    assert {row["table"] for row in listed} >= {"documents", "narratives", "links", "impact"}
    assert all(row["holds"][:1].isupper() for row in listed)
    shown = greyzone("show", case, "narratives", "--limit", 2, "--json")
    assert len(shown.stdout.splitlines()) == 2
    total = next(row["rows"] for row in listed if row["table"] == "narratives")
    assert f"2 of {total} rows" in shown.stderr
    told = greyzone("show", case, "narratives").stdout
    assert "label" in told
    assert "datetime" not in told
    assert re.search(r'^bursts +\[\{"first": "\d{4}-\d\d-\d\d", ', told, re.MULTILINE)
    tests = [json.loads(line) for line in greyzone("show", case, "tests", "--limit", 0, "--json").stdout.splitlines()]
    assert {row["test"] for row in tests} == {"event study", "bursts", "Hawkes process", "changepoints"}
    assert all((row["refused"] is None) == (row["found"] is not None) for row in tests)


def test_a_stage_that_is_kept_says_so(case):
    done = greyzone("campaigns", case)
    assert "link: kept" in done.stderr
    assert "done in" not in done.stderr


def test_no_line_of_the_list_of_commands_is_cut(monkeypatch):
    for group in ("", "export", "doctrine", "eval", "train"):
        told = CliRunner().invoke(app, [*group.split(), "--help"]).stdout
        assert not [line for line in told.split("Commands:")[1].splitlines() if line.endswith("...")], group


def test_sql(case):
    done = greyzone("sql", case, "select count(*) as n from documents", "--json")
    assert json.loads(done.stdout)["n"] > 0
    assert greyzone("sql", case, "-", "--json", stdin="select 1 as one").stdout.strip() == '{"one": 1}'


@pytest.mark.parametrize(
    "query", ["select * from nowhere", "select * from read_csv('/etc/passwd')", "copy documents to '/tmp/stolen.csv'", "install httpfs"]
)
def test_sql_reaches_nothing_but_the_case(case, query):
    done = greyzone("sql", case, query)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the query fails" in done.stderr


def test_export_stix(case, tmp_path):
    done = greyzone("export", "stix", case)
    assert done.returncode == 0, done.stderr
    bundle = json.loads(pathlib.Path(done.stdout.strip()).read_text())
    assert bundle["type"] == "bundle"
    assert json.loads(greyzone("export", "stix", case, "--out", "-").stdout) == bundle


def test_stage_commands_go_on_from_the_case(case):
    done = greyzone("impact", case, "--as-of", "2024-03-15", "--doctrine", "additive")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1])["as_of"] == "2024-03-15"
    lines = done.stdout.splitlines()
    assert lines
    assert all("2024-03-15: " in line and "doctrine additive 1 " in line for line in lines)
    assert all("90 % interval" in line or "insufficient evidence" in line for line in lines)


def test_an_encoder_that_is_not_there_is_told_before_the_case_remembers_it(case):
    done = greyzone("embed", case, "--encoder", "./no-such-model")
    assert done.returncode == 2
    assert done.stderr == "error: no folder ./no-such-model; expected a folder with a sentence-transformers model\n"
    assert Case(case).settings["encoder"] == "default"


def test_doctor():
    rows = [json.loads(line) for line in greyzone("doctor", "--json").stdout.splitlines()]
    states = {row["check"]: row["state"] for row in rows}
    assert states["default encoder"] == states["doctrines"] == "good"


def bad_inputs(folder: pathlib.Path):
    good = json.dumps({"text": "The harbour office closes early on Friday this week", "date": "2024-02-01"})
    yield "empty.jsonl", b""
    yield "binary.csv", bytes(range(256)) * 64
    yield "binary.jsonl", b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 64
    yield "notext.csv", b"name,when\nAnna,2024-02-01\n"
    yield "utf16le.csv", "text,date\nПривіт усім у порту,2024-02-01\n".encode("utf-16-le")
    yield "torn.parquet", b"PAR1 torn"
    yield "torn.jsonl.gz", gzip.compress(("\n".join([good] * 500)).encode())[:-20]
    yield "absent.csv", None


@pytest.mark.parametrize(
    "name", ["empty.jsonl", "binary.csv", "binary.jsonl", "notext.csv", "utf16le.csv", "torn.parquet", "torn.jsonl.gz", "absent.csv"]
)
def test_bad_files_are_one_clear_line(tmp_path, name):
    content = dict(bad_inputs(tmp_path))[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = (in_a_shell if name == "binary.csv" else greyzone)("run", tmp_path / name, "--out", tmp_path / "case")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "case").glob("*.parquet"))


def rejects(case: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in greyzone("show", case, "rejects", "--json", "--limit", 0).stdout.splitlines()]


def test_bad_rows_are_counted_with_file_and_offset(tmp_path):
    good = {"text": "The harbour office closes early on Friday this week", "date": "2024-02-01", "id": "1"}
    lines = [
        json.dumps(good),
        "{broken",
        json.dumps(good | {"id": "2", "date": "2999-01-01", "text": "A note from the far future about the harbour office"}),
        json.dumps(good | {"id": "1", "text": "The same id with quite another text about the ferry"}),
        json.dumps(good | {"id": "4", "text": "   "}),
        '{"text": "' + "x" * 50_000_000 + '"}',
    ]
    (tmp_path / "rows.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"text": "bad \xff\xfe bytes"}\n')
    done = greyzone("collect", tmp_path / "rows.jsonl", "--out", tmp_path / "case")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)
    assert notes["rows_read"] == 7
    assert notes["documents"] == 3
    found = {(row["offset"], row["action"]) for row in rejects(tmp_path / "case")}
    assert {(2, "rejected"), (3, "repaired"), (5, "rejected"), (6, "rejected"), (7, "rejected")} <= found
    assert any("id" in row["reason"] and row["action"] == "repaired" for row in rejects(tmp_path / "case"))
    assert all(row["path"].endswith("rows.jsonl") for row in rejects(tmp_path / "case"))


def test_ragged_csv(tmp_path):
    (tmp_path / "ragged.csv").write_text(
        "text,date,account\nThe ferry is late again,2024-02-01,anna\nOnly one cell\nThe tram,2024-02-02,ben,one,too,many\n"
    )
    done = greyzone("collect", tmp_path / "ragged.csv", "--out", tmp_path / "case")
    assert json.loads(done.stdout)["rows_read"] == 3
    assert {row["offset"] for row in rejects(tmp_path / "case")} == {3, 4}


def test_stix_bundle_with_unknown_types(tmp_path):
    stamp = "2024-01-05T00:00:00.000Z"
    common = {"spec_version": "2.1", "created": stamp, "modified": stamp}
    objects = [
        {
            "type": "incident",
            "id": "incident--6f0b5c0e-8f0a-4d57-9ba3-3a8a9c1d2e01",
            "name": "Intrusion at the Example port office",
            **common,
        },
        {"type": "x-weather", "id": "x-weather--6f0b5c0e-8f0a-4d57-9ba3-3a8a9c1d2e02", "mood": "grey", **common},
    ]
    bundle = {"type": "bundle", "id": "bundle--6f0b5c0e-8f0a-4d57-9ba3-3a8a9c1d2e03", "objects": objects}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    (tmp_path / "few.jsonl").write_text(json.dumps({"text": "The harbour office closes early", "date": "2024-02-01"}))
    greyzone("collect", tmp_path / "few.jsonl", "--out", tmp_path / "case")
    done = greyzone("incidents", tmp_path / "case", tmp_path / "bundle.json")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)
    assert notes["incidents"] == 1
    assert sum(notes["rejected"].values()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "text"], "FIELD=COLUMN"),
        (["--map", "text=nowhere"], "nowhere"),
        (["--encoder", "./no-such-model"], "no-such-model"),
        (["--doctrine", "no-such-doctrine"], "no-such-doctrine"),
        (["--as-of", "yesterday"], "yesterday"),
        (["--dimensions", "64"], "dimensions 64 for the embedded encoder 'default'"),
        (["--lexical", "perhaps"], "auto or on or off"),
    ],
)
def test_bad_arguments_are_one_clear_line(scenario, tmp_path, arguments, said):
    done = greyzone("run", scenario.documents, "--out", tmp_path / "case", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["embed", "narratives", "coordinate", "incidents", "link", "impact", "campaigns", "report"])
def test_a_case_that_is_named_wrongly_is_an_error_and_not_a_new_case(tmp_path, command):
    done = greyzone(command, tmp_path / "cace")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no folder '{tmp_path / 'cace'}'; expected a case folder; ")
    assert not (tmp_path / "cace").exists()


@pytest.mark.parametrize("command", [("run", "posts.csv", "--out"), ("demo", "--out"), ("synth",)])
def test_a_negative_seed_is_refused(tmp_path, command):
    done = in_a_shell(*command, tmp_path / "out", "--seed", "-1")
    assert done.returncode == 2
    assert "greater than or equal to 0" in done.stderr
    assert not (tmp_path / "out").exists()


def test_text_in_another_encoding_is_told_with_what_to_do(tmp_path):
    (tmp_path / "posts.csv").write_bytes("text,date\nПаром знову запізнюється сьогодні,2024-02-01\n".encode("cp1251"))
    done = greyzone("collect", tmp_path / "posts.csv", "--out", tmp_path / "case")
    assert done.returncode == 2
    assert "(1 rows: not valid UTF-8); expected at least one row with text; " in done.stderr
    assert "--map encoding=NAME" in done.stderr
    assert greyzone("collect", tmp_path / "posts.csv", "--out", tmp_path / "case", "--map", "encoding=cp1251").returncode == 0


def test_a_file_whose_name_is_not_utf8_is_one_line(tmp_path):
    named = pathlib.Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jsonl"))
    named.write_text('{"text": "The ferry is late again"}\n')
    done = greyzone("collect", named, "--out", tmp_path / "case")
    assert done.returncode == 2
    assert done.stderr == f"error: the name {str(named)!r} is not valid UTF-8; expected a name that a case can record; rename the file\n"


def commands(group=None, prefix=()):
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield " ".join((*prefix, name)), command


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda item: item if isinstance(item, str) else "")
def test_every_command_has_help_an_example_and_stands_in_the_docs(name, command):
    assert f"greyzone {name}" in command.help
    assert f"greyzone {name}" in (ROOT / "docs" / "commands.md").read_text()


FORWARDED = [*(("train", target) for target in TRAININGS), *(("eval", target) for target in MEASURES)]


@pytest.mark.parametrize(("group", "target"), FORWARDED, ids=lambda item: getattr(item, "name", item))
def test_arguments_are_forwarded_as_they_are(group, target, monkeypatch):
    met = []
    fake = types.ModuleType(target.module)
    fake.main = lambda argv: met.append(argv) or len(argv)
    monkeypatch.setitem(sys.modules, target.module, fake)
    given = ["pairs.tsv", "--help", "-n", "5", "--rate=1e-3", "--seed", "3", "-xyz", "--out", "a folder"]
    done = CliRunner().invoke(app, [group, target.name, *given])
    assert met == [given]
    assert done.exit_code == len(given)
    assert CliRunner().invoke(app, [group, target.name]).exit_code == 0
    assert met[1] == []


def failing(monkeypatch, error):
    """Run a command whose work raises `error`."""

    def fail(argv):
        raise error

    fake = types.ModuleType("greyzone.training.finetune")
    fake.main = fail
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    return greyzone("train", "finetune")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "words.tmp"), "error: no space left ([Errno 28] "),
        (OSError(errno.EFBIG, "File too large"), "error: no space left ([Errno 27] "),
        (MemoryError(), "error: not enough memory; "),
    ],
)
def test_a_machine_that_is_full_is_one_line(monkeypatch, error, said):
    done = failing(monkeypatch, error)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_an_interruption_says_how_to_go_on(monkeypatch):
    done = failing(monkeypatch, KeyboardInterrupt())
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted; run the same command again to go on from here"


def test_a_defect_is_not_dressed_up(monkeypatch):
    def fail(argv):
        raise OSError(errno.EBADF, "Bad file descriptor")

    fake = types.ModuleType("greyzone.training.finetune")
    fake.main = fail
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    with pytest.raises(OSError, match="Bad file"):
        greyzone("train", "finetune")


def test_errors_of_a_forwarded_module_are_one_line(monkeypatch, capsys):
    def refuse(argv):
        raise InputError("no pairs", "at least one pair", "give a file")

    fake = types.ModuleType("greyzone.training.finetune")
    fake.main = refuse
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(sys, "argv", ["greyzone", "train", "finetune", "x"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: no pairs; expected at least one pair; give a file\n"


@pytest.mark.parametrize(("group", "target"), FORWARDED, ids=lambda item: getattr(item, "name", item))
def test_every_forwarded_module_answers_help(group, target, capsys):
    with pytest.raises(SystemExit) as left:
        importlib.import_module(target.module).main(["--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: greyzone {group} {target.name} [")
