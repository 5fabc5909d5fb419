"""The salt of the hash tables: random numbers of this process that no sender of data knows.

Order ids, prices and names come from files and feeds of anybody. With a public hash, one can choose
them so that they collide, and each search then takes time in proportion to the table. Python salts
the hashes of its texts for the same reason.

The rule here: no output depends on the salt. Readers sort what they take from a table, and a
checkpoint's tables are rebuilt when it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SALT_WORDS = 2
QUOTIENT_MAX = 3
DENOMINATOR = 1 << 24
"""Tables of more slots do not need their consecutive keys spread any better."""
_LOW_BITS = 16
"""The bits of the key's multiplier that the denominator leaves free."""


def draw_salt(random_bits: Callable[[int], int]) -> NDArray[np.uint64]:
    """(SALT_WORDS,) Odd multipliers of a key and of its owner.

    The first one spreads consecutive keys evenly, as the golden ratio does: the continued fraction
    of its share of 2**64 has no quotient above QUOTIENT_MAX. About 2**45 multipliers have that.

    Args:
        random_bits: returns a random number of so many bits.
    """
    # The share and its last approximation, as fractions: (numerator, denominator).
    before, share = (1, 0), (0, 1)
    while share[1] < DENOMINATOR:
        quotient = 1 + random_bits(32) % QUOTIENT_MAX
        numerator, denominator = (
            quotient * new + old for new, old in zip(share, before, strict=True)
        )
        before, share = share, (numerator, denominator)
    upper = (share[0] << 64) // share[1] >> _LOW_BITS << _LOW_BITS
    words = [upper | random_bits(_LOW_BITS), random_bits(64)]
    return np.array(words, np.uint64) | np.uint64(1)


def _system_bits(bits: int) -> int:
    return int.from_bytes(os.urandom(8)) >> (64 - bits)


_of_process = draw_salt(_system_bits)


def hash_salt() -> NDArray[np.uint64]:
    """(SALT_WORDS,) A copy of the salt of this process."""
    return _of_process.copy()
