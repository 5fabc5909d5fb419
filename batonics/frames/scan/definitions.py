"""Columns from the definitions of instruments: ticks, display factors, spreads in ticks.

The rule here: a row gets the values of its instrument's definition at its own time, or null if
there is none. Nothing is inferred from prices.

| column              | dtype   | content                                                         |
|---------------------|---------|-----------------------------------------------------------------|
| min_price_increment | Int64   | the tick, of 1e-9; null if it is not constant                   |
| display_factor      | Int64   | of 1e-9: the venue's own price times it is the price of records |
| spread_ticks        | Float64 | ask minus bid in ticks, where the rows have both, or `spread`   |

Rows with `priority` keep it; where it depends on the instrument it becomes "fifo" if the definition
says so (`model/priority.py`).
"""

from __future__ import annotations

import polars as pl

from batonics.frames.columns.books import PRIORITY, PRIORITY_TYPE
from batonics.frames.columns.prices import check_fixed_prices
from batonics.frames.scan.symbols import AddColumns, instrument_source, times_ns
from batonics.model.definitions import Definition, DefinitionMap
from batonics.model.mbo import UNDEF_PRICE
from batonics.model.priority import FIFO_ALGORITHM, GLBX_PUBLISHER, Priority
from batonics.model.symbol_intervals import GrowingTable, IntervalTable

TICK, FACTOR, SPREAD_TICKS = "min_price_increment", "display_factor", "spread_ticks"
DEFINITION_SCHEMA = pl.Schema({TICK: pl.Int64(), FACTOR: pl.Int64()})
_SPREADS = (("ask_px_00", "bid_px_00"), ("ask_price", "bid_price"), ("spread",))


class FrameDefinitions:
    """Columns from definitions for the frames of a stream. The map may grow as it is read."""

    def __init__(self, definitions: DefinitionMap) -> None:
        self._growing = GrowingTable(definitions)
        self._table: IntervalTable[Definition] | None = None

    def add_to(self, frame: pl.DataFrame, time: str) -> pl.DataFrame:
        """The frame with the columns of `definition_columns`, as of the times in a column."""
        ts_ns = times_ns(frame, time)
        table = self._growing.at_times(ts_ns)
        if table is not self._table:
            self._table = table
            columns = [_value_column(table, name) for name in DEFINITION_SCHEMA]
            self._values = pl.DataFrame(columns)
            algorithms = [getattr(value, "match_algorithm", "") for value in table.values]
            self._is_fifo = pl.Series(algorithms, dtype=pl.String) == FIFO_ALGORITHM
        entries = table.entries(frame["instrument_id"].to_numpy(), ts_ns)
        defined = frame.hstack(self._values[entries])
        if frame.schema.get(PRIORITY) == PRIORITY_TYPE:
            is_fifo = (pl.col("publisher_id") == GLBX_PUBLISHER) & self._is_fifo[entries]
            fifo = pl.lit(Priority.FIFO, PRIORITY_TYPE)
            defined = defined.with_columns(
                pl.when(is_fifo).then(fifo).otherwise(PRIORITY).alias(PRIORITY)
            )
        spread = _spread(frame.schema)
        return defined if spread is None else defined.with_columns(spread)


def _value_column(table: IntervalTable[Definition], name: str) -> pl.Series:
    values = [getattr(value, name, UNDEF_PRICE) for value in table.values]
    column = pl.Series(name, values, pl.Int64)
    return column.set((column == UNDEF_PRICE) | (column <= 0), None)


def definition_columns(rows: pl.Schema) -> pl.Schema:
    """The schema of the columns that definitions add to rows of this schema."""
    if _spread(rows) is None:
        return DEFINITION_SCHEMA
    return pl.Schema({**DEFINITION_SCHEMA, SPREAD_TICKS: pl.Float64()})


def add_definitions(
    rows: pl.LazyFrame, definitions: DefinitionMap, *, time: str | None = None
) -> pl.LazyFrame:
    """Rows of instruments with the columns of this module after their own.

    Args:
        rows: rows with publisher_id, instrument_id and a time, as all frames of `.mbo` have.
        definitions: the definitions of the instruments.
        time: the column that has a row's time; None: the first of `ROW_TIMES` that `rows` has.

    Raises:
        UsageError: a column is missing, or prices are not integers of 1e-9.
    """
    schema = rows.collect_schema()
    names = {"price", *(name for spread in _SPREADS for name in spread)}
    check_fixed_prices({name: dtype for name, dtype in schema.items() if name in names})
    spread = _spread_columns(schema)

    def make(time: str) -> AddColumns:
        table = FrameDefinitions(definitions)
        return lambda frame: table.add_to(frame, time)

    return instrument_source(
        "DEFINITIONS", rows, definition_columns(schema), make, spread, time=time
    )


def _spread_columns(rows: pl.Schema) -> tuple[str, ...]:
    return next((names for names in _SPREADS if all(rows.get(n) == pl.Int64 for n in names)), ())


def _spread(rows: pl.Schema) -> pl.Expr | None:
    """The spread in ticks, if rows of this schema have a spread."""
    names = _spread_columns(rows)
    if not names:
        return None
    # The difference of two prices may exceed int64.
    ask, *bid = (pl.col(name).cast(pl.Int128) for name in names)
    spread = ask - bid[0] if bid else ask
    return (spread / pl.col(TICK)).alias(SPREAD_TICKS)
