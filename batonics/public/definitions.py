"""Columns from instrument definitions of files, for any frame of instruments.

The rule here: the files are read when the function is called; the result streams if its rows do.
"""

from __future__ import annotations

import polars as pl

from batonics.frames.scan.definitions import add_definitions
from batonics.model.arguments import check_arguments
from batonics.sources.definitions import read_definitions
from batonics.sources.inputs import Inputs, find_inputs


@check_arguments
def with_definitions(rows: pl.LazyFrame, paths: Inputs, *, time: str | None = None) -> pl.LazyFrame:
    """Rows of instruments with their ticks, from files of the vendor's schema `definition`.

    Args:
        rows: any frame of `.mbo` or of records, with publisher_id, instrument_id and a time.
        paths: one file or several, or their bytes. A definition holds on its day (UTC).
        time: the column that has a row's time. None: ts_recv, or a similar column.

    Columns, after those of the rows:
        min_price_increment (Int64 of 1e-9): the tick; null if it is not constant, or if there is no
            definition.
        display_factor (Int64 of 1e-9): the price of records is the venue's own price times this.
        spread_ticks (Float64): ask minus bid in ticks, if the rows have both, or have `spread`.

    A column `priority` of the rows, as of `.mbo.orders()`, becomes "fifo" for instruments of CME
    whose definition says that they match by time.

    Raises:
        InputError: a file cannot be read, is damaged, or is of another schema.
        UsageError: the rows lack a column, or an argument has another type.
    """
    return add_definitions(rows, read_definitions(find_inputs(paths)), time=time)
