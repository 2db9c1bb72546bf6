"""One method on one set of rows in a process of its own, so that time and memory are its own.

The child reads the rows from a .npy file, runs the method on `WARM_ROWS` of them first where it compiles, and times the call alone:
not imports, not reading; by the clock, and by the processors (all threads together), which what else the machine does cannot raise
much. Memory is the peak of the whole process (`VmHWM`), Python, libraries and the rows themselves included. The
number of threads is set for every library before it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greyzone.errors import InputError
from greyzone.eval.narratives.grouping import Ints

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
"""Environment variables by which libraries are told how many threads to take."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is to do.

    `rows` and `truth` are .npy files; `chosen`, if any, is one of row numbers that are taken in that order. `seed` is None for what the
    library does without one.
    """

    method: str
    rows: Path
    truth: Path
    chosen: Path | None = None
    seed: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Labels (n,) or (n, levels) int64; seconds by the clock, and of the processors; the peak of the process in MiB."""

    labels: Ints
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_job(job: Job) -> Done:
    """Run `job` in a fresh process.

    Raises
    ------
    InputError
        If the method fails there: with the last line that it wrote.
    """
    out = job.rows.with_name(f"labels-{os.getpid()}.npy")
    env = dict(os.environ)
    if job.threads:
        env |= dict.fromkeys(THREADS, str(job.threads))
    given = {
        "method": job.method,
        "rows": str(job.rows),
        "truth": str(job.truth),
        "chosen": str(job.chosen) if job.chosen else None,
        "seed": job.seed,
        "out": str(out),
    }
    command = [sys.executable, "-m", "greyzone.eval.narratives.run"]
    done = subprocess.run(command, input=json.dumps(given), env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"{job.method} failed in a process of its own ({last})", "labels")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    labels = np.load(out)
    out.unlink()
    return Done(labels, float(found["seconds"]), float(found["cpu"]), found["bytes"] / 2**20)


def main() -> int:
    """Do the job on stdin; the last line of stdout is its seconds, those of the processors, and bytes."""
    given = json.load(sys.stdin)
    from greyzone.eval.memory import peak_bytes
    from greyzone.eval.narratives.rivals import WARM_ROWS, Task, method

    chosen = method(given["method"])
    rows, truth = np.load(given["rows"]), np.load(given["truth"])
    if given["chosen"]:
        order = np.load(given["chosen"])
        rows, truth = rows[order], truth[order]
    if chosen.warm:
        chosen.run(Task(rows[:WARM_ROWS], truth[:WARM_ROWS], given["seed"]))
    begun, busy = time.perf_counter(), time.process_time()
    labels = chosen.run(Task(rows, truth, given["seed"]))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
    np.save(given["out"], labels)
    sys.stdout.write("\n" + json.dumps({"seconds": seconds, "cpu": cpu, "bytes": peak_bytes()}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
