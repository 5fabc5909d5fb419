"""What a request asks for: the parameters of a query, read strictly.

The rule here: a parameter that nobody knows is refused, so that a slip of the pen is no wrong
answer. What is wrong is a `ProblemError`, which becomes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batonics.server.replica import BookReplica

DEPTH_DEFAULT = 10
QUERY_DEPTH_MAX = 1_000_000
BOOKS_NAMED_MAX = 20
"""Of books that an error names."""
_INT_MAX = 2**32


class ProblemError(Exception):
    """A request that gets a problem for an answer."""

    def __init__(
        self, status: int, title: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.headers = headers or {}


def parse_query(query: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """The parameters of a query, by name; each of them known, and there once."""
    found: dict[str, str] = {}
    for key, value in query:
        if key not in known:
            expected = f"expected {', '.join(known)}" if known else "there are none"
            raise ProblemError(400, "Unknown parameter", f"{key[:100]!r}: {expected}")
        if key in found:
            raise ProblemError(400, "Repeated parameter", f"{key} is there more than once")
        found[key] = value
    return found


def find_book(replica: BookReplica, known: dict[str, str]) -> int:
    """The one book that parameters name."""
    given = [known.get(key) for key in ("symbol", "publisher_id", "instrument_id")]
    if given == [None, None, None]:
        raise ProblemError(400, "Which book?", "give symbol, or instrument_id")
    found = replica.find(
        known.get("symbol"), parse_uint(known, "publisher_id"), parse_uint(known, "instrument_id")
    )
    if not found:
        raise ProblemError(404, "No such book", "no book of this name has been seen")
    if len(found) > 1:
        named = ", ".join(
            f"publisher_id={replica.names[one].publisher_id}"
            f"&instrument_id={replica.names[one].instrument_id}"
            for one in found[:BOOKS_NAMED_MAX]
        )
        raise ProblemError(400, "Which book?", f"{len(found)} books fit: {named}")
    return found[0]


def parse_uint(known: dict[str, str], key: str) -> int | None:
    """A parameter that is a number, None if it is not there."""
    text = known.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _INT_MAX):
        raise ProblemError(400, "Not a number", f"{key} must be a number below 2^32")
    return int(text)


def parse_depth(text: str | None, default: int) -> int | None:
    """How many levels are wanted; None for all."""
    if text is None:
        return default
    if text == "all":
        return None
    depth = parse_uint({"depth": text}, "depth") or 0
    if not 1 <= depth <= QUERY_DEPTH_MAX:
        raise ProblemError(400, "Not a depth", f"depth must be 1 to {QUERY_DEPTH_MAX}, or all")
    return depth


def parse_flag(known: dict[str, str], key: str) -> bool:
    """A parameter that is true or false; false if it is not there."""
    text = known.get(key, "false")
    if text not in ("true", "false"):
        raise ProblemError(400, "Not a flag", f"{key} must be true or false")
    return text == "true"
