"""Reads trading statuses from files of the vendor's schema `status`, or of mixed records.

The rule here: files are read whole, since statuses are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from batonics.codec.dbn import DbnDecoder
from batonics.codec.framing import Framing
from batonics.codec.messages import RTYPE_STATUS, parse_status
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.model.book_changes import BookChanges
from batonics.model.errors import InputError
from batonics.sources.chunks import ChunkReader

_SCHEMA = SCHEMA_NAMES.index("status")


def read_statuses(paths: Sequence[str | Path]) -> BookChanges:
    """Read the trading statuses of files.

    Raises:
        InputError: a file cannot be read, is damaged, is not DBN, or has another schema.
    """
    known = BookChanges()
    for path in paths:
        _read_file(path, known)
    return known


def _read_file(path: str | Path, known: BookChanges) -> None:
    """Add the statuses of a file."""
    reader = ChunkReader(path)
    decoder = DbnDecoder(source=reader.name, schema=_SCHEMA)
    with closing(reader.chunks()) as chunks:
        for chunk in (*chunks, decoder.TRAILER):
            if reader.framing is not Framing.DBN:
                raise InputError(f"{reader.name}: not a DBN file, as statuses are")
            for _ in decoder.feed(chunk):
                _take_statuses(decoder, known)
            _take_statuses(decoder, known)
    decoder.close()


def _take_statuses(decoder: DbnDecoder, known: BookChanges) -> None:
    for record in decoder.other_records:
        if record.rtype == RTYPE_STATUS and (status := parse_status(record)) is not None:
            known.add(status)
    decoder.other_records.clear()
