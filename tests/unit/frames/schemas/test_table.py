"""What can be asked for by name: one name for the same rows, and every name says its columns."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.sources import pull_frames
from batonics.frames.schemas.derive import SCHEMAS
from batonics.frames.schemas.table import OWN, product_of
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY
from tests.support.command import SAMPLE

NAMES = (*SCHEMAS, *OWN, "mbp-2", "mbp-255", "depth-100ms", "depth-1h")


@pytest.mark.parametrize("name", NAMES)
def test_a_product_has_the_columns_that_it_says(name: str) -> None:
    product = product_of(name)
    assert product.name == name
    assert product.vendor == (name if name in SCHEMAS else None)
    if name == "mbp-255":
        return  # as many columns as any machine has time for
    rows = product.rows(batonics.scan_mbo(SAMPLE))
    frames = list(pull_frames(rows, product.columns))
    assert sum(frame.height for frame in frames) > 0
    for frame in frames:
        assert frame.schema == product.columns
    times = pl.concat(frames).select(product.time.alias("time"))["time"]
    assert times.dtype == pl.Datetime("ns", "UTC")
    assert times.null_count() == 0


@pytest.mark.parametrize("name", ["mbp-10", "mbp-1"])
def test_mbp_of_a_depth_that_the_vendor_has_is_the_vendors(name: str) -> None:
    product = product_of(name)
    assert product.vendor == name
    deeper = product_of("mbp-11")
    levels = [column for column in product.columns if column in deeper.columns]
    assert levels == list(product.columns)


def test_a_depth_is_what_the_frames_give() -> None:
    records = batonics.scan_mbo(SAMPLE)
    found = product_of("depth-1m").rows(records).collect()
    assert_frame_equal(found, MboNamespace(records).depth(10, every="1m", fill=False).collect())
    assert_frame_equal(
        product_of("bbo").rows(records).collect(), MboNamespace(records).bbo().collect()
    )
    assert_frame_equal(
        product_of("deltas").rows(records).collect(), MboNamespace(records).deltas().collect()
    )


def test_orders_that_are_alive_are_of_the_end_of_the_day_their_stream_ended() -> None:
    orders = product_of("orders")
    rows = orders.rows(batonics.scan_mbo(SAMPLE)).collect()
    alive = rows["ts_recv_end"].is_null()
    assert 0 < alive.sum() < rows.height
    times = rows.select(orders.time.alias("time"))["time"]
    latest = rows["ts_recv_start"].max()
    assert isinstance(latest, dt.datetime)
    end_ns = (latest.toordinal() - dt.date(1970, 1, 1).toordinal() + 1) * NS_PER_DAY - 1
    assert times.filter(alive).to_physical().unique().to_list() == [end_ns]
    on = orders.time_on(pl.lit(latest.date()))
    assert rows.select(on.alias("time"))["time"].equals(times)
    assert times.filter(~alive).equals(rows["ts_recv_end"].filter(~alive))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mbp",
        "mbp-",
        "mbp-0",
        "mbp-01",
        "mbp-256",
        "mbp-999",
        "mbp-1000",
        "mbp--1",
        "mbp_10",
        "MBP-10",
        "mbp-1٢",
        "mbp-10\n",
        " mbp-10",
        "depth",
        "depth-",
        "order",
        "bbo-2s",
    ],
)
def test_other_names_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError) as error:
        product_of(name)
    assert str(error.value).startswith(f"no schema {name!r}; there are mbo, ")
    assert str(error.value).endswith(", orders, bbo, deltas, any mbp-N and depth-EVERY")


@pytest.mark.parametrize(
    "name", ["depth-10", "depth-1S", "depth-0s", "depth-1_s", "depth-soon", "depth-٣s"]
)
def test_a_depth_is_of_a_duration(name: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        product_of(name)
