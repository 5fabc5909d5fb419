"""Reads files as chunks of plain bytes; zstd and gzip are decompressed.

The rule: an input that cannot be read is one `InputError` that names it; a reader that stops early
leaves no open file behind. A reader holds a regular file open only while it reads it, so thousands
of inputs can wait.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
from collections.abc import Generator, Hashable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event
from typing import BinaryIO, cast

from batonics.codec.framing import Framing
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import DamagedInputError, InputError
from batonics.sources.input_files import (
    PIPE_BYTES,
    STDIN,
    FilledPipe,
    StreamedInput,
    input_facts,
)
from batonics.sources.input_options import SALVAGE_ADVICE
from batonics.sources.read_ahead import POLL_MS

READ_BYTES = 1792 << 10
"""Size of one read: 32,768 records, so that a batch (`stream.py`) ends with a chunk."""
PEEK_READ_BYTES = 64 << 10
"""Size of one read where only the beginning is wanted."""
COPIED_BYTES_MAX = 64 << 30
"""A longer input is not copied to a temporary file, whatever a small compressed one inflates to."""
CHUNKS_AHEAD_MAX = 4
"""Chunks to read ahead: enough for one slow batch, at most 7 MiB of plain bytes."""


class ChunkReader:
    """Reads one input as plain bytes.

    Args:
        path: the input (`input_files.py`); `-` is standard input.
        salvage: an input that ends within a zstd frame is no error.

    Attributes:
        facts: what the batch download says that the input is of; None: it is of none.
        name: the path, or `<stdin>`, for messages.
        identity: what two readers of one file, pipe or object have in common; None: nothing is
            known.
        is_cut: whether the input has ended within a zstd frame (only with `salvage`).
        size: number of stored bytes; None for a pipe.
        position: bytes of the file that were read so far.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: str | Path, *, salvage: bool = False) -> None:
        self.name = "<stdin>" if str(path) == STDIN else _printable_path(path)
        self.position = 0
        self.is_cut = False
        self._salvage = salvage
        self._raw_ahead: list[bytes] = []  # what `peek` has read of a pipe
        self._unpacker = Unpacker(self.name)
        self._first: Iterator[bytes] | None = None  # the first plain bytes, after `detect`
        self._is_cancelled = Event()
        self._path = path
        self.facts = input_facts(path)
        self._file: BinaryIO | None = None
        self._pipe: FilledPipe | None = None
        self.identity: Hashable | None
        if isinstance(path, StreamedInput):
            path.connect()
            self._is_regular, self._may_reopen = False, path.version is not None
            self.identity, self.size = path.identity, path.size or None
            return
        self._file = _open(path, self.name)
        status = os.fstat(self._file.fileno())
        self._is_regular = stat.S_ISREG(status.st_mode)
        self._may_reopen = str(path) != STDIN and self._is_regular
        is_pipe = stat.S_ISFIFO(status.st_mode)
        self.identity = _identity(status) if self._is_regular or is_pipe else None
        if self._may_reopen:
            self.close()
        if is_pipe:
            # Linux; refused where the user has many such pipes. The pipe works as it is, too.
            with suppress(AttributeError, OSError):
                fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.size = status.st_size if status.st_size > 0 else None

    def close(self) -> None:
        """Close a file that will not be read."""
        if self._file is not None:
            self._file.close()

    def cancel(self) -> None:
        """End the chunks soon; safe to call from any thread."""
        self._is_cancelled.set()

    @property
    def is_compressed(self) -> bool:
        """Whether the input is zstd or gzip; known after `detect`."""
        return self._unpacker.is_compressed is True

    @property
    def framing(self) -> Framing | None:
        """The format of the plain bytes; None before the first chunk."""
        return self._unpacker.framing

    @property
    def file_bytes(self) -> int | None:
        """The size of the plain bytes; None for a pipe or a compressed file."""
        return None if self.is_compressed else self.size

    def read_end(self, size: int) -> bytes:
        """The last bytes of a plain file; empty for any other input."""
        if not self._is_regular or self.is_compressed or self.size is None:
            return b""
        file = self._open()
        try:
            return os.pread(file.fileno(), size, max(0, self.size - size))
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror}") from None
        finally:
            if self._may_reopen:
                file.close()

    @property
    def is_plain_file(self) -> bool:
        """Whether it can be read anywhere, as often as wanted: it is no pipe and no device."""
        return self._is_regular or (
            isinstance(self._path, StreamedInput) and self._path.version is not None
        )

    def open_file(self) -> BinaryIO:
        """The file, to be read anywhere in it; the caller closes it.

        Bytes that are no file of this machine are copied to a temporary file without a name.

        Raises:
            InputError: it cannot be read, or there is no room for a copy.
        """
        if not self.is_plain_file:
            with closing(self.chunks()) as chunks:
                return copy_to_file(chunks, self.name)
        if isinstance(self._path, StreamedInput):
            return copy_to_file(self._path.pieces(), self.name)
        with self._open() as file:
            return Path(f"/proc/self/fd/{file.fileno()}").open("rb")

    def note_progress(self, part: float) -> None:
        """Note how much of a file from `open_file` was read: from 0 to 1."""
        self.position = int(part * (self.size or 0))

    def _open(self) -> BinaryIO:
        """The open file. It is opened anew if it was closed; it must be the one of before."""
        if isinstance(self._path, StreamedInput):
            if self._file is None or (self._may_reopen and self._file.closed):
                self._pipe = FilledPipe(self._path)
                self._file = self._pipe.file
            return self._file
        if self._file is None or (self._may_reopen and self._file.closed):
            self._file = _open(self._path, self.name)
            if _identity(os.fstat(self._file.fileno())) != self.identity:
                self._file.close()
                raise InputError(f"{self.name}: was replaced by another file since it was checked")
        return self._file

    def peek(self) -> Generator[bytes, None, None]:
        """Plain bytes of the beginning, as many as the caller takes; `chunks` gives them again."""
        raw: list[bytes] = []
        file = self._open()
        try:
            for data in self._read(file, PEEK_READ_BYTES):
                raw.append(data)
                yield from self._unpacker.feed(data)
            self._unpacker.close()
        finally:
            self._unpacker = Unpacker(self.name)
            self.position = 0
            if self._may_reopen:
                file.close()
            elif self._is_regular:
                os.lseek(file.fileno(), -sum(map(len, raw)), os.SEEK_CUR)
            else:
                self._raw_ahead = raw

    def detect(self) -> None:
        """Read enough to know whether the input is compressed."""
        for data in self._read(self._open()):
            self._first = self._unpacker.feed(data)
            if self._unpacker.is_compressed is not None:
                return
        self._unpacker.close()

    def chunks(self) -> Generator[bytes, None, None]:
        """The plain bytes, in order. The first chunk is long enough to detect their format."""
        with self._open() as file:
            if self._first is None:
                self.detect()
            yield from self._first or ()
            for data in self._read(file):
                yield from self._unpacker.feed(data)
            try:
                self._unpacker.close()
            except DamagedInputError as error:
                if self.framing is None:
                    raise
                if not self._salvage:
                    error.advice = SALVAGE_ADVICE
                    raise
                self.is_cut = True

    def _read(self, file: BinaryIO, size: int = READ_BYTES) -> Iterator[bytes]:
        while self._raw_ahead:
            data = self._raw_ahead.pop(0)
            self.position += len(data)
            yield data
        ready = select.poll()
        ready.register(file, select.POLLIN)
        while True:
            while not ready.poll(POLL_MS):
                if self._is_cancelled.is_set():
                    return
            try:
                # A pipe returns the bytes that it has: a live reader never waits for a full chunk.
                data = os.read(file.fileno(), size)
            except OSError as error:
                raise InputError(f"{self.name}: cannot be read: {error.strerror}") from None
            if not data:
                if self._pipe is not None:
                    self._pipe.check()
                return
            self.position += len(data)
            yield data


def copy_to_file(pieces: Iterable[bytes], name: str) -> BinaryIO:
    """Bytes in a temporary file without a name; the caller closes it.

    Args:
        pieces: the bytes.
        name: the name of the input that they are of, for messages.

    Raises:
        InputError: they cannot be read, are too many, or there is no room for them.
    """
    copy = TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        copy.writelines(_bounded(pieces, name))
        copy.seek(0)
    except BaseException as error:
        copy.close()
        if isinstance(error, OSError):
            raise InputError(f"{name}: cannot be copied: {error.strerror}") from None
        raise
    return cast(BinaryIO, copy)


def _bounded(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Bytes up to as many as are copied."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > COPIED_BYTES_MAX:
            raise InputError(
                f"{name}: has more than {COPIED_BYTES_MAX >> 30} GiB, which are not copied to a"
                " temporary file; write it to a plain file"
            )
        yield piece


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open(path: str | Path, name: str) -> BinaryIO:
    if str(path) == STDIN:
        if sys.stdin is None:
            raise InputError(f"{name}: is closed")
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    try:
        if Path(path).is_dir():
            raise InputError(f"{name}: is a directory; name its files")
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"{name}: cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{name!r}: not a path: {error}") from None


def _printable_path(path: str | Path) -> str:
    """The path as text that can be printed and encoded, whatever its bytes are."""
    return os.fsencode(path).decode(errors="replace")
