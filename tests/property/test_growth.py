"""Tables grow and are rebuilt without losing anything, and stop growing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.state import SLOT_WORDS, State
from batonics.model.mbo import Action, MboBatch
from tests.support.compare_books import EnginePair, assert_same, pieces
from tests.support.growth_streams import churn, clears, ends, wide
from tests.support.reference_books import ReferenceBooks, records
from tests.support.state_checks import check_state
from tests.support.stream_profiles import many_books


def fold_both(engine: BookEngine, reference: ReferenceBooks, batch: MboBatch) -> None:
    engine.fold(batch)
    for record in records(batch):
        reference.apply(record)
    assert_same(engine, reference, f"after {engine.records} records")
    check_state(engine.state)


def lengths(state: State) -> dict[str, int]:
    return {name: len(array) for name, array in state._asdict().items()}


def test_many_orders_at_many_levels() -> None:
    engine, reference = BookEngine(deltas=True), ReferenceBooks()
    small = lengths(engine.state)
    for batch in pieces(wide(160_000, 6_000), 150_000):
        for piece in pieces(batch, 1_000):
            engine.fold(piece)
        for record in records(batch):
            reference.apply(record)
        assert_same(engine, reference, f"after {engine.records} records")
        check_state(engine.state)
    levels = engine.levels()
    assert len(engine.orders().order_id) > 100_000
    assert min(np.bincount(levels.book * 2 + levels.side)) > 5_000
    grown = lengths(engine.state)
    assert all(grown[name] > small[name] for name in ("orders", "levels", "run_keys", "run_slots"))


def test_wide_sides_are_cleared_with_all_their_deltas() -> None:
    engine, reference = BookEngine(deltas=True), ReferenceBooks()
    fold_both(engine, reference, wide(60_000, 6_000))
    standing = engine.levels()
    expected = np.stack([standing.price, -standing.size, -standing.count])
    last = ends(3)
    folded = engine.fold(last)
    # Each book: its bids go and the top comes, then the top and the asks go.
    assert len(folded.deltas) == len(standing.price) + 2 * 3
    gone = folded.deltas[folded.deltas[:, 6] < 0][:, 4:7]
    assert sorted(gone.tolist()) == sorted(expected.T.tolist())
    for record in records(last):
        reference.apply(record)
    assert_same(engine, reference, "after the ends")
    check_state(engine.state)
    assert len(engine.levels().price) == 0


@pytest.mark.parametrize("batch_rows", [64, 60_000])
def test_many_books(batch_rows: int) -> None:
    pair = EnginePair("many books, seed 8", full_every=10_000)
    small = lengths(pair.engine.state)
    pair.feed_in_batches(many_books(8, 30_000, books=500), batch_rows)
    assert pair.engine.book_count > 1_000
    grown = lengths(pair.engine.state)
    assert all(
        grown[name] > small[name] for name in ("books", "book_index", "anomalies", "run_keys")
    )


def test_small_tables_are_rebuilt_while_orders_live() -> None:
    pair = EnginePair("churn", full_every=500)
    tables = set()
    for piece in pieces(churn(40_000), 250):
        pair.feed(piece)
        tables.add((id(pair.engine.state.orders), id(pair.engine.state.levels)))
    assert len(tables) > 1
    pair.check()


@pytest.mark.parametrize("stream", [churn, clears])
def test_memory_stays_flat_over_millions_of_new_ids(stream: Callable[..., MboBatch]) -> None:
    engine = BookEngine(bbo=True, deltas=True)
    rows, rounds, warm_up = 100_000, 40, 10
    sizes = []
    for first in range(0, rows * rounds, rows):
        engine.fold(stream(rows, first=first))
        sizes.append([*lengths(engine.state).values()])
    # A table that is rebuilt when few orders live may be a small one for a while.
    assert (np.max(sizes[warm_up:], axis=0) <= np.max(sizes[:warm_up], axis=0)).all()
    assert len(engine.state.orders) <= SLOT_WORDS * 16 * 1_024
    check_state(engine.state)


def test_what_is_left_after_millions_is_right() -> None:
    engine = BookEngine()
    rows, live = 2_000_000, 100
    for first in range(0, rows, 250_000):
        engine.fold(churn(250_000, first=first, live=live))
    last = churn(2 * live + 2, first=rows - 2 * live - 2)
    added = last.action == Action.ADD
    expected = dict(zip(last.order_id[added].tolist(), last.price[added].tolist(), strict=True))
    orders = engine.orders()
    found = dict(zip(orders.order_id.tolist(), orders.price.tolist(), strict=True))
    assert found == expected
    assert len(found) == live + 1
