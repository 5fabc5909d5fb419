"""Answers about the books, orders and records of files, as documents.

The rule here: an answer depends on the history alone. That of files never changes; that of a live
feed grows. An answer may take long, so it is made in a worker thread. What cannot be answered is a
`ProblemError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.history.book_history import END, FileHistory, HistoricBooks, Moment, Place
from batonics.history.record_search import RecordSearch
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, record_keys
from batonics.model.prices import format_price
from batonics.model.priority import explain_priority, find_priority
from batonics.model.times import format_time
from batonics.server.history_documents import (
    OrderLife,
    OrdersDocument,
    RecordRow,
    RecordsPage,
    SymbolsPage,
    data_document,
    document_checksum,
    record_row,
)
from batonics.server.history_names import HistoryNames
from batonics.server.named_books import NamedBooks
from batonics.server.query_params import ProblemError
from batonics.sinks.book_json import (
    BOOK_JSON_SCHEMA,
    book_condition,
    book_document,
    market_state,
)

SCAN_RECORDS_MAX = 1 << 21
"""Records that one request looks at; the next page goes on behind them."""
ORDER_RECORDS_MAX = 1_000
"""Records of an order that an answer has; it counts the rest."""
Matches = Callable[[MboBatch], NDArray[np.bool_]]
"""(rows,) Which records of a batch are wanted."""


class FoundBook(NamedTuple):
    """A book at a moment.

    Attributes:
        key: its key.
        books: books at the moment.
        number: its number among them.
    """

    key: int
    books: HistoricBooks
    number: int


class HistoryAnswers:
    """Answers from a history; every method may run in a thread of its own.

    Args:
        history: the books.

    Attributes:
        names: the names of the books.
    """

    def __init__(self, history: FileHistory) -> None:
        self._history = history
        self._marks, self._marks_lock = RecordSearch(history), Lock()
        self.names = HistoryNames(history)

    @property
    def record_count(self) -> int:
        """The number of records."""
        return self._history.records.count

    @property
    def book_count(self) -> int:
        """The number of books."""
        return len(self._history.book_keys())

    def book(
        self,
        name: str,
        publisher: int | None,
        moment: Moment,
        *,
        depth: int | None,
        has_queues: bool,
    ) -> dict[str, Any]:
        """A book as `batonics reconstruct` writes it, with the head of its document."""
        _, books, number = self.find_book(name, publisher, moment)
        document = book_document(
            books.engine,
            number,
            self._history.symbols,
            depth=depth,
            orders=has_queues,
            as_of=books.as_of,
        )
        head: dict[str, Any] = {"schema": BOOK_JSON_SCHEMA, **books.as_of.document()}
        if (feed := self._history.feed) is not None:
            head["feed"] = feed
        return {**head, "checksum": document_checksum(document, depth), **document}

    def find_book(self, name: str, publisher: int | None, moment: Moment) -> FoundBook:
        """The one book that has a name at a moment; ProblemError if there is none then."""
        place = self._place(moment)
        time_ns = place.as_of.time_ns
        key = self.names.find_key(name, publisher, time_ns)
        books = self._books_at(place, key)
        number = _book_number(books, key)
        if number is None:
            detail = f"no event of {name[:100]!r} has ended by {format_time(time_ns or 0)}"
            raise ProblemError(404, "No such book", detail)
        return FoundBook(key, books, number)

    def symbols(self, prefix: str, start: int, limit: int) -> SymbolsPage:
        """Rows of the books whose symbols begin with a prefix, from the place `start` on."""
        table = self._history.book_table()
        keys = table.keys
        page: SymbolsPage = {
            "data": data_document(self._history.place(END).as_of.data),
            "record_count": self.record_count,
            "books": [],
            "next": None,
        }
        order = sorted(range(len(keys)), key=keys.__getitem__)
        for place in range(start, len(order)):
            book = order[place]
            publisher_id, instrument_id = keys[book]
            symbol = self._symbol(instrument_id, table.ts_recv[book])
            if not (symbol or "").startswith(prefix):
                continue
            if len(page["books"]) == limit:
                page["next"] = str(place)
                break
            page["books"].append(
                {
                    "symbol": symbol,
                    "publisher_id": publisher_id,
                    "instrument_id": instrument_id,
                    "status": table.statuses[book].name.lower(),
                    "events": table.events[book],
                    "ts_recv": format_time(table.ts_recv[book]),
                }
            )
        return page

    def orders(self, order_id: int, moment: Moment) -> OrdersDocument:
        """The orders of an id: one for each book that has it, for ids repeat across books."""
        place = self._place(moment)
        as_of = place.as_of
        find_order = self._history.records.find_order
        numbers, records = find_order(order_id, place.records)
        books = {
            key: self._books_at(place, key) for key in np.unique(record_keys(records)).tolist()
        }
        last = max((found.records for found in books.values()), default=0)
        if last > place.records:  # a live feed has gone on meanwhile
            numbers, records = find_order(order_id, last)
        keys, lives = record_keys(records), []
        for key, found in books.items():
            mine = np.flatnonzero((keys == key) & (numbers < found.records))
            shown = mine[:ORDER_RECORDS_MAX].tolist()
            rows = [self._record(int(numbers[row]), records, row) for row in shown]
            lives.append(_order_life(found, key, rows, len(mine)))
        if not lives:
            raise ProblemError(404, "No such order", "no record up to the time has this order id")
        return {
            "at": None if as_of.at_ns is None else format_time(as_of.at_ns),
            "data": data_document(as_of.data),
            "warnings": [str(warning) for warning in as_of.warnings()],
            "orders": lives,
        }

    def records(
        self,
        books: NamedBooks,
        span: tuple[int | None, int | None],
        page: tuple[int | None, int],
        matches: Matches,
    ) -> RecordsPage:
        """Records of a name in their order.

        Args:
            books: the book, or the books that a name has one after the other.
            span: the time of the first record, and the time that all records are before; None: the
                beginning and the end of the data.
            page: the number of the first record (None: as `span` says), and the most rows.
            matches: which records are wanted.
        """
        (from_ns, to_ns), (cursor, limit) = span, page
        records = self._history.records
        first = 0 if from_ns is None else records.count_until(from_ns - 1)
        last = records.count if to_ns is None else records.count_until(to_ns - 1)
        first = first if cursor is None else max(first, cursor)
        stop = min(last, first + SCAN_RECORDS_MAX)
        rows: list[RecordRow] = []
        for row in self._matching(books, first, stop, matches):
            if len(rows) == limit:
                return {"records": rows, "next": str(row["record"])}
            rows.append(row)
        return {"records": rows, "next": str(stop) if stop < last else None}

    def newest_records(
        self, books: NamedBooks, moment: Moment, page: tuple[int | None, int], matches: Matches
    ) -> RecordsPage:
        """Records of a name up to a moment, the newest first.

        Args:
            books: as for `records`.
            moment: the moment.
            page: the number that all records are below (None: as the moment says), and the most
                rows.
            matches: which records are wanted.
        """
        cursor, limit = page
        last = self._history.count_until(moment)
        last = last if cursor is None else min(last, cursor)
        stop = max(0, last - SCAN_RECORDS_MAX)
        rows: list[RecordRow] = []
        for batch, numbers in self._history.records.read_back(last, books.keys):
            found = matches(batch) & books.find_rows(batch) & (numbers >= stop)
            for row in np.flatnonzero(found)[::-1].tolist():
                if len(rows) == limit:
                    return {"records": rows, "next": str(rows[-1]["record"])}
                rows.append(self._record(int(numbers[row]), batch, row))
            if len(numbers) and numbers[0] <= stop:
                break
        return {"records": rows, "next": str(stop) if stop else None}

    def next_record(self, books: NamedBooks, moment: Moment, matches: Matches) -> RecordRow | None:
        """The first record of a name that matches and comes after a moment; None: there is none."""
        records, first = self._history.records, self._history.count_until(moment)
        return next(self._matching(books, first, records.count, matches), None)

    def previous_record(
        self, books: NamedBooks, moment: Moment, matches: Matches
    ) -> RecordRow | None:
        """The last record of a name that matches and comes before a moment; None: there is none.

        It comes before the record of the moment, or before all records that are due at its time.
        """
        last = self._count_before(moment)
        for batch, numbers in self._history.records.read_back(last, books.keys):
            found = np.flatnonzero(matches(batch) & books.find_rows(batch))
            if len(found):
                row = int(found[-1])
                return self._record(int(numbers[row]), batch, row)
        return None

    def next_mark(self, books: NamedBooks, moment: Moment, kind: str) -> RecordRow | None:
        """As `next_record`, of the records of a kind of `MARK_KINDS`."""
        self._check_finished(kind)
        found, behind = [], self._history.count_until(moment)
        for span in books.spans:
            first = max(behind, self._first_from(span.start_ns))
            with self._marks_lock:
                number = self._marks.find_next(span.key, kind, first)
            if number is not None and number < self._first_from(span.end_ns):
                found.append(number)
        return self._numbered(min(found, default=None))

    def previous_mark(self, books: NamedBooks, moment: Moment, kind: str) -> RecordRow | None:
        """As `previous_record`, of the records of a kind of `MARK_KINDS`."""
        self._check_finished(kind)
        found, before = [], self._count_before(moment)
        for span in books.spans:
            stop = min(before, self._first_from(span.end_ns))
            with self._marks_lock:
                number = self._marks.find_previous(span.key, kind, stop)
            if number is not None and number >= self._first_from(span.start_ns):
                found.append(number)
        return self._numbered(max(found, default=None))

    def _first_from(self, ts_ns: int) -> int:
        """The number of the first record that is due at a time or later."""
        return self._history.records.count_until(min(ts_ns, 2**63 - 1) - 1)

    # ------------------------------------------------------------------ parts of answers

    def _books_at(self, place: Place, key: int) -> HistoricBooks:
        """Books at a moment, of which the one with a key is asked for."""
        if place.moment == END:
            return self._history.end_books(key)
        return self._history.at_place(place, key)

    def _check_finished(self, kind: str) -> None:
        if self._history.feed is not None:
            detail = f"of a live feed, kind is trade, event or gap; {kind} is searched for in files"
            raise ProblemError(422, "Of files only", detail)

    def _place(self, moment: Moment) -> Place:
        """Where a moment is in the records; ProblemError if it is outside of them."""
        try:
            return self._history.place(moment)
        except UsageError as error:
            if moment.record is not None and moment.record >= self.record_count:
                raise ProblemError(404, "No such record", str(error)) from None
            raise ProblemError(410, "Before the data", str(error)) from None

    def _count_before(self, moment: Moment) -> int:
        """The number of records before that of a moment, or before all that are due at its time."""
        if moment.record is not None:
            return moment.record
        if moment.at_ns is not None:
            return self._history.records.count_until(moment.at_ns - 1)
        return self._history.records.count

    def _numbered(self, number: int | None) -> RecordRow | None:
        """The record with a number."""
        if number is None:
            return None
        (batch,) = self._history.records.read(number, number + 1)
        return self._record(number, batch, 0)

    def _matching(
        self, books: NamedBooks, first: int, last: int, matches: Matches
    ) -> Iterator[RecordRow]:
        """The records of a name that match, of those numbered from `first` to before `last`."""
        for batch in self._history.records.read(first, last):
            found = np.flatnonzero(matches(batch) & books.find_rows(batch))
            for row in found.tolist():
                yield self._record(first + row, batch, row)
            first += len(batch.action)

    def _record(self, number: int, batch: MboBatch, row: int) -> RecordRow:
        symbol = self._symbol(int(batch.instrument_id[row]), int(batch.ts_recv[row]))
        return record_row(number, batch, row, symbol)

    def _symbol(self, instrument_id: int, ts_recv: int) -> str | None:
        return self._history.symbols.symbol(instrument_id, min(ts_recv, UNDEF_TIMESTAMP - 1))


def _order_life(
    books: HistoricBooks, key: int, rows: list[RecordRow], record_count: int
) -> OrderLife:
    """An order of one book, by its records so far and the book's queues."""
    publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
    life: OrderLife = {
        "order_id": rows[-1]["order_id"],
        "symbol": rows[-1]["symbol"],
        "publisher_id": publisher_id,
        "instrument_id": instrument_id,
        "status": None,
        "warnings": [],
        "priority": find_priority(publisher_id).value,
        "priority_rule": explain_priority(publisher_id),
        "is_live": False,
        "side": None,
        "price": None,
        "price_1e9": None,
        "size": None,
        "ahead": None,
        "records": rows,
        "more_records": record_count - len(rows),
    }
    book = _book_number(books, key)
    if book is None:
        return life
    condition = book_condition(
        books.engine, book, market_state(books.engine.levels(book)), books.as_of
    )
    life["status"] = condition.status
    life["warnings"] = [str(warning) for warning in condition.warnings]
    queues = books.engine.orders(book)
    found = np.flatnonzero(queues.order_id == np.uint64(int(life["order_id"])))
    if len(found):
        (at,) = found.tolist()
        price, side = int(queues.price[at]), int(queues.side[at])
        is_ahead = (queues.price == price) & (queues.side == side)
        is_ahead &= queues.priority < queues.priority[at]
        life["is_live"], life["side"] = True, "A" if side else "B"
        life["price"], life["price_1e9"] = format_price(price), price
        life["size"] = int(queues.size[at])
        life["ahead"] = {"orders": int(is_ahead.sum()), "size": int(queues.size[is_ahead].sum())}
    return life


def _book_number(books: HistoricBooks, key: int) -> int | None:
    """The number of the book with a key; None: no event of it has ended."""
    keys = books.engine.keys()
    book = (key >> 32, key & 0xFFFFFFFF)
    return keys.index(book) if book in keys else None
