"""The JSON of messages about a view of a book; each is made once for all who get it.

The rule here: what a message depends on besides the view is its key, so two clients get the same
bytes only if their messages are the same. In one source a book has one state at a `seq`, so
`prev_seq` stands for what the client has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import orjson

from batonics.history.book_cursor import BookEvent
from batonics.server import channel_documents as documents
from batonics.server.channel_messages import Channel, NamedBook, ServerMessage, Start
from batonics.server.channel_source import BookView, ViewCondition


class SentState(NamedTuple):
    """What a client of bbo or l2 has.

    Attributes:
        seq: the `seq` that was sent last.
        levels: the levels.
        condition: what it was told of them.
    """

    seq: int
    levels: documents.Levels
    condition: ViewCondition

    def is_shown_by(self, view: BookView, depth: int | None) -> bool:
        """Whether a view shows nothing else."""
        return self.levels == view.levels(depth) and self.condition == view.condition


def state_snapshot(
    view: BookView, name: NamedBook, channel: Channel, depth: int | None, start: Start
) -> bytes:
    """A snapshot of bbo or l2."""

    def make() -> ServerMessage:
        head, levels = documents.book_head(name, view, None), view.levels(depth)
        if channel == "bbo":
            return documents.bbo_snapshot(head, levels, start)
        return documents.l2_snapshot(head, levels, depth, start)

    return _once(view, (channel, name["symbol"], depth, start), make)


def state_update(
    view: BookView, name: NamedBook, channel: Channel, depth: int | None, sent: SentState
) -> bytes:
    """An update of bbo or l2, of what the client has."""

    def make() -> ServerMessage:
        head, levels = documents.book_head(name, view, sent.seq), view.levels(depth)
        if channel == "bbo":
            return documents.bbo_update(head, levels)
        return documents.l2_update(head, levels, sent.levels, depth)

    return _once(view, (channel, name["symbol"], depth, sent.seq), make)


def l3_snapshot(view: BookView, name: NamedBook, start: Start) -> bytes:
    """A snapshot of l3."""

    def make() -> ServerMessage:
        return documents.l3_snapshot(documents.book_head(name, view, None), view, start)

    return _once(view, ("l3", name["symbol"], start), make)


def l3_update(view: BookView, name: NamedBook, prev_seq: int | None, event: BookEvent) -> bytes:
    """An event on l3; the view is the book after it."""

    def make() -> ServerMessage:
        return documents.l3_update(documents.book_head(name, view, prev_seq), view, event)

    return _once(view, ("l3", name["symbol"], prev_seq), make)


def _once(view: BookView, key: tuple[object, ...], make: Callable[[], ServerMessage]) -> bytes:
    found = view.messages.get(key)
    if found is None:
        found = view.messages[key] = orjson.dumps(make())
    return found
