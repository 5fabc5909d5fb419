"""Batches as a LazyFrame: a query neither reads nor converts what it does not select."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.mbo_frame import MBO_SCHEMA, to_frame
from batonics.frames.scan import mbo_scan
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.errors import DamagedInputError
from batonics.model.mbo import MboBatch, copy_batch, empty_batch, slice_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from tests.support.streams import START_NS, random_stream

ROWS = 1_000
BATCH_ROWS = 100


class Source:
    """Batches in buffers that the next batch overwrites, like those of a decoder."""

    def __init__(self, batch: MboBatch, fail_after: int | None = None) -> None:
        self.batch = batch
        self.read = 0
        self.closed = False
        self._fail_after = fail_after

    def open(self) -> Iterator[MboBatch]:
        buffers = empty_batch(BATCH_ROWS)
        self.read, self.closed = 0, False
        try:
            for start in range(0, len(self.batch.action), BATCH_ROWS):
                if self.read == self._fail_after:
                    raise DamagedInputError("it broke", byte_offset=7)
                for name in MboBatch._fields:
                    column = getattr(self.batch, name)
                    getattr(buffers, name)[:] = column[start : start + BATCH_ROWS]
                self.read += 1
                yield buffers
        finally:
            self.closed = True


@pytest.fixture
def source() -> Source:
    return Source(random_stream(3, ROWS))


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    """The columns and the number of rows of each conversion."""
    calls: list[tuple[list[str], int]] = []

    def spy(batch: MboBatch, columns: Collection[str]) -> pl.DataFrame:
        frame = to_frame(batch, list(columns))
        calls.append((frame.columns, frame.height))
        return frame

    monkeypatch.setattr(mbo_scan, "to_frame", spy)
    return calls


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_all_rows_come_in_order_though_buffers_are_reused(source: Source, engine: str) -> None:
    frame = scan_batches(source.open).collect(engine=engine)  # type: ignore[call-overload]
    assert_frame_equal(frame, to_frame(source.batch))
    assert source.closed


def test_a_scan_may_be_collected_again(source: Source) -> None:
    lazy = scan_batches(source.open)
    assert_frame_equal(lazy.collect(), lazy.collect())


def test_only_wanted_columns_are_converted(
    source: Source, converted: list[tuple[list[str], int]]
) -> None:
    lazy = scan_batches(source.open).select(pl.col("size").sum(), pl.col("price").max())
    assert "PROJECT 2/13 COLUMNS" in lazy.explain()
    lazy.collect()
    assert {name for columns, _ in converted for name in columns} == {"size", "price"}


def test_a_predicate_is_tried_before_other_columns_are_converted(
    source: Source, converted: list[tuple[list[str], int]]
) -> None:
    lazy = scan_batches(source.open).filter(pl.col("instrument_id") == 101).select("price")
    assert 'SELECTION: col("instrument_id") == 101' in lazy.explain()
    rows = lazy.collect().height
    wanted = int((source.batch.instrument_id == 101).sum())
    assert rows == wanted
    assert sum(height for columns, height in converted if "price" in columns) == wanted
    assert sum(height for columns, height in converted if columns == ["instrument_id"]) == ROWS


def test_batches_without_a_match_are_not_converted(
    source: Source, converted: list[tuple[list[str], int]]
) -> None:
    nothing = scan_batches(source.open).filter(pl.col("instrument_id") == 7).collect()
    assert nothing.is_empty()
    assert nothing.schema == MBO_SCHEMA
    assert {tuple(columns) for columns, _ in converted} == {("instrument_id",)}


@pytest.mark.parametrize(
    "predicate",
    [
        pl.col("price") > 0,
        pl.col("price").is_null() | (pl.col("side") == "B"),
        (pl.col("size") > 2) & (pl.col("size") < 4) & (pl.col("action") == "A"),
        pl.lit(value=True),
        pl.lit(value=False),
    ],
    ids=["nulls", "is-null", "one-column-twice", "true", "false"],
)
def test_a_pushed_predicate_keeps_the_rows_that_a_filter_keeps(
    source: Source, predicate: pl.Expr
) -> None:
    lazy = scan_batches(source.open).filter(predicate)
    assert_frame_equal(lazy.collect(), to_frame(source.batch).filter(predicate))


@pytest.mark.parametrize(("rows", "batches"), [(0, 0), (1, 1), (100, 1), (101, 2), (5_000, 10)])
def test_a_row_limit_stops_reading(source: Source, rows: int, batches: int) -> None:
    frame = scan_batches(source.open).head(rows).collect()
    assert_frame_equal(frame, to_frame(slice_batch(source.batch, 0, rows)))
    assert source.read == batches


def test_a_limit_before_a_filter_counts_before_it(source: Source) -> None:
    is_bid = pl.col("side") == "B"
    expected = to_frame(source.batch).head(150).filter(is_bid)
    assert_frame_equal(scan_batches(source.open).head(150).filter(is_bid).collect(), expected)


def test_an_error_reaches_the_caller_as_it_is() -> None:
    source = Source(random_stream(3, ROWS), fail_after=4)
    with pytest.raises(DamagedInputError, match="byte 7: it broke"):
        scan_batches(source.open).collect()


def test_a_frame_owns_its_memory(source: Source) -> None:
    frames = list(scan_batches(source.open).collect_batches(maintain_order=True))
    assert_frame_equal(pl.concat(frames), to_frame(copy_batch(source.batch)))


class TestSymbol:
    @pytest.fixture
    def symbols(self) -> SymbolMap:
        symbols = SymbolMap()
        symbols.add(MappingInterval(0, START_NS + 10**11, 100, "OLD"))
        symbols.add(MappingInterval(START_NS + 10**11, 2**63, 100, "NEW"))
        return symbols

    @pytest.fixture
    def expected(self, source: Source, symbols: SymbolMap) -> list[str | None]:
        ids, times = source.batch.instrument_id.tolist(), source.batch.ts_recv.tolist()
        return [symbols.symbol(*row) for row in zip(ids, times, strict=True)]

    def test_is_there_only_with_symbols(self, source: Source) -> None:
        assert "symbol" not in scan_batches(source.open).collect_schema()

    def test_is_that_of_the_row(
        self, source: Source, symbols: SymbolMap, expected: list[str | None]
    ) -> None:
        lazy = scan_batches(source.open, symbols=lambda: symbols)
        assert lazy.collect()["symbol"].to_list() == expected
        assert lazy.select("symbol").collect()["symbol"].to_list() == expected
        assert set(expected) == {None, "OLD", "NEW"}

    def test_may_be_filtered_by(
        self, source: Source, symbols: SymbolMap, expected: list[str | None]
    ) -> None:
        lazy = scan_batches(source.open, symbols=lambda: symbols)
        rows = np.array([name == "NEW" for name in expected])
        found = lazy.filter(pl.col("symbol") == "NEW").select("sequence").collect()
        np.testing.assert_array_equal(found["sequence"], source.batch.sequence[rows])

    def test_is_not_asked_for_unless_it_is_wanted(self, source: Source) -> None:
        def refuse() -> SymbolMap:
            raise AssertionError("symbols were asked for")

        scan_batches(source.open, symbols=refuse).select(pl.exclude("symbol")).collect()

    def test_a_new_map_is_seen_at_the_next_batch(
        self, source: Source, symbols: SymbolMap, expected: list[str | None]
    ) -> None:
        def known() -> SymbolMap:
            return SymbolMap() if source.read <= 1 else symbols

        frame = scan_batches(source.open, symbols=known).collect(engine="in-memory")
        assert frame["symbol"].to_list() == [None] * BATCH_ROWS + expected[BATCH_ROWS:]
