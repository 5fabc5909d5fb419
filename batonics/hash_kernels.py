"""The hashes of the tables in kernels: of orders, and of levels, books and symbols.

The rule here: every table whose keys come from data is searched by a salted hash
(`model/hash_salt.py`), since kernels have no limit of time.

Both hashes begin with multiply-shift hashing of a vector by random odd multipliers (Dietzfelbinger
and others, 1997): two different keys share a slot with a probability of about two in the number of
slots, whoever has chosen them. `spread` stops there. The multiplier of the key spreads consecutive
keys evenly, as ids often are, so searches end at the first slot. Keys of another step may stand
close together by chance, so `mix`, for prices and instruments, goes on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.native import as_word, inlined

# The odd number nearest to 2**64 by the golden ratio (Knuth, volume 3, 6.4).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Salt(NamedTuple):
    """The words of `hash_salt`, in registers."""

    key: np.uint64
    owner: np.uint64


@inlined
def read_salt(words: NDArray[np.uint64]) -> Salt:
    """The salt of a table."""
    return Salt(words[0], words[1])


@inlined
def spread(key: int, owner: int, salt: Salt) -> np.uint64:
    """The hash of an id and its owner; only the upper bits serve."""
    return np.uint64(key) * salt.key + np.uint64(owner) * salt.owner


@inlined
def mix(key: int, owner: int, salt: Salt) -> np.uint64:
    """The hash of any key and its owner; the upper bits are the best ones."""
    mixed = spread(key, owner, salt)
    return (mixed ^ (mixed >> np.uint64(32))) * _GOLDEN


@inlined
def slot_of(hashed: np.uint64, shift: int) -> int:
    """The slot of a hash in a table of 2**(64 - shift) slots."""
    return as_word(hashed >> np.uint64(shift))
