"""MBO records as frames: both directions are exact, and refuse values without a meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from batonics.codec.dbn import DbnDecoder
from batonics.frames.columns.mbo_frame import (
    BOOK_COLUMNS,
    MBO_SCHEMA,
    from_frame,
    to_frame,
)
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    MboBatch,
    slice_batch,
)
from batonics.model.record_columns import OPTIONAL_DEFAULTS
from tests.support.streams import random_stream


def assert_equal(left: MboBatch, right: MboBatch) -> None:
    for name in MboBatch._fields:
        one, other = getattr(left, name), getattr(right, name)
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_there_and_back_is_the_same(seed: int) -> None:
    batch = random_stream(seed, 2_000)
    frame = to_frame(batch)
    assert frame.schema == MBO_SCHEMA
    assert_equal(from_frame(frame), batch)
    assert_equal(from_frame(pl.concat([frame[:700], frame[700:]], rechunk=False)), batch)


def test_an_empty_batch_has_the_schema() -> None:
    batch = slice_batch(random_stream(0, 10), 0, 0)
    assert to_frame(batch).schema == MBO_SCHEMA
    assert_equal(from_frame(to_frame(batch)), batch)


def test_a_real_file_reads_as_the_vendor_says(test_data: Path) -> None:
    data = (test_data / "clx5" / "CLX5_mbo.dbn").read_bytes()
    batch = next(DbnDecoder(batch_rows=100_000).feed(data))
    frame = to_frame(batch)
    counts = dict(frame["action"].cast(pl.String).value_counts().iter_rows())
    assert counts == {"A": 14_959, "C": 16_252, "M": 2_701, "T": 1_599, "F": 2_701}
    assert frame["ts_recv"][0].isoformat().startswith("2025-09-24T19:30:00")
    assert_equal(from_frame(frame), batch)


def test_sentinels_are_nulls_and_nothing_else_is() -> None:
    batch = random_stream(1, 5_000)
    frame = to_frame(batch)
    for name, undefined in {
        "ts_recv": UNDEF_TIMESTAMP,
        "ts_event": UNDEF_TIMESTAMP,
        "price": UNDEF_PRICE,
        "size": UNDEF_ORDER_SIZE,
    }.items():
        expected = getattr(batch, name) == undefined
        np.testing.assert_array_equal(frame[name].is_null().to_numpy(), expected, err_msg=name)
    assert frame["price"].null_count() > 0
    assert frame.select(pl.exclude("ts_recv", "ts_event", "price", "size")).null_count().row(0) == (
        (0,) * 9
    )


def test_only_the_columns_asked_for_are_there_in_their_order() -> None:
    frame = to_frame(random_stream(0, 50), ["size", "ts_recv", "action"])
    assert frame.columns == ["size", "ts_recv", "action"]


def test_defined_columns_share_memory_with_the_batch() -> None:
    batch = random_stream(0, 50)
    frame = to_frame(batch, ["order_id"])
    assert np.shares_memory(frame["order_id"].to_numpy(), batch.order_id)
    assert np.shares_memory(from_frame(to_frame(batch)).order_id, batch.order_id)


def test_columns_no_book_depends_on_may_be_missing() -> None:
    batch = random_stream(0, 50)
    found = from_frame(to_frame(batch, BOOK_COLUMNS))
    assert_equal(
        found,
        batch._replace(
            channel_id=np.full(50, OPTIONAL_DEFAULTS["channel_id"], np.uint8),
            ts_in_delta=np.full(50, OPTIONAL_DEFAULTS["ts_in_delta"], np.int32),
        ),
    )


@pytest.mark.parametrize("name", BOOK_COLUMNS)
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"column {name} is missing"):
        from_frame(to_frame(random_stream(0, 5)).drop(name))


def test_a_column_of_another_dtype_is_named() -> None:
    frame = to_frame(random_stream(0, 5)).with_columns(pl.col("price").cast(pl.Float64))
    with pytest.raises(UsageError, match="column price is Float64, expected Int64"):
        from_frame(frame)


def test_a_null_without_a_meaning_is_refused() -> None:
    frame = to_frame(random_stream(0, 5)).with_columns(pl.lit(None, pl.UInt64).alias("order_id"))
    with pytest.raises(UsageError, match="column order_id holds 5 nulls"):
        from_frame(frame)


def test_an_action_that_is_none_is_refused() -> None:
    batch = random_stream(0, 5)
    batch.action[2] = ord("X")
    with pytest.raises(pl.exceptions.OutOfBoundsError):
        to_frame(batch)
