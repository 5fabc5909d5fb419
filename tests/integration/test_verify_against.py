"""`batonics verify --against`: exit code, report and one line, as a user meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from batonics.model.errors import InputError
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY
from batonics.sources.tables import read_table
from tests.support.command import SAMPLE, error_line, run_in_process
from tests.support.dbn_files import DAY_NS, SMALL, adds, compress, encode, metadata, record


def converted(path: Path, schema: str = "mbp-1") -> Path:
    assert run_in_process("convert", SAMPLE, "--schema", schema, "--out", path, "-q").code == 0
    return path


def report(theirs: Path, *arguments: str | Path) -> dict[str, Any]:
    done = run_in_process("verify", SAMPLE, "--against", theirs, "--json", "-q", *arguments)
    assert done.code == 0, done.err
    document: dict[str, Any] = orjson.loads(done.out)
    return document


@pytest.mark.parametrize("form", ["parquet", "dbn.zst", "csv", "arrow"])
def test_rows_that_agree_are_reported_beside_the_proof(form: str, tmp_path: Path) -> None:
    found = report(converted(tmp_path / f"x.{form}"), "--schema", "mbp-1")
    assert found["proved"]
    assert found["against"]["schema"] == "mbp-1"
    assert found["against"]["agrees"]
    assert found["against"]["pairs"]["equal"] == found["against"]["rows"]["theirs"] > 1_000


def test_a_schema_that_columns_do_not_tell_is_named(tmp_path: Path) -> None:
    theirs = converted(tmp_path / "x.parquet", "ohlcv-1m")
    words = error_line(run_in_process("verify", SAMPLE, "--against", theirs, "-q"), 3)
    assert "its schema is not known; give it with --schema" in words
    assert report(theirs, "--schema", "ohlcv-1m")["against"]["agrees"]


def test_a_row_that_differs_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    theirs = converted(tmp_path / "x.parquet")
    rows = pl.read_parquet(theirs)
    is_it = pl.int_range(pl.len()) == 77
    size = pl.when(is_it).then(pl.col("bid_sz_00") + 1).otherwise("bid_sz_00")
    rows.with_columns(bid_sz_00=size).write_parquet(theirs)
    command = ("verify", SAMPLE, "--against", theirs, "--schema", "mbp-1", "-q")
    words = error_line(run_in_process(*command), 1)
    assert words.startswith(
        f"the rows differ from {theirs}; the first: differs: ts_recv 2026-01-05T14:3"
    )
    assert "bid_sz_00: ours" in words


def test_a_file_of_other_records_has_no_counterpart(tmp_path: Path) -> None:
    (tmp_path / "other.dbn").write_bytes(SMALL)
    theirs = tmp_path / "y.parquet"
    done = run_in_process(
        "convert", tmp_path / "other.dbn", "--schema", "mbp-1", "--out", theirs, "-q"
    )
    assert done.code == 0
    command = ("verify", SAMPLE, "--against", theirs, "--schema", "mbp-1", "-q")
    words = error_line(run_in_process(*command), 1)
    assert words == f"no row of {theirs} has a counterpart in the input"


def test_the_table_says_what_agrees(tmp_path: Path) -> None:
    theirs = converted(tmp_path / "x.parquet", "mbp-10")
    done = run_in_process("verify", SAMPLE, "--against", theirs)
    assert done.code == 0
    assert "equal in every column that both have" in done.out.decode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--schema", "mbp-1"], "give both"),
        (["--against", "x.parquet", "--schema", "mbp-0"], "no schema 'mbp-0'"),
    ],
)
def test_a_call_that_cannot_be_is_one_line(arguments: list[str], words: str) -> None:
    assert words in error_line(run_in_process("verify", SAMPLE, *arguments), 2)


def test_records_from_a_pipe_cannot_be_read_twice(tmp_path: Path) -> None:
    theirs = converted(tmp_path / "x.parquet", "mbp-10")
    assert "give files, not -" in error_line(run_in_process("verify", "-", "--against", theirs), 2)


@pytest.mark.parametrize(
    ("schema", "told"),
    [("mbp-10", True), ("mbo", True), ("trades", True), ("tbbo", False), ("bbo-1s", False)],
)
def test_only_columns_that_leave_no_doubt_tell_a_schema(
    schema: str, told: bool, tmp_path: Path
) -> None:
    theirs = converted(tmp_path / "x.parquet", schema)
    done = run_in_process("verify", SAMPLE, "--against", theirs, "--json", "-q")
    assert (done.code == 0) == told, done.err
    if told:
        assert orjson.loads(done.out)["against"]["schema"] == schema


@pytest.mark.parametrize("column", ["sequence", "publisher_id", "bid_px_00"])
def test_a_file_without_what_rows_are_known_by_is_refused(column: str, tmp_path: Path) -> None:
    theirs = converted(tmp_path / "x.parquet")
    pl.read_parquet(theirs).drop(column).write_parquet(theirs)
    words = error_line(
        run_in_process("verify", SAMPLE, "--against", theirs, "--schema", "mbp-1", "-q"), 3
    )
    assert f"column {column} of schema mbp-1 is missing" in words


def test_a_cold_book_excuses_levels_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "cold.dbn"
    source.write_bytes(SMALL)
    theirs = tmp_path / "x.parquet"
    assert run_in_process("convert", source, "--schema", "mbp-1", "--out", theirs, "-q").code == 0
    rows = pl.read_parquet(theirs)
    command = ("verify", source, "--against", theirs, "--schema", "mbp-1", "-q")
    first = pl.int_range(pl.len()) == 0
    size = pl.when(first).then(pl.col("bid_sz_00") + 1).otherwise("bid_sz_00")
    rows.with_columns(bid_sz_00=size).write_parquet(theirs)
    assert run_in_process(*command).code == 0
    # The input may begin amid its first event, but not amid its last one.
    last = pl.int_range(pl.len()) == pl.len() - 1
    flags = pl.when(last).then(pl.col("flags") + 1).otherwise("flags")
    rows.with_columns(flags=flags).write_parquet(theirs)
    assert "flags: ours 128, theirs 129" in error_line(run_in_process(*command), 1)
    # Where nothing is equal, nothing is explained either.
    rows.with_columns(pl.col("bid_sz_00") + 1).write_parquet(theirs)
    assert run_in_process(*command).code == 1


@pytest.mark.parametrize("compress_it", [False, True])
def test_a_file_behind_another_is_read_as_the_next_one(compress_it: bool, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        file = tmp_path / f"{number}.dbn"
        at = DAY_NS + number * NS_PER_DAY
        clears = [record(Action.CLEAR, instrument_id=i, order_id=0, ts_recv=at) for i in (1, 2)]
        file.write_bytes(metadata() + encode([*clears, *adds(20, ts_recv=at + 1)]))
        files.append(file)
    parts = [tmp_path / f"{number}.mbp-1.dbn" for number in range(2)]
    for file, part in zip(files, parts, strict=True):
        assert run_in_process("convert", file, "--schema", "mbp-1", "--out", part, "-q").code == 0
    joined = tmp_path / ("joined.dbn.zst" if compress_it else "joined.dbn")
    data = b"".join(part.read_bytes() for part in parts)
    joined.write_bytes(compress(data) if compress_it else data)
    rows = pl.concat(read_table(joined, "mbp-1"))
    assert rows.equals(pl.concat([frame for part in parts for frame in read_table(part, "mbp-1")]))
    against = tmp_path / "mbo.dbn"
    against.write_bytes(b"".join(file.read_bytes() for file in files))
    done = run_in_process("verify", against, "--against", joined, "--json", "-q")
    found = orjson.loads(done.out)["against"]
    assert found["agrees"], found
    assert (found["rows"]["theirs"], found["only_theirs"]) == (rows.height, {})
    joined.write_bytes(data + metadata(schema=0))
    with pytest.raises(InputError, match="its schema is mbo, expected mbp-1"):
        list(read_table(joined, "mbp-1"))
    joined.write_bytes(data[:-1])
    with pytest.raises(InputError, match="the stream ends after 79 bytes of a record"):
        list(read_table(joined, "mbp-1"))
