"""A client that never rests: keeps a serving process busy encoding JSON, and polls its metrics.

    python -m tests.bench.live_load HOST:PORT SECONDS SYMBOL

Requests are sent many at once and answers only counted by their bytes: what is busy is to be the
server, not its client.
"""

from __future__ import annotations

import socket
import sys
import time

AT_ONCE = 16
METRICS_EVERY_S = 0.5


def main() -> None:
    """Ask for books until the time is over; print how many bytes of answers came."""
    address = sys.argv[1]
    host, port = address.rsplit(":", 1)
    ask = f"GET /book?symbol={sys.argv[3]}&depth=10 HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    poll = f"GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    sock = socket.create_connection((host, int(port)))
    until, next_metrics, received, waiting = time.monotonic() + float(sys.argv[2]), 0.0, 0, 0
    while (now := time.monotonic()) < until:
        if waiting < AT_ONCE:
            sock.sendall(AT_ONCE * ask)
            waiting += AT_ONCE
        if now >= next_metrics:
            next_metrics = now + METRICS_EVERY_S
            sock.sendall(poll)
            waiting += 1
        data = sock.recv(1 << 20)
        received += len(data)
        waiting -= data.count(b"HTTP/1.1 ")
    print(received)


if __name__ == "__main__":
    main()
