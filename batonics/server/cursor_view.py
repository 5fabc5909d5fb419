"""The book of a cursor as a view."""

from __future__ import annotations

from collections.abc import Callable

from batonics.history.book_cursor import BookCursor
from batonics.history.book_history import FileHistory
from batonics.model.answers import AnswerWarning
from batonics.server.channel_source import BookView, ViewCondition
from batonics.sinks.book_json import book_condition, market_of

_NOT_BEGUN = ViewCondition("cold", None, (AnswerWarning.COLD.value,))


def cursor_view(
    cursor: BookCursor,
    history: FileHistory,
    adjust: Callable[[BookView, ViewCondition], ViewCondition] | None = None,
) -> BookView:
    """The book of a cursor as it is now.

    Args:
        cursor: its engine has this book alone, or none if the book has not begun.
        history: what is known of the book besides its records.
        adjust: changes how far a book that has begun may be trusted; None: nothing does.
    """
    book = 0 if cursor.engine.book_count else None
    due_ns = cursor.due_ns

    def find_condition(view: BookView) -> ViewCondition:
        if book is None:
            return _NOT_BEGUN
        best = ([level[0] for level in side] for side in view.levels(1))
        as_of = history.as_of_due(cursor.engine, due_ns)
        found = book_condition(cursor.engine, book, market_of(*best), as_of)
        trading = None if found.trading is None else found.trading.name.lower()
        condition = ViewCondition(found.status, trading, tuple(map(str, found.warnings)))
        return condition if adjust is None else adjust(view, condition)

    return BookView(cursor.engine, book, cursor.record, find_condition, cursor.queues)
