"""Runs SQL queries in processes of their own, a few at a time.

The rule here: the server never waits for a query beyond its deadline, reads no more of an answer
than its limit, and goes on whatever becomes of the process. `query_host` forks the processes; if it
has ended, the next query starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys

import orjson

from batonics.model.errors import OutputError
from batonics.server.query_host import READY
from batonics.server.query_worker import (
    WorkerAnswer,
    WorkerLimits,
    WorkerRequest,
    too_much_memory,
)
from batonics.settings.loader import environment_without_secrets

GRACE_S = 2.0
"""Seconds after the deadline in which the system ends a process, at the most."""
START_TIMEOUT_S = 60.0
_ALLOCATORS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Others reserve more address space than a query may have, whether they use it or not."""
_HEAD_BYTES_MAX = 1 << 16


class BusyQueriesError(Exception):
    """As many queries run as may."""


class QueryProcesses:
    """Runs queries over a lake.

    Args:
        queries_max: how many run at a time.
        limits: what each may take.
    """

    def __init__(self, queries_max: int, limits: WorkerLimits) -> None:
        self._queries_max, self._limits = queries_max, limits
        self._running = 0
        self._host: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def run(self, request: WorkerRequest) -> WorkerAnswer:
        """The answer to a query.

        Raises:
            BusyQueriesError: as many queries run as may. OutputError: the host cannot be started.
        """
        if self._running >= self._queries_max:
            raise BusyQueriesError
        self._running += 1
        try:
            return await self._run(request)
        finally:
            self._running -= 1

    async def start(self) -> None:
        """Start the host, unless it runs.

        Raises:
            OutputError: it does not start.
        """
        async with self._starting:
            if self._host is not None and self._host.poll() is None:
                return
            self.close()
            ours, theirs = socket.socketpair()
            with theirs:
                self._control = ours
                self._host = _spawn_host(theirs.fileno())
            ours.settimeout(0)
            loop, ready = asyncio.get_running_loop(), b""
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_S):
                    ready = await loop.sock_recv(ours, 1)
            if ready != READY:
                self.close()
                raise OutputError("the process for SQL queries does not start")

    def close(self) -> None:
        """End all queries, and the host."""
        if self._control is not None:
            self._control.close()
        if self._host is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._host.pid, signal.SIGKILL)
            self._host.wait()
        self._host = self._control = None

    async def _run(self, request: WorkerRequest) -> WorkerAnswer:
        await self.start()
        assert self._control is not None  # noqa: S101 - for mypy: that is what start does
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"q"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise OutputError("the process for SQL queries has ended; ask again") from None
        answer_bytes = request.limits.answer_bytes + _HEAD_BYTES_MAX
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_HEAD_BYTES_MAX)
        seconds, loop = self._limits.seconds, asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(seconds + GRACE_S):
                document = orjson.dumps({**request._asdict(), "limits": list(request.limits)})
                writer.write(len(document).to_bytes(8, "little") + document)
                answer = await _read_answer(reader, answer_bytes)
        except TimeoutError:
            self.close()  # the system did not end the process
            answer = None
        finally:
            writer.close()
        if answer is not None:
            return answer
        if loop.time() - started >= seconds:
            return WorkerAnswer(
                422,
                "Too long a query",
                f"the query was stopped after {seconds:g} s: read fewer rows",
            )
        return too_much_memory(request.limits.memory_bytes)


def _spawn_host(control: int) -> subprocess.Popen[bytes]:
    """Start the host, which has this descriptor of its control socket."""
    return subprocess.Popen(  # noqa: S603 - this interpreter, our own module
        [sys.executable, "-P", "-m", "batonics.server.query_host", str(control)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(control,),
        env={**environment_without_secrets(), **_ALLOCATORS},
        start_new_session=True,  # it is ended with all its workers, and not by ^C
    )


async def _read_answer(reader: asyncio.StreamReader, bytes_max: int) -> WorkerAnswer | None:
    """The answer of a worker; None: it has ended without one."""
    try:
        head = await reader.readuntil(b"\n")
        pieces, size = [], 0
        while piece := await reader.read(_HEAD_BYTES_MAX):
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                return None
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    status, title, detail, body_bytes = orjson.loads(head)
    return WorkerAnswer(status, title, detail, b"".join(pieces)) if size == body_bytes else None
