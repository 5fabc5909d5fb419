"""The salted hashes of the tables (`hash_kernels.py`), by numpy, and salts of our choice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from batonics.model import hash_salt

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def spread_words(
    keys: NDArray[np.int64], owners: NDArray[np.int64], salt: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """The hashes of ids and their owners (`spread`)."""
    hashes: NDArray[np.uint64] = keys.view(np.uint64) * salt[0] + owners.view(np.uint64) * salt[1]
    return hashes


def mixed_words(
    keys: NDArray[np.int64], owners: NDArray[np.int64], salt: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """The hashes of keys and their owners (`mix`)."""
    mixed = spread_words(keys, owners, salt)
    hashes: NDArray[np.uint64] = (mixed ^ mixed >> np.uint64(32)) * GOLDEN
    return hashes


def salt_of_seed(seed: int) -> NDArray[np.uint64]:
    """A salt that is the same in every run."""
    return hash_salt.draw_salt(random.Random(seed).getrandbits)


@contextmanager
def process_salt(salt: NDArray[np.uint64]) -> Iterator[None]:
    """Tables that are made within have this salt."""
    before, hash_salt._of_process = hash_salt._of_process, salt
    try:
        yield
    finally:
        hash_salt._of_process = before


def colliding_keys(
    count: int, salt: NDArray[np.uint64], *, owner: int = 0, is_mixed: bool = False, first: int = 0
) -> NDArray[np.uint64]:
    """Keys of an owner that share one slot in every table, for who knows the salt.

    Args:
        count: number of keys.
        salt: the salt of the table.
        owner: their owner.
        is_mixed: the table uses `mix`, else `spread`.
        first: selects others.
    """
    mixed = np.arange(first, first + count, dtype=np.uint64)
    if is_mixed:
        mixed *= _inverse(GOLDEN)
        mixed ^= mixed >> np.uint64(32)
    keys: NDArray[np.uint64] = (mixed - np.uint64(owner) * salt[1]) * _inverse(salt[0])
    return keys


def mean_probes(taken: NDArray[np.bool_]) -> float:
    """The slots from an entry of a table with linear probing to the next free one, on average.

    A search looks at no more of them. 0: there are no entries.
    """
    free = np.flatnonzero(~np.concatenate([taken, taken]))
    entries = np.flatnonzero(taken)
    probes = free[np.searchsorted(free, entries)] - entries
    return float(probes.mean()) if len(probes) else 0.0


def _inverse(odd: np.uint64) -> np.uint64:
    return np.uint64(pow(int(odd), -1, 1 << 64))
