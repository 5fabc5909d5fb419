"""The trading status of books at times: by status records, else by the sessions of the market.

The rule here: a status record decides; sessions stand in for books that have none at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from batonics.frames.scan.book_changes import NO_VALUE, ChangeTable, HeldValues
from batonics.model.book_changes import BookChanges, TradingStatus

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar


class TradingStatuses:
    """Looks up trading statuses. It follows status records that are added later.

    Args:
        changes: the statuses that records give.
        sessions: the sessions of the market; None: not known.
    """

    def __init__(self, changes: BookChanges, sessions: SessionCalendar | None = None) -> None:
        self._changes, self._table = changes, ChangeTable(changes)
        self._sessions = None
        if sessions is not None:
            # Sessions need Polars, which status records do not.
            from batonics.frames.scan.sessions import SessionTable

            self._sessions = SessionTable(sessions)

    def find(self, keys: NDArray[np.int64], ts_ns: NDArray[np.uint64]) -> HeldValues:
        """The status of each row, by the key of its book (`record_keys`) and its time."""
        value, end_ns = self._table.find(keys, ts_ns)
        if self._sessions is None:
            return HeldValues(value, end_ns)
        from batonics.frames.scan.sessions import NO_SESSION

        signed = ts_ns.view(np.int64)
        self._sessions.cover(signed)
        spans = self._sessions.spans
        is_open = spans.find(signed) != NO_SESSION
        of_session = np.where(is_open, TradingStatus.TRADING, TradingStatus.CLOSE)
        is_unknown = (value == NO_VALUE) & (signed > 0)
        end_ns = np.where(is_unknown, np.minimum(end_ns, spans.next_edges(signed)), end_ns)
        return HeldValues(np.where(is_unknown, of_session, value), end_ns)

    def at(
        self, books: Sequence[tuple[int, int]], at_ns: int | None
    ) -> Mapping[tuple[int, int], TradingStatus]:
        """The statuses of books at a time, as far as they are known.

        Args:
            books: the publisher and the instrument of each book.
            at_ns: the time; None: it is not known, and so is no status.
        """
        is_unknown = self._sessions is None and len(self._changes) == 0
        if at_ns is None or is_unknown or not books:
            return {}
        keys = np.array([publisher << 32 | instrument for publisher, instrument in books], np.int64)
        times = np.full(len(books), min(at_ns, np.iinfo(np.int64).max), np.uint64)
        values = self.find(keys, times).value.tolist()
        return {
            book: TradingStatus(value)
            for book, value in zip(books, values, strict=True)
            if value != NO_VALUE
        }
