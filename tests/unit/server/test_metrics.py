"""What Prometheus is told, to the byte."""

from __future__ import annotations

import re

from batonics.live.protocol import FeedState
from batonics.live.stats import LATENCY_BOUNDS_US, FeedStats
from batonics.server.metrics import Metrics

STATS = FeedStats(
    feed=FeedState.RECOVERING,
    records=1_000_001,
    bytes=56_000_056,
    batches=300,
    events=900_000,
    other_records={"symbol_mapping": 3, "status": 1},
    skipped=2,
    duplicates=7,
    connects=3,
    disconnects=2,
    gaps=1,
    stalls=4,
    books=6,
    synced=3,
    cold=2,
    stale=1,
    anomalies={"unknown_cancel": 5, "bad_side": 1},
    lag_ns=1_500_000,
    latency_us=[1, 2, *[0] * (len(LATENCY_BOUNDS_US) - 2), 4],
    latency_sum_us=2_500_000.5,
    recorded_bytes=10**12,
    deferred_messages=9,
)
EXPECTED = """
batonics_records_total 1.000001e+06
batonics_bytes_total 5.6000056e+07
batonics_batches_total 300.0
batonics_events_total 900000.0
batonics_skipped_total 2.0
batonics_duplicates_total 7.0
batonics_connects_total 3.0
batonics_disconnects_total 2.0
batonics_gaps_total 1.0
batonics_unresolved_symbols_total 0.0
batonics_slow_reader_warnings_total 0.0
batonics_slow_reader_skips_total 0.0
batonics_stalls_total 4.0
batonics_recorded_bytes_total 1e+12
batonics_deferred_messages_total 9.0
batonics_other_records_total{rtype="status"} 1.0
batonics_other_records_total{rtype="symbol_mapping"} 3.0
batonics_anomalies_total{kind="bad_side"} 1.0
batonics_anomalies_total{kind="unknown_cancel"} 5.0
batonics_books{status="cold"} 2.0
batonics_books{status="synced"} 3.0
batonics_books{status="stale"} 1.0
batonics_feed_state{state="connecting"} 0.0
batonics_feed_state{state="live"} 0.0
batonics_feed_state{state="recovering"} 1.0
batonics_feed_state{state="lost"} 0.0
batonics_feed_state{state="ended"} 0.0
batonics_feed_state{state="stalled"} 0.0
batonics_lag_seconds 0.0015
batonics_received_to_published_seconds_bucket{le="1e-05"} 1.0
batonics_received_to_published_seconds_bucket{le="2e-05"} 3.0
batonics_received_to_published_seconds_bucket{le="5e-05"} 3.0
batonics_received_to_published_seconds_bucket{le="0.0001"} 3.0
batonics_received_to_published_seconds_bucket{le="0.0002"} 3.0
batonics_received_to_published_seconds_bucket{le="0.0005"} 3.0
batonics_received_to_published_seconds_bucket{le="0.001"} 3.0
batonics_received_to_published_seconds_bucket{le="0.002"} 3.0
batonics_received_to_published_seconds_bucket{le="0.005"} 3.0
batonics_received_to_published_seconds_bucket{le="0.01"} 3.0
batonics_received_to_published_seconds_bucket{le="0.02"} 3.0
batonics_received_to_published_seconds_bucket{le="0.05"} 3.0
batonics_received_to_published_seconds_bucket{le="0.1"} 3.0
batonics_received_to_published_seconds_bucket{le="1.0"} 3.0
batonics_received_to_published_seconds_bucket{le="+Inf"} 7.0
batonics_received_to_published_seconds_count 7.0
batonics_received_to_published_seconds_sum 2.5000005
""".strip().splitlines()
OWN = {
    "batonics_ws_clients": "gauge",
    "batonics_ws_messages_total": "counter",
    "batonics_ws_conflated_total": "counter",
    "batonics_ws_cuts_total": "counter",
    "batonics_log_overtaken_total": "counter",
    "batonics_log_unread_bytes": "gauge",
    "batonics_http_requests_total": "counter",
    "batonics_http_refused_total": "counter",
    "batonics_http_request_seconds": "histogram",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
}


def test_stats_are_told_as_they_are() -> None:
    lines = Metrics(lambda: STATS).text(0.0).decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert samples[: len(EXPECTED)] == EXPECTED


def test_each_metric_has_help_and_a_type() -> None:
    text = Metrics(lambda: STATS).text(0.0).decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for name, kind in OWN.items():
        assert types[name] == kind
        assert re.search(rf"^# HELP {name} \S+", text, re.MULTILINE)


def test_a_lag_that_says_nothing_is_not_told() -> None:
    text = Metrics(FeedStats).text(0.0)
    assert b"batonics_lag_seconds" not in text
    assert b'batonics_feed_state{state="connecting"} 1.0' in text


def test_the_text_is_made_anew_once_a_second() -> None:
    counts = FeedStats(records=1)
    metrics = Metrics(lambda: counts)
    first = metrics.text(5.0)
    counts = FeedStats(records=2)
    assert metrics.text(5.9) == first
    assert b"batonics_records_total 2.0" in metrics.text(6.0)


def test_two_servers_share_no_numbers() -> None:
    one, other = Metrics(FeedStats), Metrics(FeedStats)
    one.sent.labels("bbo").inc()
    assert other.registry.get_sample_value("batonics_ws_messages_total", {"channel": "bbo"}) is None
