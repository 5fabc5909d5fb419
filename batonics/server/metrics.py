"""The metrics of Prometheus.

The rule here: a count of ingest's is reported as ingest counted it; this process adds only counts
of its own work. Units are seconds and bytes, and names end with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from batonics.live.protocol import STATUSES, FeedState
from batonics.live.stats import LATENCY_BOUNDS_US, FeedStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS = {
    "records": "MBO records taken in.",
    "bytes": "Bytes of the feed taken in.",
    "batches": "Batches folded.",
    "events": "Ends of events.",
    "skipped": "Bad records skipped.",
    "duplicates": "Records left out because an earlier connection had brought them.",
    "connects": "Connections to the feed made.",
    "disconnects": "Connections to the feed lost.",
    "gaps": "Reconnects and skips of the gateway after which records may be missing.",
    "unresolved_symbols": "Symbols that the gateway could not resolve.",
    "slow_reader_warnings": "Warnings of the gateway that this client reads too slowly.",
    "slow_reader_skips": "Times that the gateway has skipped records for a slow client.",
    "stalls": "Silences of a connected feed that were much longer than its own pauses.",
    "recorded_bytes": "Bytes recorded: written and synced.",
    "deferred_messages": "Messages that ingest deferred because this process was slow.",
}
"""Counters without labels by their attribute of `FeedStats`: `batonics_NAME_total`."""
TEXT_AGE_S = 1.0
"""The greatest age of the text, in seconds: making it anew takes as long as many small requests."""
_REQUEST_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class IngestCollector(Collector):
    """Ingest's counts as metrics."""

    def __init__(self, stats: Callable[[], FeedStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Every family of metrics, with its value now."""
        stats = self._stats()
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"batonics_{name}", text, value=getattr(stats, name))
        yield _labelled("other_records", "Records that are not MBO.", "rtype", stats.other_records)
        yield _labelled("anomalies", "Anomalies of all books.", "kind", stats.anomalies)
        books = GaugeMetricFamily("batonics_books", "Books by status.", labels=["status"])
        for status in STATUSES:
            books.add_metric([status], getattr(stats, status))
        yield books
        feed = GaugeMetricFamily(
            "batonics_feed_state", "1 for the state that the feed is in.", labels=["state"]
        )
        for state in FeedState:
            feed.add_metric([state.name.lower()], int(stats.feed == state))
        yield feed
        if stats.lag_ns is not None:
            yield GaugeMetricFamily(
                "batonics_lag_seconds",
                "Wall clock minus the greatest ts_recv, as of the last batch.",
                value=stats.lag_ns / 1e9,
            )
        yield _latency(stats)


def _labelled(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"batonics_{name}", text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _latency(stats: FeedStats) -> Metric:
    bounds = [*(str(bound_us / 1e6) for bound_us in LATENCY_BOUNDS_US), "+Inf"]
    return HistogramMetricFamily(
        "batonics_received_to_published_seconds",
        "Time of a batch from received to published.",
        buckets=list(zip(bounds, accumulate(map(float, stats.latency_us)), strict=True)),
        sum_value=stats.latency_sum_us / 1e6,
    )


class Metrics:
    """The metrics of this process and of ingest, in a registry of their own.

    Args:
        stats: returns the counts of ingest; None: there is no ingest.
    """

    def __init__(self, stats: Callable[[], FeedStats] | None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._text, self._text_made_s = b"", -math.inf
        if stats is not None:
            registry.register(IngestCollector(stats))
        ProcessCollector(registry=registry)
        self.clients = Gauge(
            "batonics_ws_clients", "WebSocket clients, by channel.", ["channel"], registry=registry
        )
        self.sent = Counter(
            "batonics_ws_messages", "WebSocket messages sent.", ["channel"], registry=registry
        )
        self.conflated = Counter(
            "batonics_ws_conflated",
            "States of books that a client was not sent since a newer one came first.",
            ["channel"],
            registry=registry,
        )
        self.cuts = Counter(
            "batonics_ws_cuts", "WebSocket clients cut off.", ["reason"], registry=registry
        )
        self.log_overtaken = Counter(
            "batonics_log_overtaken",
            "Times that ingest's log has overtaken this process.",
            registry=registry,
        )
        self.log_unread = Gauge(
            "batonics_log_unread_bytes", "Bytes of ingest's log that wait here.", registry=registry
        )
        self.requests = Counter(
            "batonics_http_requests", "HTTP requests.", ["route", "status"], registry=registry
        )
        self.refused = Counter(
            "batonics_http_refused", "Requests refused.", ["reason"], registry=registry
        )
        self.request_seconds = Histogram(
            "batonics_http_request_seconds",
            "Time of HTTP requests, WebSockets left out.",
            ["route"],
            buckets=_REQUEST_BOUNDS_S,
            registry=registry,
        )

    def text(self, now_s: float) -> bytes:
        """All metrics in Prometheus' text format, as they are now or were up to TEXT_AGE_S ago.

        Args:
            now_s: the time now, in seconds, by a clock that never goes back.
        """
        if now_s - self._text_made_s >= TEXT_AGE_S:
            self._text, self._text_made_s = generate_latest(self.registry), now_s
        return self._text
