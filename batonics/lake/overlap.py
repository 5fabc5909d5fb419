"""Finds rows that a lake would have twice: sources of the same books at times that overlap.

The rule here: two sources overlap if both have rows of a schema and a symbol at intersecting times,
and a publisher in common. A source may begin at the very time at which another ends, as parts of a
recording do. Rows at the end of the input, such as lives of orders, are not compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from batonics.frames.schemas.table import find_schema
from batonics.lake.catalog import LoadedSource, SchemaLoad, Transaction
from batonics.model.errors import UsageError
from batonics.model.times import format_time

_FIND = """
    SELECT source.name, source.publishers, part.ts_min, part.ts_max
    FROM part JOIN load ON part.load = load.id JOIN source ON load.source = source.id
    WHERE part.removed_ns IS NULL AND part.schema = ? AND part.date IS ? AND part.symbol IS ?
        AND part.ts_min < ? AND part.ts_max > ?
        AND source.name IS NOT ? AND source.digest IS NOT ?
"""


def check_overlap(
    source: LoadedSource, loads: Sequence[SchemaLoad], publishers: Collection[int]
) -> Transaction[None]:
    """Refuse a load whose rows the lake has from another source.

    Args:
        source: the source of the load.
        loads: its parts by schema.
        publishers: its publishers.

    Returns:
        The transaction, which raises UsageError.
    """

    def run(connection: sqlite3.Connection) -> None:
        for load in loads:
            if find_schema(load.schema).time_depends_on_end:
                continue
            for part in load.parts:
                found = connection.execute(
                    _FIND,
                    (
                        *(part.schema, part.date, part.symbol, part.ts_max, part.ts_min),
                        *(source.name, source.digest),
                    ),
                )
                for name, text, ts_min, ts_max in found:
                    others = {int(number) for number in text.split()}
                    if others and others.isdisjoint(publishers):
                        continue
                    raise UsageError(
                        f"{_describe(source.name)} and {_describe(name)}, which the lake has,"
                        f" overlap: both have {part.schema} of {part.symbol or 'unnamed books'}"
                        f" from {_format(max(ts_min, part.ts_min))}"
                        f" to {_format(min(ts_max, part.ts_max))}; load each record once, or add"
                        " --in-this-order to have such rows twice"
                    )

    return run


def write_publishers(publishers: Collection[int]) -> str:
    """Publishers as the catalog has them."""
    return " ".join(map(str, sorted(publishers)))


def _describe(name: str) -> str:
    first, *others = name.split("\n")
    return f"{first} and {len(others)} more" if others else first


def _format(ts_ns: int | None) -> str:
    return (format_time(ts_ns) if ts_ns is not None else None) or "an unknown time"
