"""A simulated market: a stream of MBO records, and the books that they add up to.

The rule: a stream is a function of the arguments alone, to the byte, on every machine and however
it is cut into batches. `truth` reads the queues of the exchange, never the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import MBO_DTYPE, MboBatch
from batonics.sim import tables
from batonics.sim.book_kernels import (
    BID,
    BOOK_BEST_ASK,
    BOOK_BEST_BID,
    BOOK_FAIR,
    BOOK_INSTRUMENT_ID,
    BOOK_LOW_TICKS,
    BOOK_ORDERS,
    BOOK_SLOTS,
    BOOK_TICK_1E9,
    ORDER_ID,
    ORDER_OFFSET,
    ORDER_SIDE,
    ORDER_SIZE,
    ORDER_WORDS,
    WINDOW_TICKS,
    Word,
    Words,
    list_orders,
    listing_start,
    places_start,
)
from batonics.sim.feed_kernels import (
    BURST_EVENTS_MAX,
    MARKET_ACTIVITY,
    MARKET_BEGIN_NS,
    MARKET_CHANNEL_ID,
    MARKET_DISTANCES_TICKS,
    MARKET_FILLS,
    MARKET_LAST_ORDER_ID,
    MARKET_OPENED,
    MARKET_PAUSE_NS,
    MARKET_PUBLISHER_ID,
    MARKET_RANDOM,
    MARKET_RECOVERY_ODDS,
    MARKET_RECV_NS,
    MARKET_SEQUENCE,
    MARKET_SIZES,
    MARKET_SNAPSHOT_ROWS,
    MARKET_SNAPSHOT_SENT,
    MARKET_TARGET_LIVE,
)
from batonics.sim.flow_kernels import open_market, run_market
from batonics.sim.trader_kernels import EVENT_RECORDS_MAX

TICK_SIZES_1E9 = (10_000_000, 250_000_000, 5_000_000, 50_000, 15_625_000)
"""0.01, 0.25, 0.005, 0.00005 and 1/64, for one instrument after the other."""
FIRST_ORDER_ID = 8_058_566_000_000
FIRST_SEQUENCE = 94_225_061
START_LATENCY_NS = 75_000


class TruthLevel(NamedTuple):
    """A level: its price, total size, and `(order_id, size)` of its orders in priority order."""

    price_1e9: int
    size: int
    orders: list[tuple[int, int]]


class Market:
    """A market of one to thousands of instruments. Its stream never ends.

    Args:
        seed: any int; with the other arguments it determines the stream.
        instruments: number of instruments.
        target_live_orders: resting orders of all instruments, evenly divided. The opening creates
            them, and later events keep each book near its share.
        publisher_id: `publisher_id` of every record.
        channel_id: `channel_id` of every record.
        start_ns: `ts_event` of the opening, nanoseconds since the epoch.
        events_per_s: mean number of events a second, in the time of the market.
        activity: how events are divided among instruments: `zipf` by rank, or `uniform`.
        recoveries_per_million: events of a million that are an R and a snapshot instead.

    Attributes:
        instrument_ids: uint32[instruments].
        symbols: names of the instruments.
        tick_sizes_1e9: int64[instruments], in units of 1e-9.
        opening_records: records of the opening: an R and the orders of every instrument.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        seed: int,
        instruments: int = 5,
        *,
        target_live_orders: int = 2_000,
        publisher_id: int = 1,
        channel_id: int = 26,
        start_ns: int = 1_758_742_200_000_000_000,
        events_per_s: int = 1_000,
        activity: Literal["zipf", "uniform"] = "zipf",
        recoveries_per_million: int = 5,
    ) -> None:
        if not 1 <= instruments <= target_live_orders:
            raise ValueError(f"{target_live_orders} live orders cannot fill {instruments} books")
        if not 1 <= events_per_s <= 100_000_000:
            raise ValueError(f"events_per_s is {events_per_s}, not in 1 to 100,000,000")
        if not 0 <= recoveries_per_million <= 1_000_000:
            raise ValueError(f"recoveries_per_million is {recoveries_per_million}")
        target_live = target_live_orders // instruments
        self._books = _empty_books(instruments, target_live)
        self.instrument_ids: NDArray[np.uint32] = self._books[:, BOOK_INSTRUMENT_ID].astype(
            np.uint32
        )
        self.symbols = [f"SIM{number}" for number in range(instruments)]
        self.tick_sizes_1e9: Words = self._books[:, BOOK_TICK_1E9].copy()
        self.opening_records = instruments * (1 + target_live)
        self._rows = {
            instrument_id: row for row, instrument_id in enumerate(self.instrument_ids.tolist())
        }
        # A burst of events takes hardly any time, so a pause takes the time of all its events.
        events_a_burst_x2 = 1 + BURST_EVENTS_MAX
        self._market = _market_words(
            {
                MARKET_RANDOM: (seed + 2**63) % 2**64 - 2**63,
                MARKET_BEGIN_NS: start_ns,
                MARKET_RECV_NS: start_ns + START_LATENCY_NS,
                MARKET_LAST_ORDER_ID: FIRST_ORDER_ID,
                MARKET_SEQUENCE: FIRST_SEQUENCE,
                MARKET_PUBLISHER_ID: publisher_id,
                MARKET_CHANNEL_ID: channel_id,
                MARKET_TARGET_LIVE: target_live,
                MARKET_PAUSE_NS: 1_000_000_000 * events_a_burst_x2 // (2 * events_per_s),
                MARKET_RECOVERY_ODDS: recoveries_per_million * 2**32 // 1_000_000,
            },
            tables.activity(instruments, activity),
        )
        open_market(self._market, self._books)

    def batches(self, records: int, batch_rows: int = 65_536) -> Iterator[MboBatch]:
        """Continue the stream by at least `records` records, up to the end of an event.

        Batches own their arrays. A batch has at most `batch_rows` rows, and fewer only where the
        next event might not fit. The snapshots of the opening come first. A batch may end within a
        snapshot, but the last batch never does.
        """
        if batch_rows < EVENT_RECORDS_MAX:
            raise ValueError(f"batch_rows is {batch_rows}, less than {EVENT_RECORDS_MAX}")
        market = self._market
        out = np.empty(batch_rows, MBO_DTYPE)
        left = records
        while left > 0 or market[MARKET_SNAPSHOT_SENT] < market[MARKET_SNAPSHOT_ROWS]:
            rows = run_market(market, self._books, out, Word(left))
            left -= int(rows)
            yield MboBatch(*(out[name][:rows].copy() for name in MboBatch._fields))

    def truth(self, instrument_id: int) -> dict[str, list[TruthLevel]]:
        """The book as the exchange has it: `bids` and `asks`, best level first.

        It is the book after all records of `batches`, once a call of that is exhausted. The book of
        an instrument that is not open yet is empty. KeyError for an unknown instrument.
        """
        row = self._rows[instrument_id]
        if row >= self._market[MARKET_OPENED]:
            return {"bids": [], "asks": []}
        # A copy, since a snapshot may be half sent from the listing.
        book = self._books[row].copy()
        start = listing_start(book[BOOK_SLOTS])
        orders = book[start : start + list_orders(book)]
        queues: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for order in orders.tolist():
            side, offset, order_id, size = (
                int(book[order + word])
                for word in (
                    ORDER_SIDE,
                    ORDER_OFFSET,
                    ORDER_ID,
                    ORDER_SIZE,
                )
            )
            price_1e9 = int(book[BOOK_LOW_TICKS] + offset) * int(book[BOOK_TICK_1E9])
            queues.setdefault((side, price_1e9), []).append((order_id, size))
        levels = {
            key: TruthLevel(key[1], sum(size for _, size in queue), queue)
            for key, queue in sorted(queues.items())
        }
        bids = [level for (side, _), level in levels.items() if side == BID]
        asks = [level for (side, _), level in levels.items() if side != BID]
        return {"bids": bids[::-1], "asks": asks}


def _empty_books(instruments: int, target_live: int) -> NDArray[np.int64]:
    """Books without orders, with prices between 4,000 and 24,000 ticks."""
    # Room for more orders than the target.
    slots = Word(target_live * 3 // 2 + 64)
    numbers = np.arange(instruments, dtype=np.int64)
    # Whole cache lines; memory that is never touched costs nothing.
    books = np.zeros((instruments, (listing_start(slots) + slots + 7) // 8 * 8), np.int64)
    books[:, BOOK_INSTRUMENT_ID] = 100_003 + 37 * numbers
    books[:, BOOK_TICK_1E9] = np.resize(np.array(TICK_SIZES_1E9, np.int64), instruments)
    books[:, BOOK_LOW_TICKS] = 4_000 + numbers * 7_919 % 20_000 - WINDOW_TICKS // 2
    books[:, BOOK_FAIR] = WINDOW_TICKS // 2
    books[:, BOOK_BEST_BID] = -1
    books[:, BOOK_BEST_ASK] = WINDOW_TICKS
    books[:, BOOK_SLOTS] = slots
    first = places_start(slots)
    books[:, first : first + slots] = BOOK_ORDERS + ORDER_WORDS * np.arange(slots)
    return books


def _market_words(settings: dict[int, int], activity: NDArray[np.int64]) -> Words:
    """The words of the market at the start: `settings` by word, and the tables."""
    market = np.zeros(MARKET_ACTIVITY + len(activity), np.int64)
    for word, value in settings.items():
        market[word] = value
    for start, table in (
        (MARKET_DISTANCES_TICKS, tables.distances_ticks()),
        (MARKET_SIZES, tables.sizes()),
        (MARKET_FILLS, tables.fills()),
        (MARKET_ACTIVITY, activity),
    ):
        market[start : start + len(table)] = table
    return market
