"""What every query file must be, whatever it asks: of any order of rows, of any parameter, quick.

The rule here: what a view does not promise is varied, and the answer may not follow it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.namespace import MboNamespace
from batonics.frames.schemas.table import find_schema
from batonics.lake.connection import LOCAL_TIME
from batonics.lake.coverage import replace_coverage
from batonics.lake.session_spans import replace_sessions
from tests.support.lakes import with_places
from tests.support.query_tables import full_rows, load_query, query_files, query_names, run_query

Tables = Callable[[str, str], dict[str, pl.DataFrame]]
Stored = Callable[[str, str], duckdb.DuckDBPyConnection]


def path_of(test_data: Path, name: str) -> Path:
    """A file of real data: one book, several books, and one that begins with a snapshot."""
    return {
        "clx5": test_data / "clx5" / "CLX5_mbo.dbn",
        "dbeq": test_data / "dbeq" / "dbeq-20240131.mbo.dbn",
        "esh4": test_data / "esh4" / "esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    }[name]


@pytest.fixture(scope="module")
def tables(test_data: Path) -> Tables:
    """The rows of all views that a query reads, of a file."""

    @cache
    def view(file: str, name: str) -> pl.DataFrame:
        records = batonics.scan_mbo(path_of(test_data, file))
        schema = find_schema(name.replace("_", "-"))
        names = records.select("instrument_id", "symbol").unique()
        rows = with_places(records, schema).lazy()
        dated = rows.with_columns(schema.time.dt.date().alias("date"))
        return dated.join(names, on="instrument_id", how="left", maintain_order="left").collect()

    return lambda file, query: {name: view(file, name) for name in load_query(query).reads}


@pytest.mark.parametrize("file", ["clx5", "dbeq"])
@pytest.mark.parametrize("name", query_names())
def test_the_order_of_a_views_rows_is_nothing_to_an_answer(
    name: str, file: str, tables: Tables
) -> None:
    rows = tables(file, name)
    shuffled = {
        view: frame.sample(fraction=1, shuffle=True, seed=1) for view, frame in rows.items()
    }
    answer = run_query(name, rows)
    assert answer.equals(run_query(name, shuffled))
    assert answer.height or file == "dbeq"  # which has neither sweeps nor crossed books


@pytest.fixture(scope="module")
def stored(tables: Tables) -> Iterator[Stored]:
    """DuckDB as it comes, with all that a query reads of a file as tables."""
    connections: dict[str, duckdb.DuckDBPyConnection] = {}
    created: set[tuple[str, str]] = set()

    def connect(file: str, query: str) -> duckdb.DuckDBPyConnection:
        if file not in connections:
            connections[file] = duckdb.connect()
            connections[file].execute(LOCAL_TIME)
        for view, frame in tables(file, query).items():
            if (file, view) not in created:
                create_table(connections[file], view, frame)
                created.add((file, view))
        return connections[file]

    yield connect
    for connection in connections.values():
        connection.close()


def create_table(connection: duckdb.DuckDBPyConnection, view: str, frame: pl.DataFrame) -> None:
    """A table: of one, unlike of rows in memory, DuckDB knows how many there are."""
    letters = [column for column, dtype in frame.schema.items() if dtype == pl.Enum]
    table = full_rows(view, frame).cast(dict.fromkeys(letters, pl.String()))
    times = [column for column, dtype in table.schema.items() if dtype == pl.Datetime]
    connection.register(f"rows_{view}", table.to_arrow())
    as_ns = ", ".join(f"{column}::TIMESTAMP_NS AS {column}" for column in times)
    is_open = ", NOT crossed AS is_open" if "crossed" in table.columns else ""
    connection.execute(
        f"CREATE TABLE {view} AS SELECT * REPLACE ({as_ns}){is_open} FROM rows_{view}"
    ).fetchall()
    connection.unregister(f"rows_{view}")


@pytest.mark.parametrize("file", ["clx5", "dbeq", "esh4"])
@pytest.mark.parametrize("name", query_names())
def test_no_query_compares_each_row_with_each_other(name: str, file: str, stored: Stored) -> None:
    query = load_query(name)
    values = replace_coverage(replace_sessions(query.bind({}), tuple), tuple)
    explained = stored(file, name).execute(f"EXPLAIN {query.sql}", values or None)
    steps = "\n".join(row[1] for row in explained.fetchall()).lower().replace("_", " ")
    assert "scan" in steps
    assert not [step for step in ("nested loop", "cross schema") if step in steps]


@pytest.mark.parametrize("every", ["1s", "5m"])
def test_windows_of_a_day_that_begins_with_a_snapshot_are_those_of_window_measures(
    test_data: Path, every: str
) -> None:
    path = path_of(test_data, "esh4")
    mbo = MboNamespace(batonics.scan_mbo(path))
    # The snapshot's time is midnight, which its own window has (rule 16).
    answer = query_files("kyles_lambda", path, every=every)
    windows = mbo.window_measures(every).rename({"trades": "trade_count"}).collect()
    expected = windows.with_columns(symbol=pl.lit("ESH4")).select(answer.columns)
    assert_frame_equal(answer, expected, check_exact=True)
    assert answer["ts"][0] == dt.datetime(2023, 12, 25, tzinfo=dt.UTC)
    assert answer["kyle_lambda"].count() > 5


def test_returns_of_a_day_that_begins_with_a_snapshot_begin_after_it(test_data: Path) -> None:
    path = path_of(test_data, "esh4")
    windows = MboNamespace(batonics.scan_mbo(path)).window_measures("10s").collect()
    known = windows.drop_nulls(["ofi", "mid_change"])
    assert query_files("ofi_returns", path)["windows"].sum() == known.height


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("cancel_to_fill", {"tick": "0"}, "tick: a price above 0"),
        ("cancel_to_fill", {"tick": "-0.01"}, "tick: a price above 0"),
        ("cancel_to_fill", {"most": -1}, "most: 0 or more"),
        ("depth_by_hour", {"levels": 0}, "levels: 1 to 10"),
        ("depth_by_hour", {"levels": 11}, "levels: 1 to 10"),
        ("volume_bars", {"bar_volume": 0}, "bar_volume: 1 or more"),
        ("volume_bars", {"bar_volume": -1}, "bar_volume: 1 or more"),
        ("volume_profile", {"width": "0"}, "width: a price above 0"),
        ("volume_profile", {"width": "-0.01"}, "width: a price above 0"),
        ("vpin", {"bucket_volume": 0}, "bucket_volume: 1 or more"),
        ("vpin", {"bucket_volume": -1}, "bucket_volume: 1 or more"),
        ("vpin", {"n": 0}, "n: 1 or more"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    name: str, given: dict[str, Any], expected: str, tables: Tables
) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=expected):
        run_query(name, tables("clx5", name), **given)
