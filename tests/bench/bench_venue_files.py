"""ITCH and LOBSTER files to batches, in processor time, with few and with many live orders.

    python -m tests.bench.bench_venue_files

Each round decodes a whole simulated day with a new decoder, whose table grows from nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial

from batonics.codec.itch import ItchDecoder
from batonics.codec.lobster import LobsterDecoder
from batonics.codec.session_day import midnight_ns
from batonics.sim.market import Market
from batonics.sources.chunks import READ_BYTES
from batonics.sources.stream import BATCH_ROWS
from tests.bench.harness import ROUNDS, heading, print_machine, rate
from tests.support import itch_files, lobster_files
from tests.support.venue_orders import VenueOp, VenueOrders

DAY = date(2019, 1, 30)
RECORDS = 500_000
LIVE_ORDERS = 2_000, 500_000


def venue_ops(instruments: int, live_orders: int) -> list[VenueOp]:
    """The operations of a simulated day."""
    market = Market(
        1,
        instruments,
        target_live_orders=live_orders,
        start_ns=midnight_ns(DAY) + 34_200 * 10**9,
        recoveries_per_million=0,
    )
    orders = VenueOrders(market)
    return [op for batch in market.batches(RECORDS) for op in orders.ops(batch)]


def decode(make: Callable[[], ItchDecoder | LobsterDecoder], data: bytes) -> int:
    """All of a file through a new decoder, in chunks; the number of its messages."""
    decoder = make()
    for start in range(0, len(data), READ_BYTES):
        for _ in decoder.feed(data[start : start + READ_BYTES]):
            decoder.other_records.clear()
    return decoder.records


def processor_seconds(work: Callable[[], object]) -> float:
    """The median processor time of several rounds, after one that does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def main() -> None:
    """Print the figures."""
    print_machine()
    heading("files of other venues to batches, messages a second of processor time")
    make_itch = partial(ItchDecoder, DAY, batch_rows=BATCH_ROWS)
    for live_orders in LIVE_ORDERS:
        data = itch_files.write_day(venue_ops(3, live_orders), midnight_ns(DAY))
        messages = decode(make_itch, data)
        seconds = processor_seconds(partial(decode, make_itch, data))
        rate(f"ITCH 5.0, {live_orders:,} live orders", messages, seconds, note="floor 5.0")
    lines = lobster_files.write_day(venue_ops(1, LIVE_ORDERS[0]), midnight_ns(DAY))
    make_lobster = partial(LobsterDecoder, "SIM0", DAY, batch_rows=BATCH_ROWS)
    seconds = processor_seconds(partial(decode, make_lobster, lines))
    rate("LOBSTER messages", decode(make_lobster, lines), seconds)


if __name__ == "__main__":
    main()
