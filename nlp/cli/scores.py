"""``greyzone impact``: the score of each state on one line, with its interval and its doctrine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greyzone.cli.journey import advance_case
from greyzone.cli.options import AsOfOption, CaseArgument, DoctrineOption, JsonOption, changes
from greyzone.cli.printing import note, say

if TYPE_CHECKING:
    from greyzone.case import Case


def impact(
    case: CaseArgument,
    doctrine: DoctrineOption = None,
    as_of: AsOfOption = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these target states (ISO codes); all if not given.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Add z against each state's own three years, with its warning.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Score the cumulative impact on each target state.

    A line has the score with its interval and doctrine, peak, tempo, breadth, hybridity and coverage.

    States come in the order of their codes: no ranking is meant. `greyzone show CASE` has shares, views and sensitivity.

    Example: greyzone impact CASE --doctrine additive --state EE
    """
    from greyzone.case import Case

    advance_case(case, changes(doctrine=doctrine, as_of=as_of), until="impact")
    opened = Case(case)
    chosen = {name.upper() for name in state or ()}
    rows = [row for row in _last_rows(opened) if not chosen or row["target_state"] in chosen]
    for missing in sorted(chosen - {row["target_state"] for row in rows}):
        note(f"{missing}: no incident and no narrative of the case counts for it")
    past = _past(opened) if history else {}
    for row in rows:
        if as_json:
            told = {"history": str(past[row["target_state"]])} if row["target_state"] in past else {}
            say(json.dumps(row | told, ensure_ascii=False, default=str))
        else:
            say(line(row) + (f"; {past[row['target_state']]}" if row["target_state"] in past else ""))
    note(json.dumps(opened.notes()["impact"], ensure_ascii=False, default=str))


def line(row: Mapping[str, Any]) -> str:
    """Return one row of the table `impact` as one line, in which no score stands without its interval and doctrine."""
    from greyzone.scores import Score

    told = f"{row['target_state']} {row['date']}: {Score.of_row(row)}"
    if row["score_p50"] is not None:
        told += f"; over data and doctrines {row['doctrine_p05']:.0f}–{row['doctrine_p95']:.0f}"
        told += f"; peak: {row['peak_words']} ({row['peak_item']})"
        tempo = "none" if row["tempo"] is None else f"{row['tempo']:.1f} times the year's mean (p {row['tempo_p']:.2f})"
        hybrid = "not known without narratives" if row["hybridity"] is None else f"{100 * row['hybridity']:.0f} % of the dose"
        told += f"; tempo {tempo}; breadth {row['breadth']:.1f} sectors; hybridity {hybrid}"
    return f"{told}; {row['coverage']}"


def _last_rows(case: Case) -> Iterator[dict[str, Any]]:
    last: dict[str, dict[str, Any]] = {}
    for row in case.table("impact").to_pylist():
        if row["target_state"] not in last or row["date"] > last[row["target_state"]]["date"]:
            last[row["target_state"]] = row
    yield from (row for _, row in sorted(last.items()))


def _past(case: Case) -> Mapping[str, object]:
    from greyzone.doctrine import load_doctrine
    from greyzone.impact import against_own_past

    tables = [case.table(name) for name in ("incidents", "narratives", "links", "impact")]
    settings = case.settings
    return against_own_past(*tables, doctrine=load_doctrine(str(settings["doctrine"])), seed=int(str(settings["seed"])))
