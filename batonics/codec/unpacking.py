"""Bytes of any form in, plain bytes out: detect the form, inflate zstd, detect what is inside.

The rule here: what comes out depends on the bytes alone, never on how they were cut into chunks,
and nothing comes out before the form of the plain bytes is known. No I/O.

    raw bytes ──▶ form? ──▶ plain: passed on
                     └────▶ zstd: inflated ──▶ form? ──▶ plain: passed on
                                                 └─────▶ zstd again: refused
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from batonics.codec.framing import DETECT_BYTES, Framing, detect_framing
from batonics.codec.inflate import PIECE_BYTES, ZstdInflater
from batonics.model.errors import InputError

HEAD_BYTES_MAX = PIECE_BYTES + DETECT_BYTES
"""An input whose form is still open after so many bytes, such as white space, is refused."""


class Unpacker:
    """Unpacks one input.

    Feed it the input in chunks of any size, exhausting each `feed`, then `close` it.

    Args:
        source: a name for error messages.

    Attributes:
        is_compressed: whether the input is zstd; None until that is known.
        framing: the form of the plain bytes; None until it is known.
    """

    def __init__(self, source: str | None = None) -> None:
        self.is_compressed: bool | None = None
        self.framing: Framing | None = None
        self._source = source
        self._head = b""  # bytes whose form is not known yet: raw ones, then plain ones
        self._inflater: ZstdInflater | None = None

    @overload
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    @overload
    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]: ...

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """The plain bytes of the next chunk. The first of them are enough to tell their form.

        The call itself detects the form of the input. Only the iterator inflates.

        Raises:
            DamagedInputError: a zstd frame is damaged.
            InputError: the form is unknown, zstd is within zstd, or a window is too large.
        """
        if self.is_compressed is None:
            self._head += bytes(data)
            framing = self._detect()
            if framing is None:
                return iter(())
            data, self._head = self._head, b""
            self.is_compressed = framing is Framing.ZSTD
            if self.is_compressed:
                self._inflater = ZstdInflater(source=self._source)
            else:
                self.framing = framing
        return iter((data,)) if self._inflater is None else self._inflate(self._inflater, data)

    def close(self, *, may_be_empty: bool = False) -> None:
        """Say that the input has ended.

        Args:
            may_be_empty: whether an input without plain bytes is accepted.

        Raises:
            DamagedInputError: the last zstd frame is cut.
            InputError: the input is empty, or too short to tell its form.
        """
        if self._inflater is not None:
            self._inflater.close()
        if self.framing is None and (self._head or not may_be_empty):
            detect_framing(self._head, complete=True, source=self._source)

    def _inflate(self, inflater: ZstdInflater, data: bytes | memoryview) -> Iterator[bytes]:
        for piece in inflater.feed(data):
            plain = piece
            if self.framing is None:
                self._head += piece
                framing = self._detect()
                if framing is None:
                    continue
                if framing is Framing.ZSTD:
                    prefix = f"{self._source}: " if self._source else ""
                    raise InputError(f"{prefix}zstd within zstd; unpack it first")
                self.framing = framing
                plain, self._head = self._head, b""
            yield plain

    def _detect(self) -> Framing | None:
        complete = len(self._head) > HEAD_BYTES_MAX
        return detect_framing(self._head, complete=complete, source=self._source)
