"""Keys that somebody chose so that they collide: of orders, levels, books, queues and ITCH orders.

The rule: work is counted in slots that a search looks at, never in seconds. A few salts are tried
for each set of keys. By chance one of them may suit a regular set; that the sender does not know.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.attack.attempt import Attempt
from tests.support.flooded_tables import MIXED, OWNERS, TABLES, flooded
from tests.support.salted_hashes import GOLDEN, colliding_keys, mean_probes, salt_of_seed

KEYS = 500
SALTS = 5
PROBES_MAX = 5
"""On average, for the median of the salts. Where all keys collide it is half of KEYS."""


def run(count: int, seed: int) -> Iterator[Attempt]:
    """Try so many."""
    for number in range(seed, seed + count):
        rng = random.Random(number)
        table = rng.choice(sorted(TABLES))
        kind, keys = choose_keys(rng, table)
        probes = sorted(
            mean_probes(flooded(table, keys, salt_of_seed(rng.getrandbits(32))))
            for _ in range(SALTS)
        )
        breach = f"{probes} slots a search" if probes[SALTS // 2] > PROBES_MAX else ""
        yield Attempt(f"case {number}: {table}, {kind}", breach)


def choose_keys(rng: random.Random, table: str) -> tuple[str, NDArray[np.uint64]]:
    """Keys of a regular kind, and what they are. Many have few bits, as the keys of books do."""
    numbers = np.arange(1, KEYS + 1, dtype=np.uint64)
    step, shift = rng.getrandbits(rng.randint(1, 64)) | 1, rng.randint(0, 54)
    inverse = pow(int(GOLDEN), -1, 1 << 64)
    first = np.uint64(rng.getrandbits(40))
    kinds = {
        "one step": first + numbers * np.uint64(step),
        "one step of few bits": first + numbers * np.uint64(step >> 32 | 1),
        "multiples of a power of two": numbers << np.uint64(shift),
        "multiples of the inverse of the multiplier": numbers * np.uint64(inverse * step % 2**64),
        "keys that collide for another salt": colliding_keys(
            KEYS,
            salt_of_seed(rng.getrandbits(32)),
            owner=OWNERS.get(table, 0),
            is_mixed=table in MIXED,
        ),
        "sums of a few bits": sums_of_bits(rng),
    }
    kind = rng.choice(sorted(kinds))
    return kind, np.unique(kinds[kind])


def sums_of_bits(rng: random.Random) -> NDArray[np.uint64]:
    """All sums of nine powers of two."""
    places = rng.sample(range(rng.choice((16, 48, 64))), 9)
    return np.array(
        [sum(1 << place for at, place in enumerate(places) if n >> at & 1) for n in range(1, 512)],
        np.uint64,
    )
