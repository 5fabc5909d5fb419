"""Runs the command line on a terminal of its own, of a chosen width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import NamedTuple

from tests.support.command import SCRIPT, environment

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class TerminalResult(NamedTuple):
    """What a command has printed on its terminal.

    Attributes:
        code: the exit code.
        text: all that was printed, without escapes; a carriage return starts a line again.
    """

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines as the terminal shows them at the end."""
        return [line.rsplit("\r", 1)[-1].rstrip() for line in self.text.split("\r\n")]


def run_in_terminal(
    *arguments: str | Path, columns: int = 80, stdin: int = subprocess.DEVNULL
) -> TerminalResult:
    """Run `batonics ARGUMENTS` with standard output and standard error on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [*SCRIPT, *map(str, arguments)],
        stdin=stdin,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm"},
        start_new_session=True,
    ) as process:
        os.close(theirs)
        written = bytearray()
        while piece := _read(ours):
            written += piece
        os.close(ours)
    return TerminalResult(process.returncode, _ESCAPES.sub("", written.decode()))


def _read(terminal: int) -> bytes:
    """The next bytes; empty when the last process has closed the terminal."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""
