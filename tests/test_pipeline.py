"""The promises of a run: nothing vanishes, same input same bytes, a killed run resumes, only what changed is done again."""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import pyarrow.compute as pc
import pytest

import greyzone
from greyzone.case import Case, digest
from greyzone.errors import CaseError, EncoderError, InputError
from greyzone.pipeline import STAGES, Settings, advance
from greyzone.records import GIVEN, TABLES

TODAY = "2026-01-01"


def settings(scenario) -> Settings:
    return Settings(incident_mapping=str(scenario.mapping), today=TODAY)


def contents(case: pathlib.Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        file.relative_to(case).as_posix(): digest(file)
        for file in sorted(case.rglob("*"))
        if file.is_file() and "cache" not in file.parts and file.name not in {".lock", *without}
    }


@pytest.fixture(scope="module")
def done(scenario_case):
    return scenario_case


def test_every_table_is_there(done):
    assert [name for name in TABLES if not done.has(name)] == list(GIVEN)
    assert (done.path / "report.html").stat().st_size > 1_000_000
    assert done.table("narratives").num_rows > 3
    assert done.table("links").num_rows > 0
    assert done.table("impact").num_rows > 0


def test_every_row_is_a_document_a_repeat_or_a_reject(done, scenario):
    with pathlib.Path(scenario.documents).open() as lines:
        read = sum(1 for _ in lines)
    rejected = pc.sum(pc.equal(done.table("rejects")["action"], "rejected")).as_py() or 0
    assert done.table("sources").num_rows + rejected == read
    documents = set(done.table("documents")["doc_id"].to_pylist())
    assert set(done.table("sources")["doc_id"].to_pylist()) == documents
    assert sorted(done.table("members")["doc_id"].to_pylist()) == sorted(documents)


def test_equal_texts_share_their_narrative(done):
    narrative = dict(zip(*(done.table("members")[name].to_pylist() for name in ("doc_id", "narrative_id")), strict=True))
    exact = [row for row in done.table("copies").to_pylist() if row["kind"] == "exact"]
    assert exact
    assert all(narrative[row["doc_id"]] == narrative[row["representative"]] for row in exact)


def test_every_reference_leads_somewhere(done):
    documents = set(done.table("documents")["doc_id"].to_pylist())
    stories = set(done.table("narratives")["narrative_id"].to_pylist())
    events = set(done.table("incidents")["incident_id"].to_pylist())
    for link in done.table("links").to_pylist():
        assert link["narrative_id"] in stories
        assert link["incident_id"] in events
        assert link["evidence"]
        assert set(link["evidence"]) <= documents
    for share in done.table("shares").to_pylist():
        assert share["item_id"] in stories | events


def test_shares_sum_to_the_central_score(done):
    day = max(done.table("shares")["date"].to_pylist())
    vector = {row["target_state"]: row for row in done.table("impact").to_pylist() if row["date"] == day}
    sums: dict[str, float] = {}
    for share in done.table("shares").to_pylist():
        if share["date"] == day:
            sums[share["target_state"]] = sums.get(share["target_state"], 0.0) + share["share"]
    assert sums
    scale = greyzone.load_doctrine()["dose.d0"]
    for state, total in sums.items():
        assert total == pytest.approx(100 * (1 - 2.718281828459045 ** (-vector[state]["dose"] / scale)), abs=1e-6)


def test_a_second_run_changes_nothing(done, scenario):
    before = contents(done.path)
    times = {file: file.stat().st_mtime_ns for file in done.path.glob("*.parquet")}
    greyzone.run(scenario.documents, incidents=scenario.incidents, out=done.path, settings=settings(scenario))
    assert contents(done.path) == before
    assert times == {file: file.stat().st_mtime_ns for file in done.path.glob("*.parquet")}


def test_a_changed_setting_redoes_only_what_depends_on_it(done, scenario, tmp_path):
    copy = tmp_path / "case"
    subprocess.run(["cp", "-r", str(done.path), str(copy)], check=True)
    times = {file.name: file.stat().st_mtime_ns for file in copy.glob("*.parquet")}
    advance(copy, {"as_of": "2024-03-01"})
    redone = {name for name, time in times.items() if (copy / name).stat().st_mtime_ns != time}
    late = {f"{name}.parquet" for stage in STAGES if stage.name in {"impact", "campaigns"} for name in stage.writes}
    assert {"impact.parquet", "shares.parquet", "views.parquet", "sensitivity.parquet", "campaigns.parquet"} <= redone <= late


def test_shuffled_rows_other_workers_and_hash_seeds_give_the_same_bytes(done, scenario, tmp_path):
    lines = pathlib.Path(scenario.documents).read_text().splitlines()
    random.Random(5).shuffle(lines)
    (tmp_path / "in").mkdir()
    shuffled = tmp_path / "in" / pathlib.Path(scenario.documents).name
    shuffled.write_text("\n".join(lines) + "\n")
    script = (
        "import sys, greyzone; from greyzone.pipeline import Settings\n"
        f"greyzone.run({str(shuffled)!r}, incidents={str(scenario.incidents)!r}, out={str(tmp_path / 'case')!r}, workers=1,"
        f" settings=Settings(incident_mapping={str(scenario.mapping)!r}, today={TODAY!r}))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    # Provenance names rows, and the page cites it; everything computed from the documents is the same.
    depends_on_rows = ("sources.parquet", "rejects.parquet", "manifest.json", "report.html")
    assert contents(tmp_path / "case", without=depends_on_rows) == contents(done.path, without=depends_on_rows)


KILLED_AT = ("collect", "embed", "members.parquet", "groups.parquet", "coordinate", "links.parquet", "link")
"""Where a run is killed, in the order of the journey: once a stage is done, or between two files of one."""


def test_a_run_killed_again_and_again_resumes_to_the_same_bytes(done, scenario, tmp_path):
    """Every run goes on from where the one before it was killed, so that all of them together cost one."""
    case = tmp_path / "case"
    for moment in KILLED_AT:
        script = (
            "import os, signal, greyzone, greyzone.case as home; from greyzone.pipeline import Settings\n"
            "write = home.replace_file\n"
            "def dying(path, act):\n"
            "    def half(beside):\n"
            "        act(beside)\n"
            f"        if path.name == {moment!r}: os.truncate(beside, 10); os.kill(os.getpid(), signal.SIGKILL)\n"
            "    write(path, half)\n"
            "home.replace_file = dying\n"
            "def progress(name, done, total):\n"
            f"    if name == {moment!r} and done == total == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"greyzone.run({str(scenario.documents)!r}, incidents={str(scenario.incidents)!r}, out={str(case)!r}, progress=progress,"
            f" settings=Settings(incident_mapping={str(scenario.mapping)!r}, today={TODAY!r}))"
        )
        killed = subprocess.run([sys.executable, "-c", script], check=False)
        assert killed.returncode == -signal.SIGKILL, moment
        assert not (case / moment).exists()
        assert not (case / "report.html").exists()
    greyzone.run(scenario.documents, incidents=scenario.incidents, out=case, settings=settings(scenario))
    assert contents(case) == contents(done.path)


def test_an_input_that_is_gone_does_not_stop_later_stages(done, scenario, tmp_path):
    copy = tmp_path / "documents.jsonl"
    copy.write_bytes(pathlib.Path(scenario.documents).read_bytes())
    advance(tmp_path / "case", {"documents": [str(copy)], "today": TODAY}, until="collapse")
    copy.unlink()
    advance(tmp_path / "case", {}, until="embed")
    assert Case(tmp_path / "case").stage("embed")


def test_documents_without_incidents_still_make_a_report(scenario, tmp_path):
    case = greyzone.run(scenario.documents, out=tmp_path / "case", settings=Settings(today=TODAY))
    assert case.table("incidents").num_rows == case.table("links").num_rows == case.table("campaigns").num_rows == 0
    assert "No state has enough evidence" in (case.path / "report.html").read_text()


def test_a_handful_of_documents(tmp_path):
    rows = [{"text": f"The bridge on {street} street is closed", "date": "2024-02-01"} for street in ("Oak", "Elm")]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))
    case = greyzone.run(tmp_path / "few.jsonl", out=tmp_path / "case", settings=Settings(today=TODAY))
    assert case.table("documents").num_rows == 2
    assert case.table("narratives").num_rows == 0
    assert case.table("members")["narrative_id"].null_count == 2


def test_an_empty_file_in_a_folder_of_documents_is_told_and_stops_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(b"")
    (tmp_path / "in" / "b.csv").write_text("text\none\ntwo\n")
    case = greyzone.run([tmp_path / "in"], out=tmp_path / "case", until="collect")
    notes = case.notes()["collect"]
    assert (notes["documents"], notes["rows_read"], notes["rejected"]) == (2, 2, {"empty file": 1})
    [reject] = case.table("rejects").to_pylist()
    assert (reject["reason"], reject["path"]) == ("empty file", str(tmp_path / "in" / "a.csv"))


def test_unknown_stage_and_empty_case(tmp_path):
    with pytest.raises(InputError, match="no stage 'nonsense'"):
        advance(tmp_path / "case", {}, until="nonsense")
    with pytest.raises(CaseError, match="no documents"):
        advance(tmp_path / "case", {})
    with pytest.raises(InputError, match="seed -1; expected a whole number"):
        advance(tmp_path / "case", {"documents": ["any.csv"], "seed": -1})
    with pytest.raises(InputError, match="no file or folder"):
        advance(tmp_path / "case", {"documents": [str(tmp_path / "absent.csv")]})


def test_what_a_notebook_gives_by_mistake_is_one_line_and_leaves_no_case(tmp_path):
    pandas = pytest.importorskip("pandas")
    case = tmp_path / "case"
    for given in (pandas.DataFrame({"text": ["a"]}), {"text": "a.csv"}, 7, [3]):
        with pytest.raises(InputError, match="in the place of files; expected a file or folder"):
            greyzone.run(given, out=case)
    with pytest.raises(InputError, match="settings as a dict"):
        greyzone.run("any.csv", out=case, settings={"seed": 1})
    with pytest.raises(InputError, match="no setting 'min_cluster_sise'; expected one of documents, incidents"):
        advance(case, {"min_cluster_sise": 7})
    assert not case.exists()
    with pytest.raises(InputError, match="min_cluster_size 1; expected 2 or more"):
        advance(case, {"documents": ["any.csv"], "min_cluster_size": 1})
    (tmp_path / "posts.csv").write_text("text\none\n")
    assert greyzone.run(iter([tmp_path / "posts.csv"]), incidents=None, out=case, until="collect").table("documents").num_rows == 1


def test_what_cannot_be_used_is_told_before_the_case_remembers_it(scenario, tmp_path):
    folder = tmp_path / "case"
    advance(folder, {"documents": [str(scenario.documents)], "today": TODAY}, until="collect")
    kept = (folder / "manifest.json").read_bytes()
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.json").write_text("{}")
    wrong = {
        "encoder": [tmp_path / "absent", tmp_path / "empty"],
        "labeller": [tmp_path / "empty"],
        "tagger": [tmp_path / "empty"],
        "link_model": [tmp_path / "table.json"],
        "incidents": [[str(tmp_path / "absent.csv")]],
        "names": [[str(tmp_path / "table.json")]],
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((EncoderError, InputError)):
                advance(folder, {name: value if isinstance(value, list) else str(value)}, until="collect")
            assert (folder / "manifest.json").read_bytes() == kept, name


def test_stages_read_only_what_came_before():
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.reads) <= written | set(GIVEN), stage.name
        written |= set(stage.writes)
    assert set(TABLES) <= written | set(GIVEN)


def test_run_says_everything_and_advance_only_what_it_names(scenario, tmp_path):
    folder = tmp_path / "case"
    greyzone.run(scenario.documents, out=folder, settings=Settings(today=TODAY, as_of="2024-02-01", min_cluster_size=7), until="collect")
    advance(folder, {"seed": 4}, until="collect")
    kept = Case(folder).settings
    assert (kept["as_of"], kept["min_cluster_size"], kept["seed"], kept["today"]) == ("2024-02-01", 7, 4, TODAY)
    greyzone.run(scenario.documents, out=folder, until="collect")
    anew = Case(folder).settings
    assert (anew["as_of"], anew["min_cluster_size"], anew["seed"], anew["today"]) == (None, 5, 0, TODAY)
