"""Part `scale`: seconds and memory of linking an invented corpus of many documents with many incidents.

The corpus: short posts over three years, a quarter of them repeats, one narrative for every 133, two thirds of the posts in narratives,
whose sizes are heavy-tailed and whose posts come in bursts. The incidents: over six years, dated like EuRepoC 1.1 (43 % to the day, 32 %
to the month, 25 % to the year; METHOD finding 3), some with a later disclosure; each has an organisation and a word of its own that
exist nowhere else, target states and sectors. One post in ten names an incident. Vectors are random; all words are invented, so that
nothing is said of quality: that is the other parts'.

Tables are written first; a process of its own reads them and links. Its figures: seconds of each step, processor seconds with those of
the processes that read texts, and the peak of memory of all of them together, looked at five times a second.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.records import DOCUMENTS, INCIDENTS, MEMBERS, NARRATIVES, check, table

START = datetime(2030, 1, 1, tzinfo=UTC)
DAYS = 3 * 365
DIMENSIONS = 256
STATES = ("DE", "FR", "PL", "UA", "US", "GB", "IT", "CZ", "SK", "EE")
ASKED_SECONDS, ASKED_BYTES = 180, 4 << 30

STEPS = ("read_corpus", "build_gazetteer", "read_contents", "content_of", "weigh", "links_table", "_population")
"""The steps of `greyzone.link.stage` that are timed."""


def scale(documents: int = 1_000_000, incidents: int = 10_000, *, seed: int = 0) -> dict[str, Any]:
    """Link an invented corpus and return the figures, as JSON has them.

    Raises
    ------
    InputError
        If linking fails in its process: with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as temporary:
        write_corpus(Path(temporary), documents, incidents, seed)
        done = subprocess.run([sys.executable, "-m", "greyzone.eval.links.scale", temporary], capture_output=True, text=True, check=False)  # noqa: S603 - our own code
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise InputError(f"linking {documents:,} documents failed in a process of its own ({last})", "links")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def write_corpus(folder: Path, documents: int, incidents: int, seed: int) -> None:
    """Write the tables and vectors of an invented corpus."""
    rng = np.random.default_rng(seed)
    count = max(1, documents // 133)
    vocabulary = _invented(rng, 20_000)
    own = _invented(rng, 2 * incidents, length=9)
    owner = np.where(rng.random(documents) < 2 / 3, np.minimum(rng.zipf(1.3, documents) - 1, 10 * count) % count, -1)
    begin = rng.integers(0, DAYS - 40, count)
    day = np.where(owner >= 0, begin[owner] + np.minimum(rng.exponential(6.0, documents), 39), rng.random(documents) * DAYS)
    texts = _texts(rng, documents, vocabulary, own)
    stamps = (np.datetime64("2030-01-01T00:00:00", "us") + (day * 86_400e6).astype("timedelta64[us]")).astype("datetime64[us]")
    ids = pa.array([f"doc-{at:024x}" for at in range(documents)])
    given = {
        "doc_id": ids,
        "text": texts,
        "published_at": pa.array(stamps).cast(pa.timestamp("us", tz="UTC")),
        "account": pa.array([f"acc-{at}" for at in rng.integers(0, max(1, documents // 20), documents).tolist()]),
    }
    columns = [given.get(field.name, pa.nulls(documents, field.type)) for field in DOCUMENTS]
    pq.write_table(check(pa.table(columns, schema=DOCUMENTS), DOCUMENTS, "documents"), folder / "documents.parquet")
    names = pa.array([f"nar-{at:024x}" for at in range(count)])
    home = names.take(pa.array(owner, mask=owner < 0))
    members = {"doc_id": ids, "narrative_id": home}
    pq.write_table(
        pa.table([members.get(field.name, pa.nulls(documents, field.type)) for field in MEMBERS], schema=MEMBERS),
        folder / "members.parquet",
    )
    pq.write_table(_narratives(rng, names.to_pylist(), owner, day), folder / "narratives.parquet")
    pq.write_table(_incidents(rng, incidents, own), folder / "incidents.parquet")
    for name, rows in (("incident", incidents), ("narrative", count)):
        vectors = rng.standard_normal((rows, DIMENSIONS), dtype=np.float32)
        np.save(folder / f"{name}_vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _invented(rng: np.random.Generator, count: int, length: int = 6) -> list[str]:
    letters = rng.integers(0, 20, (count, length))
    return [
        "".join("bcdfghjklmnpqrstvwxz"[at] if place % 2 == 0 else "aeiou"[at % 5] for place, at in enumerate(row))
        for row in letters.tolist()
    ]


def _texts(rng: np.random.Generator, documents: int, vocabulary: list[str], own: list[str]) -> pa.Array:
    """Return posts of 12 to 24 words, the frequent ones frequent; one in ten names an incident; a quarter repeat an earlier one."""
    words = pa.array(vocabulary)
    lengths = rng.integers(12, 25, documents)
    chosen = np.minimum(rng.zipf(1.2, int(lengths.sum())), len(vocabulary)) - 1
    said = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), words.take(pa.array(chosen)))
    plain = pc.binary_join(said, " ")
    named = np.where(rng.random(documents) < 0.1, rng.integers(0, len(own), documents), -1)
    names = pc.fill_null(pa.array([name.title() for name in own]).take(pa.array(named, mask=named < 0)), "")
    texts = pc.binary_join_element_wise(plain, names, " ")
    source = np.arange(documents)
    again = np.flatnonzero(rng.random(documents) < 0.25)
    source[again] = (again * rng.random(len(again))).astype(np.int64)
    return texts.take(pa.array(source))


def _narratives(rng: np.random.Generator, ids: list[str], owner: np.ndarray, day: np.ndarray) -> pa.Table:
    first = START.date()
    order = np.lexsort((day, owner))
    bounds = np.searchsorted(owner[order], np.arange(len(ids) + 1))
    rows: list[dict[str, object]] = []
    for at, name in enumerate(ids):
        days, counts = np.unique(np.floor(day[order[bounds[at] : bounds[at + 1]]]).astype(int), return_counts=True)
        volume = [{"day": first + timedelta(days=one), "documents": many} for one, many in zip(days.tolist(), counts.tolist(), strict=True)]
        targets = [STATES[place] for place in rng.permutation(len(STATES))[: rng.integers(0, 4)]]
        rows.append({"narrative_id": name, "volume": volume, "size": int(counts.sum()), "targets": targets})
    return table(rows, NARRATIVES)


def _incidents(rng: np.random.Generator, count: int, own: list[str]) -> pa.Table:
    rows: list[dict[str, object]] = []
    tick = timedelta(microseconds=1)
    for at in range(count):
        width = (1, 30, 365)[int(rng.choice(3, p=[0.43, 0.32, 0.25]))]
        begin = START + timedelta(days=int(rng.integers(-DAYS // 2, DAYS + DAYS // 2)) // width * width)
        told = begin + timedelta(days=width + int(rng.exponential(60))) if rng.random() < 0.3 else None
        rows.append(
            {
                "incident_id": f"inc-{at:024x}",
                "name": f"{own[2 * at].title()} was met",
                "description": "An intrusion into systems of an organisation was told of.",
                "onset_lo": begin,
                "onset_hi": begin + timedelta(days=width) - tick,
                "disclosed_lo": told,
                "disclosed_hi": told + timedelta(days=1) - tick if told else None,
                "target_state": STATES[int(rng.integers(len(STATES)))],
                "sectors": [("energy", "health", "finance", "media")[int(rng.integers(4))]],
                "technique_class": "doxing" if rng.random() < 0.2 else "espionage",
                "entities": [{"kind": "organisation", "value": own[2 * at + 1].title()}],
            }
        )
    return table(rows, INCIDENTS)


def main() -> int:
    """Link the tables of a folder; the last line of stdout is the figures."""
    from greyzone.doctrine import load_doctrine
    from greyzone.eval.memory import peak_bytes
    from greyzone.link import stage

    folder = Path(sys.argv[1])
    seconds: dict[str, float] = {}

    def timed(name: str) -> Callable[..., Any]:
        step = getattr(stage, name)

        @wraps(step)
        def run(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            begun = time.perf_counter()
            found = step(*given, **named)
            seconds[name.strip("_")] = round(time.perf_counter() - begun, 2)
            return found

        return run

    for name in STEPS:
        setattr(stage, name, timed(name))
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in ("incidents", "narratives", "members", "documents")}
    vectors = {f"{name}_vectors": np.load(folder / f"{name}_vectors.npy") for name in ("incident", "narrative")}
    doctrine = load_doctrine()
    begun, busy = time.perf_counter(), _processor_seconds()
    with _Watch() as watch:
        result = stage.link(**tables, **vectors, coordinated={}, doctrine=doctrine)
    figures = {
        "documents": tables["documents"].num_rows,
        "incidents": tables["incidents"].num_rows,
        "narratives": tables["narratives"].num_rows,
        "candidates": result.context["pairs_candidate"],
        "links": result.links.num_rows,
        "seconds": round(time.perf_counter() - begun, 1),
        "processor_seconds": round(_processor_seconds() - busy, 1),
        "steps": seconds,
        "own_peak_mib": round(peak_bytes() / 2**20),
        "peak_mib": round(max(watch.peak, peak_bytes()) / 2**20),
        "asked": {"seconds": ASKED_SECONDS, "mib": ASKED_BYTES >> 20},
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


class _Watch:
    """Watches the resident memory of this process and those that it started, where the system tells it (`/proc`)."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.peak = max(self.peak, sum(map(_resident, [os.getpid(), *_children(os.getpid())])))


def _children(process: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *_children(child)]
    return found


def _resident(process: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _processor_seconds() -> float:
    own, read = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + read.ru_utime + read.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
