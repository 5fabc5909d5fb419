"""The place of rows in the stream: positions by a walk over the records, and starts of sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from batonics.frames.columns.row_place import POSITION, SOURCE
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.schemas.row_keys import RowPlaces
from batonics.frames.schemas.table import find_schema
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag, MboBatch, trusted_times
from batonics.model.record_times import first_time
from tests.support.compare_books import pieces
from tests.support.reference_books import Key, ReferenceBooks, records
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of, random_stream

ROWS = 1_500
UNTIMED, SNAPSHOT = int(Flag.BAD_TS_RECV), int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)


def rows_of(schema: str, batches: Sequence[MboBatch]) -> pl.DataFrame:
    """The rows of a schema, with the places of their records."""
    found = find_schema(schema)
    mbo = scan_batches(lambda: iter(batches))
    return pl.concat(pull_frames(found.rows(mbo), [*found.columns, POSITION]))


def event_ends(batch: MboBatch) -> list[tuple[Key, int]]:
    """The book of each event that ends, and the place of its last record, in order."""
    books, last, ends = ReferenceBooks(), dict[Key, int](), list[tuple[Key, int]]()
    for place, record in enumerate(records(batch)):
        key = (record.publisher_id, record.instrument_id)
        completed = books.events(key) if key in last else 0
        books.apply(record)
        ended = books.events(key) - completed
        is_last = bool(record.flags & Flag.LAST)
        if ended > is_last:  # a snapshot that this record does not belong to
            ends.append((key, last[key]))
        last[key] = place
        if is_last:
            ends.append((key, place))
    return ends


@pytest.mark.parametrize("batch_rows", [1, 7, ROWS])
@pytest.mark.parametrize("profile", ["adversarial", "snapshots", "many_books"])
def test_an_event_is_where_its_last_record_is(profile: str, batch_rows: int) -> None:
    batch = PROFILES[profile](21, ROWS)
    rows = rows_of("bbo", list(pieces(batch, batch_rows)))
    keys = zip(rows["publisher_id"], rows["instrument_id"], strict=True)
    assert list(zip(keys, rows[POSITION], strict=True)) == event_ends(batch)


@pytest.mark.parametrize("schema", ["trades", "tbbo", "deltas"])
def test_a_row_of_one_record_is_where_the_record_is(schema: str) -> None:
    batch = random_stream(22, ROWS)
    rows = rows_of(schema, list(pieces(batch, 64)))
    place = rows[POSITION].to_numpy()
    assert rows["sequence"].to_numpy().tolist() == batch.sequence[place].tolist()
    if schema != "deltas":
        assert place.tolist() == np.flatnonzero(batch.action == Action.TRADE).tolist()


@pytest.mark.parametrize("depth", [1, 3])
def test_rows_of_mbp_are_where_their_trades_and_events_are(depth: int) -> None:
    batch = PROFILES["snapshots"](23, ROWS)
    rows = rows_of(f"mbp-{depth}", list(pieces(batch, 5)))
    trades = set(np.flatnonzero(batch.action == Action.TRADE).tolist())
    assert set(rows.filter(pl.col("action") == "T")[POSITION]) == trades
    changes = rows.filter(pl.col("action") != "T")
    assert set(changes[POSITION]) <= {place for _, place in event_ends(batch)}
    by_book = changes.select(pl.col(POSITION).is_sorted().over("publisher_id", "instrument_id"))
    assert by_book.to_series().all()


def test_a_schema_without_records_counts_its_rows_over_all_frames() -> None:
    places = RowPlaces(find_schema("ohlcv-1s"))
    places.note(batch_of([]))
    places.note(random_stream(24, 10))
    frame = pl.DataFrame({"x": [1, 2]})
    counted = [places.add_to(frame), places.add_to(frame)]
    assert pl.concat(counted)[POSITION].to_list() == [0, 1, 2, 3]
    assert counted[0].columns == ["x", SOURCE, POSITION]


@pytest.mark.parametrize(
    ("times", "flags", "start"),
    [
        ([5, 6], [0, 0], 5),
        ([5, 6], [UNTIMED, 0], 6),
        ([5, 6], [SNAPSHOT, 0], 5),
        ([5, 6], [UNTIMED, UNTIMED], 5),
        ([UNDEF_TIMESTAMP, 6], [0, UNTIMED], 6),
        ([UNDEF_TIMESTAMP, UNDEF_TIMESTAMP], [0, 0], None),
        ([], [], None),
    ],
)
def test_a_source_begins_with_its_first_time_that_orders_anything(
    times: list[int], flags: list[int], start: int | None
) -> None:
    batch = random_stream(25, len(times))
    batch = batch._replace(ts_recv=np.array(times, np.uint64), flags=np.array(flags, np.uint8))
    assert first_time(batch) == start


def test_times_that_order_nothing_are_none() -> None:
    times = np.array([1, 2, 3, UNDEF_TIMESTAMP, 2**63], np.uint64)
    flags = np.array([0, UNTIMED, SNAPSHOT, 0, 0], np.uint8)
    assert trusted_times(times, flags).tolist() == [1, -1, 3, -1, -1]
