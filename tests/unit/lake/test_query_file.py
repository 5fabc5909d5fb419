"""The header of a query: what it says is what is checked, and an error says what is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.frames.scan.exchange_sessions import ExchangeSessions
from batonics.frames.scan.sessions import SessionHours
from batonics.lake.query_file import QueryParameter, ResultColumn, parse_query, read_query
from batonics.model.errors import InputError, UsageError
from batonics.model.prices import format_price
from tests.support.query_tables import QUERIES

WHOLE = """\
-- title: Spread by hour
-- question: How wide is the spread
--   over the day?
-- reads: mbp_1, trades
-- param: tau DURATION = 5s  how long after
--   each trade
-- param: symbol VARCHAR  whose
-- column: hour BIGINT  hour of the day,
--           UTC
-- column: mean DECIMAL(38, 9)  the mean
-- source: a book: page 5
-- a remark
SELECT hour, $tau -- param: x BIGINT
FROM mbp_1;
"""


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_a_shipped_query_declares_its_prices_and_times(path: Path) -> None:
    query = parse_query(path.read_text(encoding="utf-8"), path.stem)
    for column in query.columns:
        assert "1e-9" not in column.description  # the type says so
        assert not column.type.startswith("TIMESTAMP_")
        words = set(column.name.split("_"))
        is_ratio = words & {"bps", "ticks", "ratio", "share"}
        if words & {"price", "mid", "spread", "vwap", "lambda", "impact"} and not is_ratio:
            assert column.type in {"PRICE", "MID", "PRICE_DOUBLE"}, column


def test_a_header_says_what_it_says() -> None:
    query = parse_query(WHOLE, "spread")
    assert query.has_header
    assert (query.name, query.title) == ("spread", "Spread by hour")
    assert query.question == "How wide is the spread over the day?"
    assert query.reads == ("mbp_1", "trades")
    assert query.params == (
        QueryParameter("tau", "DURATION", "5s", "how long after each trade"),
        QueryParameter("symbol", "VARCHAR", None, "whose"),
    )
    assert query.columns == (
        ResultColumn("hour", "BIGINT", "hour of the day, UTC"),
        ResultColumn("mean", "DECIMAL(38, 9)", "the mean"),
    )
    assert query.source == "a book: page 5"
    assert query.sql == "-- a remark\nSELECT hour, $tau -- param: x BIGINT\nFROM mbp_1"


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT 1", "SELECT 1"),
        ("  SELECT 1 ;\n", "SELECT 1"),
        ("-- a remark\nSELECT 1", "-- a remark\nSELECT 1"),
        ("SELECT 1 -- title: none", "SELECT 1 -- title: none"),
        ("-- see: a book\nSELECT 1", "-- see: a book\nSELECT 1"),
        ("-- http://x\nSELECT 1", "-- http://x\nSELECT 1"),
        ("--   no header goes on\nSELECT 1", "--   no header goes on\nSELECT 1"),
    ],
)
def test_a_text_without_a_header_is_a_query_too(text: str, sql: str) -> None:
    query = parse_query(text, "query")
    assert not query.has_header
    assert query.sql == sql
    assert query.bind({"a": "1"}) == {"a": "1"}
    assert query.bind({}) == {}


@pytest.mark.parametrize(
    "before",
    [
        "\n",
        "\r\n  \r\n",
        "#!/usr/bin/env -S batonics query\n",
        "-- Copyright 2025 somebody\n-- SPDX-License-Identifier: Apache-2.0\n\n",
        "-- Copyright: somebody\n",
        "/* Copyright: somebody\n-- param: x DATE\n*/\n",
        "/* one line */\n",
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_header_may_come_after_what_says_nothing(before: str, ending: str) -> None:
    whole = parse_query(WHOLE, "spread")
    query = parse_query(before + WHOLE.replace("\n", ending), "spread")
    assert query._replace(sql="") == whole._replace(sql="")
    assert query.sql.replace("\r", "").endswith(whole.sql)
    assert "#!" not in query.sql


@pytest.mark.parametrize("between", ["\n", "--\n", "-- and now\n", "/* x */\n", "  "])
def test_a_header_may_have_gaps(between: str) -> None:
    text = f"-- title: a\n{between}-- param: x BIGINT = 5  what\n{between}SELECT $x"
    query = parse_query(text, "q")
    assert query.title == "a"
    assert query.bind({}) == {"x": 5}


def test_a_remark_is_not_gone_on_with() -> None:
    query = parse_query("-- title: a\n-- a remark\n--   of two lines\nSELECT 1", "q")
    assert query.title == "a"
    assert query.sql == "-- a remark\n--   of two lines\nSELECT 1"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("SELECT $x\n-- param: x BIGINT  what", 2, "param"),
        ("SELECT\n  -- Title: a\n1", 2, "Title"),
        ("\n-- title: a\nSELECT 'it''s',\n\n--reads: a\n1", 5, "reads"),
        ("/* x */ SELECT\n-- column: a BIGINT  x\n1", 2, "column"),
    ],
)
def test_a_header_within_the_statement_is_refused(text: str, line: int, key: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_query(text, "q")
    assert str(error.value) == (
        f"q: line {line}: '{key}:' belongs to the header, which comes before the statement; move"
        " the line there, or write the comment without a colon"
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\n-- title: a\n'",
        'SELECT 1 AS "\n-- title: a\n"',
        "SELECT $$\n-- title: a\n$$",
        "SELECT $a$\n-- title: a\n$a$",
        "SELECT /*\n-- title: a\n*/ 1",
        "SELECT 1 -- title: a",
        "SELECT\n-- note: a\n1",
    ],
)
def test_what_only_looks_like_a_header_is_let_be(text: str) -> None:
    query = parse_query(text, "q")
    assert not query.has_header
    assert query.sql == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n-- params: x BIGINT\nSELECT $x", 2),
        ("-- title: a\n-- note: b\nSELECT 1", 2),
        ("-- title: a\n\n-- colum: b\nSELECT 1", 3),
    ],
)
def test_what_is_nearly_a_header_is_refused(text: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"q: line {line}: no key "):
        parse_query(text, "q")


@pytest.mark.parametrize(
    ("given_as", "type_", "value"),
    [
        ("5", "BIGINT", 5),
        ("-1_000", "BIGINT", -1_000),
        (str(2**63 - 1), "BIGINT", 2**63 - 1),
        (str(-(2**63)), "BIGINT", -(2**63)),
        ("0.5", "DOUBLE", 0.5),
        ("-1e3", "DOUBLE", -1000.0),
        ("true", "BOOLEAN", True),
        ("FALSE", "BOOLEAN", False),
        ("a 'b'", "VARCHAR", "a 'b'"),
        ("", "VARCHAR", ""),
        ("2025-09-24", "DATE", date(2025, 9, 24)),
        ("1970-01-01T00:00:01.5Z", "TIMESTAMP", 1_500_000_000),
        ("1970-01-01T01:00:00+01:00", "TIMESTAMP", 0),
        ("12", "TIMESTAMP", 12),
        (str(2**63 - 1), "TIMESTAMP", 2**63 - 1),
        ("2262-04-11T23:47:16.854775807Z", "TIMESTAMP", 2**63 - 1),
        ("100ms", "DURATION", 100_000_000),
        ("64.80", "PRICE", 64_800_000_000),
        ("-0.000000001", "PRICE", -1),
    ],
)
def test_a_value_is_of_its_type(given_as: str, type_: str, value: object) -> None:
    query = parse_query(f"-- param: x {type_}  what\nSELECT $x", "query")
    found = query.bind({"x": given_as})["x"]
    assert found == value
    assert type(found) is type(value)
    # A default is what would be given.
    if given_as and "'" not in given_as:
        quoted = f"'{given_as}'" if " " in given_as else given_as
        default = parse_query(f"-- param: x {type_} = {quoted}  what\nSELECT $x", "query")
        assert default.bind({}) == {"x": value}


@pytest.mark.parametrize(
    ("given_as", "type_", "words"),
    [
        ("5.0", "BIGINT", "expected BIGINT"),
        ("", "BIGINT", "expected BIGINT"),
        ("__", "BIGINT", "expected BIGINT"),
        (str(2**63), "BIGINT", "expected BIGINT"),
        (str(-(2**63) - 1), "BIGINT", "expected BIGINT"),
        ("9" * 5_000, "BIGINT", "expected BIGINT"),
        ("x", "DOUBLE", "expected DOUBLE"),
        ("1", "BOOLEAN", "expected BOOLEAN"),
        ("yes", "BOOLEAN", "expected BOOLEAN"),
        ("2025-09-31", "DATE", "expected DATE"),
        ("24.9.2025", "DATE", "expected DATE"),
        ("soon", "TIMESTAMP", "expected TIMESTAMP: not a time: 'soon'"),
        (str(2**63), "TIMESTAMP", "expected TIMESTAMP: '9223372036854775808' is after 2262-04-11"),
        ("2300-01-01", "TIMESTAMP", "'2300-01-01' is after 2262-04-11T23:47:16.854775807Z, the"),
        (str(2**64 - 2), "TIMESTAMP", "is after 2262"),
        (str(2**64 - 1), "TIMESTAMP", "is outside the range of DBN timestamps"),
        ("9" * 5_000, "TIMESTAMP", "expected TIMESTAMP"),
        ("9999-12-31T23:59:59.999999999Z", "TIMESTAMP", "expected TIMESTAMP"),
        ("1969-12-31", "TIMESTAMP", "is outside the range of DBN timestamps"),
        ("5", "DURATION", "expected DURATION: not a duration: '5'"),
        ("0s", "DURATION", "expected DURATION: not a duration: '0s'"),
        ("300000d", "DURATION", "expected DURATION: a duration of 300000d"),
        ("1.0000000001", "PRICE", "expected PRICE: not a price"),
        ("1e3", "PRICE", "expected PRICE: not a price"),
        ("9223372036.854775807", "PRICE", "expected PRICE: price '9223372036.854775807' does"),
    ],
)
def test_what_is_not_of_its_type_is_refused(given_as: str, type_: str, words: str) -> None:
    query = parse_query(f"-- param: x {type_}  what\nSELECT $x", "spread")
    with pytest.raises(UsageError) as error:
        query.bind({"x": given_as})
    assert str(error.value).startswith(f"spread: parameter x is {given_as!r}, ")
    assert words in str(error.value)


@pytest.mark.parametrize("given_as", ["1e400", "inf", "-Infinity", "nan"])
def test_a_double_is_a_number(given_as: str) -> None:
    query = parse_query("-- param: x DOUBLE  what\nSELECT $x", "query")
    with pytest.raises(UsageError, match="expected DOUBLE"):
        query.bind({"x": given_as})


@pytest.mark.parametrize("given_as", ["20250924", "2025-W39-3", " 2025-09-24"])
def test_a_date_is_given_in_one_way(given_as: str) -> None:
    query = parse_query("-- param: x DATE  what\nSELECT $x", "query")
    with pytest.raises(UsageError, match="expected DATE"):
        query.bind({"x": given_as})


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_bigint_and_price_comes_through(value: int) -> None:
    query = parse_query("-- param: n BIGINT  n\n-- param: p PRICE  p\nSELECT 1", "query")
    price = value % (2**63 - 1)
    found = query.bind({"n": str(value), "p": format_price(price) or ""})
    assert found == {"n": value, "p": price}


@given(st.text())
def test_text_is_itself(value: str) -> None:
    query = parse_query("-- param: x VARCHAR  what\nSELECT $x", "query")
    assert query.bind({"x": value}) == {"x": value}


@pytest.mark.parametrize(
    ("default", "value"),
    [("'a b'", "a b"), ("''", ""), ("a", "a"), ("'it''s'", "it's"), ("'=  x'", "=  x")],
)
def test_a_quoted_default_is_what_is_quoted(default: str, value: str) -> None:
    query = parse_query(f"-- param: x VARCHAR = {default}  what it is\nSELECT $x", "query")
    assert query.bind({}) == {"x": value}
    assert query.params[0].description == "what it is"


def test_zones_and_sessions_are_given_or_those_of_the_call_or_defaults() -> None:
    query = parse_query(
        "-- param: tz ZONE = UTC  of hours\n-- param: days SESSIONS = CMES  of bars\nSELECT $tz",
        "query",
    )
    tokyo = SessionHours.parse("9:00-15:30 Asia/Tokyo")
    for given_values, of_call, zone, sessions in (
        ({}, (), "UTC", "CMES"),
        ({}, ("Asia/Tokyo", tokyo), "Asia/Tokyo", tokyo.name),
        ({"tz": "Europe/Paris", "days": "XNAS"}, ("Asia/Tokyo", tokyo), "Europe/Paris", "XNAS"),
    ):
        values = query.bind(given_values, *of_call)
        found = values["days"]
        assert isinstance(found, SessionHours | ExchangeSessions)
        assert (values["tz"], found.name) == (zone, sessions)
    with pytest.raises(UsageError, match=r"days is 'XNAZ', expected SESSIONS: .* near names are"):
        query.bind({"days": "XNAZ"})


def test_a_query_knows_its_parameters() -> None:
    query = parse_query(WHOLE, "spread")
    assert query.bind({"symbol": "A"}) == {"tau": 5_000_000_000, "symbol": "A"}
    with pytest.raises(UsageError) as error:
        query.bind({"symbols": "A"})
    assert str(error.value) == "spread has no parameter 'symbols'; did you mean symbol?"
    with pytest.raises(UsageError) as error:
        query.bind({"xyz": "A"})
    assert str(error.value) == "spread has no parameter 'xyz'; it has tau, symbol"
    with pytest.raises(UsageError) as error:
        query.bind({"tau": "1s"})
    assert str(error.value) == "spread needs symbol (VARCHAR), whose: --param symbol=VALUE"
    with pytest.raises(UsageError, match="no parameter 'x'; it has none"):
        parse_query("-- title: a\nSELECT 1", "query").bind({"x": ""})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "q: there is no statement"),
        (" ; \n", "q: there is no statement"),
        ("-- title: a\n", "q: there is no statement"),
        (
            "-- titel: a\nSELECT 1",
            (
                "q: line 1: no key 'titel' in a header;"
                " there are title, question, reads, param, column, source"
            ),
        ),
        ("-- title: a\n-- title: b\nSELECT 1", "q: title is given 2 times"),
        ("-- reads: a\n-- reads: b\nSELECT 1", "q: reads is given 2 times"),
        (
            "-- param: a INTEGER\nSELECT 1",
            (
                "q: parameter 'a INTEGER', expected NAME TYPE = DEFAULT  what it is, with one of"
                " BIGINT, DOUBLE, BOOLEAN, VARCHAR, DATE, TIMESTAMP, DURATION, PRICE, ZONE,"
                " SESSIONS"
            ),
        ),
        ("-- column: a\nSELECT 1", "q: column 'a', expected NAME TYPE  what it is"),
        ("-- column: a BIGINT\nSELECT 1", "q: column 'a BIGINT', expected NAME TYPE  what it is"),
        ("-- param: a BIGINT  x\n-- param: a DATE  y\nSELECT 1", "q: param a is given 2 times"),
        ("-- column: a BIGINT  x\n-- column: a DATE  y\nSELECT 1", "q: column a is given 2 times"),
    ],
)
def test_a_wrong_header_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_query(text, "q")
    assert str(error.value).startswith(message)


def test_a_wrong_default_is_refused_before_it_is_needed() -> None:
    with pytest.raises(UsageError, match=r"q: parameter x is 'x', expected BIGINT"):
        parse_query("-- param: x BIGINT = x  what\nSELECT $x", "q")


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_a_query_or_refused_in_our_words(text: str) -> None:
    try:
        assert parse_query(text, "q").sql.strip()
    except UsageError as error:
        (message,) = error.args
        if not message.startswith("q: "):
            raise


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "spread.sql"
    file.write_text(WHOLE)
    assert read_query(str(file)) == parse_query(WHOLE, "spread")
    assert read_query("SELECT 'a.sql' AS x").sql == "SELECT 'a.sql' AS x"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.sql: cannot be read: No such file"):
        read_query(str(tmp_path / "none.sql"))
    file = tmp_path / "bytes.sql"
    file.write_bytes(b"SELECT '\xff'")
    with pytest.raises(InputError, match=r"bytes\.sql: cannot be read: it is not UTF-8"):
        read_query(str(file))


def test_a_file_with_a_byte_order_mark_has_a_header(tmp_path: Path) -> None:
    file = tmp_path / "spread.sql"
    file.write_text(WHOLE, encoding="utf-8-sig")
    assert read_query(str(file)).title == "Spread by hour"


def test_lines_may_end_as_they_do_elsewhere() -> None:
    assert parse_query(WHOLE.replace("\n", "\r\n"), "spread").title == "Spread by hour"


@pytest.mark.parametrize("text", ["SELECT 'a\u2028b\x0cc\x85d'", "SELECT 'a\r\nb'", "SELECT\r1"])
def test_a_statement_is_not_changed(text: str) -> None:
    assert parse_query(text, "query").sql == text
    assert parse_query(f"-- title: a\n{text}", "query").sql == text
