"""Windows of records and events, however the stream comes: against plain counting."""

from __future__ import annotations

import pytest

from batonics.jobs.record_windows import RecordWindows, WindowLength
from batonics.model.errors import UsageError
from batonics.model.mbo import Flag, MboBatch
from tests.support.compare_books import pieces
from tests.support.streams import random_stream

ROWS = 500


def counted_ends(batch: MboBatch, every: WindowLength) -> list[int]:
    """How many rows there are up to the end of each window."""
    ends, count = [], 0
    for row, flags in enumerate(batch.flags.tolist()):
        count += not every.events or bool(flags & Flag.LAST)
        if count == every.length:
            ends.append(row + 1)
            count = 0
    return ends


@pytest.mark.parametrize("batch_rows", [1, 7, 64, ROWS])
@pytest.mark.parametrize("length", [1, 3, 50, 64, 499, 500, 501])
@pytest.mark.parametrize("events", [False, True])
def test_windows_end_where_plain_counting_ends_them(
    length: int, batch_rows: int, *, events: bool
) -> None:
    batch, every = random_stream(1, ROWS), WindowLength(length, events=events)
    windows, rows, ends = RecordWindows(every), 0, []
    for given in pieces(batch, batch_rows):
        for piece in windows.cut(given):
            assert piece.sequence.tolist() == batch.sequence[rows:][: len(piece.action)].tolist()
            rows += len(piece.action)
            if windows.ends_at(rows):
                ends.append(rows)
                windows.close(rows)
                assert not windows.is_open(rows)
    assert rows == ROWS
    assert ends == counted_ends(batch, every)
    assert windows.is_open(rows) == (ROWS not in ends)


def test_a_window_is_told_by_its_first_and_last_record() -> None:
    windows = RecordWindows(WindowLength(2, events=False))
    assert windows.close(5) == {"first_record": 0, "last_record": 4}
    assert windows.close(7) == {"first_record": 5, "last_record": 6}
    # Looked at once more, with nothing new.
    assert windows.close(7) == {"first_record": 6, "last_record": 6}
    assert windows.closed == 3


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("7", WindowLength(7, events=False)),
        ("7 records", WindowLength(7, events=False)),
        (" 12events ", WindowLength(12, events=True)),
    ],
)
def test_windows_are_counted_in_records_or_events(text: str, every: WindowLength) -> None:
    assert WindowLength.parse(text) == every


def test_a_window_of_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match="--every 1s: expected a count"):
        WindowLength.parse("1s")
