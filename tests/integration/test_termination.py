"""SIGTERM and SIGHUP end any command cleanly; what SIGKILL leaves behind goes at the next start."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import SCRIPT, environment, run_in_process

DEADLINE_S = 60


def start_simulation(out: Path) -> subprocess.Popen[bytes]:
    """A command that writes for hours; its temporary file is there."""
    command = [*SCRIPT, "simulate", "--out", str(out), "--records", str(10**10)]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + DEADLINE_S
    while not list(out.parent.glob(".*.part")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_without_a_trace(number: signal.Signals, tmp_path: Path) -> None:
    process = start_simulation(tmp_path / "a.dbn")
    process.send_signal(number)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert err.decode() == f"batonics: ended by {number.name}; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_left_goes_at_the_next_start(tmp_path: Path) -> None:
    process = start_simulation(tmp_path / "a.dbn")
    process.kill()
    process.communicate(timeout=DEADLINE_S)
    assert len(list(tmp_path.iterdir())) == 1
    done = run_in_process("simulate", "--out", tmp_path / "a.dbn", "--records", "10")
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.dbn"]


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    for arguments in (
        ("reconstruct", "data/sample.dbn.zst", "--out", "a.json", "--snapshots", "b.json"),
        ("stream", "--connect", "127.0.0.1:1", "--record", "d", "--snapshots", "d"),
    ):
        named = [tmp_path / one if one in {"a.json", "b.json", "d"} else one for one in arguments]
        if "--snapshots" in arguments:
            named += ["--every", "1s"]
        done = run_in_process(*named)
        assert done.code == 2, done.err
        assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]
    both = tmp_path / "same.dbn"
    done = run_in_process("simulate", "--out", both, "--truth", both, "--records", "10")
    assert done.code == 2
    assert not both.exists()
