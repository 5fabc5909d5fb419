"""Instrument definitions of files, beside any frame of instruments.

The rule: files are read when the function is called; what is returned streams as its rows do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batonics.frames.scan.definitions import add_definitions as defined
from batonics.sources.chunks import path_list
from batonics.sources.definitions import read_definitions

if TYPE_CHECKING:
    import polars as pl


def with_definitions(
    rows: pl.LazyFrame, paths: str | Path | Sequence[str | Path], *, time: str | None = None
) -> pl.LazyFrame:
    """Rows of instruments with their ticks, from files of the vendor's schema `definition`.

    Args:
        rows: any frame of `.mbo`, or of records: publisher_id, instrument_id and a time.
        paths: one file or several. A definition holds on its day (UTC).
        time: the column that tells a row's day; by default ts_recv, or what there is like it.

    Columns, after those of the rows:
        min_price_increment (Int64 of 1e-9): the tick; null if there is no constant one, or no
            definition.
        display_factor (Int64 of 1e-9): the venue's own price times it is the price of records.
        spread_ticks (Float64): ask minus bid in ticks, where the rows have both, or a `spread`.

    Raises:
        InputError: a file cannot be read, is damaged, or is of another schema.
        UsageError: the rows lack a column.
    """
    return defined(rows, read_definitions(path_list(paths)), time=time)
