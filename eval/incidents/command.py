"""``greyzone eval incidents``: deduplication on the labelled sample and at scale, and bad input.

Parts run one by one, each prints a table with what was asked beside what was measured::

    greyzone eval incidents --data DATA
    greyzone eval incidents --part scale --part bad-input
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from greyzone.eval.encoders import data_folder, run_command
from greyzone.eval.incidents.odd import format_odd, measure_odd
from greyzone.eval.incidents.pairs import format_measured, measure
from greyzone.eval.incidents.scale import SIZES, format_scale, measure_scale

Output = tuple[str, list[dict[str, object]]]
"""The tables of a part, and its rows for JSON lines."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval incidents", description="Measure how reports of one event become one incident.")
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="what to measure; may be given several times (all)")
    parser.add_argument("--data", help="folder of the data sets; GREYZONE_DATA if not given")
    parser.add_argument("--words-only", action="store_true", help="compare without the meaning of the texts, part pairs")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="reports of part scale (10000 50000)")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the bundle of part bad-input (200)")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of tables")
    given = parser.parse_args(argv)

    def command() -> int:
        for part in given.part or PARTS:
            table, rows = PARTS[part](given)
            lines = [json.dumps({"part": part, **row}, ensure_ascii=False, default=str) for row in rows]
            sys.stdout.write("\n".join(lines) + "\n" if given.json else f"## {part}\n\n{table}\n\n")
            sys.stdout.flush()
        return 0

    return run_command(command)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _pairs(given: argparse.Namespace) -> Output:
    found = measure(data_folder(given.data), encoder=None if given.words_only else "default")
    return format_measured(found), [asdict(row) for row in found.agreements] + [{"clusters": found.clusters, "seconds": found.seconds}]


def _scale(given: argparse.Namespace) -> Output:
    found = list(measure_scale(_say, given.sizes))
    return format_scale(found), [asdict(row) for row in found]


def _odd(given: argparse.Namespace) -> Output:
    found = list(measure_odd(_say, given.megabytes))
    return format_odd(found), [asdict(row) for row in found]


PARTS: dict[str, Callable[[argparse.Namespace], Output]] = {"pairs": _pairs, "scale": _scale, "bad-input": _odd}
"""What can be measured, in the order in which it is."""


if __name__ == "__main__":
    raise SystemExit(main())
