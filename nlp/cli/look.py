"""What is in a case and on this machine: tables, SQL, `doctor`; and `synth`, which writes a scenario."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from greyzone.cli.options import CaseArgument, JsonOption
from greyzone.cli.printing import note, print_table, say


def show(
    case: CaseArgument,
    table: Annotated[
        str | None,
        typer.Argument(help="Table to show, or 'tests' for those of states with why some were refused; without it tables are listed."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to show; 0 shows all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show a table of a case; what is not shown is counted.

    Example: greyzone show CASE narratives --json --limit 0
    """
    import pyarrow as pa

    from greyzone.case import Case
    from greyzone.link.population import state_tests
    from greyzone.records import TABLES
    from greyzone.tabular import meanings

    opened = Case(case)
    if table is None:
        said = meanings()
        rows = [
            {"table": name, "rows": opened.table(name).num_rows, "columns": len(schema), "holds": re.split(r"[.:;](?:\s|$)", said[name])[0]}
            for name, schema in TABLES.items()
            if opened.has(name)
        ]
        found, total = pa.Table.from_pylist(rows), len(rows)
    else:
        found = state_tests(opened.notes()) if table == "tests" else opened.table(table)
        total = found.num_rows
        found = found if limit == 0 else found.slice(0, limit)
    print_table(found, as_json)
    if found.num_rows < total:
        note(f"{found.num_rows} of {total} rows; --limit 0 shows all")


def sql(
    case: CaseArgument,
    query: Annotated[str, typer.Argument(help="SQL over the tables of the case (DuckDB); '-' reads it from stdin.")],
    as_json: JsonOption = False,
) -> None:
    """Ask the tables of a case anything in SQL.

    Example: greyzone sql CASE "select label, size from narratives order by size desc limit 5"
    """
    from greyzone.sql import query_case

    print_table(query_case(case, sys.stdin.read() if query == "-" else query), as_json)


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, and what greyzone can do with it.

    Example: greyzone doctor
    """
    import pyarrow as pa

    from greyzone.doctor import examine

    findings = examine()
    print_table(pa.Table.from_pylist([{"check": item.check, "state": item.state, "detail": item.detail} for item in findings]), as_json)
    if any(item.state == "bad" for item in findings):
        raise typer.Exit(1)


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for documents, incidents and truth tables.")],
    documents: Annotated[int, typer.Option("--documents", "-n", min=100, help="Documents to write.")] = 5000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same files.")] = 0,
) -> None:
    """Write an invented campaign with known truth, of any size.

    Example: greyzone synth scenario --documents 1000000
    """
    from greyzone.eval.scenario.synth import write_scenario

    write_scenario(out, documents=documents, seed=seed)
    say(str(out))
