"""Runs commands as forks of one process that has imported the program.

The rule: a forked command is a process of its own, with its own arguments, environment, directory
and standard streams. What a start from nothing does is not tested here: it takes a second of
processor time, and a fork a fifth of that.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

from tests.support.paths import ROOT

PRELOADED = "tests.support.preloaded_commands"


@cache
def _context() -> ForkServerContext:
    """A server of forks, which has imported `preloaded_commands.py`."""
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    with patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        ensure_running()
    return context


def run_forked(
    arguments: Sequence[str], stdin: bytes, env: Mapping[str, str], timeout_s: float
) -> tuple[int, bytes, bytes]:
    """Run `batonics ARGUMENTS` to its end.

    Returns its exit code, or the negative number of the signal that ended it, and what it wrote to
    standard output and standard error. TimeoutError: it has not ended in time, and was killed.
    """
    context = _context()
    (stdin_end, writer), (out, stdout_end), (err, stderr_end) = (
        context.Pipe(duplex=False) for _ in range(3)
    )
    ends = (stdin_end, stdout_end, stderr_end)
    process = context.Process(target=_become, args=(arguments, dict(env), str(Path.cwd()), ends))
    process.start()
    for end in ends:
        end.close()
    with ThreadPoolExecutor(3) as pool:
        pool.submit(_write, writer, stdin)
        written = pool.submit(_read, out), pool.submit(_read, err)
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
    process.join()
    code = process.exitcode
    process.close()
    if code is None or code == -9:
        raise TimeoutError(f"batonics {' '.join(arguments)}: was killed after {timeout_s} s")
    return code, written[0].result(), written[1].result()


def _read(end: Connection) -> bytes:
    with end, os.fdopen(os.dup(end.fileno()), "rb") as file:
        return file.read()


def _write(end: Connection, data: bytes) -> None:
    with end, os.fdopen(os.dup(end.fileno()), "wb", buffering=0) as file:
        try:
            while data:
                data = data[file.write(data) :]
        except BrokenPipeError:
            return  # the command has ended without reading all of it


def _become(
    arguments: Sequence[str], env: Mapping[str, str], directory: str, ends: Sequence[Connection]
) -> NoReturn:
    """Run the command in this process, and end it as the command does."""
    from batonics.cli.main import main

    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    sys.argv = ["batonics", *arguments]
    main()
    raise AssertionError("a command ends its process")
