"""The queries that come with batonics: the files of `queries/`.

The rule here: a query is chosen by its name among those that were read, so no path comes from a
caller.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from batonics.lake.query_file import SQL_SUFFIX, QueryFile, parse_query

_PACKAGE = Path(__file__).parent.parent
_PLACES = _PACKAGE / "queries", _PACKAGE.parent / "queries"
"""Where the files are: in an installed package, and in a checkout."""


@cache
def shipped_queries() -> dict[str, QueryFile]:
    """The queries by name, in the order of their names."""
    directory = next(place for place in _PLACES if place.is_dir())
    return {
        path.stem: parse_query(path.read_text(encoding="utf-8"), path.stem)
        for path in sorted(directory.glob(f"*{SQL_SUFFIX}"))
    }
