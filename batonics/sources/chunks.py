"""Files as chunks of bytes: opened, and decompressed where they are zstd.

The rule: an input that cannot be read is one `InputError` that names it; a reader that is left
early leaves no open file behind.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import BinaryIO

from batonics.codec.framing import Framing
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import InputError
from batonics.sources.read_ahead import WAIT_MS

STDIN = "-"
READ_BYTES = 1792 << 10
"""Of a file at once: 32,768 records, so that a batch (`stream.py`) ends with a chunk."""
CHUNKS_AHEAD_MAX = 4
"""Chunks to read ahead: enough to ride out a slow batch, at most 7 MiB of plain bytes."""


def path_list(paths: str | Path | Sequence[str | Path]) -> list[str]:
    """One path or several, as a list."""
    return [str(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]


class ChunkReader:
    """One input as plain bytes, whatever it is packed in.

    Attributes:
        name: for people: the path, or `<stdin>`.
        size: bytes of the file as it lies on disk; None for a pipe.
        position: bytes of it read so far.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = "<stdin>" if str(path) == STDIN else _shown(path)
        self.position = 0
        self._unpacker = Unpacker(self.name)
        self._first: Iterator[bytes] | None = None  # of the chunks, once begun
        self._left = Event()
        self._file = _open(path, self.name)
        self.size = _regular_size(self._file)

    def close(self) -> None:
        """Close a file that is not to be read."""
        self._file.close()

    def leave(self) -> None:
        """Say, from any thread, that nobody wants the rest: the chunks end soon."""
        self._left.set()

    @property
    def is_compressed(self) -> bool:
        """Whether the input is zstd; known after `begin`."""
        return self._unpacker.is_compressed is True

    @property
    def framing(self) -> Framing | None:
        """The form of the plain bytes; None before the first chunk."""
        return self._unpacker.framing

    def begin(self) -> None:
        """Read as much as tells whether the input is compressed."""
        for data in self._read():
            self._first = self._unpacker.feed(data)
            if self._unpacker.is_compressed is not None:
                return
        self._unpacker.close()

    def chunks(self) -> Generator[bytes, None, None]:
        """The plain bytes, in order. The first chunk is long enough to tell their form."""
        with self._file:
            if self._first is None:
                self.begin()
            yield from self._first or ()
            for data in self._read():
                yield from self._unpacker.feed(data)
            self._unpacker.close()

    def _read(self) -> Iterator[bytes]:
        ready = select.poll()
        ready.register(self._file, select.POLLIN)
        while True:
            while not ready.poll(WAIT_MS):
                if self._left.is_set():
                    return
            try:
                # A pipe gives what there is: a live reader is never kept waiting for a full chunk.
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


def _shown(path: str | Path) -> str:
    """The path as text that can be printed and encoded, whatever bytes it is made of."""
    return os.fsencode(path).decode(errors="replace")


def _regular_size(file: BinaryIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if status.st_size > 0 else None
