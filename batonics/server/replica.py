"""A replica of ingest's books: each one as ingest published it last.

The rule here: a book's status is never better than what is known. While the feed is not LIVE, or
ingest is silent, every book is stale, whatever its own status.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson

from batonics.live.protocol import STATUSES, FeedState, book_dtype
from batonics.live.stats import FeedStats
from batonics.model.mbo import UNDEF_PRICE

_ROWS_INITIAL = 64
_HEAD = ("seq", "events", "ts_event", "ts_recv", "sequence")
BOOK_NUMBER_MAX = 1 << 22
"""Ingest numbers books in order of appearance: a greater number is damage, not a book."""


PriceLevel = tuple[int, int, int]
"""Price (integer of 1e-9), size and count of orders."""


class BookName(NamedTuple):
    """The identity of a book, and its symbol if that is known."""

    publisher_id: int
    instrument_id: int
    symbol: str | None


class BookState(NamedTuple):
    """A book at the end of an event. Its `status` is its own; see `BookReplica.status`."""

    seq: int
    status: str
    events: int
    ts_event: int
    ts_recv: int
    sequence: int
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]


class BookReplica:
    """Applies ingest's messages, and gives books.

    Attributes:
        depth: levels of each side that books have here.
        source: the name of ingest's feed.
        version: ingest's version.
        names: the name of each book.
        stats: ingest's last counts.
        is_silent: ingest has sent nothing for too long. Code that has a clock sets it.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.source = self.version = ""
        self.names: dict[int, BookName] = {}
        self.stats = FeedStats()
        self.is_silent = False
        self._by_symbol: dict[str, list[int]] = {}
        self._rows = np.zeros(0, book_dtype(1))
        self._has_row = np.zeros(0, np.bool_)
        self._states: dict[int, BookState] = {}
        self._sorted_books: list[int] | None = None

    def apply_hello(self, hello: dict[str, Any]) -> None:
        """Apply HELLO, the first message: the number of levels, and the name of the feed."""
        if self.depth:
            raise ValueError("a second HELLO")
        self.depth = int(hello["depth"])
        self.source, self.version = str(hello.get("source")), str(hello.get("version"))
        self._rows = np.zeros(_ROWS_INITIAL, book_dtype(self.depth))
        self._has_row = np.zeros(_ROWS_INITIAL, np.bool_)

    def apply_names(self, names: list[list[Any]]) -> list[int]:
        """Apply SYMBOLS, names of new or renamed books; the numbers of these books."""
        for book, publisher_id, instrument_id, symbol in names:
            before = self.names.get(book)
            if before is not None and before.symbol is not None:
                self._by_symbol[before.symbol].remove(book)
            self.names[book] = BookName(publisher_id, instrument_id, symbol)
            if symbol is not None:
                self._by_symbol.setdefault(symbol, []).append(book)
        self._sorted_books = None
        return [book for book, *_ in names]

    def apply_books(self, payload: bytes) -> list[int]:
        """Apply BOOKS; the numbers of these books in ascending order."""
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
            self._has_row = np.concatenate([self._has_row, np.zeros(more, np.bool_)])
        if not self._has_row[numbers].all():
            self._sorted_books = None
        self._rows[numbers] = rows  # where a book stands twice, its last row stays
        self._has_row[numbers] = True
        changed: list[int] = np.unique(numbers).tolist()
        for book in changed:
            self._states.pop(book, None)
        return changed

    def apply_stats(self, stats: dict[str, Any]) -> bool:
        """Apply STATS; whether the status of all books may have changed."""
        is_live, feed = self.is_live, self.stats.feed
        self.stats = FeedStats(**stats)
        return (is_live, feed) != (self.is_live, self.stats.feed)

    @property
    def is_live(self) -> bool:
        """Whether a book's own status counts."""
        return self.stats.feed == FeedState.LIVE and not self.is_silent

    @property
    def feed(self) -> str:
        """The feed's state in lower case, or `silent` if ingest is."""
        return "silent" if self.is_silent else FeedState(self.stats.feed).name.lower()

    def status(self, state: BookState) -> str:
        """The status that clients get for a book's state."""
        return state.status if self.is_live else "stale"

    def books(self) -> list[int]:
        """Every book with a name and a state, sorted by publisher, instrument and number."""
        if self._sorted_books is None:
            self._sorted_books = self.find()
        return self._sorted_books

    def states_without_levels(self) -> list[tuple[int, BookState]]:
        """The same books with their states. Levels, which would take much longer, are left out."""
        books = self.books()
        columns = [self._rows[name][books].tolist() for name in ("status", *_HEAD)]
        return [
            (book, BookState(seq, STATUSES[status], events, ts_event, ts_recv, sequence, (), ()))
            for book, status, seq, events, ts_event, ts_recv, sequence in zip(
                books, *columns, strict=True
            )
        ]

    def crossed_books(self) -> set[int]:
        """The numbers of the books whose best bid is above their best ask."""
        books = np.array(self.books(), np.int64)
        bid, ask = (self._rows[side]["price"][books, 0] for side in ("bids", "asks"))
        has_both = (bid != UNDEF_PRICE) & (ask != UNDEF_PRICE)
        return set(books[has_both & (bid > ask)].tolist())

    def has_state(self, book: int) -> bool:
        """Whether ingest has published a book."""
        return book < len(self._has_row) and bool(self._has_row[book])

    def find(
        self,
        symbol: str | None = None,
        publisher_id: int | None = None,
        instrument_id: int | None = None,
    ) -> list[int]:
        """The books that have all of these; None fits every book."""
        among = self.names if symbol is None else self._by_symbol.get(symbol, ())
        found = [
            book
            for book in among
            if self.has_state(book)
            and publisher_id in (None, self.names[book].publisher_id)
            and instrument_id in (None, self.names[book].instrument_id)
        ]
        return sorted(found, key=lambda book: (*self.names[book][:2], book))

    def state(self, book: int) -> BookState:
        """The state of a book: the same object until ingest publishes another."""
        state = self._states.get(book)
        if state is None:
            state = self._states[book] = self._read(book)
        return state

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
