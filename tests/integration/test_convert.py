"""`batonics convert`: what is written is what `.mbo` gives, in every form, or nothing is."""

from __future__ import annotations

import io
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import databento
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.model.mbo import Action
from batonics.sources.stream import BATCH_ROWS
from tests.support.command import SAMPLE, SCRIPT, environment, error_line, run_in_process
from tests.support.command import run_command as run
from tests.support.dbn_files import DAY_NS, SMALL, adds, encode, list_names, metadata, record
from tests.support.lakes import OWN_SCHEMAS

WINDOW = "2026-01-05T14:31:00Z", "2026-01-05T14:35:00Z"


def convert(out: Path, schema: str, *arguments: str | Path, source: Path = SAMPLE) -> None:
    done = run_in_process(
        "convert", source, "--schema", schema, "--out", out, "--quiet", *arguments
    )
    assert done.code == 0, done.err
    assert done.err == ""


def derived(schema: str) -> pl.DataFrame:
    """The same by the LazyFrame, with the symbol of each row's time."""
    records = batonics.scan_mbo(SAMPLE)
    rows = find_schema(schema).rows(records).collect()
    symbols = records.select("instrument_id", "symbol").unique().collect()
    return rows.join(symbols, on="instrument_id", how="left", maintain_order="left")


@pytest.mark.parametrize("schema", dbn_schemas())
def test_parquet_holds_the_schemas_rows_and_symbols(schema: str, tmp_path: Path) -> None:
    convert(tmp_path / "x.parquet", schema)
    found = pl.read_parquet(tmp_path / "x.parquet")
    assert found.schema == pl.Schema({**find_schema(schema).columns, "symbol": pl.String()})
    assert found.height > 0
    assert_frame_equal(found, derived(schema))


@pytest.mark.parametrize("schema", dbn_schemas())
def test_the_vendors_client_reads_the_dbn(schema: str, tmp_path: Path) -> None:
    convert(tmp_path / "x.dbn.zst", schema)
    data = (tmp_path / "x.dbn.zst").read_bytes()
    store = databento.DBNStore.from_bytes(io.BytesIO(data))
    rows = derived(schema)
    assert str(store.schema) == schema
    assert store.dataset == "SIM.BATONICS"
    assert store.symbols == [f"SIM{number}" for number in range(5)]
    records = store.to_ndarray()
    assert len(records) == rows.height
    for name in ("instrument_id", "publisher_id"):
        assert records[name].tolist() == rows[name].to_list()
    last = rows.columns[-2]
    expected = rows[last].fill_null(2**63 - 1) if rows[last].dtype == pl.Int64 else rows[last]
    assert records[last].tolist() == expected.to_list()


@pytest.mark.parametrize("form", ["arrow", "csv", "csv.zst", "ndjson", "dbn", "parquet"])
def test_every_form_has_every_row(form: str, tmp_path: Path) -> None:
    out = tmp_path / f"x.{form}"
    convert(out, "trades")
    rows = derived("trades").height
    match form:
        case "arrow":
            assert pl.read_ipc(out.read_bytes()).height == rows
        case "csv" | "csv.zst":
            assert pl.read_csv(out, infer_schema=False).height == rows
        case "ndjson":
            assert pl.read_ndjson(out).height == rows
        case "parquet":
            assert pl.read_parquet(out).height == rows
        case _:
            assert (out.stat().st_size % 8, rows > 0) == (0, True)


def test_rows_are_selected_by_time_and_books_still_begin_at_the_beginning(tmp_path: Path) -> None:
    convert(tmp_path / "x.parquet", "mbp-10", "--start", WINDOW[0], "--end", WINDOW[1])
    found = pl.read_parquet(tmp_path / "x.parquet")
    start, end = (pl.lit(text).str.to_datetime(time_unit="ns", time_zone="UTC") for text in WINDOW)
    time = pl.col("ts_recv")
    expected = derived("mbp-10").filter(time >= start, time < end)
    assert found.height > 0
    assert_frame_equal(found, expected)


def test_only_the_symbols_asked_for_are_written(tmp_path: Path) -> None:
    convert(tmp_path / "x.parquet", "bbo-1s", "--symbols", "SIM1,SIM3")
    found = pl.read_parquet(tmp_path / "x.parquet")
    assert set(found["symbol"]) == {"SIM1", "SIM3"}
    convert(tmp_path / "x.dbn", "bbo-1s", "--symbols", "SIM1,SIM3")
    store = databento.DBNStore.from_bytes(io.BytesIO((tmp_path / "x.dbn").read_bytes()))
    assert store.symbols == ["SIM1", "SIM3"]


@pytest.mark.parametrize("form", ["parquet", "csv", "ndjson"])
def test_times_are_of_the_zone_asked_for(form: str, tmp_path: Path) -> None:
    out = tmp_path / f"x.{form}"
    convert(out, "trades", "--tz", "America/Chicago")
    times = derived("trades")["ts_recv"].dt.convert_time_zone("America/Chicago")
    if form == "parquet":
        found = pl.read_parquet(out)["ts_recv"]
        assert found.to_list() == times.to_list()
        assert found.dtype == pl.Datetime("ns", "America/Chicago")
    else:
        text = pl.read_csv(out) if form == "csv" else pl.read_ndjson(out)
        assert text["ts_recv"].to_list() == times.dt.strftime("%Y-%m-%dT%H:%M:%S%.9f%:z").to_list()
        assert text["ts_recv"][0].startswith("2026-01-05T08:30:")
        assert text["ts_recv"][0].endswith("-06:00")


def test_bounds_without_an_offset_are_in_the_zone(tmp_path: Path) -> None:
    convert(tmp_path / "a.parquet", "trades", "--start", "2026-01-05T14:31", "--end", "2026-01-06")
    zone = ("--tz", "America/Chicago", "--start", "2026-01-05T08:31", "--end", "2026-01-05T18:00")
    convert(tmp_path / "b.parquet", "trades", *zone)
    expected, found = (pl.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert 0 < found.height < derived("trades").height
    assert found["sequence"].equals(expected["sequence"])


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "ndjson", "json"])
def test_prices_have_the_unit_that_is_asked_for(form: str, tmp_path: Path) -> None:
    expected = derived("trades")["price"]
    for unit in ("fixed", "decimal", "float"):
        out = tmp_path / f"{unit}.{form}"
        convert(out, "trades", "--prices", unit)
        read: dict[str, Any] = {
            "parquet": pl.read_parquet,
            "arrow": pl.read_ipc,
            "json": pl.read_json,
        }
        if form == "csv":
            prices = pl.read_csv(out, schema_overrides={"price": pl.String})["price"]
        else:
            prices = read.get(form, pl.read_ndjson)(out)["price"]
        exact = [Decimal(str(price)) for price in prices]
        whole = exact if unit == "fixed" else [price * 10**9 for price in exact]
        assert whole == expected.to_list()


def test_extra_columns_follow_the_symbol(tmp_path: Path) -> None:
    hours = "9:30-16:00 America/New_York"
    extra = ("status", "crossed", "book_status")
    for schema in ("mbp-2", "bbo-1s", "depth-1s"):
        out = tmp_path / f"{schema}.parquet"
        convert(out, schema, "--extra", ",".join(extra), "--session", hours)
        found = pl.read_parquet(out)
        assert_frame_equal(found.drop(extra), derived(schema))
        assert found.columns[-4:] == ["symbol", *extra]
        assert set(found["status"]) == {"trading"}
        assert set(found["book_status"]) == {"synced"}
        best = pl.col("bid_px_00") >= pl.col("ask_px_00")
        assert found["crossed"].equals(found.select(best.fill_null(value=False)).to_series())


def test_mbp_of_another_depth_has_its_columns(tmp_path: Path) -> None:
    convert(tmp_path / "x.parquet", "mbp-3")
    found = pl.read_parquet(tmp_path / "x.parquet")
    assert found.columns[-2:] == ["ask_ct_02", "symbol"]


@pytest.mark.parametrize("schema", ["tbbo", "mbp-1", "mbp-10"])
def test_levels_over_all_publishers_are_those_of_the_namespace(schema: str, tmp_path: Path) -> None:
    convert(tmp_path / "x.parquet", schema, "--consolidated")
    found = pl.read_parquet(tmp_path / "x.parquet").drop("symbol")
    records = batonics.scan_mbo(SAMPLE)
    assert_frame_equal(found, find_schema(schema).rows(records, consolidated=True).collect())


def test_standard_output_needs_a_form() -> None:
    done = run("convert", "-", "--schema", "mbo", "--out", "-", "--format", "csv", stdin=SMALL)
    assert done.code == 0, done.err
    lines = done.out.decode().splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(
        "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,price"
    )
    assert "100.000000000" in lines[1]
    error_line(run_in_process("convert", SAMPLE, "--schema", "mbo", "--out", "-"), 2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--schema", "mbp-0", "--out", "x.csv"], 2, "no schema 'mbp-0'; there are mbo, trades"),
        (["--schema", "mbp-10", "--out", "x.xls"], 2, "the name must end in one of"),
        (["--schema", "mbp-3", "--out", "x.dbn"], 2, "DBN has no record of schema mbp-3"),
        (["--schema", "orders", "--out", "x.dbn"], 2, "DBN has no record of schema orders"),
        (["--schema", "bbo-60s", "--out", "x.csv"], 2, "schema bbo-60s is named bbo-1m"),
        (["--schema", "trades", "--consolidated", "--out", "x.csv"], 2, "is not consolidated"),
        (["--schema", "mbo", "--symbols", "SIM9", "--out", "x.csv"], 2, "did you mean SIM"),
        (["--schema", "mbo", "--out", "gone/x.csv"], 4, "cannot be written"),
        (["--schema", "mbo", "--start", "2", "--end", "1", "--out", "x.csv"], 2, "is not before"),
        (["--schema", "mbo", "--tz", "Mars/Base", "--out", "x.csv"], 2, "no time zone"),
        (["--schema", "mbo", "--tz", "Asia/Tokyo", "--out", "x.dbn"], 2, "are UTC"),
        (["--schema", "trades", "--extra", "crossed", "--out", "x.csv"], 2, "no best bid and ask"),
        (["--schema", "mbp-1", "--extra", "colour", "--out", "x.csv"], 2, "'colour' is unknown"),
        (["--schema", "mbp-1", "--extra", "status", "--out", "x.dbn"], 2, "no extra columns"),
        (["--schema", "mbo", "--session", "all day", "--out", "x.csv"], 2, "expected hours such"),
        (["--schema", "mbo", "--start", "noon", "--out", "x.csv"], 2, "not a time"),
    ],
)
def test_a_call_that_cannot_be_is_one_line_and_writes_nothing(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in error_line(run_in_process("convert", SAMPLE, *arguments), code)
    assert list_names(tmp_path) == []


def test_damaged_input_leaves_nothing_half_written(tmp_path: Path) -> None:
    source, out = tmp_path / "cut.dbn", tmp_path / "out"
    source.write_bytes(SMALL[:-10])
    out.mkdir()
    for form in ("parquet", "csv", "dbn.zst"):
        done = run_in_process("convert", source, "--schema", "mbp-10", "--out", out / f"x.{form}")
        assert "within" in error_line(done, 3) or "ends after" in done.err
        assert list_names(out) == []


def test_several_files_are_one_stream(tmp_path: Path) -> None:
    first, second = tmp_path / "1.dbn", tmp_path / "2.dbn"
    first.write_bytes(SMALL)
    later = [row._replace(order_id=row.order_id + 100) for row in adds(4, ts_recv=DAY_NS + 10**9)]
    second.write_bytes(metadata() + encode(later))
    out = tmp_path / "x.parquet"
    done = run_in_process("convert", first, second, "--schema", "mbp-1", "--out", out, "--quiet")
    assert done.code == 0, done.err
    found = pl.read_parquet(out)
    # The second file's orders stand with those of the first: 100 is the best price of both books.
    assert found["bid_ct_00"][-1] > 2


def test_rows_before_the_end_are_those_of_all_records(tmp_path: Path) -> None:
    # An end in the middle of a bar leaves the bar whole.
    bars = derived("ohlcv-1s")
    middle = bars["ts_event"].unique().sort()[20]
    end = int(bars.filter(ts_event=middle)["ts_event"].cast(pl.Int64)[0]) + 500_000_000
    convert(tmp_path / "x.parquet", "ohlcv-1s", "--end", str(end))
    found = pl.read_parquet(tmp_path / "x.parquet")
    assert_frame_equal(found, bars.filter(pl.col("ts_event").cast(pl.Int64) < end))


def test_nothing_is_read_behind_the_end(tmp_path: Path) -> None:
    rows = 4 * BATCH_ROWS
    records = [record(Action.TRADE, ts_recv=DAY_NS + n * 10**8) for n in range(64)]
    path = tmp_path / "long.dbn"
    # The last record is damaged: who reads it says so.
    path.write_bytes(metadata() + encode(records) + encode([records[-1]]) * rows + bytes(56))
    out, end = tmp_path / "x.parquet", str(DAY_NS + 2 * 10**9)
    convert(out, "trades", "--end", end, source=path)
    assert pl.read_parquet(out).height == 20
    done = run_in_process("convert", path, "--schema", "trades", "--out", out, "-q")
    assert "length byte is 0" in error_line(done, 3)


def test_a_redirected_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    source, out = tmp_path / "x.dbn", tmp_path / "y.dbn"
    source.write_bytes(SMALL)
    with source.open("rb") as file:
        command = [*SCRIPT, "convert", "-", "--schema", "mbo", "--out", str(out), "-q"]
        subprocess.run(command, stdin=file, env=environment(), check=True)
    store = databento.DBNStore.from_bytes(io.BytesIO(out.read_bytes()))
    assert len(store.to_ndarray()) == 20


@pytest.mark.parametrize("bound", ["9300000000000000000", str(2**64 - 2)])
def test_bounds_beyond_the_times_of_frames_are_taken(bound: str, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    convert(out, "mbp-1", "--end", bound)
    assert pl.read_parquet(out).height == derived("mbp-1").height


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (
            ("--start", "2026-01-05T15:00"),
            "the start, 2026-01-05T15:00:00.000000000Z, is after the",
        ),
        (("--start", str(2**64 - 2)), "is after the last record; the records are from 2026-01-05T"),
        (
            ("--end", "2026-01-05"),
            "is not after the first record, at 2026-01-05T14:30:00.000075000Z",
        ),
        (("--start", "2025-01-01", "--end", "2025-01-02"), "is not after the first record"),
    ],
)
@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.dbn", "x.ndjson"])
def test_times_outside_the_input_are_refused(
    name: str, bounds: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    out = tmp_path / name
    done = run_in_process("convert", SAMPLE, "--schema", "mbp-1", "--out", out, "-q", *bounds)
    assert words in error_line(done, 2)
    assert not out.exists()


def test_a_quiet_time_within_the_input_has_no_rows(tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    bounds = "--start", "2026-01-05T14:30:00.000076Z", "--end", "2026-01-05T14:30:00.000077Z"
    done = run_in_process("convert", SAMPLE, "--schema", "trades", "--out", out, "-q", *bounds)
    assert done.code == 0
    assert done.err == (
        "batonics: warning: no rows: the input has nothing for trades from"
        " 2026-01-05T14:30:00.000076000Z and before 2026-01-05T14:30:00.000077000Z\n"
    )
    assert pl.read_parquet(out).height == 0


@pytest.mark.parametrize(
    "command", [("convert", "--schema", "trades", "--out"), ("reconstruct", "--out")]
)
def test_an_input_is_not_replaced_by_the_output(command: tuple[str, ...], tmp_path: Path) -> None:
    source = tmp_path / "x.dbn"
    source.write_bytes(SMALL)
    words = error_line(run_in_process(*command, source, source, "-q"), 2)
    assert "is an input" in words
    assert source.read_bytes() == SMALL


@pytest.mark.parametrize("schema", [*OWN_SCHEMAS, "mbp-3", "bbo-5s", "ohlcv-5m"])
@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_schemas_that_dbn_has_not_are_written_in_other_formats(
    schema: str, ending: str, tmp_path: Path
) -> None:
    out = tmp_path / f"x.{ending}"
    convert(out, schema)
    expected = find_schema(schema).rows(batonics.scan_mbo(SAMPLE)).collect()
    if ending == "parquet":
        assert_frame_equal(pl.read_parquet(out).drop("symbol"), expected)
    else:
        assert out.read_text().count("\n") == expected.height + (ending == "csv")


def test_times_select_orders_by_their_ends(tmp_path: Path) -> None:
    orders = find_schema("orders")
    rows = orders.rows(batonics.scan_mbo(SAMPLE)).collect()
    times = rows.select(orders.time.alias("time"))["time"]
    middle = str(times.sort().to_physical()[rows.height // 2])
    convert(tmp_path / "before.parquet", "orders", "--end", middle)
    convert(tmp_path / "after.parquet", "orders", "--start", middle)
    found = [pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("before", "after")]
    assert [frame.height > 0 for frame in found] == [True, True]
    assert_frame_equal(pl.concat(found).drop("symbol"), rows)


@pytest.mark.parametrize(
    "command",
    [
        ("convert", "--schema", "mbp-1", "--out", "x.parquet"),
        ("inspect",),
        ("reconstruct",),
    ],
)
def test_books_that_begin_mid_session_are_said_to_be_cold(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cold.dbn").write_bytes(encode(adds(4)))
    said = "cold: 2 of 2 books: the book began mid-session, without a clear or a snapshot"
    assert run_in_process(*command, "cold.dbn").err.count(said) == 1
    assert run_in_process(*command, "cold.dbn", "--quiet").err == ""
    assert "mid-session" not in run_in_process(*command, SAMPLE).err
    if command[0] == "convert":  # trades do not depend on the book before them
        of_trades = ("convert", "--schema", "trades", "--out", "y.parquet", "cold.dbn")
        assert "mid-session" not in run_in_process(*of_trades).err
