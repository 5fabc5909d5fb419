"""What a request asks for: the parameters of a query, read strictly.

The rule here: a parameter that nobody knows is refused, so that a slip of the pen is no wrong
answer. What is wrong is a `ProblemError`, which becomes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batonics.server.mirror import Mirror

DEPTH_DEFAULT = 10
DEPTH_MAX = 1_000_000
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


def parameters(query: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
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


def the_book(mirror: Mirror, known: dict[str, str]) -> int:
    """The one book that parameters name."""
    given = [known.get(key) for key in ("symbol", "publisher_id", "instrument_id")]
    if given == [None, None, None]:
        raise ProblemError(400, "Which book?", "give symbol, or instrument_id")
    found = mirror.find(
        known.get("symbol"), whole(known, "publisher_id"), whole(known, "instrument_id")
    )
    if not found:
        raise ProblemError(404, "No such book", "no book of this name has been seen")
    if len(found) > 1:
        named = ", ".join(
            f"publisher_id={mirror.names[one].publisher_id}"
            f"&instrument_id={mirror.names[one].instrument_id}"
            for one in found[:BOOKS_NAMED_MAX]
        )
        raise ProblemError(400, "Which book?", f"{len(found)} books fit: {named}")
    return found[0]


def whole(known: dict[str, str], key: str) -> int | None:
    """A parameter that is a number, None if it is not there."""
    text = known.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _INT_MAX):
        raise ProblemError(400, "Not a number", f"{key} must be a number below 2^32")
    return int(text)


def depth_of(text: str | None, default: int) -> int | None:
    """How many levels are wanted; None for all."""
    if text is None:
        return default
    if text == "all":
        return None
    depth = whole({"depth": text}, "depth") or 0
    if not 1 <= depth <= DEPTH_MAX:
        raise ProblemError(400, "Not a depth", f"depth must be 1 to {DEPTH_MAX}, or all")
    return depth


def flag(known: dict[str, str], key: str) -> bool:
    """A parameter that is true or false; false if it is not there."""
    text = known.get(key, "false")
    if text not in ("true", "false"):
        raise ProblemError(400, "Not a flag", f"{key} must be true or false")
    return text == "true"
