"""A row of a schema, as a load gives it to `PartsWriter`."""

from __future__ import annotations

import polars as pl

from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from tests.support.dbn_files import DAY_NS

_VALUES = {"action": "T", "side": "N"}


def part_rows(schema: str, symbol: str | None, rows: int = 1) -> pl.DataFrame:
    """Rows of a schema and a symbol, one nanosecond after the other."""
    at = pl.Series(range(DAY_NS, DAY_NS + rows), dtype=pl.Int64)
    columns = {
        name: (at if dtype == pl.Datetime else pl.Series([_VALUES.get(name, 0)] * rows)).cast(dtype)
        for name, dtype in find_schema(schema).lake_columns.items()
    }
    return pl.DataFrame(columns).with_columns(
        at.alias(ROW_TIME), pl.Series("symbol", [symbol] * rows, dtype=pl.String)
    )
