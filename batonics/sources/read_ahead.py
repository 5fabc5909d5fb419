"""Work ahead of whoever waits for it, in a thread.

The rule: items and errors come out as they would without the thread, in order; whoever leaves early
leaves no thread behind.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

WAIT_MS = 100
"""How long a thread that nobody waits for any more may go on waiting."""

T = TypeVar("T")


class _Ended(NamedTuple):
    """The last thing in the queue, and why there is no more."""

    error: BaseException | None


def read_ahead(
    items: Generator[T, None, None], items_max: int, leave: Callable[[], None]
) -> Generator[T, None, None]:
    """The same items, made by a thread of their own while the caller works on earlier ones.

    Args:
        items: what the thread makes; closed by it in the end.
        items_max: so many wait at the most. Besides them there are the one the caller works on,
            one that waits for its place, and one that is being made.
        leave: called when no more is wanted, early or not: what `items` itself waits for heeds it.
    """
    queue: Queue[T | _Ended] = Queue(items_max)
    # Of this thread alone: where two are chained, the end of one must not cut off the other.
    left = Event()

    def put(item: T | _Ended) -> None:
        waits = True
        while waits and not left.is_set():
            with suppress(Full):
                queue.put(item, timeout=WAIT_MS / 1000)
                waits = False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if left.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
            error = raised
        items.close()
        put(_Ended(error))

    thread = Thread(target=work, name="batonics-read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _Ended):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        leave()
        thread.join()
