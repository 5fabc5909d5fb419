"""Reads tables of a schema from DBN, Parquet, Arrow and CSV files, frame by frame.

The rule: whatever the format, the frames have the columns of the schema
(`frames/schemas/vendor_tables.py`), as far as the file has them, and its order of rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.codec.metadata import DBN_MAGIC, parse_metadata, parse_prefix, schema_name
from batonics.frames.schemas.table import find_schema, schema_forms
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.sources.chunks import ChunkReader
from batonics.sources.stream import read_metadata

TABLE_FRAME_ROWS = 65_536
SUFFIXES = (".dbn", ".dbn.zst", ".parquet", ".arrow", ".feather", ".csv")


def read_table(path: str | Path, schema: str) -> Generator[pl.DataFrame, None, None]:
    """The rows of a file, in frames.

    Args:
        path: path of the file; its ending is the format.
        schema: name of its schema.

    Raises:
        InputError: the file cannot be read, has another format or schema, or is damaged.
    """
    name = str(path)
    if name.endswith((".dbn", ".dbn.zst")):
        yield from _read_dbn(path, schema)
        return
    # pyarrow takes a third of a second to import, and only a comparison reads such tables.
    from batonics.frames.schemas.vendor_tables import TableColumns

    try:
        rows = _scan_file(name)
        _check_required_columns(rows.collect_schema(), schema)
        columns = TableColumns(schema)
        for frame in rows.collect_batches(lazy=True, maintain_order=True):
            yield columns.convert(frame)
        columns.finish()
    except InputError as error:
        named = str(error).startswith(name)
        raise error if named else InputError(f"{name}: {error}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{name}: cannot be read: {str(error).splitlines()[0]}") from None


def detect_schema(path: str | Path) -> str:
    """The schema of a file, by its metadata or its columns.

    Raises:
        InputError: the file cannot be read, or its schema is not known.
    """
    name = str(path)
    if name.endswith((".dbn", ".dbn.zst")):
        metadata = read_metadata(path)
        schema = schema_name(metadata.schema) if metadata is not None else "not known"
    else:
        try:
            schema = _schema_of_columns(set(_scan_file(name).collect_schema()))
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{name}: cannot be read: {reason}") from None
    try:
        return find_schema(schema).name
    except UsageError:
        raise InputError(
            f"{name}: its schema is {schema}; give it with --schema: {', '.join(schema_forms())}"
        ) from None


def _schema_of_columns(columns: set[str]) -> str:
    """The schema with such columns."""
    if "action" in columns and "bid_px_09" in columns and "bid_px_10" not in columns:
        return "mbp-10"
    if "order_id" in columns:
        return "mbo"
    return "trades" if "depth" in columns and "bid_px_00" not in columns else "not known"


def _check_required_columns(found: pl.Schema, schema: str) -> None:
    """Check that a file has the columns that identify its rows, and those of levels.

    Raises:
        InputError: a column is missing; the message names it.
    """
    columns = find_schema(schema).columns
    needed = ("ts_recv", "ts_event", "publisher_id", "instrument_id", "sequence", "bid_px_00")
    for name in needed:
        if name in columns and name not in found:
            raise InputError(f"column {name} of schema {schema} is missing")


def _scan_file(name: str) -> pl.LazyFrame:
    if not name.endswith(SUFFIXES):
        raise InputError(f"{name}: the name must end in one of {' '.join(SUFFIXES)}")
    if not Path(name).is_file():
        raise InputError(f"{name}: cannot be opened: no such file")
    if name.endswith(".csv"):
        # Columns are text, so that no price becomes a float.
        return pl.scan_csv(name, infer_schema=False, glob=False)
    scan = pl.scan_parquet if name.endswith(".parquet") else pl.scan_ipc
    return scan(name, glob=False)


def _read_dbn(path: str | Path, schema: str) -> Generator[pl.DataFrame, None, None]:
    """The rows of a DBN file, and those of files behind it in the same input (`cat a b`)."""
    from batonics.frames.schemas.vendor_tables import from_records

    reader = ChunkReader(path)
    rows = _DbnRows(reader.name, schema)
    try:
        for chunk in reader.chunks():
            for records in rows.feed(chunk):
                for start in range(0, len(records), TABLE_FRAME_ROWS):
                    try:
                        frame = from_records(records[start : start + TABLE_FRAME_ROWS], schema)
                    except InputError as error:
                        raise InputError(f"{reader.name}: {error}") from None
                    yield frame
        rows.close()
    finally:
        reader.close()


class _DbnRows:
    """Splits the bytes of DBN files of one schema into records."""

    def __init__(self, source: str, schema: str) -> None:
        self._source, self._schema = source, schema
        self._dtype, self._rtype = find_schema(schema).record_dtype, find_schema(schema).rtype
        self._pending = bytearray()
        self._offset = self._records = 0
        self._in_records = False

    def feed(self, chunk: bytes) -> Iterator[NDArray[np.void]]:
        """The records that are whole now.

        Raises:
            InputError: a file has another schema. DamagedInputError: a record is none of it.
        """
        self._pending += chunk
        while self._in_records or self._begin_file():
            records = self._whole_records()
            yield records
            del self._pending[: records.nbytes]
            self._offset, self._records = (
                self._offset + records.nbytes,
                self._records + len(records),
            )
            if not self._pending.startswith(DBN_MAGIC):
                return
            self._in_records = False

    def close(self) -> None:
        """End the bytes; DamagedInputError if that is within metadata or a record."""
        if self._pending or not self._in_records:
            raise DamagedInputError(
                f"the stream ends after {len(self._pending)} bytes of a record",
                byte_offset=self._offset,
                record_index=self._records,
                source=self._source,
            )

    def _begin_file(self) -> bool:
        """Read the metadata of a file; whether all of it has come."""
        pending = self._pending
        size = parse_prefix(bytes(pending[:8]), self._source) if len(pending) >= 8 else None
        if size is None or len(pending) < size:
            return False
        metadata = parse_metadata(bytes(pending[:size]), self._source)
        if metadata.schema is None or schema_name(metadata.schema) != self._schema:
            raise InputError(
                f"{self._source}: its schema is {schema_name(metadata.schema)},"
                f" expected {self._schema}"
            )
        del pending[:size]
        self._offset, self._in_records = self._offset + size, True
        return True

    def _whole_records(self) -> NDArray[np.void]:
        """The records up to one that is cut, or up to the next file."""
        size = self._dtype.itemsize
        count = len(self._pending) // size
        with memoryview(self._pending) as pending:
            records = np.frombuffer(bytes(pending[: count * size]), self._dtype)
        is_wrong = (records["rtype"] != self._rtype) | (records["length"] != size // 4)
        if not is_wrong.any():
            return records
        at = int(is_wrong.argmax())
        if self._pending[at * size :].startswith(DBN_MAGIC):
            return records[:at]
        raise DamagedInputError(
            f"not a record of {self._schema}: rtype 0x{records['rtype'][at]:02x},"
            f" length byte {records['length'][at]}",
            byte_offset=self._offset + at * size,
            record_index=self._records + at,
            source=self._source,
        )
