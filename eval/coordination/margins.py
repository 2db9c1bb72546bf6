"""Part `bicm`: seconds and memory of the null model alone, at sizes that no set here has: a million accounts and ten million items.

Degrees are invented: accounts share a heavy-tailed number of items (lognormal, as in `corpora`), items are shared in proportion to
(1 + rank)^-.8. A process of its own solves the model on the two sequences, takes the moments of the pair statistic from it, and draws one
graph; it tells the processor seconds of each and its peak of memory after each, the degrees included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

from greyzone.coordinate.bicm import Ints, fit_bicm, sample_bicm
from greyzone.coordinate.pairs import item_weights, pair_null
from greyzone.errors import InputError
from greyzone.eval.commands import aligned
from greyzone.eval.memory import peak_bytes

ACCOUNTS, ITEMS, EACH = 1_000_000, 10_000_000, 30
"""Accounts, items, and shares an account on average."""
ASKED = "1,000,000 x 10,000,000 fit"
MOST_SHARES = 10_000
"""Items that an account shares at most."""
POPULARITY = -0.8
"""Power of the rank that an item is shared in proportion to."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Figures of one size; a step ("solve", "moments", "draw") has its processor seconds and the peak of memory by its end."""

    accounts: int
    items: int
    shares: int
    classes: tuple[int, int]
    residual: float
    drawn: int
    seconds: dict[str, float]
    bytes: dict[str, int]


def measure_bicm(accounts: int, items: int, each: int) -> Fitted:
    """Return the figures of a size, measured in a process of its own.

    Raises
    ------
    InputError
        If a size is below 1, or the process fails: with the last line that it wrote.
    """
    if min(accounts, items, each) < 1:
        raise InputError(f"{accounts} accounts, {items} items, {each} shares an account", "1 and more of each")
    command = [sys.executable, "-m", "greyzone.eval.coordination.margins", str(accounts), str(items), str(each)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"the model of {accounts:,} accounts failed in a process of its own ({last})", "fewer accounts, items or shares")
    return Fitted(**json.loads(done.stdout.splitlines()[-1]))


def format_bicm(one: Fitted) -> str:
    """Return the table of its steps."""
    head = ["accounts", "items", "shares", "degree classes", "largest error of a degree", "step", "CPU seconds", "peak, GiB", "asked"]
    size = [f"{one.accounts:,}", f"{one.items:,}", f"{one.shares:,}", " x ".join(map(str, one.classes)), f"{one.residual:.1g}"]
    lines = [[*size, step, f"{one.seconds[step]:.1f}", f"{one.bytes[step] / (1 << 30):.2f}", ASKED] for step in one.seconds]
    return "\n".join(aligned([head, *lines]))


def degrees(accounts: int, items: int, each: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the degrees of accounts and of items, which have one sum; items that nobody shares have degree 0."""
    of_accounts = np.clip(each * rng.lognormal(-0.6, 1.1, accounts), 1, min(MOST_SHARES, items)).astype(np.int64)
    odds = (1.0 + np.arange(items)) ** POPULARITY
    of_items = rng.multinomial(int(of_accounts.sum()), odds / odds.sum())
    spilt = int(np.maximum(of_items - accounts, 0).sum())
    of_items = np.minimum(of_items, accounts)
    # What an item cannot hold goes to those with least, so that the sums stay one.
    room = np.flatnonzero(of_items < accounts)[::-1]
    while spilt and len(room):
        some = room[:spilt]
        of_items[some] += 1
        spilt -= len(some)
        room = room[of_items[room] < accounts]
    return of_accounts, of_items


def main() -> int:
    """Solve one size; the last line of stdout is a `Fitted`."""
    accounts, items, each = map(int, sys.argv[1:])
    rng = np.random.default_rng(0)
    of_accounts, of_items = degrees(accounts, items, each, rng)
    seconds: dict[str, float] = {}
    held: dict[str, int] = {}
    begun = time.process_time()

    def passed(step: str) -> None:
        nonlocal begun
        seconds[step], held[step] = time.process_time() - begun, peak_bytes()
        begun = time.process_time()

    model = fit_bicm(of_accounts, of_items)
    passed("solve")
    pair_null(model, np.where(of_items > 1, item_weights(of_items, accounts), 0.0))
    passed("moments")
    drawn = sample_bicm(model, rng).nnz
    passed("draw")
    classes = (model.probability.shape[0], model.probability.shape[1])
    found = Fitted(accounts, items, int(of_accounts.sum()), classes, model.residual, int(drawn), seconds, held)
    sys.stdout.write("\n" + json.dumps(asdict(found)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
