"""Depth at the ends of windows from the ladder, against the reference and against deltas."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import EventCutoff
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.depth.books import Books
from batonics.frames.depth.sampling import changed_depth_frames
from batonics.frames.depth.snapshots import depth_frames
from batonics.frames.depth.windows import EventWindows, TimeWindows, Windows
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.folding import fold_pieces
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import (
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Flag,
    MboBatch,
    Side,
    slice_batch,
)
from batonics.model.symbols import SymbolMap
from tests.support.frame_checks import (
    DEPTH,
    check_sampled_event_windows,
    check_sampled_intervals,
    sampled,
)
from tests.support.real_files import CLX5, ESH4_DAYS, read_mbo
from tests.support.reference_books import Record, records
from tests.support.reference_tops import ReferenceTop, reference_tops
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of, random_stream

LENGTHS_NS = [1_000, 300_000_007, 1_000_000_000]


@pytest.mark.parametrize("length_ns", LENGTHS_NS)
@pytest.mark.parametrize("profile", ["adversarial", "many_books", "top_of_book", "snapshots"])
def test_intervals_equal_a_walk_with_the_reference(profile: str, length_ns: int) -> None:
    check_sampled_intervals(profile, length_ns)


@pytest.mark.parametrize("every", [1, 3, 50])
@pytest.mark.parametrize("profile", ["adversarial", "many_books", "top_of_book", "snapshots"])
def test_windows_of_events_equal_a_walk_with_the_reference(profile: str, every: int) -> None:
    check_sampled_event_windows(profile, every)


@pytest.mark.parametrize("windows", [EventWindows(4), *map(TimeWindows, LENGTHS_NS)])
@pytest.mark.parametrize("batch_rows", [1, 2, 7, 64])
def test_rows_do_not_depend_on_the_cut_into_batches(batch_rows: int, windows: Windows) -> None:
    rows = 400 if batch_rows < 7 else 1_500
    batch = random_stream(43, rows)
    pieces = [slice_batch(batch, at, at + batch_rows) for at in range(0, rows, batch_rows)]
    assert_frame_equal(sampled(pieces, windows), sampled([batch], windows))


@pytest.mark.parametrize("file", [CLX5, ESH4_DAYS[1]])
@pytest.mark.parametrize("length_ns", [10**7, 10**9])
def test_the_ladder_and_the_deltas_agree_on_real_days(
    file: str, length_ns: int, test_data: Path
) -> None:
    batch = read_mbo(test_data / file)
    pieces = fold_pieces([batch], deltas=True)
    by_deltas = pl.concat(depth_frames(pieces, TimeWindows(length_ns), 10, fill=False))
    ours = sampled([batch], TimeWindows(length_ns), 10)
    assert ours["ts"].is_sorted()
    assert_frame_equal(ours, by_deltas.sort("ts", "publisher_id", "instrument_id"))


def test_an_event_over_a_bound_is_in_the_window_of_its_end() -> None:
    base = next(records(random_stream(1, 1)))._replace(
        action=ord("A"), side=ord("B"), size=1, price=5, publisher_id=1, instrument_id=1
    )
    rows = [
        base._replace(order_id=1, ts_recv=5, flags=128),
        base._replace(order_id=2, ts_recv=9, flags=0),
        base._replace(order_id=3, ts_recv=12, flags=128),
    ]
    found = sampled([batch_of(rows)], TimeWindows(10), 1).select("ts", "events", "bid_sz_00")
    assert found.cast(pl.Int64).rows() == [(10, 1, 1), (20, 1, 3)]


@cache
def changed_tops(profile: str) -> list[ReferenceTop]:
    return reference_tops(PROFILES[profile](44, 1_500), DEPTH, trades=False)


@pytest.mark.parametrize("batch_rows", [1, 7, 1_500])
@pytest.mark.parametrize("profile", ["adversarial", "many_books", "top_of_book"])
def test_changes_are_those_of_the_reference_with_the_events_between_them(
    profile: str, batch_rows: int
) -> None:
    batch = PROFILES[profile](44, 1_500)
    pieces = [slice_batch(batch, at, at + batch_rows) for at in range(0, 1_500, batch_rows)]
    found = pl.concat(changed_depth_frames(pieces, DEPTH))
    tops, seen = [], set()
    for top in changed_tops(profile):
        key = top.record.publisher_id, top.record.instrument_id
        # A new book that stays empty has not changed.
        if top.kind != "unchanged" and (key in seen or any(top.levels[2:4])):
            seen.add(key)
            tops.append(top)
    names = ["ts_event", "ts_recv", "sequence", "publisher_id", "instrument_id"]
    times = pl.col("ts_event", "ts_recv").cast(pl.Int64).cast(pl.UInt64)
    rows = found.select(names).with_columns(times.fill_null(UNDEF_TIMESTAMP)).rows()
    assert rows == [tuple(getattr(top.record, name) for name in names) for top in tops]
    bids = found["bid_px_00"].fill_null(UNDEF_PRICE).to_list()
    assert bids == [top.levels[0] for top in tops]
    events = BookEngine()
    events.fold(batch)
    total = found.group_by("publisher_id", "instrument_id").agg(pl.sum("events"))
    for publisher, instrument, counted in total.rows():
        book = events.keys().index((publisher, instrument))
        assert 0 < counted <= events.events()[book]
    assert found["events"].min() == 1


CLEAR = Record(10, 9, 1, 7, Action.CLEAR, Side.NONE, UNDEF_PRICE, 0, 0, 0, int(Flag.LAST), 0, 1)


def test_a_clear_of_an_empty_book_is_no_change() -> None:
    add = CLEAR._replace(action=Action.ADD, side=Side.BID, price=100, size=5, order_id=1)
    again = [CLEAR, CLEAR, add, CLEAR, CLEAR]
    batch = batch_of([row._replace(sequence=at) for at, row in enumerate(again)])
    for pieces in ([batch], [slice_batch(batch, at, at + 1) for at in range(len(again))]):
        found = pl.concat(changed_depth_frames(pieces, 1))
        assert found.select("sequence", "events").rows() == [(2, 3), (3, 1)]


@pytest.mark.parametrize("ends", [True, False])
def test_a_snapshot_has_one_time(ends: bool) -> None:
    snapshot = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    closing = snapshot | int(Flag.LAST) * ends
    add = CLEAR._replace(action=Action.ADD, side=Side.BID, price=100, size=5)
    rows = [
        add._replace(ts_recv=15, order_id=1, flags=snapshot),
        add._replace(ts_recv=15, order_id=2, flags=closing),
        add._replace(ts_recv=33, order_id=3),
    ]
    expected = [(20, 10), (40, 15)] if ends else [(40, 15)]

    def labels(frame: pl.DataFrame) -> list[tuple[int, int]]:
        return frame.filter(pl.col("events") > 0).select("ts", "bid_sz_00").cast(pl.Int64).rows()

    def mbo(batch: MboBatch) -> MboNamespace:
        return MboNamespace(to_frame(batch).lazy())

    batch = batch_of(rows)
    assert labels(mbo(batch).depth(1, every="10ns").collect()) == expected
    assert labels(mbo(batch).depth(1, every="10ns", fill=True).collect()) == expected
    pieces = fold_pieces([batch], deltas=True)
    written = depth_frames(pieces, TimeWindows(10), 1, fill=False)  # as --snapshots does
    assert labels(pl.concat(written)) == expected


def test_a_book_at_a_time_is_that_of_the_records_until_then() -> None:
    batch = random_stream(45, 1_500)
    frame = to_frame(batch).lazy()
    at_ns = int(batch.ts_recv[900])
    until = EventCutoff(at_ns)
    engine = BookEngine()
    for rows in until.take(batch):
        engine.fold(rows)
    expected = Books(engine, SymbolMap()).levels().drop("symbol")
    with pytest.warns(DataWarning) as said:
        found = MboNamespace(frame).book_at(at_ns).collect()
    counts = Counter(w for ws in Books(engine, SymbolMap()).summary()["warnings"] for w in ws)
    told = {str(one.message).partition(" books: ")[0] for one in said}
    assert told == {f"{w}: {count} of {engine.book_count}" for w, count in counts.items()}
    assert found.height > 0
    assert_frame_equal(found, expected)
    with pytest.raises(UsageError, match="not a time"):
        MboNamespace(frame).book_at("noon")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"every": "1s", "on_change": True}, "only one of"),
        ({"every": 5, "events": 5}, "only one of"),
        ({"fill": True, "on_change": True}, "no windows to fill"),
    ],
)
def test_windows_are_asked_for_in_one_way(arguments: dict[str, Any], words: str) -> None:
    namespace = MboNamespace(to_frame(random_stream(46, 10)).lazy())
    with pytest.raises(UsageError, match=words):
        namespace.depth(1, **arguments)


def test_a_number_of_events_may_be_given_by_either_name() -> None:
    namespace = MboNamespace(to_frame(random_stream(47, 500)).lazy())
    by_events = namespace.depth(1, events=7).collect()
    assert by_events.height > 0
    assert_frame_equal(by_events, namespace.depth(1, every=7).collect())
