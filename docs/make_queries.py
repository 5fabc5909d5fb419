"""`python docs/make_queries.py` generates docs/queries.md from the headers of `queries/`."""

from __future__ import annotations

from pathlib import Path

from batonics.lake.query_file import QueryFile, parse_query

TARGET = Path(__file__).with_name("queries.md")
QUERIES = Path(__file__).parent.parent / "queries"


def render() -> str:
    """The list of all queries as Markdown."""
    found = [parse_query(path.read_text(), path.stem) for path in sorted(QUERIES.glob("*.sql"))]
    parts = [
        "# Queries\n",
        "`docs/make_queries.py` generates this page from the headers of the files in",
        "[queries/](../queries), and a test checks that it is up to date. To run a query, use",
        "`batonics query queries/NAME.sql` with a lake or with a file (`--from`). The option",
        "`-p NAME=VALUE` sets a parameter. Columns of the types PRICE, MID and PRICE_DOUBLE have",
        "the [unit](schemas.md#units-of-prices) of `--prices`; those of the type TIMESTAMP are in",
        "UTC.\n",
    ]
    parts += [_section(query) for query in found]
    return "\n".join(parts)


def _section(query: QueryFile) -> str:
    reads = ", ".join(f"`{view}`" for view in query.reads)
    lines = [f"## {query.name}\n", f"{query.question} Reads {reads}.\n"]
    if query.params:
        lines.append("| parameter | type | default | |\n|---|---|---|---|")
        lines += [
            f"| `{param.name}` | {param.type} | {param.default or ''} |"
            f" {_cell(param.description)} |"
            for param in query.params
        ]
        lines.append("")
    lines.append("| column | type | |\n|---|---|---|")
    lines += [
        f"| `{column.name}` | {column.type} | {_cell(column.description)} |"
        for column in query.columns
    ]
    lines.append(f"\nSource: {query.source.rstrip('.')}.\n")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(render())
