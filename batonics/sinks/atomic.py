"""Writes a file atomically: it exists complete and on the disk, or not at all.

The rule: a file gets its final name only once its bytes are synced: a temporary name in the same
directory, fsync, rename, fsync of the directory. After an error the temporary file is removed, and
an earlier file of that name stays. Two outputs of one process never have the same name.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from batonics.model.errors import OutputError, UsageError
from batonics.sinks.temporary import make_temporary_file

STDOUT = "-"
WRITTEN, INCOMPLETE = "written", "incomplete"
"""What an interrupted command says of an output that has its name, or that readers saw begin."""


@dataclass
class OutputRecord:
    """What has become of one output of a command.

    Attributes:
        name: the output's name, as messages have it.
        result: what has been written, in words; None while nothing has.
    """

    name: str
    result: str | None = None


_claims: set[str] = set()  # paths of the files that this process is writing
_claims_lock = Lock()
_outputs: ContextVar[list[OutputRecord] | None] = ContextVar("outputs", default=None)


@contextmanager
def record_outputs() -> Iterator[list[OutputRecord]]:
    """A list that receives a record of each output that is opened within the block."""
    outputs: list[OutputRecord] = []
    token = _outputs.set(outputs)
    try:
        yield outputs
    finally:
        _outputs.reset(token)


def add_output(name: str) -> OutputRecord:
    """A new record of an output; `record_outputs` around the caller receives it."""
    record = OutputRecord(name)
    outputs = _outputs.get()
    if outputs is not None:
        outputs.append(record)
    return record


@contextmanager
def open_atomic(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write to; it gets its name when the block ends without an error.

    `-` is standard output; a device or a pipe is written to directly.

    Raises:
        OutputError: the file cannot be written. Nothing is left behind.
    """
    name = "<stdout>" if str(path) == STDOUT else str(path)
    record = add_output(name)
    try:
        if str(path) == STDOUT:
            if sys.stdout is None:
                raise OutputError(f"{name}: is closed")
            with _claimed(STDOUT):
                record.result = INCOMPLETE
                yield sys.stdout.buffer
                sys.stdout.buffer.flush()
        elif _is_special(Path(path)):
            with Path(path).open("wb") as file:
                record.result = INCOMPLETE
                yield file
        else:
            # A link stays; the file that it points to is replaced.
            with _replacing(Path(os.path.realpath(path)), record) as file:
                yield file
        record.result = WRITTEN
    except BrokenPipeError:
        # The reader has closed the pipe; buffered bytes must not raise the error again.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"{name}: the reader has gone away") from None
    except OSError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _replacing(path: Path, record: OutputRecord) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; name a file in it")
    with _claimed(str(path)):
        handle, temporary = make_temporary_file(path)
        with os.fdopen(handle, "wb") as file:
            try:
                yield file
                file.flush()
                os.fchmod(file.fileno(), _mode(path))
                os.fsync(file.fileno())
                temporary.replace(path)
                record.result = WRITTEN
            except BaseException:
                with suppress(FileNotFoundError):
                    temporary.unlink()
                raise
        sync_path(path.parent)


@contextmanager
def _claimed(name: str) -> Iterator[None]:
    """No other output has this name within the block; UsageError if one has it already."""
    with _claims_lock:
        if name in _claims:
            shown = "standard output" if name == STDOUT else name
            raise UsageError(f"{shown}: two outputs of one command; give each a name of its own")
        _claims.add(name)
    try:
        yield
    finally:
        _claims.discard(name)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode(path: Path) -> int:
    """The mode of the file to replace, or the mode of a new file under the user's umask."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def sync_path(path: Path) -> None:
    """Sync the bytes of a file, or the names in a directory, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directories(path: Path) -> None:
    """Make a directory and missing parents, and sync each new name."""
    if path.is_dir():
        return
    make_directories(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    sync_path(path.parent)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise errors of the file system as OutputError; it names this path if the error has none."""
    try:
        yield
    except OSError as error:
        # Arrow has messages of its own, but keeps the number of the system's error.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(f"{error.filename or path}: cannot be written: {reason}") from None
