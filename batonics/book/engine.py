"""The host of the fold: it prepares buffers, calls the kernel, and makes room when it stops.

One rule: whatever the sizes of the batches, the same records give the same books, to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import event_kernels, fold_kernels, publish_kernels, window_kernels
from batonics.book.growth import (
    doubled,
    grown,
    make_room,
    rebuild_index,
    rebuild_levels,
    rebuild_orders,
)
from batonics.book.publish_kernels import Moments
from batonics.book.reader import BookReader
from batonics.book.results import (
    SEEN_COLUMNS,
    FoldResult,
    PublishSpec,
    TopRecords,
    TopsSpec,
    WindowsSpec,
    last_rows,
)
from batonics.book.state import (
    BLOCK,
    BOOK_WORDS,
    LAST_SEEN,
    NO_RECORD,
    RECORD_BEFORE,
    T_CHANGED_BOOKS,
    T_DELTAS,
    T_EVENT_ENDS,
    T_TOPS,
    T_WINDOWS,
    TOP_LEVEL_WORDS,
    TOP_WORDS,
    WORST_KEY,
    Anomaly,
    Bbo,
    Book,
    Delta,
    EventEnd,
    Events,
    FoldStop,
    Outputs,
    Status,
    Top,
    Total,
    new_state,
    read_only,
)
from batonics.book.time_order import BACKWARDS_NS_MAX, find_late_rows
from batonics.book.top_kernels import WORST_KEYS
from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    DayStart,
    MboBatch,
    empty_batch,
    record_keys,
    take_batch,
)

# An enum's length takes as long as a small kernel.
_BBO, _DELTA, _EVENT_END = len(Bbo), len(Delta), len(EventEnd)
FIRST_ROWS_MAX = 1 << 16
"""Rows that a buffer of deltas or tops has room for at first, at most."""


class _OpenRecords(NamedTuple):
    """What describes tops that are still to come, copied before its batch is gone."""

    books: NDArray[np.intp]  # books with a record in the batch
    records: MboBatch  # that record of each
    seen_books: NDArray[np.intp]  # books of which only the last record before the batch counts
    seen: NDArray[np.uint64]  # `SEEN_COLUMNS` of that record of each


class BookEngine(BookReader):
    """Folds batch after batch into any number of books.

    Args:
        bbo: keep the best bid and offer after every record of the batch just folded.
        deltas: keep the level deltas and event ends of the batch just folded.
        tops: keep tops, or what `publish` needs, of the batch just folded.

    Attributes:
        state: the books.
        records: the number of records folded.
        backwards_ns_max: how far `ts_recv` may fall back in the stream before the record counts as
            an anomaly of its book; None: any length.
    """

    def __init__(
        self,
        *,
        bbo: bool = False,
        deltas: bool = False,
        tops: TopsSpec | WindowsSpec | PublishSpec | None = None,
    ) -> None:
        super().__init__(new_state(), np.empty((0, len(SEEN_COLUMNS)), np.uint64))
        self.records = 0
        self.backwards_ns_max: int | None = BACKWARDS_NS_MAX
        self._keeps_bbo, self._keeps_deltas, self._spec = bbo, deltas, tops
        self._keeps_tops = isinstance(tops, (TopsSpec, WindowsSpec))
        nothing = np.empty(0, np.int64)
        self._out = Outputs(
            bbo=nothing,
            deltas=nothing,
            event_ends=nothing,
            tops=nothing,
            depth=tops.depth if tops else 0,
            trades=isinstance(tops, TopsSpec) and tops.trades,
            last_tops=nothing,
            window_bounds=nothing,
            changed_books=nothing,
            levels_before=nothing,
            events_per_window=tops.events if isinstance(tops, WindowsSpec) else 0,
        )
        self._scratch = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
        self._no_tops = np.empty((0, self._top_words), np.int64)
        self._last_positions = np.empty(0, np.int64)  # by book: its last record's place
        self._kept = empty_batch(0)  # by book: the record of an earlier batch that describes a top
        none = np.empty(0, np.intp)
        self._open = _OpenRecords(none, empty_batch(0), none, self._seen)

    # ------------------------------------------------------------------ folding

    def fold(self, batch: MboBatch, bounds: NDArray[np.int64] | None = None) -> FoldResult:
        """Apply a batch of records in order.

        Args:
            batch: the records. At a `DayStart` the snapshots that the day before left open end
                first.
            bounds: rows of the batch before which a window ends, ascending; the `WindowTop.WINDOW`
                of a top is an index of it.
        """
        if self._keeps_tops:
            self._keep_open_records()
        self.apply(batch, bounds)
        result = self._result(batch)
        self._fit_seen()
        if self._keeps_tops:
            self._copy_open_records(batch)
            self._note_last_positions(len(batch.action))
        publish_kernels.update_last_seen(self.state, self._seen.reshape(-1), _moments(batch))
        return result

    def apply(self, batch: MboBatch, bounds: NDArray[np.int64] | None = None) -> None:
        """Fold a batch without a result; `publish` must be called next."""
        events = Events._make([read_only(getattr(batch, name)) for name in Events._fields])
        rows = len(events.action)
        self._empty_outputs()
        if bounds is not None:
            self._out = self._out._replace(window_bounds=bounds)
        day_starts = isinstance(batch, DayStart)
        self._fit_outputs(rows, self._open_snapshots() if day_starts else 0)
        if day_starts:  # rule 21
            self._set_all_statuses(Status.COLD)
        row = 0
        while True:
            row, stop = fold_kernels.fold(events, row, self.state, self._out, self._scratch)
            if stop == FoldStop.DONE:
                break
            self._make_room(FoldStop(stop))
        self.records += rows
        if self.backwards_ns_max is not None:
            totals = self.state.totals
            late, totals[Total.LATEST_NS] = find_late_rows(
                batch, int(totals[Total.LATEST_NS]), self.backwards_ns_max
            )
            if len(late):
                self.count_anomalies(Anomaly.TS_RECV_BACKWARDS, record_keys(batch)[late])

    def count_anomalies(self, anomaly: Anomaly, keys: NDArray[np.int64]) -> None:
        """Count an anomaly of each record, given the keys of their books; others are ignored."""
        found, counts = np.unique(keys, return_counts=True)
        books = self._book_words()[:, Book.KEY]
        is_known = np.isin(found, books)
        order = np.argsort(books)
        known = order[np.searchsorted(books, found[is_known], sorter=order)]
        self.anomalies()[known, anomaly] += counts[is_known]

    def end_windows(self) -> FoldResult:
        """End the window that is open at the end of the stream."""
        self._empty_outputs()
        self._keep_open_records()
        self._fit_outputs(0)
        while not window_kernels.end_last_window(self.state, self._out):
            self._make_room(FoldStop.TOPS)
        return self._result(empty_batch(1))

    def mark_stale(self) -> None:
        """Make every book stale until its next R or snapshot: records are missing (rule 17).

        The books stay as they are. Open snapshots end.
        """
        self._empty_outputs()
        self._fit_outputs(0, self._open_snapshots())
        self._set_all_statuses(Status.STALE)

    def publish(self, rows: NDArray[np.int64], batch: MboBatch) -> tuple[NDArray[np.int64], int]:
        """Write the rows of the books in which an event has ended since the last call.

        Args:
            rows: (books, words) of `PublishedRow` and levels, for all books; to be written.
            batch: the one just applied, or an empty one.

        Returns:
            The numbers of the books, and how many events have ended.
        """
        self._fit_outputs(0)
        self._fit_seen()
        totals = self.state.totals
        changed = np.empty(totals[T_CHANGED_BOOKS], np.int64)
        ended = publish_kernels.publish(
            self.state,
            self._out,
            rows.reshape(-1),
            changed,
            _moments(batch),
            self._seen.reshape(-1),
        )
        totals[T_CHANGED_BOOKS] = 0
        return changed, int(ended)

    def rebuild(self) -> None:
        """Rebuild the tables of orders and levels to fit what they hold; no book changes.

        The index of the books keeps its size.
        """
        state = rebuild_levels(rebuild_orders(self.state))
        self.state = rebuild_index(state, len(state.book_index))

    def _set_all_statuses(self, status: Status) -> None:
        """Give every book a status; open snapshots end, as part of the batch."""
        top_words = self._top_words * self._open_snapshots()
        while self._spec is not None and len(self._out.tops) < top_words:
            self._make_room(FoldStop.TOPS)
        event_kernels.set_all_statuses(self.state, self._out, int(status))

    def _open_snapshots(self) -> int:
        return int(np.count_nonzero(self._book_words()[:, Book.SNAPSHOT_OPEN]))

    def _result(self, batch: MboBatch) -> FoldResult:
        totals, out = self.state.totals, self._out
        bbo_rows = len(batch.action) if self._keeps_bbo else 0
        tops, seen, last_positions = self._no_tops, self._seen, self._last_positions
        if self._keeps_tops:
            words = self._top_words
            tops = out.tops[: totals[T_TOPS] * words].reshape(-1, words)
            # The moments of this batch are about to take the place of those seen before.
            if (tops[:, Top.ROW] == LAST_SEEN).any() or (last_rows(tops) < 0).any():
                seen, last_positions = seen.copy(), last_positions.copy()
        return FoldResult(
            out.bbo[: bbo_rows * _BBO].reshape(-1, _BBO),
            out.deltas[: totals[T_DELTAS] * _DELTA].reshape(-1, _DELTA),
            out.event_ends[: totals[T_EVENT_ENDS] * _EVENT_END].reshape(-1, _EVENT_END),
            tops,
            TopRecords(
                tops, batch, self._kept, seen, self.records - len(batch.action), last_positions
            ),
        )

    # ------------------------------------------------------------------ records of earlier batches

    def _fit_seen(self) -> None:
        """Make room for the last records of new books."""
        if len(self._seen) < self.book_count:
            shape = max(64, 2 * self.book_count), len(SEEN_COLUMNS)
            seen = np.full(shape, UNDEF_TIMESTAMP, np.uint64)
            seen[: len(self._seen)] = self._seen
            self._seen = seen

    def _note_last_positions(self, rows: int) -> None:
        """Note the place in the stream of each book's last record in a batch of so many rows."""
        if len(self._last_positions) < self.book_count:
            self._last_positions = grown(self._last_positions, 2 * self.book_count, -1)
        last_row = self._book_words()[:, Book.LAST_ROW]
        books = np.flatnonzero(last_row >= 0)
        self._last_positions[books] = self.records - rows + last_row[books]

    def _copy_open_records(self, batch: MboBatch) -> None:
        """Copy the records that describe tops still to come, and forget their rows."""
        rows = self._book_words()[:, Book.RECORD_ROW]
        books, seen_books = np.flatnonzero(rows >= 0), np.flatnonzero(rows == LAST_SEEN)
        records = take_batch(batch, rows[books])
        self._open = _OpenRecords(books, records, seen_books, self._seen[seen_books])
        rows[rows != NO_RECORD] = RECORD_BEFORE

    def _keep_open_records(self) -> None:
        """Keep the records that the fold before copied: its result no longer describes its tops."""
        if len(self._kept.action) < self.book_count:
            kept = empty_batch(2 * self.book_count)
            for name, column in self._kept._asdict().items():
                getattr(kept, name)[: len(column)] = column
            self._kept = kept
        for name, column in self._kept._asdict().items():
            column[self._open.books] = getattr(self._open.records, name)
        for name, seen in zip(SEEN_COLUMNS, self._open.seen.T, strict=True):
            getattr(self._kept, name)[self._open.seen_books] = seen

    # ------------------------------------------------------------------ room

    @property
    def _top_words(self) -> int:
        return TOP_WORDS + TOP_LEVEL_WORDS * self._out.depth

    def _empty_outputs(self) -> None:
        """Empty every output."""
        totals = self.state.totals
        totals[T_DELTAS] = totals[T_TOPS] = totals[T_WINDOWS] = 0
        totals[T_EVENT_ENDS] = 0

    def _fit_outputs(self, rows: int, open_snapshots: int = 0) -> None:
        """Make room for the outputs of so many rows and ends of snapshots."""
        bbo, deltas, event_ends, tops = self._out[:4]
        # A record may end two events: an open snapshot before it, and its own.
        ends_max = 2 * rows + 2 + open_snapshots
        lacks_bbo = self._keeps_bbo and len(bbo) < rows * _BBO
        lacks_ends = self._keeps_deltas and len(event_ends) < ends_max * _EVENT_END
        lacks_tops = self._spec is not None and len(tops) == 0
        if not (lacks_bbo or lacks_ends or lacks_tops):
            return
        if lacks_bbo:
            bbo = np.empty(rows * _BBO, np.int64)
        if lacks_ends:
            event_ends = np.empty(ends_max * _EVENT_END, np.int64)
            if len(deltas) == 0:
                deltas = np.empty(_first_rows(rows) * _DELTA, np.int64)
        if lacks_tops:
            first_rows = _first_rows(rows if isinstance(self._spec, TopsSpec) else 0)
            tops = np.empty(first_rows * self._top_words, np.int64)
            self._fit_books()
        self._out = self._out._replace(bbo=bbo, deltas=deltas, event_ends=event_ends, tops=tops)

    def _fit_books(self) -> None:
        """Make room in the outputs by book for as many books as the state has room for."""
        books, out = len(self.state.books) // BOOK_WORDS, self._out
        words = TOP_LEVEL_WORDS * out.depth
        if isinstance(self._spec, TopsSpec) and self._spec.changes:
            # A new book has no last top: WORST_KEY stands in its place.
            last_tops = grown(out.last_tops, books * (WORST_KEYS + 2 * words), WORST_KEY)
            self._out = out._replace(last_tops=last_tops)
            return
        self._out = out._replace(levels_before=grown(out.levels_before, books * words, 0))
        if not isinstance(self._spec, TopsSpec):
            changed_books = grown(out.changed_books, books, 0)
            self._out = self._out._replace(changed_books=changed_books)

    def _make_room(self, stop: FoldStop) -> None:
        if stop == FoldStop.DELTAS:
            self._out = self._out._replace(deltas=doubled(self._out.deltas))
        elif stop == FoldStop.TOPS:
            self._out = self._out._replace(tops=doubled(self._out.tops))
        else:
            self.state = make_room(self.state, stop)
            if stop == FoldStop.BOOKS and self._spec is not None:
                self._fit_books()


def _first_rows(records: int) -> int:
    """Rows of a new buffer: most records write one at most, and memory is taken as it is written.

    A buffer that grew from few rows would be copied many times.
    """
    return min(records, FIRST_ROWS_MAX) + 4 * BLOCK


def _moments(batch: MboBatch) -> Moments:
    return Moments(read_only(batch.ts_event), read_only(batch.ts_recv), read_only(batch.sequence))
