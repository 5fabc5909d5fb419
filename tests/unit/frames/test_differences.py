"""The differences between the frames of the engine and of the reference."""

from __future__ import annotations

import polars as pl

from batonics.book.engine import BookEngine
from batonics.frames.differences import (
    LEVEL_KEYS,
    LEVEL_VALUES,
    ORDER_KEYS,
    ORDER_VALUES,
    engine_books,
    engine_levels,
    engine_orders,
    find_differences,
    reference_orders,
)
from batonics.model.mbo import Action
from batonics.reference.books import DerivedBooks
from tests.support.dbn_files import record
from tests.support.streams import batch_of, random_stream

LEVELS = pl.DataFrame({"key": 1, "side": [0, 0, 1], "price": [7, 6, 8], "size": 5, "count": 1})


def test_equal_frames_have_none_whatever_their_order() -> None:
    assert find_differences(LEVELS, LEVELS.reverse(), LEVEL_KEYS, LEVEL_VALUES).is_empty()


def test_a_row_of_one_alone_and_a_value_are_differences() -> None:
    engine = LEVELS.slice(1)
    derived = LEVELS.slice(0, 2).with_columns(
        size=pl.when(price=6).then(4).otherwise("size").cast(pl.Int64)
    )
    assert find_differences(engine, derived, LEVEL_KEYS, LEVEL_VALUES).rows() == [
        (1, 0, 6, 5, 1, 4, 1),
        (1, 0, 7, None, None, 5, 1),
        (1, 1, 8, 5, 1, None, None),
    ]


def test_the_frames_of_the_engine_and_the_reference_are_alike() -> None:
    engine, derived = BookEngine(), DerivedBooks()
    batch = random_stream(1, 5_000, ids=200)
    engine.fold(batch)
    derived.add(batch)
    orders = engine_orders(engine)
    assert find_differences(orders, reference_orders(derived), ORDER_KEYS, ORDER_VALUES).is_empty()
    assert orders["position"].n_unique() > 2
    levels = engine_levels(engine)
    assert find_differences(levels, derived.levels(), LEVEL_KEYS, LEVEL_VALUES).is_empty()
    assert engine_books(engine)["status"].to_list() == [
        status.name.lower() for status in engine.statuses()
    ]


def test_a_position_is_that_in_the_queue_of_the_level() -> None:
    engine = BookEngine()
    engine.fold(
        batch_of(
            [
                record(Action.ADD, order_id=order_id, price=price)
                for order_id, price in [(1, 100), (2, 101), (3, 100), (4, 100), (5, 101)]
            ]
        )
    )
    positions = engine_orders(engine).sort("order_id")["position"].to_list()
    assert positions == [0, 0, 1, 2, 1]


def test_an_engine_without_records_has_empty_frames() -> None:
    engine, derived = BookEngine(), DerivedBooks()
    assert engine_levels(engine).is_empty()
    assert engine_books(engine).is_empty()
    orders = engine_orders(engine)
    assert find_differences(orders, reference_orders(derived), ORDER_KEYS, ORDER_VALUES).is_empty()
