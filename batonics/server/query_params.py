"""The parameters of a request's query, read strictly.

The rule here: an unknown parameter is refused, so that a typing error never gives a wrong answer. A
fault is a `ProblemError`, which becomes the response.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batonics.server.replica import BookReplica

DEPTH_DEFAULT = 10
QUERY_DEPTH_MAX = 1_000_000
PAGE_ROWS = 1_000
"""Rows of a page unless the client asks for fewer; more are never in one response."""
BOOKS_NAMED_MAX = 20
"""The greatest number of books that an error names."""
_UINT_MAX = 2**32


class ProblemError(Exception):
    """A request whose response is a problem (RFC 9457).

    Attributes:
        status: the HTTP status.
        title: the kind of problem in a few words.
        detail: what is wrong with this request.
        headers: further headers of the response.
    """

    def __init__(
        self, status: int, title: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.headers = headers or {}


def parse_query(query: Iterable[tuple[str, str]], names: Sequence[str]) -> dict[str, str]:
    """The parameters of a query by name; ProblemError if one is not in `names`, or is repeated."""
    params: dict[str, str] = {}
    for key, value in query:
        if key not in names:
            expected = f"expected {', '.join(names)}" if names else "there are none"
            raise ProblemError(400, "Unknown parameter", f"{key[:100]!r}: {expected}")
        if key in params:
            raise ProblemError(400, "Repeated parameter", f"{key} is there more than once")
        params[key] = value
    return params


def find_book(replica: BookReplica, params: dict[str, str]) -> int:
    """The one book that `symbol`, `publisher_id` and `instrument_id` name."""
    given = [params.get(key) for key in ("symbol", "publisher_id", "instrument_id")]
    if given == [None, None, None]:
        raise ProblemError(400, "Which book?", "give symbol, or instrument_id")
    books = replica.find(
        params.get("symbol"),
        parse_uint(params, "publisher_id"),
        parse_uint(params, "instrument_id"),
    )
    if not books:
        # A client that is too early must not take a name for a wrong one.
        feed = (
            "" if replica.feed == "live" and replica.book_count else f"; {_describe_feed(replica)}"
        )
        raise ProblemError(404, "No such book", f"no book of this name has been seen{feed}")
    if len(books) > 1:
        named = ", ".join(
            f"publisher_id={replica.names[book].publisher_id}"
            f"&instrument_id={replica.names[book].instrument_id}"
            for book in books[:BOOKS_NAMED_MAX]
        )
        raise ProblemError(400, "Which book?", f"{len(books)} books fit: {named}")
    return books[0]


def _describe_feed(replica: BookReplica) -> str:
    """The state of the feed, and how many books it has brought, in words."""
    source = f" ({replica.source})" if replica.source else ""
    return f"the feed{source} is {replica.feed}, with {replica.book_count:,} books so far"


def parse_uint(params: dict[str, str], key: str) -> int | None:
    """An unsigned 32-bit integer; None if the parameter is absent."""
    text = params.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _UINT_MAX):
        raise ProblemError(400, "Not a number", f"{key} must be a number below 2^32")
    return int(text)


def parse_depth(text: str | None, default: int) -> int | None:
    """A number of levels; None for `all`, the default if there is no text."""
    if text is None:
        return default
    if text == "all":
        return None
    depth = parse_uint({"depth": text}, "depth") or 0
    if not 1 <= depth <= QUERY_DEPTH_MAX:
        raise ProblemError(400, "Not a depth", f"depth must be 1 to {QUERY_DEPTH_MAX}, or all")
    return depth


def parse_flag(params: dict[str, str], key: str) -> bool:
    """A parameter `true` or `false`; False if it is absent."""
    text = params.get(key, "false")
    if text not in ("true", "false"):
        raise ProblemError(400, "Not a flag", f"{key} must be true or false")
    return text == "true"
