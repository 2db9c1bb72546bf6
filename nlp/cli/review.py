"""``greyzone review``: writes the table of links to decide on, and reads it back into the case."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greyzone.cli.options import CaseArgument
from greyzone.cli.printing import note, say
from greyzone.errors import InputError

if TYPE_CHECKING:
    from greyzone.case import Case

TABLES = ("links", "incidents", "narratives", "documents", "decisions")


def review(
    case: CaseArgument,
    read: Annotated[Path | None, typer.Option("--read", help="A filled table: its decisions are added to the case.")] = None,
    who: Annotated[str | None, typer.Option("--who", help="READ: who decided, where the column who is empty.")] = None,
    day: Annotated[
        str | None, typer.Option("--day", help="READ: day (ISO) of decisions whose column day is empty; this day if not given.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table to write, .csv or .jsonl; CASE/export/review.csv if not given, '-' for stdout."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to write, those most worth a look; 0 writes all.")] = 0,
) -> None:
    """Write a table of links to decide on, or read it back.

    A decision is yes, no or unsure; the links most worth a look come first. --read takes the decisions into the case.

    Example: greyzone review CASE --limit 100

    Example: greyzone review CASE --read CASE/export/review.csv --who "A. Reader"
    """
    if read is not None:
        if out is not None or limit:
            raise InputError("--read with --out or --limit", "a table to read, or one to write")
        _read(case, read, who, day)
        return
    if who is not None or day is not None:
        raise InputError("--who or --day without --read", "a filled table to read", "give --read FILE")
    _write(case, out, limit)


def _write(folder: Path, out: Path | None, limit: int) -> None:
    from greyzone.case import Case, write_bytes
    from greyzone.review import review_rows, write_rows

    case = Case(folder)
    rows = review_rows({name: case.table(name) for name in TABLES})
    chosen = rows[:limit] if limit else rows
    if len(chosen) < len(rows):
        note(f"{len(chosen)} of {len(rows)} links; --limit 0 writes all")
    if out == Path("-"):
        sys.stdout.write(write_rows(chosen))
        return
    target = out or folder / "export" / "review.csv"
    _keep_filled(case, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, write_rows(chosen, lines=target.suffix.casefold() in {".jsonl", ".ndjson"}).encode())
    say(str(target))


def _keep_filled(case: Case, target: Path) -> None:
    """Refuse to write over decisions that the case has not."""
    from greyzone.review import read_decisions, read_rows

    if not target.exists():
        return
    try:
        past = case.table("decisions")
        found = read_decisions(read_rows(target), links=case.table("links"), decisions=past, who="?", day="9999-12-31").decisions
        # Who and day may have been given when the table was read: what was said of a pair is what must not be lost.
        said = ("link_id", "decision", "type", "note")
        new = set(zip(*found.select(said).to_pydict().values(), strict=True)) - set(
            zip(*past.select(said).to_pydict().values(), strict=True)
        )
        told = f"{len(new)} decisions that the case has not" if new else ""
    except InputError as error:
        told = f"what cannot be read back ({error.found})"
    if told:
        raise InputError(f"{target} holds {told}", "a new file", f"read it first (--read {target}), or write to another --out")


def _read(folder: Path, filled: Path, who: str | None, day: str | None) -> None:
    from datetime import UTC, datetime

    import pyarrow as pa

    from greyzone.case import Case
    from greyzone.review import read_decisions, read_rows

    Case(folder)
    with Case.writing(folder) as case:
        past = case.table("decisions")
        found = read_decisions(
            read_rows(filled), links=case.table("links"), decisions=past, who=who, day=day or datetime.now(UTC).date().isoformat()
        )
        if found.decisions.num_rows:
            case.write_table("decisions", pa.concat_tables([past, found.decisions]))
    say(json.dumps({**found.counts, "decisions": past.num_rows + found.decisions.num_rows}))
