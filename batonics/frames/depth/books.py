"""Reconstructed books as Polars frames.

The rule here: prices stay integers of 1e-9 unless another unit is asked for. Rows are sorted by
book, bids before asks, the best level first, and orders by priority.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from batonics.book.doubtful_books import warnings_of_books
from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly
from batonics.frames.columns.book_state import STATUS_TYPE
from batonics.frames.columns.mbo_frame import BOOK_SIDE_TYPE, to_datetimes
from batonics.frames.columns.prices import convert_prices, find_price_columns
from batonics.frames.html import html_table
from batonics.model.answers import END_OF_DATA, AnswerWarning, AsOf
from batonics.model.arguments import check_methods
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.prices import PriceUnit
from batonics.model.symbols import SymbolMap, suggest_symbols


@check_methods
class Books:
    """The books at the end of a stream, as frames.

    Attributes:
        engine: the engine that has folded the records.
        symbols: the symbols of the instruments.
        as_of: the time of the books, and the times of their data.
    """

    def __init__(self, engine: BookEngine, symbols: SymbolMap, as_of: AsOf = END_OF_DATA) -> None:
        self.engine = engine
        self.symbols = symbols
        self.as_of = as_of

    def __len__(self) -> int:
        return self.engine.book_count

    def __repr__(self) -> str:
        doubts = [str(warning) for warning in self.as_of.warnings()]
        counts = Counter(chain.from_iterable(self._warnings()))
        doubts += [f"{counts[kind]:,} {kind}" for kind in AnswerWarning if counts[kind]]
        count = "1 book" if len(self) == 1 else f"{len(self):,} books"
        return f"<Books: {', '.join([count, f'{len(self.levels()):,} levels', *doubts])}>"

    def _repr_html_(self) -> str:
        """An HTML table for notebooks: status, best bid and ask, and anomalies of each book."""
        levels = self.levels()
        rows = self.summary().with_columns(
            pl.sum_horizontal(anomaly.name.lower() for anomaly in Anomaly).alias("odd")
        )
        for side, price, size in (("B", "bid", "bid size"), ("A", "ask", "ask size")):
            best = levels.filter(side=side, level=0).select(
                "publisher_id",
                "instrument_id",
                pl.col("price").alias(price),
                pl.col("size").alias(size),
            )
            rows = rows.join(best, on=["publisher_id", "instrument_id"], how="left")
        shown = rows.sort("publisher_id", "instrument_id").select(
            "symbol",
            pl.format("{}/{}", "publisher_id", "instrument_id").alias("book"),
            "status",
            "bid size",
            "bid",
            "ask",
            "ask size",
            "events",
            "odd",
            pl.col("ts_recv").alias("as of (UTC)"),
        )
        count = "1 book" if len(self) == 1 else f"{len(self):,} books"
        doubts = "".join(f"; {line}" for line in self.describe_warnings())
        return html_table(shown, f"{count}, {len(levels):,} levels{doubts}", prices=("bid", "ask"))

    def describe_warnings(self) -> list[str]:
        """A line for each kind of warning that books have, with the number of these books.

        The kinds are those of the column `warnings` of `summary`.
        """
        return self.as_of.describe_warnings(self._warnings())

    def summary(self) -> pl.DataFrame:
        """One row for each book.

        Columns:
            publisher_id (UInt16), instrument_id (UInt32), symbol, status (String).
            trading_status (Enum of statuses): that of the market at the time of the books; null if
                it is not known.
            warnings (List of String): what makes the book doubtful: after_data, degraded, cold,
                stale, crossed, closed, renamed.
            events (Int64): the number of complete events.
            event_open (Boolean): whether the input ends within an event.
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): those of the last record.
            one column for each anomaly (Int64): its count.
        """
        engine, seen, books = self.engine, self.engine.last_seen(), self.engine.keys()
        statuses = [status.name.lower() for status in engine.statuses()]
        anomalies = engine.anomalies()
        trading = [self.as_of.trading.get(book) for book in books]
        of_all = self.as_of.warnings()
        doubts = [[*of_all, *warnings] for warnings in self._warnings()]
        trading_names = [None if one is None else one.name.lower() for one in trading]
        return (
            self._keys()
            .with_columns(
                pl.Series("status", statuses, pl.String),
                pl.Series("trading_status", trading_names, STATUS_TYPE),
                pl.Series("warnings", doubts, pl.List(pl.String)),
                pl.Series("events", engine.events()),
                pl.Series("event_open", engine.events_open()),
                to_datetimes(seen[:, 0]).alias("ts_event"),
                to_datetimes(seen[:, 1]).alias("ts_recv"),
                pl.Series("sequence", seen[:, 2].astype(np.uint32)),
                *(
                    pl.Series(a.name.lower(), np.ascontiguousarray(anomalies[:, a]))
                    for a in Anomaly
                ),
            )
            .sort("publisher_id", "instrument_id")
        )

    def levels(self, depth: int | None = None, *, prices: PriceUnit = "fixed") -> pl.DataFrame:
        """One row for each level.

        Args:
            depth: the maximum number of levels of each side; None: all levels.
            prices: the unit of prices: "fixed", "decimal" or "float".

        Columns:
            publisher_id (UInt16), instrument_id (UInt32), symbol (String), side (Enum B, A).
            level (UInt32): 0 is the best.
            price (Int64 of 1e-9), size (Int64).
            count (Int64): the number of orders; 0 for a top-of-book publisher (rule 13).
        """
        levels = self.engine.levels()
        frame = pl.DataFrame(
            {
                "book": levels.book,
                "side": levels.side,
                "price": levels.price,
                "size": levels.size,
                "count": levels.count,
            }
        ).with_columns(level=pl.int_range(pl.len(), dtype=pl.UInt32).over("book", "side"))
        if depth is not None:
            frame = frame.filter(pl.col("level") < depth)
        rows = self._add_keys(frame).select(*_KEYS, _side(), "level", "price", "size", "count")
        return _in_unit(rows, prices)

    def orders(self, *, prices: PriceUnit = "fixed") -> pl.DataFrame:
        """One row for each live order.

        Args:
            prices: the unit of prices: "fixed", "decimal" or "float".

        Columns:
            publisher_id (UInt16), instrument_id (UInt32), symbol (String), side (Enum B, A).
            price (Int64 of 1e-9).
            position (UInt32): 0 is the first in the queue of its level.
            order_id (UInt64), size (Int64).
        """
        orders = self.engine.orders()
        frame = pl.DataFrame(
            {
                "book": orders.book,
                "side": orders.side,
                "price": orders.price,
                "order_id": orders.order_id,
                "size": orders.size,
            }
        ).with_columns(
            position=pl.int_range(pl.len(), dtype=pl.UInt32).over("book", "side", "price")
        )
        columns = (*_KEYS, _side(), "price", "position", "order_id", "size")
        return _in_unit(self._add_keys(frame).select(columns), prices)

    def consolidated(
        self, depth: int | None = None, *, prices: PriceUnit = "fixed"
    ) -> pl.DataFrame:
        """One row for each level of each instrument, over all its publishers (rule 1).

        Args:
            depth: the maximum number of levels of each side; None: all levels.
            prices: the unit of prices: "fixed", "decimal" or "float".

        Columns:
            instrument_id (UInt32), symbol (String), side (Enum B, A), level (UInt32).
            price (Int64 of 1e-9).
            size, count (Int64): the sums over the publishers at this price.
            publishers (UInt32): the number of publishers at this price.
        """
        merged = (
            self.levels()
            .group_by("instrument_id", "symbol", "side", "price")
            .agg(pl.sum("size"), pl.sum("count"), pl.len().alias("publishers"))
            .with_columns(
                # Bids decrease and asks increase from the best. -1 - price cannot overflow.
                worse=pl.when(pl.col("side") == "B").then(-1 - pl.col("price")).otherwise("price")
            )
            .sort("instrument_id", "side", "worse")
            .with_columns(
                level=pl.int_range(pl.len(), dtype=pl.UInt32).over("instrument_id", "side")
            )
        )
        if depth is not None:
            merged = merged.filter(pl.col("level") < depth)
        rows = merged.select(
            "instrument_id", "symbol", "side", "level", "price", "size", "count", "publishers"
        )
        return _in_unit(rows, prices)

    def symbol_levels(self, symbol: str, *, prices: PriceUnit = "fixed") -> pl.DataFrame:
        """The levels of one symbol.

        Args:
            symbol: the symbol.
            prices: the unit of prices: "fixed", "decimal" or "float".

        Raises:
            UsageError: no book has this symbol.
        """
        levels = self.levels().filter(pl.col("symbol") == symbol)
        if levels.is_empty():
            known = self._keys()["symbol"].drop_nulls().unique().sort().to_list()
            if symbol not in known:
                raise UsageError(f"no book of symbol {symbol!r}; {suggest_symbols(symbol, known)}")
        return _in_unit(levels, prices)

    def plot(self, symbol: str | None = None) -> Any:
        """A chart of the size at each price or a better one; it needs the extra `plot`.

        Args:
            symbol: the symbol; None: there is only one.

        Returns:
            An `altair` chart, as of `batonics.plot.depth_chart`.

        Raises:
            UsageError: no book has the symbol, or altair is not installed.
        """
        from batonics.frames.depth.book_charts import depth_chart

        return depth_chart(self, symbol)

    def _warnings(self) -> list[list[AnswerWarning]]:
        """The warnings of each book, by its own state and its trading status."""
        return warnings_of_books(self.engine, self.as_of)

    def _keys(self) -> pl.DataFrame:
        keys, seen = self.engine.keys(), self.engine.last_seen()
        ts_recv_ns = seen[:, 1].tolist()
        return pl.DataFrame(
            {
                "publisher_id": [publisher for publisher, _ in keys],
                "instrument_id": [instrument for _, instrument in keys],
                "symbol": [
                    self.symbols.symbol(instrument, min(ts_recv, UNDEF_TIMESTAMP - 1))
                    for (_, instrument), ts_recv in zip(keys, ts_recv_ns, strict=True)
                ],
            },
            {"publisher_id": pl.UInt16, "instrument_id": pl.UInt32, "symbol": pl.String},
        )

    def _add_keys(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the keys of its books, sorted by publisher and instrument."""
        keys = self._keys().with_row_index("book").with_columns(pl.col("book").cast(pl.Int64))
        return frame.join(keys, on="book", maintain_order="left").sort(
            "publisher_id", "instrument_id", maintain_order=True
        )


_KEYS = ("publisher_id", "instrument_id", "symbol")


def _in_unit(rows: pl.DataFrame, prices: PriceUnit) -> pl.DataFrame:
    return convert_prices(rows, find_price_columns(rows.schema), prices)


def _side() -> pl.Expr:
    return pl.col("side").cast(pl.UInt8).cat.to(BOOK_SIDE_TYPE)
