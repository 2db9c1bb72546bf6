"""Part `scale`: seconds and memory of finding groups in 100,000, 400,000 and all 1.58 million tweets of the IRA set.

Accounts are taken whole, by a digest of their name, so that a larger corpus has more accounts that are as busy: pairs of accounts then
grow with the square of their number, which is harder than a longer time would be. Documents, copies and embeddings are made first, as
other stages of a case make them; each size then has a process of its own that reads them, finds paraphrases and groups, and tells the
seconds of that (by the clock, and of the processors, which other work on the machine raises little) and its peak of memory, tables and
embeddings included. The exponent is that of documents from one size to the next.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.eval.commands import aligned
from greyzone.eval.coordination.journey import embed_texts
from greyzone.eval.coordination.sources import IRA, as_documents, need

SIZES = (100_000, 400_000, 1_500_000)
ASKED_SECONDS, ASKED_BYTES = 300, 6 << 30


@dataclass(frozen=True, slots=True)
class Size:
    """Figures of one size; `traces` gives pairs tested and kept by trace, notes included."""

    asked: int
    documents: int
    accounts: int
    groups: int
    flagged: int
    pairs: int
    kept: int
    seconds: float
    of_paraphrases: float
    cpu_seconds: float
    bytes: int
    traces: dict[str, str]


def measure_scale(folder: Path, say: Callable[[str], None], *, sizes: Sequence[int] = SIZES) -> Iterator[Size]:
    """Yield the figures of each size, smallest first.

    Raises
    ------
    InputError
        If the set is not there, or finding groups fails in its process: with the last line that it wrote.
    """
    need(folder, IRA)
    for size in sorted(sizes):
        with tempfile.TemporaryDirectory() as temporary:
            say(f"{size:,} tweets: reading")
            documents, copies = as_documents({IRA: sample_accounts(pq.read_table(folder / IRA), "author_id", size)})
            pq.write_table(documents, Path(temporary) / "documents.parquet")
            pq.write_table(copies, Path(temporary) / "copies.parquet")
            ids, rows = embed_texts(documents, copies)
            np.save(Path(temporary) / "rows.npy", rows)
            pq.write_table(pa.table({"doc_id": ids}), Path(temporary) / "ids.parquet")
            del documents, copies, ids, rows
            say(f"{size:,} tweets: groups")
            yield _child(size, Path(temporary))


def sample_accounts(rows: pa.Table, column: str, size: int) -> pa.Table:
    """Return the rows of whole accounts, in the order of a digest of their names, until there are `size` of them or more."""
    counts = pc.value_counts(rows[column].cast(pa.string())).to_pylist()
    counts.sort(key=lambda entry: hashlib.blake2b(str(entry["values"]).encode(), digest_size=8).digest())
    total = np.cumsum([entry["counts"] for entry in counts])
    chosen = [entry["values"] for entry in counts[: int(np.searchsorted(total, size)) + 1]]
    return rows.filter(pc.is_in(rows[column].cast(pa.string()), value_set=pa.array(chosen, pa.string())))


def format_scale(found: Sequence[Size]) -> str:
    """Return the table, and the exponent of time from each size to the next."""
    head = ["tweets", "documents", "accounts", "seconds", "of these for paraphrases", "CPU seconds", "peak, GiB", "pairs tested", "kept"]
    head += ["groups", "flagged", "exponent of CPU seconds", "asked"]
    lines = [head]
    before: Size | None = None
    for one in found:
        power = "-"
        if before is not None:
            power = f"{np.log(one.cpu_seconds / before.cpu_seconds) / np.log(one.documents / before.documents):.2f}"
        cells = [f"{one.asked:,}", f"{one.documents:,}", f"{one.accounts:,}", f"{one.seconds:.1f}", f"{one.of_paraphrases:.1f}"]
        cells += [f"{one.cpu_seconds:.1f}", f"{one.bytes / (1 << 30):.2f}"]
        asked = f"<= {ASKED_SECONDS} s, {ASKED_BYTES >> 30} GiB" if one.asked == SIZES[-1] else ""
        lines.append([*cells, f"{one.pairs:,}", f"{one.kept:,}", str(one.groups), str(one.flagged), power, asked])
        before = one
    largest = found[-1]
    return "\n".join(
        [*aligned(lines), "", f"traces at {largest.documents:,}:", *(f"- {name}: {text}" for name, text in largest.traces.items())]
    )


def _child(asked: int, folder: Path) -> Size:
    command = [sys.executable, "-m", "greyzone.eval.coordination.scale", str(asked), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"finding groups in {asked:,} tweets failed in a process of its own ({last})", "groups")
    return Size(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Find groups in the tables of a folder; the last line of stdout is a `Size`."""
    asked, folder = int(sys.argv[1]), Path(sys.argv[2])
    from greyzone.coordinate import find_groups, find_paraphrases, flagged
    from greyzone.doctrine import load_doctrine
    from greyzone.eval.memory import peak_bytes

    documents, copies = (pq.read_table(folder / f"{name}.parquet") for name in ("documents", "copies"))
    accounts = pc.count_distinct(documents["account"]).as_py()
    ids = pq.read_table(folder / "ids.parquet")["doc_id"].to_pylist()
    rows_of_texts = np.load(folder / "rows.npy")
    doctrine = load_doctrine()
    begun, busy = time.perf_counter(), time.process_time()
    paraphrases = find_paraphrases(documents, copies, ids, rows_of_texts, doctrine=doctrine)
    reworded = time.perf_counter() - begun
    del ids, rows_of_texts
    found = find_groups(documents, copies, doctrine=doctrine, paraphrases=paraphrases)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
    rows = found.traces.to_pylist()
    traces = {
        row["trace"]: f"{row['pairs_tested']:,} pairs tested, {row['pairs_kept']:,} kept; {row['note'] or 'nothing left out'}"
        for row in rows
    }
    size = Size(
        asked,
        documents.num_rows,
        accounts,
        found.groups.num_rows,
        int(pc.sum(flagged(found.groups)).as_py() or 0),
        sum(row["pairs_tested"] for row in rows),
        sum(row["pairs_kept"] for row in rows),
        seconds,
        reworded,
        cpu,
        peak_bytes(),
        traces,
    )
    sys.stdout.write("\n" + json.dumps(asdict(size)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
