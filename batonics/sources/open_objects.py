"""Open files, and any object with `read`, as inputs.

The rule here: bytes come from where the object is to its end. An open file of this machine is read
by itself, so it can be read again and stays where it is; any other object is read once, and is then
at its end.
"""

from __future__ import annotations

import io
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Self

from batonics.model.errors import InputError
from batonics.sources.input_files import STORED_PIECE_BYTES, InputFile, MemoryFile, StreamedInput


class BinaryReader(ABC):
    """Any object with a method `read(size)`."""

    @abstractmethod
    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return callable(getattr(other, "read", None))


class OpenObject(StreamedInput):
    """The bytes of an object, which come once.

    Args:
        reader: the object.
    """

    def __new__(cls, reader: BinaryReader) -> Self:  # noqa: D102 - the class says it
        made = super().__new__(cls, _name(reader))
        made._reader, made._is_read = reader, False
        return made

    _reader: BinaryReader
    _is_read: bool

    def connect(self) -> None:
        """See `StreamedInput`."""
        if self._is_read:
            raise InputError(f"{self}: has been read; an object is read once, so give its bytes")

    def pieces(self) -> Generator[bytes, None, None]:
        """See `StreamedInput`."""
        self.connect()
        self._is_read = True
        # A reader of a socket returns what has come.
        read = getattr(self._reader, "read1", None) or self._reader.read
        try:
            while piece := read(STORED_PIECE_BYTES):
                if not isinstance(piece, (bytes, bytearray, memoryview)):
                    raise InputError(f"{self}: gives text; open it in binary mode, 'rb'")
                yield bytes(piece)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self}: cannot be read: {error}") from None


class FilePart(StreamedInput):
    """The bytes of an open regular file from a position on.

    Args:
        name: its name.
        descriptor: the file.
        start: the position.
    """

    def __new__(cls, name: str, descriptor: int, start: int) -> Self:  # noqa: D102
        made = super().__new__(cls, name)
        made._descriptor, made._start = os.dup(descriptor), start
        status = os.fstat(descriptor)
        made.size = max(0, status.st_size - start)
        made.identity = status.st_dev, status.st_ino, start
        made.version = f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {start}"
        return made

    _descriptor: int
    _start: int

    def __del__(self) -> None:
        os.close(self._descriptor)

    def pieces(self) -> Generator[bytes, None, None]:
        """See `StreamedInput`."""
        at = self._start
        try:
            while piece := os.pread(self._descriptor, STORED_PIECE_BYTES, at):
                at += len(piece)
                yield piece
        except OSError as error:
            raise InputError(f"{self}: cannot be read: {error.strerror}") from None


def read_object(reader: BinaryReader) -> InputFile:
    """An input of the bytes of an object.

    Raises:
        InputError: it is closed, or open for text.
    """
    name = _name(reader)
    if hasattr(reader, "encoding"):
        raise InputError(f"{name}: is open for text; open it in binary mode, 'rb'")
    if getattr(reader, "closed", False) is True:
        raise InputError(f"{name}: is closed")
    if isinstance(reader, io.BytesIO):
        rest = MemoryFile(reader.getbuffer()[reader.tell() :])
        reader.seek(0, io.SEEK_END)
        return rest
    inner: Any = getattr(reader, "file", reader)  # what `tempfile` makes is around a file
    if isinstance(inner, (io.BufferedReader, io.BufferedRandom, io.FileIO)):
        raw = inner if isinstance(inner, io.FileIO) else inner.raw
        if isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            if isinstance(inner, io.BufferedRandom):
                inner.flush()
            return FilePart(name, raw.fileno(), inner.tell())
    return OpenObject(reader)


def _name(reader: BinaryReader) -> str:
    name = getattr(reader, "name", None)
    return name if isinstance(name, str) and name else f"<{type(reader).__name__}>"
