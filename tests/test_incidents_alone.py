"""A case of incidents without any document: it is scored, seen otherwise and drawn; mapped and known tables stand side by side."""

from __future__ import annotations

import json
import pathlib
import xml.etree.ElementTree as ET

import pytest

from greyzone.errors import CaseError, InputError
from greyzone.eval.impact import pictures
from greyzone.pipeline import advance

MAPPING = {"source": "ours", "scale": "ciss", "columns": {"name": "Title", "onset": "Day", "target_states": "State", "scale_code": "Level"}}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    rows = [
        f"Event {word} at the office of {word},2024-0{k}-1{k},EE,{k % 4 + 1}" for k, word in enumerate(("wind", "rain", "hail", "snow"), 1)
    ]
    (folder / "ours.csv").write_text("\n".join(["Title,Day,State,Level", *rows]) + "\n")
    bundle = {"type": "bundle", "id": "bundle--1", "objects": [{"type": "incident", "id": "incident--1", "name": "Another event"}]}
    (folder / "known.json").write_text(json.dumps(bundle))
    (folder / "mapping.json").write_text(json.dumps(MAPPING))
    files = [str(folder / name) for name in ("ours.csv", "known.json")]
    settings = {
        "incidents": files,
        "incident_mapping": str(folder / "mapping.json"),
        "as_of": "2024-06-01",
        "encoder": "hashed",
        "today": "2024-06-02",
    }
    return advance(folder / "case", settings, until="impact")


def test_incidents_alone_are_scored_and_seen_otherwise(case):
    assert case.table("documents").num_rows == 0
    assert set(case.table("reports")["source"].to_pylist()) >= {"ours"}
    assert case.table("reports").num_rows == 5
    last = [row for row in case.table("impact").to_pylist() if row["target_state"] == "EE"][-1]
    assert last["status"] in {"ok", "not robust"}
    assert "4 incidents" in last["coverage"]
    assert {row["view"] for row in case.table("views").to_pylist()} == {"same-originator", "without source"}
    assert "data" in case.table("sensitivity")["parameter"].to_pylist()


def test_the_pictures_hold_interval_doctrine_and_status(case, tmp_path, capsys):
    out = tmp_path / "ee"
    assert pictures.main([str(case.path), "--state", "EE", "--items", "2", "--out", str(out)]) == 0
    files = capsys.readouterr().out.split()
    first = [pathlib.Path(name).read_text() for name in files]
    assert pictures.main([str(case.path), "--state", "EE", "--items", "2", "--out", str(out)]) == 0
    assert [pathlib.Path(name).read_text() for name in files] == first
    for text in first:
        ET.fromstring(text)
        assert "90 % interval" in text
        assert "default 1" in text
    assert "2 smaller items together" in first[1]
    assert pictures.main([str(case.path), "--state", "XX", "--out", str(out)]) == 2


def test_a_case_of_nothing_and_a_file_that_fits_no_reader_are_refused(tmp_path):
    with pytest.raises(CaseError, match="no documents and no incidents"):
        advance(tmp_path / "empty", {}, until="impact")
    (tmp_path / "odd.csv").write_text("One,Two\n1,2\n")
    (tmp_path / "mapping.json").write_text(json.dumps(MAPPING))
    with pytest.raises(InputError, match="no column"):
        advance(
            tmp_path / "case",
            {"incidents": [str(tmp_path / "odd.csv")], "incident_mapping": str(tmp_path / "mapping.json"), "encoder": "hashed"},
            until="incidents",
        )
