"""Symbols for any frame of instruments, from the metadata of files.

The rule here: only metadata is read. It lacks symbols that a live capture has in mapping records.
"""

from __future__ import annotations

import polars as pl

from batonics.codec.metadata import symbol_intervals
from batonics.frames.scan.symbols import add_symbols
from batonics.model.arguments import check_arguments
from batonics.model.symbols import SymbolMap
from batonics.sources.inputs import Inputs, find_inputs
from batonics.sources.stream import read_metadata


@check_arguments
def with_symbols(rows: pl.LazyFrame, paths: Inputs, *, time: str | None = None) -> pl.LazyFrame:
    """Rows of instruments with a column `symbol` (String) after their own.

    Args:
        rows: any frame of `.mbo` or of records, with publisher_id, instrument_id and a time.
        paths: the DBN files of the rows, or other files of the same days and dataset, or their
            bytes.
        time: the column that has a row's time. None: ts_recv, or a similar column.

    Raises:
        InputError: a file cannot be read, or its metadata is damaged.
        UsageError: the rows lack a column, or already have a column `symbol`; or an argument has
            another type.
    """
    symbol_map = SymbolMap()
    for path in find_inputs(paths):
        metadata = read_metadata(path)
        for interval in symbol_intervals(metadata) if metadata is not None else ():
            symbol_map.add(interval)
    return add_symbols(rows, symbol_map, time=time)
