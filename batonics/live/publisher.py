"""What ingest sends to the server, and when: names, books, stats, and responses to its requests.

The rule here: the feed never waits for the server. A server that has ended is replaced in the
background, and the new one is sent everything from the start.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import MessageKind
from batonics.live.published_books import response_document
from batonics.live.server_link import ServerLink, ServerRestarter
from batonics.model.errors import BatonicsError, OutputError
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sinks.logs import logger

FAREWELL_S = 2.0
"""How long the last messages may wait for the server."""


class ServerPublisher:
    """Publishes the books of a feed to the serving process.

    Args:
        handler: the feed.
        link: the link to the serving process.
        restart_server: starts another serving process when one has ended; None: nothing does.
        settings: time limits.
    """

    def __init__(
        self,
        handler: FeedHandler,
        link: ServerLink,
        restart_server: Callable[[], ServerLink] | None = None,
        settings: LiveSettings = LIVE_DEFAULTS,
    ) -> None:
        self._handler, self._link = handler, link
        self._restarter: ServerRestarter | None = None
        if restart_server is not None:
            self._restarter = ServerRestarter(
                restart_server, self._log_failed_restart, settings.server_restart_interval_s
            )
        self._log = logger("live")
        self._requests: list[dict[str, Any]] = []
        self._is_registered = self._is_writing = False

    def publish(self, books: NDArray[np.int64]) -> None:
        """Send the rows of books that changed, by number."""
        link = self._link
        if link.log is not None:
            link.log.writer.note_feed(self._handler.stats.feed)
        if not link.is_open:
            return
        self._send_names()
        rows = self._handler.published_books.rows
        link.mark_changed(books, len(rows))
        link.flush(rows)
        if self._requests:
            self._respond()

    def publish_all(self) -> None:
        """Send the rows of all books."""
        self.publish(np.arange(len(self._handler.published_books.rows)))

    def publish_stats(self) -> None:
        """Send the stats, and look after the server: restart it, read its requests."""
        link, stats = self._open_link(), self._handler.stats
        if self._link.log is not None:
            self._link.log.writer.note_feed(stats.feed)
        if link is None:
            return
        stats.deferred_messages = link.deferred_messages
        link.queue_stats(stats.as_json())
        link.flush(self._handler.published_books.rows)
        # A feed that never pauses is never waited for, so its poll reports no request.
        self._requests += link.read_requests()
        self._respond()

    def close(self) -> None:
        """Send the last stats and BYE, for at most FAREWELL_S; restart no server."""
        if self._restarter is not None:
            self._restarter.close()
            self._restarter = None
        self.publish_stats()
        link = self._link
        link.queue(MessageKind.BYE, {"reason": "the feed has ended"})
        deadline = time.monotonic() + FAREWELL_S
        poll = select.poll()
        if link.is_open:
            poll.register(link, select.POLLOUT)
        while link.has_pending and time.monotonic() < deadline:
            poll.poll(50)
            link.flush(self._handler.published_books.rows)

    # ------------------------------------------------------------------ polling

    def register(self, poll: select.poll) -> None:
        """Register the link with a new poll object."""
        self._is_registered = self._is_writing = False
        self.update_registration(poll)

    def update_registration(self, poll: select.poll) -> None:
        """Bring the registration up to date before a wait."""
        link = self._link
        if not link.is_open:
            return
        if not self._is_registered:
            self._is_registered = True
            poll.register(link, select.POLLIN)
        if link.has_pending != self._is_writing:
            self._is_writing = link.has_pending
            poll.modify(link, select.POLLIN | (select.POLLOUT if self._is_writing else 0))

    def handle(self, descriptor: int, events: int) -> bool:
        """Read and write as the poll reports; False if the descriptor is not the link's."""
        if not self._link.is_open or descriptor != self._link.fileno():
            return False
        self._serve(self._link, writable=bool(events & select.POLLOUT))
        return True

    def _serve(self, link: ServerLink, *, writable: bool) -> None:
        self._requests += link.read_requests()
        if self._requests:
            self._respond()
        if writable and link.is_open:
            link.flush(self._handler.published_books.rows)
        if not link.is_open:
            self._log.error("server_gone")

    # ------------------------------------------------------------------ messages

    def _send_names(self) -> None:
        """Queue the names of books that are new or have another name."""
        if changed := self._handler.update_names().take_changed():
            self._link.queue_names(changed)

    def _respond(self) -> None:
        """Respond to requests, except those for a book within an event: they wait for its end."""
        handler, waiting = self._handler, []
        rows = handler.published_books.rows
        for request in self._requests:
            if request.get("checkpoint"):
                if not self._send_checkpoint(request):
                    waiting.append(request)
                continue
            book = request["book"]
            if not 0 <= book < len(rows):
                self._send_response({"id": request["id"], "error": f"there is no book {book}"})
            elif handler.is_within_event(book):
                waiting.append(request)
            else:
                document = response_document(
                    handler.engine, book, request["depth"], orders=request["orders"]
                )
                seq = int(rows["seq"][book])
                self._send_response({"id": request["id"], "seq": seq, **document})
        self._requests = waiting

    def _send_checkpoint(self, request: dict[str, Any]) -> bool:
        """Respond to a request for a checkpoint once it is written; whether it is."""
        log = self._link.log
        document: dict[str, Any] = {"id": request["id"]}
        try:
            written = None if log is None else log.poll_checkpoint(self._handler)
        except OutputError as error:
            document["error"] = str(error)
        else:
            if written is None:
                return False
            document["bytes"] = written
        self._send_response(document)
        return True

    def _send_response(self, document: dict[str, Any]) -> None:
        self._link.queue_response(document)
        self._link.flush(self._handler.published_books.rows)

    # ------------------------------------------------------------------ restarts

    def _open_link(self) -> ServerLink | None:
        """The link if it is open, or that of a new server once it is ready."""
        if not self._link.is_open and self._restarter is not None:
            link = self._restarter.poll()
            if link is not None:
                self._log.info("server_is_back")
                self._replace_link(link)
        return self._link if self._link.is_open else None

    def _replace_link(self, link: ServerLink) -> None:
        """Send everything to a new server."""
        self._link, self._requests = link, []
        self._is_registered = self._is_writing = False
        rows = self._handler.published_books.rows
        link.queue_names(self._handler.update_names().rows())
        link.mark_changed(np.arange(len(rows)), len(rows))

    def _log_failed_restart(self, error: BatonicsError) -> None:
        self._log.error("server_not_back", reason=str(error))
