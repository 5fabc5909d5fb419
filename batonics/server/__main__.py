"""The serving process: `python -m batonics.server CONFIG`, which `launch` runs; see there.

The rule here: it ends when ingest does, and tells its clients why. SIGINT is ingest's to act on.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys

from batonics.model.errors import BatonicsError, OutputError
from batonics.server.config import (
    TOKEN_VARIABLE,
    ListenAddress,
    ServerConfig,
    check_config,
    read_token,
)

_BACKLOG = 512
_OTHER_FILES = 64


def main() -> None:
    """Serve until ingest ends; exit code 0, or that of the error that was told to `launch`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = ServerConfig.from_json(json.loads(sys.argv[1]))
    try:
        token = read_token()
        os.environ.pop(TOKEN_VARIABLE, None)  # nothing below has a use for it
        check_config(config, token)
        listener = _listen(config)
        _allow_files(config.limits.connections)
    except BatonicsError as error:
        _say(config.ready_fd, {"error": str(error), "exit_code": error.exit_code})
        sys.exit(error.exit_code)
    from batonics.server.serving import serve  # heavy: after what can go wrong at once

    def ready(address: ListenAddress | None) -> None:
        _say(config.ready_fd, {"http": None if address is None else str(address)})

    asyncio.run(serve(config, token, listener, ready))


def _listen(config: ServerConfig) -> socket.socket | None:
    """A socket that listens; OutputError if it cannot be."""
    address = config.address()
    if address is None:
        return None
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections inherit it: what lies in the kernel for a slow client is stale already.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.limits.send_buffer_bytes)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot listen on {address}: {why}") from None
    return listener


def _allow_files(connections: int) -> None:
    """Room for that many connections among the open files, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _say(ready_fd: int, what: dict[str, str | int | None]) -> None:
    with os.fdopen(ready_fd, "w") as ready:
        ready.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    main()
