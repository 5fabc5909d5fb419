"""Bars of trades: the vendor's OHLCV, and bars by time, ticks, volume and dollars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import databento
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.columns.vendor import OHLCV_SCHEMA
from batonics.frames.measures import bars
from batonics.frames.measures.bars import BARS_SCHEMA, bars_source
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Flag,
    MboBatch,
    Side,
    empty_batch,
    slice_batch,
)
from tests.support.reference_books import Key, Record, records
from tests.support.streams import START_NS, batch_of, random_stream

S = 1_000_000_000
UNTRUSTED = int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)
DAY_START = START_NS // (86_400 * S) * 86_400 * S
PRICE_MAX = UNDEF_PRICE - 1
SIZE_MAX = UNDEF_ORDER_SIZE - 1
BOOK = (1, 100)

Given = dict[str, Any]
"""Arguments of `bars_source`."""
GIVEN: dict[str, Given] = {
    "time-700ms": {"time": "700ms"},
    "time-1s": {"time": "1s"},
    "time-1d": {"time": "1d"},
    "ticks-1": {"ticks": 1},
    "ticks-3": {"ticks": 3},
    "volume-9": {"volume": 9},
    "volume-large": {"volume": 2**40},
    "dollar-small": {"dollar": "0.07"},
    "dollar-large": {"dollar": 2**70 + 12_345},
}
by_bars = pytest.mark.parametrize("given", list(GIVEN.values()), ids=list(GIVEN))


# ---------------------------------------------------------------------- the reference


class Trade(NamedTuple):
    """A trade, and the stream's time at it."""

    now: int | None
    record: Record


class Closed(NamedTuple):
    """A bar as the list of its trades."""

    start: int | None
    key: Key
    trades: list[Trade]


NS = {"700ms": 700_000_000, "1s": S, "1m": 60 * S, "1h": 3_600 * S, "1d": 86_400 * S}


def measure(by: str, trades: list[Trade]) -> int:
    """The amount of the measure that closes a bar."""
    if by == "ticks":
        return len(trades)
    if by == "volume":
        return sum(size_of(trade.record) for trade in trades)
    return dollars(trades)


def size_of(record: Record) -> int:
    return 0 if record.size == UNDEF_ORDER_SIZE else record.size


def dollars(trades: list[Trade]) -> int:
    priced = (trade.record for trade in trades if trade.record.price != UNDEF_PRICE)
    return sum(record.price * size_of(record) for record in priced)


def reference_bars(batch: MboBatch, given: Given, *, partial: bool = False) -> list[Closed]:
    """Bars in order of closing, record by record."""
    ((by, length),) = given.items()
    by_time = by == "time"
    if by_time:
        goal = NS[length]
    else:
        goal = int(float(length) * S) if isinstance(length, str) else length
    now: int | None = None
    start: int | None = None
    open_bars: dict[Key, list[Trade]] = {}
    closed: list[Closed] = []
    for record in records(batch):
        orders = record.ts_recv != UNDEF_TIMESTAMP and record.flags & UNTRUSTED != Flag.BAD_TS_RECV
        if orders and (now is None or record.ts_recv > now):
            now = record.ts_recv
            if by_time and (start is None or now // goal * goal > start):
                if start is not None:
                    closed += [Closed(start, key, open_bars[key]) for key in sorted(open_bars)]
                    open_bars.clear()
                start = now // goal * goal
        if record.action != Action.TRADE:
            continue
        key = (record.publisher_id, record.instrument_id)
        trades = open_bars.setdefault(key, [])
        trades.append(Trade(now, record))
        if not by_time and measure(by, trades) >= goal:
            closed.append(Closed(None, key, open_bars.pop(key)))
    if partial or by_time:
        closed += [Closed(start, key, open_bars[key]) for key in sorted(open_bars)]
    return closed


def prices_of(bar: Closed) -> tuple[int | None, ...]:
    prices = [t.record.price for t in bar.trades if t.record.price != UNDEF_PRICE]
    return (prices[0], max(prices), min(prices), prices[-1]) if prices else (None,) * 4


def bar_row(bar: Closed) -> tuple[object, ...]:
    """A row of `BARS_SCHEMA` but for `complete`, times as integers."""
    sizes = {
        side: sum(size_of(t.record) for t in bar.trades if t.record.side in side)
        for side in (b"BAN", b"B", b"A")
    }
    priced = sum(size_of(t.record) for t in bar.trades if t.record.price != UNDEF_PRICE)
    total = dollars(bar.trades)
    return (
        *bar.key,
        bar.trades[0].now,
        bar.trades[-1].now,
        *prices_of(bar),
        *sizes.values(),
        len(bar.trades),
        pytest.approx(total / priced, rel=1e-15) if priced else None,
        total,
    )


def rows_of(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """Rows with times as integers, without `complete`."""
    frame = frame.drop("complete", strict=False)
    return frame.with_columns(pl.col(pl.Datetime).cast(pl.Int64)).rows()


# ---------------------------------------------------------------------- streams


def lively(seed: int, rows: int) -> MboBatch:
    """A random stream of which half are trades, some without a time."""
    batch = random_stream(seed, rows)
    rng = np.random.default_rng(seed)
    batch.action[rng.random(rows) < 0.5] = int(Action.TRADE)
    batch.price[rng.random(rows) < 0.02] = UNDEF_PRICE
    batch.ts_recv[rng.random(rows) < 0.02] = UNDEF_TIMESTAMP
    batch.ts_recv[:5] = UNDEF_TIMESTAMP
    return batch


def cut(batch: MboBatch, rows: int) -> pl.LazyFrame:
    def batches() -> Iterator[MboBatch]:
        return (slice_batch(batch, at, at + rows) for at in range(0, len(batch.action), rows))

    return scan_batches(batches)


def trade(
    price: int,
    size: int = 1,
    *,
    side: Side = Side.BID,
    at_ns: int = 0,
    key: Key = BOOK,
    flags: int = 0,
    action: Action = Action.TRADE,
) -> Record:
    ts_recv = at_ns if at_ns == UNDEF_TIMESTAMP else DAY_START + at_ns
    return Record(ts_recv, ts_recv, *key, action, side, price, size, 0, 7, flags, 0, 0)


def lazy(*rows: Record) -> pl.LazyFrame:
    return to_frame(batch_of(rows)).lazy()


def ohlcv_rows(*rows: Record) -> list[tuple[object, ...]]:
    """Seconds of the day, instrument, open, high, low, close and volume of each interval."""
    frame = find_schema("ohlcv-1s").rows(lazy(*rows)).collect().drop("rtype", "publisher_id")
    return [
        (None if start is None else (start - DAY_START) // S, *others)  # type: ignore[operator]
        for start, *others in rows_of(frame)
    ]


# ---------------------------------------------------------------------- against the reference


@by_bars
@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_bars_are_those_of_the_reference_however_the_stream_is_cut(
    given: Given, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = lively(5, 150 if rows == 1 else 600)
    # Polars may join small batches again, but a piece is always folded at once.
    monkeypatch.setattr(bars, "BAR_FOLD_ROWS", rows)
    for partial in (False, True):
        frame = bars_source(cut(batch, rows), **given, partial=partial).collect()
        expected = [bar_row(bar) for bar in reference_bars(batch, given, partial=partial)]
        assert rows_of(frame) == expected


@by_bars
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bars_are_those_of_the_reference_over_longer_streams(given: Given, seed: int) -> None:
    batch = lively(seed, 3_000)
    found = rows_of(bars_source(cut(batch, 1_000), **given, partial=True).collect())
    assert found == [bar_row(bar) for bar in reference_bars(batch, given, partial=True)]


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("length", ["1s", "1m", "1h", "1d"])
def test_intervals_are_those_of_the_reference_however_the_stream_is_cut(
    length: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = lively(6, 150 if rows == 1 else 600)
    monkeypatch.setattr(bars, "BAR_FOLD_ROWS", rows)
    found = rows_of(find_schema(f"ohlcv-{length}").rows(cut(batch, rows)).collect())
    rtype = {"1s": 32, "1m": 33, "1h": 34, "1d": 35}[length]
    assert found == [
        (bar.start, rtype, *bar.key, *prices_of(bar), measure("volume", bar.trades))
        for bar in reference_bars(batch, {"time": length})
    ]


@pytest.mark.parametrize(
    "given",
    [{"time": "1m"}, {"ticks": 10}, {"volume": 100}, {"dollar": "5000"}],
    ids=["time", "ticks", "volume", "dollar"],
)
def test_bars_of_a_real_day_are_those_of_the_reference(clx5: MboBatch, given: Given) -> None:
    found = rows_of(bars_source(cut(clx5, 5_000), **given, partial=True).collect())
    assert len(found) > 10
    assert found == [bar_row(bar) for bar in reference_bars(clx5, given, partial=True)]


# ---------------------------------------------------------------------- other implementations


def grouped(batch: MboBatch, length: str) -> pl.DataFrame:
    """Bars in plain Polars, correct if time never runs backwards and all trades have prices."""
    priced = pl.col("price").cast(pl.Int128) * pl.col("size").cast(pl.Int128)
    return (
        to_frame(batch)
        .filter(pl.col("action") == "T")
        .group_by(
            "publisher_id",
            "instrument_id",
            ts_event=pl.col("ts_recv").dt.truncate(length),
            maintain_order=True,
        )
        .agg(
            ts_open=pl.col("ts_recv").first(),
            ts_close=pl.col("ts_recv").last(),
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("size").sum().cast(pl.Int64),
            buy_volume=pl.col("size").filter(pl.col("side") == "B").sum().cast(pl.Int64),
            sell_volume=pl.col("size").filter(pl.col("side") == "A").sum().cast(pl.Int64),
            trades=pl.len().cast(pl.Int64),
            dollar=priced.sum(),
        )
        .with_columns(vwap=pl.col("dollar").cast(pl.Float64) / pl.col("volume"))
        .with_columns(pl.col("dollar").cast(BARS_SCHEMA["dollar"]))
    )


@pytest.mark.parametrize("length", ["1s", "1m", "1h", "1d"])
def test_intervals_of_a_real_day_are_those_of_a_group_by(clx5: MboBatch, length: str) -> None:
    expected = grouped(clx5, length)
    frame = bars_source(to_frame(clx5).lazy(), time=length).collect()
    assert frame["trades"].sum() == 1_599
    assert_frame_equal(frame.drop("complete"), expected.select(BARS_SCHEMA.names()[:-1]))
    frame = find_schema(f"ohlcv-{length}").rows(to_frame(clx5).lazy()).collect()
    names = [name for name in OHLCV_SCHEMA if name != "rtype"]
    assert_frame_equal(
        frame.select(names), expected.select(names).cast({"volume": OHLCV_SCHEMA["volume"]})
    )


def vendor_store(test_data: Path, name: str) -> Any:
    return databento.DBNStore.from_bytes((test_data / "venues" / f"{name}.dbn.zst").read_bytes())


def test_intervals_are_the_vendors_where_there_are_all_their_trades(test_data: Path) -> None:
    trades = vendor_store(test_data, "XNAS.ITCH.trades").to_ndarray()
    batch = empty_batch(len(trades))
    for name in MboBatch._fields:
        if name in trades.dtype.names:
            column = trades[name]
            getattr(batch, name)[:] = column.view(np.uint8) if column.dtype.kind == "S" else column
    batch.channel_id[:], batch.order_id[:] = 0, 0
    found = find_schema("ohlcv-1s").rows(to_frame(batch).lazy()).collect()
    vendor = vendor_store(test_data, "XNAS.ITCH.ohlcv-1s")
    assert rows_of(found) == [
        tuple(row[name].item() for name in found.columns) for row in vendor.to_ndarray()
    ]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # the vendor's client, of pandas
@pytest.mark.parametrize("venue", ["XNAS.ITCH", "GLBX.MDP3", "NDEX.IMPACT", "IFEU.IMPACT"])
def test_intervals_have_the_columns_of_the_vendors_files(test_data: Path, venue: str) -> None:
    store = vendor_store(test_data, f"{venue}.ohlcv-1s")
    pretty = store.to_df(price_type="fixed", map_symbols=False).reset_index()
    assert list(pretty.columns) == OHLCV_SCHEMA.names()
    wire = store.to_ndarray().dtype
    for name, dtype in OHLCV_SCHEMA.items():
        bits = wire[name].itemsize * 8
        if name != "ts_event":
            assert dtype == getattr(pl, f"{'Int' if wire[name].kind == 'i' else 'UInt'}{bits}")


# ---------------------------------------------------------------------- the stream's time


def test_a_late_trade_is_in_the_interval_reached_before_it() -> None:
    rows = [trade(10, at_ns=S), trade(11, at_ns=3 * S), trade(12, at_ns=2 * S)]
    assert ohlcv_rows(*rows) == [(1, 100, 10, 10, 10, 10, 1), (3, 100, 11, 12, 11, 12, 2)]


def test_a_flagged_or_undefined_time_orders_nothing() -> None:
    rows = [
        trade(10, at_ns=S),
        trade(11, at_ns=9 * S, flags=int(Flag.BAD_TS_RECV)),
        trade(12, at_ns=UNDEF_TIMESTAMP),
    ]
    assert ohlcv_rows(*rows) == [(1, 100, 10, 12, 10, 12, 3)]


def test_trades_before_the_first_known_time_are_in_its_interval() -> None:
    rows = [trade(10, at_ns=UNDEF_TIMESTAMP), trade(11, at_ns=4 * S)]
    assert ohlcv_rows(*rows) == [(4, 100, 10, 11, 10, 11, 2)]


def test_where_no_time_is_known_the_interval_has_no_start() -> None:
    rows = [trade(10, at_ns=UNDEF_TIMESTAMP), trade(11, at_ns=UNDEF_TIMESTAMP)]
    assert ohlcv_rows(*rows) == [(None, 100, 10, 11, 10, 11, 2)]
    frame = bars_source(lazy(*rows), ticks=2).collect()
    assert frame.select("ts_open", "ts_close").row(0) == (None, None)


def test_an_interval_begins_with_its_start_and_ends_before_the_next() -> None:
    rows = [trade(10, at_ns=S - 1), trade(11, at_ns=S), trade(12, at_ns=2 * S - 1)]
    assert ohlcv_rows(*rows) == [(0, 100, 10, 10, 10, 10, 1), (1, 100, 11, 12, 11, 12, 2)]


def test_rows_come_by_interval_publisher_and_instrument() -> None:
    keys = [(2, 1), (1, 9), (1, 8), (1, 9), (2, 1)]
    times = [0, 1, 2, S, S + 1]
    rows = [trade(10, at_ns=at, key=key) for key, at in zip(keys, times, strict=True)]
    frame = find_schema("ohlcv-1s").rows(lazy(*rows)).collect()
    found = frame.select("publisher_id", "instrument_id").rows()
    assert found == [(1, 8), (1, 9), (2, 1), (1, 9), (2, 1)]


@pytest.mark.parametrize("key", [BOOK, (3, 7)], ids=["own", "another"])
def test_an_interval_is_given_as_soon_as_any_record_is_past_it(key: Key) -> None:
    asked: list[int] = []

    def batches() -> Iterator[MboBatch]:
        for second in range(100):
            asked.append(second)
            action = Action.TRADE if second == 1 else Action.ADD
            book = BOOK if second <= 1 else key
            yield batch_of([trade(10, at_ns=second * S, key=book, action=action)])

    frame = find_schema("ohlcv-1s").rows(scan_batches(batches)).head(1).collect(engine="streaming")
    assert frame.height == 1
    # Polars reads a few batches ahead.
    assert len(asked) < 50


# ---------------------------------------------------------------------- the content of a bar


def test_a_trade_without_a_price_is_volume_but_moves_no_price() -> None:
    rows = [trade(UNDEF_PRICE, 5), trade(10, 2), trade(UNDEF_PRICE, 1), trade(30, 2)]
    (bar,) = bars_source(lazy(*rows), ticks=4).collect().to_dicts()
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (10, 30, 10, 30)
    assert (bar["volume"], bar["trades"], bar["dollar"], bar["vwap"]) == (10, 4, 80, 20.0)


def test_a_bar_without_a_price_has_none() -> None:
    (bar,) = bars_source(lazy(trade(UNDEF_PRICE, 5)), ticks=1).collect().to_dicts()
    assert [bar[name] for name in ("open", "high", "low", "close", "vwap")] == [None] * 5
    assert (bar["volume"], bar["dollar"]) == (5, 0)
    assert ohlcv_rows(trade(UNDEF_PRICE, 5)) == [(0, 100, None, None, None, None, 5)]


def test_a_trade_without_a_side_is_volume_neither_bought_nor_sold() -> None:
    rows = [trade(1, 5, side=Side.NONE), trade(1, 3, side=Side.BID), trade(1, 2, side=Side.ASK)]
    (bar,) = bars_source(lazy(*rows), ticks=3).collect().to_dicts()
    assert (bar["volume"], bar["buy_volume"], bar["sell_volume"]) == (10, 3, 2)
    assert ohlcv_rows(*rows) == [(0, 100, 1, 1, 1, 1, 10)]


def test_a_trade_without_a_size_is_a_trade_of_none() -> None:
    (bar,) = bars_source(lazy(trade(7, UNDEF_ORDER_SIZE)), ticks=1).collect().to_dicts()
    assert (bar["open"], bar["volume"], bar["trades"], bar["vwap"]) == (7, 0, 1, None)


def test_fills_are_in_no_bar() -> None:
    rows = [trade(10, 2), trade(10, 2, action=Action.FILL)]
    assert ohlcv_rows(*rows) == [(0, 100, 10, 10, 10, 10, 2)]


def test_the_trade_that_closes_a_volume_bar_is_whole_in_it() -> None:
    rows = [trade(1, 6), trade(2, 6), trade(3, 25), trade(4, 10), trade(5, 9)]
    frame = bars_source(lazy(*rows), volume=10).collect()
    assert frame["volume"].to_list() == [12, 25, 10]
    assert frame["open"].to_list() == [1, 3, 4]


def test_bars_of_several_books_do_not_mix() -> None:
    other = (1, 101)
    rows = [trade(1), trade(5, key=other), trade(2), trade(6, key=other), trade(3)]
    frame = bars_source(lazy(*rows), ticks=2).collect()
    assert frame.select("instrument_id", "open", "close").rows() == [(100, 1, 2), (101, 5, 6)]


def test_the_last_bar_is_given_only_if_it_is_asked_for() -> None:
    rows = [trade(1), trade(2), trade(3), trade(9, key=(1, 1))]
    whole = bars_source(lazy(*rows), ticks=2).collect()
    assert whole["open"].to_list() == [1]
    all_bars = bars_source(lazy(*rows), ticks=2, partial=True).collect()
    assert all_bars.select("instrument_id", "open", "trades").rows() == [
        (100, 1, 2),
        (1, 9, 1),
        (100, 3, 1),
    ]


# ---------------------------------------------------------------------- extremes


@pytest.mark.parametrize("price", [PRICE_MAX, -(2**63), -1, 1, 2**32, -(2**32), 2**32 - 1])
def test_dollars_are_exact_at_the_extremes(price: int) -> None:
    rows = [trade(price, SIZE_MAX)] * 1_000 + [trade(-7, 3)]
    frame = bars_source(lazy(*rows), dollar=2**126, partial=True).collect()
    assert frame["dollar"].to_list() == [price * SIZE_MAX * 1_000 - 21]
    assert frame["volume"].to_list() == [SIZE_MAX * 1_000 + 3]


@pytest.mark.parametrize("goal", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**90])
def test_a_dollar_bar_closes_exactly_where_its_sum_is_reached(goal: int) -> None:
    # Two trades that are short by one, and one that adds the rest.
    size = min(goal - 1, SIZE_MAX)
    price, rest = divmod(goal - 1, size)
    rows = [trade(price, size), trade(rest, 1), trade(1, 1), trade(1, 1)]
    frame = bars_source(lazy(*rows), dollar=goal).collect()
    assert frame.select("trades", "dollar").rows() == [(3, goal)]


def test_negative_prices_take_away_from_a_dollar_bar() -> None:
    rows = [trade(5, 2), trade(-3, 2), trade(6, 1), trade(1, 1)]
    frame = bars_source(lazy(*rows), dollar=10).collect()
    assert frame["trades"].to_list() == [1]
    assert bars_source(lazy(*rows[1:]), dollar=1).collect()["trades"].to_list() == [3]


def test_an_amount_in_text_is_in_whole_units() -> None:
    rows = [trade(S, 1), trade(S // 2, 1), trade(S, 1)]
    in_text = bars_source(lazy(*rows), dollar="1.5").collect()
    assert in_text["trades"].to_list() == [2]
    assert_frame_equal(in_text, bars_source(lazy(*rows), dollar=3 * S // 2).collect())


# ---------------------------------------------------------------------- as a source


@pytest.fixture
def batch() -> MboBatch:
    return lively(8, 2_000)


@by_bars
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_the_schema_is_true(batch: MboBatch, given: Given, engine: str) -> None:
    result = bars_source(cut(batch, 100), **given)
    assert result.collect_schema() == BARS_SCHEMA
    assert result.collect(engine=engine).schema == BARS_SCHEMA  # type: ignore[call-overload]


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_the_schema_of_intervals_is_true(batch: MboBatch, engine: str) -> None:
    result = find_schema("ohlcv-1s").rows(cut(batch, 100))
    assert result.collect_schema() == OHLCV_SCHEMA
    assert result.collect(engine=engine).schema == OHLCV_SCHEMA  # type: ignore[call-overload]


@by_bars
def test_columns_predicates_and_row_limits_are_pushed_down(batch: MboBatch, given: Given) -> None:
    result = bars_source(cut(batch, 100), **given)
    whole = result.collect()
    assert "PROJECT 2/15" in result.select("volume", "close").explain()
    assert_frame_equal(result.select("volume", "close").collect(), whole.select("volume", "close"))
    for predicate in (pl.col("volume") % 2 == 0, pl.col("instrument_id") == 100):
        assert "SELECTION:" in result.filter(predicate).explain()
        assert_frame_equal(result.filter(predicate).collect(), whole.filter(predicate))
    for rows in (0, 1, 3):
        assert_frame_equal(result.head(rows).collect(), whole.head(rows))
        limited = result.head(rows).filter(pl.col("close") > 0)
        assert_frame_equal(limited.collect(), whole.head(rows).filter(pl.col("close") > 0))


def test_leaving_books_out_of_the_rows_leaves_the_others_as_they_are() -> None:
    # Only the record of the other book has a later time.
    rows = [trade(1, at_ns=0), trade(2, at_ns=5 * S, key=(9, 9)), trade(3, at_ns=1)]
    bars_of_one = find_schema("ohlcv-1s").rows(lazy(*rows)).filter(pl.col("instrument_id") == 100)
    assert bars_of_one.collect()["open"].to_list() == [1, 3]


@by_bars
def test_an_empty_stream_has_no_bars(given: Given) -> None:
    assert bars_source(lazy(), **given, partial=True).collect().is_empty()


def test_a_source_may_be_collected_again(batch: MboBatch) -> None:
    result = bars_source(cut(batch, 100), volume=9)
    assert_frame_equal(result.collect(), result.collect())


def test_columns_that_bars_are_not_made_of_may_be_missing(batch: MboBatch) -> None:
    frame = to_frame(batch).drop("order_id", "sequence", "ts_event", "channel_id", "ts_in_delta")
    expected = bars_source(to_frame(batch).lazy(), ticks=3).collect()
    assert_frame_equal(bars_source(frame.lazy(), ticks=3).collect(), expected)


def test_bars_can_be_written_and_read_elsewhere(batch: MboBatch, tmp_path: Path) -> None:
    frame = bars_source(to_frame(batch).lazy(), ticks=3).collect()
    frame.write_parquet(tmp_path / "bars.parquet")
    found = pq.read_table(tmp_path / "bars.parquet")
    assert found["dollar"].to_pylist() == frame["dollar"].to_list()


# ---------------------------------------------------------------------- refused arguments


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "bars by none, expected one of time, ticks, volume, dollar and session"),
        ({"ticks": 1, "volume": 1}, "bars by ticks and volume, expected one of time"),
        ({"time": "1x"}, "not a duration: '1x'"),
        ({"time": "0s"}, "not a duration: '0s'"),
        ({"time": "999999999d"}, "bars of 86399999913600000000000 ns: expected 1 or more"),
        ({"ticks": 0}, "bars of 0 trades: expected 1 or more, and less than 2"),
        ({"ticks": 2**63}, "bars of 9223372036854775808 trades: expected 1 or more"),
        ({"volume": -1}, "bars of volume -1: expected 1 or more"),
        ({"dollar": 0}, "bars of 0 dollars of 1e-9: expected 1 or more"),
        ({"dollar": 2**127}, "expected 1 or more, and less than 2.127"),
        ({"dollar": "1e6"}, "not an amount: '1e6'"),
        ({"dollar": "-5"}, "not an amount: '-5'"),
        ({"dollar": "0.0000000001"}, "not an amount"),
    ],
)
def test_what_is_no_length_is_refused_in_one_line(given: Given, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        bars_source(lazy(), **given)
    assert "\n" not in str(refused.value)


def test_other_schemas_are_refused() -> None:
    with pytest.raises(UsageError, match="not a duration: 'noon'"):
        find_schema("ohlcv-noon").rows(lazy())


def test_a_wrong_frame_is_refused_at_once(batch: MboBatch) -> None:
    frame = to_frame(batch).lazy()
    with pytest.raises(UsageError, match="column flags is missing"):
        bars_source(frame.drop("flags"), ticks=1)
    with pytest.raises(UsageError, match="column price is Float64"):
        find_schema("ohlcv-1s").rows(frame.with_columns(pl.col("price").cast(pl.Float64)))


def test_nulls_that_mean_nothing_are_refused(batch: MboBatch) -> None:
    frame = to_frame(batch).lazy().with_columns(side=pl.lit(None, to_frame(batch).schema["side"]))
    with pytest.raises(UsageError, match=r"column side holds .* nulls, which mean nothing"):
        bars_source(frame, ticks=1).collect()
