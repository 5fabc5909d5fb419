"""Writes frames as text: CSV like the vendor's, NDJSON, and JSON.

The rule: only floats pass through a float. Times are ISO 8601 with nine decimals, and Z or, for
another time zone than UTC, the offset; the decimal text of a price is exact, with nine decimals.

| value      | CSV                                   | NDJSON                                     |
|------------|---------------------------------------|--------------------------------------------|
| a price    | decimal text                          | an integer of 1e-9, or decimal text        |
| undefined  | empty                                 | null                                       |
| order_id   | a number                              | text, as many readers of JSON round it     |
| first line | the names of the columns              | a row, as every line: one flat object      |
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import polars as pl
import pyarrow as pa

from batonics.codec.records import PRICE_FIELDS
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.sinks.output_stream import OutputStream

TEXT_SLICE_ROWS = 32_768
"""Rows that become text at once: of mbp-10, 16 MiB of CSV or 43 MiB of NDJSON."""

_ISO = "%Y-%m-%dT%H:%M:%S%.9f"
_DECIMAL = pa.decimal128(38, 9)
_PRICE_ENDS = ("_price", "spread", "_increment")


class CsvWriter:
    """Writes CSV: first the header, then the rows of each frame."""

    def __init__(self, output: OutputStream, columns: pl.Schema) -> None:
        self._output = output
        output.write(pl.DataFrame(schema=columns).write_csv().encode())

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_columns(rows, decimal_prices=True).write_csv(text, include_header=False)
            self._output.write(text.getbuffer())

    def close(self) -> None:
        """Do nothing: CSV has no end."""


class NdjsonWriter:
    """Writes NDJSON: an object a row, its keys in the order of the columns.

    Args:
        output: stream to write to.
        decimal_prices: prices are decimal text, not integers of 1e-9.
    """

    def __init__(self, output: OutputStream, *, decimal_prices: bool) -> None:
        self._output, self._decimal_prices = output, decimal_prices

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_json_columns(rows, decimal_prices=self._decimal_prices).write_ndjson(text)
            self._output.write(text.getbuffer())

    def close(self) -> None:
        """Do nothing: NDJSON has no end."""


class JsonWriter:
    """Writes one JSON array of objects: the lines of NDJSON, with commas between them.

    Args: those of `NdjsonWriter`.
    """

    def __init__(self, output: OutputStream, *, decimal_prices: bool) -> None:
        self._output, self._decimal_prices = output, decimal_prices
        self._separator = b"[\n"

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for rows in frame.iter_slices(TEXT_SLICE_ROWS):
            text = format_json_columns(rows, decimal_prices=self._decimal_prices).write_ndjson()
            if lines := text.rstrip("\n"):
                self._output.write(self._separator + lines.replace("\n", ",\n").encode())
                self._separator = b",\n"

    def close(self) -> None:
        """End the array."""
        self._output.write((b"[" if self._separator == b"[\n" else b"\n") + b"]\n")


def is_price(name: str, dtype: pl.DataType) -> bool:
    """Whether a column is a price, or a difference of prices.

    The vendor's columns are known by name, those of other frames by the end of the name.
    """
    has_name = name in PRICE_FIELDS or "_px_" in name or name.endswith(_PRICE_ENDS)
    return has_name and dtype == pl.Int64


def format_columns(frame: pl.DataFrame, *, decimal_prices: bool) -> pl.DataFrame:
    """The frame with times as text, and prices as decimal text if asked."""
    schema = frame.schema
    times = [
        pl.col(name).dt.strftime(_ISO + ("Z" if dtype == TIME_TYPE else "%:z"))
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Datetime)
    ]
    # DuckDB's sums of integers are decimals, which would be text in JSON.
    integers = [
        pl.col(name).cast(pl.Int128)
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Decimal) and dtype.scale == 0
    ]
    prices = [name for name, dtype in schema.items() if decimal_prices and is_price(name, dtype)]
    return frame.with_columns(
        *times, *integers, *(format_prices(frame.get_column(name)) for name in prices)
    )


def format_json_columns(frame: pl.DataFrame, *, decimal_prices: bool) -> pl.DataFrame:
    """The frame as `format_columns` has it, with order ids as text: JSON has them so everywhere."""
    ids = pl.col("^(.*_)?order_id$").cast(pl.String)
    return format_columns(frame, decimal_prices=decimal_prices).with_columns(ids)


def format_display_prices(prices: pl.Series, ticks: pl.Series) -> pl.Series:
    """The exact decimal text of prices of 1e-9, with the number of decimals of their ticks.

    A price that needs more decimals has more; a price whose tick is null has nine.
    """
    texts = format_prices(prices).alias("text")
    columns = pl.DataFrame([texts, ticks.alias("tick"), prices.alias("price")])
    text = pl.col("text")
    for decimals in range(8, -1, -1):
        unit = 10 ** (9 - decimals)
        # Only zeros are left out, and for decimals == 0 the point.
        fits = (pl.col("tick") % unit == 0) & (pl.col("price") % unit == 0)
        letters_out = 9 - decimals + (decimals == 0)
        text = pl.when(fits).then(pl.col("text").str.head(-letters_out)).otherwise(text)
    return columns.select(text.alias(prices.name)).to_series()


def format_prices(prices: pl.Series) -> pl.Series:
    """The exact decimal text of prices of 1e-9, with nine decimals; null for null.

    An int64 of 1e-9 is a decimal128 with nine decimals once its word is widened.
    """
    words = np.empty((len(prices), 2), np.int64)
    words[:, 0] = prices.fill_null(0).to_numpy()
    np.right_shift(words[:, 0], 63, out=words[:, 1])
    wide = pa.Array.from_buffers(_DECIMAL, len(prices), [None, pa.py_buffer(words)])
    texts = pl.Series(prices.name, wide).cast(pl.String)
    return texts.set(prices.is_null(), None) if prices.null_count() else texts
