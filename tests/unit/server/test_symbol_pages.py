"""Pages of /symbols: all books, each once, made once for a state, and in short steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.server import payloads
from batonics.server.query_params import PAGE_ROWS, ProblemError
from batonics.server.replica import BookReplica
from batonics.server.request_rate import RESERVE_S, RequestRate
from batonics.server.symbol_pages import ROWS_AT_ONCE, SymbolPages, parse_page
from tests.support.server_books import FakeBooks

make_row = payloads.symbol_row


class PagesOfBooks:
    """A replica of so many books, and pages of it."""

    def __init__(self, books: int) -> None:
        self.published = FakeBooks([f"S{number}" for number in range(books)])
        self.replica = BookReplica()
        self.replica.apply_hello(self.published.hello)
        self.replica.apply_names(self.published.names)
        self.replica.apply_books(self.published.payload())
        self.replica.apply_stats(FeedStats(feed=FeedState.LIVE).as_json())
        self.pages = SymbolPages(self.replica)
        self.rows_made = 0

    async def page(self, **params: str) -> tuple[list[dict[str, Any]], str | None]:
        """The rows of a page, and the next cursor; counts the rows that were made."""

        def counted(head: payloads.BookHead) -> dict[str, Any]:
            self.rows_made += 1
            return make_row(head)

        with patch.object(payloads, "symbol_row", counted):
            found = await self.pages.page(parse_page(params, self.replica.book_count))
        return orjson.loads(found.body), found.next_cursor


def symbols(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["symbol"] for row in rows]


def test_the_pages_have_every_book_once() -> None:
    async def read() -> list[str]:
        books, found = PagesOfBooks(25), list[str]()
        cursor: str | None = "0.0.0"
        while cursor is not None:
            rows, cursor = await books.page(limit="10", cursor=cursor)
            found += symbols(rows)
        return found

    assert asyncio.run(read()) == [f"S{number}" for number in range(25)]


def test_a_row_is_made_once_for_each_state_of_its_book() -> None:
    async def read() -> None:
        books = PagesOfBooks(30)
        await asyncio.gather(*(books.page() for _ in range(8)))
        assert books.rows_made == 30
        books.published.move(3)
        books.replica.apply_books(books.published.payload([3]))
        rows, _ = await books.page()
        assert (books.rows_made, rows[3]["seq"]) == (31, 2)
        books.replica.apply_names([[5, 1, 1005, "NEW"]])
        assert (await books.page())[0][5]["symbol"] == "NEW"
        assert books.rows_made == 32
        for feed, status in ((FeedState.STALLED, "synced"), (FeedState.LOST, "stale")):
            books.replica.apply_stats(FeedStats(feed=feed).as_json())
            assert {row["status"] for row in (await books.page())[0]} == {status}
        assert books.rows_made == 62

    asyncio.run(read())


def test_the_loop_does_other_work_between_two_steps() -> None:
    async def read() -> list[int]:
        books, seen = PagesOfBooks(10 * ROWS_AT_ONCE), list[int]()

        async def watch() -> None:
            while True:
                seen.append(books.rows_made)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await books.page()
        watching.cancel()
        return seen

    seen = asyncio.run(read())
    assert max(after - before for before, after in pairwise(seen)) <= ROWS_AT_ONCE
    assert len(set(seen)) >= 10


def test_more_books_than_a_page_has_are_never_taken_for_all() -> None:
    assert parse_page({}, PAGE_ROWS).limit == PAGE_ROWS
    with pytest.raises(ProblemError, match=r"1001 books: ask for /symbols\?limit=1000"):
        parse_page({}, PAGE_ROWS + 1)
    assert parse_page({"limit": "5"}, PAGE_ROWS + 1).limit == 5
    for params in ({"limit": "0"}, {"limit": "1001"}, {"cursor": "1.2"}, {"cursor": "a.b.c"}):
        with pytest.raises(ProblemError):
            parse_page(params, 1)


def test_an_address_has_so_many_units_a_second_and_others_have_theirs() -> None:
    rate = RequestRate(10.0)
    taken = sum(rate.take("a", 1.0, 0.0) == 0.0 for _ in range(1_000))
    assert taken == 10 * RESERVE_S
    assert rate.take("a", 1.0, 0.0) == pytest.approx(0.1)
    assert rate.take("b", 1.0, 0.0) == 0.0
    assert rate.take("a", 5.0, 0.5) == 0.0
    assert rate.take("a", 1_000.0, 0.5) > 0.0
    assert rate.take("a", 1_000.0, 100.0) == 0.0


def test_a_crowd_of_addresses_takes_bounded_memory() -> None:
    rate = RequestRate(10.0)
    for number in range(30_000):
        assert rate.take(str(number), 1.0, 0.0) == 0.0
    assert len(rate._left) <= 10_000
