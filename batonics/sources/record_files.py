"""Reads the records of one type from DBN files of a schema, or of mixed records.

The rule here: files are read whole, since such records are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from batonics.codec.dbn import DbnDecoder
from batonics.codec.framing import Framing
from batonics.codec.messages import OtherRecord
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.model.errors import InputError
from batonics.sources.chunks import ChunkReader


class FileRecord(NamedTuple):
    """A record of a file.

    Attributes:
        record: the record.
        version: the DBN version of the file.
        source: name of the file, for messages.
    """

    record: OtherRecord
    version: int
    source: str


def read_records(path: str | Path, schema: str, rtype: int, name: str) -> Iterator[FileRecord]:
    """The records of one type in a file.

    Args:
        path: the file; `-` is standard input.
        schema: the schema of the file, unless its records are mixed.
        rtype: the type of the records.
        name: what the records are called in messages, such as "definitions".

    Raises:
        InputError: the file cannot be read, is damaged, is not DBN, or has another schema.
    """
    reader = ChunkReader(path)
    decoder = DbnDecoder(source=reader.name, schema=SCHEMA_NAMES.index(schema))

    def take() -> Iterator[FileRecord]:
        for record in decoder.other_records:
            if record.rtype == rtype:
                yield FileRecord(record, decoder.version, reader.name)
        decoder.other_records.clear()

    with closing(reader.chunks()) as chunks:
        for chunk in (*chunks, decoder.TRAILER):
            if reader.framing is not Framing.DBN:
                raise InputError(f"{reader.name}: not a DBN file, as {name} are")
            for _ in decoder.feed(chunk):
                yield from take()
            yield from take()
    decoder.close()
