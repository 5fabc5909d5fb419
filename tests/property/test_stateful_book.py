"""A stateful test: the engine equals the reference books on any sequence of records."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from batonics.model.mbo import UNDEF_PRICE
from tests.support.compare_books import EnginePair
from tests.support.reference_books import Key, Record
from tests.support.streams import (
    KEYS,
    ORDER_IDS,
    batch_of,
    in_time,
    record_strategy,
    snapshot_strategy,
)

FEW_IDS = ORDER_IDS[:3]
PRICES = (10, 20, 30)
SIZES = (1, 2, 3)


class BookMachine(RuleBasedStateMachine):
    """Collects records until a rule ends the batch, and then compares all books.

    Most rules add legal records, so that deep states are reached; `anything` and `snapshot` add
    others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pair = EnginePair("the machine")
        self.batch: list[Record] = []

    def flush(self) -> None:
        self.pair.feed(batch_of(in_time(self.batch)))
        self.batch = []

    @initialize(books=st.lists(st.sampled_from(KEYS), max_size=3))
    def open_with_clears(self, books: list[Key]) -> None:
        self.batch += [
            Record(0, 0, *key, ord("R"), ord("N"), UNDEF_PRICE, 0, 0, 0, 128, 0, 0) for key in books
        ]

    @rule(record=record_strategy())
    def anything(self, record: Record) -> None:
        self.batch.append(record)

    @rule(
        records=st.lists(
            record_strategy(
                actions=b"AACMmTF", order_ids=FEW_IDS, flags=(0, 128), prices=PRICES, sizes=SIZES
            ),
            min_size=1,
            max_size=8,
        )
    )
    def orders(self, records: list[Record]) -> None:
        self.batch += records

    @rule(
        records=st.lists(
            record_strategy(
                actions=b"A", order_ids=(0,), flags=(64, 192), prices=PRICES, sizes=SIZES
            ),
            max_size=3,
        )
    )
    def top_of_book(self, records: list[Record]) -> None:
        self.batch += records

    @rule(records=snapshot_strategy())
    def snapshot(self, records: list[Record]) -> None:
        self.batch += records

    @rule(key=st.sampled_from(KEYS))
    def many_levels(self, key: Key) -> None:
        self.batch += [
            Record(0, 0, *key, ord("A"), b"BA"[n % 2], n * 10, 1, 0, 1_000 + n, 128, 0, 0)
            for n in range(40)
        ]

    @rule()
    @precondition(lambda self: self.batch)
    def end_the_batch(self) -> None:
        self.flush()

    @rule()
    def feed_nothing(self) -> None:
        self.flush()
        self.flush()

    @rule()
    def a_new_day(self) -> None:
        self.flush()
        self.pair.start_day()
        self.pair.check()

    @rule()
    def restart(self) -> None:
        self.flush()
        self.pair.restart()
        self.pair.check()

    @rule()
    def rebuild(self) -> None:
        self.flush()
        self.pair.engine.rebuild()
        self.pair.check()

    def teardown(self) -> None:
        self.flush()


TestFeed = BookMachine.TestCase
TestFeed.settings = settings(max_examples=50, stateful_step_count=40)
