"""What a query may be: one SELECT that changes nothing, and that says in its text what it does.

The rule here: DuckDB's own parser reads the statement, and only what is known to change nothing
passes. That the type of a statement is SELECT does not suffice, for two reasons. A CTE may be a
COPY, an INSERT or a DELETE, and a COPY may write to each file that the connection can open, such as
the lake's parts. And a table function may run a text as SQL.
"""

from __future__ import annotations

import re

import duckdb

from batonics.model.errors import UsageError

TRUSTED_HINT = (
    "a query reads the lake alone, unless you trust it with all your files: --trusted, in Python"
    " trusted=True"
)
TABLE_FUNCTIONS = frozenset(
    {
        "generate_series",
        "histogram",
        "histogram_values",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_version",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "unnest",
    }
)
"""The table functions of queries that are not trusted, and those of `_CATALOG_FUNCTIONS`."""
_CATALOG_FUNCTIONS = re.compile(
    "duckdb_(columns|databases|functions|keywords|schemas|settings|tables|types|views)"
)
_READING_NODES = frozenset({"SELECT", "SET_OPERATION", "RECURSIVE_CTE", "CTE"})
# In the parsed statement's JSON a quote within a name or a text has a backslash before it, so
# neither can look like a field.
_NODE = re.compile(r'"type":"(\w+)_NODE"')
_TABLE_FUNCTION = re.compile(
    r'"type":"TABLE_FUNCTION",.*?"function":\{.*?"function_name":"((?:[^"\\]|\\.)*)"', re.DOTALL
)


def check_select(connection: duckdb.DuckDBPyConnection, sql: str, *, trusted: bool = False) -> None:
    """Check that a text is one SELECT, which changes nothing.

    Args:
        connection: any connection; the text is parsed only.
        sql: the text.
        trusted: the query may use any table function.

    Raises:
        UsageError: it is something else. duckdb.Error: it cannot be parsed.
    """
    statements = connection.extract_statements(sql)
    if len(statements) == 1 and statements[0].type == duckdb.StatementType.MULTI:
        raise UsageError("a PIVOT needs the values that become columns: ON side IN ('A', 'B')")
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("expected one SELECT statement")
    ((parsed,),) = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
    nodes = set(_NODE.findall(parsed))
    if not nodes or nodes - _READING_NODES:
        raise UsageError("expected one SELECT statement, without others in its WITH")
    if trusted:
        return
    functions = _TABLE_FUNCTION.findall(parsed)
    for name in functions:
        if name not in TABLE_FUNCTIONS and not _CATALOG_FUNCTIONS.fullmatch(name):
            raise UsageError(f"the query: the table function {name} is refused; {TRUSTED_HINT}")
    if len(functions) != parsed.count('"type":"TABLE_FUNCTION"'):
        raise UsageError(f"the query: a table function is not understood; {TRUSTED_HINT}")
