"""zstd or gzip bytes in, plain bytes out. No I/O.

The rule here: memory is bounded, whatever the input. A window above the cap is refused. Output
comes in pieces, each made on demand, so a few bytes that inflate to terabytes cost a caller only
the pieces that it takes.

The GIL is released while a piece is made. Of backports.zstd, zstandard and pyarrow none is
measurably faster; only the first is in the standard library.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator

from batonics.model.errors import BatonicsError, DamagedInputError, InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 1792 << 10
"""The greatest size of an output piece: 32,768 records. Inflating is no faster above 256 KiB, but a
thread that works on the pieces is: with small ones the two threads wait for each other."""

_GZIP_WRAPPER = 16 + zlib.MAX_WBITS
"""What tells zlib that a header and a checksum of gzip are around the data."""
_SLICE_BYTES_MIN, _SLICE_BYTES_MAX = 32 << 10, 1 << 20
# The library copies what follows a frame's end. Input is given in slices, since otherwise very many
# tiny frames would cost the square of their size. Within a long frame slices grow.


class ZstdInflater:
    """Decompresses a stream of zstd frames, skippable ones included.

    Feed it the stream in chunks of any size, exhausting each `feed`, then `close` it.

    Args:
        window_bytes_max: the largest window of a frame; a power of two.
        source: a name for error messages.

    Attributes:
        bytes_in: compressed bytes fed so far.
        bytes_out: plain bytes returned so far.
    """

    def __init__(self, *, window_bytes_max: int = 32 << 20, source: str | None = None) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self._window_bytes_max = window_bytes_max
        self._source = source
        self._options: dict[int, int] = {
            zstd.DecompressionParameter.window_log_max: window_bytes_max.bit_length() - 1
        }
        self._frame: zstd.ZstdDecompressor | None = None
        self._frame_offset = 0
        self._slice_bytes = _SLICE_BYTES_MIN
        self._failure: BatonicsError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Decompress the next chunk, in pieces of at most PIECE_BYTES.

        Raises:
            DamagedInputError: a frame is damaged; the offset is that of its first byte in the
                compressed stream.
            InputError: a frame needs a larger window than allowed.
        """
        if self._failure is not None:
            raise self._failure
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view):
            pending = view[start : start + self._slice_bytes]
            start += len(pending)
            yield from self._inflate(pending)
            self._slice_bytes = min(2 * self._slice_bytes, _SLICE_BYTES_MAX)

    def close(self) -> None:
        """Say that the stream has ended.

        Raises:
            DamagedInputError: its last frame is cut.
            InputError: it was empty.
        """
        if self._failure is not None:
            raise self._failure
        if self.bytes_in == 0:
            prefix = f"{self._source}: " if self._source else ""
            raise InputError(f"{prefix}the input is empty")
        if self._frame is not None:
            raise DamagedInputError(
                f"the stream ends within the zstd frame that starts at byte {self._frame_offset}",
                byte_offset=self.bytes_in,
                source=self._source,
            )

    def _inflate(self, pending: bytes | memoryview) -> Iterator[bytes]:
        self.bytes_in += len(pending)
        while pending:
            if self._frame is None:
                self._frame = zstd.ZstdDecompressor(options=self._options)
                self._frame_offset = self.bytes_in - len(pending)
            frame = self._frame
            piece = self._piece(frame, pending)
            while piece:
                self.bytes_out += len(piece)
                yield piece
                piece = b"" if frame.eof or frame.needs_input else self._piece(frame, b"")
            pending = b""
            if frame.eof:
                pending = frame.unused_data
                self._frame = None
                self._slice_bytes = _SLICE_BYTES_MIN

    def _piece(self, frame: zstd.ZstdDecompressor, data: bytes | memoryview) -> bytes:
        try:
            return frame.decompress(data, PIECE_BYTES)
        except zstd.ZstdError as error:
            self._failure = self._explain(error)
            raise self._failure from None

    def _explain(self, error: zstd.ZstdError) -> BatonicsError:
        where = f"the zstd frame that starts at byte {self._frame_offset}"
        if "too much memory" in str(error):
            prefix = f"{self._source}: " if self._source else ""
            return InputError(
                f"{prefix}{where} needs a window of more than"
                f" {self._window_bytes_max >> 20} MiB, the cap (window_bytes_max)"
            )
        return DamagedInputError(
            f"{where} is damaged: {error}", byte_offset=self._frame_offset, source=self._source
        )


class GzipInflater:
    """Decompresses a stream of gzip members; used like `ZstdInflater`.

    Args:
        source: a name for error messages.
    """

    def __init__(self, *, source: str | None = None) -> None:
        self._source = source
        self._bytes_in = 0
        self._member_offset = 0
        self._member = zlib.decompressobj(_GZIP_WRAPPER)
        self._failure: DamagedInputError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Decompress the next chunk, in pieces of at most PIECE_BYTES.

        Raises:
            DamagedInputError: a member is damaged; the offset is that of its first byte in the
                compressed stream.
        """
        if self._failure is not None:
            raise self._failure
        view = memoryview(data).cast("B")
        # zlib copies what it has not used yet, as zstd does.
        for start in range(0, len(view), _SLICE_BYTES_MAX):
            yield from self._inflate(bytes(view[start : start + _SLICE_BYTES_MAX]))

    def close(self) -> None:
        """Say that the stream has ended.

        Raises:
            DamagedInputError: its last member is cut.
        """
        if self._failure is not None:
            raise self._failure
        if self._member_offset < self._bytes_in:
            raise DamagedInputError(
                f"the stream ends within the gzip member that starts at byte {self._member_offset}",
                byte_offset=self._bytes_in,
                source=self._source,
            )

    def _inflate(self, pending: bytes) -> Iterator[bytes]:
        self._bytes_in += len(pending)
        piece = b""
        # zlib may hold back output of input that it has taken, once a piece is full.
        while pending or len(piece) == PIECE_BYTES:
            try:
                piece = self._member.decompress(pending, PIECE_BYTES)
            except zlib.error as error:
                where = f"the gzip member that starts at byte {self._member_offset}"
                self._failure = DamagedInputError(
                    f"{where} is damaged: {error}",
                    byte_offset=self._member_offset,
                    source=self._source,
                )
                raise self._failure from None
            if piece:
                yield piece
            pending = self._member.unconsumed_tail
            if self._member.eof:
                pending = self._member.unused_data
                self._member_offset = self._bytes_in - len(pending)
                self._member = zlib.decompressobj(_GZIP_WRAPPER)
