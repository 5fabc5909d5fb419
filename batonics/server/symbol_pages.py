"""Pages of /symbols: a row for each book, by publisher and instrument.

The rule here: a row is made once for each state of its book, and a page once for each state of the
replica, however many clients ask. A page is made in steps of ROWS_AT_ONCE rows, and between two of
them the loop does its other work. A row is as of the moment when it was made; its `seq` says which.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from batonics.server import payloads
from batonics.server.query_params import PAGE_ROWS, ProblemError, parse_uint
from batonics.server.replica import BookKey, BookReplica, RowVersion

ROWS_AT_ONCE = 20
_PAGES_MAX = 64
_NO_ROW = None, b""


class PageRequest(NamedTuple):
    """Which page: at most `limit` books behind the book `after` (None: from the first on)."""

    limit: int
    after: BookKey | None


class Page(NamedTuple):
    """The JSON of a page, and the cursor of the next one (None: it is the last)."""

    body: bytes
    next_cursor: str | None


def parse_page(params: dict[str, str], books: int) -> PageRequest:
    """The page that a query asks for, of this many books.

    Raises:
        ProblemError: a parameter is wrong, or there are more books than a page has and the client
            does not ask for pages: it could take one for all.
    """
    if "limit" not in params and "cursor" not in params and books > PAGE_ROWS:
        raise ProblemError(
            400,
            "Ask for pages",
            f"{books} books: ask for /symbols?limit={PAGE_ROWS}, and go on with the link `next`",
        )
    limit = PAGE_ROWS if "limit" not in params else parse_uint(params, "limit") or 0
    if not 1 <= limit <= PAGE_ROWS:
        raise ProblemError(400, "Not a limit", f"limit must be 1 to {PAGE_ROWS}")
    return PageRequest(limit, _parse_cursor(params["cursor"]) if "cursor" in params else None)


def _parse_cursor(text: str) -> BookKey:
    parts = text.split(".")
    if len(parts) != len(BookKey._fields):
        raise ProblemError(400, "Not a cursor", "cursor must be that of the link `next`")
    return BookKey._make(parse_uint({"cursor": part}, "cursor") or 0 for part in parts)


class SymbolPages:
    """Makes pages, and keeps the last ones.

    Args:
        replica: the books.
    """

    def __init__(self, replica: BookReplica) -> None:
        self._replica = replica
        self._rows: dict[int, tuple[RowVersion | None, bytes]] = {}
        self._pages: dict[PageRequest, tuple[int, Page]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def page(self, request: PageRequest) -> Page:
        """A page of the books as they are now."""
        async with self._one_at_a_time:
            change_count = self._replica.change_count
            made_at, page = self._pages.get(request, (-1, Page(b"", None)))
            if made_at != change_count:
                page = await self._make(request)
                if len(self._pages) >= _PAGES_MAX:
                    self._pages.clear()
                self._pages[request] = change_count, page
        return page

    async def _make(self, request: PageRequest) -> Page:
        keys = self._replica.keys_after(request.after, request.limit + 1)
        listed = keys[: request.limit]
        rows: list[bytes] = []
        for at in range(0, len(listed), ROWS_AT_ONCE):
            rows += self._make_rows([key.book for key in listed[at : at + ROWS_AT_ONCE]])
            await asyncio.sleep(0)
        has_more = len(keys) > len(listed)
        cursor = ".".join(map(str, listed[-1])) if has_more else None
        return Page(b"[" + b",".join(rows) + b"]", cursor)

    def _make_rows(self, books: list[int]) -> list[bytes]:
        replica = self._replica
        versions = dict(zip(books, replica.row_versions(books), strict=True))
        old = [book for book in books if self._rows.get(book, _NO_ROW)[0] != versions[book]]
        crossed = replica.crossed_books(old)
        for book, state in replica.states_without_levels(old):
            status = replica.status(state)
            head = payloads.BookHead(replica.names[book], state, status, book in crossed)
            row = payloads.dumps(payloads.symbol_row(head))
            self._rows[book] = versions[book], row
        return [self._rows[book][1] for book in books]
