"""Names beside any frame of instruments, from the metadata of the files that they come from.

The rule: only metadata is read. Names that a live capture tells by mapping records are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batonics.codec.metadata import symbol_intervals
from batonics.frames.scan.symbols import add_symbols
from batonics.model.symbols import SymbolMap
from batonics.sources.chunks import path_list
from batonics.sources.stream import read_metadata

if TYPE_CHECKING:
    import polars as pl


def with_symbols(
    rows: pl.LazyFrame, paths: str | Path | Sequence[str | Path], *, time: str | None = None
) -> pl.LazyFrame:
    """Rows of instruments with their names: a column `symbol` (String) after their own.

    Args:
        rows: any frame of `.mbo`, or of records: publisher_id, instrument_id and a time.
        paths: the DBN files that the rows come from, or others of the same days and dataset.
        time: the column that tells a row's day; by default ts_recv, or what there is like it.

    Raises:
        InputError: a file cannot be read, or its metadata is damaged.
        UsageError: the rows lack a column, or have a `symbol`.
    """
    names = SymbolMap()
    for path in path_list(paths):
        metadata = read_metadata(path)
        for interval in symbol_intervals(metadata) if metadata is not None else ():
            names.add(interval)
    return add_symbols(rows, names, time=time)
