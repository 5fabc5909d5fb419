"""Digests of files: those of sha256sum, unless nobody waits for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Event

import pytest

from batonics.lake.digest import DIGEST_CHUNK_BYTES, file_digest


@pytest.mark.parametrize(
    "size", [0, 1, DIGEST_CHUNK_BYTES - 1, DIGEST_CHUNK_BYTES, 3 * DIGEST_CHUNK_BYTES + 7]
)
def test_a_digest_is_that_of_all_bytes(size: int, tmp_path: Path) -> None:
    data = bytes(at % 251 for at in range(size))
    (tmp_path / "file").write_bytes(data)
    assert file_digest(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    assert file_digest(tmp_path / "file", Event()) == hashlib.sha256(data).hexdigest()


def test_what_nobody_waits_for_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    left = Event()
    left.set()
    assert file_digest(tmp_path / "file", left) == hashlib.sha256(b"").hexdigest()
