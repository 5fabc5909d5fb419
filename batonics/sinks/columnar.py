"""Frames as Parquet and as Arrow IPC files.

The rule: types are exact, and the file does not depend on how the rows are divided into frames.
Rows are gathered into groups of `GROUP_ROWS`, which are written one by one: memory does not grow
with the file.

The options of Parquet were measured on mbp-10, whose 73 columns make up most of a file:

| option                                  | reason, on a million rows of mbp-10                    |
|-----------------------------------------|--------------------------------------------------------|
| zstd, level 1                           | half the bytes of lz4 and snappy, for 0.3 s            |
| dictionaries only for codes and names   | those of prices and sizes cost more than they save     |
| not nullable if the schema has no nulls | the search for nulls takes 0.1 s                       |
| no statistics of levels                 | no query skips a group by the price of the fifth bid   |
| times and sequence as differences       | saves a tenth of the file                              |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batonics.codec.records import UNDEFINED
from batonics.frames.columns.book_state import STATUS, STATUS_END
from batonics.frames.columns.prices import find_price_columns
from batonics.frames.columns.row_place import POSITION
from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.sinks.output_stream import OutputStream

GROUP_ROWS = 65_536
"""Rows of a row group or record batch: 24 MiB of mbp-10. Twice as many are 3 % faster."""
STREAM_BUFFER_BYTES = 4 << 20
"""Buffer in front of a Python file. Each write to it waits for the interpreter's lock, which the
maker of the next frame holds: without the buffer both took a third longer."""
FILE_BUFFER_BYTES = 1 << 20
"""Buffer in front of a file: column chunks are small, and each would be two writes."""

_BLOOM_FILTER = {"ndv": 4_096, "fpp": 0.01}
"""A filter for that many different values; Arrow makes it smaller where a group has fewer."""

_PRICE_NOTE = {"note": "units of 1e-9"}


class _GroupWriter(ABC):
    """Writes a table in groups of `GROUP_ROWS` rows, whatever the sizes of its frames.

    Args:
        columns: columns of the frames.
        is_vendor: they are those of a vendor schema, whose columns without nulls are known.
        prices: names of columns in units of 1e-9; None: those that our own frames name so.

    Attributes:
        rows_gathered: number of rows that wait for their group to be full.
    """

    _writer: Any

    def __init__(
        self, columns: pl.Schema, *, is_vendor: bool, prices: frozenset[str] | None = None
    ) -> None:
        self._schema = arrow_schema(columns, is_vendor=is_vendor, prices=prices)
        self._frames: list[pl.DataFrame] = []
        self.rows_gathered = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Take rows, and write the groups that they complete."""
        start = 0
        while self.rows_gathered + frame.height - start >= GROUP_ROWS:
            stop = start + GROUP_ROWS - self.rows_gathered
            self._frames.append(frame[start:stop])
            self.write_gathered()
            start = stop
        if start < frame.height:
            self._frames.append(frame[start:])
            self.rows_gathered += frame.height - start

    def close(self) -> None:
        """Write the rest and the footer."""
        if self._frames:
            self.write_gathered()
        self._writer.close()

    def write_gathered(self) -> None:
        """Write the waiting rows, as a group that is not full."""
        self._write_group(pl.concat(self._frames))
        self._frames.clear()
        self.rows_gathered = 0

    @abstractmethod
    def _write_group(self, group: pl.DataFrame) -> None:
        """Write one row group or record batch."""


class ParquetWriter(_GroupWriter):
    """Writes Parquet, a row group at a time.

    Args:
        stream: an Arrow stream; it is flushed, never closed.
        columns: columns of the frames.
        is_vendor: they are those of a vendor schema.
        prices: names of columns in units of 1e-9; None: those that our own frames name so.
        searched: names of columns of which each row group has a Bloom filter, so that a reader
            skips groups without a value that it looks for.
    """

    def __init__(
        self,
        stream: Any,
        columns: pl.Schema,
        *,
        is_vendor: bool,
        prices: frozenset[str] | None = None,
        searched: Sequence[str] = (),
    ) -> None:
        super().__init__(columns, is_vendor=is_vendor, prices=prices)
        differences = [name for name, dtype in columns.items() if _is_steady(name, dtype)]
        self._stream = stream
        self._writer = pq.ParquetWriter(
            self._stream,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name, dtype in columns.items() if _is_code(name, dtype)],
            column_encoding=dict.fromkeys(differences, "DELTA_BINARY_PACKED"),
            write_statistics=[name for name in columns if not name.startswith(("bid_", "ask_"))],
            write_batch_size=GROUP_ROWS,
            bloom_filter_options={name: dict(_BLOOM_FILTER) for name in searched} or None,
        )

    def close(self) -> None:
        """Write the rest and the footer, and flush the stream."""
        super().close()
        self._stream.flush()

    def abandon(self) -> None:
        """Write nothing more; else Arrow's writer would write the footer when it is collected."""
        self._writer.is_open = False

    def _write_group(self, group: pl.DataFrame) -> None:
        table = pa.table(group.to_arrow().columns, schema=self._schema)
        self._writer.write_table(table, row_group_size=GROUP_ROWS)


class ArrowWriter(_GroupWriter):
    """Writes an Arrow IPC file (Feather, version 2), a record batch at a time."""

    def __init__(
        self,
        output: OutputStream,
        columns: pl.Schema,
        *,
        is_vendor: bool,
        prices: frozenset[str] | None = None,
    ) -> None:
        super().__init__(columns, is_vendor=is_vendor, prices=prices)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(output, self._schema, options=options)

    def _write_group(self, group: pl.DataFrame) -> None:
        # Each chunk would become a record batch.
        columns = group.rechunk().to_arrow().columns
        self._writer.write_table(pa.table(columns, schema=self._schema))


def buffer_stream(output: OutputStream) -> Any:
    """An Arrow stream that writes to a Python file in large pieces."""
    return pa.BufferedOutputStream(pa.PythonFile(output, "w"), STREAM_BUFFER_BYTES)


def open_file_stream(path: Path) -> Any:
    """An Arrow stream that writes to a file."""
    return pa.BufferedOutputStream(pa.OSFile(str(path), "wb"), FILE_BUFFER_BYTES)


def arrow_schema(
    columns: pl.Schema, *, is_vendor: bool, prices: frozenset[str] | None = None
) -> pa.Schema:
    """The columns in Arrow: an Enum is a dictionary, and prices carry their unit as metadata.

    Args:
        columns: columns of the frames.
        is_vendor: they are those of a vendor schema.
        prices: names of columns in units of 1e-9; None: those that our own frames name so.
    """
    if prices is None:
        prices = frozenset(find_price_columns(columns))
    return _arrow_schema(tuple(columns.items()), is_vendor, prices)


@cache  # a lake has many files of the same columns
def _arrow_schema(
    columns: tuple[tuple[str, pl.DataType], ...],
    is_vendor: bool,  # noqa: FBT001
    prices: frozenset[str],
) -> pa.Schema:
    found = pl.DataFrame(schema=columns).to_arrow().schema
    for at, (name, _) in enumerate(columns):
        has_nulls = not is_vendor or name in UNDEFINED or name in _UNKNOWN
        field = found.field(at).with_nullable(has_nulls)
        found = found.set(at, field.with_metadata(_PRICE_NOTE) if name in prices else field)
    return found


_UNKNOWN = (SYMBOL, STATUS, STATUS_END)
"""Columns that are null where nothing tells their value."""
_STEADY = (("sequence", pl.UInt32()), (POSITION, pl.UInt64()))


def _is_code(name: str, dtype: pl.DataType) -> bool:
    """Whether a column has few distinct values."""
    return name == "instrument_id" or isinstance(dtype, (pl.UInt8, pl.UInt16, pl.String, pl.Enum))


def _is_steady(name: str, dtype: pl.DataType) -> bool:
    """Whether a column rises by small steps."""
    return isinstance(dtype, pl.Datetime) or (name, dtype) in _STEADY
