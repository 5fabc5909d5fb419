"""Measures of windows of time, and of buckets of equal volume.

The rule here: what is carried are exact integers. A window or a bucket that is open holds sums and
its last trade and state, never its rows; sums of integers do not depend on how they were grouped,
so how the stream was cut shows nowhere, and memory does not grow with a window's length.

Windows are `(T - every, T]`, labelled T, T a multiple of `every` since the epoch, and each book's
own, as in `windows.py`; the time of a row is its book's clock (`trade_measures.py`). Rows before a
book's first known time are in its first window.

| column                  | dtype   | of the rows of one book in a window                         |
|-------------------------|---------|-------------------------------------------------------------|
| ofi                     | Int64   | the sum of e (`measures.py`); null if no row has one        |
| signed_volume           | Int64   | the sum of d times size; trades without a sign add nothing  |
| trades, volume          | Int64   | how many trades, and their sizes added up                   |
| mid_start               | Float64 | the mid of the last state before the window, in 1e-9        |
| mid_end                 | Float64 | the mid of the last state up to the window's end            |
| mid_change              | Float64 | mid_end - mid_start; null if the book was cleared between   |
| kyle_lambda             | Float64 | see below; in 1e-9 per unit of size                         |

Mids are null where a side is empty, and mid_start in a book's first window. A trade's row shows no
state (`measures.py`). A trade of an undefined size counts as one, and adds no volume.

Kyle's lambda (Kyle, "Continuous auctions and insider trading", 1985) is the slope of a least
squares line, with intercept, of the mid's change on signed volume. A window is divided at its
trades: the i-th step goes from the mid that trade i met to the mid that trade i + 1 met, the last
one to mid_end; its signed volume is that of trade i. Steps whose trade has no sign, that begin or
end with an empty side, or in which the book was cleared, are left out. It is null if all signed
volumes are equal, so with fewer than two steps.

VPIN (Easley, López de Prado, O'Hara, "Flow toxicity and liquidity in a high-frequency world", 2012)
is the mean of abs(V_b - V_s) / V over the last n buckets of V units of volume each; V_b, V_s are
what was bought and sold in a bucket. A trade that overfills a bucket is divided between it and the
next ones. They classify volume in bulk; here a trade is bought or sold by its sign, and one without
is in no bucket, so V_b + V_s = V. A cleared book ends no bucket: what was traded stays traded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import (
    EVENT_COLUMNS,
    IS_TRADE,
    measure_columns,
    mid_of,
    state_carry,
)
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.measures.trade_measures import INPUT_COLUMNS, annotate_rows
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.frames.scan.sources import BOOK_KEY, BOOK_KEY_SCHEMA
from batonics.model.errors import UsageError
from batonics.model.times import duration_ns

WINDOW_SCHEMA = pl.Schema(
    {
        "ts": TIME_TYPE,
        **BOOK_KEY_SCHEMA,
        **dict.fromkeys(("ofi", "signed_volume", "trades", "volume"), pl.Int64()),
        **dict.fromkeys(("mid_start", "mid_end", "mid_change", "kyle_lambda"), pl.Float64()),
    }
)
VPIN_SCHEMA = pl.Schema(
    {
        **{name: mbp_schema(1)[name] for name in EVENT_COLUMNS},
        **dict.fromkeys(("bucket", "buy_volume", "sell_volume"), pl.Int64()),
        "vpin": pl.Float64(),
    }
)

_BUCKET_VOLUME_MAX = 2**32
"""No trade is larger, and no sum of volumes leaves an int64."""
_READS = [*INPUT_COLUMNS, "bid_sz_00", "ask_sz_00"]


def window_measures_source(rows: pl.LazyFrame, every: str) -> pl.LazyFrame:
    """The measures of every window of every book in which the book has a row.

    Args:
        rows: MBP rows of any depth, in stream order; the columns of `mbp_schema(1)` that measures
            need.
        every: the length of a window, such as "1s".

    Returns:
        An IO source of `ts` (T; null for a book none of whose rows has a time), the book, and the
        table above. Rows come in the order in which windows are closed: by the first row of their
        book after them; those that the stream's end closes last, in the order of their first rows.

    Raises:
        UsageError: `every` is no duration, a column is missing or has another dtype.
    """
    check_mbp_columns(rows.collect_schema(), mbp_schema(1), _READS)
    every_ns = duration_ns(every)

    def plan(wanted: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - they hang together
        return DerivationPlan(_READS, lambda frames: window_frames(frames, every_ns))

    return derived_source("MBP WINDOWED MEASURES", rows, WINDOW_SCHEMA, plan)


def vpin_source(rows: pl.LazyFrame, *, bucket_volume: int, n: int) -> pl.LazyFrame:
    """VPIN: a row for every bucket that was filled.

    Args:
        rows: MBP rows of any depth, in stream order.
        bucket_volume: V.
        n: how many buckets the mean is over.

    Returns:
        An IO source of the columns of `HEAD`, of the trade that filled the bucket; `bucket`, its
        number within its book, from 0; `buy_volume` and `sell_volume`, V_b and V_s; and `vpin`
        (Float64), null for the first n - 1. Rows come in the order in which buckets are filled.

    Raises:
        UsageError: a number is not positive, a column is missing or has another dtype.
    """
    check_mbp_columns(rows.collect_schema(), mbp_schema(1), INPUT_COLUMNS)
    if not 1 <= bucket_volume <= _BUCKET_VOLUME_MAX:
        raise UsageError(f"buckets of {bucket_volume}, expected a volume from 1 to 2^32")
    if n < 1:
        raise UsageError(f"a mean over {n} buckets, expected 1 or more")

    def plan(wanted: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - they hang together
        return DerivationPlan(INPUT_COLUMNS, lambda frames: vpin_frames(frames, bucket_volume, n))

    return derived_source("MBP VPIN", rows, VPIN_SCHEMA, plan)


def window_frames(frames: Iterable[pl.DataFrame], every_ns: int) -> Iterator[pl.DataFrame]:
    """Frames of `WINDOW_SCHEMA`, a row a closed window."""
    finish = StatefulExpressions(_with_start)
    parts_of = _Parts(every_ns)
    windows: pl.DataFrame | None = None
    for frame in annotate_rows(frames):
        parts = parts_of(frame)
        windows = _merged(parts if windows is None else pl.concat([windows, parts]))
        # A window is closed by the first row of its book's next one.
        closed_by = windows.select(pl.col("row").shift(-1).over(BOOK_KEY)).to_series()
        closed = windows.filter(closed_by.is_not_null())
        closed = closed[closed_by.drop_nulls().arg_sort()]
        yield _window_rows(finish(closed))
        windows = windows.filter(closed_by.is_null())
    if windows is not None:
        yield _window_rows(finish(windows.sort("row")))


_STEP_SUMS = ("x", "y", "xx", "xy")
_PART_SCHEMA = pl.Schema(
    {
        **BOOK_KEY_SCHEMA,
        "window": pl.Int64(),  # its number within the book
        "label_ns": pl.Int64(),
        "row": pl.Int64(),  # of its first row
        "series": pl.Int64(),  # of its last row
        # Sums over its rows, and over its steps but the last: of signed volume x, the change y of
        # twice the mid, and their products.
        **dict.fromkeys(("ofi", "signed_volume", "trades", "volume", "steps"), pl.Int64()),
        **dict.fromkeys(_STEP_SUMS, pl.Int128()),
        # Its last state and its last trade.
        "has_state": pl.Boolean(),
        "state_mid": pl.Int128(),
        "has_trade": pl.Boolean(),
        "trade_mid": pl.Int128(),
        "trade_volume": pl.Int64(),
        "trade_series": pl.Int64(),
    }
)
"""A window as far as it is known. Mids are doubled: b + a, an integer."""


class _Parts:
    """Makes every row a window of its own: those of one window then only have to be merged."""

    def __init__(self, every_ns: int) -> None:
        clock_ns = pl.col("clock_ns")
        # A time whose label has no place in an int64 is none.
        known_ns = pl.when(clock_ns < 2**63 - every_ns).then(clock_ns)
        self._label_ns = -(-known_ns // every_ns) * every_ns
        self._number = StatefulExpressions(_numbered)
        self._states = state_carry(measure_columns(["ofi"], 1))
        self._trades = StatefulExpressions(_with_steps)

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of `_PART_SCHEMA`, in the order of the frame's."""
        numbered = self._number(
            frame.with_columns(label_ns=self._label_ns, window=pl.lit(0, pl.Int64))
        )
        is_trade = numbered.select(IS_TRADE).to_series()
        states = self._states(numbered.filter(~is_trade)).with_columns(
            has_state=True, state_mid="twice_mid", signed_volume=None
        )
        trades = self._trades(numbered.filter(is_trade)).with_columns(
            has_trade=True,
            trade_mid="twice_mid",
            trade_volume="signed_volume",
            trade_series="series",
            trades=pl.lit(1, pl.Int64),
            volume=pl.col("size").cast(pl.Int64),
        )
        return pl.concat([_as_parts(states), _as_parts(trades)]).sort("row")


def _as_parts(rows: pl.DataFrame) -> pl.DataFrame:
    absent = {name: None for name in _PART_SCHEMA if name not in rows.columns}
    return rows.with_columns(**absent).select(
        pl.col(name).cast(dtype) for name, dtype in _PART_SCHEMA.items()
    )


def _numbered(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Labels go on; a window's number counts how often the label changed."""
    label_ns = pl.col("label_ns")
    changes = (label_ns != label_ns.shift()).fill_null(value=False)
    return rows.with_columns(label_ns.forward_fill().over(BOOK_KEY)).with_columns(
        (pl.col("window") + changes).cum_sum().over(BOOK_KEY)
    )


def _with_steps(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Each trade with the step that it ends: from the trade before, in its window and series."""

    def before(name: str) -> pl.Expr:
        return pl.col(name).gather(pl.col("before"))

    is_one = (before("window") == pl.col("window")) & (before("series") == pl.col("series"))
    step = _step(is_one, before("signed_volume"), pl.col("twice_mid") - before("twice_mid"))
    return (
        trades.with_columns(before=pl.int_range(pl.len()))
        .with_columns(pl.col("before").shift().over(BOOK_KEY))
        .with_columns(**step)
    )


def _step(is_one: pl.Expr, volume: pl.Expr, change: pl.Expr) -> dict[str, pl.Expr]:
    """The sums of one step; zeros where there is none, or a part of it is not known."""
    is_known = is_one & volume.is_not_null() & change.is_not_null()
    x = pl.when(is_known).then(volume).otherwise(0).cast(pl.Int128)
    y = pl.when(is_known).then(change).otherwise(0).cast(pl.Int128)
    steps = is_known.fill_null(value=False).cast(pl.Int64)
    return {"steps": steps, "x": x, "y": y, "xx": x * x, "xy": x * y}


def _merged(parts: pl.DataFrame) -> pl.DataFrame:
    """Parts of the same window as one; each book's windows stay in their order."""
    place = pl.int_range(pl.len())
    sums = ["signed_volume", "trades", "volume", "steps", *_STEP_SUMS]
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
    # Of the last state and of the last trade, what they were: far faster than a `last` by group.
    of_last = [
        parts[name].gather(merged[last])
        for last, names in (("state", _OF_STATE), ("trade", _OF_TRADE))
        for name in names
    ]
    return merged.with_columns(of_last).select(list(_PART_SCHEMA))


_OF_STATE = ("state_mid",)
_OF_TRADE = ("trade_mid", "trade_volume", "trade_series")


def _with_start(windows: pl.LazyFrame) -> pl.LazyFrame:
    """A book's closed windows, each with the state at its end, and that of the window before."""
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


def _window_rows(windows: pl.DataFrame) -> pl.DataFrame:
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
        # The change of the mid is half of y.
        kyle_lambda=pl.when(spread != 0).then(slope / 2),
    ).select(list(WINDOW_SCHEMA))


def vpin_frames(
    frames: Iterable[pl.DataFrame], bucket_volume: int, n: int
) -> Iterator[pl.DataFrame]:
    """Frames of `VPIN_SCHEMA`, a row a filled bucket."""
    fill = StatefulExpressions(
        lambda trades: trades.with_columns(pl.col("until").cum_sum().over(BOOK_KEY))
    )
    gap = (pl.col("buy_volume") - pl.col("sell_volume")).abs()
    vpin = gap.rolling_sum(n).over(BOOK_KEY) / float(n * bucket_volume)
    mean = StatefulExpressions(lambda buckets: buckets.with_columns(vpin=vpin), rows=n - 1)
    buckets: pl.DataFrame | None = None
    for frame in annotate_rows(frames):
        trades = frame.filter(IS_TRADE, pl.col("signed_volume") != 0)
        filled = fill(trades.with_columns(until=pl.col("size").cast(pl.Int64)))
        parts = _bucket_parts(filled, bucket_volume)
        buckets = _merged_buckets(parts if buckets is None else pl.concat([buckets, parts]))
        is_full = pl.col("buy_volume") + pl.col("sell_volume") == bucket_volume
        yield mean(buckets.filter(is_full)).select(list(VPIN_SCHEMA))
        buckets = buckets.filter(~is_full)


def _bucket_parts(trades: pl.DataFrame, bucket_volume: int) -> pl.DataFrame:
    """Trades divided at the ends of buckets; `until` is the volume up to the trade's end."""
    until, bucket = pl.col("until"), pl.col("bucket")
    since = until - pl.col("size").cast(pl.Int64)
    first, last = since // bucket_volume, (until - 1) // bucket_volume
    volume = pl.min_horizontal(until, (bucket + 1) * bucket_volume) - pl.max_horizontal(
        since, bucket * bucket_volume
    )
    return (
        trades.lazy()
        .with_columns(bucket=pl.int_ranges(first, last + 1))
        .explode("bucket")
        .with_columns(
            buy_volume=pl.when(pl.col("sign") > 0).then(volume).otherwise(0),
            sell_volume=pl.when(pl.col("sign") < 0).then(volume).otherwise(0),
        )
        .select(*EVENT_COLUMNS, "bucket", "buy_volume", "sell_volume")
        .collect(engine="in-memory")
    )


def _merged_buckets(parts: pl.DataFrame) -> pl.DataFrame:
    """Parts of the same bucket as one, in the order of their last parts."""
    return (
        parts.lazy()
        .with_columns(place=pl.int_range(pl.len()))
        .group_by([*BOOK_KEY, "bucket"], maintain_order=True)
        .agg(
            pl.col("ts_event", "ts_recv", "sequence", "place").last(),
            pl.col("buy_volume", "sell_volume").sum(),
        )
        .sort("place")
        .select(parts.columns)
        .collect(engine="in-memory")
    )
