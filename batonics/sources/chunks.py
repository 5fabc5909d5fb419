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
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO

from batonics.codec.framing import Framing
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import DamagedInputError, InputError
from batonics.sources.input_options import SALVAGE_ADVICE
from batonics.sources.read_ahead import POLL_MS

STDIN = "-"
READ_BYTES = 1792 << 10
"""Size of one read: 32,768 records, so that a batch (`stream.py`) ends with a chunk."""
PEEK_READ_BYTES = 64 << 10
"""Size of one read where only the beginning is wanted."""
PIPE_BYTES = 1 << 20
"""What a pipe may hold, the most that Linux gives to anyone: a read of a pipe returns no more."""
CHUNKS_AHEAD_MAX = 4
"""Chunks to read ahead: enough for one slow batch, at most 7 MiB of plain bytes."""


class ChunkReader:
    """Reads one input as plain bytes.

    Args:
        path: path of the file; `-` is standard input.
        salvage: an input that ends within a zstd frame is no error.

    Attributes:
        name: the path, or `<stdin>`, for messages.
        is_cut: whether the input has ended within a zstd frame (only with `salvage`).
        size: size of the file on the disk; None for a pipe.
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
        self._file = _open(path, self.name)
        self._status = os.fstat(self._file.fileno())
        self._may_reopen = str(path) != STDIN and stat.S_ISREG(self._status.st_mode)
        if self._may_reopen:
            self._file.close()
        if stat.S_ISFIFO(self._status.st_mode):
            # Linux; refused where the user has many such pipes. The pipe works as it is, too.
            with suppress(AttributeError, OSError):
                fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.size = self._status.st_size if self._status.st_size > 0 else None

    def close(self) -> None:
        """Close a file that will not be read."""
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

    @property
    def identity(self) -> tuple[int, int] | None:
        """What two readers of one file or pipe have in common; None for a device."""
        mode = self._status.st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            return None
        return self._status.st_dev, self._status.st_ino

    def read_end(self, size: int) -> bytes:
        """The last bytes of a plain file; empty for any other input."""
        if not stat.S_ISREG(self._status.st_mode) or self.is_compressed or self.size is None:
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
        return stat.S_ISREG(self._status.st_mode)

    def open_file(self) -> BinaryIO:
        """The file, to be read anywhere in it; the caller closes it.

        Raises:
            InputError: it is a pipe.
        """
        if not self.is_plain_file:
            form = f" is {self.framing.value}, which" if self.framing else ""
            raise InputError(f"{self.name}:{form} cannot be read from a pipe; write it to a file")
        with self._open() as file:
            return Path(f"/proc/self/fd/{file.fileno()}").open("rb")

    def note_progress(self, part: float) -> None:
        """Note how much of a file from `open_file` was read: from 0 to 1."""
        self.position = int(part * (self.size or 0))

    def _open(self) -> BinaryIO:
        """The open file. It is opened anew if it was closed; it must be the one of before."""
        if self._may_reopen and self._file.closed:
            self._file = _open(self._path, self.name)
            status = os.fstat(self._file.fileno())
            if (status.st_dev, status.st_ino) != self.identity:
                self._file.close()
                raise InputError(f"{self.name}: was replaced by another file since it was checked")
        return self._file

    def peek(self) -> Generator[bytes, None, None]:
        """Plain bytes of the beginning, as many as the caller takes; `chunks` gives them again."""
        raw: list[bytes] = []
        self._open()
        try:
            for data in self._read(PEEK_READ_BYTES):
                raw.append(data)
                yield from self._unpacker.feed(data)
            self._unpacker.close()
        finally:
            self._unpacker = Unpacker(self.name)
            self.position = 0
            if self._may_reopen:
                self._file.close()
            elif stat.S_ISREG(self._status.st_mode):
                os.lseek(self._file.fileno(), -sum(map(len, raw)), os.SEEK_CUR)
            else:
                self._raw_ahead = raw

    def detect(self) -> None:
        """Read enough to know whether the input is compressed."""
        self._open()
        for data in self._read():
            self._first = self._unpacker.feed(data)
            if self._unpacker.is_compressed is not None:
                return
        self._unpacker.close()

    def chunks(self) -> Generator[bytes, None, None]:
        """The plain bytes, in order. The first chunk is long enough to detect their format."""
        with self._open():
            if self._first is None:
                self.detect()
            yield from self._first or ()
            for data in self._read():
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

    def _read(self, size: int = READ_BYTES) -> Iterator[bytes]:
        while self._raw_ahead:
            data = self._raw_ahead.pop(0)
            self.position += len(data)
            yield data
        ready = select.poll()
        ready.register(self._file, select.POLLIN)
        while True:
            while not ready.poll(POLL_MS):
                if self._is_cancelled.is_set():
                    return
            try:
                # A pipe returns the bytes that it has: a live reader never waits for a full chunk.
                data = os.read(self._file.fileno(), size)
            except OSError as error:
                raise InputError(f"{self.name}: cannot be read: {error.strerror}") from None
            if not data:
                return
            self.position += len(data)
            yield data


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
