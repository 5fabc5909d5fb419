"""Finds the rows of complete events.

The rule here: a row is complete if the end of an event of its book comes at it or behind it. So the
rows are looked at from the last one back, and a table has what is known of each book by then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.table_kernels import shift_of
from batonics.hash_kernels import mix, read_salt, slot_of
from batonics.model.mbo import F_LAST, F_SNAPSHOT
from batonics.native import kernel

TABLE_WORDS = 2
"""Words of a slot of the table: the key of a book, and what is known of it; 0: the slot is free."""
_SEEN, _HAS_END, _NEXT_IN_SNAPSHOT = 1, 2, 4


@kernel
def mark_complete(
    keys: NDArray[np.int64],
    flags: NDArray[np.uint8],
    in_time: int,
    ended: bool,
    salt_words: NDArray[np.uint64],
    table: NDArray[np.int64],
    complete: NDArray[np.bool_],
) -> int:
    """Write which rows belong to events that end among the first `in_time` ones.

    A snapshot ends with its last row too (rule 14); at the end of the rows only if `ended`.

    Args:
        keys: (rows,) the keys of the books.
        flags: (rows,) the flags.
        in_time: the number of rows in time.
        ended: whether no row follows.
        salt_words: the salt of the table.
        table: zeros, TABLE_WORDS for each of 2**n slots, more than there are rows.
        complete: (rows,) to be written.

    Returns:
        The number of complete rows.
    """
    salt = read_salt(salt_words)
    mask = len(table) // TABLE_WORDS - 1
    shift = shift_of(mask)
    found = 0
    for row in range(len(keys) - 1, -1, -1):
        key = keys[row]
        slot = slot_of(mix(key, 0, salt), shift)
        while table[TABLE_WORDS * slot + 1] and table[TABLE_WORDS * slot] != key:
            slot = (slot + 1) & mask
        known = table[TABLE_WORDS * slot + 1]
        in_snapshot = flags[row] & F_SNAPSHOT != 0
        ends = flags[row] & F_LAST != 0
        if in_snapshot and not ends:
            ends = ended if known == 0 else known & _NEXT_IN_SNAPSHOT == 0
        has_end = known & _HAS_END
        if ends and row < in_time:
            has_end = _HAS_END
        complete[row] = has_end != 0
        found += has_end != 0
        table[TABLE_WORDS * slot] = key
        table[TABLE_WORDS * slot + 1] = _SEEN | has_end | (_NEXT_IN_SNAPSHOT if in_snapshot else 0)
    return found
