"""Depth snapshots along the way, from level deltas, into a file.

The rule: a snapshot is a row of `.mbo.depth` (`frames/namespace.py`) with its symbol; the form is
told by the file's name. Times are exact: Parquet has nanoseconds, NDJSON nine decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq

from batonics.frames.depth.snapshots import depth_frames, depth_schema
from batonics.frames.depth.windows import Windows
from batonics.frames.namespace import parse_windows
from batonics.frames.scan.folding import fold_pieces
from batonics.frames.scan.symbols import FrameSymbols
from batonics.jobs.reconstruct import Reconstruction
from batonics.model.errors import UsageError
from batonics.model.symbols import SymbolMap
from batonics.sinks.atomic import STDOUT

SNAPSHOT_SUFFIXES = (".parquet", ".ndjson")
TIME_COLUMNS = ("ts", "ts_event", "ts_recv")


def check_snapshots(path: str, every: str) -> None:
    """Refuse now what `write_snapshots` could not do later.

    Raises:
        UsageError: the name tells no form, or `every` is no window.
    """
    if path != STDOUT and not path.endswith(SNAPSHOT_SUFFIXES):
        raise UsageError(
            f"--snapshots {path}: the name must end in {' or '.join(SNAPSHOT_SUFFIXES)}"
        )
    _windows(every)


def write_snapshots(
    run: Reconstruction, path: str, out: BinaryIO, *, every: str, depth: int
) -> None:
    """Fold the whole input of `run` and write a snapshot for each window.

    Args:
        run: made with `deltas`.
        path: tells the form: `.parquet`, else NDJSON.
        out: where to.
        every: `event`, a number of events, or a duration.
        depth: levels a side.
    """
    pieces = fold_pieces(run.batches(), deltas=True, engine=run.engine)
    frames = depth_frames(pieces, _windows(every), depth, fill=False)
    names = FrameSymbols(run.symbols)
    named = (_named(frame, names) for frame in frames)
    if path.endswith(".parquet"):
        _write_parquet(named, out, depth)
    else:
        _write_ndjson(named, out)


def _windows(every: str) -> Windows:
    return parse_windows(int(every) if every.isdecimal() else every)


def _named(frame: pl.DataFrame, names: FrameSymbols) -> pl.DataFrame:
    """The frame with a column `symbol` after `instrument_id`."""
    symbol = names.find_symbols(frame, "ts_recv").alias("symbol")
    return frame.insert_column(frame.columns.index("instrument_id") + 1, symbol)


def _write_parquet(frames: Iterator[pl.DataFrame], out: BinaryIO, depth: int) -> None:
    empty = pl.DataFrame(schema=depth_schema(depth))
    schema = _named(empty, FrameSymbols(SymbolMap())).to_arrow().schema
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for frame in frames:
            if frame.height:
                writer.write_table(frame.to_arrow().cast(schema))


def _write_ndjson(frames: Iterator[pl.DataFrame], out: BinaryIO) -> None:
    for frame in frames:
        times = (pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ") for name in TIME_COLUMNS)
        out.write(frame.with_columns(times).write_ndjson().encode())
