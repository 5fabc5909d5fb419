"""A listening socket, and a thread for each client, which blocks only on the client's socket.

The rule here: one client never waits for another. Threads and open files are bounded: a client
beyond the limits of the settings is closed at once. Closing the server shuts down every socket,
which ends every thread.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from batonics.model.errors import OutputError
from batonics.settings.table import REPLAY_DEFAULTS, ReplaySettings
from batonics.sinks.logs import LogThrottle, logger
from batonics.sources.connection_limits import ConnectionCounts, limit_by_open_files
from batonics.sources.tcp import TcpAddress

RESET_DRAIN_S = 5.0
"""How long a reset waits until the client's machine has received what was sent."""
RESET_POLL_S = 0.01
JOIN_S = 2.0
"""How long `close` waits for the end of a thread."""
ACCEPT_RETRY_S = 0.05
OTHER_FILES = 64
"""Files that are open for other work than clients."""

_RESET = struct.pack("ii", 1, 0)


class TcpServer:
    """Accepts clients until it is closed.

    Args:
        listen: the address to listen on; port 0 lets the system choose.
        serve: called with each client's socket and address, in a thread of its own; the server
            closes the socket when it returns.
        settings: the most clients, and the size of send buffers: the larger it is, the less often
            a send waits.
        files_each: files that are open for each client besides its socket.

    Attributes:
        address: the address that the server listens on.

    Raises:
        OutputError: the server cannot listen on the address.
    """

    def __init__(
        self,
        listen: TcpAddress,
        serve: Callable[[socket.socket, str], None],
        settings: ReplaySettings = REPLAY_DEFAULTS,
        files_each: int = 0,
    ) -> None:
        self._serve, self._send_buffer_bytes = serve, settings.send_buffer_bytes
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        try:
            self._listener = socket.create_server(listen, family=family, backlog=128)
        except OSError as error:
            # The text of `create_server` has the address again; errors of names have no number.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else error.strerror or str(error)
            raise OutputError(f"cannot listen on {listen}: {reason.lower()}") from None
        self.address = TcpAddress(*self._listener.getsockname()[:2])
        self._log = logger("replay")
        self._throttle = LogThrottle(settings.refusal_log_interval_s)
        clients_max = self._limit_clients(settings.clients_max, 1 + files_each)
        self._counts = ConnectionCounts(clients_max, settings.clients_per_address_max)
        self._lock = threading.Lock()
        self._clients: dict[threading.Thread, socket.socket] = {}
        self._closed = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="batonics-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening, and end every client."""
        with self._lock:
            self._closed.set()
            clients = dict(self._clients)
        # `close` does not wake a thread that is in `accept`; `shutdown` does.
        for sock in (self._listener, *clients.values()):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._acceptor, *clients):
            thread.join(JOIN_S)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, peer = self._listener.accept()
            except OSError as error:
                if not self._closed.wait(ACCEPT_RETRY_S):
                    self._log_seldom("cannot_accept", reason=error.strerror)
                continue
            with self._lock:
                is_accepted = self._counts.acquire(peer[0])
            if not is_accepted:
                self._log_seldom("client_refused", remote=peer[0], reason="too many clients")
                sock.close()
                continue
            name = f"{peer[0]}:{peer[1]}"
            thread = threading.Thread(
                target=self._run, args=(sock, name), name=f"batonics-client-{name}", daemon=True
            )
            with self._lock:
                if self._closed.is_set():
                    sock.close()
                    return
                refused = self._start(thread, sock, peer[0])
            if refused is not None:
                self._log_seldom("client_refused", remote=peer[0], reason=refused)

    def _start(self, thread: threading.Thread, sock: socket.socket, address: str) -> str | None:
        """Start the thread of a client that was counted; why it cannot be, or None."""
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            self._counts.release(address)
            sock.close()
            return str(error)
        self._clients[thread] = sock
        return None

    def _run(self, sock: socket.socket, name: str) -> None:
        try:
            with sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve(sock, name)
        finally:
            with self._lock:
                self._clients.pop(threading.current_thread(), None)
                self._counts.release(name.rpartition(":")[0])

    def _limit_clients(self, wanted: int, files_each: int) -> int:
        """The most clients for which the system lets files be open."""
        allowed = limit_by_open_files(wanted, files_each=files_each, reserved=OTHER_FILES)
        if allowed < 1:
            self._listener.close()
            raise OutputError(
                f"the limit of open files is too low for a client, which needs {files_each};"
                " raise it (ulimit -n)"
            )
        if allowed < wanted:
            self._log.warning("clients_limited", clients_max=allowed, reason="ulimit -n")
        return allowed

    def _log_seldom(self, event: str, **facts: str | None) -> None:
        if self._throttle.is_due(event, time.monotonic()):
            self._log.warning(event, **facts)


def close_gracefully(sock: socket.socket, timeout_s: float) -> None:
    """End the stream, and wait until the client closes, for at most `timeout_s`."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(timeout_s)
        while sock.recv(1 << 16):
            pass


def reset_connection(sock: socket.socket) -> None:
    """Close a connection by a reset, after the client has received everything sent."""
    with suppress(OSError):
        deadline = time.monotonic() + RESET_DRAIN_S
        while _unacknowledged_bytes(sock) and time.monotonic() < deadline:
            time.sleep(RESET_POLL_S)
        # A reset must not arrive before the client's `connect` has returned.
        time.sleep(RESET_POLL_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def _unacknowledged_bytes(sock: socket.socket) -> int:
    """The number of bytes sent that the client's machine has not acknowledged."""
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(count)
