"""Writes frames as text: CSV like the vendor's, NDJSON, and JSON.

The rule: only floats pass through a float. Times are ISO 8601 with nine decimals. A time in UTC
ends in Z, one in another time zone in its offset, and one without a time zone in neither. A Decimal
is text with all its decimals; prices come in the unit in which they are written.

| value      | CSV                                   | NDJSON                                     |
|------------|---------------------------------------|--------------------------------------------|
| undefined  | empty                                 | null                                       |
| order_id   | a number                              | text, as many readers of JSON round it     |
| first line | the names of the columns              | a row, as every line: one flat object      |
"""

from __future__ import annotations

from io import BytesIO

import polars as pl

from batonics.frames.columns.prices import decimal_prices
from batonics.sinks.output_stream import OutputStream

TEXT_SLICE_ROWS = 32_768
"""Rows that become text at once: of mbp-10, 16 MiB of CSV or 43 MiB of NDJSON."""

_ISO = "%Y-%m-%dT%H:%M:%S%.9f"


class CsvWriter:
    """Writes CSV: first the header, then the rows of each frame."""

    def __init__(self, output: OutputStream, columns: pl.Schema) -> None:
        self._output = output
        output.write(pl.DataFrame(schema=columns).write_csv().encode())

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_columns(rows).write_csv(text, include_header=False)
            self._output.write(text.getbuffer())

    def close(self) -> None:
        """Do nothing: CSV has no end."""


class NdjsonWriter:
    """Writes NDJSON: an object a row, its keys in the order of the columns."""

    def __init__(self, output: OutputStream) -> None:
        self._output = output

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_json_columns(rows).write_ndjson(text)
            self._output.write(text.getbuffer())

    def close(self) -> None:
        """Do nothing: NDJSON has no end."""


class JsonWriter:
    """Writes one JSON array of objects: the lines of NDJSON, with commas between them."""

    def __init__(self, output: OutputStream) -> None:
        self._output = output
        self._separator = b"[\n"

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = format_json_columns(rows).write_ndjson()
            if lines := text.rstrip("\n"):
                self._output.write(self._separator + lines.replace("\n", ",\n").encode())
                self._separator = b",\n"

    def close(self) -> None:
        """End the array."""
        self._output.write((b"[" if self._separator == b"[\n" else b"\n") + b"]\n")


def format_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times and decimals as text, and integers in place of decimals of scale 0."""
    return frame.with_columns(
        column
        for name, dtype in frame.schema.items()
        if (column := _format_column(name, dtype)) is not None
    )


def format_json_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as `format_columns` has it, with order ids as text: JSON has them so everywhere."""
    return format_columns(frame).with_columns(pl.col("^(.*_)?order_id$").cast(pl.String))


def _format_column(name: str, dtype: pl.DataType) -> pl.Expr | None:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        zone = {None: "", "UTC": "Z"}.get(dtype.time_zone, "%:z")
        exact = column.cast(pl.Datetime("ns", dtype.time_zone))
        return exact.dt.strftime(_ISO + zone)
    if isinstance(dtype, pl.Decimal):
        # DuckDB's sums of integers are decimals, which would be text in JSON.
        return column.cast(pl.String if dtype.scale else pl.Int128)
    return None


def format_display_prices(prices: pl.Series, ticks: pl.Series) -> pl.Series:
    """The exact decimal text of prices of 1e-9, with the number of decimals of their ticks.

    A price that needs more decimals has more; a price whose tick is null has nine.
    """
    texts = decimal_prices(prices).cast(pl.String).alias("text")
    columns = pl.DataFrame([texts, ticks.alias("tick"), prices.alias("price")])
    text = pl.col("text")
    for decimals in range(8, -1, -1):
        unit = 10 ** (9 - decimals)
        # Only zeros are left out, and for decimals == 0 the point.
        fits = (pl.col("tick") % unit == 0) & (pl.col("price") % unit == 0)
        letters_out = 9 - decimals + (decimals == 0)
        text = pl.when(fits).then(pl.col("text").str.head(-letters_out)).otherwise(text)
    return columns.select(text.alias(prices.name)).to_series()
