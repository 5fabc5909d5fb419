"""The books as ingest has told them last.

The rule here: a book is shown as it was told, and never as better than it is known to be. While the
feed is not LIVE, or ingest is silent, every book is stale, whatever its own status.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson

from batonics.live.protocol import STATUSES, FeedState, book_dtype
from batonics.live.stats import FeedStats
from batonics.model.mbo import UNDEF_PRICE

_ROWS_AT_FIRST = 64
_HEAD = ("seq", "events", "ts_event", "ts_recv", "sequence")
BOOK_NUMBER_MAX = 1 << 22
"""Books are numbered in order of appearance: a greater number is damage, not a book."""


PriceLevel = tuple[int, int, int]
"""Price (integer of 1e-9), size and count of orders."""


class BookName(NamedTuple):
    """What a book is called."""

    publisher_id: int
    instrument_id: int
    symbol: str | None


class BookState(NamedTuple):
    """A book at one moment, at the end of an event; `status` is its own (see `Mirror.status`)."""

    seq: int
    status: str
    events: int
    ts_event: int
    ts_recv: int
    sequence: int
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]


class BookReplica:
    """Takes what ingest says; shows books.

    Attributes:
        depth: levels of each side that books have here.
        source, version: of ingest, as told.
        names: by book.
        stats: as told last.
        silent: ingest has said nothing for too long; whoever has a clock says so.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.source = self.version = ""
        self.names: dict[int, BookName] = {}
        self.stats = FeedStats()
        self.silent = False
        self._by_symbol: dict[str, list[int]] = {}
        self._rows = np.zeros(0, book_dtype(1))
        self._told = np.zeros(0, np.bool_)
        self._shown: dict[int, BookState] = {}
        self._order: list[int] | None = None

    def apply_hello(self, hello: dict[str, Any]) -> None:
        """The first message: how many levels books have, and where they come from."""
        if self.depth:
            raise ValueError("a second HELLO")
        self.depth = int(hello["depth"])
        self.source, self.version = str(hello.get("source")), str(hello.get("version"))
        self._rows = np.zeros(_ROWS_AT_FIRST, book_dtype(self.depth))
        self._told = np.zeros(_ROWS_AT_FIRST, np.bool_)

    def apply_names(self, names: list[list[Any]]) -> list[int]:
        """SYMBOLS: names of books, new or changed; which these are."""
        for book, publisher_id, instrument_id, symbol in names:
            before = self.names.get(book)
            if before is not None and before.symbol is not None:
                self._by_symbol[before.symbol].remove(book)
            self.names[book] = BookName(publisher_id, instrument_id, symbol)
            if symbol is not None:
                self._by_symbol.setdefault(symbol, []).append(book)
        self._order = None
        return [book for book, *_ in names]

    def apply_books(self, payload: bytes) -> list[int]:
        """BOOKS; which these are, in ascending order."""
        rows = np.frombuffer(payload, self._rows.dtype)
        if not self.depth or len(rows) == 0:
            return []
        numbers = rows["book"]
        most = int(numbers.max())
        if most >= BOOK_NUMBER_MAX or int(rows["status"].max()) >= len(STATUSES):
            raise ValueError("a row that is no book")
        if most >= len(self._rows):
            more = max(most + 1, 2 * len(self._rows)) - len(self._rows)
            self._rows = np.concatenate([self._rows, np.zeros(more, self._rows.dtype)])
            self._told = np.concatenate([self._told, np.zeros(more, np.bool_)])
        if not self._told[numbers].all():
            self._order = None
        self._rows[numbers] = rows  # where a book stands twice, its last row stays
        self._told[numbers] = True
        changed: list[int] = np.unique(numbers).tolist()
        for book in changed:
            self._shown.pop(book, None)
        return changed

    def apply_stats(self, stats: dict[str, Any]) -> bool:
        """STATS; whether books now have to be shown with another status."""
        live, feed = self.live, self.stats.feed
        self.stats = FeedStats(**stats)
        return (live, feed) != (self.live, self.stats.feed)

    @property
    def live(self) -> bool:
        """Whether books are what their own status says."""
        return self.stats.feed == FeedState.LIVE and not self.silent

    @property
    def feed(self) -> str:
        """How the feed is, in a word: that of `Feed`, or `silent` if ingest says nothing."""
        return "silent" if self.silent else FeedState(self.stats.feed).name.lower()

    def status(self, shown: BookState) -> str:
        """The status to show a book with."""
        return shown.status if self.live else "stale"

    def books(self) -> list[int]:
        """Every book that has a name and has been told, by publisher, instrument and number."""
        if self._order is None:
            self._order = self.find()
        return self._order

    def heads(self) -> list[tuple[int, BookState]]:
        """The same, each as it is but for its levels, which would take much longer."""
        books = self.books()
        columns = [self._rows[name][books].tolist() for name in ("status", *_HEAD)]
        return [
            (book, BookState(seq, STATUSES[status], events, ts_event, ts_recv, sequence, (), ()))
            for book, status, seq, events, ts_event, ts_recv, sequence in zip(
                books, *columns, strict=True
            )
        ]

    def told(self, book: int) -> bool:
        """Whether a row of it has come."""
        return book < len(self._told) and bool(self._told[book])

    def find(
        self,
        symbol: str | None = None,
        publisher_id: int | None = None,
        instrument_id: int | None = None,
    ) -> list[int]:
        """The books that all of these fit; None fits every book."""
        among = self.names if symbol is None else self._by_symbol.get(symbol, ())
        found = [
            book
            for book in among
            if self.told(book)
            and publisher_id in (None, self.names[book].publisher_id)
            and instrument_id in (None, self.names[book].instrument_id)
        ]
        return sorted(found, key=lambda book: (*self.names[book][:2], book))

    def shown(self, book: int) -> BookState:
        """A book as it was told last. The same object until it is told again."""
        shown = self._shown.get(book)
        if shown is None:
            shown = self._shown[book] = self._read(book)
        return shown

    def _read(self, book: int) -> BookState:
        row = self._rows[book]
        bids, asks = (
            tuple(level for level in row[side].tolist() if level[0] != UNDEF_PRICE)
            for side in ("bids", "asks")
        )
        return BookState(
            seq=int(row["seq"]),
            status=STATUSES[row["status"]],
            events=int(row["events"]),
            ts_event=int(row["ts_event"]),
            ts_recv=int(row["ts_recv"]),
            sequence=int(row["sequence"]),
            bids=bids,
            asks=asks,
        )


def parse_json(payload: bytes) -> Any:
    """A JSON payload; ValueError if it is none."""
    return orjson.loads(payload)
