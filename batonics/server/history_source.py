"""The books of files as a source of /v1/ws: each session has a clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from batonics.history.book_cursor import BookEvent
from batonics.history.book_history import FileHistory
from batonics.history.playback import Playback
from batonics.model.errors import UsageError
from batonics.model.times import format_time
from batonics.server.channel_messages import ClockMessage, RequestId
from batonics.server.channel_requests import ClockRequest
from batonics.server.channel_source import BookView, FollowedBook
from batonics.server.cursor_view import cursor_view
from batonics.server.followed_books import find_books
from batonics.server.history_answers import HistoryAnswers
from batonics.server.history_params import parse_moment
from batonics.server.query_params import ProblemError


class HistorySource:
    """Books of a history; see `BookSource`.

    Args:
        history: the books.
        answers: which books a symbol names.
    """

    def __init__(self, history: FileHistory, answers: HistoryAnswers) -> None:
        self._history, self._answers = history, answers
        self._playback = Playback(history)
        self._time_ns = self._playback.clock.time_ns(0.0)  # of what has passed
        self._views: dict[int, BookView] = {}

    def find(self, symbols: Sequence[str], publisher: int | None) -> list[FollowedBook]:
        """The books that symbols name now; ProblemError if one names none."""
        return find_books(self._answers.names, symbols, publisher, self._time_ns)

    def follow(self, keys: Iterable[int]) -> None:
        """Follow books; harmless for those that are followed."""
        self._playback.follow(keys)

    def set_events(self, key: int, *, has_events: bool) -> None:
        """Say whether each event of a book is asked for, or only what comes of them."""
        self._playback.cursor(key).has_events = has_events
        self._views.pop(key, None)

    def leave(self, key: int) -> None:
        """Follow a book no longer."""
        self._playback.leave(key)
        self._views.pop(key, None)

    def view(self, key: int) -> BookView:
        """A followed book as it is now."""
        cursor, found = self._playback.cursor(key), self._views.get(key)
        if found is None or found.engine is not cursor.engine or found.seq != cursor.record:
            found = self._views[key] = cursor_view(cursor, self._history)
        return found

    def seq(self, key: int) -> int:
        """The `seq` of a followed book; it changes whenever the book may have changed."""
        return self._playback.cursor(key).record

    def advance(self, now_s: float, rows_max: int) -> Iterator[BookEvent]:
        """What happened up to now, as `Playback.advance` says."""
        if self._playback.clock.is_playing:
            yield from self._playback.advance(now_s, rows_max)
            self._time_ns = self._playback.clock.time_ns(now_s)

    def delay_s(self, now_s: float) -> float | None:
        """For how long, in seconds, nothing can happen; None: until a request."""
        clock = self._playback.clock
        if not clock.is_playing:
            return None
        due_ns = self._playback.next_due_ns()
        return 0.0 if due_ns is None else clock.delay_s(due_ns, now_s)

    def control(self, request: ClockRequest, now_s: float) -> Iterator[BookEvent]:
        """Carry out a request for the clock; ProblemError if that cannot be done."""
        clock = self._playback.clock
        try:
            if request["op"] == "play":
                clock.play(now_s, request.get("speed"))
            elif request["op"] == "pause":
                self._playback.stop(now_s)
            elif request["op"] == "speed":
                clock.set_speed(request["speed"], now_s)
            elif request["op"] == "seek":
                self._playback.seek(parse_moment({"at": request["at"]}, "at"), now_s)
            else:
                self._playback.stop(now_s)
                if request["events"] < 0:
                    self._playback.step_back(-request["events"], now_s)
                else:
                    yield from self._playback.step(request["events"], now_s)
        except UsageError as error:
            raise ProblemError(410, "Outside the data", str(error)) from None
        finally:
            self._time_ns = clock.time_ns(now_s)

    def clock(self, now_s: float, request_id: RequestId) -> ClockMessage:
        """What the clock shows."""
        clock, place = self._playback.clock, self._playback.place
        return {
            "type": "clock",
            "at": format_time(clock.time_ns(now_s)) or "",
            "record": place - 1 if place else None,
            "is_playing": clock.is_playing,
            "speed": clock.speed,
            "has_ended": self._playback.has_ended,
            "id": request_id,
        }

    def late_ms(self) -> int:
        """For how long the clock has waited in all, in milliseconds."""
        return int(self._playback.clock.late_s * 1e3)
