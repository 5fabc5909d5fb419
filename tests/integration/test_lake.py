"""`batonics lake`: what was loaded is what is read, once, whatever is loaded when."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import date
from pathlib import Path
from time import sleep

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest
from polars.testing import assert_frame_equal

from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.lake.digest import Verifier
from batonics.lake.lake import Lake
from batonics.lake.part_paths import HIVE_NULL
from batonics.lake.part_search import all_parts
from batonics.model.errors import LakeError, UsageError
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY, NS_PER_S
from tests.support.command import SAMPLE, SCRIPT, environment, error_line, run_in_process
from tests.support.dbn_files import DAY_NS, adds, encode, metadata, record
from tests.support.lakes import (
    OWN_SCHEMAS,
    lake_digest,
    load,
    many_parts,
    parquet_files,
    read_lake,
    reference_rows,
    sort_by_part,
    write_frames,
)
from tests.support.part_rows import part_rows

ALL = (*dbn_schemas(), "mbp-3", "bbo-5s", "ohlcv-5m", *OWN_SCHEMAS)
"""Schemas of every kind."""
SEED, FLIPS = 12, 10_000


def write(path: Path, *, order_id: int = 1, days: int = 0, count: int = 8) -> Path:
    """A small file of trades and orders; another id makes other bytes of the same length."""
    rows = [
        record(
            Action.TRADE,
            order_id=order_id,
            ts_recv=DAY_NS + days * 86_400_000_000_000 + at,
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


@pytest.mark.parametrize("schema", ALL)
def test_a_lake_gives_the_rows_and_types_that_were_derived(schema: str, sample_lake: Path) -> None:
    found = read_lake(sample_lake, schema)
    hive = {"date": pl.Date(), "symbol": pl.String()}
    assert found.schema == pl.Schema({**find_schema(schema).lake_columns, **hive})
    assert found.height > 0
    assert_frame_equal(found, sort_by_part(reference_rows(SAMPLE, schema)))


@pytest.mark.parametrize("name", ["clx5/CLX5_mbo.dbn", "dbeq/dbeq-20240131.mbo.dbn"])
def test_real_data_comes_back_exactly(name: str, test_data: Path, tmp_path: Path) -> None:
    schemas = ("mbo", "mbp-10", "trades", "orders", "depth-1s")
    load(tmp_path / "lake", test_data / name, schemas=schemas)
    for schema in schemas:
        assert_frame_equal(
            read_lake(tmp_path / "lake", schema),
            sort_by_part(reference_rows(test_data / name, schema)),
        )


def test_any_tool_reads_a_schemas_directory(sample_lake: Path) -> None:
    rows = read_lake(sample_lake, "trades").height
    assert ds.dataset(sample_lake / "trades", partitioning="hive").count_rows() == rows
    assert pl.scan_parquet(sample_lake / "trades").select(pl.len()).collect().item() == rows
    query = f"SELECT count(*), count(DISTINCT symbol) FROM '{sample_lake}/trades/*/*.parquet'"
    assert duckdb.connect().execute(query).fetchall() == [(rows, 5)]


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    assert load(lake, file)[0].rows == 8
    before = parquet_files(lake)
    assert load(lake, file)[0].loaded == []
    file.touch()  # written to, though nothing has changed
    assert load(lake, file)[0].loaded == []
    assert load(lake, write(tmp_path / "the-same-elsewhere.dbn"))[0].loaded == []
    assert parquet_files(lake) == before


def test_a_further_schema_leaves_the_others_alone(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    load(lake, file)
    before = parquet_files(lake)
    (outcome,) = load(lake, file, schemas=("trades", "ohlcv-1d"))
    assert [made.schema for made in outcome.loaded] == ["ohlcv-1d"]
    assert before < parquet_files(lake)


def test_a_changed_file_replaces_all_that_was_made_of_it(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    other = write(tmp_path / "b.dbn", days=1, order_id=9)
    load(lake, file, other, schemas=("mbo", "trades"))
    write(file, order_id=2)
    # Only one of them is asked for: the other would be of bytes that are gone.
    (outcome,) = load(lake, file, schemas=("mbo",))
    assert sorted(made.schema for made in outcome.loaded) == ["mbo", "trades"]
    assert read_lake(lake, "mbo")["order_id"].to_list() == [2] * 8 + [9] * 8
    assert Lake(lake).check() == []


def test_a_file_overwritten_by_another_is_in_the_lake_once(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    file, other = write(tmp_path / "a.dbn"), write(tmp_path / "b.dbn", order_id=9)
    load(lake, file, other, schemas=("mbo",))
    write(file, order_id=9)
    assert load(lake, file, schemas=("mbo",))[0].loaded == []
    assert read_lake(lake, "mbo")["order_id"].to_list() == [9] * 8


def test_again_makes_it_anew(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    load(lake, file)
    before = Lake(lake).parts()
    assert load(lake, file, again=True)[0].rows == 8
    after = Lake(lake).parts()
    assert after["path"].to_list() != before["path"].to_list()
    assert after["digest"].to_list() == before["digest"].to_list()


def test_the_rows_of_a_source_have_statuses_from_one_place(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    ours, other = (find_sessions(f"{hours} UTC") for hours in ("9:30-16:00", "00:00-24:00"))
    load(lake, file, schemas=("states-1", "trades"))
    refused = (
        r"a\.dbn: the lake has states-1 of it with {}, not with {}: give the same, or .*--again"
    )
    own = "the statuses of its own records"
    for schemas in (("states-1",), ("mbp-1",)):
        with pytest.raises(UsageError, match=refused.format(own, "session 9:30-16:00 UTC")):
            load(lake, file, schemas=schemas, sessions=ours)
    assert load(lake, file, schemas=("mbo",), sessions=None)[0].loaded  # it has no statuses
    assert load(lake, file, schemas=("states-1", "trades"), sessions=ours, again=True)[0].rows
    for sessions in (ours, None):  # the same again changes nothing
        assert load(lake, file, schemas=("states-1", "trades"), sessions=sessions)[0].loaded == []
    with pytest.raises(UsageError, match=refused.format("session 9:30-16:00 UTC", own)):
        load(lake, file, schemas=("mbp-1",))
    with pytest.raises(UsageError, match="not with session 00:00-24:00 UTC: give the same"):
        load(lake, file, schemas=("states-1",), sessions=other)
    assert load(lake, file, schemas=("mbp-1",), sessions=ours)[0].rows
    assert load(lake, write(tmp_path / "b.dbn", order_id=9), sessions=other)[0].rows


def test_files_of_one_stream_go_on_from_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "1.dbn", tmp_path / "2.dbn"
    first.write_bytes(metadata() + encode([record(Action.ADD, order_id=1, price=5)]))
    second.write_bytes(
        metadata() + encode([record(Action.ADD, order_id=2, price=4, ts_recv=DAY_NS + 1)])
    )
    apart, together = tmp_path / "apart", tmp_path / "together"
    load(apart, first, second, schemas=("mbp-2",))
    load(together, first, second, schemas=("mbp-2",), one_stream=True)
    assert read_lake(apart, "mbp-2")["bid_px_00"].to_list() == [5 * 10**9, 4 * 10**9]
    assert read_lake(together, "mbp-2")["bid_px_00"].to_list() == [5 * 10**9] * 2
    assert load(together, first, second, schemas=("mbp-2",), one_stream=True)[0].loaded == []


def test_rows_are_of_the_date_of_their_time(tmp_path: Path) -> None:
    file = tmp_path / "a.dbn"
    day_ns = 86_400_000_000_000
    undefined = 2**64 - 1
    times = [undefined, DAY_NS, DAY_NS + day_ns - 1, undefined, DAY_NS + day_ns, DAY_NS]
    file.write_bytes(metadata() + encode([record(Action.TRADE, ts_recv=at) for at in times]))
    load(tmp_path / "lake", file)
    found = Lake(tmp_path / "lake").parts()
    assert found.select("date", "rows").rows() == [
        (None, 1),
        (date(2024, 10, 4), 4),
        (date(2024, 10, 5), 1),
    ]
    rows = read_lake(tmp_path / "lake", "trades")
    assert rows["date"].null_count() == 1
    assert rows["ts_recv"].null_count() == 2


def test_names_that_no_path_can_hold(tmp_path: Path) -> None:
    names = {"A/B=C": 1, "%2F": 2, "1 2": 3, "..": 5}
    file = tmp_path / "a.dbn"
    rows = [record(Action.TRADE, instrument_id=number) for number in (*names.values(), 6)]
    file.write_bytes(metadata(names) + encode(rows))
    load(tmp_path / "lake", file)
    found = read_lake(tmp_path / "lake", "trades").select("instrument_id", "symbol")
    named = {name: number for number, name in found.rows()}
    assert named == dict([*names.items(), (None, 6)])
    lake = Lake(tmp_path / "lake")
    assert lake.sql("SELECT symbol, instrument_id::INT FROM trades").sort(
        "symbol"
    ).rows() == sorted(named.items(), key=lambda item: (item[0] is not None, item[0] or ""))
    for name, number in names.items():
        found_id = lake.sql("SELECT instrument_id FROM trades WHERE symbol = $name", name=name)
        assert found_id.rows() == [(number,)]
        assert lake.scan("trades", symbols=name).select("instrument_id").collect().rows() == [
            (number,)
        ]


def test_symbols_that_are_too_long_for_a_path_or_mean_null(tmp_path: Path) -> None:
    symbols = ["A", HIVE_NULL, "NULL", "x" * 300, "\u6f22" * 28, "\u6f22" * 29, f"x~{'0' * 32}"]
    root = tmp_path / "lake"
    for schema in ("trades", "mbo"):
        frames = [part_rows(schema, symbol, rows=2) for symbol in symbols]
        write_frames(root, schema, f"feed of {schema}", frames)
    lake = Lake(root)
    assert set(lake.scan("trades").collect()["symbol"]) == set(symbols)
    assert set(lake.sql("SELECT symbol FROM trades")["symbol"]) == set(symbols)
    for symbol in symbols:
        found = lake.scan("trades", symbols=[symbol]).collect()["symbol"].to_list()
        assert found == [symbol] * 2
        for rows in ("trades", "trades ASOF JOIN mbo USING (symbol, instrument_id, ts_recv)"):
            sql = f"SELECT count(*) FROM {rows} WHERE symbol = $name"
            assert lake.sql(sql, name=symbol).item() == 2, (symbol, sql)
    joined = lake.join_asof("trades", "mbo", columns=["order_id"]).collect()
    assert set(joined["symbol"]) == set(symbols)
    assert lake.check() == []
    assert all(len(name) <= 255 for path in parquet_files(root) for name in path.split("/"))


def test_scan_prunes_by_symbol_and_time(sample_lake: Path) -> None:
    lake = Lake(sample_lake)
    whole = read_lake(sample_lake, "trades")
    assert lake.files("trades", symbols=["SIM1", "SIM3"]) == lake.files("trades")
    assert len(lake.files("mbo")) > 2  # symbols with many rows have parts of their own
    assert len(lake.files("mbo", symbols=["SIM0", "SIM1"])) == 2
    found = lake.scan("trades", symbols="SIM1", start="2026-01-05T14:31:00Z").collect()
    start = pl.datetime(2026, 1, 5, 14, 31, time_zone="UTC", time_unit="ns")
    assert_frame_equal(
        found, whole.filter((pl.col("symbol") == "SIM1") & (pl.col("ts_recv") >= start))
    )
    at_ns = whole["ts_recv"].to_physical()[0] + 1  # within the day, but at no trade
    none = lake.scan("trades", start=at_ns, end=at_ns + 1)
    assert none.collect().schema == whole.schema


def test_what_is_not_there_is_named(sample_lake: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no schema 'mbp-7'; there are bbo"):
        Lake(sample_lake).scan("mbp-7")
    with pytest.raises(LakeError, match=r"nothing: is not a lake; `batonics lake load` makes one"):
        Lake(tmp_path / "nothing")


# ---------------------------------------------------------------------- looking after it


def damage(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def test_a_damaged_part_is_never_read(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    load(lake, file)
    opened = Lake(lake)
    path = lake / opened.parts()["path"][0]
    whole = path.read_bytes()
    assert opened.scan("trades").collect().height == 8
    for bit in (5, 4_001, 8 * len(whole) - 70, 8 * len(whole) - 3):
        sleep(0.02)  # the file system's clock goes on
        damage(path, bit)
        # One that has verified the file before sees that it has been written to.
        for reader in (opened, Lake(lake)):
            with pytest.raises(LakeError, match="damaged"):
                reader.scan("trades")
            with pytest.raises(LakeError, match="damaged"):
                reader.sql("SELECT count(*) FROM trades")
        path.write_bytes(whole)
    assert opened.scan("trades").collect().height == 8


def test_no_flipped_bit_goes_unseen(memory_directory: Path) -> None:
    lake = memory_directory / "lake"
    load(lake, SAMPLE, schemas=("ohlcv-1m",))
    part = Lake(lake).store.catalog.read(all_parts)[0]
    path = lake / part.path
    whole, seen = path.read_bytes(), 0
    rng = np.random.default_rng(SEED)
    flips = rng.integers(0, 8 * len(whole), FLIPS).tolist()
    for bit in flips:
        damage(path, bit)
        with pytest.raises(LakeError, match="damaged"):
            Verifier().check(lake, [part])
        seen += 1
        path.write_bytes(whole)
    print(f"{seen:,} of {FLIPS:,} flipped bits seen, seed {SEED}")


def test_check_tells_all_that_is_wrong(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    files = [write(tmp_path / f"{days}.dbn", days=days, order_id=days) for days in range(4)]
    load(lake, *files)
    assert run_in_process("lake", "check", "--lake", lake).code == 0
    first, second, third, last = (lake / path for path in Lake(lake).parts()["path"])
    damage(first, 1_000)
    second.unlink()
    third.write_bytes(third.read_bytes()[:-1])
    stray = last.with_name("stray.parquet")
    stray.write_bytes(last.read_bytes())
    done = run_in_process("lake", "check", "--lake", lake)
    assert done.code == 6
    lines = done.out.decode().splitlines()
    assert len(lines) == 4
    for line, path, words in zip(
        lines,
        (first, second, third, stray),
        ("damaged", "No such file", "damaged", "no load"),
        strict=True,
    ):
        assert path.name in line
        assert words in line
    assert done.err.count("\n") == 1


def test_compaction_changes_no_row(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with many_parts(8_192):
        load(lake, SAMPLE, schemas=("mbo", "orders"))
    before, count = (
        [read_lake(lake, schema) for schema in ("mbo", "orders")],
        Lake(lake).parts().height,
    )
    assert count > 10
    done = run_in_process("lake", "compact", "--lake", lake)
    assert done.err == f"{count} files became 2\n"
    after = [read_lake(lake, schema) for schema in ("mbo", "orders")]
    for rows, once in zip(after, before, strict=True):
        assert_frame_equal(sort_by_part(rows), sort_by_part(once))
    assert Lake(lake).check() == []
    assert run_in_process("lake", "compact", "--lake", lake).err == "0 files became 0\n"
    # What was put together is of the file that it was loaded from: the same again changes nothing.
    assert load(lake, SAMPLE, schemas=("mbo", "orders"))[0].loaded == []


def test_readers_keep_what_was_replaced_until_a_vacuum(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    load(lake, file, schemas=("mbo",))
    reader = Lake(lake).scan("mbo")
    write(file, order_id=2)
    load(lake, file, schemas=("mbo",))
    assert run_in_process("lake", "vacuum", "--lake", lake, "-q").code == 0
    assert reader.collect()["order_id"].to_list() == [1] * 8
    done = run_in_process("lake", "vacuum", "--lake", lake, "--older-than", "0")
    assert done.code == 0
    assert done.err.startswith("removed 1 files, ")
    assert parquet_files(lake) == set(Lake(lake).parts()["path"])
    assert read_lake(lake, "mbo")["order_id"].to_list() == [2] * 8


# ---------------------------------------------------------------------- several at once


def test_two_loaders_of_the_same_files_double_nothing(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{days}.dbn", days=days, order_id=days, count=2_000) for days in range(6)
    ]
    lake = tmp_path / "lake"
    command = [*SCRIPT, "lake", "load", *map(str, files), "--lake", str(lake), "-q", "--schemas"]
    loaders = [
        subprocess.Popen([*command, schemas], env=environment(), stderr=subprocess.PIPE)
        for schemas in ("mbo,trades", "trades,mbo", "mbo")
    ]
    for loader in loaders:
        assert loader.communicate(timeout=120)[1] == b""
        assert loader.returncode == 0
    alone = tmp_path / "alone"
    load(alone, *files, schemas=("mbo", "trades"))
    assert lake_digest(lake) == lake_digest(alone)
    assert Lake(lake).check() == []
    assert not list((lake / ".loading").glob("*/"))


def test_two_loaders_of_different_sources_of_a_date_load_each_row_once(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{order_id}.dbn", order_id=order_id) for order_id in range(1, 9)]
    lake, alone = tmp_path / "lake", tmp_path / "alone"
    command = [*SCRIPT, "lake", "load", "--lake", str(lake), "-q", "--schemas", "mbo,trades"]
    loaders = [
        subprocess.Popen(
            [*command, "--in-this-order", *map(str, files[first::2])],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        for first in range(2)
    ]
    for loader in loaders:
        assert loader.communicate(timeout=120)[1] == b""
        assert loader.returncode == 0
    load(alone, *files, schemas=("mbo", "trades"))
    for schema in ("mbo", "trades"):
        one, other = read_lake(lake, schema), read_lake(alone, schema)
        assert_frame_equal(one, other, check_row_order=False)
    assert Lake(lake).check() == []


def test_a_reader_sees_whole_commits_only(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn", count=100)
    load(lake, file, schemas=("mbo", "trades"))
    writer = subprocess.Popen(
        [
            *SCRIPT,
            "lake",
            "load",
            str(file),
            "--lake",
            str(lake),
            "--again",
            "-q",
            "--schemas",
            "mbo,trades",
        ],
        env=environment(),
    )
    opened, asked = Lake(lake), 0
    query = "SELECT (SELECT count(*) FROM mbo) m, (SELECT count(*) FROM trades) t"
    while writer.poll() is None or asked < 3:
        assert opened.sql(query).rows() == [(100, 100)]
        asked += 1
    assert writer.returncode == 0


# ---------------------------------------------------------------------- the command


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write(tmp_path / "a.dbn")
    options = ("--schemas", "trades,mbo", "--every", "1000ms")
    arguments = ("lake", "load", file, "--lake", lake, *options)
    done = run_in_process(*arguments)
    assert (done.code, done.out) == (0, b"")
    assert done.err == f"{file}: 8 trades, 8 mbo, 2 depth-1s\n"
    assert run_in_process(*arguments).err == f"{file}: is in the lake already\n"
    zoned = run_in_process("lake", "ls", "--lake", lake, "--tz", "America/Chicago").out.decode()
    first = (
        Lake(lake).contents().filter(schema="mbo")["first"].dt.convert_time_zone("America/Chicago")
    )
    assert first.dt.to_string("iso:strict").item() in zoned
    refused = run_in_process("lake", "ls", "--lake", lake, "--tz", "Foo")
    assert error_line(refused, 2).startswith("no time zone 'Foo'")
    listed = run_in_process("lake", "ls", "--lake", lake).out.decode().split()
    assert {"trades", "mbo", "depth-1s"} < set(listed)
    assert (
        run_in_process("lake", "ls", "--parts", "--lake", lake).out.decode().count(".parquet") == 3
    )
    told = Lake(lake).sources()
    assert told["source"].to_list() == [str(file)] * 3
    assert told["schema"].to_list() == ["depth-1s", "mbo", "trades"]
    assert told["rows"].to_list() == [2, 8, 8]
    assert told["digest"].unique().to_list() == [hashlib.sha256(file.read_bytes()).hexdigest()]
    assert str(file) in run_in_process("lake", "ls", "--sources", "--lake", lake).out.decode()


def test_the_lake_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_LAKE", str(tmp_path / "lake"))
    assert run_in_process("lake", "load", write(tmp_path / "a.dbn"), "-q").code == 0
    assert run_in_process("lake", "check", "-q").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("load", "none.dbn"), 3, "none.dbn: cannot be opened"),
        (("load", "-"), 2, "standard input has no name"),
        (
            ("load", SAMPLE, "--schemas", "mbp10"),
            2,
            "no schema 'mbp10'; did you mean mbp-10? there are mbo",
        ),
        (("load", SAMPLE, "--schemas", ""), 2, "no schemas to load"),
        (("load", SAMPLE, "--every", "soon"), 2, "not a duration: 'soon'"),
        (("check",), 6, "is not a lake"),
        (("vacuum", "--older-than", "x"), 2, "not a duration"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: tuple[str | Path, ...], code: int, words: str, tmp_path: Path
) -> None:
    done = run_in_process("lake", *arguments, "--lake", tmp_path / "lake")
    assert words in error_line(done, code)
    assert not (tmp_path / "lake").exists()


def test_a_damaged_file_loads_nothing_of_itself(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.dbn"), tmp_path / "b.dbn"
    bad.write_bytes(metadata() + encode(adds(3))[:-5])
    done = run_in_process(
        "lake", "load", good, bad, "--lake", tmp_path / "lake", "--schemas", "mbo,trades"
    )
    assert done.code == 3
    assert "b.dbn: byte " in done.err
    assert read_lake(tmp_path / "lake", "trades").height == 8
    assert parquet_files(tmp_path / "lake") == set(Lake(tmp_path / "lake").parts()["path"])


def test_another_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run_in_process("lake", "load", SAMPLE, "--lake", tmp_path)
    assert "is neither empty nor a lake" in error_line(done, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interval_that_ends_with_a_name_has_it(tmp_path: Path) -> None:
    of_a_day = SymbolMapping("AAA", (DatedSymbol(20241004, 20241005, "1"),))
    head = encode_metadata(Metadata(schema=0, symbols=("AAA",), mappings=(of_a_day,)))
    file = tmp_path / "a.dbn"
    late = DAY_NS + NS_PER_DAY - NS_PER_S // 2
    file.write_bytes(head + encode([record(Action.ADD, order_id=1, ts_recv=late)]))
    load(tmp_path / "lake", file, schemas=("bbo-1s", "mbo", "depth-1s"))
    for schema, time in (("bbo-1s", "ts_recv"), ("mbo", "ts_recv"), ("depth-1s", "ts")):
        rows = Lake(tmp_path / "lake").scan(schema).collect()
        assert rows["symbol"].to_list() == ["AAA"], schema
        end = late if schema == "mbo" else DAY_NS + NS_PER_DAY
        assert rows[time].to_physical().to_list() == [end]


def test_schemas_of_one_load_have_the_rows_of_loads_of_their_own(tmp_path: Path) -> None:
    schemas = ("mbp-1", "bbo-1s", "states-1", "mbp-2", "trades", "ohlcv-1m")
    load(tmp_path / "all", SAMPLE, schemas=schemas)
    together = Lake(tmp_path / "all").parts()
    for schema in schemas:
        load(tmp_path / schema, SAMPLE, schemas=(schema,))
        alone = Lake(tmp_path / schema).parts()
        paths = together.filter(schema=schema)["path"]
        assert len(paths) == alone.height, schema
        for path, other in zip(paths, alone["path"], strict=True):
            rows = (tmp_path / "all" / path).read_bytes()
            assert rows == (tmp_path / schema / other).read_bytes()
