"""A stream of frames as a file, whatever its form.

The rule: a table is there whole under its name, or not at all; what cannot become one is refused
before anything is written.

| the name ends in     | form    | holds                                                          |
|----------------------|---------|----------------------------------------------------------------|
| .parquet             | parquet | exact types; prices are integers of 1e-9                       |
| .arrow, .feather     | arrow   | the same, as an Arrow IPC file                                 |
| .csv, .csv.zst       | csv     | as the vendor's: ISO times, prices as decimal text             |
| .ndjson, .ndjson.zst | ndjson  | an object a row: ISO times, prices as integers or decimal text |
| .json, .json.zst     | json    | the same as one array                                          |
| .dbn, .dbn.zst       | dbn     | the vendor's records, of a vendor schema only                  |

`.zst` is a part of the form: `csv.zst`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from batonics.codec.metadata import Metadata
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.sinks.atomic import STDOUT, open_atomic
from batonics.sinks.background_write import write_in_background
from batonics.sinks.columnar import ArrowWriter, ParquetWriter, buffer_stream
from batonics.sinks.dbn import DbnWriter, check_vendor_columns, check_vendor_nulls
from batonics.sinks.file_names import check_file_name
from batonics.sinks.output_stream import OutputStream
from batonics.sinks.text import CsvWriter, JsonWriter, NdjsonWriter

FRAMES_QUEUED_MAX = 2
"""Frames that wait to be written: of mbp-10, 12 MiB each as the fold makes them."""

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
_SUFFIXES = {**{f".{form}": form for form in TABLE_FORMATS}, ".feather": "arrow"}


class _Writer(Protocol):
    def write(self, frame: pl.DataFrame) -> None: ...
    def close(self) -> None: ...


def find_format(path: str | Path) -> str:
    """The form that a name tells: one of `FORMS`.

    Raises:
        UsageError: it tells none, as standard output never does.
    """
    if str(path) == STDOUT:
        raise UsageError(
            f"standard output has no name to tell the form: {', '.join(TABLE_FORMATS)}"
        )
    for suffix, form in _SUFFIXES.items():
        if Path(path).name.endswith(suffix):
            return form
    raise UsageError(f"{path}: the name must end in one of {' '.join(_SUFFIXES)}")


class TableWriter:
    """A table that is being written.

    Attributes:
        rows: how many were given so far.
    """

    def __init__(
        self, columns: pl.Schema, give: Callable[[pl.DataFrame], None], *, is_vendor: bool
    ) -> None:
        self.rows = 0
        self._columns, self._give, self._is_vendor = columns, give, is_vendor

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows after those before, in a thread.

        The frame is kept until they are written: it may not share memory that its maker reuses.

        Raises:
            UsageError: its columns are not the table's, or hold what the schema has no meaning for.
            OSError: an earlier frame could not be written.
        """
        if frame.schema != self._columns:
            raise UsageError(_difference(self._columns, frame.schema))
        if self._is_vendor:
            check_vendor_nulls(frame)
        if frame.height:
            self._give(frame)
        self.rows += frame.height


@contextmanager
def open_table(  # noqa: PLR0913 - settings, by keyword
    path: str | Path,
    columns: pl.Schema,
    *,
    form: str | None = None,
    schema: str | None = None,
    metadata: Metadata | None = None,
    decimal_prices: bool = False,
) -> Iterator[TableWriter]:
    """A table to write frames to; it takes its name when the block ends without an error.

    Args:
        path: where to; `-` is standard output, and a device or a pipe is written to as it is.
        columns: of every frame, in their order.
        form: one of `FORMS`; None: what the name tells.
        schema: the name of the schema that has these columns; `symbol` may follow them. If DBN has
            a record of it, nulls are only where the record has a sentinel. None: any columns; DBN
            cannot hold them.
        metadata: for DBN. Its schema becomes the number of `schema`; None: no name and no span.
        decimal_prices: in NDJSON, prices are decimal text with nine decimals.

    Raises:
        UsageError: the name tells no form, or another one, or the form cannot hold these columns.
        OutputError: it cannot be written. Nothing is left behind.
    """
    form = find_format(path) if form is None else form
    _check(path, form, columns, schema)
    check_file_name(path, form)
    is_vendor = schema is not None and find_schema(schema).rtype is not None
    with open_atomic(path) as file:
        outlet = OutputStream(file, packed=form.endswith(ZSTD_SUFFIX))
        try:
            writer: _Writer
            match form.removesuffix(ZSTD_SUFFIX):
                case "parquet":
                    writer = ParquetWriter(buffer_stream(outlet), columns, is_vendor=is_vendor)
                case "arrow":
                    writer = ArrowWriter(outlet, columns, is_vendor=is_vendor)
                case "csv":
                    writer = CsvWriter(outlet, columns)
                case "ndjson":
                    writer = NdjsonWriter(outlet, decimal_prices=decimal_prices)
                case "json":
                    writer = JsonWriter(outlet, decimal_prices=decimal_prices)
                case _:
                    writer = DbnWriter(outlet, schema or "", metadata or Metadata())
            with write_in_background(writer.write, FRAMES_QUEUED_MAX) as give:
                yield TableWriter(columns, give, is_vendor=is_vendor)
            writer.close()
            outlet.finish()
        except BaseException:
            outlet.shut()
            raise


def _check(path: str | Path, form: str, columns: pl.Schema, schema: str | None) -> None:
    if form not in TABLE_FORMATS:
        raise UsageError(f"there is no form {form!r}; there are {', '.join(TABLE_FORMATS)}")
    if schema is not None:
        check_vendor_columns(schema, columns)
        if form.startswith("dbn"):
            _ = find_schema(schema).record_dtype
    elif form.startswith("dbn"):
        raise UsageError(f"{path}: DBN holds the vendor's records; these columns are none of them")
    for name, dtype in columns.items():
        if not _holds(form, dtype):
            raise UsageError(f"{path}: column {name} is {dtype}, which {form} cannot hold")


def _holds(form: str, dtype: pl.DataType) -> bool:
    if form in {"parquet", "arrow"}:
        return dtype not in {pl.Int128, pl.UInt128}
    if form.startswith("csv") and dtype.is_nested():
        return False
    # Text has nothing for bytes, nor for types that Polars has not of itself.
    return not any(isinstance(part, (pl.Binary, pl.BaseExtension)) for part in _within(dtype))


def _within(dtype: pl.DataType) -> Iterator[pl.DataType]:
    """A type, and all that it is made of."""
    yield dtype
    inner: list[Any] = []
    if isinstance(dtype, pl.Struct):
        inner = [field.dtype for field in dtype.fields]
    if isinstance(dtype, pl.List | pl.Array):
        inner = [dtype.inner]
    for part in inner:
        yield from _within(part)


def _difference(expected: pl.Schema, found: pl.Schema) -> str:
    for name, dtype in expected.items():
        if name not in found:
            return f"column {name} is missing"
        if found[name] != dtype:
            return f"column {name} is {found[name]}, expected {dtype}"
    return f"columns are {', '.join(found)}, expected {', '.join(expected)}"
