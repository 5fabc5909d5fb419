"""Decodes CSV of MBO records; see `record_text.py`."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from batonics.codec import text_value_kernels as values
from batonics.codec.column_notes import BadValueError, ColumnNotes
from batonics.codec.csv_kernels import parse_csv_lines
from batonics.codec.framing import SEPARATORS
from batonics.codec.mbo_columns import NAME_COLUMN
from batonics.codec.record_text import BLANK, TEXT_END, RecordTextDecoder, UsualLines, text_form
from batonics.model.mbo import MBO_COLUMN_DTYPES
from batonics.model.record_columns import TableNotes

_SHORT_BYTES = 1 << 12
_AS_TEXT = ("ts_recv", "ts_event", "action", "side", "price", NAME_COLUMN)
_COLUMN_TYPES = {
    **{name: pa.from_numpy_dtype(dtype) for name, dtype in MBO_COLUMN_DTYPES.items()},
    "rtype": pa.uint8(),
    **dict.fromkeys(_AS_TEXT, pa.string()),
}
"""The type in which each column of CSV is read; text is what `mbo_columns` converts."""


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
        self._types = {name: _COLUMN_TYPES[name] for name in names if name in _COLUMN_TYPES}
        places = {name: place for place, name in enumerate(values.FIELD_NAMES)}
        self._fields = np.array([places.get(name, values.OTHER_FIELD) for name in names], np.int64)
        return len(line)

    def _read(self, data: bytes) -> pa.RecordBatch | None:
        if (len(data) < _SHORT_BYTES and not data.strip(BLANK)) or data.endswith(TEXT_END + b"\n"):
            return None
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(
                    column_names=self._names, use_threads=False, block_size=len(data) + 1
                ),
                arrow_csv.ParseOptions(delimiter=self._separator),
                arrow_csv.ConvertOptions(
                    column_types=self._types,
                    include_columns=list(self._types),
                    null_values=[""],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:  # which says too little of where and what
            return None
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else None

    def _parse_usual(
        self, data: NDArray[np.uint8], position: int, stop: int, notes: ColumnNotes
    ) -> UsualLines:
        forms = [text_form(name, notes) for name in values.FIELD_NAMES]
        found = parse_csv_lines(
            data,
            position,
            stop,
            self._fields,
            np.array(forms, np.int64),
            ord(self._separator),
            self._numbers.arrays,
            self._words,
            tuple(self._columns),
            self._codes,
            self._row,
        )
        return UsualLines._make(found)

    def _parse(self, lines: list[bytes]) -> tuple[pa.RecordBatch, BadValueError | None]:
        rows: list[list[str]] = []
        fault: BadValueError | None = None
        for line in lines:
            if not line.strip(BLANK):
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
