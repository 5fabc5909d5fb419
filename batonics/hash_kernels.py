"""The hash of the tables in kernels: of an order by book and id, of a level, a book, or a symbol.

The rule here: every table whose keys come from data is searched by a salted hash
(`model/hash_salt.py`), since kernels have no limit of time.

`mix` is multiply-shift hashing of a vector with random odd multipliers (Dietzfelbinger and others,
1997): for a random salt, two different keys share a slot with a probability of about one in the
number of slots. That holds for the upper bits of the sum alone, and keys that are multiples of a
tick or of a number would still stand close together for some salts. So the upper half is mixed into
the lower one, and multiplied once more.
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
def mix(key: int, owner: int, salt: Salt) -> np.uint64:
    """The hash of a key and its owner; the upper bits are the best ones."""
    mixed = np.uint64(key) * salt.key + np.uint64(owner) * salt.owner
    return (mixed ^ (mixed >> np.uint64(32))) * _GOLDEN


@inlined
def slot_of(hashed: np.uint64, shift: int) -> int:
    """The slot of a hash in a table of 2**(64 - shift) slots."""
    return as_word(hashed >> np.uint64(shift))
