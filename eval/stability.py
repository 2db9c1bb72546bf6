"""How much of a grouping hangs on what should not matter: the order of rows, the seed, the threads, which documents were at hand.

Each figure is the adjusted Rand index with the grouping of all rows in order (noise as one cluster a document in both), the mean over
runs; `same` says that every run gave the same labels to the byte. A method that has seeds gets seed 0 in every run but those that
compare seeds, so that one thing changes at a time. Sub-samples are `SHARE` of the documents, compared over these: there, and there
alone, some change is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from greyzone.eval.cluster_run import Job, run_job
from greyzone.eval.grouping import Ints, agreement

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


def measure_stability(job: Job, *, column: int | None = None, seeded: bool, shuffles: int = SHUFFLES) -> list[Stability]:
    """Return how stable a method is on its rows.

    Parameters
    ----------
    job
        Method, rows and threads.
    column
        Which column of the labels to compare, where the method has several levels.
    seeded
        Whether it has seeds.
    shuffles
        Orders that are tried; 0 leaves them out.

    Raises
    ------
    InputError
        If a run fails.
    """
    job = replace(job, seed=0 if seeded else None)

    def labels(varied: Job) -> Ints:
        found = run_job(varied).labels
        return found if found.ndim == 1 else found[:, column or 0]

    base = labels(job)
    every = np.arange(len(base))
    rng = np.random.default_rng(0)

    def chosen(orders: list[Ints]) -> Iterator[tuple[Ints, Ints]]:
        for order in orders:
            yield order, _on_rows(job, order, labels)

    part = max(1, round(SHARE * len(base)))
    found = []
    if shuffles:
        found.append(_compare("order", base, chosen([rng.permutation(len(base)) for _ in range(shuffles)])))
    if seeded:
        found.append(_compare("seed", base, ((every, labels(replace(job, seed=seed))) for seed in SEEDS)))
    found.append(_compare("threads", base, ((every, labels(replace(job, threads=threads))) for threads in THREADS)))
    parts = [np.sort(rng.choice(len(base), part, replace=False)) for _ in range(SUBSAMPLES)]
    found.append(_compare("subsample", base, chosen(parts)))
    return found


def _on_rows(job: Job, order: Ints, labels: Callable[[Job], Ints]) -> Ints:
    """Return the labels of the rows `order`, taken in that order."""
    path = job.rows.with_name("chosen.npy")
    np.save(path, order)
    try:
        return labels(replace(job, chosen=path))
    finally:
        path.unlink()


def _compare(what: str, base: Ints, runs: Iterable[tuple[Ints, Ints]]) -> Stability:
    """Compare runs, each the rows it was on and their labels, with the labels of all."""
    alike, same = [], True
    for rows, found in runs:
        alike.append(agreement(base[rows], found))
        same &= bool(np.array_equal(base[rows], found))
    return Stability(what, float(np.mean(alike)), same, len(alike))
