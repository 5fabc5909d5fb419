"""Files of the vendor's schema `definition`, read whole: instruments are few beside records.

The rule: what a definition of a file says holds on its day (`model/definitions.py`); the first of a
day holds from the day's start, as books may be older than its `ts_recv`.
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
    """The definitions of files.

    Raises:
        InputError: one cannot be read, is damaged or no DBN, or is of another schema.
    """
    known = DefinitionMap()
    begun: set[tuple[int, int]] = set()
    for path in paths:
        for definition in _of_file(path):
            day = definition.start_ns // NS_PER_DAY
            start_ns = definition.start_ns
            if (definition.instrument_id, day) not in begun:
                begun.add((definition.instrument_id, day))
                start_ns = day * NS_PER_DAY
            end_ns = (day + 1) * NS_PER_DAY
            known.add(definition._replace(start_ns=start_ns, end_ns=end_ns))
    return known


def _of_file(path: str | Path) -> Iterator[Definition]:
    reader = ChunkReader(path)
    decoder = DbnDecoder(source=reader.name, schema=_SCHEMA)
    with closing(reader.chunks()) as chunks:
        for chunk in (*chunks, decoder.TRAILER):
            if reader.framing is not Framing.DBN:
                raise InputError(f"{reader.name}: not a DBN file, as definitions are")
            for _ in decoder.feed(chunk):
                yield from _drained(decoder, reader.name)
            yield from _drained(decoder, reader.name)
    decoder.close()


def _drained(decoder: DbnDecoder, source: str) -> Iterator[Definition]:
    for record in decoder.other_records:
        if record.rtype == RTYPE_DEFINITION:
            yield parse_definition(record, decoder.version, source)
    decoder.other_records.clear()
