"""The current symbol of each book, and which of them have changed.

The rule here: a new name, a new book or a new day costs the same however many names and books there
are. A symbol changes only where an interval is added, begins or ends (rule 2): these instants wait
in a heap, and only the instruments of those that have come are looked up again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from batonics.book.engine import BookEngine
from batonics.model.symbols import OPEN_END_NS, MappingInterval, SymbolMap

BookNameRow = list[Any]
"""[book, publisher_id, instrument_id, symbol or None], as a SYMBOLS message has it."""


class BookNames:
    """The names of the books of one engine.

    Args:
        symbols: the names of instruments; `add` adds to it.

    Attributes:
        symbols: the symbol of each book by its number, as of the last `update`; None: it has none.
    """

    def __init__(self, symbols: SymbolMap) -> None:
        self.symbols: list[str | None] = []
        self._map = symbols
        self._keys: list[tuple[int, int]] = []  # publisher_id and instrument_id by book
        self._books: dict[int, list[int]] = {}  # by instrument
        self._edges_ns: list[tuple[int, int]] = []  # a heap: an instant, and an instrument
        self._due: set[int] = set()  # instruments whose symbol may have changed
        self._changed: dict[int, None] = {}  # books since `take_changed`
        self._now_ns = 0

    def add(self, interval: MappingInterval) -> None:
        """Add a name of an instrument."""
        if not self._map.add(interval):
            return
        self._due.add(interval.instrument_id)
        for edge_ns in (interval.start_ns, interval.end_ns):
            if self._now_ns < edge_ns < OPEN_END_NS:
                heapq.heappush(self._edges_ns, (edge_ns, interval.instrument_id))

    def update(self, engine: BookEngine, now_ns: int) -> None:
        """Bring the names up to this time of the feed, and add those of new books."""
        self._now_ns = max(now_ns, self._now_ns)
        if engine.book_count > len(self._keys):
            self._add_books(engine.keys(len(self._keys)))
        while self._edges_ns and self._edges_ns[0][0] <= self._now_ns:
            self._due.add(heapq.heappop(self._edges_ns)[1])
        for instrument_id in self._due:
            symbol = self._map.symbol(instrument_id, self._now_ns)
            for book in self._books.get(instrument_id, ()):
                if self.symbols[book] != symbol:
                    self.symbols[book] = symbol
                    self._changed[book] = None
        self._due.clear()

    def take_changed(self) -> list[BookNameRow]:
        """The names of the books that are new or have another symbol since the last call."""
        changed, self._changed = self._changed, {}
        return self.rows(changed)

    def rows(self, books: Iterable[int] | None = None) -> list[BookNameRow]:
        """The names of these books; None: of all."""
        numbers = range(len(self._keys)) if books is None else books
        return [[book, *self._keys[book], self.symbols[book]] for book in numbers]

    def _add_books(self, keys: list[tuple[int, int]]) -> None:
        for book, key in enumerate(keys, len(self._keys)):
            self._books.setdefault(key[1], []).append(book)
            self._due.add(key[1])
            self._changed[book] = None
        self._keys += keys
        self.symbols += [None] * len(keys)
