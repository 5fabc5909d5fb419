"""Items that several threads read: each gets all of them, and all get one before the next.

The rule here: an array is reused for the next batch, as a stream may do.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from batonics.jobs.shared_items import SharedItems
from batonics.model.errors import InputError
from batonics.model.mbo import MboBatch, empty_batch

THREADS = 3


def reused_batches(count: int, *, fails: bool = False) -> Iterator[MboBatch]:
    """Batches with numbers from 0 on, all in one array."""
    batch = empty_batch(1)
    for number in range(count):
        batch.size[0] = number
        yield batch
    if fails:
        raise InputError("cut off")


def sizes(shared: SharedItems[MboBatch]) -> list[int]:
    """The numbers of all batches, which are the same before and after a pause."""
    found = []
    for batch in shared.items():
        before = int(batch.size[0])
        np.sort(np.arange(10_000)[::-1])
        assert int(batch.size[0]) == before
        found.append(before)
    return found


def test_each_thread_gets_each_batch() -> None:
    shared = SharedItems(reused_batches(200), THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        results = list(threads.map(lambda _: sizes(shared), range(THREADS)))
    assert results == [list(range(200))] * THREADS


def test_an_error_of_the_reading_reaches_each_thread() -> None:
    shared = SharedItems(reused_batches(2, fails=True), THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        errors = [threads.submit(sizes, shared).exception for _ in range(THREADS)]
        assert [str(error()) for error in errors] == ["cut off"] * THREADS


@pytest.mark.parametrize("after", [0, 3])
def test_a_thread_that_fails_stops_the_others(after: int) -> None:
    shared = SharedItems(reused_batches(50), THREADS)

    def fail() -> None:
        for number, _ in enumerate(shared.items()):
            if number == after:
                shared.cancel()
                raise ZeroDivisionError

    with ThreadPoolExecutor(THREADS) as threads:
        others = [threads.submit(sizes, shared) for _ in range(THREADS - 1)]
        failed = threads.submit(fail)
        assert isinstance(failed.exception(), ZeroDivisionError)
        assert {type(other.exception()).__name__ for other in others} == {"CancelledError"}


@pytest.mark.parametrize("failing", ["outer", "inner"])
def test_items_made_of_shared_items_are_shared_and_stop(failing: str) -> None:
    outer = SharedItems(reused_batches(50), 2)
    inner = SharedItems(outer.items(), 2)

    def fail(shared: SharedItems[MboBatch]) -> None:
        for number, _ in enumerate(shared.items()):
            if number == 7:
                outer.cancel()
                inner.cancel()
                raise ZeroDivisionError

    threads_of = {"outer": outer, "inner": inner}
    others = [inner, inner] if failing == "outer" else [inner, outer]
    with ThreadPoolExecutor(THREADS) as threads:
        stopped = [threads.submit(sizes, shared) for shared in others]
        failed = threads.submit(fail, threads_of[failing])
        assert isinstance(failed.exception(), ZeroDivisionError)
        assert {type(other.exception()).__name__ for other in stopped} == {"CancelledError"}


def test_each_thread_gets_each_item_that_is_made_of_shared_items() -> None:
    outer = SharedItems(reused_batches(200), 2)
    inner = SharedItems(outer.items(), 2)
    with ThreadPoolExecutor(THREADS) as threads:
        results = list(threads.map(sizes, [outer, inner, inner]))
    assert results == [list(range(200))] * THREADS
