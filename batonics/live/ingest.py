"""The loop of a live feed: connections, bytes, books, and publishing them.

The rule here: one thread waits for the feed and for nothing else. It reads what has arrived (up to
READ_BYTES), folds it at once and publishes what changed. So a faster feed makes larger batches, and
a slow reader of the books does not delay the feed. Whatever arrives, even a few bytes that inflate
to gigabytes, the thread looks up between two batches: it stops if asked to, and publishes.
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

import numpy as np
from numpy.typing import NDArray

from batonics.live.backoff import Backoff
from batonics.live.connecting import ConnectAttempt, Connection
from batonics.live.feed_handler import FeedHandler
from batonics.live.feed_pace import FeedPace
from batonics.live.feeds import FeedSource
from batonics.live.publisher import ServerPublisher
from batonics.live.recorder import FeedRecorder
from batonics.live.server_link import ServerLink
from batonics.live.stats import LATENCY_BOUNDS_US
from batonics.model.errors import BatonicsError, DamagedInputError, InputError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Action, Flag, Side
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sinks.logs import logger
from batonics.sources.chunks import READ_BYTES

NO_DESCRIPTOR = -1
"""A value that is no file descriptor."""
PUBLISH_NS = 50_000_000
"""While one read of the feed takes longer to fold, its books are published this often."""
_LATENCY_BOUNDS_NS = [1_000 * bound for bound in LATENCY_BOUNDS_US]


def warm_up() -> None:
    """Load or compile the kernels that a feed needs, so that the feed does not wait for them.

    It also exempts all objects that exist by then from garbage collection.
    """
    handler = FeedHandler(source="warm-up")
    handler.begin_connection()
    record = np.zeros(1, MBO_DTYPE)
    record["length"], record["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
    record["action"], record["side"] = Action.CLEAR, Side.NONE
    record["flags"] = Flag.LAST
    handler.process(record.tobytes())
    for handler.has_snapshot in (False, True):
        handler.end_connection()
        handler.begin_connection()
        handler.process(record.tobytes())
    gc.collect()
    gc.freeze()


BatchObserver = Callable[[FeedHandler, int, int], None]
"""Called after each batch with the handler, and with the times when the batch was received and
published, in ns of the monotonic clock."""


class IngestLoop:
    """One run of ingest.

    Args:
        handler: decodes and folds the feed.
        source: makes the connections.
        link: the link to the process that serves the books; None: nothing is served.
        restart_server: starts another such process when one has ended.
        recorder: records the raw feed; None: it is not recorded.
        once: whether the run ends with the feed, and a lost connection is an error.
        on_batch: called after each batch.
        settings: waits, intervals and time limits.

    Attributes:
        wake: a file descriptor; a byte written to it ends the wait (for a signal's handler).
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
        settings: LiveSettings = LIVE_DEFAULTS,
    ) -> None:
        self._handler, self._source = handler, source
        self._settings = settings
        self._publisher: ServerPublisher | None = None
        if link is not None:
            self._publisher = ServerPublisher(handler, link, restart_server, settings)
        self._recorder, self._once, self._on_batch = recorder, once, on_batch
        self._pace = FeedPace(settings.stall_timeout_s)
        self._is_stopping = False
        self._drain_until_ns: int | None = None
        self._log = logger("live")
        self._buffer = bytearray(READ_BYTES)
        self._next_tick = 0.0
        self._wake_reader, self.wake = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self.wake, False)

    def stop(self) -> None:
        """End the run soon; bytes that have arrived are still taken.

        Any thread may call it, and a signal's handler.
        """
        self._is_stopping = True
        self._end_wait()

    def _end_wait(self) -> None:
        with suppress(OSError):  # the pipe is full of such bytes, or the run is over
            os.write(self.wake, b"x")

    def run(self) -> None:
        """Take the feed until it ends or `stop` is called.

        Raises:
            InputError: with `once`, the connection failed or was lost.
        """
        backoff = Backoff(self._settings)
        self._log.info("connecting", source=str(self._source))
        warm_up()
        if self._publisher is not None:
            self._publisher.publish_all()  # recorded books are served before the feed is there
        try:
            while not self._is_stopping:
                if self._run_connection(backoff) and self._once:
                    break
                if not self._is_stopping:
                    self._wait_to_reconnect(backoff.next_seconds())
        finally:
            self._handler.end_feed()
            self._update_stats()
            if self._recorder is not None:
                self._recorder.close(self._handler)
            if self._publisher is not None:
                self._publisher.close()
            os.close(self._wake_reader)
            # A late call of `stop` must not write to a file that has the number by then.
            wake, self.wake = self.wake, NO_DESCRIPTOR
            os.close(wake)

    # ------------------------------------------------------------------ connections

    def _run_connection(self, backoff: Backoff) -> bool:
        """Run one connection until it is over; whether the feed ended by itself."""
        handler, source = self._handler, self._source
        try:
            connection = self._connect()
        except InputError as error:
            if self._once or handler.stats.connects == 0:
                raise
            self._log.warning("refused", source=str(source), reason=str(error))
            return False
        except OSError as error:
            reason = error.strerror or str(error)
            if self._once:
                raise InputError(f"{source}: cannot connect: {reason}") from None
            self._log.warning("cannot_connect", source=str(source), reason=reason)
            return False
        if connection is None:
            return False
        sock, first_bytes = connection
        handler.has_snapshot = source.has_snapshot
        with sock:
            self._log.info("connected", source=str(source))
            if self._recorder is not None:
                self._recorder.begin_connection(has_snapshot=source.has_snapshot)
            self._publish(handler.begin_connection())
            records_before = handler.stats.records
            try:
                self._receive_all(sock, first_bytes)
                handler.check_complete()
                self._publish(handler.take_changed_books())
            except (OSError, DamagedInputError, InputError) as error:
                self._end_connection(error)
                return False
            finally:
                if handler.stats.records > records_before:
                    backoff.reset()
        if not self._is_stopping and not self._once:
            self._end_connection(None)
        return True

    def _connect(self) -> Connection | None:
        """A connection of the feed; None if the run is to end before there is one.

        Raises:
            OSError, InputError: as `FeedSource.connect`.
        """
        attempt = ConnectAttempt(lambda: self._source.connect(self._handler), self._end_wait)
        poll = self._new_poll(None)
        while not attempt.is_done and not self._is_stopping:
            self._wait(poll, time.monotonic(), NO_DESCRIPTOR)
        if self._is_stopping:
            attempt.abandon()
            return None
        return attempt.result()

    def _end_connection(self, error: Exception | None) -> None:
        handler = self._handler
        handler.end_connection()
        reason = "the other side closed it" if error is None else str(error)
        # A request to stop may come in the middle of a record.
        if self._once and error is not None and not self._is_stopping:
            if isinstance(error, BatonicsError):
                raise error
            raise InputError(f"{self._source}: the connection was lost: {reason}") from None
        self._log.warning("disconnected", reason=reason, records=handler.stats.records)
        self._tick()

    def _receive_all(self, sock: socket.socket, first_bytes: bytes) -> None:
        """Process what a connection brings until it ends.

        Raises:
            OSError: the connection was reset, or is idle for too long.
            InputError: its bytes are not a feed.
        """
        if first_bytes:
            self._process(memoryview(first_bytes), time.monotonic_ns())
        poll = self._new_poll(sock)
        view = memoryview(self._buffer)
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        last_received, descriptor = time.monotonic(), sock.fileno()
        while True:
            now = time.monotonic()
            # A wait costs one call less than a read that finds nothing.
            if not self._wait(poll, now, descriptor):
                if self._is_stopping:
                    return
                self._check_silence(time.monotonic(), last_received)
                continue
            size = sock.recv_into(view)
            received_ns = time.monotonic_ns()
            if size == 0:
                return
            self._note_arrival(received_ns / 1e9, last_received)
            last_received = received_ns / 1e9
            self._process(view[:size], received_ns)
            if self._source.must_reconnect(self._handler):
                raise ConnectionError("records are missing: connecting again for snapshots")
            # Now, not when the bytes were received: `_fold` may have left some of them.
            if self._is_stopping and self._is_drained(time.monotonic_ns()):
                return

    def _check_silence(self, now: float, last_received: float) -> None:
        """Mark a feed that is silent for too long; TimeoutError if its connection is lost."""
        silence_s, limit = now - last_received, self._source.idle_timeout_seconds
        if limit is not None and silence_s > limit:
            raise TimeoutError(f"silent for {silence_s:.0f} s")
        is_stall = not self._source.has_heartbeats and silence_s > self._pace.stall_s(now)
        if is_stall and self._handler.begin_stall():
            self._log.warning("stalled", source=str(self._source), silent_s=round(silence_s, 1))
            self._tick()

    def _note_arrival(self, now: float, last_received: float) -> None:
        self._pace.note_pause(now - last_received, now)
        if self._handler.end_stall():
            self._log.info("stall_ended", silent_s=round(now - last_received, 1))
            self._tick()

    def _is_drained(self, now_ns: int) -> bool:
        """Whether the setting `drain_s` has passed since the first call after `stop`."""
        if self._drain_until_ns is None:
            self._drain_until_ns = now_ns + int(self._settings.drain_s * 1e9)
        return now_ns > self._drain_until_ns

    # ------------------------------------------------------------------ bytes

    def _process(self, data: memoryview, received_ns: int) -> None:
        handler = self._handler
        try:
            self._fold(data, received_ns)
        finally:
            if self._recorder is not None:
                self._recorder.write(data, handler)
        self._publish(handler.take_changed_books())
        published_ns = time.monotonic_ns()
        self._count_latency(published_ns - received_ns)
        if self._on_batch is not None:
            self._on_batch(handler, received_ns, published_ns)
        if published_ns > self._next_tick * 1e9:
            self._tick()

    def _fold(self, data: memoryview, received_ns: int) -> None:
        """Fold bytes of the feed; those that inflate for long are cut short at the end of a run."""
        publish_ns = received_ns + PUBLISH_NS
        for _ in self._handler.process_batches(data):
            now_ns = time.monotonic_ns()
            if self._is_stopping and self._is_drained(now_ns):
                return
            if now_ns > publish_ns:
                publish_ns = now_ns + PUBLISH_NS
                self._publish(self._handler.take_changed_books())
                if now_ns > self._next_tick * 1e9:
                    self._publish_stats()

    def _publish(self, books: NDArray[np.int64]) -> None:
        if self._publisher is not None:
            self._publisher.publish(books)

    def _count_latency(self, latency_ns: int) -> None:
        stats = self._handler.stats
        stats.latency_us[bisect_left(_LATENCY_BOUNDS_NS, latency_ns)] += 1
        stats.latency_sum_us += latency_ns / 1e3

    def _tick(self) -> None:
        """Publish stats, and let the recorder do what is due."""
        if self._recorder is not None:
            self._recorder.run_due_work(self._handler)
        self._publish_stats()

    def _publish_stats(self) -> None:
        self._next_tick = time.monotonic() + self._settings.stats_interval_s
        self._update_stats()
        if self._publisher is not None:
            self._publisher.publish_stats()

    def _update_stats(self) -> None:
        self._handler.update_counts()
        stats = self._handler.stats
        if stats.ts_recv is not None:
            stats.lag_ns = time.time_ns() - stats.ts_recv

    # ------------------------------------------------------------------ waiting

    def _new_poll(self, sock: socket.socket | None) -> select.poll:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        if sock is not None:
            poll.register(sock, select.POLLIN)
        if self._publisher is not None:
            self._publisher.register(poll)
        return poll

    def _wait(self, poll: select.poll, now: float, feed_descriptor: int) -> bool:
        """Wait until something is to be done, and do it; whether the feed has bytes."""
        if now >= self._next_tick:
            self._tick()
        publisher = self._publisher
        if publisher is not None:
            publisher.update_registration(poll)
        wait_ms = 0.0 if self._is_stopping else max(self._next_tick - now, 0) * 1e3
        has_arrived = False
        for descriptor, events in poll.poll(wait_ms):
            if descriptor == feed_descriptor:
                has_arrived = True
            elif descriptor == self._wake_reader:
                os.read(self._wake_reader, 64)
            elif publisher is None or not publisher.handle(descriptor, events):
                poll.unregister(descriptor)  # the link of a server that has ended
        return has_arrived

    def _wait_to_reconnect(self, seconds: float) -> None:
        poll = self._new_poll(None)
        until = time.monotonic() + seconds
        while not self._is_stopping and (now := time.monotonic()) < until:
            self._next_tick = min(self._next_tick, until)
            self._wait(poll, now, NO_DESCRIPTOR)
