"""The socket to ingest: whole messages in any pieces, questions and answers, and its end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from batonics.live.protocol import FeedState, MessageKind, MessageReader, encode_message
from batonics.live.stats import FeedStats
from batonics.server.ingest_link import BusyError, IngestLink
from batonics.server.replica import BookReplica
from tests.support.server_books import FakeBooks


class Pair:
    """A link and ingest's end of its socket."""

    def __init__(self) -> None:
        self.replica = BookReplica()
        self.changed: list[list[int]] = []
        self.feed_changes = 0
        self.ours, self._theirs = socket.socketpair()
        self.ours.settimeout(5)

    async def open(self) -> IngestLink:
        self.link = await IngestLink.open(
            self._theirs,
            lambda: IngestLink(
                self.replica,
                changed=lambda books: self.changed.append(list(books)),
                feed_changed=self._feed_changed,
                queries_max=2,
            ),
        )
        return self.link

    def _feed_changed(self) -> None:
        self.feed_changes += 1

    def say(self, kind: MessageKind, document: Any) -> None:
        self.ours.sendall(encode_message(kind, json.dumps(document).encode()))


def run(test: Callable[[Pair, IngestLink], Awaitable[None]]) -> None:
    async def main() -> None:
        pair = Pair()
        link = await pair.open()
        try:
            await test(pair, link)
        finally:
            pair.ours.close()
            await link.ended

    asyncio.run(main())


async def settle(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("not in time")


def test_messages_come_in_any_pieces() -> None:
    async def test(pair: Pair, _: IngestLink) -> None:
        told = FakeBooks()
        data = b"".join(
            [
                encode_message(MessageKind.HELLO, json.dumps(told.hello).encode()),
                encode_message(MessageKind.SYMBOLS, json.dumps(told.names).encode()),
                encode_message(MessageKind.BOOKS, told.payload()),
                encode_message(
                    MessageKind.STATS, json.dumps(FeedStats(feed=FeedState.LIVE).as_json()).encode()
                ),
            ]
        )
        for at in range(0, len(data), 97):
            pair.ours.sendall(data[at : at + 97])
            await asyncio.sleep(0)
        await settle(lambda: pair.replica.is_live)
        assert pair.changed == [[0, 1], [0, 1]]  # named, then told
        assert pair.feed_changes == 1
        assert pair.replica.find("CLZ5") == [1]

    run(test)


def test_each_question_gets_its_own_answer() -> None:
    async def test(pair: Pair, link: IngestLink) -> None:
        asks = [
            asyncio.create_task(link.query(0, None, orders=True)),
            asyncio.create_task(link.query(1, 50, orders=False)),
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await link.query(2, 1, orders=False)
        messages = MessageReader()
        questions: list[tuple[MessageKind, bytes]] = []
        while len(questions) < 2:
            questions += list(messages.feed(pair.ours.recv(4096)))
        assert json.loads(questions[0][1]) == {"id": 1, "book": 0, "depth": None, "orders": True}
        assert json.loads(questions[1][1]) == {"id": 2, "book": 1, "depth": 50, "orders": False}
        pair.say(MessageKind.RESPONSE, {"id": 9, "book": 9})
        pair.say(MessageKind.RESPONSE, {"id": 2, "book": 1})
        pair.say(MessageKind.RESPONSE, {"id": 1, "book": 0})
        assert [(await ask)["book"] for ask in asks] == [0, 1]

    run(test)


def test_who_gives_up_makes_room() -> None:
    async def test(pair: Pair, link: IngestLink) -> None:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await link.query(0, None, orders=False)
        pair.say(MessageKind.RESPONSE, {"id": 1, "book": 0})
        await asyncio.sleep(0.01)

    run(test)


def test_a_last_word_is_the_end() -> None:
    async def test(pair: Pair, link: IngestLink) -> None:
        ask = asyncio.create_task(link.query(0, None, orders=False))
        await asyncio.sleep(0)
        pair.say(MessageKind.BYE, {"reason": "done"})
        assert await link.ended == "done"
        assert link.fault is None
        with pytest.raises(ConnectionError):
            await ask
        with pytest.raises(ConnectionError):
            await link.query(0, None, orders=False)

    run(test)


def test_an_end_without_a_word() -> None:
    async def test(pair: Pair, link: IngestLink) -> None:
        pair.ours.close()
        assert await link.ended is None
        assert link.fault is None

    run(test)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x01",
        b"\xff\xff\xff\xff\x01",
        encode_message(MessageKind.HELLO, b"{"),
        encode_message(MessageKind.STATS, b'{"unknown": 1}'),
        encode_message(MessageKind.BOOKS, b"123"),
        encode_message(MessageKind.BYE, b"[]"),
        b"\x01\x00\x00\x00\x63",
    ],
    ids=["no length", "endless", "no JSON", "other stats", "no row", "no reason", "no kind"],
)
def test_what_makes_no_sense_is_the_end(data: bytes) -> None:
    async def test(pair: Pair, link: IngestLink) -> None:
        pair.ours.sendall(data)
        assert await link.ended is None
        assert link.fault is not None
        assert "\n" not in link.fault

    run(test)
