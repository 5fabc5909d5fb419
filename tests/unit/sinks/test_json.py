"""JSON: one array that any reader takes, and whose objects are the lines of NDJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.model.errors import UsageError
from batonics.sinks import text
from batonics.sinks.tables import open_table
from tests.support.dbn_files import list_names

COLUMNS = pl.Schema(
    {
        "ts": pl.Datetime("ns", "UTC"),
        "price": pl.Int64(),
        "size": pl.UInt64(),
        "share": pl.Float64(),
        "alive": pl.Boolean(),
        "word": pl.String(),
        "day": pl.Date(),
    }
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 2**63 - 1),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.integers(0, 2**64 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.booleans(),
        st.none() | st.text(st.characters(codec="utf-8")),
        st.none() | st.integers(0, 50_000),
    ),
    max_size=4,
)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    raw = {**COLUMNS, "ts": pl.Int64(), "day": pl.Int32()}
    return pl.DataFrame(rows, schema=raw, orient="row").cast(COLUMNS)


def written(path: Path, *frames: pl.DataFrame, **more: Any) -> str:
    with open_table(path, COLUMNS, **more) as table:
        for rows in frames:
            table.write(rows)
    return path.read_text(encoding="utf-8")


@settings(max_examples=60)
@given(chunks=st.lists(ROWS, max_size=4), piece_rows=st.sampled_from([1, 2, 32_768]))
def test_any_frames_are_one_array_of_the_lines_of_ndjson(
    chunks: list[list[tuple[Any, ...]]], piece_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("json")
    frames = [frame(rows) for rows in chunks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "TEXT_SLICE_ROWS", piece_rows)
        array = json.loads(written(directory / "a.json", *frames))
        lines = written(directory / "a.ndjson", *frames).split("\n")
    assert lines.pop() == ""
    assert array == [json.loads(line) for line in lines]
    rows = [row for chunk in chunks for row in chunk]
    assert [list(found) for found in array] == [list(COLUMNS)] * len(rows)
    for found, row in zip(array, rows, strict=True):
        assert [found[name] for name in ("price", "size", "share", "alive", "word")] == [*row[1:6]]


def test_each_row_has_a_line(tmp_path: Path) -> None:
    row = (0, 1, 2, 0.5, True, 'a"\n', 0)
    line = (
        '{"ts":"1970-01-01T00:00:00.000000000Z","price":1,"size":2,"share":0.5,"alive":true,'
        '"word":"a\\"\\n","day":"1970-01-01"}'
    )
    one, none = frame([row]), frame([])
    path = tmp_path / "a.json"
    assert written(path) == written(path, none) == "[]\n"
    assert written(path, one) == written(path, none, one, none) == f"[\n{line}\n]\n"
    assert written(path, one, none, frame([row, row])) == f"[\n{line},\n{line},\n{line}\n]\n"


def test_prices_may_be_decimal_text(tmp_path: Path) -> None:
    found = written(tmp_path / "a.json", frame([(0, -1, 0, 0, 0, "", 0)]), prices="decimal")
    assert json.loads(found)[0]["price"] == "-0.000000001"


def test_it_may_be_packed(tmp_path: Path) -> None:
    rows = frame([(0, 1, 2, 0.5, True, "a", 0)])
    with open_table(tmp_path / "a.json.zst", COLUMNS) as table:
        table.write(rows)
    plain = written(tmp_path / "a.json", rows)
    assert zstd.decompress((tmp_path / "a.json.zst").read_bytes()).decode() == plain


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    values = [float("nan"), float("inf"), -float("inf")]
    found = written(tmp_path / "a.json", frame([(0, 0, 0, value, True, "", 0) for value in values]))
    assert [row["share"] for row in json.loads(found)] == [None] * 3


def test_an_array_that_fails_midway_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with open_table(tmp_path / "a.json", COLUMNS) as table:
            table.write(frame([(0, 1, 2, 0.5, True, "a", 0)]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list_names(tmp_path) == []


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
@pytest.mark.parametrize(
    "dtype", [pl.Binary(), pl.List(pl.Binary()), pl.Struct({"a": pl.Binary()})]
)
def test_bytes_are_refused_before_anything_is_written(
    form: str, dtype: pl.DataType, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"column x is .*, which {form} cannot hold"):
        open_table(tmp_path / f"a.{form}", pl.Schema({"x": dtype})).__enter__()
    assert list_names(tmp_path) == []
