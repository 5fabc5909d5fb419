"""Lineage of results: which columns are times in UTC, and which queries depend on the unit."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from batonics.frames.schemas.table import find_schema
from batonics.lake.connection import connect_duckdb
from batonics.lake.lineage import Lineage, find_lineage
from batonics.lake.views import empty_table_statement, view_name, view_statement
from batonics.model.errors import UsageError


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_duckdb() as opened:
        yield opened


def lineage(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> Lineage:
    return find_lineage(connection, sql, parameters, ["mbp-1", "trades"])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("ts_recv, ts_recv AS t, trades.ts_event", [True, True, True]),
        ("price, date, symbol", [False, False, False]),
        ("max(ts_recv), arg_min(ts_event, price), first(ts_recv ORDER BY price)", [True] * 3),
        ("lag(ts_recv) OVER (ORDER BY ts_recv), coalesce(ts_recv, ts_event)", [True, True]),
        ("CASE WHEN size > 5 THEN ts_recv ELSE ts_event END, unnest([ts_recv])", [True, True]),
        ("CASE WHEN size > 5 THEN ts_recv END, nullif(ts_recv, ts_event)", [True, True]),
        ("local_time(ts_recv, 'America/New_York'), ts_recv", [False, True]),
        ("ts_recv AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'", [False]),
        ("timezone('America/New_York', ts_recv::TIMESTAMPTZ_NS)", [False]),
        ("date_trunc('hour', ts_recv), ts_recv + INTERVAL 1 HOUR", [False, False]),
        ("make_timestamp_ns(epoch_ns(ts_recv)), '2024-01-01'::TIMESTAMP_NS", [False, False]),
        ("coalesce(ts_recv, local_time(ts_recv, 'America/New_York'))", [False]),
        ("quantile_cont(ts_recv, 0.5), quantile_disc(ts_recv, 0.5)", [False, True]),
    ],
)
def test_times_as_they_are_in_a_view_are_in_utc_and_computed_times_are_not(
    connection: duckdb.DuckDBPyConnection, columns: str, expected: list[bool]
) -> None:
    assert lineage(connection, f"SELECT {columns} FROM trades").instants == expected
    nested = f"WITH a AS MATERIALIZED (SELECT {columns} FROM trades) SELECT DISTINCT * FROM a"
    assert lineage(connection, f"{nested} ORDER BY 1 LIMIT 5").instants == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ts_recv FROM trades UNION ALL SELECT ts_event FROM mbp_1", [True]),
        ("SELECT ts_recv FROM trades UNION SELECT local_time(ts_recv, 'UTC') FROM trades", [False]),
        ("SELECT t.ts_recv, m.ts_recv AS m FROM trades t ASOF JOIN mbp_1 m USING (symbol, ts_recv)",
         [True, True]),
        ("SELECT t.ts_recv FROM trades t SEMI JOIN mbp_1 m ON t.size = m.size OR t.price > m.price",
         [True]),
        ("SELECT (SELECT max(ts_recv) FROM mbp_1 m WHERE m.side = t.side) FROM trades t", [True]),
        ("SELECT side, max(ts_recv) FROM trades GROUP BY ROLLUP (side)", [False, True]),
        ("SELECT COLUMNS('^s') FROM trades USING SAMPLE 5", [False, False, False, True, False]),
        ("SELECT n FROM range(5) t(n)", [False]),
        ("VALUES (1, '2024-01-01'::TIMESTAMP_NS)", [False, False]),
    ],
)  # fmt: skip
def test_lineage_passes_every_operator(
    connection: duckdb.DuckDBPyConnection, sql: str, expected: list[bool]
) -> None:
    assert lineage(connection, sql).instants == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT timezone('America/New_York', ts_recv) FROM trades",
        "SELECT max(ts_recv) AT TIME ZONE 'America/New_York' AS a FROM trades",
        "SELECT 1 FROM trades WHERE timezone('America/New_York', ts_recv)::DATE IS NULL",
    ],
)
def test_a_time_in_utc_is_not_taken_for_a_local_time(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    with pytest.raises(UsageError, match=r"local_time\(ts, 'America/New_York'\) is the local time"):
        lineage(connection, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ts_recv, (bid_px_00 + ask_px_00) / 2 FROM mbp_1 WHERE bid_px_00 < ask_px_00",
        "SELECT (ask_px_00 - bid_px_00) / ((ask_px_00 + bid_px_00) * 0.5) * 10000 FROM mbp_1",
        "SELECT sum(price * size) / sum(size), stddev(price), var_samp(price) FROM trades",
        "SELECT price FROM trades WHERE price > 0 AND price IS NOT NULL AND size > 1000000",
        "SELECT coalesce(price, 0), -price, abs(price - lag(price, 1, 0) OVER ()) FROM trades",
        "SELECT if(price > ask_px_00, 1, 0), sign(price - bid_px_00) FROM mbp_1",
        "SELECT price, count(*) FILTER (price > 0) FROM trades GROUP BY price ORDER BY price DESC",
        "SELECT quantile_cont(price, 0.5), quantile_disc(price, [0.5]) FROM trades",
        "SELECT corr(price, size), max(price::DOUBLE), max(price::VARCHAR) FROM trades",
        "SELECT sum(price) - max(price) FROM trades",
        "SELECT * FROM trades WHERE price = (SELECT max(price) FROM trades)",
        "SELECT epoch_ns(ts_recv) // 60000000000, size::BIGINT * 1000000000 FROM trades",
        "SELECT $price, size + $price::INTEGER FROM trades",
    ],
)
def test_a_query_whose_rows_are_the_same_in_every_unit_does_not_depend_on_it(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert not lineage(connection, sql, price="64").depends_on_unit


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT size FROM trades WHERE price > 64.8",
        "SELECT size FROM trades WHERE price BETWEEN 1 AND 2",
        "SELECT size FROM trades WHERE price IN (64, 65)",
        "SELECT size FROM trades WHERE price > $price::DOUBLE",
        "SELECT size FROM trades WHERE price = $price",
        "SELECT count(*) FILTER (price > 5) FROM trades",
        "WITH a AS (SELECT price AS p FROM trades) SELECT max(p) + 1 FROM a",
        "SELECT price / 1e9 FROM trades",
        "SELECT price * 0.01 FROM trades",
        "SELECT price // 10000000 FROM trades",
        "SELECT round(price, 2) FROM trades",
        "SELECT price::HUGEINT * size FROM trades",
        "SELECT price::DECIMAL(38, 2), 'Größe' FROM trades",
        "SELECT 'Größe', try_cast(price AS INTEGER) FROM trades",
        "SELECT ln(price) FROM trades",
        "SELECT greatest(price, 5), CASE WHEN size > 5 THEN price ELSE 1 END FROM trades",
        "SELECT price::VARCHAR LIKE '64%' FROM trades",
        "SELECT t.size FROM trades t JOIN mbp_1 m ON t.price = m.size",
        "SELECT price FROM trades UNION SELECT size FROM trades",
        "SELECT size FROM trades QUALIFY sum(price) OVER () > 5",
        "PIVOT trades ON side USING avg(price)",
        "SELECT 'NaN'::DOUBLE * price FROM trades",
        "SELECT list_transform([price], lambda x: x + 1) FROM trades",
        "WITH RECURSIVE a(n) AS (SELECT max(price) FROM trades UNION SELECT n FROM a) FROM a",
    ],
)
def test_a_query_that_sets_prices_beside_numbers_depends_on_the_unit(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert lineage(connection, sql, price="64.8").depends_on_unit


def test_a_query_without_views_depends_on_no_unit(connection: duckdb.DuckDBPyConnection) -> None:
    recursive = "WITH RECURSIVE a(n) AS (SELECT 1 UNION SELECT n + 1 FROM a WHERE n < 3) FROM a"
    assert not find_lineage(connection, recursive, {}, []).depends_on_unit


def test_parameters_within_texts_are_text(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT '$n', $$ $n $$, $n -- $n\nFROM trades WHERE price > 0"
    assert lineage(connection, sql, n=None).instants == [False, False, False]


@pytest.mark.parametrize("schema", ["mbo", "mbp-2", "orders", "bbo", "deltas", "depth-1s"])
def test_the_tables_of_a_plan_have_the_columns_of_the_views(
    connection: duckdb.DuckDBPyConnection, schema: str
) -> None:
    found = find_schema(schema)
    connection.execute(empty_table_statement(found))
    with connect_duckdb() as other:
        other.execute(view_statement(found, ()))
        describe = f'DESCRIBE FROM "{view_name(schema)}"'
        assert connection.sql(describe).fetchall() == other.sql(describe).fetchall()
