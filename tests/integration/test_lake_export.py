"""`batonics lake export`: Delta tables that hold what the lake has, to the bit, or what they held.

The rule here: a table is read by readers that know nothing of us, and what they read is cast back
to the lake's types before it is compared with the lake.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from polars.testing import assert_frame_equal

from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.jobs import lake_export
from batonics.jobs.lake_compact import compact_lake
from batonics.jobs.lake_export import export_lake
from batonics.lake.lake import Lake
from batonics.model.errors import OutputError
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP, Action, Side
from batonics.sinks.delta import TABLE_LOCK_FILE, open_delta
from batonics.sinks.delta_types import delta_columns
from tests.support.bucket_server import lake as bucket
from tests.support.bucket_server import server
from tests.support.command import (
    SAMPLE,
    SCRIPT,
    environment,
    error_line,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import (
    FAIL,
    KILL,
    SHORT,
    Call,
    FaultyCommands,
    faulty_commands,
    sample_calls,
)
from tests.support.lakes import OWN_SCHEMAS, load, read_lake, sort_by_part
from tests.support.reference_books import Record

__all__ = ["bucket", "server"]  # fixtures

ALL = (*dbn_schemas(), "mbp-3", "bbo-5s", "ohlcv-5m", *OWN_SCHEMAS)
"""Schemas of every kind."""
NS_A_DAY = 86_400_000_000_000
HIVE = {"date": pl.Date(), "symbol": pl.String()}


def through_delta(table: Path) -> pl.DataFrame:
    """All rows of a table, as deltalake and Arrow read it."""
    found = pl.from_arrow(DeltaTable(str(table)).to_pyarrow_table())
    assert isinstance(found, pl.DataFrame)
    return found


def through_polars(table: Path) -> pl.DataFrame:
    """All rows of a table, as Polars reads it."""
    return pl.read_delta(str(table))


def through_files(table: Path) -> pl.DataFrame:
    """All rows of a table: its log read as the protocol has it, its files as bare Parquet."""
    live: dict[str, dict[str, str | None]] = {}
    for version in sorted((table / "_delta_log").glob("*.json")):
        for line in version.read_text().splitlines():
            action = json.loads(line)
            if "remove" in action:
                del live[action["remove"]["path"]]
            if "add" in action:
                live[action["add"]["path"]] = action["add"]["partitionValues"]
    frames = [
        pl.read_parquet(table / unquote(path), hive_partitioning=False).with_columns(
            pl.lit(values["date"], pl.String()).str.to_date().alias("date"),
            pl.lit(values["symbol"], pl.String()).alias("symbol"),
        )
        for path, values in live.items()
    ]
    return pl.concat(frames)


READERS = (through_delta, through_polars, through_files)


def back(rows: pl.DataFrame, schema: str) -> pl.DataFrame:
    """Rows of a table in the lake's types and order."""
    columns = find_schema(schema).lake_columns
    assert rows.schema == pl.Schema({**delta_columns(columns), **HIVE})
    return sort_by_part(rows.cast(pl.Schema({**columns, **HIVE})))


def check_equal(lake: Path, exported: Path, *schemas: str, **wanted: str) -> None:
    """The tables hold what the lake has, whoever reads them."""
    for schema in schemas:
        for read in READERS:
            assert_frame_equal(
                back(read(exported / schema), schema),
                sort_by_part(read_lake(lake, schema, **wanted)),
            )


def version(table: Path) -> int:
    return DeltaTable(str(table)).version()


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    """All files below a directory; those that are written to anew have another time."""
    return {
        path.relative_to(directory).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in directory.rglob("*")
        if path.is_file()
    }


def strays(table: Path) -> set[str]:
    """Data files that no version has ever named, and whatever else does not belong there."""
    named = set()
    for log in (table / "_delta_log").glob("*.json"):
        for line in log.read_text().splitlines():
            named |= {unquote(a["path"]) for k, a in json.loads(line).items() if k == "add"}
    return (
        {name for name in listing(table) if not name.startswith("_delta_log/")}
        - named
        - {TABLE_LOCK_FILE}
    )


def write(path: Path, *, days: int = 0, count: int = 4, order_id: int = 1) -> Path:
    """A file of trades of one day, of AAA and BBB."""
    rows = [
        record(
            Action.TRADE,
            instrument_id=1 + at % 2,
            order_id=order_id,
            ts_recv=DAY_NS + days * NS_A_DAY + at,
            price=at + 1,
        )
        for at in range(count)
    ]
    path.write_bytes(metadata() + encode(rows))
    return path


@pytest.fixture(scope="module")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("sample") / "lake"
    load(lake, SAMPLE, schemas=ALL)
    return lake


@pytest.fixture(scope="module")
def sample_tables(sample_lake: Path) -> Path:
    tables = sample_lake.parent / "tables"
    done = run_command("lake", "export", tables, "--lake", sample_lake)
    assert (done.code, done.out) == (0, b"")
    lines = done.err.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(ALL)
    assert all("version 0: " in line and "0 files kept, 0 removed" in line for line in lines)
    return tables


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A lake of two days of trades."""
    load(tmp_path / "lake", write(tmp_path / "1.dbn"), write(tmp_path / "2.dbn", days=1))
    return tmp_path / "lake"


# ---------------------------------------------------------------------- what is in it


@pytest.mark.parametrize("schema", ALL)
def test_every_column_of_every_schema_comes_back(
    schema: str, sample_lake: Path, sample_tables: Path
) -> None:
    assert read_lake(sample_lake, schema).height > 0
    check_equal(sample_lake, sample_tables, schema)


def test_real_data_comes_back(test_data: Path, tmp_path: Path) -> None:
    schemas = ("mbo", "mbp-10", "orders")
    load(tmp_path / "lake", test_data / "dbeq/dbeq-20240131.mbo.dbn", schemas=schemas)
    export_lake(tmp_path / "lake", tmp_path / "tables")
    check_equal(tmp_path / "lake", tmp_path / "tables", *schemas)


def test_the_extremes_come_back(tmp_path: Path) -> None:
    last_ns = 2**63 - 1  # in 2262
    rows = [
        Record(
            ts_recv, ts_event, 65_535, 4_294_967_295, Action.ADD, Side.ASK, price, size, 255,
            2**64 - 1 - at, 255, delta, 4_294_967_295,
        )
        for at, (ts_recv, ts_event, price, size, delta) in enumerate([
            (DAY_NS + 1, DAY_NS + 999, 2**63 - 2, UNDEF_ORDER_SIZE - 1, 2**31 - 1),
            (DAY_NS + 1_001, 1, -(2**63), UNDEF_ORDER_SIZE, -(2**31)),
            (DAY_NS + 1_002, UNDEF_TIMESTAMP, UNDEF_PRICE, 0, 0),
            (last_ns, last_ns, 1, 2**31, 1),
            (UNDEF_TIMESTAMP, 0, 0, 1, 1),
        ])
    ]  # fmt: skip
    file = tmp_path / "a.dbn"
    file.write_bytes(metadata({"MAX": 4_294_967_295}) + encode(rows))
    lake, tables = tmp_path / "lake", tmp_path / "tables"
    load(lake, file, schemas=("mbo",))
    assert run_in_process("lake", "export", tables, "--lake", lake).code == 0
    check_equal(lake, tables, "mbo")
    for read in READERS:
        found = read(tables / "mbo").sort("order_id", descending=True)
        assert [int(value) for value in found["order_id"]] == [2**64 - 1 - at for at in range(5)]
        assert found["sequence"].to_list() == [4_294_967_295] * 5
        assert found["ts_recv"].to_list()[:3] == [DAY_NS + 1, DAY_NS + 1_001, DAY_NS + 1_002]
        assert found["ts_recv"][3] == last_ns
        assert found["ts_recv"][4] is None
        assert found["ts_event"][2] is None
        assert found["price"].to_list() == [2**63 - 2, -(2**63), None, 1, 0]


def test_names_that_no_path_can_hold(tmp_path: Path) -> None:
    names = {"A/B=C": 1, "%2F": 2, "1 2": 3, "..": 5, "a:'b": 7}
    file = tmp_path / "a.dbn"
    rows = [record(Action.TRADE, instrument_id=number) for number in (*names.values(), 6)]
    file.write_bytes(metadata(names) + encode(rows))
    lake, tables = tmp_path / "lake", tmp_path / "tables"
    load(lake, file)
    export_lake(lake, tables)
    check_equal(lake, tables, "trades")
    found = through_delta(tables / "trades").select("symbol", "instrument_id").rows()
    assert dict(found) == dict([*names.items(), (None, 6)])
    # And away again: a removed file is named in the log as the added one was.
    export_lake(lake, tables, symbols="A/B=C")
    assert through_files(tables / "trades")["symbol"].to_list() == ["A/B=C"]
    assert through_polars(tables / "trades")["symbol"].to_list() == ["A/B=C"]


def test_rows_of_a_date_and_symbol_are_one_file_in_the_lakes_order(tmp_path: Path) -> None:
    lake, tables = tmp_path / "lake", tmp_path / "tables"
    for number in (3, 1, 2):
        load(lake, write(tmp_path / f"{number}.dbn", order_id=number), schemas=("mbo",))
    assert Lake(lake).parts().height == 3
    export_lake(lake, tables)
    table = DeltaTable(str(tables / "mbo"))
    assert len(table.file_uris()) == 2
    assert [
        pl.read_parquet(path)["order_id"].cast(pl.Int64).to_list() for path in table.file_uris()
    ] == [[3, 3, 1, 1, 2, 2]] * 2
    check_equal(lake, tables, "mbo")


def test_a_reader_may_pass_over_files_by_time(small: Path, tmp_path: Path) -> None:
    export_lake(small, tmp_path / "tables")
    table = str(tmp_path / "tables" / "trades")
    told = pl.DataFrame(DeltaTable(table).get_add_actions(flatten=True))
    assert told["num_records"].to_list() == [2] * 4
    lows, highs = told["min.ts_recv"].to_list(), told["max.ts_recv"].to_list()
    assert sorted(zip(lows, highs, strict=True)) == [
        (DAY_NS, DAY_NS + 2),
        (DAY_NS + 1, DAY_NS + 3),
        (DAY_NS + NS_A_DAY, DAY_NS + NS_A_DAY + 2),
        (DAY_NS + NS_A_DAY + 1, DAY_NS + NS_A_DAY + 3),
    ]
    later = pl.scan_delta(table).filter(pl.col("ts_recv") >= DAY_NS + NS_A_DAY + 2).collect()
    assert sorted(later["ts_recv"]) == [DAY_NS + NS_A_DAY + 2, DAY_NS + NS_A_DAY + 3]


def test_a_schema_without_rows_is_a_table_without_rows(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    file = tmp_path / "a.dbn"
    file.write_bytes(metadata() + encode([record(Action.ADD)]))
    load(lake, file)
    export_lake(lake, tmp_path / "tables")
    for read in (through_delta, through_polars):
        assert_frame_equal(
            back(read(tmp_path / "tables/trades"), "trades"), read_lake(lake, "trades")
        )
    assert export_lake(lake, tmp_path / "tables")[0].commit is None


# ---------------------------------------------------------------------- which rows


@pytest.mark.parametrize("schema", ["mbo", "trades", "ohlcv-1s", "mbp-1"])
def test_a_selection_is_what_the_lake_gives_for_it(
    schema: str, sample_lake: Path, tmp_path: Path
) -> None:
    day = read_lake(sample_lake, schema)
    start = str(day[find_schema(schema).time.meta.root_names()[0]].sort()[day.height // 3])
    wanted: dict[str, Any] = {"start": start.replace(" UTC", "Z").replace("+00:00", "Z")}
    arguments = ("--schemas", schema, "--symbols", "SIM1,SIM3", "--start", wanted["start"])
    assert run_in_process("lake", "export", tmp_path, "--lake", sample_lake, *arguments).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [schema]
    expected = Lake(sample_lake).scan(schema, symbols=["SIM1", "SIM3"], **wanted).collect()
    assert 0 < expected.height < day.height
    for read in READERS:
        assert_frame_equal(back(read(tmp_path / schema), schema), expected)


def test_a_day_is_that_day(small: Path, tmp_path: Path) -> None:
    arguments = ("lake", "export", tmp_path / "tables", "--lake", small, "-q")
    assert run_in_process(*arguments, "--date", "2024-10-05") == (0, b"", "")
    found = through_delta(tmp_path / "tables/trades")
    assert found["date"].cast(pl.String).unique().to_list() == ["2024-10-05"]
    assert found.height == 4


def test_orders_that_are_alive_are_of_the_end_of_the_day(tmp_path: Path) -> None:
    file = tmp_path / "a.dbn"
    rows = [record(Action.ADD, order_id=at, ts_recv=DAY_NS + at) for at in range(4)]
    file.write_bytes(metadata() + encode([*rows, record(Action.CANCEL, ts_recv=DAY_NS + 9)]))
    lake = tmp_path / "lake"
    load(lake, file, schemas=("orders",))
    for name, bounds, left in (
        ("a", {"start": "2024-10-04T00:00:00.000000010Z"}, {0, 2, 3}),
        ("b", {"end": "2024-10-04T23:59:59.999999999Z"}, {1}),
    ):
        export_lake(lake, tmp_path / name, **bounds)
        found = through_files(tmp_path / name / "orders")
        assert {int(order_id) for order_id in found["order_id"]} == left
        check_equal(lake, tmp_path / name, "orders", **bounds)


# ---------------------------------------------------------------------- again


def test_the_same_again_changes_nothing(small: Path, tmp_path: Path) -> None:
    arguments = ("lake", "export", tmp_path / "tables", "--lake", small)
    said = run_in_process(*arguments).err
    assert said == "trades: version 0: 8 rows in 4 files written, 0 files kept, 0 removed\n"
    before = listing(tmp_path / "tables")
    assert run_in_process(*arguments).err == "trades: is exported already\n"
    assert run_in_process(*arguments, "-q").err == ""
    after = listing(tmp_path / "tables")
    del before[f"trades/{TABLE_LOCK_FILE}"], after[f"trades/{TABLE_LOCK_FILE}"]
    assert after == before


def test_a_further_day_is_one_version_and_leaves_files_alone(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    before = listing(tables)
    load(small, write(tmp_path / "3.dbn", days=2))
    said = run_in_process("lake", "export", tables, "--lake", small).err
    assert said == "trades: version 1: 4 rows in 2 files written, 4 files kept, 0 removed\n"
    after = listing(tables)
    assert {
        name for name in before if name.endswith("parquet") and after[name] == before[name]
    } == {name for name in before if name.endswith("parquet")}
    check_equal(small, tables, "trades")


def test_what_has_changed_is_replaced_in_one_version(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    before = through_delta(tables / "trades")
    write(tmp_path / "1.dbn", count=6)
    load(small, tmp_path / "1.dbn")
    (outcome,) = export_lake(small, tables)
    assert outcome.commit == (1, 2, 2, 2)
    check_equal(small, tables, "trades")
    # Who reads the version before still has it.
    table = DeltaTable(str(tables / "trades"), version=0)
    assert_frame_equal(pl.DataFrame(table.to_pyarrow_table()), before, check_row_order=False)


def test_another_selection_replaces_the_table_and_back(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    export_lake(small, tables, symbols="AAA")
    check_equal(small, tables, "trades", symbols="AAA")
    export_lake(small, tables, start=DAY_NS + NS_A_DAY)
    check_equal(small, tables, "trades", start=str(DAY_NS + NS_A_DAY))
    export_lake(small, tables)
    check_equal(small, tables, "trades")
    assert version(tables / "trades") == 3


def test_compaction_exports_the_same_rows(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    load(small, write(tmp_path / "more.dbn", order_id=5))
    export_lake(small, tables)
    compact_lake(small)
    export_lake(small, tables)
    check_equal(small, tables, "trades")


@pytest.mark.parametrize("left", [0, 200])
def test_a_version_that_power_was_lost_on(left: int, small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables, symbols="AAA")
    export_lake(small, tables)
    log = tables / "trades/_delta_log" / f"{1:020}.json"
    os.truncate(log, left)
    if left:
        # deltalake cannot read it either: whose log it is, nobody knows.
        words = error_line(run_in_process("lake", "export", tables, "--lake", small), 4)
        assert words.startswith(f"{tables}/trades: cannot be used: ")
        log.unlink()
    export_lake(small, tables)
    check_equal(small, tables, "trades")


def test_a_newer_form_of_the_table_takes_its_place(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    monkeypatch.setattr(lake_export, "EXPORT_FORMAT", 2)
    assert export_lake(small, tables)[0].commit == (1, 4, 0, 4)
    check_equal(small, tables, "trades")


def test_columns_that_are_others_replace_the_schema(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    # As an older batonics may have left it: a column less.
    log = tables / "trades/_delta_log/00000000000000000000.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for action in lines:
        if "metaData" in action:
            fields = json.loads(action["metaData"]["schemaString"])
            del fields["fields"][0]
            action["metaData"]["schemaString"] = json.dumps(fields)
        if "commitInfo" in action:
            action["commitInfo"]["batonicsDigest"] = "older"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert export_lake(small, tables)[0].commit == (1, 4, 0, 4)
    check_equal(small, tables, "trades")


# ---------------------------------------------------------------------- others' tables


def test_a_table_of_another_is_refused_and_left_alone(small: Path, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "tables/trades"), pa.table({"x": [1]}))
    before = listing(tmp_path / "tables")
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", small)
    words = f"{tmp_path}/tables/trades: is a Delta table that batonics has not made"
    assert error_line(done, 4) == f"{words}; name another directory"
    assert listing(tmp_path / "tables") == before


def test_a_directory_of_something_else_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    lake, tables = tmp_path / "lake", tmp_path / "tables"
    load(lake, write(tmp_path / "1.dbn"), schemas=("mbo", "trades"))
    (tables / "trades").mkdir(parents=True)
    (tables / "trades" / "mine.txt").write_text("mine")
    done = run_in_process("lake", "export", tables, "--lake", lake)
    words = "is neither empty nor a Delta table; name another one"
    assert error_line(done, 4) == f"{tables}/trades: {words}"
    assert list(listing(tables)) == ["trades/mine.txt"]


def test_what_another_has_written_to_our_table_is_replaced(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    table = DeltaTable(str(tables / "trades"))
    write_deltalake(table, table.to_pyarrow_table(), mode="append")
    DeltaTable(str(tables / "trades")).delete("symbol = 'AAA'")
    assert export_lake(small, tables)[0].commit is not None
    check_equal(small, tables, "trades")
    DeltaTable(str(tables / "trades")).optimize.compact()
    export_lake(small, tables)
    check_equal(small, tables, "trades")


def test_one_who_commits_meanwhile_is_not_written_over(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    load(small, write(tmp_path / "3.dbn", days=2))
    rows = DeltaTable(str(tables / "trades")).to_pyarrow_table()
    run = lake_export.LakeExport(lake_export.ExportRequest(str(small), str(tables)))
    run.progress = lambda _: write_deltalake(str(tables / "trades"), rows, mode="append")
    with pytest.raises(OutputError, match="another program has written to the table meanwhile"):
        list(run.run())
    assert strays(tables / "trades") == set()
    export_lake(small, tables)
    check_equal(small, tables, "trades")


def test_a_lakes_own_directory_is_no_place_for_tables(small: Path) -> None:
    before = listing(small)
    assert "is a lake; name another" in error_line(
        run_in_process("lake", "export", small, "--lake", small), 4
    )
    assert listing(small) == before


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--schemas", "mbp-7"), 2, "no schema 'mbp-7'; there are trades"),
        (("--symbols", "CCC"), 2, "no symbol 'CCC' in"),
        (("--format", "iceberg"), 2, "there is no format 'iceberg' of tables; there is delta"),
        (("--start", "soon"), 2, "soon"),
        (("--date", "2024-10-04", "--end", "1"), 2, "--date is a whole day"),
        (("--lake", "nothing"), 6, "nothing: is not a lake"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: tuple[str, ...], code: int, words: str, small: Path, tmp_path: Path
) -> None:
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", small, *arguments)
    assert words in error_line(done, code)
    assert not (tmp_path / "tables").exists()


def test_a_lake_in_a_bucket_is_exported_to_a_directory(bucket: str, tmp_path: Path) -> None:
    load(Path(bucket), write(tmp_path / "1.dbn"), schemas=("mbo", "trades"))
    tables = tmp_path / "tables"
    assert run_in_process("lake", "export", tables, "--lake", bucket).code == 0
    check_equal(Path(bucket), tables, "mbo", "trades")
    assert (
        "mbo: is exported already" in run_in_process("lake", "export", tables, "--lake", bucket).err
    )


def test_a_bucket_is_no_directory(small: Path) -> None:
    done = run_in_process("lake", "export", "s3://bucket/tables", "--lake", small)
    words = "s3://bucket/tables: an export goes to a directory of this machine"
    assert error_line(done, 2) == words


def test_an_empty_lake_has_nothing_to_export(tmp_path: Path) -> None:
    file = tmp_path / "bad.dbn"
    file.write_bytes(metadata()[:-1])
    assert run_in_process("lake", "load", file, "--lake", tmp_path / "lake").code == 3
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", tmp_path / "lake")
    assert error_line(done, 2) == f"{tmp_path}/lake: has no schemas to export"


def test_a_file_in_the_place_of_a_table_is_one_line(small: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("mine")
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", small)
    assert error_line(done, 4) == f"{tmp_path}/tables/trades: Not a directory"
    (tmp_path / "tables").unlink()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/trades").write_text("mine")
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", small)
    words = "is a file; a Delta table is a directory"
    assert error_line(done, 4) == f"{tmp_path}/tables/trades: {words}"
    assert (tmp_path / "tables/trades").read_text() == "mine"


def test_without_deltalake_it_says_what_is_missing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    done = run_in_process("lake", "export", tmp_path / "tables", "--lake", small)
    words = "deltalake is missing; `pip install 'batonics[delta]'`"
    assert error_line(done, 2) == f"{tmp_path}/tables/trades: {words}"
    assert not (tmp_path / "tables").exists()


def test_a_damaged_part_is_exported_to_nobody(small: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(small, tables)
    load(small, write(tmp_path / "3.dbn", days=2))
    part = small / Lake(small).parts()["path"][-1]
    data = bytearray(part.read_bytes())
    data[40] ^= 1
    part.write_bytes(data)
    before = through_delta(tables / "trades")
    words = error_line(run_in_process("lake", "export", tables, "--lake", small), 6)
    assert words.startswith(f"{part}: damaged")
    assert_frame_equal(through_delta(tables / "trades"), before)
    assert strays(tables / "trades") == set()
    # Where there was no table, there is none.
    run_in_process("lake", "export", tmp_path / "anew", "--lake", small)
    assert list((tmp_path / "anew").iterdir()) == []


FULL_BYTES = 40_000
"""Less than a data file of the sample needs, more than any log, and the index of the catalog."""


def small_disk() -> None:
    """Let this process write no file longer than FULL_BYTES."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))


def test_a_full_disk_leaves_what_was_there(sample_lake: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    export_lake(sample_lake, tables, schemas=["mbo"], symbols="SIM0")
    before = through_delta(tables / "mbo")
    arguments = ("lake", "export", tables, "--lake", sample_lake, "--schemas", "mbo", "-q")
    done = run_command(*arguments, before=small_disk)
    assert error_line(done, 4).endswith(".parquet: cannot be written: File too large")
    assert_frame_equal(through_delta(tables / "mbo"), before)
    assert strays(tables / "mbo") == set()
    assert run_command(*arguments).code == 0
    check_equal(sample_lake, tables, "mbo")


# ---------------------------------------------------------------------- kills


SCHEMAS_LOADED = ("trades", "ohlcv-1d")
SHARE = 0.1
"""Of calls like others, what CI runs."""


class Scene:
    """A lake, the tables of what it held before, and those of what it holds now."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.lake = directory, directory / "lake"
        load(self.lake, write(directory / "1.dbn"), schemas=SCHEMAS_LOADED)
        self.original, self.tables = directory / "original", directory / "tables"
        export_lake(self.lake, self.original)
        # A row more, and a day more: files are added, replaced and kept.
        write(directory / "1.dbn", count=5)
        load(self.lake, directory / "1.dbn", write(directory / "2.dbn", days=1))
        whole = directory / "whole"
        export_lake(self.lake, whole)
        self.before = self.rows(self.original)
        self.after = self.rows(whole)
        assert self.before[0].height < self.after[0].height
        self.arguments = ("lake", "export", self.tables, "--lake", self.lake)

    def rows(self, tables: Path) -> list[pl.DataFrame]:
        return [back(through_delta(tables / name), name) for name in SCHEMAS_LOADED]

    def renew(self) -> None:
        """The tables as they are before the export."""
        shutil.rmtree(self.tables, ignore_errors=True)
        shutil.copytree(self.original, self.tables)

    def check(self) -> list[bool]:
        """Each table is as before or as after, and made whole by an export; which are as after."""
        is_after = [
            found.equals(after) or not found.equals(before)
            for found, before, after in zip(
                self.rows(self.tables), self.before, self.after, strict=True
            )
        ]
        for found, at, before, after in zip(
            self.rows(self.tables), is_after, self.before, self.after, strict=True
        ):
            assert_frame_equal(found, after if at else before)
        export_lake(self.lake, self.tables)
        self.check_whole()
        return is_after

    def check_whole(self, *schemas: str) -> None:
        """The tables are as after the export, and nothing else lies in them."""
        for name in schemas or SCHEMAS_LOADED:
            assert_frame_equal(
                back(through_delta(self.tables / name), name), read_lake(self.lake, name)
            )
            assert strays(self.tables / name) == set()
            assert (self.tables / name / TABLE_LOCK_FILE).read_bytes() == b""


@pytest.fixture(scope="module")
def scene(memory_directory: Path) -> Scene:
    return Scene(memory_directory)


@pytest.fixture(scope="module")
def commands(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCommands]:
    with faulty_commands(scene.tables, tmp_path_factory.mktemp("kill")) as running:
        yield running


@pytest.fixture(scope="module")
def calls(scene: Scene, commands: FaultyCommands) -> list[Call]:
    scene.renew()
    done = commands.run(*scene.arguments)
    assert done.status == 0, done
    assert done.err.count(": version 1: ") == 2, done
    scene.check_whole()
    return done.calls


@pytest.mark.sweep
def test_a_kill_at_any_call_leaves_the_version_before_or_the_new_one(
    scene: Scene, commands: FaultyCommands, calls: list[Call]
) -> None:
    committed, numbers = 0, sample_calls(calls, SHARE)
    for number in numbers:
        scene.renew()
        done = commands.run(*scene.arguments, fate=KILL, number=number)
        assert done.status == -signal.SIGKILL, (number, done)
        is_after = scene.check()
        # What was said to be there is there.
        assert done.err.count(": version 1: ") <= sum(is_after), (number, done)
        committed += sum(is_after)
    print(f"{len(numbers)} kills, {committed} commits seen: each table as before or as after")
    assert 0 < committed < 2 * len(numbers)


@pytest.mark.sweep
def test_a_kill_while_a_table_is_made_is_made_good_by_the_next_export(
    scene: Scene, commands: FaultyCommands
) -> None:
    arguments = (*scene.arguments, "--schemas", "trades")
    shutil.rmtree(scene.tables, ignore_errors=True)
    made = commands.run(*arguments).calls
    numbers = sample_calls(made, SHARE)
    for number in numbers:
        shutil.rmtree(scene.tables, ignore_errors=True)
        done = commands.run(*arguments, fate=KILL, number=number)
        assert done.status == -signal.SIGKILL, (number, done)
        export_lake(scene.lake, scene.tables, schemas=["trades"])
        scene.check_whole("trades")
    print(f"{len(numbers)} kills while a table is made")


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("write", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("mkdir", errno.ENOSPC),
        ("open", errno.EACCES),
        ("ftruncate64", errno.EIO),
    ],
)
def test_a_call_that_fails_is_one_line_and_leaves_a_whole_table(
    name: str, error: int, scene: Scene, commands: FaultyCommands, calls: list[Call]
) -> None:
    numbers = sample_calls(calls, SHARE, name)
    refused = 0
    for number in numbers:
        scene.renew()
        done = commands.run(*scene.arguments, fate=FAIL, name=name, number=number, error=error)
        if done.status != 0:
            lines = [line for line in done.err.splitlines() if ": version 1: " not in line]
            assert done.status == 4, (name, number, done)
            assert len(lines) == 1, (name, number, done)
            assert lines[0].startswith("batonics: "), (name, number, done)
            assert os.strerror(error) in lines[0], (name, number, done)
            refused += 1
        scene.check()
    print(f"{name} fails {len(numbers)} times: {refused} exports refused in one line")
    assert refused > 0


@pytest.mark.sweep
def test_short_writes_are_gone_on_with(
    scene: Scene, commands: FaultyCommands, calls: list[Call]
) -> None:
    for number in sample_calls(calls, SHARE, "write"):
        scene.renew()
        done = commands.run(*scene.arguments, fate=SHORT, name="write", number=number)
        assert done.status == 0, (number, done)
        scene.check_whole()


def test_data_is_on_the_disk_before_the_log_names_it_and_the_log_before_it_is_said(
    scene: Scene, calls: list[Call]
) -> None:
    syncs = [(at, call.path) for at, call in enumerate(calls) if call.name == "fsync"]
    for name in SCHEMAS_LOADED:
        table = scene.tables / name
        log, entry = table / "_delta_log", table / "_delta_log" / f"{1:020}.json"
        files = [call.path for call in calls if call.name == "write"]
        written = {path for path in files if path.startswith(f"{table}/date=")}
        assert written
        # deltalake writes it under another name, and gives it its own by a link.
        logged = [at for at, call in enumerate(calls) if call.path.startswith(f"{entry}#")]
        for path in (*written, *(str(Path(path).parent) for path in written)):
            assert any(path == synced and at < min(logged) for at, synced in syncs), path
        synced_log = max(at for at, path in syncs if path == str(entry))
        assert max(logged) < synced_log < max(at for at, path in syncs if path == str(log))


def test_two_exports_at_once_are_one_version(small: Path, tmp_path: Path) -> None:
    command = [*SCRIPT, "lake", "export", str(tmp_path / "tables"), "--lake", str(small)]
    running = [
        subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert version(tmp_path / "tables/trades") == 0
    assert sum("is exported already" in text for text in said) == 2
    check_equal(small, tmp_path / "tables", "trades")


def test_who_waits_for_a_run_that_fails_has_a_lock_that_others_see(tmp_path: Path) -> None:
    columns, table = find_schema("trades").columns, tmp_path / "trades"
    inside, go = Event(), Event()

    def wait() -> bool:
        with open_delta(table, columns):
            inside.set()
            go.wait(30)
            mine, seen = (table / TABLE_LOCK_FILE).stat(), table / TABLE_LOCK_FILE
            lock = os.open(seen, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return mine.st_nlink == 1
            finally:
                os.close(lock)
        return False

    with ThreadPoolExecutor(1) as thread:
        waiting: Future[bool] | None = None
        with suppress(RuntimeError), open_delta(table, columns):
            waiting = thread.submit(wait)
            assert not inside.wait(0.3)
            raise RuntimeError("fails")
        assert inside.wait(30)
        go.set()
        assert waiting is not None
        assert waiting.result()
