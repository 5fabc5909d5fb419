"""Books of a fake ingest: rows of `live.protocol`, and random changes of them.

The rule here: the books keep their levels as plain tuples too. Tests compare a client's book with
these, which no part of the server has made.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from batonics.live.protocol import book_dtype
from batonics.model.mbo import UNDEF_PRICE

DEPTH = 10
TICK = 10_000_000
MID = 65_000_000_000
COLD, SYNCED, STALE = 0, 1, 2
START_NS = 1_758_700_000_000_000_000
Level = tuple[int, int, int]


class FakeBooks:
    """The books of one ingest.

    Attributes:
        symbols: the symbol of each book.
        rows: the current rows of the message BOOKS.
        history: the levels of each side by book and seq.
    """

    def __init__(self, symbols: Sequence[str] = ("CLX5", "CLZ5"), seed: int = 7) -> None:
        self.symbols = symbols
        self.rows = np.zeros(len(symbols), book_dtype(DEPTH))
        self.rows["book"] = np.arange(len(symbols))
        self.rows["status"] = SYNCED
        self.history: dict[tuple[int, int], tuple[list[Level], list[Level]]] = {}
        self._random = random.Random(seed)
        for book in range(len(symbols)):
            self.set_levels(book, ladder(MID, -1), ladder(MID + TICK, 1))

    def set_levels(self, book: int, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Give a book these levels, best first."""
        row = self.rows[book]
        for side, levels in (("bids", bids), ("asks", asks)):
            padded = [*levels[:DEPTH], *[(UNDEF_PRICE, 0, 0)] * (DEPTH - len(levels))]
            row[side] = np.array(padded, row[side].dtype)
        row["seq"] += 1
        row["events"] += 1
        row["ts_event"] = row["ts_recv"] = START_NS + int(row["seq"])
        row["sequence"] += 1
        self.history[book, int(row["seq"])] = (list(bids[:DEPTH]), list(asks[:DEPTH]))

    def move(self, book: int) -> None:
        """Change a book at random: its mid, its sizes, and how many levels each side has."""
        mid = MID + self._random.randrange(-20, 20) * TICK
        bids = ladder(mid, -1, self._random.randrange(DEPTH + 1), self._random)
        asks = ladder(mid + TICK, 1, self._random.randrange(DEPTH + 1), self._random)
        self.set_levels(book, bids, asks)

    @property
    def hello(self) -> dict[str, Any]:
        """The payload of HELLO."""
        return {"depth": DEPTH, "source": "a test", "version": "0"}

    @property
    def names(self) -> list[list[Any]]:
        """The payload of SYMBOLS: publisher 1, instruments from 1000 on."""
        return [[book, 1, 1000 + book, name] for book, name in enumerate(self.symbols)]

    def payload(self, books: Sequence[int] | None = None) -> bytes:
        """The payload of BOOKS for these books; None: for all."""
        return (self.rows if books is None else self.rows[list(books)]).tobytes()


def ladder(
    best: int, step: int, levels: int = DEPTH, source: random.Random | None = None
) -> list[Level]:
    """Levels from the best one, at least one tick apart."""
    price, found = best, []
    for _ in range(levels):
        size = source.randrange(1, 50) if source else 5
        found.append((price, size, 1 + size // 10))
        price += step * TICK * (source.randrange(1, 3) if source else 1)
    return found
