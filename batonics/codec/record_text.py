"""Records as lines of text in, batches of MBO rows out: CSV and JSON. No I/O.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks.
Rows before a fault come out before the error. Used like `DbnDecoder`.

`mbo_columns.py` says what columns are taken, and checks every value.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from batonics.codec.column_values import BadValueError, show_value
from batonics.codec.framing import SEPARATORS
from batonics.codec.mbo_columns import HEADER, NAME_COLUMN, MboColumns
from batonics.codec.messages import OtherRecord
from batonics.model.errors import BatonicsError, DamagedInputError, InputError
from batonics.model.mbo import MBO_COLUMN_DTYPES, MboBatch, slice_batch
from batonics.model.record_columns import TableNotes
from batonics.model.symbols import MappingInterval

_LINE_BYTES_MAX = 1 << 20
_SHORT_BYTES = 1 << 12
_END = b"\x1a"
_BLANK = b" \t\r\n" + _END
_AS_TEXT = ("ts_recv", "ts_event", "action", "side", "price", NAME_COLUMN)
_COLUMN_TYPES = {
    **{name: pa.from_numpy_dtype(dtype) for name, dtype in MBO_COLUMN_DTYPES.items()},
    "rtype": pa.uint8(),
    **dict.fromkeys(_AS_TEXT, pa.string()),
}
"""The type in which each column of CSV is read; text is what `mbo_columns` converts."""
_KINDS: dict[type, str] = {str: "text", int: "an integer", float: "a number with a fraction"}


class RecordTextDecoder(ABC):
    """Decodes one stream of lines, each of which is a record.

    Feed it the stream in chunks of any size, exhausting each `feed`, then TRAILER, then `close` it.

    Args:
        batch_rows: the greatest number of rows of a batch.
        skip_bad: whether a bad line is counted and skipped instead of refused.
        lossy: whether values of which something is lost are taken.
        source: a name for error messages.

    Attributes:
        records: lines so far, skipped ones included; blank lines and a header are no records.
        rows: MBO rows decoded.
        byte_offset: the offset of the next line.
        skipped: bad lines skipped (only with `skip_bad`).
        columns: the columns of the stream; None before they are known.
        other_records: always empty, for callers that also use a `DbnDecoder`.
        metadata: always None, for the same callers.
        files: always 1, for the same callers.
        is_salvageable: always True, for the same callers.
    """

    TRAILER = b"\n\x1a\n"
    """What is fed after the last chunk: a newline, which the last line may lack, and a line that
    stands for the end of a text."""

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        skip_bad: bool = False,
        lossy: bool = False,
        source: str | None = None,
    ) -> None:
        self.records = self.rows = self.byte_offset = self.skipped = 0
        self.columns: MboColumns | None = None
        self.other_records: list[OtherRecord] = []
        self.metadata: None = None
        self.files = 1
        self.is_salvageable = True
        self._batch_rows, self._skip_bad, self._lossy = batch_rows, skip_bad, lossy
        self._source = source
        self._head = bytearray()
        self._lines = 0  # lines before `byte_offset`
        self._held = b""  # lines before the unit of prices is known
        self._held_checked = 0
        self._knows_unit = False
        self._is_end = self._lacks_newline = False
        self._failure: BatonicsError | None = None

    def feed(self, data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> Iterator[MboBatch]:
        """Decode the lines that the next chunk completes.

        Raises:
            DamagedInputError: a line is no record, has a bad value, or is too long.
            InputError: the columns are not those of MBO, or something is lost of their values.
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
            InputError: it has no header, or none of its times shows nanoseconds.
        """
        if self._failure is not None:
            raise self._failure
        if self.columns is None:
            raise self._refusal("the input has no records")
        try:
            self.columns.finish()
        except InputError as error:
            raise self._refusal(str(error)) from None

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an incomplete line."""
        return len(self._head)

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

    def _read(self, data: bytes) -> pa.RecordBatch | None:  # noqa: ARG002 - for forms that have it
        """All records of whole lines at once; None: they are parsed one by one."""
        return None

    def _feed(self, chunk: bytes) -> Generator[MboBatch, None, None]:
        self._is_end = chunk == self.TRAILER
        self._lacks_newline = self._is_end and bool(self._head)
        stop = chunk.rfind(b"\n") + 1
        if not stop:
            self._head += chunk
        else:
            data = bytes(self._head) + chunk[:stop]
            self._head = bytearray(chunk[stop:])
            yield from self._decode(data)
        if len(self._head) > _LINE_BYTES_MAX:
            raise self._damage(f"the line is longer than {_LINE_BYTES_MAX} bytes")

    def _decode(self, data: bytes) -> Generator[MboBatch, None, None]:
        """Decode whole lines."""
        position = 0
        while self.columns is None and position < len(data):
            stop = data.index(b"\n", position) + 1
            line = data[position:stop]
            taken = self._begin(line) if line.strip(_BLANK) else len(line)
            self._skip_bytes(data[position : position + taken])
            position += taken
        if self.columns is None:
            return
        if not self._knows_unit:
            self._held += data[position:]
            self._knows_unit = self._find_unit(self.columns)
            if not self._knows_unit:
                return
            data, position, self._held = self._held, 0, b""
        while position < len(data):
            rest = data[position:] if position else data
            position += yield from self._decode_records(rest, self.columns)

    def _find_unit(self, columns: MboColumns) -> bool:
        """Whether the unit of prices is known from the lines so far."""
        is_end = self._is_end
        if not is_end and len(self._held) < 2 * self._held_checked:
            return False
        self._held_checked = len(self._held)
        table, fault = self._read(self._held), None
        if table is None:
            table, fault = self._parse(_split_lines(self._held))
        return columns.find_unit(table, is_end=is_end or fault is not None)

    def _decode_records(self, data: bytes, columns: MboColumns) -> Generator[MboBatch, None, int]:
        """Decode records up to the first that is bad, and skip that; the bytes taken."""
        table, fault = self._read(data), None
        if table is None:
            table, fault = self._parse(_split_lines(data))
        try:
            batch, found = columns.convert_good(table)
        except InputError as error:
            raise self._refusal(str(error)) from None
        fault = found or fault
        rows = len(batch.action)
        size = len(data) if fault is None else _offset_of_record(data, rows)
        self.records += rows
        self.rows += rows
        self._skip_bytes(data if fault is None else data[:size])
        for start in range(0, rows, self._batch_rows):
            yield slice_batch(batch, start, min(rows, start + self._batch_rows))
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
        return DamagedInputError(
            f"line {self._lines + 1:,}: {reason}",
            byte_offset=self.byte_offset,
            record_index=self.records,
            source=self._source,
        )

    def _refusal(self, reason: str) -> InputError:
        return InputError(f"{self._source}: {reason}" if self._source else reason)

    def _make_columns(self, schema: pa.Schema) -> MboColumns:
        try:
            return MboColumns(schema, lossy=self._lossy)
        except InputError as error:
            raise self._refusal(str(error)) from None


class CsvDecoder(RecordTextDecoder):
    """Decodes CSV with a line of names; see `RecordTextDecoder`."""

    def describe(self) -> TableNotes:
        """As of every table; and whether the last line may be cut within its last value."""
        notes = super().describe()
        if not self._lacks_newline:
            return notes
        return notes._replace(remarks=(*notes.remarks, "the last line has no newline: is it cut?"))

    def _begin(self, line: bytes) -> int:
        text = self._text(line)
        counts = {separator: text.count(separator) for separator in SEPARATORS}
        self._separator = max(counts, key=counts.__getitem__)
        names = [name.strip() for name in next(csv.reader([text], delimiter=self._separator))]
        self._names = names
        self.columns = self._make_columns(pa.schema([(name, pa.string()) for name in names]))
        self._parses_values = True
        self._types = {name: _COLUMN_TYPES[name] for name in names if name in _COLUMN_TYPES}
        return len(line)

    def _read(self, data: bytes) -> pa.RecordBatch | None:
        if (len(data) < _SHORT_BYTES and not data.strip(_BLANK)) or data.endswith(_END + b"\n"):
            return None
        types = self._types
        if self.columns is not None and self._parses_values:
            # A price before has shown a decimal point, and a time nanoseconds. Parsing them with
            # the lines is faster than as text.
            notes = self.columns.notes
            times = ("ts_recv", "ts_event") if notes.has_nanoseconds else ()
            parsed = dict.fromkeys(times, pa.timestamp("ns", "UTC"))
            if notes.decimal_prices:
                parsed["price"] = pa.decimal128(38, 9)
            table = self._read_as(data, {name: parsed.get(name, types[name]) for name in types})
            if table is not None:
                return table
        table = self._read_as(data, types)
        if table is not None and self.columns is not None and self.columns.notes.has_nanoseconds:
            self._parses_values = False
        return table

    def _read_as(self, data: bytes, types: dict[str, pa.DataType]) -> pa.RecordBatch | None:
        """All records of whole lines with columns of these types; None: they are not all so."""
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(
                    column_names=self._names, use_threads=False, block_size=len(data) + 1
                ),
                arrow_csv.ParseOptions(delimiter=self._separator),
                arrow_csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types),
                    null_values=[""],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:  # which says too little of where and what
            return None
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else None

    def _parse(self, lines: list[bytes]) -> tuple[pa.RecordBatch, BadValueError | None]:
        rows: list[list[str]] = []
        fault: BadValueError | None = None
        for line in lines:
            if not line.strip(_BLANK):
                continue
            try:
                row = next(csv.reader([line.decode()], delimiter=self._separator, strict=True))
            except (UnicodeDecodeError, csv.Error) as error:
                fault = BadValueError(len(rows), f"not CSV in UTF-8: {error}")
                break
            if len(row) != len(self._names):
                reason = f"{len(row)} values, expected {len(self._names)} as in the header"
                fault = BadValueError(len(rows), reason)
                break
            rows.append(row)
        columns = zip(*rows, strict=True) if rows else [[] for _ in self._names]
        arrays = [pa.array(column, pa.string()) for column in columns]
        return pa.RecordBatch.from_arrays(arrays, self._names), fault

    def _text(self, line: bytes) -> str:
        try:
            return line.decode().strip("\r\n")
        except UnicodeDecodeError as error:
            raise self._refusal(f"the header is not UTF-8: {error}") from None


class JsonRecordsDecoder(RecordTextDecoder):
    """Decodes JSON objects, one a line, also those of an array; see `RecordTextDecoder`."""

    def _begin(self, line: bytes) -> int:
        stripped = line.strip()
        if stripped == b"[":
            return len(line)
        if stripped.startswith(b"["):
            return line.index(b"[") + 1
        try:
            found = json.loads(_without_comma(stripped), object_pairs_hook=list)
        except ValueError as error:
            raise self._damage(f"not JSON: {error}") from None
        if not isinstance(found, list):
            raise self._damage("expected a JSON object")
        fields = []
        for name, value in found:
            inner = value if name == HEADER and isinstance(value, list) else None
            fields += [(name, None)] if inner is None else [(name, None) for name, _ in inner]
        self.columns = self._make_columns(pa.schema([(name, pa.null()) for name, _ in fields]))
        self._names = [name for name, _ in fields if name in _COLUMN_TYPES]
        self._has_header = any(name == HEADER for name, _ in found)
        return 0

    def _parse(self, lines: list[bytes]) -> tuple[pa.RecordBatch, BadValueError | None]:
        texts = [text for text in map(_without_comma, lines) if text]
        fault: BadValueError | None = None
        try:
            objects = orjson.loads(b"[" + b",".join(texts) + b"]")
        except orjson.JSONDecodeError:
            objects = []
        if len(objects) != len(texts):
            objects, fault = _parse_each(texts)
        for row, found in enumerate(objects):
            if not isinstance(found, dict):
                objects, fault = objects[:row], BadValueError(row, "expected a JSON object")
                break
            if self._has_header:
                inner = found.get(HEADER)
                found.update(inner if isinstance(inner, dict) else {})
        arrays = []
        for name in self._names:
            column, found_fault = _json_column(name, [found.get(name) for found in objects])
            if found_fault is not None and (fault is None or found_fault.row < fault.row):
                fault = found_fault
            arrays.append(column)
        rows = min(map(len, arrays), default=0)
        arrays = [column.slice(0, rows) for column in arrays]
        return pa.RecordBatch.from_arrays(arrays, self._names), fault


def _split_lines(data: bytes) -> list[bytes]:
    """The lines of text that ends with a newline, each with its newline."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _without_comma(line: bytes) -> bytes:
    """The object in a line of an array: no comma after it, and nothing for the ends."""
    text = line.strip(_BLANK)
    if text.endswith((b"},", b"}]")):
        return text[:-1]
    return b"" if text in (b"]", b"[") else text


def _parse_each(texts: list[bytes]) -> tuple[list[Any], BadValueError | None]:
    """The objects of lines up to the first that is none, and what is wrong with it."""
    objects = []
    for row, text in enumerate(texts):
        try:
            objects.append(orjson.loads(text))
        except orjson.JSONDecodeError as error:
            return objects, BadValueError(row, f"not JSON: {error}")
    return objects, None


def _json_column(name: str, values: list[Any]) -> tuple[pa.Array, BadValueError | None]:
    """Values as a column, up to the first of another type, and what is wrong with that."""
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1 or kinds - {str, int, float}:
        first = next(type(value) for value in values if value is not None)
        expected = first if first in (str, int, float) else str
        other = (value is not None and type(value) is not expected for value in values)
        row = next(row for row, is_other in enumerate(other) if is_other)
        reason = f"{name} is {show_value(values[row])}, expected {_KINDS[expected]} as before"
        column, _ = _json_column(name, values[:row])
        return column, BadValueError(row, reason)
    if not kinds:
        return pa.nulls(len(values)), None
    kind = kinds.pop()
    if kind is str:
        return pa.array(values, pa.large_string()), None
    if kind is float:
        return pa.array(values, pa.float64()), None
    try:
        return pa.array(values, pa.int64()), None
    except (OverflowError, pa.ArrowInvalid):
        return pa.array(values, pa.decimal128(38, 0)), None


def _offset_of_record(data: bytes, row: int) -> int:
    """The offset of the line of a record; blank lines are none."""
    offset = 0
    for line in _split_lines(data):
        if line.strip(_BLANK) not in (b"", b"[", b"]"):
            if row == 0:
                break
            row -= 1
        offset += len(line)
    return offset
