"""Inputs: the name of each, and how its bytes come.

The rule here: an input is a text, its name for messages. A plain text is the path of a file of this
machine, or `-`. An `InputFile` knows more: the batch download that it is a file of, or, if it is a
`StreamedInput`, bytes that are no file of this machine. Those pass through a pipe that a thread
fills, so whatever reads a pipe reads them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import weakref
from abc import abstractmethod
from collections.abc import Generator, Hashable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO, Self

from batonics.model.errors import InputError
from batonics.sources.batch_download import BatchFacts

STDIN = "-"
PIPE_BYTES = 1 << 20
"""What a pipe may hold, the most that Linux gives to anyone: a read of a pipe returns no more."""
STORED_PIECE_BYTES = 1 << 20
"""Size of one read of a file whose bytes are digested."""


class InputFile(str):
    """The path of a file, and what is known of it.

    Attributes:
        facts: what the batch download says that it is a file of; None: it is of none.
    """

    __slots__ = ("__dict__", "__weakref__")

    facts: BatchFacts | None = None

    def of_batch(self, facts: BatchFacts | None) -> Self:
        """The input, now as a file of a batch download."""
        self.facts = facts
        return self


class MemoryFile(InputFile):
    """The path of a copy of bytes. Whoever opens it holds this object until then."""

    def __new__(cls, data: bytes | memoryview) -> Self:  # noqa: D102 - the class says it
        descriptor = os.memfd_create("batonics")
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        path = super().__new__(cls, f"/proc/self/fd/{descriptor}")
        weakref.finalize(path, os.close, descriptor)
        return path


class StreamedInput(InputFile):
    """The name of an input that is no file of this machine.

    Attributes:
        size: the number of its bytes; None: not known.
        identity: what two inputs with the same bytes have in common; None: nothing is known.
        stored_in: the file of this machine that the bytes are in; None: there is none.
        version: a text that is another one if the bytes are; None: the bytes come only once.
    """

    size: int | None = None
    identity: Hashable | None = None
    stored_in: str | None = None
    version: str | None = None

    def connect(self) -> None:
        """Find out the size and the version, without reading the bytes.

        Raises:
            InputError: the input is not there, or must not be read.
        """

    @abstractmethod
    def pieces(self) -> Generator[bytes, None, None]:
        """The bytes, from the beginning, in pieces.

        Raises:
            InputError: they cannot be read, or are not those of `version`.
        """


class FilledPipe:
    """A pipe that a thread fills with the bytes of an input.

    Args:
        source: the input.

    Attributes:
        file: the end to read from. Once it is closed the thread ends at its next piece.
    """

    def __init__(self, source: StreamedInput) -> None:
        reading, writing = os.pipe()
        with suppress(OSError):  # refused where the user has many such pipes
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.file: BinaryIO = os.fdopen(reading, "rb", buffering=0)
        self._error: BaseException | None = None
        # A daemon: a read of a user's object may never return.
        Thread(
            target=self._fill, args=(source, writing), name="batonics-fill-pipe", daemon=True
        ).start()

    def check(self) -> None:
        """Raise the error that has ended the bytes early, if there is one."""
        if self._error is not None:
            raise self._error

    def _fill(self, source: StreamedInput, writing: int) -> None:
        try:
            with closing(source.pieces()) as pieces:
                for piece in pieces:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[os.write(writing, rest) :]
        except BrokenPipeError:
            pass  # nobody reads on
        except BaseException as error:  # noqa: BLE001 - raised again in the reader
            self._error = error
        finally:
            os.close(writing)


def local_path(path: str | Path) -> str | None:
    """The file of this machine that has the bytes of an input; None: there is none."""
    return path.stored_in if isinstance(path, StreamedInput) else str(path)


def input_facts(path: str | Path) -> BatchFacts | None:
    """What the batch download says that an input is a file of; None: it is of none."""
    return path.facts if isinstance(path, InputFile) else None


def is_read_once(path: str | Path) -> bool:
    """Whether the bytes of an input come only once, as those of a pipe."""
    if isinstance(path, StreamedInput):
        return path.version is None
    return str(path) == STDIN or Path(path).is_fifo()


def input_size(path: str | Path) -> int:
    """The number of bytes of an input; 0 if it is not known.

    Raises:
        InputError: it is not there.
    """
    if isinstance(path, StreamedInput):
        path.connect()
        return path.size or 0
    try:
        return Path(path).stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None


def input_version(path: str | Path) -> str:
    """A text that is another one if the bytes of an input are.

    Raises:
        InputError: it is not there.
    """
    if isinstance(path, StreamedInput):
        path.connect()
        return path.version or ""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def absolute_name(path: str | Path) -> str:
    """The name of an input, wherever it is named from; links stay."""
    return str(path) if "://" in str(path) else os.path.abspath(path)  # noqa: PTH100 - links stay


def input_pieces(path: str | Path) -> Generator[bytes, None, None]:
    """The bytes of an input as they are stored, from the beginning.

    Raises:
        InputError: they cannot be read.
    """
    if isinstance(path, StreamedInput):
        path.connect()
        yield from path.pieces()
        return
    try:
        with Path(path).open("rb", buffering=0) as file:
            while piece := file.read(STORED_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def input_digest(path: str | Path, cancelled: Event | None = None) -> str:
    """SHA-256 of the bytes of an input, in hex; meaningless once `cancelled` is set."""
    digest = hashlib.sha256()
    with closing(input_pieces(path)) as pieces:
        for piece in pieces:
            digest.update(piece)
            if cancelled is not None and cancelled.is_set():
                break
    return digest.hexdigest()


def read_whole(path: str | Path, bytes_max: int) -> bytes:
    """The bytes of a small input.

    Raises:
        InputError: they cannot be read, or are too many.
    """
    found = bytearray()
    with closing(input_pieces(path)) as pieces:
        for piece in pieces:
            found += piece
            if len(found) > bytes_max:
                raise InputError(f"{path}: has more than {bytes_max:,} bytes")
    return bytes(found)


def head_of(path: str | Path, size: int) -> bytes:
    """The first bytes of an input, as they are stored."""
    found = b""
    with closing(input_pieces(path)) as pieces:
        while len(found) < size and (piece := next(pieces, b"")):
            found += piece
    return found[:size]
