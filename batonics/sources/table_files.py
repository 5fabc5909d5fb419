"""Reads records from Parquet and Arrow files, batch by batch.

The rule here: memory holds a row group or record batch of the file as it was written, and no more.
`codec/mbo_columns.py` says what columns are taken, and checks every value.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from batonics.codec.framing import Framing
from batonics.codec.mbo_columns import NAME_COLUMN, TABLE_COLUMNS, MboColumns
from batonics.model.errors import InputError
from batonics.model.mbo import MboBatch, slice_batch
from batonics.sources.chunks import ChunkReader, copy_to_file
from batonics.sources.input_options import InputOptions

READ_ROWS = 1 << 16
"""Rows that are converted at once."""
_TEXT_COLUMNS = ("action", "side", NAME_COLUMN)


class TableFile:
    """The records of one file.

    Args:
        reader: the file.
        framing: its form: one of `WHOLE_FILE_FORMS`.
        options: how it is read.
        batch_rows: limit of the rows of a batch.
        chunks: its plain bytes, if it is compressed; None: it is read by itself.

    Attributes:
        columns: its columns; None before `batches` has begun.
        records: number of records so far, skipped ones included.
        rows: number of records that were taken.
        skipped: number of bad records that were skipped.
    """

    def __init__(
        self,
        reader: ChunkReader,
        framing: Framing,
        options: InputOptions,
        batch_rows: int,
        chunks: Generator[bytes, None, None] | None = None,
    ) -> None:
        self.columns: MboColumns | None = None
        self.records = self.rows = self.skipped = 0
        self._reader, self._framing = reader, framing
        self._options, self._batch_rows, self._chunks = options, batch_rows, chunks

    def batches(self) -> Generator[MboBatch, None, None]:
        """The records, in order.

        Raises:
            InputError: the file cannot be read, its columns are not those of MBO, or a value is
                refused.
        """
        name = self._reader.name
        try:
            with closing(self._tables()) as tables:
                for table in tables:
                    for start in range(0, table.num_rows, READ_ROWS):
                        yield from self._convert(table.slice(start, READ_ROWS))
            if self.columns is not None:
                self.columns.finish()
        except (pa.ArrowException, OSError) as error:
            reason = (str(error).splitlines() or ["damaged"])[0]
            raise InputError(f"{name}: cannot be read as {self._framing.value}: {reason}") from None
        except InputError as error:
            named = str(error).startswith(name)
            raise error if named else InputError(f"{name}: {error}") from None

    def _tables(self) -> Generator[pa.RecordBatch, None, None]:
        """The record batches of the file."""
        reader = self._reader
        if self._framing is Framing.ARROW_STREAM:
            with closing(self._chunks or reader.chunks()) as pieces:
                stream = pa.ipc.open_stream(pa.PythonFile(_ChunkFile(pieces), "r"))
                self._begin(stream.schema)
                yield from stream
            return
        chunks = self._chunks
        with reader.open_file() if chunks is None else copy_to_file(chunks, reader.name) as file:
            if self._framing is Framing.ARROW:
                arrow = pa.ipc.open_file(file)
                self._begin(arrow.schema)
                for number in range(arrow.num_record_batches):
                    yield arrow.get_batch(number)
                    reader.note_progress((number + 1) / arrow.num_record_batches)
                return
            names = pq.read_schema(file).names
            file.seek(0)
            parquet = pq.ParquetFile(
                file,
                read_dictionary=[name for name in _TEXT_COLUMNS if name in names],
                page_checksum_verification=True,
            )
            self._begin(parquet.schema_arrow)
            names = [name for name in names if name in TABLE_COLUMNS]
            rows = 0
            for batch in parquet.iter_batches(READ_ROWS, columns=names, use_threads=False):
                yield batch
                rows += batch.num_rows
                reader.note_progress(rows / parquet.metadata.num_rows)

    def _begin(self, schema: pa.Schema) -> None:
        self.columns = MboColumns(schema, lossy=self._options.lossy)

    def _convert(self, table: pa.RecordBatch) -> Iterator[MboBatch]:
        if self.columns is None:
            raise AssertionError("columns are known before the first rows")
        while True:
            batch, fault = self.columns.convert_good(table)
            rows = len(batch.action)
            self.records += rows
            self.rows += rows
            for start in range(0, rows, self._batch_rows):
                yield slice_batch(batch, start, min(rows, start + self._batch_rows))
            if fault is None:
                return
            if not self._options.skip_bad:
                raise InputError(f"record {self.records}: {fault.reason}")
            self.records += 1
            self.skipped += 1
            table = table.slice(rows + 1)


class _ChunkFile(io.RawIOBase):
    """Chunks of bytes as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._pending = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size:
            if not self._pending:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._pending = memoryview(chunk)
            part = self._pending if size < 0 else self._pending[:size]
            self._pending = self._pending[len(part) :]
            size -= len(part) if size > 0 else 0
            parts.append(bytes(part))
        return b"".join(parts)
