"""Runs a stage's batches on this machine's cores.

Stages are maps over batches and merges of their results, so that another engine (a cluster) can take this one's place with the
same result: `map_batches` keeps the order of the batches whatever the number of workers.
"""

from __future__ import annotations

import copyreg
import io
import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
from threadpoolctl import ThreadpoolController

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
        pending: deque[Future[bytes]] = deque([pool.submit(_run, function, _packed(head))])
        for batch in source:
            pending.append(pool.submit(_run, function, _packed(batch)))
            if len(pending) >= count + _AHEAD:
                yield _unpacked(pending.popleft().result())
        while pending:
            yield _unpacked(pending.popleft().result())


def on_threads(function: Callable[[Batch], Result], parts: Iterable[Batch]) -> list[Result]:
    """Apply `function` to every part on as many threads as matrix products would take, each of them on one; results in order.

    For parts whose work is done by numpy, which lets other threads run meanwhile, and which write nothing that another reads.
    """
    parts, controller = list(parts), _products()
    count = min(len(parts), max([library["num_threads"] for library in controller.info()], default=1))
    if count < 2:
        return list(map(function, parts))
    # Threads take parts by themselves: to hand out tens of thousands of them one by one would keep this thread busy for seconds.
    waiting, found = deque(enumerate(parts)), dict[int, Result]()

    def work() -> None:
        while True:
            try:
                place, part = waiting.popleft()
            except IndexError:
                return
            found[place] = function(part)

    with controller.limit(limits=1), ThreadPoolExecutor(count) as pool:
        at_work = [pool.submit(work) for _ in range(count)]
        try:
            for thread in at_work:
                thread.result()
        finally:
            waiting.clear()
    return [found[place] for place in range(len(parts))]


def shards(rows: pa.Table, size: int) -> Iterator[pa.Table]:
    """Yield a table in shards of `size` rows, the last one shorter; an empty table has none.

    Parameters
    ----------
    rows
        A table whose order is the order of the shards.
    size
        Rows of a shard, at least 1. A stage must give the same result whatever it is, so that it can run on any number of machines.

    Yields
    ------
    pa.Table
        Views of `rows`; `map_batches` sends their rows alone.
    """
    for begin in range(0, rows.num_rows, size):
        yield rows.slice(begin, size)


@cache
def _products() -> ThreadpoolController:
    """Return what tells and limits the threads of matrix products; to look for them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def _run(function: Callable[[Batch], Result], packed: bytes) -> bytes:
    return _packed(function(_unpacked(packed)))


def _packed(value: object) -> bytes:
    """Pickle a value; tables in it travel as Arrow streams, since a pickled slice takes the buffers of the whole along."""
    sink = io.BytesIO()
    pickler = pickle.Pickler(sink, protocol=5)
    pickler.dispatch_table = copyreg.dispatch_table | {pa.Table: _streamed}
    pickler.dump(value)
    return sink.getvalue()


def _unpacked(packed: bytes) -> Any:  # noqa: ANN401
    return pickle.loads(packed)  # noqa: S301 what another process of ours packed


def _streamed(table: pa.Table) -> tuple[Any, ...]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return _read, (sink.getvalue().to_pybytes(),)


def _read(stream: bytes) -> pa.Table:
    return pa.ipc.open_stream(stream).read_all()
