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

from batonics.codec.framing import DETECT_BYTES, Framing, detect_framing
from batonics.codec.inflate import ZstdInflater
from batonics.model.errors import BatonicsError, InputError
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
        packed: whether it is compressed, once `begin` has been called.
        framing: the form of the plain bytes, once the first chunk is out.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = "<stdin>" if str(path) == STDIN else _shown(path)
        self.position = 0
        self.packed = False
        self.framing: Framing | None = None
        self._head = b""
        self._left = Event()
        self._file = _open(path, self.name)
        self.size = _regular_size(self._file)

    def close(self) -> None:
        """Close a file that is not to be read."""
        self._file.close()

    def leave(self) -> None:
        """Say, from any thread, that nobody wants the rest: the chunks end soon."""
        self._left.set()

    def begin(self) -> None:
        """Read as much as tells whether the input is compressed."""
        self._head, self.framing = _head(self._read(), self.name)
        self.packed = self.framing is Framing.ZSTD

    def chunks(self) -> Generator[bytes, None, None]:
        """The plain bytes, in order. The first chunk is long enough to tell their form."""
        with self._file:
            if not self._head:
                self.begin()
            head, pieces = self._head, self._read()
            if self.packed:
                pieces = self._inflate(head)
                head, self.framing = _head(pieces, self.name)
                if self.framing is Framing.ZSTD:
                    raise InputError(f"{self.name}: zstd within zstd; unpack it first")
            yield head
            yield from pieces

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

    def _inflate(self, head: bytes) -> Iterator[bytes]:
        inflater = ZstdInflater(source=self.name)
        yield from inflater.feed(head)
        for data in self._read():
            yield from inflater.feed(data)
        inflater.close()


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


def _head(pieces: Iterator[bytes], name: str) -> tuple[bytes, Framing]:
    """Enough of the beginning to tell the form, and the form."""
    head = b""
    for piece in pieces:
        head += piece
        form = detect_framing(head, source=name)
        if form is not None:
            return head, form
        if len(head) > READ_BYTES + DETECT_BYTES:
            break
    form = detect_framing(head, complete=True, source=name)
    if form is None:
        raise BatonicsError(f"{name}: its form could not be told")
    return head, form
