"""A case that grows day by day: the same documents as in one go, names that last, and nothing doubled, lost or half done."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pytest
from sklearn.metrics import adjusted_rand_score

import greyzone
from greyzone import collapse
from greyzone.case import Case, digest
from greyzone.cli import main
from greyzone.errors import CaseError, InputError
from greyzone.eval.narratives.growth import format_days, measure
from greyzone.eval.scenario.synth import write_scenario
from greyzone.pipeline import Settings, advance

TODAY = "2026-01-01"
DOCUMENTS = 1000
PARTS = 4
SETTINGS = Settings(today=TODAY)


def contents(case: pathlib.Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        file.relative_to(case).as_posix(): digest(file)
        for file in sorted(case.rglob("*"))
        if file.is_file() and "cache" not in file.parts and file.name not in {".lock", *without}
    }


def groups(case: Case) -> dict[str, frozenset[str]]:
    """Return the documents of each narrative."""
    found: dict[str, set[str]] = {}
    for doc, name in zip(*(case.table("members")[column].to_pylist() for column in ("doc_id", "narrative_id")), strict=True):
        if name is not None:
            found.setdefault(name, set()).add(doc)
    return {name: frozenset(documents) for name, documents in found.items()}


def labels(case: Case) -> list[str]:
    """Return the narrative of each document by doc_id; noise stands alone."""
    rows = sorted(zip(*(case.table("members")[column].to_pylist() for column in ("doc_id", "narrative_id")), strict=True))
    return [name or doc for doc, name in rows]


def run_until_narratives(files, out) -> Case:
    return greyzone.run(files, out=out, settings=SETTINGS, until="narratives")


def add(case: pathlib.Path, files) -> Case:
    return greyzone.update(case, files, today=TODAY, until="narratives")


def copied(case: Case, folder: pathlib.Path) -> pathlib.Path:
    shutil.copytree(case.path, folder)
    return folder


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> list[pathlib.Path]:
    """The invented scenario cut by time into files of equal length."""
    folder = tmp_path_factory.mktemp("days")
    lines = write_scenario(folder, documents=DOCUMENTS, seed=11).documents.read_text("utf-8").splitlines(keepends=True)
    lines.sort(key=lambda line: json.loads(line)["published_at"])
    files = []
    for part in range(PARTS):
        files.append(folder / f"day{part}.jsonl")
        files[-1].write_text("".join(lines[part * DOCUMENTS // PARTS : (part + 1) * DOCUMENTS // PARTS]), "utf-8")
    return files


@pytest.fixture(scope="module")
def grown(days, tmp_path_factory) -> list[Case]:
    """The case after each day, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("grown")
    steps = [run_until_narratives(days[0], folder / "0")]
    for number, day in enumerate(days[1:], 1):
        steps.append(add(copied(steps[-1], folder / str(number)), day))
    return steps


@pytest.fixture(scope="module")
def batch(days, tmp_path_factory) -> Case:
    return run_until_narratives(days, tmp_path_factory.mktemp("batch") / "case")


EARLY = ["documents.parquet", "sources.parquet", "rejects.parquet", "copies.parquet", "copy_index", "embeddings.parquet"]


@pytest.mark.parametrize("file", EARLY)
def test_reading_day_by_day_is_reading_at_once(grown, batch, file):
    assert digest(grown[-1].path / file) == digest(batch.path / file)


def test_copies_of_later_days_are_sought_without_the_earlier_ones(grown, days, tmp_path, monkeypatch):
    looked_at = []
    seek = collapse.collapse_into
    monkeypatch.setattr(collapse, "collapse_into", lambda rows, *rest, **more: looked_at.append(rows.num_rows) or seek(rows, *rest, **more))
    case = copied(grown[1], tmp_path / "case")
    add(case, days[2])
    assert looked_at == [grown[2].table("documents").num_rows - grown[1].table("documents").num_rows]


def test_days_may_come_in_any_order(grown, days, tmp_path):
    run_until_narratives(days[1], tmp_path / "case")
    found = add(tmp_path / "case", days[0])
    assert [digest(found.path / file) for file in EARLY] == [digest(grown[1].path / file) for file in EARLY]
    assert set(groups(found).values()) == set(groups(grown[1]).values())


def test_narratives_agree_with_those_found_at_once(grown, batch):
    assert adjusted_rand_score(labels(batch), labels(grown[-1])) >= 0.95
    assert len(groups(batch)) > 5


def test_names_last(grown):
    kept = 0
    for before, after in itertools.pairwise(grown):
        old, new = groups(before), groups(after)
        named = frozenset().union(*old.values())
        for name, documents in old.items():
            for other, found in new.items():
                # Most of the old one went there, and most of what has a past there came from it: nobody else can be as near.
                shared = len(documents & found)
                if shared > 0.6 * len(documents) and shared > 0.6 * len(found & named):
                    assert other == name
                    kept += 1
    assert kept > 10


def test_lineage_adds_up(grown):
    rows = grown[-1].table("lineage").to_pylist()
    alive = Counter()
    for row in rows:
        alive[row["narrative_id"]] += {"birth": 1, "split": 1, "merge": -1, "death": -1}.get(row["event"], 0)
    assert set(alive.values()) <= {0, 1}
    assert {name for name, count in alive.items() if count} == set(groups(grown[-1]))
    assert sorted({row["update"] for row in rows}) == list(range(PARTS))
    assert {"birth", "growth"} <= {row["event"] for row in rows}
    for before, after in itertools.pairwise(grown):
        past = before.table("lineage")
        assert after.table("lineage").slice(0, past.num_rows).equals(past)
    known = set(alive)
    parents = dict(zip(*(grown[-1].table("narratives")[name].to_pylist() for name in ("narrative_id", "parents")), strict=True))
    assert all(set(listed) <= known - {name} for name, listed in parents.items())


def test_the_same_update_twice_changes_nothing(grown, days, tmp_path):
    case = copied(grown[1], tmp_path / "case")
    before = contents(case)
    times = {file: file.stat().st_mtime_ns for file in case.glob("*.parquet")}
    add(case, days[1])
    # Another spelling of the same path is the same file.
    add(case, [days[0].parent / ".." / days[0].parent.name / "day0.jsonl"])
    assert contents(case) == before
    assert times == {file: file.stat().st_mtime_ns for file in case.glob("*.parquet")}


def test_a_file_that_adds_nothing_changes_no_narrative(grown, days, tmp_path):
    case = copied(grown[1], tmp_path / "case")
    before = contents(case)
    again = tmp_path / "again.jsonl"
    again.write_text("".join(days[0].read_text("utf-8").splitlines(keepends=True)[:100]), "utf-8")
    add(case, again)
    changed = {name for name, sha in contents(case).items() if before.get(name) != sha}
    assert changed == {"sources.parquet", "manifest.json"}
    assert Case(case).table("sources").num_rows == grown[1].table("sources").num_rows + 100


def test_earlier_files_are_not_needed(grown, days, tmp_path):
    folder = tmp_path / "days"
    folder.mkdir()
    files = [pathlib.Path(shutil.copy(day, folder)) for day in days[:2]]
    run_until_narratives(files[0], tmp_path / "case")
    files[0].unlink()
    found = add(tmp_path / "case", files[1])
    assert contents(found.path, without=("manifest.json", "sources.parquet")) == contents(
        grown[1].path, without=("manifest.json", "sources.parquet")
    )


def test_a_file_that_grew_is_read_again(grown, days, tmp_path):
    log = tmp_path / "log.jsonl"
    shutil.copy(days[0], log)
    run_until_narratives(log, tmp_path / "case")
    with log.open("a", encoding="utf-8") as lines:
        lines.write(days[1].read_text("utf-8"))
    found = add(tmp_path / "case", log)
    assert found.table("documents").equals(grown[1].table("documents"))
    assert found.table("sources").num_rows == grown[1].table("sources").num_rows
    assert groups(found) == groups(grown[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no file or folder"), (b"", "empty"), (b"name,when\nAnna,2024-02-01\n", "text"), (b"\x7fELF\x00" * 99, "bad.csv")],
)
def test_a_bad_file_loses_nothing(grown, tmp_path, content, said):
    case = copied(grown[0], tmp_path / "case")
    before = contents(case)
    if content is not None:
        (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        add(case, tmp_path / "bad.csv")
    assert "\n" not in str(caught.value)
    assert contents(case) == before


def test_there_must_be_a_case_and_a_file(tmp_path, days):
    with pytest.raises(CaseError, match="no folder"):
        greyzone.update(tmp_path / "absent", days[0])
    assert not (tmp_path / "absent").exists()
    with Case.writing(tmp_path / "empty"):
        pass
    with pytest.raises(CaseError, match="has no documents"):
        greyzone.update(tmp_path / "empty", days[0])
    with pytest.raises(InputError, match="no documents to add"):
        greyzone.update(tmp_path / "empty", [])
    with pytest.raises(InputError, match="no stage"):
        greyzone.update(tmp_path / "empty", days[0], until="nonsense")
    with pytest.raises(InputError, match="day 'tomorrow'"):
        greyzone.update(tmp_path / "empty", days[0], today="tomorrow")


DEATHS = {
    "while a table is written": (
        "import greyzone.case as home\n"
        "write = home.replace_file\n"
        "def dying(path, act):\n"
        "    def half(beside):\n"
        "        act(beside)\n"
        "        if path.name == {file!r}: os.truncate(beside, 10); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(path, half)\n"
        "home.replace_file = dying\n"
    ),
    "while files take their places": (
        "import pathlib\n"
        "move = pathlib.Path.replace\n"
        "def dying(self, target):\n"
        "    if self.parent.name == '.next' and self.name == {file!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return move(self, target)\n"
        "pathlib.Path.replace = dying\n"
    ),
}


KILLED_AT = (
    ("while a table is written", "sources.parquet"),
    ("while files take their places", "copy_index"),
    ("while a table is written", "lineage.parquet"),
    ("while files take their places", "lineage.parquet"),
)
"""In the order in which an update comes there."""


def test_a_killed_update_goes_on_to_the_same_bytes(grown, days, tmp_path):
    """Every update goes on from where the one before it was killed."""
    case = copied(grown[0], tmp_path / "case")
    for death, file in KILLED_AT:
        script = (
            "import os, signal, greyzone\n"
            + DEATHS[death].format(file=file)
            + f"greyzone.update({str(case)!r}, {str(days[1])!r}, today={TODAY!r}, until='narratives')"
        )
        killed = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ)
        assert killed.returncode == -signal.SIGKILL, (death, file)
        assert contents(case) != contents(grown[1].path)
    add(case, days[1])
    assert contents(case) == contents(grown[1].path)


def test_a_plain_run_takes_updates_along(grown, days, tmp_path):
    case = copied(grown[1], tmp_path / "case")
    before = contents(case)
    with pytest.raises(InputError, match=r"1 files that updates added .*day1\.jsonl"):
        run_until_narratives(days[0], case)
    run_until_narratives([days[1], days[0]], case)
    advance(case, {}, until="narratives")
    tables = ("documents", "sources", "narratives", "members", "lineage")
    assert [digest(case / f"{name}.parquet") for name in tables] == [before[f"{name}.parquet"] for name in tables]
    # And a run with one file more is an update.
    run_until_narratives([*days[:3]], case)
    assert groups(Case(case)) == groups(grown[2])


def test_other_settings_cluster_anew_and_hand_names_on(grown, tmp_path):
    case = copied(grown[1], tmp_path / "case")
    again = advance(case, {"min_cluster_size": 9}, until="narratives")
    old, new = groups(grown[1]), groups(again)
    alike = {documents: name for name, documents in old.items()}
    assert all(alike.get(documents, name) == name for name, documents in new.items())
    assert set(new) & set(old)
    ended = {row["narrative_id"] for row in again.table("lineage").to_pylist() if row["event"] in {"merge", "death"}}
    assert set(old) - set(new) <= ended


def test_the_command_line(grown, days, tmp_path, monkeypatch, capsys):
    case = copied(grown[0], tmp_path / "case")

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["greyzone", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    code, out, err = command("update", case, days[1], "--today", TODAY)
    assert code == 0
    assert out.strip() == str(case / "report.html")
    assert "clustering 1 of the case: birth" in err
    assert (case / "report.html").exists()
    assert groups(Case(case)) == groups(grown[1])
    code, out, _ = command("show", case, "lineage", "--json", "--limit", 0)
    assert len(out.splitlines()) == grown[1].table("lineage").num_rows
    code, out, err = command("update", case, days[1], "--today", TODAY)
    assert (code, out.strip()) == (0, str(case / "report.html"))
    assert "nothing new: the narratives are as they were" in err
    assert "clustering" not in err
    code, out, err = command("update", case, tmp_path / "absent.jsonl")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_measure_tells_days_and_batch_apart(tmp_path):
    days = list(measure(tmp_path, documents=300, days=2, first=0.4))
    assert [(day.documents, day.added) for day in days] == [(120, 120), (210, 90), (300, 90)]
    assert (days[0].ids, days[0].same, days[0].ari) == (None, None, 1.0)
    assert all(day.ari > 0.9 and day.ids is not None and day.ids > 0.5 for day in days[1:])
    printed = format_days(days).splitlines()
    assert len(printed) == 5
    assert {line.count("|") for line in printed} == {11}
    with pytest.raises(InputError, match="0 days"):
        next(measure(tmp_path, documents=300, days=0))
    with pytest.raises(InputError, match="first part of 1"):
        next(measure(tmp_path, documents=300, days=1, first=1))
