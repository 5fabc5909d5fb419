"""Measures of windows of time.

The rule here: open windows keep exact integers: sums, and the last trade and state, but no rows.
Sums of integers do not depend on their grouping. So the result does not depend on how the stream
was cut into frames, and memory does not grow with the length of a window.

A window is `(T - every, T]` with the label T, where T is a multiple of `every` since the epoch.
Each book has its own windows, as in `depth/windows.py`. The time of a row is the clock of its book
(`trade_measures.py`). Rows before a book's first known time are in its first window.

| column                  | dtype   | definition, over the rows of one book in a window           |
|-------------------------|---------|-------------------------------------------------------------|
| ofi                     | Int64   | the sum of e (`book_measures.py`); null if no row has an e  |
| signed_volume           | Int64   | the sum of d times size; trades without a sign add nothing  |
| trades, volume          | Int64   | the number of trades, and the sum of their sizes            |
| mid_start               | Float64 | the mid of the last state before the window, in 1e-9        |
| mid_end                 | Float64 | the mid of the last state up to the window's end            |
| mid_change              | Float64 | mid_end - mid_start; null if the book was cleared between   |
| kyle_lambda             | Float64 | see below; in 1e-9 per unit of size                         |
| left_out                | Int64   | the number of states that were left out, see below          |
| sessions_known          | Boolean | whether every row had a status of trading                   |

A state is left out where the market is not open: if the book is crossed or locked (rule 22), or if
its status of trading is known and is not `trading`. The series of states restarts after it. Trades
are never left out; a step of lambda needs open states at both ends. Without status records and
sessions only crossed states are left out, `sessions_known` is false, and a DataWarning says so.
`include` keeps `crossed`
states, `closed` ones, or both. Books that are cold count.

Mids are null where a side is empty; mid_start is also null in a book's first window. The row of a
trade is not a state (`book_measures.py`). A trade of undefined size counts as a trade and adds no
volume.

Kyle's lambda (Kyle, "Continuous auctions and insider trading", 1985) is the slope of a least
squares line, with intercept, of the change of the mid on signed volume. The trades of a window
divide it into steps: step i goes from the mid before trade i to the mid before trade i + 1, and the
last step to mid_end; its signed volume is that of trade i. A step is left out if its trade has no
sign, if a side is empty at its start or end, or if the book was cleared in it. Lambda is null if
all signed volumes are equal, and so with fewer than two steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.book_state import CLOSED, STATUS, check_include
from batonics.frames.columns.books import BOOK_KEY, BOOK_KEY_SCHEMA
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import (
    IS_TRADE,
    measure_columns,
    mid_of,
    state_expressions,
)
from batonics.frames.measures.open_states import mark_left_out, warn_of_unknown_sessions
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.measures.trade_measures import INPUT_COLUMNS, annotate_rows
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.times import Duration, duration_ns

WINDOW_SCHEMA = pl.Schema(
    {
        "ts": TIME_TYPE,
        **BOOK_KEY_SCHEMA,
        **dict.fromkeys(("ofi", "signed_volume", "trades", "volume"), pl.Int64()),
        **dict.fromkeys(("mid_start", "mid_end", "mid_change", "kyle_lambda"), pl.Float64()),
        "left_out": pl.Int64(),
        "sessions_known": pl.Boolean(),
    }
)
_READS = [*INPUT_COLUMNS, "bid_sz_00", "ask_sz_00"]


def window_measures_source(
    rows: pl.LazyFrame, every: Duration, *, include: Collection[str] = ()
) -> pl.LazyFrame:
    """The measures of every window of every book in which the book has a row.

    Args:
        rows: MBP rows of any depth, in stream order, with the columns of `mbp_schema(1)` that the
            measures read. If they have a column `status` (`scan/row_extras.py`), it decides which
            states are left out.
        every: the length of a window, such as "1s".
        include: what is kept that is left out otherwise, of `columns.book_state.LEFT_OUT_KINDS`.

    Returns:
        An IO source of `ts` (T; null for a book without any time), publisher_id, instrument_id, and
        the columns of the table above. Rows are in the order in which windows are closed. The first
        row of the book after a window closes it. The end of the stream closes the remaining
        windows, in the order of their first rows.

    Raises:
        UsageError: `every` is not a duration, or a column is missing or has another dtype.
    """
    found = rows.collect_schema()
    check_mbp_columns(found, mbp_schema(1), _READS)
    every_ns = duration_ns(every)
    check_include(include)
    reads = [*_READS, STATUS] if STATUS in found else _READS

    def plan(columns: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - all are made together
        def make(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
            windows = window_frames(frames, every_ns, include)
            return windows if CLOSED in include else warn_of_unknown_sessions(windows)

        return DerivationPlan(reads, make)

    return derived_source("MBP WINDOWED MEASURES", rows, WINDOW_SCHEMA, plan)


def window_frames(
    frames: Iterable[pl.DataFrame], every_ns: int, include: Collection[str] = ()
) -> Iterator[pl.DataFrame]:
    """Frames of `WINDOW_SCHEMA`: one row for each closed window."""
    finish = StatefulExpressions(_add_starts)
    make_parts = _WindowParts(every_ns)
    windows: pl.DataFrame | None = None
    for frame in mark_left_out(annotate_rows(frames), include):
        parts = make_parts(frame)
        windows = _merge_windows(parts if windows is None else pl.concat([windows, parts]))
        # The first row of the book's next window closes a window.
        closed_by = windows.select(pl.col("row").shift(-1).over(BOOK_KEY)).to_series()
        closed = windows.filter(closed_by.is_not_null())
        closed = closed[closed_by.drop_nulls().arg_sort()]
        yield _finish_windows(finish(closed))
        windows = windows.filter(closed_by.is_null())
    if windows is not None:
        yield _finish_windows(finish(windows.sort("row")))


_STEP_SUMS = ("x", "y", "xx", "xy")
_STATE_COUNTS = ("left_out", "unknown")
_PART_SCHEMA = pl.Schema(
    {
        **BOOK_KEY_SCHEMA,
        "window": pl.Int64(),  # its number within the book
        "label_ns": pl.Int64(),
        "row": pl.Int64(),  # the number of its first row
        "series": pl.Int64(),  # the series of open states at its last row
        # Sums over its rows; and over its steps except the last one: signed volume x, change y of
        # twice the mid, and their products.
        **dict.fromkeys(("ofi", "signed_volume", "trades", "volume", "steps"), pl.Int64()),
        **dict.fromkeys(_STATE_COUNTS, pl.Int64()),
        **dict.fromkeys(_STEP_SUMS, pl.Int128()),
        # The last state and the last trade.
        "has_state": pl.Boolean(),
        "state_mid": pl.Int128(),
        "has_trade": pl.Boolean(),
        "trade_mid": pl.Int128(),
        "trade_volume": pl.Int64(),
        "trade_series": pl.Int64(),
    }
)
"""A part of a window. Mids are doubled: b + a, an integer."""


_IS_OTHER_SERIES = pl.col("series") != pl.col("series").shift().over(BOOK_KEY)
"""Whether a state has no state before it in its series."""


class _WindowParts:
    """Converts each row to a part of a window. Parts of the same window can then be merged."""

    def __init__(self, every_ns: int) -> None:
        clock_ns = pl.col("clock_ns")
        # A time whose label exceeds int64 is unknown.
        known_ns = pl.when(clock_ns < 2**63 - every_ns).then(clock_ns)
        self._label_ns = -(-known_ns // every_ns) * every_ns
        self._number = StatefulExpressions(_number_windows)
        self._states = state_expressions(measure_columns(["ofi"], 1), _IS_OTHER_SERIES)
        self._trades = StatefulExpressions(_add_steps)

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of `_PART_SCHEMA`, in the order of the rows of the frame."""
        numbered = self._number(
            frame.with_columns(label_ns=self._label_ns, window=pl.lit(0, pl.Int64))
        )
        is_trade = numbered.select(IS_TRADE).to_series()
        is_open_state = ~is_trade & ~numbered["is_left_out"]
        states = self._states(numbered.filter(is_open_state)).with_columns(
            has_state=True, state_mid="twice_mid", signed_volume=None
        )
        left_out = numbered.filter(~is_trade & numbered["is_left_out"]).with_columns(
            left_out=pl.lit(1, pl.Int64), signed_volume=None
        )
        trades = self._trades(numbered.filter(is_trade)).with_columns(
            has_trade=True,
            # The book that a trade meets where the market is not open starts no step.
            trade_mid=pl.when(~pl.col("is_left_out")).then("twice_mid"),
            trade_volume="signed_volume",
            trade_series="series",
            trades=pl.lit(1, pl.Int64),
            volume=pl.col("size").cast(pl.Int64),
        )
        parts = (states, trades, left_out)
        return pl.concat([_select_part_columns(rows) for rows in parts]).sort("row")


def _select_part_columns(rows: pl.DataFrame) -> pl.DataFrame:
    absent = {name: None for name in _PART_SCHEMA if name not in rows.columns}
    return rows.with_columns(**absent).select(
        pl.col(name).cast(dtype) for name, dtype in _PART_SCHEMA.items()
    )


def _number_windows(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Fill in missing labels; number the windows of a book by the changes of its label."""
    label_ns = pl.col("label_ns")
    changes = (label_ns != label_ns.shift()).fill_null(value=False)
    return rows.with_columns(label_ns.forward_fill().over(BOOK_KEY)).with_columns(
        (pl.col("window") + changes).cum_sum().over(BOOK_KEY)
    )


def _add_steps(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Add to each trade the step from the previous trade, if both share window and series."""

    def before(name: str) -> pl.Expr:
        return pl.col(name).gather(pl.col("before"))

    is_joined = (before("window") == pl.col("window")) & (before("series") == pl.col("series"))
    mid = pl.when(~pl.col("is_left_out")).then("twice_mid")
    step = _step(is_joined, before("signed_volume"), mid - mid.gather(pl.col("before")))
    return (
        trades.with_columns(before=pl.int_range(pl.len()))
        .with_columns(pl.col("before").shift().over(BOOK_KEY))
        .with_columns(**step)
    )


def _step(is_joined: pl.Expr, volume: pl.Expr, change: pl.Expr) -> dict[str, pl.Expr]:
    """The sums of one step; zeros if there is none, or if a part of it is unknown."""
    is_known = is_joined & volume.is_not_null() & change.is_not_null()
    x = pl.when(is_known).then(volume).otherwise(0).cast(pl.Int128)
    y = pl.when(is_known).then(change).otherwise(0).cast(pl.Int128)
    steps = is_known.fill_null(value=False).cast(pl.Int64)
    return {"steps": steps, "x": x, "y": y, "xx": x * x, "xy": x * y}


def _merge_windows(parts: pl.DataFrame) -> pl.DataFrame:
    """Merge the parts of each window. The windows of a book stay in order."""
    place = pl.int_range(pl.len())
    sums = ["signed_volume", "trades", "volume", "steps", *_STATE_COUNTS, *_STEP_SUMS]
    merged = (
        parts.lazy()
        .with_columns(
            state=pl.when("has_state").then(place), trade=pl.when("has_trade").then(place)
        )
        .group_by([*BOOK_KEY, "window"], maintain_order=True)
        .agg(
            pl.col("label_ns").max(),
            pl.col("row").min(),
            pl.col("series").last(),
            pl.when(pl.col("ofi").count() > 0).then(pl.col("ofi").sum()),
            *(pl.col(name).sum() for name in sums),
            pl.col("state", "trade").max(),
        )
        .with_columns(
            has_state=pl.col("state").is_not_null(), has_trade=pl.col("trade").is_not_null()
        )
        .collect(engine="in-memory")
    )
    # The columns of the last state and trade by gathering: far faster than `last` in each group.
    last_columns = [
        parts[name].gather(merged[last])
        for last, names in (("state", _STATE_COLUMNS), ("trade", _TRADE_COLUMNS))
        for name in names
    ]
    return merged.with_columns(last_columns).select(list(_PART_SCHEMA))


_STATE_COLUMNS = ("state_mid",)
_TRADE_COLUMNS = ("trade_mid", "trade_volume", "trade_series")


def _add_starts(windows: pl.LazyFrame) -> pl.LazyFrame:
    """Add to closed windows the mid at the end, and the mid and series before the window."""
    place = pl.int_range(pl.len())
    return (
        windows.with_columns(state=pl.when("has_state").then(place))
        .with_columns(pl.col("state").forward_fill().over(BOOK_KEY))
        .with_columns(
            has_state=pl.col("state").is_not_null(), state_mid=pl.col("state_mid").gather("state")
        )
        .with_columns(
            start_mid=pl.col("state_mid").shift().over(BOOK_KEY),
            start_series=pl.col("series").shift().over(BOOK_KEY),
        )
    )


def _finish_windows(windows: pl.DataFrame) -> pl.DataFrame:
    start, end, series = pl.col("start_mid"), pl.col("state_mid"), pl.col("series")
    last = _step(
        pl.col("trade_series") == series, pl.col("trade_volume"), end - pl.col("trade_mid")
    )
    n, x, y, xx, xy = (pl.col(name) + last[name] for name in ("steps", *_STEP_SUMS))
    spread = n * xx - x * x
    slope = (n * xy - x * y).cast(pl.Float64) / spread.cast(pl.Float64)
    return windows.with_columns(
        ts=pl.col("label_ns").cast(TIME_TYPE),
        mid_start=mid_of(start),
        mid_end=mid_of(end),
        mid_change=pl.when(pl.col("start_series") == series).then(mid_of(end - start)),
        # y is the change of twice the mid.
        kyle_lambda=pl.when(spread != 0).then(slope / 2),
        sessions_known=pl.col("unknown") == 0,
    ).select(list(WINDOW_SCHEMA))
