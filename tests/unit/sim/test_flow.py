"""The simulated flow is like a real one: events, queues, shares of actions, ids and times."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from batonics.model.mbo import UNDEF_PRICE, Flag, take_batch
from batonics.sim.market import Market
from batonics.sim.trader_kernels import EVENT_RECORDS_MAX
from tests.support.reference_market import ReferenceMarketBook, events, live_part, rows_of, stream

SEEDS = (0, 1, -7, 2**64 + 5)


def test_events_have_one_book_one_time_and_one_last() -> None:
    last_ts_event = 0
    for event in events(live_part(Market(4, recoveries_per_million=0), 30_000)):
        assert len(set(event.instrument_id)) == 1
        assert len(set(event.ts_event)) == 1
        assert event.flags.tolist() == [0] * (len(event.flags) - 1) + [Flag.LAST]
        assert int(event.ts_event[0]) > last_ts_event
        last_ts_event = int(event.ts_event[0])


def test_trades_fill_the_queue_from_its_front_and_then_take_the_fills_off() -> None:
    sweeps = rests = deep_sweeps = 0
    for event in events(live_part(Market(8, recoveries_per_million=0), 60_000)):
        actions = event.action.tobytes().decode()
        if len(actions) == 1:
            assert actions in "ACM"
            continue
        # T F.. for each price, then as many C, of which the last may be M.
        fills = actions.count("F")
        traded, settled = actions[:-fills], actions[-fills:]
        assert set(traded) == {"T", "F"}
        assert traded[0] == "T"
        assert "TT" not in traded
        assert settled in ("C" * fills, "C" * (fills - 1) + "M")
        assert len(actions) <= EVENT_RECORDS_MAX
        is_fill = event.action == ord("F")
        is_trade = event.action == ord("T")
        assert event.size[is_trade].sum() == event.size[is_fill].sum()
        assert set(event.side[is_trade]) == {ord("A") + ord("B") - event.side[-1]}
        assert set(event.side[~is_trade]) == {event.side[-1]}
        assert event.order_id[is_fill].tolist() == event.order_id[-fills:].tolist()
        trade_prices = event.price[is_trade].tolist()
        assert trade_prices == sorted(set(trade_prices), reverse=chr(event.side[-1]) == "B")
        assert event.price[: len(traded)].tolist() == [
            trade_prices[traded[: row + 1].count("T") - 1] for row in range(len(traded))
        ]
        sweeps += fills > 1
        deep_sweeps += traded.count("T") > 1
        rests += settled[-1] == "M"
    assert sweeps > 100
    assert deep_sweeps > 20
    assert rests > 100


def test_fills_come_in_order_of_priority() -> None:
    books: dict[int, ReferenceMarketBook] = {}
    met: dict[int, int] = {}
    for instrument_id, action, side, order_id, price, size, flags in rows_of(
        stream(Market(6, 3, target_live_orders=900), 30_000)
    ):
        if action == "R":
            books[instrument_id] = ReferenceMarketBook()
        book = books[instrument_id]
        if action == "F":
            best = sorted(book.levels[side], reverse=side == "B")
            queue = [i for price in best for i in book.levels[side][price]]
            assert order_id == queue[met.get(instrument_id, 0)]
            met[instrument_id] = met.get(instrument_id, 0) + 1
        elif action in "ACM":
            {"A": book.add, "C": book.cancel, "M": book.modify}[action](order_id, side, price, size)
        if flags & Flag.LAST:
            met.clear()


@pytest.mark.parametrize("seed", SEEDS)
def test_actions_are_as_frequent_as_in_clx5(seed: int) -> None:
    batch = live_part(Market(seed, recoveries_per_million=0), 100_000)
    shares = {action: float((batch.action == ord(action)).mean()) for action in "ACMTF"}
    clx5 = {"A": 0.391, "C": 0.425, "M": 0.071, "T": 0.042, "F": 0.071}
    assert shares == pytest.approx(clx5, abs=0.03)
    assert float((batch.flags & Flag.LAST > 0).mean()) == pytest.approx(0.839, abs=0.03)
    # 1 in 20 of CLX5's events has several records.
    lengths = [len(event.action) for event in events(batch)]
    assert sum(length > 1 for length in lengths) / len(lengths) == pytest.approx(0.05, abs=0.01)


def test_the_population_keeps_to_its_target() -> None:
    market = Market(13, 4, target_live_orders=2_000)
    stream(market, market.opening_records)
    for _ in range(10):
        stream(market, 40_000)
        for instrument_id in market.instrument_ids.tolist():
            levels = [level for side in market.truth(instrument_id).values() for level in side]
            assert 400 < sum(len(level.orders) for level in levels) < 600


def test_most_orders_are_near_the_market_and_some_are_stubs() -> None:
    market = Market(21, 1, target_live_orders=500, recoveries_per_million=0)
    replay_book = ReferenceMarketBook()
    distances: list[int] = []
    prices: set[int] = set()
    for _, action, side, order_id, price, size, _ in rows_of(stream(market, 60_000)):
        if action == "A":
            best = replay_book.levels[side]
            if best and len(replay_book.orders) > 400:
                touch = max(best) if side == "B" else min(best)
                distances.append(abs(price - touch) // 10_000_000)
            prices.add(price)
            replay_book.add(order_id, side, price, size)
        elif action == "C":
            replay_book.cancel(order_id, side, price, size)
        elif action == "M":
            replay_book.modify(order_id, side, price, size)
    share_near = sum(distance <= 10 for distance in distances) / len(distances)
    assert 0.6 < share_near < 0.95
    assert sum(100 < distance < 1_000 for distance in distances) > 20
    assert {10_000_000, 199_999_990_000_000} <= prices


def test_the_market_moves() -> None:
    market = Market(17, 1, target_live_orders=200, recoveries_per_million=0)
    batch = live_part(market, 200_000)
    trades = batch.price[batch.action == ord("T")] // 10_000_000
    assert trades.max() - trades.min() >= 10


def test_ids_times_and_sequences_run_as_a_venue_s() -> None:
    market = Market(19, 8, start_ns=1_700_000_000_000_000_000, publisher_id=7, channel_id=3)
    batch = live_part(market, 60_000)
    live = take_batch(batch, batch.flags & Flag.SNAPSHOT == 0)
    added = live.order_id[live.action == ord("A")].astype(np.int64)
    gaps = np.diff(added)
    assert gaps.min() == 1
    assert 10 < gaps.max() < 100
    assert len(str(added[0])) == len(str(added[-1])) == 13
    assert set(np.diff(batch.sequence.astype(np.int64)).tolist()) <= {0, 1, 2, 3}
    assert np.diff(batch.ts_recv.astype(np.int64)).min() >= 0
    latency_ns = live.ts_recv.astype(np.int64) - live.ts_event.astype(np.int64)
    assert latency_ns.min() >= 75_000
    assert latency_ns.max() < 100_000_000
    assert int(live.ts_event[0]) > 1_700_000_000_000_000_000
    assert set(batch.publisher_id) == {7}
    assert set(batch.channel_id) == {3}
    assert 9_000 <= batch.ts_in_delta.min() <= batch.ts_in_delta.max() < 20_000


def test_time_passes_at_the_rate_asked_for() -> None:
    batch = live_part(Market(23, events_per_s=10_000, recoveries_per_million=0), 60_000)
    seconds = (int(batch.ts_event[-1]) - int(batch.ts_event[0])) / 1e9
    assert len(events(batch)) / seconds == pytest.approx(10_000, rel=0.2)


def test_zipf_makes_the_first_instrument_busiest_and_uniform_none() -> None:
    def shares(activity: Literal["zipf", "uniform"]) -> list[float]:
        market = Market(29, 10, activity=activity, recoveries_per_million=0)
        batch = live_part(market, 200_000)
        return [float((batch.instrument_id == i).mean()) for i in market.instrument_ids]

    harmonic = sum(1 / rank for rank in range(1, 11))
    assert shares("zipf") == pytest.approx([1 / r / harmonic for r in range(1, 11)], abs=0.03)
    assert shares("uniform") == pytest.approx([0.1] * 10, abs=0.02)


def test_prices_are_whole_ticks() -> None:
    market = Market(31, 10)
    batch = stream(market, 20_000)
    for instrument_id, tick_1e9 in zip(market.instrument_ids, market.tick_sizes_1e9, strict=True):
        mine = (batch.instrument_id == instrument_id) & (batch.price != UNDEF_PRICE)
        assert not np.any(batch.price[mine] % tick_1e9)
