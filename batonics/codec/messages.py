"""DBN records other than MBO: the length of each kind, and the few that are read or written.

The rule here: a layout is that of the stream's own version; no record is upgraded. Lengths and
offsets are those of `record.rs`, `v1`, `v2` and `v3` in the dbn reference library.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.fields import FieldReader
from batonics.codec.itch_messages import ITCH_NAMES
from batonics.codec.metadata import STYPE_RAW_SYMBOL
from batonics.model.book_changes import BookChange, TradingStatus
from batonics.model.definitions import Definition
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_PRICE, UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval

RTYPE_STATUS = 0x12
RTYPE_DEFINITION = 0x13
RTYPE_ERROR = 0x15
RTYPE_SYMBOL_MAPPING = 0x16
RTYPE_SYSTEM = 0x17

HEADER_BYTES = 16
TS_OUT_BYTES = 8
NO_CODE = 255
_DELETED = ord("D")

# Codes of a SystemMsg.
SYSTEM_HEARTBEAT = 0
SYSTEM_SUBSCRIPTION_ACK = 1
SYSTEM_SLOW_READER = 2
SYSTEM_REPLAY_COMPLETED = 3
SYSTEM_END_OF_INTERVAL = 4

# Codes of an ErrorMsg.
ERROR_SYMBOL = 4
ERROR_SUBSCRIPTION = 5
ERROR_INTERNAL = 6
ERROR_SKIPPED_RECORDS = 7
GOES_ON_AFTER = (ERROR_SYMBOL, ERROR_SKIPPED_RECORDS)
"""Errors that end no session: a symbol that does not resolve, and records that were skipped because
the client reads too slowly. The vendor's gateway sends them so since April 2026."""

_SYMBOL_BYTES = 71
_ERROR_BYTES, _SYSTEM_BYTES = 302, 303

_RECORD_BYTES = {
    0x00: 48,  # trades
    0x01: 80,  # mbp-1, tbbo
    0x0A: 368,  # mbp-10
    0x11: 56,  # ohlcv, cadence not given
    RTYPE_STATUS: 40,
    RTYPE_DEFINITION: 520,
    0x14: 112,  # imbalance
    RTYPE_ERROR: 320,
    RTYPE_SYMBOL_MAPPING: 176,
    RTYPE_SYSTEM: 320,
    0x18: 80,  # statistics
    **dict.fromkeys(range(0x20, 0x25), 56),  # ohlcv-1s, -1m, -1h, -1d, -eod
    0xA0: 56,  # mbo
    0xB1: 80,  # cmbp-1
    **dict.fromkeys(range(0xC0, 0xC5), 80),  # cbbo-1s, cbbo-1m, tcbbo, bbo-1s, bbo-1m
}
"""Bytes of a record by rtype in DBN version 3."""

RTYPE_NAMES = {
    0x00: "trades",
    0x01: "mbp-1",
    0x0A: "mbp-10",
    0x11: "ohlcv",
    RTYPE_STATUS: "status",
    RTYPE_DEFINITION: "definition",
    0x14: "imbalance",
    RTYPE_ERROR: "error",
    RTYPE_SYMBOL_MAPPING: "symbol_mapping",
    RTYPE_SYSTEM: "system",
    0x18: "statistics",
    0x20: "ohlcv-1s",
    0x21: "ohlcv-1m",
    0x22: "ohlcv-1h",
    0x23: "ohlcv-1d",
    0x24: "ohlcv-eod",
    0xA0: "mbo",
    0xB1: "cmbp-1",
    0xC0: "cbbo-1s",
    0xC1: "cbbo-1m",
    0xC2: "tcbbo",
    0xC3: "bbo-1s",
    0xC4: "bbo-1m",
}
"""The name of each kind of record: that of its schema, or its own. tbbo has records of mbp-1."""

LOBSTER_HALT = 7
"""The rtype of a line of a LOBSTER message file that is no order and no trade: its type."""
_OTHER_FORMS = {**ITCH_NAMES, LOBSTER_HALT: "lobster_halt"}
"""Names of what is counted as other records in forms that are not DBN, which has none of these."""

HEADER_DTYPE = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
    ]
)
"""The 16 bytes that every record begins with."""

_RECORD_BYTES_BEFORE: dict[int, dict[int, int]] = {
    1: {
        RTYPE_DEFINITION: 360,
        RTYPE_ERROR: 80,
        RTYPE_SYMBOL_MAPPING: 80,
        RTYPE_SYSTEM: 80,
        0x18: 64,
    },
    2: {RTYPE_DEFINITION: 400, 0x18: 64},
    3: {},
}
"""Lengths that differ in a version."""


_IS_TRADING_AT = 30
"""Offset of `is_trading` (Y, N or ~) in a status record."""
_STATUS_CODES = frozenset(TradingStatus)
_RAW_SYMBOL = {1: (200, 22), 2: (200, 71), 3: (238, 71)}
_UPDATE_ACTION = {1: 349, 2: 382, 3: 493}
_MATCH_ALGORITHM = {1: 342, 2: 375, 3: 488}
"""By version, offset and width of a definition's raw_symbol, and the offsets of two letters."""


class GatewayMessage(NamedTuple):
    """A message of the gateway: an error, or a system message such as a heartbeat (code 0).

    `code` is None in version 1, which has no codes.
    """

    code: int | None
    text: str


Content = MappingInterval | Definition | BookChange | GatewayMessage
"""What a record that is not MBO says about instruments, books and the session."""


class OtherRecord(NamedTuple):
    """A whole record that is not MBO.

    Attributes:
        rtype: the kind of the record.
        byte_offset: the offset of the record in the stream.
        record_index: the number of records before it.
        rows_before: the number of MBO rows before it.
        data: the bytes of the record, header included.
        content: what it says; None: nothing that is read here.
    """

    rtype: int
    byte_offset: int
    record_index: int
    rows_before: int
    data: bytes
    content: Content | None = None


def rtype_name(rtype: int) -> str:
    """The name of a kind of record; its number if DBN has none of it."""
    return RTYPE_NAMES.get(rtype) or _OTHER_FORMS.get(rtype, f"0x{rtype:02x}")


def read_headers(records: Sequence[OtherRecord]) -> NDArray[np.void]:
    """(records,) The headers of records, of `HEADER_DTYPE`."""
    return np.frombuffer(b"".join(r.data[:HEADER_BYTES] for r in records), HEADER_DTYPE)


def write_header(rtype: int, publisher_id: int, instrument_id: int, ts_event: int) -> bytes:
    """The header of a record without a body, for a message of a form that is not DBN."""
    words = HEADER_BYTES // 4
    return struct.pack("<BBHIQ", words, rtype, publisher_id, instrument_id, ts_event)


def record_words(version: int, *, ts_out: bool) -> NDArray[np.uint8]:
    """(256,) The length of a record of each rtype, in 4-byte words; 0 for an unknown rtype.

    With `ts_out` every record is two words longer.
    """
    words = np.zeros(256, np.uint8)
    for rtype, size in (_RECORD_BYTES | _RECORD_BYTES_BEFORE[version]).items():
        words[rtype] = (size + (TS_OUT_BYTES if ts_out else 0)) // 4
    return words


def parse_content(record: OtherRecord, version: int, source: str | None = None) -> Content | None:
    """What a record says about instruments and books; None: nothing that is read here.

    Raises:
        DamagedInputError: the record is damaged.
    """
    if record.rtype == RTYPE_SYMBOL_MAPPING:
        return parse_symbol_mapping(record, version, source)
    if record.rtype == RTYPE_DEFINITION:
        return parse_definition(record, version, source)
    return parse_status(record) if record.rtype == RTYPE_STATUS else None


def parse_symbol_mapping(
    record: OtherRecord, version: int, source: str | None = None
) -> MappingInterval:
    """The symbol that a SymbolMapping record gives its instrument.

    It is `symbol_out`, or `symbol_in` if the client requested instrument ids as output. A live
    gateway leaves both ends undefined: the symbol then holds from the record's `ts_event` on.

    Raises:
        DamagedInputError: the symbol is not text.
    """
    reader = _reader(record, source)
    width = 22 if version == 1 else 71
    stype_bytes = 0 if version == 1 else 1
    instrument_id = int.from_bytes(record.data[4:8], "little")
    reader.take(stype_bytes)
    symbol_in = reader.text(width)
    reader.take(stype_bytes)
    symbol = reader.text(width)
    if symbol.isdecimal() and symbol_in:
        symbol = symbol_in
    if version == 1:
        reader.take(4)
    start_ns, end_ns = reader.integer(8), reader.integer(8)
    if start_ns == UNDEF_TIMESTAMP and end_ns == UNDEF_TIMESTAMP:
        start_ns = int.from_bytes(record.data[8:16], "little")  # ts_event
    if start_ns == UNDEF_TIMESTAMP:
        start_ns = 0
    return MappingInterval(start_ns, end_ns, instrument_id, symbol)


def parse_definition(record: OtherRecord, version: int, source: str | None = None) -> Definition:
    """The definition of a definition record, from its `ts_recv` on.

    A record that deletes the instrument leaves it without a tick, a factor and an algorithm.

    Raises:
        DamagedInputError: the symbol is not text.
    """
    reader = _reader(record, source)
    start_ns = reader.integer(8)
    tick, factor = (int.from_bytes(reader.take(8), "little", signed=True) for _ in range(2))
    symbol_at, width = _RAW_SYMBOL[version]
    reader.take(symbol_at - HEADER_BYTES - 24)
    symbol = reader.text(width)
    algorithm = chr(record.data[_MATCH_ALGORITHM[version]])
    if record.data[_UPDATE_ACTION[version]] == _DELETED:
        tick = factor = UNDEF_PRICE
        algorithm = ""
    return Definition(
        0 if start_ns == UNDEF_TIMESTAMP else start_ns,
        UNDEF_TIMESTAMP,
        int.from_bytes(record.data[4:8], "little"),
        symbol,
        tick,
        factor,
        # Where there is none, the byte is a space or 0.
        algorithm if algorithm.isascii() and algorithm.isalpha() else "",
    )


_NO_CHANGE = (TradingStatus.NEW_PRICE_INDICATION, TradingStatus.SSR_CHANGE)
"""Actions of status records that leave the trading state as it is."""


def parse_status(record: OtherRecord) -> BookChange | None:
    """The trading status that a status record gives its book, from its `ts_recv` on.

    A record says in two fields whether the instrument trades: `is_trading` decides where it is Y or
    N, since an action such as a change of short-selling rules says nothing about it. None: the
    record says neither, or has no time.
    """
    start_ns = int.from_bytes(record.data[16:24], "little")
    action = int.from_bytes(record.data[24:26], "little")
    is_trading = chr(record.data[_IS_TRADING_AT])
    status = TradingStatus(action) if action in _STATUS_CODES and action not in _NO_CHANGE else None
    if is_trading == "Y":
        status = TradingStatus.TRADING
    elif is_trading == "N" and status is TradingStatus.TRADING:
        status = TradingStatus.NOT_AVAILABLE_FOR_TRADING
    if status is None or start_ns == UNDEF_TIMESTAMP:
        return None
    publisher_id = int.from_bytes(record.data[2:4], "little")
    instrument_id = int.from_bytes(record.data[4:8], "little")
    return BookChange(start_ns, publisher_id, instrument_id, status)


def plain_status(record: OtherRecord) -> bytes:
    """A status record without the time at which a gateway has sent it (`ts_out`)."""
    size = _RECORD_BYTES[RTYPE_STATUS]
    return bytes([size // 4]) + record.data[1:size]


def read_plain_status(data: bytes) -> BookChange:
    """The trading status that the bytes of `plain_status` give a book.

    Raises:
        ValueError: they are no status record that gives one.
    """
    size = _RECORD_BYTES[RTYPE_STATUS]
    if len(data) == size and data[:2] == bytes([size // 4, RTYPE_STATUS]):
        status = parse_status(OtherRecord(RTYPE_STATUS, 0, 0, 0, data))
        if status is not None:
            return status
    raise ValueError("no status record")


def parse_error_message(
    record: OtherRecord, version: int, source: str | None = None
) -> GatewayMessage:
    """Code and text of an ErrorMsg record; DamagedInputError if it is not text."""
    return _parse_message(record, version, source, code_offset=318)


def parse_system_message(
    record: OtherRecord, version: int, source: str | None = None
) -> GatewayMessage:
    """Code and text of a SystemMsg record; DamagedInputError if it is not text."""
    return _parse_message(record, version, source, code_offset=319)


def write_symbol_mapping(  # noqa: PLR0913 - the fields of the record
    instrument_id: int,
    ts_event: int,
    stype_in: int,
    symbol_in: str,
    symbol_out: str,
    *,
    start_ns: int = UNDEF_TIMESTAMP,
    end_ns: int = UNDEF_TIMESTAMP,
) -> bytes:
    """A SymbolMapping record of version 3. A live gateway sends it without a start and an end.

    Args:
        instrument_id: the instrument.
        ts_event: the time of the message, ns.
        stype_in: the number of the symbology of `symbol_in`.
        symbol_in: the symbol that the client requested.
        symbol_out: the raw symbol of the instrument.
        start_ns: the first nanosecond at which it holds.
        end_ns: the nanosecond after the last one.

    Raises:
        UsageError: a symbol does not fit its field.
    """
    return b"".join(
        [
            _header(RTYPE_SYMBOL_MAPPING, instrument_id, ts_event),
            bytes([stype_in]),
            _text_field(symbol_in, _SYMBOL_BYTES),
            bytes([STYPE_RAW_SYMBOL]),
            _text_field(symbol_out, _SYMBOL_BYTES),
            struct.pack("<QQ", start_ns, end_ns),
        ]
    )


def write_system_message(code: int, text: str, ts_event: int) -> bytes:
    """A SystemMsg record of version 3; a text that is too long is cut."""
    message = _text_field(_cut(text, _SYSTEM_BYTES), _SYSTEM_BYTES)
    return _header(RTYPE_SYSTEM, 0, ts_event) + message + bytes([code])


def write_error_message(code: int, text: str, ts_event: int, *, is_last: bool = True) -> bytes:
    """An ErrorMsg record of version 3; a text that is too long is cut."""
    message = _text_field(_cut(text, _ERROR_BYTES), _ERROR_BYTES)
    return _header(RTYPE_ERROR, 0, ts_event) + message + bytes([code, is_last])


def _header(rtype: int, instrument_id: int, ts_event: int) -> bytes:
    words = _RECORD_BYTES[rtype] // 4
    return struct.pack("<BBHIQ", words, rtype, 0, instrument_id, ts_event)


def _cut(text: str, width: int) -> str:
    return text.encode()[: width - 1].decode(errors="ignore")


def _text_field(text: str, width: int) -> bytes:
    encoded = text.encode()
    if len(encoded) >= width or b"\0" in encoded:
        raise UsageError(f"{text!r} does not fit a DBN text field (at most {width - 1} bytes)")
    return encoded.ljust(width, b"\0")


def _parse_message(
    record: OtherRecord, version: int, source: str | None, *, code_offset: int
) -> GatewayMessage:
    reader = _reader(record, source)
    if version == 1:
        return GatewayMessage(None, reader.text(64))
    text = reader.text(code_offset - HEADER_BYTES)
    code = reader.integer(1)
    return GatewayMessage(None if code == NO_CODE else code, text)


def _reader(record: OtherRecord, source: str | None) -> FieldReader:
    reader = FieldReader(
        record.data,
        what="record",
        base_offset=record.byte_offset,
        record_index=record.record_index,
        source=source,
    )
    reader.take(HEADER_BYTES)
    return reader
