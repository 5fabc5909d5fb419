"""A simulated market: a stream of MBO records, and the book they must rebuild.

The rule: a stream is a function of the arguments alone, to the byte, on every machine and however
it is cut into batches; `truth` is told by the exchange's own queues, never by the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import MBO_DTYPE, MboBatch
from batonics.sim import book_kernels as of_book
from batonics.sim import feed_kernels as of_market
from batonics.sim import tables
from batonics.sim.book_kernels import (
    BID,
    WINDOW_TICKS,
    Word,
    Words,
    list_orders,
    listing_start,
    places_start,
)
from batonics.sim.flow_kernels import open_market, run_market
from batonics.sim.trader_kernels import EVENT_RECORDS_MAX

TICK_SIZES_1E9 = (10_000_000, 250_000_000, 5_000_000, 50_000, 15_625_000)
"""0.01, 0.25, 0.005, 0.00005 and 1/64, by turns."""
FIRST_ORDER_ID = 8_058_566_000_000
FIRST_SEQUENCE = 94_225_061
START_LATENCY_NS = 75_000


class TruthLevel(NamedTuple):
    """One price of one side: its total size, and `(order_id, size)` in order of priority."""

    price_1e9: int
    size: int
    orders: list[tuple[int, int]]


class Market:
    """A market of a few to thousands of instruments that trade for ever.

    Args:
        seed: any int; with the other arguments it determines the stream.
        instruments: how many.
        target_live_orders: resting orders in all, spread evenly; the opening creates them, and
            the flow keeps each book near its share.
        publisher_id, channel_id: as every record has them.
        start_ns: `ts_event` of the opening, nanoseconds since the epoch.
        events_per_s: about so many events a second of the market's time.
        activity: how events spread over instruments: `zipf` by rank, or `uniform`.
        recoveries_per_million: of a million events, so many are an R and a snapshot instead.

    Attributes:
        instrument_ids: uint32[instruments].
        symbols: their names.
        tick_sizes_1e9: int64[instruments], in units of 1e-9.
        opening_records: the length of the opening: an R and the orders of every instrument.
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
        self.instrument_ids: NDArray[np.uint32] = self._books[:, of_book.INSTRUMENT_ID].astype(
            np.uint32
        )
        self.symbols = [f"SIM{number}" for number in range(instruments)]
        self.tick_sizes_1e9: Words = self._books[:, of_book.TICK_1E9].copy()
        self.opening_records = instruments * (1 + target_live)
        self._rows = {
            instrument_id: row for row, instrument_id in enumerate(self.instrument_ids.tolist())
        }
        # A burst of events is over in no time, so a pause takes the time of all its events.
        events_a_burst_x2 = 1 + of_market.BURST_EVENTS_MAX
        self._market = _market_words(
            {
                of_market.DICE: (seed + 2**63) % 2**64 - 2**63,
                of_market.START_NS: start_ns,
                of_market.RECV_NS: start_ns + START_LATENCY_NS,
                of_market.LAST_ORDER_ID: FIRST_ORDER_ID,
                of_market.SEQUENCE: FIRST_SEQUENCE,
                of_market.PUBLISHER_ID: publisher_id,
                of_market.CHANNEL_ID: channel_id,
                of_market.TARGET_LIVE: target_live,
                of_market.PAUSE_NS: 1_000_000_000 * events_a_burst_x2 // (2 * events_per_s),
                of_market.RECOVERY_ODDS: recoveries_per_million * 2**32 // 1_000_000,
            },
            tables.activity(instruments, activity),
        )
        open_market(self._market, self._books)

    def batches(self, records: int, batch_rows: int = 65_536) -> Iterator[MboBatch]:
        """Go on from where the stream is, by at least `records` records and to an event's end.

        Batches own their arrays and have at most `batch_rows` rows, and fewer only where the next
        event might not fit. The opening's snapshots come first; a batch may end in the middle of
        a snapshot, the last one never does.
        """
        if batch_rows < EVENT_RECORDS_MAX:
            raise ValueError(f"batch_rows is {batch_rows}, less than {EVENT_RECORDS_MAX}")
        market = self._market
        out = np.empty(batch_rows, MBO_DTYPE)
        left = records
        while left > 0 or market[of_market.SNAPSHOT_SENT] < market[of_market.SNAPSHOT_ROWS]:
            rows = run_market(market, self._books, out, Word(left))
            left -= int(rows)
            yield MboBatch(*(out[name][:rows].copy() for name in MboBatch._fields))

    def truth(self, instrument_id: int) -> dict[str, list[TruthLevel]]:
        """The book as the exchange has it: `bids` and `asks`, best level first.

        It is the book after all records that `batches` gave, once a call of it is exhausted; that
        of an instrument not yet opened is empty. KeyError for an instrument it does not have.
        """
        row = self._rows[instrument_id]
        if row >= self._market[of_market.OPENED]:
            return {"bids": [], "asks": []}
        # A copy, since a snapshot may be half sent from the lineup.
        book = self._books[row].copy()
        start = listing_start(book[of_book.SLOTS])
        orders = book[start : start + list_orders(book)]
        queues: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for order in orders.tolist():
            side, offset, order_id, size = (
                int(book[order + word])
                for word in (of_book.SIDE, of_book.OFFSET, of_book.ORDER_ID, of_book.SIZE)
            )
            price_1e9 = int(book[of_book.LOW_TICKS] + offset) * int(book[of_book.TICK_1E9])
            queues.setdefault((side, price_1e9), []).append((order_id, size))
        levels = {
            key: TruthLevel(key[1], sum(size for _, size in queue), queue)
            for key, queue in sorted(queues.items())
        }
        bids = [level for (side, _), level in levels.items() if side == BID]
        asks = [level for (side, _), level in levels.items() if side != BID]
        return {"bids": bids[::-1], "asks": asks}


def _empty_books(instruments: int, target_live: int) -> NDArray[np.int64]:
    """Books without orders, whose prices lie somewhere between 4,000 and 24,000 ticks."""
    # Room for the population to sway.
    slots = Word(target_live * 3 // 2 + 64)
    numbers = np.arange(instruments, dtype=np.int64)
    # Whole cache lines; what is never touched costs nothing.
    books = np.zeros((instruments, (listing_start(slots) + slots + 7) // 8 * 8), np.int64)
    books[:, of_book.INSTRUMENT_ID] = 100_003 + 37 * numbers
    books[:, of_book.TICK_1E9] = np.resize(np.array(TICK_SIZES_1E9, np.int64), instruments)
    books[:, of_book.LOW_TICKS] = 4_000 + numbers * 7_919 % 20_000 - WINDOW_TICKS // 2
    books[:, of_book.FAIR] = WINDOW_TICKS // 2
    books[:, of_book.BEST_BID] = -1
    books[:, of_book.BEST_ASK] = WINDOW_TICKS
    books[:, of_book.SLOTS] = slots
    first = places_start(slots)
    books[:, first : first + slots] = of_book.ORDERS + of_book.ORDER_WORDS * np.arange(slots)
    return books


def _market_words(settings: dict[int, int], activity: NDArray[np.int64]) -> Words:
    """The market's words at the start: `settings` by their place, and the tables."""
    market = np.zeros(of_market.ACTIVITY + len(activity), np.int64)
    for word, value in settings.items():
        market[word] = value
    for start, table in (
        (of_market.DISTANCES_TICKS, tables.distances_ticks()),
        (of_market.SIZES, tables.sizes()),
        (of_market.FILLS, tables.fills()),
        (of_market.ACTIVITY, activity),
    ):
        market[start : start + len(table)] = table
    return market
