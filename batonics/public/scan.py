"""Files as a LazyFrame of MBO records.

The rule here: the files are opened and read at each collection of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import polars as pl

from batonics.frames.columns.prices import scan_prices
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.scan.mbo_scan import StreamFacts, scan_batches
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.absences import Absences
from batonics.model.arguments import SymbolsOrIds, check_arguments, symbol_list
from batonics.model.book_changes import BookChanges
from batonics.model.coverage import Holes
from batonics.model.day_conditions import DoubtfulDays
from batonics.model.mbo import MboBatch
from batonics.model.prices import PriceUnit
from batonics.model.symbols import SymbolMap
from batonics.model.times import parse_date
from batonics.sources.input_options import InputOptions
from batonics.sources.inputs import Inputs, find_inputs
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream


@check_arguments
def scan_mbo(  # noqa: PLR0913 - settings, by keyword
    paths: Inputs,
    *,
    symbols: SymbolsOrIds = (),
    skip_bad: bool = False,
    salvage: bool = False,
    in_this_order: bool = False,
    lossy: bool = False,
    session_date: str | date | None = None,
    verify_manifest: bool = False,
    statuses: Inputs = (),
    session: str | None = None,
    prices: PriceUnit = "fixed",
) -> pl.LazyFrame:
    """A LazyFrame of the MBO records of files. It streams, so they may be larger than memory.

    Columns, in the vendor's order: ts_recv, ts_event (Datetime ns UTC, null where undefined),
    publisher_id u16, instrument_id u32, action, side (Enum of letters), price i64 of 1e-9 (null
    where undefined), size u32 (null where undefined), channel_id u8, order_id u64, flags u8,
    ts_in_delta i32, sequence u32, symbol (String). Projections, predicates and row limits reach
    the decoder, so a query pays only for what it selects.

    Args:
        paths: one file or several. Several are one stream, in the order of their time. An input is
            a path or URL, a directory, a pattern such as "2025/*.dbn.zst", a batch download or its
            zip archive, bytes, a DBNStore, or an open binary file.
        symbols: only records of these symbols on their dates, or of these instrument ids. The
            column `symbol` has no other symbols. Empty: all records.
        skip_bad: count and skip bad records if the framing is intact.
        salvage: keep the whole records of a file that ends within one; a LossWarning says what is
            lost.
        in_this_order: read the files as they are given, even if they repeat or overlap each other.
        lossy: take tables of which something was lost when they were written, such as times in
            microseconds; a LossWarning says what.
        session_date: the day in New York of an ITCH file whose name does not say it: 2019-01-30.
        verify_manifest: compare every file with its SHA-256 in the manifest of its batch download.
        statuses: files of the vendor's schema `status`. None: the status records of `paths`.
        session: hours such as "17:00-16:00 America/Chicago", or the calendar of an exchange such as
            "CMES" (the extra `calendar`), for books without a status. Statuses and sessions say
            when a market is open: measures of windows leave out what is not, and
            `extra=("status",)` of the methods of `.mbo` shows it.
        prices: the unit of the column price: "fixed", "decimal" or "float". `.mbo` needs "fixed";
            its methods take `prices` too.

    Raises:
        InputError: a file cannot be opened (at once), or is damaged (when it is collected).
        UsageError: `session` is neither hours nor a calendar, or an argument has another type; or,
            when they are collected, files repeat or overlap each other, or none has a symbol, or
            the calendar does not know a date.
    """
    options = InputOptions(skip_bad, salvage, in_this_order, lossy, parse_date(session_date))
    files = _ScannedFiles(
        find_inputs(paths, verify_manifest=verify_manifest), symbol_list(symbols), options
    )
    files.check()
    known = read_statuses(find_inputs(statuses)) if statuses else None
    facts = StreamFacts(
        files.symbols,
        files.statuses if known is None else lambda: known,
        None if session is None else find_sessions(session),
        files.doubtful_days,
        files.holes,
        files.absences,
    )
    return scan_prices(scan_batches(files.batches, symbols=files.symbols, facts=facts), prices)


class _ScannedFiles:
    """The files of a scan, opened at each collection."""

    def __init__(self, paths: Sequence[str], names: tuple[str, ...], options: InputOptions) -> None:
        self._paths, self._names, self._options = paths, names, options
        self.doubtful_days: DoubtfulDays = ()
        self._stream: MboStream | None = None
        self._selection: SymbolSelection | None = None

    def check(self) -> None:
        """Open and close the files, so that errors are raised at once."""
        stream = self._open()
        self.doubtful_days = stream.doubtful_days
        stream.close()

    def _open(self) -> MboStream:
        return MboStream(self._paths, self._options)

    def batches(self) -> Iterator[MboBatch]:
        stream = self._stream = self._open()
        selection = self._selection = SymbolSelection(stream, self._names)
        for batch in stream.batches():
            selection.check()
            yield from selection.pieces(batch)
        selection.check(ended=True)

    def symbols(self) -> SymbolMap:
        """The symbols so far. The map grows; for some names it is a new one if there are more."""
        return SymbolMap() if self._selection is None else self._selection.symbols

    def holes(self) -> Holes:
        """The times that no file covers, so far."""
        return () if self._stream is None else self._stream.coverage.holes()

    def absences(self) -> Absences:
        """The times for which records of an instrument are missing, so far."""
        return Absences() if self._selection is None else self._selection.absences()

    def statuses(self) -> BookChanges:
        """The trading statuses so far."""
        return BookChanges() if self._stream is None else self._stream.statuses
