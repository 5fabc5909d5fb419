"""The documents of SQL over HTTP: requests, answers, and what a lake has.

The rule here: a request is checked against its type before anything reads it; an unknown key is
refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

import polars as pl
from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from batonics.frames.schemas.table import find_schema
from batonics.lake.coverage import find_lake_holes, read_coverage
from batonics.lake.lake import Lake
from batonics.lake.part_search import loaded_symbols
from batonics.lake.query_file import QueryFile
from batonics.lake.shipped_queries import shipped_queries
from batonics.lake.views import view_columns, view_name
from batonics.model.times import format_time
from batonics.server.series_documents import HoleRow, hole_rows

SQL_LETTERS_MAX = 1 << 16
ANSWER_ROWS, ANSWER_ROWS_MAX = 1_000, 100_000
"""Rows of an answer if the request says nothing, and at most."""
LAKE_SYMBOLS_MAX = 1_000
_SHORT_TEXT = Field(max_length=1_000)


def _read_whole(value: object) -> object:
    """An integer that JSON has with a point: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


QueryRequest = TypedDict(
    "QueryRequest",
    {
        "sql": NotRequired[
            Annotated[
                str,
                Field(
                    min_length=1, max_length=SQL_LETTERS_MAX, description="One SELECT; or `query`"
                ),
            ]
        ],
        "query": NotRequired[
            Annotated[
                str,
                Field(min_length=1, max_length=100, description="The name of one of /v1/queries"),
            ]
        ],
        "parameters": NotRequired[
            Annotated[
                dict[str, Annotated[str, _SHORT_TEXT]],
                Field(max_length=100, description="The value of each $name, as text"),
            ]
        ],
        "symbols": NotRequired[
            Annotated[
                list[Annotated[str, _SHORT_TEXT]],
                Field(max_length=LAKE_SYMBOLS_MAX, description="Only rows of these; empty: all"),
            ]
        ],
        "from": NotRequired[Annotated[str, _SHORT_TEXT]],
        "to": NotRequired[Annotated[str, _SHORT_TEXT]],
        "tz": NotRequired[Annotated[str, _SHORT_TEXT]],
        "prices": NotRequired[Literal["decimal", "fixed", "float"]],
        "limit": NotRequired[
            Annotated[
                int,
                Field(ge=1, le=ANSWER_ROWS_MAX, description=f"The most rows ({ANSWER_ROWS:,})"),
                BeforeValidator(_read_whole),
            ]
        ],
    },
)
"""A query: its text or name, and the rows that it reads. `from` and `to` bound their times, the
second excluded; `tz` is the zone of times in the answer."""
QueryRequest.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]  # pydantic's name


class QueryColumn(TypedDict):
    """A column of an answer: the type of its values, and `1e-9` if they are prices of 1e-9."""

    name: str
    type: str
    unit: str | None


class QueryAnswer(TypedDict):
    """The answer to a query.

    Integers of 64 bits or more, decimals, times and numbers that JSON lacks (NaN, Infinity) are
    text. `more`: the query has further rows. `note`: what has to be known of the rows.
    """

    columns: list[QueryColumn]
    rows: list[list[Any]]
    more: bool
    note: str | None


class QueryParameterRow(TypedDict):
    """A parameter of a query; without a default it has to be given."""

    name: str
    type: str
    default: str | None
    description: str


class ResultColumnRow(TypedDict):
    """A column of a query's answer."""

    name: str
    type: str
    description: str


class ShippedQuery(TypedDict):
    """A query that comes with batonics; `missing` are the views it reads and the lake lacks."""

    name: str
    title: str
    question: str
    reads: list[str]
    missing: list[str]
    parameters: list[QueryParameterRow]
    columns: list[ResultColumnRow]
    source: str
    sql: str


class QueriesDocument(TypedDict):
    """The queries that come with batonics, by name."""

    queries: list[ShippedQuery]


class ViewColumn(TypedDict):
    """A column of a view, and its type in DuckDB where prices are decimals."""

    name: str
    type: str


LakeView = TypedDict(
    "LakeView",
    {
        "view": str,
        "schema": str,
        "rows": int,
        "symbols": int,
        "dates": int,
        "from": str | None,
        "until": str | None,
        "columns": list[ViewColumn],
    },
)
"""A view of the lake: the rows of a schema. `until` is the time of the last of them."""


class LakeDocument(TypedDict):
    """What the lake has: its views, the symbols of their rows, and times that no source covers."""

    views: list[LakeView]
    symbols: list[str]
    more_symbols: int
    holes: list[HoleRow]


def queries_document(lake: Lake) -> QueriesDocument:
    """The queries, and what the lake lacks for each."""
    views = {view_name(schema) for schema in lake.schemas()}
    return {"queries": [_query_row(query, views) for query in shipped_queries().values()]}


def lake_document(lake: Lake) -> LakeDocument:
    """What a lake has now."""
    contents = lake.contents().with_columns(pl.col("first", "last").to_physical())
    symbols = lake.store.catalog.read(loaded_symbols)
    coverage = lake.store.catalog.read(read_coverage(lake.schemas()))
    return {
        "views": [_view_row(row) for row in contents.iter_rows(named=True)],
        "symbols": symbols[:LAKE_SYMBOLS_MAX],
        "more_symbols": max(0, len(symbols) - LAKE_SYMBOLS_MAX),
        "holes": hole_rows(find_lake_holes(coverage)),
    }


def _query_row(query: QueryFile, views: set[str]) -> ShippedQuery:
    return {
        "name": query.name,
        "title": query.title,
        "question": query.question,
        "reads": list(query.reads),
        "missing": [view for view in query.reads if view not in views],
        "parameters": [
            {
                "name": one.name,
                "type": one.type,
                "default": one.default,
                "description": one.description,
            }
            for one in query.params
        ],
        "columns": [
            {"name": one.name, "type": one.type, "description": one.description}
            for one in query.columns
        ],
        "source": query.source,
        "sql": query.sql,
    }


def _view_row(row: dict[str, Any]) -> LakeView:
    schema = find_schema(row["schema"])
    return {
        "view": view_name(schema.name),
        "schema": schema.name,
        "rows": row["rows"],
        "symbols": row["symbols"],
        "dates": row["dates"],
        "from": _time(row["first"]),
        "until": _time(row["last"]),
        "columns": [
            {"name": name, "type": kind} for name, kind in view_columns(schema, "decimal").items()
        ],
    }


def _time(ts_ns: int | None) -> str | None:
    return None if ts_ns is None else format_time(ts_ns)
