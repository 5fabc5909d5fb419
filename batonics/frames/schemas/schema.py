"""What is known of a schema: the type of the entries of `table.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from batonics.codec.metadata import SCHEMA_NAMES
from batonics.codec.records import RECORD_LAYOUTS
from batonics.frames.columns.book_state import LAKE_STATE_SCHEMA, best_prices
from batonics.frames.columns.row_place import ROW_PLACE_SCHEMA
from batonics.frames.scan.complete_intervals import COMPLETE_SCHEMA, RowInterval
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY

if TYPE_CHECKING:  # it loads the kernels of the fold
    from batonics.frames.scan.folding import TopsPiece

Derivation = Callable[[pl.LazyFrame], pl.LazyFrame]
"""A LazyFrame of a schema's columns over a LazyFrame of MBO records."""


class TopsDerivation(NamedTuple):
    """How rows derive from the best levels of books, which several schemas may share.

    Attributes:
        depth: levels of each side, which are kept at trades and changes (`TopsSpec`).
        derive: makes the rows from folded records, with `position` if the schema has it.
    """

    depth: int
    derive: Callable[[Iterator[TopsPiece]], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class Schema:
    """Rows that derive from MBO records.

    Attributes:
        name: the name users give, such as mbp-10.
        columns: the columns of its frames, in their order.
        derive: makes the rows from MBO records.
        time: the time of a row. Rows are in its order, and it decides a row's date and symbol. Null
            where no time is known.
        rtype: the type of its DBN record; None: DBN has no record of it.
        layout: the name of that record's layout in `codec.records.RECORD_LAYOUTS`.
        interval_ns: the length of the interval that a row covers, if it covers one.
        time_is_interval_end: `time` is the end of that interval, not its start.
        derive_consolidated: as `derive`, with the levels of an instrument over all its publishers;
            None: there are no such rows.
        is_row_per_record: each row is made of one record alone. Otherwise `derive` gives a
            `frame_source`, which reads the next batch when it has given all rows of those before.
        tops: as `derive`, from the best levels of books; None: they derive from the records only.
        has_record_positions: the source of `derive` gives the column `position` of a row's record
            to a reader that asks for it (`frames/columns/row_place.py`).
    """

    name: str
    columns: pl.Schema
    derive: Derivation = field(repr=False)
    time: pl.Expr = field(repr=False)
    rtype: int | None = None
    layout: str | None = None
    interval_ns: int | None = None
    time_is_interval_end: bool = False
    derive_consolidated: Derivation | None = field(default=None, repr=False)
    is_row_per_record: bool = False
    tops: TopsDerivation | None = field(default=None, repr=False)
    has_record_positions: bool = False

    @property
    def lake_columns(self) -> pl.Schema:
        """The columns of its rows in a lake.

        They are `columns`, the state of the book if the rows have quotes, `complete` if they cover
        intervals, and the place in the stream.
        """
        state = LAKE_STATE_SCHEMA if self.has_quotes else {}
        complete = COMPLETE_SCHEMA if self.interval_ns is not None else {}
        return pl.Schema({**self.columns, **state, **complete, **ROW_PLACE_SCHEMA})

    @property
    def row_interval(self) -> RowInterval | None:
        """The interval that a row covers; None: rows cover none."""
        if self.interval_ns is None:
            return None
        return RowInterval(self.interval_ns, self.time_is_interval_end)

    @property
    def has_quotes(self) -> bool:
        """Whether its rows have a best bid and ask."""
        return bool(best_prices(self.columns))

    @property
    def time_column(self) -> str:
        """The column that `time` reads first."""
        return self.time.meta.root_names()[0]

    @property
    def record_dtype(self) -> np.dtype:
        """One DBN record.

        Raises:
            UsageError: DBN has no record of this schema.
        """
        return RECORD_LAYOUTS[self.check_dbn()]

    @property
    def number(self) -> int:
        """The schema's number in DBN metadata.

        Raises:
            UsageError: DBN has no record of this schema.
        """
        self.check_dbn()
        return SCHEMA_NAMES.index(self.name)

    def check_dbn(self) -> str:
        """The layout of the DBN record; UsageError if DBN has no record of this schema."""
        if self.layout is None:
            raise UsageError(f"DBN has no record of schema {self.name}: choose another format")
        return self.layout

    @property
    def time_depends_on_end(self) -> bool:
        """Whether the time of some rows depends on where the stream ends."""
        return len(self.time.meta.root_names()) > 1

    def rows(self, records: pl.LazyFrame, *, consolidated: bool = False) -> pl.LazyFrame:
        """A LazyFrame of `columns` over MBO records.

        Args:
            records: a LazyFrame of `MBO_SCHEMA`.
            consolidated: the levels are an instrument's over all its publishers.

        Raises:
            UsageError: there are no consolidated rows of this schema.
        """
        if not consolidated:
            return self.derive(records)
        return self.check_consolidated()(records)

    def check_consolidated(self) -> Derivation:
        """What makes the consolidated rows; UsageError if there are none of this schema."""
        if self.derive_consolidated is None:
            raise UsageError(f"{self.name} is not consolidated; tbbo and mbp-N can be")
        return self.derive_consolidated

    def time_on(self, date: pl.Expr) -> pl.Expr:
        """`time` of rows that are known to fall on that date, each row by itself."""
        if not self.time_depends_on_end:
            return self.time
        return pl.coalesce(self.time_column, day_end(date))


def day_end(date: pl.Expr) -> pl.Expr:
    """The last nanosecond of a date, UTC."""
    # In integers: a sum with a span of time is in microseconds.
    return ((date.cast(pl.Int64) + 1) * NS_PER_DAY - 1).cast(pl.Datetime("ns", "UTC"))
