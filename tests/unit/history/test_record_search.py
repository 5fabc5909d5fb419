"""Marks of books are those that a search record by record finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.state import Bbo
from batonics.history import book_history, record_file
from batonics.history.record_search import MARK_KINDS, RecordSearch
from batonics.model.mbo import F_LAST, UNDEF_PRICE, record_keys, take_batch
from batonics.sources.stream import MboStream
from tests.support.histories import build_history
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_history, "CHECKPOINT_DISTANCE", 1_500)
    monkeypatch.setattr(record_file, "BLOCK_RECORDS", 64)
    monkeypatch.setattr(record_file, "READ_RECORDS", 700)


def slow_marks(paths: list[Path], key: int) -> dict[str, list[int]]:
    """The marks of a book, event by event."""
    engine, count, crossed = BookEngine(bbo=True), 0, False
    prices: dict[int, set[int]] = {}
    found: dict[str, list[int]] = {"crossed": [], "sweep": []}
    for batch in MboStream(paths).batches():
        rows = np.flatnonzero(record_keys(batch) == key)
        mine = take_batch(batch, rows)
        bbo = engine.fold(mine).bbo
        for row, number in enumerate((count + rows).tolist()):
            is_trade = chr(mine.action[row]) == "T" and chr(mine.side[row]) in "AB"
            if is_trade and mine.price[row] != UNDEF_PRICE:
                prices.setdefault(int(mine.side[row]), set()).add(int(mine.price[row]))
            if mine.flags[row] & F_LAST:
                if any(len(each) > 1 for each in prices.values()):
                    found["sweep"].append(number)
                bid, ask = bbo[row, Bbo.BID_PRICE], bbo[row, Bbo.ASK_PRICE]
                was, crossed = crossed, bool(UNDEF_PRICE != bid > ask)
                if crossed and not was:
                    found["crossed"].append(number)
                prices = {}
        count += len(batch.action)
    return found


def check(paths: list[Path], directory: Path, key: int | None = None) -> dict[str, list[int]]:
    history = build_history(paths, directory)
    if key is None:
        publisher, instrument = history.at().engine.keys()[0]
        key = publisher << 32 | instrument
    search, expected = RecordSearch(history), slow_marks(paths, key)
    for kind in MARK_KINDS:
        forward, number = [], search.find_next(key, kind, 0)
        while number is not None:
            forward.append(number)
            number = search.find_next(key, kind, number + 1)
        assert forward == expected[kind]
        backward, number = [], search.find_previous(key, kind, history.records.count)
        while number is not None:
            backward.append(number)
            number = search.find_previous(key, kind, number)
        assert backward[::-1] == expected[kind]
    return expected


def test_marks_of_a_real_book(test_data: Path, tmp_path: Path) -> None:
    found = check([test_data / "clx5" / "CLX5_mbo.dbn"], tmp_path / "history")
    assert found["crossed"]
    assert len(found["sweep"]) > 5


def test_marks_of_a_simulated_book(tmp_path: Path) -> None:
    assert check([ROOT / "data" / "sample.dbn.zst"], tmp_path / "history")["sweep"]
