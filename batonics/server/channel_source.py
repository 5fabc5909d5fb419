"""Where the books of /v1/ws come from.

The rule here: a session knows books through `BookSource` only, so files and a live feed have the
same channels. A source belongs to one session, and is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from batonics.book.engine import BookEngine
from batonics.book.results import Levels
from batonics.history.book_cursor import BookEvent
from batonics.server.channel_messages import ClockMessage, NamedBook, RequestId
from batonics.server.channel_requests import ClockRequest


class FollowedBook(NamedTuple):
    """A book that a client has named.

    Attributes:
        key: its key (`record_keys`).
        name: how messages name it.
    """

    key: int
    name: NamedBook


class BookView(NamedTuple):
    """A book as it is now.

    Attributes:
        engine: the engine that has this book alone, or none if it has not begun.
        levels: its levels.
        seq: the number of a record after which it is so; -1: before the first one.
        status: `cold`, `synced` or `stale`.
        trading_status: None: not known.
        warnings: what makes answers about it doubtful.
    """

    engine: BookEngine
    levels: Levels
    seq: int
    status: str
    trading_status: str | None
    warnings: list[str]


class BookSource(Protocol):
    """Books that change."""

    def find(self, symbols: Sequence[str], publisher: int | None) -> list[FollowedBook]:
        """The books that symbols name now; ProblemError if one names none."""

    def follow(self, keys: Iterable[int]) -> None:
        """Follow books; harmless for those that are followed."""

    def set_events(self, key: int, *, has_events: bool) -> None:
        """Say whether each event of a book is asked for, or only what comes of them."""

    def leave(self, key: int) -> None:
        """Follow a book no longer."""

    def view(self, key: int) -> BookView:
        """A followed book as it is now."""

    def seq(self, key: int) -> int:
        """The `seq` of a followed book; it changes whenever the book may have changed."""

    def advance(self, now_s: float, rows_max: int) -> Iterator[BookEvent]:
        """What happened up to now, as `Playback.advance` says."""

    def delay_s(self, now_s: float) -> float | None:
        """For how long, in seconds, nothing can happen; None: until a request."""

    def control(self, request: ClockRequest, now_s: float) -> Iterator[BookEvent]:
        """Carry out a request for the clock; ProblemError if that cannot be done.

        Where books have to begin anew, `seq` is not what it was and no event says why.
        """

    def clock(self, now_s: float, request_id: RequestId) -> ClockMessage:
        """What the clock shows."""

    def late_ms(self) -> int:
        """For how long the clock has waited in all, in milliseconds."""
