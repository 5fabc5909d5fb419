"""Depth at the ends of windows, read from the ladder of the fold.

The rule here: a row is a window in which an event of the book ended, with the book after the last
of these events. `snapshots.py` derives the same from level deltas, without the ladder and by each
book's own time, and is several times slower. If `ts_recv` never decreases, the rows are equal. An
event that only its successor ends (rule 14) is in the window of the successor.

| windows       | end                                  | order of rows                       |
|---------------|--------------------------------------|-------------------------------------|
| of N events   | with each N-th event of a book       | as the windows end                  |
| of a duration | by the stream's time (`StreamClock`) | by T, then publisher and instrument |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import SEEN_COLUMNS, FoldResult, TopsSpec, WindowsSpec
from batonics.book.state import TOP_WORDS, ChangeBits, Top, WindowTop
from batonics.book.top_kernels import SIZE_WORD
from batonics.frames.columns.levels import level_series
from batonics.frames.columns.mbo_frame import TIME_TYPE, null_where, to_datetimes
from batonics.frames.depth.windows import EventWindows, Windows
from batonics.frames.scan.clock import UNKNOWN_TIME, StreamClock
from batonics.frames.scan.folding import TOPS_FOLD_ROWS, book_keys, fold_tops, key_columns
from batonics.model.mbo import MboBatch, split_batches

DEPTH_FLUSH_ROWS = 1 << 14
"""Rows gathered for a frame. The cost of its columns depends little on their length."""


def sampled_depth_frames(
    batches: Iterable[MboBatch], windows: Windows, depth: int
) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema(depth)` (`snapshots.py`): a row for each window."""
    spec = WindowsSpec(depth, events=windows.length if isinstance(windows, EventWindows) else 0)
    engine = BookEngine(tops=spec)
    intervals = None if isinstance(windows, EventWindows) else _IntervalEnds(windows.length_ns)
    gatherer = _TopGatherer(depth)
    for piece in split_batches(batches, TOPS_FOLD_ROWS):
        rows, ends = intervals.find(piece) if intervals is not None else _NO_ENDS
        gatherer.add_windows(engine.fold(piece, rows), ends)
        if gatherer.rows >= DEPTH_FLUSH_ROWS:
            yield gatherer.frame(book_keys(engine))
    if intervals is not None:
        gatherer.add_windows(engine.end_windows(), np.array([intervals.latest_end_ns]))
    if gatherer.rows:
        yield gatherer.frame(book_keys(engine))


def changed_depth_frames(batches: Iterable[MboBatch], depth: int) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema(depth)`: a row for each event that changed a book's best levels.

    `events` counts the events of the book since its last row. The books begin empty: an event that
    leaves a new book empty changes nothing.
    """
    counted = np.empty(0, np.int64)
    engine, gatherer = BookEngine(tops=TopsSpec(depth)), _TopGatherer(depth)
    for folded in fold_tops(batches, engine, without=ChangeBits.UNCHANGED):
        new = np.zeros(engine.book_count - len(counted), np.int64)
        counted = np.concatenate([counted, new])
        is_change = _find_changes(folded.tops, counted)
        tops, moments = folded.tops[is_change], folded.top_records.closing()[is_change]
        if len(tops):
            _count_since(tops, counted)
            gatherer.add(tops, moments)
            yield gatherer.frame(book_keys(engine))


def _find_changes(tops: NDArray[np.int64], counted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tops differ from the book before: all but a book's first one, if that is empty."""
    sizes = tops[:, TOP_WORDS + SIZE_WORD : TOP_WORDS + SIZE_WORD + 2]
    is_change = sizes.any(axis=1)
    # A book without a row has counted no event; what follows its first top is a change.
    is_change |= counted[tops[:, Top.BOOK]] > 0
    empty = np.flatnonzero(~is_change)
    firsts = np.full(len(counted), len(tops), np.int64)
    np.minimum.at(firsts, tops[:, Top.BOOK], np.arange(len(tops)))
    is_change[empty] = empty != firsts[tops[empty, Top.BOOK]]
    return is_change


def _count_since(tops: NDArray[np.int64], counted: NDArray[np.int64]) -> None:
    """Replace each top's event number by the count of events since its book's last top.

    Args:
        tops: rows of tops, changed in place.
        counted: the number of events counted so far by book, updated in place.
    """
    order = np.argsort(tops[:, Top.BOOK], kind="stable")
    book, ended = tops[order, Top.BOOK], tops[order, Top.EVENT] + 1
    is_first = np.append(True, book[1:] != book[:-1])
    before = np.where(is_first, counted[book], np.append(0, ended[:-1]))
    tops[order, WindowTop.EVENTS] = ended - before
    counted[book] = ended


class _WindowEnds(NamedTuple):
    """Ends of windows in a piece.

    Attributes:
        rows: the rows of the piece before which a window ends.
        ends: T of each of these windows.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]


_NO_ENDS = _WindowEnds(np.empty(0, np.int64), np.empty(0, np.int64))


class _IntervalEnds:
    """Finds the ends of the stream's intervals."""

    def __init__(self, length_ns: int) -> None:
        self._clock = StreamClock(length_ns)

    @property
    def latest_end_ns(self) -> int:
        """T of the open interval."""
        return self._clock.latest_end_ns

    def find(self, piece: MboBatch) -> _WindowEnds:
        """The ends of windows in the next piece."""
        before = self._clock.latest_end_ns
        ends = self._clock.interval_ends(piece.ts_recv, piece.flags)
        previous = np.concatenate([[before], ends[:-1]])
        # No interval ends before a time is known.
        rows = np.flatnonzero((ends != previous) & (previous != UNKNOWN_TIME))
        return _WindowEnds(rows, previous[rows])


class _TopGatherer:
    """Gathers tops of several folds until there are enough for a frame.

    Attributes:
        rows: the number of gathered rows.
    """

    def __init__(self, depth: int) -> None:
        self.rows = 0
        self._depth = depth
        self._tops: list[NDArray[np.int64]] = []
        self._moments: list[NDArray[np.uint64]] = []
        self._labels_ns: list[NDArray[np.int64]] = []

    def add_windows(self, folded: FoldResult, ends: NDArray[np.int64]) -> None:
        """Add the windows of a fold; `ends` are the T of windows of a duration, by window."""
        if len(folded.tops):
            labels_ns = ends[folded.tops[:, WindowTop.WINDOW]] if len(ends) else ends
            columns = [folded.top_records.column(name) for name in SEEN_COLUMNS]
            moments = np.stack(columns, axis=1, dtype=np.uint64, casting="unsafe")
            self.add(folded.tops.copy(), moments, labels_ns)

    def add(
        self,
        tops: NDArray[np.int64],
        moments: NDArray[np.uint64],
        labels_ns: NDArray[np.int64] = _NO_ENDS.ends,
    ) -> None:
        """Add tops, `SEEN_COLUMNS` of their closing records, and the T of their windows, if any."""
        self.rows += len(tops)
        self._tops.append(tops)
        self._moments.append(moments)
        self._labels_ns.append(labels_ns)

    def frame(self, keys: NDArray[np.int64]) -> pl.DataFrame:
        """All gathered rows as a frame, which is not empty; `keys` are the keys of the books."""
        tops = np.concatenate(self._tops)
        ts_event, ts_recv, sequence = np.concatenate(self._moments).T.copy()
        moment = pl.DataFrame(
            {
                "ts_event": to_datetimes(ts_event),
                "ts_recv": to_datetimes(ts_recv),
                "sequence": sequence.astype(np.uint32),
            }
        )
        label_ns = np.concatenate(self._labels_ns)
        self._tops, self._moments, self._labels_ns, self.rows = [], [], [], 0
        key = keys[tops[:, Top.BOOK]]
        if len(label_ns):
            order = np.lexsort((key, label_ns))
            if (order[1:] < order[:-1]).any():
                tops, key, moment = tops[order], key[order], moment[order]
                label_ns = label_ns[order]
        labels = null_where(label_ns, label_ns == UNKNOWN_TIME).cast(TIME_TYPE)
        columns: dict[str, pl.Series] = {
            "ts": labels if len(label_ns) else moment["ts_recv"],
            **{series.name: series for series in moment.get_columns()},
            **{name: pl.Series(column) for name, column in key_columns(key).items()},
            "events": pl.Series(tops[:, WindowTop.EVENTS].copy()),
            **level_series(tops, self._depth, np.int64),
        }
        return pl.DataFrame(columns)
