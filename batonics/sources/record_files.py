"""Reads what the records of one type say, from DBN files of a schema, or of mixed records.

The rule here: files are read whole, since such records are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from batonics.codec.dbn import DbnDecoder
from batonics.codec.framing import Framing
from batonics.codec.messages import Content
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.model.errors import InputError
from batonics.sources.chunks import ChunkReader

TContent = TypeVar("TContent", bound=Content)


def read_contents(
    path: str | Path, schema: str, kind: type[TContent], name: str
) -> Iterator[TContent]:
    """What the records of one type in a file say.

    Args:
        path: the file; `-` is standard input.
        schema: the schema of the file, unless its records are mixed.
        kind: the type of what they say.
        name: what the records are called in messages, such as "definitions".

    Raises:
        InputError: the file cannot be read, is damaged, is not DBN, or has another schema.
    """
    reader = ChunkReader(path)
    decoder = DbnDecoder(source=reader.name, schema=SCHEMA_NAMES.index(schema))

    def take() -> Iterator[TContent]:
        for record in decoder.other_records:
            if isinstance(record.content, kind):
                yield record.content
        decoder.other_records.clear()

    with closing(reader.chunks()) as chunks:
        for chunk in (*chunks, decoder.TRAILER):
            if reader.framing is not Framing.DBN:
                raise InputError(f"{reader.name}: not a DBN file, as {name} are")
            for _ in decoder.feed(chunk):
                yield from take()
            yield from take()
    decoder.close()
