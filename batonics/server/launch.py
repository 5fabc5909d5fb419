"""Starts the serving process; ingest calls this.

The rule here: once the server has started, the caller never waits for it again; if it does not
start, one line says why. This runs in the process that folds, so it imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace

from batonics.live.child_signals import signals_left_to_parent
from batonics.model.errors import BatonicsError, OutputError, UsageError
from batonics.server.config import ServerConfig, check_config
from batonics.settings.loader import environment_without_secrets

_READY_BYTES_MAX = 1 << 16
RESTORE_TERMINAL = "\x1b[?1049l\x1b[?25h"
"""The escape codes that restore a terminal's screen and cursor."""


@dataclass
class ServerProcess:
    """The serving process, as ingest sees it.

    Attributes:
        socket: the non-blocking socket to it, for messages of `live.protocol`.
        address: the address that it listens on, such as `127.0.0.1:8080`; None without HTTP.
    """

    socket: socket.socket
    address: str | None
    _process: subprocess.Popen[bytes]
    _view: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code of the ended process; TimeoutError after `timeout` seconds."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the server still runs after {timeout} s") from None
        if code < 0 and self._view and sys.stdout.isatty():
            self._view = False
            sys.stdout.write(RESTORE_TERMINAL)  # it was killed, and could not do it itself
            sys.stdout.flush()
        return code

    def terminate(self) -> None:
        """Send SIGTERM; harmless if the process has ended."""
        self._process.terminate()

    def close(self, timeout: float = 5.0) -> int:
        """Close the socket, at which the process ends; kill it after `timeout` seconds."""
        self.socket.close()
        try:
            return self.wait(timeout)
        except TimeoutError:
            self._process.kill()
            return self.wait()


def start_server(config: ServerConfig) -> ServerProcess:
    """Start the serving process and wait until it listens.

    Raises:
        UsageError: the settings are not safe to serve with, or make no sense.
        OutputError: the process cannot listen, or does not start.
    """
    check_config(config)
    start_timeout_s = config.settings.start_timeout_s
    with contextlib.ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.callback(theirs.close)
        read_fd, write_fd = os.pipe()
        reading = stack.enter_context(os.fdopen(read_fd, "rb", buffering=0))
        with os.fdopen(write_fd, "wb", buffering=0) as writing:
            config = replace(config, fd=theirs.fileno(), ready_fd=writing.fileno())
            process = _spawn(config)
        try:
            address = _await_ready(process, reading.fileno(), time.monotonic() + start_timeout_s)
        except BaseException:
            ours.close()
            process.kill()
            process.wait()
            raise
    ours.settimeout(0)
    return ServerProcess(ours, address, process, config.view)


def _spawn(config: ServerConfig) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "batonics.server"]
    token = config.settings.token
    document = {"config": config.as_json(), "token": token.reveal() if token else None}
    descriptors = config.fd, config.ready_fd, config.log_fd, config.checkpoint_fd
    with signals_left_to_parent():
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            stdin=subprocess.PIPE,
            pass_fds=[descriptor for descriptor in descriptors if descriptor >= 0],
            env=environment_without_secrets(),
        )
    _lower_priority(process.pid, config.settings.niceness)
    assert process.stdin is not None  # noqa: S101 - for mypy: it is a pipe
    # A process that has ended is reported by `_await_ready`.
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(json.dumps(document).encode())
    return process


def _lower_priority(process_id: int, niceness: int) -> None:
    """Let ingest run first where both processes want the same processor."""
    processors = sorted(os.sched_getaffinity(process_id))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process_id, niceness)
        if len(processors) > 1:  # the first is left to the feed
            os.sched_setaffinity(process_id, processors[1:])


def _await_ready(process: subprocess.Popen[bytes], fd: int, deadline: float) -> str | None:
    """The address that the process listens on, from the line that it writes then."""
    line = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise OutputError("the server process did not become ready in time")
            piece = os.read(fd, _READY_BYTES_MAX)
            if not piece:
                raise OutputError(f"the server process has ended, exit code {process.wait()}")
            line += piece
    report = json.loads(line)
    if "error" in report:
        is_usage = report["exit_code"] == UsageError.exit_code
        error: type[BatonicsError] = UsageError if is_usage else OutputError
        raise error(report["error"])
    return None if report["http"] is None else str(report["http"])
