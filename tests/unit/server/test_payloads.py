"""What clients get, to the byte."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.server import payloads
from batonics.server.replica import BookName, BookReplica
from tests.support.server_books import START_NS, TICK, FakeBooks
from tests.support.symbol_rows import symbol_rows

NAME = BookName(1, 1000, "CLX5")
BIDS = [(65_000_000_000, 5, 2), (64_990_000_000, 7, 3)]
ASKS = [(65_010_000_000, 9, 1)]


def replica_of(told: FakeBooks) -> BookReplica:
    replica = BookReplica()
    replica.apply_hello(told.hello)
    replica.apply_names(told.names)
    replica.apply_books(told.payload())
    replica.apply_stats(FeedStats(feed=FeedState.LIVE).as_json())
    return replica


def two_states() -> tuple[payloads.DisplayedBook, payloads.DisplayedBook]:
    told = FakeBooks()
    told.set_levels(0, BIDS, ASKS)
    replica = replica_of(told)
    before = payloads.display_book(replica, 0)
    told.set_levels(0, [(65_000_000_000, 4, 2), (64_980_000_000, 1, 1)], [])
    replica.apply_books(told.payload())
    return before, payloads.display_book(replica, 0)


def test_a_book() -> None:
    before, _ = two_states()
    assert payloads.dumps(payloads.replica_document(NAME, before, 1)) == (
        b'{"symbol":"CLX5","publisher_id":1,"instrument_id":1000,"status":"synced","feed":"live",'
        b'"seq":2,"events":2,"ts_event":"2025-09-24T07:46:40.000000002Z",'
        b'"ts_recv":"2025-09-24T07:46:40.000000002Z","sequence":2,"warnings":[],"depth":1,'
        b'"bids":[{"price":"65","price_1e9":65000000000,"size":5,"count":2}],'
        b'"asks":[{"price":"65.01","price_1e9":65010000000,"size":9,"count":1}]}'
    )


def test_a_snapshot_and_its_update() -> None:
    before, now = two_states()
    snapshot = payloads.snapshot_message(NAME, before, 2)
    assert snapshot["bids"] == [["65", 5, 2], ["64.99", 7, 3]]
    assert (snapshot["seq"], snapshot["prev_seq"]) == (2, None)
    assert snapshot["checksum"] == crc32(b"65:5:2;64.99:7:3;65.01:9:1;")
    update = payloads.update_message(NAME, now, before, 2)
    assert (update["seq"], update["prev_seq"]) == (3, 2)
    assert update["changes"] == [
        ("bid", "65", 4, 2),
        ("bid", "64.99", 0, 0),
        ("bid", "64.98", 1, 1),
        ("ask", "65.01", 0, 0),
    ]
    assert update["checksum"] == crc32(b"65:4:2;64.98:1:1;")


def test_every_message_and_row_of_a_book_has_its_warnings() -> None:
    told = FakeBooks()
    told.set_levels(0, BIDS, [(64_000_000_000, 1, 1)])
    replica = replica_of(told)
    crossed = payloads.display_book(replica, 0)
    stale = crossed._replace(status="stale")
    for message, warnings in (
        (payloads.bbo_message(NAME, crossed, None), ["crossed"]),
        (payloads.snapshot_message(NAME, stale, 2), ["stale", "crossed"]),
        (payloads.update_message(NAME, crossed, stale, 2), ["crossed"]),
        (payloads.status_message("bbo", NAME, stale, crossed), ["stale", "crossed"]),
        (payloads.bbo_message(NAME, two_states()[1], None), []),
    ):
        assert message["warnings"] == warnings
    assert symbol_rows(replica)[0]["warnings"] == ["crossed"]
    replica.is_silent = True
    assert symbol_rows(replica)[0]["warnings"] == ["stale", "crossed"]


def test_within_one_level_only_one_level_changes() -> None:
    before, now = two_states()
    assert payloads.find_changes(before.state, now.state, 1) == [
        ("bid", "65", 4, 2),
        ("ask", "65.01", 0, 0),
    ]
    assert not payloads.levels_differ(now.state, now.state, 1)


def test_a_checksum_covers_ten_levels_at_the_most() -> None:
    told = FakeBooks()
    shown = replica_of(told).state(0)
    assert payloads.levels_checksum(shown, 10) == payloads.levels_checksum(shown, 1000)
    assert payloads.levels_checksum(shown, 9) != payloads.levels_checksum(shown, 10)


def test_the_best_levels_with_an_empty_side() -> None:
    before, now = two_states()
    message = payloads.bbo_message(NAME, now, before)
    assert message["bid"] == {"price": "65", "price_1e9": 65_000_000_000, "size": 4, "count": 2}
    assert message["ask"] is None
    assert (message["type"], message["prev_seq"]) == ("update", 2)
    assert payloads.bbo_message(NAME, now, None)["type"] == "snapshot"


def test_a_status_is_of_the_book_that_the_client_has() -> None:
    before, now = two_states()
    message = payloads.status_message("bbo", NAME, now._replace(status="stale"), before)
    assert (message["seq"], message["prev_seq"], message["events"]) == (2, 2, 2)
    assert (message["type"], message["status"]) == ("status", "stale")


def test_an_answer_has_ids_as_text_and_undefined_times_as_null() -> None:
    answer: dict[str, Any] = {
        "id": 1,
        "book": 0,
        "status": "synced",
        "seq": 9,
        "events": 4,
        "ts_event": None,
        "ts_recv": START_NS,
        "sequence": 3,
        "bids": [
            {
                "price_1e9": TICK,
                "size": 3,
                "count": 1,
                "orders": [{"order_id": str(2**64 - 1), "size": 3}],
            }
        ],
        "asks": [],
    }
    replica = replica_of(FakeBooks())
    document = json.loads(payloads.dumps(payloads.answer_document(NAME, answer, None, replica)))
    assert document["ts_event"] is None
    assert document["ts_recv"] == "2025-09-24T07:46:40.000000000Z"
    assert document["depth"] == "all"
    assert document["bids"] == [
        {
            "price": "0.01",
            "price_1e9": TICK,
            "size": 3,
            "count": 1,
            "orders": [{"order_id": "18446744073709551615", "size": 3}],
        }
    ]
    assert document["warnings"] == []
    crossed = {
        **answer,
        "asks": answer["bids"],
        "bids": [{**answer["bids"][0], "price_1e9": 2 * TICK}],
    }
    replica.is_silent = True
    found = payloads.answer_document(NAME, crossed, 5, replica)
    assert (found["status"], found["warnings"]) == ("stale", ["stale", "crossed"])


def test_symbols_have_a_row_a_book_and_null_for_what_is_not_known() -> None:
    told = FakeBooks()
    told.rows["ts_event"] = UNDEF_TIMESTAMP
    replica = replica_of(told)
    replica.apply_names([[1, 1, 1001, None]])
    rows = symbol_rows(replica)
    assert [row["symbol"] for row in rows] == ["CLX5", None]
    assert rows[0]["ts_event"] is None
    assert list(rows[0]) == [
        "symbol", "publisher_id", "instrument_id", "status", "seq", "events", "ts_event",
        "ts_recv", "sequence", "warnings",
    ]  # fmt: skip


def test_a_problem() -> None:
    assert payloads.problem(404, "No such book", "none", symbol="X") == (
        b'{"type":"about:blank","title":"No such book","status":404,"detail":"none","symbol":"X"}'
    )
