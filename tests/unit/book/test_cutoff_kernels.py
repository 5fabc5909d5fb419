"""Complete rows are found as the rule says it, book by book."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batonics.book.event_cutoff import complete_rows
from batonics.model.mbo import Flag, empty_batch

LAST, SNAPSHOT = int(Flag.LAST), int(Flag.SNAPSHOT)


def complete_by_rule(rows: list[tuple[int, int]], in_time: int, *, ended: bool) -> list[bool]:
    """By the last end of an event of each book, among the rows in time."""
    last_end = {}
    for at, (book, flags) in enumerate(rows):
        later = [other for key, other in rows[at + 1 :] if key == book]
        ends_snapshot = flags & SNAPSHOT and (not later[0] & SNAPSHOT if later else ended)
        if at < in_time and (flags & LAST or ends_snapshot):
            last_end[book] = at
    return [at <= last_end.get(book, -1) for at, (book, _) in enumerate(rows)]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, LAST, SNAPSHOT, SNAPSHOT | LAST])),
        max_size=40,
    ),
    st.integers(0, 40),
    st.booleans(),
)
def test_rows_are_complete_up_to_the_last_end_of_their_book(
    rows: list[tuple[int, int]], in_time: int, ended: bool
) -> None:
    batch = empty_batch(len(rows))
    batch.publisher_id[:] = [book // 2 for book, _ in rows]
    batch.instrument_id[:] = [book % 2 for book, _ in rows]
    batch.flags[:] = [flags for _, flags in rows]
    in_time = min(in_time, len(rows))
    found = complete_rows(batch, in_time, ended=ended)
    assert found.tolist() == complete_by_rule(rows, in_time, ended=ended)
    assert found.dtype == np.bool_
