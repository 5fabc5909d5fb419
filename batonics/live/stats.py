"""What ingest counts, as the serving process, metrics and the terminal are told it.

The rule here: a number is counted where it happens and told as it is; nothing is estimated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LATENCY_BOUNDS_US = (
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
)  # fmt: skip
"""Upper bounds of the latency buckets, in microseconds; a last bucket holds what is beyond."""


@dataclass
class FeedStats:
    """The counts of one run of ingest.

    Attributes:
        feed: a `wire.Feed`.
        records, bytes, batches, events: taken in; MBO records, bytes of the feed, folds, ends of
            events.
        other_records: by rtype as `0x16`, records that are not MBO.
        skipped: bad records skipped.
        duplicates: records left out because an earlier connection had brought them.
        connects, disconnects: how often; a reconnect is a connect after the first.
        gaps: reconnects after which records may be missing.
        books, synced, cold, stale: how many books, and by status.
        anomalies: of all books, by name.
        ts_recv: the greatest of the feed, ns; None if there is none.
        lag_ns: wall clock minus `ts_recv`, as of the last batch; None if it says nothing.
        latency_us: counts of batches by time from received to published (LATENCY_BOUNDS_US).
        latency_sum_us: the sum of these times.
        recorded_bytes: written and synced by `--record`.
        told_late: how often the serving process was so slow that a message was put off.
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
