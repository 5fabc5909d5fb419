"""What makes each book of an engine doubtful."""

from __future__ import annotations

from batonics.book.engine import BookEngine
from batonics.model.answers import AnswerWarning, AsOf, book_warnings


def warnings_of_books(engine: BookEngine, as_of: AsOf) -> list[list[AnswerWarning]]:
    """The warnings of each book's own state and trading status, in the order of the books.

    Args:
        engine: the books.
        as_of: their trading statuses.
    """
    crossed = engine.levels().crossed_books()
    states = zip(engine.statuses(), engine.keys(), strict=True)
    return [
        book_warnings(status.name.lower(), crossed=book in crossed, trading=as_of.trading.get(key))
        for book, (status, key) in enumerate(states)
    ]
