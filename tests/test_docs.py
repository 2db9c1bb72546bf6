"""What the documentation tells to type in Python is there and runs."""

from __future__ import annotations

import ast
import importlib
import pathlib
import re
import shutil

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_name_imported_in_a_page_is_there(page):
    for block in blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("greyzone"):
                home = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(home, name.name), f"{node.module}.{name.name}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "greyzone":
                assert hasattr(importlib.import_module("greyzone"), node.attr), node.attr


def test_the_page_for_notebooks_runs(scenario_case, tmp_path, monkeypatch, capsys):
    shutil.copytree(scenario_case.path, tmp_path / "CASE")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for place, block in enumerate(blocks(ROOT / "docs" / "python.md")):
        exec(compile(block, f"docs/python.md, block {place}", "exec"), names)
    told = capsys.readouterr().out
    assert "flagged" not in told
    assert "none fits" in told
    assert "90 % interval" in told
    assert "insufficient evidence" in told
    assert names["found"].max() > 5
    assert names["unexplained"].to_pylist().count(True) == told.count("none fits")
    assert names["again"].impact.num_rows > 5
    assert names["case"].settings["doctrine"] == "worst-event"
