"""Writes depth snapshots, made from level deltas, to a file.

The rule: a snapshot is a row of `.mbo.depth` (`frames/namespace.py`) with its symbol; the file's
name says the format. Times are exact: Parquet has nanoseconds, NDJSON nine decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq

from batonics.book.engine import BookEngine
from batonics.frames.columns.books import depth_schema
from batonics.frames.columns.prices import convert_prices, find_price_columns
from batonics.frames.depth.snapshots import depth_frames
from batonics.frames.depth.windows import TimeWindows, Windows, parse_windows
from batonics.frames.scan.complete_intervals import (
    COMPLETE_SCHEMA,
    CompleteIntervals,
    RowInterval,
)
from batonics.frames.scan.folding import fold_pieces
from batonics.frames.scan.mbo_scan import StreamFacts
from batonics.frames.scan.symbols import FrameSymbols
from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch
from batonics.model.prices import PriceUnit
from batonics.model.symbols import SymbolMap
from batonics.sinks.atomic import STDOUT
from batonics.sinks.text import format_columns

SNAPSHOT_SUFFIXES = (".parquet", ".ndjson")


def check_snapshots(path: str, every: str) -> None:
    """Refuse what `write_snapshots` cannot write.

    Raises:
        UsageError: the name says no format of snapshots, or `every` is not a window.
    """
    if path != STDOUT and not path.endswith(SNAPSHOT_SUFFIXES):
        raise UsageError(
            f"--snapshots {path}: the name must end in {' or '.join(SNAPSHOT_SUFFIXES)}"
        )
    _windows(every)


def write_snapshots(  # noqa: PLR0913 - options, by keyword
    batches: Iterator[MboBatch],
    engine: BookEngine,
    symbols: FrameSymbols,
    out: BinaryIO,
    *,
    path: str,
    every: str,
    depth: int,
    prices: PriceUnit = "fixed",
    facts: StreamFacts,
) -> None:
    """Fold batches and write a snapshot for each window.

    Args:
        batches: the records.
        engine: the books, made with `deltas`; it folds the batches.
        symbols: the names of the books' instruments.
        out: the file that snapshots are written to.
        path: the file's name: Parquet if it ends in `.parquet`, else NDJSON.
        every: the windows: `event`, a count of events, or a duration.
        depth: the number of levels of each side.
        prices: the unit of prices.
        facts: what the stream knows.
    """
    windows, schema, complete = _windows(every), depth_schema(depth), None
    if isinstance(windows, TimeWindows):
        interval = RowInterval(windows.length_ns, ends=True)
        complete = CompleteIntervals(interval, facts)
        batches = complete.watch(batches)
        schema = pl.Schema({**schema, **COMPLETE_SCHEMA})
    pieces = fold_pieces(batches, deltas=True, engine=engine)
    kinds = find_price_columns(schema)
    rows = (
        convert_prices(_add_symbol(frame, symbols), kinds, prices)
        for frame in _add_complete(depth_frames(pieces, windows, depth, fill=False), complete)
    )
    if path.endswith(".parquet"):
        empty = _add_symbol(pl.DataFrame(schema=schema), FrameSymbols(SymbolMap()))
        _write_parquet(rows, out, convert_prices(empty, kinds, prices))
    else:
        _write_ndjson(rows, out)


def _windows(every: str) -> Windows:
    return parse_windows(int(every) if every.isdecimal() else every)


def _add_complete(
    frames: Iterator[pl.DataFrame], complete: CompleteIntervals | None
) -> Iterator[pl.DataFrame]:
    """The frames, with `complete` if their windows are those of a duration."""
    for frame in frames:
        yield frame if complete is None else frame.with_columns(complete.find(frame, "ts"))


def _add_symbol(frame: pl.DataFrame, names: FrameSymbols) -> pl.DataFrame:
    """The frame with a column `symbol` after `instrument_id`."""
    symbol = names.find_symbols(frame, "ts_recv").alias("symbol")
    return frame.insert_column(frame.columns.index("instrument_id") + 1, symbol)


def _write_parquet(frames: Iterator[pl.DataFrame], out: BinaryIO, empty: pl.DataFrame) -> None:
    schema = empty.to_arrow().schema
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for frame in frames:
            if frame.height:
                writer.write_table(frame.to_arrow().cast(schema))


def _write_ndjson(frames: Iterator[pl.DataFrame], out: BinaryIO) -> None:
    out.writelines(format_columns(frame).write_ndjson().encode() for frame in frames)
