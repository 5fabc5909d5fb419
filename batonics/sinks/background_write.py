"""Writes items in a background thread.

The rule: items are written one by one, in order, as without the thread; an error is raised where
the next item is given, or at the end of the block; no thread is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def write_in_background(
    write: Callable[[T], None], items_max: int
) -> Iterator[Callable[[T], None]]:
    """A function to call instead of `write`: a thread writes while the caller makes the next item.

    The end of the block waits until all items are written. After an error in the block, it waits
    only for the item that is being written, and drops the items in the queue.

    Args:
        write: writes one item. After an error it is not called again.
        items_max: limit of the queue. One more item is being written, and one being made.

    Raises:
        BaseException: the error that `write` raised, at the next call or at the end of the block.
    """
    queue: Queue[tuple[T] | None] = Queue(items_max)
    errors: list[BaseException] = []
    ended = Event()

    def run() -> None:
        # It empties the queue even after an error, so that a waiting caller goes on.
        while (item := queue.get()) is not None:
            if errors or ended.is_set():
                continue
            try:
                write(item[0])
            except BaseException as raised:  # noqa: BLE001 - raised again in the caller
                errors.append(raised)

    def enqueue(item: T) -> None:
        if ended.is_set():
            raise ValueError("the block has ended")
        if errors:
            raise errors[0]
        queue.put((item,))

    thread = Thread(target=run, name="batonics-write-behind", daemon=True)
    thread.start()
    try:
        yield enqueue
    except BaseException:
        ended.set()
        raise
    finally:
        queue.put(None)
        thread.join()
        ended.set()
    if errors:
        raise errors[0]
