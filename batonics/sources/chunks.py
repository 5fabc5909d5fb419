"""Reads files as chunks of plain bytes; zstd is decompressed.

The rule: an input that cannot be read is one `InputError` that names it; a reader that stops early
leaves no open file behind.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event
from typing import BinaryIO

from batonics.codec.framing import Framing
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import InputError
from batonics.sources.read_ahead import POLL_MS

STDIN = "-"
READ_BYTES = 1792 << 10
"""Size of one read: 32,768 records, so that a batch (`stream.py`) ends with a chunk."""
CHUNKS_AHEAD_MAX = 4
"""Chunks to read ahead: enough for one slow batch, at most 7 MiB of plain bytes."""


class ChunkReader:
    """Reads one input as plain bytes.

    Args:
        path: path of the file; `-` is standard input.

    Attributes:
        name: the path, or `<stdin>`, for messages.
        size: size of the file on the disk; None for a pipe.
        position: bytes of the file that were read so far.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = "<stdin>" if str(path) == STDIN else _printable_path(path)
        self.position = 0
        self._unpacker = Unpacker(self.name)
        self._first: Iterator[bytes] | None = None  # the first plain bytes, after `detect`
        self._is_cancelled = Event()
        self._file = _open(path, self.name)
        self.size = _regular_size(self._file)

    def close(self) -> None:
        """Close a file that will not be read."""
        self._file.close()

    def cancel(self) -> None:
        """End the chunks soon; safe to call from any thread."""
        self._is_cancelled.set()

    @property
    def is_compressed(self) -> bool:
        """Whether the input is zstd; known after `detect`."""
        return self._unpacker.is_compressed is True

    @property
    def framing(self) -> Framing | None:
        """The format of the plain bytes; None before the first chunk."""
        return self._unpacker.framing

    def detect(self) -> None:
        """Read enough to know whether the input is compressed."""
        for data in self._read():
            self._first = self._unpacker.feed(data)
            if self._unpacker.is_compressed is not None:
                return
        self._unpacker.close()

    def chunks(self) -> Generator[bytes, None, None]:
        """The plain bytes, in order. The first chunk is long enough to detect their format."""
        with self._file:
            if self._first is None:
                self.detect()
            yield from self._first or ()
            for data in self._read():
                yield from self._unpacker.feed(data)
            self._unpacker.close()

    def _read(self) -> Iterator[bytes]:
        ready = select.poll()
        ready.register(self._file, select.POLLIN)
        while True:
            while not ready.poll(POLL_MS):
                if self._is_cancelled.is_set():
                    return
            try:
                # A pipe returns the bytes that it has: a live reader never waits for a full chunk.
                data = os.read(self._file.fileno(), READ_BYTES)
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


def _regular_size(file: BinaryIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if status.st_size > 0 else None
