"""Files, one after the other, as one stream of MBO batches.

The rule: several files are one stream (rule 21 and `SymbolMap`): names carry over, and where a
file begins on a later day than the one before it ended, the stream says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from batonics.codec.dbn import METADATA_BYTES_MAX
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import Framing
from batonics.codec.messages import (
    RTYPE_DEFINITION,
    parse_definition,
)
from batonics.codec.metadata import (
    PREFIX_BYTES,
    Metadata,
    parse_metadata,
    parse_prefix,
)
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.definitions import Definition, DefinitionMap
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, DayStart, MboBatch, copy_batch, empty_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.model.times import NS_PER_DAY
from batonics.sources.chunks import CHUNKS_AHEAD_MAX, STDIN, ChunkReader
from batonics.sources.read_ahead import read_ahead

BATCH_ROWS = 32_768
"""Rows of a batch: its columns and the fold's outputs stay in the second-level cache."""

BATCHES_AHEAD_MAX = 4
"""Batches decoded ahead at the most: decoding and folding overlap, memory stays small."""


class _Decoded(NamedTuple):
    """A batch on its way between threads, with all that its decoder had learned by then."""

    batch: MboBatch
    names: list[MappingInterval]
    definitions: list[Definition]
    other_records: Counter[int]
    framing: Framing | None
    metadata: Metadata | None
    records: int
    rows: int
    skipped: int


@dataclass
class FileReport:
    """What has been read of one file so far."""

    name: str
    size: int | None
    framing: Framing | None = None
    metadata: Metadata | None = None
    records: int = 0
    rows: int = 0
    skipped: int = 0
    other_records: Counter[int] = field(default_factory=Counter)  # records of other rtypes


class MboStream:
    """A stream of batches from files, `-` being standard input.

    Args:
        paths: in the order of their time.
        skip_bad: count and skip bad records where the framing survives.
        batch_rows: rows of a batch at the most.

    Attributes:
        symbols: names from metadata and mapping records, as far as read.
        definitions: of definition records, as far as read. Each holds until the next of its
            instrument, the first for all that came before.
        files: a report a file, as far as read.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        skip_bad: bool = False,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        if not paths:
            raise UsageError("no input: name one file or more, or - for standard input")
        self.paths = [str(path) for path in paths]
        self.symbols = SymbolMap()
        self.definitions = DefinitionMap()
        self.files: list[FileReport] = []
        self._decoders = DecoderFactory(
            batch_rows=batch_rows, buffers=BATCHES_AHEAD_MAX + 3, skip_bad=skip_bad
        )
        self._reader: ChunkReader | None = None
        self._bytes_before = 0
        self._last_day = -1
        # All are opened first: a name that is wrong is found before hours of work.
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
        """Close files that have not been read."""
        for reader in self._readers:
            reader.close()

    @property
    def bytes_read(self) -> int:
        """Bytes of the files read so far, as they lie on disk."""
        return self._bytes_before + (self._reader.position if self._reader else 0)

    def batches(self) -> Generator[MboBatch, None, None]:
        """Every batch in order, a `DayStart` where a later day's file begins.

        Its arrays are reused by a later one.
        """
        try:
            for reader in self._readers:
                self._reader = reader
                report = FileReport(reader.name, reader.size)
                self.files.append(report)
                first = True
                with closing(self._decoded_ahead(reader)) as ahead:
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

    def _decoded_ahead(self, reader: ChunkReader) -> Generator[_Decoded, None, None]:
        """The batches of one input, with the larger part of the work before them done ahead.

        One thread does that part, the caller's the rest: of a compressed input it inflates, of a
        plain one it decodes. A third thread would only take turns with them.
        """
        reader.begin()
        if reader.is_compressed:
            return self._decode(read_ahead(reader.chunks(), CHUNKS_AHEAD_MAX, reader.leave), reader)
        return read_ahead(self._decode(reader.chunks(), reader), BATCHES_AHEAD_MAX, reader.leave)

    def _decode(
        self, chunks: Iterator[bytes], reader: ChunkReader
    ) -> Generator[_Decoded, None, None]:
        """The batches of one input and what came along with them."""
        decoder: Decoder | None = None
        for chunk in chunks:
            if decoder is None:
                decoder = self._decoder(reader)
            for batch in decoder.feed(chunk):
                yield self._decoded(decoder, reader, batch)
        if decoder is None:
            raise AssertionError("a reader gives a chunk or raises")
        for batch in decoder.feed(decoder.TRAILER):
            yield self._decoded(decoder, reader, batch)
        # Other records, and counts, may come after the last row.
        yield self._decoded(decoder, reader, empty_batch(0))
        decoder.close()

    def _decoder(self, reader: ChunkReader) -> Decoder:
        forms = {file.framing for file in self.files if file.framing} | {reader.framing}
        if Framing.NDJSON in forms and len(forms) > 1:
            raise UsageError("NDJSON and DBN in one stream: their instruments could be confused")
        return self._decoders.begin(reader.framing, reader.name)

    def _decoded(self, decoder: Decoder, reader: ChunkReader, batch: MboBatch) -> _Decoded:
        names = self._decoders.new_mappings(decoder, reader.name)
        other_records = Counter(record.rtype for record in decoder.other_records)
        definitions = []
        if isinstance(decoder, NdjsonDecoder):
            batch = copy_batch(batch)
        else:
            definitions = [
                parse_definition(record, decoder.version, reader.name)
                for record in decoder.other_records
                if record.rtype == RTYPE_DEFINITION
            ]
        decoder.other_records.clear()
        return _Decoded(
            batch,
            names,
            definitions,
            other_records,
            reader.framing,
            decoder.metadata,
            decoder.records,
            decoder.rows,
            decoder.skipped,
        )

    def _note(self, decoded: _Decoded, report: FileReport) -> None:
        """Take over what came along with a batch."""
        for interval in decoded.names:
            self.symbols.add(interval)
        for definition in decoded.definitions:
            is_first = definition.instrument_id not in self.definitions
            self.definitions.add(definition._replace(start_ns=0) if is_first else definition)
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
    """What a DBN file says of itself, whatever its schema.

    None: it is of another form, or a pipe, which can be read but once.

    Raises:
        InputError: it cannot be read; DamagedInputError: its metadata is damaged or cut.
    """
    if str(path) == STDIN:  # also where it is a file: what is read of it is gone
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
