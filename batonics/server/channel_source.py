"""Where the books of /v1/ws come from.

The rule here: a session knows books through `BookSource` only, so files and a live feed have the
same channels. A source belongs to one session, and is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

from batonics.book.kept_queues import KeptQueues
from batonics.book.order_search import LevelQueues, find_queues, has_only_orders
from batonics.book.reader import BookReader, SideLevels
from batonics.book.state import B_EVENTS, BOOK_WORDS
from batonics.history.book_cursor import BookEvent
from batonics.model.book_checksum import CHECKSUM_LEVELS, queues_checksum
from batonics.model.times import format_time
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


class ViewCondition(NamedTuple):
    """How far a book may be trusted.

    Attributes:
        status: `cold`, `synced` or `stale`.
        trading_status: None: not known.
        warnings: what makes answers about it doubtful.
    """

    status: Literal["cold", "synced", "stale"]
    trading_status: str | None
    warnings: tuple[str, ...]


class BookView:
    """A book as it is now; what is asked of it is found once.

    A source may give the same view to several sessions: a message that they all get is made once
    (`messages`).

    Args:
        engine: the books.
        book: its number in the engine; None: it has not begun.
        seq: the number of a record after which it is so; -1: before the first one.
        find_condition: how far the view may be trusted; asked once.
        queues: its queues, where each of its events is asked for.

    Attributes:
        messages: JSON of messages that were made of this view, by what they depend on.
    """

    def __init__(
        self,
        engine: BookReader,
        book: int | None,
        seq: int,
        find_condition: Callable[[BookView], ViewCondition],
        queues: KeptQueues | None = None,
    ) -> None:
        self.engine, self.book, self.seq = engine, book, seq
        self._find_condition = find_condition
        self.messages: dict[tuple[object, ...], bytes] = {}
        self._queues = queues
        self._levels: dict[int | None, tuple[SideLevels, SideLevels]] = {}

    def levels(self, depth: int | None = None) -> tuple[SideLevels, SideLevels]:
        """The best levels of each side, the best first: bids, asks; None: all."""
        found = self._levels.get(depth)
        if found is None:
            found = self._levels[depth] = self._find_levels(depth)
        return found

    def _find_levels(self, depth: int | None) -> tuple[SideLevels, SideLevels]:
        if self.book is None:
            return [], []
        if depth is not None and depth < CHECKSUM_LEVELS:  # which others ask for too
            bids, asks = self.levels(CHECKSUM_LEVELS)
            return bids[:depth], asks[:depth]
        return self.engine.best_levels(self.book, depth)

    def queues(self) -> tuple[LevelQueues, LevelQueues]:
        """All levels with their orders in priority order: bids, asks."""
        return (
            ([], []) if self.book is None else find_queues(self.engine, *self.levels(), self.book)
        )

    def has_only_orders(self) -> bool:
        """Whether every level consists of orders: a top-of-book publisher's does not (rule 13)."""
        return self.book is None or has_only_orders(self.engine, self.book)

    @cached_property
    def condition(self) -> ViewCondition:
        """How far it may be trusted."""
        return self._find_condition(self)

    @cached_property
    def queues_checksum(self) -> int:
        """The checksum of l3."""
        if self._queues is None:
            return queues_checksum(*self.queues())
        return self._queues.checksum(*self.levels(CHECKSUM_LEVELS))

    @cached_property
    def last_seen(self) -> tuple[str | None, str | None]:
        """`ts_event` and `ts_recv` of the last record, as text."""
        if self.book is None:
            return None, None
        ts_event, ts_recv, _ = self.engine.last_seen()[self.book].tolist()
        return format_time(ts_event), format_time(ts_recv)

    @cached_property
    def events(self) -> int:
        """The number of complete events."""
        if self.book is None:
            return 0
        return int(self.engine.state.books[self.book * BOOK_WORDS + B_EVENTS]) >> 1


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
        """A number that changes whenever a followed book, or how far it may be trusted, changes."""

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
