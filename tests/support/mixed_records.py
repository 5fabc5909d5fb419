"""Streams of DBN records of several kinds, whole and damaged.

The rule: the bytes are written by hand, field by field, and not by the code under test.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from batonics.codec.metadata import Metadata, encode_metadata
from tests.support.dbn_files import DAY_NS

KINDS = ("mbo", "mapping", "definition", "status", "system", "error")
FAULTS = {
    "mbo": ("action", "side", "rtype", "length"),
    "mapping": ("text", "open text"),
    "definition": ("text",),
}
"""What can be wrong with a record of each kind."""


class Piece(NamedTuple):
    """A record to write.

    Attributes:
        kind: one of KINDS.
        number: what makes it differ from others.
        fault: what is wrong with it, of FAULTS; None: nothing.
    """

    kind: str
    number: int
    fault: str | None = None


_RTYPES = dict(zip(KINDS, (0xA0, 0x16, 0x13, 0x12, 0x17, 0x15), strict=True))
_SIZES = {
    1: {"mapping": 80, "definition": 360, "system": 80, "error": 80},
    2: {"definition": 400},
    3: {},
}
_LATEST_SIZES = dict(zip(KINDS, (56, 176, 520, 40, 320, 320), strict=True))
_RAW_SYMBOL_AT = {1: 200, 2: 200, 3: 238}


def mixed_stream(pieces: Sequence[Piece], version: int, *, prefixed: bool = False) -> bytes:
    """A stream with metadata; or, of version 3, of records after their byte counts."""
    records = [encode_piece(piece, version) for piece in pieces]
    if prefixed:
        return b"".join(struct.pack("<I", len(record)) + record for record in records)
    width = 22 if version == 1 else 71
    return encode_metadata(Metadata(version=version, symbol_cstr_len=width)) + b"".join(records)


def encode_piece(piece: Piece, version: int) -> bytes:
    """The bytes of a record."""
    kind, number, fault = piece
    size = _SIZES[version].get(kind, _LATEST_SIZES[kind])
    time = DAY_NS + number
    instrument_id = 1 + number % 3
    record = bytearray(size)
    record[:16] = struct.pack("<BBHIQ", size // 4, _RTYPES[kind], 1, instrument_id, time)
    if kind == "mbo":
        record[16:40] = struct.pack("<Qqi", number, 10**9 * number, 1).ljust(20, b"\0") + (
            b"\x80\0" + b"AB"
        )
        record[40:48] = struct.pack("<Q", time)
        for name, at in (("action", 38), ("side", 39)):
            record[at] = ord("?") if fault == name else record[at]
        record[1] = 0x77 if fault == "rtype" else record[1]
        record[0] = 13 if fault == "length" else record[0]
    elif kind == "mapping":
        width, at = (22, 16) if version == 1 else (71, 17)
        symbol_at = at + width + (version > 1)
        record[symbol_at : symbol_at + 4] = b"SYM%d" % (number % 7)
        record[-16:] = struct.pack("<QQ", *((2**64 - 1,) * 2))
        if fault == "open text":
            record[symbol_at : symbol_at + width] = b"x" * width
        record[symbol_at] = 0xFF if fault == "text" else record[symbol_at]
    elif kind == "definition":
        at = _RAW_SYMBOL_AT[version]
        record[16:24] = struct.pack("<Q", time)
        record[at : at + 4] = b"DEF%d" % (number % 7)
        record[at] = 0xFF if fault == "text" else record[at]
    elif kind == "status":
        record[16:26] = struct.pack("<QH", time, 7 + number % 2)
        record[30] = ord("~")
    else:
        record[16:20] = b"TEXT"
    return bytes(record)
