"""Depth at the ends of windows, read off the fold's own ladder: the quick way.

The rule here: a row is a window of a book in which an event of the book ended, and the book as it
was after the last of them. `snapshots.py` derives it from level deltas, without the ladder, with
each book's own time; where `ts_recv` never falls and snapshots end with F_LAST, the rows are equal.
An event that only its successor ends (rule 14) is in the window of the successor here.

| windows       | end                                 | rows come                              |
|---------------|-------------------------------------|----------------------------------------|
| of N events   | with each N-th event of a book      | as they end                            |
| of a duration | with the stream's time (`clock.py`) | by T, then by publisher and instrument |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult, TopsSpec, WindowsSpec
from batonics.book.state import Top, WindowTop
from batonics.frames.columns.levels import level_series
from batonics.frames.columns.mbo_frame import TIME_TYPE, null_where, to_frame
from batonics.frames.depth.windows import EventWindows, Windows
from batonics.frames.scan.clock import UNKNOWN_TIME, StreamClock
from batonics.frames.scan.folding import TOPS_FOLD_ROWS, book_keys, fold_tops, key_columns
from batonics.model.mbo import MboBatch, concat_batches, split_batches

DEPTH_FLUSH_ROWS = 1 << 14
"""So many rows are gathered for a frame: its columns cost the same, however few rows they have."""
_MOMENT = ("ts_event", "ts_recv", "sequence")


def sampled_depth_frames(
    batches: Iterable[MboBatch], windows: Windows, depth: int
) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema(depth)` (`snapshots.py`)."""
    wanted = WindowsSpec(depth, events=windows.length if isinstance(windows, EventWindows) else 0)
    engine = BookEngine(tops=wanted)
    bounds = None if isinstance(windows, EventWindows) else _Bounds(windows.length_ns)
    gathered = _Gathered(depth)
    for piece in split_batches(batches, TOPS_FOLD_ROWS):
        rows, ends = bounds.of(piece) if bounds is not None else _NO_BOUNDS
        gathered.add(engine.fold(piece, rows), ends)
        if gathered.rows >= DEPTH_FLUSH_ROWS:
            yield gathered.frame(book_keys(engine))
    if bounds is not None:
        gathered.add(engine.end_windows(), np.array([bounds.latest_end_ns]))
    if gathered.rows:
        yield gathered.frame(book_keys(engine))


def changed_depth_frames(batches: Iterable[MboBatch], depth: int) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema(depth)`: a row where an event changed a book's best levels.

    As rows of changes in `mbp.py`; `events` counts those of the book since its last row.
    """
    counted = np.empty(0, np.int64)
    engine, gathered = BookEngine(tops=TopsSpec(depth)), _Gathered(depth)
    for folded in fold_tops(batches, engine):
        new = np.zeros(engine.book_count - len(counted), np.int64)
        counted = np.concatenate([counted, new])
        _count_since(folded.tops, counted)
        gathered.add(folded, _NO_BOUNDS.ends)
        yield gathered.frame(book_keys(engine))


def _count_since(tops: NDArray[np.int64], counted: NDArray[np.int64]) -> None:
    """Turn the number of each top's event into how many events came since its book's last top.

    `counted` holds, by book, how many events were counted so far; brought up to date.
    """
    order = np.argsort(tops[:, Top.BOOK], kind="stable")
    book, ended = tops[order, Top.BOOK], tops[order, Top.EVENT] + 1
    is_first = np.append(True, book[1:] != book[:-1])
    before = np.where(is_first, counted[book], np.append(0, ended[:-1]))
    tops[order, WindowTop.EVENTS] = ended - before
    counted[book] = ended


class _Found(NamedTuple):
    """Rows of a piece before which a window ends, and the T of each window that does."""

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]


_NO_BOUNDS = _Found(np.empty(0, np.int64), np.empty(0, np.int64))


class _Bounds:
    """Where the stream's intervals end."""

    def __init__(self, length_ns: int) -> None:
        self._clock = StreamClock(length_ns)

    @property
    def latest_end_ns(self) -> int:
        """T of the interval that is open."""
        return self._clock.latest_end_ns

    def of(self, piece: MboBatch) -> _Found:
        """The bounds in the next piece."""
        before = self._clock.latest_end_ns
        ends = self._clock.ends(piece.ts_recv, piece.flags)
        previous = np.concatenate([[before], ends[:-1]])
        # Until a time is known there is no interval to end.
        rows = np.flatnonzero((ends != previous) & (previous != UNKNOWN_TIME))
        return _Found(rows, previous[rows])


class _Gathered:
    """Rows of several folds, until there are enough for a frame.

    Attributes:
        rows: how many there are.
    """

    def __init__(self, depth: int) -> None:
        self.rows = 0
        self._depth = depth
        self._tops: list[NDArray[np.int64]] = []
        self._described: list[MboBatch] = []
        self._labels_ns: list[NDArray[np.int64]] = []

    def add(self, folded: FoldResult, ends: NDArray[np.int64]) -> None:
        """Take the tops; `ends` are the T of windows of a duration, by bound."""
        if len(folded.tops) == 0:
            return
        self.rows += len(folded.tops)
        self._tops.append(folded.tops.copy())
        self._described.append(folded.top_records.take())
        self._labels_ns.append(ends[folded.tops[:, WindowTop.WINDOW]] if len(ends) else ends)

    def frame(self, keys: NDArray[np.int64]) -> pl.DataFrame:
        """All rows as a frame; there are some. `keys` are those of books."""
        tops = np.concatenate(self._tops)
        moment = to_frame(concat_batches(self._described), _MOMENT)
        label_ns = np.concatenate(self._labels_ns)
        self._tops, self._described, self._labels_ns, self.rows = [], [], [], 0
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
