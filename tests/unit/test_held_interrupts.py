"""What a signal's handler raises waits until a kernel is loaded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from batonics import native
from batonics.held_interrupts import RAISING_SIGNALS, hold_interrupts


class StopError(Exception):
    """What the handlers here raise."""


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The numbers of the signals that the handlers have answered; each raises."""
    numbers: list[int] = []

    def stop(number: int, _: object) -> None:
        numbers.append(number)
        raise StopError(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in RAISING_SIGNALS}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", RAISING_SIGNALS)
def test_what_a_handler_raises_waits_for_the_end(
    number: signal.Signals, handled: list[int]
) -> None:
    steps, before = [], [signal.getsignal(each) for each in RAISING_SIGNALS]

    @hold_interrupts
    def load() -> None:
        signal.raise_signal(number)
        steps.append("handled" if handled == [number] else "not yet handled")
        signal.raise_signal(number)
        steps.append("loaded")

    with pytest.raises(StopError, match=number.name):
        load()
    assert steps == ["handled", "loaded"]
    assert [signal.getsignal(each) for each in RAISING_SIGNALS] == before


def test_an_interrupt_counts_more_than_a_failure(handled: list[int]) -> None:
    @hold_interrupts
    def load() -> None:
        signal.raise_signal(signal.SIGINT)
        raise OSError

    with pytest.raises(StopError):
        load()
    assert handled == [signal.SIGINT]


def test_signals_without_a_handler_keep_their_meaning(handled: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    @hold_interrupts
    def load() -> Any:
        signal.raise_signal(signal.SIGHUP)
        return signal.getsignal(signal.SIGHUP)

    assert load() is signal.SIG_IGN
    assert handled == []


def test_other_threads_hold_nothing(handled: list[int]) -> None:
    found = []
    load = hold_interrupts(lambda: found.append(signal.getsignal(signal.SIGINT)))
    thread = Thread(target=load)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
    assert handled == []


def _twice(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize("step", ["load_overload", "save_overload"])
def test_a_signal_within_a_load_or_a_compilation_leaves_the_kernel_whole(
    step: str, handled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native._KernelCache, "load_overload", lambda *_: None)
    monkeypatch.setattr(native._KernelCache, "save_overload", lambda *_: None)
    monkeypatch.setattr(native._KernelCache, step, lambda *_: signal.raise_signal(signal.SIGINT))
    twice = native.kernel(_twice)
    with pytest.raises(StopError):
        twice(21)
    monkeypatch.undo()
    assert twice(21) == 42
    assert handled == [signal.SIGINT]
