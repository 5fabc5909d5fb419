"""Lives of orders, and places in queues."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.books import ORDERS_SCHEMA
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.namespace import MboNamespace
from batonics.frames.orders.order_lives import QUEUE_SCHEMA, orders_source, queue_source
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, MboBatch, slice_batch
from tests.support.order_checks import (
    as_rows,
    check_deep_order_lives,
    check_fill_order,
    check_order_lives,
    check_queue_positions,
    comparable,
    cut,
    fill_order,
    lives,
    positions,
)
from tests.support.reference_books import Key, Record, records
from tests.support.reference_orders import (
    reference_fill_order,
    reference_lives,
    reference_positions,
)
from tests.support.streams import KEYS, batch_of, in_time, random_stream

BOOK = (1, 100)
LAST, TOB, SNAPSHOT, MBP = 128, 64, 32, 16


def a(
    order_id: int,
    price: int = 10,
    size: int = 5,
    *,
    action: str = "A",
    side: str = "B",
    flags: int = LAST,
    key: Key = BOOK,
) -> Record:
    """A record, an A unless it says otherwise."""
    code, side_code = ord(action), ord(side)
    return Record(1_000, 0, *key, code, side_code, price, size, 0, order_id, flags, 0, 0)


def c(order_id: int, size: int = 5, *, flags: int = LAST, key: Key = BOOK) -> Record:
    return a(order_id, 10, size, action="C", flags=flags, key=key)


def m(order_id: int, price: int = 10, size: int = 5, *, side: str = "B") -> Record:
    return a(order_id, price, size, action="M", side=side)


def f(order_id: int, size: int = 5, *, flags: int = 0) -> Record:
    return a(order_id, 10, size, action="F", flags=flags)


def r(*, flags: int = LAST, key: Key = BOOK) -> Record:
    return a(0, UNDEF_PRICE, 0, action="R", side="N", flags=flags, key=key)


def made(*rows: Record) -> pl.DataFrame:
    """The lives of a few records."""
    return lives(batch_of(in_time(rows)))


def only(frame: pl.DataFrame, *columns: str) -> tuple[object, ...]:
    """The only life there is, of some columns."""
    assert frame.height == 1
    return frame.select(columns).row(0)


# ---------------------------------------------------------------------- against the reference


@pytest.mark.parametrize("seed", range(24))
def test_lives_are_those_of_the_reference(seed: int) -> None:
    check_order_lives(seed)


@pytest.mark.parametrize("seed", range(4))
def test_lives_in_deep_queues_are_those_of_the_reference(seed: int) -> None:
    check_deep_order_lives(seed)


@pytest.mark.parametrize("seed", range(12))
def test_positions_are_those_of_the_reference(seed: int) -> None:
    check_queue_positions(seed)


@pytest.mark.parametrize("seed", range(4))
def test_fills_out_of_order_are_those_of_the_reference(seed: int) -> None:
    check_fill_order(seed)


@pytest.mark.parametrize(("day", "counts"), [("clx5", (1_061, 30)), ("esh4", (3_260, 41))])
def test_fills_of_a_real_day_seldom_go_against_their_queue(
    day: str, counts: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    batch = request.getfixturevalue(day)
    assert list(fill_order(batch, 10_000).values()) == [counts]
    assert list(reference_fill_order(records(batch)).values()) == [counts]


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_batches_sizes_show_nowhere(seed: int, rows: int) -> None:
    batch = random_stream(seed, 300 if rows == 1 else 1_200)
    assert_frame_equal(lives(batch, rows), lives(batch))
    order_id = int(batch.order_id[0])
    assert_frame_equal(positions(batch, order_id, rows), positions(batch, order_id))


@pytest.mark.parametrize("rows", [64, 1_000])
def test_tables_grow_without_a_trace(rows: int) -> None:
    batch = random_stream(5, 30_000, ids=6_000, ticks=900, clear_share=0, snapshot_share=0)
    assert_frame_equal(lives(batch, rows), lives(batch))


@pytest.mark.parametrize("day", ["clx5", "esh4", "dbeq"])
def test_lives_of_a_real_day_are_those_of_the_reference(
    day: str, request: pytest.FixtureRequest
) -> None:
    batch = request.getfixturevalue(day)
    found = lives(batch)
    assert comparable(as_rows(found)) == comparable(reference_lives(records(batch)))
    for rows in (777, 10_000):
        assert_frame_equal(lives(batch, rows), found)


def test_positions_of_a_real_order_are_those_of_the_reference(clx5: MboBatch) -> None:
    batch = slice_batch(clx5, 0, 8_000)
    busy = lives(batch).sort("ahead_orders", "modifies", "filled").tail(3)
    for order_id in busy["order_id"].to_list():
        expected = list(reference_positions(records(batch), order_id))
        assert len(expected) > 2
        assert as_rows(positions(batch, order_id)) == expected


# ---------------------------------------------------------------------- what always holds


@pytest.mark.parametrize("seed", range(6))
def test_what_was_added_was_filled_or_cancelled_or_is_left(seed: int) -> None:
    found = lives(random_stream(seed, 3_000))
    sums = pl.col("filled") + pl.col("cancelled") + pl.col("left")
    assert found.filter(sums != pl.col("added")).is_empty()
    gone = pl.col("end").cast(str).is_in(["filled", "cancelled"])
    assert found.filter(gone, pl.col("left") != 0).is_empty()


@pytest.mark.parametrize("day", ["clx5", "esh4"])
def test_a_real_day_adds_up(day: str, request: pytest.FixtureRequest) -> None:
    batch: MboBatch = request.getfixturevalue(day)
    found = lives(batch)
    sums = pl.col("filled") + pl.col("cancelled") + pl.col("left")
    assert found.filter(sums != pl.col("added")).is_empty()
    frame = to_frame(batch)
    known = frame.filter(pl.col("action") == "F").join(found, on="order_id", how="semi")
    # A fill may come before the M of an id that is unknown until then.
    fills, filled = int(known["size"].sum()), int(found["filled"].sum())
    assert 9 * fills < 10 * filled <= 10 * fills
    assert found.filter(pl.col("ts_first_fill").is_null() != (pl.col("filled") == 0)).is_empty()


def test_those_alive_are_the_books_orders(esh4: MboBatch) -> None:
    from batonics.book.engine import BookEngine

    engine = BookEngine()
    engine.fold(esh4)
    alive = lives(esh4).filter(pl.col("end") == "alive").sort("order_id")
    orders = engine.orders()
    by = np.argsort(orders.order_id)
    assert alive["order_id"].to_list() == orders.order_id[by].tolist()
    assert alive["price_end"].to_list() == orders.price[by].tolist()
    assert alive["left"].to_list() == orders.size[by].tolist()


# ---------------------------------------------------------------------- by hand


def test_a_fill_and_the_removal_of_it_are_one() -> None:
    found = made(a(7), f(7, 5), c(7, 5))
    assert only(found, "added", "filled", "cancelled", "left", "end") == (5, 5, 0, 0, "filled")
    assert only(found, "left_censored", "right_censored") == (False, False)


def test_what_is_cancelled_after_a_fill_is_no_fill() -> None:
    found = made(a(7), f(7, 2), m(7, 10, 3), c(7, 3))
    assert only(found, "added", "filled", "cancelled", "end") == (5, 2, 3, "cancelled")
    assert only(found, "modifies", "requeues") == (1, 0)


def test_a_fill_may_be_removed_an_event_later() -> None:
    found = made(a(7), f(7, 2, flags=LAST), c(7, 2), f(7, 3, flags=LAST), c(7, 3))
    assert only(found, "filled", "cancelled", "end") == (5, 0, "filled")


def test_an_icebergs_refill_is_added() -> None:
    found = made(a(7), f(7, 5), m(7, 10, 5), f(7, 5), m(7, 10, 8), c(7, 8))
    assert only(found, "added", "filled", "cancelled") == (18, 10, 8)
    assert only(found, "modifies", "requeues") == (2, 2)


def test_an_icebergs_refill_goes_to_the_back() -> None:
    refill = [a(7), a(1, 10, 3), f(7, 5), m(7, 10, 5)]
    row = positions(batch_of(in_time(refill)), 7).row(-1, named=True)
    assert (row["ahead_orders"], row["ahead_size"], row["size"]) == (1, 3, 5)
    rest = positions(batch_of(in_time([*refill[:2], f(7, 2), m(7, 10, 3)])), 7).row(-1, named=True)
    assert (rest["ahead_orders"], rest["behind_size"], rest["size"]) == (0, 3, 3)


def test_what_is_filled_beyond_what_an_order_showed_was_added_unseen() -> None:
    found = made(a(7), f(7, 9), c(7, 5))
    assert only(found, "size_start", "added", "filled", "cancelled") == (5, 9, 9, 0)
    assert only(found, "end") == ("filled",)


def test_a_fill_without_its_removal_is_not_left() -> None:
    found = made(a(7), f(7, 2))
    assert only(found, "filled", "left", "end") == (2, 3, "alive")


def test_fills_of_unknown_orders_and_of_no_size_are_ignored() -> None:
    found = made(f(7, 2), a(7), f(7, UNDEF_ORDER_SIZE), f(7, 1, flags=MBP), f(7, 1, flags=TOB))
    assert only(found, "filled", "ts_first_fill", "fill_ahead_size") == (0, None, None)


def test_what_is_ahead_is_counted_at_entry_and_at_the_first_fill() -> None:
    found = made(a(1), a(2, 10, 3), a(3, 20), a(7, 10, 4), c(1, 5), f(7, 1), f(7, 1))
    found = found.filter(pl.col("order_id") == 7)
    assert only(found, "ahead_orders", "ahead_size") == (2, 8)
    assert only(found, "fill_ahead_orders", "fill_ahead_size") == (1, 3)


def test_what_a_trade_has_taken_already_is_not_ahead() -> None:
    found = made(a(1), a(7), f(1, 5), f(7, 1), c(1, 5), c(7, 1))
    found = found.filter(pl.col("order_id") == 7)
    assert only(found, "ahead_orders", "fill_ahead_orders", "fill_ahead_size") == (1, 0, 0)


def test_an_order_may_change_its_price_within_one_life() -> None:
    found = made(a(7), m(7, 30, 5), m(7, 20, 2))
    assert only(found, "price_start", "price_end", "requeues") == (10, 20, 2)
    assert only(found, "added", "cancelled", "left") == (5, 3, 2)


def test_a_modify_that_changes_nothing_is_counted_and_keeps_the_place() -> None:
    found = made(a(7), m(7), m(7, side="N"), m(7, UNDEF_PRICE))
    assert only(found, "modifies", "requeues") == (1, 0)


def test_an_add_of_a_live_id_begins_another_life_at_the_back() -> None:
    found = made(a(7), a(1), a(7))
    assert found["end"].to_list() == ["replaced", "alive", "alive"]
    assert found["ahead_orders"].to_list() == [0, 1, 1]
    assert found["order_id"].to_list() == [7, 1, 7]


def test_a_clear_ends_the_lives_of_its_own_book() -> None:
    other = (2, 100)
    found = made(a(7), a(8, 20, side="A"), a(7, key=other), r())
    assert found["end"].to_list() == ["cleared", "cleared", "alive"]
    assert found["right_censored"].all()
    assert found["ts_end"].is_null().to_list() == [False, False, True]


def test_an_add_of_a_live_id_within_a_snapshot_replaces() -> None:
    found = made(a(7, flags=SNAPSHOT), a(7, 20, flags=SNAPSHOT), a(8, flags=SNAPSHOT | LAST))
    assert found["end"].to_list() == ["replaced", "alive", "alive"]


def test_a_top_of_book_record_ends_the_orders_of_its_side() -> None:
    found = made(a(7), a(8, 20, side="A"), a(1, 10, 9, flags=TOB | LAST), a(2, 15, flags=TOB))
    assert found["order_id"].to_list() == [7, 8]
    assert found["end"].to_list() == ["cleared", "alive"]


def test_a_modify_of_an_unknown_order_begins_a_censored_life() -> None:
    found = made(m(7), c(7, 9))
    assert only(found, "left_censored", "end", "cancelled") == (True, "cancelled", 5)


def test_an_order_that_comes_back_lives_anew() -> None:
    assert made(a(7), c(7), a(7), m(7, 10, 0))["end"].to_list() == ["cancelled", "cancelled"]


def test_a_queue_is_told_after_each_event_that_changed_it_until_the_end() -> None:
    rows = in_time([a(1), a(7, 10, 4), a(2, 10, 3), a(9, 20), c(1, 2), c(1, 3), c(7, 4), c(2)])
    found = positions(batch_of(rows), 7)
    assert found.select("size", "ahead_orders", "ahead_size", "behind_size").rows() == [
        (4, 1, 5, 0),
        (4, 1, 5, 3),
        (4, 1, 3, 3),
        (4, 0, 0, 3),
        (0, None, None, None),
    ]
    assert found["sequence"].to_list() == [2, 3, 5, 6, 7]


def test_a_queue_is_not_told_in_the_middle_of_an_event() -> None:
    rows = in_time([a(7, flags=0), a(2, flags=0), c(7, 5, flags=0), a(3)])
    assert positions(batch_of(rows), 7).select("price", "size", "ahead_size").rows() == [
        (10, 0, None)
    ]


# ---------------------------------------------------------------------- as a source


def test_a_source_streams_filters_and_limits() -> None:
    batch = random_stream(3, 2_000)
    whole = lives(batch)
    source = orders_source(scan_batches(lambda: cut(batch, 100)))
    assert source.collect_schema() == ORDERS_SCHEMA
    assert_frame_equal(source.collect(), whole)
    assert_frame_equal(source.head(7).collect(), whole.head(7))
    ends = source.filter(pl.col("end") == "filled").select("order_id", "end")
    assert_frame_equal(ends.collect(), whole.filter(pl.col("end") == "filled")["order_id", "end"])
    one = pl.col("publisher_id") == KEYS[2][0]
    assert_frame_equal(source.filter(one).collect(), whole.filter(one))


def test_a_queue_may_be_of_one_book_only() -> None:
    batch = random_stream(3, 2_000)
    order_id = 2**64 - 1
    frame = to_frame(batch).lazy()
    whole = queue_source(frame, order_id).collect()
    assert whole.schema == QUEUE_SCHEMA
    assert whole["instrument_id"].n_unique() > 1
    one = queue_source(frame, order_id, publisher_id=1, instrument_id=101).collect()
    of_book = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 101)
    assert 0 < one.height < whole.height
    assert_frame_equal(one, whole.filter(of_book))


def test_no_records_make_no_lives() -> None:
    nothing = to_frame(batch_of([])).lazy()
    assert_frame_equal(orders_source(nothing).collect(), pl.DataFrame(schema=ORDERS_SCHEMA))


def test_the_queue_of_an_order_that_no_event_has_is_refused() -> None:
    nothing = to_frame(batch_of([])).lazy()
    with pytest.raises(UsageError, match="no event of a book has an order 7; no record has a time"):
        queue_source(nothing, 7).collect()
    rows = to_frame(batch_of(in_time([a(7), c(7), a(8, flags=0)]))).lazy()
    assert queue_source(rows, 7).collect().schema == QUEUE_SCHEMA
    for order_id in (8, 9):  # the event of order 8 has not ended
        with pytest.raises(UsageError, match=f"has an order {order_id}; the records are from "):
            queue_source(rows, order_id).collect()
    before = rows.filter(pl.col("ts_recv") < pl.col("ts_recv").min())
    with pytest.raises(UsageError, match="no event of a book has an order 7"):
        queue_source(before, 7).collect()


def test_an_order_id_that_cannot_be_is_refused() -> None:
    nothing = to_frame(batch_of([])).lazy()
    with pytest.raises(UsageError, match="order id -1"):
        queue_source(nothing, -1)
    with pytest.raises(UsageError, match="column price is missing"):
        orders_source(nothing.drop("price"))


def test_lives_do_not_depend_on_other_books() -> None:
    batch = random_stream(9, 3_000)
    whole = lives(batch)
    of_book = [
        lives(MboBatch(*(column[rows] for column in batch)))
        for key in KEYS[:4]
        for rows in [(batch.publisher_id == key[0]) & (batch.instrument_id == key[1])]
    ]
    columns = ["publisher_id", "instrument_id"]
    assert_frame_equal(
        whole.sort(columns, maintain_order=True),
        pl.concat(of_book).sort(columns, maintain_order=True),
    )


def test_ratios_and_lifetimes_are_made_of_the_life() -> None:
    records = to_frame(random_stream(3, 2_000)).lazy()
    plain = orders_source(records).collect()
    found = MboNamespace(records).orders().collect()
    assert_frame_equal(found.select(plain.columns), plain)
    for row in found.iter_rows(named=True):
        assert row["fill_ratio"] == row["filled"] / row["added"]
        assert row["cancel_ratio"] == row["cancelled"] / row["added"]
        assert (row["lifetime"] is None) == (row["ts_end"] is None or row["ts_start"] is None)
