"""Decodes JSON objects of MBO records, one a line, also those of an array; see `record_text.py`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from batonics.codec import text_value_kernels as values
from batonics.codec.column_casts import is_text, show_value
from batonics.codec.column_notes import BadValueError, ColumnNotes
from batonics.codec.json_record_kernels import JsonLayout, parse_json_records
from batonics.codec.mbo_columns import HEADER, NAME_COLUMN
from batonics.codec.record_text import BLANK, RecordTextDecoder, UsualLines, text_form

_KINDS: dict[type, str] = {str: "text", int: "an integer", float: "a number with a fraction"}
_MEMBERS_MAX = 64
"""Members of a line whose places are remembered."""


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
        self._names = [name for name, _ in fields if name in values.FIELD_NAMES]
        self._has_header = any(name == HEADER for name, _ in found)
        self._kinds: dict[str, type] = {}
        places = {name: place for place, name in enumerate((*values.FIELD_NAMES, HEADER))}
        self._order = np.full(_MEMBERS_MAX, values.OTHER_FIELD, np.int64)
        self._needed = sum(1 << places[name] for name in self._names)
        self._needed |= self._has_header << places[HEADER]
        return 0

    def _parse_usual(
        self, data: NDArray[np.uint8], position: int, stop: int, notes: ColumnNotes
    ) -> UsualLines:
        kinds = [self._kinds.get(name) for name in values.FIELD_NAMES]
        forms = [
            _form(name, kind, notes) for name, kind in zip(values.FIELD_NAMES, kinds, strict=True)
        ]
        layout = JsonLayout(
            np.array(forms, np.int64),
            np.array([kind is str for kind in kinds], np.int64),
            self._order,
            self._needed,
        )
        found = parse_json_records(
            data,
            position,
            stop,
            tuple(layout),
            self._numbers.arrays,
            self._words,
            tuple(self._columns),
            self._codes,
            self._row,
        )
        return UsualLines._make(found)

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
            column, found_fault = self._column(name, [found.get(name) for found in objects])
            if found_fault is not None and (fault is None or found_fault.row < fault.row):
                fault = found_fault
            arrays.append(column)
        rows = min(map(len, arrays), default=0)
        arrays = [column.slice(0, rows) for column in arrays]
        return pa.RecordBatch.from_arrays(arrays, self._names), fault

    def _note_taken(self, table: pa.RecordBatch) -> None:
        for name, column in zip(self._names, table.columns, strict=True):
            if name not in self._kinds and column.null_count < len(column):
                is_number = pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)
                kind = int if is_number else float
                self._kinds[name] = str if is_text(column.type) else kind

    def _column(self, name: str, rows: list[Any]) -> tuple[pa.Array, BadValueError | None]:
        """Values as a column, up to the first of another type, and what is wrong with that.

        The first value that was taken decides what the type is, else the first one here.
        """
        first = next((type(value) for value in rows if value is not None), None)
        if first is None:
            return pa.nulls(len(rows)), None
        kind = self._kinds.get(name, first if first in _KINDS else str)
        if {type(value) for value in rows} - {type(None), kind}:
            other = (value is not None and type(value) is not kind for value in rows)
            row = next(row for row, is_other in enumerate(other) if is_other)
            reason = f"{name} is {show_value(rows[row])}, expected {_KINDS[kind]} as before"
            column, _ = self._column(name, rows[:row])
            return column, BadValueError(row, reason)
        if kind is str:
            return pa.array(rows, pa.large_string()), None
        if kind is float:
            return pa.array(rows, pa.float64()), None
        try:
            return pa.array(rows, pa.int64()), None
        except (OverflowError, pa.ArrowInvalid):
            return pa.array(rows, pa.decimal128(38, 0)), None


def _form(name: str, kind: type | None, notes: ColumnNotes) -> int:
    """How the values of a column are written, whose type is known."""
    if kind is str:
        return text_form(name, notes)
    if kind is float and name == "price":
        return values.FLOAT
    is_letters = name in ("action", "side", NAME_COLUMN)
    is_time = name in ("ts_recv", "ts_event")
    if kind is not int or is_letters or (is_time and name not in notes.time_forms):
        return values.UNREAD
    return values.INTEGER


def _without_comma(line: bytes) -> bytes:
    """The object in a line of an array: no comma after it, and nothing for the ends."""
    text = line.strip(BLANK)
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
