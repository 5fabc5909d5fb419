"""Rows into files: every row once, in its order, however few files may be open."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from batonics.lake import parts
from batonics.lake.catalog import Part
from batonics.lake.part_paths import part_directory
from batonics.lake.parts import (
    PartFile,
    PartKey,
    PartsWriter,
    date_to_day,
    day_to_date,
)
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
        rows = pl.read_parquet(path, columns=["sequence"])["sequence"].to_list()
        found.setdefault((part.date, part.symbol), []).extend(rows)
    return found


def expected(frames: list[pl.DataFrame]) -> dict[tuple[str | None, str | None], list[int]]:
    """The same, row by row."""
    found: dict[tuple[str | None, str | None], list[int]] = {}
    for rows in frames:
        for at, symbol, sequence in rows.select("ts_recv", "symbol", "sequence").iter_rows():
            found.setdefault((None if at is None else str(at.date()), symbol), []).append(sequence)
    return found


SYMBOLS = st.sampled_from([("A", 1), ("B", 2), ("A/", 3), (None, 4), ("C", 5), ("", 6), ("A", 7)])
TIMES = st.one_of(
    st.none(),
    st.sampled_from([0, NS_PER_DAY - 1, NS_PER_DAY, 5 * NS_PER_DAY + 1, 2**63 - 1]),
)
ROWS = st.tuples(TIMES, SYMBOLS).map(lambda both: (both[0], *both[1]))


@settings(max_examples=60)
@given(
    chunks=st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=6),
    open_max=st.integers(1, 4),
    rows_max=st.sampled_from([1, 3, 1_000]),
    bytes_max=st.sampled_from([0, 300, 1 << 20]),
)
def test_rows_and_their_order_hold_whatever_the_limits(
    chunks: list[list[Row]],
    open_max: int,
    rows_max: int,
    bytes_max: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("parts")
    frames, first = [], 0
    for rows in chunks:
        frames.append(frame(rows, first))
        first += len(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "OPEN_PARTS_MAX", open_max)
        patch.setattr(parts, "PART_ROWS_MAX", rows_max)
        patch.setattr(parts, "GATHERED_BYTES_MAX", bytes_max)
        files = written(directory, *frames)
    assert sequences(files) == expected(frames)
    assert len({part.path for _, part in files}) == len(files)
    whole = pl.concat(frames)
    for path, part in files:
        rows_of = pl.read_parquet(path, hive_partitioning=False)
        assert rows_of.schema == SCHEMA.lake_columns
        assert part.rows == rows_of.height <= max(rows_max - 1, 0) + max(map(len, chunks))
        assert part.bytes == path.stat().st_size
        assert part.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        times = whole.filter(pl.col("sequence").is_in(rows_of["sequence"].implode()))[ROW_TIME]
        assert (part.ts_min, part.ts_max) == (times.min(), times.max())


def test_no_more_files_are_open_than_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "OPEN_PARTS_MAX", 3)

    def open_files() -> int:
        directory = str(tmp_path)
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
        return sum(str(link.resolve()).startswith(directory) for link in links)

    writer = PartsWriter(SCHEMA, tmp_path, "x")
    for number in range(20):
        writer.write(frame([(0, str(number % 10), number % 10)], number))
        assert open_files() <= 3
    writer.close()
    assert open_files() == 0
    assert len(writer.written) == 20


def test_the_part_that_was_written_to_longest_ago_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "OPEN_PARTS_MAX", 2)
    symbols = ["A", "B", "A", "C", "A", "B"]
    files = written(
        tmp_path, *(frame([(0, name, ord(name))], at) for at, name in enumerate(symbols))
    )
    assert [(part.symbol, part.rows) for _, part in files] == [
        ("B", 1),
        ("C", 1),
        ("A", 3),
        ("B", 1),
    ]
    assert [part.path[-12:] for _, part in files] == [f"{at:04}.parquet" for at in range(4)]


def test_rows_that_wait_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "GATHERED_BYTES_MAX", 2_000)
    writer = PartsWriter(SCHEMA, tmp_path, "x")
    for number in range(100):
        writer.write(frame([(0, str(number % 5), number % 5)], number))
        assert sum(part.bytes_gathered for part in writer._open.values()) <= 2_000
    writer.close()
    assert sorted(number for rows in sequences(writer.written).values() for number in rows) == list(
        range(100)
    )


def test_without_a_time_a_row_has_no_date(tmp_path: Path) -> None:
    ((path, part),) = written(tmp_path, frame([(None, "A", 1), (None, "A", 1)]))
    assert (part.date, part.ts_min, part.ts_max, part.rows) == (None, None, None, 2)
    assert part.path == "mbo/date=__HIVE_DEFAULT_PARTITION__/symbol=A/x-0000.parquet"
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


def test_a_part_spans_what_it_was_told(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "part", SCHEMA, PartKey(0, "A"))
    part.extend_times(5, 7)
    part.extend_times(None, None)
    part.extend_times(6, 9)
    part.extend_times(0, 1)
    _, made = part.close("x")
    assert (made.ts_min, made.ts_max, made.rows) == (0, 9, 0)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (None, "__HIVE_DEFAULT_PARTITION__"),
        ("CLX5", "CLX5"),
        ("..", ".."),
        ("A/B", "A%2FB"),
        ("a=b c", "a%3Db%20c"),
        ("%2F", "%252F"),
        ("Ä", "%C3%84"),
    ],
)
def test_a_symbol_is_one_name_of_a_directory(symbol: str | None, name: str) -> None:
    assert part_directory("mbo", "2024-10-04", symbol) == f"mbo/date=2024-10-04/symbol={name}"


@given(st.integers(-700_000, 2_900_000))
def test_a_day_is_that_of_its_date(day: int) -> None:
    assert date_to_day(day_to_date(day)) == day
    assert date_to_day(day_to_date(None)) is None
