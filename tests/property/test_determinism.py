"""The same records give the same bytes, however they are cut into batches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.stream_profiles import PROFILES
from tests.support.trace import every, rebuilt, trace

ROWS = 8_000


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 31, 32, 33, 64, 4_096])
@pytest.mark.parametrize("profile", PROFILES)
def test_batches_do_not_matter(profile: str, batch_rows: int) -> None:
    batch = PROFILES[profile](37, ROWS)
    assert trace(batch, every(batch_rows, batch)).digest() == trace(batch, []).digest()


@pytest.mark.parametrize("profile", PROFILES)
def test_ragged_batches_do_not_matter(profile: str) -> None:
    batch = PROFILES[profile](38, ROWS)
    cuts = np.sort(np.random.default_rng(38).integers(0, ROWS + 1, 300)).tolist()
    assert trace(batch, cuts).digest() == trace(batch, []).digest()


@pytest.mark.parametrize("profile", PROFILES)
def test_rebuilding_the_tables_does_not_matter(profile: str) -> None:
    batch = PROFILES[profile](39, ROWS)
    cuts = every(50, batch)
    assert trace(batch, cuts, between=rebuilt).digest() == trace(batch, []).digest()


def test_other_records_have_another_digest() -> None:
    one, other = PROFILES["adversarial"](1, ROWS), PROFILES["adversarial"](2, ROWS)
    assert trace(one, []).digest() != trace(other, []).digest()
