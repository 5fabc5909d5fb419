"""Real days as whole batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.codec.dbn import DbnDecoder
from batonics.codec.inflate import ZstdInflater
from batonics.model.mbo import MboBatch, concat_batches, copy_batch


def read_mbo(path: Path) -> MboBatch:
    """All records of a DBN file, zstd or not."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = b"".join(bytes(piece) for piece in ZstdInflater().feed(data))
    return concat_batches([copy_batch(batch) for batch in DbnDecoder().feed(data)])


@pytest.fixture(scope="session")
def clx5(test_data: Path) -> MboBatch:
    return read_mbo(test_data / "clx5" / "CLX5_mbo.dbn")


@pytest.fixture(scope="session")
def dbeq(test_data: Path) -> MboBatch:
    return read_mbo(test_data / "dbeq" / "dbeq-20240131.mbo.dbn")


@pytest.fixture(scope="session")
def esh4(test_data: Path) -> MboBatch:
    return read_mbo(test_data / "esh4" / "esh4-glbx-mdp3-20231225.mbo.dbn.zst")
