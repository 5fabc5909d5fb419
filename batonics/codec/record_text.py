"""Records as lines of text in, batches of MBO rows out. No I/O.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks.
Rows before a fault come out before the error. Used like `DbnDecoder`.

    lines ──▶ first lines ──▶ usual lines ──────────▶ rows
              columns, unit    compiled pass      ▲
              of prices        └─▶ unusual lines ─┘ columns of text, `mbo_columns.py`

A compiled pass takes lines that leave no doubt. Any other line, and what comes first, is checked
by `mbo_columns.py`, which also says what columns are taken. Both make the same rows of a line.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batonics.codec import text_value_kernels as values
from batonics.codec.column_notes import IN_INTEGERS, LOCAL, ZONED, BadValueError, ColumnNotes
from batonics.codec.mbo_columns import NAME_COLUMN, MboColumns
from batonics.codec.ndjson_kernels import LINES_NEW_SYMBOL, LINES_ROWS_FULL
from batonics.codec.stream_decoder import Bytes, LineDecoder
from batonics.codec.symbol_numbers import SymbolNumbers
from batonics.model.errors import DamagedInputError, InputError
from batonics.model.mbo import MboBatch, slice_batch
from batonics.model.record_columns import TableNotes
from batonics.model.symbols import MappingInterval

TEXT_END = b"\x1a"
"""A line that stands for the end of a text."""
BLANK = b" \t\r\n" + TEXT_END
"""Bytes of lines that are no records."""
_UNUSUAL_BYTES = 1 << 12
"""Unusual lines that are read at once, at first. Columns have a cost of their own."""
_USUAL_BYTES = 1 << 16
"""After so many bytes of usual lines, the next unusual one is an exception again."""
_PADDING = bytes(values.PADDING_BYTES)


class UsualLines(NamedTuple):
    """What the compiled pass has done.

    Attributes:
        position: where the first line begins that is not taken.
        row: the next row.
        reason: why the pass stopped.
        symbol_start, symbol_stop: where a new symbol begins and ends.
    """

    position: int
    row: int
    reason: int
    symbol_start: int
    symbol_stop: int


class RecordTextDecoder(LineDecoder):
    """Decodes one stream of lines, each of which is a record; see `LineDecoder`.

    Blank lines and a header are no records.

    Args:
        batch_rows, buffers, skip_bad, source: as of `StreamDecoder`.
        lossy: whether values of which something is lost are taken.

    Attributes:
        columns: the columns of the stream; None before they are known.
    """

    TRAILER = b"\n" + TEXT_END + b"\n"
    """What is fed after the last chunk: a newline, which the last line may lack, and TEXT_END."""

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        lossy: bool = False,
        source: str | None = None,
    ) -> None:
        super().__init__(batch_rows=batch_rows, buffers=buffers, skip_bad=skip_bad, source=source)
        self.columns: MboColumns | None = None
        self._lossy = lossy
        self._lines = 0  # lines before `byte_offset`
        self._held = b""  # lines before the unit of prices is known
        self._held_checked = 0
        self._knows_unit = False
        self._is_end = self._lacks_newline = False
        self._unusual_bytes = _UNUSUAL_BYTES
        self._numbers = SymbolNumbers()
        self._codes = np.zeros(batch_rows, np.int64)  # of the symbols of the rows
        self._words = np.zeros(values.LINE_WORDS, np.int64)

    def new_names(self) -> list[MappingInterval]:
        """The names that were found since the last call."""
        return [] if self.columns is None else self.columns.new_names()

    def describe(self) -> TableNotes:
        """What a user has to know of the columns."""
        return TableNotes() if self.columns is None else self.columns.describe()

    @abstractmethod
    def _begin(self, line: bytes) -> int:
        """Find the columns in the first line that is not blank; its bytes that are no record."""

    @abstractmethod
    def _parse(self, lines: list[bytes]) -> tuple[pa.RecordBatch, BadValueError | None]:
        """The records of lines, up to the first that is none, and what is wrong with it."""

    @abstractmethod
    def _parse_usual(
        self, data: NDArray[np.uint8], position: int, stop: int, notes: ColumnNotes
    ) -> UsualLines:
        """Write rows of the lines of `data[position:stop]`, up to the first that is unusual."""

    def _note_taken(self, table: pa.RecordBatch) -> None:
        """Note records that were taken, for forms whose first values decide the others."""

    def _read(self, data: bytes) -> pa.RecordBatch | None:  # noqa: ARG002 - for forms that have it
        """All records of whole lines at once; None: they are parsed one by one."""
        return None

    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        self._is_end = bytes(data) == self.TRAILER
        self._lacks_newline = self._is_end and bool(self._head)
        return super()._feed(data)

    def _close(self) -> None:
        if self.columns is None:
            raise self._refusal("the input has no records")
        try:
            self.columns.finish()
        except InputError as error:
            raise self._refusal(str(error)) from None

    def _decode(self, data: bytes, position: int, stop: int) -> Generator[MboBatch, None, None]:
        """Decode whole lines."""
        while self.columns is None and position < stop:
            line = data[position : data.index(b"\n", position) + 1]
            taken = self._begin(line) if line.strip(BLANK) else len(line)
            self._skip_bytes(line[:taken])
            position += taken
        if self.columns is None or position == stop:
            return
        lines = data[position:stop]
        if not self._knows_unit:
            self._held += lines
            self._knows_unit = self._find_unit(self.columns)
            if not self._knows_unit:
                return
            lines, self._held = self._held, b""
        yield from self._decode_lines(lines, self.columns)

    def _find_unit(self, columns: MboColumns) -> bool:
        """Whether the unit of prices is known from the lines so far."""
        is_end = self._is_end
        if not is_end and len(self._held) < 2 * self._held_checked:
            return False
        self._held_checked = len(self._held)
        table, fault = self._read(self._held), None
        if table is None:
            table, fault = self._parse(split_lines(self._held))
        return columns.find_unit(table, is_end=is_end or fault is not None)

    def _decode_lines(self, data: bytes, columns: MboColumns) -> Generator[MboBatch, None, None]:
        """Decode lines in turns: usual ones, and a few from an unusual one on."""
        array, position = np.frombuffer(data + _PADDING, np.uint8), 0
        while position < len(data):
            start = position
            position = yield from self._decode_usual(array, position, len(data), columns)
            if position == len(data):
                return
            if self._row:
                yield self._take_batch()
            if position - start > _USUAL_BYTES:
                self._unusual_bytes = _UNUSUAL_BYTES
            stop = data.find(b"\n", min(position + self._unusual_bytes, len(data) - 1)) + 1
            position += yield from self._decode_unusual(data[position:stop], columns)
            self._unusual_bytes = min(2 * self._unusual_bytes, 1 << 30)

    def _decode_usual(
        self, array: NDArray[np.uint8], position: int, stop: int, columns: MboColumns
    ) -> Generator[MboBatch, None, int]:
        """Decode lines up to the first that is unusual; its position."""
        while True:
            start, first_row = position, self._row
            position, self._row, reason, symbol_start, symbol_stop = self._parse_usual(
                array, position, stop, columns.notes
            )
            self.records += self._row - first_row
            self.rows += self._row - first_row
            self._skip_bytes(array[start:position].tobytes())
            if reason == LINES_ROWS_FULL:
                yield self._take_batch()
            elif reason == LINES_NEW_SYMBOL:
                self._numbers.add(array[symbol_start:symbol_stop].tobytes())
            else:
                return position

    def _take_batch(self) -> MboBatch:
        codes = self._codes[: self._row]
        batch = super()._take_batch()
        if self.columns is not None:
            self.columns.note_rows(batch, codes, [None, *self._numbers.symbols])
        return batch

    def _decode_unusual(self, data: bytes, columns: MboColumns) -> Generator[MboBatch, None, int]:
        """Decode records up to the first that is bad, and skip that; the bytes taken."""
        table, fault = self._read(data), None
        if table is None:
            table, fault = self._parse(split_lines(data))
        try:
            batch, found = columns.convert_good(table)
        except InputError as error:
            raise self._refusal(str(error)) from None
        fault = found or fault
        rows, rows_max = len(batch.action), len(self._codes)
        self._note_taken(table.slice(0, rows))
        size = len(data) if fault is None else _offset_of_record(data, rows)
        self.records += rows
        self.rows += rows
        self._skip_bytes(data[:size])
        for start in range(0, rows, rows_max):
            yield slice_batch(batch, start, min(rows, start + rows_max))
        if fault is None:
            return size
        if not self._skip_bad:
            self._lacks_newline = False  # the error says more
            raise self._damage(fault.reason)
        self.records += 1
        self.skipped += 1
        line = data[size : data.index(b"\n", size) + 1]
        self._skip_bytes(line)
        return size + len(line)

    def _skip_bytes(self, data: bytes) -> None:
        self.byte_offset += len(data)
        self._lines += data.count(b"\n")

    def _damage(self, reason: str) -> DamagedInputError:
        return super()._damage(f"line {self._lines + 1:,}: {reason}")

    def _make_columns(self, schema: pa.Schema) -> MboColumns:
        try:
            return MboColumns(schema, lossy=self._lossy)
        except InputError as error:
            raise self._refusal(str(error)) from None


def text_form(name: str, notes: ColumnNotes) -> int:
    """How the values of a column are written that is text (`text_value_kernels.py`).

    It is UNREAD until the notes say it, and while times have not shown nanoseconds.
    """
    if name == "price":
        prices = {True: values.DECIMAL, False: values.INTEGER, None: values.UNREAD}
        return prices[notes.decimal_prices]
    if name in ("ts_recv", "ts_event"):
        times = {ZONED: values.ZONED_TIME, LOCAL: values.ZONELESS_TIME}
        form = notes.time_forms.get(name, "")
        if form == IN_INTEGERS:
            return values.INTEGER
        return times.get(form, values.UNREAD) if notes.has_nanoseconds else values.UNREAD
    others = {NAME_COLUMN: values.NAME, "action": values.LETTER, "side": values.LETTER}
    return others.get(name, values.INTEGER)


def split_lines(data: bytes) -> list[bytes]:
    """The lines of text that ends with a newline, each with its newline."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _offset_of_record(data: bytes, row: int) -> int:
    """The offset of the line of a record; blank lines are none."""
    offset = 0
    for line in split_lines(data):
        if line.strip(BLANK) not in (b"", b"[", b"]"):
            if row == 0:
                break
            row -= 1
        offset += len(line)
    return offset
