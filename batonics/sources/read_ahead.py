"""Reads items ahead in a background thread.

The rule: items and errors come in the same order as without the thread; a caller that stops early
leaves no thread behind.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

POLL_MS = 100
"""Time after which a waiting thread checks whether it is cancelled."""

T = TypeVar("T")


class _End(NamedTuple):
    """The last item of the queue.

    Attributes:
        error: the error that ended the items; None if there was none.
    """

    error: BaseException | None


def read_ahead(
    items: Generator[T, None, None], items_max: int, cancel: Callable[[], None]
) -> Generator[T, None, None]:
    """The same items, made by a thread while the caller works on earlier ones.

    Args:
        items: makes the items; the thread closes it.
        items_max: limit of the queue. Three more items may exist: the caller's, one that waits for
            room in the queue, and one that is being made.
        cancel: called at the end, early or not; it must end any wait of `items` for input.
    """
    queue: Queue[T | _End] = Queue(items_max)
    # An event for this thread alone: if two are chained, the end of one must not end the other.
    cancelled = Event()

    def put(item: T | _End) -> None:
        is_waiting = True
        while is_waiting and not cancelled.is_set():
            with suppress(Full):
                queue.put(item, timeout=POLL_MS / 1000)
                is_waiting = False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if cancelled.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - raised again in the caller
            error = raised
        items.close()
        put(_End(error))

    thread = Thread(target=work, name="batonics-read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := _take(queue), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        cancelled.set()
        cancel()
        thread.join()


def _take(queue: Queue[T]) -> T:
    """The next item, once there is one.

    Polars handles SIGINT itself and lets the system go on with a wait, so a wait without an end
    could not be interrupted.
    """
    while True:
        with suppress(Empty):
            return queue.get(timeout=POLL_MS / 1000)
