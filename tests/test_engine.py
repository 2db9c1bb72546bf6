"""Maps over batches keep their order, whatever the number of workers."""

from __future__ import annotations

import os
import threading

import pyarrow as pa
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from greyzone.engine import _packed, _unpacked, available_workers, map_batches, on_threads, shards


def square(number: int) -> int:
    return number * number


def process(_: int) -> int:
    return os.getpid()


def fails(number: int) -> int:
    if number == 6:
        raise ValueError("the sixth")
    return number


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 11])
def test_order_is_kept(workers, count):
    assert list(map_batches(square, range(count), workers=workers)) == [number * number for number in range(count)]


def test_other_processes_are_used():
    assert len(set(map_batches(process, range(12), workers=2))) > 1


def test_batches_are_read_lazily():
    read = []

    def source():
        for number in range(1000):
            read.append(number)
            yield number

    results = map_batches(square, source(), workers=2)
    for _ in range(5):
        next(results)
    assert len(read) < 20
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_here(workers):
    with pytest.raises(ValueError, match="the sixth"):
        list(map_batches(fails, range(9), workers=workers))


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_are_done_on_as_many_threads_as_products_take(threads):
    begun = threading.Barrier(threads, timeout=60)

    def product(number):
        # With fewer threads than that nobody would ever go on.
        begun.wait()
        within = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
        return number * number, max(within), threading.get_ident()

    with threadpool_limits(threads, user_api="blas"):
        found = on_threads(product, range(threads))
    numbers, within, idents = zip(*found, strict=True)
    assert numbers == tuple(number * number for number in range(threads))
    assert set(within) == {1}
    assert len(set(idents)) == threads


def test_an_error_on_a_thread_is_raised_here():
    with threadpool_limits(2, user_api="blas"), pytest.raises(ValueError, match="the sixth"):
        on_threads(fails, range(9))


def test_available_workers():
    assert 1 <= available_workers() <= (os.cpu_count() or 1)


def middle(rows: pa.Table) -> pa.Table:
    return rows.slice(1, 1)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_shards_hold_every_row_in_order(workers, size):
    rows = pa.table({"text": [f"text {place}" for place in range(13)]})
    parts = list(shards(rows, size))
    assert [part.num_rows for part in parts] == [size] * (13 // size) + [13 % size] * (13 % size > 0)
    assert pa.concat_tables(parts).equals(rows)
    seconds = [part.slice(1, 1)["text"].to_pylist() for part in parts]
    assert [part["text"].to_pylist() for part in map_batches(middle, parts, workers=workers)] == seconds


def test_an_empty_table_has_no_shards():
    assert list(shards(pa.table({"text": pa.array([], pa.string())}), 5)) == []


def test_a_shard_travels_without_the_rest_of_its_table():
    rows = pa.table({"text": ["x" * 1000] * 1000})
    assert len(_packed(rows.slice(3, 1))) < 4000
    assert _unpacked(_packed((rows.slice(3, 1), "beside")))[0].equals(rows.slice(3, 1))
