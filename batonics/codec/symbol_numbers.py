"""Symbols of lines, numbered in the order of their appearance, for compiled passes over lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from batonics.codec.ndjson_kernels import SymbolHash, place_symbols
from batonics.model.hash_salt import hash_salt


class SymbolNumbers:
    """The symbols of a stream; those of a compiled pass are found in `arrays`.

    Attributes:
        symbols: the symbols; `symbols[i]` has the number i + 1.
    """

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self._table = SymbolHash(
            slots=np.zeros(64, np.int64),
            stop=np.zeros(33, np.int64),
            text=np.zeros(1024, np.uint8),
            salt=hash_salt(),
        )

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays of a `SymbolHash`, until the next symbol."""
        return tuple(self._table)

    def add(self, symbol: bytes) -> None:
        """Give a symbol the next number, and make room as needed."""
        self.symbols.append(symbol.decode())
        number = len(self.symbols)
        slots, stop, text, salt = self._table
        if number == len(stop):
            stop = np.concatenate([stop, stop])
        first = int(stop[number - 1])
        while first + len(symbol) > len(text):
            text = np.concatenate([text, text])
        stop[number] = first + len(symbol)
        text[first : first + len(symbol)] = np.frombuffer(symbol, np.uint8)
        first_unplaced = number
        if 2 * number > len(slots):
            slots, first_unplaced = np.zeros(2 * len(slots), np.int64), 1
        self._table = SymbolHash(slots, stop, text, salt)
        place_symbols(self.arrays, first_unplaced, number)
