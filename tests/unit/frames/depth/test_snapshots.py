"""Depth from deltas equals depth from the ladder, on real days and on hostile streams."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
import pytest

from batonics.frames.columns.books import depth_schema
from batonics.frames.depth import best_levels as depth_module
from batonics.frames.depth import snapshots
from batonics.frames.depth.snapshots import depth_frames
from batonics.frames.depth.windows import EventWindows, parse_windows
from batonics.frames.scan.folding import fold_pieces
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch, slice_batch, take_batch
from batonics.model.times import NS_PER_S
from tests.support.reference_depth import Row, event_depth, time_depth
from tests.support.streams import START_NS, batch_of, random_stream


def cut(batch: MboBatch, rows: int) -> list[MboBatch]:
    return [slice_batch(batch, at, at + rows) for at in range(0, len(batch.action), rows)]


def rows_of(frames: Iterable[pl.DataFrame], depth: int) -> list[Row]:
    frame = pl.concat(frames)
    assert frame.schema == depth_schema(depth)
    plain = frame.with_columns(pl.col("ts", "ts_event", "ts_recv").cast(pl.Int64))
    return [Row._make((*row[:7], row[7:])) for row in plain.iter_rows()]


def found(
    batches: list[MboBatch], every: int | str, depth: int = 10, *, fill: bool = False
) -> list[Row]:
    pieces = fold_pieces(batches, deltas=True)
    return rows_of(depth_frames(pieces, parse_windows(every), depth, fill=fill), depth)


def expected(
    batch: MboBatch, every: int | str, depth: int = 10, *, fill: bool = False
) -> list[Row]:
    windows = parse_windows(every)
    if isinstance(windows, EventWindows):
        return event_depth(batch, windows.length, depth)
    return time_depth(batch, windows.length_ns, depth, fill=fill)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every limit of memory so small that streams cross it many times."""
    monkeypatch.setattr(snapshots, "FLUSH_DELTAS", 40)
    monkeypatch.setattr(snapshots, "FLUSH_ENDS", 17)
    monkeypatch.setattr(snapshots, "FILL_ROWS", 5)
    monkeypatch.setattr(depth_module, "CELLS_MAX", 60)
    monkeypatch.setattr(depth_module, "RUN_SLOTS", 4)


EVERY = ["event", 7, 1_000, "1s", "100ms"]


@pytest.mark.parametrize("every", EVERY, ids=str)
@pytest.mark.parametrize("day", ["clx5", "dbeq", "esh4"])
def test_the_ladder_and_the_expressions_agree_on_real_days(
    request: pytest.FixtureRequest, day: str, every: int | str
) -> None:
    batch = request.getfixturevalue(day)
    if every != "1s" or day == "esh4":
        # The ladder is read for every row, which is too slow for a whole day.
        batch = slice_batch(batch, 0, 12_000)
    assert found([batch], every) == expected(batch, every)


@pytest.mark.parametrize("every", EVERY, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_they_agree_on_streams_that_make_no_sense(seed: int, every: int | str) -> None:
    batch = random_stream(seed, 1_500)
    assert found([batch], every, 3) == expected(batch, every, 3)


@pytest.mark.parametrize("every", EVERY, ids=str)
def test_they_agree_on_deep_books(every: int | str) -> None:
    batch = random_stream(
        5, 6_000, ids=2_000, ticks=800, clear_share=0, snapshot_share=0, tob_books=0
    )
    batch = slice_batch(batch, 0, 2_000) if every == "event" else batch
    assert found([batch], every, 25) == expected(batch, every, 25)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("rows", [1, 2, 7, 64, 100_000])
@pytest.mark.parametrize("every", ["event", 7, "1s", "100ms"])
@pytest.mark.parametrize("fill", [False, True])
def test_how_the_stream_is_cut_shows_nowhere(every: int | str, rows: int, fill: bool) -> None:
    batch = random_stream(11, 150 if rows < 7 else 250)
    assert found(cut(batch, rows), every, 2, fill=fill) == expected(batch, every, 2, fill=fill)


@pytest.mark.parametrize("every", [7, "1s"])
def test_leaving_other_books_out_changes_nothing(every: int | str) -> None:
    batch = random_stream(2, 1_000)
    mine = (batch.instrument_id == 100) & (batch.publisher_id == 1)
    alone = found([take_batch(batch, mine)], every, 5)
    among = [
        row for row in found([batch], every, 5) if (row.publisher_id, row.instrument_id) == (1, 100)
    ]
    assert alone == among
    assert len(alone) > 5


def test_prices_of_the_whole_range_fit() -> None:
    batch = random_stream(8, 600, fault_share=0.2)
    span = int(batch.price[batch.price < 2**63 - 1].max()) - int(batch.price.min())
    assert span > 2**63, "the packed word is too narrow for such prices"
    assert found([batch], 1, 4) == expected(batch, 1, 4)


def test_an_empty_stream_has_no_windows() -> None:
    assert found([], "1s") == []
    assert found([slice_batch(random_stream(0, 5), 0, 0)], 1) == []


def times_of(batch: MboBatch, times: list[int], flags: list[int]) -> MboBatch:
    """Adds of one book at these times, each an event."""
    rows = len(times)
    return batch._replace(
        publisher_id=np.full(rows, 1, np.uint16),
        instrument_id=np.full(rows, 1, np.uint32),
        ts_recv=np.array(times, np.uint64),
        flags=np.array(flags, np.uint8) | np.uint8(Flag.LAST),
    )


BAD = int(Flag.BAD_TS_RECV)


@pytest.mark.parametrize(
    ("times", "flags", "windows"),
    [
        ([10, 11, 20, 21], [0] * 4, [(10, 1), (20, 2), (30, 1)]),
        ([10, 25, 11, 26], [0] * 4, [(10, 1), (30, 3)]),
        ([5, 95, 26], [0, BAD, 0], [(10, 2), (30, 1)]),
        ([5, UNDEF_TIMESTAMP, 26], [0] * 3, [(10, 2), (30, 1)]),
        ([95, 5, 26], [BAD, 0, 0], [(10, 2), (30, 1)]),
        ([95, 95], [BAD, BAD], [(None, 2)]),
        ([2**63 - 2, 2**63 + 1], [0, 0], [(None, 2)]),
        ([0, 1], [0, 0], [(0, 1), (10, 1)]),
    ],
    ids=["edges", "backwards", "bad", "undefined", "bad-first", "all-bad", "far", "epoch"],
)
@pytest.mark.parametrize("rows", [1, 100])
def test_which_window_a_time_is_in(
    times: list[int], flags: list[int], windows: list[tuple[int | None, int]], rows: int
) -> None:
    batch = times_of(random_stream(0, len(times)), times, flags)
    assert [(row.ts, row.events) for row in found(cut(batch, rows), "10ns", 1)] == windows


def test_fill_gives_every_window_from_a_books_first_to_its_last() -> None:
    batch = times_of(random_stream(0, 3), [5, 6, 41], [0, 0, 0])
    rows = found([batch], "10ns", 1, fill=True)
    assert [(row.ts, row.events) for row in rows] == [(10, 2), (20, 0), (30, 0), (40, 0), (50, 1)]
    assert {(row.ts_recv, row.levels) for row in rows[:4]} == {(6, rows[0].levels)}


def test_fill_gives_long_gaps_bit_by_bit() -> None:
    batch = times_of(random_stream(0, 2), [START_NS, START_NS + 1_000 * NS_PER_S], [0, 0])
    frames = depth_frames(fold_pieces([batch], deltas=True), parse_windows("1ms"), 1, fill=True)
    heights = [frame.height for frame in frames]
    assert sum(heights) == 1_000_001
    assert max(heights) <= snapshots.FILL_ROWS


def test_an_event_that_has_not_ended_is_in_no_window() -> None:
    batch = random_stream(4, 40)
    batch.flags[:] &= 255 - int(Flag.SNAPSHOT)
    batch.flags[20:] &= 127
    for every in (1, "1s"):
        whole, ended = found([batch], every, 3), found([slice_batch(batch, 0, 20)], every, 3)
        assert whole == ended


def test_no_records_at_all() -> None:
    assert found([batch_of([])], "1s", 1) == []
