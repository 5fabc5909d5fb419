"""The reference against hand-computed books, rule by rule; the real data is in the last part.

The one rule that must hold here: an expected book is written out by hand, or comes from the
vendor or an independent builder; nothing is compared with what the reference itself once said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import databento
import polars as pl
import pytest
from hypothesis import given

from batonics.model.mbo import (
    MBO_DTYPE,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    Action,
    Flag,
    MboBatch,
    Side,
    batch_from_records,
)
from tests.support.reference_books import (
    ANOMALIES,
    Key,
    LevelRow,
    Quote,
    Record,
    ReferenceBooks,
    records,
)
from tests.support.streams import START_NS, batch_of, random_stream, stream_strategy

BID, ASK, NO_SIDE = Side.BID, Side.ASK, Side.NONE
LAST, TOB, SNAPSHOT, MBP, MAYBE_BAD = (
    Flag.LAST,
    Flag.TOB,
    Flag.SNAPSHOT,
    Flag.MBP,
    Flag.MAYBE_BAD_BOOK,
)
BOOK: Key = (1, 100)


def record(
    action: Action,
    order_id: int,
    side: Side = BID,
    price: int = 100,
    size: int = 1,
    flags: int = LAST,
    key: Key = BOOK,
) -> Record:
    return Record(0, 0, *key, action, side, price, size, 0, order_id, int(flags), 0, 0)


def add(
    order_id: int, side: Side = BID, price: int = 100, size: int = 1, flags: int = LAST
) -> Record:
    return record(Action.ADD, order_id, side, price, size, flags)


def modify(
    order_id: int, side: Side = BID, price: int = 100, size: int = 1, flags: int = LAST
) -> Record:
    return record(Action.MODIFY, order_id, side, price, size, flags)


def partial(
    order_id: int,
    side: Side = NO_SIDE,
    price: int = UNDEF_PRICE,
    size: int = UNDEF_ORDER_SIZE,
    flags: int = LAST,
) -> Record:
    return record(Action.MODIFY_PARTIAL, order_id, side, price, size, flags)


def cancel(order_id: int, size: int, side: Side = BID, flags: int = LAST) -> Record:
    return record(Action.CANCEL, order_id, side, 100, size, flags)


def clear(flags: int = LAST) -> Record:
    return record(Action.CLEAR, 0, NO_SIDE, UNDEF_PRICE, 0, flags)


def snapshot_add(
    order_id: int, side: Side = BID, price: int = 100, size: int = 1, flags: int = 0
) -> Record:
    return add(order_id, side, price, size, SNAPSHOT | Flag.BAD_TS_RECV | flags)


def run(*rows: Record) -> ReferenceBooks:
    reference = ReferenceBooks()
    for row in rows:
        reference.apply(row)
        reference.invariants()
    return reference


def ladders(reference: ReferenceBooks, key: Key = BOOK) -> tuple[list[LevelRow], list[LevelRow]]:
    return reference.levels(key, BID), reference.levels(key, ASK)


def total(reference: ReferenceBooks, anomaly: str) -> int:
    return sum(reference.anomalies(key).get(anomaly, 0) for key in reference.books())


# Adds, levels and the best prices


def test_levels_stand_best_first_and_orders_in_priority() -> None:
    reference = run(
        add(1, BID, 100, 5),
        add(2, BID, 101, 2),
        add(3, BID, 100, 1),
        add(4, ASK, 104, 7),
        add(5, ASK, 103, 3),
        add(6, BID, -7, 1),
    )
    assert ladders(reference) == (
        [(101, 2, 1, [(2, 2)]), (100, 6, 2, [(1, 5), (3, 1)]), (-7, 1, 1, [(6, 1)])],
        [(103, 3, 1, [(5, 3)]), (104, 7, 1, [(4, 7)])],
    )
    assert reference.bbo(BOOK) == ((101, 2, 1), (103, 3, 1))
    assert reference.anomalies(BOOK) == {}


def test_a_side_without_levels_has_no_best() -> None:
    assert run(add(1, ASK, 0, 2)).bbo(BOOK) == (None, (0, 2, 1))


def test_the_same_id_in_books_that_share_publisher_or_instrument_is_three_orders() -> None:
    keys: list[Key] = [(1, 100), (1, 101), (2, 100)]
    reference = run(
        *(record(Action.ADD, 7, BID, 100, n, key=key) for n, key in enumerate(keys, start=1)),
        record(Action.CANCEL, 7, size=3, key=(2, 100)),
    )
    assert [reference.bbo(key)[0] for key in keys] == [(100, 1, 1), (100, 2, 1), None]
    assert reference.books() == keys
    assert all(reference.anomalies(key) == {} for key in keys)


def test_a_crossed_book_stays_as_it_is() -> None:
    assert run(add(1, BID, 105), add(2, ASK, 100)).bbo(BOOK) == ((105, 1, 1), (100, 1, 1))


def test_an_add_for_a_live_id_replaces_the_order_at_the_back() -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 100, 2), add(1, BID, 100, 3))
    assert reference.levels(BOOK, BID) == [(100, 5, 2, [(2, 2), (1, 3)])]
    assert reference.anomalies(BOOK) == {"duplicate_add": 1}


def test_an_add_for_a_live_id_may_change_its_side() -> None:
    reference = run(add(1, BID, 100, 5), add(1, ASK, 103, 2))
    assert ladders(reference) == ([], [(103, 2, 1, [(1, 2)])])
    assert reference.anomalies(BOOK) == {"duplicate_add": 1}


@pytest.mark.parametrize("price", [-(2**63) + 1, -1, 0, 2**63 - 2])
def test_every_defined_price_and_size_enters_a_book(price: int) -> None:
    reference = run(add(2**64 - 1, ASK, price, 2**32 - 2), add(0, ASK, price, 2**32 - 2))
    assert reference.bbo(BOOK)[1] == (price, 2**33 - 4, 2)


@pytest.mark.parametrize(
    ("bad", "anomaly"),
    [
        (add(1, NO_SIDE, UNDEF_PRICE, UNDEF_ORDER_SIZE, MBP | LAST), "mbp_record"),
        (add(1, NO_SIDE, UNDEF_PRICE, UNDEF_ORDER_SIZE), "bad_side"),
        (add(1, BID, UNDEF_PRICE, UNDEF_ORDER_SIZE), "undef_price"),
        (add(1, BID, UNDEF_PRICE, 0), "undef_price"),
        (add(1, BID, 100, UNDEF_ORDER_SIZE), "undef_size"),
        (add(1, BID, 100, 0), "zero_size"),
        (modify(1, BID, 90, 1, MBP | LAST), "mbp_record"),
        (modify(1, NO_SIDE, UNDEF_PRICE, 0), "bad_side"),
        (modify(1, BID, UNDEF_PRICE, 0), "undef_price"),
        (modify(1, BID, 90, UNDEF_ORDER_SIZE), "undef_size"),
        (modify(9, NO_SIDE, 90, 1), "bad_side"),
        (modify(9, BID, UNDEF_PRICE, 1), "undef_price"),
        (cancel(1, 1, flags=MBP | LAST), "mbp_record"),
        (cancel(9, 1, flags=MBP | TOB), "mbp_record"),
        (add(1, ASK, 90, 1, MBP | TOB), "mbp_record"),
        (partial(1, size=1, flags=MBP), "mbp_record"),
    ],
)
def test_what_cannot_be_an_order_is_counted_once_and_changes_nothing(
    bad: Record, anomaly: str
) -> None:
    reference = run(add(1, BID, 100, 5), bad)
    assert ladders(reference) == ([(100, 5, 1, [(1, 5)])], [])
    assert reference.anomalies(BOOK) == {anomaly: 1}


# Cancels (rule 8)


def test_a_partial_cancel_keeps_the_order_in_its_place() -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 100, 2), cancel(1, 3))
    assert reference.levels(BOOK, BID) == [(100, 4, 2, [(1, 2), (2, 2)])]
    assert reference.anomalies(BOOK) == {}


def test_a_cancel_of_all_that_is_left_removes_order_and_level() -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 99, 1), cancel(1, 2), cancel(1, 3))
    assert reference.levels(BOOK, BID) == [(99, 1, 1, [(2, 1)])]
    assert reference.anomalies(BOOK) == {}


@pytest.mark.parametrize("size", [6, 2**32 - 2, UNDEF_ORDER_SIZE])
def test_a_cancel_of_more_than_is_left_removes_the_order_and_counts(size: int) -> None:
    reference = run(add(1, BID, 100, 5), cancel(1, size))
    assert ladders(reference) == ([], [])
    assert reference.anomalies(BOOK) == {"over_cancel": 1}


@pytest.mark.parametrize("size", [0, 1, UNDEF_ORDER_SIZE])
def test_a_cancel_of_an_unknown_order_only_counts(size: int) -> None:
    reference = run(add(1, BID, 100, 5), cancel(2, size))
    assert reference.levels(BOOK, BID) == [(100, 5, 1, [(1, 5)])]
    assert reference.anomalies(BOOK) == {"unknown_cancel": 1}


def test_a_cancel_of_nothing_changes_nothing() -> None:
    reference = run(add(1, BID, 100, 5), cancel(1, 0))
    assert reference.levels(BOOK, BID) == [(100, 5, 1, [(1, 5)])]
    assert reference.anomalies(BOOK) == {}


@pytest.mark.parametrize("side", [BID, ASK, NO_SIDE])
def test_a_cancel_takes_the_side_from_the_book(side: Side) -> None:
    reference = run(add(1, ASK, 100, 5), cancel(1, 2, side))
    assert ladders(reference) == ([], [(100, 3, 1, [(1, 3)])])
    assert reference.anomalies(BOOK) == {}


def test_a_cancelled_id_can_be_added_again() -> None:
    reference = run(add(1, BID, 100, 5), cancel(1, 5), add(1, ASK, 101, 2))
    assert ladders(reference) == ([], [(101, 2, 1, [(1, 2)])])
    assert reference.anomalies(BOOK) == {}


# Modifies (rules 9 and 10)


@pytest.mark.parametrize(
    ("change", "queue"),
    [
        (modify(1, BID, 100, 4), [(1, 4), (2, 2)]),
        (modify(1, BID, 100, 5), [(1, 5), (2, 2)]),
        (modify(1, BID, 100, 6), [(2, 2), (1, 6)]),
        (modify(1, BID, 100, 0), [(2, 2)]),
        (modify(2, BID, 100, 9), [(1, 5), (2, 9)]),
    ],
    ids=["decrease", "same", "increase", "zero", "increase of the last"],
)
def test_a_modify_at_the_same_price_keeps_its_place_unless_it_grows(
    change: Record, queue: list[tuple[int, int]]
) -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 100, 2), change)
    [(_, size, count, orders)] = reference.levels(BOOK, BID)
    assert orders == queue
    assert (size, count) == (sum(size for _, size in queue), len(queue))
    assert reference.anomalies(BOOK) == {}


def test_a_price_change_goes_to_the_back_even_with_less_size() -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 99, 2), modify(1, BID, 99, 1))
    assert reference.levels(BOOK, BID) == [(99, 3, 2, [(2, 2), (1, 1)])]


def test_a_price_change_there_and_back_loses_the_place() -> None:
    reference = run(
        add(1, BID, 100, 5), add(2, BID, 100, 2), modify(1, BID, 99, 5), modify(1, BID, 100, 5)
    )
    assert reference.levels(BOOK, BID) == [(100, 7, 2, [(2, 2), (1, 5)])]


def test_a_modify_of_an_unknown_order_inserts_it_and_counts() -> None:
    reference = run(add(1, ASK, 100, 5), modify(2, ASK, 100, 3))
    assert reference.levels(BOOK, ASK) == [(100, 8, 2, [(1, 5), (2, 3)])]
    assert reference.anomalies(BOOK) == {"unknown_modify": 1}


def test_a_modify_of_an_unknown_order_to_nothing_only_counts() -> None:
    reference = run(modify(2, ASK, 100, 0), cancel(2, 1))
    assert ladders(reference) == ([], [])
    assert reference.anomalies(BOOK) == {"unknown_modify": 1, "unknown_cancel": 1}


@pytest.mark.parametrize(
    ("change", "bids"),
    [
        (modify(1, ASK, 100, 4), [(100, 4, 1, [(1, 4)])]),
        (modify(1, ASK, 101, 7), [(101, 7, 1, [(1, 7)])]),
        (modify(1, ASK, 100, 0), []),
    ],
)
def test_a_modify_with_the_other_side_counts_and_keeps_the_order_on_its_own(
    change: Record, bids: list[LevelRow]
) -> None:
    reference = run(add(1, BID, 100, 5), change)
    assert ladders(reference) == (bids, [])
    assert reference.anomalies(BOOK) == {"side_mismatch": 1}


@pytest.mark.parametrize(
    ("change", "bids", "anomalies"),
    [
        (partial(1), [(100, 7, 2, [(1, 5), (2, 2)])], {}),
        (partial(1, size=4), [(100, 6, 2, [(1, 4), (2, 2)])], {}),
        (partial(1, size=6), [(100, 8, 2, [(2, 2), (1, 6)])], {}),
        (partial(1, size=0), [(100, 2, 1, [(2, 2)])], {}),
        (partial(1, price=100), [(100, 7, 2, [(1, 5), (2, 2)])], {}),
        (partial(1, price=99), [(100, 2, 1, [(2, 2)]), (99, 5, 1, [(1, 5)])], {}),
        (partial(1, side=ASK), [(100, 7, 2, [(1, 5), (2, 2)])], {"side_mismatch": 1}),
        (partial(1, BID, 99, 1), [(100, 2, 1, [(2, 2)]), (99, 1, 1, [(1, 1)])], {}),
    ],
)
def test_a_partial_modify_keeps_what_it_leaves_out(
    change: Record, bids: list[LevelRow], anomalies: dict[str, int]
) -> None:
    reference = run(add(1, BID, 100, 5), add(2, BID, 100, 2), change)
    assert ladders(reference) == (bids, [])
    assert reference.anomalies(BOOK) == anomalies


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        (partial(1, ASK, 100, 2), [(100, 2, 1, [(1, 2)])]),
        (partial(1, ASK, 100, 0), []),
        (partial(1, NO_SIDE, 100, 2), []),
        (partial(1, ASK, UNDEF_PRICE, 2), []),
        (partial(1, ASK, 100), []),
        (partial(1), []),
    ],
)
def test_a_partial_modify_of_an_unknown_order_inserts_it_only_if_it_is_whole(
    change: Record, asks: list[LevelRow]
) -> None:
    reference = run(change)
    assert ladders(reference) == ([], asks)
    assert reference.anomalies(BOOK) == {"unknown_modify": 1}


# Trades, fills and clears (rules 6 and 11)


@pytest.mark.parametrize("action", [Action.TRADE, Action.FILL, Action.NONE])
@pytest.mark.parametrize("flags", [LAST, LAST | MBP, LAST | TOB])
def test_trades_fills_and_nones_change_no_level(action: Action, flags: int) -> None:
    reference = run(add(1, BID, 100, 5), record(action, 1, BID, 100, 5, flags))
    assert ladders(reference) == ([(100, 5, 1, [(1, 5)])], [])
    assert reference.anomalies(BOOK) == {}
    assert reference.events(BOOK) == 2


@pytest.mark.parametrize("action", [Action.TRADE, Action.FILL, Action.NONE])
def test_a_book_exists_from_its_first_record_of_any_action(action: Action) -> None:
    reference = run(record(action, 0, NO_SIDE, flags=0))
    assert reference.books() == [BOOK]
    assert (reference.status(BOOK), reference.bbo(BOOK)) == ("cold", (None, None))
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (0, True)


def test_a_book_that_no_record_named_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        run(add(1)).status((1, 101))


def test_a_clear_empties_its_own_book_only() -> None:
    other: Key = (1, 101)
    reference = run(
        add(1, BID, 100, 5),
        add(2, ASK, 103, 5),
        add(3, ASK, 102, 5, TOB | LAST),
        record(Action.ADD, 1, BID, 100, 5, key=other),
        clear(),
        cancel(1, 5),
    )
    assert ladders(reference) == ([], [])
    assert ladders(reference, other) == ([(100, 5, 1, [(1, 5)])], [])
    assert reference.anomalies(BOOK) == {"unknown_cancel": 1}
    assert (reference.status(BOOK), reference.status(other)) == ("synced", "cold")


# Top-of-book publishers (rule 13)


def test_a_top_of_book_add_replaces_its_side_and_counts_no_orders() -> None:
    reference = run(
        add(7, BID, 100, 5, TOB), add(7, ASK, 103, 2, TOB | LAST), add(7, BID, 99, 3, TOB | LAST)
    )
    assert ladders(reference) == ([(99, 3, 0, [])], [(103, 2, 0, [])])
    assert reference.anomalies(BOOK) == {}


@pytest.mark.parametrize("action", [Action.ADD, Action.MODIFY, Action.MODIFY_PARTIAL])
def test_a_top_of_book_record_drops_the_orders_of_its_side(action: Action) -> None:
    reference = run(
        add(1, BID, 100, 5),
        add(2, ASK, 103, 5),
        record(action, 2, BID, 99, 3, TOB | LAST),
        cancel(1, 5),
        cancel(2, 1),
    )
    assert ladders(reference) == ([(99, 3, 0, [])], [(103, 4, 1, [(2, 4)])])
    assert reference.anomalies(BOOK) == {"unknown_cancel": 1}


@pytest.mark.parametrize(
    ("price", "size"),
    [(UNDEF_PRICE, 0), (UNDEF_PRICE, 5), (UNDEF_PRICE, UNDEF_ORDER_SIZE), (99, 0)],
)
def test_a_top_of_book_add_without_price_or_size_empties_its_side(price: int, size: int) -> None:
    reference = run(
        add(7, ASK, 103, 2, TOB), add(7, BID, 100, 5, TOB), add(7, BID, price, size, TOB | LAST)
    )
    assert ladders(reference) == ([], [(103, 2, 0, [])])
    assert reference.anomalies(BOOK) == {}


@pytest.mark.parametrize(
    ("bad", "anomaly"),
    [
        (add(7, NO_SIDE, 90, 1, TOB), "bad_side"),
        (add(7, NO_SIDE, UNDEF_PRICE, 0, TOB), "bad_side"),
        (modify(7, NO_SIDE, 90, 1, TOB), "bad_side"),
        (add(7, BID, 90, UNDEF_ORDER_SIZE, TOB), "undef_size"),
        (cancel(7, 5, flags=TOB), "tob_cancel"),
        (cancel(1, 1, flags=TOB), "tob_cancel"),
    ],
)
def test_a_top_of_book_record_that_means_nothing_is_counted_and_changes_nothing(
    bad: Record, anomaly: str
) -> None:
    reference = run(add(7, BID, 100, 5, TOB), add(1, BID, 100, 2), bad)
    assert reference.levels(BOOK, BID) == [(100, 7, 1, [(1, 2)])]
    assert reference.anomalies(BOOK) == {anomaly: 1}


def test_a_top_of_book_level_outlives_the_orders_added_to_it() -> None:
    reference = run(add(7, ASK, 103, 5, TOB), add(1, ASK, 103, 2), add(2, ASK, 102, 1))
    assert reference.levels(BOOK, ASK) == [(102, 1, 1, [(2, 1)]), (103, 7, 1, [(1, 2)])]
    reference.apply(cancel(1, 2))
    assert reference.levels(BOOK, ASK) == [(102, 1, 1, [(2, 1)]), (103, 5, 0, [])]
    reference.apply(add(7, ASK, 104, 1, TOB))
    assert reference.levels(BOOK, ASK) == [(104, 1, 0, [])]
    reference.apply(clear())
    assert reference.levels(BOOK, ASK) == []


def test_a_top_of_book_id_is_no_identity() -> None:
    reference = run(add(7, BID, 100, 5, TOB), modify(7, BID, 100, 2), add(7, ASK, 103, 1, TOB))
    assert ladders(reference) == ([(100, 7, 1, [(7, 2)])], [(103, 1, 0, [])])
    assert reference.anomalies(BOOK) == {"unknown_modify": 1}


# Snapshots (rule 14)


def test_a_snapshot_with_clear_and_closing_record_is_one_event() -> None:
    reference = run(
        add(9, BID, 90, 1),
        clear(SNAPSHOT),
        snapshot_add(1, BID, 100, 5),
        snapshot_add(2, BID, 100, 2),
        snapshot_add(3, ASK, 103, 1, LAST),
        add(4, BID, 100, 1),
    )
    assert ladders(reference) == (
        [(100, 8, 3, [(1, 5), (2, 2), (4, 1)])],
        [(103, 1, 1, [(3, 1)])],
    )
    assert reference.anomalies(BOOK) == {}
    assert (reference.status(BOOK), reference.events(BOOK)) == ("synced", 3)


def test_a_snapshot_that_opens_with_an_add_replaces_what_was_there() -> None:
    reference = run(add(9, BID, 90, 1), snapshot_add(1, ASK, 103, 1), snapshot_add(2, ASK, 103, 4))
    assert ladders(reference) == ([], [(103, 5, 2, [(1, 1), (2, 4)])])
    assert reference.anomalies(BOOK) == {"snapshot_replaced": 1}


def test_a_snapshot_replaces_a_top_of_book_level_too() -> None:
    reference = run(add(9, BID, 90, 1, TOB), snapshot_add(1, ASK, 103, 1))
    assert ladders(reference) == ([], [(103, 1, 1, [(1, 1)])])
    assert reference.anomalies(BOOK) == {"snapshot_replaced": 1}


def test_a_snapshot_into_an_empty_book_replaces_nothing() -> None:
    reference = run(add(9, BID, 90, 1), cancel(9, 1), snapshot_add(1), snapshot_add(2, flags=LAST))
    assert reference.anomalies(BOOK) == {}
    assert (reference.status(BOOK), reference.events(BOOK)) == ("synced", 3)


def test_an_add_opens_a_snapshot_even_if_it_is_itself_no_order() -> None:
    reference = run(add(9, BID, 90, 1), snapshot_add(1, NO_SIDE))
    assert ladders(reference) == ([], [])
    assert reference.anomalies(BOOK) == {"snapshot_replaced": 1, "bad_side": 1}
    assert reference.status(BOOK) == "synced"


@pytest.mark.parametrize(
    "after", [cancel(9, 1), record(Action.TRADE, 0), record(Action.NONE, 0), clear()]
)
def test_the_first_record_without_the_flag_closes_a_snapshot_and_an_event(after: Record) -> None:
    reference = run(snapshot_add(1), snapshot_add(2))
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (0, True)
    reference.apply(after._replace(flags=0))
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (1, True)
    reference.apply(after)
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (2, False)


def test_a_clear_alone_opens_a_snapshot_that_the_next_record_closes() -> None:
    reference = run(clear(SNAPSHOT), add(1, flags=0))
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (1, True)


def test_a_record_of_another_book_does_not_close_a_snapshot() -> None:
    reference = run(snapshot_add(1), record(Action.ADD, 1, key=(2, 100)), snapshot_add(2))
    assert reference.levels(BOOK, BID) == [(100, 2, 2, [(1, 1), (2, 1)])]
    assert (reference.events(BOOK), reference.anomalies(BOOK)) == (0, {})


@pytest.mark.parametrize("end", [LAST, 0], ids=["closed", "left open"])
def test_a_second_snapshot_replaces_the_first(end: int) -> None:
    between = [] if end else [record(Action.NONE, 0, flags=0)]
    reference = run(snapshot_add(1, flags=end), *between, snapshot_add(2, BID, 99))
    assert reference.levels(BOOK, BID) == [(99, 1, 1, [(2, 1)])]
    assert reference.anomalies(BOOK) == {"snapshot_replaced": 1}
    assert reference.events(BOOK) == 1


def test_a_clear_inside_a_snapshot_starts_it_over() -> None:
    reference = run(snapshot_add(1), clear(SNAPSHOT), snapshot_add(2, BID, 99))
    assert reference.levels(BOOK, BID) == [(99, 1, 1, [(2, 1)])]
    assert (reference.anomalies(BOOK), reference.events(BOOK)) == ({}, 0)


@pytest.mark.parametrize(
    "stray", [modify(1, size=1), cancel(1, 1), partial(1, size=1), record(Action.TRADE, 1)]
)
def test_only_an_add_or_a_clear_opens_a_snapshot(stray: Record) -> None:
    reference = run(add(1, BID, 100, 2), stray._replace(flags=int(SNAPSHOT)), add(2, BID, 90))
    assert reference.levels(BOOK, BID)[-1] == (90, 1, 1, [(2, 1)])
    assert (reference.status(BOOK), reference.events(BOOK)) == ("cold", 2)
    assert reference.anomalies(BOOK) == {}


# Status (rules 17, 21 and 23) and events (rule 5)


def test_a_book_is_cold_until_a_clear() -> None:
    reference = run(add(1))
    assert reference.status(BOOK) == "cold"
    reference.apply(clear(0))
    assert reference.status(BOOK) == "synced"


@pytest.mark.parametrize("action", list(Action))
def test_a_maybe_bad_record_of_any_action_makes_the_book_stale(action: Action) -> None:
    reference = run(record(action, 1, flags=MAYBE_BAD), add(2, BID, 99))
    assert reference.status(BOOK) == "stale"


@pytest.mark.parametrize("resync", [clear(), snapshot_add(2)], ids=["clear", "snapshot"])
def test_a_stale_book_stays_so_until_a_later_clear_or_snapshot(resync: Record) -> None:
    bad = resync._replace(flags=resync.flags | int(MAYBE_BAD))
    reference = run(bad, add(3, BID, 99))
    assert reference.status(BOOK) == "stale"
    reference.apply(resync)
    assert reference.status(BOOK) == "synced"


def test_a_snapshot_with_a_bad_record_inside_leaves_the_book_stale() -> None:
    reference = run(snapshot_add(1), snapshot_add(2, flags=MAYBE_BAD), snapshot_add(3, flags=LAST))
    assert reference.status(BOOK) == "stale"


def test_a_new_day_makes_every_book_cold_and_keeps_its_orders() -> None:
    other: Key = (2, 100)
    reference = run(
        clear(),
        add(1, BID, 100, 5),
        record(Action.NONE, 0, flags=MAYBE_BAD, key=other),
    )
    reference.mark_new_day()
    reference.invariants()
    assert (reference.status(BOOK), reference.status(other)) == ("cold", "cold")
    assert reference.levels(BOOK, BID) == [(100, 5, 1, [(1, 5)])]
    assert (reference.events(BOOK), reference.event_open(other)) == (2, True)


def test_a_new_day_closes_an_open_snapshot_and_its_event() -> None:
    reference = run(snapshot_add(1))
    reference.mark_new_day()
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (1, False)
    reference.apply(snapshot_add(2, BID, 99))
    assert reference.levels(BOOK, BID) == [(99, 1, 1, [(2, 1)])]
    assert (reference.status(BOOK), reference.anomalies(BOOK)) == (
        "synced",
        {"snapshot_replaced": 1},
    )


def test_events_of_interleaved_books_are_counted_apart() -> None:
    other: Key = (1, 101)
    reference = run(
        add(1, flags=0),
        record(Action.ADD, 1, key=other),
        add(2, flags=0),
        record(Action.FILL, 1, flags=0, key=other),
        add(3),
    )
    assert (reference.events(BOOK), reference.event_open(BOOK)) == (1, False)
    assert (reference.events(other), reference.event_open(other)) == (1, True)


def test_the_check_of_invariants_sees_a_broken_book() -> None:
    reference = run(add(1, BID, 100, 5))
    reference._books[BOOK].places[2] = (BID, 100)
    with pytest.raises(AssertionError, match="orders and levels disagree"):
        reference.invariants()


# The streams that the engine is tested with


def test_a_random_stream_meets_every_anomaly_status_and_kind_of_record() -> None:
    batch = random_stream(1, 40_000, books=5)
    reference, statuses = ReferenceBooks(), set()
    for row in records(batch):
        reference.apply(row)
        statuses.add(reference.status((row.publisher_id, row.instrument_id)))
    reference.invariants()
    assert [name for name in ANOMALIES if total(reference, name) == 0] == []
    assert statuses == {"cold", "synced", "stale"}
    assert set(batch.action.tolist()) == {int(action) for action in Action}
    assert len(reference.books()) == 5


def test_a_random_stream_grows_deep_ladders() -> None:
    batch = random_stream(
        2, 20_000, books=1, tob_books=0, ids=2_000, ticks=800, clear_share=0, snapshot_share=0
    )
    reference = ReferenceBooks()
    for row in records(batch):
        reference.apply(row)
    [key] = reference.books()
    assert min(len(side) for side in ladders(reference, key)) > 300


def test_a_random_stream_is_the_same_for_the_same_seed_only() -> None:
    first, again, other = (list(records(random_stream(seed, 500))) for seed in (5, 5, 6))
    assert first == again != other


def test_a_random_stream_without_partial_modifies_is_what_dbn_can_carry() -> None:
    batch = random_stream(3, 5_000, partial_modifies=False)
    assert Action.MODIFY_PARTIAL not in batch.action.tolist()


def test_a_random_stream_arrives_mostly_in_time() -> None:
    ts_recv = random_stream(4, 5_000).ts_recv
    backward = (ts_recv[1:] < ts_recv[:-1]).mean()
    assert 0 < backward < 0.05


@given(stream_strategy())
def test_every_drawn_stream_leaves_books_consistent_and_survives_a_batch(
    rows: list[Record],
) -> None:
    reference = run(*rows)
    assert list(records(batch_of(rows))) == rows
    assert all(b.ts_recv >= a.ts_recv >= START_NS for a, b in pairwise(rows))
    assert sum(map(reference.events, reference.books())) >= sum(
        bool(row.flags & LAST) for row in rows
    )


# Real data


def read(path: Path) -> MboBatch:
    """A file as the vendor's own library reads it."""
    return batch_from_records(
        databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray().view(MBO_DTYPE)
    )


def test_clx5_ends_in_the_book_that_three_public_builders_agree_on(test_data: Path) -> None:
    reference = run_all(read(test_data / "clx5" / "CLX5_mbo.dbn"))
    final = json.loads((test_data / "clx5" / "final_book.json").read_text())
    [key] = reference.books()
    assert [[list(level[:3]) for level in side] for side in ladders(reference, key)] == [
        final["bids"],
        final["asks"],
    ]
    assert reference.anomalies(key) == {"unknown_cancel": 1_224, "unknown_modify": 216}
    assert (reference.status(key), reference.events(key)) == ("cold", 38_212 - 6_159)


def test_esh4_second_snapshot_is_the_first_days_book_in_priority_order(test_data: Path) -> None:
    first, second = (
        list(records(read(test_data / "esh4" / f"esh4-glbx-mdp3-{day}.mbo.dbn.zst")))
        for day in (20231224, 20231225)
    )
    reference = run_all(first)
    [key] = reference.books()
    first_day = ladders(reference, key)
    assert (reference.status(key), reference.events(key), reference.anomalies(key)) == (
        "synced",
        1,
        {},
    )

    reference.mark_new_day()
    for row in second[:8_725]:
        reference.apply(row)
    assert ladders(reference, key) == first_day
    assert sum(count for side in first_day for _, _, count, _ in side) == 8_725
    assert (reference.status(key), reference.event_open(key)) == ("synced", True)

    for row in second[8_725:]:
        reference.apply(row)
    reference.invariants()
    assert reference.anomalies(key) == {"snapshot_replaced": 1}
    # 47,022 live records with F_LAST, and the two snapshots, of which the second is never closed.
    assert (reference.events(key), reference.event_open(key)) == (47_022 + 2, False)


def test_dbeq_books_are_the_vendors_at_every_event_and_before_every_trade(
    test_data: Path,
) -> None:
    reference = ReferenceBooks()
    after: dict[tuple[int, ...], Top10] = {}
    before_trade: dict[tuple[int, ...], list[Top10]] = defaultdict(list)
    for row in records(read(test_data / "dbeq" / "dbeq-20240131.mbo.dbn")):
        key = (row.publisher_id, row.instrument_id)
        event = (*key, row.ts_recv, row.sequence)
        if row.action == Action.TRADE:
            before_trade[event].append(top10(reference, key))
        reference.apply(row)
        if not reference.event_open(key):
            after[event] = top10(reference, key)

    vendor = pl.read_parquet(test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet")
    compared = 0
    for quote in vendor.iter_rows(named=True):
        event = tuple(quote[n] for n in ("publisher_id", "instrument_id", "ts_recv", "sequence"))
        if quote["action"] == "T":
            assert vendor_top10(quote) in before_trade[event]
        else:
            assert vendor_top10(quote) == after[event]
        compared += 1
    assert compared == 5_655
    assert all(reference.anomalies(key) == {} for key in reference.books())
    cold = {key for key in reference.books() if reference.status(key) == "cold"}
    assert {publisher_id for publisher_id, _ in cold} == {41}  # it sends no R


Top10 = list[list[Quote]]
LEVEL_NAMES = [f"{n:02d}" for n in range(10)]


def top10(reference: ReferenceBooks, key: Key) -> Top10:
    return [[level[:3] for level in side[:10]] for side in ladders(reference, key)]


def vendor_top10(row: dict[str, int]) -> Top10:
    sides = [
        [(row[f"{s}_px_{n}"], row[f"{s}_sz_{n}"], row[f"{s}_ct_{n}"]) for n in LEVEL_NAMES]
        for s in ("bid", "ask")
    ]
    return [[level for level in side if level[0] != UNDEF_PRICE] for side in sides]


def run_all(stream: MboBatch | list[Record]) -> ReferenceBooks:
    reference = ReferenceBooks()
    for row in records(stream) if isinstance(stream, MboBatch) else stream:
        reference.apply(row)
    reference.invariants()
    return reference
