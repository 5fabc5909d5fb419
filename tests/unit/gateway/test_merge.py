"""A merge by time equals a stable sort of all units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batonics.gateway.feed_pieces import FeedPiece
from batonics.gateway.merge import merge_by_time

Stream = list[list[int]]


def _rising(pieces: Stream) -> Stream:
    times = iter(sorted(time for piece in pieces for time in piece))
    return [[next(times) for _ in piece] for piece in pieces]


STREAMS = st.lists(
    st.lists(st.lists(st.integers(0, 12), max_size=5), max_size=4).map(_rising), max_size=4
)


def make_units(streams: list[Stream]) -> list[list[list[tuple[int, bytes]]]]:
    """The time and bytes of each unit; no two units are equal."""
    made, number = [], 0
    for stream in streams:
        pieces = []
        for times in stream:
            units = []
            for time in times:
                number += 1
                units.append((time, b"%d;" % (7**number)))
            pieces.append(units)
        made.append(pieces)
    return made


def make_pieces(stream: list[list[tuple[int, bytes]]]) -> Iterator[FeedPiece]:
    for units in stream:
        ends = np.cumsum([len(data) for _, data in units], dtype=np.int64)
        due = np.array([time for time, _ in units], np.int64)
        yield FeedPiece(b"".join(data for _, data in units), ends, due)


@given(STREAMS)
def test_merging_is_a_stable_sort(streams: list[Stream]) -> None:
    all_units = make_units(streams)
    merged = list(merge_by_time([make_pieces(stream) for stream in all_units]))
    units = sorted(
        ((time, number, data) for number, s in enumerate(all_units) for p in s for time, data in p),
        key=lambda unit: unit[:2],
    )
    assert b"".join(bytes(piece.data) for piece in merged) == b"".join(data for *_, data in units)
    due = [time for piece in merged for time in np.asarray(piece.due_ns).tolist()]
    assert due == [time for time, *_ in units]
    sizes = [n for piece in merged for n in np.diff(np.asarray(piece.ends), prepend=0).tolist()]
    assert sizes == [len(data) for *_, data in units]
