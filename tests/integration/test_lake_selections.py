"""Parts of files in a lake, and rows that are taken out of it again.

A part of a file has the rows that the whole file has of its symbols and times.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

import batonics
from batonics.jobs.lake_load import LakeLoad, LoadRequest
from batonics.jobs.lake_remove import RemoveRequest, remove_rows
from batonics.lake.lake import Lake
from batonics.lake.load_selection import LoadSelection
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import Action, Side
from batonics.model.times import parse_time
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import lake_digest, parquet_files

SCHEMAS = ("trades", "mbp-1", "bbo-1m", "ohlcv-1m", "orders", "depth-1m")
HOUR = 3_600 * 10**9
NUMBERS = {"AAA": 1, "BBB": 2}


def time_of(hour: int) -> str:
    return f"2024-10-0{4 + hour // 24}T{hour % 24:02}:00:00Z"


def write_file(path: Path, *, first: int = 0, hours: int = 4) -> Path:
    """Orders and trades of both symbols, every ten minutes, from an hour of the day on."""
    rows = []
    for at in range(6 * hours):
        for number in NUMBERS.values():
            ts_recv = DAY_NS + first * HOUR + at * HOUR // 6 + number - 1
            if not at:
                rows.append(
                    record(
                        Action.CLEAR, instrument_id=number, side=Side.NONE, ts_recv=ts_recv, size=0
                    )
                )
            rows.append(
                record(
                    Action.ADD,
                    instrument_id=number,
                    order_id=10 * at + number,
                    price=100 + at % 7,
                    ts_recv=ts_recv + 10,
                )
            )
            rows.append(
                record(Action.TRADE, instrument_id=number, side=Side.ASK, ts_recv=ts_recv + 20)
            )
    start = DAY_NS + first * HOUR
    path.write_bytes(metadata(NUMBERS, start=start, end=start + hours * HOUR) + encode(rows))
    return path


def load(
    lake: Path,
    *files: Path,
    symbols: tuple[str, ...] = (),
    start: str | None = None,
    end: str | None = None,
    again: bool = False,
) -> list[int]:
    """Load a part of files; the rows of each source."""
    bounds = (None if bound is None else parse_time(bound) for bound in (start, end))
    request = LoadRequest(
        tuple(map(str, files)),
        str(lake),
        SCHEMAS,
        again=again,
        selection=LoadSelection(symbols, *bounds),
    )
    return [result.rows for result in LakeLoad(request).run()]


def rows_of(lake: Path, schema: str, symbols: str = "") -> pl.DataFrame:
    """All rows but for their place, which is that of the part."""
    rows = Lake(lake).scan(schema, symbols=symbols or ())
    return rows.drop("source", "position").collect()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_file(tmp_path / "day.dbn")


def test_parts_of_a_file_have_the_rows_of_the_whole_file_once(tmp_path: Path, file: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    load(whole, file)
    bounds = [None, time_of(1), "2024-10-04T02:30:00.000000001Z", None]
    for symbol in NUMBERS:
        for start, end in pairwise(bounds):
            assert load(pieces, file, symbols=(symbol,), start=start, end=end) != [0]
    sources = Lake(pieces).sources()
    assert sources["selection"].n_unique() == 6
    assert sources["source"].n_unique() == 1
    for schema in SCHEMAS:
        expected = rows_of(whole, schema)
        found = rows_of(pieces, schema).sort("symbol", maintain_order=True)
        assert found.drop("complete", strict=False).equals(
            expected.drop("complete", strict=False)
        ), schema
        ordered = Lake(pieces).sql(
            f"SELECT symbol, source FROM {schema.replace('-', '_')} ORDER BY source, position"
        )
        assert ordered.height == expected.height


def test_a_part_is_loaded_once_whatever_its_file_is_called(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    first = load(lake, file, symbols=("BBB", "AAA"), end=time_of(2))
    assert first != [0]
    assert load(lake, file, symbols=("AAA", "BBB"), end=time_of(2)) == [0]
    copy = tmp_path / "copy.dbn"
    copy.write_bytes(file.read_bytes())
    assert load(lake, copy, symbols=("AAA", "BBB"), end=time_of(2)) == [0]
    before = lake_digest(lake)
    assert load(lake, file, symbols=("AAA", "BBB"), end=time_of(2), again=True) == first
    assert lake_digest(lake) == before


def test_records_of_another_part_are_refused(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    load(lake, file, symbols=("AAA",), end=time_of(2))
    before = lake_digest(lake)
    for symbols, start in (((), None), (("AAA",), None), ((), time_of(1))):
        with pytest.raises(UsageError, match=r'day.dbn \(symbols \["AAA"\] before .*AAA from'):
            load(lake, file, symbols=symbols, start=start)
    assert lake_digest(lake) == before
    load(lake, file, symbols=("AAA",), start=time_of(2))
    load(lake, file, symbols=("BBB",))


def test_a_changed_file_replaces_the_same_part_only(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    load(lake, file, symbols=("AAA",))
    load(lake, file, symbols=("BBB",))
    other = rows_of(lake, "trades", symbols="BBB")
    write_file(file, hours=3)
    load(lake, file, symbols=("AAA",))
    assert rows_of(lake, "trades", symbols="AAA").height == 18
    assert rows_of(lake, "trades", symbols="BBB").equals(other)


def test_what_a_part_leaves_out_is_not_covered(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    load(lake, file, symbols=("AAA",))
    load(lake, file, symbols=("BBB",), end=time_of(1))
    load(lake, file, symbols=("BBB",), start=time_of(3))
    with pytest.warns(DataWarning, match=r"no file covers 2024-10-04T01.* to 2024-10-04T03"):
        Lake(lake).sql("SELECT max(price) AS p FROM trades WHERE symbol = 'BBB'")
    bars = Lake(lake).sql("queries/time_bars.sql", every="2h")
    complete = {
        (row["symbol"], row["ts_open"].hour): row["complete"] for row in bars.iter_rows(named=True)
    }
    assert complete == {
        ("AAA", 0): True,
        ("AAA", 2): False,  # it ends behind the last record
        ("BBB", 0): False,
        ("BBB", 3): False,
    }


def test_a_part_with_an_end_reads_no_further(tmp_path: Path) -> None:
    file, lake = tmp_path / "day.dbn", tmp_path / "lake"
    whole = write_file(file).read_bytes()
    late = record(Action.ADD, instrument_id=1, ts_recv=DAY_NS + 5 * HOUR)
    later = encode([late]) * 200_000
    file.write_bytes(whole + later[:-30])  # an error for who reads to the end
    load_trades = ("lake", "load", file, "--lake", lake, "--schemas", "trades", "--end", time_of(3))
    result = run_in_process(*load_trades)
    assert result.code == 0, result.err
    assert "36 trades" in result.err
    assert (
        rows_of(lake, "trades")["ts_recv"].max()
        < pl.Series([time_of(3)]).str.to_datetime(time_zone="UTC")[0]
    )


@pytest.mark.filterwarnings("ignore:.*uncovered")
def test_a_part_without_rows_is_said(tmp_path: Path, file: Path) -> None:
    with pytest.warns(DataWarning, match=r"no rows from 2024-10-05T00.* in any of the files"):
        assert load(tmp_path / "lake", file, start=time_of(24)) == [0]


def test_options_of_a_part(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    arguments = ("lake", "load", str(file), "--lake", str(lake), "--schemas", "trades")
    refused = run_in_process(*arguments, "--symbols", "AAB")
    assert "no symbol 'AAB' in the input; did you mean" in error_line(refused, 2)
    refused = run_in_process(*arguments, "--start", time_of(2), "--end", time_of(1))
    assert "is not before the end" in error_line(refused, 2)
    zone = ("--tz", "America/New_York", "--start", "2024-10-03T21:00", "--end", "2024-10-03T22:00")
    assert run_in_process(*arguments, "--symbols", "AAA", *zone).code == 0
    assert rows_of(lake, "trades").height == 6
    batonics.load_lake(file, lake, schemas=["trades"], symbols="AAA", start=time_of(2))
    assert rows_of(lake, "trades").height == 18
    listed = run_in_process("lake", "ls", "--lake", str(lake), "--sources", "--wide")
    assert 'symbols ["AAA"] from 2024-10-04T02:00:00.000000000Z' in listed.out.decode()


# ---------------------------------------------------------------------- removing


def test_a_removed_source_can_be_loaded_again(tmp_path: Path, file: Path) -> None:
    lake, other = tmp_path / "lake", write_file(tmp_path / "next.dbn", first=4)
    load(lake, other)
    kept = lake_digest(lake)
    load(lake, file)
    both = lake_digest(lake)
    with pytest.raises(UsageError, match=r"no source .*dya.dbn' in the lake; did you mean .*day"):
        remove_rows(RemoveRequest(lake, str(tmp_path / "dya.dbn")))
    result = remove_rows(RemoveRequest(lake, str(file)))
    assert (result.rows > 0, result.sources) == (True, 1)
    assert lake_digest(lake) == kept
    assert Lake(lake).check() == []
    load(lake, file)
    assert sorted(lake_digest(lake)) == sorted(both)
    # Nothing of the source is left that could refuse its records under another name.
    remove_rows(RemoveRequest(lake, str(file)))
    file.rename(tmp_path / "renamed.dbn")
    assert load(lake, tmp_path / "renamed.dbn") != [0]


def test_a_removed_date_can_be_loaded_again(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", write_file(tmp_path / "days.dbn", first=20, hours=52)
    load(lake, file)
    whole = lake_digest(lake)
    days = [f"2024-10-0{day}" for day in (4, 5, 6)]
    remove_rows(RemoveRequest(lake, date=days[1]))
    opened = Lake(lake)
    assert opened.check() == []
    for schema in SCHEMAS:
        found = rows_of(lake, schema)["date"].cast(pl.String).unique().sort().to_list()
        assert days[1] not in found
    with pytest.warns(DataWarning, match=r"no file covers 2024-10-05T00.* to 2024-10-06T00"):
        opened.sql("SELECT max(price) AS p FROM trades")
    with pytest.raises(UsageError, match="no rows of 2024-10-05"):
        remove_rows(RemoveRequest(lake, date=days[1]))
    # A load of one schema brings the date back for all of them, since the source covers it again.
    for _ in LakeLoad(LoadRequest((str(file),), str(lake), ("trades",))).run():
        pass
    assert lake_digest(lake) == whole
    opened.sql("SELECT max(price) AS p FROM trades")


def test_a_date_of_one_source_leaves_the_others(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    other = write_file(tmp_path / "next.dbn", first=4, hours=22)
    load(lake, file)
    load(lake, other)
    remove_rows(RemoveRequest(lake, str(other), "2024-10-04"))
    trades = rows_of(lake, "trades")
    assert trades.filter(pl.col("ts_recv").dt.day() == 4).height == 48
    assert trades.filter(pl.col("ts_recv").dt.day() == 5).height == 24
    # Other files of the removed records are not refused.
    copy = write_file(tmp_path / "copy.dbn", first=4, hours=20)
    assert load(lake, copy) != [0]


def test_all_dates_of_a_source_are_the_source(tmp_path: Path, file: Path) -> None:
    lake = tmp_path / "lake"
    load(lake, file)
    result = run_in_process("lake", "remove", "--lake", lake, "--date", "2024-10-04")
    assert result.code == 0
    assert "of 1 sources" in result.err
    assert Lake(lake).sources().height == 0
    assert Lake(lake).schemas() == []
    assert parquet_files(lake)
    assert run_in_process("lake", "vacuum", "--lake", lake, "--older-than", "0").code == 0
    assert parquet_files(lake) == set()


@pytest.mark.parametrize("given", [(), ("--date", "yesterday"), ("--source", "nothing")])
def test_a_removal_of_nothing_is_refused(
    tmp_path: Path, file: Path, given: tuple[str, ...]
) -> None:
    lake = tmp_path / "lake"
    load(lake, file)
    assert error_line(run_in_process("lake", "remove", "--lake", str(lake), *given), 2)
