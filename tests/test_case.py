"""The case folder: written whole or not at all, resumed, and honest about what is wrong with it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from greyzone.case import Case, digest, fingerprint, replace_file, write_bytes
from greyzone.errors import CaseError, InputError, SchemaError, StorageError
from greyzone.records import COPIES, empty, table


@pytest.fixture
def copies():
    return table([{"doc_id": "doc-b", "representative": "doc-a", "kind": "exact", "similarity": 1.0}], COPIES)


def test_round_trip(tmp_path, copies):
    with Case.writing(tmp_path / "case") as case:
        case.write_table("copies", copies)
        case.write_vectors("embeddings", ["doc-a", "doc-b"], np.eye(2, 3, dtype=np.float32))
    opened = Case(tmp_path / "case")
    assert opened.table("copies").equals(copies)
    ids, vectors = opened.vectors("embeddings")
    assert ids == ["doc-a", "doc-b"]
    np.testing.assert_array_equal(vectors, np.eye(2, 3))
    assert not list((tmp_path / "case").glob("*.part"))


def test_a_case_shows_its_tables(tmp_path, copies):
    with Case.writing(tmp_path / "case") as case:
        assert repr(case) == f"<Case {str(tmp_path / 'case')!r} with no table yet>"
        case.write_table("copies", copies)
    assert repr(Case(tmp_path / "case")) == f"<Case {str(tmp_path / 'case')!r} with copies>"


def test_same_content_same_bytes(tmp_path, copies):
    for name in "xy":
        with Case.writing(tmp_path / name) as case:
            case.write_table("copies", copies)
            case.finish_stage("collapse", "f", ["copies.parquet"], {"rows": 1})
    assert digest(tmp_path / "x" / "copies.parquet") == digest(tmp_path / "y" / "copies.parquet")
    assert (tmp_path / "x" / "manifest.json").read_bytes() == (tmp_path / "y" / "manifest.json").read_bytes()


def test_stage_counts_only_with_whole_files(tmp_path, copies):
    with Case.writing(tmp_path / "case") as case:
        case.write_table("copies", copies)
        case.finish_stage("collapse", "f1", ["copies.parquet"], {})
        assert case.stage("collapse").fingerprint == "f1"
        (case.path / "copies.parquet").write_bytes(b"PAR1 and then the power went")
        assert case.stage("collapse") is None
        with pytest.raises(CaseError, match="damaged"):
            case.table("copies")
        (case.path / "copies.parquet").unlink()
        assert case.stage("collapse") is None


def test_wrong_schema_is_refused(tmp_path):
    with Case.writing(tmp_path / "case") as case, pytest.raises(SchemaError, match="lacks"):
        case.write_table("copies", empty(COPIES).select(["doc_id"]))


def test_unknown_table(tmp_path):
    with Case.writing(tmp_path / "case") as case, pytest.raises(InputError, match="no table 'nonsense'"):
        case.table("nonsense")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(CaseError, match="other files"), Case.writing(tmp_path):
        pass
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}'])
def test_a_half_written_manifest_is_one_clear_line(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CaseError, match=r"manifest\.json") as caught, Case.writing(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert (tmp_path / "manifest.json").read_text() == content


def test_leftovers_of_a_killed_run_are_swept(tmp_path, copies):
    with Case.writing(tmp_path / "case") as case:
        case.write_table("copies", copies)
    (tmp_path / "case" / "members.parquet.part").write_bytes(b"half")
    with Case.writing(tmp_path / "case") as case:
        assert case.table("copies").equals(copies)
    assert not list((tmp_path / "case").glob("*.part"))


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CaseError, match="folder that can be written"), Case.writing(tmp_path / "file" / "case"):
        pass


@pytest.mark.parametrize("known", [True, False])
def test_a_folder_that_cannot_be_written_is_answered_by_what_every_command_can_do(tmp_path, known):
    folder = tmp_path / "case"
    if known:
        with Case.writing(folder):
            pass
        (folder / ".lock").unlink()
    # Nobody can open a folder to write into it, whatever the rights of who runs the tests.
    (folder / ".lock").mkdir(parents=True)
    with pytest.raises(CaseError, match="cannot write into") as caught, Case.writing(folder):
        pass
    assert "--out" not in str(caught.value)
    assert ("with a copy of the case" in str(caught.value)) is known


def test_one_run_at_a_time(tmp_path):
    script = f"from greyzone.case import Case\nwith Case.writing({str(tmp_path / 'case')!r}): print('in')"
    with Case.writing(tmp_path / "case"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "another run is at work" in done.stderr
    assert "--out" not in done.stderr
    assert "in" not in done.stdout


def test_full_disk_keeps_what_was_there(tmp_path):
    target = tmp_path / "table.parquet"
    write_bytes(target, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="no space left") as caught:
            write_bytes(target, b"new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 1
    assert target.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["table.parquet"]


def test_full_disk_in_a_table(tmp_path):
    many = table(
        [
            {"doc_id": f"doc-{number * 7919}", "representative": f"doc-{number}", "kind": "near", "similarity": 0.9}
            for number in range(5000)
        ],
        COPIES,
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Case.writing(tmp_path / "case") as case:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            with pytest.raises(StorageError, match="no space left"):
                case.write_table("copies", many)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not case.has("copies")


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    target = tmp_path / "report.html"
    write_bytes(target, b"old")

    def fails(beside):
        beside.write_bytes(b"half")
        raise PermissionError(13, "Permission denied")

    with pytest.raises(StorageError, match="Permission denied"):
        replace_file(target, fails)
    assert target.read_bytes() == b"old"


def test_fingerprint_depends_on_every_part():
    prints = {
        fingerprint("stage", {"a": 1}),
        fingerprint("stage", {"a": 2}),
        fingerprint("other", {"a": 1}),
        fingerprint("stage", {"a": 1}, None),
    }
    assert len(prints) == 4
    assert fingerprint("stage", {"a": 1, "b": 2}) == fingerprint("stage", {"b": 2, "a": 1})


def test_manifest_is_json_without_clock(tmp_path):
    with Case.writing(tmp_path / "case"):
        pass
    manifest = json.loads((tmp_path / "case" / "manifest.json").read_text())
    assert set(manifest) == {"format", "greyzone", "settings", "inputs", "stages"}
