"""SIGTERM and SIGHUP end a command as ^C does: its temporary files go, and one line says so.

The rule here: the signal is answered whatever runs. Python runs a signal's handler only between two
of its own steps, and Polars and DuckDB, which may run for minutes, look out for SIGINT alone. So a
thread waits for the other signals and passes them on as SIGINT. An interrupt that Python can only
ignore, in a finaliser, comes again.
"""

from __future__ import annotations

import os
import signal
import sys
from inspect import unwrap
from threading import Thread, Timer

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
REPEAT_S = 0.05
"""How long an interrupt waits that could only be ignored."""
_received: list[int] = []


def pass_on_as_interrupts() -> None:
    """From now on, pass the signals on, except while a command has a handler of its own."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a script's shell starts background processes: ^C is not for them, but SIGTERM is.
        signal.signal(signal.SIGINT, _interrupt_if_passed_on)
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:  # else the caller wants it ignored
            signal.signal(number, _answer)
    sys.unraisablehook = _repeat_interrupt
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Thread(target=_watch, args=(reader,), name="batonics-signals", daemon=True).start()


def received_signal() -> int | None:
    """The signal that was passed on first; None: there was none."""
    return _received[0] if _received else None


def _answer(number: int, _: object) -> None:
    """Nothing: `_watch` answers. With a handler, the system does not end the process."""


def _repeat_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
    if unraisable.exc_type is KeyboardInterrupt:
        # Not at once: here, too, Python could only ignore it.
        Timer(REPEAT_S, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_if_passed_on(_number: int, _frame: object) -> None:
    if _received:
        raise KeyboardInterrupt


def _watch(reader: int) -> None:
    while numbers := os.read(reader, 64):
        for number in numbers:
            handler = signal.getsignal(number)
            # While a kernel is loaded there is another handler around ours (`held_interrupts.py`).
            if number in SIGNALS and callable(handler) and unwrap(handler) is _answer:
                _received.append(number)
                os.kill(os.getpid(), signal.SIGINT)
