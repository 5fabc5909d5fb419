"""Which files a query reads: never too few, whatever the query is.

The rule here: the witness is DuckDB on tables of all rows, which know nothing of files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.lake import parts
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.lake.sql import LakeDatabase
from batonics.model.errors import LakeError, OutputError, UsageError
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load

SYMBOLS = {"AAA": 1, "it's (x": 2, "NULL": 3, "100%": 4, "a/b=c\\": 5}
UNNAMED = 9
SCHEMAS = ("mbo", "trades")
DAYS = [date(2024, 10, 4 + day) for day in range(3)]


def text(value: str | date) -> str:
    """A value as SQL writes it."""
    return "'" + str(value).replace("'", "''") + "'"


def make_lake(root: Path, *, own_parts: bool = True) -> Path:
    """A lake of two schemas, three days, five names and none, all in parts of their own or none."""
    with pytest.MonkeyPatch.context() as patch:
        if own_parts:
            patch.setattr(parts, "OWN_PART_ROWS", 1)
            patch.setattr(parts, "OWN_PART_SHARE", 100)
        _load_days(root)
    return root / "lake"


def _load_days(root: Path) -> None:
    for day in range(len(DAYS)):
        rows = [
            record(
                Action.TRADE if number % 2 else Action.ADD,
                instrument_id=instrument_id,
                price=1_000 * day + 10 * instrument_id + number,
                ts_recv=DAY_NS + day * NS_PER_DAY + 1_000 * instrument_id + number,
            )
            for instrument_id in (*SYMBOLS.values(), UNNAMED)
            for number in range(4)
        ]
        file = root / f"{day}.dbn"
        file.write_bytes(metadata(SYMBOLS) + encode(rows))
        load(root / "lake", file, schemas=SCHEMAS)


def part_of(lake: Path, schema: str, day: str, symbol: str) -> Path:
    """The file of a part of its own."""
    found = Lake(lake).parts().filter(schema=schema, first_symbol=symbol)
    ((path,),) = found.filter(pl.col("date").cast(pl.String) == day).select("path").rows()
    return lake / str(path)


def tables_of(lake: Path) -> duckdb.DuckDBPyConnection:
    """The witness: a table of all rows of each schema, as any reader of hive-named files has it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for schema in SCHEMAS:
        files = f"{lake}/{schema}/*/*.parquet"
        connection.execute(
            f"CREATE TABLE {schema} AS SELECT * EXCLUDE (date, symbol) REPLACE"
            " (ts_recv::TIMESTAMP_NS AS ts_recv, ts_event::TIMESTAMP_NS AS ts_event),"
            f" date, symbol FROM read_parquet({text(files)},"
            " hive_partitioning = true, hive_types = {'date': DATE})"
        )
    return connection


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def opened(lake: Path) -> LakeDatabase:
    return LakeDatabase(DirectoryStore(lake), Verifier())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LakeDatabase:
    """The same rows in parts that all symbols share."""
    lake = make_lake(tmp_path_factory.mktemp("shared"), own_parts=False)
    assert Lake(lake).parts()["symbols"].to_list() == [6] * 6
    return LakeDatabase(DirectoryStore(lake), Verifier())


@pytest.fixture(scope="module")
def witness(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with tables_of(lake) as connection:
        yield connection


# ---------------------------------------------------------------------- random queries


NAMES = (*SYMBOLS, "zzz", "")
literals = st.sampled_from(NAMES).map(text)
dates = st.sampled_from([*DAYS, date(2024, 10, 9)]).map(lambda day: f"DATE {text(day)}")
times = st.builds(
    lambda day, instrument_id, number, form: form.format(
        day * NS_PER_DAY + DAY_NS + 1_000 * instrument_id + number
    ),
    st.integers(0, 2),
    st.sampled_from([0, 1, 3, UNNAMED, 86_399_999_999]),
    st.integers(-1, 4),
    st.sampled_from(["make_timestamp_ns({})", "make_timestamp_ns({})::VARCHAR::TIMESTAMP_NS"]),
)
tests_ = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"])
patterns = st.sampled_from(["A%", "%'%", "%(%", "_AA", "%", "100\\%", "%\\\\", "nu%", "%L"])


def _of(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda filled: form.format(*filled))


ATOMS = st.one_of(
    _of("@.symbol {} {}", tests_, literals),
    _of("@.date {} {}", tests_, dates),
    _of("{} {} @.symbol", literals, tests_),
    _of("@.symbol IN ({}, {})", literals, literals),
    _of("@.symbol NOT IN ({}, {})", literals, literals),
    _of("@.date IN ({}, {})", dates, dates),
    _of("@.date BETWEEN {} AND {}", dates, dates),
    _of("@.symbol NOT BETWEEN {} AND {}", literals, literals),
    _of("@.symbol LIKE {} ESCAPE '\\'", patterns.map(text)),
    _of("@.symbol NOT LIKE {}", patterns.map(text)),
    _of("@.symbol ILIKE {}", patterns.map(text)),
    _of("@.symbol::VARCHAR COLLATE NOCASE = {}", literals),  # in ASOF joins it is an ENUM
    _of("starts_with(@.symbol, {})", st.sampled_from(["A", "it'", "1", ""]).map(text)),
    _of("contains(@.symbol, {})", st.sampled_from(["(", "''", "%", "A", "\\"]).map(text)),
    _of("regexp_matches(@.symbol, {})", st.sampled_from(["^A", "[(]x", "%$", "\\\\"]).map(text)),
    _of("coalesce(@.symbol, {}) = {}", literals, literals),
    _of("nullif(@.symbol, {}) IS NULL", literals),
    _of("@.symbol || @.date::VARCHAR > {}", literals),
    _of("CASE WHEN @.symbol = {} THEN @.date ELSE {} END = @.date", literals, dates),
    _of("(@.symbol, @.date) IN (({}, {}), ({}, {}))", literals, dates, literals, dates),
    _of("@.date - {} {} 1", dates, st.sampled_from(["=", "<", "<>"])),
    _of("@.date + INTERVAL 1 DAY > {}", dates),
    _of("@.date::TIMESTAMP + INTERVAL 5 HOUR > {}", dates),
    _of("(@.symbol IS NULL) <> (@.date = {})", dates),
    _of("@.price % 2 = {}", st.sampled_from(["0", "1"])),
    _of("@.price {} {}", tests_, st.sampled_from(["1011000000000", "2040000000000", "0"])),
    _of("@.ts_recv >= {}::TIMESTAMP_NS", dates),
    _of("@.ts_recv {} {}", tests_, times),
    _of("{} {} @.ts_recv", times, tests_),
    _of("@.ts_recv BETWEEN {} AND {}", times, times),
    _of("@.ts_recv > {} AND @.ts_recv <= {}", times, times),
    _of("@.ts_recv NOT BETWEEN {} AND {}", times, times),
    _of("@.ts_recv IN ({}, {})", times, times),
    _of("@.ts_recv = {} OR @.ts_recv >= {}", times, times),
    _of("coalesce(@.ts_recv, {}) < {}", times, times),
    _of("epoch_ns(@.ts_recv) > epoch_ns({})", times),
    _of("@.ts_recv::TIMESTAMP {} {}::TIMESTAMP", tests_, times),
    _of("@.symbol <> {}", st.just(text("x AND ts_recv > '2030-01-01'::TIMESTAMP_NS"))),
    _of("@.date = @.ts_recv::DATE AND @.symbol <> {}", literals),
    st.sampled_from(
        [
            "@.symbol IS NULL",
            "@.ts_recv IS NOT NULL",
            "@.ts_recv IS NULL",
            "@.ts_recv < $time::TIMESTAMP_NS",
            "@.ts_recv < 'infinity'::TIMESTAMP_NS",
            "@.ts_recv > '-infinity'::TIMESTAMP_NS",
            "@.symbol IS NOT NULL",
            "@.date IS NULL",
            "@.symbol = $name",
            "@.date >= $day",
            "@.date::VARCHAR = $text",
            "@.symbol > @.date::VARCHAR",
            "length(@.symbol) > 3.5",
            "lower(@.symbol) = 'aaa'",
            "hash(@.symbol) % 3 = 0",
            "dayofyear(@.date) % 2 = 0",
            "strftime(@.date, '%d') = '05'",
            "year(@.date) = 2024",
            "month(@.date) = 11",
            "array_length(list_filter(['AAA', 'NULL'], lambda x: x = @.symbol)) = 1",
            "date_trunc('month', @.date) = DATE '2024-10-01'",
            "true",
            "false",
            "NULL",
        ]
    ),
)
WHERE = st.recursive(
    ATOMS,
    lambda part: st.one_of(
        st.lists(part, min_size=2, max_size=3).map(lambda all_: f"({' AND '.join(all_)})"),
        st.lists(part, min_size=2, max_size=3).map(lambda any_: f"({' OR '.join(any_)})"),
        part.map(lambda one: f"(NOT ({one}))"),
    ),
    max_leaves=4,
)
QUERIES = st.sampled_from(
    [
        "SELECT count(*), sum(a.price) FROM {x} a WHERE {a}",
        "SELECT count(*) FROM {x} a WHERE {a}",
        "SELECT min(a.date), max(a.symbol), count(DISTINCT a.price) FROM {x} a WHERE {a}",
        "SELECT a.price, a.date, a.symbol, a.ts_recv FROM {x} a WHERE {a}",
        "SELECT * FROM {x} a WHERE {a} ORDER BY a.price DESC LIMIT 3",
        "SELECT a.price FROM {x} a WHERE {a} ORDER BY a.price LIMIT 4 OFFSET 2",
        "SELECT a.symbol, count(*) FROM {x} a WHERE {a} GROUP BY a.symbol HAVING count(*) > 2",
        (
            "SELECT a.symbol, a.date, count(*) FROM {x} a WHERE {a}"
            " GROUP BY GROUPING SETS ((a.symbol), (a.date), ())"
        ),
        "SELECT DISTINCT a.symbol, a.date FROM {x} a WHERE {a}",
        (
            "SELECT count(*), sum(b.price) FROM {x} a JOIN {y} b ON a.symbol = b.symbol"
            " AND a.date = b.date WHERE {a} AND {b}"
        ),
        (
            "SELECT count(*), sum(b.price) FROM {x} a LEFT JOIN {y} b ON a.price = b.price"
            " AND ({b}) WHERE {a}"
        ),
        "SELECT count(*), sum(b.price) FROM {x} a LEFT JOIN {y} b ON a.symbol = b.symbol WHERE {b}",
        (
            "SELECT count(*), count(a.price), count(b.price) FROM (FROM {x} a WHERE {a}) a"
            " FULL JOIN (FROM {y} b WHERE {b}) b ON a.symbol = b.symbol AND a.date = b.date"
        ),
        "SELECT count(*) FROM {x} a, {y} b WHERE {a} AND {b} AND a.date < b.date",
        (
            "SELECT count(*), sum(b.price) FROM {x} a ASOF JOIN {y} b ON a.symbol = b.symbol"
            " AND a.ts_recv >= b.ts_recv WHERE {a} AND {b}"
        ),
        (
            "SELECT count(*), sum(b.price) FROM {x} a ASOF LEFT JOIN (FROM {y} b WHERE {b}) b"
            " ON a.symbol = b.symbol AND a.ts_recv >= b.ts_recv WHERE {a}"
        ),
        "SELECT sum(a.price) FROM {x} a SEMI JOIN {y} b ON a.symbol = b.symbol AND ({b}) WHERE {a}",
        "SELECT sum(a.price) FROM {x} a ANTI JOIN {y} b ON a.symbol = b.symbol AND ({b}) WHERE {a}",
        (
            "SELECT sum(a.price) FROM {x} a WHERE {a} AND a.symbol IN"
            " (SELECT b.symbol FROM {y} b WHERE {b})"
        ),
        (
            "SELECT sum(a.price) FROM {x} a WHERE {a} AND a.date >="
            " (SELECT max(b.date) FROM {y} b WHERE {b})"
        ),
        (
            "SELECT sum(a.price) FROM {x} a WHERE {a} AND EXISTS"
            " (SELECT 1 FROM {y} b WHERE b.symbol = a.symbol AND b.price > a.price AND {b})"
        ),
        (
            "SELECT sum(a.price) FROM {x} a WHERE NOT EXISTS"
            " (SELECT 1 FROM {y} b WHERE b.date = a.date AND {b} AND {a})"
        ),
        (
            "SELECT a.price, (SELECT count(*) FROM {y} b WHERE b.symbol = a.symbol AND {b})"
            " FROM {x} a WHERE {a}"
        ),
        (
            "SELECT count(*), sum(l.price) FROM {x} a, LATERAL (SELECT b.price FROM {y} b"
            " WHERE b.symbol = a.symbol AND b.date = a.date AND {b}) l WHERE {a}"
        ),
        "WITH c AS (SELECT * FROM {x} a WHERE {a}) SELECT count(*), sum(c.price) FROM c",
        (
            "WITH c AS MATERIALIZED (FROM {x} a WHERE {a}), d AS (FROM {y} b WHERE {b})"
            " SELECT count(*) FROM c JOIN d USING (symbol, date) JOIN c e USING (symbol)"
        ),
        (
            "WITH c AS (FROM {x}) SELECT (SELECT count(*) FROM c a WHERE {a}),"
            " (SELECT count(*) FROM c b WHERE {b})"
        ),
        (
            "WITH RECURSIVE r AS (SELECT 0 n, a.date, a.symbol FROM {x} a WHERE {a} UNION"
            " SELECT n + 1, b.date, r.symbol FROM r JOIN {y} b ON b.symbol = r.symbol"
            " WHERE n < 2 AND {b}) SELECT n, count(*) FROM r GROUP BY n"
        ),
        (
            "SELECT a.symbol, a.date FROM {x} a WHERE {a} UNION SELECT b.symbol, b.date FROM {y} b"
            " WHERE {b}"
        ),
        (
            "SELECT a.symbol, a.date FROM {x} a WHERE {a} UNION ALL SELECT b.symbol, b.date"
            " FROM {x} b WHERE {b}"
        ),
        (
            "SELECT a.symbol, a.date FROM {x} a WHERE {a} EXCEPT SELECT b.symbol, b.date FROM {y} b"
            " WHERE {b}"
        ),
        "SELECT a.symbol FROM {x} a WHERE {a} INTERSECT SELECT b.symbol FROM {y} b WHERE {b}",
        (
            "SELECT * FROM (SELECT a.symbol, a.date, a.price, a.ts_recv, row_number() OVER"
            " (PARTITION BY a.symbol ORDER BY a.ts_recv) n FROM {x} a) a WHERE {a}"
        ),
        (
            "SELECT a.price, sum(a.price) OVER (PARTITION BY a.symbol, a.date) FROM {x} a"
            " WHERE {a} QUALIFY row_number() OVER (PARTITION BY a.date ORDER BY a.price) <= 2"
        ),
        "SELECT count(*) FILTER (WHERE {a}), sum(a.price) FROM {x} a",
        "SELECT CASE WHEN {a} THEN 1 END, a.price FROM {x} a",
        "FROM {x} a SELECT a.price WHERE ({a}) IS NOT TRUE",
        "SELECT count(*) FROM query_table('{x}') a WHERE {a}",
    ]
)
VALUES: dict[str, Any] = {
    "time": "2024-10-05 00:00:00.000002001",
    "name": "it's (x",
    "day": date(2024, 10, 5),
    "text": "2024-10-06",
}


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query over one or two views, each with conditions of its own."""
    form = draw(QUERIES)
    x, y = draw(st.permutations(SCHEMAS))
    a, b = (draw(WHERE).replace("@.", f"{alias}.") for alias in "ab")
    return form.format(x=x, y=y, a=f"({a})", b=f"({b})")


def rows_of(frame: pl.DataFrame) -> list[str]:
    return sorted(map(str, frame.rows()))


def values_in(sql: str) -> dict[str, Any]:
    return {name: value for name, value in VALUES.items() if f"${name}" in sql}


def asked_of_all(witness: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    """The witness's answer, times as a lake gives them."""
    answer = pl.DataFrame(witness.sql(sql, params=values_in(sql) or None).to_arrow_table())
    return answer.with_columns(
        pl.selectors.datetime().cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
    )


@settings(max_examples=200)
@given(sql=queries(), is_shared=st.booleans())
def test_an_answer_is_that_of_all_files(
    sql: str,
    is_shared: bool,
    opened: LakeDatabase,
    shared: LakeDatabase,
    witness: duckdb.DuckDBPyConnection,
) -> None:
    lake = shared if is_shared else opened
    found = lake.query(sql, values_in(sql)).frame()
    expected = asked_of_all(witness, sql)
    assert found.columns == expected.columns
    assert rows_of(found) == rows_of(expected)


@settings(max_examples=100)
@given(where=WHERE)
def test_no_file_with_rows_is_left_out(
    where: str, opened: LakeDatabase, witness: duckdb.DuckDBPyConnection
) -> None:
    where = where.replace("@.", "mbo.")
    sql = f"SELECT DISTINCT date, symbol FROM mbo WHERE {where}"
    needed = asked_of_all(witness, sql).height
    assert rows_of(opened.query(sql, values_in(sql)).frame()) == rows_of(asked_of_all(witness, sql))
    assert needed <= opened.files_read <= 18


# ---------------------------------------------------------------------- what is spared


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT count(*) FROM mbo", 18),
        ("SELECT count(*) FROM mbo WHERE symbol = 'AAA'", 3),
        ("SELECT count(*) FROM mbo WHERE symbol = 'it''s (x' AND date = '2024-10-05'", 1),
        ("SELECT count(*) FROM mbo WHERE symbol = 'a/b=c\\' OR symbol = '100%'", 6),
        ("SELECT count(*) FROM mbo WHERE symbol IS NULL", 3),
        ("SELECT count(*) FROM mbo WHERE symbol = 'NULL'", 3),
        ("SELECT count(*) FROM mbo WHERE symbol LIKE 'A%' AND date <> '2024-10-04'", 2),
        ("SELECT count(*) FROM mbo WHERE date BETWEEN '2024-10-04' AND '2024-10-05'", 12),
        ("SELECT count(*) FROM mbo WHERE NOT (symbol = 'AAA' OR date > '2024-10-04')", 4),
        ("SELECT count(*) FROM mbo WHERE symbol = 'BBB'", 0),
        ("SELECT 1 FROM mbo WHERE false", 0),
        ("SELECT price FROM mbo WHERE symbol = 'AAA' ORDER BY price LIMIT 2", 3),
        ("SELECT count(*) FROM mbo WHERE symbol = $name AND date = $day", 1),
        ("WITH c AS (FROM mbo) SELECT count(*) FROM c WHERE symbol = 'AAA'", 3),
        ("SELECT count(*) FROM mbo JOIN trades USING (symbol) WHERE symbol = 'AAA'", 6),
        ("SELECT count(*) FROM mbo a, mbo b WHERE a.symbol = 'AAA' AND b.symbol = '100%'", 6),
        (
            (
                "SELECT count(*) FROM mbo a ASOF JOIN trades b ON a.symbol = b.symbol"
                " AND a.ts_recv >= b.ts_recv WHERE a.symbol = 'AAA'"
            ),
            6,
        ),
        ("SELECT count(*) FROM (FROM mbo UNION ALL FROM mbo) WHERE date = '2024-10-06'", 6),
        ("SELECT 'mbo' AS trades", 0),
        ("SELECT count(*) FROM mbo WHERE ts_recv < '2024-10-05'", 6),
        ("SELECT count(*) FROM mbo WHERE ts_recv >= '2024-10-05 00:00:00.000003003'", 10),
        ("SELECT count(*) FROM mbo WHERE ts_recv > '2024-10-05 00:00:00.000003003'", 10),
        ("SELECT count(*) FROM mbo WHERE ts_recv = make_timestamp_ns(1728000000000002002)", 1),
        ("SELECT count(*) FROM mbo WHERE ts_recv = $time::TIMESTAMP_NS AND ts_recv IS NOT NULL", 1),
        ("SELECT count(*) FROM mbo WHERE ts_recv > '2030-01-01' OR price < 0", 18),
        ("SELECT count(*) FROM mbo WHERE NOT ts_recv >= '2024-10-05'", 6),
        (
            (
                "SELECT count(*) FROM mbo m JOIN trades t USING (date, symbol) WHERE"
                " m.ts_recv BETWEEN '2024-10-06' AND '2024-10-07' AND t.ts_recv < '2024-10-05'"
            ),
            12,
        ),
    ],
)
def test_a_query_reads_no_more_than_it_names(
    sql: str,
    read: int,
    opened: LakeDatabase,
    shared: LakeDatabase,
    witness: duckdb.DuckDBPyConnection,
) -> None:
    found = opened.query(sql, values_in(sql)).frame()
    assert rows_of(found) == rows_of(asked_of_all(witness, sql))
    assert opened.files_read == read
    assert rows_of(shared.query(sql, values_in(sql)).frame()) == rows_of(found)
    assert shared.files_read <= min(read, 6)


# ---------------------------------------------------------------------- what is damaged


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which the middle day of AAA is damaged, of mbo and of trades."""
    lake = make_lake(tmp_path_factory.mktemp("damaged"))
    for schema in SCHEMAS:
        path = part_of(lake, schema, "2024-10-05", "AAA")
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)
    return lake


@pytest.mark.parametrize(
    "form",
    [
        "SELECT count(*) FROM mbo WHERE {0}",
        "SELECT count(*) FROM mbo a JOIN trades b USING (symbol, date) WHERE {0}",
        "SELECT count(*) FROM trades WHERE {0} AND price > (SELECT min(price) FROM mbo WHERE {0})",
        "SELECT count(*) FROM trades WHERE {0} AND date IN (SELECT date FROM mbo WHERE {0})",
        (
            "SELECT count(*) FROM (FROM mbo WHERE {0}) a WHERE EXISTS"
            " (SELECT 1 FROM trades b WHERE {0} AND b.price = a.price)"
        ),
        (
            "SELECT count(*) FROM (FROM mbo WHERE {0}) a ASOF JOIN (FROM trades WHERE {0}) b"
            " ON a.symbol = b.symbol AND a.ts_recv >= b.ts_recv"
        ),
        (
            "WITH c AS (FROM mbo), d AS (FROM trades) SELECT count(*) FROM c JOIN d"
            " USING (symbol, date) WHERE {0}"
        ),
        "WITH c AS MATERIALIZED (FROM mbo WHERE {0}) SELECT (SELECT count(*) FROM c), * FROM c",
        "SELECT symbol FROM mbo WHERE {0} UNION SELECT symbol FROM trades WHERE {0}",
        "SELECT price, sum(price) OVER (PARTITION BY symbol) FROM mbo WHERE {0} ORDER BY 1 LIMIT 5",
        "SELECT max(ts_recv) FROM mbo WHERE {0} GROUP BY symbol ORDER BY 1",
        "SELECT * FROM mbo WHERE {0} ORDER BY ts_recv DESC LIMIT 1",
        "SELECT 1 FROM trades WHERE {0} AND price < 0",
    ],
)
def test_a_damaged_file_is_refused_where_it_is_needed_and_else_left_alone(
    form: str, damaged: Path, witness: duckdb.DuckDBPyConnection
) -> None:
    lake = LakeDatabase(DirectoryStore(damaged), Verifier())
    for spared in (
        "symbol = 'AAA' AND date <> '2024-10-05'",
        "symbol = '100%'",
        "symbol = 'a/b=c\\' AND date = '2024-10-05'",
    ):
        sql = form.format(spared)
        assert rows_of(lake.query(sql).frame()) == rows_of(asked_of_all(witness, sql))
    for needed in ("symbol = 'AAA'", "date = '2024-10-05'", "symbol LIKE '_AA' AND year(date) > 0"):
        with pytest.raises(LakeError, match=r"date=2024-10-05/.*: damaged: "):
            lake.query(form.format(needed))


def test_a_query_that_needs_no_damaged_file_is_answered_whichever_are_damaged(
    tmp_path: Path, witness: duckdb.DuckDBPyConnection
) -> None:
    lake = make_lake(tmp_path)
    spared = {part_of(lake, schema, "2024-10-06", "100%") for schema in SCHEMAS}
    for path in lake.glob("*/*/*.parquet"):
        if path not in spared:
            path.write_bytes(b"not Parquet")
    opened = LakeDatabase(DirectoryStore(lake), Verifier())
    where = "WHERE date = '2024-10-06' AND symbol = '100%'"
    for sql in (
        f"SELECT * FROM mbo {where}",
        f"SELECT count(*) FROM mbo JOIN trades USING (price, date, symbol) {where}",
    ):
        assert rows_of(opened.query(sql).frame()) == rows_of(asked_of_all(witness, sql))
        assert opened.files_read in {1, 2}
    with pytest.raises(LakeError, match=r"damaged: "):
        opened.query("SELECT * FROM mbo")


def test_what_planning_needs_goes_with_the_views(
    lake: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    opened = LakeDatabase(DirectoryStore(lake), Verifier())
    opened.query("SELECT * FROM mbo").frame()
    assert len(list(tmp_path.iterdir())) == 1
    opened.close()
    assert list(tmp_path.iterdir()) == []
    opened.query("SELECT * FROM mbo").frame()
    del opened
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="no directory for temporary files"):
        LakeDatabase(DirectoryStore(lake), Verifier()).query("SELECT * FROM mbo")


def test_directories_above_a_lake_are_no_columns(tmp_path: Path) -> None:
    above = tmp_path / "symbol=AAA" / "venue=X"
    above.mkdir(parents=True)
    lake = make_lake(above)
    opened = LakeDatabase(DirectoryStore(lake), Verifier())
    for sql, rows in (
        ("SELECT count(*) FROM mbo WHERE symbol = '100%'", 12),
        (
            (
                "SELECT count(*) FROM mbo a ASOF JOIN mbo b ON a.symbol = b.symbol"
                " AND a.date = b.date AND a.ts_recv >= b.ts_recv WHERE a.symbol = '100%'"
            ),
            12,
        ),
    ):
        assert opened.query(sql).frame().item() == rows
    with pytest.raises(UsageError, match="NAME=VALUE"):
        Lake(lake).scan("mbo")
    (tmp_path / "link").symlink_to(lake)
    assert Lake(tmp_path / "link").scan("mbo", symbols="100%").collect().height == 12


def test_an_enum_is_not_listed_in_errors_and_comments_make_none(lake: Path) -> None:
    opened = LakeDatabase(DirectoryStore(lake), Verifier())
    plain = "SELECT lag(symbol, 1, 'asof') OVER (ORDER BY price) FROM mbo -- ASOF"
    assert opened.query(plain).frame().height == 72
    with pytest.raises(UsageError, match=r"ENUM\(\.\.\.\)$"):
        opened.query(
            "SELECT lag(a.symbol, 1, 'none') OVER (ORDER BY a.price)"
            " FROM mbo a ASOF JOIN trades b ON a.date = b.date AND a.ts_recv >= b.ts_recv"
        )
