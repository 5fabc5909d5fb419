"""Bytes of any form in, plain bytes out: detect the form, inflate it, detect what is inside.

The rule here: what comes out depends on the bytes alone, never on how they were cut into chunks,
and nothing comes out before the form of the plain bytes is known. At most HEAD_BYTES_MAX bytes
wait for that. No I/O.

    raw bytes ──▶ form? ──▶ plain: passed on
                     └────▶ zstd, gzip: inflated ──▶ form? ──▶ plain: passed on
                                                    └─────▶ compressed again: refused
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from batonics.codec.framing import COMPRESSIONS, Framing, detect_framing
from batonics.codec.inflate import GzipInflater, ZstdInflater
from batonics.model.errors import InputError


class Unpacker:
    """Unpacks one input.

    Feed it the input in chunks of any size, exhausting each `feed`, then `close` it.

    Args:
        source: a name for error messages.

    Attributes:
        is_compressed: whether the input is zstd or gzip; None until that is known.
        framing: the form of the plain bytes; None until it is known.
    """

    def __init__(self, source: str | None = None) -> None:
        self.is_compressed: bool | None = None
        self.framing: Framing | None = None
        self._source = source
        self._head = b""  # bytes whose form is not known yet: raw ones, then plain ones
        self._inflater: ZstdInflater | GzipInflater | None = None

    @overload
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    @overload
    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]: ...

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """The plain bytes of the next chunk. The first of them are enough to tell their form.

        The call itself detects the form of the input. Only the iterator inflates.

        Raises:
            DamagedInputError: a zstd frame or a gzip member is damaged.
            InputError: the form is unknown, a compressed form is within another, or a window of
                zstd is too large.
        """
        if self.is_compressed is None:
            self._head += bytes(data)
            framing = detect_framing(self._head, source=self._source)
            if framing is None:
                return iter(())
            data, self._head = self._head, b""
            self.is_compressed = framing in COMPRESSIONS
            if framing is Framing.ZSTD:
                self._inflater = ZstdInflater(source=self._source)
            elif framing is Framing.GZIP:
                self._inflater = GzipInflater(source=self._source)
            else:
                self.framing = framing
        return iter((data,)) if self._inflater is None else self._inflate(self._inflater, data)

    def close(self, *, may_be_empty: bool = False) -> None:
        """Say that the input has ended.

        Args:
            may_be_empty: whether an input without plain bytes is accepted.

        Raises:
            DamagedInputError: the last zstd frame or gzip member is cut.
            InputError: the input is empty, or too short to tell its form.
        """
        if self._inflater is not None:
            self._inflater.close()
        if self.framing is None and (self._head or not may_be_empty):
            detect_framing(self._head, complete=True, source=self._source)

    def _inflate(
        self, inflater: ZstdInflater | GzipInflater, data: bytes | memoryview
    ) -> Iterator[bytes]:
        for piece in inflater.feed(data):
            plain = piece
            if self.framing is None:
                self._head += piece
                framing = detect_framing(self._head, source=self._source)
                if framing is None:
                    continue
                if framing in COMPRESSIONS:
                    prefix = f"{self._source}: " if self._source else ""
                    raise InputError(f"{prefix}{self._nesting(framing)}; unpack it first")
                self.framing = framing
                plain, self._head = self._head, b""
            yield plain

    def _nesting(self, inner: Framing) -> str:
        outer = Framing.ZSTD if isinstance(self._inflater, ZstdInflater) else Framing.GZIP
        return f"{inner.value} within {outer.value}"
