"""``greyzone doctrine``: show, compare and check the numbers of the method, and elicit the base of the levels from a panel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from greyzone.cli.options import JsonOption
from greyzone.cli.printing import note, print_table, say

doctrine_app = typer.Typer(help="The numbers of the method: show, compare, check, elicit.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(help="default, additive, worst-event, or a YAML file of one's own.")]


@doctrine_app.command("show")
def show(
    name: NameArgument = "default",
    under: Annotated[str, typer.Option("--under", help="Only names that begin so.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show every number with its value, range, status and source.

    Example: greyzone doctrine show additive --under dose.
    """
    import pyarrow as pa

    from greyzone.doctrine import load_doctrine
    from greyzone.errors import InputError

    found = load_doctrine(name)
    rows: list[dict[str, object]] = [
        {
            "number": key,
            "value": leaf.value,
            "range": f"{leaf.range[0]:g} to {leaf.range[1]:g}",
            "status": leaf.status,
            "source": leaf.source,
        }
        for key, leaf in sorted(found.leaves.items())
        if key.startswith(under)
    ]
    if not rows:
        raise InputError(f"no number of doctrine {found.id} begins with {under!r}", "a name such as dose.", "greyzone doctrine show")
    note(f"doctrine {found.id}, version {found.version}, hash {found.hash}: {found.title}")
    print_table(pa.Table.from_pylist(rows), as_json)


@doctrine_app.command("diff")
def diff(one: NameArgument, other: NameArgument, as_json: JsonOption = False) -> None:
    """Show the numbers and words in which two doctrines differ.

    The exit code is 0 whether they do or not.

    Example: greyzone doctrine diff default own.yaml
    """
    import pyarrow as pa

    from greyzone.doctrine import Number, differences, load_doctrine

    sides = [load_doctrine(name) for name in (one, other)]

    def told(side: object) -> str:
        return f"{side.value:g} ({side.status}: {side.source})" if isinstance(side, Number) else "-" if side is None else str(side)

    rows = [{"number": name, one: told(first), other: told(second)} for name, first, second in differences(*sides)]
    note(f"{one} {sides[0].hash}, {other} {sides[1].hash}: {len(rows)} differences")
    if rows:
        print_table(pa.Table.from_pylist(rows), as_json)


@doctrine_app.command("check")
def check(file: Annotated[str, typer.Argument(help="A YAML file of one's own, or a bundled name.")]) -> None:
    """Check the names, ranges, sources and completeness of a doctrine.

    The first fault is one line, with exit code 2.

    Example: greyzone doctrine check own.yaml
    """
    from greyzone.doctrine import check_doctrine

    found, remarks = check_doctrine(file)
    say(f"{found.id} {found.version} {found.hash}: {len(found.leaves)} numbers, all within their ranges and sourced; {'; '.join(remarks)}")


@doctrine_app.command("elicit")
def elicit(
    pairs: Annotated[
        Path, typer.Argument(help="CSV with columns rater, a, b, worse: two levels of severity, and the worse of them or tie.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Doctrine file to write.")] = Path("elicited.yaml"),
    extends: Annotated[str, typer.Option("--extends", help="Doctrine that the file extends.")] = "default",
) -> None:
    """Fit the base of the severity levels to judgements of a panel.

    Writes a doctrine that extends another, with weights and agreement.

    Example: greyzone doctrine elicit panel.csv --out panel.yaml
    """
    from greyzone.case import write_bytes
    from greyzone.doctrine import load_doctrine
    from greyzone.elicitation import elicit_base, read_judgements

    doctrine = load_doctrine(extends)
    found = elicit_base(read_judgements(pairs), doctrine=doctrine)
    write_bytes(out, found.doctrine_file(pairs, extends=extends).encode())
    say(json.dumps(found.told() | {"file": str(out)}, ensure_ascii=False))
    for remark in found.remarks:
        note(remark)
