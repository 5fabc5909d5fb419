"""Tables in every form: exact as other readers see them, and there whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import databento
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from batonics.frames.columns.mbo_frame import SIDE_TYPE, TIME_TYPE
from batonics.frames.columns.prices import PriceKind, convert_prices, find_price_columns
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.model.errors import OutputError, UsageError
from batonics.model.prices import PriceUnit
from batonics.model.times import format_time
from batonics.sinks import columnar, text
from batonics.sinks.atomic import STDOUT
from batonics.sinks.tables import TABLE_FORMATS, find_format, open_table
from tests.support.dbn_files import list_names
from tests.support.threads import package_threads
from tests.support.vendor_frames import METADATA, frame_of, random_frame

OLD = b"what was there"
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "arrow": pl.read_ipc,
}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = package_threads()
    yield
    assert set(package_threads()) <= set(before)


def write(path: Path | str, *frames: pl.DataFrame, **settings: Any) -> None:
    with open_table(path, frames[0].schema, **settings) as table:
        for frame in frames:
            table.write(frame)


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    return zstd.decompress(data) if path.suffix == ".zst" else data


def named(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with symbols, some of them odd, and some missing."""
    symbols = ["AAA", None, 'a "b", c', "", "ÄÖ"]
    return frame.with_columns(
        symbol=pl.Series([symbols[at % 5] for at in range(frame.height)], dtype=pl.String)
    )


# The name.


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_a_name_tells_its_form(form: str) -> None:
    assert find_format(f"x.{form}") == form
    assert find_format(Path("some.where") / f"x.y.{form}") == form


def test_feather_is_arrow() -> None:
    assert find_format("x.feather") == "arrow"


@pytest.mark.parametrize("name", ["x", "x.zst", "x.parquet.zst", "x.CSV", "csv", "a.csv/x", ""])
def test_a_name_that_tells_no_form_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(UsageError, match=r"must end in one of \.parquet \.arrow \.csv"):
        find_format(name)


def test_standard_output_tells_no_form() -> None:
    with pytest.raises(
        UsageError, match="standard output has no name that tells the format: parquet"
    ):
        find_format(STDOUT)


# What is read back.


@pytest.mark.parametrize("form", list(READERS))
@pytest.mark.parametrize("schema", dbn_schemas())
def test_types_and_values_are_exact(schema: str, form: str, tmp_path: Path) -> None:
    frame, path = named(random_frame(schema, 300)), tmp_path / f"x.{form}"
    for settings in ({"schema": schema}, {}):
        write(path, frame[:100], frame[100:101], frame[101:], **settings)
        found = READERS[form](path)
        assert found.schema == frame.schema
        assert found.equals(frame)


def test_duckdb_reads_parquet_as_it_is(tmp_path: Path) -> None:
    frame, path = named(random_frame("mbp-10", 1_000)), tmp_path / "x.parquet"
    write(path, frame, schema="mbp-10")
    times = ", ".join(f"epoch_ns({name}) as {name}" for name in ("ts_recv", "ts_event"))
    found = duckdb.sql(f"select * replace ({times}) from '{path}'")
    assert found is not None
    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
    assert (kinds["price"], kinds["bid_sz_00"], kinds["flags"]) == (
        "BIGINT",
        "UINTEGER",
        "UTINYINT",
    )
    assert (kinds["action"], kinds["symbol"]) == ("VARCHAR", "VARCHAR")
    expected = frame.with_columns(pl.col("ts_recv", "ts_event").to_physical()).rows()
    assert found.fetchall() == expected


def test_the_vendors_client_reads_dbn_packed_or_not(tmp_path: Path) -> None:
    frame = random_frame("mbp-1", 100)
    for name in ("x.dbn", "x.dbn.zst"):
        write(tmp_path / name, frame[:60], frame[60:], schema="mbp-1", metadata=METADATA)
        store = databento.DBNStore.from_bytes((tmp_path / name).read_bytes())
        assert (str(store.schema), store.symbols) == ("mbp-1", ["AAA", "BBB"])
        assert frame_of(store.to_ndarray(), "mbp-1").equals(frame)
    assert plain(tmp_path / "x.dbn.zst") == plain(tmp_path / "x.dbn")


@pytest.mark.parametrize(
    ("name", "schema"), [("futures_mbo.csv", "mbo"), ("preview_mbp10.csv", "mbp-10")]
)
def test_csv_is_the_vendors_to_the_byte(
    name: str, schema: str, test_data: Path, tmp_path: Path
) -> None:
    vendor = (test_data / "esz2" / name).read_text()
    frame = vendor_csv(vendor, schema)
    write(tmp_path / "x.csv", frame, schema=schema)
    assert (tmp_path / "x.csv").read_text() == vendor


def vendor_csv(content: str, schema: str) -> pl.DataFrame:
    """The frame of a CSV file of the vendor, its numbers parsed one by one."""
    rows = list(csv.DictReader(StringIO(content)))
    columns = []
    for name, dtype in {**find_schema(schema).columns, "symbol": pl.String()}.items():
        values: list[Any] = [row[name] or None for row in rows]
        if dtype == TIME_TYPE:
            columns.append(pl.Series(name, values).str.to_datetime(time_unit="ns", time_zone="UTC"))
            continue
        if dtype == pl.Int64:
            values = [None if value is None else int(Decimal(value) * 10**9) for value in values]
        elif dtype.is_integer():
            values = [int(value) for value in values]
        columns.append(pl.Series(name, values, dtype))
    return pl.DataFrame(columns)


@pytest.mark.parametrize("schema", dbn_schemas())
@pytest.mark.parametrize("form", ["csv", "csv.zst"])
def test_csv_has_every_value_exactly(schema: str, form: str, tmp_path: Path) -> None:
    frame, path = named(random_frame(schema, 200)), tmp_path / f"x.{form}"
    write(path, frame, schema=schema)
    header, *rows = csv.reader(StringIO(plain(path).decode()))
    assert header == frame.columns
    expected = [[as_text(value) for value in row] for row in readable(frame, decimal_prices=True)]
    assert rows == expected


@pytest.mark.parametrize("schema", dbn_schemas())
@pytest.mark.parametrize("prices", ["decimal", "fixed"])
def test_ndjson_has_every_value_exactly(schema: str, prices: str, tmp_path: Path) -> None:
    frame = named(random_frame(schema, 200))
    for name in ("x.ndjson", "x.ndjson.zst"):
        write(tmp_path / name, frame, schema=schema, prices=prices)
        lines = plain(tmp_path / name).decode().splitlines()
        found = [json.loads(line) for line in lines]
        assert [list(row) for row in found] == [frame.columns] * frame.height
        assert [list(row.values()) for row in found] == readable(
            frame, decimal_prices=prices == "decimal"
        )


def readable(frame: pl.DataFrame, *, decimal_prices: bool) -> list[list[Any]]:
    """The rows as people read them, value by value."""
    columns = []
    for column in frame.get_columns():
        values = column.to_physical().to_list() if column.dtype == TIME_TYPE else column.to_list()
        if column.dtype == TIME_TYPE:
            values = [None if value is None else format_time(value) for value in values]
        if column.dtype == pl.Int64 and decimal_prices:
            values = [
                None if value is None else f"{Decimal(value).scaleb(-9):f}" for value in values
            ]
        if column.name == "order_id":
            values = [str(value) for value in values]
        columns.append(values)
    return [list(row) for row in zip(*columns, strict=True)]


def as_text(value: Any) -> str:
    return "" if value is None else str(value)


def test_frames_of_no_vendor_schema_have_their_types_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "ts": pl.Series([0, None, 1_700_000_000_000_000_001]).cast(TIME_TYPE),
            "side": pl.Series(["A", None, "B"], dtype=SIDE_TYPE),
            "bid_price": pl.Series([-1, None, 65_400_000_000]),
            "vwap": [0.1, None, -2.5],
            "dollar": pl.Series([Decimal(1), None, Decimal(10**30)], dtype=pl.Decimal(38, 0)),
            "is_open": [True, None, False],
        }
    )
    for form, read in READERS.items():
        write(tmp_path / f"x.{form}", frame)
        assert read(tmp_path / f"x.{form}").equals(frame)
        assert read(tmp_path / f"x.{form}").schema == frame.schema
    write(tmp_path / "x.csv", frame)
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "ts,side,bid_price,vwap,dollar,is_open",
        "1970-01-01T00:00:00.000000000Z,A,-0.000000001,1e-10,0.000000001,true",
        ",,,,,",
        f"2023-11-14T22:13:20.000000001Z,B,65.400000000,-2.5e-9,{10**21}.000000000,false",
    ]


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_no_rows_are_a_table_too(form: str, tmp_path: Path) -> None:
    frame, path = random_frame("trades", 0), tmp_path / f"x.{form}"
    settings: dict[str, Any] = {"schema": "trades", "metadata": METADATA}
    write(path, frame, frame, **settings)
    with open_table(tmp_path / f"y.{form}", frame.schema, **settings) as table:
        assert table.rows == 0
    assert (tmp_path / f"y.{form}").read_bytes() == path.read_bytes()
    if form in READERS:
        assert READERS[form](path).schema == frame.schema
    if form.startswith("csv"):
        assert plain(path).decode() == ",".join(frame.columns) + "\n"
    if form.startswith("ndjson"):
        assert plain(path) == b""


@pytest.mark.parametrize("form", TABLE_FORMATS)
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_bytes_do_not_depend_on_how_rows_were_cut(
    form: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "GROUP_ROWS", 50)
    frame = named(random_frame("mbp-1", 220))
    settings = {"schema": "mbp-1", "metadata": METADATA}
    write(tmp_path / f"whole.{form}", frame, **settings)
    monkeypatch.setattr(text, "TEXT_SLICE_ROWS", 10)
    write(tmp_path / f"cut.{form}", *frame.iter_slices(rows), **settings)
    found, expected = ((tmp_path / f"{name}.{form}").read_bytes() for name in ("cut", "whole"))
    if form == "arrow":
        # Arrow does not say which bits lie beneath a null and behind the last row.
        assert arrow_batches(found) == arrow_batches(expected)
    else:
        assert found == expected


def arrow_batches(data: bytes) -> list[pa.RecordBatch]:
    with pa.ipc.open_file(BytesIO(data)) as file:
        return [file.get_batch(at) for at in range(file.num_record_batches)]


def test_rows_are_written_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "GROUP_ROWS", 50)
    frame = random_frame("mbp-1", 220)
    for form in READERS:
        write(tmp_path / f"x.{form}", *frame.iter_slices(30), schema="mbp-1")
    found = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert [found.row_group(at).num_rows for at in range(found.num_row_groups)] == [50] * 4 + [20]
    batches = arrow_batches((tmp_path / "x.arrow").read_bytes())
    assert [batch.num_rows for batch in batches] == [50] * 4 + [20]


def test_the_schema_says_units_and_where_nulls_may_be() -> None:
    schema = columnar.arrow_schema(named(random_frame("mbp-1", 0)).schema, is_vendor=True)
    nullable = {field.name for field in schema if field.nullable}
    assert nullable == {
        "ts_recv", "ts_event", "price", "size", "bid_px_00", "ask_px_00", "symbol",
    }  # fmt: skip
    priced = {field.name for field in schema if (field.metadata or {}).get(b"note")}
    assert priced == {"price", "bid_px_00", "ask_px_00"}
    assert schema.field("price").metadata == {b"note": b"units of 1e-9"}
    free = columnar.arrow_schema(random_frame("mbp-1", 0).schema, is_vendor=False)
    assert all(field.nullable for field in free)


def test_rows_are_counted(tmp_path: Path) -> None:
    frame = random_frame("trades", 30)
    with open_table(tmp_path / "x.csv", frame.schema) as table:
        table.write(frame)
        table.write(frame[:5])
        assert table.rows == 35


@pytest.mark.parametrize("form", list(READERS))
@pytest.mark.parametrize("unit", ["fixed", "decimal", "float"])
def test_a_file_has_its_prices_in_one_unit_and_says_where_it_is_1e_9(
    unit: PriceUnit, form: str, tmp_path: Path
) -> None:
    frame = pl.DataFrame({"bid_price": [64_820_000_000], "mid": [64_825_000_000.0], "size": [1]})
    path = tmp_path / f"x.{form}"
    write(path, frame, prices=unit)
    kinds = find_price_columns(frame.schema)
    assert READERS[form](path).equals(convert_prices(frame, kinds, unit))
    schema = pq.read_schema(path) if form == "parquet" else pa.ipc.open_file(path).schema
    noted = [field.name for field in schema if (field.metadata or {}).get(b"note")]
    assert noted == (["bid_price", "mid"] if unit == "fixed" else [])


def test_columns_that_a_query_declares_are_the_only_prices(tmp_path: Path) -> None:
    frame = pl.DataFrame({"price": [1], "worst": [64_820_000_000]})
    write(tmp_path / "x.csv", frame, price_columns={"worst": PriceKind.PRICE})
    assert (tmp_path / "x.csv").read_text() == "price,worst\n1,64.820000000\n"


@pytest.mark.parametrize(
    ("zone", "end"), [("UTC", "Z"), (None, ""), ("America/New_York", "-05:00")]
)
def test_only_a_time_in_utc_ends_in_z(zone: str | None, end: str, tmp_path: Path) -> None:
    time = pl.Series("ts", ["2024-01-02T03:04:05.000000006"]).str.to_datetime(time_unit="ns")
    frame = pl.DataFrame([time.dt.replace_time_zone(zone)])
    write(tmp_path / "x.csv", frame)
    assert (tmp_path / "x.csv").read_text().split() == ["ts", f"2024-01-02T03:04:05.000000006{end}"]


# What is refused.


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("x.dbn", {}, "x.dbn: DBN holds the vendor's records; these columns are not one"),
        ("x.dbn", {"schema": "mbp-1"}, "column bid_px_00 of schema mbp-1 is missing"),
        ("x.parquet", {"schema": "mbo"}, "of schema mbo is missing or in another place"),
        ("x.dbn", {"schema": "trades", "prices": "float"}, "DBN holds prices as integers of 1e-9"),
        ("x.csv", {"schema": "mbp-0"}, "no schema 'mbp-0'"),
        ("x.csv", {"schema": "mbp-3"}, "column bid_px_00 of schema mbp-3 is missing"),
        ("x.txt", {}, "the name must end in one of"),
        (
            "x.csv",
            {"file_format": "xml"},
            "there is no format 'xml'; there are parquet, arrow",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_anything_is_written(
    name: str, settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    columns = find_schema("trades").columns
    with (
        pytest.raises(UsageError, match=words) as raised,
        open_table(tmp_path / name, columns, **settings),  # type: ignore[arg-type]
    ):
        pytest.fail("the block was entered")
    assert "\n" not in str(raised.value)
    assert list_names(tmp_path) == []


@pytest.mark.parametrize(
    ("form", "dtype"),
    [("csv", pl.List(pl.Int64)), ("parquet", pl.Int128()), ("arrow", pl.Int128())],
)
def test_a_type_that_a_form_cannot_hold_is_named(
    form: str, dtype: pl.DataType, tmp_path: Path
) -> None:
    with (
        pytest.raises(UsageError, match=f"column odd is .*, which {form} cannot hold"),
        open_table(tmp_path / f"x.{form}", pl.Schema({"odd": dtype})),
    ):
        pytest.fail("the block was entered")
    assert list_names(tmp_path) == []


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_a_frame_of_other_columns_leaves_nothing(form: str, tmp_path: Path) -> None:
    frame, path = random_frame("trades", 10), tmp_path / f"x.{form}"
    for words, other in {
        "column price is missing": frame.drop("price"),
        "column price is Float64, expected Int64": frame.cast({"price": pl.Float64}),
        "columns are .*, expected ts_recv, ts_event": frame.select(reversed(frame.columns)),
        "columns are .*, symbol, expected ts_recv": named(frame),
        "column sequence has 10 nulls; the schema allows none": frame.with_columns(
            pl.lit(None, pl.UInt32).alias("sequence")
        ),
    }.items():
        path.write_bytes(OLD)
        with pytest.raises(UsageError, match=words):
            write(path, frame, other, schema="trades")
        assert list_names(tmp_path) == [path.name]
        assert path.read_bytes() == OLD


def test_a_row_that_is_no_record_is_refused_from_the_thread(tmp_path: Path) -> None:
    frame = random_frame("bbo-1s", 10)
    with pytest.raises(UsageError, match="rtype is 195, expected 196"):
        write(tmp_path / "x.dbn", frame, schema="bbo-1m")
    assert list_names(tmp_path) == []


# Whole or not at all.


@pytest.mark.parametrize("form", TABLE_FORMATS)
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, OutputError])
def test_an_error_in_the_block_passes_and_leaves_what_was_there(
    kind: type[BaseException], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "GROUP_ROWS", 50)
    frame, path = random_frame("trades", 220), tmp_path / f"x.{form}"
    path.write_bytes(OLD)

    def fail() -> None:
        with open_table(path, frame.schema, schema="trades") as table:
            table.write(frame)
            raise kind("mine")

    with pytest.raises(kind, match="mine"):
        fail()
    assert list_names(tmp_path) == [path.name]
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_a_full_disk_is_one_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "GROUP_ROWS", 50)
    frame = random_frame("mbp-10", 2_000)
    with pytest.raises(OutputError) as raised:
        write("/dev/full", *[frame] * 3, file_format=form, schema="mbp-10")
    assert str(raised.value) == "/dev/full: cannot be written: No space left on device"


def test_a_directory_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.parquet"
    with pytest.raises(OutputError) as raised:
        write(path, random_frame("trades", 1))
    assert str(raised.value) == f"{path}: cannot be written: No such file or directory"


STDOUT_SCRIPT = """
import sys
from batonics.model.errors import BatonicsError
from batonics.sinks import columnar
from batonics.sinks.tables import open_table
from tests.support.vendor_frames import random_frame

columnar.GROUP_ROWS = 50
frame = random_frame("trades", 220)
try:
    with open_table("-", frame.schema, file_format=sys.argv[1], schema="trades") as table:
        for _ in range(int(sys.argv[2])):
            table.write(frame)
        if sys.argv[3] == "fail":
            raise ValueError("mine")
except (BatonicsError, ValueError) as error:
    print(error, file=sys.stderr)
"""


def run(form: str, frames: int, end: str, **pipes: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STDOUT_SCRIPT, form, str(frames), end],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        **pipes,
    )


def test_standard_output_is_written_to_in_the_form_that_is_given(tmp_path: Path) -> None:
    frame = random_frame("trades", 220)
    for form in ("parquet", "csv.zst"):
        with run(form, 1, "well") as process:
            found, errors = process.communicate()
        assert errors == b""
        (tmp_path / f"found.{form}").write_bytes(found)
    assert pl.read_parquet(tmp_path / "found.parquet").equals(frame)
    write(tmp_path / "x.csv.zst", frame, schema="trades")
    assert (tmp_path / "found.csv.zst").read_bytes() == (tmp_path / "x.csv.zst").read_bytes()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_table_cut_short_on_standard_output_does_not_look_whole(form: str) -> None:
    with run(form, 3, "fail") as process:
        found, errors = process.communicate()
    assert errors == b"mine\n"
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(BytesIO(found)) if form == "parquet" else pa.ipc.open_file(BytesIO(found))


@pytest.mark.parametrize("form", ["parquet", "ndjson", "dbn"])
def test_a_reader_that_goes_away_is_one_line(form: str) -> None:
    with run(form, 1_000, "well") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.stderr.read() == b"<stdout>: the reader has gone away\n"
