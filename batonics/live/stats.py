"""What ingest counts, as the serving process, the metrics and the terminal receive it.

The rule here: a number is counted where the thing happens and reported unchanged; nothing is
estimated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LATENCY_BOUNDS_US = (
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
)  # fmt: skip
"""Upper bounds of the latency buckets, in microseconds; a last bucket holds longer times."""


@dataclass
class FeedStats:
    """The counts of one run of ingest.

    Attributes:
        feed: a `protocol.FeedState`.
        records: MBO records taken in.
        bytes: bytes received from the feed.
        batches: batches folded.
        events: ends of events.
        other_records: counts of records that are not MBO, by type, such as symbol_mapping.
        skipped: bad records skipped.
        duplicates: records left out because an earlier connection had brought them.
        connects: connections made; each after the first is a reconnect.
        disconnects: connections lost.
        gaps: places at which records may be missing: reconnects, and skips of the gateway.
        unresolved_symbols: symbols that the gateway could not resolve.
        slow_reader_warnings: warnings of the gateway that this client reads too slowly.
        slow_reader_skips: times that the gateway has skipped records for that; each is a gap.
        stalls: silences of a connected feed that were much longer than its own pauses.
        books: all books, whatever their status.
        synced: books with status synced.
        cold: books with status cold.
        stale: books with status stale.
        anomalies: anomalies of all books, by name.
        ts_recv: the greatest ts_recv of the feed, ns; None before the first.
        lag_ns: wall clock minus `ts_recv`, at the last update; None without a `ts_recv`.
        latency_us: counts of batches by the time from receipt to publication (LATENCY_BOUNDS_US).
        latency_sum_us: the sum of these times.
        recorded_bytes: bytes that `--record` has written and synced.
        deferred_messages: messages put off because the serving process was slow.
    """

    feed: int = 0
    records: int = 0
    bytes: int = 0
    batches: int = 0
    events: int = 0
    other_records: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    duplicates: int = 0
    connects: int = 0
    disconnects: int = 0
    gaps: int = 0
    unresolved_symbols: int = 0
    slow_reader_warnings: int = 0
    slow_reader_skips: int = 0
    stalls: int = 0
    books: int = 0
    synced: int = 0
    cold: int = 0
    stale: int = 0
    anomalies: dict[str, int] = field(default_factory=dict)
    ts_recv: int | None = None
    lag_ns: int | None = None
    latency_us: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_US) + 1))
    latency_sum_us: float = 0.0
    recorded_bytes: int = 0
    deferred_messages: int = 0

    def as_json(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)
