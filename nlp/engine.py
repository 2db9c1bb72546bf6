"""Runs a stage's batches on this machine's cores.

Stages are maps over batches and merges of their results, so that another engine (a cluster) can take this one's place with the
same result: `map_batches` keeps the order of the batches whatever the number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_INLINE_BATCHES = 3
_AHEAD = 2


def available_workers() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_batches(function: Callable[[Batch], Result], batches: Iterable[Batch], *, workers: int | None = None) -> Iterator[Result]:
    """Apply a pure `function` to every batch and yield the results in the order of the batches.

    Parameters
    ----------
    function
        A module-level function; it and its results travel between processes.
    batches
        Read lazily: at most a few more than the workers are held in memory.
    workers
        Processes; None for all processors, 1 for this process alone. The first few batches run here in any case, since starting
        processes costs more than a small job.

    Yields
    ------
    Result
        One a batch, in order.
    """
    count = available_workers() if workers is None else max(1, workers)
    source = iter(batches)
    for batch in islice(source, _INLINE_BATCHES):
        yield function(batch)
    if count == 1:
        yield from map(function, source)
        return
    head = next(source, None)
    if head is None:
        return
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending: deque[Future[Result]] = deque([pool.submit(function, head)])
        for batch in source:
            pending.append(pool.submit(function, batch))
            if len(pending) >= count + _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
