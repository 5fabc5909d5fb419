"""Reads one or more files as one stream of MBO batches.

The rule: several files are one stream (rule 21 and `SymbolMap`), in the order of their time
(`file_order.py`), and merged where they cover the same time (`merge.py`). Symbols carry over from
file to file, and a file that begins on a later day than the file before it begins with a
`DayStart`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batonics.codec.framing import NUMBERED_FORMS, Framing
from batonics.codec.metadata import (
    PREFIX_BYTES,
    Metadata,
    check_metadata_bytes,
    parse_metadata,
    parse_prefix,
)
from batonics.codec.session_day import itch_publisher
from batonics.model.book_changes import BookChanges
from batonics.model.day_conditions import doubtful_days
from batonics.model.definitions import DefinitionMap
from batonics.model.errors import LossWarning, UsageError
from batonics.model.mbo import (
    MboBatch,
)
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.settings.loader import current
from batonics.sources.chunks import ChunkReader
from batonics.sources.day_warnings import DayWarnings
from batonics.sources.decoding import DecodedBatch, FileReport, InputDecoder
from batonics.sources.file_order import order_files, overlap_error
from batonics.sources.file_reading import FileReading, cut_at_gaps
from batonics.sources.input_files import input_facts, is_read_once
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.merge import FileBatch, FileMerge, MergeInput
from batonics.sources.overlap import Overlap
from batonics.sources.stream_coverage import StreamCoverage

BATCH_ROWS = 32_768
"""Rows of a batch: its columns and the fold's outputs fit into the second-level cache."""
MERGED_BATCH_ROWS = 4_096
"""Rows of a batch of a file that is merged with others, whose batches are in memory too."""


class MboStream:
    """A stream of batches from files; `-` is standard input.

    Args:
        paths: the inputs (`input_files.py`).
        options: how they are read.
        batch_rows: limit of the rows of a batch.
        any_schema: read DBN files of any schema; other records than MBO have no rows.

    Attributes:
        paths: the inputs.
        doubtful_days: the days that the vendor's batch downloads of the inputs do not vouch for.
        symbols: symbols from metadata and mapping records that were read so far.
        definitions: definition records that were read so far. Each is valid until the next of its
            instrument; the first is valid before it too.
        statuses: trading statuses of status records that were read so far.
        coverage: which times the files cover that were read so far.
        files: a report of each file, so far, in the order in which they are read.
        bytes_total: size of all files; None if one is a pipe.
        keeps_symbol_lists: whether the metadata of each of several files keeps its lists of symbols
            and mappings once it is read; set it before `batches`.
        on_headers: called with the headers of records other than MBO, of `HEADER_DTYPE`, as they
            are read; set it before `batches`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        options: InputOptions = DEFAULT_OPTIONS,
        *,
        batch_rows: int = BATCH_ROWS,
        any_schema: bool = False,
    ) -> None:
        if not paths:
            raise UsageError("no input: name one file or more, or - for standard input")
        self.paths = [path if isinstance(path, str) else str(path) for path in paths]
        facts = filter(None, map(input_facts, self.paths))
        self.doubtful_days = doubtful_days(day for one in facts for day in one.doubtful_days)
        self.symbols = SymbolMap()
        self.definitions = DefinitionMap()
        self.statuses = BookChanges()
        self.coverage = StreamCoverage()
        self.files: list[FileReport] = []
        self.keeps_symbol_lists = False
        self.on_headers: Callable[[NDArray[np.void]], None] | None = None
        self._options, self._batch_rows = options, batch_rows
        self._any_schema = any_schema
        self._symbol_numbers: dict[str, int] = {}  # of NDJSON
        self._named_batches: set[int] = set()  # downloads whose symbols are known
        # All files are opened first, so that a wrong name is an error before hours of work.
        self._readers: list[ChunkReader] = []
        try:
            for path in self.paths:
                self._readers.append(ChunkReader(path, salvage=options.salvage))
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
    def numbers_symbols(self) -> bool:
        """Whether instrument ids are numbers of this stream's symbols, as those of NDJSON are."""
        return any(file.framing in NUMBERED_FORMS for file in self.files)

    @property
    def losses(self) -> tuple[str, ...]:
        """What of the values of tables was lost, in words, with the names of the files."""
        return tuple(f"{file.name}: {loss}" for file in self.files for loss in file.notes.losses)

    @property
    def bytes_read(self) -> int:
        """Bytes of the files that were read so far, as they are on the disk."""
        return sum(reader.position for reader in self._readers)

    def batches(self) -> Generator[MboBatch, None, None]:
        """Every batch in order; the first of a file of a later day is a `DayStart`.

        So is that of a file which follows a time that no file covers, by their metadata.
        A later batch reuses its arrays.

        Raises:
            UsageError: the files repeat or overlap each other. InputError: a file cannot be read,
            or is damaged.
        """
        try:
            ordered = order_files(self._readers, self._options)
            names = [file.reader.name for file in ordered]
            inputs = [
                MergeInput(file.first_ns, partial(self._read_input, file.reader))
                for file in ordered
            ]
            merge = FileMerge(inputs, lambda overlap: self._overlap_error(overlap, names))
            warn_of_days = DayWarnings(self.doubtful_days).note
            with closing(merge.batches()) as batches:
                for batch in batches:
                    warn_of_days(batch)
                    yield batch
        finally:
            self.close()
            self.coverage.warn()

    def _read_input(self, reader: ChunkReader, others: int) -> Generator[FileBatch, None, None]:
        """The batches of an input that have records; `others` are read at the same time."""
        rows = min(self._batch_rows, MERGED_BATCH_ROWS) if others else self._batch_rows
        decoder = InputDecoder(reader, self._options, rows, any_schema=self._any_schema)
        decoder.keeps_headers = self.on_headers is not None
        file: FileReading | None = None
        try:
            with closing(decoder.batches()) as decoded_batches:
                for decoded in decoded_batches:
                    if file is None or decoded.file > max(file.number, 1):
                        file = self._begin_file(reader, file, decoded.file)
                        self._add_batch_symbols(reader, decoded)
                    file.number = decoded.file
                    batch = self._note(decoded, file)
                    if len(batch.action):
                        yield from self._pieces(batch, decoded.gaps, file)
        except GeneratorExit:  # the caller stops early
            if file is not None:
                file.report.warn_of_notes()
            raise
        if file is not None:
            file.coverage.is_ended, file.coverage.is_cut = True, decoder.loss is not None
            file.report.warn_of_notes()
        if file is not None and len(self.paths) > 1 and not self.keeps_symbol_lists:
            file.report.drop_symbol_lists()
        if file is not None and decoder.loss is not None:
            file.report.loss = decoder.loss
            text = f"{file.report.name}: ends within a record; lost: {decoder.loss}"
            warnings.warn(text, LossWarning, stacklevel=2)

    def _pieces(
        self, batch: MboBatch, gaps: Sequence[int], file: FileReading
    ) -> Iterator[FileBatch]:
        """The pieces of a file's next batch, which lie between gaps."""
        for piece, is_behind_gap in cut_at_gaps(batch, gaps):
            if is_behind_gap:
                file.coverage.note_gap(piece)
            if not self._options.in_this_order:
                file.check_beginning(piece)
            begins = file.note_batch(piece)
            follows_hole = begins and self.coverage.follows_hole(file.coverage)
            yield FileBatch(piece, begins, follows_hole or is_behind_gap)

    def _begin_file(
        self, reader: ChunkReader, before: FileReading | None, number: int
    ) -> FileReading:
        """Begin to read a file: an input, or the next file in an input."""
        forms = {file.framing for file in self.files} | {reader.framing}
        self._check_forms(forms, [file.name for file in self.files] + [reader.name])
        if before is None:
            report = FileReport(reader.name, reader.size, reader.framing)
            file = FileReading(report, self.coverage.begin_file(report.name))
        else:
            before.coverage.is_ended = True
            report = FileReport(f"{reader.name}, file {number}", None, reader.framing)
            coverage = self.coverage.begin_file(report.name)
            file = FileReading(report, coverage, before.counts, before.end)
        self.files.append(file.report)
        return file

    @staticmethod
    def _check_forms(forms: set[Framing | None], names: Sequence[str]) -> None:
        """Refuse files whose instruments could be confused."""
        if len(forms) > 1 and (Framing.NDJSON in forms or Framing.LOBSTER in forms):
            both = "NDJSON and DBN" if Framing.LOBSTER not in forms else "LOBSTER and other files"
            raise UsageError(f"{both} in one stream: their instruments could be confused")
        if forms == {Framing.ITCH} and len(set(map(itch_publisher, names))) > 1:
            raise UsageError(
                "ITCH of two venues in one stream: their instruments could be confused"
            )

    def _add_batch_symbols(self, reader: ChunkReader, decoded: DecodedBatch) -> None:
        """Name the instruments of a file of a batch download, as far as it does not itself.

        Raises:
            InputError: the file and the download name an instrument differently.
        """
        facts = reader.facts
        if facts is None:
            return
        if decoded.metadata is not None:
            facts.check_symbols(decoded.metadata, reader.name)
        has_names = decoded.names or (decoded.metadata is not None and decoded.metadata.mappings)
        if has_names or id(facts) in self._named_batches:
            return
        self._named_batches.add(id(facts))
        for interval in facts.intervals:
            self.symbols.add(interval)

    def _note(self, decoded: DecodedBatch, file: FileReading) -> MboBatch:
        """Add what a decoder has read to the names, definitions, statuses and report; the batch."""
        report = file.report
        report.other_records.update(decoded.other_records)
        report.metadata = decoded.metadata
        file.coverage.note_metadata(decoded.metadata)
        report.notes = decoded.notes
        file.count(decoded)
        for definition in decoded.definitions:
            is_first = definition.instrument_id not in self.definitions
            self.definitions.add(definition._replace(start_ns=0) if is_first else definition)
        if report.framing in NUMBERED_FORMS:
            decoded = self._numbered(decoded, file)
        else:
            for interval in decoded.names:
                self.symbols.add(interval)
        for status in decoded.statuses:
            self.statuses.add(status)
        if self.on_headers is not None and len(decoded.headers):
            self.on_headers(decoded.headers)
        return decoded.batch

    def _numbered(self, decoded: DecodedBatch, file: FileReading) -> DecodedBatch:
        """What was decoded with the instrument ids of the stream in place of those of the file."""
        if decoded.names:
            new_ids = self._number_symbols(decoded.names)
            file.instrument_ids = np.concatenate([file.instrument_ids, new_ids])
        ids, headers = file.instrument_ids, decoded.headers.copy()
        headers["instrument_id"] = ids[headers["instrument_id"]]
        statuses = [
            status._replace(instrument_id=int(ids[status.instrument_id]))
            for status in decoded.statuses
        ]
        batch = decoded.batch._replace(instrument_id=ids[decoded.batch.instrument_id])
        return decoded._replace(batch=batch, headers=headers, statuses=statuses)

    def _number_symbols(self, names: Sequence[MappingInterval]) -> NDArray[np.uint32]:
        """The stream's instrument ids of the next symbols of a file, which numbers them itself."""
        ids = np.zeros(len(names), np.uint32)
        for at, name in enumerate(names):
            number = self._symbol_numbers.setdefault(name.symbol, len(self._symbol_numbers) + 1)
            self.symbols.add(name._replace(instrument_id=number))
            ids[at] = number
        return ids

    def _overlap_error(self, overlap: Overlap, names: Sequence[str]) -> UsageError:
        instrument_id = overlap.key & 0xFFFFFFFF
        symbol = self.symbols.symbol(instrument_id, overlap.first_ns)
        return overlap_error(
            names[overlap.earlier],
            overlap.last_ns,
            names[overlap.later],
            overlap.first_ns,
            symbol or f"instrument {instrument_id}",
        )


def read_metadata(path: str | Path) -> Metadata | None:
    """Read the metadata of a DBN file of any schema.

    A file without mappings has those of the batch download that it is of. None: the file has
    another format, or is a pipe, which can be read only once.

    Raises:
        InputError: it cannot be read. DamagedInputError: its metadata is damaged or cut.
    """
    if is_read_once(path):
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
                check_metadata_bytes(
                    metadata_bytes,
                    file_bytes=reader.file_bytes,
                    limit=current().input.metadata_bytes_max,
                    source=reader.name,
                )
            if len(head) >= metadata_bytes:
                break
        metadata = parse_metadata(head[:metadata_bytes], reader.name)
        return metadata if reader.facts is None else reader.facts.add_mappings(metadata)
    finally:
        reader.close()
