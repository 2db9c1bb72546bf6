"""Coordination: `coordinate` for a case or for any table of shares, and the exports of its network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greyzone.cli.exports import HandlesOption, export_app
from greyzone.cli.journey import advance_case
from greyzone.cli.options import CaseArgument, DoctrineOption, SeedOption, changes
from greyzone.cli.printing import export_text, note, print_notes, print_table, say
from greyzone.errors import InputError
from greyzone.words import counted

if TYPE_CHECKING:
    from greyzone.records import Coordination


def coordinate(
    source: Annotated[
        Path, typer.Argument(metavar="CASE|TABLE", help="Case folder, or a table of shares: CSV, TSV, Parquet, JSONL (.gz, .zst).")
    ],
    doctrine: DoctrineOption = None,
    account: Annotated[str | None, typer.Option("--account", help="TABLE: column of the account.")] = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", help="TABLE: column of what is shared, as KIND=COLUMN or COLUMN; one or several.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="TABLE: column of the time: seconds or ms since 1970, or dates.")] = None,
    post: Annotated[str | None, typer.Option("--post", help="TABLE: column of the post; rows of one post are one act.")] = None,
    kind_column: Annotated[str | None, typer.Option("--kind-column", help="TABLE: column that says of what kind the item is.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="TABLE: folder for groups, edges and the network.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Let the rules of the literature judge the same shares.")] = False,
    seed: SeedOption = None,
) -> None:
    """Find groups of accounts that share more than chance explains.

    In a case, or in any table of shares.

    Example: greyzone coordinate CASE --compare

    Example: greyzone coordinate shares.csv --account account_id --item url=object_id --time timestamp_share --out FOLDER
    """
    of_table = {"--account": account, "--item": item, "--time": time, "--post": post, "--kind-column": kind_column, "--out": out}
    given = [name for name, value in of_table.items() if value is not None]
    if source.is_dir() or not source.exists():
        if given:
            found = f"{source} {'is a folder' if source.exists() else 'does not exist'}, and {given[0]} is for a table of shares"
            raise InputError(found, "a file with --account, --item and --out, or a case folder without them")
        advance_case(source, changes(doctrine=doctrine, seed=seed), until="coordinate")
        print_notes(source, "coordinate")
        if compare:
            _compare_case(source)
        return
    if account is None or not item or out is None:
        lacking = [name for name, value in (("--account", account), ("--item", item), ("--out", out)) if not value]
        raise InputError(f"{source} is a file and {', '.join(lacking)} is missing", "columns and a folder", "or give a case folder")
    _coordinate_table(source, account, read_items(item), (time, post, kind_column), out, compare=compare, doctrine=doctrine, seed=seed or 0)


def _compare_case(folder: Path) -> None:
    """Print what the rules of the literature say of a case, under the doctrine that it was run with."""
    import pyarrow as pa

    from greyzone.case import Case
    from greyzone.coordinate import compare_rules_in_documents
    from greyzone.doctrine import load_doctrine
    from greyzone.records import Coordination

    case = Case(folder)
    found = Coordination(*(case.table(name) for name in ("groups", "group_members", "edges", "traces")))
    doctrine = load_doctrine(str(case.settings.get("doctrine", "default")))
    told = compare_rules_in_documents(case.table("documents"), case.table("copies"), found, doctrine=doctrine)
    print_table(pa.Table.from_pylist(told.rows()), as_json=True)


def read_items(given: Sequence[str]) -> dict[str, str]:
    """Read ``--item`` options: kind to column; a bare column is of the kind "item", or of its own name where there are several."""
    found: dict[str, str] = {}
    for option in given:
        kind, equals, column = option.partition("=")
        if not equals:
            kind, column = ("item" if len(given) == 1 else option), option
        if not kind.strip() or not column.strip() or kind.strip() in found:
            raise InputError(
                f"--item {option!r}", "KIND=COLUMN or COLUMN, every kind once", "for example --item url=url_id --item image=phash_id"
            )
        found[kind.strip()] = column.strip()
    return found


def _coordinate_table(
    source: Path,
    account: str,
    items: dict[str, str],
    columns: tuple[str | None, str | None, str | None],
    out: Path,
    *,
    compare: bool,
    doctrine: str | None,
    seed: int,
) -> None:
    import pyarrow as pa

    from greyzone.case import write_bytes
    from greyzone.coordinate import compare_rules, find_groups_in_shares, flagged
    from greyzone.coordinate.share_files import read_shares
    from greyzone.doctrine import load_doctrine

    time, post, kind_column = columns
    numbers = load_doctrine(doctrine or "default")
    read = read_shares(source, account=account, items=items, time=time, post=post, kind_column=kind_column)
    for name in ("rows_not_read", "times_not_understood"):
        if count := read.counts.get(name):
            note(f"{source}: {count} {name.replace('_', ' ')}")
    comparison = compare_rules(read.rows, doctrine=numbers, seed=seed) if compare else None
    found = comparison.found if comparison else find_groups_in_shares(read.rows, doctrine=numbers, seed=seed)
    unexplained = flagged(found.groups)
    summary: dict[str, object] = {
        "source": source.name,
        "read": read.counts,
        "doctrine": f"{numbers.id} {numbers.hash}",
        "seed": seed,
        "groups": found.groups.num_rows,
        "flagged": int(unexplained.to_numpy(zero_copy_only=False).sum()),
        "accounts_in_groups": len(set(found.group_members["account"].to_pylist())),
        "edges": found.edges.num_rows,
        "traces": found.traces.to_pylist(),
        "rules": comparison.rows() if comparison else None,
    }
    write_coordination(found, out)
    write_bytes(out / "summary.json", (json.dumps(summary, ensure_ascii=False, indent=1, default=str) + "\n").encode())
    if comparison:
        print_table(pa.Table.from_pylist(comparison.rows()), as_json=True)
    note(
        f"{counted(found.groups.num_rows, 'group')} of accounts ({summary['flagged']} that no tested alternative explains), "
        f"{counted(found.edges.num_rows, 'pair')} of accounts kept; what each trace had to work with: {out / 'summary.json'}"
    )
    say(str(out))


def write_coordination(found: Coordination, out: Path) -> None:
    """Write every table as Parquet, and the network as GraphML with the names that the tables have."""
    from dataclasses import fields

    import pyarrow as pa
    import pyarrow.parquet as pq

    from greyzone.case import replace_file
    from greyzone.coordinate import account_chances
    from greyzone.errors import StorageError
    from greyzone.graphml import write_graphml

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {out} ({error.strerror or error})", "", "name another folder") from error
    tables: dict[str, pa.Table] = {field.name: getattr(found, field.name) for field in fields(found)}
    for name, rows in (tables | {"accounts": account_chances(found.edges, found.traces)}).items():

        def write_rows(beside: Path, rows: pa.Table = rows) -> None:
            pq.write_table(rows, beside, compression="zstd")

        replace_file(out / f"{name}.parquet", write_rows)

    def write_network(beside: Path) -> None:
        with beside.open("w", encoding="utf-8") as file:
            write_graphml(tables, file, handles=True)

    replace_file(out / "network.graphml", write_network)


@export_app.command("graphml")
def export_graphml(
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; CASE/export/network.graphml if not given, '-' for stdout.")] = None,
    handles: HandlesOption = False,
) -> None:
    """Write the coordination network as GraphML.

    Accounts with their groups, pairs with every number.

    Example: greyzone export graphml CASE
    """
    from greyzone.case import Case
    from greyzone.graphml import write_graphml

    opened = Case(case)
    tables = {name: opened.table(name) for name in ("groups", "group_members", "edges")}
    export_text(out or case / "export" / "network.graphml", lambda file: write_graphml(tables, file, handles=handles))


@export_app.command("edges")
def export_edges(
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; CASE/export/edges.parquet if not given.")] = None,
    handles: HandlesOption = False,
) -> None:
    """Write the pairs of the coordination network as Parquet.

    One row a pair and trace, with every number.

    Example: greyzone export edges CASE
    """
    import pyarrow.parquet as pq

    from greyzone.case import Case, replace_file
    from greyzone.graphml import renamed_edges

    rows = renamed_edges(Case(case).table("edges"), handles=handles)
    target = out or case / "export" / "edges.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(beside: Path) -> None:
        pq.write_table(rows, beside, compression="zstd")

    replace_file(target, write)
    say(str(target))
