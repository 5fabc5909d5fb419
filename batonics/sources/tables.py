"""Tables of a vendor schema from files: DBN, Parquet, Arrow, CSV; a frame at a time.

The rule: whatever the form, the frames have our columns (`frames/schemas/vendor_tables.py`), as far
as the file has them, and its order of rows.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import polars as pl

from batonics.codec.metadata import parse_metadata, parse_prefix, schema_name
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.frames.schemas.vendor_tables import from_records, normalise_columns
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.sources.chunks import ChunkReader
from batonics.sources.stream import read_metadata

TABLE_FRAME_ROWS = 65_536
SUFFIXES = (".dbn", ".dbn.zst", ".parquet", ".arrow", ".feather", ".csv")


def read_table(path: str | Path, schema: str) -> Generator[pl.DataFrame, None, None]:
    """The rows of a file that holds a vendor schema, in frames.

    Raises:
        InputError: it cannot be read, is of another form or schema, or is damaged.
    """
    name = str(path)
    if name.endswith((".dbn", ".dbn.zst")):
        yield from _read_dbn(path, schema)
        return
    try:
        rows = _lazy(name)
        _check_key(rows.collect_schema(), schema)
        for frame in rows.collect_batches(lazy=True, maintain_order=True):
            yield normalise_columns(frame, schema)
    except InputError as error:
        named = str(error).startswith(name)
        raise error if named else InputError(f"{name}: {error}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{name}: cannot be read: {str(error).splitlines()[0]}") from None


def detect_schema(path: str | Path) -> str:
    """The schema of a file, from its metadata, or told from its columns.

    Raises:
        InputError: it cannot be read, or none of our schemas is told.
    """
    name = str(path)
    if name.endswith((".dbn", ".dbn.zst")):
        metadata = read_metadata(path)
        schema = schema_name(metadata.schema) if metadata is not None else "not told"
    else:
        try:
            schema = _told(set(_lazy(name).collect_schema()))
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{name}: cannot be read: {reason}") from None
    try:
        return find_schema(schema).name
    except UsageError:
        raise InputError(
            f"{name}: its schema is {schema}; say it with --schema: {', '.join(dbn_schemas())}"
        ) from None


def _told(columns: set[str]) -> str:
    """The schema that columns tell."""
    if "bid_px_09" in columns and "bid_px_10" not in columns:
        return "mbp-10"
    if "order_id" in columns:
        return "mbo"
    return "trades" if "depth" in columns and "bid_px_00" not in columns else "not told"


def _check_key(found: pl.Schema, schema: str) -> None:
    """Refuse a file without what its rows are known by, and without levels where it must have some.

    Raises:
        InputError: which column is missing.
    """
    columns = find_schema(schema).columns
    needed = ("ts_recv", "ts_event", "publisher_id", "instrument_id", "sequence", "bid_px_00")
    for name in needed:
        if name in columns and name not in found:
            raise InputError(f"column {name} of schema {schema} is missing")


def _lazy(name: str) -> pl.LazyFrame:
    if not name.endswith(SUFFIXES):
        raise InputError(f"{name}: the name must end in one of {' '.join(SUFFIXES)}")
    if not Path(name).is_file():
        raise InputError(f"{name}: cannot be opened: no such file")
    if name.endswith(".csv"):
        # As text: a price is not to become a float on its way.
        return pl.scan_csv(name, infer_schema=False, glob=False)
    scan = pl.scan_parquet if name.endswith(".parquet") else pl.scan_ipc
    return scan(name, glob=False)


def _read_dbn(path: str | Path, schema: str) -> Generator[pl.DataFrame, None, None]:
    reader = ChunkReader(path)
    dtype, rtype = find_schema(schema).record_dtype, find_schema(schema).rtype
    pending, offset, records_seen = bytearray(), 0, 0
    in_records = False
    try:
        for chunk in reader.chunks():
            pending += chunk
            if not in_records:
                size = parse_prefix(bytes(pending[:8]), reader.name) if len(pending) >= 8 else None
                if size is None or len(pending) < size:
                    continue
                metadata = parse_metadata(bytes(pending[:size]), reader.name)
                if metadata.schema is None or schema_name(metadata.schema) != schema:
                    raise InputError(
                        f"{reader.name}: its schema is {schema_name(metadata.schema)},"
                        f" expected {schema}"
                    )
                del pending[:size]
                offset, in_records = size, True
            whole = len(pending) // dtype.itemsize
            records = np.frombuffer(bytes(pending[: whole * dtype.itemsize]), dtype)
            strange = (records["rtype"] != rtype) | (records["length"] != dtype.itemsize // 4)
            if strange.any():
                at = int(strange.argmax())
                raise DamagedInputError(
                    f"not a record of {schema}: rtype 0x{records['rtype'][at]:02x},"
                    f" length byte {records['length'][at]}",
                    byte_offset=offset + at * dtype.itemsize,
                    record_index=records_seen + at,
                    source=reader.name,
                )
            for start in range(0, whole, TABLE_FRAME_ROWS):
                try:
                    frame = from_records(records[start : start + TABLE_FRAME_ROWS], schema)
                except InputError as error:
                    raise InputError(f"{reader.name}: {error}") from None
                yield frame
            del pending[: whole * dtype.itemsize]
            offset, records_seen = offset + whole * dtype.itemsize, records_seen + whole
        if pending or not in_records:
            raise DamagedInputError(
                f"the stream ends after {len(pending)} bytes of a record",
                byte_offset=offset,
                record_index=records_seen,
                source=reader.name,
            )
    finally:
        reader.close()
