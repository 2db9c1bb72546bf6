"""Part `bad-input`: corpora that are odd in one way; each has to end in a result or in one clear line, and soon.

Each case is run at two sizes, so that a time that grows with the square of the rows shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from greyzone import records
from greyzone.coordinate import find_groups, flagged
from greyzone.doctrine import load_doctrine
from greyzone.errors import GreyzoneError
from greyzone.eval.commands import aligned
from greyzone.eval.coordination.corpora import START
from greyzone.eval.coordination.wording import Wording
from greyzone.eval.scenario.templates import Draws

SIZES = (25_000, 100_000)
"""Documents of a case."""
ACCOUNTS = 2_000
"""Accounts of a case that has many, but for the item that everybody shares: there it is one a document."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Odd:
    """What came of one case: seconds of the processors, groups or a line of the error, and what the traces say of themselves."""

    name: str
    documents: int
    seconds: float
    result: str
    notes: str


def odd_cases(documents: int) -> Iterator[tuple[str, list[Row]]]:
    """Yield the name and the rows of each case."""
    ordinary = _ordinary(documents)
    yield "no documents", []
    yield "nothing odd", ordinary
    yield "no times", [{**row, "published_at": None, "published_precision": "unknown"} for row in ordinary]
    yield (
        "one account has all posts but 1,000",
        [{**row, "account": "busy"} if number >= 1000 else row for number, row in enumerate(ordinary)],
    )
    shared = ["https://everybody.example/1"]
    yield "an item shared by everybody", [{**row, "account": f"acct{number}", "urls": shared} for number, row in enumerate(ordinary)]
    yield (
        "an item shared by everybody, 200 accounts again and again",
        [{**row, "account": str(row["account"])[:-1], "urls": shared} for row in ordinary],
    )
    yield "one account", [{**row, "account": "alone"} for row in ordinary]
    yield "identical timestamps", [{**row, "published_at": START} for row in ordinary]
    yield (
        "one text, one time, all accounts",
        [{**row, "published_at": START, "text": "the same five words here", "urls": []} for row in ordinary],
    )
    yield "no accounts", [{**row, "account": None} for row in ordinary]


def measure_odd(say: Callable[[str], None], *, sizes: Sequence[int] = SIZES) -> Iterator[Odd]:
    """Yield what came of every case at every size."""
    from greyzone.collapse import collapse

    doctrine = load_doctrine()
    for size in sizes:
        for name, rows in odd_cases(size):
            documents = records.table(rows, records.DOCUMENTS)
            copies = collapse(documents, workers=1) if rows else records.empty(records.COPIES)
            begun = time.process_time()
            try:
                found = find_groups(documents, copies, doctrine=doctrine)
                result = f"{found.groups.num_rows} groups, {sum(flagged(found.groups).to_pylist())} flagged"
                notes = _notes(found.traces)
            except GreyzoneError as error:
                result, notes = f"error: {error}", ""
            seconds = time.process_time() - begun
            say(f"{name}, {len(rows):,} documents: {result} in {seconds:.1f} s")
            yield Odd(name, len(rows), seconds, result, notes)


def format_odd(found: Sequence[Odd]) -> str:
    """Return a table of the cases."""
    lines = [["case", "result", "documents", "CPU seconds", "traces say"]]
    lines += [[one.name, one.result, f"{one.documents:,}", f"{one.seconds:.1f}", one.notes] for one in found]
    return "\n".join(aligned(lines))


def _ordinary(documents: int) -> list[Row]:
    """Return posts of accounts that have nothing to do with each other, some pages liked by many (Zipf), one post every 20 seconds."""
    rng = np.random.default_rng(5)
    wording = Wording(Draws(np.random.default_rng(6)))
    account = rng.integers(0, ACCOUNTS, documents).tolist()
    page = (rng.zipf(1.3, documents) % 100_000).tolist()
    return [
        {
            "doc_id": f"doc-{number:07d}",
            "text": wording.remark(),
            "lang": "en",
            "published_at": START + timedelta(seconds=number * 20),
            "published_precision": "second",
            "account": f"acct{account[number]}",
            "urls": [f"https://pages.example/{page[number]}"],
            "hashtags": [],
            "mentions": [],
            "is_repost": False,
        }
        for number in range(documents)
    ]


def _notes(traces: pa.Table) -> str:
    """Return how many traces were tested, and what the trace of addresses and the narrowest timed one say."""
    rows = {row["trace"]: row for row in traces.to_pylist()}
    supported = sum(row["supported"] for row in rows.values())
    timed = next((name for name in rows if name.startswith("fast")), "")
    said = [f"{name}: {rows[name]['note']}" for name in ("co-url", timed) if name in rows and rows[name]["note"]]
    return "; ".join([f"{supported} of {len(rows)} tested", *said])
