"""One iterator that several threads read together.

The rule here: every thread gets each item, and all of them get it before the next one is made. So
no item is copied, and what an item is made of changes between two items only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Barrier, BrokenBarrierError
from typing import Generic, TypeVar

T = TypeVar("T")


class CancelledError(Exception):
    """Another thread has failed: this one stops."""


class SharedItems(Generic[T]):
    """Gives the items of an iterator to several threads, each item to all of them at once.

    The iterator may itself be the `items` of another object: a thread that makes an item for some
    threads then reads for all of them.

    Args:
        items: the items; memory of an item may be reused for the next one.
        threads: number of threads.
    """

    def __init__(self, items: Iterator[T], threads: int) -> None:
        self._items = items
        self._item: T | None = None
        self._error: BaseException | None = None
        self._barrier = Barrier(threads, action=self._make_next)

    def items(self) -> Iterator[T]:
        """The items, for one of the threads: each of them must read all.

        Raises:
            BaseException: the error of the iterator, in each thread.
        """
        while True:
            try:
                self._barrier.wait()
            except BrokenBarrierError:
                raise CancelledError from None
            if self._error is not None:
                raise self._error
            if self._item is None:
                return
            yield self._item

    def cancel(self) -> None:
        """Make the threads that wait for an item stop.

        Where items are made of those of another object, cancel the other object first: a barrier
        cannot be broken while its next item is made.
        """
        self._barrier.abort()

    def _make_next(self) -> None:
        """Make the next item, in one thread while all others wait."""
        try:
            self._item = next(self._items, None)
        except BaseException as error:  # noqa: BLE001 - raised again in each thread
            self._error = error


def call_before(note: Callable[[T], None], items: Iterator[T]) -> Iterator[T]:
    """The items; `note` is called with each of them before it is given."""
    for item in items:
        note(item)
        yield item
