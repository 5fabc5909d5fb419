"""The engine against the reference at length: `python -m pytest tests/soak/soak_engine.py`.

BATONICS_SOAK_ROWS (default 2 million) is how many random records each kind of stream has, from
seeds that BATONICS_SOAK_SEED (default 1) begins. Everything of every book is compared after every
event of the real files, and CLX5 is stopped and gone on with at every record; for a short run, at
every so many as BATONICS_SOAK_EVERY says.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from batonics.model.mbo import Flag, MboBatch
from tests.support.compare_books import EnginePair, cut_at
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo
from tests.support.stream_profiles import PROFILES
from tests.support.trace import restarted, trace

ROWS = int(os.environ.get("BATONICS_SOAK_ROWS", "2_000_000"))
FIRST_SEED = int(os.environ.get("BATONICS_SOAK_SEED", "1"))
EVERY = int(os.environ.get("BATONICS_SOAK_EVERY", "1"))
ROWS_OF_A_SEED = 50_000


def ends_of_events(batch: MboBatch) -> list[int]:
    """The rows after each F_LAST."""
    return (np.flatnonzero(batch.flags & Flag.LAST) + 1).tolist()


@pytest.mark.parametrize("file", [CLX5, DBEQ, *ESH4_DAYS])
def test_every_event_of_a_real_file(test_data: Path, file: str) -> None:
    batch = read_mbo(test_data / file)
    pair = EnginePair(file, full_every=EVERY)
    for piece in cut_at(batch, ends_of_events(batch)):
        pair.feed(piece)


@pytest.mark.parametrize("profile", PROFILES)
def test_random_streams(profile: str) -> None:
    rng = np.random.default_rng(FIRST_SEED)
    for number in range(max(1, ROWS // ROWS_OF_A_SEED)):
        seed = FIRST_SEED * 1_000_000 + number
        pair = EnginePair(f"{profile}, seed {seed}", full_every=1_000)
        batch = PROFILES[profile](seed, min(ROWS, ROWS_OF_A_SEED))
        mean_rows = int(rng.choice([2, 30, 1_000, 20_000]))
        cuts = rng.integers(0, len(batch.action), len(batch.action) // mean_rows)
        for piece in cut_at(batch, np.sort(cuts).tolist()):
            pair.feed(piece)
        pair.check()


def test_a_restart_at_every_record_of_clx5(test_data: Path) -> None:
    batch = read_mbo(test_data / CLX5)
    unbroken = trace(batch, [])
    for row in range(0, len(batch.action) + 1, EVERY):
        broken = trace(batch, [row], between=restarted)
        assert broken.books == unbroken.books, row
        assert all((a == b).all() for a, b in zip(broken[:3], unbroken[:3], strict=True)), row
