"""Which books the symbols of a subscription name, with prefixes."""

from __future__ import annotations

from collections.abc import Sequence

from batonics.server.channel_messages import NamedBook
from batonics.server.channel_source import FollowedBook
from batonics.server.history_names import HistoryNames
from batonics.server.query_params import ProblemError

ANY = "*"
"""Stands at the end of a prefix, for any rest of a symbol."""


def find_books(
    names: HistoryNames, symbols: Sequence[str], publisher: int | None, at_ns: int | None
) -> list[FollowedBook]:
    """The books that symbols name at a time, each once.

    Args:
        names: which books there are.
        symbols: symbols, or prefixes of symbols with ANY behind them.
        publisher: the publisher; None: any. A symbol names one book, a prefix as many as fit.
        at_ns: the time; None: the end of the data.

    Raises:
        ProblemError: a symbol names no book or several, or nothing begins with a prefix.
    """
    found: dict[int, FollowedBook] = {}
    for symbol in symbols:
        if symbol.endswith(ANY):
            named = names.find_by_prefix(symbol.removesuffix(ANY), publisher, at_ns)
            if not named:
                raise ProblemError(404, "No such book", f"no book fits {symbol[:100]!r}")
        else:
            named = {names.find_key(symbol, publisher, at_ns): symbol}
        for key, name in named.items():
            found.setdefault(key, FollowedBook(key, _name(key, name)))
    return list(found.values())


def names_book(symbol: str, book: NamedBook) -> bool:
    """Whether a symbol, a prefix or an instrument id of a request names a book."""
    if symbol.endswith(ANY):
        return book["symbol"].startswith(symbol.removesuffix(ANY))
    return symbol in (book["symbol"], str(book["instrument_id"]))


def _name(key: int, symbol: str) -> NamedBook:
    return {"symbol": symbol, "publisher_id": key >> 32, "instrument_id": key & 0xFFFFFFFF}
