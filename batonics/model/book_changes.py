"""Changes of what holds for a book: its trading status, or how far it may be trusted.

The rule here: a value holds from its time on, until the next change of the same book. Changes are
looked up by `ts_recv`, the index timestamp, as names are (rule 2).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class TradingStatus(IntEnum):
    """The trading state of an instrument, by the codes of the vendor's schema `status`."""

    PRE_OPEN = 1
    PRE_CROSS = 2
    QUOTING = 3
    CROSS = 4
    ROTATION = 5
    NEW_PRICE_INDICATION = 6
    TRADING = 7
    HALT = 8
    PAUSE = 9
    SUSPEND = 10
    PRE_CLOSE = 11
    CLOSE = 12
    POST_CLOSE = 13
    SSR_CHANGE = 14
    NOT_AVAILABLE_FOR_TRADING = 15


class BookChange(NamedTuple):
    """What holds for a book from a time on.

    Attributes:
        start_ns: the time, in nanoseconds since the epoch.
        publisher_id: the publisher of the book.
        instrument_id: the instrument of the book.
        value: a `TradingStatus`, or a `Status` of the book.
    """

    start_ns: int
    publisher_id: int
    instrument_id: int
    value: int


class BookChanges:
    """Changes of any number of books, in the order in which they came. More may be added."""

    def __init__(self) -> None:
        self._changes: list[BookChange] = []

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: BookChange) -> None:
        """Add a change. Of several changes of a book at one time the last one holds."""
        self._changes.append(change)

    def all(self, first: int = 0) -> list[BookChange]:
        """Every change from a number on, in the order in which they came."""
        return self._changes[first:]
