"""The books of a live feed as a source of /v1/ws.

The rule here: a client sees the feed as it comes; it has no clock to move. Where the books have to
begin anew, because the server has lost the feed or a client could not keep up with it, each book
that is followed has an event that resets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from batonics.book.results import Levels
from batonics.history.book_cursor import NO_ROWS, BookEvent
from batonics.history.growing_history import GrowingHistory
from batonics.history.playback import Playback
from batonics.model.answers import AnswerWarning
from batonics.model.errors import UsageError
from batonics.model.times import format_time
from batonics.server.channel_messages import ClockMessage, RequestId
from batonics.server.channel_requests import ClockRequest
from batonics.server.channel_source import BookView, FollowedBook
from batonics.server.live_books import LiveBooks
from batonics.server.query_params import ProblemError
from batonics.sinks.book_json import book_condition

POLL_S = 0.01
"""How long a client waits for more when all records have passed."""
_CHANGED = -3
"""In place of a `seq`: the status of the book may have changed without a record."""
_NO_LEVELS = Levels(*(np.empty(0, np.int64) for _ in Levels._fields))


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
        self._viewed: dict[int, tuple[str, bool]] = {}  # the state of the feed at the last view

    def find(self, symbols: Sequence[str], publisher: int | None) -> list[FollowedBook]:
        """The books that symbols name now; ProblemError if one names none."""
        found = {}
        for symbol in symbols:
            key = self._books.answers.find_key(symbol, publisher)
            found[key] = FollowedBook(
                key,
                {
                    "symbol": symbol,
                    "publisher_id": key >> 32,
                    "instrument_id": key & 0xFFFFFFFF,
                },
            )
        return list(found.values())

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

    def leave(self, key: int) -> None:
        """Follow a book no longer."""
        del self._events[key]
        self._viewed.pop(key, None)
        self._playback.leave(key)

    def view(self, key: int) -> BookView:
        """A followed book as it is now."""
        self._viewed[key] = self._state
        cursor = self._playback.cursor(key)
        engine = cursor.engine
        if engine.book_count == 0:  # it has not begun
            cold = AnswerWarning.COLD
            return BookView(engine, _NO_LEVELS, cursor.record, cold.value, None, [cold.value])
        levels = engine.levels(0)
        as_of = self._history.as_of_due(engine, cursor.due_ns)
        condition = book_condition(engine, 0, levels, as_of)
        status, warnings = condition.status, [str(warning) for warning in condition.warnings]
        if not self._state[1] or engine.events_open()[0]:
            stale = AnswerWarning.STALE.value
            warnings = [text for text in warnings if text not in _STATUSES]
            status, warnings = stale, [*warnings, stale]
        trading = condition.trading
        trading_status = None if trading is None else trading.name.lower()
        return BookView(engine, levels, cursor.record, status, trading_status, warnings)

    def seq(self, key: int) -> int:
        """The `seq` of a followed book; it changes whenever the book may have changed."""
        if self._viewed.get(key) != self._state:
            return _CHANGED
        return self._playback.cursor(key).record

    def advance(self, now_s: float, rows_max: int) -> Iterator[BookEvent]:  # noqa: ARG002 - as BookSource
        """What happened up to now."""
        state, before = self._books.feed_state(), self._state
        self._state = state
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
        self._viewed.clear()
        yield from self._resets()

    def _resets(self) -> Iterator[BookEvent]:
        for key, has_events in self._events.items():
            if has_events:
                cursor = self._playback.cursor(key)
                yield BookEvent(key, cursor.record, cursor.due_ns, NO_ROWS, is_reset=True)


_STATUSES = frozenset((AnswerWarning.COLD.value, AnswerWarning.STALE.value))
