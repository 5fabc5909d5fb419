"""Which symbols the rows of a part have, as the catalog stores it.

The rule here: the list is exact, and in the order of the rows in the file. A list that batonics did
not write is an error, never a list with other symbols.

The rows of a part are sorted by symbol; rows without a symbol come first. The catalog has the list
as one compressed value, so that a part of thousands of symbols is one row of its tables:

    zlib(JSON [[symbol, ...], {place: [other symbol, ...]}], newline, rows, first times, last times)

The last three are arrays of 64-bit integers, little-endian, with one value for each symbol.
"""

from __future__ import annotations

import json
import operator
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_TIME_NS = -(2**63)
"""Stored in the place of a time where no row has one."""
DECODED_BYTES_MAX = 256 << 20
"""A list is not decompressed beyond this."""
_INTEGER = np.dtype("<i8")


class SymbolRows(NamedTuple):
    """The rows of a part that have one symbol.

    Attributes:
        symbol: their symbol; None: nothing names their instruments.
        rows: number of rows.
        ts_min: least time of the rows, in nanoseconds since the epoch; None: no row has a time.
        ts_max: greatest time of the rows, likewise.
        aliases: the other symbols of all these rows (rule 2).
    """

    symbol: str | None
    rows: int
    ts_min: int | None
    ts_max: int | None
    aliases: tuple[str, ...] = ()


class ShownRows(NamedTuple):
    """Rows of a part that an answer has.

    Attributes:
        symbol: the symbol that they have in the answer.
        stored: the rows, with the symbol that they have in the file.
        others: their other symbols among those that were asked for.
    """

    symbol: str | None
    stored: SymbolRows
    others: tuple[str, ...]


class PartSymbols:
    """The symbols of a part, in the order of its rows.

    Args:
        names: the symbols; each comes once, and None comes first.
        columns: rows, least and greatest times of each symbol: (3, symbols), `NO_TIME_NS` for None.
        aliases: the other symbols of those that have any, by place.

    Raises:
        ValueError: the symbols are not in order.
    """

    def __init__(
        self,
        names: Sequence[str | None],
        columns: NDArray[np.int64],
        aliases: Mapping[int, tuple[str, ...]],
    ) -> None:
        self._nameless = len(names) > 0 and names[0] is None
        self._named = [name for name in names if name is not None]
        is_sorted = all(map(operator.lt, self._named, self._named[1:]))
        if not names or len(self._named) + self._nameless < len(names) or not is_sorted:
            raise ValueError("the symbols of a part are not in order")
        self._names, self._columns, self._aliases = names, columns, aliases
        self._by_alias: dict[str, list[int]] = {}
        for place, others in aliases.items():
            for alias in others:
                self._by_alias.setdefault(alias, []).append(place)

    @classmethod
    def of(cls, entries: Sequence[SymbolRows]) -> PartSymbols:
        """The list of these symbols, which are in order."""
        values = [(entry.rows, _stored(entry.ts_min), _stored(entry.ts_max)) for entry in entries]
        columns = np.array(values, np.int64).reshape(-1, 3).T
        aliases = {place: entry.aliases for place, entry in enumerate(entries) if entry.aliases}
        return cls([entry.symbol for entry in entries], columns, aliases)

    def __iter__(self) -> Iterator[SymbolRows]:
        return map(self._entry, range(len(self._names)))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> Sequence[str | None]:
        """The symbols, in order."""
        return self._names

    @property
    def aliases(self) -> list[str]:
        """The other symbols of any rows, in order."""
        return sorted(self._by_alias)

    @property
    def rows(self) -> int:
        """Number of rows of all symbols."""
        return int(self._columns[0].sum())

    def shown(self, symbols: Sequence[str] = ()) -> list[ShownRows]:
        """The rows with one of some symbols, in order, each under one of these.

        Args:
            symbols: the symbols; empty: all rows, under the symbols of the file.
        """
        if not symbols:
            return [ShownRows(entry.symbol, entry, entry.aliases) for entry in self]
        places = {place for name in symbols for place in self._by_alias.get(name, ())}
        places.update(own for name in symbols if (own := self._find(name)) is not None)
        found = []
        for place in sorted(places):
            entry = self._entry(place)
            names = [name for name in (entry.symbol, *entry.aliases) if name in symbols]
            found.append(ShownRows(names[0], entry, tuple(map(str, names[1:]))))
        return found

    def encode(self) -> bytes:
        """The list as the catalog stores it."""
        head = json.dumps([list(self._names), self._aliases]).encode()
        return zlib.compress(head + b"\n" + self._columns.astype(_INTEGER).tobytes())

    def _entry(self, place: int) -> SymbolRows:
        rows, first, last = self._columns[:, place].tolist()
        aliases = self._aliases.get(place, ())
        return SymbolRows(self._names[place], rows, _time(first), _time(last), aliases)

    def _find(self, name: str) -> int | None:
        at = bisect_left(self._named, name)
        is_there = at < len(self._named) and self._named[at] == name
        return at + self._nameless if is_there else None


@lru_cache(512)
def decode_symbols(data: bytes) -> PartSymbols:
    """The list that a value of the catalog has.

    Raises:
        ValueError: batonics did not write the value.
    """
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(data, DECODED_BYTES_MAX)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not decoder.eof or decoder.unused_data:
        raise ValueError("it is cut off")
    head, _, arrays = text.partition(b"\n")
    try:
        names, aliases = json.loads(head)
        columns = np.frombuffer(arrays, _INTEGER).astype(np.int64).reshape(3, len(names))
        others = {int(place): tuple(found) for place, found in aliases.items()}
        texts = chain(names, *others.values())
        is_text = all(isinstance(name, str) or name is None for name in texts)
        if not is_text or not all(0 <= place < len(names) for place in others):
            raise ValueError("a symbol is no text")
        return PartSymbols(names, columns, others)
    except (RecursionError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None


def _stored(value: int | None) -> int:
    return NO_TIME_NS if value is None else value


def _time(value: int) -> int | None:
    return None if value == NO_TIME_NS else value
