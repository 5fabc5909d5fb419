"""SQL that would take more time, memory or bytes than a query may, or that no parser expects."""

from __future__ import annotations

FLOODS = {
    "a text of 4 GB": "SELECT repeat('x', 4000000000) AS a",
    "texts of 4 GB in all": "SELECT repeat('x', 4000) AS a FROM range(1000000)",
    "a list of 2^31 numbers": "SELECT len(range(2147483648)) AS a",
    "a sort of all numbers": "SELECT a FROM range(2000000000) t(a) ORDER BY hash(a)",
    "a table of distinct texts": "SELECT count(DISTINCT repeat(a::VARCHAR, 99))"
    " FROM range(9999999) t(a)",
    "a cross join": "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
    "an endless recursion": "WITH RECURSIVE t AS (SELECT 1 a UNION ALL SELECT a + 1 FROM t)"
    " SELECT max(a) FROM t",
    "a recursion that doubles": "WITH RECURSIVE t AS (SELECT 1 a UNION ALL SELECT a FROM t,"
    " range(2)) SELECT count(*) FROM t",
    "a slow expression": "SELECT sum(length(regexp_replace(repeat('a', 9000) || n, 'a*b', '')))"
    " FROM range(100000000) t(n)",
    "a row of 20 MB": "SELECT repeat('x', 20000000) AS a",
    "rows of 30 MB in all": "SELECT repeat('x', 3000) AS a FROM range(10000)",
    "a comment without end": "SELECT 1 /* " + "/* " * 20_000,
    "nested parentheses": "SELECT " + "(" * 30_000 + "1" + ")" * 30_000,
    "nested calls": "SELECT " + "abs(" * 9_000 + "1" + ")" * 9_000,
    "nested selects": "SELECT * FROM (" * 3_000 + "SELECT 1" + ")" * 3_000,
    "nested lists": "SELECT " + "[" * 5_000 + "1" + "]" * 5_000,
    "a long sum": "SELECT " + "1+" * 30_000 + "1; SELECT 2",
    "a NUL": "SELECT 1 AS a\0",
}
"""By what it does: no text is longer than a query may be."""
