"""``greyzone eval coordination``: groups of accounts against truth, on invented and on real corpora, in quality, time and memory.

Parts run one by one, each prints a table with what was asked beside what was measured::

    greyzone eval coordination --part null --runs 200
    greyzone eval coordination --part planted --runs 210
    greyzone eval coordination --part ira-congress --part hoaxes --part scale --data DATA
    greyzone eval coordination --part bicm --accounts 1000000 --items 10000000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from greyzone.eval.commands import Output, Parts, add_options, data_folder, run_parts, say
from greyzone.eval.coordination.margins import ACCOUNTS, EACH, ITEMS, format_bicm, measure_bicm
from greyzone.eval.coordination.odd import format_odd, measure_odd
from greyzone.eval.coordination.planted import SHARES, format_null, format_planted, measure_null, measure_planted
from greyzone.eval.coordination.plants import KINDS
from greyzone.eval.coordination.real import contests, format_contests, format_hoaxes, hoaxes
from greyzone.eval.coordination.scale import SIZES, format_scale, measure_scale


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval coordination", description="Measure groups of accounts against known truth.")
    add_options(parser, PARTS)
    parser.add_argument("--runs", type=int, default=200, help="invented corpora of part null, and of each share of part planted (200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first invented corpus (0)")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="planted accounts of all, part planted (.01 .05 .2)")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS), help="what is planted, in turns (all)")
    parser.add_argument("--data", help="folder of the data sets; GREYZONE_DATA if not given")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="tweets of part scale (100000 400000 1500000)")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help=f"accounts of part bicm ({ACCOUNTS})")
    parser.add_argument("--items", type=int, default=ITEMS, help=f"items of part bicm ({ITEMS})")
    parser.add_argument("--each", type=int, default=EACH, help=f"shares an account of part bicm, on average ({EACH})")
    given = parser.parse_args(argv)
    return run_parts(PARTS, given)


def _null(given: argparse.Namespace) -> Output:
    runs = list(measure_null(given.runs, given.seed, say))
    return format_null(runs), [asdict(run) for run in runs]


def _planted(given: argparse.Namespace) -> Output:
    runs = list(measure_planted(given.runs, given.seed, say, shares=given.shares, kinds=given.kinds))
    return format_planted(runs), [asdict(run) for run in runs]


def _contests(given: argparse.Namespace) -> Output:
    found = contests(data_folder(given.data))
    return format_contests(found), [asdict(one) for one in found]


def _hoaxes(given: argparse.Namespace) -> Output:
    found = hoaxes(data_folder(given.data))
    return format_hoaxes(found), [asdict(one) for one in found]


def _scale(given: argparse.Namespace) -> Output:
    found = list(measure_scale(data_folder(given.data), say, sizes=given.sizes))
    return format_scale(found), [asdict(one) for one in found]


def _odd(_: argparse.Namespace) -> Output:
    found = list(measure_odd(say))
    return format_odd(found), [asdict(one) for one in found]


def _bicm(given: argparse.Namespace) -> Output:
    found = measure_bicm(given.accounts, given.items, given.each)
    return format_bicm(found), [asdict(found)]


PARTS: Parts = {
    "null": _null,
    "planted": _planted,
    "ira-congress": _contests,
    "hoaxes": _hoaxes,
    "scale": _scale,
    "bad-input": _odd,
    "bicm": _bicm,
}
"""What can be measured, in the order in which it is."""


if __name__ == "__main__":
    raise SystemExit(main())
