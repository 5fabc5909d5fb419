"""Writes a stream of frames as a file of any format.

The rule: a table gets its name only once it is complete; columns that its format cannot hold are
refused before anything is written.

| ending of the name   | format  | unit of prices  | contents                                     |
|----------------------|---------|-----------------|----------------------------------------------|
| .parquet             | parquet | fixed or other  | exact types                                  |
| .arrow, .feather     | arrow   | fixed or other  | the same, as an Arrow IPC file               |
| .csv, .csv.zst       | csv     | decimal or any  | like the vendor's: ISO times                 |
| .ndjson, .ndjson.zst | ndjson  | fixed or other  | an object a row: ISO times, decimals as text |
| .json, .json.zst     | json    | fixed or other  | the same as one array                        |
| .dbn, .dbn.zst       | dbn     | fixed           | the vendor's records; vendor schemas only    |

The first unit is the default of the format; `frames/columns/prices.py` defines the units. `.zst` is
part of the name of a format: `csv.zst`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from batonics.codec.metadata import Metadata
from batonics.frames.columns.prices import (
    PriceColumns,
    convert_prices,
    convert_schema,
    find_price_columns,
)
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.model.prices import PriceUnit
from batonics.sinks.atomic import STDOUT, open_atomic
from batonics.sinks.background_write import write_in_background
from batonics.sinks.columnar import ArrowWriter, ParquetWriter, buffer_stream
from batonics.sinks.dbn import DbnWriter, check_vendor_columns, check_vendor_nulls
from batonics.sinks.file_names import check_file_name
from batonics.sinks.output_stream import OutputStream
from batonics.sinks.text import CsvWriter, JsonWriter, NdjsonWriter

FRAMES_QUEUED_MAX = 2
"""Frames that wait to be written: 12 MiB each for mbp-10, as the fold makes them."""

ZSTD_SUFFIX = ".zst"
TABLE_FORMATS = (
    "parquet",
    "arrow",
    "csv",
    "csv.zst",
    "ndjson",
    "ndjson.zst",
    "json",
    "json.zst",
    "dbn",
    "dbn.zst",
)
_SUFFIXES = {**{f".{name}": name for name in TABLE_FORMATS}, ".feather": "arrow"}


class _Writer(Protocol):
    def write(self, frame: pl.DataFrame) -> None: ...
    def close(self) -> None: ...


def find_format(path: str | Path) -> str:
    """The format of a file by its name's ending: one of `TABLE_FORMATS`.

    Raises:
        UsageError: the name has no such ending; standard output never has.
    """
    if str(path) == STDOUT:
        raise UsageError(
            f"standard output has no name that tells the format: {', '.join(TABLE_FORMATS)}"
        )
    for suffix, file_format in _SUFFIXES.items():
        if Path(path).name.endswith(suffix):
            return file_format
    raise UsageError(f"{path}: the name must end in one of {' '.join(_SUFFIXES)}")


def default_price_unit(file_format: str) -> PriceUnit:
    """The unit of prices in a file of a format, unless another one is asked for."""
    return "decimal" if file_format.startswith("csv") else "fixed"


class TableWriter:
    """Writes frames to a table: `open_table` opens it.

    Attributes:
        rows: number of rows so far.
    """

    def __init__(
        self, columns: pl.Schema, enqueue: Callable[[pl.DataFrame], None], *, is_vendor: bool
    ) -> None:
        self.rows = 0
        self._columns, self._enqueue, self._is_vendor = columns, enqueue, is_vendor

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows after those before, in a thread.

        The thread keeps the frame until it is written; its memory must not be reused.

        Raises:
            UsageError: its columns are not the table's, or have nulls without a sentinel.
            OSError: an earlier frame could not be written.
        """
        if frame.schema != self._columns:
            raise UsageError(_difference(self._columns, frame.schema))
        if self._is_vendor:
            check_vendor_nulls(frame)
        if frame.height:
            self._enqueue(frame)
        self.rows += frame.height


@contextmanager
def open_table(  # noqa: PLR0913 - settings, by keyword
    path: str | Path,
    columns: pl.Schema,
    *,
    file_format: str | None = None,
    schema: str | None = None,
    metadata: Metadata | None = None,
    prices: PriceUnit | None = None,
    price_columns: PriceColumns | None = None,
) -> Iterator[TableWriter]:
    """A table to write frames to; it gets its name when the block ends without an error.

    Args:
        path: path of the file; `-` is standard output, and a device or a pipe is written directly.
        columns: columns of every frame, in their order; prices are `fixed`.
        file_format: one of `TABLE_FORMATS`; None: by the name's ending.
        schema: name of the schema with these columns, which `symbol` may follow. If DBN has a
            record of it, nulls are allowed only where the record has a sentinel. None: any columns,
            which cannot be written as DBN.
        metadata: metadata for DBN; its schema is set to `schema`. None: without a dataset and span.
        prices: unit of the prices in the file; None: `default_price_unit`.
        price_columns: the columns that are prices; None: those that our own frames name so.

    Raises:
        UsageError: the name says no format or another one, or the format cannot hold these
            columns.
        OutputError: it cannot be written. Nothing is left behind.
    """
    file_format = find_format(path) if file_format is None else file_format
    _check_format(path, file_format, columns, schema)
    check_file_name(path, file_format)
    unit = default_price_unit(file_format) if prices is None else prices
    if file_format.startswith("dbn") and unit != "fixed":
        raise UsageError(f"{path}: DBN holds prices as integers of 1e-9, not as {unit}")
    is_vendor = schema is not None and find_schema(schema).rtype is not None
    kinds = find_price_columns(columns) if price_columns is None else price_columns
    written = convert_schema(columns, kinds, unit)
    noted = frozenset(kinds if unit == "fixed" else ())
    with open_atomic(path) as file:
        output = OutputStream(file, compressed=file_format.endswith(ZSTD_SUFFIX))
        try:
            writer: _Writer
            match file_format.removesuffix(ZSTD_SUFFIX):
                case "parquet":
                    writer = ParquetWriter(
                        buffer_stream(output), written, is_vendor=is_vendor, prices=noted
                    )
                case "arrow":
                    writer = ArrowWriter(output, written, is_vendor=is_vendor, prices=noted)
                case "csv":
                    writer = CsvWriter(output, written)
                case "ndjson":
                    writer = NdjsonWriter(output)
                case "json":
                    writer = JsonWriter(output)
                case _:
                    writer = DbnWriter(output, schema or "", metadata or Metadata())

            def write(frame: pl.DataFrame) -> None:
                writer.write(convert_prices(frame, kinds, unit))

            with write_in_background(write, FRAMES_QUEUED_MAX) as enqueue:
                yield TableWriter(columns, enqueue, is_vendor=is_vendor)
            writer.close()
            output.finish()
        except BaseException:
            output.discard()
            raise


def _check_format(
    path: str | Path, file_format: str, columns: pl.Schema, schema: str | None
) -> None:
    if file_format not in TABLE_FORMATS:
        raise UsageError(
            f"there is no format {file_format!r}; there are {', '.join(TABLE_FORMATS)}"
        )
    if schema is not None:
        check_vendor_columns(schema, columns)
        if file_format.startswith("dbn"):
            find_schema(schema).check_dbn()
    elif file_format.startswith("dbn"):
        raise UsageError(f"{path}: DBN holds the vendor's records; these columns are not one")
    for name, dtype in columns.items():
        if not _can_hold(file_format, dtype):
            raise UsageError(f"{path}: column {name} is {dtype}, which {file_format} cannot hold")


def _can_hold(file_format: str, dtype: pl.DataType) -> bool:
    if file_format in {"parquet", "arrow"}:
        return dtype not in {pl.Int128, pl.UInt128}
    if file_format.startswith("csv") and dtype.is_nested():
        return False
    # Text cannot hold bytes, nor extension types.
    return not any(isinstance(part, (pl.Binary, pl.BaseExtension)) for part in _nested_types(dtype))


def _nested_types(dtype: pl.DataType) -> Iterator[pl.DataType]:
    """A type, and all types within it."""
    yield dtype
    inner: list[Any] = []
    if isinstance(dtype, pl.Struct):
        inner = [field.dtype for field in dtype.fields]
    if isinstance(dtype, pl.List | pl.Array):
        inner = [dtype.inner]
    for part in inner:
        yield from _nested_types(part)


def _difference(expected: pl.Schema, found: pl.Schema) -> str:
    for name, dtype in expected.items():
        if name not in found:
            return f"column {name} is missing"
        if found[name] != dtype:
            return f"column {name} is {found[name]}, expected {dtype}"
    return f"columns are {', '.join(found)}, expected {', '.join(expected)}"
