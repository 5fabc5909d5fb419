"""Digests of recorded files: every flipped bit of what was synced is noticed."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from batonics.live.recording_digests import (
    DIGEST_SUFFIX,
    GrowingDigest,
    check_and_cover_file,
    check_file,
)
from batonics.model.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 5,000 bytes, of which 4,000 are covered."""
    path = tmp_path / "feed-000001-000.dbn"
    data = Random(1).randbytes(5_000)
    digest = GrowingDigest(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    for start, stop in ((0, 1_000), (1_000, 1_000), (1_000, 4_000)):
        os.write(descriptor, data[start:stop])
        digest.write(descriptor, stop)
    os.write(descriptor, data[4_000:])
    os.close(descriptor)
    return path


def test_a_file_is_covered_up_to_its_last_sync_and_whole_after_a_restart(path: Path) -> None:
    assert check_file(path) == (path, 5_000, 4_000, None)
    check_and_cover_file(path)
    assert check_file(path) == (path, 5_000, 5_000, None)
    assert {one.name for one in path.parent.iterdir()} == {path.name, path.name + DIGEST_SUFFIX}


@pytest.mark.parametrize("seed", range(200))
def test_every_flipped_bit_is_noticed(path: Path, seed: int) -> None:
    check_and_cover_file(path)
    random, data = Random(seed), bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)
    assert "are not those that were recorded" in str(check_file(path).damage)
    with pytest.raises(InputError, match="restore it from a copy"):
        check_and_cover_file(path)


def test_a_cut_file_and_a_digest_that_is_none_are_noticed(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:3_999])
    assert "has 3999 bytes, but 4000 were recorded" in str(check_file(path).damage)
    path.write_bytes(data)
    digest = path.with_name(path.name + DIGEST_SUFFIX)
    for text in (b"", b"x", b"\xff", digest.read_bytes() * 2, b"0" * 64 + b"  -1\n"):
        digest.write_bytes(text)
        assert "digest cannot be read" in str(check_file(path).damage)


def test_a_file_without_a_digest_is_not_covered(path: Path) -> None:
    path.with_name(path.name + DIGEST_SUFFIX).unlink()
    assert check_file(path) == (path, 5_000, 0, None)
    assert check_and_cover_file(path).damage is None
    assert check_file(path).covered_bytes == 5_000
