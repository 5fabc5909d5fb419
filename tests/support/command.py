"""The command line as a user has it: a process of its own, its exit code and what it says.

The rule: what is run is what the installed script runs, in a directory that is seen whole
afterwards.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, NamedTuple
from unittest.mock import patch

from batonics.cli import main
from tests.support.forked_command import run_forked
from tests.support.paths import ROOT

SAMPLE = ROOT / "data" / "sample.dbn.zst"
SCRIPT = (sys.executable, "-c", "from batonics.cli.main import main; main()")
TIMEOUT_S = 120
"""Far more than any of them takes; the kernels may have to be compiled on the way."""

Stream = int | IO[bytes] | None


class CommandResult(NamedTuple):
    """A command that has ended."""

    code: int
    out: bytes
    err: str


def environment(**changes: str) -> dict[str, str]:
    """The environment of this process, with our package in reach."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run_command(
    *arguments: str | Path,
    stdin: bytes | None = None,
    stdout: Stream = subprocess.PIPE,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> CommandResult:
    """Run `batonics ARGUMENTS` to its end.

    A process from nothing runs it if any argument by keyword but `stdin` is given; else a fork.

    Args:
        arguments: of the command.
        stdin: what it reads from standard input.
        stdout: where its standard output goes.
        env: its environment.
        before: runs in the new process, ahead of the command.
    """
    if stdout == subprocess.PIPE and env is None and before is None:
        texts = [str(argument) for argument in arguments]
        code, out, err = run_forked(texts, stdin or b"", environment(), TIMEOUT_S)
        return CommandResult(code, out, err.decode())
    done = subprocess.run(
        [*SCRIPT, *map(str, arguments)],
        input=b"" if stdin is None else stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment() if env is None else env,
        preexec_fn=before,
        timeout=TIMEOUT_S,
        check=False,
    )
    return CommandResult(done.returncode, done.stdout or b"", done.stderr.decode())


def run_in_process(*arguments: str | Path) -> CommandResult:
    """The same in this process: a twentieth of the time, for the many cases."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    argv = ["batonics", *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        code = main.run()
    written = out.detach()
    assert isinstance(written, io.BytesIO)
    return CommandResult(code, written.getvalue(), err.getvalue())


def reconstruct_books(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
    """The bytes of `batonics reconstruct --out - ARGUMENTS`, which must succeed."""
    command = ("reconstruct", "--quiet", "--out", "-", *arguments)
    done = run_in_process(*command) if stdin is None else run_command(*command, stdin=stdin)
    assert done.code == 0, done.err
    return done.out


def error_line(done: CommandResult, code: int) -> str:
    """The one line that a failed command has said, which must be all that it did."""
    assert done.code == code, done.err
    assert done.out == b""
    assert done.err.endswith("\n"), done.err
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("batonics: "), done.err
    return done.err.removeprefix("batonics: ").removesuffix("\n")
