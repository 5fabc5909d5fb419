"""Commands whose calls of the kernel meet a fate: a kill, an error, a short write.

The rule here: a call is named by its number among those that touch a directory, so the same
command meets the same fate again. Commands run as children of one process that has imported what
the first of them needed: a kill then costs a tenth of a second.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import pytest

from tests.support.command import environment
from tests.support.sweep import sample

SOURCE = Path(__file__).with_suffix(".c")
LIST, KILL, FAIL, SHORT = range(4)
_ANY_NAME = re.compile(r"[0-9a-f]{8,}|\d+|trades|ohlcv-1d|AAA|BBB")


class Call(NamedTuple):
    """A call below the directory: its name, and the path; of a rename, `from -> to`."""

    name: str
    path: str


def sample_calls(calls: Iterable[Call], share: float, name: str = "") -> list[int]:
    """Numbers of calls, from 1, for `FaultyCommands.run`: a sample (`sweep.py`).

    Calls of one name on one file are alike, whatever numbers, ids, tables and symbols the path has.

    Args:
        calls: those that the command makes.
        share: the share of them.
        name: count only calls of this name; empty: of all names.
    """
    counted = [call for call in calls if name in ("", call.name)]
    kinds = [(call.name, _ANY_NAME.sub("#", call.path)) for call in counted]
    return sample(range(1, len(counted) + 1), share, lambda number: kinds[number - 1])


class FaultResult(NamedTuple):
    """A command that has ended.

    Attributes:
        status: its exit code, or the negative number of the signal that ended it.
        err: what it said on standard error.
        calls: those it made, if it was only told of.
        out: what it wrote to standard output.
    """

    status: int
    err: str
    calls: list[Call]
    out: bytes


class FaultyCommands:
    """Runs commands, each in a child of its own.

    Args:
        process: a server of `serve`.
        directory: only calls below it count.
        scratch: for what the commands say.

    Attributes:
        pid: the process of the command that runs.
    """

    def __init__(self, process: subprocess.Popen[str], directory: Path, scratch: Path) -> None:
        self.pid = 0
        self._process, self._directory, self._scratch = process, directory, scratch

    def run(
        self,
        *arguments: str | Path,
        fate: int = LIST,
        number: int = 0,
        name: str = "",
        error: int = errno.EIO,
        stdin: str | Path = os.devnull,
    ) -> FaultResult:
        """Run `batonics ARGUMENTS`.

        Args:
            arguments: of the command.
            fate: of the call of that number, from 1; TELL: none.
            number: of the call.
            name: count only calls of this name; empty: of all names.
            error: what a call that fails gives.
            stdin: a file that is its standard input.
        """
        err, log, out = (self._scratch / name for name in ("err", "log", "out"))
        asked = {
            "arguments": ["batonics", *map(str, arguments)],
            "directory": str(self._directory),
            "err": str(err),
            "log": str(log),
            "out": str(out),
            "stdin": str(stdin),
            "fate": [name, number, fate, error],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        self.pid = int(self._process.stdout.readline())
        status = int(self._process.stdout.readline())
        lines = log.read_text().splitlines()
        calls = [Call(*line.split(" ", 1)) for line in lines]
        return FaultResult(status, err.read_text(), calls, out.read_bytes())


@contextmanager
def faulty_commands(
    directory: Path, scratch: Path, prefix: Sequence[str] = ()
) -> Iterator[FaultyCommands]:
    """A server of commands whose calls below a directory count; skips where nothing compiles C.

    Args:
        directory: the directory.
        scratch: for what the commands say.
        prefix: a command that runs another, ahead of the server's own.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = scratch / f"faults{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", "from tests.support.faults_syscalls import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(LD_PRELOAD=str(library)),
    )
    try:
        yield FaultyCommands(process, directory, scratch)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0


def serve() -> None:
    """Run what is asked for on standard input, a line of JSON each, and answer with its status."""
    from batonics.cli.main import root_command

    root_command()  # made once for all children
    library = ctypes.CDLL(None)
    for line in sys.stdin:
        asked = json.loads(line)
        reader, writer = os.pipe()
        with Path(asked["log"]).open("wb") as log, Path(asked["err"]).open("wb") as err:
            child = os.fork()
            if child == 0:
                _become(asked, library, log, err, writer)
        print(child, flush=True)
        os.close(writer)
        with os.fdopen(reader) as told:
            modules = told.read().split()
        _, status = os.waitpid(child, 0)
        # The next child finds here what this one had to import.
        for module in modules:
            with suppress(ImportError):
                import_module(module)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    asked: dict[str, Any], library: ctypes.CDLL, log: IO[bytes], err: IO[bytes], told: int
) -> NoReturn:
    """Run the command in this process, and end it as the command does."""
    from batonics.cli.main import run

    name, number, fate, error = asked["fate"]
    os.dup2(err.fileno(), 2)
    os.dup2(os.open(asked["stdin"], os.O_RDONLY), 0)
    os.dup2(os.open(asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
    sys.argv = asked["arguments"]
    before = set(sys.modules)
    library.arm(asked["directory"].encode(), log.fileno(), name.encode(), number, fate, error)
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    if fate == LIST:
        os.write(told, " ".join(set(sys.modules) - before).encode())
    os._exit(code)
