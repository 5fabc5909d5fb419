"""Makes a connection in a thread, while ingest answers signals and the server.

The rule here: a name server, a silent host or a slow login delays nothing but its own connection. A
connection that comes after its run has ended is closed at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Lock, Thread

Connection = tuple[socket.socket, bytes]
"""A connected socket, and bytes of the feed that have been read from it already."""


class ConnectAttempt:
    """One attempt to connect; it begins at once.

    Args:
        connect: makes the connection.
        on_done: called in the attempt's thread once `result` has one, unless it is abandoned.
    """

    def __init__(self, connect: Callable[[], Connection], on_done: Callable[[], None]) -> None:
        self._connect, self._on_done = connect, on_done
        self._lock = Lock()
        self._is_abandoned = False
        self._connection: Connection | None = None
        self._error: BaseException | None = None
        self.is_done = False
        """Whether there is a result."""
        self._thread = Thread(target=self._run, name="batonics-connect", daemon=True)
        self._thread.start()

    def result(self) -> Connection:
        """The connection; raises what `connect` raised."""
        if self._error is not None:
            raise self._error
        if self._connection is None:
            raise AssertionError("the attempt is not done")
        return self._connection

    def abandon(self) -> None:
        """Close the connection as soon as there is one; nobody waits for it."""
        with self._lock:
            self._is_abandoned = True
        if self.is_done and self._connection is not None:
            self._connection[0].close()

    def _run(self) -> None:
        try:
            self._connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error
        with self._lock:
            if not self._is_abandoned:
                self.is_done = True
                self._on_done()
            elif self._connection is not None:
                self._connection[0].close()
