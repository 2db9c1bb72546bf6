"""What commands write: data to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pyarrow as pa


LEAST_WIDTH = 12
"""Characters of a column below which a table cannot be read: rows are then printed as blocks."""
LONG = 10.0
"""Seconds after which a stage says, where there are no bars, that it is at work; it says so again whenever the time has doubled."""


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line of data to stdout, or to `stream`."""
    target = stream or sys.stdout
    target.write(text + "\n")
    target.flush()


def note(text: str) -> None:
    """Write a message to stderr."""
    say(text, sys.stderr)


def print_notes(case: Path, stage: str, *, without: Collection[str] = ()) -> None:
    """Print what a stage noted in the manifest as one JSON line; of its context all but the parts named in `without`."""
    from greyzone.case import Case

    noted: Any = Case(case).notes()[stage]
    if without:
        noted = noted | {"context": {name: part for name, part in noted["context"].items() if name not in without}}
    say(json.dumps(noted, ensure_ascii=False, default=str))


def print_table(rows: pa.Table, as_json: bool) -> None:
    """Print rows as a table, or as JSON lines."""
    if as_json:
        for row in rows.to_pylist():
            say(json.dumps(row, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    if rows.num_columns * LEAST_WIDTH > console.width:
        _print_rows(rows)
        return
    printed = Table(show_lines=False)
    for name in rows.schema.names:
        printed.add_column(name, overflow="fold")
    for row in rows.to_pylist():
        # Text, not markup: a document may hold anything, square brackets included.
        printed.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(printed)


def _print_rows(rows: pa.Table) -> None:
    """Print a row as a block, one column a line."""
    width = max(len(name) for name in rows.schema.names)
    for number, row in enumerate(rows.to_pylist()):
        if number:
            say("")
        for name, value in row.items():
            say(f"{name:<{width}}  {_cell(value)}".rstrip())


def _cell(value: object) -> str:
    text = json.dumps(_short(value), ensure_ascii=False) if isinstance(value, (list, dict)) else str(_short("" if value is None else value))
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= 160 else printable[:159] + "…"


def _short(value: object) -> object:
    """Return a value as it is shown: floats with four digits, times in one form, also within lists and objects."""
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return str(value) if isinstance(value, date) else value


@contextmanager
def progress_shown() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a progress function: bars on a terminal; elsewhere a line for each finished stage, and some for one that takes long."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines() as plain:
            yield plain
        return
    with Progress(TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def bar(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar


@contextmanager
def _lines() -> Iterator[Callable[[str, int, int | None], None]]:
    over: dict[str, threading.Event] = {}
    started: dict[str, float] = {}
    reached: dict[str, str] = {}

    def watch(stage: str) -> None:
        seconds = LONG
        while not over[stage].wait(started[stage] + seconds - time.monotonic()):
            note(f"{stage}: at work for {seconds:g} s{reached.get(stage, '')}")
            seconds *= 2

    def plain(stage: str, done: int, total: int | None) -> None:
        if done == total == 1:
            # A stage that is over at once was not begun: nothing that it depends on has changed.
            if stage in over:
                over[stage].set()
            note(f"{stage}: done in {time.monotonic() - started[stage]:.1f} s" if stage in started else f"{stage}: kept")
        elif stage not in over:
            over[stage], started[stage] = threading.Event(), time.monotonic()
            threading.Thread(target=watch, args=(stage,), daemon=True).start()
        else:
            reached[stage] = f", {done:,}" if total is None else f", {done:,} of {total:,}"

    try:
        yield plain
    finally:
        for event in over.values():
            event.set()


def export_text(target: Path, write: Callable[[TextIO], object]) -> None:
    """Write an export beside its target and rename it, and print the path; ``-`` is stdout."""
    from greyzone.case import replace_file

    if target == Path("-"):
        write(sys.stdout)
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def beside(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            write(file)

    replace_file(target, beside)
    say(str(target))
