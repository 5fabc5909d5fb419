"""Splits a byte stream of DBN records into indexed pieces.

The rule here: the bytes of a piece are those of the chunk that brought them; only a record that is
split between two chunks is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from batonics.gateway import record_bytes_kernels as kernels
from batonics.gateway.feed_pieces import BytesLike, FeedPiece, unit_index
from batonics.model.errors import DamagedInputError

PIECE_UNITS_MAX = 32_768
"""The most units of an indexed piece."""


class RecordIndex:
    """Splits a stream of records, given in chunks of any size, into indexed pieces.

    Args:
        source: a name for error messages.
        byte_offset: the offset of the first record in the stream.
        due_ns: when the record before the first one is due.

    Attributes:
        due_ns: when the last record is due.
    """

    def __init__(self, source: str | None = None, byte_offset: int = 0, due_ns: int = 0) -> None:
        self.due_ns = due_ns
        self._source, self._offset = source, byte_offset
        self._incomplete = bytearray()  # the bytes of a record whose end has not come

    def feed(self, chunk: BytesLike) -> Iterator[FeedPiece]:
        """The complete records of the stream so far.

        Raises:
            DamagedInputError: a record is shorter than a header.
        """
        position, incomplete = 0, self._incomplete
        if incomplete:
            position = max(4 * incomplete[0] - len(incomplete), 0)
            incomplete += chunk[:position]
            if len(incomplete) < 4 * incomplete[0]:
                return
            yield from self._index(bytes(incomplete), 0)
            incomplete.clear()
        for piece in self._index(chunk, position):
            position += len(piece.data)
            yield piece
        incomplete += chunk[position:]

    def close(self) -> None:
        """End the stream; DamagedInputError if that is within a record."""
        if self._incomplete:
            raise self._damage(f"the stream ends after {len(self._incomplete)} bytes of a record")

    def _index(self, data: BytesLike, position: int) -> Iterator[FeedPiece]:
        array = np.frombuffer(data, np.uint8)
        reason = kernels.INDEX_FULL
        while reason == kernels.INDEX_FULL:
            ends, dues = np.empty(PIECE_UNITS_MAX, np.int64), np.empty(PIECE_UNITS_MAX, np.int64)
            start = position
            count, position, self.due_ns, reason = kernels.index_records(
                array, start, len(array), self.due_ns, ends, dues
            )
            if count:
                self._offset += position - start
                records = memoryview(data)[start:position]
                yield FeedPiece(records, ends[:count] - start, dues[:count])
        if reason == kernels.INDEX_NEXT_FILE:
            raise self._damage("another DBN file begins here; part the two")
        if reason == kernels.INDEX_BAD_LENGTH:
            raise self._damage(f"length byte is {array[position]}, expected 4 words or more")

    def _damage(self, reason: str) -> DamagedInputError:
        return DamagedInputError(reason, byte_offset=self._offset, source=self._source)


def record_headers(piece: FeedPiece) -> NDArray[np.uint64]:
    """(units,) The first 8 bytes of each record of an indexed piece."""
    ends, _ = unit_index(piece)
    headers = np.empty(len(ends), np.uint64)
    kernels.read_headers(np.frombuffer(piece.data, np.uint8), ends, headers)
    return headers
