"""The cells of a heatmap are the books of `FileHistory.at` and the trades of the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import batonics
from batonics.book.engine import BookEngine
from batonics.frames.namespace import MboNamespace
from batonics.history import book_history, heatmap, record_file, segment_cache
from batonics.history.book_history import FileHistory, Moment
from batonics.history.book_segments import NO_BOOK
from batonics.history.heatmap import Bands, Columns, Heatmap, make_heatmap
from batonics.history.segment_cache import SegmentCache
from batonics.model.mbo import (
    ACTION_TRADE,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_PRICE,
    Action,
    Side,
    due_times,
    record_keys,
)
from batonics.sources.stream import MboStream
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.histories import build_history
from tests.support.paths import ROOT

SAMPLE = ROOT / "data" / "sample.dbn.zst"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_history, "CHECKPOINT_DISTANCE", 5_000)
    monkeypatch.setattr(record_file, "BLOCK_RECORDS", 64)
    monkeypatch.setattr(record_file, "READ_RECORDS", 1_000)
    monkeypatch.setattr(heatmap, "CHUNK_CELLS", 3_000)


def draw(history: FileHistory, key: int, columns: Columns, rows: int = 40) -> Heatmap:
    span = SegmentCache(history).span(key, columns.from_ns, columns.to_ns)
    return make_heatmap(span, columns, rows, None)


def key_of(engine: BookEngine, book: int) -> int:
    publisher, instrument = engine.keys()[book]
    return publisher << 32 | instrument


def check_grid(history: FileHistory, key: int, grid: Heatmap) -> None:
    """Compare each column with the book at its end."""
    for column, end in enumerate(grid.columns.ends().tolist()):
        if end < (history.records.first_ns or 0):
            assert grid.status[column] == NO_BOOK
            assert not grid.bid_size[column].any()
            continue
        engine = history.at(Moment(end), key).engine
        keys = engine.keys()
        if (key >> 32, key & 0xFFFFFFFF) not in keys:
            assert grid.status[column] == NO_BOOK
            continue
        book = keys.index((key >> 32, key & 0xFFFFFFFF))
        assert grid.status[column] == engine.status_numbers()[book], column
        levels = engine.levels(book)
        for side, cells, best, best_size in (
            (0, grid.bid_size[column], grid.best_bid[column], grid.best_bid_size[column]),
            (1, grid.ask_size[column], grid.best_ask[column], grid.best_ask_size[column]),
        ):
            price, size = levels.price[levels.side == side], levels.size[levels.side == side]
            assert best == (price[0] if len(price) else UNDEF_PRICE), column
            assert best_size == (size[0] if len(size) else 0), column
            assert cells.tolist() == by_band(grid.bands, price, size), column


def by_band(bands: Bands, prices: np.ndarray, sizes: np.ndarray) -> list[int]:
    cells = [0] * bands.number
    for price, size in zip(prices.tolist(), sizes.tolist(), strict=True):
        if bands.low <= price < bands.high:
            cells[(price - bands.low) // bands.height] += size
    return cells


def check_trades(paths: list[Path], key: int, grid: Heatmap) -> int:
    """Compare the volumes with a sum over the records; the sum of all."""
    columns, bands, due_ns = grid.columns, grid.bands, -1
    expected = np.zeros((3, columns.number, bands.number), np.int64)
    totals = np.zeros((3, columns.number), np.int64)
    for batch in MboStream(paths).batches():
        times = due_times(batch, due_ns)
        due_ns = int(times[-1])
        found = np.flatnonzero((batch.action == ACTION_TRADE) & (record_keys(batch) == key))
        for row in found.tolist():
            time_ns, price = int(times[row]), int(batch.price[row])
            if not columns.from_ns < time_ns <= columns.to_ns:
                continue
            side = {SIDE_BID: 0, SIDE_ASK: 1}.get(int(batch.side[row]), 2)
            column = (time_ns - columns.from_ns - 1) // columns.column_ns
            totals[side, column] += batch.size[row]
            if bands.low <= price < bands.high:
                expected[side, column, (price - bands.low) // bands.height] += batch.size[row]
    volumes = [grid.buy_volume, grid.sell_volume, grid.other_volume]
    assert np.array_equal(volumes, expected)
    assert np.array_equal([grid.buy_total, grid.sell_total, grid.other_total], totals)
    return int(expected.sum())


def check_files(
    paths: list[Path], directory: Path, columns: int, *, has_trades: bool = True
) -> None:
    history = build_history(paths, directory)
    first, last = history.records.first_ns, history.records.last_ns
    assert first is not None
    assert last is not None
    keys = [key_of(history.at().engine, book) for book in range(len(history.at().engine.keys()))]
    span, volume = last - first, 0
    for key in keys[:3]:
        whole = draw(history, key, Columns.covering(first - 1, last, columns))
        check_grid(history, key, whole)
        volume += check_trades(paths, key, whole)
        zoomed = Columns.covering(first + span // 3, first + span // 3 + span // 50, columns)
        check_grid(history, key, draw(history, key, zoomed, 7))
    assert volume > 0 or not has_trades
    early = Columns.covering(first - span // 10, first + span // 10, columns)
    check_grid(history, keys[0], draw(history, keys[0], early, 1))
    late = Columns.covering(last - 1, last + 10**9, 3)
    check_grid(history, keys[0], draw(history, keys[0], late))


def test_simulated_books(tmp_path: Path) -> None:
    check_files([SAMPLE], tmp_path / "history", 25)


def test_a_real_book(test_data: Path, tmp_path: Path) -> None:
    check_files([test_data / "clx5" / "CLX5_mbo.dbn"], tmp_path / "history", 20)


def test_two_days_with_snapshots(test_data: Path, tmp_path: Path) -> None:
    check_files(sorted((test_data / "esh4").glob("*.mbo.dbn.zst")), tmp_path / "history", 20)


def test_top_of_book_publishers(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "dbeq" / "dbeq-20240131.mbo.dbn"
    check_files([path], tmp_path / "history", 20, has_trades=False)


def test_columns_of_seconds_are_the_windows_of_depth(tmp_path: Path) -> None:
    history, second = build_history([SAMPLE], tmp_path / "history"), 10**9
    key = key_of(history.at().engine, 0)
    from_ns = (history.records.first_ns or 0) // second * second
    grid = draw(history, key, Columns(from_ns, second, 200), 400)
    records = batonics.scan_mbo(SAMPLE).filter(pl.col("instrument_id") == key & 0xFFFFFFFF)
    windows = MboNamespace(records).depth(30, every="1s").collect()
    assert grid.bands.height == grid.tick
    assert len(windows) > 30
    for row in windows.iter_rows(named=True):
        column = (row["ts"].timestamp() * second - from_ns) / second - 1
        assert column == int(column)
        for side in "bid", "ask":
            best = int(getattr(grid, f"best_{side}")[int(column)])
            assert (None if best == UNDEF_PRICE else best) == row[f"{side}_px_00"]
            for level in range(30):
                price, size = row[f"{side}_px_{level:02}"], row[f"{side}_sz_{level:02}"]
                if price is not None:
                    band = (price - grid.bands.low) // grid.bands.height
                    assert getattr(grid, f"{side}_size")[int(column), band] == size


def test_segments_that_were_dropped_are_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = build_history([SAMPLE], tmp_path / "history")
    first, last = history.records.first_ns or 0, history.records.last_ns or 0
    columns = Columns.covering(first - 1, last, 30)
    cache = SegmentCache(history)
    keys = [key_of(history.at().engine, book) for book in range(2)]
    spans = [cache.span(key, columns.from_ns, columns.to_ns) for key in keys]
    expected = [make_heatmap(span, columns, 40, None) for span in spans]
    assert cache.missing(spans[0].numbers, keys[0]) == 0
    files = set((tmp_path / "history").glob("levels-*"))
    limit = sum(file.stat().st_size for file in files) // 4
    monkeypatch.setattr(segment_cache, "CACHE_BYTES", limit)
    small = SegmentCache(history)
    for _ in range(2):
        for key, grid in zip(keys, expected, strict=True):
            again = make_heatmap(small.span(key, columns.from_ns, columns.to_ns), columns, 40, None)
            assert all(np.array_equal(*pair) for pair in zip(grid[3:], again[3:], strict=True))
    assert small.missing(spans[0].numbers, keys[0]) > 0


def test_books_and_heatmaps_among_5_000_books(tmp_path: Path) -> None:
    """A book of many is what its own records make, wherever its place among the books is."""
    instruments, rounds = 5_000, 4
    rows = [
        record(
            Action.ADD,
            instrument_id=instrument,
            side=(Side.BID, Side.ASK)[turn % 2],
            price=100 + instrument % 7 + turn % 2,
            size=turn + 1,
            order_id=turn + 1,
            ts_recv=DAY_NS + turn * instruments + instrument,
        )
        for turn in range(rounds)
        for instrument in range(1, instruments + 1)
    ]
    path = tmp_path / "many.dbn"
    path.write_bytes(metadata() + encode(rows))
    history = build_history([path], tmp_path / "history")
    assert history.at().engine.book_count == instruments
    span = Columns.covering(DAY_NS, DAY_NS + rounds * instruments, 16)
    for instrument in (1, 2_499, instruments):
        key = 1 << 32 | instrument
        check_grid(history, key, draw(history, key, span))
        for turn in range(rounds):
            end_ns = DAY_NS + turn * instruments + instrument
            engine = history.at(Moment(end_ns), key).engine
            orders = engine.orders(engine.keys().index((1, instrument)))
            assert sorted(orders.size.tolist()) == list(range(1, turn + 2))
