"""The names of books: always those of the map, and only the changed ones are told."""

from __future__ import annotations

from random import Random

import pytest

from batonics.book.engine import BookEngine
from batonics.live.book_names import BookNames
from batonics.model.mbo import Action, Flag, Side
from batonics.model.symbols import OPEN_END_NS, MappingInterval, SymbolMap
from tests.support.reference_books import Record
from tests.support.streams import batch_of

DAY = 1_000


def engine_with(books: int) -> BookEngine:
    engine = BookEngine()
    add_books(engine, 0, books)
    return engine


def add_books(engine: BookEngine, first: int, count: int) -> None:
    """Add books of publisher 1 and of these instruments."""
    rows = [
        Record(0, 0, 1, instrument, Action.CLEAR, Side.NONE, 0, 0, 0, 0, Flag.LAST, 0, 0)
        for instrument in range(first, first + count)
    ]
    engine.fold(batch_of(rows))


@pytest.mark.parametrize("seed", range(20))
def test_names_are_those_of_the_map_at_every_time(seed: int) -> None:
    random, known, books = Random(seed), SymbolMap(), 6
    names, engine, now = BookNames(known), engine_with(0), 0
    told: dict[int, str | None] = {}
    for _ in range(60):
        step = random.randrange(3)
        if step == 0 and engine.book_count < books:
            add_books(engine, engine.book_count, 1)
        elif step == 1:
            start = random.randrange(10 * DAY)
            end = random.choice([OPEN_END_NS, start + random.randrange(3 * DAY)])
            symbol = random.choice("ABC")
            names.add(MappingInterval(start, end, random.randrange(books), symbol))
        else:
            now += random.randrange(DAY)
        names.update(engine, now)
        told.update((row[0], row[3]) for row in names.take_changed())
        expected = [known.symbol(book, now) for book in range(engine.book_count)]
        assert names.symbols == expected
        assert told == dict(enumerate(expected))
        assert names.take_changed() == []


def test_a_new_name_is_looked_up_alone() -> None:
    class CountingMap(SymbolMap):
        lookups = 0

        def symbol(self, instrument_id: int, ts_ns: int) -> str | None:
            self.lookups += 1
            return super().symbol(instrument_id, ts_ns)

    known, engine = CountingMap(), engine_with(50)
    names = BookNames(known)
    names.update(engine, 0)
    assert len(names.take_changed()) == 50
    known.lookups = 0
    names.add(MappingInterval(0, OPEN_END_NS, 7, "X"))
    names.add(MappingInterval(0, OPEN_END_NS, 7, "X"))
    names.update(engine, DAY)
    assert names.take_changed() == [[7, 1, 7, "X"]]
    add_books(engine, 50, 1)
    names.update(engine, DAY)
    names.update(engine, 2 * DAY)
    assert names.take_changed() == [[50, 1, 50, None]]
    assert known.lookups == 2
