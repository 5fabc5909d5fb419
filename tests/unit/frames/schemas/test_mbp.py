"""MBP and tbbo: the vendor's own rows, and what each column is made of."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.schemas.mbp import mbp_frames, state_frames
from batonics.frames.schemas.mbp_sources import mbp_source
from batonics.frames.schemas.table import find_schema
from batonics.model.mbo import UNDEF_PRICE, Action, Flag, MboBatch, Side, slice_batch
from batonics.model.prices import parse_price
from tests.support.real_files import DBEQ, read_mbo
from tests.support.reference_books import Record
from tests.support.streams import batch_of, random_stream

LAST = int(Flag.LAST)
BASE = Record(10, 9, 1, 7, Action.ADD, Side.BID, 100, 5, 0, 1, LAST, 3, 1)


def mbp(batch: MboBatch, depth: int = 10, **wanted: bool) -> pl.DataFrame:
    empty = pl.DataFrame(schema=mbp_schema(depth))
    rtype = find_schema(f"mbp-{depth}").rtype
    return pl.concat([empty, *mbp_frames([batch], depth, rtype=rtype, **wanted)])


def rows_of(records: list[Record], depth: int = 1) -> list[tuple[object, ...]]:
    """The action, side, price, depth and levels of each row."""
    frame = mbp(batch_of(records), depth)
    return frame.select("action", "side", "price", "depth", pl.col("^(bid|ask)_.*$")).rows()


def test_every_row_of_the_vendor_is_made_in_order_and_in_all_columns(test_data: Path) -> None:
    ours = mbp(read_mbo(test_data / DBEQ))
    path = test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet"
    prices = pl.col("price", "^.*_px_.*$")
    vendor = (
        pl.read_parquet(path)
        .drop("symbol")
        .with_columns(pl.when(prices != UNDEF_PRICE).then(prices).name.keep())
        .cast({name: dtype for name, dtype in mbp_schema(10).items() if name != "action"})
        .cast({"action": ours.schema["action"]})
    )
    assert ours.height == 5_655
    assert_frame_equal(ours, vendor)


def test_the_vendors_csv_rows_are_made_where_the_records_are_there(test_data: Path) -> None:
    records = [_csv_record(row) for row in _csv(test_data / "esz2" / "futures_mbo.csv")]
    ours = mbp(batch_of(records)).cast({"ts_recv": pl.Int64, "ts_event": pl.Int64})
    vendor = list(_csv(test_data / "esz2" / "preview_mbp10.csv"))
    assert ours.height == 16
    for row, expected in zip(ours.iter_rows(named=True), vendor, strict=False):
        for name, text in expected.items():
            if name != "symbol":
                assert _plain(row[name]) == _csv_value(name, text), (name, expected)


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _csv_value(name: str, text: str) -> object:
    if name in {"action", "side"}:
        return text
    if name.startswith("ts_") and name != "ts_in_delta":
        seconds, fraction = text.removesuffix("Z").split(".")
        return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction)
    if name == "price" or "_px_" in name:
        return parse_price(text) if text else None
    return int(text)


def _plain(value: object) -> object:
    return value


def _csv_record(row: dict[str, str]) -> Record:
    values = {name: _csv_value(name, row[name]) for name in Record._fields}
    values |= {name: ord(row[name]) for name in ("action", "side")}
    values["price"] = UNDEF_PRICE if values["price"] is None else values["price"]
    return Record(**values)  # type: ignore[arg-type]


def test_a_trade_shows_the_book_before_it_and_the_cancel_after_it() -> None:
    rows = rows_of(
        [
            BASE,
            BASE._replace(action=Action.TRADE, side=Side.ASK, size=2, flags=0),
            BASE._replace(action=Action.FILL, size=2, flags=0),
            BASE._replace(action=Action.CANCEL, size=2),
        ]
    )
    assert rows == [
        ("A", "B", 100, 0, 100, None, 5, 0, 1, 0),
        ("T", "A", 100, 0, 100, None, 5, 0, 1, 0),
        ("C", "B", 100, 0, 100, None, 3, 0, 1, 0),
    ]


def test_an_event_that_leaves_the_best_levels_alone_has_no_row() -> None:
    behind = BASE._replace(price=99, order_id=2)
    assert len(rows_of([BASE, behind], depth=1)) == 1
    assert len(rows_of([BASE, behind], depth=2)) == 2


def test_an_event_of_several_records_has_one_row_described_by_its_last() -> None:
    rows = rows_of(
        [
            BASE._replace(flags=0),
            BASE._replace(side=Side.ASK, price=110, order_id=2, flags=0),
            BASE._replace(side=Side.ASK, price=120, order_id=3),
        ],
        depth=2,
    )
    assert [row[:4] for row in rows] == [("A", "N", 120, 0)]


def test_changes_of_dbeq_basic_have_no_side_but_its_trades_have() -> None:
    trade = BASE._replace(action=Action.TRADE)
    for publisher, letter in ((1, "B"), (2, "B"), (39, "N"), (59, "N")):
        records = [row._replace(publisher_id=publisher) for row in (BASE, trade)]
        assert [row[1] for row in rows_of(records)] == [letter, "B"]


def test_the_row_that_closes_a_snapshot_has_no_side() -> None:
    snapshot = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    clear = BASE._replace(action=Action.CLEAR, side=Side.NONE, price=UNDEF_PRICE, size=0)
    rows = rows_of([clear._replace(flags=snapshot), BASE._replace(flags=snapshot | LAST)])
    assert [row[:4] for row in rows] == [("A", "N", 100, 0)]


def cased(cases: Path, name: str, depth: int = 10) -> list[tuple[object, ...]]:
    """The action, side, depth, flags and best bid of each row of a small case."""
    frame = mbp(read_mbo(cases / f"{name}.dbn"), depth)
    price = pl.col("bid_px_00") / 10**9
    return frame.select("action", "side", "depth", "flags", price).rows()


@pytest.mark.parametrize("depth", [1, 2, 10, 12])
def test_depth_is_the_best_level_that_differs_on_either_side(cases: Path, depth: int) -> None:
    assert cased(cases, "v1_two_levels", depth)[-1] == ("C", "B", 0, 130, 233.81)
    assert cased(cases, "v1_moves_away", depth)[-1] == ("M", "B", 0, 130, 233.86)


def test_a_side_is_the_one_that_differs_there(cases: Path) -> None:
    assert cased(cases, "v2_one_side")[-1] == ("A", "B", 2, 130, 233.86)
    assert cased(cases, "v2_both_sides")[-2:] == [
        ("T", "A", 0, 0, 233.86),
        ("A", "N", 0, 130, 233.81),
    ]


@pytest.mark.parametrize("depth", [1, 10])
def test_an_event_that_ends_with_a_trade_has_no_row_but_its_trades(cases: Path, depth: int) -> None:
    assert cased(cases, "v3_trade_ends", depth)[-3:] == [
        ("T", "A", 0, 0, 233.86),
        ("T", "N", 0, 130, 233.86),
        ("A", "B", 0, 130, 233.81),
    ]


def test_states_have_the_end_of_every_event_that_changed_the_book(cases: Path) -> None:
    frame = pl.concat(state_frames([read_mbo(cases / "v3_trade_ends.dbn")], 1))
    price = pl.col("bid_px_00") / 10**9
    assert frame.select("action", price).rows()[-3:] == [
        ("T", 233.86),
        ("T", 233.86),
        ("C", 233.81),
    ]
    same = pl.concat(state_frames([read_mbo(cases / "v4_same_snapshot.dbn")], 10))
    assert same["flags"].to_list() == [168, 130, 130]


def test_a_snapshot_has_its_closing_row_even_if_it_changes_nothing(cases: Path) -> None:
    assert cased(cases, "v4_same_snapshot")[1:3] == [
        ("A", "B", 1, 130, 100.0),
        ("A", "N", 0, 168, 100.0),
    ]


def test_levels_that_change_and_change_back_do_not_differ() -> None:
    ask = BASE._replace(side=Side.ASK, price=110, order_id=2)
    there = BASE._replace(order_id=3, price=105, flags=0)
    back = there._replace(action=Action.CANCEL)
    rows = rows_of([BASE, ask, there, back, ask._replace(order_id=4)])
    assert [row[:4] for row in rows][-1] == ("A", "A", 110, 0)


def test_a_book_shows_the_first_time_it_is_set_up_even_if_empty_but_not_again() -> None:
    clear = BASE._replace(action=Action.CLEAR, side=Side.NONE, price=UNDEF_PRICE, size=0)
    assert rows_of([clear, clear]) == [("R", "N", None, 0, None, None, 0, 0, 0, 0)]
    assert rows_of([BASE._replace(action=Action.CANCEL)]) == []


def test_a_size_beyond_its_column_is_the_greatest_that_fits() -> None:
    large = BASE._replace(size=2**32 - 2)
    rows = rows_of([large, large._replace(order_id=2)])
    assert [row[6] for row in rows] == [2**32 - 2, 2**32 - 1]


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_rows_do_not_depend_on_the_cut_into_batches(batch_rows: int) -> None:
    batch = random_stream(31, 500)
    pieces = [slice_batch(batch, at, at + batch_rows) for at in range(0, 500, batch_rows)]
    assert_frame_equal(pl.concat(mbp_frames(pieces, 3)), mbp(batch, 3))


def test_a_frame_without_ts_in_delta_gives_0() -> None:
    records = to_frame(random_stream(34, 300)).lazy()
    rows = mbp_source(records.drop("ts_in_delta", "channel_id"), 1).collect()
    expected = mbp_source(records, 1).collect()
    assert_frame_equal(rows, expected.with_columns(ts_in_delta=pl.lit(0, pl.Int32)))
    assert (expected["ts_in_delta"] != 0).any()


def test_tbbo_is_the_trades_of_mbp_1() -> None:
    batch = random_stream(32, 2_000)
    tbbo = mbp(batch, 1, changes=False)
    assert_frame_equal(tbbo, mbp(batch, 1).filter(pl.col("action") == "T"))
    assert tbbo.height == np.count_nonzero(batch.action == Action.TRADE)


@pytest.mark.parametrize("depth", [1, 2, 10, 12])
def test_the_frame_has_the_columns_of_its_depth(depth: int) -> None:
    frame = mbp(random_stream(33, 500), depth)
    assert frame.schema == mbp_schema(depth)
    assert frame["rtype"].unique().to_list() == [{1: 1, 10: 10}.get(depth)]
