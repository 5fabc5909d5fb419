"""The origins of live orders, compared with a fold over all records in plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.history.book_history import Moment
from batonics.history.order_origins import OrderOrigin, find_origins
from batonics.model.mbo import F_LAST, MboBatch, record_keys
from tests.support.command import SAMPLE
from tests.support.dbn_files import adds, encode, metadata
from tests.support.histories import build_history
from tests.support.real_files import CLX5

ALL = 1 << 40


Row = tuple[int, int, int, int, int, int]


def rows_of_book(batches: list[MboBatch], key: int, last: int) -> list[Row]:
    """The records of a book before a number, without those of an event that goes on."""
    rows: list[Row] = []
    number = 0
    for batch in batches:
        is_mine = record_keys(batch) == key
        is_mine &= np.arange(number, number + len(is_mine)) < last
        number += len(is_mine)
        columns = batch.action, batch.order_id, batch.price, batch.size, batch.flags, batch.ts_recv
        rows += zip(*(column[is_mine].tolist() for column in columns), strict=True)
    while rows and not rows[-1][4] & F_LAST:
        rows.pop()
    return rows


def naive_origins(rows: list[Row]) -> dict[int, OrderOrigin]:
    """What is known of each order that was added."""
    origins: dict[int, OrderOrigin] = {}
    shown: dict[int, tuple[int, int]] = {}
    for action, order_id, price, size, flags, ts in rows:
        if chr(action) == "A":
            origins[order_id] = OrderOrigin(ts, ts, size, 0, bool(flags & 32))
            shown[order_id] = price, size
        if order_id not in origins:
            continue
        old, (at, left) = origins[order_id], shown[order_id]
        if chr(action) == "F":
            origins[order_id] = old._replace(filled=old.filled + size)
        if chr(action) == "C":
            shown[order_id] = at, left - size
        if chr(action) == "M":
            if price != at or size > left:
                origins[order_id] = old._replace(placed_ns=ts)
            shown[order_id] = price, size
    return origins


@pytest.mark.parametrize("name", ["sample", "CLX5"])
def test_origins_are_those_of_a_fold(name: str, tmp_path: Path, test_data: Path) -> None:
    history = build_history([SAMPLE if name == "sample" else test_data / CLX5], tmp_path / "h")
    batches = list(history.records.read(0))
    known = 0
    for last in np.linspace(history.records.count // 7, history.records.count, 5).astype(int):
        books = history.at(Moment(record=int(last) - 1))
        for number, (publisher_id, instrument_id) in enumerate(books.engine.keys()[:2]):
            key = publisher_id << 32 | instrument_id
            ids = books.engine.orders(number).order_id.tolist()
            found = find_origins(history.records, key, ids, int(last), ALL)
            expected = naive_origins(rows_of_book(batches, key, int(last)))
            for order_id in ids:
                if order_id in expected:  # others are older than the file
                    assert found.orders[order_id] == expected[order_id]
                    known += 1
                else:
                    assert found.orders[order_id].added_ns is None
    assert known > 100


def test_what_lies_before_the_search_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "adds.dbn"
    path.write_bytes(metadata() + encode(adds(2)))
    history = build_history([path], tmp_path / "h")
    batch = next(history.records.read(0))
    key, ids = int(record_keys(batch)[0]), batch.order_id.tolist()
    found = find_origins(history.records, key, ids, 2, 0)
    assert found.orders == dict.fromkeys(ids, OrderOrigin())
    assert not found.orders[ids[0]].is_refilled
    assert found.first_record == 2
