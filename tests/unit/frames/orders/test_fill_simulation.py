"""Hypothetical orders: when they would have been filled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.orders.fill_result import FILLS_SCHEMA, FillResult
from batonics.frames.orders.fill_simulation import (
    TICK_PRICES_MIN,
    is_off_tick,
    simulate_fill,
    would_fill,
)
from batonics.frames.orders.order_lives import orders_source
from batonics.frames.scan.mbo_scan import StreamFacts, scan_batches
from batonics.model.book_changes import BookChange, BookChanges, TradingStatus
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    DayStart,
    MboBatch,
    slice_batch,
    take_batch,
)
from tests.support.fill_checks import check_fill_simulation, fills_of, of_book, scan, summary
from tests.support.reference_books import Key, Record, records
from tests.support.reference_fills import ReferenceFill
from tests.support.streams import START_NS, TICK_1E9, batch_of, in_time, random_stream
from tests.support.sweep import sample

BOOK = (1, 100)
LAST, TOB, SNAPSHOT = 128, 64, 32
STEP_NS = 1_000


# ---------------------------------------------------------------------- against the reference


@pytest.mark.sweep
@pytest.mark.parametrize("seed", sample(range(30), share=0.3))
def test_a_random_order_fares_as_the_reference_does(seed: int) -> None:
    check_fill_simulation(seed)


@pytest.mark.parametrize("day", ["clx5", "esh4"])
def test_an_order_on_a_real_day_fares_as_the_reference_does(
    day: str, request: pytest.FixtureRequest
) -> None:
    batch = slice_batch(request.getfixturevalue(day), 0, 6_000)
    stream = list(records(batch))
    key = (stream[0].publisher_id, stream[0].instrument_id)
    births = [row for row in stream[1_000:4_000] if row.action == ord("A")][::300]
    for row in births:
        reference = ReferenceFill(key, row.side, row.price, 3 * row.size, row.ts_recv)
        reference.run(of_book(batch, key))
        side = chr(row.side)
        one_book = {"publisher_id": key[0], "instrument_id": key[1]}
        result = would_fill(scan(batch), side, row.price, 3 * row.size, row.ts_recv, **one_book)
        assert summary(result) == summary(reference)
        assert fills_of(result) == reference.fills


def test_who_stands_right_ahead_of_a_real_order_is_filled_no_later_than_it(clx5: MboBatch) -> None:
    lives = orders_source(scan(clx5)).filter(
        pl.col("end").cast(str) == "filled",
        pl.col("modifies") == 0,
        ~pl.col("left_censored"),
        pl.col("ahead_orders") > 0,
        pl.col("cancelled") == 0,
    )
    # Some fill as the aggressor, by a modify that the feed shows as a trade at another price alone.
    own_price = to_frame(clx5).filter(pl.col("action") == "F").group_by("order_id")
    passive = own_price.agg(pl.col("price").max(), pl.col("price").min().alias("least")).lazy()
    lives = lives.join(passive, on="order_id").filter(
        pl.col("price") == pl.col("price_start"), pl.col("least") == pl.col("price_start")
    )
    checked = 0
    for life in lives.sort("ts_recv_start", "order_id").collect().gather_every(40).rows(named=True):
        born = np.flatnonzero((clx5.order_id == life["order_id"]) & (clx5.action == ord("A")))[0]
        at_ns = int(clx5.ts_recv[born - 1])
        if clx5.ts_recv[born] == at_ns or not clx5.flags[born - 1] & LAST:
            continue
        checked += 1
        price, size = life["price_start"], life["size_start"]
        result = would_fill(scan(clx5), life["side"], price, size, at_ns)
        assert result.marketable == 0
        assert (result.ahead_orders, result.ahead_size) == (
            life["ahead_orders"],
            life["ahead_size"],
        )
        assert result.end == "filled"
        assert result.fills["ts_recv"].max() <= life["ts_recv_end"]
    assert checked > 5


# ---------------------------------------------------------------------- by hand


def rec(
    action: str,
    order_id: int,
    price: int = 10,
    size: int = 5,
    *,
    side: str = "B",
    flags: int = LAST,
    key: Key = BOOK,
) -> Record:
    side_code = ord("N") if action == "R" else ord(side)
    return Record(STEP_NS, 0, *key, ord(action), side_code, price, size, 0, order_id, flags, 0, 0)


def run(
    *rows: Record, side: str = "B", price: int = 10, size: int = 4, after: int = 2
) -> FillResult:
    """An order that enters right after the first so many records."""
    at_ns = START_NS + after * STEP_NS
    return would_fill(scan(batch_of(in_time(rows))), side, price, size, at_ns)


TWO = (rec("A", 1, 10, 5), rec("A", 2, 10, 3))
"""Two bids at 10: 8 in all."""


def traded(order_id: int, size: int, *, price: int = 10) -> tuple[Record, ...]:
    """A sell that trades with a resting bid, and the removal of it."""
    return (
        rec("T", 0, price, size, side="A", flags=0),
        rec("F", order_id, price, size, flags=0),
        rec("C", order_id, price, size),
    )


def test_an_order_waits_behind_those_that_were_there() -> None:
    result = run(*TWO, *traded(1, 5), *traded(2, 2))
    assert (result.ahead_orders, result.ahead_size) == (2, 8)
    assert (result.ahead_filled, result.ahead_cancelled, result.ahead_left) == (7, 0, 1)
    assert (result.filled, result.end) == (0, "open")


def test_trades_that_reach_it_fill_it_in_parts() -> None:
    rows = (*TWO, rec("A", 3, 10, 9), *traded(1, 5), *traded(2, 3), *traded(3, 1), *traded(3, 7))
    result = run(*rows)
    assert (result.filled, result.end, result.ahead_left) == (4, "filled", 0)
    assert [(fill[2:]) for fill in fills_of(result)] == [(10, 1, "queue"), (10, 3, "queue")]
    stamps = in_time(rows)
    assert result.fills["ts_recv"].to_physical().to_list() == [
        stamps[10].ts_recv,
        stamps[13].ts_recv,
    ]


def test_cancels_ahead_move_it_up_and_those_behind_do_not() -> None:
    result = run(*TWO, rec("A", 3), rec("C", 3), rec("C", 1, 10, 2), rec("M", 2, 10, 1))
    assert (result.ahead_filled, result.ahead_cancelled, result.ahead_left) == (0, 4, 4)


def test_an_order_ahead_that_grows_or_moves_is_behind_from_then_on() -> None:
    result = run(*TWO, rec("M", 1, 10, 6), rec("M", 2, 20, 3), rec("M", 2, 10, 3), *traded(1, 1))
    assert (result.ahead_cancelled, result.ahead_left) == (8, 0)
    assert (result.filled, result.end) == (1, "open")


def test_a_trade_through_its_price_fills_it() -> None:
    result = run(*TWO, rec("A", 3, 9, 6), rec("C", 1), rec("C", 2), *traded(3, 6, price=9))
    assert [(fill[2:]) for fill in fills_of(result)] == [(10, 4, "through")]


def test_a_better_price_than_any_is_the_first_to_be_filled() -> None:
    result = run(*TWO, *traded(1, 3), price=11)
    assert (result.ahead_orders, result.filled, result.end) == (0, 3, "open")
    worse = run(*TWO, *traded(1, 3), price=9)
    assert worse.filled == 0


def test_what_an_iceberg_hides_stood_behind() -> None:
    result = run(*TWO, *traded(1, 7))
    assert (result.ahead_filled, result.filled) == (5, 2)


def test_an_icebergs_refill_is_behind_even_at_the_size_it_had() -> None:
    trade = (rec("T", 0, 100, 2, flags=0), rec("F", 5, 100, 2, side="A", flags=0))
    rows = (
        rec("R", 0, UNDEF_PRICE, 0),
        rec("A", 5, 100, 2, side="A"),
        rec("A", 6, 90, 5),
        *trade,
        rec("M", 5, 100, 2, side="A"),
        *trade,
        rec("C", 5, 100, 2, side="A"),
    )
    result = run(*rows, side="A", price=100, size=1, after=3)
    assert (result.filled, result.end) == (1, "filled")
    assert (result.ahead_filled, result.ahead_cancelled) == (2, 0)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_cumulative_goes_back(seed: int) -> None:
    batch = random_stream(seed, 1_200, books=1, tob_books=0, clear_share=0, snapshot_share=0)
    at_ns, order = int(batch.ts_recv[300]), ("BA"[seed % 2], TICK_1E9 * (seed % 3), 1_000)
    before = (0, 0, 0)
    for rows in range(320, 1_200, 40):
        result = would_fill(scan(slice_batch(batch, 0, rows)), *order, at_ns)
        now = (result.ahead_filled, result.ahead_cancelled, result.filled)
        assert all(less <= more for less, more in zip(before, now, strict=True))
        assert result.ahead_left >= 0
        before = now


def test_an_aggressor_of_its_own_side_does_not_fill_it() -> None:
    aggressive = (
        rec("T", 3, 12, 2, flags=0),
        rec("F", 3, 12, 2, flags=0),
        rec("C", 3, 8, 2),
    )
    assert run(*TWO, rec("A", 3, 8, 2), *aggressive).filled == 0


def test_what_crosses_takes_the_displayed_levels_and_the_rest_joins_its_own() -> None:
    asks = (rec("A", 1, 9, 2, side="A"), rec("A", 2, 10, 1, side="A"), rec("A", 3, 11, 7, side="A"))
    result = run(*asks, rec("A", 4, 10, 6), after=4)
    assert (result.marketable, result.ahead_size, result.end) == (3, 6, "open")
    assert [fill[2:] for fill in fills_of(result)] == [(9, 2, "marketable"), (10, 1, "marketable")]
    assert result.fills["ts_recv"].to_physical().to_list() == [result.at_ns] * 2
    whole = run(*asks, rec("A", 4, 10, 6), after=4, size=3)
    assert (whole.filled, whole.ahead_size, whole.end) == (3, 0, "filled")


def test_a_sell_is_the_mirror_of_a_buy() -> None:
    rows = (
        rec("A", 1, 10, 5, side="A"),
        rec("A", 2, 12, 3, side="A"),
        rec("F", 1, 10, 5, flags=0),
        rec("C", 1, 10, 5),
        rec("F", 2, 12, 3, flags=0),
        rec("C", 2, 12, 3),
    )
    result = run(*rows, side="A", price=11)
    assert [fill[2:] for fill in fills_of(result)] == [(11, 3, "through")]


def test_an_order_enters_after_a_whole_event_only() -> None:
    rows = (rec("A", 1), rec("A", 2, flags=0), rec("A", 3))
    assert run(*rows, after=1).ahead_orders == 1
    assert run(*rows, after=2).ahead_orders == 1
    assert run(*rows, after=3).ahead_orders == 3


@pytest.mark.parametrize(
    "clear",
    [
        rec("R", 0, UNDEF_PRICE, 0),
        rec("A", 9, flags=SNAPSHOT),
        rec("A", 9, flags=TOB | LAST),
    ],
    ids=["clear", "snapshot", "top-of-book"],
)
def test_a_clear_ends_it(clear: Record) -> None:
    result = run(*TWO, *traded(1, 1), clear, rec("A", 3), *traded(3, 5))
    assert (result.end, result.filled, result.ahead_filled) == ("cleared", 0, 1)


def test_a_top_of_book_record_that_changes_nothing_does_not_end_it() -> None:
    faulty = rec("A", 9, 10, UNDEF_ORDER_SIZE, flags=TOB | LAST)
    assert run(*TWO, faulty, rec("A", 3), *traded(3, 2)).filled == 2


def test_an_unnamed_aggressor_is_not_the_order_of_id_0() -> None:
    assert run(*TWO, rec("A", 0), *traded(0, 2)).filled == 2


def test_a_clear_of_the_other_side_does_not() -> None:
    other = rec("A", 9, 20, side="A", flags=TOB | LAST)
    assert run(*TWO, other, rec("A", 3), *traded(3, 2)).filled == 2


def test_nothing_is_read_after_its_end() -> None:
    rows = batch_of(in_time([*TWO, *traded(1, 5), *traded(2, 3)]))

    def batches() -> Iterator[MboBatch]:
        yield rows
        raise AssertionError("read on")

    asks = would_fill(scan_batches(batches), "A", 10, 2, START_NS + 2 * STEP_NS)
    assert (asks.end, asks.marketable) == ("filled", 2)


def test_a_result_has_fills_of_the_schema_and_its_book() -> None:
    result = run(*TWO)
    assert result.fills.schema == FILLS_SCHEMA
    assert result.fills.is_empty()
    assert (result.publisher_id, result.instrument_id) == BOOK
    assert asdict(result)["price"] == 10


# ---------------------------------------------------------------------- what cannot be


def test_several_books_must_be_told_apart() -> None:
    batch = batch_of(in_time([rec("A", 1), rec("A", 1, key=(2, 100))]))
    with pytest.raises(UsageError, match=r"several books match .*1/100, 2/100"):
        would_fill(scan(batch), "B", 10, 1, START_NS + 2_000)
    assert would_fill(scan(batch), "B", 10, 1, START_NS + 2_000, publisher_id=2).ahead_orders == 1
    with pytest.raises(UsageError, match="no records of such a book"):
        would_fill(scan(batch), "B", 10, 1, START_NS + 2_000, instrument_id=5)


def test_before_the_first_whole_event_there_is_no_book_to_enter() -> None:
    with pytest.raises(UsageError, match="no event of the book is complete at 2025-09-24"):
        run(rec("A", 1, flags=0), rec("A", 2), after=1)


# ---------------------------------------------------------------------- what the data can show


def test_after_the_last_record_there_is_no_market_to_enter() -> None:
    assert run(*TWO, after=2).end == "open"
    with pytest.raises(UsageError, match="is after the last record: nothing shows what would"):
        would_fill(scan(batch_of(in_time(TWO))), "B", 10, 4, START_NS + 2 * STEP_NS + 1)


def test_records_of_other_books_show_that_the_stream_goes_on() -> None:
    rows = batch_of(in_time([*TWO, rec("A", 1, key=(2, 100))]))
    result = would_fill(scan(rows), "B", 10, 4, START_NS + 3 * STEP_NS, publisher_id=1)
    assert result.data == (START_NS + STEP_NS, START_NS + 3 * STEP_NS)


def test_an_open_order_was_watched_until_the_last_record() -> None:
    result = run(*TWO, *traded(1, 5), after=2)
    assert (result.end, result.filled) == ("open", 0)
    assert result.data == (START_NS + STEP_NS, START_NS + 5 * STEP_NS)


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_the_data_of_an_order_that_has_ended_is_what_came_before_its_end(rows: int) -> None:
    stream = [*TWO, *traded(1, 5), *traded(2, 3), rec("A", 3), rec("F", 3, flags=0), rec("A", 4)]
    result = would_fill(scan(batch_of(in_time(stream)), rows), "B", 10, 4, START_NS + 2 * STEP_NS)
    assert (result.end, result.data.until_ns) == ("filled", START_NS + 10 * STEP_NS)
    cleared = [*TWO, rec("R", 0), rec("A", 3), rec("A", 4)]
    result = would_fill(scan(batch_of(in_time(cleared)), rows), "B", 10, 4, START_NS + 2 * STEP_NS)
    assert (result.end, result.data.until_ns) == ("cleared", START_NS + 3 * STEP_NS)


BAD_BOOK = 4


@pytest.mark.parametrize(
    ("stream", "warnings"),
    [
        ([rec("R", 0), rec("A", 1), rec("A", 2)], ()),
        ([*TWO, rec("A", 3)], ("cold",)),
        ([rec("R", 0), rec("A", 1, flags=LAST | BAD_BOOK), rec("A", 3)], ("stale",)),
        ([rec("R", 0), rec("A", 1), rec("A", 3, flags=LAST | BAD_BOOK)], ("stale",)),
        ([rec("R", 0), rec("A", 1, 20), rec("A", 2, 30, flags=LAST | BAD_BOOK)], ("stale",)),
        ([rec("A", 1), rec("A", 2, 9, side="A"), rec("A", 3)], ("cold", "crossed")),
    ],
    ids=["synced", "cold", "stale-before", "stale-after", "stale-elsewhere", "crossed"],
)
def test_a_doubtful_book_is_a_warning(stream: list[Record], warnings: tuple[str, ...]) -> None:
    assert run(*stream, price=8).warnings == warnings


def test_what_happens_after_the_end_is_no_warning() -> None:
    first = (rec("R", 0), rec("A", 1), *traded(1, 5))
    stream = [*first, rec("A", 2), rec("F", 2, flags=0), rec("C", 2, flags=LAST | BAD_BOOK)]
    assert run(*stream, size=5).end == "filled"
    assert run(*stream, size=5).warnings == ()


NEXT_DAY_NS = 86_400 * 10**9


def later(*rows: Record) -> MboBatch:
    """Records of the next day."""
    batch = batch_of(in_time(list(rows)))
    return batch._replace(ts_recv=batch.ts_recv + np.uint64(NEXT_DAY_NS))


def next_day(*rows: Record) -> DayStart:
    """The first batch of the next day's file."""
    return DayStart._make(later(*rows))


OF_ANOTHER_BOOK = rec("A", 9, key=(2, 100))
DAY_ONE = [rec("R", 0), rec("A", 1)]


@pytest.mark.parametrize(
    ("days", "at_ns", "warnings"),
    [
        ([next_day(rec("A", 2), rec("A", 3))], 0, ("cold",)),
        ([next_day(rec("R", 0), rec("A", 3))], 0, ()),
        ([next_day(rec("A", 1, flags=SNAPSHOT), rec("A", 3, flags=LAST | SNAPSHOT))], 0, ()),
        ([next_day(OF_ANOTHER_BOOK)], 0, ()),
        ([next_day(OF_ANOTHER_BOOK), later(rec("A", 2))], 0, ("cold",)),
        ([next_day(OF_ANOTHER_BOOK), later(rec("R", 0))], 0, ()),
        ([next_day(*[OF_ANOTHER_BOOK] * 3)], NEXT_DAY_NS, ("cold",)),
        ([next_day(rec("R", 0), rec("A", 3))], NEXT_DAY_NS, ()),
        ([next_day(rec("A", 3), rec("A", 4))], NEXT_DAY_NS, ("cold",)),
    ],
    ids=[
        *("cold", "clear", "snapshot", "other-book", "other-book-then-cold"),
        *("other-book-then-clear", "enters-cold", "enters-synced", "enters-mid-session"),
    ],
)
def test_a_later_day_makes_the_book_cold_unless_it_opens_it(
    days: list[MboBatch], at_ns: int, warnings: tuple[str, ...]
) -> None:
    def select(batch: MboBatch) -> list[MboBatch]:
        return [take_batch(batch, batch.publisher_id == 1)]

    first = batch_of(in_time(DAY_ONE))
    order = "B", 8, 4, START_NS + at_ns + 2 * STEP_NS
    assert simulate_fill([first, *days], *order, select=select).warnings == warnings


@pytest.mark.parametrize("is_open", [True, False])
def test_a_market_that_does_not_trade_is_a_warning_or_fills_nothing(is_open: bool) -> None:
    rows = batch_of(in_time([rec("R", 0), rec("A", 1), rec("A", 2, side="A", price=11)]))
    changes = BookChanges()
    status = TradingStatus.TRADING if is_open else TradingStatus.HALT
    changes.add(BookChange(START_NS, 1, 100, status))
    records = scan_batches(lambda: iter([rows]), facts=StreamFacts(statuses=lambda: changes))
    order = 4, START_NS + 3 * STEP_NS
    resting = would_fill(records, "B", 10, *order)
    assert resting.warnings == (() if is_open else ("closed",))
    if is_open:
        assert would_fill(records, "B", 11, *order).marketable == 4
        return
    with pytest.raises(UsageError, match=r"does not trade at .* \(its status is halt\)"):
        would_fill(records, "B", 11, *order)


@pytest.mark.parametrize(
    ("words", "side"), [(("B", "buy", "bid", "Buy"), "B"), (("A", "sell", "ask", "a"), "A")]
)
def test_a_side_has_several_words(words: tuple[str, ...], side: str) -> None:
    records = scan(batch_of(in_time(TWO)))
    for word in words:
        assert would_fill(records, word, 10, 1, START_NS + 2 * STEP_NS).side == side


def test_a_price_off_the_tick_of_the_book_is_a_warning() -> None:
    prices = np.array([-100, 50, *range(1_000, 1_000 + 25 * TICK_PRICES_MIN, 25)], np.int64)
    assert not is_off_tick(1_075, prices)
    assert is_off_tick(1_080, prices)
    assert is_off_tick(-2_001, prices)
    assert not is_off_tick(1_080, prices[-TICK_PRICES_MIN + 1 :])  # too few show no tick
    extremes = np.array([-(2**63), 2**63 - 2, *range(0, 20, 2)], np.int64)
    assert (is_off_tick(4, extremes), is_off_tick(5, extremes)) == (False, True)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (("X", 10, 1, 5), "side 'X', expected buy, bid or B, or sell, ask or A"),
        (("B", 10, 0, 5), "size 0, expected 1 or more"),
        (("B", UNDEF_PRICE, 1, 5), "does not fit an int64"),
        (("B", 10, 1, -1), "outside the range"),
    ],
    ids=["side", "size", "price", "time"],
)
def test_an_order_that_cannot_be_is_refused(order: tuple[str, int, int, int], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        would_fill(scan(batch_of(in_time(TWO))), *order)


def test_a_frame_that_is_no_mbo_is_refused() -> None:
    frame = to_frame(batch_of(in_time(TWO))).lazy().drop("flags")
    with pytest.raises(UsageError, match="column flags is missing"):
        would_fill(frame, "B", 10, 1, START_NS)
