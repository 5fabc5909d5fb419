"""Output that cannot be written, and a run that is killed: whole, or as it was before.

The rule: a full disk is a limit on the size of files, which needs no rights and stops the same
calls; what a limit cannot stop (fsync, rename) is made to fail in this process.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.command import (
    SAMPLE,
    SCRIPT,
    CommandResult,
    environment,
    error_line,
    reconstruct_books,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import SMALL, list_names

OLD = b'{"an older":"output"}\n'
FULL_BYTES = 20_000
"""Less than the books of the sample need, more than Python's buffer holds."""
KILLS = 6


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output file that is there already, in a directory of its own."""
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "book.json").write_bytes(OLD)
    return directory / "book.json"


def assert_untouched(output: Path) -> None:
    assert list_names(output.parent) == [output.name]
    assert output.read_bytes() == OLD


def small_disk() -> None:
    """Let this process write no file longer than FULL_BYTES."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))


@pytest.mark.parametrize("command", ["reconstruct", "snapshots", "simulate"])
def test_a_full_disk_leaves_what_was_there(command: str, output: Path) -> None:
    arguments: dict[str, list[str | Path]] = {
        "reconstruct": ["reconstruct", SAMPLE, "--out", output, "--orders"],
        "snapshots": ["reconstruct", SAMPLE, "--snapshots", output, "--every", "event"],
        "simulate": ["simulate", "--out", output],
    }
    other_names = {"snapshots": "depth.ndjson", "simulate": "market.dbn"}
    if command in other_names:
        earlier, output = output, output.rename(output.with_name(other_names[command]))
        arguments[command][arguments[command].index(earlier)] = output
    done = run_command(*arguments[command], before=small_disk)
    assert error_line(done, 4) == f"{output}: cannot be written: File too large"
    assert_untouched(output)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reconstruct", SAMPLE, "--out", "-"],
        ["inspect", SAMPLE],
        ["inspect", SAMPLE, "--json"],
        ["simulate", "--out", "-", "--records", "1000"],
        ["--help"],
    ],
    ids=lambda value: " ".join(map(str, value[::2])).replace(str(SAMPLE), "sample"),
)
def test_a_full_standard_output_is_one_line(arguments: list[str | Path]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_command(*arguments, stdout=full)
    assert error_line(done, 4) == "<stdout>: cannot be written: No space left on device"


def test_a_full_device_is_one_line() -> None:
    done = run_command("reconstruct", SAMPLE, "--out", "/dev/full")
    assert error_line(done, 4) == "/dev/full: cannot be written: No space left on device"


def test_closed_standard_output_is_one_line() -> None:
    done = run_command("reconstruct", SAMPLE, "--out", "-", before=lambda: os.close(1))
    assert error_line(done, 4) == "<stdout>: is closed"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [*SCRIPT, "reconstruct", "--quiet", "--orders", "--out", "-", str(SAMPLE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert (
        error_line(CommandResult(process.returncode, b"", said), 4)
        == "<stdout>: the reader has gone away"
    )


def _no_directory(output: Path) -> Path:
    return output.parent / "none" / "book.json"


def _a_directory(output: Path) -> Path:
    return output.parent


def _below_a_file(output: Path) -> Path:
    return output / "book.json"


def _long_name(output: Path) -> Path:
    return output.parent / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_directory, "cannot be written: No such file or directory"),
        (_a_directory, "is a directory; name a file in it"),
        (_below_a_file, "cannot be written: Not a directory"),
        (_long_name, "cannot be written: File name too long"),
    ],
)
def test_an_output_that_cannot_be_made_is_found_before_the_input_is_read(
    make: Callable[[Path], Path], words: str, output: Path
) -> None:
    path = make(output)
    done = run_command("reconstruct", "none.dbn", "--out", path)
    assert error_line(done, 4) == f"{path}: {words}"
    assert_untouched(output)


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_a_call_that_fails_leaves_what_was_there(
    call: str,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    small = tmp_path / "small.dbn"
    small.write_bytes(SMALL)
    monkeypatch.setattr(os, call, fail)
    done = run_in_process("reconstruct", "-q", small, "--out", output)
    monkeypatch.undo()
    assert error_line(done, 4) == f"{output}: cannot be written: Input/output error"
    assert_untouched(output)


def test_the_file_is_synced_before_it_has_its_name_and_the_directory_after(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, bytes]] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        fsync(handle)
        calls.append(("fsync", output.read_bytes()))

    def note_replace(*names: Path) -> None:
        calls.append(("replace", output.read_bytes()))
        replace(*names)

    small = tmp_path / "small.dbn"
    small.write_bytes(SMALL)
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    assert run_in_process("reconstruct", "-q", small, "--out", output).code == 0
    written = output.read_bytes()
    assert calls == [("fsync", OLD), ("replace", OLD), ("fsync", written)]
    assert written != OLD


def test_a_killed_run_leaves_no_output_or_all_of_it(tmp_path: Path) -> None:
    whole = reconstruct_books(SAMPLE, "--orders")
    command = [*SCRIPT, "reconstruct", "-q", "--orders", str(SAMPLE), "--out"]
    started = time.monotonic()
    subprocess.run([*command, tmp_path / "once"], check=True, env=environment())
    takes_s = time.monotonic() - started
    chance = random.Random(1)
    ends = {"absent": 0, "whole": 0}
    for number in range(KILLS):
        output = tmp_path / f"{number}.json"
        with subprocess.Popen([*command, str(output)], env=environment()) as process:
            # Half of them near the end, where the output is written and takes its name.
            time.sleep(takes_s * (chance.uniform(0.8, 1.1) if number % 2 else chance.random()))
            process.kill()
        if output.exists():
            assert output.read_bytes() == whole
            orjson.loads(whole)
        ends["whole" if output.exists() else "absent"] += 1
    print(f"killed at random moments: {ends}")
    assert ends["absent"] > 0
