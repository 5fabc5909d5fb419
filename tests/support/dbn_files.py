"""Small inputs made on the spot, whole and damaged.

The rule: nothing here depends on real data; times are of one UTC day unless they are given.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from batonics.codec.dbn import encode_records
from batonics.codec.messages import RTYPE_STATUS
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.model.mbo import Action, Flag, Side
from batonics.model.times import NS_PER_DAY
from tests.support.reference_books import Record
from tests.support.streams import batch_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DAY_NS = 20_000 * NS_PER_DAY  # 2024-10-04
DAY, NEXT_DAY = 20241004, 20241005
SYMBOLS = {"AAA": 1, "BBB": 2}


def record(
    action: Action,
    *,
    instrument_id: int = 1,
    side: Side = Side.BID,
    price: int = 100,
    size: int = 1,
    order_id: int = 1,
    flags: int = int(Flag.LAST),
    ts_recv: int = DAY_NS,
) -> Record:
    """One MBO record of publisher 1; price in whole units."""
    return Record(
        ts_recv, ts_recv, 1, instrument_id, action, side, price * 10**9, size, 0, order_id, flags,
        0, 7,
    )  # fmt: skip


def metadata(
    symbols: dict[str, int] | None = None,
    *,
    schema: int = 0,
    start: int = 0,
    end: int | None = None,
) -> bytes:
    """Metadata that names instruments for ever; without a start and an end unless given."""
    names = SYMBOLS if symbols is None else symbols
    mappings = tuple(
        SymbolMapping(name, (DatedSymbol(19700102, 20990101, str(number)),))
        for name, number in names.items()
    )
    return encode_metadata(
        Metadata(schema=schema, start=start, end=end, symbols=tuple(names), mappings=mappings)
    )


def encode(rows: Sequence[Record]) -> bytes:
    """Records as they stand on the wire."""
    return encode_records(batch_of(rows))


def adds(count: int, *, ts_recv: int = DAY_NS) -> list[Record]:
    """Orders of both symbols, each an event, a microsecond apart."""
    return [
        record(
            Action.ADD,
            instrument_id=1 + number % 2,
            price=100 - number % 5,
            order_id=1 + number,
            ts_recv=ts_recv + 1_000 * number,
        )
        for number in range(count)
    ]


SMALL = metadata() + encode(adds(20))
"""A whole, plain DBN file of 20 records."""
RECORDS_AT = len(metadata())


STATUS_SCHEMA = 11
"""The number of the schema status in metadata."""


def status_record(
    ts_ns: int, action: int, is_trading: str = "~", *, instrument_id: int = 1
) -> bytes:
    """A status record of publisher 1."""
    head = struct.pack("<BBHIQ", 10, RTYPE_STATUS, 1, instrument_id, ts_ns)
    body = struct.pack("<QHHH", ts_ns, action, 0, 0) + f"{is_trading}~~".encode()
    return (head + body).ljust(40, b"\0")


def damaged(byte: int, value: int, *, index: int = 3) -> bytes:
    """SMALL with one byte of one record changed."""
    data = bytearray(SMALL)
    data[RECORDS_AT + 56 * index + byte] = value
    return bytes(data)


def list_names(directory: Path) -> list[str]:
    """What is in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def compress(data: bytes) -> bytes:
    """One zstd frame."""
    return zstd.compress(data)


def decompress(data: bytes) -> bytes:
    """What zstd frames hold."""
    return zstd.decompress(data)
