"""What can be asked for by name: one name for the same rows, and every name says its columns."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.sources import pull_frames
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY
from tests.support.command import SAMPLE
from tests.support.lakes import OWN_SCHEMAS

NAMES = (
    *dbn_schemas(),
    *OWN_SCHEMAS,
    *("mbp-2", "mbp-255", "bbo-5s", "ohlcv-5m", "depth-100ms", "depth-1h"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_product_has_the_columns_that_it_says(name: str) -> None:
    schema = find_schema(name)
    assert schema.name == name
    assert (schema.rtype is None) == (name not in dbn_schemas())
    assert (schema.rtype is None) == (schema.layout is None)
    if name == "mbp-255":
        return  # as many columns as any machine has time for
    rows = schema.rows(batonics.scan_mbo(SAMPLE))
    frames = list(pull_frames(rows, schema.columns))
    assert sum(frame.height for frame in frames) > 0
    for frame in frames:
        assert frame.schema == schema.columns
    times = pl.concat(frames).select(schema.time.alias("time"))["time"]
    assert times.dtype == pl.Datetime("ns", "UTC")
    assert times.null_count() == 0


@pytest.mark.parametrize("name", ["mbp-10", "mbp-1"])
def test_mbp_of_a_depth_that_the_vendor_has_is_the_vendors(name: str) -> None:
    schema = find_schema(name)
    assert schema.rtype is not None
    deeper = find_schema("mbp-11")
    levels = [column for column in schema.columns if column in deeper.columns]
    assert levels == list(schema.columns)


def test_a_depth_is_what_the_frames_give() -> None:
    records = batonics.scan_mbo(SAMPLE)
    found = find_schema("depth-1m").rows(records).collect()
    depth = MboNamespace(records).depth(10, every="1m", fill=False).collect()
    assert_frame_equal(found, depth.drop("complete"))
    assert_frame_equal(
        find_schema("bbo").rows(records).collect(), MboNamespace(records).bbo().collect()
    )
    assert_frame_equal(
        find_schema("deltas").rows(records).collect(), MboNamespace(records).deltas().collect()
    )


def test_orders_that_are_alive_are_of_the_end_of_the_day_their_stream_ended() -> None:
    orders = find_schema("orders")
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
        "order",
        "definition",
        "bbo_1s",
    ],
)
def test_other_names_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError) as error:
        find_schema(name)
    meant = {"mbp_10": "mbp-10", "MBP-10": "mbp-10", "order": "orders", "bbo_1s": "bbo-1s"}
    advice = f"did you mean {meant[name]}? " if name in meant else ""
    assert str(error.value).startswith(f"no schema {name!r}; {advice}there are mbo, ")
    assert str(error.value).endswith(
        ", mbp-N, states-N, bbo-INTERVAL, ohlcv-INTERVAL, depth-INTERVAL"
    )


@pytest.mark.parametrize(
    "name",
    [
        "depth-10",
        "depth-1S",
        "depth-0s",
        "depth-1_s",
        "depth-soon",
        "depth-٣s",
        "depth-",
        "bbo-",
        "ohlcv-x",
    ],
)
def test_a_depth_is_of_a_duration(name: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        find_schema(name)


def test_a_schema_has_one_name() -> None:
    for name, shorter in (
        ("bbo-60s", "bbo-1m"),
        ("ohlcv-24h", "ohlcv-1d"),
        ("depth-1000ms", "depth-1s"),
    ):
        with pytest.raises(UsageError, match=f"schema {name} is named {shorter}"):
            find_schema(name)


@pytest.mark.parametrize("name", [*OWN_SCHEMAS, "mbp-5", "bbo-5s", "ohlcv-5m"])
def test_dbn_has_no_record_of_other_schemas(name: str) -> None:
    schema = find_schema(name)
    with pytest.raises(UsageError, match=f"DBN has no record of schema {name}"):
        _ = schema.record_dtype
    with pytest.raises(UsageError, match=f"DBN has no record of schema {name}"):
        _ = schema.number


@pytest.mark.parametrize("name", ["mbp-5", "bbo-5s", "ohlcv-5m"])
def test_rows_that_dbn_has_no_record_of_have_no_rtype(name: str) -> None:
    rows = find_schema(name).rows(batonics.scan_mbo(SAMPLE)).collect()
    assert rows["rtype"].null_count() == rows.height > 0


def test_bars_of_five_minutes_add_up_those_of_one() -> None:
    records = batonics.scan_mbo(SAMPLE)
    ones, fives = (
        find_schema(f"ohlcv-{length}").rows(records).collect() for length in ("1m", "5m")
    )
    keys = [pl.col("ts_event").dt.truncate("5m"), "publisher_id", "instrument_id"]
    added = ones.group_by(keys, maintain_order=True).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")
    )
    assert_frame_equal(added.sort(added.columns[:3]), fives.drop("rtype").sort(added.columns[:3]))
