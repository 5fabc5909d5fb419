"""Ways to damage a file: each takes the bytes and a seeded source of chance, and changes them.

The rule: a mutation is a function of the bytes and of the seed alone, so that a failure can be had
again by its seed and number.
"""

from __future__ import annotations

import random
from collections.abc import Callable

ByteFault = Callable[[random.Random, bytearray, int], None]

RECORD_BYTES = 56
HOSTILE_LENGTHS = (0, 1, 2, 3, 4, 12, 13, 15, 20, 44, 92, 130, 254, 255)
HOSTILE_U32 = (0, 1, 7, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
PAYLOAD = (*range(2, 38), *range(40, 56))
"""Bytes of an MBO record that carry no structure: ids, times, price, size, flags, sequence."""


def damage_bytes(kind: str, seed: str, original: bytes, records_at: int) -> bytes:
    """A damaged copy of a file whose records start at `records_at`."""
    chance = random.Random(seed)
    data = bytearray(original)
    BYTE_FAULTS[kind](chance, data, records_at)
    return bytes(data)


def _flip_bits(chance: random.Random, data: bytearray, _: int) -> None:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _change_bytes(chance: random.Random, data: bytearray, _: int) -> None:
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _record(chance: random.Random, data: bytearray, records_at: int) -> int:
    return records_at + RECORD_BYTES * chance.randrange((len(data) - records_at) // RECORD_BYTES)


def _length(chance: random.Random, data: bytearray, records_at: int) -> None:
    data[_record(chance, data, records_at)] = chance.choice(HOSTILE_LENGTHS)


def _rtype(chance: random.Random, data: bytearray, records_at: int) -> None:
    data[_record(chance, data, records_at) + 1] = chance.randrange(256)


def _letters(chance: random.Random, data: bytearray, records_at: int) -> None:
    byte = chance.choice((38, 39))
    value = chance.choice((chance.randrange(256), *b"ACMRTFNBm"))
    data[_record(chance, data, records_at) + byte] = value


def _payload(chance: random.Random, data: bytearray, records_at: int) -> None:
    for _ in range(chance.randint(1, 40)):
        at = _record(chance, data, records_at) + chance.choice(PAYLOAD)
        data[at] = chance.choice((0, 127, 128, 255, chance.randrange(256)))


def _cut(chance: random.Random, data: bytearray, _: int) -> None:
    del data[chance.randrange(len(data)) :]


def _drop(chance: random.Random, data: bytearray, _: int) -> None:
    start = chance.randrange(len(data))
    del data[start : start + _span(chance, len(data))]


def _double(chance: random.Random, data: bytearray, _: int) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + _span(chance, len(data))]


def _splice(chance: random.Random, data: bytearray, _: int) -> None:
    source, target = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[source : source + _span(chance, len(data))]
    data[target : target + len(piece)] = piece


def _span(chance: random.Random, size: int) -> int:
    records = RECORD_BYTES * chance.randint(1, 40)
    return chance.choice((1, chance.randint(1, 64), records, chance.randint(1, size)))


def _version(chance: random.Random, data: bytearray, _: int) -> None:
    data[3] = chance.randrange(256) if chance.random() < 0.5 else chance.randrange(5)


def _metadata(chance: random.Random, data: bytearray, records_at: int) -> None:
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(records_at)] = chance.choice((0, 255, chance.randrange(256)))


def _metadata_length(chance: random.Random, data: bytearray, records_at: int) -> None:
    near = records_at - 8 + chance.randint(-64, 64)
    value = chance.choice((*HOSTILE_U32, near, near, chance.randrange(2**32)))
    data[4:8] = max(value, 0).to_bytes(4, "little")


def _metadata_counts(chance: random.Random, data: bytearray, records_at: int) -> None:
    at = chance.randrange(8, records_at - 4)
    data[at : at + 4] = chance.choice(HOSTILE_U32).to_bytes(4, "little")


BYTE_FAULTS: dict[str, ByteFault] = {
    "flip-bits": _flip_bits,
    "change-bytes": _change_bytes,
    "length": _length,
    "rtype": _rtype,
    "letters": _letters,
    "payload": _payload,
    "cut": _cut,
    "drop": _drop,
    "double": _double,
    "splice": _splice,
    "version": _version,
    "metadata": _metadata,
    "metadata-length": _metadata_length,
    "metadata-counts": _metadata_counts,
}
