"""What the measuring commands do alike: the folder of the sets, one line for what cannot be used, tables, one part after the other."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greyzone.errors import GreyzoneError, InputError

DATA_VARIABLE = "GREYZONE_DATA"
"""Environment variable that names the folder of the sets where ``--data`` is not given."""

Output = tuple[str, list[dict[str, object]]]
"""The tables of a part, and its rows for JSON lines."""
Parts = Mapping[str, Callable[[argparse.Namespace], Output]]
"""What measures each part, in the order in which parts are run."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A set that was not measured, and why."""

    set: str
    reason: str


def data_folder(given: str | None) -> Path:
    """Return the folder of the sets: as given, or from `DATA_VARIABLE`.

    Raises
    ------
    InputError
        If neither names one.
    """
    name = given or os.environ.get(DATA_VARIABLE, "")
    if not name:
        raise InputError("no data folder", "one", f"name it with --data FOLDER or {DATA_VARIABLE}; docs/data.md says what it holds")
    return Path(name)


def run_command(command: Callable[[], int]) -> int:
    """Return the exit code of `command`; an error of ours is one line on stderr."""
    try:
        return command()
    except GreyzoneError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as a Markdown table whose columns line up; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.ljust(width) if place < 2 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = [("-" * width) if place < 2 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return [line(rows[0]), f"|{'|'.join(f' {mark} ' for mark in rule)}|", *(line(row) for row in rows[1:])]


def add_options(parser: argparse.ArgumentParser, parts: Iterable[str]) -> None:
    """Add ``--part`` and ``--json``, which `run_parts` obeys."""
    parser.add_argument("--part", action="append", choices=tuple(parts), help="what to measure; may be given several times (all)")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of tables")


def run_parts(parts: Parts, given: argparse.Namespace) -> int:
    """Run the parts that are asked for, all if none is; return 0, or 2 after one line for what cannot be used."""

    def command() -> int:
        for part in given.part or parts:
            table, rows = parts[part](given)
            lines = [json.dumps({"part": part, **row}, ensure_ascii=False, default=_plain) for row in rows]
            sys.stdout.write("\n".join(lines) + "\n" if given.json else f"## {part}\n\n{table}\n\n")
            sys.stdout.flush()
        return 0

    return run_command(command)


def say(text: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(text + "\n")


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)
