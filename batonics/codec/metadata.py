"""DBN metadata, versions 1 to 3: what precedes the first record of a stream.

The rule here: a count or length of the input is used only once the bytes behind it exist. So
damaged metadata costs a `DamagedInputError` with the offset of the bad field, and never memory.

Layout (dbn reference library, `encode/dbn/sync.rs` and `decode/dbn/fsm.rs`), little-endian:

| bytes | field                                                                              |
|-------|------------------------------------------------------------------------------------|
| 3     | `DBN`                                                                              |
| 1     | version                                                                            |
| 4     | length of all that follows                                                         |
| 16    | dataset, padded with NUL                                                           |
| 2     | schema; 0xFFFF: several, as in a live stream                                       |
| 8 8 8 | start, end (UNDEF_TIMESTAMP: open), limit (0: none)                                |
| 8     | version 1 only: record count, no longer used                                       |
| 1 1   | stype_in (255: several), stype_out                                                 |
| 1     | ts_out: 1 if every record carries 8 bytes more                                     |
| 2     | from version 2: length of a symbol field (version 1: 22)                           |
| 47/53 | reserved; 47 in version 1                                                          |
| 4     | length of a schema definition: 0, as none was ever specified                       |
| ...   | symbols, partial, not_found: each a count and that many symbol fields              |
| ...   | mappings: a count; each a symbol, a count, and intervals of (from, to, symbol),    |
|       | dates being u32 such as 20250924, `to` exclusive                                   |
| 0-7   | NUL up to a multiple of 8 bytes (written from version 3)                           |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from batonics.codec.fields import FieldReader
from batonics.model.errors import DamagedInputError, UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval, day_start_ns

DBN_MAGIC = b"DBN"
PREFIX_BYTES = 8
LATEST_VERSION = 3
SCHEMA_MBO = 0
STYPE_INSTRUMENT_ID = 0
STYPE_RAW_SYMBOL = 1
STYPE_CONTINUOUS = 3
STYPE_PARENT = 4
# As many to a line as fit: their order is their number.
# fmt: off
SCHEMA_NAMES = (
    "mbo", "mbp-1", "mbp-10", "tbbo", "trades", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d",
    "definition", "statistics", "status", "imbalance", "ohlcv-eod", "cmbp-1", "cbbo-1s", "cbbo-1m",
    "tcbbo", "bbo-1s", "bbo-1m",
)
# fmt: on

_DATASET_BYTES = 16
_SYMBOL_BYTES = {1: 22, 2: 71, 3: 71}
_RESERVED_BYTES = {1: 47, 2: 53, 3: 53}
_NO_SCHEMA = 0xFFFF
_NO_STYPE = 0xFF
_NO_RECORD_COUNT = 2**64 - 1


class DatedSymbol(NamedTuple):
    """What a symbol maps to from `start_date` to `end_date` (exclusive), dates as 20250924."""

    start_date: int
    end_date: int
    symbol: str


class SymbolMapping(NamedTuple):
    """A symbol of `stype_in` and what it maps to, in `stype_out`, over time."""

    raw_symbol: str
    intervals: tuple[DatedSymbol, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The metadata of a DBN stream.

    Attributes:
        version: DBN version, 1 to 3.
        dataset: the vendor's dataset code, such as GLBX.MDP3; may be empty in a live stream.
        schema: number of the schema (see `schema_name`); None if the stream may have several.
        start: the first nanosecond of the request, since the epoch.
        end: the nanosecond after the last one; None: open.
        limit: the most records of the request; None: no limit.
        stype_in: number of the symbology of the request; None if there are several.
        stype_out: number of the symbology of the records.
        ts_out: whether every record has 8 bytes more, the time at which it was sent.
        symbol_cstr_len: bytes of a symbol field, its NUL included.
        symbols: the symbols of the request.
        partial: the symbols that resolve on some days only.
        not_found: the symbols that resolve on no day.
        mappings: from symbols of stype_in to symbols of stype_out, by date.
    """

    version: int = LATEST_VERSION
    dataset: str = ""
    schema: int | None = SCHEMA_MBO
    start: int = 0
    end: int | None = None
    limit: int | None = None
    stype_in: int | None = STYPE_RAW_SYMBOL
    stype_out: int = STYPE_INSTRUMENT_ID
    ts_out: bool = False
    symbol_cstr_len: int = field(default=_SYMBOL_BYTES[LATEST_VERSION])
    symbols: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    mappings: tuple[SymbolMapping, ...] = ()


def schema_name(schema: int | None) -> str:
    """The vendor's name of a schema number, `mixed` for None."""
    if schema is None:
        return "mixed"
    return SCHEMA_NAMES[schema] if schema < len(SCHEMA_NAMES) else f"schema {schema}"


def parse_prefix(prefix: bytes, source: str | None = None, base_offset: int = 0) -> int:
    """The length of the metadata, its 8-byte prefix included; DamagedInputError if it is none."""
    if prefix[:3] != DBN_MAGIC:
        raise DamagedInputError(
            f"found {prefix[:3]!r}, expected {DBN_MAGIC!r}", byte_offset=base_offset, source=source
        )
    if not 1 <= prefix[3] <= LATEST_VERSION:
        raise DamagedInputError(
            f"DBN version is {prefix[3]}, expected 1 to {LATEST_VERSION}",
            byte_offset=base_offset + 3,
            source=source,
        )
    return PREFIX_BYTES + int.from_bytes(prefix[4:8], "little")


def check_metadata_bytes(
    metadata_bytes: int,
    *,
    file_bytes: int | None,
    limit: int,
    source: str | None = None,
    base_offset: int = 0,
) -> None:
    """Check the length that metadata claims, before so many bytes are kept.

    Args:
        metadata_bytes: the length, with the prefix.
        file_bytes: the size of the plain file that has the metadata; None: it is not known.
        limit: the greatest length where the size is not known.
        source: a name for error messages.
        base_offset: the offset of the metadata in the stream.

    Raises:
        DamagedInputError: the metadata goes beyond the end of its file, or exceeds the limit.
    """
    if file_bytes is not None:
        if base_offset + metadata_bytes > file_bytes:
            raise DamagedInputError(
                f"the stream ends after {file_bytes - base_offset} bytes, within its metadata"
                f" of {metadata_bytes} bytes",
                byte_offset=file_bytes,
                source=source,
            )
    elif metadata_bytes > limit:
        raise DamagedInputError(
            f"metadata claims {metadata_bytes} bytes, more than the {limit} that the setting"
            " input.metadata_bytes_max allows",
            byte_offset=base_offset + 4,
            source=source,
        )


def parse_metadata(data: bytes, source: str | None = None, base_offset: int = 0) -> Metadata:
    """The metadata that all of `data` holds.

    Args:
        data: the bytes.
        source: a name for error messages.
        base_offset: the offset of `data` in the stream.

    Raises:
        DamagedInputError: a field breaks the format.
    """
    reader = FieldReader(data, what="metadata", base_offset=base_offset, source=source)
    total_bytes = parse_prefix(reader.take(PREFIX_BYTES), source, base_offset)
    if total_bytes != len(data):
        raise reader.damage(f"metadata of {total_bytes} bytes, but {len(data)} are there", 4)
    version = data[3]
    dataset = reader.text(_DATASET_BYTES)
    schema = reader.integer(2)
    start, end, limit = reader.integer(8), reader.integer(8), reader.integer(8)
    if version == 1:
        reader.take(8)
    stype_in, stype_out, ts_out = reader.integer(1), reader.integer(1), reader.integer(1)
    if ts_out > 1:
        raise reader.damage(f"ts_out is {ts_out}, expected 0 or 1", reader.offset - 1)
    width = _SYMBOL_BYTES[1] if version == 1 else reader.integer(2)
    if width < 2:
        raise reader.damage(f"symbol length is {width}, expected 2 or more", reader.offset - 2)
    reader.take(_RESERVED_BYTES[version])
    if definition_bytes := reader.integer(4):
        raise reader.damage(
            f"schema definition of {definition_bytes} bytes, expected none", reader.offset - 4
        )
    metadata = Metadata(
        version=version,
        dataset=dataset,
        schema=None if schema == _NO_SCHEMA else schema,
        start=start,
        end=None if end == UNDEF_TIMESTAMP else end,
        limit=limit or None,
        stype_in=None if stype_in == _NO_STYPE else stype_in,
        stype_out=stype_out,
        ts_out=bool(ts_out),
        symbol_cstr_len=width,
        symbols=reader.texts(width),
        partial=reader.texts(width),
        not_found=reader.texts(width),
        mappings=_parse_mappings(reader, width, stype_in, stype_out),
    )
    padding = data[reader.offset :]
    if len(padding) > 7 or any(padding):
        raise reader.damage(f"{len(padding)} bytes follow the mappings, expected NUL to 8 bytes")
    return metadata


def _parse_mappings(
    reader: FieldReader, width: int, stype_in: int, stype_out: int
) -> tuple[SymbolMapping, ...]:
    mappings = []
    for _ in range(reader.count(width + 4)):
        raw_symbol = reader.text(width, must_be_id=stype_in == STYPE_INSTRUMENT_ID)
        intervals = []
        for _ in range(reader.count(8 + width)):
            start_date, end_date = reader.date(), reader.date()
            if end_date < start_date:
                raise reader.damage(
                    f"mapping ends at {end_date}, before it starts at {start_date}",
                    reader.offset - 4,
                )
            symbol = reader.text(width, must_be_id=stype_out == STYPE_INSTRUMENT_ID)
            intervals.append(DatedSymbol(start_date, end_date, symbol))
        mappings.append(SymbolMapping(raw_symbol, tuple(intervals)))
    return tuple(mappings)


def symbol_intervals(metadata: Metadata) -> Iterator[MappingInterval]:
    """The mappings as symbols of instrument ids; none if neither stype is instrument_id.

    A day on which a symbol did not resolve (an empty mapping) gives none.
    """
    for mapping in metadata.mappings:
        for interval in mapping.intervals:
            if metadata.stype_out == STYPE_INSTRUMENT_ID:
                instrument_id, symbol = interval.symbol, mapping.raw_symbol
            elif metadata.stype_in == STYPE_INSTRUMENT_ID:
                instrument_id, symbol = mapping.raw_symbol, interval.symbol
            else:
                return
            if instrument_id and symbol:
                yield MappingInterval(
                    _clamp_ns(day_start_ns(interval.start_date)),
                    _clamp_ns(day_start_ns(interval.end_date)),
                    int(instrument_id),
                    symbol,
                )


def _clamp_ns(ts_ns: int) -> int:
    """Clip an end such as 9999-12-31 to the range of DBN timestamps, which UNDEF is not in."""
    return min(max(ts_ns, 0), UNDEF_TIMESTAMP - 1)


def encode_metadata(metadata: Metadata) -> bytes:
    """The bytes of the metadata, its prefix included, as the vendor's library writes them.

    Raises:
        UsageError: a value does not fit its field.
    """
    version, width = metadata.version, metadata.symbol_cstr_len
    if version not in _SYMBOL_BYTES or (version == 1 and width != _SYMBOL_BYTES[1]) or width < 2:
        raise UsageError(f"DBN version {version} with symbols of {width} bytes cannot be written")
    parts = [
        _encode_text(metadata.dataset, _DATASET_BYTES),
        struct.pack(
            "<HQQQ",
            _NO_SCHEMA if metadata.schema is None else metadata.schema,
            metadata.start,
            UNDEF_TIMESTAMP if metadata.end is None else metadata.end,
            metadata.limit or 0,
        ),
        struct.pack("<Q", _NO_RECORD_COUNT) if version == 1 else b"",
        struct.pack(
            "<BBB",
            _NO_STYPE if metadata.stype_in is None else metadata.stype_in,
            metadata.stype_out,
            metadata.ts_out,
        ),
        struct.pack("<H", width) if version > 1 else b"",
        bytes(_RESERVED_BYTES[version] + 4),
    ]
    for symbols in (metadata.symbols, metadata.partial, metadata.not_found):
        parts.append(struct.pack("<I", len(symbols)))
        parts.extend(_encode_text(symbol, width) for symbol in symbols)
    parts.append(struct.pack("<I", len(metadata.mappings)))
    for mapping in metadata.mappings:
        parts.append(_encode_text(mapping.raw_symbol, width))
        parts.append(struct.pack("<I", len(mapping.intervals)))
        for interval in mapping.intervals:
            parts.append(struct.pack("<II", interval.start_date, interval.end_date))
            parts.append(_encode_text(interval.symbol, width))
    body = b"".join(parts)
    if version >= 3:
        body += bytes(-len(body) % 8)
    return DBN_MAGIC + bytes([version]) + struct.pack("<I", len(body)) + body


def _encode_text(text: str, width: int) -> bytes:
    encoded = text.encode()
    if len(encoded) >= width or not text.isascii() or "\0" in text:
        raise UsageError(f"{text!r} does not fit a DBN text field (ASCII, at most {width - 1})")
    return encoded.ljust(width, b"\0")
