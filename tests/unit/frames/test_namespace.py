"""`.mbo` on a LazyFrame: quotes, deltas and depth as streaming LazyFrames."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.book.engine import BookEngine
from batonics.frames.columns.books import BBO_SCHEMA, DELTA_SCHEMA, depth_schema
from batonics.frames.columns.mbo_frame import from_frame, to_frame
from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA, mbp_schema
from batonics.frames.depth.book_sources import bbo_frames, delta_frames
from batonics.frames.depth.windows import EventWindows, TimeWindows, parse_windows
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.complete_intervals import COMPLETE_SCHEMA
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.errors import DamagedInputError, UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, slice_batch
from tests.support.reference_books import ReferenceBooks, records
from tests.support.streams import random_stream

BATCH_ROWS = 512


def cut(batch: MboBatch, rows: int) -> list[MboBatch]:
    return [slice_batch(batch, at, at + rows) for at in range(0, len(batch.action), rows)]


def mbo(frame: pl.LazyFrame) -> MboNamespace:
    """`frame.mbo`, typed: a type checker does not see namespaces."""
    namespace = frame.mbo  # type: ignore[attr-defined]
    assert isinstance(namespace, MboNamespace)
    return namespace


@pytest.fixture(scope="module")
def batch() -> MboBatch:
    return random_stream(6, 4_000)


@pytest.fixture
def lazy(batch: MboBatch) -> pl.LazyFrame:
    return scan_batches(lambda: iter(cut(batch, BATCH_ROWS)))


METHODS = {
    "bbo": lambda frame: mbo(frame).bbo(),
    "bbo-1s": lambda frame: mbo(frame).bbo(every="1s"),
    "mbp-3": lambda frame: mbo(frame).mbp(3),
    "states-3": lambda frame: mbo(frame).states(3),
    "tbbo": lambda frame: mbo(frame).tbbo(),
    "deltas": lambda frame: mbo(frame).deltas(),
    "depth-7": lambda frame: mbo(frame).depth(3, every=7),
    "depth-1s": lambda frame: mbo(frame).depth(3, every="1s"),
}
SCHEMAS = {
    "bbo": BBO_SCHEMA,
    "bbo-1s": BBO_INTERVAL_SCHEMA,
    "mbp-3": mbp_schema(3),
    "states-3": mbp_schema(3),
    "tbbo": mbp_schema(1),
    "deltas": DELTA_SCHEMA,
    "depth-1s": pl.Schema({**depth_schema(3), **COMPLETE_SCHEMA}),
}
by_method = pytest.mark.parametrize("method", METHODS)


def reference_quotes(batch: MboBatch) -> list[tuple[object, ...]]:
    """One row for each end of an event, from the reference."""
    reference = ReferenceBooks()
    rows: list[tuple[object, ...]] = []
    last: dict[tuple[int, int], tuple[int, ...]] = {}
    for record in records(batch):
        key = (record.publisher_id, record.instrument_id)
        known = key in last
        events = reference.events(key) if known else 0
        quote_before = quote(reference, key) if known else ()
        reference.apply(record)
        closed = reference.events(key) - events
        closed_itself = not reference.event_open(key)
        if closed > closed_itself:
            rows.append((*last[key], *key, *quote_before))
        last[key] = (record.ts_event, record.ts_recv, record.sequence)
        if closed_itself:
            rows.append((*last[key], *key, *quote(reference, key)))
    return rows


def quote(reference: ReferenceBooks, key: tuple[int, int]) -> tuple[int | None, ...]:
    bid, ask = reference.bbo(key)
    return *(bid or (None, 0, 0)), *(ask or (None, 0, 0))


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 100_000])
def test_quotes_are_those_of_the_reference_however_the_stream_is_cut(rows: int) -> None:
    batch = random_stream(9, 600)
    frame = pl.concat(bbo_frames(cut(batch, rows)))
    plain = [
        (UNDEF_TIMESTAMP if row[0] is None else row[0], *row[1:])
        for row in frame.with_columns(pl.col("ts_event", "ts_recv").cast(pl.Int64)).iter_rows()
    ]
    assert plain == reference_quotes(batch)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_deltas_are_the_same_however_the_stream_is_cut(rows: int) -> None:
    batch = random_stream(9, 600)
    assert_frame_equal(pl.concat(delta_frames(cut(batch, rows))), pl.concat(delta_frames([batch])))


def test_deltas_add_up_to_the_levels(batch: MboBatch, lazy: pl.LazyFrame) -> None:
    key = ["publisher_id", "instrument_id", "side", "price"]
    sums = mbo(lazy).deltas().group_by(key).agg(pl.col("size", "count").sum())
    found = sums.filter(pl.col("size") != 0).collect()
    engine = BookEngine()
    engine.fold(batch)
    levels, keys = engine.levels(), engine.keys()
    expected = {
        (*keys[book], "BA"[side], price, size, count)
        for book, side, price, size, count in zip(*(c.tolist() for c in levels), strict=True)
    }
    assert set(found.iter_rows()) == expected


def test_deltas_are_stamped_by_their_records(batch: MboBatch, lazy: pl.LazyFrame) -> None:
    frame = mbo(lazy).deltas().collect()
    engine = BookEngine(deltas=True)
    rows = engine.fold(batch).deltas[:, 0]
    np.testing.assert_array_equal(frame["sequence"], batch.sequence[rows])
    np.testing.assert_array_equal(frame["instrument_id"], batch.instrument_id[rows])


def test_the_last_quotes_of_a_real_day(clx5: MboBatch) -> None:
    quotes = mbo(to_frame(clx5).lazy()).bbo().collect()
    assert quotes.height == 38_212 - 6_159
    last = quotes.tail(1).select("bid_price", "bid_size", "ask_price", "ask_size").row(0)
    assert last == (65_400_000_000, 1, 64_780_000_000, 3)
    crossed = quotes.filter(pl.col("bid_price") > pl.col("ask_price"))
    assert crossed.height == 172


def test_top_of_book_publishers_have_no_count(dbeq: MboBatch) -> None:
    depth = mbo(to_frame(dbeq).lazy()).depth(10, every="event").collect()
    tob = set(to_frame(dbeq).filter(pl.col("flags") & 64 > 0)["publisher_id"].unique().to_list())
    assert tob
    found = depth.filter(pl.col("publisher_id").is_in(tob), pl.col("bid_sz_00") > 0)
    assert found.height > 0
    assert found["bid_ct_00"].to_list() == [0] * found.height


class TestPushdown:
    @by_method
    @pytest.mark.parametrize("engine", ["streaming", "in-memory"])
    def test_schemas_are_true(self, lazy: pl.LazyFrame, method: str, engine: str) -> None:
        result = METHODS[method](lazy)
        expected = SCHEMAS.get(method, depth_schema(3))
        assert result.collect_schema() == expected
        assert result.collect(engine=engine).schema == expected  # type: ignore[call-overload]

    @by_method
    def test_columns_are_projected(self, lazy: pl.LazyFrame, method: str) -> None:
        result = METHODS[method](lazy)
        columns = ["instrument_id", "sequence"]
        assert "PROJECT 2/" in result.select(columns).explain()
        assert_frame_equal(result.select(columns).collect(), result.collect().select(columns))

    @by_method
    def test_predicates_are_pushed(self, lazy: pl.LazyFrame, method: str) -> None:
        result = METHODS[method](lazy)
        for predicate in (pl.col("sequence") % 3 == 0, pl.col("instrument_id") == 100):
            assert "SELECTION:" in result.filter(predicate).explain()
            assert_frame_equal(
                result.filter(predicate).collect(), result.collect().filter(predicate)
            )

    @by_method
    def test_a_limit_counts_rows_before_a_predicate(self, lazy: pl.LazyFrame, method: str) -> None:
        result = METHODS[method](lazy)
        predicate = pl.col("instrument_id") == 101
        found = result.head(40).filter(predicate).collect()
        assert_frame_equal(found, result.collect().head(40).filter(predicate))

    @by_method
    def test_a_predicate_on_books_reaches_the_records(
        self, batch: MboBatch, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[int] = set()

        def spy(frame: pl.DataFrame) -> MboBatch:
            found = from_frame(frame)
            seen.update(found.instrument_id.tolist())
            return found

        monkeypatch.setattr("batonics.frames.scan.mbo_scan.from_frame", spy)
        METHODS[method](to_frame(batch).lazy()).filter(pl.col("instrument_id") == 101).collect()
        # The time of intervals is that of all records of the stream.
        assert (seen == {101}) == (not method.endswith("-1s"))

    @by_method
    def test_a_row_limit_gives_the_first_rows(self, lazy: pl.LazyFrame, method: str) -> None:
        result = METHODS[method](lazy)
        for rows in (0, 1, 30):
            assert_frame_equal(result.head(rows).collect(), result.collect().head(rows))

    @pytest.mark.parametrize("method", ["bbo", "deltas"])
    def test_a_row_limit_stops_reading(self, batch: MboBatch, method: str) -> None:
        read = []

        def endless() -> Iterator[MboBatch]:
            while True:
                read.append(1)
                yield batch

        METHODS[method](scan_batches(endless)).head(10).collect()
        assert 1 <= len(read) < 100


class TestRefusals:
    def test_a_missing_column(self, lazy: pl.LazyFrame) -> None:
        with pytest.raises(UsageError, match="column flags is missing"):
            mbo(lazy.drop("flags")).bbo()

    def test_a_wrong_dtype(self, lazy: pl.LazyFrame) -> None:
        with pytest.raises(UsageError, match="column size is bool, expected integers"):
            mbo(lazy.cast({"size": pl.Boolean})).deltas()

    @pytest.mark.parametrize("every", [0, -1, "0s", "1x", "", "400000d"])
    def test_no_length(self, lazy: pl.LazyFrame, every: int | str) -> None:
        with pytest.raises(UsageError):
            mbo(lazy).depth(1, every=every)

    def test_no_levels(self, lazy: pl.LazyFrame) -> None:
        with pytest.raises(UsageError, match="depth of 0 levels"):
            mbo(lazy).depth(0)

    @by_method
    def test_damage_reaches_the_caller_as_it_is(self, batch: MboBatch, method: str) -> None:
        def damaged() -> Iterator[MboBatch]:
            yield batch
            raise DamagedInputError("it broke", byte_offset=7)

        with pytest.raises(DamagedInputError, match="byte 7: it broke"):
            METHODS[method](scan_batches(damaged)).collect()


def test_every_is_events_or_a_duration() -> None:
    assert parse_windows("event") == EventWindows(1)
    assert parse_windows(1_000) == EventWindows(1_000)
    assert parse_windows("100ms") == TimeWindows(100_000_000)


def test_a_frame_of_many_columns_and_chunks_will_do(batch: MboBatch) -> None:
    frame = pl.concat([to_frame(batch)[:1_000], to_frame(batch)[1_000:]], rechunk=False)
    wider = frame.lazy().with_columns(note=pl.lit("x")).drop("channel_id", "ts_in_delta")
    assert_frame_equal(mbo(wider).bbo().collect(), pl.concat(bbo_frames([batch])))


ROOT = Path(__file__).parents[3]

MEMORY_SCRIPT = """
import resource, sys
import polars as pl
import batonics.frames.namespace
from batonics.frames.scan.mbo_scan import scan_batches
from tests.support.streams import random_stream

batch = random_stream(1, 60_000, ids=400, ticks=60)
def repeated():
    for _ in range(int(sys.argv[2])):
        yield batch
lazy = scan_batches(repeated).mbo
source = {"bbo": lazy.bbo, "deltas": lazy.deltas, "depth": lambda: lazy.depth(5, every=100)}
source[sys.argv[1]]().select(pl.all().max()).collect(engine="streaming")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


# Depth is flushed about every ten repetitions, so both runs have several flushes.
@pytest.mark.parametrize(("method", "times"), [("bbo", 8), ("deltas", 8), ("depth", 24)])
def test_memory_does_not_grow_with_the_stream(method: str, times: int) -> None:
    def peak_kib(repetitions: int) -> int:
        command = [sys.executable, "-c", MEMORY_SCRIPT, method, str(repetitions)]
        run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        return int(run.stdout)

    short, long = peak_kib(times), peak_kib(3 * times)
    assert long < short * 1.3 + 20_000, f"{short} KiB, then {long} KiB for three times the stream"


def test_undefined_prices_are_null_in_quotes(batch: MboBatch) -> None:
    frame = pl.concat(bbo_frames([batch]))
    for side in ("bid", "ask"):
        empty = frame[f"{side}_size"] == 0
        assert (frame[f"{side}_price"].is_null() == empty).all()
    assert frame["bid_price"].null_count() > 0
