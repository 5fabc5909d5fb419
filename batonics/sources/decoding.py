"""Decodes one input in a thread, ahead of the caller.

The rule: what comes out depends on the bytes alone. Several DBN files in one input (`cat a b`) are
files of their own: `DecodedBatch.file` counts them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.decoders import Decoder, DecoderFactory, describe_table
from batonics.codec.framing import WHOLE_FILE_FORMS, Framing
from batonics.codec.itch import ItchDecoder
from batonics.codec.messages import (
    ERROR_SKIPPED_RECORDS,
    RTYPE_ERROR,
    GatewayMessage,
    read_headers,
)
from batonics.codec.metadata import Metadata
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.book_changes import BookChange
from batonics.model.definitions import Definition
from batonics.model.errors import DamagedInputError, DataWarning, LossWarning
from batonics.model.mbo import MboBatch, copy_batch, empty_batch
from batonics.model.record_columns import NO_NOTES, TableNotes
from batonics.model.symbols import MappingInterval
from batonics.settings.loader import current
from batonics.sources.chunks import CHUNKS_AHEAD_MAX, ChunkReader
from batonics.sources.input_options import SALVAGE_ADVICE, InputOptions
from batonics.sources.read_ahead import read_ahead

BATCHES_AHEAD_MAX = 4
"""Batches that are decoded ahead: decoding and folding overlap, and memory stays small."""


class DecodedBatch(NamedTuple):
    """A batch, and all that its decoder had read by then, on its way between threads.

    Attributes:
        file: number of the file in its input; 0: its records have not begun.
        batch: the records.
        names: symbols that were found since the last batch.
        definitions: definition records since the last batch.
        statuses: trading statuses since the last batch.
        headers: headers of other records since the last batch, of `HEADER_DTYPE`.
        other_records: number of other records since the last batch, by rtype.
        metadata: DBN metadata, if the file has any.
        records: number of records of the input so far.
        rows: number of MBO records among them.
        skipped: number of bad records that were skipped.
        notes: what a user has to know of a table so far.
        gaps: rows of the batch before which the gateway skipped records, ascending.
    """

    file: int
    batch: MboBatch
    names: list[MappingInterval]
    definitions: list[Definition]
    statuses: list[BookChange]
    headers: NDArray[np.void]
    other_records: Counter[int]
    metadata: Metadata | None
    records: int
    rows: int
    skipped: int
    notes: TableNotes = NO_NOTES
    gaps: tuple[int, ...] = ()


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
        loss: what is lost behind the last whole record; None: nothing.
        other_records: number of other records, by rtype.
        notes: what a user has to know of a table so far.
    """

    name: str
    size: int | None
    framing: Framing | None = None
    metadata: Metadata | None = None
    records: int = 0
    rows: int = 0
    skipped: int = 0
    loss: str | None = None
    other_records: Counter[int] = field(default_factory=Counter)
    notes: TableNotes = NO_NOTES

    def warn_of_notes(self) -> None:
        """Warn of what is lost of the values of a table, and of what else is unusual about it."""
        losses, remarks = self.notes
        for category, lines in ((LossWarning, losses), (DataWarning, remarks)):
            if lines:
                warnings.warn(f"{self.name}: {'; '.join(lines)}", category, stacklevel=3)

    def drop_symbol_lists(self) -> None:
        """Forget the lists of symbols and mappings, which are most of the metadata."""
        if self.metadata is not None:
            self.metadata = replace(
                self.metadata, symbols=(), partial=(), not_found=(), mappings=()
            )


class InputDecoder:
    """Decodes one input.

    Args:
        reader: the input.
        options: how it is read.
        batch_rows: limit of the rows of a batch.
        any_schema: read DBN files of any schema; other records than MBO have no rows.

    Attributes:
        reader: the input.
        keeps_headers: whether batches have the headers of other records; set it before `batches`.
        loss: what is lost behind the last whole record; None: nothing. Known after the last batch.
    """

    def __init__(
        self,
        reader: ChunkReader,
        options: InputOptions,
        batch_rows: int,
        *,
        any_schema: bool = False,
    ) -> None:
        self.reader = reader
        self.keeps_headers = False
        self.loss: str | None = None
        self._salvage = options.salvage
        self._decoders = DecoderFactory(
            batch_rows=batch_rows,
            buffers=BATCHES_AHEAD_MAX + 3,
            skip_bad=options.skip_bad,
            any_schema=any_schema,
            metadata_bytes_max=current().input.metadata_bytes_max,
            lossy=options.lossy,
            session_date=options.session_date,
        )
        self._options, self._batch_rows = options, batch_rows
        self._rows = 0  # of the batches so far
        self._gaps: list[int] = []  # rows of the input before which records were skipped

    def batches(self) -> Generator[DecodedBatch, None, None]:
        """The batches; a thread does the larger part of the work ahead.

        The thread decompresses a compressed input, or decodes a plain one; the caller's thread does
        the rest. On two cores a third thread would only take turns with them.
        """
        reader = self.reader
        reader.detect()
        if reader.framing in WHOLE_FILE_FORMS:
            return read_ahead(self._decode_table(reader.framing), BATCHES_AHEAD_MAX, reader.cancel)
        if reader.is_compressed:
            return self._decode(read_ahead(reader.chunks(), CHUNKS_AHEAD_MAX, reader.cancel))
        return read_ahead(self._decode(reader.chunks()), BATCHES_AHEAD_MAX, reader.cancel)

    def _decode(self, chunks: Iterator[bytes]) -> Generator[DecodedBatch, None, None]:
        reader, decoder = self.reader, None
        for chunk in chunks:
            if decoder is None and reader.framing in WHOLE_FILE_FORMS:
                yield from self._decode_table(reader.framing, _chain(chunk, chunks))
                return
            if decoder is None:
                decoder = self._decoders.begin(reader.framing, reader.name, reader.file_bytes)
            for batch in decoder.feed(chunk):
                yield self._decoded(decoder, batch)
        if decoder is None:
            raise AssertionError("a reader yields a chunk or raises")
        yield from self._finish(decoder)

    def _decode_table(
        self, framing: Framing, chunks: Generator[bytes, None, None] | None = None
    ) -> Generator[DecodedBatch, None, None]:
        """The batches of a file that is read as a whole; `chunks` if it is compressed."""
        # pyarrow takes a third of a second to import, and most input is no table.
        from batonics.sources.table_files import TableFile

        table = TableFile(self.reader, framing, self._options, self._batch_rows, chunks)
        none = read_headers(())

        def decoded(batch: MboBatch) -> DecodedBatch:
            columns = table.columns
            names = [] if columns is None else columns.new_names()
            notes = NO_NOTES if columns is None else columns.describe()
            counts = table.records, table.rows, table.skipped
            return DecodedBatch(1, batch, names, [], [], none, Counter(), None, *counts, notes)

        with closing(table.batches()) as batches:
            for batch in batches:
                yield decoded(batch)
        yield decoded(empty_batch(0))

    def _finish(self, decoder: Decoder) -> Generator[DecodedBatch, None, None]:
        """End the input; what comes last."""
        cut_bytes = decoder.pending_bytes
        try:
            for batch in decoder.feed(decoder.TRAILER):
                yield self._decoded(decoder, batch)
            decoder.close()
            cut_bytes = 0
        except DamagedInputError as error:
            if not (cut_bytes and decoder.is_salvageable):
                raise
            if not self._salvage:
                error.advice = SALVAGE_ADVICE
                raise
        if cut_bytes or self.reader.is_cut:
            size = f"{cut_bytes} bytes" if cut_bytes else "what a cut zstd frame held"
            self.loss = f"{size} after record {decoder.records:,}"
        # Other records may come after the last row.
        yield self._decoded(decoder, empty_batch(0))

    def _decoded(self, decoder: Decoder, batch: MboBatch) -> DecodedBatch:
        names = self._decoders.new_mappings(decoder)
        headers = read_headers(decoder.other_records if self.keeps_headers else ())
        other_records = Counter(record.rtype for record in decoder.other_records)
        if isinstance(decoder, ItchDecoder):
            other_records += decoder.take_counts()
        contents = [record.content for record in decoder.other_records]
        self._gaps += [
            record.rows_before
            for record in decoder.other_records
            if isinstance(record.content, GatewayMessage)
            and (record.rtype, record.content.code) == (RTYPE_ERROR, ERROR_SKIPPED_RECORDS)
        ]
        first, self._rows = self._rows, self._rows + len(batch.action)
        gaps = [row - first for row in self._gaps if row < self._rows]
        self._gaps = [row for row in self._gaps if row >= self._rows]
        definitions = [known for known in contents if isinstance(known, Definition)]
        statuses = [known for known in contents if isinstance(known, BookChange)]
        if isinstance(decoder, NdjsonDecoder):
            batch = copy_batch(batch)
        decoder.other_records.clear()
        return DecodedBatch(
            decoder.files,
            batch,
            names,
            definitions,
            statuses,
            headers,
            other_records,
            decoder.metadata,
            decoder.records,
            decoder.rows,
            decoder.skipped,
            describe_table(decoder),
            tuple(gaps),
        )


def _chain(first: bytes, chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """A chunk, and those behind it."""
    yield first
    yield from chunks
