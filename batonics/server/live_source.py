"""The books of a live feed as a source of /v1/ws.

The rule here: a client sees the feed as it comes; it has no clock to move. Where the books have to
begin anew, because the server has lost the feed or a client could not keep up with it, each book
that is followed has an event that resets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batonics.history.book_cursor import NO_ROWS, BookCursor, BookEvent
from batonics.history.growing_history import GrowingHistory
from batonics.history.playback import Playback
from batonics.model.answers import AnswerWarning
from batonics.model.errors import UsageError
from batonics.model.times import format_time
from batonics.server.channel_messages import ClockMessage, RequestId
from batonics.server.channel_requests import ClockRequest
from batonics.server.channel_source import BookView, FollowedBook, ViewCondition
from batonics.server.cursor_view import cursor_view
from batonics.server.followed_books import find_books
from batonics.server.live_books import LiveBooks
from batonics.server.query_params import ProblemError

POLL_S = 0.01
"""How long a client waits for more when all records have passed."""
_CHANGE = 1 << 48
"""What a change of the feed's state adds to `seq`: more than there are records."""


class LiveSource:
    """Books of a live feed; see `BookSource`.

    Args:
        books: the books.
    """

    def __init__(self, books: LiveBooks) -> None:
        self._books = books
        self._history: GrowingHistory = books.history
        self._generation = books.generation
        self._playback = Playback(self._history, self._history.records.count)
        self._state = books.feed_state()
        self._events: dict[int, bool] = {}  # followed books; whether each event is asked for
        self._views: dict[int, BookView] = {}
        self._changes = 0  # of the state of the feed

    def find(self, symbols: Sequence[str], publisher: int | None) -> list[FollowedBook]:
        """The books that symbols name now; ProblemError if one names none."""
        return find_books(self._books.answers.names, symbols, publisher, None)

    def follow(self, keys: Iterable[int]) -> None:
        """Follow books; harmless for those that are followed."""
        new = [key for key in keys if key not in self._events]
        if not new:
            return
        if not self._events:  # nothing is lost by going to the newest record
            self._playback.go(self._history.records.count)
        self._events.update(dict.fromkeys(new, False))
        try:
            self._playback.follow(new)
        except UsageError:  # the place is no longer kept; `advance` begins anew
            self._playback.go(self._history.records.count)
            self._playback.follow(new)

    def set_events(self, key: int, *, has_events: bool) -> None:
        """Say whether each event of a book is asked for, or only what comes of them."""
        self._events[key] = has_events
        self._playback.cursor(key).has_events = has_events
        self._views.pop(key, None)

    def leave(self, key: int) -> None:
        """Follow a book no longer."""
        del self._events[key]
        self._views.pop(key, None)
        self._playback.leave(key)

    def view(self, key: int) -> BookView:
        """A followed book as it is now."""
        cursor, found = self._playback.cursor(key), self._views.get(key)
        if found is None or found.engine is not cursor.engine or found.seq != cursor.record:
            found = self._views[key] = self._new_view(cursor)
        return found

    def _new_view(self, cursor: BookCursor) -> BookView:
        is_live = self._state[1]

        def adjust(view: BookView, found: ViewCondition) -> ViewCondition:
            if is_live and not cursor.engine.events_open()[view.book]:
                return found
            others = tuple(text for text in found.warnings if text not in _STATUSES)
            stale = str(AnswerWarning.STALE)
            return ViewCondition("stale", found.trading_status, (*others, stale))

        return cursor_view(cursor, self._history, adjust)

    def seq(self, key: int) -> int:
        """A number that changes whenever a followed book, or how far it may be trusted, changes."""
        return self._playback.cursor(key).record + self._changes * _CHANGE

    def advance(self, now_s: float, rows_max: int) -> Iterator[BookEvent]:  # noqa: ARG002 - as BookSource
        """What happened up to now."""
        state, before = self._books.feed_state(), self._state
        self._state = state
        if state[1] != before[1]:
            self._changes += 1
            self._views.clear()
        if self._books.generation != self._generation:
            yield from self._begin_anew()
            return
        if not self._events:
            return
        try:
            yield from self._playback.pass_all(rows_max)
        except UsageError:  # records that have not passed are no longer kept
            yield from self._begin_anew()
            return
        if state[1] != before[1]:
            yield from self._resets()

    def delay_s(self, now_s: float) -> float | None:  # noqa: ARG002 - as BookSource
        """For how long, in seconds, nothing can happen."""
        return POLL_S if self._playback.has_ended else 0.0

    def control(self, request: ClockRequest, now_s: float) -> Iterator[BookEvent]:  # noqa: ARG002 - as BookSource
        """ProblemError: a live feed has no clock to move."""
        detail = f"a live feed comes as it comes: {request['op']} is for files (batonics serve)"
        raise ProblemError(409, "A live feed", detail)

    def clock(self, now_s: float, request_id: RequestId) -> ClockMessage:  # noqa: ARG002 - as BookSource
        """The time and the number of the last record that has passed."""
        place, records = self._playback.place, self._history.records
        return {
            "type": "clock",
            "at": format_time(max(records.last_ns or 0, 0)) or "",
            "record": place - 1 if place else None,
            "is_playing": True,
            "speed": 1.0,
            "has_ended": self._state[0] == "ended",
            "id": request_id,
        }

    def late_ms(self) -> int:
        """0: a client that cannot keep up is reset."""
        return 0

    def _begin_anew(self) -> Iterator[BookEvent]:
        """Go to the newest record of the books that there are now."""
        self._history, self._generation = self._books.history, self._books.generation
        playback = Playback(self._history, self._history.records.count)
        playback.follow(self._events)
        for key, has_events in self._events.items():
            playback.cursor(key).has_events = has_events
        self._playback = playback
        self._views.clear()
        yield from self._resets()

    def _resets(self) -> Iterator[BookEvent]:
        for key, has_events in self._events.items():
            if has_events:
                cursor = self._playback.cursor(key)
                yield BookEvent(key, cursor.record, cursor.due_ns, NO_ROWS, is_reset=True)


_STATUSES = frozenset((AnswerWarning.COLD.value, AnswerWarning.STALE.value))
