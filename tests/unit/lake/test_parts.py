"""Rows into files: every row once, in its order, whatever the limits."""

from __future__ import annotations

import errno
import gc
import hashlib
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from batonics.lake import parts, row_sort
from batonics.lake.part import Part
from batonics.lake.parts import PartsWriter, date_to_day, day_to_date, part_columns
from batonics.model.errors import OutputError
from batonics.model.times import NS_PER_DAY

SCHEMA = find_schema("mbo")
TIME_TYPE = pl.Datetime("ns", "UTC")
Row = tuple[int | None, str | None, int]
"""Time in nanoseconds, symbol, instrument_id."""


def frame(rows: list[Row], first: int = 0) -> pl.DataFrame:
    """Rows as a load gives them: `sequence` tells one from another."""
    times = pl.Series([row[0] for row in rows], dtype=pl.Int64)
    values: dict[str, Any] = {
        "ts_recv": times,
        "ts_event": times,
        "sequence": range(first, first + len(rows)),
        "instrument_id": [row[2] for row in rows],
        "action": ["A"] * len(rows),
        "side": ["N"] * len(rows),
    }
    columns = {
        name: pl.Series(name, values.get(name, [0] * len(rows))).cast(dtype)
        for name, dtype in SCHEMA.lake_columns.items()
    }
    return pl.DataFrame(columns).with_columns(
        pl.col("ts_recv").to_physical().alias(ROW_TIME),
        pl.Series("symbol", [row[1] for row in rows], dtype=pl.String),
    )


def written(directory: Path, *frames: pl.DataFrame) -> list[tuple[Path, Part]]:
    writer = PartsWriter(SCHEMA, directory, "x")
    for rows in frames:
        writer.write(rows)
    writer.close()
    return writer.written


def sequences(files: list[tuple[Path, Part]]) -> dict[tuple[str | None, str | None], list[int]]:
    """By date and symbol, which rows there are, part after part."""
    found: dict[tuple[str | None, str | None], list[int]] = {}
    for path, part in files:
        rows = pl.read_parquet(path, columns=["symbol", "sequence"], hive_partitioning=False)
        for symbol, sequence in rows.iter_rows():
            found.setdefault((part.date, symbol), []).append(sequence)
    return found


def expected(frames: list[pl.DataFrame]) -> dict[tuple[str | None, str | None], list[int]]:
    """The same, row by row."""
    found: dict[tuple[str | None, str | None], list[int]] = {}
    for rows in frames:
        for at, symbol, sequence in rows.select("ts_recv", "symbol", "sequence").iter_rows():
            found.setdefault((None if at is None else str(at.date()), symbol), []).append(sequence)
    return found


NAMES = (
    "A",
    "B",
    "A/",
    None,
    "",
    "\U0010ffff",  # sorts after everything
    "x" * 3_000,
    "é",
)
SYMBOLS = st.sampled_from([(name, at) for at, name in enumerate([*NAMES, "A"])])
TIMES = st.one_of(
    st.none(),
    st.sampled_from([0, NS_PER_DAY - 1, NS_PER_DAY, 5 * NS_PER_DAY + 1, 2**63 - 1]),
)
ROWS = st.tuples(TIMES, SYMBOLS).map(lambda both: (both[0], *both[1]))


@settings(max_examples=60)
@given(
    chunks=st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=6),
    days_max=st.integers(1, 4),
    rows_max=st.sampled_from([1, 3, 1_000]),
    own_rows=st.sampled_from([1, 4, 1_000]),
    group_rows=st.sampled_from([1, 3, 1_000]),
    block_rows=st.sampled_from([1, 2, 1_000]),
    bytes_max=st.sampled_from([0, 3_000, 1 << 20]),
)
def test_rows_and_their_order_hold_whatever_the_limits(
    chunks: list[list[Row]],
    days_max: int,
    rows_max: int,
    own_rows: int,
    group_rows: int,
    block_rows: int,
    bytes_max: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("parts")
    frames, first = [], 0
    for rows in chunks:
        frames.append(frame(rows, first))
        first += len(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "OPEN_DAYS_MAX", days_max)
        patch.setattr(parts, "part_rows_max", lambda _: rows_max)
        patch.setattr(parts, "OWN_PART_ROWS", own_rows)
        patch.setattr(parts, "OWN_PART_ROWS_MOST", own_rows)
        patch.setattr(parts, "GROUP_SYMBOL_ROWS", group_rows)
        patch.setattr(parts, "GATHERED_BYTES_MAX", bytes_max)
        patch.setattr(row_sort, "MERGED_ROWS", block_rows)
        files = written(directory, *frames)
    assert sequences(files) == expected(frames)
    assert len({part.path for _, part in files}) == len(files)
    assert {path.name for path in directory.iterdir()} == {path.name for path, _ in files}
    whole = pl.concat(frames)
    for path, part in files:
        check_part(path, part, whole)


def check_part(path: Path, part: Part, whole: pl.DataFrame) -> None:
    """Check what the catalog would say of a file, row by row."""
    rows_of = pl.read_parquet(path, hive_partitioning=False)
    assert rows_of.schema == part_columns(SCHEMA)
    assert part.bytes == path.stat().st_size
    assert part.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    keyed = rows_of.join(whole.select("sequence", ROW_TIME), on="sequence", maintain_order="left")
    assert keyed["symbol"].to_list() == sorted(
        keyed["symbol"].to_list(), key=lambda name: (name is not None, name or "")
    )
    found = part.list_symbols()
    for entry in found:
        of_symbol = keyed.filter(pl.col("symbol").eq_missing(pl.lit(entry.symbol, pl.String)))
        times = of_symbol[ROW_TIME]
        assert (entry.rows, entry.ts_min, entry.ts_max) == (
            of_symbol.height,
            times.min(),
            times.max(),
        )
    assert list(found.names) == keyed["symbol"].unique(maintain_order=True).to_list()
    assert (part.rows, part.ts_min, part.ts_max) == (
        keyed.height,
        keyed[ROW_TIME].min(),
        keyed[ROW_TIME].max(),
    )


def test_parts_are_few_however_many_symbols_there_are(tmp_path: Path) -> None:
    count = 100_000
    names = pl.Series([f"S{number}" for number in range(count)])
    many = frame([(1, "A", 1)]).select(pl.all().repeat_by(count).explode())
    files = written(tmp_path, many.with_columns(symbol=names.shuffle(1)))
    ((path, part),) = files
    assert len(part.list_symbols()) == part.rows == count
    assert part.list_symbols().shown(("S77",))[0].stored.rows == 1
    assert pl.scan_parquet(path).filter(symbol="S99999").collect().height == 1


def test_a_symbol_with_many_rows_has_parts_and_row_groups_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "OWN_PART_ROWS", 100)
    monkeypatch.setattr(parts, "OWN_PART_SHARE", 2)
    monkeypatch.setattr(parts, "GROUP_SYMBOL_ROWS", 10)
    counts = {"A": 3, "B": 20, "C": 3, "D": 4, "E": 200, "F": 2}
    rows: list[Row] = [
        (at, name, ord(name)) for at in range(200) for name, count in counts.items() if at < count
    ]
    files = written(tmp_path, frame(rows))
    found = [(part.first_symbol, part.last_symbol, part.rows) for _, part in files]
    assert found == [("A", "D", 30), ("E", "E", 200), ("F", "F", 2)]
    metadata = pq.ParquetFile(files[0][0]).metadata
    groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert groups == [3, 20, 7]
    column = metadata.row_group(1).column(metadata.num_columns - 1)
    assert (column.path_in_schema, column.statistics.min, column.statistics.max) == (
        "symbol",
        "B",
        "B",
    )


@pytest.mark.parametrize(("column", "value"), [("instrument_id", ord("B")), ("symbol", "B")])
def test_a_row_group_tells_that_it_lacks_an_instrument_or_symbol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, value: object
) -> None:
    monkeypatch.setattr(parts, "GROUP_SYMBOL_ROWS", 10)
    rows: list[Row] = [(at, name, ord(name)) for at in range(10) for name in "ABC"]
    ((path, _),) = written(tmp_path, frame(rows))
    found = duckdb.execute("SELECT * FROM parquet_bloom_probe(?, ?, ?)", [str(path), column, value])
    assert [excluded for *_, excluded in found.fetchall()] == [True, False, True]


def test_a_commit_of_a_feed_is_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "OWN_PART_ROWS", 1)
    rows: list[Row] = [(at, name, ord(name)) for at in range(40) for name in "CAB"]
    writer = PartsWriter(SCHEMA, tmp_path, "x", own_parts=False)
    writer.write(frame(rows))
    writer.close()
    ((_, part),) = writer.written
    assert [entry.symbol for entry in part.list_symbols()] == ["A", "B", "C"]


def test_rows_of_a_symbol_with_other_aliases_are_in_another_part(tmp_path: Path) -> None:
    both = frame([(0, "A", 1), (1, "B", 2), (2, "A", 1)]).with_columns(
        _aliases=pl.Series(['["X"]', "[]", "[]"])
    )
    files = written(tmp_path, both, frame([(3, "A", 1)], 3))
    found = [[(*entry[:2], entry.aliases) for entry in part.list_symbols()] for _, part in files]
    assert found == [[("A", 1, ("X",))], [("A", 2, ()), ("B", 1, ())]]


def test_rows_that_wait_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "GATHERED_BYTES_MAX", 2_000)
    writer = PartsWriter(SCHEMA, tmp_path, "x")
    for number in range(100):
        writer.write(frame([(0, str(number % 5), number % 5)], number))
        assert sum(sorter.bytes_in_memory for sorter in writer._days.values()) <= 2_000
    assert len(list(tmp_path.iterdir())) > 1
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["mbo-0000.parquet"]
    assert sorted(number for rows in sequences(writer.written).values() for number in rows) == list(
        range(100)
    )


def test_a_disk_without_room_for_the_sort_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts, "GATHERED_BYTES_MAX", 0)
    monkeypatch.setattr(row_sort, "open_file_stream", full)
    writer = PartsWriter(SCHEMA, tmp_path, "x")
    said = r"mbo-0000-run-0000: cannot be written: No space left on device; sorting the rows"
    with pytest.raises(OutputError, match=said):
        writer.write(frame([(0, "A", 1)]))
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_without_a_time_a_row_has_no_date(tmp_path: Path) -> None:
    ((path, part),) = written(tmp_path, frame([(None, "A", 1), (None, "A", 1)]))
    assert (part.date, part.ts_min, part.ts_max, part.rows) == (None, None, None, 2)
    assert part.path == "mbo/date=__HIVE_DEFAULT_PARTITION__/x-0000.parquet"
    assert pl.read_parquet(path, hive_partitioning=False)["ts_recv"].null_count() == 2


def test_a_load_without_rows_has_no_parts(tmp_path: Path) -> None:
    assert written(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_abandoned_is_no_part(tmp_path: Path) -> None:
    writer = PartsWriter(SCHEMA, tmp_path, "x")
    writer.write(frame([(0, "A", 1), (0, "B", 2)]))
    writer.abandon()
    writer.close()
    assert writer.written == []
    del writer
    gc.collect()  # nothing is said when what was abandoned goes


@given(st.integers(-700_000, 2_900_000))
def test_a_day_is_that_of_its_date(day: int) -> None:
    assert date_to_day(day_to_date(day)) == day
    assert date_to_day(day_to_date(None)) is None
