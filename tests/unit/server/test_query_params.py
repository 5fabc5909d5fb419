"""What is asked for is read strictly; what is wrong is a problem that says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batonics.live.protocol import FeedState
from batonics.server.fanout import WebSocketClient
from batonics.server.query_params import (
    BOOKS_NAMED_MAX,
    ProblemError,
    find_book,
    parse_depth,
    parse_flag,
    parse_query,
    parse_uint,
)
from batonics.server.subscription_requests import SubscriptionHandler
from batonics.settings.table import ServerLimits
from tests.support.fanout_harness import FanoutHarness
from tests.support.server_clients import Listener


def test_parameters() -> None:
    assert parse_query([("a", "1"), ("b", "")], ("a", "b", "c")) == {"a": "1", "b": ""}
    with pytest.raises(ProblemError, match=r"'x': expected a, b"):
        parse_query([("x", "1")], ("a", "b"))
    with pytest.raises(ProblemError, match="there are none"):
        parse_query([("x", "1")], ())
    with pytest.raises(ProblemError, match="more than once"):
        parse_query([("a", "1"), ("a", "1")], ("a",))


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", " 1", "٣", "4294967296", "9" * 30])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ProblemError, match="publisher_id must be a number"):
        parse_uint({"publisher_id": text}, "publisher_id")


def test_numbers_flags_and_depths() -> None:
    assert parse_uint({}, "x") is None
    assert parse_uint({"x": "4294967295"}, "x") == 4294967295
    assert (
        parse_flag({}, "x"),
        parse_flag({"x": "true"}, "x"),
        parse_flag({"x": "false"}, "x"),
    ) == (0, 1, 0)
    with pytest.raises(ProblemError, match="true or false"):
        parse_flag({"x": "1"}, "x")
    assert (parse_depth(None, 7), parse_depth("all", 7), parse_depth("3", 7)) == (7, None, 3)
    for text in ("0", "1000001"):
        with pytest.raises(ProblemError, match="depth must be 1 to"):
            parse_depth(text, 7)


def test_a_book_is_named_without_doubt() -> None:
    harness = FanoutHarness()
    harness.replica.apply_names([[1, 2, 1000, "CLX5"]])
    assert find_book(harness.replica, {"symbol": "CLX5", "publisher_id": "2"}) == 1
    assert find_book(harness.replica, {"instrument_id": "1002"}) == 2
    assert find_book(harness.replica, {"publisher_id": "2"}) == 1
    with pytest.raises(ProblemError, match="publisher_id=1&instrument_id=1000, publisher_id=2"):
        find_book(harness.replica, {"symbol": "CLX5"})
    with pytest.raises(ProblemError, match="give symbol"):
        find_book(harness.replica, {})
    with pytest.raises(ProblemError) as caught:
        find_book(harness.replica, {"symbol": "none"})
    assert caught.value.status == 404
    assert str(caught.value) == "no book of this name has been seen"
    harness.replica.stats.feed = FeedState.CONNECTING
    with pytest.raises(ProblemError, match=r"the feed .*is connecting, with \d+ books so far$"):
        find_book(harness.replica, {"symbol": "none"})
    assert BOOKS_NAMED_MAX == 20


class Talk:
    """A client that asks."""

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self.harness = FanoutHarness(limits)
        self.wishes = SubscriptionHandler(
            self.harness.replica, self.harness.fanout, limits or ServerLimits()
        )
        self.client: WebSocketClient = self.harness.client()
        self.listener = Listener()

    def ask(self, **asked: Any) -> dict[str, Any]:
        answer = self.wishes.reply(self.client, json.dumps(asked))
        self.harness.drain(self.client, self.listener)
        return answer


def test_subscribe_resync_unsubscribe() -> None:
    talk = Talk()
    answer = talk.ask(op="subscribe", symbols=["CLX5", "CLZ5", "CLX5"], depth=3, id="mine")
    assert answer == {
        "type": "subscribed",
        "channel": "snapshot",
        "books": [
            {"symbol": "CLX5", "publisher_id": 1, "instrument_id": 1000},
            {"symbol": "CLZ5", "publisher_id": 1, "instrument_id": 1001},
        ],
        "id": "mine",
    }
    assert len(talk.listener.books["snapshot", "CLX5"].bids) == 3
    assert talk.ask(op="subscribe", channel="bbo", symbols=["CLX5"])["channel"] == "bbo"
    assert talk.ask(op="resync", symbols=["CLZ5"])["type"] == "resyncing"
    assert talk.listener.books["snapshot", "CLZ5"].snapshots == 2
    assert talk.listener.books["snapshot", "CLX5"].snapshots == 1
    assert len(talk.ask(op="resync")["books"]) == 2
    assert len(talk.ask(op="unsubscribe")["books"]) == 2
    assert list(talk.client.subscriptions) == [("bbo", 0)]


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ({}, "expected an object with op subscribe, unsubscribe, resync"),
        ({"op": "dance"}, "expected an object with op"),
        ({"op": ["subscribe"]}, "expected an object with op"),
        ({"op": "subscribe"}, "symbols must be a list"),
        ({"op": "subscribe", "symbols": "CLX5"}, "symbols must be a list"),
        ({"op": "subscribe", "symbols": []}, "name one book at least"),
        ({"op": "subscribe", "symbols": ["CLX5"] * 501}, "at most 500"),
        ({"op": "subscribe", "symbols": [7]}, "no book of '7'"),
        ({"op": "subscribe", "symbols": [{}]}, "no book of"),
        ({"op": "subscribe", "symbols": ["no"]}, "no book of 'no'"),
        ({"op": "subscribe", "symbols": ["CLX5"], "channel": "l9"}, "no such channel"),
        ({"op": "subscribe", "symbols": ["CLX5"], "channel": {}}, "no such channel"),
        ({"op": "subscribe", "symbols": ["CLX5"], "depth": 0}, "depth must be"),
        ({"op": "subscribe", "symbols": ["CLX5"], "depth": 11}, "at most 10 here"),
        ({"op": "subscribe", "symbols": ["CLX5"], "depth": "all"}, "at most 10 here"),
        ({"op": "subscribe", "symbols": ["CLX5"], "depth": [3]}, "must be a number"),
        ({"op": "subscribe", "symbols": ["CLX5"], "depth": 1.5}, "must be a number"),
        ({"op": "resync", "symbols": ["no"]}, "no book of 'no'"),
    ],
)
def test_what_cannot_be_done_changes_nothing(asked: dict[str, Any], detail: str) -> None:
    talk = Talk()
    answer = talk.ask(**asked, id=4)
    assert answer["type"] == "error"
    assert detail in answer["detail"]
    assert not talk.client.subscriptions


@pytest.mark.parametrize("text", ["", "[]", "null", "1", "{", '{"op":"subscribe"', "\ud800"])
def test_what_is_no_request(text: str) -> None:
    talk = Talk()
    assert talk.wishes.reply(talk.client, text)["type"] == "error"


def test_a_client_has_so_many_books() -> None:
    talk = Talk(ServerLimits(subscriptions_max=2))
    assert talk.ask(op="subscribe", symbols=["CLX5", "CLZ5"])["type"] == "subscribed"
    assert talk.ask(op="subscribe", symbols=["CLX5"], depth=2)["type"] == "subscribed"
    assert "at the most" in talk.ask(op="subscribe", symbols=["CLF6"])["detail"]
    assert len(talk.client.subscriptions) == 2
