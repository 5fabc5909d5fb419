"""SIGTERM and SIGHUP end any command cleanly; what SIGKILL leaves behind goes at the next start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import SAMPLE, SCRIPT, environment, run_in_process

DEADLINE_S = 60


@contextmanager
def simulation(out: Path, *signals: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that would write for hours, once its temporary file is there."""
    # Whoever runs the tests may ignore SIGHUP, as nohup does, and the command would too.
    command = ["env", "--default-signal=HUP", *signals, *SCRIPT]
    command += ["simulate", "--records", str(10**10)]
    process = subprocess.Popen(
        [*command, "--out", str(out)], env=environment(), stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not list(out.parent.glob(".*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        # One that went on writing would fill the disk.
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_without_a_trace(number: signal.Signals, tmp_path: Path) -> None:
    with simulation(tmp_path / "a.dbn") as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert err.decode() == f"batonics: ended by {number.name}; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


IN_A_FINALISER = """
import os, signal, time
from batonics.cli.termination import pass_on_as_interrupts

class Resource:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

pass_on_as_interrupts()
try:
    Resource()
    time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_within_a_finaliser_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FINALISER],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


WHILE_A_KERNEL_IS_LOADED = """
import os, signal, time
from batonics.cli.termination import pass_on_as_interrupts, received_signal
from batonics.held_interrupts import hold_interrupts

@hold_interrupts
def load():
    os.kill(os.getpid(), signal.SIGTERM)
    while received_signal() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    print("loaded")

pass_on_as_interrupts()
try:
    load()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_while_a_kernel_is_loaded_comes_after_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHILE_A_KERNEL_IS_LOADED],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("loaded\ninterrupted\n", "", 0)


def test_what_a_killed_command_left_goes_at_the_next_start(tmp_path: Path) -> None:
    with simulation(tmp_path / "a.dbn") as process:
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    assert len(list(tmp_path.iterdir())) == 1
    done = run_in_process("simulate", "--out", tmp_path / "a.dbn", "--records", "10")
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.dbn"]


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    one, link, directory = tmp_path / "a.ndjson", tmp_path / "b.ndjson", tmp_path / "d"
    link.symlink_to(one)
    windows = ("--every", "1s")
    cases = (
        ("reconstruct", SAMPLE, "--out", one, "--snapshots", link, *windows),
        ("stream", "--connect", "x:1", "--record", directory, "--snapshots", directory, *windows),
        ("simulate", "--out", tmp_path / "c", "--truth", tmp_path / "c", "--records", "10"),
    )
    for arguments in cases:
        done = run_in_process(*arguments)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert list(tmp_path.iterdir()) == [link]


def test_sigterm_ends_what_a_script_runs_in_the_background(tmp_path: Path) -> None:
    """A shell without job control lets its background processes ignore SIGINT."""
    with simulation(tmp_path / "a.dbn", "--ignore-signal=INT") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.decode() == "batonics: ended by SIGTERM; nothing was written\n"
