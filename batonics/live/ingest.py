"""The loop of a live feed: connections, bytes, books, and whoever is told of them.

The rule here: one thread, which waits for the feed and for nothing else. It reads what has arrived
(up to READ_BYTES), folds it at once and tells what changed; so a batch is as large as the feed is
fast, and a slow reader of the books never shows in it.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from batonics.live.backoff import Backoff
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import MessageKind
from batonics.live.published_books import book_document
from batonics.live.recorder import FeedRecorder
from batonics.live.server_link import ServerLink, ServerRestarter
from batonics.live.stats import LATENCY_BOUNDS_US
from batonics.model.errors import BatonicsError, DamagedInputError, InputError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Action, Flag, Side
from batonics.sinks.logs import logger
from batonics.sources.chunks import READ_BYTES

STATS_INTERVAL_SECONDS = 0.25
"""Between two tellings of counts."""
DRAIN_SECONDS = 2.0
"""So long what has arrived is still taken once the end is asked for."""

NO_DESCRIPTOR = -1
"""In place of a file descriptor."""
_LATENCY_BOUNDS_NS = [1_000 * bound for bound in LATENCY_BOUNDS_US]


class FeedSource(Protocol):
    """Where a feed comes from.

    Attributes:
        hung_seconds: without a byte for so long the connection is given up; None: never.
        snapshot: connections begin with a snapshot of each book.
    """

    idle_timeout_seconds: float | None
    snapshot: bool

    def must_reconnect(self, handler: FeedHandler) -> bool:
        """Whether the connection is to be given up, as another will fill its gap."""

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:
        """A connected socket, and bytes of the feed that have been read already.

        Raises:
            OSError: there is no connection to be had now; it may be tried again.
            InputError: the other side refuses us; there is no use in trying again.
        """


def warm_up() -> None:
    """Load, or compile, what a feed needs before it comes: else it would wait for that.

    What there is by then is also left out of the garbage collector's rounds.
    """
    handler = FeedHandler(source="warm")
    handler.connected()
    record = np.zeros(1, MBO_DTYPE)
    record["length"], record["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
    record["action"], record["side"] = Action.CLEAR, Side.NONE
    record["flags"] = Flag.LAST
    handler.take(record.tobytes())
    for handler.snapshot in (False, True):
        handler.lost()
        handler.connected()
        handler.take(record.tobytes())
    gc.collect()
    gc.freeze()


BatchObserver = Callable[[FeedHandler, int, int], None]
"""Called after each batch with the machine, and when the batch was received and published, in ns of
the monotonic clock."""


class IngestLoop:
    """One run.

    Args:
        machine: what the feed comes to.
        source: where it comes from.
        link: to the process that serves the books, if there is one.
        relink: starts another such process, where one has gone.
        recorder: keeps the raw feed, if it is to be kept.
        once: the feed's end is the end; a connection that is lost is an error.
        watch: told of each batch.

    Attributes:
        wake: a file descriptor: a byte to it ends the wait (for a signal's handler).
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        handler: FeedHandler,
        source: FeedSource,
        *,
        link: ServerLink | None = None,
        restart_server: Callable[[], ServerLink] | None = None,
        recorder: FeedRecorder | None = None,
        once: bool = False,
        on_batch: BatchObserver | None = None,
    ) -> None:
        self._machine, self._source, self._link = handler, source, link
        self._recorder, self._once, self._watch = recorder, once, on_batch
        self._stopping = False
        self._log = logger("live")
        self._buffer = bytearray(READ_BYTES)
        self._next_tick = 0.0
        self._names_told = (-1, -1)
        self._relinker = (
            None if restart_server is None else ServerRestarter(restart_server, self._not_relinked)
        )
        self._asks: list[dict[str, Any]] = []
        # Whether it is waited for the link at all, and until it can be written to.
        self._is_polled = self._is_writing = False
        self._woken, self.wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self.wake, False)

    def stop(self) -> None:
        """End soon: what has arrived is still taken. From any thread, or a signal's handler."""
        self._stopping = True
        with suppress(OSError):  # it has been said already, or the run is over
            os.write(self.wake, b"x")

    def run(self) -> None:
        """Take the feed until it ends, or the end is asked for.

        Raises:
            InputError: with `once`, the feed could not be had, or was lost.
        """
        backoff = Backoff()
        warm_up()
        try:
            while not self._stopping:
                if self._connection(backoff) and self._once:
                    break
                if not self._stopping:
                    self._rest(backoff.next_seconds())
        finally:
            self._machine.ended()
            self._machine.count_books()
            if self._recorder is not None:
                self._recorder.close(self._machine)
            if self._relinker is not None:
                self._relinker.close()
            self._recorder = self._relinker = None
            self._say_goodbye()
            os.close(self._woken)
            os.close(self.wake)

    # ------------------------------------------------------------------ connections

    def _connection(self, backoff: Backoff) -> bool:
        """One connection, whatever becomes of it; whether the feed ended by itself."""
        handler = self._machine
        try:
            sock, head = self._source.connect(handler)
        except InputError as error:
            if self._once or handler.stats.connects == 0:
                raise
            self._log.warning("refused", source=str(self._source), reason=str(error))
            return False
        except OSError as error:
            reason = error.strerror or str(error)
            if self._once:
                raise InputError(f"{self._source}: cannot connect: {reason}") from None
            self._log.warning("cannot_connect", source=str(self._source), reason=reason)
            return False
        handler.snapshot = self._source.snapshot
        with sock:
            self._log.info("connected", source=str(self._source))
            if self._recorder is not None:
                self._recorder.begin(snapshot=self._source.snapshot)
            self._changed(handler.connected())
            before = handler.stats.records
            try:
                self._take_all(sock, head)
                handler.check_end()
                self._changed(handler.changes())
            except (OSError, DamagedInputError, InputError) as error:
                self._lost(error)
                return False
            finally:
                if handler.stats.records > before:
                    backoff.succeeded()
        if not self._stopping and not self._once:
            self._lost(None)
        return True

    def _lost(self, error: Exception | None) -> None:
        handler = self._machine
        handler.lost()
        reason = "the other side ended it" if error is None else str(error)
        # Who asks for the end may do so in the middle of a record.
        if self._once and error is not None and not self._stopping:
            if isinstance(error, BatonicsError):
                raise error
            raise InputError(f"{self._source}: the connection was lost: {reason}") from None
        self._log.warning("disconnected", reason=reason, records=handler.stats.records)
        self._tick()

    def _take_all(self, sock: socket.socket, head: bytes) -> None:
        """Take what a connection brings until it ends.

        Raises:
            OSError: it was reset, or hung; InputError: it makes no sense.
        """
        if head:
            self._take(memoryview(head), time.monotonic_ns())
        poll = self._poll(sock)
        view = memoryview(self._buffer)
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        heard, feed = time.monotonic(), sock.fileno()
        while True:
            now = time.monotonic()
            # Waiting first costs a call less than finding out that there is nothing.
            if not self._wait(poll, now, feed):
                if self._stopping:
                    return
                self._check_hung(now - heard)
                continue
            size = sock.recv_into(view)
            received_ns = time.monotonic_ns()
            if size == 0:
                return
            heard = received_ns / 1e9
            self._take(view[:size], received_ns)
            if self._source.must_reconnect(self._machine):
                raise ConnectionError("records are missing: joined again by snapshots")
            if self._stopping and self._is_drained(received_ns):
                return

    def _check_hung(self, silent_seconds: float) -> None:
        limit = self._source.idle_timeout_seconds
        if limit is not None and silent_seconds > limit:
            raise TimeoutError(f"silent for {silent_seconds:.0f} s")

    def _is_drained(self, now_ns: int) -> bool:
        """Whether enough was taken since the end was asked for."""
        if self._drain_until_ns is None:
            self._drain_until_ns = now_ns + int(DRAIN_SECONDS * 1e9)
        return now_ns > self._drain_until_ns

    _drain_until_ns: int | None = None

    def _take(self, data: memoryview, received_ns: int) -> None:
        handler = self._machine
        try:
            changed = handler.take(data)
        finally:
            if self._recorder is not None:
                self._recorder.write(data, handler)
        self._changed(changed)
        published_ns = time.monotonic_ns()
        self._count_latency(published_ns - received_ns)
        if self._watch is not None:
            self._watch(handler, received_ns, published_ns)
        if published_ns > self._next_tick * 1e9:
            self._tick()

    def _count_latency(self, taken_ns: int) -> None:
        stats = self._machine.stats
        stats.latency_us[bisect_left(_LATENCY_BOUNDS_NS, taken_ns)] += 1
        stats.latency_sum_us += taken_ns / 1e3

    # ------------------------------------------------------------------ whoever is told

    def _changed(self, books: NDArray[np.int64]) -> None:
        handler, link = self._machine, self._link
        if link is None or not link.is_open:
            return
        self._tell_names()
        link.mark_changed(books, len(handler.published.rows))
        link.flush(handler.published.rows)
        if self._asks:
            self._answer()

    def _tell_names(self) -> None:
        """Tell the names of books, where there are new ones."""
        handler = self._machine
        names_known = (handler.engine.book_count, len(handler.symbols))
        if self._link is not None and names_known != self._names_told:
            self._names_told = names_known
            self._link.tell(MessageKind.SYMBOLS, handler.names())

    def _answer(self) -> None:
        """Answer what was asked, but for books that are within an event: those, later."""
        handler, waiting = self._machine, []
        for ask in self._asks:
            book = ask["book"]
            if not 0 <= book < len(handler.published.rows):
                self._tell_answer({"id": ask["id"], "error": f"there is no book {book}"})
            elif handler.is_amid(book):
                waiting.append(ask)
            else:
                found = book_document(handler.engine, book, ask["depth"], orders=ask["orders"])
                seq = int(handler.published.rows["seq"][book])
                self._tell_answer({"id": ask["id"], "seq": seq, **found})
        self._asks = waiting

    def _tell_answer(self, value: dict[str, Any]) -> None:
        if self._link is not None:
            self._link.answer(value)
            self._link.flush(self._machine.published.rows)

    def _tick(self) -> None:
        """Tell counts, and let the recorder do what is due."""
        self._next_tick = time.monotonic() + STATS_INTERVAL_SECONDS
        handler = self._machine
        handler.count_books()
        stats = handler.stats
        if stats.ts_recv is not None:
            stats.lag_ns = time.time_ns() - stats.ts_recv
        if self._recorder is not None:
            self._recorder.tick(handler)
        link = self._relinked()
        if link is not None and link.is_open:
            stats.deferred_messages = link.deferred_messages
            link.tell(MessageKind.STATS, stats.as_json())
            link.flush(handler.published.rows)
            # A feed that never pauses is never waited for: what is asked is seen here.
            self._asks += link.asked()
            self._answer()

    def _relinked(self) -> ServerLink | None:
        """The link; another one where it has gone, as soon as that is there."""
        if self._link is None or self._link.is_open or self._relinker is None:
            return self._link
        link = self._relinker.link()
        if link is None:
            return self._link
        self._log.info("server_is_back")
        self._link, self._asks, self._names_told = link, [], (-1, -1)
        self._is_writing, self._is_polled = False, False
        rows = self._machine.published.rows
        self._tell_names()
        link.mark_changed(np.arange(len(rows)), len(rows))
        return link

    def _not_relinked(self, error: BatonicsError) -> None:
        self._log.error("server_not_back", reason=str(error))

    def _say_goodbye(self) -> None:
        if self._link is None:
            return
        self._tick()
        self._link.tell(MessageKind.BYE, {"reason": "the feed has ended"})
        deadline = time.monotonic() + DRAIN_SECONDS
        poll = select.poll()
        if self._link.is_open:
            poll.register(self._link, select.POLLOUT)
        while self._link.has_pending and time.monotonic() < deadline:
            poll.poll(50)
            self._link.flush(self._machine.published.rows)

    # ------------------------------------------------------------------ waiting

    def _poll(self, sock: socket.socket | None) -> select.poll:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN)
        if self._link is not None and self._link.is_open:
            poll.register(self._link, select.POLLIN)
            self._is_writing, self._is_polled = False, True
        return poll

    def _wait(self, poll: select.poll, now: float, feed: int) -> bool:
        """Wait until there is something to do, and do what is not the feed; whether the feed is."""
        if now >= self._next_tick:
            self._tick()
        link = self._link
        if link is not None and link.is_open and not self._is_polled:
            self._is_polled = True
            poll.register(link, select.POLLIN)
        if link is not None and link.is_open and link.has_pending != self._is_writing:
            self._is_writing = link.has_pending
            poll.modify(link, select.POLLIN | (select.POLLOUT if self._is_writing else 0))
        wait_ms = 0.0 if self._stopping else max(self._next_tick - now, 0) * 1e3
        has_arrived = False
        for descriptor, events in poll.poll(wait_ms):
            if descriptor == feed:
                has_arrived = True
            elif descriptor == self._woken:
                os.read(self._woken, 64)
            elif link is not None and link.is_open and descriptor == link.fileno():
                self._serve(link, writable=bool(events & select.POLLOUT))
            else:  # of a server that has gone
                poll.unregister(descriptor)
        return has_arrived

    def _serve(self, link: ServerLink, *, writable: bool) -> None:
        self._asks += link.asked()
        if self._asks:
            self._answer()
        if writable and link.is_open:
            link.flush(self._machine.published.rows)
        if not link.is_open:
            self._log.error("server_gone")

    def _rest(self, seconds: float) -> None:
        """Wait for the next try."""
        poll = self._poll(None)
        until = time.monotonic() + seconds
        while not self._stopping and (now := time.monotonic()) < until:
            self._next_tick = min(self._next_tick, until)
            self._wait(poll, now, NO_DESCRIPTOR)
