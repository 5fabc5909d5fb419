"""The salt of the hash tables: random numbers of this process that no sender of data knows.

Order ids, prices and names come from files and feeds of anybody. With a public hash, one can choose
them so that they collide, and each search then takes time in proportion to the table. Python salts
the hashes of its texts for the same reason.

The rule here: no output depends on the salt. Readers sort what they take from a table, and a
checkpoint's tables are rebuilt when it is loaded.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

SALT_WORDS = 2
_WORD_BYTES = 8


def _draw() -> NDArray[np.uint64]:
    """Random odd multipliers."""
    words = np.frombuffer(os.urandom(_WORD_BYTES * SALT_WORDS), np.uint64)
    return words | np.uint64(1)


_of_process = _draw()


def hash_salt() -> NDArray[np.uint64]:
    """(SALT_WORDS,) A copy of the salt of this process: multipliers of a key and of its owner."""
    return _of_process.copy()
