"""Numbers beside prices: which of them are of another unit than the prices, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from batonics.lake.connection import connect_duckdb
from batonics.lake.lineage import find_lineage
from batonics.lake.query_file import read_query
from batonics.lake.sql import find_named_schemas
from batonics.lake.unit_notes import number_note, unfollowed_note
from batonics.model.prices import PriceUnit

QUERIES = sorted((Path(__file__).parents[3] / "queries").glob("*.sql"))
SCHEMAS = ["mbp-1", "trades"]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_duckdb() as opened:
        yield opened


def note(
    connection: duckdb.DuckDBPyConnection, sql: str, unit: PriceUnit = "fixed", **parameters: object
) -> str:
    found = find_lineage(connection, sql, parameters, SCHEMAS)
    return number_note(found.numbers, unit, has_header=False)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM trades WHERE price > 64.8",
        "FROM trades WHERE 64.8 <= price::DOUBLE",
        "FROM trades WHERE price > '64.8'",
        "FROM trades WHERE price > $limit",
        "FROM trades WHERE price NOT BETWEEN 64.8 AND 65",
        "FROM trades WHERE price IN (64.8, 65)",
        "FROM trades WHERE price - 64.8 < 0",
        "FROM trades WHERE price = (SELECT 64.8)",
        "FROM mbp_1 WHERE (bid_px_00 + ask_px_00) / 2 > 64.8",
        "SELECT count(*) FILTER (price > 64.8) FROM trades",
        "SELECT CASE WHEN price > 64.8 THEN 1 END FROM trades",
        "SELECT max(price) AS p FROM trades HAVING p > 64.8",
        "SELECT sum(price * size) / sum(size) AS vwap FROM trades HAVING vwap > 64.8",
        "SELECT 1 FROM trades QUALIFY lag(price) OVER (ORDER BY ts_recv) > 64.8",
        "SELECT 1 FROM trades t JOIN mbp_1 m ON t.price > 64.8 AND t.sequence = m.sequence",
        "FROM trades t WHERE EXISTS (FROM mbp_1 m WHERE m.size = t.size AND m.bid_px_00 > 64.8)",
        "WITH a AS (SELECT price AS p FROM trades) SELECT greatest(p, 64.8) FROM a",
        "SELECT list_transform([price], lambda x: x) FROM trades WHERE price > 64.8",
        "FROM trades WHERE price > 60 + 4.8",
        "FROM trades WHERE price > 2 * 32.4 AND size > 1 + 1",
        "FROM trades WHERE price > -(-64.8)",
        "FROM trades WHERE price > abs(-129.6) / 2",
        "FROM trades WHERE price > '64.8'::DOUBLE",
        "FROM trades WHERE price > least(64.8, 65)",
        "FROM trades WHERE price > coalesce(NULL, 64.8)",
        "FROM trades WHERE price > CASE WHEN side = 'B' THEN 64.8 ELSE 65 END",
        "FROM trades WHERE price > round(64.801, 2)",
        "FROM trades WHERE round(price, 2) = 64.8",
        "FROM trades WHERE floor(price) < 64.8 OR ceil(price) < 0",
        "FROM trades WHERE (price, size) = (64.8, 5)",
        "FROM trades WHERE (price, size) IN ((64.8, 5), (65, 6))",
        "FROM trades WHERE (size, price) < (5, 60 + 4.8)",
        "FROM trades WHERE price IN [64.8, 65]",
        "FROM trades WHERE price IN [60 + 4.8]",
        "FROM trades WHERE list_contains([64.8, 65], price)",
        "SELECT list_contains([price], 64.8) FROM trades",
        "SELECT list_position([64.8], price) FROM trades",
        "FROM trades WHERE price = ANY([64.8])",
        "FROM trades WHERE price > [64.8, 65][1]",
        "FROM trades JOIN (VALUES (64.8, 'low')) AS v(p, name) ON price > p",
        "FROM trades, (SELECT unnest([64.8]) AS p) WHERE price < p",
        "WITH v AS (SELECT 60 + 4.8 AS p) SELECT * FROM trades, v WHERE price > p",
        "SELECT 1 FROM trades, (VALUES (64.8)) AS v(p) HAVING max(price) > max(p)",
        "SELECT price FROM trades UNION ALL SELECT 64.8",
        "FROM trades WHERE {'p': price}.p > 64.8",
        "FROM trades WHERE ({'n': size, 'P': price})['p'] > 64.8",
        "FROM trades WHERE row(size, price)[2] > 64.8",
        "FROM trades WHERE price > {'n': 5, 'p': 64.8}.p",
        "FROM (SELECT {'n': size, 'p': price} AS s FROM trades) WHERE s.p > 64.8 AND s.n > 5",
        "FROM (SELECT max_by({'p': price}, size) AS s FROM trades) WHERE s.p > 64.8",
        "FROM (SELECT list({'p': price}) AS s FROM trades) WHERE s[1].p > 64.8",
        "FROM (SELECT unnest({'p': price}) FROM trades) WHERE p > 64.8",
        "FROM (SELECT t FROM trades t) WHERE t.price > 64.8",
        "FROM trades WHERE MAP {'a': price}['a'] > 64.8",
        "FROM trades WHERE map_values(MAP {5: price})[1] > 64.8",
        "FROM (SELECT histogram(price) AS s FROM trades) WHERE map_keys(s)[1] > 64.8",
        "FROM trades WHERE list_sort([price])[1] > 64.8",
        "FROM (UNPIVOT (SELECT bid_px_00 FROM mbp_1) ON bid_px_00) WHERE value > 64.8",
    ],
)
def test_a_number_that_is_no_price_in_integers_of_1e_9_is_named(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert note(connection, sql, limit=64.8) == (
        "prices are integers of 1e-9 in this query, and 64.8 beside them means 0.0000000648: write"
        " 64800000000, or ask for --prices decimal (in Python prices='decimal')"
    )
    assert note(connection, sql, "decimal", limit=64.8) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "FROM trades WHERE price > exp(4.17)",
        "FROM trades WHERE price > random() * 65",
        "FROM trades WHERE price > 64.8 + random()",
        "FROM trades WHERE price > list_min([64.8])",
        "FROM trades WHERE price > list_avg([64.8, 65])",
        "FROM trades WHERE price > try_cast('64' || '.8' AS DOUBLE)",
        "FROM trades, range(64, 66) AS r(p) WHERE price > p",
        "FROM trades, generate_series(64, 66) AS r(p) WHERE price = p",
        "FROM trades WHERE price IN (SELECT unnest(range(64, 66)))",
        "FROM trades WHERE price > (SELECT max(p) FROM range(64, 66) AS r(p))",
        "SELECT greatest(price, pi()) FROM trades",
    ],
)
def test_a_function_of_constants_beside_prices_is_named(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    words = "in this query, and beside them is what a function makes of constants"
    assert note(connection, sql).startswith(f"prices are integers of 1e-9 {words}")
    assert note(connection, sql, "decimal").startswith(f"prices are in whole units {words}")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM trades WHERE price > 64800000000 AND size > 5 AND price <> 0",
        "FROM trades WHERE size > random() * 5",
        "SELECT price * random(), row_number() OVER () FROM trades",
        "SELECT coalesce(price::VARCHAR, 'none') FROM trades, range(3)",
        "SELECT list_transform(range(3), lambda i: i), price FROM trades",
        "FROM mbp_1 WHERE (bid_px_00 + ask_px_00) / 2 > 64820000000.5",
        "FROM trades WHERE price / 1e9 > 64.8 AND price * 0.000000001 < 65",
        "FROM trades WHERE price > 64.8 * 1e9",
        "FROM trades WHERE price - bid > 1000000",
        "SELECT price / lag(price) OVER (ORDER BY ts_recv) - 1 > 0.01 FROM trades",
        "SELECT corr(price, size) > 0.5 FROM trades",
        "FROM trades WHERE price > 60 * 1e9 + 4.8 * 1e9",
        "FROM trades WHERE (price, size) = (64800000000, 5)",
        "FROM trades WHERE size IN [64, 65] AND price IN [64800000000, 0]",
        "FROM trades JOIN (VALUES (5, 64800000000)) AS v(s, p) ON price > p AND size > s",
        "FROM trades WHERE round(price / 1e9, 2) = 64.8",
        "FROM trades WHERE contains(symbol, 'CL') AND size + 1 > 64.8",
        "SELECT ln(price) > 4.2, price::VARCHAR LIKE '64%' FROM trades",
        "FROM trades WHERE {'n': size, 'p': price}.n > 5",
        "FROM trades WHERE price // 10000000 = 6480 AND hash(price) % 8 = 3",
        "FROM (SELECT histogram(price) AS s FROM trades) WHERE map_values(s)[1] > 5",
    ],
)
def test_other_numbers_are_not_named(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert note(connection, sql.replace("- bid", "- 64800000000")) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "FROM trades WHERE sqrt(price) > 8.05",
        "FROM trades WHERE price ** 2 > 4199",
        "FROM trades WHERE union_value(p := price).p > 64.8",
        "FROM (SELECT product(price) AS p FROM trades) WHERE p > 64.8",
        "SELECT 1 FROM trades HAVING var_samp(price) > 0.5",
    ],
)
def test_a_number_beside_what_a_function_makes_of_prices_is_named(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert "is beside what a function makes of them: write a number for" in note(connection, sql)
    assert note(connection, sql, "decimal") == ""


LAMBDA = "SELECT list_filter([price], lambda p: p > {}) AS found, '64.8' FROM trades LIMIT 5"


@pytest.mark.parametrize(
    ("sql", "unit", "named"),
    [
        (LAMBDA.format("64.8"), "fixed", "64.8"),
        (LAMBDA.format("64"), "fixed", "64"),
        (LAMBDA.format("64800000000"), "fixed", ""),
        (LAMBDA.format("64800000000"), "decimal", "64800000000"),
        (LAMBDA.format("64.8"), "decimal", ""),
        (LAMBDA.format("$limit"), "fixed", "5"),
    ],
)
def test_a_number_of_a_query_that_is_not_followed_is_named(
    connection: duckdb.DuckDBPyConnection, sql: str, unit: PriceUnit, named: str
) -> None:
    values = {"limit": 5} if "$" in sql else {}
    assert not find_lineage(connection, sql, values, SCHEMAS).is_followed
    said = unfollowed_note(sql, values.values(), unit)
    assert (f"a number such as {named} has to be in that unit" in said) if named else said == ""


@pytest.mark.parametrize(
    ("number", "means", "write"),
    [("64", "0.000000064", "64000000000"), ("-0.5", "-0.0000000005", "-500000000")],
)
def test_small_and_negative_numbers(
    connection: duckdb.DuckDBPyConnection, number: str, means: str, write: str
) -> None:
    said = note(connection, f"FROM mbp_1 WHERE ask_px_00 - bid_px_00 > {number}")
    assert f"and {number} beside them means {means}: write {write}, or" in said


@pytest.mark.parametrize("unit", ["decimal", "float"])
def test_an_integer_of_1e_9_beside_prices_in_whole_units_is_named(
    connection: duckdb.DuckDBPyConnection, unit: PriceUnit
) -> None:
    assert note(connection, "FROM trades WHERE price > 64800000000", unit) == (
        "prices are in whole units in this query, and 64800000000 beside them means that too: write"
        " 64.8, or ask for --prices fixed (in Python prices='fixed')"
    )
    turnover = "SELECT sum(price * size) AS turnover FROM trades HAVING turnover > 5000000000"
    assert note(connection, turnover, unit) == ""


def test_of_a_query_with_a_header_fractions_are_named(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    sql = "SELECT max(price) - 0.5 FROM trades WHERE price > 1 AND price < {}"
    for limit, named in (("64.5", True), ("64", False)):
        numbers = find_lineage(connection, sql.format(limit), {}, SCHEMAS).numbers
        said = number_note(numbers, "fixed", has_header=True)
        assert ("write 64500000000, or give it as a parameter of the type PRICE" in said) is named


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_no_query_of_ours_has_such_a_number(path: Path) -> None:
    query = read_query(str(path))
    given = {param.name: "1" for param in query.params if param.default is None}
    known = [*SCHEMAS, "states-1", "states-10", "mbp-10", "orders", "ohlcv-1m", "bbo-1s", "mbo"]
    schemas = find_named_schemas(" ".join(query.reads), known)
    with connect_duckdb() as connection:
        values = {**query.bind(given), "data": [0, 1, 2]}
        found = find_lineage(connection, query.sql, values, schemas)
    assert number_note(found.numbers, "fixed", has_header=True) == ""
