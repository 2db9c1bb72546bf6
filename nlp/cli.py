"""The command line: thin commands over the library.

Data goes to stdout (tables, or JSON lines with ``--json``), progress and messages to stderr. Exit codes: 0 done, 1 failure,
2 input that can be mended. Everything heavy is imported inside the commands, so that ``greyzone --help`` answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from greyzone._version import __version__
from greyzone.errors import GreyzoneError, InputError

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(
    name="greyzone",
    help="Coordinated narratives in media corpora, their links to cyber incidents, and the cumulative impact of hybrid campaigns.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
export_app = typer.Typer(help="Write the case in another format.", no_args_is_help=True, rich_markup_mode=None)
eval_app = typer.Typer(help="Measure greyzone against known truth.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(export_app, name="export")
app.add_typer(eval_app, name="eval")

CaseArgument = Annotated[Path, typer.Argument(help="Case folder, as 'greyzone run' made it.")]
DocumentsArgument = Annotated[list[Path], typer.Argument(help="JSONL, CSV, TSV, Parquet (.gz, .zst), datasets folder, Telegram export.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Case folder to make or to go on with.")]
IncidentsOption = Annotated[
    list[Path] | None,
    typer.Option("--incidents", "-i", help="Incidents: EuRepoC or DCID CSV, STIX 2.1 bundle, or any table with --incident-mapping."),
]
MapOption = Annotated[
    list[str] | None, typer.Option("--map", help="Columns by field: text=content,account=author_id; also encoding=cp1251, day_first=true.")
]
IncidentMappingOption = Annotated[Path | None, typer.Option("--incident-mapping", help="YAML or JSON file that says which column is what.")]
EncoderOption = Annotated[str | None, typer.Option("--encoder", help="'default', a sentence-transformers folder, or a hub name.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1.")]
DoctrineOption = Annotated[str | None, typer.Option("--doctrine", help="default, additive, worst-event, or a YAML file of one's own.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Day of the impact score; the last document's day if not given.")]
SizeOption = Annotated[int | None, typer.Option("--min-cluster-size", min=2, help="Fewest documents of a narrative (5 if not given).")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of every random draw (0 if not given).")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; all processors if not given. Results do not depend on it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens to stderr.")] = False,
) -> None:
    if version:
        _say(f"greyzone {__version__}")
        raise typer.Exit
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def run(
    documents: DocumentsArgument,
    out: OutOption,
    incidents: IncidentsOption = None,
    mapping: MapOption = None,
    incident_mapping: IncidentMappingOption = None,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    doctrine: DoctrineOption = None,
    as_of: AsOfOption = None,
    min_cluster_size: SizeOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
) -> None:
    """Take the whole journey: documents and incidents in, a case with a report out.

    Example: greyzone run posts.csv.gz --incidents eurepoc.csv --out CASE
    """
    given = _changes(
        mapping=_mapping(mapping),
        incident_mapping=None if incident_mapping is None else str(incident_mapping),
        encoder=encoder,
        device=device,
        doctrine=doctrine,
        as_of=as_of,
        min_cluster_size=min_cluster_size,
        seed=seed,
    )
    _run(documents, incidents or [], out, given, workers)
    _say(str(out / "report.html"))


@app.command()
def demo(
    out: OutOption = Path("demo-case"),
    documents: Annotated[int, typer.Option("--documents", min=100, help="Documents of the scenario.")] = 5000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the scenario.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Run the bundled invented scenario, without any network, and print the path of its report.

    Example: greyzone demo --out demo-case
    """
    scenario = _demo_case(out, documents, seed, workers)
    _note(f"scenario with its truth tables: {scenario}")
    _say(str(out / "case" / "report.html"))


@app.command()
def collect(documents: DocumentsArgument, out: OutOption, mapping: MapOption = None, workers: WorkersOption = None) -> None:
    """Read, clean and store documents; every row is a document, a repeat or a counted reject.

    Example: greyzone collect posts.jsonl --out CASE --map text=body
    """
    _advance(out, _changes(documents=[str(path) for path in documents], mapping=_mapping(mapping)), until="collect", workers=workers)
    _print_notes(out, "collect")


@app.command()
def narratives(case: CaseArgument, min_cluster_size: SizeOption = None) -> None:
    """Cluster the documents of a case into narratives, with labels and exemplars.

    Example: greyzone narratives CASE --min-cluster-size 8
    """
    _advance(case, _changes(min_cluster_size=min_cluster_size), until="narratives")
    _print_notes(case, "narratives")


@app.command()
def embed(case: CaseArgument, encoder: EncoderOption = None, device: DeviceOption = None) -> None:
    """Collapse the copies of a case and embed what is left; vectors are cached by content.

    Example: greyzone embed CASE --encoder ./my-model --device cuda
    """
    _advance(case, _changes(encoder=encoder, device=device), until="embed")
    _print_notes(case, "embed")


@app.command()
def coordinate(case: CaseArgument, doctrine: DoctrineOption = None) -> None:
    """Find groups of accounts whose shared behaviour chance does not explain.

    Example: greyzone coordinate CASE
    """
    _advance(case, _changes(doctrine=doctrine), until="coordinate")
    _print_notes(case, "coordinate")


@app.command("incidents")
def read_incidents(
    case: CaseArgument,
    files: Annotated[list[Path] | None, typer.Argument(help="Incident files; those of the case if not given.")] = None,
    incident_mapping: IncidentMappingOption = None,
) -> None:
    """Read incidents into a case and make them canonical: one event against one state, one row.

    Example: greyzone incidents CASE eurepoc.csv dcid.csv
    """
    given = None if not files else [str(path) for path in files]
    _advance(
        case, _changes(incidents=given, incident_mapping=None if incident_mapping is None else str(incident_mapping)), until="incidents"
    )
    _print_notes(case, "incidents")


@app.command()
def link(case: CaseArgument, doctrine: DoctrineOption = None) -> None:
    """Link narratives to incidents, with the evidence and the odds.

    Example: greyzone link CASE
    """
    _advance(case, _changes(doctrine=doctrine), until="link")
    _print_notes(case, "link")


@app.command()
def impact(case: CaseArgument, doctrine: DoctrineOption = None, as_of: AsOfOption = None) -> None:
    """Score the cumulative impact on each target state, with intervals and shares.

    Example: greyzone impact CASE --doctrine additive
    """
    _advance(case, _changes(doctrine=doctrine, as_of=as_of), until="impact")
    _print_notes(case, "impact")


@app.command()
def campaigns(case: CaseArgument, doctrine: DoctrineOption = None) -> None:
    """Join incidents, narratives and groups into hybrid-campaign profiles.

    Example: greyzone campaigns CASE
    """
    _advance(case, _changes(doctrine=doctrine), until="campaigns")
    _print_notes(case, "campaigns")


@app.command()
def report(case: CaseArgument, doctrine: DoctrineOption = None) -> None:
    """Bring a case up to its report and print the path of the page.

    Example: greyzone report CASE
    """
    _advance(case, _changes(doctrine=doctrine))
    _say(str(case / "report.html"))


@app.command()
def show(
    case: CaseArgument,
    table: Annotated[str | None, typer.Argument(help="Table to show; without it the tables are listed.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to show; 0 shows all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show a table of a case; what is not shown is counted.

    Example: greyzone show CASE narratives --json --limit 0
    """
    import pyarrow as pa

    from greyzone.case import Case
    from greyzone.records import TABLES

    opened = Case(case)
    if table is None:
        rows = [
            {"table": name, "rows": opened.table(name).num_rows, "columns": len(schema)}
            for name, schema in TABLES.items()
            if opened.has(name)
        ]
        found, total = pa.Table.from_pylist(rows), len(rows)
    else:
        found = opened.table(table)
        total = found.num_rows
        found = found if limit == 0 else found.slice(0, limit)
    _print_table(found, as_json)
    if found.num_rows < total:
        _note(f"{found.num_rows} of {total} rows; --limit 0 shows all")


@app.command()
def sql(
    case: CaseArgument,
    query: Annotated[str, typer.Argument(help="SQL over the tables of the case (DuckDB); '-' reads it from stdin.")],
    as_json: JsonOption = False,
) -> None:
    """Ask the tables of a case anything in SQL.

    Example: greyzone sql CASE "select label, size from narratives order by size desc limit 5"
    """
    from greyzone.sql import query_case

    _print_table(query_case(case, sys.stdin.read() if query == "-" else query), as_json)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, and what greyzone can do with it.

    Example: greyzone doctor
    """
    import pyarrow as pa

    from greyzone.doctor import examine

    findings = examine()
    _print_table(pa.Table.from_pylist([{"check": item.check, "state": item.state, "detail": item.detail} for item in findings]), as_json)
    if any(item.state == "bad" for item in findings):
        raise typer.Exit(1)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder for documents, incidents and truth tables.")],
    documents: Annotated[int, typer.Option("--documents", "-n", min=100, help="Documents to write.")] = 5000,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same files.")] = 0,
) -> None:
    """Write an invented campaign with known truth, of any size.

    Example: greyzone synth scenario --documents 1000000
    """
    from greyzone.eval.synth import write_scenario

    write_scenario(out, documents=documents, seed=seed)
    _say(str(out))


@export_app.command("stix")
def export_stix(
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; CASE/export/bundle.json if not given, '-' for stdout.")] = None,
) -> None:
    """Write the case as a STIX 2.1 bundle with deterministic ids.

    Example: greyzone export stix CASE
    """
    from greyzone.case import Case, replace_file
    from greyzone.doctrine import load_doctrine
    from greyzone.stix import write_bundle

    opened = Case(case)
    doctrine = load_doctrine(str(opened.settings.get("doctrine", "default")))
    tables = {name: opened.table(name) for name in ("incidents", "narratives", "groups", "links", "campaigns", "impact", "shares")}
    if out == Path("-"):
        write_bundle(tables, sys.stdout, doctrine=doctrine)
        return
    target = out or case / "export" / "bundle.json"
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(beside: Path) -> None:
        with beside.open("w", encoding="utf-8") as file:
            write_bundle(tables, file, doctrine=doctrine)

    replace_file(target, write)
    _say(str(target))


@eval_app.command("demo")
def eval_demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to keep the scenario and its case; a temporary folder if not given.")
    ] = None,
    documents: Annotated[int, typer.Option("--documents", min=100)] = 5000,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Seed of the scenario; may be given several times (0 if not).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the demo scenario and measure narratives, groups and links against its truth tables.

    Example: greyzone eval demo --seed 0 --seed 1
    """
    import tempfile

    from greyzone.eval.demo import evaluate, format_figures, to_json

    with tempfile.TemporaryDirectory() as temporary:
        for seed in seeds or [0]:
            folder = (out or Path(temporary)) / (f"seed-{seed}" if len(seeds or [0]) > 1 else "")
            scenario = _demo_case(folder, documents, seed, None)
            figures = evaluate(folder / "case", scenario)
            _say(to_json(figures) if as_json else f"scenario of {documents} documents, seed {seed}\n{format_figures(figures)}")


def main() -> None:
    """Run the command line; errors of ours become one line and an exit code."""
    try:
        app()
    except GreyzoneError as error:
        _note(f"error: {error}")
        raise SystemExit(error.exit_code) from error
    except BrokenPipeError:
        # The reader of a pipe left (`| head`); devnull keeps the interpreter from complaining once more at exit.
        sys.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        _note("interrupted; run the same command again to go on from here")
        raise SystemExit(130) from None


def _demo_case(folder: Path, documents: int, seed: int, workers: int | None) -> Path:
    from greyzone.eval.synth import write_scenario

    scenario = folder / "scenario"
    paths = write_scenario(scenario, documents=documents, seed=seed)
    _run([paths.documents], [paths.incidents], folder / "case", {"incident_mapping": str(paths.mapping)}, workers)
    return scenario


def _changes(**given: object) -> dict[str, object]:
    return {name: value for name, value in given.items() if value is not None}


def _mapping(given: Sequence[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    mapping: dict[str, str] = {}
    for pair in (part for item in given for part in item.split(",")):
        name, equals, column = pair.partition("=")
        if not (name.strip() and equals and column.strip()):
            raise InputError(f"--map {pair!r}", "FIELD=COLUMN, separated by commas", "for example --map text=content,account=author_id")
        mapping[name.strip()] = column.strip()
    return mapping


def _run(documents: Sequence[Path], incidents: Sequence[Path], out: Path, given: dict[str, Any], workers: int | None) -> None:
    from greyzone.pipeline import Settings, run

    with _progress() as progress:
        run(documents, incidents=incidents, out=out, settings=Settings(**given), workers=workers, progress=progress)


def _advance(out: Path, changes: dict[str, object], *, until: str | None = None, workers: int | None = None) -> None:
    from greyzone.pipeline import advance

    with _progress() as progress:
        advance(out, changes, until=until, workers=workers, progress=progress)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a progress function: bars on a terminal, one line a finished stage elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        started: dict[str, float] = {}

        def plain(stage: str, done: int, total: int | None) -> None:
            started.setdefault(stage, time.monotonic())
            if done == total == 1:
                _note(f"{stage}: done in {time.monotonic() - started[stage]:.1f} s")

        yield plain
        return
    with Progress(TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def bar(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar


def _print_notes(case: Path, stage: str) -> None:
    from greyzone.case import Case

    _say(json.dumps(Case(case).notes()[stage], ensure_ascii=False, default=str))


def _print_table(rows: pa.Table, as_json: bool) -> None:
    if as_json:
        for row in rows.to_pylist():
            _say(json.dumps(row, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    printed = Table(show_lines=False)
    for name in rows.schema.names:
        printed.add_column(name, overflow="fold")
    for row in rows.to_pylist():
        # Text, not markup: a document may hold anything, square brackets included.
        printed.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(printed)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= 160 else printable[:159] + "…"


def _say(text: str, stream: TextIO | None = None) -> None:
    target = stream or sys.stdout
    target.write(text + "\n")
    target.flush()


def _note(text: str) -> None:
    _say(text, sys.stderr)
