"""DBN bytes in, batches of MBO rows out. No I/O.

The rule here: what comes out depends on the bytes alone, never on how they are cut into chunks.
Chunks only decide where one batch ends and the next begins. Whatever comes before the first fault,
be it in a row or in another record, comes out before the error.

                    8 bytes            whole metadata
    prefix ───────────────▶ metadata ──────────────────▶ records ◀──┐
     ▲ └── no `DBN`, an MBO header: a fragment ─────────────▲ │└────┘ one pass of the kernel
     └── `DBN` in place of a record: another file follows ────┘

`DBN` begins no record, since 0x42 is the rtype of none.

Only the metadata, and a record that a chunk cuts in two, are copied before they are decoded.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.messages import (
    GOES_ON_AFTER,
    RTYPE_ERROR,
    RTYPE_SYSTEM,
    GatewayMessage,
    OtherRecord,
    parse_content,
    parse_error_message,
    parse_system_message,
    record_words,
)
from batonics.codec.metadata import (
    DBN_MAGIC,
    LATEST_VERSION,
    PREFIX_BYTES,
    SCHEMA_MBO,
    Metadata,
    check_metadata_bytes,
    parse_metadata,
    parse_prefix,
    schema_name,
)
from batonics.codec.record_errors import CODE_MASKS, describe_bad_record, skippable_bytes
from batonics.codec.record_kernels import (
    INPUT_END,
    OTHERS_FULL,
    ROWS_FULL,
    OtherPositions,
    RecordFormat,
    decode_records,
)
from batonics.codec.stream_decoder import Bytes, StreamDecoder, as_read_only
from batonics.model.errors import BatonicsError, DamagedInputError, UsageError
from batonics.model.mbo import (
    RTYPE_MBO,
    Action,
    MboBatch,
    records_from_batch,
)
from batonics.settings.table import INPUT_DEFAULTS

METADATA_BYTES_MAX = INPUT_DEFAULTS.metadata_bytes_max
"""Longer metadata is refused, unless the caller has another limit."""

OTHERS_MAX = 4096
"""A batch ends early after so many other records, which are Python objects."""


class _StreamEnd(NamedTuple):
    """An end of the stream at a record that is not MBO.

    Attributes:
        error: why it ends.
        position: where in the data.
        row: the next row.
        others: records other than MBO before it.
    """

    error: BatonicsError
    position: int
    row: int
    others: int


class DbnDecoder(StreamDecoder):
    """Decodes one DBN stream, or a fragment of one (records only, read as version 3).

    Several streams behind each other (`cat a.dbn b.dbn`) are decoded one after the other.

    See `StreamDecoder`.

    Args:
        batch_rows, buffers, source: as of `StreamDecoder`.
        skip_bad: whether a record with a bad action, side, rtype or text is counted and skipped
            instead of refused. A wrong length is always refused, since the next record cannot be
            found.
        metadata_bytes_max: longer metadata is refused unread.
        file_bytes: the size of the file that the stream is; None where it is not known. Metadata
            may then be as long as the file, whatever `metadata_bytes_max` is.
        schema: the schema of a stream that has a single one.
        ends_at_error: whether an error message of the gateway ends the stream.

    Attributes:
        metadata: the metadata of the stream; None before it has come, and for a fragment.
        files: number of streams whose records have begun. A batch, which may be empty, is yielded
            at the end of each but the last.
        version: DBN version of the records.
        other_records: records that are not MBO. At most OTHERS_MAX are added before a batch, which
            may be empty, is yielded.
    """

    _frame_bytes = 0

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
        metadata_bytes_max: int = METADATA_BYTES_MAX,
        file_bytes: int | None = None,
        schema: int | None = SCHEMA_MBO,
        ends_at_error: bool = False,
    ) -> None:
        super().__init__(batch_rows=batch_rows, buffers=buffers, skip_bad=skip_bad, source=source)
        self.files = 0
        self.version = LATEST_VERSION
        self._metadata_bytes_max, self._file_bytes = metadata_bytes_max, file_bytes
        self._schema = schema
        self._ends_at_error = ends_at_error
        self._others = OtherPositions(
            np.empty(OTHERS_MAX, np.int64), np.empty(OTHERS_MAX, np.int64)
        )
        # `_head` has the first bytes of the stream until its records begin, too.
        self._in_records = False
        self._format = self._record_format(LATEST_VERSION, ts_out=False)

    def _close(self) -> None:
        if self._in_records or not self._head:
            super()._close()
            return
        raise DamagedInputError(
            f"the stream ends after {len(self._head)} bytes, within its metadata",
            byte_offset=self.byte_offset + len(self._head),
            source=self._source,
        )

    def _is_empty(self) -> bool:
        return not self._in_records

    @property
    def is_salvageable(self) -> bool:
        """Whether the bytes before the incomplete record or metadata are a stream."""
        return self._in_records or self.files > 0

    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        chunk, position = as_read_only(data), 0
        while position < len(chunk):
            if not self._in_records:
                position = self._begin(chunk, position)
            elif self._head:
                position = yield from self._decode_carried(chunk, position)
            else:
                position = yield from self._decode(chunk, position)
                if self._in_records:
                    self._head += chunk[position:].tobytes()
                    break

    def _begin(self, chunk: NDArray[np.uint8], position: int) -> int:
        """Read the beginning of a stream; the position in the chunk after the bytes taken."""
        head = self._head
        position = self._take_head(chunk, position, PREFIX_BYTES)
        if not DBN_MAGIC.startswith(head[: len(DBN_MAGIC)]):
            self._begin_fragment()
        elif len(head) >= PREFIX_BYTES:
            metadata_bytes = parse_prefix(
                bytes(head[:PREFIX_BYTES]), self._source, self.byte_offset
            )
            check_metadata_bytes(
                metadata_bytes,
                file_bytes=self._file_bytes,
                limit=self._metadata_bytes_max,
                source=self._source,
                base_offset=self.byte_offset,
            )
            position = self._take_head(chunk, position, metadata_bytes)
            if len(head) == metadata_bytes:
                self._begin_stream(parse_metadata(bytes(head), self._source, self.byte_offset))
        return position

    def _record_format(self, version: int, *, ts_out: bool) -> RecordFormat:
        words = record_words(version, ts_out=ts_out)
        return RecordFormat(self._frame_bytes, words, CODE_MASKS)

    def _begin_fragment(self) -> None:
        expected = bytes([self._format.words_of_rtype[RTYPE_MBO], RTYPE_MBO])
        if not expected.startswith(self._head[:2]):
            # No more of the beginning than is needed, however long the chunk is.
            openings = (bytes(self._head[:size]) for size in range(1, len(self._head) + 1))
            found = next(
                o for o in openings if not (DBN_MAGIC.startswith(o) or expected.startswith(o))
            )
            if self.files:
                rtype = self._head[1]
                raise self._damage(
                    f"rtype is 0x{rtype:02x}, which DBN version {self.version} does not have"
                )
            raise self._refusal(
                f"not DBN: starts with {found.hex(' ')}, expected {DBN_MAGIC.hex(' ')} (DBN)"
                f" or {expected.hex(' ')} (an MBO record)"
            )
        self._in_records = len(self._head) >= len(expected)
        self.files += self._in_records

    def _begin_stream(self, metadata: Metadata) -> None:
        if self._schema is not None and metadata.schema not in (self._schema, None):
            use = "but books are built from mbo"
            if self._schema != SCHEMA_MBO:
                use = f"expected {schema_name(self._schema)}"
            raise self._refusal(f"its schema is {schema_name(metadata.schema)}, {use}")
        self.files += 1
        self.metadata = metadata
        self.version = metadata.version
        self.byte_offset += len(self._head)
        self._head.clear()
        self._format = self._record_format(metadata.version, ts_out=metadata.ts_out)
        self._in_records = True

    def _decode_carried(
        self, chunk: NDArray[np.uint8], position: int
    ) -> Generator[MboBatch, None, int]:
        """Complete and decode the record that earlier chunks began."""
        header_bytes = self._frame_bytes + 2
        position = self._take_head(chunk, position, header_bytes)
        if self._begins_file(np.frombuffer(bytes(self._head), np.uint8)):
            yield self._begin_next()
            return position
        if len(self._head) >= header_bytes:
            record_bytes = self._frame_bytes + 4 * self._head[self._frame_bytes]
            position = self._take_head(chunk, position, record_bytes)
        record = np.frombuffer(bytes(self._head), np.uint8)
        consumed = yield from self._decode(record, 0)
        del self._head[:consumed]
        return position

    def _decode(self, data: NDArray[np.uint8], position: int) -> Generator[MboBatch, None, int]:
        """Decode the whole records of `data` from `position` on; the position after them."""
        while True:
            start, first_row = position, self._row
            position, self._row, other_count, reason = decode_records(
                data,
                start,
                len(data),
                tuple(self._format),
                tuple(self._columns),
                first_row,
                tuple(self._others),
            )
            end: _StreamEnd | None = None
            if other_count:
                end = self._keep_others(data, start, first_row, other_count)
            if end is not None:
                _, position, self._row, other_count = end
            new_rows = self._row - first_row
            self.rows += new_rows
            self.records += new_rows + other_count
            self.byte_offset += position - start
            if end is not None:
                yield self._take_batch()
                raise end.error
            if reason not in (ROWS_FULL, OTHERS_FULL) and self._begins_file(data[position:]):
                yield self._begin_next()
                return position
            if reason == INPUT_END:
                return position
            if reason in (ROWS_FULL, OTHERS_FULL):
                yield self._take_batch()
                continue
            bad = data[position:]
            skipped = skippable_bytes(bad, self._format, reason) if self._skip_bad else 0
            if not skipped:
                yield self._take_batch()
                raise self._damage(describe_bad_record(bad, self._format, reason, self.version))
            if skipped > len(bad):
                return position
            position += skipped
            self.byte_offset += skipped
            self.records += 1
            self.skipped += 1

    def _begins_file(self, data: NDArray[np.uint8]) -> bool:
        """Whether these bytes in place of a record begin another file."""
        opening = data[: len(DBN_MAGIC)].tobytes()
        return self._frame_bytes == 0 and len(opening) > 1 and DBN_MAGIC.startswith(opening)

    def _begin_next(self) -> MboBatch:
        """End the records of one file, since another follows; the batch to yield before it."""
        self._in_records = False
        return self._take_batch()

    def _keep_others(
        self, data: NDArray[np.uint8], start: int, first_row: int, other_count: int
    ) -> _StreamEnd | None:
        """Keep the records that are not MBO; the end of the stream if it is at one of them."""
        for index in range(other_count):
            position, row = int(self._others.position[index]), int(self._others.row[index])
            at = position + self._frame_bytes
            stop = at + 4 * int(data[at])
            record = OtherRecord(
                rtype=int(data[at + 1]),
                byte_offset=self.byte_offset + at - start,
                record_index=self.records + row - first_row + index,
                rows_before=self.rows + row - first_row,
                data=data[at:stop].tobytes(),
            )
            if self._ends_at_error and record.rtype in (RTYPE_ERROR, RTYPE_SYSTEM):
                message = self._gateway_message(record)
                self.other_records.append(record._replace(content=message))
                goes_on = message is not None and message.code in GOES_ON_AFTER
                if record.rtype == RTYPE_SYSTEM or goes_on:
                    continue
                text = "an error whose text is damaged" if message is None else message.text
                error = self._refusal(f"the gateway says: {text}")
                return _StreamEnd(error, stop, row, index + 1)
            if record.rtype == RTYPE_ERROR:
                message = self._gateway_message(record)
                self.other_records.append(record._replace(content=message))
                continue
            try:
                content = parse_content(record, self.version, self._source)
            except DamagedInputError as damage:
                if not self._skip_bad:
                    return _StreamEnd(damage, position, row, index)
                self.skipped += 1
                continue
            self.other_records.append(record._replace(content=content))
        return None

    def _gateway_message(self, record: OtherRecord) -> GatewayMessage | None:
        """What the gateway says in an ErrorMsg or SystemMsg; None: the record is damaged."""
        parse = parse_error_message if record.rtype == RTYPE_ERROR else parse_system_message
        try:
            return parse(record, self.version, self._source)
        except DamagedInputError:
            return None


def encode_records(batch: MboBatch) -> bytes:
    """The bytes of a batch on the wire, 56 a row, the same in every version.

    Raises:
        UsageError: a row is MODIFY_PARTIAL, which DBN does not have.
    """
    if (batch.action == Action.MODIFY_PARTIAL).any():
        raise UsageError("a modify that leaves fields out cannot be written as DBN")
    return records_from_batch(batch).tobytes()
