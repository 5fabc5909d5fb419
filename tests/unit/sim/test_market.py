"""The simulated market tells the truth: its books are what its records say, in the same bytes.

`truth` comes from the exchange's queues, the expected book from a replay of the records.
"""

from __future__ import annotations

import hashlib

import pytest

from batonics.model.mbo import (
    MBO_COLUMN_DTYPES,
    Flag,
    MboBatch,
    concat_batches,
    records_from_batch,
)
from batonics.sim.market import Market
from batonics.sim.trader_kernels import EVENT_RECORDS_MAX
from tests.support.reference_market import (
    SNAPSHOT_FLAGS,
    ReferenceMarketBook,
    events,
    reference_market_books,
    stream,
)

SEEDS = (0, 1, -7, 2**64 + 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_truth_is_what_the_records_say(seed: int) -> None:
    market = Market(seed, 4, target_live_orders=600, recoveries_per_million=500)
    batch = stream(market, 40_000)
    books = reference_market_books(batch)
    assert sorted(books) == sorted(market.instrument_ids.tolist())
    for instrument_id, book in books.items():
        assert market.truth(instrument_id) == book.book()


def test_truth_holds_wherever_the_stream_pauses() -> None:
    market = Market(3, 2, target_live_orders=40)
    parts: list[MboBatch] = []
    for _ in range(150):
        parts += market.batches(1)
        books = reference_market_books(concat_batches(parts))
        for instrument_id in market.instrument_ids.tolist():
            expected = books.get(instrument_id, ReferenceMarketBook()).book()
            assert market.truth(instrument_id) == expected


def test_a_market_of_one_order_a_book_stays_right() -> None:
    market = Market(11, 3, target_live_orders=3)
    books = reference_market_books(stream(market, 20_000))
    for instrument_id, book in books.items():
        assert market.truth(instrument_id) == book.book()


def test_truth_of_a_foreign_instrument_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Market(1).truth(1)


def test_a_stream_is_the_same_bytes_for_ever() -> None:
    market = Market(42, 3, target_live_orders=300, recoveries_per_million=1_000)
    digest = hashlib.sha256(records_from_batch(stream(market, 20_000)).tobytes())
    assert digest.hexdigest() == (
        "f869260f8552e5d6db0ba60cfc4c12cb7a17570e91f6be1a80eb4a1c77391ced"
    )


def test_a_stream_does_not_depend_on_how_it_is_cut() -> None:
    whole = stream(Market(5, recoveries_per_million=2_000), 12_000)
    market = Market(5, recoveries_per_million=2_000)
    parts = [stream(market, 4_000, EVENT_RECORDS_MAX)]
    parts.append(stream(market, 12_000 - len(parts[0].action), 333))
    cut = concat_batches(parts)
    assert records_from_batch(cut).tobytes() == records_from_batch(whole).tobytes()


def test_seeds_differ() -> None:
    one, other = (stream(Market(seed), 3_000) for seed in (1, 2))
    assert one.order_id.tolist() != other.order_id.tolist()


def test_batches_own_arrays_of_the_columns_types_and_are_not_too_long() -> None:
    for batch in Market(1).batches(5_000, 100):
        assert {name: getattr(batch, name).dtype for name in MboBatch._fields} == MBO_COLUMN_DTYPES
        assert all(column.flags.owndata for column in batch)
        assert 100 - EVENT_RECORDS_MAX < len(batch.action) <= 100 or batch.flags[-1] & Flag.LAST


def test_the_opening_is_one_snapshot_an_instrument() -> None:
    market = Market(9, 6, target_live_orders=300)
    opening = stream(market, market.opening_records)
    assert len(opening.action) == market.opening_records == 6 * 51
    snapshots = events(opening)
    assert [int(s.instrument_id[0]) for s in snapshots] == market.instrument_ids.tolist()
    for snapshot in snapshots:
        assert set(snapshot.instrument_id) == {snapshot.instrument_id[0]}
        assert snapshot.action.tobytes() == b"R" + b"A" * 50
        assert snapshot.flags.tolist() == [SNAPSHOT_FLAGS] * 50 + [SNAPSHOT_FLAGS | Flag.LAST]
        assert len(set(snapshot.ts_recv)) == 1


def test_a_recovery_is_r_and_the_book_as_it_was() -> None:
    market = Market(2, 2, target_live_orders=60, recoveries_per_million=20_000)
    stream(market, market.opening_records)
    recoveries = 0
    before = {i: market.truth(i) for i in market.instrument_ids.tolist()}
    for _ in range(500):
        event = stream(market, 1)
        instrument_id = int(event.instrument_id[0])
        if event.action[0] == ord("R"):
            recoveries += 1
            assert reference_market_books(event)[instrument_id].book() == before[instrument_id]
            assert market.truth(instrument_id) == before[instrument_id]
        before[instrument_id] = market.truth(instrument_id)
    assert recoveries >= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"instruments": 0}, "0 books"),
        ({"instruments": 3, "target_live_orders": 2}, "cannot fill 3 books"),
        ({"events_per_s": 0}, "events_per_s is 0"),
        ({"recoveries_per_million": -1}, "recoveries_per_million is -1"),
        ({"activity": "even"}, "'even'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    settings: dict[str, int | str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Market(1, **settings)  # type: ignore[arg-type]  # wrong on purpose


def test_a_batch_too_small_for_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_rows is 50"):
        next(Market(1).batches(1, EVENT_RECORDS_MAX - 1))
