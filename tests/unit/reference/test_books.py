"""The books derived by Polars expressions equal those of the reference, however streams are cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, Flag, MboBatch, Side
from batonics.reference import books as books_module
from batonics.reference.books import DERIVED_LEVELS_SCHEMA, LIVE_ORDERS_SCHEMA, DerivedBooks
from tests.support.compare_books import pieces
from tests.support.dbn_files import record
from tests.support.real_files import CLX5, read_mbo
from tests.support.reference_books import Record, ReferenceBooks, records
from tests.support.stream_profiles import PROFILES
from tests.support.streams import DAY_START, batch_of, random_stream

Level = tuple[int, int, int]
"""A book's key, a side (0 bid, 1 ask) and a price."""
State = tuple[dict[Level, tuple[int, int]], dict[Level, list[tuple[int, int]]], dict[int, str]]
"""Size and count of each level; (order_id, size) of each level's queue; each book's status."""


def derived_state(derived: DerivedBooks) -> State:
    queues: dict[Level, list[tuple[int, int]]] = {}
    for key, order_id, side, price, size, _ in derived.orders().sort("queued").iter_rows():
        queues.setdefault((key, side, price), []).append((order_id, size))
    return (
        {tuple(row[:3]): tuple(row[3:]) for row in derived.levels().iter_rows()},
        queues,
        dict(derived.books().select("key", "status").iter_rows()),
    )


def reference_state(reference: ReferenceBooks) -> State:
    rows = [
        ((publisher << 32 | instrument, side, price), size, count, queue)
        for publisher, instrument in reference.books()
        for side, code in enumerate((Side.BID, Side.ASK))
        for price, size, count, queue in reference.levels((publisher, instrument), code)
    ]
    return (
        {level: (size, count) for level, size, count, _ in rows},
        {level: queue for level, _, _, queue in rows if queue},
        {key[0] << 32 | key[1]: reference.status(key) for key in reference.books()},
    )


def check(batch: MboBatch, batch_rows: int, *, new_day_every: int = 0) -> None:
    """Compare the states after every batch of `batch_rows` rows."""
    derived, reference = DerivedBooks(), ReferenceBooks()
    for number, piece in enumerate(pieces(batch, batch_rows)):
        if new_day_every and number % new_day_every == new_day_every - 1:
            derived.add(DAY_START)
            reference.mark_new_day()
        derived.add(piece)
        for row in records(piece):
            reference.apply(row)
        assert derived_state(derived) == reference_state(reference), (
            f"after row {number * batch_rows}"
        )


def state_after(rows: Sequence[Record], *, cut: bool) -> State:
    """The derived state after records, added one by one or all at once."""
    derived = DerivedBooks()
    for piece in pieces(batch_of(rows), 1 if cut else len(rows)):
        derived.add(piece)
        if cut:
            derived.orders()
    return derived_state(derived)


@pytest.mark.parametrize("batch_rows", [64, 977, 4_000])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", [1, 2])
def test_orders_levels_and_statuses_are_those_of_the_reference(
    seed: int, profile: str, batch_rows: int
) -> None:
    check(PROFILES[profile](seed, 4_000), batch_rows)


@pytest.mark.parametrize("batch_rows", [1, 7])
def test_a_window_may_be_a_single_record(batch_rows: int) -> None:
    check(random_stream(3, 300, snapshot_share=0.03, clear_share=0.02), batch_rows)


def test_days_follow_each_other() -> None:
    check(random_stream(4, 4_000, snapshot_share=0.02), 50, new_day_every=9)


def test_changes_that_wait_for_a_check_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_stream(5, 5_000)
    whole = DerivedBooks()
    whole.add(batch)
    assert not whole.has_forgotten
    monkeypatch.setattr(books_module, "SLICE_ROWS", 100)
    monkeypatch.setattr(books_module, "TOUCHED_MAX", 20)
    bounded = DerivedBooks()
    for piece in pieces(batch, 1_000):
        bounded.add(piece)
    assert bounded.has_forgotten
    assert derived_state(bounded) == derived_state(whole)
    bounded.forget_changes()
    assert derived_state(bounded) == derived_state(whole)


def test_no_more_is_carried_than_lives() -> None:
    derived, reference = DerivedBooks(), ReferenceBooks()
    for piece in pieces(random_stream(6, 20_000, clear_share=0, snapshot_share=0), 1_000):
        derived.add(piece)
        for row in records(piece):
            reference.apply(row)
        _, queues, _ = reference_state(reference)
        assert derived.orders().height == sum(len(queue) for queue in queues.values())
        derived.forget_changes()
        # The first node of orders and of levels is none.
        assert derived.live_nodes == 2 + derived.orders().height + len(queues)


def test_the_final_book_of_clx5_is_as_it_is_known(test_data: Path) -> None:
    derived = DerivedBooks()
    derived.add(read_mbo(test_data / CLX5))
    known = orjson.loads((test_data / "clx5" / "final_book.json").read_bytes())
    for side, name in enumerate(("bids", "asks")):
        levels = derived.levels().filter(side=side).sort("price", descending=side == 0)
        found = [list(row) for row in levels.select("price", "size", "count").iter_rows()]
        assert found == known[name]
    assert derived.orders().height == 147


@pytest.mark.parametrize("cut", [False, True])
class TestRules:
    """The rules whose columns are not obvious, each in a stream of its own."""

    def test_rule_12_a_modify_keeps_the_side_of_a_live_order(self, *, cut: bool) -> None:
        rows = [
            record(Action.ADD, side=Side.BID, size=3),
            record(Action.MODIFY, side=Side.ASK, size=2),
        ]
        levels, _, _ = state_after(rows, cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (2, 1)}

    def test_rule_12_a_modify_of_a_cleared_order_gives_its_own_side(self, *, cut: bool) -> None:
        top = record(Action.ADD, side=Side.BID, price=90, size=7, flags=Flag.TOB | Flag.LAST)
        rows = [
            record(Action.ADD, side=Side.BID, size=3),
            top,
            record(Action.MODIFY, side=Side.ASK, size=2),
        ]
        levels, _, _ = state_after(rows, cut=cut)
        assert levels == {
            (1 << 32 | 1, 0, 90 * 10**9): (7, 0),
            (1 << 32 | 1, 1, 100 * 10**9): (2, 1),
        }

    def test_rule_10_growing_and_moving_lose_the_place(self, *, cut: bool) -> None:
        rows = [record(Action.ADD, order_id=n, size=4) for n in (1, 2, 3, 4)]
        rows += [
            record(Action.MODIFY, order_id=1, size=5),
            record(Action.MODIFY, order_id=2, size=1),
            record(Action.CANCEL, order_id=3, size=1),
            record(Action.MODIFY, order_id=4, price=101, size=4),
            record(Action.MODIFY, order_id=4, price=100, size=4),
        ]
        _, queues, _ = state_after(rows, cut=cut)
        assert queues[1 << 32 | 1, 0, 100 * 10**9] == [(2, 1), (3, 3), (1, 5), (4, 4)]

    def test_rule_13_orders_may_stand_with_a_top(self, *, cut: bool) -> None:
        top = record(Action.ADD, size=7, flags=Flag.TOB | Flag.LAST)
        rows = [record(Action.ADD, order_id=1), top, record(Action.ADD, order_id=2, size=2)]
        levels, _, _ = state_after(rows, cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (9, 1)}
        empties = top._replace(price=UNDEF_PRICE)
        assert state_after([*rows, empties], cut=cut)[0] == {}

    def test_rule_14_only_the_add_that_opens_a_snapshot_clears(self, *, cut: bool) -> None:
        rows = [record(Action.ADD, order_id=1, price=99)]
        rows += [record(Action.ADD, order_id=n, flags=Flag.SNAPSHOT) for n in (2, 3)]
        rows += [record(Action.ADD, order_id=n) for n in (4, 5)]
        levels, _, statuses = state_after(rows, cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (4, 4)}
        assert statuses == {1 << 32 | 1: "synced"}

    def test_rule_14_a_snapshot_stays_open_over_other_records_of_it(self, *, cut: bool) -> None:
        rows = [
            record(Action.ADD, order_id=1, flags=Flag.SNAPSHOT),
            record(Action.TRADE, order_id=0, flags=Flag.SNAPSHOT),
            record(Action.ADD, order_id=2, flags=Flag.SNAPSHOT),
        ]
        levels, _, _ = state_after(rows, cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (2, 2)}

    def test_rule_14_a_clear_opens_a_snapshot_which_no_add_opens_again(self, *, cut: bool) -> None:
        rows = [
            record(Action.CLEAR, side=Side.NONE, size=0, order_id=0, flags=Flag.SNAPSHOT),
            record(Action.MODIFY, order_id=1, flags=Flag.SNAPSHOT),
            record(Action.ADD, order_id=2, flags=Flag.SNAPSHOT),
        ]
        levels, _, _ = state_after(rows, cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (2, 2)}

    def test_a_partial_modify_of_no_order_is_nothing_unless_it_is_complete(
        self, *, cut: bool
    ) -> None:
        lacking = record(Action.MODIFY_PARTIAL, order_id=1, size=UNDEF_ORDER_SIZE)
        assert state_after([lacking], cut=cut)[0] == {}
        complete = record(Action.MODIFY_PARTIAL, order_id=1, size=2)
        levels, _, _ = state_after([lacking, complete, lacking], cut=cut)
        assert levels == {(1 << 32 | 1, 0, 100 * 10**9): (2, 1)}
        emptied = record(Action.MODIFY_PARTIAL, order_id=1, size=0)
        assert state_after([complete, emptied, lacking], cut=cut)[0] == {}

    def test_an_order_cancelled_to_nothing_stays_away(self, *, cut: bool) -> None:
        rows = [
            record(Action.CANCEL, size=9),
            record(Action.ADD, size=3),
            record(Action.CANCEL, size=2),
            record(Action.CANCEL, size=2),
        ]
        assert state_after(rows, cut=cut)[0] == {}


def test_books_remember_what_gave_them_their_status() -> None:
    flagged = record(Action.ADD, instrument_id=2, flags=Flag.LAST | Flag.MAYBE_BAD_BOOK)
    clear = record(Action.CLEAR, side=Side.NONE, price=0, size=0, order_id=0)
    derived = DerivedBooks()
    derived.add(batch_of([clear, flagged, record(Action.ADD, instrument_id=3), clear]))
    books = derived.books().sort("key").select("status", "since", "was_cold", "was_stale")
    assert books.rows() == [
        ("synced", 3, False, False),
        ("stale", 1, False, True),
        ("cold", None, True, False),
    ]
    derived.add(DAY_START)
    derived.add(batch_of([record(Action.ADD)]))
    assert derived.books().sort("key").select(
        "status", "since", "was_cold", "was_stale"
    ).rows() == [
        ("cold", None, True, False),
        ("cold", None, False, True),
        ("cold", None, True, False),
    ]


def test_of_no_records_there_is_nothing() -> None:
    derived = DerivedBooks()
    derived.add(DAY_START)
    assert (derived.orders().schema, derived.orders().height) == (LIVE_ORDERS_SCHEMA, 0)
    assert (derived.levels().schema, derived.levels().height) == (DERIVED_LEVELS_SCHEMA, 0)
    assert derived.books().height == 0
