"""Maps over batches keep their order, whatever the number of workers."""

from __future__ import annotations

import os

import pytest

from greyzone.engine import available_workers, map_batches


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


def test_available_workers():
    assert 1 <= available_workers() <= (os.cpu_count() or 1)
