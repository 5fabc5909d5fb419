"""A live feed in, exact books out, for as long as it lasts.

The rule: ingest is a process of its own that serves nobody; who is served (HTTP, WebSocket, this
terminal) is so by another, which it starts and never waits for.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from batonics.book.snapshot import snapshot_records
from batonics.codec.gateway import ALL_SYMBOLS
from batonics.jobs import lake_append
from batonics.jobs.lake_load import DEFAULT_SCHEMAS
from batonics.lake.storage import open_store
from batonics.live.depth_snapshots import DepthSnapshotWriter
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import FeedSource, GatewayFeed, GatewaySubscription, PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.lake_output import LakeOutput
from batonics.live.protocol import MessageKind
from batonics.live.recorder import FeedRecorder, recover
from batonics.live.server_link import ServerLink
from batonics.model.errors import UsageError
from batonics.model.times import duration_ns, format_time, parse_time
from batonics.server.config import ServerConfig
from batonics.server.launch import ServerProcess, start_server
from batonics.sources.tcp import TcpAddress

KEY_VARIABLES = ("BATONICS_GATEWAY_KEY", "DATABENTO_API_KEY")


@dataclass(frozen=True)
class StreamRequest:
    """What is to be streamed, and for whom.

    Attributes:
        feed: where it comes from.
        depth: levels of each side that are published.
        once: the feed's end is the end; else it is connected to again and again.
        record: a directory for the raw feed and checkpoints, gone on from if it holds some.
        snapshots: a directory for depth snapshots, of each
        every: such interval of the feed's time (1s, 100ms).
        lake: a lake that what is taken is appended to, of
        lake_schemas: these schemas, committed each
        lake_seconds: so often.
        skip_bad: count and skip bad records where the framing survives.
        realtime: ingest runs before all that has no real-time priority.
        server: how it is served; its `http` and `view` may both say: not at all.
    """

    feed: FeedSource
    depth: int = 10
    once: bool = False
    record: str | None = None
    snapshots: str | None = None
    every: str | None = None
    lake: str | None = None
    lake_schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    lake_seconds: float = 60.0
    skip_bad: bool = False
    realtime: bool = False
    server: ServerConfig = field(default_factory=ServerConfig)


class Stream:
    """One run of the job.

    Attributes:
        machine: the books so far, and all that was counted.
        failure: why not all was recorded, if that is so: the books have gone on.
    """

    def __init__(self, request: StreamRequest) -> None:
        if request.depth < 1:
            raise UsageError(f"depth of {request.depth} levels, expected 1 or more")
        if (request.snapshots is None) != (request.every is None):
            raise UsageError("--snapshots and --every go together")
        self.failure: str | None = None
        self._request = request
        self._source = request.feed
        self.handler = FeedHandler(
            depth=request.depth, skip_bad=request.skip_bad, source=str(request.feed)
        )

    def run(self) -> None:
        """Take the feed until it ends, or SIGTERM or SIGINT asks for the end.

        Raises:
            InputError: with `once`, the feed could not be had or was lost.
            CheckpointError: what was recorded cannot be gone on from.
            OutputError: it cannot be served, or not be recorded at all.
        """
        request, recorder, files = self._request, None, None
        if request.record is not None:
            recorder = FeedRecorder(request.record)
            recorder.continue_from(recover(self.handler, request.record))
        with ExitStack() as stack:
            if request.snapshots is not None and request.every is not None:
                files = DepthSnapshotWriter(request.snapshots, request.depth)
                stack.callback(files.close)
                self.handler.write_depth_snapshots(duration_ns(request.every, "intervals"), files)
            if request.lake is not None:
                feed = self._lake_feed(request.lake)
                stack.callback(self._end_lake, feed)
            serving = ServerRunner(request.server, request.depth, str(self._source))
            stack.callback(serving.close)
            ingest = IngestLoop(
                self.handler,
                self._source,
                link=serving.start() if serving.is_wanted else None,
                restart_server=serving.start if serving.is_wanted else None,
                recorder=recorder,
                once=request.once,
            )
            if request.realtime:
                stack.enter_context(real_time())
            with _stopped_by_signals(ingest):
                ingest.run()
        writers = [writer for writer in (recorder, files) if writer is not None]
        failures = [writer.failure for writer in writers if writer.failure]
        self.failure = next(iter(failures), self.failure)

    def _lake_feed(self, lake: str) -> LakeOutput:
        """A process that appends to the lake, told of the books that there are already."""
        request, handler = self._request, self.handler
        append = lake_append.AppendRequest(
            lake, "", schemas=request.lake_schemas
        )  # refused now, if so
        open_store(lake, make=True)
        started = format_time(time.time_ns())
        arguments = ["--lake", lake, "--name", f"{self._source}, from {started}"]
        arguments += ["--schemas", ",".join(append.schemas)]
        arguments += ["--commit-every", f"{int(request.lake_seconds * 1_000)}ms"]
        quiet = ["--quiet"] if request.server.view else []
        feed = LakeOutput([sys.executable, "-m", "batonics", "lake", "append", *arguments, *quiet])
        feed.write_symbols(handler.symbols.intervals())
        feed.write(snapshot_records(handler.engine, max(handler.position.ts_recv, 0)))
        handler.output = feed
        return feed

    def _end_lake(self, feed: LakeOutput) -> None:
        feed.close()
        self.failure = self.failure or feed.failure


class ServerRunner:
    """The serving process, one after the other if need be.

    Args:
        config: how it is served; its `http` and `view` may both say: not at all.
        depth: levels of each side that are published.
        source: where the feed comes from, for people.
    """

    def __init__(self, config: ServerConfig, depth: int, source: str) -> None:
        self.is_wanted = config.http is not None or config.view
        self._config = config
        self._hello = {"depth": depth, "source": source, "version": 1}
        self._server: ServerProcess | None = None

    def start(self) -> ServerLink:
        """Start one, in the place of one that has gone.

        Raises:
            UsageError: what it shall serve is not safe; OutputError: it cannot listen, or start.
        """
        self.close()
        self._server = start_server(self._config)
        link = ServerLink(self._server.socket)
        link.queue(MessageKind.HELLO, self._hello)
        return link

    def close(self) -> None:
        """End it; harmless if it has ended."""
        if self._server is not None:
            self._server.close()


def build_feed(  # noqa: PLR0913 - settings, by keyword
    connect: str | None,
    gateway: str | None,
    *,
    idle_timeout_seconds: float | None = None,
    dataset: str | None = None,
    schema: str = "mbo",
    symbols: str = ALL_SYMBOLS,
    stype_in: str = "raw_symbol",
    snapshot: bool = False,
    start: str | None = None,
    heartbeat_s: int = 10,
) -> FeedSource:
    """The feed that was asked for: plain, from HOST:PORT of `connect`, or a gateway's.

    Raises:
        UsageError: not exactly one is named, or what a gateway needs is missing.
    """
    if (connect is None) == (gateway is None):
        raise UsageError("one of --connect and --gateway says where the feed is")
    if connect is not None:
        if dataset is not None or snapshot or start is not None:
            raise UsageError("--dataset, --snapshot and --start go with --gateway")
        return PlainFeed(TcpAddress.parse(connect), idle_timeout_seconds=idle_timeout_seconds)
    if schema != "mbo":
        raise UsageError(f"books are built from schema mbo, not from {schema}")
    if dataset is None:
        raise UsageError("--gateway needs --dataset, such as GLBX.MDP3")
    subscription = GatewaySubscription(
        dataset=dataset,
        symbols=tuple(name.strip() for name in symbols.split(",") if name.strip()),
        stype_in=stype_in,
        start_ns=None if start is None else parse_time(start),
        snapshot=snapshot,
        heartbeat_interval_s=heartbeat_s,
    )
    return GatewayFeed(TcpAddress.parse(gateway or ""), _key(), subscription)


def _key() -> str:
    for name in KEY_VARIABLES:
        if key := os.environ.get(name, "").strip():
            return key
    raise UsageError(f"--gateway needs a key in {' or '.join(KEY_VARIABLES)}")


@contextmanager
def real_time() -> Iterator[None]:
    """Within the block this thread runs before all others that are not as it is.

    Threads and processes that it starts are ordinary ones.

    Raises:
        UsageError: the machine does not let us.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        raise UsageError(
            f"--realtime: {error.strerror} (it needs CAP_SYS_NICE, or a limit: ulimit -r 1)"
        ) from None
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


@contextmanager
def _stopped_by_signals(ingest: IngestLoop) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT ask for a clean end."""
    before = {
        number: signal.signal(number, lambda *_: ingest.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
