"""Reconstructed books as frames equal the reference; and the other methods of `Books`."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

import batonics
from batonics.book.engine import BookEngine
from batonics.frames.depth.books import Books
from batonics.model.mbo import Side, slice_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from tests.support.reference_books import ReferenceBooks, records
from tests.support.streams import random_stream

SIDES = {"B": Side.BID, "A": Side.ASK}
NAMES = {100: "ONE", 101: "TWO"}


def folded(seed: int, rows: int) -> tuple[Books, ReferenceBooks]:
    batch = random_stream(seed, rows)
    engine, reference, names = BookEngine(), ReferenceBooks(), SymbolMap()
    engine.fold(batch)
    for record in records(batch):
        reference.apply(record)
    for instrument_id, name in NAMES.items():
        names.add(MappingInterval(0, 2**64 - 1, instrument_id, name))
    return Books(engine, names), reference


@pytest.fixture(scope="module", params=[1, 2, 3])
def both(request: pytest.FixtureRequest) -> tuple[Books, ReferenceBooks]:
    return folded(request.param, 4_000)


def test_summary_is_a_row_a_book_by_publisher_and_instrument(
    both: tuple[Books, ReferenceBooks],
) -> None:
    books, reference = both
    rows = books.summary().rows(named=True)
    keys = [(row["publisher_id"], row["instrument_id"]) for row in rows]
    assert keys == sorted(reference.books())
    assert len(books) == len(keys)
    for key, row in zip(keys, rows, strict=True):
        assert row["symbol"] == NAMES.get(key[1])
        assert row["status"] == reference.status(key)
        assert row["events"] == reference.events(key)
        assert row["event_open"] == reference.event_open(key)
        assert {name: row[name] for name in reference.anomalies(key)} == reference.anomalies(key)


def test_levels_stand_best_first(both: tuple[Books, ReferenceBooks]) -> None:
    books, reference = both
    expected = [
        (*key, NAMES.get(key[1]), letter, level, *row[:3])
        for key in sorted(reference.books())
        for letter, side in SIDES.items()
        for level, row in enumerate(reference.levels(key, side))
    ]
    assert books.levels().rows() == expected
    assert books.levels(depth=2).rows() == [row for row in expected if row[4] < 2]


def test_orders_stand_in_priority_order(both: tuple[Books, ReferenceBooks]) -> None:
    books, reference = both
    assert books.orders().rows() == [
        (*key, NAMES.get(key[1]), letter, price, position, *order)
        for key in sorted(reference.books())
        for letter, side in SIDES.items()
        for price, _, _, queue in reference.levels(key, side)
        for position, order in enumerate(queue)
    ]


def test_consolidated_sums_equal_prices_over_publishers(both: tuple[Books, ReferenceBooks]) -> None:
    books, reference = both
    expected = []
    for instrument_id in sorted({instrument for _, instrument in reference.books()}):
        name, keys = (
            NAMES.get(instrument_id),
            [k for k in reference.books() if k[1] == instrument_id],
        )
        for letter, side in SIDES.items():
            sizes: Counter[int] = Counter()
            counts: Counter[int] = Counter()
            publishers: Counter[int] = Counter()
            for key in keys:
                for price, size, count, _ in reference.levels(key, side):
                    sizes[price] += size
                    counts[price] += count
                    publishers[price] += 1
            prices = sorted(sizes, reverse=side == Side.BID)
            expected += [
                (
                    instrument_id,
                    name,
                    letter,
                    level,
                    price,
                    sizes[price],
                    counts[price],
                    publishers[price],
                )
                for level, price in enumerate(prices)
            ]
    assert books.consolidated().rows() == expected
    assert books.consolidated(1).rows() == [row for row in expected if row[3] == 0]


def test_of_gives_one_symbol_and_refuses_an_unknown_one(both: tuple[Books, ReferenceBooks]) -> None:
    books, _ = both
    assert books.symbol_levels("TWO").equals(books.levels().filter(symbol="TWO"))
    with pytest.raises(batonics.UsageError, match="'THREE'; it has ONE, TWO"):
        books.symbol_levels("THREE")


def test_no_books_are_empty_frames() -> None:
    engine = BookEngine()
    engine.fold(slice_batch(random_stream(1, 1), 0, 0))
    books = Books(engine, SymbolMap())
    for frame in (books.summary(), books.levels(), books.orders(), books.consolidated()):
        assert frame.height == 0
    assert books.levels().schema["side"] == pl.Enum(["B", "A"])
