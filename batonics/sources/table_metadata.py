"""The metadata that a table of MBO records would have as DBN: its names, and its first time.

Names stand in the rows, so the whole table is read once for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from batonics.codec.framing import TABLES
from batonics.codec.metadata import (
    SCHEMA_MBO,
    STYPE_RAW_SYMBOL,
    DatedSymbol,
    Metadata,
    SymbolMapping,
)
from batonics.model.record_times import first_time
from batonics.model.symbols import MappingInterval
from batonics.model.times import NS_PER_DAY
from batonics.sources.chunks import ChunkReader
from batonics.sources.decoding import InputDecoder
from batonics.sources.input_files import is_read_once
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions

_NS_PER_S = 1_000_000_000


def read_table_metadata(
    path: str | Path, options: InputOptions = DEFAULT_OPTIONS
) -> Metadata | None:
    """Read the names of a table, by the UTC dates of its records.

    A table without names has those of the batch download that it is of. None: the input is no
    table, or can be read only once.

    Raises:
        InputError: it cannot be read, or a value is refused.
    """
    if is_read_once(path):
        return None
    reader = ChunkReader(path, salvage=options.salvage)
    try:
        with closing(reader.peek()) as chunks:
            next(chunks, None)
            is_table = reader.framing in TABLES
        if not is_table:
            return None
        names: list[MappingInterval] = []
        start_ns: int | None = None
        with closing(InputDecoder(reader, options, 1 << 16).batches()) as batches:
            for decoded in batches:
                names += decoded.names
                if start_ns is None:
                    start_ns = first_time(decoded.batch)
        metadata = Metadata(
            schema=SCHEMA_MBO,
            stype_in=STYPE_RAW_SYMBOL,
            start=start_ns or 0,
            mappings=_mappings(names),
        )
        return metadata if reader.facts is None else reader.facts.add_mappings(metadata)
    finally:
        reader.close()


def _mappings(names: Sequence[MappingInterval]) -> tuple[SymbolMapping, ...]:
    """Names of whole days as mappings; days behind each other are one interval."""
    found: dict[str, list[DatedSymbol]] = {}
    for name in sorted(names, key=lambda name: (name.symbol, name.instrument_id, name.start_ns)):
        intervals = found.setdefault(name.symbol, [])
        start, end = _date(name.start_ns), _date(name.start_ns + NS_PER_DAY)
        last = intervals[-1] if intervals else None
        if last is not None and last.end_date == start and last.symbol == str(name.instrument_id):
            intervals[-1] = last._replace(end_date=end)
        else:
            intervals.append(DatedSymbol(start, end, str(name.instrument_id)))
    return tuple(
        SymbolMapping(symbol, tuple(sorted(intervals))) for symbol, intervals in found.items()
    )


def _date(ts_ns: int) -> int:
    """The UTC date of a time as digits, YYYYMMDD."""
    return int(datetime.fromtimestamp(ts_ns // _NS_PER_S, UTC).strftime("%Y%m%d"))
