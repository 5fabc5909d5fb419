"""A part: a Parquet file of a lake, as the catalog has it.

The rule here: what the catalog says of a part is checked before it is used: its path is one of a
part, and its list of symbols is its own.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from batonics.lake.part_paths import check_part_path
from batonics.lake.part_symbols import PartSymbols, SymbolRows, decode_symbols
from batonics.model.errors import LakeError
from batonics.model.times import enclosing_span

NO_ALIASES = "[]"
"""`Part.aliases` of rows with one symbol each."""


class DamagedCatalogError(LakeError):
    """A catalog does not have what was committed; the error that a user sees adds its name."""


class Part(NamedTuple):
    """A Parquet file of a lake, whose rows are sorted by symbol.

    Attributes:
        path: path from the lake's root: `mbp-10/date=2025-09-24/1f03...-0000.parquet`.
        schema: name of its rows' schema (`frames/schemas/table.py`).
        date: ISO date of its rows, UTC; None if no row has a time.
        digest: SHA-256 of the file, in hex.
        bytes: size of the file.
        rows: number of rows.
        ts_min: least time of its rows, in nanoseconds since the epoch; None if no row has a time.
        ts_max: greatest time of its rows, likewise.
        first_symbol: symbol of its first rows; None if nothing names their instruments.
        last_symbol: symbol of its last rows, likewise.
        aliases: the other symbols of any of its rows (rule 2), as a JSON array.
        symbols: the rows of each symbol, encoded (`part_symbols.py`).
    """

    path: str
    schema: str
    date: str | None
    digest: str
    bytes: int
    rows: int
    ts_min: int | None
    ts_max: int | None
    first_symbol: str | None
    last_symbol: str | None
    aliases: str
    symbols: builtins.bytes

    def list_symbols(self) -> PartSymbols:
        """The rows of each symbol.

        Raises:
            DamagedCatalogError: batonics did not write the list, or it is another part's.
        """
        try:
            found = decode_symbols(self.symbols)
            ends = (found.names[0], found.names[-1], found.rows, json.dumps(found.aliases))
            if ends == (self.first_symbol, self.last_symbol, self.rows, self.aliases):
                return found
        except ValueError:
            pass
        raise DamagedCatalogError(f"the symbols of {self.path} are not those of its rows")


def make_part(  # noqa: PLR0913 - by keyword
    path: str,
    schema: str,
    date: str | None,
    symbols: Sequence[SymbolRows],
    *,
    digest: str,
    size: int,
) -> Part:
    """The part of a file.

    Args:
        path: path from the lake's root.
        schema: name of its rows' schema.
        date: ISO date of its rows; None: no row has a time.
        symbols: the rows of each symbol, in the order of the file.
        digest: SHA-256 of the file, in hex.
        size: size of the file in bytes.
    """
    listed = PartSymbols.of(symbols)
    ts_min, ts_max = enclosing_span((entry.ts_min, entry.ts_max) for entry in symbols)
    return Part(
        path,
        schema,
        date,
        digest,
        size,
        listed.rows,
        ts_min,
        ts_max,
        listed.names[0],
        listed.names[-1],
        json.dumps(listed.aliases),
        listed.encode(),
    )


def read_part(row: Sequence[Any]) -> Part:
    """The part of a row of the catalog, with the columns of `Part`.

    Raises:
        LakeError: its path is none of a part (`part_paths.py`).
        DamagedCatalogError: its symbols are not its own.
    """
    part = Part(*row)
    check_part_path(part.path, part.schema, part.date)
    part.list_symbols()
    return part


PART_COLUMNS = ", ".join(Part._fields)
"""The columns of the table `part` that `read_part` takes."""
