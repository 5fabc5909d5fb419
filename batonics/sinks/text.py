"""Frames as text: CSV as the vendor's, NDJSON, and JSON.

The rule: no value passes through a float that is none. Times are ISO 8601 with nine decimals, and Z
or, of another time zone than UTC, the offset; the decimal text of a price is exact, with nine
decimals.

| value      | CSV                                   | NDJSON                                     |
|------------|---------------------------------------|--------------------------------------------|
| a price    | decimal text                          | an integer of 1e-9, or decimal text        |
| undefined  | empty                                 | null                                       |
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
"""So many rows are made into text at once: of mbp-10, 16 MiB of CSV or 43 MiB of NDJSON."""

_ISO = "%Y-%m-%dT%H:%M:%S%.9f"
_DECIMAL = pa.decimal128(38, 9)
_PRICE_ENDS = ("_price", "spread", "_increment")


class CsvWriter:
    """Writes CSV: the header at once, then the rows of each frame."""

    def __init__(self, outlet: OutputStream, columns: pl.Schema) -> None:
        self._outlet = outlet
        outlet.write(pl.DataFrame(schema=columns).write_csv().encode())

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for piece in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_columns(piece, decimal_prices=True).write_csv(text, include_header=False)
            self._outlet.write(text.getbuffer())

    def close(self) -> None:
        """Nothing: CSV has no end."""


class NdjsonWriter:
    """Writes NDJSON: an object a row, its keys in the order of the columns.

    Args:
        outlet: where to.
        decimal_prices: prices are decimal text, not integers of 1e-9.
    """

    def __init__(self, outlet: OutputStream, *, decimal_prices: bool) -> None:
        self._outlet, self._decimal_prices = outlet, decimal_prices

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for piece in frame.iter_slices(TEXT_SLICE_ROWS):
            text = BytesIO()
            format_columns(piece, decimal_prices=self._decimal_prices).write_ndjson(text)
            self._outlet.write(text.getbuffer())

    def close(self) -> None:
        """Nothing: NDJSON has no end."""


class JsonWriter:
    """Writes one JSON array of objects: the lines of NDJSON, with commas between them.

    Args: as `NdjsonWriter`.
    """

    def __init__(self, outlet: OutputStream, *, decimal_prices: bool) -> None:
        self._outlet, self._decimal_prices = outlet, decimal_prices
        self._before = b"[\n"

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's rows."""
        for piece in frame.iter_slices(TEXT_SLICE_ROWS):
            text = format_columns(piece, decimal_prices=self._decimal_prices).write_ndjson()
            if lines := text.rstrip("\n"):
                self._outlet.write(self._before + lines.replace("\n", ",\n").encode())
                self._before = b",\n"

    def close(self) -> None:
        """End the array."""
        self._outlet.write((b"[" if self._before == b"[\n" else b"\n") + b"]\n")


def is_price(name: str, dtype: pl.DataType) -> bool:
    """Whether a column of the vendor's or of our own frames is a price, or a difference of prices.

    Those that end so are of our own frames, as are levels beyond ten.
    """
    named = name in PRICE_FIELDS or "_px_" in name or name.endswith(_PRICE_ENDS)
    return named and dtype == pl.Int64


def format_columns(frame: pl.DataFrame, *, decimal_prices: bool) -> pl.DataFrame:
    """The frame with times as text, and prices too if that is wanted."""
    schema = frame.schema
    times = [
        pl.col(name).dt.strftime(_ISO + ("Z" if dtype == TIME_TYPE else "%:z"))
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Datetime)
    ]
    # DuckDB's sums of integers: as decimals they would be text in JSON.
    whole = [
        pl.col(name).cast(pl.Int128)
        for name, dtype in schema.items()
        if isinstance(dtype, pl.Decimal) and dtype.scale == 0
    ]
    prices = [name for name, dtype in schema.items() if decimal_prices and is_price(name, dtype)]
    return frame.with_columns(
        *times, *whole, *(format_prices(frame.get_column(name)) for name in prices)
    )


def format_display_prices(prices: pl.Series, ticks: pl.Series) -> pl.Series:
    """The exact decimal text of prices of 1e-9, with as many decimals as their ticks have.

    With more where a price has more, and with nine where the tick is null.
    """
    texts = format_prices(prices).alias("text")
    shown = pl.DataFrame([texts, ticks.alias("tick"), prices.alias("price")])
    text = pl.col("text")
    for decimals in range(8, -1, -1):
        unit = 10 ** (9 - decimals)
        # What is left out is zeros, and of whole numbers the point.
        fits = (pl.col("tick") % unit == 0) & (pl.col("price") % unit == 0)
        left_out = 9 - decimals + (decimals == 0)
        text = pl.when(fits).then(pl.col("text").str.head(-left_out)).otherwise(text)
    return shown.select(text.alias(prices.name)).to_series()


def format_prices(prices: pl.Series) -> pl.Series:
    """The exact decimal text of prices of 1e-9, with nine decimals; null where they are null.

    An int64 of 1e-9 is a decimal of nine decimals as it stands: only the word has to be widened.
    """
    words = np.empty((len(prices), 2), np.int64)
    words[:, 0] = prices.fill_null(0).to_numpy()
    np.right_shift(words[:, 0], 63, out=words[:, 1])
    wide = pa.Array.from_buffers(_DECIMAL, len(prices), [None, pa.py_buffer(words)])
    texts = pl.Series(prices.name, wide).cast(pl.String)
    return texts.set(prices.is_null(), None) if prices.null_count() else texts
