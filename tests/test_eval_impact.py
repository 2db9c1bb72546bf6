"""The measurements of the impact score: tables that say met or MISS, worlds whose truth is known, counts of cases read right."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np
import pytest

from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.eval.impact import command, coverage, robustness
from greyzone.eval.impact.agreement import tau_interval
from greyzone.eval.impact.axioms import read_counts
from greyzone.eval.impact.cases import event, pick
from greyzone.eval.impact.coverage import Observer, coverage_of, world_of
from greyzone.eval.impact.findings import Finding, format_findings
from greyzone.eval.impact.invented import busy_state, incident
from greyzone.records import INCIDENTS, LINKS, NARRATIVES, check

DOCTRINE = load_doctrine()
DATA = pathlib.Path(os.environ.get("GREYZONE_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))


def test_findings_say_met_miss_or_nothing():
    text = format_findings([Finding("a", "1", "1", True), Finding("b", "1", "2", False), Finding("c", "", "3")])
    assert [line.split("|")[-2].strip() for line in text.splitlines()[2:]] == ["met", "MISS", ""]


def test_counts_of_random_cases_are_read():
    output = """
tests/test_axioms.py::test_a03_raising:

  - during generate phase (1.00 seconds):
    - Typical runtimes: < 1ms
    - 1000 passing examples, 0 failing examples, 12 invalid examples

tests/test_axioms.py::test_adversary_flood:

  - during generate phase (1.00 seconds):
    - 7 passing, 1 failing, and 0 invalid test cases
  - during shrink phase (0.1 seconds):
    - 3 passing examples, 2 failing examples, 0 invalid examples
"""
    assert read_counts(output) == [("a03_raising", (1000, 0)), ("adversary_flood", (10, 3))]


def test_invented_tables_are_whole():
    for rows, schema in zip(busy_state(20, 4, 10), (INCIDENTS, NARRATIVES, LINKS), strict=True):
        assert check(rows, schema, "rows").num_rows > 0


def test_a_true_world_is_certain_and_the_observed_one_holds_it():
    truth, seen = world_of(np.random.default_rng(1), coverage.STATED, DOCTRINE)
    for true, told in zip(truth[0].to_pylist(), seen[0].to_pylist(), strict=True):
        assert true["level_lo"] == true["level_hi"]
        assert true["credibility"] in (0.0, 1.0)
        assert told["level_lo"] - 1e-9 <= true["level_mode"] <= told["level_hi"] + 1e-9
        assert told["onset_lo"] <= true["onset_lo"] <= told["onset_hi"]


def test_coverage_falls_for_an_observer_who_is_wrong():
    """Thirty worlds: levels off by up to four steps are seldom within an interval made for half a step."""
    assert coverage_of(coverage.STATED, 30, 0) > coverage_of(Observer(level=8.0, trust=0.3), 30, 0)


def test_attacks_change_what_they_say():
    random = np.random.default_rng(0)
    rows = [incident(number, float(number), 3.0) for number in range(3)]
    for attack in robustness.ATTACKS.values():
        assert attack(rows, random) != rows


def test_an_event_is_scored_at_its_height_by_hand():
    """One certain event of level 5 in an ordinary sector: dose 1, score 63.2, at the end of it."""
    row = incident(0, 3.0, 5.0, level_lo=5.0, level_hi=5.0, credibility=1.0)
    assert event("x", [row], DOCTRINE).central == pytest.approx(63.212, abs=1e-3)
    assert "90 % interval 63–63" in str(event("x", [row], DOCTRINE).score)
    with pytest.raises(InputError, match="no incident for y"):
        pick([row], lambda found: found["target_state"] == "LV", "y")


def test_tau_has_its_interval_and_ties_do_not_help():
    pairs = [(float(k), float(k // 5)) for k in range(40)]
    tau, low, high = tau_interval(pairs)
    assert low <= tau <= high
    assert 0.8 < tau < 1
    assert tau_interval([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)] * 5)[0] == pytest.approx(1)


def test_the_command_prints_tables_and_lines(capsys, monkeypatch):
    monkeypatch.setitem(command.PARTS, "robustness", lambda _: iter([Finding("a", "1", "2", False)]))
    assert command.main(["--part", "robustness"]) == 0
    assert "## robustness" in capsys.readouterr().out
    assert command.main(["--part", "robustness", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"part": "robustness", "what": "a", "asked": "1", "measured": "2", "met": False}
    assert command.main(["--part", "face", "--data", "nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.shared
@pytest.mark.skipif(not (DATA / "eurepoc_global_1.1.csv.gz").exists(), reason="the public tables are not beside the repository")
def test_known_cases_stand_in_order(capsys):
    assert command.main(["--part", "face", "--data", str(DATA), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["what"] for row in found if row["met"] is False] == []
    assert sum(row["met"] is True for row in found) >= 8
