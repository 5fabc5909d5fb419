"""MBO in, any schema that can be derived from it out.

The rule: books are built from the input's beginning, whatever part of it is asked for; only rows
are selected by time. One pass, constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from batonics.codec.metadata import Metadata, SymbolMapping
from batonics.frames.scan.definitions import TICK, FrameDefinitions, definition_columns
from batonics.frames.scan.mbo_scan import SYMBOL, scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import ROW_TIME, RowKeys
from batonics.frames.schemas.table import find_schema
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch, is_untimed
from batonics.model.times import NS_PER_DAY, format_time
from batonics.sinks.text import format_display_prices, is_price
from batonics.sources.definitions import read_definitions
from batonics.sources.stream import MboStream, read_metadata

if TYPE_CHECKING:
    import polars as pl

Progress = Callable[[MboStream], None]
UTC = "UTC"


class RowOptions(NamedTuple):
    """What the form of the output asks of its rows.

    Attributes:
        symbol: each has its instrument's name, after the schema's columns.
        displayed: with ticks, prices are text with as many decimals as their tick has.
    """

    symbol: bool
    displayed: bool = False


@dataclass(frozen=True)
class ConvertRequest:
    """What is to be converted.

    Attributes:
        paths: files in the order of their time; `-` is standard input.
        schema: the name of a schema (`frames/schemas/table.py`).
        symbols: only these names (or instrument ids); empty: all.
        start_ns, end_ns: only rows whose index timestamp is in `[start_ns, end_ns)`. Books and
            intervals are those of all records, before and after.
        skip_bad: count and skip bad records where the framing survives.
        consolidated: the levels are an instrument's over all its publishers.
        tz: the time zone of times, such as America/Chicago.
        ticks: add what definitions (`frames/scan/definitions.py`) say: those of the stream, and
        definitions: of these files.
    """

    paths: tuple[str, ...]
    schema: str
    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    skip_bad: bool = False
    consolidated: bool = False
    tz: str = UTC
    ticks: bool = False
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        schema = find_schema(self.schema)
        if self.consolidated:
            schema.check_consolidated()
        start_ns, end_ns = self.start_ns, self.end_ns
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise UsageError(
                f"the start, {format_time(start_ns)}, is not before the end, {format_time(end_ns)}"
            )
        _check_time_zone(self.tz)


def output_columns(request: ConvertRequest, form: RowOptions) -> pl.Schema:
    """The columns of the frames of a form."""
    import polars as pl

    time = pl.Datetime("ns", request.tz)
    of_schema = find_schema(request.schema).columns
    columns: dict[str, pl.DataType] = {
        name: time if isinstance(dtype, pl.Datetime) else dtype for name, dtype in of_schema.items()
    }
    if form.symbol:
        columns[SYMBOL] = pl.String()
    if request.ticks:
        columns |= definition_columns(of_schema)
    if request.ticks and form.displayed:
        columns |= {name: pl.String() for name in columns if is_price(name, columns[name])}
    return pl.Schema(columns)


def output_metadata(request: ConvertRequest) -> Metadata:
    """What a DBN file of the result says of itself, from what the input's files say.

    Raises:
        InputError: a file cannot be read, or is damaged.
    """
    found = [read_metadata(path) for path in request.paths]
    known = [metadata for metadata in found if metadata is not None]
    first, last = (known[0], known[-1]) if known else (Metadata(), Metadata())
    mappings = _merged(known, request.symbols)
    return replace(
        Metadata(),
        dataset=first.dataset,
        schema=find_schema(request.schema).number,
        start=first.start if request.start_ns is None else request.start_ns,
        end=last.end if request.end_ns is None else request.end_ns,
        stype_in=first.stype_in,
        stype_out=first.stype_out,
        symbols=tuple(mapping.raw_symbol for mapping in mappings),
        mappings=mappings,
    )


class Conversion:
    """One run of the job. Its files are open until `frames` ends.

    Attributes:
        stream: the input.
        rows: how many rows have been given.
        progress: called after each batch with the stream; set it before `frames`.
        seen: called with each batch of records before it is folded; set it before `frames`.
    """

    def __init__(self, request: ConvertRequest) -> None:
        definitions = read_definitions(request.definitions).intervals()
        self.request = request
        self.stream = MboStream(request.paths, skip_bad=request.skip_bad)
        self.rows = 0
        self.progress: Progress | None = None
        self.seen: Callable[[MboBatch], None] | None = None
        self._selection = SymbolSelection(self.stream, request.symbols)
        self._schema = find_schema(request.schema)
        self._keys = RowKeys(self._schema)
        self._names = FrameSymbols(self.stream.symbols)
        self._definitions = FrameDefinitions(self.stream.definitions)
        for definition in definitions:
            self.stream.definitions.add(definition)

    def frames(self, form: RowOptions) -> Generator[pl.DataFrame, None, None]:
        """The rows, in order, with `columns` of the form."""
        import polars.selectors as cs

        request, schema = self.request, self._schema
        rows = schema.rows(scan_batches(self._batches), consolidated=request.consolidated)
        for frame in pull_frames(rows, schema.columns):
            selected = self._selected(self._keys.add_time(frame))
            self.rows += selected.height
            full = self._completed(selected, form).drop(ROW_TIME)
            yield (
                full
                if request.tz == UTC
                else full.with_columns(cs.datetime().dt.convert_time_zone(request.tz))
            )

    def _selected(self, timed: pl.DataFrame) -> pl.DataFrame:
        """The rows whose times are within the request's."""
        import polars as pl

        start_ns, end_ns = self.request.start_ns, self.request.end_ns
        time = pl.col(ROW_TIME)
        # Frames' times end at 2^63.
        if start_ns is not None:
            timed = timed.filter(time >= min(start_ns, 2**63 - 1))
        return timed if end_ns is None else timed.filter(time < min(end_ns, 2**63 - 1))

    def _batches(self) -> Iterator[MboBatch]:
        with closing(self.stream.batches()) as batches:
            for batch in batches:
                self._selection.check()
                rows = self._selection.rows(batch)
                if self.seen is not None and len(rows.action):
                    self.seen(rows)
                yield rows
                if self.progress is not None:
                    self.progress(self.stream)
                if self._is_past_end(batch):
                    break
        self._selection.check(ended=True)

    def _is_past_end(self, batch: MboBatch) -> bool:
        """Whether no row before the end can come any more: the longest interval is over."""
        end_ns = self.request.end_ns
        if end_ns is None or self._schema.time_depends_on_end:
            return False
        longest_ns = max(self._schema.interval_ns or 0, NS_PER_DAY)
        times = batch.ts_recv[~is_untimed(batch.flags)]
        return len(times) > 0 and int(times.min()) >= end_ns + 2 * longest_ns

    def _completed(self, frame: pl.DataFrame, form: RowOptions) -> pl.DataFrame:
        """The frame with what is known of its instruments."""
        if form.symbol:
            frame = self._keys.add_symbol(frame, self._names)
        if not self.request.ticks:
            return frame
        frame = self._definitions.add_to(frame, ROW_TIME)
        if not form.displayed:
            return frame
        prices = [name for name, dtype in frame.schema.items() if is_price(name, dtype)]
        ticks = frame[TICK]
        return frame.with_columns(format_display_prices(frame[name], ticks) for name in prices)


def _check_time_zone(tz: str) -> None:
    """UsageError if there is no such time zone."""
    import polars as pl

    if tz in ("", "*"):  # which Polars takes for something else
        raise UsageError(f"no time zone {tz!r} (expected such as America/Chicago)")
    try:
        pl.Series([0]).cast(pl.Datetime("ns", UTC)).dt.convert_time_zone(tz)
    except pl.exceptions.PolarsError:
        raise UsageError(f"no time zone {tz!r} (expected such as America/Chicago)") from None


def _merged(found: Sequence[Metadata], wanted: Sequence[str]) -> tuple[SymbolMapping, ...]:
    """The mappings of several files: of each symbol the intervals of all, once each."""
    merged: dict[str, SymbolMapping] = {}
    for metadata in found:
        for mapping in metadata.mappings:
            ids = {interval.symbol for interval in mapping.intervals}
            if wanted and mapping.raw_symbol not in wanted and not ids.intersection(wanted):
                continue
            known = merged.get(mapping.raw_symbol, mapping._replace(intervals=()))
            intervals = dict.fromkeys((*known.intervals, *mapping.intervals))
            merged[mapping.raw_symbol] = known._replace(intervals=tuple(sorted(intervals)))
    return tuple(merged.values())
