"""What the columns of a query's result derive from: which are times in UTC, and which are prices.

The rule here: DuckDB binds the query, and this module reads the bound plan. What it does not know
is no time in UTC, and makes the query depend on the unit of prices.

Two facts follow each column from the views to the result:

- It is an *instant*: a time of a view as it is, or one of several such times (`max`, `lag`). What
  is computed from times, such as the local time of an exchange, is none.
- Its *degree*: the power of the unit of prices that it has. A price has 1, a size 0, the variance
  of a price 2. A query depends on the unit if it adds, compares or rounds across degrees, as
  `price > 64.8` does. Of any other query the rows are the same in every unit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import duckdb

from batonics.frames.columns.prices import find_price_columns
from batonics.frames.schemas.table import find_schema
from batonics.lake.derivations import Derivation, Node, PriceNumber, Scale, UnknownPlanError
from batonics.lake.expressions import Expressions
from batonics.lake.sql_tokens import sql_tokens
from batonics.lake.views import empty_table_statement, sql_literal, view_schema

Columns = list[Derivation]


class Lineage(NamedTuple):
    """The facts of a query's result.

    Attributes:
        instants: whether each column is an instant; empty: not known.
        depends_on_unit: whether its rows depend on the unit of prices.
        numbers: the numbers that the query sets beside prices, as far as it is followed.
        is_followed: all of the query is followed.
    """

    instants: Sequence[bool] = ()
    depends_on_unit: bool = True
    numbers: Sequence[PriceNumber] = ()
    is_followed: bool = True


def find_lineage(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Mapping[str, object],
    schemas: Sequence[str],
) -> Lineage:
    """The lineage of a query.

    Args:
        connection: a connection without views. It gets a table without rows for each of them.
        sql: one SELECT.
        parameters: the value of each `$name` in it.
        schemas: the schemas whose views it reads.

    Raises:
        UsageError: the query takes an instant for a local time.
    """
    unknown = Lineage(depends_on_unit=bool(schemas), is_followed=not schemas)
    for schema in schemas:
        # In the plan of a table, unlike in that of a view, the names of columns remain.
        connection.execute(empty_table_statement(find_schema(schema)))
    statement = _insert_parameters(sql, parameters)
    found: Any = connection.execute(
        "SELECT json_serialize_plan($sql, optimize := false)", {"sql": statement}
    ).fetchone()
    walk = _PlanWalk(statement)
    try:
        plan = json.loads(found[0])
        if plan["error"]:  # DuckDB cannot bind it, or it is no plain SELECT, such as a PIVOT
            return unknown
        columns = walk.columns(plan["plans"][0])
    except (UnknownPlanError, LookupError, json.JSONDecodeError):
        # An operator or a form of the plan that is not known here; DuckDB writes NaN as no JSON.
        return unknown._replace(numbers=walk.expressions.numbers)
    instants = [column.is_instant for column in columns]
    return Lineage(instants, walk.expressions.depends_on_unit, walk.expressions.numbers)


def _insert_parameters(sql: str, parameters: Mapping[str, object]) -> str:
    """The statement with literals in the place of parameters: only a statement can be planned."""
    literals = {name: _literal(value) for name, value in parameters.items()}

    def insert(text: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: literals.get(found[1], found[0]), text)

    pieces, end = [], 0
    for token in sql_tokens(sql):
        pieces += [insert(sql[end : token.start]), token.text]
        end = token.end
    return "".join([*pieces, insert(sql[end:])])


def _literal(value: object) -> str:
    if isinstance(value, date):
        return f"{sql_literal(str(value))}::DATE"
    if isinstance(value, str):
        return sql_literal(value)
    return "NULL" if value is None else str(value)


class _PlanWalk:
    """Derives the columns of each operator of a bound plan, from the views upwards.

    Args:
        sql: the statement of the plan.

    Attributes:
        expressions: derives the expressions of all operators.
    """

    def __init__(self, sql: str) -> None:
        self.expressions = Expressions(sql)
        self._ctes: dict[int, Columns] = {}

    def columns(self, node: Node) -> Columns:
        """The columns that an operator gives.

        Raises:
            UnknownPlanError: there is an operator that this class does not know.
        """
        if node["type"] == "LOGICAL_MATERIALIZED_CTE":
            definition, query = node["children"]
            self._ctes[node["table_index"]] = self.columns(definition)
            return self.columns(query)
        make = _OPERATORS.get(node["type"].removeprefix("LOGICAL_"))
        if make is None:
            raise UnknownPlanError(node["type"])
        return make(self, node, [self.columns(child) for child in node["children"]])

    def scan(self, node: Node, _: list[Columns]) -> Columns:
        """The columns of a view, or of a function such as `range`."""
        view = node.get("function_data", {}).get("table")
        prices = find_price_columns(find_schema(view_schema(view)).columns) if view else {}
        found = []
        for place in node["column_indexes"]:
            at = place["index"]
            if at >= len(node["names"]):  # the number of the row
                found.append(Derivation())
                continue
            is_time = node["returned_types"][at]["id"] == "TIMESTAMP_NS"
            is_price = node["names"][at] in prices
            scale = Scale.PRICE if is_price else Scale.NONE
            is_opaque = view is None  # a function of constants, such as range(64, 66)
            found.append(
                Derivation(int(is_price), not is_opaque and is_time, (), scale, (), is_opaque)
            )
        return _project(found, node["projection_ids"])

    def cte(self, node: Node, _: list[Columns]) -> Columns:
        """The columns of a common table expression."""
        return self._ctes[node["cte_index"]]

    def constants(self, node: Node, _: list[Columns]) -> Columns:
        """The columns of VALUES, or the one column of a SELECT without FROM."""
        rows = [self.expressions.values(row, []) for row in node.get("expressions") or ()]
        if not rows:
            return [Derivation() for _ in node.get("expr_types", [None])]
        return [self.expressions.same(values) for values in zip(*rows, strict=True)]

    def project(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns of a SELECT."""
        return self.expressions.values(node["expressions"], inputs[0])

    def filter(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns of rows that meet conditions."""
        self.expressions.values(node["expressions"], inputs[0])
        return _project(inputs[0], node["projection_map"])

    def order(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns of rows in an order."""
        self.expressions.values((order["expression"] for order in node["orders"]), inputs[0])
        return _project(inputs[0], node["projections"])

    def choose(self, _: Node, inputs: list[Columns]) -> Columns:
        """The columns of some of the rows."""
        return inputs[0]

    def window(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns, and those of window functions behind them."""
        return [*inputs[0], *self.expressions.values(node["expressions"], inputs[0])]

    def unnest(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns, and those of the values of lists behind them."""
        lists = (expression["child"] for expression in node["expressions"])
        return [*inputs[0], *self.expressions.values(lists, inputs[0])]

    def aggregate(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns of groups."""
        groups = self.expressions.values(node["groups"], inputs[0])
        counts = [Derivation()] * len(node["grouping_functions"])
        return [*groups, *self.expressions.values(node["expressions"], inputs[0]), *counts]

    def combine(self, _: Node, inputs: list[Columns]) -> Columns:
        """The columns of a UNION, EXCEPT or INTERSECT."""
        return [self.expressions.same(values) for values in zip(*inputs, strict=True)]

    def cross(self, _: Node, inputs: list[Columns]) -> Columns:
        """The columns of both sides."""
        return [*inputs[0], *inputs[1]]

    def join(self, node: Node, inputs: list[Columns]) -> Columns:
        """The columns of a join with conditions."""
        left, right = inputs
        for condition in node.get("conditions", ()):
            if "left" not in condition:
                raise UnknownPlanError(str(condition))
            pair = [(condition["left"], left), (condition["right"], right)]
            self.expressions.same([self.expressions.value(*side) for side in pair])
        if "condition" in node:
            self.expressions.value(node["condition"], [*left, *right])
        left = _project(left, node["left_projection_map"])
        right = _project(right, node["right_projection_map"])
        kind = node["join_type"]
        if kind in {"RIGHT_SEMI", "RIGHT_ANTI"}:
            return right
        if kind in {"SEMI", "ANTI"}:
            return left
        return [*left, Derivation()] if kind == "MARK" else [*left, *right]


_Operator = Callable[[_PlanWalk, Node, list[Columns]], Columns]
_OPERATORS: Mapping[str, _Operator] = {
    "GET": _PlanWalk.scan,
    "CTE_REF": _PlanWalk.cte,
    "DUMMY_SCAN": _PlanWalk.constants,
    "EXPRESSION_GET": _PlanWalk.constants,
    "PROJECTION": _PlanWalk.project,
    "FILTER": _PlanWalk.filter,
    "ORDER_BY": _PlanWalk.order,
    "LIMIT": _PlanWalk.choose,
    "SAMPLE": _PlanWalk.choose,
    "DISTINCT": _PlanWalk.choose,
    "WINDOW": _PlanWalk.window,
    "UNNEST": _PlanWalk.unnest,
    "AGGREGATE_AND_GROUP_BY": _PlanWalk.aggregate,
    "UNION": _PlanWalk.combine,
    "EXCEPT": _PlanWalk.combine,
    "INTERSECT": _PlanWalk.combine,
    "CROSS_PRODUCT": _PlanWalk.cross,
    "POSITIONAL_JOIN": _PlanWalk.cross,
    "COMPARISON_JOIN": _PlanWalk.join,
    "ASOF_JOIN": _PlanWalk.join,
    "ANY_JOIN": _PlanWalk.join,
}


def _project(columns: Columns, places: Sequence[int] | None) -> Columns:
    """The columns at some places; all of them if there are no places."""
    return [columns[place] for place in places] if places else columns
