"""Work ahead of whoever waits for it, in a thread.

The rule: items and errors come out as they would without the thread, in order; whoever leaves early
leaves no thread behind.
"""

from __future__ import annotations

from collections.abc import Generator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

WAIT_MS = 100
"""How long a thread that nobody waits for any more may go on waiting."""

T = TypeVar("T")


class _Ended(NamedTuple):
    """The last thing in the queue, and why there is no more."""

    error: BaseException | None


def read_ahead(
    items: Generator[T, None, None], items_max: int, left: Event
) -> Generator[T, None, None]:
    """The same items, made by a thread of their own while the caller works on earlier ones.

    Args:
        items: what the thread makes; closed by it in the end.
        items_max: so many wait at the most. Besides them there are the one the caller works on,
            one that waits for its place, and one that is being made.
        left: set when the caller leaves early; what `items` itself waits for should heed it too.
    """
    queue: Queue[T | _Ended] = Queue(items_max)

    def put(item: T | _Ended) -> bool:
        while not left.is_set():
            try:
                queue.put(item, timeout=WAIT_MS / 1000)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
            error = raised
        items.close()
        put(_Ended(error))

    thread = Thread(target=work, name="batonics-read-ahead", daemon=True)
    thread.start()
    try:
        yield from _taken(queue, left)
    except GeneratorExit:
        left.set()
        raise
    finally:
        thread.join()


def _taken(queue: Queue[T | _Ended], left: Event) -> Generator[T, None, None]:
    """What comes out of the queue, until it ends or nobody fills it any more."""
    while True:
        try:
            item = queue.get(timeout=WAIT_MS / 1000)
        except Empty:
            if left.is_set():
                return
            continue
        if not isinstance(item, _Ended):
            yield item
        elif item.error is None:
            return
        else:
            raise item.error
