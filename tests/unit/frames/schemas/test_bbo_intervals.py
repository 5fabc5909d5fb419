"""bbo-1s and its like: against a plain walk over mbp-1, and the edges of intervals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.book.results import TopsSpec
from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA
from batonics.frames.schemas import bbo_intervals
from batonics.frames.schemas.bbo_intervals import bbo_interval_frames
from batonics.frames.schemas.table import find_schema
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Flag,
    MboBatch,
    Side,
    slice_batch,
)
from batonics.model.times import format_duration
from tests.support.real_files import CLX5, read_mbo
from tests.support.reference_books import Record, records
from tests.support.reference_tops import ReferenceTops, engine_tops
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of, random_stream

LAST = int(Flag.LAST)
BASE = Record(10, 9, 1, 7, Action.ADD, Side.BID, 100, 5, 0, 1, LAST, 3, 1)
LEVELS = [name for name in BBO_INTERVAL_SCHEMA if name.startswith(("bid_", "ask_"))]
LENGTHS_NS = [1_000, 300_000_007, 1_000_000_000]


def sampled(batches: Iterable[MboBatch], length_ns: int) -> pl.DataFrame:
    schema = find_schema(f"bbo-{format_duration(length_ns)}")
    frame = pl.concat(bbo_interval_frames(batches, length_ns, schema.rtype))
    return frame.cast({"ts_recv": pl.Int64, "ts_event": pl.Int64})


def times_of_tops(batch: MboBatch) -> list[int]:
    """The stream's time at the record that makes each top."""
    now, times, reference = 0, list[int](), ReferenceTops(1)
    for record in records(batch):
        doubtful = record.flags & (Flag.BAD_TS_RECV | Flag.SNAPSHOT) == Flag.BAD_TS_RECV
        if not doubtful and record.ts_recv != UNDEF_TIMESTAMP:
            now = max(now, record.ts_recv)
        reference.apply(record)
        times += [now] * (len(reference.tops) - len(times))
    return times


def mbp_1_rows(batch: MboBatch) -> list[dict[str, Any]]:
    """The rows of mbp-1; one that ends an event has the book after the event."""
    rows: list[dict[str, Any]] = []
    tops = engine_tops([batch], TopsSpec(1, trades=True))
    for top, made_at in zip(tops, times_of_tops(batch), strict=True):
        prices = [None if price == UNDEF_PRICE else price for price in top.levels[:2]]
        levels = prices + [min(size, 2**32 - 1) for size in top.levels[2:]]
        if top.kind == "ended by trade":
            rows[-1] |= zip(LEVELS, levels, strict=True)
            continue
        row: dict[str, Any] = {name: getattr(top.record, name) for name in Record._fields}
        undefined = {"price": UNDEF_PRICE, "ts_recv": UNDEF_TIMESTAMP, "ts_event": UNDEF_TIMESTAMP}
        row |= {name: None for name, value in undefined.items() if row[name] == value}
        row |= {"action": chr(row["action"]), "side": chr(row["side"])}
        levels_by_name = dict(zip(LEVELS, levels, strict=True))
        rows.append({**row, **levels_by_name, "made_at": made_at})
    return rows


def walked(batch: MboBatch, length_ns: int) -> list[dict[str, object]]:
    """The same, row by row; every record moves the time."""
    trades: dict[tuple[int, int], dict[str, object]] = {}
    found: dict[tuple[int, int, int], dict[str, object]] = {}
    for row in mbp_1_rows(batch):
        end = -(-row["made_at"] // length_ns) * length_ns
        book = row["publisher_id"], row["instrument_id"]
        if row["action"] == "T":
            trades[book] = {name: row[name] for name in ("ts_event", "price", "side", "size")}
        none = {"ts_event": None, "price": None, "side": "N", "size": 0}
        key = (end, *book)
        found.pop(key, None)  # so that the dict is in the order of last rows
        found[key] = {**row, **none, **trades.get(book, {}), "ts_recv": end}
    names = [name for name in BBO_INTERVAL_SCHEMA if name != "rtype"]
    ordered = sorted(found.items(), key=lambda item: item[0][0])
    return [{name: row[name] for name in names} for _, row in ordered]


@pytest.mark.parametrize("length_ns", LENGTHS_NS)
@pytest.mark.parametrize("profile", ["adversarial", "many_books", "top_of_book", "snapshots"])
def test_intervals_equal_a_walk_over_mbp_1(profile: str, length_ns: int) -> None:
    batch = PROFILES[profile](21, 3_000)
    ours = sampled([batch], length_ns).drop("rtype").rows(named=True)
    # A trade with an undefined size has none here.
    theirs = [
        {**row, "size": 0 if row["size"] == UNDEF_ORDER_SIZE else row["size"]}
        for row in walked(batch, length_ns)
    ]
    assert ours == theirs


def test_intervals_of_a_real_day_equal_a_walk_over_mbp_1(test_data: Path) -> None:
    batch = read_mbo(test_data / CLX5)
    ours = sampled([batch], 10**9)
    assert ours.drop("rtype").rows(named=True) == walked(batch, 10**9)
    assert ours["rtype"].unique().to_list() == [0xC3]


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_intervals_do_not_depend_on_the_cut_into_batches(
    batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = random_stream(22, 500)
    whole = sampled([batch], LENGTHS_NS[1])
    monkeypatch.setattr(bbo_intervals, "INTERVAL_FLUSH_ROWS", 5)
    pieces = [slice_batch(batch, at, at + batch_rows) for at in range(0, 500, batch_rows)]
    assert_frame_equal(sampled(pieces, LENGTHS_NS[1]), whole)


def ends(*times: int, length_ns: int = 10) -> list[int]:
    """The ends of the intervals of adds at these times."""
    rows = [
        BASE._replace(ts_recv=time, order_id=number, price=number)
        for number, time in enumerate(times)
    ]
    return sampled([batch_of(rows)], length_ns)["ts_recv"].to_list()


def test_an_interval_holds_its_end_and_not_its_beginning() -> None:
    assert ends(10, 11, 20, 21) == [10, 20, 30]


def test_an_interval_in_which_nothing_happened_has_no_row() -> None:
    assert ends(5, 95) == [10, 100]


def test_time_never_runs_backwards() -> None:
    assert ends(25, 5, UNDEF_TIMESTAMP) == [30]


def test_a_book_without_a_trade_has_none_and_later_ones_are_carried_on() -> None:
    trade = BASE._replace(action=Action.TRADE, side=Side.ASK, size=3, ts_recv=15, ts_event=14)
    rows = [BASE, trade, BASE._replace(ts_recv=35, price=101, order_id=2)]
    frame = sampled([batch_of(rows)], 10).select("ts_recv", "ts_event", "side", "price", "size")
    assert frame.rows() == [
        (10, None, "N", None, 0),
        (20, 14, "A", 100, 3),
        (40, 14, "A", 100, 3),
    ]


def test_an_event_that_ends_with_a_trade_counts_in_the_interval_of_the_trade() -> None:
    common = {"side": Side.ASK, "size": 3, "ts_recv": 15, "ts_event": 14}
    rows = [
        BASE,
        BASE._replace(action=Action.TRADE, flags=0, **common),
        BASE._replace(action=Action.CANCEL, flags=0, size=3, ts_recv=15),
        BASE._replace(action=Action.TRADE, **common),
        BASE._replace(ts_recv=35, price=101, order_id=2),
    ]
    frame = sampled([batch_of(rows)], 10).select("ts_recv", "bid_px_00", "bid_sz_00", "price")
    assert frame.rows() == [(10, 100, 5, None), (20, 100, 2, 100), (40, 101, 5, 100)]


def test_a_snapshot_that_changes_nothing_is_in_its_interval(cases: Path) -> None:
    batch = read_mbo(cases / "v4_same_snapshot.dbn")
    assert sampled([batch], 1_000)["flags"].to_list() == [168, 168]


def test_only_lengths_of_the_vendor_have_an_rtype() -> None:
    for length_ns, rtype in ((10**9, 0xC3), (60 * 10**9, 0xC4), (10**8, None)):
        assert sampled([batch_of([BASE])], length_ns)["rtype"].to_list() == [rtype]


def test_no_rows_are_an_empty_frame() -> None:
    frame = pl.concat(bbo_interval_frames([], 10))
    assert frame.schema == BBO_INTERVAL_SCHEMA
    assert frame.height == 0
