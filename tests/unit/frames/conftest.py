"""Real days as whole batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.model.mbo import MboBatch
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo


@pytest.fixture(scope="session")
def clx5(test_data: Path) -> MboBatch:
    return read_mbo(test_data / CLX5)


@pytest.fixture(scope="session")
def dbeq(test_data: Path) -> MboBatch:
    return read_mbo(test_data / DBEQ)


@pytest.fixture(scope="session")
def esh4(test_data: Path) -> MboBatch:
    return read_mbo(test_data / ESH4_DAYS[1])
