"""A score cannot be printed, compared or computed with as a bare number."""

from __future__ import annotations

import dataclasses
import operator

import pytest

from greyzone.cli.scores import line
from greyzone.errors import InputError
from greyzone.scores import Score

SCORE = Score((31.2, 43.0, 57.4), "default 1 3f2a")


@pytest.mark.parametrize("text", [str(SCORE), repr(SCORE), f"{SCORE}", f"{SCORE:s}", "%s" % SCORE, format(SCORE), f"{[SCORE]}"])  # noqa: UP031
def test_every_text_of_a_score_holds_interval_and_doctrine(text):
    assert "43 (90 % interval 31–57, doctrine default 1 3f2a)" in text


@pytest.mark.parametrize("convert", [float, int, complex, round, abs, sorted, sum])
def test_a_score_is_no_number(convert):
    with pytest.raises(TypeError):
        convert(SCORE)


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.ge])
def test_a_score_takes_no_part_in_arithmetic_or_order(operation):
    for other in (1, 1.0, SCORE):
        with pytest.raises(TypeError):
            operation(SCORE, other)


@pytest.mark.parametrize("spec", [".1f", "d", "5", ">10", "%"])
def test_a_score_takes_no_format_of_a_number(spec):
    with pytest.raises((TypeError, ValueError)):
        format(SCORE, spec)


def test_the_stamp_and_the_refusal_are_in_the_text():
    assert "NOT ROBUST" in str(Score((0.0, 43.0, 90.0), "default 1", "not robust"))
    text = str(Score(None, "default 1", "insufficient evidence"))
    assert text == "insufficient evidence (doctrine default 1)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCORE.status = "ok"


@pytest.mark.parametrize(
    "arguments",
    [
        ((3.0, 2.0, 4.0), "d"),
        ((1.0, 2.0, 101.0), "d"),
        ((1.0, float("nan"), 2.0), "d"),
        ((1.0, 2.0, 3.0), " "),
        (None, "d"),
        ((1.0, 2.0, 3.0), "d", "insufficient evidence"),
    ],
)
def test_a_score_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(InputError):
        Score(*arguments)


def test_the_line_of_a_state_has_no_score_without_its_interval():
    row = {"target_state": "EE", "date": "2024-01-01", "score_p05": 31.0, "score_p50": 43.0, "score_p95": 57.0, "status": "not robust"}
    row |= {
        "doctrine": "default 1",
        "doctrine_hash": "3f2a",
        "doctrine_p05": 20.0,
        "doctrine_p95": 70.0,
        "peak_words": "high",
        "peak_item": "inc-1",
    }
    row |= {
        "tempo": 2.0,
        "tempo_p": 0.1,
        "breadth": 3.0,
        "hybridity": 0.25,
        "coverage": "7 incidents",
        "peak": 40.0,
        "excess": 9.0,
        "dose": 0.6,
    }
    text = line(row)
    assert text.startswith("EE 2024-01-01: 43 (90 % interval 31–57, doctrine default 1 3f2a, NOT ROBUST)")
    assert "20–70" in text
    assert "peak: high" in text
    assert "40" not in text.replace("43 (", "")
    empty = row | dict.fromkeys(("score_p05", "score_p50", "score_p95", "tempo"), None) | {"status": "insufficient evidence"}
    assert line(empty) == "EE 2024-01-01: insufficient evidence (doctrine default 1 3f2a); 7 incidents"
