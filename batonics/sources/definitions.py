"""Reads files of the vendor's schema `definition`.

The rule: a definition is valid on its day (`model/definitions.py`), the first of an instrument from
the start of the day, since books may be older than its `ts_recv`. Files are read whole: instruments
are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from batonics.codec.dbn import DbnDecoder
from batonics.codec.framing import Framing
from batonics.codec.messages import RTYPE_DEFINITION, parse_definition
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.model.definitions import Definition, DefinitionMap
from batonics.model.errors import InputError
from batonics.model.times import NS_PER_DAY
from batonics.sources.chunks import ChunkReader

_SCHEMA = SCHEMA_NAMES.index("definition")


def read_definitions(paths: Sequence[str | Path]) -> DefinitionMap:
    """Read the definitions of files.

    Raises:
        InputError: a file cannot be read, is damaged, is not DBN, or has another schema.
    """
    known = DefinitionMap()
    days_seen: set[tuple[int, int]] = set()
    for path in paths:
        for definition in _read_file(path):
            day = definition.start_ns // NS_PER_DAY
            start_ns = definition.start_ns
            if (definition.instrument_id, day) not in days_seen:
                days_seen.add((definition.instrument_id, day))
                start_ns = day * NS_PER_DAY
            end_ns = (day + 1) * NS_PER_DAY
            known.add(definition._replace(start_ns=start_ns, end_ns=end_ns))
    return known


def _read_file(path: str | Path) -> Iterator[Definition]:
    reader = ChunkReader(path)
    decoder = DbnDecoder(source=reader.name, schema=_SCHEMA)
    with closing(reader.chunks()) as chunks:
        for chunk in (*chunks, decoder.TRAILER):
            if reader.framing is not Framing.DBN:
                raise InputError(f"{reader.name}: not a DBN file, as definitions are")
            for _ in decoder.feed(chunk):
                yield from _take_definitions(decoder, reader.name)
            yield from _take_definitions(decoder, reader.name)
    decoder.close()


def _take_definitions(decoder: DbnDecoder, source: str) -> Iterator[Definition]:
    for record in decoder.other_records:
        if record.rtype == RTYPE_DEFINITION:
            yield parse_definition(record, decoder.version, source)
    decoder.other_records.clear()
