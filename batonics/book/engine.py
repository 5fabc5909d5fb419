"""The host of the fold: makes room, calls the kernel, and answers questions about the books.

One rule: whatever the sizes of the batches, the same records give the same books, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import fold_kernels, publish_kernels, table_kernels, top_kernels, window_kernels
from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    SLOT_WORDS,
    TOP_LEVEL_WORDS,
    WORST_KEY,
    Anomaly,
    Bbo,
    Book,
    Delta,
    EventEnd,
    Events,
    FoldStop,
    Ladder,
    Level,
    Order,
    Outputs,
    Status,
    Top,
    Total,
    aligned_zeros,
    empty_levels,
    empty_orders,
    new_state,
    read_only,
)
from batonics.model.mbo import UNDEF_TIMESTAMP, DayStart, MboBatch, empty_batch, take_batch

_SEEN = ("ts_event", "ts_recv", "sequence")
"""The columns of `BookEngine.last_seen`."""
# An enum's length takes as long as a small kernel.
_BBO, _DELTA, _CLOSING = len(Bbo), len(Delta), len(EventEnd)
NOTED = -1
"""In place of a row: what was noted in an earlier batch."""


class FoldResult(NamedTuple):
    """What one batch came to. The arrays are views into buffers that the next batch overwrites."""

    bbo: NDArray[np.int64]  # (rows, len(Bbo)): after each record
    deltas: NDArray[np.int64]  # (deltas, len(Delta))
    event_ends: NDArray[np.int64]  # (ends of events, len(Closing))
    tops: NDArray[np.int64]  # (tops, len(Top) + TOP_LEVEL * depth)
    top_records: TopRecords  # a record a top (`Top.ROW`)


class TopRecords(NamedTuple):
    """The records that describe tops, looked up as they are asked for, until the next fold.

    Of windows only ts_event, ts_recv and sequence are always true.
    """

    tops: NDArray[np.int64]
    batch: MboBatch
    noted: MboBatch  # by book, of earlier batches
    seen: NDArray[np.uint64]  # by book, `_SEEN` of its last record in an earlier batch

    def column(self, name: str) -> NDArray[Any]:
        """One column, of all."""
        return self._columns([name], self.tops)[0]

    def take(self, rows: NDArray[np.intp] | None = None) -> MboBatch:
        """All columns of the tops in these rows, or of all."""
        tops = self.tops if rows is None else self.tops[rows]
        return MboBatch._make(self._columns(MboBatch._fields, tops))

    def _columns(self, names: Sequence[str], tops: NDArray[np.int64]) -> list[NDArray[Any]]:
        rows = np.ascontiguousarray(tops[:, Top.ROW])
        # Rows of earlier batches are clipped to the first, and replaced.
        columns = [getattr(self.batch, name).take(rows, mode="clip") for name in names]
        if (rows >= 0).all():
            return columns
        earlier, last = (np.flatnonzero(rows == mark) for mark in (NOTED, window_kernels.SEEN))
        for name, column in zip(names, columns, strict=True):
            column[earlier] = getattr(self.noted, name)[tops[earlier, Top.BOOK]]
            if name in _SEEN:
                column[last] = self.seen[tops[last, Top.BOOK], _SEEN.index(name)]
        return columns


class TopsSpec(NamedTuple):
    """Which tops are to be kept (`Folded.tops`)."""

    depth: int  # levels of each side
    changes: bool = True  # at the end of an event, where they differ from the last one
    trades: bool = False  # at a trade, as they are before it


class WindowsSpec(NamedTuple):
    """Windows at whose ends the best levels are to be kept (`Folded.tops`), in place of tops."""

    depth: int  # levels of each side
    every: int = 0  # events of a book; 0: up to the bounds that `fold` is given


class PublishSpec(NamedTuple):
    """Rows of the books that changed in a batch are to be had of `publish`."""

    depth: int  # levels of each side


class Levels(NamedTuple):
    """Levels of books, by book, bids before asks, best first."""

    book: NDArray[np.int64]
    side: NDArray[np.int64]  # 0 bid, 1 ask
    price: NDArray[np.int64]
    size: NDArray[np.int64]
    count: NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.count, which nobody needs


class Orders(NamedTuple):
    """Live orders of books, by book, bids before asks, best level first, in priority order."""

    book: NDArray[np.int64]
    side: NDArray[np.int64]  # 0 bid, 1 ask
    price: NDArray[np.int64]
    order_id: NDArray[np.uint64]
    size: NDArray[np.int64]
    priority: NDArray[np.int64]


class BookEngine:
    """Any number of books, folded batch after batch.

    Args:
        bbo: keep the BBO after every record of the batch just folded.
        deltas: keep the level deltas and event ends of the batch just folded.
        tops: keep the best levels where they changed, or at trades, of the batch just folded;
            or at the ends of windows; or what `publish` needs.
    """

    def __init__(
        self,
        *,
        bbo: bool = False,
        deltas: bool = False,
        tops: TopsSpec | WindowsSpec | PublishSpec | None = None,
    ) -> None:
        self.state = new_state()
        self.records = 0
        self._want_bbo, self._want_deltas, self._wanted = bbo, deltas, tops
        self._tops = None if isinstance(tops, PublishSpec) else tops
        nothing = np.empty(0, np.int64)
        self._out = Outputs(
            bbo=nothing,
            deltas=nothing,
            event_ends=nothing,
            tops=nothing,
            shown=nothing,
            depth=tops.depth if tops else 0,
            trades=isinstance(tops, TopsSpec) and tops.trades,
            bounds=nothing,
            dirty=nothing,
            before=nothing,
            every=tops.every if isinstance(tops, WindowsSpec) else 0,
        )
        self._scratch = (
            np.empty(fold_kernels.BLOCK, np.int64),
            np.empty(fold_kernels.BLOCK, np.int64),
        )
        self._seen = np.empty((0, 3), np.uint64)  # last ts_event, ts_recv, sequence of each book
        self._noted = empty_batch(0)  # by book: what describes a top that is still to come
        self._no_tops = np.empty((0, self._top_words), np.int64)
        none = np.empty(0, np.intp)
        self._aside = none, empty_batch(0), none, self._seen

    # ------------------------------------------------------------------ folding

    def fold(self, batch: MboBatch, bounds: NDArray[np.int64] | None = None) -> FoldResult:
        """Apply a batch of records in order.

        Args:
            batch: the records; with a `DayStart` what the day before left open ends first.
            bounds: rows of the batch before which a window ends, rising; of each top `DEPTH` then
                says which.
        """
        if self._tops is not None:
            self._note()
        self._apply(batch, bounds)
        folded = self._folded(batch)
        self._fit_seen()
        if self._tops is not None:
            self._keep_noted(batch)
        seen = (read_only(getattr(batch, name)) for name in _SEEN)
        publish_kernels.update_last_seen(self.state, self._seen.reshape(-1), *seen)
        return folded

    def _apply(self, batch: MboBatch, bounds: NDArray[np.int64] | None = None) -> None:
        events = Events._make([read_only(getattr(batch, name)) for name in Events._fields])
        rows = len(events.action)
        totals = self.state.totals
        totals[Total.DELTAS] = totals[Total.TOPS] = totals[Total.BOUND] = 0
        totals[Total.CLOSINGS] = 0
        if bounds is not None:
            self._out = self._out._replace(bounds=bounds)
        day_starts = isinstance(batch, DayStart)
        self._fit_outputs(rows, self._open_snapshots() if day_starts else 0)
        if day_starts:  # rule 21
            self._interrupt(Status.COLD)
        row = 0
        while True:
            row, lacking = fold_kernels.fold(events, row, self.state, self._out, *self._scratch)
            if lacking == FoldStop.DONE:
                break
            self._make_room(lacking)
        self.records += rows

    def end_windows(self) -> FoldResult:
        """The stream has ended: the window that is open, in which it ends."""
        totals = self.state.totals
        totals[Total.DELTAS] = totals[Total.TOPS] = totals[Total.BOUND] = 0
        totals[Total.CLOSINGS] = 0
        self._note()
        self._fit_outputs(0)
        while not window_kernels.end_last_window(self.state, self._out):
            self._make_room(FoldStop.TOPS)
        return self._folded(empty_batch(1))

    def mark_stale(self) -> None:
        """Records are missing: every book is stale until its next R or snapshot (rule 17).

        The books stay as they are; an open snapshot ends.
        """
        totals = self.state.totals
        totals[Total.DELTAS] = totals[Total.TOPS] = totals[Total.CLOSINGS] = 0
        self._fit_outputs(0, self._open_snapshots())
        self._interrupt(Status.STALE)

    def _interrupt(self, status: Status) -> None:
        """End open snapshots, told with the batch; give every book a status."""
        top_words = self._top_words * self._open_snapshots()
        while self._wanted is not None and len(self._out.tops) < top_words:
            self._make_room(FoldStop.TOPS)
        fold_kernels.set_all_statuses(self.state, self._out, int(status))

    def _open_snapshots(self) -> int:
        return int(np.count_nonzero(self._rows()[:, Book.SNAPSHOT_OPEN]))

    def apply(self, batch: MboBatch) -> None:
        """`fold`, of which only `publish` says what came of it; that is called next."""
        self._apply(batch)

    def publish(self, rows: NDArray[np.int64], batch: MboBatch) -> tuple[NDArray[np.int64], int]:
        """Write the rows of the books in which an event has ended since the last time.

        Args:
            rows: (books, words) of `publish_kernels.Row` and levels, to be written; of all books.
            batch: the one just applied, or an empty one.

        Returns:
            Their numbers, and how many events have ended.
        """
        self._fit_outputs(0)
        self._fit_seen()
        totals = self.state.totals
        changed = np.empty(totals[Total.DIRTY], np.int64)
        ended = publish_kernels.publish(
            self.state,
            self._out,
            rows.reshape(-1),
            changed,
            read_only(batch.ts_event),
            read_only(batch.ts_recv),
            read_only(batch.sequence),
            self._seen.reshape(-1),
        )
        totals[Total.DIRTY] = 0
        return changed, int(ended)

    def rebuild(self) -> None:
        """Rebuild both tables to fit what is alive; the books stay the same."""
        self._rebuild_orders()
        self._rebuild_levels()

    def _fit_outputs(self, rows: int, open_snapshots: int = 0) -> None:
        bbo, deltas, event_ends, tops = self._out[:4]
        # A record may end two events: an open snapshot before it, and its own.
        ends_max = 2 * rows + 2 + open_snapshots
        lacks_bbo = self._want_bbo and len(bbo) < rows * _BBO
        lacks_closings = self._want_deltas and len(event_ends) < ends_max * _CLOSING
        lacks_tops = self._wanted is not None and len(tops) == 0
        if not (lacks_bbo or lacks_closings or lacks_tops):
            return
        if lacks_bbo:
            bbo = np.empty(rows * _BBO, np.int64)
        if lacks_closings:
            event_ends = np.empty(ends_max * _CLOSING, np.int64)
            if len(deltas) == 0:
                deltas = np.empty(4 * fold_kernels.BLOCK * _DELTA, np.int64)
        if lacks_tops:
            tops = np.empty(4 * fold_kernels.BLOCK * self._top_words, np.int64)
            self._fit_books()
        self._out = self._out._replace(bbo=bbo, deltas=deltas, event_ends=event_ends, tops=tops)

    @property
    def _top_words(self) -> int:
        return len(Top) + TOP_LEVEL_WORDS * self._out.depth

    def _fit_books(self) -> None:
        """Make what is kept by book as long as there may be books."""
        books, out = len(self.state.books) // BOOK_WORDS, self._out
        words = TOP_LEVEL_WORDS * out.depth
        if isinstance(self._wanted, (WindowsSpec, PublishSpec)):
            dirty, before = (
                _grown(out.dirty, books, 0),
                _grown(out.before, books * words, 0),
            )
            self._out = out._replace(dirty=dirty, before=before)
        elif isinstance(self._wanted, TopsSpec) and self._wanted.changes:
            # Of a new book nothing was shown, so that all differs.
            shown = _grown(out.shown, books * (top_kernels.WORSTS + words), WORST_KEY)
            self._out = out._replace(shown=shown)

    def _make_room(self, lacking: int) -> None:
        state = self.state
        if lacking == FoldStop.ORDERS:
            self._rebuild_orders()
        elif lacking == FoldStop.LEVELS:
            self._rebuild_levels()
        elif lacking == FoldStop.BOOKS:
            self._double_books()
        elif lacking == FoldStop.POOL:
            self.state = state._replace(
                run_keys=_doubled(state.run_keys), run_slots=_doubled(state.run_slots)
            )
        elif lacking == FoldStop.DELTAS:
            self._out = self._out._replace(deltas=_doubled(self._out.deltas))
        elif lacking == FoldStop.TOPS:
            self._out = self._out._replace(tops=_doubled(self._out.tops))
        else:
            raise AssertionError(f"the fold stopped for an unknown reason: {lacking}")

    def _rebuild_orders(self) -> None:
        state = self.state
        alive = len(self._live_slots())
        slots = _power_of_two(4 * (alive + fold_kernels.BLOCK))
        orders = empty_orders(slots)
        taken = table_kernels.rebuild_orders(
            state.orders, orders, slots - 1, _shift(slots), state.books
        )
        state.totals[Total.ORDERS] = taken
        self.state = state._replace(orders=orders)

    def _rebuild_levels(self) -> None:
        state = self.state
        in_runs = int(np.count_nonzero(state.levels[Level.OWNER :: SLOT_WORDS] & 1))
        slots = _power_of_two(4 * (in_runs + fold_kernels.BLOCK))
        levels = empty_levels(slots)
        state.totals[Total.LEVELS] = table_kernels.rebuild_levels(
            state.levels,
            levels,
            slots - 1,
            _shift(slots),
            state.orders,
            state.books,
            self.book_count,
            state.run_slots,
            np.zeros(len(state.levels) // SLOT_WORDS, np.int64),
        )
        self.state = state._replace(levels=levels)

    def _double_books(self) -> None:
        state = self.state
        books = aligned_zeros(2 * len(state.books))
        books[: len(state.books)] = state.books
        index = np.zeros(2 * len(state.book_index), np.int64)
        table_kernels.rebuild_index(index, books, self.book_count)
        self.state = state._replace(
            books=books, book_index=index, anomalies=_doubled(state.anomalies)
        )
        self._fit_books()

    def _fit_seen(self) -> None:
        """Make room for what new books have seen."""
        if len(self._seen) < self.book_count:
            grown = np.full((max(64, 2 * self.book_count), 3), UNDEF_TIMESTAMP, np.uint64)
            grown[: len(self._seen)] = self._seen
            self._seen = grown

    def _keep_noted(self, batch: MboBatch) -> None:
        """Set aside the records that describe tops which are still to come; forget their rows."""
        noted_rows = self._rows()[:, Book.NOTED_ROW]
        books = np.flatnonzero(noted_rows >= 0)
        last = np.flatnonzero(noted_rows == window_kernels.SEEN)
        self._aside = books, take_batch(batch, noted_rows[books]), last, self._seen[last]
        noted_rows[:] = NOTED

    def _note(self) -> None:
        """Note what the fold before set aside: until now, what it gave may be described."""
        books, rows, last, seen = self._aside
        if len(self._noted.action) < self.book_count:
            grown = empty_batch(2 * self.book_count)
            for name, kept in self._noted._asdict().items():
                getattr(grown, name)[: len(kept)] = kept
            self._noted = grown
        for name, kept in self._noted._asdict().items():
            kept[books] = getattr(rows, name)
        for name, column in zip(_SEEN, seen.T, strict=True):
            getattr(self._noted, name)[last] = column

    def _folded(self, batch: MboBatch) -> FoldResult:
        totals = self.state.totals
        bbo_rows = len(batch.action) if self._want_bbo else 0
        tops, seen = self._no_tops, self._seen
        if self._tops is not None:
            words = self._top_words
            tops = self._out.tops[: totals[Total.TOPS] * words].reshape(-1, words)
            # What was seen last is about to become what this batch shows.
            if (tops[:, Top.ROW] == window_kernels.SEEN).any():
                seen = seen.copy()
        return FoldResult(
            self._out.bbo[: bbo_rows * _BBO].reshape(-1, _BBO),
            self._out.deltas[: totals[Total.DELTAS] * _DELTA].reshape(-1, _DELTA),
            self._out.event_ends[: totals[Total.CLOSINGS] * _CLOSING].reshape(-1, _CLOSING),
            tops,
            TopRecords(tops, batch, self._noted, seen),
        )

    # ------------------------------------------------------------------ reading

    @property
    def book_count(self) -> int:
        """How many books there are; they are numbered in order of appearance."""
        return int(self.state.totals[Total.BOOKS])

    def _rows(self) -> NDArray[np.int64]:
        return self.state.books[: self.book_count * BOOK_WORDS].reshape(-1, BOOK_WORDS)

    def keys(self) -> list[tuple[int, int]]:
        """`(publisher_id, instrument_id)` of each book (rule 1)."""
        keys = self._rows()[:, Book.KEY]
        publishers, instruments = keys >> 32, keys & 0xFFFFFFFF
        return list(zip(publishers.tolist(), instruments.tolist(), strict=True))

    def statuses(self) -> list[Status]:
        """Each book's status."""
        return [Status(status) for status in self._rows()[:, Book.STATUS].tolist()]

    def events(self) -> NDArray[np.int64]:
        """How many events each book has completed."""
        return self._rows()[:, Book.EVENTS] >> 1

    def events_open(self) -> NDArray[np.bool_]:
        """Whether each book is in the middle of an event (rule 5)."""
        is_open: NDArray[np.bool_] = self._rows()[:, Book.EVENTS] & 1 == 1
        return is_open

    def anomalies(self) -> NDArray[np.int64]:
        """Counts, a row a book, a column an `Anomaly`."""
        return self.state.anomalies[: self.book_count * len(Anomaly)].reshape(-1, len(Anomaly))

    def last_seen(self) -> NDArray[np.uint64]:
        """Columns ts_event, ts_recv and sequence of each book's last record."""
        return self._seen[: self.book_count]

    def levels(self, book: int | None = None) -> Levels:
        """Every level of every book, or of one."""
        books = np.arange(self.book_count) if book is None else np.array([book])
        ladders = (books[:, None] * BOOK_WORDS + np.array([BID_LADDER, ASK_LADDER])).ravel()
        lengths = self.state.books[ladders + Ladder.LENGTH]
        ends = self.state.books[ladders + Ladder.START] + lengths
        # The best stands last in its run: read each run from its end.
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.repeat(ends, lengths) - 1 - offsets
        slots = self.state.run_slots[places].astype(np.int64) * SLOT_WORDS
        side = np.repeat(np.tile([0, 1], len(books)), lengths)
        size = self.state.levels[slots + Level.SIZE]
        levels = Levels(
            book=np.repeat(np.repeat(books, 2), lengths),
            side=side,
            price=self.state.levels[slots + Level.KEY] ^ -side,
            size=size,
            count=self.state.levels[slots + Level.COUNT],
        )
        alive = size > 0
        return Levels(*(column[alive] for column in levels))

    def orders(self, book: int | None = None) -> Orders:
        """Every live order of every book, or of one; all are looked at."""
        slots = self._live_slots()
        words = self.state.orders
        if book is not None:
            slots = slots[words[slots + Order.OWNER] >> 1 == book]
        owner, packed = words[slots + Order.OWNER], words[slots + Order.PACKED]
        key = self.state.levels[(packed >> 32) * SLOT_WORDS + Level.KEY]
        priority = words[slots + Order.PRIORITY]
        # ~key sorts the best level first without overflow.
        by = np.lexsort((priority, ~key, owner))
        owner, packed, key = owner[by], packed[by], key[by]
        return Orders(
            book=owner >> 1,
            side=owner & 1,
            price=key ^ -(owner & 1),
            order_id=words[slots + Order.ORDER_ID][by].view(np.uint64),
            size=packed & 0xFFFFFFFF,
            priority=priority[by],
        )

    def _live_slots(self) -> NDArray[np.int64]:
        """Words where live orders stand: taken, and not below their side's floor."""
        words = self.state.orders
        slots = np.flatnonzero(words[Order.OWNER :: SLOT_WORDS] >= 0) * SLOT_WORDS
        owner = words[slots + Order.OWNER]
        ladders = (owner >> 1) * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * (owner & 1)
        floors = self.state.books[ladders + Ladder.FLOOR]
        alive: NDArray[np.int64] = slots[words[slots + Order.PRIORITY] >= floors]
        return alive


def _grown(array: NDArray[np.int64], length: int, fill: int) -> NDArray[np.int64]:
    grown = np.full(length, fill, np.int64)
    grown[: len(array)] = array
    return grown


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    grown = np.zeros(2 * len(array), array.dtype)
    grown[: len(array)] = array
    return grown


def _power_of_two(at_least: int) -> int:
    return 1 << max(10, (at_least - 1).bit_length())


def _shift(slots: int) -> int:
    return 64 - (slots.bit_length() - 1)
