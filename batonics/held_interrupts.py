"""Interrupts that wait: KeyboardInterrupt, or what else a signal's handler raises.

The rule here: no exception of a handler comes up while numba loads or compiles a kernel. llvmlite
calls back into Python then, and an exception in such a call crashes the process. So it waits until
that one kernel is ready: milliseconds, or seconds if it is compiled. A second interrupt does not
come sooner; SIGQUIT and SIGKILL end the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any

RAISING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals whose handlers may raise."""


class _HeldInterrupts:
    """A block of the main thread; what handlers of signals raise within is raised at its end.

    The handlers themselves run at once. If several raise, the last exception counts.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._raised: BaseException | None = None
        self._is_active = False

    def __enter__(self) -> None:
        for number in RAISING_SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._held(handler))
        self._is_active = True

    def __exit__(self, *_: object) -> None:
        # From here on a handler raises at once, whether it has its place again or not.
        self._is_active = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._raised is not None:
            raise self._raised

    def _held(
        self, handler: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        @wraps(handler)  # so others can tell whose handler is in place
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                if not self._is_active:
                    raise
                self._raised = error

        return handle


def hold_interrupts(load: Callable[..., Any]) -> Callable[..., Any]:
    """The function; what handlers of signals raise while it runs is raised at its end.

    Handlers run in the main thread alone, so in other threads nothing waits.
    """

    @wraps(load)
    def load_whole(*arguments: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return load(*arguments)
        with _HeldInterrupts():
            return load(*arguments)

    return load_whole
