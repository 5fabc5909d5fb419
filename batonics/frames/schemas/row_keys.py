"""The time, the symbol and the place of each row of a schema, from frame to frame.

The rule here: a row's date and symbol follow from its time (`Schema.time`), for every reader alike.
Its place (`frames/columns/row_place.py`) does not depend on how the stream is cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.row_place import POSITION, ROW_PLACE_SCHEMA, SOURCE, position_series
from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.scan.symbols import FrameSymbols, times_ns
from batonics.frames.schemas.schema import Schema
from batonics.model.mbo import MboBatch
from batonics.model.record_times import RecordTimes, first_time

ROW_TIME = "_time"
"""The column with a row's time: Int64, nanoseconds since the epoch."""
SYMBOL_TIME = "_symbol_time"
"""The column with the time that a row's symbol depends on, in frames where it is another time."""
ALIASES = "_aliases"
"""The column with a row's other symbols, in frames where a row may have any: a JSON array."""


class RowKeys:
    """Adds the time and the symbol to the frames of one stream, in order.

    A row without a time has the time of the row before it. Its symbol is that of its instrument at
    its time, or at the stream's time where its `ts_recv` orders nothing (rule 16). A row that
    covers an interval, and has no symbol at the interval's end, has the symbol of the moment
    before. Where several symbols hold, the others are the row's aliases (rule 2).
    """

    def __init__(self, schema: Schema) -> None:
        is_recv = schema.time_column == "ts_recv" and not schema.time_is_interval_end
        self._times = RecordTimes() if is_recv and "flags" in schema.columns else None
        self._time = schema.time.to_physical().alias(ROW_TIME)
        self._time_is_interval_end = schema.time_is_interval_end
        self._latest: int | None = None

    def add_time(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with `_time` (Int64) after its own columns."""
        time = frame.select_seq(self._time).to_series()
        if time.null_count():
            time = time.forward_fill()
            if self._latest is not None:
                time = time.fill_null(self._latest)
        if frame.height:
            self._latest = time[-1]
        timed = frame.hstack([time])
        if self._times is not None and frame.height and "flags" in frame.columns:
            ts_recv = frame["ts_recv"].to_physical().fill_null(-1).to_numpy().view(np.uint64)
            times = self._times.find_times(ts_recv, frame["flags"].to_numpy())
            if times is not ts_recv:
                timed = timed.hstack([pl.Series(SYMBOL_TIME, times.view(np.int64))])
        return timed

    def add_symbol(self, timed: pl.DataFrame, names: FrameSymbols) -> pl.DataFrame:
        """A frame of `add_time` with `symbol` (String) after its columns."""
        symbol = self._look_up(timed, names.find_symbols)
        return timed.drop(SYMBOL_TIME, strict=False).hstack([symbol.alias(SYMBOL)])

    def add_to(self, frame: pl.DataFrame, names: FrameSymbols) -> pl.DataFrame:
        """The frame with `_time` (Int64), `symbol`, and `_aliases` if there are any (String)."""
        timed = self.add_time(frame)
        keyed = self.add_symbol(timed, names)
        if not names.has_aliases(timed, ROW_TIME):
            return keyed
        aliases = self._look_up(timed, names.find_aliases).fill_null("[]")
        return keyed.hstack([aliases.alias(ALIASES)])

    def select(
        self,
        frame: pl.DataFrame,
        names: FrameSymbols,
        find_rows: Callable[[NDArray[np.uint32], NDArray[np.uint64]], NDArray[np.bool_]],
    ) -> pl.DataFrame:
        """The selected ones of the next rows.

        Args:
            frame: the rows.
            names: all symbols of the stream.
            find_rows: (rows,) whether rows of instruments at these times are selected.
        """
        timed = self.add_time(frame)
        ids, times = frame["instrument_id"].to_numpy(), times_ns(timed, _symbol_time(timed))
        selected = find_rows(ids, times)
        if self._time_is_interval_end and not selected.all():
            is_unnamed = names.find_symbols(timed, ROW_TIME).is_null().to_numpy()
            selected |= is_unnamed & find_rows(ids, times - (times > 0))
        return frame.filter(selected)

    def _look_up(
        self, timed: pl.DataFrame, find: Callable[[pl.DataFrame, str], pl.Series]
    ) -> pl.Series:
        """What holds for the instruments of a frame of `add_time`; null where no symbol does."""
        found = find(timed, _symbol_time(timed))
        if self._time_is_interval_end and found.null_count():
            # A name that ends with the interval held in it.
            before = timed.select("instrument_id", pl.col(ROW_TIME) - 1)
            found = found.fill_null(find(before, ROW_TIME))
        return found


def _symbol_time(timed: pl.DataFrame) -> str:
    return SYMBOL_TIME if SYMBOL_TIME in timed.columns else ROW_TIME


class SourceStart:
    """When the records of a source begin.

    Args:
        from_ns: rows of earlier times are left out, so the source begins at this time at the
            earliest; None: there is no such limit.

    Attributes:
        ns: the time, in nanoseconds since the epoch; None: no record has one so far.
    """

    def __init__(self, from_ns: int | None = None) -> None:
        self.ns: int | None = None
        self._from_ns = from_ns

    def note(self, batch: MboBatch) -> None:
        """Note the next records."""
        if self.ns is None:
            found = first_time(batch)
            self.ns = found if found is None else max(found, self._from_ns or found)


class RowPlaces:
    """Adds the place to the frames of one stream, in order.

    Args:
        schema: schema of the rows.
        start: when the source begins; None: when the records that `note` is given do.

    Attributes:
        columns: the columns that a frame must have to be given its places.
    """

    def __init__(self, schema: Schema, start: SourceStart | None = None) -> None:
        self._start = start or SourceStart()
        self.columns = [*schema.columns]
        if schema.has_record_positions:
            self.columns.append(POSITION)
        self._rows = 0

    def note(self, batch: MboBatch) -> None:
        """Note the start of the source: called with each batch before the frames made of it."""
        self._start.note(batch)

    def add_to(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A frame of `columns` with `source` and `position` after the columns of the schema."""
        start_ns = self._start.ns or 0  # the epoch: no record has a time
        source = pl.Series(SOURCE, [start_ns], pl.Int64).cast(ROW_PLACE_SCHEMA[SOURCE])
        if POSITION in frame.columns:
            position = frame.drop_in_place(POSITION)
        else:
            position = position_series(np.arange(self._rows, self._rows + frame.height))
        self._rows += frame.height
        return frame.hstack([source.new_from_index(0, frame.height), position])
