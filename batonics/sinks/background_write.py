"""Work behind whoever gives it, in a thread.

The rule: items are worked on one by one, in order, as they would be without the thread; an error
reaches whoever gives the next item, or ends the block; no thread is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def write_in_background(work: Callable[[T], None], items_max: int) -> Iterator[Callable[[T], None]]:
    """What to call instead of `work`: a thread does the work while the caller makes the next item.

    The end of the block waits for all of it. A block that is left by an error waits only for the
    item that is being worked on; what is still in the queue is dropped.

    Args:
        work: what the thread does with an item. After an error it is not called again.
        items_max: so many wait at the most. Besides them there are the one that is worked on and
            the one the caller makes.

    Raises:
        BaseException: whatever `work` raised, from the next call or from the end of the block.
    """
    queue: Queue[tuple[T] | None] = Queue(items_max)
    errors: list[BaseException] = []
    left = Event()

    def run() -> None:
        # To the very end, come what may: a caller that waits for room in the queue gets it.
        while (item := queue.get()) is not None:
            if errors or left.is_set():
                continue
            try:
                work(item[0])
            except BaseException as raised:  # noqa: BLE001 - it is raised again by the caller
                errors.append(raised)

    def give(item: T) -> None:
        if left.is_set():
            raise ValueError("the block has ended")
        if errors:
            raise errors[0]
        queue.put((item,))

    thread = Thread(target=run, name="batonics-write-behind", daemon=True)
    thread.start()
    try:
        yield give
    except BaseException:
        left.set()
        raise
    finally:
        queue.put(None)
        thread.join()
        left.set()
    if errors:
        raise errors[0]
