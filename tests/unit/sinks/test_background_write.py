"""Work behind, in a thread: in order, errors where they are seen, and no thread that stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from batonics.sinks.background_write import write_in_background
from tests.support.threads import package_threads


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = package_threads()
    yield
    assert set(package_threads()) <= set(before)


@pytest.mark.parametrize("items_max", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_items_are_worked_on_in_order_by_another_thread(count: int, items_max: int) -> None:
    done: list[int] = []
    threads: set[int] = set()

    def work(item: int) -> None:
        done.append(item)
        threads.add(threading.get_ident())

    with write_in_background(work, items_max) as give:
        for item in range(count):
            give(item)
    assert done == list(range(count))
    assert threading.get_ident() not in threads


def test_an_error_ends_the_block_and_nothing_after_it_is_worked_on() -> None:
    done: list[int] = []
    error = OSError(28, "No space left on device")

    def work(item: int) -> None:
        if item == 2:
            raise error
        done.append(item)

    def run() -> None:
        with write_in_background(work, 10) as give:
            for item in range(5):
                give(item)

    with pytest.raises(OSError, match="No space left") as raised:
        run()
    assert raised.value is error
    assert done == [0, 1]


def test_an_error_reaches_a_caller_who_would_go_on_for_ever() -> None:
    given = 0

    def work(_: int) -> None:
        raise ValueError("odd")

    def run() -> None:
        nonlocal given
        with write_in_background(work, 2) as give:
            while True:
                give(given)
                given += 1

    with pytest.raises(ValueError, match="odd"):
        run()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_who_leaves_early_waits_for_one_item_and_drops_the_rest(kind: type[BaseException]) -> None:
    done: list[int] = []
    begun, may_end = threading.Event(), threading.Event()
    timer = threading.Timer(0.05, may_end.set)

    def work(item: int) -> None:
        begun.set()
        may_end.wait()
        done.append(item)

    def run() -> None:
        with write_in_background(work, 5) as give:
            for item in range(4):
                give(item)
            begun.wait()
            timer.start()
            raise kind("mine")

    with pytest.raises(kind, match="mine"):
        run()
    timer.join()
    assert done == [0]


def test_the_callers_own_error_is_the_one_that_is_seen() -> None:
    def work(_: int) -> None:
        raise OSError("theirs")

    def run() -> None:
        with write_in_background(work, 1) as give:
            give(0)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run()


def test_no_more_waits_than_may() -> None:
    may_work = threading.Event()
    given: list[int] = []

    def work(_: int) -> None:
        may_work.wait()

    def run() -> None:
        with write_in_background(work, 3) as give:
            for item in range(10):
                give(item)
                given.append(item)

    caller = threading.Thread(target=run)
    caller.start()
    time.sleep(0.1)
    # Three in the queue and one that is worked on.
    assert len(given) <= 4
    may_work.set()
    caller.join()
    assert len(given) == 10


def test_what_is_given_too_late_is_refused() -> None:
    with write_in_background(print, 1) as give:
        pass
    with pytest.raises(ValueError, match="the block has ended"):
        give(1)
