"""A client that never rests: keeps a serving process busy encoding JSON, and polls its metrics.

    python -m tests.bench.live_load HOST:PORT SECONDS SYMBOL

Requests are sent many at once and answers only counted by their bytes: what is busy is to be the
server, not its client.
"""

from __future__ import annotations

import select
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
    until, next_metrics, received = time.monotonic() + float(sys.argv[2]), 0.0, 0
    while (now := time.monotonic()) < until:
        sock.sendall(AT_ONCE * ask)
        if now >= next_metrics:
            next_metrics = now + METRICS_EVERY_S
            sock.sendall(poll)
        # Whoever asks again as soon as the first answers come never lets the server rest.
        received += len(sock.recv(1 << 20))
        while select.select([sock], [], [], 0)[0]:
            received += len(sock.recv(1 << 20))
    print(received)


if __name__ == "__main__":
    main()
