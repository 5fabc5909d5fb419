"""Keys chosen to collide cost no more than others, and no output depends on the salt."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import batonics
from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.codec.ndjson import NdjsonDecoder
from batonics.codec.ndjson_kernels import SymbolHash
from batonics.model.hash_salt import SALT_WORDS, hash_salt
from tests.support.command import SAMPLE, run_in_process
from tests.support.flooded_tables import MIXED, OWNERS, TABLES, adds, flooded, longest_chain
from tests.support.salted_hashes import (
    colliding_keys,
    mean_probes,
    mixed_words,
    process_salt,
    salt_of_seed,
    spread_words,
)
from tests.support.state_checks import check_state
from tests.support.stream_profiles import PROFILES

KEYS = 1_000
SALT, OTHERS = salt_of_seed(1), [salt_of_seed(seed) for seed in range(2, 8)]
PROBES_MAX = 5
"""On average; where all keys collide it is half of KEYS."""
OLD_MULTIPLIER = 0x9E3779B97F4A7C15
"""The public one of an earlier version."""


def keys_for(table: str) -> NDArray[np.uint64]:
    """Keys that collide in a table for who knows SALT."""
    if table != "books":
        return colliding_keys(KEYS, SALT, owner=OWNERS.get(table, 0), is_mixed=table in MIXED)
    # The key of a book has 48 bits, so these are found by trial.
    keys = np.random.default_rng(1).integers(0, 1 << 48, KEYS << 12, np.int64)
    slots = mixed_words(keys, np.zeros_like(keys), SALT) >> np.uint64(32) & np.uint64(0xFFF)
    return keys[slots < 2].view(np.uint64)[:KEYS]


@pytest.mark.parametrize("table", TABLES)
def test_keys_that_collide_for_one_salt_collide_for_no_other(table: str) -> None:
    keys = keys_for(table)
    assert mean_probes(flooded(table, keys, SALT)) > KEYS / 4
    for salt in OTHERS:
        assert mean_probes(flooded(table, keys, salt)) < PROBES_MAX


@pytest.mark.parametrize("table", [table for table in TABLES if table != "books"])
def test_multiples_of_the_inverse_of_the_old_multiplier_are_keys_like_others(table: str) -> None:
    inverse = pow(OLD_MULTIPLIER, -1, 1 << 64)
    keys = np.arange(1, KEYS + 1, dtype=np.uint64) * np.uint64(inverse)
    for salt in OTHERS:
        assert mean_probes(flooded(table, keys, salt)) < PROBES_MAX


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("step", [1, 2, 1_000, 10_000_000])
def test_keys_of_one_step_are_spread(table: str, step: int) -> None:
    keys = np.arange(1, KEYS + 1, dtype=np.uint64) * np.uint64(step)
    probes = [mean_probes(flooded(table, keys, salt)) for salt in OTHERS]
    assert median(probes) < 3
    if step <= 2 or table in MIXED:
        assert max(probes) < PROBES_MAX


def test_searches_for_consecutive_ids_end_at_once_for_every_salt() -> None:
    ids = np.arange(7 * 10**12, 7 * 10**12 + (1 << 16))
    for seed in range(20):
        hashes = spread_words(ids, np.zeros_like(ids), salt_of_seed(seed))
        counts = np.bincount(hashes >> np.uint64(64 - 17))
        assert counts.max() <= 2


def test_chains_of_the_reference_are_short() -> None:
    keys = np.arange(1, KEYS + 1, dtype=np.uint64) << np.uint64(40)
    assert max(longest_chain(keys, salt) for salt in OTHERS) < 10


def test_symbols_that_collide_for_one_salt_collide_for_no_other() -> None:
    names = np.array([f"{number:06}" for number in range(200_000)], "S6")
    digits = names.view(np.uint8).reshape(-1, 6).astype(np.uint64)
    digest = np.full(len(names), SALT[1])
    for place in range(6):
        digest = (digest ^ digits[:, place]) * SALT[0]
        digest ^= digest >> np.uint64(32)
    slots = digest >> np.uint64(1) & np.uint64(1023)
    chosen = names[slots < 2][:300].astype(str).tolist()
    assert len(chosen) == 300
    lines = "".join(
        f'{{"type":"clear","symbol":"{symbol}","seq":1,"ts_ns":1}}\n' for symbol in chosen
    ).encode()

    def mean(salt: NDArray[np.uint64]) -> float:
        with process_salt(salt):
            decoder = NdjsonDecoder()
        for _ in decoder.feed(lines):
            pass
        return mean_probes(SymbolHash(*decoder._numbers.arrays).slots != 0)

    assert mean(SALT) > 50
    assert max(map(mean, OTHERS)) < PROBES_MAX


def test_the_salt_is_random_and_odd() -> None:
    salt = hash_salt()
    assert salt.shape == (SALT_WORDS,)
    assert (salt & np.uint64(1)).all()
    assert (salt != hash_salt()).sum() == 0
    salt[:] = 1  # a copy
    assert (hash_salt() != salt).any()


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_books_do_not_depend_on_the_salt(profile: str) -> None:
    batch = PROFILES[profile](3, 2_000)
    found = []
    for salt in OTHERS[:3]:
        with process_salt(salt):
            engine = BookEngine(bbo=True, deltas=True)
            result = engine.fold(batch)
            columns = [*result[:3], *engine.levels(), *engine.orders(), engine.anomalies()]
            found.append(b"".join(np.ascontiguousarray(column).tobytes() for column in columns))
    assert found[0] == found[1] == found[2]


def test_files_do_not_depend_on_the_salt(tmp_path: Path) -> None:
    outputs = []
    for number, salt in enumerate(OTHERS[:3]):
        out, lives = tmp_path / f"{number}.json", tmp_path / f"{number}.parquet"
        with process_salt(salt):
            done = run_in_process("reconstruct", SAMPLE, "--out", out, "--orders")
            assert done.code == 0, done.err
            scan: Any = batonics.scan_mbo(SAMPLE)
            scan.mbo.orders().sink_parquet(lives)
        outputs.append((out.read_bytes(), pl.read_parquet(lives).write_ipc(None).getvalue()))
    assert outputs[0] == outputs[1] == outputs[2]


def test_a_checkpoint_of_a_known_salt_is_loaded_with_ours() -> None:
    """Who has written it can have chosen the salt, and the orders that come next."""
    with process_salt(SALT):
        engine = BookEngine()
        engine.fold(adds(colliding_keys(KEYS, SALT)))
        data = checkpoint.save(engine, {})
    with process_salt(OTHERS[0]):
        loaded, _ = checkpoint.load(data)
    loaded.fold(adds(colliding_keys(KEYS, SALT, first=KEYS)))
    assert mean_probes(loaded.state.orders[1::4] >= 0) < PROBES_MAX
    check_state(loaded.state)
    engine.fold(adds(colliding_keys(KEYS, SALT, first=KEYS)))
    for own, theirs in zip(loaded.orders(), engine.orders(), strict=True):
        assert (own == theirs).all()
