"""``greyzone eval incidents``: deduplication on the labelled sample and at scale, and bad input.

Parts run one by one, each prints a table with what was asked beside what was measured::

    greyzone eval incidents --data DATA
    greyzone eval incidents --part scale --part bad-input
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from greyzone.eval.commands import Output, Parts, add_options, data_folder, run_parts, say
from greyzone.eval.incidents.odd import format_odd, measure_odd
from greyzone.eval.incidents.pairs import format_measured, measure
from greyzone.eval.incidents.scale import SIZES, format_scale, measure_scale


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval incidents", description="Measure how reports of one event become one incident.")
    add_options(parser, PARTS)
    parser.add_argument("--data", help="folder of the data sets; GREYZONE_DATA if not given")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="reports of part scale (10000 50000)")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the bundle of part bad-input (200)")
    given = parser.parse_args(argv)
    return run_parts(PARTS, given)


def _pairs(given: argparse.Namespace) -> Output:
    found = measure(data_folder(given.data))
    return format_measured(found), [asdict(row) for row in found.agreements] + [{"clusters": found.clusters, "seconds": found.seconds}]


def _scale(given: argparse.Namespace) -> Output:
    found = list(measure_scale(say, given.sizes))
    return format_scale(found), [asdict(row) for row in found]


def _odd(given: argparse.Namespace) -> Output:
    found = list(measure_odd(say, given.megabytes))
    return format_odd(found), [asdict(row) for row in found]


PARTS: Parts = {"pairs": _pairs, "scale": _scale, "bad-input": _odd}
"""What can be measured, in the order in which it is."""


if __name__ == "__main__":
    raise SystemExit(main())
