"""The bars of a history, page by page, are those of `.mbo.bars` over its files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.namespace import MboNamespace
from batonics.history import book_history, record_file
from batonics.history.trade_bars import TradeBars
from batonics.model.times import duration_ns
from tests.support.histories import build_history
from tests.support.paths import ROOT

SAMPLE = ROOT / "data" / "sample.dbn.zst"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_history, "CHECKPOINT_DISTANCE", 5_000)
    monkeypatch.setattr(record_file, "READ_RECORDS", 1_000)


def check_bars(path: Path, directory: Path, every: str, limit: int) -> None:
    history = build_history([path], directory)
    publisher, instrument = history.at().engine.keys()[0]
    bars = TradeBars(history, publisher << 32 | instrument, duration_ns(every))
    pages, cursor = [], None
    while True:
        page = bars.page((None, None), cursor, limit, 1 << 25)
        assert page is not None
        pages.append(page[0])
        assert len(page[0]) <= limit
        cursor = page[1]
        if cursor is None:
            break
    is_mine = (pl.col("publisher_id") == publisher) & (pl.col("instrument_id") == instrument)
    expected = MboNamespace(batonics.scan_mbo(path)).bars(time=every).filter(is_mine).collect()
    assert len(expected) > 3
    assert_frame_equal(pl.concat(pages), expected)
    # A span has the bars that begin in it.
    start, end = expected["ts_open"].to_physical()[[1, -1]].to_list()
    part = bars.page((start // bars.every_ns * bars.every_ns, end), None, 1 << 30, 1 << 25)
    assert part is not None
    assert_frame_equal(part[0], expected.slice(1))
    assert bars.page((None, None), None, 1_000, 10) is None


@pytest.mark.parametrize(("every", "limit"), [("1s", 7), ("5s", 100), ("7ms", 1_000)])
def test_bars_of_a_simulated_book(tmp_path: Path, every: str, limit: int) -> None:
    check_bars(SAMPLE, tmp_path / "history", every, limit)


def test_bars_of_a_real_book(test_data: Path, tmp_path: Path) -> None:
    check_bars(test_data / "clx5" / "CLX5_mbo.dbn", tmp_path / "history", "1m", 20)
