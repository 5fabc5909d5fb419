"""Work ahead in a thread: items and errors as without it, and no thread that stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import pytest

from batonics.model.errors import DamagedInputError, InputError
from batonics.sources.read_ahead import read_ahead
from tests.support.threads import package_threads


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = package_threads()
    yield
    assert set(package_threads()) <= set(before)


def nothing() -> None:
    """Nobody waits for anything."""


def numbers(stop: int, error: Exception | None = None) -> Generator[int, None, None]:
    yield from range(stop)
    if error is not None:
        raise error


@pytest.mark.parametrize("items_max", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_items_come_in_order(count: int, items_max: int) -> None:
    assert list(read_ahead(numbers(count), items_max, nothing)) == list(range(count))


def test_an_error_comes_after_the_items_before_it() -> None:
    damage = DamagedInputError("odd", byte_offset=9)
    ahead = read_ahead(numbers(5, damage), 2, nothing)
    assert [next(ahead) for _ in range(5)] == list(range(5))
    with pytest.raises(DamagedInputError) as raised:
        next(ahead)
    assert raised.value is damage


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_an_error_passes_through_two_threads(taken: int) -> None:
    # The end of the inner one must not hide from the outer one why it ended.
    def chained() -> Generator[int, None, None]:
        yield from read_ahead(numbers(taken, InputError("gone")), 4, nothing)

    ahead = read_ahead(chained(), 4, nothing)
    assert [next(ahead) for _ in range(taken)] == list(range(taken))
    with pytest.raises(InputError, match="gone"):
        next(ahead)


def test_no_more_is_made_than_is_asked_for() -> None:
    made = 0

    def make() -> Generator[int, None, None]:
        nonlocal made
        for number in range(1000):
            made += 1
            yield number

    ahead = read_ahead(make(), 3, nothing)
    for _ in range(5):
        next(ahead)
    time.sleep(0.05)
    ahead.close()
    # Five taken, three in the queue, one that waits for its place.
    assert made <= 9


def test_whoever_leaves_early_closes_what_makes_the_items() -> None:
    closed = threading.Event()
    left = threading.Event()

    def make() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    ahead = read_ahead(make(), 2, left.set)
    next(ahead)
    ahead.close()
    assert closed.is_set()
    assert left.is_set()


def test_a_thread_that_waits_is_told_to_leave() -> None:
    left = threading.Event()

    def silent() -> Generator[int, None, None]:
        yield 1
        left.wait()

    ahead = read_ahead(silent(), 2, left.set)
    next(ahead)
    ahead.close()
