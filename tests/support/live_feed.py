"""A feed over a real socket, served by a thread: the bytes of each connection, and how it ends.

The rule: the connections of the list are served in order, one after the other; then the server is
closed.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import FeedSource
from batonics.live.ingest import IngestLoop

RESET = struct.pack("ii", 1, 0)
INGEST_SECONDS_MAX = 30
WAIT_SECONDS_MAX = 240
"""How long a connection is waited for, and the end of a pause: machines of tests may be busy."""


def ingest_records(handler: FeedHandler, source: FeedSource, records: int, **options: Any) -> None:
    """Ingest a feed until this many records have been taken, or INGEST_SECONDS_MAX are over."""
    ingest_until(handler, source, lambda: handler.stats.records >= records, **options)


def ingest_until(
    handler: FeedHandler, source: FeedSource, done: Callable[[], bool], **options: Any
) -> None:
    """Ingest a feed until `done` holds, or INGEST_SECONDS_MAX are over."""
    deadline = time.monotonic() + INGEST_SECONDS_MAX

    def on_batch(*_: object) -> None:
        if done() or time.monotonic() > deadline:
            run.stop()

    run = IngestLoop(handler, source, on_batch=on_batch, **options)
    run.run()


class ServedConnection(NamedTuple):
    """One connection.

    Attributes:
        data: its bytes.
        reset: whether it ends by a reset.
        pause: the end waits for it; None: it does not.
        chunk: the size of a send.
    """

    data: bytes
    reset: bool = False
    pause: threading.Event | None = None
    chunk: int = 1 << 16


class LiveFeed:
    """Serves the connections of a list, within a `with`."""

    def __init__(self, connections: Sequence[ServedConnection]) -> None:
        self.served = 0
        self._connections = connections
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(WAIT_SECONDS_MAX)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for serving in self._connections:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                try:
                    for at in range(0, len(serving.data), serving.chunk):
                        client.sendall(serving.data[at : at + serving.chunk])
                except OSError:
                    continue
                finally:
                    self.served += 1
                if serving.pause is not None:
                    serving.pause.wait(WAIT_SECONDS_MAX)
                if serving.reset:
                    time.sleep(0.1)  # or the client's `connect` fails
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
