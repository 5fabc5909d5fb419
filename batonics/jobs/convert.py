"""Derives rows of a schema from MBO records, and writes them to a file.

The rule: books are built from the beginning of the input; `start` and `end` select rows only. One
pass, constant memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from batonics.codec.metadata import Metadata
from batonics.frames.columns.book_state import EXTRA_SCHEMA
from batonics.frames.columns.levels import count_clamped_rows
from batonics.frames.columns.prices import find_price_columns
from batonics.frames.scan.book_changes import ColdStartCounter
from batonics.frames.scan.complete_intervals import CompleteIntervals
from batonics.frames.scan.definitions import TICK, FrameDefinitions, definition_columns
from batonics.frames.scan.mbo_scan import SYMBOL, StreamFacts, scan_batches
from batonics.frames.scan.row_extras import RowExtras, check_extra
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import AliasWarning, FrameSymbols
from batonics.frames.schemas.row_keys import ROW_TIME, SYMBOL_TIME, RowKeys
from batonics.frames.schemas.table import find_schema
from batonics.jobs.merged_metadata import merge_metadata
from batonics.jobs.progress import ReadProgress
from batonics.jobs.stream_end import StreamEnd
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.answers import DataSpan
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import MboBatch
from batonics.model.prices import PriceUnit
from batonics.model.times import describe_bounds, format_time
from batonics.sinks.tables import default_price_unit, find_format, open_table
from batonics.sinks.text import format_display_prices
from batonics.sources.definitions import read_definitions
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    import polars as pl

UTC = "UTC"


class RowOptions(NamedTuple):
    """The columns that rows have for a file format.

    Attributes:
        symbol: rows have a column `symbol` after the columns of the schema.
        displayed: with `ticks`, prices are text with as many decimals as the tick.
    """

    symbol: bool
    displayed: bool = False


@dataclass(frozen=True)
class ConvertRequest:
    """The records to convert, and the schema to derive.

    Attributes:
        paths: input files; `-` is standard input.
        schema: the name of a schema (`frames/schemas/table.py`).
        symbols: symbols or instrument ids to keep; empty: all.
        start_ns: the first index timestamp of rows to keep; None: no bound. Books and intervals
            are built from all records.
        end_ns: the index timestamp before which rows to keep end; None: no bound.
        options: how the files are read.
        consolidated: levels are sums over all publishers of an instrument.
        tz: the time zone of times, such as America/Chicago.
        ticks: add columns from instrument definitions, those of the input and of `definitions`.
        definitions: files of the schema definition.
        extra: the names of extra columns (`frames/scan/row_extras.py`); `symbol` is there anyway.
        statuses: files of the schema status; empty: the status records of the input.
        sessions: the sessions of the market, for books without a status.
    """

    paths: tuple[str, ...]
    schema: str
    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    options: InputOptions = DEFAULT_OPTIONS
    consolidated: bool = False
    tz: str = UTC
    ticks: bool = False
    definitions: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None

    def __post_init__(self) -> None:
        schema = find_schema(self.schema)
        check_extra(self.extra, schema.columns)
        if self.consolidated:
            schema.check_consolidated()
        start_ns, end_ns = self.start_ns, self.end_ns
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise UsageError(
                f"the start, {format_time(start_ns)}, is not before the end, {format_time(end_ns)}"
            )
        _check_time_zone(self.tz)


class ConvertResult(NamedTuple):
    """What a conversion wrote.

    Attributes:
        rows: the number of rows.
        clamped_rows: the number of rows with a size of 32 bits that may be larger in the book.
        incomplete_rows: the number of rows whose interval the input does not cover whole.
        cold_books: the number of books that began mid-session; 0 for rows without quotes.
        book_count: the number of books; 0 for rows without quotes.
    """

    rows: int
    clamped_rows: int
    incomplete_rows: int
    cold_books: int
    book_count: int


class TableOutput(NamedTuple):
    """The file that rows are written to.

    Attributes:
        path: the file's name; `-` is standard output.
        file_format: one of `TABLE_FORMATS`; None: the name's ending says it.
        prices: unit of prices; None: the format's default.
    """

    path: str
    file_format: str | None = None
    prices: PriceUnit | None = None


def convert(
    request: ConvertRequest, output: TableOutput, progress: ReadProgress | None = None
) -> ConvertResult:
    """Write the rows of a conversion to a file; the number of rows.

    Args:
        request: the conversion.
        output: the file. It takes its name when all rows are written.
        progress: called with the input after each batch.

    Raises:
        UsageError: the format cannot hold these rows, or the file's name says another format.
        InputError: a file cannot be read, or is damaged.
        OutputError: the file cannot be written.
    """
    file_format = output.file_format or find_format(output.path)
    is_dbn = file_format.startswith("dbn")
    if is_dbn and request.tz != UTC:
        raise UsageError("times in DBN are UTC: --tz goes with the other formats")
    if is_dbn and request.ticks:
        raise UsageError("DBN has no columns for ticks: --definitions goes with the other formats")
    if is_dbn and request.extra:
        raise UsageError("DBN has no extra columns: --extra goes with the other formats")
    unit = output.prices or default_price_unit(file_format)
    is_text = file_format.startswith(("csv", "ndjson", "json"))
    options = RowOptions(symbol=not is_dbn, displayed=is_text and unit == "decimal")
    table = open_table(
        output.path,
        output_columns(request, options),
        file_format=file_format,
        schema=request.schema if _has_schema_columns(request) else None,
        metadata=output_metadata(request) if is_dbn else None,
        prices=unit,
    )
    with table as rows:
        run = Conversion(request)
        run.progress = progress
        cold = ColdStartCounter()
        if find_schema(request.schema).has_quotes:
            run.on_batch = cold.note
        # Closing the generator closes its files and ends its thread, whatever happens.
        with closing(run.frames(options)) as frames:
            for frame in frames:
                rows.write(frame)
    if run.rows == 0:
        warnings.warn(f"no rows: {run.describe_nothing()}", DataWarning, stacklevel=2)
    return ConvertResult(
        run.rows, run.clamped_rows, run.incomplete_rows, cold.cold_books, cold.book_count
    )


def _has_schema_columns(request: ConvertRequest) -> bool:
    """Whether the rows have exactly the columns and types of the schema."""
    return request.tz == UTC and not request.ticks and not request.extra


def output_columns(request: ConvertRequest, options: RowOptions) -> pl.Schema:
    """The columns of the frames that a conversion yields."""
    import polars as pl

    time = pl.Datetime("ns", request.tz)
    of_schema = find_schema(request.schema).columns
    columns: dict[str, pl.DataType] = {
        name: time if isinstance(dtype, pl.Datetime) else dtype for name, dtype in of_schema.items()
    }
    if options.symbol:
        columns[SYMBOL] = pl.String()
    columns |= {name: EXTRA_SCHEMA[name] for name in _added_names(request)}
    if request.ticks:
        columns |= definition_columns(of_schema)
    if request.ticks and options.displayed:
        columns |= dict.fromkeys(find_price_columns(columns), pl.String())
    return pl.Schema(columns)


def _added_names(request: ConvertRequest) -> tuple[str, ...]:
    """The extra columns that are added to rows; the symbol is a column of its own."""
    return tuple(name for name in check_extra(request.extra) if name != SYMBOL)


def output_metadata(request: ConvertRequest) -> Metadata:
    """The metadata of a DBN file of the rows, made from the metadata of the input files.

    Raises:
        InputError: a file cannot be read, or is damaged.
    """
    metadata = merge_metadata(request.paths, request.schema, request.symbols, request.options)
    return replace(
        metadata,
        start=metadata.start if request.start_ns is None else request.start_ns,
        end=metadata.end if request.end_ns is None else request.end_ns,
    )


class Conversion:
    """A conversion that runs once. Its files are open until `frames` ends.

    Attributes:
        stream: the input.
        rows: the number of rows that `frames` has yielded.
        clamped_rows: the number of them with a size of 32 bits that may be larger in the book.
        incomplete_rows: the number of them whose interval the input does not cover whole.
        progress: called with the stream after each batch; set it before `frames`.
        on_batch: called with each batch of records before it is folded; set it before `frames`.
        selection: the records and rows of the symbols of the request.
    """

    def __init__(self, request: ConvertRequest) -> None:
        definitions = read_definitions(request.definitions).intervals()
        self.request = request
        self.stream = MboStream(request.paths, request.options)
        self.rows = self.clamped_rows = self.incomplete_rows = 0
        self._data = DataSpan()
        self.progress: ReadProgress | None = None
        self.on_batch: Callable[[MboBatch], None] | None = None
        self.selection = SymbolSelection(self.stream, request.symbols)
        self._schema = find_schema(request.schema)
        self._keys = RowKeys(self._schema)
        interval = self._schema.row_interval
        self._end: StreamEnd | None = None
        if request.end_ns is not None and not self._schema.time_depends_on_end:
            self._end = StreamEnd(request.end_ns + (self._schema.interval_ns or 0))
        statuses = read_statuses(request.statuses) if request.statuses else self.stream.statuses
        facts = StreamFacts(
            statuses=lambda: statuses,
            sessions=request.sessions,
            doubtful_days=self.stream.doubtful_days,
            find_holes=self.stream.coverage.holes,
            find_absences=self.selection.absences,
        )
        self._complete = None if interval is None else CompleteIntervals(interval, facts)
        self._names = FrameSymbols(self.stream.symbols, request.symbols, AliasWarning())
        self._definitions = FrameDefinitions(self.stream.definitions)
        self._extras = RowExtras(_added_names(request), facts)
        for definition in definitions:
            self.stream.definitions.add(definition)

    def frames(self, options: RowOptions) -> Generator[pl.DataFrame, None, None]:
        """The rows, in order, with the columns that `output_columns` returns.

        Raises:
            UsageError: there is no row, and all times of the request are outside the input.
        """
        import polars.selectors as cs

        request, schema = self.request, self._schema
        records = scan_batches(lambda: self._extras.watch(self._watch(self._batches())))
        rows = schema.rows(records, consolidated=request.consolidated)
        for frame in pull_frames(rows, schema.columns):
            selected = self._select_rows(self._keys.add_time(frame))
            self.rows += selected.height
            self.clamped_rows += count_clamped_rows(selected)
            if self._complete is not None:
                self.incomplete_rows += int((~self._complete.find(selected, ROW_TIME)).sum())
            complete = self._add_columns(selected, options).drop(
                ROW_TIME, SYMBOL_TIME, strict=False
            )
            yield (
                complete
                if request.tz == UTC
                else complete.with_columns(cs.datetime().dt.convert_time_zone(request.tz))
            )
        if self.rows == 0:
            self._data.check_overlaps(request.start_ns, request.end_ns)

    def describe_nothing(self) -> str:
        """Why there are no rows, in words."""
        times = describe_bounds(self.request.start_ns, self.request.end_ns)
        return f"the input has nothing for {self.request.schema} {times}".rstrip()

    def _watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        return batches if self._complete is None else self._complete.watch(batches)

    @property
    def _is_bounded(self) -> bool:
        return self.request.start_ns is not None or self.request.end_ns is not None

    def _select_rows(self, timed: pl.DataFrame) -> pl.DataFrame:
        """The rows with times in the range of the request."""
        import polars as pl

        start_ns, end_ns = self.request.start_ns, self.request.end_ns
        time = pl.col(ROW_TIME)
        # Times of frames end at 2**63 - 1.
        if start_ns is not None:
            timed = timed.filter(time >= min(start_ns, 2**63 - 1))
        return timed if end_ns is None else timed.filter(time < min(end_ns, 2**63 - 1))

    def _batches(self) -> Iterator[MboBatch]:
        with closing(self.stream.batches()) as batches:
            for batch in batches:
                self.selection.check()
                if self._is_bounded:
                    self._data = self._data.extend(batch)
                for rows in self.selection.pieces(batch):
                    if self.on_batch is not None and len(rows.action):
                        self.on_batch(rows)
                    yield rows
                if self.progress is not None:
                    self.progress(self.stream)
                if self._end is not None and self._end.is_past(batch):
                    break
        self.selection.check(ended=True)

    def _add_columns(self, frame: pl.DataFrame, options: RowOptions) -> pl.DataFrame:
        """The frame with the symbols, the states and the definitions of its instruments."""
        if options.symbol:
            frame = self._keys.add_symbol(frame, self._names)
        if self.request.extra:
            ends_interval = self._schema.time_is_interval_end
            frame = self._extras.add_to(frame, ROW_TIME, ends_interval=ends_interval)
        if not self.request.ticks:
            return frame
        frame = self._definitions.add_to(frame, ROW_TIME)
        if not options.displayed:
            return frame
        prices = find_price_columns(frame.schema)
        ticks = frame[TICK]
        return frame.with_columns(format_display_prices(frame[name], ticks) for name in prices)


def _check_time_zone(tz: str) -> None:
    """Raise UsageError unless the time zone exists."""
    import polars as pl

    if tz in ("", "*"):  # Polars takes these for something else
        raise UsageError(f"no time zone {tz!r} (expected such as America/Chicago)")
    try:
        pl.Series([0]).cast(pl.Datetime("ns", UTC)).dt.convert_time_zone(tz)
    except pl.exceptions.PolarsError:
        raise UsageError(f"no time zone {tz!r} (expected such as America/Chicago)") from None
