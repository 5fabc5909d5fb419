"""A replica of ingest's books: each one as ingest published it last.

The rule here: a book's status is never better than what is known. While the feed is neither LIVE
nor STALLED, or ingest is silent, every book is stale, whatever its own status.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from batonics.live.growing import with_room
from batonics.live.protocol import LIVE_STATES, STATUSES, FeedState, book_dtype
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


class BookKey(NamedTuple):
    """A book's place among all: by publisher, instrument and number."""

    publisher_id: int
    instrument_id: int
    book: int


RowVersion = tuple[int, int | None, BookName]
"""The `seq` of a book, its status (None: the feed is not live) and its name."""


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
        change_count: rises with each message that changes a book, a name or what a status counts.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.source = self.version = ""
        self.names: dict[int, BookName] = {}
        self.stats = FeedStats()
        self.is_silent = False
        self.change_count = 0
        self._by_symbol: dict[str, set[int]] = {}
        self._by_instrument: dict[int, set[int]] = {}
        self._rows = np.zeros(0, book_dtype(1))
        self._statuses = np.zeros(0, np.uint8)  # those of the rows: rows are long, and far apart
        self._has_row = np.zeros(0, np.bool_)
        self._is_complete = np.zeros(0, np.bool_)  # by book: it has a name and a row
        self._states: dict[int, BookState] = {}
        self._keys: list[BookKey] = []  # of books with a name and a row, sorted

    def apply_hello(self, hello: dict[str, Any]) -> None:
        """Apply HELLO, the first message: the number of levels, and the name of the feed."""
        if self.depth:
            raise ValueError("a second HELLO")
        self.depth = int(hello["depth"])
        self.source, self.version = str(hello.get("source")), str(hello.get("version"))
        self._rows = np.zeros(_ROWS_INITIAL, book_dtype(self.depth))
        self._statuses = np.zeros(_ROWS_INITIAL, np.uint8)
        self._has_row = np.zeros(_ROWS_INITIAL, np.bool_)
        self._is_complete = np.zeros(_ROWS_INITIAL, np.bool_)

    def apply_names(self, names: list[list[Any]]) -> list[int]:
        """Apply SYMBOLS, names of new or renamed books; the numbers of these books."""
        for book, publisher_id, instrument_id, symbol in names:
            before = self.names.get(book)
            if before is not None and before.symbol is not None:
                self._by_symbol[before.symbol].discard(book)
            self.names[book] = BookName(publisher_id, instrument_id, symbol)
            if symbol is not None:
                self._by_symbol.setdefault(symbol, set()).add(book)
            if before is None:
                self._by_instrument.setdefault(instrument_id, set()).add(book)
                self._complete(book)
        self.change_count += 1
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
        self._rows = with_room(self._rows, most + 1)
        self._statuses = with_room(self._statuses, most + 1)
        self._has_row = with_room(self._has_row, most + 1)
        self._is_complete = with_room(self._is_complete, most + 1)
        self.change_count += 1
        self._rows[numbers] = rows  # where a book stands twice, its last row stays
        self._statuses[numbers] = rows["status"]
        changed: list[int] = np.unique(numbers).tolist()
        if not self._has_row[numbers].all():
            self._has_row[numbers] = True
            for book in changed:
                self._complete(book)
        for book in changed:
            self._states.pop(book, None)
        return changed

    def _complete(self, book: int) -> None:
        """List a book once it has a name and a row."""
        if book in self.names and self.has_state(book) and not self._is_complete[book]:
            self._is_complete[book] = True
            insort(self._keys, BookKey(*self.names[book][:2], book))

    def apply_stats(self, stats: dict[str, Any]) -> bool:
        """Apply STATS; whether the status of all books may have changed."""
        is_live, feed = self.is_live, self.stats.feed
        self.stats = FeedStats(**stats)
        has_changed = (is_live, feed) != (self.is_live, self.stats.feed)
        self.change_count += has_changed
        return has_changed

    def set_silent(self, *, is_silent: bool) -> bool:
        """Note whether ingest is silent; whether that is new."""
        has_changed = is_silent != self.is_silent
        self.is_silent = is_silent
        self.change_count += has_changed
        return has_changed

    @property
    def is_live(self) -> bool:
        """Whether a book's own status counts."""
        return self.stats.feed in LIVE_STATES and not self.is_silent

    @property
    def feed(self) -> str:
        """The feed's state in lower case, or `silent` if ingest is."""
        return "silent" if self.is_silent else FeedState(self.stats.feed).name.lower()

    def status(self, state: BookState) -> str:
        """The status that clients get for a book's state."""
        return state.status if self.is_live else "stale"

    @property
    def book_count(self) -> int:
        """The number of books with a name and a state."""
        return len(self._keys)

    def keys_after(self, after: BookKey | None, most: int) -> list[BookKey]:
        """Books with a name and a state, sorted; `most` behind the place `after`."""
        first = 0 if after is None else bisect_right(self._keys, after)
        return self._keys[first : first + most]

    def status_counts(self) -> dict[str, int]:
        """How many books have each status of their own."""
        counts = np.bincount(self._statuses[self._is_complete], minlength=len(STATUSES))
        return dict(zip(STATUSES, counts.tolist(), strict=True))

    def books_of_status(self, status: str, most: int) -> list[int]:
        """The first books that have a status of their own."""
        has_status = self._is_complete & (self._statuses == STATUSES.index(status))
        books: list[int] = np.flatnonzero(has_status)[:most].tolist()
        return books

    def row_versions(self, books: Sequence[int]) -> list[RowVersion]:
        """What identifies the row of each of these books in a list of all."""
        seqs, statuses = (self._rows[name][books].tolist() for name in ("seq", "status"))
        is_live = self.is_live
        return [
            (seq, status if is_live else None, self.names[book])
            for book, seq, status in zip(books, seqs, statuses, strict=True)
        ]

    def states_without_levels(self, books: Sequence[int]) -> list[tuple[int, BookState]]:
        """These books with their states. Levels, which would take much longer, are left out."""
        columns = [self._rows[name][books].tolist() for name in ("status", *_HEAD)]
        return [
            (book, BookState(seq, STATUSES[status], events, ts_event, ts_recv, sequence, (), ()))
            for book, status, seq, events, ts_event, ts_recv, sequence in zip(
                books, *columns, strict=True
            )
        ]

    def crossed_books(self, numbers: Sequence[int]) -> set[int]:
        """Those of these books whose best bid is above their best ask."""
        books = np.array(numbers, np.int64)
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
        """The books that have all of these, sorted; None fits every book."""
        among: Iterable[int]
        if symbol is not None:
            among = self._by_symbol.get(symbol, ())
        elif instrument_id is not None:
            among = self._by_instrument.get(instrument_id, ())
        else:
            among = (key.book for key in self._keys)
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
