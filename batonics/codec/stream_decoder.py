"""What the decoders of every form share: bytes in chunks of any size in, batches of MBO rows out.

The rules here: what comes out depends on the bytes alone, never on how they are cut into chunks.
Rows before a fault come out before the error, and a decoder that has failed raises the same error
again. No I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from batonics.codec.messages import OtherRecord
from batonics.codec.metadata import Metadata
from batonics.model.errors import BatonicsError, DamagedInputError, InputError, UsageError
from batonics.model.mbo import MboBatch, empty_batch, slice_batch

Bytes = bytes | bytearray | memoryview | NDArray[np.uint8]


class StreamDecoder(ABC):
    """Decodes one stream.

    Feed it the stream in chunks of any size, exhausting each `feed`, then TRAILER, then `close` it.
    The arrays of a batch are reused by the next one, or by a later one (`buffers`).

    Args:
        batch_rows: the greatest number of rows of a batch.
        buffers: sets of arrays that are used in turn: so many batches stay valid.
        skip_bad: whether a bad record is counted and skipped instead of refused.
        source: a name for error messages.

    Attributes:
        records: whole records so far, of every kind, skipped ones included.
        rows: MBO rows decoded.
        byte_offset: the offset of the next record.
        skipped: bad records skipped (only with `skip_bad`).
        other_records: records that are not MBO, in order. The caller clears the list after each
            batch and after the last one.
        metadata: the metadata of the stream; None: it has none, or it has not come.
        files: number of streams behind each other whose records have begun.
    """

    TRAILER: ClassVar[bytes] = b""
    """What is fed after the last chunk."""
    BATCH_ROWS_MIN: ClassVar[int] = 1
    """The least `batch_rows`: the rows of one record."""
    RECORD_NAME: ClassVar[str] = "record"
    """What a record is called in errors."""

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
    ) -> None:
        if batch_rows < self.BATCH_ROWS_MIN or buffers < 1:
            raise UsageError(
                f"batch_rows is {batch_rows}, buffers {buffers}, expected {self.BATCH_ROWS_MIN} and"
                " 1 or more"
            )
        self.records = self.rows = self.byte_offset = self.skipped = 0
        self.other_records: list[OtherRecord] = []
        self.metadata: Metadata | None = None
        self.files = 1
        self._skip_bad, self._source = skip_bad, source
        self._buffers = [empty_batch(batch_rows) for _ in range(buffers)]
        # Batches are read-only views, so kernels that require such arrays take them as they are.
        self._views = [MboBatch._make(_read_only(c) for c in buffer) for buffer in self._buffers]
        self._row = 0  # rows of the next batch so far
        self._head = bytearray()  # the beginning of a record that a chunk has cut
        self._failure: BatonicsError | None = None

    def feed(self, data: Bytes) -> Iterator[MboBatch]:
        """Decode the next chunk. Its last batch may be short, so no row waits for more bytes.

        Records before a fault are there before the error is raised: a batch, which may be empty,
        is yielded first.

        Raises:
            DamagedInputError: the bytes break the format.
            InputError: the stream has another form, or what it says is refused.
        """
        if self._failure is not None:
            raise self._failure
        try:
            yield from self._feed(data)
            if self._row:
                yield self._take_batch()
        except BatonicsError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Say that the stream has ended.

        Raises:
            DamagedInputError: it ended within a record.
            InputError: it was empty.
        """
        if self._failure is not None:
            raise self._failure
        self._close()

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an incomplete record."""
        return len(self._head)

    @property
    def is_salvageable(self) -> bool:
        """Whether the bytes before the incomplete record are a stream."""
        return True

    @abstractmethod
    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        """Decode the next chunk; rows that no batch has are in `_columns`."""

    def _close(self) -> None:
        """Check that the stream is whole."""
        if self._head:
            raise self._damage(
                f"the stream ends after {len(self._head)} bytes of a {self.RECORD_NAME}"
            )
        if self._is_empty():
            raise self._refusal("the input is empty")

    def _is_empty(self) -> bool:
        return self.records == 0

    @property
    def _columns(self) -> MboBatch:
        """The arrays of the next batch."""
        return self._buffers[0]

    def _take_batch(self) -> MboBatch:
        """The next batch, of the rows so far."""
        batch = slice_batch(self._views[0], 0, self._row)
        self._row = 0
        for buffers in (self._buffers, self._views):
            buffers.append(buffers.pop(0))
        return batch

    def _take_head(self, chunk: NDArray[np.uint8], position: int, head_bytes: int) -> int:
        """Move bytes of the chunk to the head until it has `head_bytes`; the new position."""
        stop = position + max(head_bytes - len(self._head), 0)
        self._head += chunk[position:stop].tobytes()
        return min(stop, len(chunk))

    def _damage(self, reason: str) -> DamagedInputError:
        return DamagedInputError(
            reason,
            byte_offset=self.byte_offset,
            record_index=self.records,
            source=self._source,
        )

    def _refusal(self, reason: str) -> InputError:
        return InputError(f"{self._source}: {reason}" if self._source else reason)


class LineDecoder(StreamDecoder):
    """Decodes one stream of lines; see `StreamDecoder`.

    Args:
        line_bytes_max: a longer line is refused.
    """

    TRAILER = b"\n"
    """What is fed after the last chunk, as the last line may lack its newline."""
    RECORD_NAME = "line"

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
        line_bytes_max: int = 1 << 20,
    ) -> None:
        super().__init__(batch_rows=batch_rows, buffers=buffers, skip_bad=skip_bad, source=source)
        self._line_bytes_max = line_bytes_max

    @abstractmethod
    def _decode(self, data: bytes, position: int, stop: int) -> Generator[MboBatch, None, None]:
        """Decode the lines of `data[position:stop]`, which is empty or ends with a newline."""

    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        chunk, position = bytes(data), 0
        if self._head:
            position = chunk.find(b"\n") + 1
            self._head += chunk[: position or None]
            if position:
                line = bytes(self._head)
                self._head.clear()
                yield from self._decode(line, 0, len(line))
        if position or not self._head:
            stop = chunk.rfind(b"\n") + 1
            yield from self._decode(chunk, position, stop)
            self._head += chunk[max(stop, position) :]
        if len(self._head) > self._line_bytes_max:
            if self._row:
                yield self._take_batch()
            raise self._damage(self._too_long())

    def _too_long(self) -> str:
        return f"the line is longer than {self._line_bytes_max} bytes"


def as_read_only(data: Bytes) -> NDArray[np.uint8]:
    """Bytes as a read-only array, so that kernels are compiled for one type."""
    chunk = np.frombuffer(data, np.uint8)
    chunk.flags.writeable = False
    return chunk


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    view = column.view()
    view.flags.writeable = False
    return view
