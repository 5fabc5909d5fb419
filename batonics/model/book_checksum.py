"""Checksums of books, by which a client proves that its book is the server's.

The rule here: this file is the definition, with docs/api.md, which says the same in words, and
test vectors, which say it in numbers. It knows nothing of servers, so clients use it too.

A checksum is the CRC32 (IEEE 802.3, as zlib has it) of bytes: the bids, the best first, then the
asks, the best first, ten levels of each at most. All numbers are little-endian.

| bytes of a level                                                   | of  |
|--------------------------------------------------------------------|-----|
| side, 1 byte: `B` or `A`                                           | all |
| price, int64, in units of 1e-9                                     | all |
| size, uint64                                                       | all |
| number of orders, uint32                                           | all |
| of each order in priority order: order id, uint64; size, uint32    | l3  |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from struct import pack
from zlib import crc32

CHECKSUM_LEVELS = 10
"""The best levels of each side that a checksum covers."""
PriceLevel = tuple[int, int, int]
"""Price in units of 1e-9, size, and number of orders."""
_SIDES = b"B", b"A"
Queue = Sequence[tuple[int, int]]
"""The id and the size of each order of a level, in priority order."""


def levels_checksum(
    bids: Sequence[PriceLevel], asks: Sequence[PriceLevel], depth: int | None = None
) -> int:
    """The checksum of levels (l2 and bbo).

    Args:
        bids: the bids, the best first.
        asks: the asks, the best first.
        depth: levels of each side that the reader has; fewer than ten are covered then.
    """
    most = _levels_max(depth)
    return crc32(_levels_bytes(b"B", bids[:most]) + _levels_bytes(b"A", asks[:most]))


def queues_checksum(
    bids: Sequence[tuple[PriceLevel, Queue]], asks: Sequence[tuple[PriceLevel, Queue]]
) -> int:
    """The checksum of levels and their queues (l3).

    Args:
        bids: the bids, the best first, each with its orders in priority order.
        asks: the asks likewise.
    """
    sides = enumerate((bids, asks))
    levels = ((side, *level) for side, levels in sides for level in levels[:CHECKSUM_LEVELS])
    return crc32(b"".join(level_bytes(*level) for level in levels))


def level_bytes(side: int, level: PriceLevel, queue: Collection[tuple[int, int]]) -> bytes:
    """The bytes of a level and its queue, of which the checksum of queues is made.

    Args:
        side: 0: bid, 1: ask.
        level: the level.
        queue: its orders in priority order.
    """
    orders = pack("<" + "QI" * len(queue), *chain.from_iterable(queue))
    return _levels_bytes(_SIDES[side], (level,)) + orders


def _levels_max(depth: int | None) -> int:
    return CHECKSUM_LEVELS if depth is None else min(depth, CHECKSUM_LEVELS)


def _levels_bytes(side: bytes, levels: Iterable[PriceLevel]) -> bytes:
    return b"".join(pack("<cqQI", side, price, size, count) for price, size, count in levels)
