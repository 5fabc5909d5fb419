"""`batonics query`: the answers of DuckDB on the same rows, in every form, or one line of error.

The rule here: the witness asks the Parquet files of a lake, or the frames of `.mbo`, without us.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from batonics.frames.schemas.table import dbn_schemas
from batonics.lake.lake import Lake
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import Action
from tests.support.command import SAMPLE, CommandResult, error_line, run_command, run_in_process
from tests.support.dbn_files import DAY_NS, adds, encode, list_names, metadata, record
from tests.support.lakes import OWN_SCHEMAS, load, reference_rows

DAY_LONG_NS = 86_400_000_000_000
TRADES_SQL = "SELECT symbol, price, size, ts_recv FROM trades ORDER BY ts_recv, price"
HAS_N = "-- param: n BIGINT  how many\nSELECT $n"
HAS_TIME = "-- param: t TIMESTAMP  from when on\nSELECT make_timestamp_ns($t)"
HEADED = """\
-- title: Trades at least so large
-- param: least BIGINT = 2  of which size
-- param: since TIMESTAMP = 1970-01-01  from when on
-- param: limit_price PRICE  at most so dear
-- param: within DURATION = 1d  of the first
SELECT symbol, price, size, ts_recv FROM trades
WHERE size >= $least AND epoch_ns(ts_recv) >= $since AND price <= $limit_price
AND epoch_ns(ts_recv) - (SELECT min(epoch_ns(ts_recv)) FROM trades) < $within
ORDER BY ts_recv, price;
"""


def write(path: Path, *, days: int = 0) -> Path:
    """A file of eight trades of two names and none, and an order that stays."""
    trades = [
        record(
            Action.TRADE,
            instrument_id=1 + at % 3,
            size=at + 1,
            price=10 + at,
            ts_recv=DAY_NS + days * DAY_LONG_NS + at,
        )
        for at in range(8)
    ]
    stays = record(Action.ADD, order_id=7, price=5, ts_recv=DAY_NS + days * DAY_LONG_NS + 9)
    path.write_bytes(metadata() + encode([*trades, stays]))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("files")
    return [write(directory / f"{days}.dbn", days=days) for days in range(2)]


@pytest.fixture(scope="module")
def lake(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake") / "lake"
    load(root, *files, schemas=("mbo", "trades", "mbp-1", "orders"))
    return root


@pytest.fixture(scope="module")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "lake"
    load(root, SAMPLE, schemas=("mbo", "trades", "mbp-1", "ohlcv-1m"))
    return root


def witness(lake: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB on the files of a lake."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for path in lake.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            columns = connection.execute(f"DESCRIBE FROM '{path}/*/*.parquet'").fetchall()
            times = [
                f"{name}::TIMESTAMP_NS AS {name}"
                for name, type_, *_ in columns
                if type_.startswith("TIMESTAMP")
            ]
            has_quotes = any(name == "crossed" for name, *_ in columns)
            is_open = ", NOT crossed AS is_open" if has_quotes else ""
            connection.execute(
                f"CREATE VIEW {path.name.replace('-', '_')} AS SELECT * EXCLUDE (date, symbol)"
                f" REPLACE ({', '.join(times)}){is_open}, date, symbol"
                f" FROM read_parquet('{path}/*/*.parquet',"
                " hive_partitioning = true, hive_types = {'date': DATE})"
            )
    return connection


def asked(lake: Path, sql: str, values: dict[str, Any] | None = None) -> pl.DataFrame:
    """The witness's answer."""
    with witness(lake) as connection:
        answer = pl.DataFrame(connection.sql(sql, params=values).to_arrow_table())
    # Only the times of the files are nanoseconds; DuckDB computes times in microseconds.
    return answer.with_columns(
        pl.selectors.datetime("ns").dt.replace_time_zone("UTC"),
        pl.selectors.datetime("us").cast(pl.Datetime("ns")),
    )


def notes(done: CommandResult) -> list[str]:
    """The lines of standard error, without that on cold books, with which most files begin."""
    return [line for line in done.err.splitlines() if not line.startswith("batonics: cold: ")]


def answered(*arguments: str | Path) -> pl.DataFrame:
    """The answer of the command, through Parquet."""
    done = run_in_process("query", "--format", "parquet", "-q", *arguments)
    assert (done.code, notes(done)) == (0, [])
    return pl.read_parquet(done.out)


def rows(done: CommandResult) -> list[list[str]]:
    """What a command has printed as CSV, without the header."""
    assert (done.code, notes(done)) == (0, [])
    return list(csv.reader(io.StringIO(done.out.decode())))[1:]


def count(*arguments: str | Path, of: str = "trades") -> int:
    """How many rows of a view there are."""
    sql = f"SELECT count(*) FROM {of}"
    return int(rows(run_in_process("query", sql, *arguments, "--format", "csv", "-q"))[0][0])


# ---------------------------------------------------------------------- the answer


@pytest.mark.parametrize(
    "sql",
    [
        TRADES_SQL,
        "SELECT * FROM mbo ORDER BY ALL",
        "SELECT symbol, date, count(*), sum(size) FROM trades GROUP BY ALL ORDER BY ALL",
        (
            "SELECT time_bucket(INTERVAL 1 MINUTE, ts_recv::TIMESTAMP) t, max(price), min(price)"
            " FROM trades GROUP BY ALL ORDER BY ALL"
        ),
        (
            "SELECT t.symbol, t.price, m.bid FROM trades t ASOF JOIN (SELECT symbol, ts_recv,"
            " max(bid_px_00) AS bid FROM mbp_1 GROUP BY ALL) m ON t.symbol = m.symbol"
            " AND t.ts_recv >= m.ts_recv ORDER BY ALL LIMIT 500"
        ),
        (
            "WITH c AS (SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY ts_recv,"
            " price) n FROM trades) SELECT symbol, price, n FROM c WHERE n <= 3 ORDER BY ALL"
        ),
        "SELECT * FROM ohlcv_1m WHERE symbol = 'SIM1' ORDER BY ALL",
        "SELECT symbol FROM trades EXCEPT SELECT symbol FROM mbo",
        "SELECT 1 AS one, 'two' AS two, 3.5 AS three, NULL AS four",
        "SELECT '--' AS x, count(*) AS n FROM trades",
        "SELECT '/*' AS x, count(*) AS n FROM trades WHERE symbol <> '*/'",
        'SELECT count(*) AS "--" FROM trades',
        "SELECT $$it's --$$ AS x, count(*) AS n FROM trades",
        "SELECT count(*) AS n /* of ' \n */ FROM -- it's\nTRADES",
    ],
)
def test_an_answer_is_that_of_duckdb_on_the_files(sql: str, sample_lake: Path) -> None:
    assert_frame_equal(answered(sql, "--lake", sample_lake), asked(sample_lake, sql))


@pytest.mark.parametrize("name", ["clx5/CLX5_mbo.dbn", "dbeq/dbeq-20240131.mbo.dbn"])
def test_real_files_answer_without_a_lake_as_their_lake_does(
    name: str, test_data: Path, tmp_path: Path
) -> None:
    sql = "SELECT symbol, action, side, count(*) n, sum(size) s FROM mbo GROUP BY ALL ORDER BY ALL"
    load(tmp_path / "lake", test_data / name, schemas=("mbo",))
    expected = asked(tmp_path / "lake", sql)
    assert expected.height > 1
    assert_frame_equal(answered(sql, "--lake", tmp_path / "lake"), expected)
    assert_frame_equal(answered(sql, "--from", test_data / name), expected)


def test_files_are_one_stream_and_need_no_lake(files: list[Path], tmp_path: Path) -> None:
    options = [option for file in files for option in ("--from", file)]
    sql = "SELECT * EXCLUDE (date, is_open) FROM mbp_1 ORDER BY ts_recv, symbol, sequence"
    found = answered(sql, *options)
    # Enums are text in SQL.
    expected = reference_rows(files, "mbp-1").select(found.columns).cast({pl.Enum: pl.String})
    assert_frame_equal(found.sort(found.columns), expected.sort(found.columns))
    # The order of the first file is in the book of the second.
    assert count("--from", files[1], of="trades") == 8
    assert count(*options, of="orders") == 2
    assert list_names(tmp_path) == []


def test_what_is_named_is_made_whatever_its_depth(files: list[Path]) -> None:
    sql = "SELECT (SELECT count(*) FROM MBP_3), (SELECT max(bid_px_04) FROM depth_1h)"
    assert answered(sql, "--from", files[0]).row(0)[0] > 0


def test_the_lake_may_come_from_the_environment(
    lake: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BATONICS_LAKE", str(lake))
    assert count() == 16
    # What is said is meant: files go before what was set once.
    assert count("--from", files[0]) == 8
    monkeypatch.setenv("BATONICS_LAKE", str(tmp_path / "none"))
    assert count("--lake", lake) == 16
    assert "none: is not a lake" in error_line(run_in_process("query", "SELECT 1"), 6)
    both = run_in_process("query", "SELECT 1", "--lake", lake, "--from", files[0])
    assert error_line(both, 2) == "give one of --lake and --from, not both"


# ---------------------------------------------------------------------- which rows


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("--symbols", "AAA"), "symbol = 'AAA'"),
        (("--symbols", "BBB,AAA"), "symbol IS NOT NULL"),
        (("--date", "2024-10-05"), "date = '2024-10-05'"),
        (("--start", "2024-10-04T00:00:00.000000004Z"), ("epoch_ns(ts_recv) % 10000000000 >= 4"
         " OR date > '2024-10-04'")),
        (("--end", str(DAY_NS + 4)), "date = '2024-10-04' AND price < 14000000000"),
        (("--start", "2024-10-04", "--end", "2024-10-05"), "date = '2024-10-04'"),
        (("--symbols", "AAA", "--date", "2024-10-04"), "symbol = 'AAA' AND date = '2024-10-04'"),
    ],
)  # fmt: skip
def test_options_choose_rows(options: tuple[str, ...], where: str, lake: Path) -> None:
    sql = "SELECT * FROM trades {} ORDER BY ALL"
    expected = asked(lake, sql.format(f"WHERE {where}"))
    assert_frame_equal(answered(sql.format(""), "--lake", lake, *options), expected)
    assert expected.height == count("--lake", lake, *options)


@pytest.mark.parametrize(
    "options",
    [("--start", "2300-01-01"), ("--date", "2500-01-01"), ("--date", "2024-10-06")],
    ids=["start", "far", "next"],
)
def test_options_that_choose_none_of_the_data_are_refused(
    options: tuple[str, ...], lake: Path
) -> None:
    done = run_in_process("query", "SELECT * FROM trades", "--lake", lake, *options)
    assert f"{lake}: no rows from 2" in error_line(done, 2)


def test_options_choose_rows_of_files_too(files: list[Path]) -> None:
    options = [option for file in files for option in ("--from", file)]
    assert count(*options, "--symbols", "AAA") == 6
    assert count(*options, "--date", "2024-10-05", "--symbols", "AAA,BBB") == 6


@pytest.mark.parametrize("date", ["2024-10-04", "2024-10-05"])
def test_orders_of_a_day_are_those_that_are_alive_too(date: str, lake: Path) -> None:
    expected = asked(lake, f"SELECT count(*) n FROM orders WHERE date = '{date}'")["n"][0]
    assert expected == 1
    assert count("--lake", lake, "--date", date, of="orders") == expected


def test_an_order_that_is_alive_is_in_the_window_of_its_date_whatever_others_did(
    tmp_path: Path,
) -> None:
    # AAA is silent on the last day, on which BBB still trades: both are alive at its end.
    rows = [
        record(Action.ADD, instrument_id=1 + at, order_id=at, ts_recv=DAY_NS + at * DAY_LONG_NS + 5)
        for at in range(2)
    ]
    file = tmp_path / "a.dbn"
    file.write_bytes(metadata() + encode(rows))
    load(tmp_path / "lake", file, schemas=("orders",))

    lake = Lake(tmp_path / "lake")
    for start, end, expected in (
        ("2024-10-04", "2024-10-05", 0),
        ("2024-10-05", "2024-10-06", 2),
        ("2024-10-05T00:00:00.000000009Z", "2024-10-06", 2),
        ("2024-10-05", "2024-10-05T23:59:59.999999999Z", 0),
    ):
        options = ("--start", start, "--end", end)
        if expected == 0:
            with pytest.raises(UsageError, match="no rows from 2024-10-0"):
                lake.scan("orders", start=start, end=end)
            continue
        assert count("--lake", tmp_path / "lake", *options, of="orders") == expected
        assert lake.scan("orders", start=start, end=end).collect().height == expected
        joined = lake.join_asof("orders", "orders", start=start, end=end, columns=["order_id"])
        assert joined.collect().height == expected


@pytest.mark.parametrize("view", ["trades", "orders", "mbo"])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-10-04T00:00:00.000000003Z", "2024-10-05T00:00:00.000000003Z"),
        ("2024-10-04", "2024-10-05"),
        ("2024-10-05", "2300-01-01"),
    ],
)
def test_views_have_the_rows_that_a_scan_has(view: str, start: str, end: str, lake: Path) -> None:

    wanted: dict[str, Any] = {"start": start, "end": end}
    scanned = Lake(lake).scan(view, **wanted).collect().height
    options = [text for name, value in wanted.items() for text in (f"--{name}", value)]
    assert count("--lake", lake, *options, of=view) == scanned


@pytest.mark.parametrize("view", ["trades", "orders", "mbo"])
def test_views_and_scans_refuse_times_that_the_lake_has_nothing_of(view: str, lake: Path) -> None:

    wanted: dict[str, Any] = {"start": "2300-01-01", "end": "2301-01-01"}
    with pytest.raises(UsageError, match="no rows from 2300-01-01"):
        Lake(lake).scan(view, **wanted)
    options = [text for name, value in wanted.items() for text in (f"--{name}", value)]
    done = run_in_process("query", f"SELECT * FROM {view}", "--lake", lake, *options, "-q")
    assert "no rows from 2300-01-01" in error_line(done, 2)


def test_a_symbol_that_is_not_there_is_refused(lake: Path, files: list[Path]) -> None:
    for where in (("--lake", lake), ("--from", files[0])):
        done = run_in_process("query", TRADES_SQL, *where, "--symbols", "AAA,NONE", "-q")
        assert "NONE" in error_line(done, 2)


# ---------------------------------------------------------------------- parameters


def test_a_file_has_parameters_with_types(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.sql"
    file.write_text(HEADED)

    def expected(**values: int) -> pl.DataFrame:
        every = {"least": 2, "since": 0, "within": DAY_LONG_NS, **values}
        return asked(lake, HEADED, every)

    options = ("--lake", lake, "-p", "limit_price=15.5")
    assert_frame_equal(answered(file, *options), expected(limit_price=15_500_000_000))
    assert_frame_equal(
        answered(file, *options, "--param", "least=4", "-p", f"since={DAY_NS + 4}"),
        expected(limit_price=15_500_000_000, least=4, since=DAY_NS + 4),
    )
    assert_frame_equal(
        answered(file, *options, "-p", "since=2024-10-05T00:00:00Z", "-p", "within=2d"),
        expected(limit_price=15_500_000_000, since=DAY_NS + DAY_LONG_NS, within=2 * DAY_LONG_NS),
    )
    # It is a query like any other: it may be given as text, and asked of files.
    assert_frame_equal(answered(*options, "--", HEADED), expected(limit_price=15_500_000_000))
    from_file = ("--from", write(tmp_path / "a.dbn"), "-p", "limit_price=15.5")
    assert answered(file, *from_file).height == answered(file, *options).height


def test_without_a_header_values_are_text(lake: Path) -> None:
    sql = "SELECT count(*) n FROM trades WHERE symbol = $name AND date = $day"
    values = ("-p", "name=AAA", "-p", "day=2024-10-05")
    assert answered(sql, "--lake", lake, *values).row(0) == (3,)
    odd = answered("SELECT $x AS x", "--lake", lake, "-p", "x=a='b'; DROP TABLE x")
    assert odd.row(0) == ("a='b'; DROP TABLE x",)


def test_a_parameter_that_is_given_twice_is_refused(lake: Path) -> None:
    done = run_in_process("query", "SELECT $x", "--lake", lake, "-p", "x=1", "-p", "x=2")
    assert "x is given" in error_line(done, 2)


# ---------------------------------------------------------------------- forms

READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    "parquet": pl.read_parquet,
    "arrow": pl.read_ipc,
}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("to_file", [True, False])
def test_columnar_forms_have_the_types(
    form: str, to_file: bool, lake: Path, tmp_path: Path
) -> None:
    if to_file:
        done = run_in_process("query", TRADES_SQL, "--lake", lake, "--out", tmp_path / f"a.{form}")
        data = (tmp_path / f"a.{form}").read_bytes()
    else:
        done = run_in_process("query", TRADES_SQL, "--lake", lake, "--out", "-", "--format", form)
        data = done.out
    assert (done.code, done.err) == (0, "")
    assert_frame_equal(READERS[form](data), asked(lake, TRADES_SQL))


@pytest.mark.parametrize("to_file", [True, False])
def test_text_forms_have_exact_times_and_prices(to_file: bool, lake: Path, tmp_path: Path) -> None:
    found = {}
    for form in ("csv", "ndjson", "json"):
        path = tmp_path / f"a.{form}"
        how = ("--out", path) if to_file else ("--format", form)
        done = run_in_process("query", TRADES_SQL, "--lake", lake, *how)
        assert (done.code, done.err) == (0, "")
        found[form] = (path.read_bytes() if to_file else done.out).decode()
    expected = asked(lake, TRADES_SQL)
    times = expected["ts_recv"].dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_list()
    array = json.loads(found["json"])
    assert array == [json.loads(line) for line in found["ndjson"].splitlines()]
    assert array == expected.with_columns(ts_recv=pl.Series(times)).to_dicts()
    table = list(csv.DictReader(io.StringIO(found["csv"])))
    assert [row["ts_recv"] for row in table] == times
    assert [row["price"] for row in table] == [
        f"{price // 10**9}.{price % 10**9:09}" for price in expected["price"]
    ]
    assert [row["symbol"] or None for row in table] == expected["symbol"].to_list()


def test_without_rows_a_form_is_whole(lake: Path) -> None:
    sql = "SELECT symbol, price FROM trades WHERE symbol = 'none'"
    outs = {
        form: run_in_process("query", sql, "--lake", lake, "--format", form).out
        for form in ("table", "csv", "json", "ndjson", "parquet", "arrow")
    }
    assert outs["csv"] == b"symbol,price\n"
    assert outs["json"] == b"[]\n"
    assert outs["ndjson"] == b""
    assert outs["table"].split() == [b"symbol", b"price"]
    columns = pl.Schema({"symbol": pl.String(), "price": pl.Int64()})
    assert pl.read_parquet(outs["parquet"]).schema == columns
    assert pl.read_ipc(outs["arrow"]).schema == columns


def test_a_table_shows_some_rows_and_says_how_many_more(lake: Path) -> None:
    done = run_in_process("query", TRADES_SQL, "--lake", lake, "--rows", "2")
    lines = done.out.decode().splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["symbol", "price", "size", "ts_recv"],
        ["AAA", "10.000000000", "1", "2024-10-04T00:00:00.000000000Z"],
        ["BBB", "11.000000000", "2", "2024-10-04T00:00:00.000000001Z"],
    ]
    assert lines[3:] == ["and 14 more rows; --rows shows more"]
    assert len(run_in_process("query", TRADES_SQL, "--lake", lake).out.splitlines()) == 17


def test_a_plot_is_drawn(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    sql = "SELECT ts_recv, price FROM trades ORDER BY 1"
    done = run_in_process("query", sql, "--lake", lake, "--format", "plot")
    assert (done.code, done.err) == (0, "")
    lines = done.out.decode().splitlines()
    assert lines[0] == "price"
    assert (lines[1].split()[0], lines[-2].split()[0]) == ("17", "10")
    sql = "SELECT symbol, avg(size) AS mean FROM trades GROUP BY 1 ORDER BY 1"
    bars = (
        run_in_process("query", sql, "--lake", lake, "--format", "plot").out.decode().splitlines()
    )
    assert [line.split()[:2] for line in bars[1:3]] == [["AAA", "4"], ["BBB", "5"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("sum(size)", 72),
        ("sum(size)::DECIMAL(18, 2)", "72.00"),
        ("max(1::HUGEINT)", 1),
        ("count(*) > 3", True),
        ("max(date)", "2024-10-05"),
        ("max(TIMESTAMP '2024-10-05 01:02:03.5')", "2024-10-05T01:02:03.500000000"),
        ("max(TIMESTAMP_S '2024-10-05 01:02:03')", "2024-10-05T01:02:03.000000000"),
        ("[min(size), max(size)]", [1, 8]),
        ("{'a': count(*)}", {"a": 16}),
        ("any_value('a'::ENUM ('a', 'b'))", "a"),
        ("any_value('47f6c8c7-f6f6-40c8-a5db-02e531decc44'::UUID)",
         "47f6c8c7-f6f6-40c8-a5db-02e531decc44"),
        ("any_value(TIME '10:00:00.5')", "10:00:00.500"),
        ("NULL", None),
    ],
)  # fmt: skip
def test_any_type_of_duckdb_has_a_form(value: str, shown: object, lake: Path) -> None:
    sql = f"SELECT {value} AS x FROM trades"
    if value == "NULL":
        sql += " LIMIT 1"
    done = run_in_process("query", sql, "--lake", lake, "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == [{"x": shown}]
    for form in ("table", "parquet", "arrow", "ndjson"):
        assert run_in_process("query", sql, "--lake", lake, "--format", form).code == 0


# ---------------------------------------------------------------------- the shell


def shell(text: str, *arguments: str | Path) -> CommandResult:
    return run_command("query", "--shell", *arguments, stdin=text.encode())


def test_the_shell_answers_one_query_after_the_other(lake: Path) -> None:
    done = shell(
        "SELECT count(*) AS n\nFROM trades;\nSELECT nonsense FROM trades;\n\n"
        "SELECT symbol FROM mbo WHERE price = 10000000000 AND date = '2024-10-04';  \n;\n"
        "SELECT 1; SELECT 2;\nDROP TABLE trades;\nSELECT max(size) AS m FROM mbp_1;\n",
        "--lake",
        lake,
        "--prices",
        "fixed",
    )
    assert done.code == 0
    assert done.out.decode().split() == ["n", "16", "symbol", "AAA", "m", "8"]
    lines = notes(done)
    assert [line.startswith("batonics: ") for line in lines] == [True] * 4
    assert 'Referenced column "nonsense" not found' in lines[0]
    assert all("expected one SELECT statement" in line for line in lines[1:])


def test_the_shell_answers_the_last_query_too(lake: Path) -> None:
    done = shell("SELECT 1 AS a;\nSELECT count(*) AS n FROM trades\n", "--lake", lake)
    assert done.out.decode().split() == ["a", "1", "n", "16"]
    assert shell("", "--lake", lake) == shell("\n\n", "--lake", lake) == (0, b"", "")


def test_the_shell_asks_files(files: list[Path]) -> None:
    done = shell(
        "SELECT count(*) AS n FROM trades;\nSELECT * FROM mbp_7;", "--from", files[0], "-q"
    )
    assert done.out.decode().split() == ["n", "8"]
    assert "there is no mbp_7 here" in done.err
    assert done.err.count("\n") == 1


def test_the_shell_shows_as_many_rows_as_it_is_told(lake: Path) -> None:
    done = shell("SELECT size FROM trades;", "--lake", lake, "--rows", "3")
    assert len(done.out.decode().splitlines()) == 5
    assert "and 13 more rows" in done.out.decode()


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give a query, or --shell"),
        (("SELECT 1", "--shell"), 2, "give a query, or --shell"),
        (("",), 2, "there is no statement"),
        ((";",), 2, "there is no statement"),
        (("SELEC",), 2, 'the query: Parser Error: syntax error at or near "SELEC"'),
        (("SELECT 1; SELECT 2",), 2, "expected one SELECT statement"),
        (("DROP TABLE x",), 2, "expected one SELECT statement"),
        (("CREATE TABLE x (a INT)",), 2, "expected one SELECT statement"),
        (("COPY (SELECT 1) TO 'out.csv'",), 2, "expected one SELECT statement"),
        (("ATTACH 'x.db'",), 2, "expected one SELECT statement"),
        (("EXPLAIN SELECT 1",), 2, "expected one SELECT statement"),
        (("SET threads = 1",), 2, "expected one SELECT statement"),
        (("SELECT nothing FROM trades",), 2, 'column "nothing" not found'),
        (
            ("SELECT * FROM nothing",),
            2,
            "there is no nothing here; views have the names of schemas: mbo, ",
        ),
        (("SELECT * FROM mbp_5",), 2, "no mbp_5 here; `batonics lake load FILES --schemas mbp-5`"),
        (("SELECT * FROM bbo_1s",), 2, "no bbo_1s here; `batonics lake load FILES --sch"),
        (("SELECT $x",), 2, "Values were not provided for the following parameters: x"),
        (("SELECT 1", "-p", "x=1"), 2, "x"),
        (("SELECT 1", "-p", "x"), 2, "--param x: expected NAME=VALUE"),
        (("SELECT 1", "-p", "=1"), 2, "--param =1: expected NAME=VALUE"),
        (("--", HAS_N), 2, "query needs n (BIGINT), how many"),
        (("-p", "n=x", "--", HAS_N), 2, "n is 'x', expected BIGINT"),
        (("-p", "t=2300-01-01", "--", HAS_TIME), 2, "is after 2262-04-11T23:47:16.854775807Z"),
        (("-p", f"t={2**64 - 1}", "--", HAS_TIME), 2, "outside the range of DBN timestamps"),
        (("-p", "m=1", "--", HAS_N), 2, "has no parameter 'm'; it has n"),
        (("--", "-- titel: x\nSELECT 1"), 2, "no key 'titel'"),
        (("none.sql",), 3, "none.sql: cannot be read: No such file"),
        (("SELECT 1", "--date", "2024-10"), 2, "a day is expected"),
        (("SELECT 1", "--start", "9" * 5_000), 2, "outside the range of DBN timestamps"),
        (("SELECT 1", "--end", str(2**64 - 1)), 2, "outside the range of DBN timestamps"),
        (("SELECT 1", "--date", "2024-10-04T10:00"), 2, "a day is expected"),
        (("SELECT 1", "--date", "2024-10-04", "--end", "2024-10-05"), 2, "--date is a whole day"),
        (("SELECT 1", "--start", "2024-10-05", "--end", "2024-10-05"), 2, "is not before the end"),
        (("SELECT 1", "--rows", "0"), 2, "rows"),
        (("SELECT 1", "--out", "a.txt"), 2, "a.txt: the name must end in"),
        (("SELECT 1", "--out", "-"), 2, "standard output has no name"),
        (("SELECT 1", "--format", "xml"), 2, "there is no format 'xml'"),
        (("SELECT 1", "--format", "dbn"), 2, "DBN holds the vendor's records"),
        (("SELECT 1", "--format", "plot"), 2, "a plot needs rows, and numbers"),
        (("SELECT 1", "--format", "plot", "--out", "a.csv"), 2, "a plot is for the terminal"),
        (("SELECT 1", "--format", "table", "--out", "a.csv"), 2, "a table is for the terminal"),
        (("SELECT [1]", "--format", "csv"), 2, "which csv cannot hold"),
        (("SELECT 1 AS x", "--out", "none/a.csv"), 4, "none/a.csv"),
        (("SELECT INTERVAL 1 DAY AS x",), 2, "column x is an INTERVAL"),
        (("SELECT [INTERVAL 1 DAY] AS x",), 2, "column x"),
        (("SELECT {'a': INTERVAL 1 DAY} AS x",), 2, "column x"),
        (("SELECT union_value(a := 1) AS x",), 2, "column x"),
        (("SELECT 1 AS x, 2 AS x",), 2, "x"),
        (("SELECT * FROM trades a JOIN trades b USING (sequence)",), 2, "ts_recv"),
        (("SELECT TIMESTAMP '9999-01-01' AS x",), 2, "x"),
        (("SELECT TIMESTAMP 'infinity' AS x",), 2, "x"),
        (("SELECT 'a'::BLOB AS x", "--format", "csv"), 2, "column x"),
        (("SELECT 'a'::BLOB AS x", "--format", "json"), 2, "column x"),
        (("SELECT 'a'::BLOB AS x", "--format", "ndjson"), 2, "column x"),
        (("SELECT 1::BIGNUM AS x", "--format", "csv"), 2, "column x"),
        (("SELECT error('at once') FROM trades",), 2, "the query: Invalid Input Error: at once"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    lake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        done = run_in_process("query", "--lake", lake, *arguments)
    except BaseException as error:  # noqa: BLE001 - a panic of Polars is no Exception
        pytest.fail(f"{type(error).__name__}: {error}")
    line = error_line(done, code)
    assert words in line
    assert "a bug in batonics" not in line
    assert list_names(tmp_path) == []


@pytest.mark.parametrize(
    "sql",
    [
        (
            "SELECT CASE WHEN i = 900000 THEN error('too late') ELSE i END AS x"
            " FROM range(1000000) t(i)"
        ),
        (
            "SELECT (CASE WHEN i = 900000 THEN 'too late' ELSE '1' END)::INT AS x"
            " FROM range(1000000) t(i)"
        ),
        (
            "SELECT CASE WHEN i = 900000 THEN 'infinity'::TIMESTAMP"
            " ELSE '2024-10-04'::TIMESTAMP END AS x FROM range(1000000) t(i)"
        ),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_a_query_that_fails_midway_leaves_nothing(
    sql: str, form: str, lake: Path, tmp_path: Path
) -> None:
    old = tmp_path / f"old.{form}"
    old.write_bytes(b"what was there")
    for path in (old, tmp_path / f"new.{form}"):
        try:
            done = run_in_process("query", sql, "--lake", lake, "--out", path)
        except BaseException as error:  # noqa: BLE001 - a panic of Polars is no Exception
            pytest.fail(f"{type(error).__name__}: {error}")
        assert error_line(done, 2).startswith("the query: ")
    assert list_names(tmp_path) == [old.name]
    assert old.read_bytes() == b"what was there"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("SELECT 1",), 2, "the query reads no view, such as mbp_10; there are mbo, trades"),
        (("SELECT * FROM nothing",), 2, "the query reads no view"),
        (("SELECT * FROM bbo_60s",), 2, "schema bbo-60s is named bbo-1m"),
        (("SELECT * FROM mbp_0, trades",), 2, "mbp_0"),
        (("SELECT * FROM depth_soon",), 2, "not a duration: 'soon'"),
        (("SELECT count(*) FROM trades", "--out", "in.dbn"), 2, "in.dbn is an input"),
    ],
)
def test_an_error_of_files_is_one_line_too(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "in.dbn")
    before = file.read_bytes()
    assert words in error_line(run_in_process("query", *arguments, "--from", file, "-q"), code)
    assert list_names(tmp_path) == ["in.dbn"]
    assert file.read_bytes() == before


def test_a_damaged_file_is_refused_with_one_line_however_long_it_is(tmp_path: Path) -> None:
    sql = "SELECT count(*) FROM mbo"
    for count_ in (20, 100_000):
        file = tmp_path / "bad.dbn"
        file.write_bytes(metadata() + encode(adds(count_))[:-5])
        done = run_command("query", sql, "--from", file, "-q")
        assert f"record {count_ - 1}: the stream ends" in error_line(done, 3)
    for file_name in ("none.dbn", "-"):
        assert run_in_process("query", sql, "--from", tmp_path / file_name, "-q").code == 3
    assert "no name to be loaded under" in error_line(
        run_in_process("query", sql, "--from", "-"), 2
    )


@pytest.mark.parametrize(
    "view", [name.replace("-", "_") for name in (*dbn_schemas(), *OWN_SCHEMAS)]
)
def test_a_file_without_rows_answers_with_none(view: str, tmp_path: Path) -> None:
    file = tmp_path / "empty.dbn"
    for records in ([], [record(Action.CLEAR)]):
        file.write_bytes(metadata() + encode(records) if records else metadata())
        assert count("--from", file, of=view) <= len(records)


# ---------------------------------------------------------------------- units and times


PRICED = """\
-- param: above PRICE = 10  from which price on
-- column: best PRICE  the highest price
-- column: middle MID  the mean of the two best prices
-- column: mean PRICE_DOUBLE  the mean price
-- column: first TIMESTAMP  the first time
SELECT max(price) AS best, max(price)::DOUBLE - 0.5 AS middle, avg(price) AS mean,
    make_timestamp_ns(min(epoch_ns(ts_recv))) AS first
FROM trades WHERE price >= $above
"""


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ("fixed", [17_000_000_000, 16_999_999_999.5, 13_500_000_000.0]),
        ("decimal", ["17.000000000", "16.9999999995", 13.5]),
        ("float", [17.0, 16.9999999995, 13.5]),
    ],
)
def test_a_header_says_which_columns_are_prices(
    prices: str, expected: list[object], lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "q.sql").write_text(PRICED)
    options = ("--lake", lake, "--format", "ndjson", "--prices", prices)
    done = run_in_process("query", tmp_path / "q.sql", *options)
    assert (done.code, done.err) == (0, "")
    row = json.loads(done.out)
    assert [row["best"], row["middle"], row["mean"]] == expected
    assert row["first"].endswith("Z")


def test_all_columns_of_an_answer_have_the_unit_that_is_asked_for(lake: Path) -> None:
    sql = "SELECT max(price) AS p, (max(price) + min(price)) / 2 AS mid FROM trades"
    for prices, expected in {
        "fixed": {"p": 17_000_000_000, "mid": 13_500_000_000.0},
        "decimal": {"p": "17.000000000", "mid": 13.5},
        "float": {"p": 17.0, "mid": 13.5},
    }.items():
        options = ("--lake", lake, "--format", "ndjson", "--prices", prices)
        assert json.loads(run_in_process("query", sql, *options).out) == expected
    done = run_in_process("query", sql, "--lake", lake)
    assert done.out.decode().split() == ["p", "mid", "17.000000000", "13.5"]


def test_a_query_that_depends_on_the_unit_says_in_which_unit_it_was_answered(lake: Path) -> None:
    sql = "SELECT count(*) AS n, max(price) AS p FROM trades WHERE price > 15.5"
    note = "prices are integers of 1e-9 in this query, and 15.5 beside them means 0.0000000155"
    for more in ((), ("--prices", "fixed")):
        done = run_in_process("query", sql, "--lake", lake, *more)
        assert done.out.decode().split() == ["n", "p", "16", "17000000000"]
        assert done.err.count("\n") == 1
        assert note in done.err
    with pytest.warns(DataWarning, match=note):
        assert Lake(lake).sql(sql)["n"].item() == 16
    done = run_in_process("query", sql, "--lake", lake, "--prices", "decimal")
    assert (done.out.decode().split(), done.err) == (["n", "p", "4", "17.000000000"], "")
    # Without such a number, only who did not ask for the unit is told of it.
    rounded = "SELECT round(max(price), -9) AS p FROM trades"
    done = run_in_process("query", rounded, "--lake", lake)
    assert "prices are integers of 1e-9 in this query, since its rows depend on" in done.err
    assert run_in_process("query", rounded, "--lake", lake, "--prices", "fixed").err == ""


def test_a_column_that_a_header_does_not_declare_is_left_as_it_is_and_named(
    lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "q.sql").write_text("-- title: Prices\nSELECT max(price) AS p FROM trades")
    done = run_in_process("query", tmp_path / "q.sql", "--lake", lake)
    assert done.out.decode().split() == ["p", "17000000000"]
    assert "the header of q does not say whether p are prices" in done.err


def test_what_a_header_calls_a_price_is_a_number(lake: Path, tmp_path: Path) -> None:
    text = "-- title: Prices\n-- column: p PRICE  a price\nSELECT side AS p FROM trades"
    (tmp_path / "q.sql").write_text(text)
    words = error_line(run_in_process("query", tmp_path / "q.sql", "--lake", lake), 2)
    assert "column p is String, its header says a price of 1e-9" in words


def test_only_times_in_utc_end_in_z(lake: Path) -> None:
    sql = (
        "SELECT min(ts_recv) AS t, local_time(min(ts_recv), 'America/New_York') AS local,"
        " date_trunc('hour', min(ts_recv)) AS hour, min(ts_recv)::TIMESTAMPTZ AS zoned FROM trades"
    )
    done = run_in_process("query", sql, "--lake", lake, "--format", "ndjson")
    row = json.loads(done.out)
    assert {name: time.endswith("Z") for name, time in row.items()} == {
        "t": True,
        "local": False,
        "hour": False,
        "zoned": True,
    }
    hours_behind = 4
    local, utc = (dt.datetime.fromisoformat(row[name].rstrip("Z")) for name in ("local", "t"))
    assert utc - local == dt.timedelta(hours=hours_behind)
    types = answered(sql, "--lake", lake).schema
    assert (types["t"], types["local"]) == (pl.Datetime("ns", "UTC"), pl.Datetime("ns"))


def test_a_time_in_utc_that_is_taken_for_a_local_time_is_refused(lake: Path) -> None:
    sql = "SELECT timezone('America/New_York', ts_recv) FROM trades"
    words = error_line(run_in_process("query", sql, "--lake", lake), 2)
    assert "local_time(ts, 'America/New_York') is the local time of ts" in words


def test_bounds_without_an_offset_and_times_of_the_answer_are_in_the_zone(lake: Path) -> None:
    sql = "SELECT ts_recv, local_time(ts_recv, 'America/New_York') AS local FROM trades LIMIT 1"
    zone = ("--tz", "America/New_York", "--format", "ndjson")
    day = run_in_process("query", sql, "--lake", lake, *zone, "--date", "2024-10-03")
    row = json.loads(day.out)
    assert row["ts_recv"] == row["local"] + "-04:00"
    bounds = ("--start", "2024-10-03T20:00", "--end", "2024-10-03T20:01")
    assert run_in_process("query", sql, "--lake", lake, *zone, *bounds).out == day.out
    after = run_in_process("query", sql, "--lake", lake, *zone, "--start", "2024-10-06T00:00")
    assert "no rows from 2024-10-06T04:00:00.000000000Z" in error_line(after, 2)
    words = error_line(run_in_process("query", sql, "--lake", lake, "--tz", "Nowhere"), 2)
    assert "no time zone 'Nowhere'" in words


@pytest.mark.parametrize(
    ("sql", "degrees"),
    [
        (("SELECT symbol, max(price), avg(price), sum(price * size) / sum(size) FROM trades"
         " GROUP BY ALL ORDER BY 1"), [0, 1, 1, 1]),
        (("SELECT (bid_px_00 + ask_px_00) / 2, ask_px_00 - bid_px_00,"
         " (ask_px_00 - bid_px_00) / (ask_px_00 + bid_px_00) * 20000, sequence FROM mbp_1"
         " WHERE ask_px_00 > bid_px_00 ORDER BY ALL LIMIT 50"), [1, 1, 0, 0]),
        ("SELECT var_samp(price), stddev(price), corr(price, size), median(price) FROM trades",
         [2, 1, 0, 1]),
        (("SELECT price - lag(price, 1, 0) OVER (PARTITION BY symbol ORDER BY sequence) AS d,"
         " abs(price), sign(price), symbol, sequence FROM trades ORDER BY ALL LIMIT 50"),
         [1, 1, 0, 0, 0]),
        (("SELECT count(*) FILTER (t.price > m.price), max(greatest(t.price, m.price))"
         " FROM trades t JOIN mbp_1 m USING (symbol, sequence)"), [0, 1]),
        (("SELECT 0.5 * (max(price) + min(price)), quantile_cont(price, 0.9), max(price) * 3"
         " FROM trades"), [1, 1, 1]),
    ],
)  # fmt: skip
def test_rows_that_do_not_depend_on_the_unit_are_the_same_in_every_unit(
    sql: str, degrees: list[int], sample_lake: Path
) -> None:
    found = {
        unit: answered(sql, "--lake", sample_lake, "--prices", unit)
        for unit in ("fixed", "decimal", "float")
    }
    assert found["fixed"].height
    for column, degree in enumerate(degrees):
        fixed, *others = (frame.to_series(column) for frame in found.values())
        for other in others:
            if fixed.dtype == pl.String:
                assert other.equals(fixed)
                continue
            expected = fixed.cast(float) / 10 ** (9 * degree)
            assert_series_equal(
                other.cast(float), expected, check_names=False, rel_tol=1e-9, abs_tol=1e-12
            )
    shown = run_in_process("query", sql, "--lake", sample_lake)
    assert (shown.code, shown.err) == (0, "")
