"""Reads one or more files as one stream of MBO batches.

The rule: several files are one stream (rule 21 and `SymbolMap`). Symbols carry over from file to
file, and a file that begins on a later day than the file before it begins with a `DayStart`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.dbn import METADATA_BYTES_MAX
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import Framing
from batonics.codec.messages import (
    RTYPE_DEFINITION,
    RTYPE_STATUS,
    parse_definition,
    parse_status,
    read_headers,
)
from batonics.codec.metadata import (
    PREFIX_BYTES,
    Metadata,
    parse_metadata,
    parse_prefix,
)
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.book_changes import BookChange, BookChanges
from batonics.model.definitions import Definition, DefinitionMap
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, DayStart, MboBatch, copy_batch, empty_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.model.times import NS_PER_DAY
from batonics.sources.chunks import CHUNKS_AHEAD_MAX, STDIN, ChunkReader
from batonics.sources.read_ahead import read_ahead

BATCH_ROWS = 32_768
"""Rows of a batch: its columns and the fold's outputs fit into the second-level cache."""

BATCHES_AHEAD_MAX = 4
"""Batches that are decoded ahead: decoding and folding overlap, and memory stays small."""


class _Decoded(NamedTuple):
    """A batch, and all that its decoder had read by then, on its way between threads."""

    batch: MboBatch
    names: list[MappingInterval]
    definitions: list[Definition]
    statuses: list[BookChange]
    headers: NDArray[np.void]
    other_records: Counter[int]
    framing: Framing | None
    metadata: Metadata | None
    records: int
    rows: int
    skipped: int


@dataclass
class FileReport:
    """What was read of one file so far.

    Attributes:
        name: name of the file, for messages.
        size: its size in bytes; None for a pipe.
        framing: format of its plain bytes; None: not known yet.
        metadata: DBN metadata, if it has any.
        records: number of records.
        rows: number of MBO records among them.
        skipped: number of bad records that were skipped.
        other_records: number of other records, by rtype.
    """

    name: str
    size: int | None
    framing: Framing | None = None
    metadata: Metadata | None = None
    records: int = 0
    rows: int = 0
    skipped: int = 0
    other_records: Counter[int] = field(default_factory=Counter)


class MboStream:
    """A stream of batches from files; `-` is standard input.

    Args:
        paths: paths of the files, in the order of their time.
        skip_bad: count and skip bad records where the framing survives.
        batch_rows: limit of the rows of a batch.
        any_schema: read DBN files of any schema; other records than MBO have no rows.

    Attributes:
        paths: paths of the files.
        symbols: symbols from metadata and mapping records that were read so far.
        definitions: definition records that were read so far. Each is valid until the next of its
            instrument; the first is valid before it too.
        statuses: trading statuses of status records that were read so far.
        files: a report of each file, so far.
        bytes_total: size of all files; None if one is a pipe.
        on_headers: called with the headers of records other than MBO, of `HEADER_DTYPE`, as they
            are read; set it before `batches`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        skip_bad: bool = False,
        batch_rows: int = BATCH_ROWS,
        any_schema: bool = False,
    ) -> None:
        if not paths:
            raise UsageError("no input: name one file or more, or - for standard input")
        self.paths = [str(path) for path in paths]
        self.symbols = SymbolMap()
        self.definitions = DefinitionMap()
        self.statuses = BookChanges()
        self.files: list[FileReport] = []
        self.on_headers: Callable[[NDArray[np.void]], None] | None = None
        self._decoders = DecoderFactory(
            batch_rows=batch_rows,
            buffers=BATCHES_AHEAD_MAX + 3,
            skip_bad=skip_bad,
            any_schema=any_schema,
        )
        self._reader: ChunkReader | None = None
        self._bytes_before = 0
        self._last_day = -1
        # All files are opened first, so that a wrong name is an error before hours of work.
        self._readers: list[ChunkReader] = []
        try:
            for path in self.paths:
                self._readers.append(ChunkReader(path))
        except BaseException:
            self.close()
            raise
        sizes = [reader.size for reader in self._readers]
        self.bytes_total = None if None in sizes else sum(size or 0 for size in sizes)

    def close(self) -> None:
        """Close the files that were not read."""
        for reader in self._readers:
            reader.close()

    @property
    def bytes_read(self) -> int:
        """Bytes of the files that were read so far, as they are on the disk."""
        return self._bytes_before + (self._reader.position if self._reader else 0)

    def batches(self) -> Generator[MboBatch, None, None]:
        """Every batch in order; the first of a file of a later day is a `DayStart`.

        A later batch reuses its arrays.
        """
        try:
            for reader in self._readers:
                self._reader = reader
                report = FileReport(reader.name, reader.size)
                self.files.append(report)
                first = True
                with closing(self._decode_ahead(reader)) as ahead:
                    for decoded in ahead:
                        self._note(decoded, report)
                        if len(decoded.batch.action) == 0:
                            continue
                        new_day = self._note_day(decoded.batch) and first and len(self.files) > 1
                        first = False
                        yield DayStart._make(decoded.batch) if new_day else decoded.batch
                self._bytes_before += reader.position
                self._reader = None
        finally:
            self.close()

    def _decode_ahead(self, reader: ChunkReader) -> Generator[_Decoded, None, None]:
        """The batches of one input; a thread does the larger part of the work ahead.

        The thread decompresses a compressed input, or decodes a plain one; the caller's thread does
        the rest. On two cores a third thread would only take turns with them.
        """
        reader.detect()
        if reader.is_compressed:
            chunks = read_ahead(reader.chunks(), CHUNKS_AHEAD_MAX, reader.cancel)
            return self._decode(chunks, reader)
        return read_ahead(self._decode(reader.chunks(), reader), BATCHES_AHEAD_MAX, reader.cancel)

    def _decode(
        self, chunks: Iterator[bytes], reader: ChunkReader
    ) -> Generator[_Decoded, None, None]:
        """The batches of one input, and all that its decoder has read by then."""
        decoder: Decoder | None = None
        for chunk in chunks:
            if decoder is None:
                decoder = self._decoder(reader)
            for batch in decoder.feed(chunk):
                yield self._decoded(decoder, reader, batch)
        if decoder is None:
            raise AssertionError("a reader yields a chunk or raises")
        for batch in decoder.feed(decoder.TRAILER):
            yield self._decoded(decoder, reader, batch)
        # Other records may come after the last row.
        yield self._decoded(decoder, reader, empty_batch(0))
        decoder.close()

    def _decoder(self, reader: ChunkReader) -> Decoder:
        forms = {file.framing for file in self.files if file.framing} | {reader.framing}
        if Framing.NDJSON in forms and len(forms) > 1:
            raise UsageError("NDJSON and DBN in one stream: their instruments could be confused")
        return self._decoders.begin(reader.framing, reader.name)

    def _decoded(self, decoder: Decoder, reader: ChunkReader, batch: MboBatch) -> _Decoded:
        names = self._decoders.new_mappings(decoder, reader.name)
        headers = read_headers(decoder.other_records if self.on_headers is not None else ())
        other_records = Counter(record.rtype for record in decoder.other_records)
        definitions, statuses = [], []
        if isinstance(decoder, NdjsonDecoder):
            batch = copy_batch(batch)
        else:
            definitions = [
                parse_definition(record, decoder.version, reader.name)
                for record in decoder.other_records
                if record.rtype == RTYPE_DEFINITION
            ]
            statuses = [
                status
                for record in decoder.other_records
                if record.rtype == RTYPE_STATUS and (status := parse_status(record)) is not None
            ]
        decoder.other_records.clear()
        return _Decoded(
            batch,
            names,
            definitions,
            statuses,
            headers,
            other_records,
            reader.framing,
            decoder.metadata,
            decoder.records,
            decoder.rows,
            decoder.skipped,
        )

    def _note(self, decoded: _Decoded, report: FileReport) -> None:
        """Add what the decoder has read to the stream's names, definitions, statuses and report."""
        for interval in decoded.names:
            self.symbols.add(interval)
        for definition in decoded.definitions:
            is_first = definition.instrument_id not in self.definitions
            self.definitions.add(definition._replace(start_ns=0) if is_first else definition)
        for status in decoded.statuses:
            self.statuses.add(status)
        if self.on_headers is not None and len(decoded.headers):
            self.on_headers(decoded.headers)
        report.other_records.update(decoded.other_records)
        report.framing, report.metadata = decoded.framing, decoded.metadata
        report.records, report.rows = decoded.records, decoded.rows
        report.skipped = decoded.skipped

    def _note_day(self, batch: MboBatch) -> bool:
        """Whether the batch begins on a later day than all before it."""
        first, last = int(batch.ts_recv[0]), int(batch.ts_recv[-1])
        later = first != UNDEF_TIMESTAMP and first // NS_PER_DAY > self._last_day
        if last != UNDEF_TIMESTAMP:
            self._last_day = max(self._last_day, last // NS_PER_DAY)
        return later


def read_metadata(path: str | Path) -> Metadata | None:
    """Read the metadata of a DBN file of any schema.

    None: the file has another format, or is a pipe, which can be read only once.

    Raises:
        InputError: it cannot be read. DamagedInputError: its metadata is damaged or cut.
    """
    if str(path) == STDIN:  # even a redirected file can be read only once
        return None
    reader = ChunkReader(path)
    try:
        if reader.size is None:
            return None
        head, metadata_bytes = b"", PREFIX_BYTES
        for chunk in reader.chunks():
            if reader.framing is not Framing.DBN:
                return None
            head += chunk
            if len(head) >= PREFIX_BYTES:
                metadata_bytes = parse_prefix(head[:PREFIX_BYTES], reader.name)
            if len(head) >= metadata_bytes or len(head) > METADATA_BYTES_MAX:
                break
        return parse_metadata(head[:metadata_bytes], reader.name)
    finally:
        reader.close()
