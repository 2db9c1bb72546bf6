"""How many random cases each axiom was tried with: the property tests are run and what Hypothesis counted is read.

The tests are those of a checkout (tests/test_axioms.py, and for A14, the refusal list, those of the texts of profiles); an installed
greyzone does not hold them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import greyzone.eval
from greyzone.errors import InputError
from greyzone.eval.impact.findings import Finding

CASES = 1000
"""Random cases an axiom is to be tried with (METHOD, axioms)."""
AXIOMS = tuple(f"A{number}" for number in range(1, 16))
FILES = ("test_axioms.py", "test_guardrails.py", "test_campaigns.py")
_TEST = re.compile(r"^\S*test_\w+\.py::test_(a\d\d|adversary)(\w*)", re.MULTILINE)
_COUNT = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def measure_axioms() -> Iterator[Finding]:
    """Run the property tests and yield a finding an axiom, and one a test of an adversary."""
    tests = Path(str(greyzone.eval.__file__)).parents[1] / "tests"
    if not (tests / FILES[0]).exists():
        raise InputError(f"no {tests / FILES[0]}", "a checkout of greyzone with its tests", "clone the repository, pip install -e .")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-show-statistics",
        "--hypothesis-profile",
        "thousand",
        "-k",
        "test_a or test_adversary",
        "-m",
        "slow or not slow",
    ]
    command += [str(tests / name) for name in FILES if (tests / name).exists()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tests.parent)  # noqa: S603
    found = read_counts(done.stdout)
    if not found:
        raise InputError(
            f"the property tests could not be run ({done.stdout[-200:]!r})", "pytest and hypothesis", "pip install -e '.[dev]'"
        )
    for axiom in AXIOMS:
        own = [count for name, count in found if name.upper().lstrip("A0").split("_")[0] == axiom[1:]]
        least = min((passing for passing, _ in own), default=0)
        failing = sum(failed for _, failed in own)
        measured = f"{len(own)} tests, at least {least} cases each, {failing} failing"
        yield Finding(axiom, f"{CASES} random cases", measured, least >= CASES and not failing)
    for name, (passing, failing) in found:
        if name.startswith("adversary"):
            yield Finding(
                name.replace("_", " "), f"{CASES} random cases", f"{passing} cases, {failing} failing", passing >= CASES and not failing
            )


def read_counts(output: str) -> list[tuple[str, tuple[int, int]]]:
    """Return (name, (passing, failing)) of each property test in what pytest printed with ``--hypothesis-show-statistics``."""
    marks = list(_TEST.finditer(output))
    found = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        counts = _COUNT.findall(output[mark.end() : following.start() if following else len(output)])
        if counts:
            found.append((mark[1] + mark[2], (sum(int(count[0]) for count in counts), sum(int(count[1]) for count in counts))))
    return found
