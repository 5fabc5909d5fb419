"""A live feed in, exact books out, for as long as it lasts.

The rule: this process ingests and answers nobody. Another process, which this one starts and never
waits for, serves HTTP, WebSockets and the terminal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations

from batonics.book.snapshot import snapshot_records
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.jobs import lake_append
from batonics.jobs.reconstruct import BookOutput
from batonics.lake.storage import open_store
from batonics.live.depth_snapshots import DepthSnapshotWriter
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import FeedSource, GatewayFeed, GatewaySubscription, PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.lake_output import LakeOutput
from batonics.live.log_checkpoint import LogOutput
from batonics.live.protocol import MessageKind
from batonics.live.recorder import FeedRecorder
from batonics.live.recording import recover
from batonics.live.server_link import ServerLink
from batonics.model.answers import AsOf
from batonics.model.errors import UsageError
from batonics.model.symbols import ALL_SYMBOLS
from batonics.model.times import duration_ns, format_time
from batonics.server.config import ServerConfig
from batonics.server.launch import ServerProcess, start_server
from batonics.settings.loader import current
from batonics.settings.table import SETTINGS, LiveSettings, Settings
from batonics.sinks.atomic import open_atomic
from batonics.sinks.book_json import find_book_format, write_books
from batonics.sources.statuses import read_statuses
from batonics.sources.tcp import TcpAddress

SIGNAL_REPEAT_S = 2.0
"""Signals within this time are one request: `timeout` signals its child and then the group."""


@dataclass(frozen=True)
class StreamRequest:
    """A live feed, and what is made of it.

    Attributes:
        feed: the source of the feed.
        once: the job ends with the feed's connection. Else it reconnects again and again.
        record: a directory for the raw feed and checkpoints. A recording that is there continues.
        snapshots: a directory for depth snapshots. It needs `every`.
        every: the interval of depth snapshots in the feed's time, such as `1s` or `100ms`.
        lake: a lake that the feed's rows are appended to.
        statuses: files of the schema status, for `lake`; empty: the status records of the feed.
        session: hours or a calendar for `lake`, for books without a status; None: not known.
        skip_bad: bad records are counted and skipped where the framing survives.
        books: the file of the books at the end; None: none is written.
        view: this terminal shows the books.
        quiet: processes that the job starts log errors only.
        settings: limits and paces; the sections `lake`, `live`, `log` and `server` count.
    """

    feed: FeedSource
    once: bool = False
    record: str | None = None
    snapshots: str | None = None
    every: str | None = None
    lake: str | None = None
    statuses: tuple[str, ...] = ()
    session: str | None = None
    skip_bad: bool = False
    books: BookOutput | None = None
    view: bool = False
    quiet: bool = False
    settings: Settings = field(default_factory=current)


class Stream:
    """One run of the job.

    Attributes:
        handler: the books so far, and all counts.
        failure: why the recording or the lake is incomplete, None if it is complete. Books are
            complete in any case.
    """

    def __init__(self, request: StreamRequest) -> None:
        if (request.snapshots is None) != (request.every is None):
            raise UsageError("--snapshots and --every go together")
        _check_directories(request)
        if request.lake is None and (request.statuses or request.session is not None):
            raise UsageError("--statuses and --session are for the rows of --lake")
        self.failure: str | None = None
        self._request = request
        self._source = request.feed
        self.handler = FeedHandler(
            depth=request.settings.live.depth,
            skip_bad=request.skip_bad,
            source=str(request.feed),
            settings=request.settings.input,
        )

    def run(self) -> None:
        """Follow the feed until it ends, or until SIGTERM or SIGINT, and write the books.

        Raises:
            UsageError: the name of the file of books says another format.
            InputError: with `once`, the connection cannot be made or is lost.
            CheckpointError: the recording's checkpoint cannot be used.
            OutputError: the server cannot start, or the books or the recording cannot be written.
        """
        books = self._request.books
        with ExitStack() as signals:
            if books is None:
                self._follow(signals)
                return
            book_format = find_book_format(books.path, books.book_format)
            # The output is opened before the feed, so a run finds at once that it cannot write.
            with open_atomic(books.path) as file:
                self._follow(signals)
                write_books(
                    file,
                    self.handler.engine,
                    self.handler.symbols,
                    book_format=book_format,
                    depth=books.depth,
                    orders=books.orders,
                    as_of=AsOf(data=self.handler.data),
                )

    def _follow(self, signals: ExitStack) -> None:
        """Follow the feed; from its beginning until `signals` closes, signals ask for the end."""
        request, live = self._request, self._request.settings.live
        recorder, files = None, None
        if request.record is not None:
            recorder = FeedRecorder(request.record, live)
            recorder.continue_from(recover(self.handler, request.record))
        with ExitStack() as stack:
            if request.snapshots is not None and request.every is not None:
                files = DepthSnapshotWriter(request.snapshots, live.depth, live)
                stack.callback(files.close)
                self.handler.write_depth_snapshots(duration_ns(request.every, "intervals"), files)
            if request.lake is not None:
                output = self._open_lake(request.lake)
                stack.callback(self._close_lake, output)
            log = self._open_log(stack)
            server = ServerRunner(self._server_config(), live.depth, str(self._source), log)
            stack.callback(server.close)
            ingest = IngestLoop(
                self.handler,
                self._source,
                link=server.start() if server.is_needed else None,
                restart_server=server.start if server.is_needed else None,
                recorder=recorder,
                once=request.once,
                settings=live,
            )
            if live.realtime:
                stack.enter_context(real_time())
            signals.enter_context(_stopped_by_signals(ingest))
            ingest.run()
        writers = [writer for writer in (recorder, files) if writer is not None]
        failures = [writer.failure for writer in writers if writer.failure]
        self.failure = next(iter(failures), self.failure)

    def _open_log(self, stack: ExitStack) -> LogOutput | None:
        """The log that the serving process reads; None: it answers no requests."""
        settings, handler = self._request.settings, self.handler
        if settings.server.http is None:
            return None
        log = LogOutput(settings.live.log_bytes, handler.stats.records)
        stack.callback(log.close)
        handler.outputs.append(log.writer)
        return log

    def _server_config(self) -> ServerConfig:
        settings = self._request.settings
        request = self._request
        return ServerConfig(settings.server, request.view, settings.log.json, request.quiet)

    def _open_lake(self, lake: str) -> LakeOutput:
        """A process that appends to the lake; it begins with the books as they are."""
        request, handler, settings = self._request, self.handler, self._request.settings.lake
        # What cannot be appended is refused here, not by the process.
        append = lake_append.AppendRequest(lake, "", schemas=settings.schemas)
        read_statuses(request.statuses)
        if request.session is not None:
            find_sessions(request.session)
        open_store(lake, make=True)
        started = format_time(time.time_ns())
        arguments = ["--lake", lake, "--name", f"{self._source}, from {started}"]
        arguments += ["--schemas", ",".join(append.schemas)]
        arguments += ["--commit-every", f"{int(settings.commit_interval_s * 1_000)}ms"]
        arguments += [word for path in request.statuses for word in ("--statuses", path)]
        arguments += [] if request.session is None else ["--session", request.session]
        arguments += ["--quiet"] if request.view or request.quiet else []
        arguments += ["--log-json"] if request.settings.log.json else []
        command = [sys.executable, "-m", "batonics", "lake", "append", *arguments]
        output = LakeOutput(command, request.settings.live)
        output.write_symbols(handler.symbols.intervals())
        output.write_statuses(handler.status_records.values())
        output.write(snapshot_records(handler.engine, max(handler.position.ts_recv, 0)))
        handler.outputs.append(output)
        return output

    def _close_lake(self, output: LakeOutput) -> None:
        output.close()
        self.failure = self.failure or output.failure


def _check_directories(request: StreamRequest) -> None:
    """Refuse two outputs in one directory."""
    outputs = {
        "--record": request.record,
        "--snapshots": request.snapshots,
        "--lake": request.lake,
    }
    named = {name: os.path.realpath(path) for name, path in outputs.items() if path is not None}
    for (one, path), (other, other_path) in combinations(named.items(), 2):
        if path == other_path:
            raise UsageError(f"{one} and {other}: a directory for each, not {path} for both")


class ServerRunner:
    """Runs the serving process, and another one where it has died.

    Args:
        config: what is served.
        depth: levels of each side that are published.
        source: the feed's name for people.
        log: the log that servers read; None: there is none.

    Attributes:
        is_needed: there is something to serve: HTTP or the terminal.
    """

    def __init__(
        self, config: ServerConfig, depth: int, source: str, log: LogOutput | None = None
    ) -> None:
        self.is_needed = config.settings.http is not None or config.view
        self._config, self._log = config, log
        self._hello = {"depth": depth, "source": source, "version": 1}
        self._server: ServerProcess | None = None

    def start(self) -> ServerLink:
        """Start a server, after closing the one before it.

        Raises:
            UsageError: the settings are not safe to serve with.
            OutputError: the server cannot listen, or does not start.
        """
        self.close()
        config = self._config
        if self._log is not None:
            config = replace(
                config,
                log_fd=self._log.writer.descriptor,
                checkpoint_fd=self._log.checkpoint_descriptor,
            )
        self._server = start_server(config)
        link = ServerLink(self._server.socket, self._log)
        link.queue(MessageKind.HELLO, self._hello)
        return link

    def close(self) -> None:
        """End the server; harmless if it has ended."""
        if self._server is not None:
            self._server.close()


@dataclass(frozen=True)
class FeedAddress:
    """Where a feed is, and what a gateway is asked for.

    Attributes:
        connect: HOST:PORT of a plain feed.
        gateway: HOST:PORT of a gateway that speaks the vendor's live protocol.
        dataset: the gateway's dataset, such as `GLBX.MDP3`.
        schema: the gateway's schema; books derive from `mbo` alone.
        symbols: names, `A,B,C`, or ALL_SYMBOLS.
        stype_in: the type of these names.
        snapshot: the gateway begins with a snapshot of the books.
        start_ns: the time of the first record that the gateway sends.
    """

    connect: str | None = None
    gateway: str | None = None
    dataset: str | None = None
    schema: str = "mbo"
    symbols: str = ALL_SYMBOLS
    stype_in: str = "raw_symbol"
    snapshot: bool = False
    start_ns: int | None = None


def connect_feed(address: FeedAddress, settings: LiveSettings) -> FeedSource:
    """The feed at an address: a plain one, or a gateway's. The connection is not made yet.

    Raises:
        UsageError: the address names no feed or two, or a gateway needs more.
    """
    if (address.connect is None) == (address.gateway is None):
        raise UsageError("one of --connect and --gateway says where the feed is")
    if address.connect is not None:
        if address.dataset is not None or address.snapshot or address.start_ns is not None:
            raise UsageError("--dataset, --snapshot and --start go with --gateway")
        return PlainFeed(TcpAddress.parse(address.connect), settings)
    if address.schema != "mbo":
        raise UsageError(f"books are built from schema mbo, not from {address.schema}")
    if address.dataset is None:
        raise UsageError("--gateway needs --dataset, such as GLBX.MDP3")
    key = settings.gateway_key
    if not key:
        variables = SETTINGS["live.gateway_key"].variables
        raise UsageError(f"--gateway needs a key in {' or '.join(variables)}")
    subscription = GatewaySubscription(
        dataset=address.dataset,
        symbols=tuple(name.strip() for name in address.symbols.split(",") if name.strip()),
        stype_in=address.stype_in,
        start_ns=address.start_ns,
        snapshot=address.snapshot,
        heartbeat_interval_s=settings.gateway_heartbeat_interval_s,
    )
    return GatewayFeed(TcpAddress.parse(address.gateway or ""), key, subscription, settings)


@contextmanager
def real_time() -> Iterator[None]:
    """Within the block this thread has real-time priority (SCHED_FIFO).

    Threads and processes that it starts have ordinary priority.

    Raises:
        UsageError: the system refuses.
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
    """Within the block SIGTERM and SIGINT ask for a clean end; a much later one interrupts it."""
    asked_at: list[float] = []

    def stop(*_: object) -> None:
        now = time.monotonic()
        if asked_at and now - asked_at[0] > SIGNAL_REPEAT_S:
            raise KeyboardInterrupt
        asked_at.append(now)
        ingest.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
