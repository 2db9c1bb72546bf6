"""``greyzone eval links``: links between narratives and incidents against truth, on invented and on real corpora.

Parts run one by one, each prints a table with what was asked beside what was measured::

    greyzone eval links --part type1 --runs 2000
    greyzone eval links --part synthetic --worlds 25
    greyzone eval links --part real --part cases --data DATA --work FOLDER
    greyzone eval links --part scale
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from greyzone.eval.commands import Output, Parts, add_options, aligned, data_folder, run_parts, say
from greyzone.eval.links.cases import format_cases, measure_cases
from greyzone.eval.links.chance import format_type1, measure_pairs, measure_type1
from greyzone.eval.links.real import format_real, measure_real
from greyzone.eval.links.scale import ASKED_BYTES, ASKED_SECONDS, scale
from greyzone.eval.links.synthetic import format_synthetic, measure_synthetic
from greyzone.eval.links.worlds import SETTINGS

WORK = Path("links-eval")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval links", description="Measure links against known truth.")
    add_options(parser, PARTS)
    parser.add_argument("--runs", type=int, default=2000, help="null series of part type1 (2000)")
    parser.add_argument("--worlds", type=int, default=25, help="invented worlds of each setting, part synthetic (25)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first series or world (0)")
    parser.add_argument("--data", help="folder of the data sets; GREYZONE_DATA if not given")
    parser.add_argument("--work", type=Path, default=WORK, help=f"folder that keeps the narratives of the real corpora ({WORK})")
    parser.add_argument("--case", type=Path, help="a finished case of all tweets, used instead of clustering windows of them")
    parser.add_argument("--fresh", action="store_true", help="make the narratives anew")
    parser.add_argument("--whole", action="store_true", help="part real on all tweets as one corpus: minutes to cluster, and memory")
    parser.add_argument("--documents", type=int, default=1_000_000, help="documents of part scale (1000000)")
    parser.add_argument("--incidents", type=int, default=10_000, help="incidents of part scale (10000)")
    given = parser.parse_args(argv)
    given.links = {}
    return run_parts(PARTS, given)


def _type1(given: argparse.Namespace) -> Output:
    runs = list(measure_type1(given.runs, given.seed, say))
    pairs = list(measure_pairs(max(1, given.runs // 10), given.seed))
    return format_type1(runs, pairs), [*(asdict(run) for run in runs), *(asdict(one) for one in pairs)]


def _synthetic(given: argparse.Namespace) -> Output:
    tables, rows = [], []
    for setting in SETTINGS:
        runs = list(measure_synthetic(setting, given.worlds, given.seed, say))
        tables.append(format_synthetic(runs))
        rows += [asdict(run) for run in runs]
    return "\n\n".join(tables), rows


def _real(given: argparse.Namespace) -> Output:
    how = {"fresh": given.fresh, "case": given.case, "links": given.links}
    found = list(measure_real(data_folder(given.data), given.work, say, whole=given.whole, **how))
    return format_real(found), [row for corpus, stories in found for row in (asdict(corpus), *(asdict(one) for one in stories))]


def _cases(given: argparse.Namespace) -> Output:
    found = measure_cases(data_folder(given.data), given.work, say, fresh=given.fresh, case=given.case, links=given.links)
    return format_cases(found), [asdict(one) for one in found]


def _scale(given: argparse.Namespace) -> Output:
    found = scale(given.documents, given.incidents, seed=given.seed)
    lines = [["figure", "measured"], *([name, _shown(value)] for name, value in found.items())]
    asked = f"asked for 1,000,000 documents and 10,000 incidents: {ASKED_SECONDS} s, {ASKED_BYTES >> 30} GiB, 2 cores"
    return "\n".join([*aligned(lines), "", asked]), [found]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


PARTS: Parts = {
    "type1": _type1,
    "synthetic": _synthetic,
    "real": _real,
    "cases": _cases,
    "scale": _scale,
}
"""What can be measured, in the order in which it is."""


if __name__ == "__main__":
    raise SystemExit(main())
