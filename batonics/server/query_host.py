"""The process that forks a worker for each SQL query: `python -m batonics.server.query_host FD`.

The rule here: all that a worker needs is imported once, and nothing else is done before the fork,
so a worker costs milliseconds and shares nothing with the one before it. The host reads no query:
the server passes it a socket for each, which a worker takes over (`query_worker.work`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from batonics.server.query_worker import work

NICENESS = 5
READY = b"r"


def main() -> None:
    """Fork a worker for each socket that comes, until the server has gone."""
    os.nice(NICENESS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets workers that have ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.sendall(READY)
        while True:
            _, sockets, _, _ = socket.recv_fds(control, 1, 1)
            if not sockets:
                return
            with socket.socket(fileno=sockets[0]) as connection:
                if os.fork() == 0:
                    control.close()
                    _work(connection)


def _work(connection: socket.socket) -> None:
    """Answer one query, and end this process."""
    code = 1
    try:
        # What a library prints before it aborts is no line of the server's log.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work(connection)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
