"""How much of a grouping hangs on what should not matter: the order of rows, the seed, the threads, which documents were at hand.

Each figure is the adjusted Rand index with the grouping of all rows in order (noise as one cluster a document in both), the mean over
runs; `same` says that every run gave the same labels to the byte. A method that has seeds gets seed 0 in every run but those that
compare seeds, so that one thing changes at a time. Sub-samples are `SHARE` of the documents, compared over these: there, and there
alone, some change is right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from greyzone.eval.narratives.grouping import Ints, agreement
from greyzone.eval.narratives.run import Job, run_job

SHARE = 0.8
"""Documents of a sub-sample."""

SUBSAMPLES = 5
SHUFFLES = 3
SEEDS = (1, 2, 3)
THREADS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Stability:
    """Mean agreement over `runs` runs, and whether all gave the same bytes; `what` is order, seed, threads or subsample."""

    what: str
    agreement: float
    same: bool
    runs: int


def measure_stability(job: Job, *, seeded: bool, shuffles: int = SHUFFLES, subsamples: int = SUBSAMPLES) -> list[list[Stability]]:
    """Return how stable a method is on its rows: one list for each level of its labels, or one alone.

    Parameters
    ----------
    job
        Method, rows and threads.
    seeded
        Whether it has seeds.
    shuffles, subsamples
        Orders and sub-samples that are tried; 0 leaves them out.

    Raises
    ------
    InputError
        If a run fails.
    """
    job = replace(job, seed=0 if seeded else None)
    base = _levels(job)
    n = len(base)
    rng = np.random.default_rng(0)
    every = np.arange(n)
    orders = [rng.permutation(n) for _ in range(shuffles)]
    parts = [np.sort(rng.choice(n, max(1, round(SHARE * n)), replace=False)) for _ in range(subsamples)]
    found = []
    if shuffles:
        found.append(_compare("order", base, ((order, _on_rows(job, order)) for order in orders)))
    if seeded:
        found.append(_compare("seed", base, ((every, _levels(replace(job, seed=seed))) for seed in SEEDS)))
    found.append(_compare("threads", base, ((every, _levels(replace(job, threads=threads))) for threads in THREADS)))
    if subsamples:
        found.append(_compare("subsample", base, ((part, _on_rows(job, part)) for part in parts)))
    return [list(level) for level in zip(*found, strict=True)]


def _levels(job: Job) -> Ints:
    """Return the (n, levels) labels of a run."""
    found = run_job(job).labels
    return found[:, None] if found.ndim == 1 else found


def _on_rows(job: Job, order: Ints) -> Ints:
    """Return the labels of the rows `order`, taken in that order."""
    path = job.rows.with_name("chosen.npy")
    np.save(path, order)
    try:
        return _levels(replace(job, chosen=path))
    finally:
        path.unlink()


def _compare(what: str, base: Ints, runs: Iterable[tuple[Ints, Ints]]) -> list[Stability]:
    """Compare runs, each the rows it was on and their labels, with the labels of all, level by level."""
    alike, same = [], []
    for rows, found in runs:
        alike.append([agreement(base[rows, level], found[:, level]) for level in range(base.shape[1])])
        same.append([bool(np.array_equal(base[rows, level], found[:, level])) for level in range(base.shape[1])])
    return [
        Stability(what, float(np.mean([run[level] for run in alike])), all(run[level] for run in same), len(alike))
        for level in range(base.shape[1])
    ]
