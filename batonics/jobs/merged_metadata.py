"""The metadata of several files as one; tables have the names that their rows have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batonics.codec.metadata import Metadata, SymbolMapping
from batonics.frames.schemas.table import find_schema
from batonics.model.symbols import selected_names
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import read_metadata
from batonics.sources.table_metadata import read_table_metadata


def merge_metadata(
    paths: Sequence[str],
    schema: str,
    symbols: Sequence[str] = (),
    options: InputOptions = DEFAULT_OPTIONS,
) -> Metadata:
    """The metadata of a DBN file that has the records of all files.

    Args:
        paths: paths of the files; those without metadata add nothing.
        schema: the schema of the metadata.
        symbols: only the mappings of these symbols; empty: all.
        options: how tables are read.

    Raises:
        InputError: a file cannot be read, or is damaged.
    """
    found = [read_metadata(path) or read_table_metadata(path, options) for path in paths]
    known = [metadata for metadata in found if metadata is not None]
    first = known[0] if known else Metadata()
    mappings = _merge_mappings(known, symbols)
    return replace(
        Metadata(),
        dataset=first.dataset,
        schema=find_schema(schema).number,
        start=min((metadata.start for metadata in known), default=0),
        end=_latest([metadata.end for metadata in known]),
        stype_in=first.stype_in,
        stype_out=first.stype_out,
        symbols=tuple(mapping.raw_symbol for mapping in mappings),
        mappings=mappings,
    )


def _latest(ends: Sequence[int | None]) -> int | None:
    """The end of all files; None: open."""
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _merge_mappings(files: Sequence[Metadata], symbols: Sequence[str]) -> tuple[SymbolMapping, ...]:
    """The mappings of several files: each symbol once, with the intervals of all files."""
    merged: dict[str, SymbolMapping] = {}
    names = selected_names(symbols)
    for metadata in files:
        for mapping in metadata.mappings:
            selected = tuple(
                interval
                for interval in mapping.intervals
                if not names or mapping.raw_symbol in names or interval.symbol in names
            )
            if not selected and names:
                continue
            known = merged.get(mapping.raw_symbol, mapping._replace(intervals=()))
            intervals = dict.fromkeys((*known.intervals, *selected))
            merged[mapping.raw_symbol] = known._replace(intervals=tuple(sorted(intervals)))
    return tuple(merged.values())
