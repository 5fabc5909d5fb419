"""Paths of parts from a lake's root: how they are built, and which texts are such paths.

The rule here: a text from a catalog, a moves file, a listing or a bucket is used as a path only if
this module builds the same text from its parts. Such a path stays below the root, and each of its
names fits into a file system.

    SCHEMA/date=DATE/NAME.parquet

| part   | is                                                                                  |
|--------|-------------------------------------------------------------------------------------|
| SCHEMA | the name of a schema                                                                |
| DATE   | an ISO date, or `HIVE_NULL`                                                         |
| NAME   | letters, digits, `-` and `_`: the load's id and a number                            |

Exported tables have directories of symbols too (`symbol_directory`). A symbol is percent-encoded
there. It is abbreviated if its encoding is longer than a name of a file may be, or if readers would
take it for null or for an abbreviation. An abbreviation ends with `~` and a digest, so that no two
symbols have the same.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from batonics.model.errors import LakeError

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The value for null in hive-named directories."""
FILE_NAME_BYTES_MAX = 255
SYMBOL_BYTES_MAX = FILE_NAME_BYTES_MAX - len("symbol=")
PART_DEPTH = 3
"""Number of names in the path of a part."""

_SCHEMA = re.compile(r"[a-z][a-z0-9-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}\.parquet")
_ABBREVIATED = re.compile(r"~[0-9a-f]{32}$")


@lru_cache(4_096)
def part_directory(schema: str, date: str | None) -> str:
    """The directory of the parts of a schema and date, from the lake's root.

    Raises:
        ValueError: there is no such schema or date.
    """
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(schema)
    if date is not None and str(dt.date.fromisoformat(date)) != date:
        raise ValueError(date)
    return f"{schema}/date={date or HIVE_NULL}"


def symbol_directory(date: str | None, symbol: str | None) -> str:
    """The directory of a date and symbol in an exported table."""
    value = HIVE_NULL if symbol is None else quote(path_symbol(symbol), safe="")
    return f"date={date or HIVE_NULL}/symbol={value}"


def path_symbol(symbol: str) -> str:
    """A symbol as directories have it, before it is percent-encoded: itself, or abbreviated."""
    fits = len(quote(symbol, safe="")) <= SYMBOL_BYTES_MAX
    if fits and symbol != HIVE_NULL and not _ABBREVIATED.search(symbol):
        return symbol
    ending = f"~{sha256(symbol.encode()).hexdigest()[:32]}"
    kept = symbol[: SYMBOL_BYTES_MAX - len(ending)]
    while len(quote(kept, safe="")) > SYMBOL_BYTES_MAX - len(ending):
        kept = kept[:-1]
    return f"{kept}{ending}"


def check_part_path(path: str, schema: str, date: str | None) -> None:
    """Check that a path is one of a part with this schema and date.

    Raises:
        LakeError: it is not, so that batonics did not write the catalog that has it.
    """
    try:
        directory = part_directory(schema, date)
    except ValueError:
        directory = ""
    if not path.startswith(f"{directory}/") or not _NAME.fullmatch(path, len(directory) + 1):
        raise LakeError(
            f"the lake's catalog names the file {_shorten(path)}, which is no part of its schema"
            " and date: batonics did not write this catalog"
        )


def check_schema_name(name: str) -> str:
    """The name of a schema, if it can be one.

    Raises:
        LakeError: it cannot.
    """
    if not _SCHEMA.fullmatch(name):
        raise LakeError(f"the lake's catalog names the schema {_shorten(name)}, which is none")
    return name


def rebuild_part_path(text: str) -> str | None:
    """The path of a part, built from the parts of a text; None if the text is no such path."""
    names = text.split("/")
    if len(names) != PART_DEPTH or not names[1].startswith("date="):
        return None
    schema, date, name = names
    day = date.removeprefix("date=")
    if not _NAME.fullmatch(name):
        return None
    try:
        rebuilt = f"{part_directory(schema, None if day == HIVE_NULL else day)}/{name}"
    except ValueError:  # no schema, or no date
        return None
    return rebuilt if rebuilt == text else None


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:120]}...")
