"""Texts and comments of SQL, in one pass."""

from __future__ import annotations

import pytest

from batonics.lake.query_file import parse_query
from batonics.lake.sql import find_named_schemas
from batonics.lake.sql_tokens import sql_tokens, without_comments, without_tokens

OPENINGS = ("/*", "--", "'", '"', "$$", "$a$")


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ("SELECT 'it''s' -- why\n, 2", ["'it'", "'s'", "-- why"]),
        ("SELECT \"a--b\", '/*' /* -- ' */", ['"a--b"', "'/*'", "/* -- ' */"]),
        ("SELECT $$a 'b$$, $x$ $$ $x$, $n, $1$, a$b$", ["$$a 'b$$", "$x$ $$ $x$"]),
        ("SELECT 1 /* no end", ["/* no end"]),
        ("SELECT 'no end -- /*", ["'no end -- /*"]),
        ("--", ["--"]),
        ("", []),
    ],
)
def test_tokens_are_those_of_sql(sql: str, tokens: list[str]) -> None:
    found = list(sql_tokens(sql))
    assert [token.text for token in found] == tokens
    assert all(sql[token.start : token.end] == token.text for token in found)
    assert [token.is_comment for token in found] == [text[:2] in {"--", "/*"} for text in tokens]


def test_what_is_left_without_them() -> None:
    sql = "SELECT 'mbo' /* trades */ FROM \"tbbo\" -- bbo\nWHERE a"
    assert without_comments(sql) == "SELECT 'mbo'   FROM \"tbbo\"  \nWHERE a"
    assert without_tokens(sql) == "SELECT     FROM    \nWHERE a"
    assert find_named_schemas(sql, ["mbo", "trades", "tbbo", "bbo"]) == ["mbo", "tbbo"]


@pytest.mark.parametrize("opening", OPENINGS)
def test_the_work_does_not_grow_with_the_square_of_openings(opening: str) -> None:
    # A search for each one's end took 17 s at 20,000 of them, and 100 times that here.
    sql = f"SELECT 1 {opening * 200_000} "
    assert len("".join(token.text for token in sql_tokens(sql))) <= len(sql)
    assert parse_query(sql, "query").sql
