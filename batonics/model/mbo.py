"""The MBO record: its bytes, columns, actions, sides, flags and sentinels.

Sources: the dbn reference library (`record.rs`, `flags.rs`) and the vendor's documentation.
"rule n" anywhere in this project is number n of the market-by-order rules in ARCHITECTURE.md.

| sentinel             | value  | field                | handled                                   |
|----------------------|--------|----------------------|-------------------------------------------|
| UNDEF_PRICE          | 2^63-1 | price                | never enters a book (rules 7, 13, 19)     |
| UNDEF_ORDER_SIZE     | 2^32-1 | size                 | never enters a book (rule 19)             |
| UNDEF_TIMESTAMP      | 2^64-1 | ts_event, ts_recv    | null in frames, null in JSON (rule 19)    |
| NO_CHANNEL           | 255    | channel_id           | kept                                      |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Action(IntEnum):
    """What a record does: the ASCII code on the wire (rule 6)."""

    ADD = ord("A")
    CANCEL = ord("C")
    MODIFY = ord("M")
    CLEAR = ord("R")
    TRADE = ord("T")
    FILL = ord("F")
    NONE = ord("N")
    # Not in DBN: a modify of the NDJSON form. It may omit price (UNDEF_PRICE), size
    # (UNDEF_ORDER_SIZE) or side (N), which then stay as they are in the book.
    MODIFY_PARTIAL = ord("m")


class Side(IntEnum):
    """The side of the order (A, C, M, F), of the aggressor (T), or none (rule 12)."""

    BID = ord("B")
    ASK = ord("A")
    NONE = ord("N")


class Flag(IntFlag):
    """Bits of `flags` (rules 5 and 13 to 18)."""

    LAST = 128
    TOB = 64
    SNAPSHOT = 32
    MBP = 16
    BAD_TS_RECV = 8
    MAYBE_BAD_BOOK = 4
    PUBLISHER_SPECIFIC = 2


# The codes and bits above as plain integers, for kernels and whole columns: numba compiles no enum
# members, and NumPy converts a column to int64 first to compare it with one.
ACTION_ADD, ACTION_CANCEL, ACTION_MODIFY = int(Action.ADD), int(Action.CANCEL), int(Action.MODIFY)
ACTION_CLEAR, ACTION_TRADE, ACTION_FILL = int(Action.CLEAR), int(Action.TRADE), int(Action.FILL)
ACTION_NONE, ACTION_MODIFY_PARTIAL = int(Action.NONE), int(Action.MODIFY_PARTIAL)
SIDE_BID, SIDE_ASK, SIDE_NONE = int(Side.BID), int(Side.ASK), int(Side.NONE)
F_LAST, F_TOB, F_SNAPSHOT = int(Flag.LAST), int(Flag.TOB), int(Flag.SNAPSHOT)
F_MBP, F_BAD_TS_RECV = int(Flag.MBP), int(Flag.BAD_TS_RECV)
F_MAYBE_BAD_BOOK = int(Flag.MAYBE_BAD_BOOK)

RTYPE_MBO = 0xA0
UNDEF_PRICE = 2**63 - 1
UNDEF_ORDER_SIZE = 2**32 - 1
UNDEF_TIMESTAMP = 2**64 - 1
NO_CHANNEL = 255
PRICE_SCALE = 1_000_000_000
"""Prices are int64 in units of 1e-9 (rule 20)."""

MBO_DTYPE = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
"""The 56 bytes of an MBO record on the wire, the same in DBN versions 1, 2 and 3."""


class MboBatch(NamedTuple):
    """A batch of MBO records as columns of one length, in the vendor's order.

    The arrays may be views of buffers that the producer reuses. A consumer that keeps a batch
    beyond the next one copies it (`copy_batch`).
    """

    ts_recv: NDArray[np.uint64]
    ts_event: NDArray[np.uint64]
    publisher_id: NDArray[np.uint16]
    instrument_id: NDArray[np.uint32]
    action: NDArray[np.uint8]
    side: NDArray[np.uint8]
    price: NDArray[np.int64]
    size: NDArray[np.uint32]
    channel_id: NDArray[np.uint8]
    order_id: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    ts_in_delta: NDArray[np.int32]
    sequence: NDArray[np.uint32]


class DayStart(MboBatch):
    """The first batch of a file of a later day, or behind a time without records (rule 21).

    It may have no rows.
    """

    __slots__ = ()


MBO_COLUMN_DTYPES: dict[str, np.dtype] = {name: MBO_DTYPE[name] for name in MboBatch._fields}


def empty_batch(rows: int) -> MboBatch:
    """Uninitialised columns of `rows` rows."""
    return MboBatch._make(np.empty(rows, dtype) for dtype in MBO_COLUMN_DTYPES.values())


def slice_batch(batch: MboBatch, start: int, stop: int) -> MboBatch:
    """Rows `[start, stop)` of a batch, as views. The first slice of a `DayStart` is one too."""
    kind = MboBatch if start else type(batch)
    return kind._make(column[start:stop] for column in batch)


def record_keys(batch: MboBatch) -> NDArray[np.int64]:
    """publisher_id << 32 | instrument_id of each row: the key of its book (rule 1)."""
    keys: NDArray[np.int64] = batch.publisher_id.astype(np.int64) << 32 | batch.instrument_id
    return keys


def is_untimed(flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Rows whose `ts_recv` orders nothing (rule 16); rows of snapshots are not among them."""
    untimed: NDArray[np.bool_] = flags & (F_BAD_TS_RECV | F_SNAPSHOT) == F_BAD_TS_RECV
    return untimed


def trusted_times(ts_recv: NDArray[np.uint64], flags: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The time of each row in nanoseconds, as far as it orders anything (rule 16); else -1.

    Times that exceed an int64, such as UNDEF_TIMESTAMP, order nothing either.
    """
    signed = ts_recv.view(np.int64)
    return np.where(is_untimed(flags) | (signed < 0), -1, signed)


def due_times(batch: MboBatch, due_ns: int) -> NDArray[np.int64]:
    """(rows,) When each record is due: the greatest trusted `ts_recv` so far, which never falls.

    Args:
        batch: the records.
        due_ns: when the record before the first one is due.
    """
    times = trusted_times(batch.ts_recv, batch.flags)
    if len(times):
        times[0] = max(int(times[0]), due_ns)
    due: NDArray[np.int64] = np.maximum.accumulate(times)
    return due


def split_batches(batches: Iterable[MboBatch], rows_max: int) -> Iterator[MboBatch]:
    """Batches of any size in order, cut to 1 to `rows_max` rows, as views.

    Where an empty `DayStart` is left out, the next batch is a `DayStart`.
    """
    day_starts = False
    for batch in batches:
        day_starts |= isinstance(batch, DayStart)
        for start in range(0, len(batch.action), rows_max):
            piece = slice_batch(batch, start, start + rows_max)
            yield DayStart._make(piece) if day_starts else piece
            day_starts = False


def take_batch(batch: MboBatch, rows: NDArray[np.intp] | NDArray[np.bool_]) -> MboBatch:
    """The rows that an index or mask array selects, as copies. A `DayStart` stays one."""
    if rows.dtype == np.bool_:
        rows = np.flatnonzero(rows)
    return type(batch)._make(column.take(rows) for column in batch)


def copy_batch(batch: MboBatch) -> MboBatch:
    """A batch that owns its arrays."""
    return type(batch)._make(column.copy() for column in batch)


def concat_batches(batches: list[MboBatch]) -> MboBatch:
    """Several batches as one, as copies."""
    return MboBatch._make(np.concatenate(columns) for columns in zip(*batches, strict=True))


def batch_from_records(records: NDArray[np.void]) -> MboBatch:
    """Columns of a structured array of `MBO_DTYPE`, as copies."""
    return MboBatch._make(records[name].copy() for name in MboBatch._fields)


def records_from_batch(batch: MboBatch) -> NDArray[np.void]:
    """The batch as a structured array of `MBO_DTYPE`, the bytes on the wire."""
    records = np.zeros(len(batch.action), MBO_DTYPE)
    records["length"] = MBO_DTYPE.itemsize // 4
    records["rtype"] = RTYPE_MBO
    for name in MboBatch._fields:
        records[name] = getattr(batch, name)
    return records
