"""``greyzone eval impact``: axioms, adversaries, known cases, gradings, doctrines, true worlds and speed.

Parts run one by one, each prints a table with what was asked beside what was measured::

    greyzone eval impact --part face --part dcid --part ensemble --data DATA
    greyzone eval impact --part axioms --part robustness --part coverage --part speed
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

from greyzone.eval.commands import Output, add_options, data_folder, run_parts
from greyzone.eval.impact.agreement import measure_agreement
from greyzone.eval.impact.axioms import measure_axioms
from greyzone.eval.impact.coverage import CASES, measure_coverage
from greyzone.eval.impact.ensemble import measure_ensemble
from greyzone.eval.impact.face import measure_face
from greyzone.eval.impact.findings import Finding, format_findings
from greyzone.eval.impact.robustness import measure_robustness
from greyzone.eval.impact.speed import measure_speed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval impact", description="Measure the impact score against what can be known of it.")
    add_options(parser, PARTS)
    parser.add_argument("--data", help="folder of the data sets (parts face, dcid, ensemble); GREYZONE_DATA if not given")
    parser.add_argument("--cases", type=int, default=CASES, help=f"worlds of part coverage ({CASES})")
    parser.add_argument("--seed", type=int, default=0, help="seed of part coverage (0)")
    given = parser.parse_args(argv)
    return run_parts({name: partial(_told, part) for name, part in PARTS.items()}, given)


def _told(part: Callable[[argparse.Namespace], Iterator[Finding]], given: argparse.Namespace) -> Output:
    found = list(part(given))
    return format_findings(found), [asdict(one) for one in found]


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Finding]]] = {
    "axioms": lambda _: measure_axioms(),
    "face": lambda given: measure_face(data_folder(given.data)),
    "dcid": lambda given: measure_agreement(data_folder(given.data)),
    "ensemble": lambda given: measure_ensemble(data_folder(given.data)),
    "coverage": lambda given: measure_coverage(given.cases, given.seed),
    "speed": lambda _: measure_speed(),
    "robustness": lambda _: measure_robustness(),
}
"""What can be measured, in the order in which it is."""


if __name__ == "__main__":
    raise SystemExit(main())
