"""NDJSON ops in, batches of MBO rows out. No I/O; used like `DbnDecoder`.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks. A
compiled pass reads usual lines. orjson reads an unusual one, and rewrites it in the usual form for
the same pass. So an op becomes rows in one place.

    {"type":"add","symbol":"X","side":"bid","oid":1,"px":100000000000,"qty":10,"seq":1,"ts_ns":1}

| type   | needs                        | rows                                                     |
|--------|------------------------------|----------------------------------------------------------|
| add    | symbol, side, oid, px, qty   | A                                                        |
| modify | symbol, oid                  | MODIFY_PARTIAL; omitted fields stay as they are          |
| cancel | symbol, oid                  | C of qty; without qty MODIFY_PARTIAL to size 0           |
| fill   | symbol, oid, qty             | F, then C: in this form a fill reduces the order         |
| clear  | symbol                       | R                                                        |

`px` is an integer of 1e-9. The last row of an op has F_LAST. Symbols become instrument_id 1, 2, 3
and so on, in the order of their appearance. publisher_id is 0, channel_id NO_CHANNEL.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from batonics.codec import ndjson_kernels as kernels
from batonics.codec.messages import OtherRecord
from batonics.codec.ndjson_kernels import SymbolHash
from batonics.codec.ndjson_ops import normalize_op
from batonics.model.errors import BatonicsError, DamagedInputError, InputError, UsageError
from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    MboBatch,
    empty_batch,
    slice_batch,
)
from batonics.model.symbols import MappingInterval

NEW_SYMBOLS_MAX = 1_024
"""A batch ends behind so many new symbols, which take far longer than lines."""


class NdjsonDecoder:
    """Decodes one stream of NDJSON ops.

    Feed it the stream in chunks of any size, exhausting each `feed`, then TRAILER, then `close` it.
    The arrays of a batch are reused by the next one.

    Args:
        batch_rows: the greatest number of rows of a batch, 2 or more.
        skip_bad: whether a bad line is counted and skipped instead of refused.
        source: a name for error messages.
        line_bytes_max: a longer line is refused.

    Attributes:
        records: ops so far, skipped ones included; blank lines are not ops.
        rows: MBO rows decoded.
        byte_offset: the offset of the next line.
        skipped: bad lines skipped (only with `skip_bad`).
        symbols: symbols in order of appearance; `symbols[i]` has instrument_id i + 1.
        other_records: always empty, for callers that also use a `DbnDecoder`.
        metadata: always None, for the same callers.
        files: always 1, for the same callers.
        is_salvageable: always True, for the same callers.
    """

    TRAILER = b"\n"
    """What is fed after the last chunk, as the last line may lack its newline."""

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        skip_bad: bool = False,
        source: str | None = None,
        line_bytes_max: int = 1 << 20,
    ) -> None:
        if batch_rows < 2:
            raise UsageError(f"batch_rows is {batch_rows}, expected 2 or more")
        self.records = 0
        self.rows = 0
        self.byte_offset = 0
        self.skipped = 0
        self.symbols: list[str] = []
        self.other_records: list[OtherRecord] = []
        self.metadata: None = None
        self.files = 1
        self.is_salvageable = True
        self._skip_bad = skip_bad
        self._source = source
        self._line_bytes_max = line_bytes_max
        self._columns = empty_batch(batch_rows)
        self._row = 0
        self._head = bytearray()
        self._fed = False
        self._failure: BatonicsError | None = None
        self._table = SymbolHash(
            slots=np.zeros(64, np.int64),
            stop=np.zeros(33, np.int64),
            text=np.zeros(1024, np.uint8),
            salt=hash_salt(),
        )
        self._fields = np.zeros(kernels.FIELDS, np.int64)

    def feed(self, data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> Iterator[MboBatch]:
        """Decode the next chunk. Its last batch may be short, so no row waits for more bytes.

        Rows before a bad line are yielded before the error is raised.

        Raises:
            DamagedInputError: a line is not an op, or too long.
        """
        if self._failure is not None:
            raise self._failure
        try:
            yield from self._feed(bytes(data))
        except BatonicsError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Say that the stream has ended.

        Raises:
            DamagedInputError: it ended within a line.
            InputError: it was empty.
        """
        if self._failure is not None:
            raise self._failure
        if not self._fed:
            prefix = f"{self._source}: " if self._source else ""
            raise InputError(f"{prefix}the input is empty")
        if self._head:
            raise self._damage(f"the stream ends after {len(self._head)} bytes of a line")

    def begin(self, source: str | None) -> None:
        """Begin another stream; symbols keep their numbers."""
        self.records = self.rows = self.byte_offset = self.skipped = self._row = 0
        self._head.clear()
        self._failure = None
        self._source = source
        self._fed = False

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an incomplete line."""
        return len(self._head)

    def symbol_intervals(self, first: int = 0) -> Iterator[MappingInterval]:
        """The symbols so far, from this place on; they hold for all times."""
        for index in range(first, len(self.symbols)):
            yield MappingInterval(0, UNDEF_TIMESTAMP, index + 1, self.symbols[index])

    def _feed(self, chunk: bytes) -> Generator[MboBatch, None, None]:
        self._fed = self._fed or bool(chunk.strip())
        position = 0
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
            self._head += chunk[stop:]
        if self._row:
            yield self._take_batch()
        if len(self._head) > self._line_bytes_max:
            raise self._damage(self._too_long())

    def _decode(self, data: bytes, position: int, stop: int) -> Generator[MboBatch, None, None]:
        """Decode the lines of `data[position:stop]`, which is empty or ends with a newline."""
        array = np.frombuffer(data, np.uint8)
        while position < stop:
            start = position
            position, reason, symbol = self._parse(array, position, stop, 127)
            self.byte_offset += position - start
            if reason == kernels.LINES_ROWS_FULL:
                yield self._take_batch()
            elif reason == kernels.LINES_NEW_SYMBOL:
                self._intern(symbol)
                if self._row and len(self.symbols) % NEW_SYMBOLS_MAX == 0:
                    yield self._take_batch()
            elif reason == kernels.LINES_DOUBTFUL:
                if self._row + 2 > len(self._columns.action):
                    yield self._take_batch()
                line_end = data.index(b"\n", position)
                yield from self._decode_unusual(data[position:line_end])
                self.byte_offset += line_end + 1 - position
                position = line_end + 1

    def _decode_unusual(self, line: bytes) -> Generator[MboBatch, None, None]:
        usual = b""
        reason = self._too_long() if len(line) > self._line_bytes_max else ""
        if not reason:
            try:
                usual = normalize_op(line)
            except ValueError as error:
                if self._skip_bad:
                    self.records += 1
                    self.skipped += 1
                    return
                reason = str(error)
        if reason:
            if self._row:
                yield self._take_batch()
            raise self._damage(reason)
        array = np.frombuffer(usual, np.uint8)
        _, stopped, symbol = self._parse(array, 0, len(usual), 255)
        if stopped == kernels.LINES_NEW_SYMBOL:
            self._intern(symbol)
            _, stopped, _ = self._parse(array, 0, len(usual), 255)
        if stopped != kernels.LINES_INPUT_END:
            raise AssertionError(f"an op that was checked is not understood: {usual!r}")

    def _parse(
        self, data: NDArray[np.uint8], position: int, stop: int, byte_max: int
    ) -> tuple[int, int, bytes]:
        """One pass of the kernel: the new position, why it stopped, and a new symbol."""
        first_row = self._row
        position, self._row, ops, reason, symbol_start, symbol_stop = kernels.parse_lines(
            data,
            position,
            stop,
            (byte_max, self._line_bytes_max),
            tuple(self._table),
            self._fields,
            tuple(self._columns),
            first_row,
        )
        self.records += ops
        self.rows += self._row - first_row
        return position, reason, data[symbol_start:symbol_stop].tobytes()

    def _intern(self, symbol: bytes) -> None:
        """Give a symbol the next number, and make room as needed."""
        self.symbols.append(symbol.decode())
        number = len(self.symbols)
        slots, stop, text, salt = self._table
        if number == len(stop):
            stop = np.concatenate([stop, stop])
        first = int(stop[number - 1])
        while first + len(symbol) > len(text):
            text = np.concatenate([text, text])
        stop[number] = first + len(symbol)
        text[first : first + len(symbol)] = np.frombuffer(symbol, np.uint8)
        first_unplaced = number
        if 2 * number > len(slots):
            slots, first_unplaced = np.zeros(2 * len(slots), np.int64), 1
        self._table = SymbolHash(slots, stop, text, salt)
        kernels.place_symbols(tuple(self._table), first_unplaced, number)

    def _take_batch(self) -> MboBatch:
        rows, self._row = self._row, 0
        return slice_batch(self._columns, 0, rows)

    def _too_long(self) -> str:
        return f"the line is longer than {self._line_bytes_max} bytes"

    def _damage(self, reason: str) -> DamagedInputError:
        return DamagedInputError(
            reason,
            byte_offset=self.byte_offset,
            record_index=self.records,
            source=self._source,
        )
