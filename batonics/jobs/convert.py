"""MBO in, any schema that can be derived from it out.

The rule: books are built from the input's beginning, whatever part of it is asked for; only rows
are selected by time. One pass, constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from batonics.codec.metadata import SCHEMA_NAMES, Metadata, SymbolMapping
from batonics.frames.scan.definitions import TICK, FrameDefinitions, definition_columns
from batonics.frames.scan.mbo_scan import SYMBOL, scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.derive import INDEX, check_schema, columns_of, derive
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
        schema: one of `frames.derive.SCHEMAS`.
        depth: levels of each side of mbp-10, if not 10.
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
    depth: int | None = None
    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    skip_bad: bool = False
    consolidated: bool = False
    tz: str = UTC
    ticks: bool = False
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_schema(self.schema, self.depth, consolidated=self.consolidated)
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
    of_schema = columns_of(request.schema, request.depth)
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
        schema=SCHEMA_NAMES.index(request.schema),
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
        self._names = FrameSymbols(self.stream.symbols)
        self._definitions = FrameDefinitions(self.stream.definitions)
        for definition in definitions:
            self.stream.definitions.add(definition)

    def frames(self, form: RowOptions) -> Generator[pl.DataFrame, None, None]:
        """The rows, in order, with `columns` of the form."""
        import polars as pl
        import polars.selectors as cs

        request = self.request
        records = scan_batches(self._batches)
        rows = derive(records, request.schema, request.depth, consolidated=request.consolidated)
        index = pl.col(INDEX[request.schema])
        for bound, keeps in ((request.start_ns, index.ge), (request.end_ns, index.lt)):
            if bound is not None:
                # Frames' times end there.
                bound_ns = min(bound, 2**63 - 1)
                rows = rows.filter(keeps(pl.lit(bound_ns).cast(pl.Datetime("ns", "UTC"))))
        for frame in pull_frames(rows, columns_of(request.schema, request.depth)):
            self.rows += frame.height
            full = self._completed(frame, form)
            yield (
                full
                if request.tz == UTC
                else full.with_columns(cs.datetime().dt.convert_time_zone(request.tz))
            )

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
        if end_ns is None:
            return False
        times = batch.ts_recv[~is_untimed(batch.flags)]
        return len(times) > 0 and int(times.min()) >= end_ns + 2 * NS_PER_DAY

    def _completed(self, frame: pl.DataFrame, form: RowOptions) -> pl.DataFrame:
        """The frame with what is known of its instruments."""
        time = INDEX[self.request.schema]
        if form.symbol:
            frame = frame.with_columns(self._names.find_symbols(frame, time).alias(SYMBOL))
        if not self.request.ticks:
            return frame
        frame = self._definitions.add_to(frame, time)
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
