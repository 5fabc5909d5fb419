"""Selects the records of symbols or instrument ids.

The rule here: a record belongs to a symbol if the symbol holds for its instrument at the record's
own time (rule 2). A book of a symbol has the records of the symbol's dates only. Behind a time for
which there are none (`model/absences.py`) all books begin anew, as on a new day. A symbol that the
input does not have is an error as soon as the input shows it. A symbol that it has, but no record
of, is a DataWarning at the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from batonics.frames.scan.book_changes import SeenKeys
from batonics.frames.scan.returns import ReturnCutter
from batonics.model.absences import AbsenceFinder, Absences
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import MboBatch, take_batch
from batonics.model.record_times import RecordTimes
from batonics.model.symbol_intervals import IntervalFilter
from batonics.model.symbols import (
    IntervalMap,
    MappingInterval,
    SymbolMap,
    alias_note,
    is_instrument_id,
    list_names,
    selected_names,
    suggest_symbols,
)
from batonics.model.times import format_time
from batonics.sources.stream import MboStream


def warn_of_aliases(symbols: SymbolMap, seen: Iterable[tuple[int, int]]) -> None:
    """Warn, with a DataWarning, if a document shows one of several symbols of a book.

    Args:
        symbols: the symbols that the document uses.
        seen: instrument id of each book, and the time at which it has its symbol.
    """
    if not symbols.may_have_aliases:
        return
    for instrument_id, ts_ns in seen:
        found = symbols.symbols_at(instrument_id, ts_ns)
        if len(found) > 1:
            date = str(format_time(ts_ns)).partition("T")[0]
            warnings.warn(alias_note(found[1], found[0], date), DataWarning, stacklevel=2)
            return


class SymbolSelection:
    """The rows of some symbols or instrument ids of a stream.

    Args:
        stream: the input; its symbols become known while it is read.
        names: symbols or instrument ids; empty, or with `ALL_SYMBOLS` among them: all.
        at_ns: only the instruments that have the symbols at this time, or had them last before it;
            None: at any time.
    """

    def __init__(
        self, stream: MboStream, names: Sequence[str], *, at_ns: int | None = None
    ) -> None:
        self.names = selected_names(names)
        self._stream, self._at_ns = stream, at_ns
        self._times = RecordTimes()
        self._known = self._checked = self._selected_of = -1  # intervals of the stream
        self._seen, self._seen_ids = SeenKeys(), set[int]()
        self._unseen = list(dict.fromkeys(self.names))  # names of which no row has come
        self._finder = AbsenceFinder(self.names)
        self._returns = ReturnCutter()

    @property
    def symbols(self) -> SymbolMap:
        """The symbols that answers about the selected rows use, as far as they are known."""
        known = self._stream.symbols
        if not self.names:
            return known
        if len(known) != self._selected_of:
            self._selected_of = len(known)
            self._selected = known.select(self.names)
        return self._selected

    def absences(self) -> Absences:
        """The times so far for which records of an instrument are missing."""
        return self._finder.find(self._stream.symbols)

    def pieces(self, batch: MboBatch) -> Iterator[MboBatch]:
        """The selected rows: the batch itself if it has no other rows, else copies.

        They are in one piece, unless books of an instrument return in them: a `DayStart` begins
        with the first row of one.
        """
        absences = self.absences()
        if not self.names and not len(absences):
            yield batch
            return
        rows, times = batch, self._times.find_times(batch.ts_recv, batch.flags)
        if self.names:
            selected = self.find_rows(batch.instrument_id, times)
            if not selected.all():
                rows, times = take_batch(batch, selected), times[selected]
            if self._unseen:
                self._note_seen(rows)
        yield from self._returns.cut(rows, times, absences)

    def _note_seen(self, rows: MboBatch) -> None:
        new = self._seen.find_new(rows.instrument_id.astype(np.int64))
        if new:
            self._seen_ids.update(instrument_id for instrument_id, _ in new)
            self._unseen = [name for name in self._unseen if not self._is_seen(name)]

    def _is_seen(self, name: str) -> bool:
        """Whether a row of a name's instruments has come."""
        ids = self._stream.symbols.instrument_ids(name)
        if not ids and is_instrument_id(name):
            ids = {int(name)}
        return not ids.isdisjoint(self._seen_ids)

    def find_rows(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        """(rows,) Whether rows of instruments at these times are selected."""
        if not self.names:
            return np.ones(len(ts_ns), np.bool_)
        if len(self._stream.symbols) != self._known:
            self._known = len(self._stream.symbols)
            self._filter = IntervalFilter(self._find_spans())
        return self._filter.find_rows(instrument_id, ts_ns)

    def _find_spans(self) -> IntervalMap[MappingInterval]:
        spans = self._stream.symbols.find_spans(self.names)
        if self._at_ns is None:
            return spans
        known = spans.intervals()
        begun = [span for span in known if span.start_ns <= self._at_ns]
        # A time at which no instrument has the symbol is answered for the last one before it.
        holding = [span for span in begun if self._at_ns < span.end_ns] or begun[-1:]
        ids = {span.instrument_id for span in holding}
        held = IntervalMap[MappingInterval]()
        for span in known:
            if not ids or span.instrument_id in ids:
                held.add(span)
        return held

    def check(self, *, ended: bool = False) -> None:
        """Refuse a symbol that no file has: at once if the metadata of the only file lists all.

        At the end, a DataWarning names the symbols of which there is no record.

        Args:
            ended: no more rows come.

        Raises:
            UsageError: the symbol, and similar symbols of the input.
        """
        stream = self._stream
        if not self.names or (len(stream.symbols) == self._checked and not ended):
            return
        self._checked = len(stream.symbols)
        metadata = stream.files[-1].metadata if stream.files else None
        lists_all = len(stream.paths) == 1 and metadata is not None and metadata.mappings
        if not (ended or lists_all):
            return
        for name in self.names:
            if stream.symbols.instrument_ids(name):
                continue
            if is_instrument_id(name) and (not ended or self._is_seen(name)):
                continue
            hint = suggest_symbols(name, stream.symbols.symbols())
            raise UsageError(f"no symbol {name!r} in the input; {hint}")
        unseen = [name for name in self._unseen if not self._is_seen(name)]
        # An order has one book, without whose records it is refused.
        if ended and unseen and self._at_ns is None:
            text = f"no record of {list_names(unseen)} in what was read of the input"
            warnings.warn(text, DataWarning, stacklevel=2)
