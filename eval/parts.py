"""What the measuring commands that run in parts do alike: one part after the other, each a table or JSON lines on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from greyzone.eval.encoders import run_command

Output = tuple[str, list[dict[str, object]]]
"""The tables of a part, and its rows for JSON lines."""
Parts = Mapping[str, Callable[[argparse.Namespace], Output]]
"""What measures each part, in the order in which parts are run."""


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
