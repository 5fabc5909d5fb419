"""Definitions beside rows: ticks by instrument and day, spreads in ticks, prices as displayed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from databento_dbn import InstrumentDefMsg

import batonics
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.model.mbo import UNDEF_PRICE, Action, Side
from batonics.model.times import NS_PER_DAY
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record

DEFINITION = SCHEMA_NAMES.index("definition")


def definition(
    instrument_id: int, tick: int, *, factor: int = 10**9, ts_recv: int = DAY_NS, action: str = "A"
) -> bytes:
    """A definition record of version 3, laid out by the vendor's own dtypes."""
    row = np.zeros(1, InstrumentDefMsg._dtypes)
    row["length"], row["rtype"] = row.dtype.itemsize // 4, 0x13
    row["instrument_id"], row["ts_recv"] = instrument_id, ts_recv
    row["min_price_increment"], row["display_factor"] = tick, factor
    row["security_update_action"] = action
    return row.tobytes()


def file_of(path: Path, *records: bytes) -> Path:
    path.write_bytes(metadata(schema=DEFINITION) + b"".join(records))
    return path


def quotes(instrument_id: int, bid: int, ask: int, ts_recv: int = DAY_NS) -> list[bytes]:
    """Two records that make a book; prices of 1e-9."""
    return [
        encode(
            [
                record(
                    Action.ADD,
                    instrument_id=instrument_id,
                    side=side,
                    order_id=ts_recv + price,
                    ts_recv=ts_recv,
                )._replace(price=price)
            ]
        )
        for side, price in ((Side.BID, bid), (Side.ASK, ask))
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mbo.dbn"
    rows = [
        *quotes(1, 100_250_000_000, 100_750_000_000),
        *quotes(2, 64_800_000_000, 64_830_000_000),
        *quotes(1, 100_500_000_000, 100_625_000_000, DAY_NS + NS_PER_DAY),
    ]
    path.write_bytes(metadata() + b"".join(rows))
    return path


def test_ticks_are_those_of_the_instrument_and_its_day(source: Path, tmp_path: Path) -> None:
    definitions = file_of(
        tmp_path / "definitions.dbn",
        definition(1, 250_000_000, factor=10_000_000, ts_recv=DAY_NS + 5 * 10**9),
        definition(2, UNDEF_PRICE, factor=UNDEF_PRICE),
    )
    rows = batonics.scan_mbo(source).mbo.mbp(1)  # type: ignore[attr-defined]
    ticks = batonics.with_definitions(rows, definitions)
    found = ticks.select(
        "instrument_id", "min_price_increment", "display_factor", "spread_ticks"
    ).collect()
    assert found.rows() == [
        # The first of a day holds from its beginning.
        (1, 250_000_000, 10_000_000, None),
        (1, 250_000_000, 10_000_000, 2.0),
        (2, None, None, None),
        (2, None, None, None),
        # The next day has none.
        (1, None, None, None),
        (1, None, None, None),
    ]
    whole = ticks.collect()
    assert whole.columns[: len(rows.collect_schema())] == rows.collect_schema().names()
    of_one = ticks.filter(pl.col("instrument_id") == 2).collect()
    assert of_one.equals(whole.filter(pl.col("instrument_id") == 2))


def test_a_later_definition_of_a_day_holds_from_its_time_on(source: Path, tmp_path: Path) -> None:
    later = DAY_NS + NS_PER_DAY
    definitions = [
        file_of(
            tmp_path / "1.dbn", definition(1, 250_000_000), definition(1, 1, ts_recv=later - 1)
        ),
        file_of(
            tmp_path / "2.dbn",
            definition(1, 125_000_000, ts_recv=later - NS_PER_DAY + 1),
            definition(1, 5, ts_recv=later),
            definition(1, 5, ts_recv=later, action="D"),
        ),
    ]
    records = batonics.with_definitions(batonics.scan_mbo(source), definitions)
    found = records.filter(pl.col("instrument_id") == 1).collect()
    assert found["min_price_increment"].to_list() == [250_000_000, 250_000_000, None, None]


@pytest.mark.parametrize("measure", ["measures", "bbo", "depth", "trade_measures"])
def test_any_frame_can_have_them(measure: str, source: Path, tmp_path: Path) -> None:
    definitions = file_of(tmp_path / "definitions.dbn", definition(1, 250_000_000))
    arguments = {"measures": ("spread",), "depth": (1,)}.get(measure, ())
    rows = getattr(batonics.scan_mbo(source).mbo, measure)(*arguments)  # type: ignore[attr-defined]
    ticks = batonics.with_definitions(rows, definitions).collect()
    assert ticks["min_price_increment"].drop_nulls().is_in([250_000_000]).all()
    if measure != "trade_measures":
        assert 2.0 in ticks["spread_ticks"].to_list()


def test_convert_writes_ticks_and_prices_as_displayed(source: Path, tmp_path: Path) -> None:
    definitions = file_of(
        tmp_path / "definitions.dbn", definition(1, 250_000_000), definition(2, 10_000_000)
    )
    arguments = ("--schema", "mbp-1", "--definitions", definitions, "--quiet")
    assert run_in_process("convert", source, *arguments, "--out", tmp_path / "x.parquet").code == 0
    exact = pl.read_parquet(tmp_path / "x.parquet")
    assert exact.columns[-4:] == ["symbol", "min_price_increment", "display_factor", "spread_ticks"]
    assert exact["spread_ticks"].to_list()[:4] == [None, 2.0, None, 3.0]
    assert run_in_process("convert", source, *arguments, "--out", tmp_path / "x.csv").code == 0
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["bid_px_00"] for row in rows] == [
        "100.25", "100.25", "64.80", "64.80", "100.500000000", "100.500000000",
    ]  # fmt: skip
    assert [row["ask_px_00"] for row in rows][1:4] == ["100.75", "", "64.83"]
    assert [row["min_price_increment"] for row in rows][:3] == ["0.25", "0.25", "0.01"]
    out = tmp_path / "x.ndjson"
    assert (
        run_in_process("convert", source, *arguments, "--prices", "decimal", "--out", out).code == 0
    )
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["ask_px_00"] for line in lines][:4] == [None, "100.75", None, "64.83"]


def test_definitions_may_be_in_the_stream_itself(tmp_path: Path) -> None:
    first, second = quotes(1, 100_250_000_000, 100_750_000_000)
    source = tmp_path / "live.dbn"
    mixed = first + definition(1, 250_000_000) + second
    source.write_bytes(metadata(schema=0xFFFF) + mixed)
    out = tmp_path / "x.parquet"
    done = run_in_process("convert", source, "--schema", "mbp-1", "--ticks", "--out", out)
    assert done.code == 0, done.err
    assert pl.read_parquet(out)["spread_ticks"].to_list() == [None, 2.0]


def test_prices_that_their_tick_cannot_tell_are_not_cut(tmp_path: Path) -> None:
    source = tmp_path / "mbo.dbn"
    source.write_bytes(metadata() + b"".join(quotes(1, -100_500_000_000, 7_000_000_001)))
    definitions = file_of(tmp_path / "definitions.dbn", definition(1, 10**9))
    out = tmp_path / "x.csv"
    arguments = ("--schema", "mbo", "--definitions", definitions, "--out", out)
    assert run_in_process("convert", source, *arguments).code == 0
    with out.open() as file:
        assert [row["price"] for row in csv.DictReader(file)] == ["-100.5", "7.000000001"]


def test_the_vendors_definitions(test_data: Path) -> None:
    venues = test_data / "venues"
    records = batonics.scan_mbo(venues / "GLBX.MDP3.mbo.dbn.zst")
    found = batonics.with_definitions(records, venues / "GLBX.MDP3.definition.dbn.zst").collect()
    assert found["min_price_increment"].unique().to_list() == [250_000_000]
    assert found["display_factor"].unique().to_list() == [10_000_000]
    # Of a stock there is no constant tick.
    rows = batonics.scan_mbo(venues / "XNAS.ITCH.mbo.dbn.zst").mbo.mbp(1)  # type: ignore[attr-defined]
    found = batonics.with_definitions(rows, venues / "XNAS.ITCH.definition.dbn.zst").collect()
    assert found["min_price_increment"].is_null().all()


def test_what_is_wrong_is_one_line(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    arguments = ("convert", source, "--schema", "mbp-1", "--out", out, "--definitions")
    assert "expected definition" in error_line(run_in_process(*arguments, source), 3)
    assert "cannot be opened" in error_line(run_in_process(*arguments, tmp_path / "none"), 3)
    (tmp_path / "text").write_text('{"type":"clear","symbol":"X"}\n')
    assert "not a DBN file" in error_line(run_in_process(*arguments, tmp_path / "text"), 3)
    definitions = file_of(tmp_path / "definitions.dbn", definition(1, 1))
    words = error_line(run_in_process(*arguments, definitions, "--format", "dbn"), 2)
    assert "no columns for ticks" in words
    before = definitions.read_bytes()
    itself = ("--definitions", definitions, "--out", definitions, "--format", "csv")
    words = error_line(run_in_process("convert", source, "--schema", "mbp-1", *itself), 2)
    assert "is an input" in words
    assert definitions.read_bytes() == before
    with pytest.raises(batonics.UsageError, match="column instrument_id is missing"):
        batonics.with_definitions(pl.LazyFrame({"publisher_id": [1]}), definitions)
