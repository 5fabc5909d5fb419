"""The checksums of books: an implementation of the documented bytes that shares no code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batonics.model.book_checksum import levels_checksum, queues_checksum
from tests.support.paths import ROOT

VECTORS = json.loads((ROOT / "docs" / "book-checksums.json").read_text())["vectors"]


def crc32(data: bytes) -> int:
    """The CRC of IEEE 802.3, bit by bit."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0xEDB88320 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def documented_bytes(vector: dict[str, Any]) -> bytes:
    """The bytes that docs/api.md describes."""
    most = min(vector["depth"] or 10, 10)
    found = b""
    for side, rows in (("B", vector["bids"]), ("A", vector["asks"])):
        for row in rows[:most]:
            found += side.encode()
            found += int(row["price_1e9"]).to_bytes(8, "little", signed=True)
            found += int(row["size"]).to_bytes(8, "little")
            found += int(row["count"]).to_bytes(4, "little")
            for order in row.get("orders", ()):
                found += int(order["order_id"]).to_bytes(8, "little")
                found += int(order["size"]).to_bytes(4, "little")
    return found


def test_the_crc_of_this_test_is_the_standard_one() -> None:
    assert crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    assert crc32(documented_bytes(vector)) == vector["checksum"]
    sides = [
        [
            (
                (int(row["price_1e9"]), int(row["size"]), row["count"]),
                [(int(order["order_id"]), order["size"]) for order in row.get("orders", ())],
            )
            for row in vector[side]
        ]
        for side in ("bids", "asks")
    ]
    if vector["level"] == "l3":
        assert queues_checksum(*sides) == vector["checksum"]
    else:
        bids, asks = ([level for level, _ in side] for side in sides)
        assert levels_checksum(bids, asks, vector["depth"]) == vector["checksum"]


def test_the_vectors_have_every_kind() -> None:
    assert {vector["level"] for vector in VECTORS} == {"l2", "l3"}
    assert any(not vector["bids"] and vector["asks"] for vector in VECTORS)
    assert any(len(vector["bids"]) > 10 for vector in VECTORS)
    assert any(int(row["price_1e9"]) < 0 for vector in VECTORS for row in vector["bids"])
    assert len({vector["checksum"] for vector in VECTORS}) == len(VECTORS)
