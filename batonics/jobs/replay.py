"""Files as a live feed: what is sent to each client, until the replay ends.

The rule: each client reads the files by itself, from its own position, so no client waits for
another.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace

from batonics.gateway.client_sender import (
    ClientChannel,
    ClientSender,
    FaultError,
    Heartbeat,
    ReplayClient,
    ReplayControl,
    SenderSettings,
    StoppedError,
)
from batonics.gateway.dbn_feed import DbnFeed, LengthPrefixedFeed, check_regular_files
from batonics.gateway.fault_injector import REPLAY_START, FaultInjector, ReplayPosition
from batonics.gateway.faults import Fault, Faults
from batonics.gateway.feed_pieces import FeedPiece, ReplayFeed, unit_index
from batonics.gateway.ndjson_feed import NdjsonFeed
from batonics.gateway.pacing import FULL_SPEED, Pace
from batonics.gateway.replay_files import ReplayFiles
from batonics.gateway.replay_positions import ReplayPositions
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.gateway.session import (
    LateLines,
    Login,
    RefusedError,
    ZstdSender,
    heartbeat_record,
    log_in,
)
from batonics.gateway.session_feed import SessionFeed
from batonics.gateway.slow_reader import SlowReader
from batonics.gateway.tcp_server import TcpServer, close_gracefully, reset_connection
from batonics.jobs.merged_metadata import merge_metadata
from batonics.model.answers import DataSpan
from batonics.model.errors import BatonicsError, UsageError
from batonics.model.times import NS_PER_S, format_time
from batonics.settings.loader import current
from batonics.settings.table import ReplaySettings
from batonics.sinks.logs import logger
from batonics.sources.file_order import group_paths
from batonics.sources.input_options import InputOptions
from batonics.sources.tcp import TcpAddress

PROTOCOLS = ("dbn", "gateway", "ndjson", "length-prefixed")
PAST_CLIENTS_MAX = 1000
"""How many clients that have disconnected are remembered."""


@dataclass(frozen=True)
class ReplayRequest:
    """What is replayed, and how.

    Attributes:
        paths: DBN files.
        bind: HOST:PORT to listen on; port 0 lets the system choose.
        protocol: one of PROTOCOLS.
        pace: how fast the feed is sent.
        start_ns: the time of the first records in the feed; None: the beginning.
        loops: how many times the files are sent; 0: without end.
        once: whether the replay ends after the first client that was sent everything.
        indexed: whether units are counted even if nothing else needs it.
        faults: the faults of connections; None: there are none.
        in_this_order: send the files as they are given, not in the order of their time.
        settings: the gateway's key, and what clients may take.
    """

    paths: tuple[str, ...]
    bind: str
    protocol: str = "dbn"
    pace: Pace = FULL_SPEED
    start_ns: int | None = None
    loops: int = 1
    once: bool = False
    indexed: bool = False
    faults: Faults | None = None
    in_this_order: bool = False
    settings: ReplaySettings = field(default_factory=lambda: current().replay)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"no protocol {self.protocol!r}; there are {', '.join(PROTOCOLS)}")
        TcpAddress.parse(self.bind)


class Replay:
    """A replay, which listens from its creation until `close`.

    Attributes:
        request: what is replayed, and how.
        address: the address that it listens on.
        control: pauses, moves and ends it.
        clients: the connected clients.
        past_clients: the last clients that have disconnected.
        positions: where broken connections continue, and the counts of faults.
        done: set when the replay is over by itself (`ReplayRequest.once`).

    Raises:
        BatonicsError: the files cannot be replayed, the start is after their last record, or the
            replay cannot listen on the address.
    """

    def __init__(self, request: ReplayRequest) -> None:
        self.request = request
        self.control = ReplayControl()
        self.clients: list[ReplayClient] = []
        self.past_clients: deque[ReplayClient] = deque(maxlen=PAST_CLIENTS_MAX)
        self.positions = ReplayPositions()
        self.done = threading.Event()
        self._log = logger("replay")
        self._settings = SenderSettings(self.control, request.pace, request.indexed)
        self._last_due_ns: int | None = None  # of all past clients
        self._send_all = self._choose_protocol(request)
        self._server = TcpServer(
            TcpAddress.parse(request.bind),
            self._serve,
            request.settings,
            files_each=len(request.paths) + 1,
        )
        self.address = self._server.address

    def close(self) -> None:
        """End every client, and stop listening."""
        self.control.stop()
        self._server.close()

    def _choose_protocol(
        self, request: ReplayRequest
    ) -> Callable[[socket.socket, ReplayClient], None]:
        """The function that serves a client by the protocol of the request."""
        if request.protocol == "gateway":
            options = InputOptions(in_this_order=request.in_this_order)
            files = ReplayFiles(request.paths, options)
            self._check_start(record_pieces(files.paths, SessionRequest("mbo", None), options))
            return _GatewaySessions(self, files).run
        feed = _plain_feed(request)
        self._check_start(feed.pieces(None, indexed=True))
        return lambda sock, client: self._send_plain(sock, client, feed)

    def _check_start(self, pieces: Generator[FeedPiece, None, None]) -> None:
        """Refuse a start after the last record, and log one before the first.

        The files are read up to the start, as they are for each client.

        Args:
            pieces: the whole feed.
        """
        start_ns, data = self.request.start_ns, DataSpan()
        if start_ns is None:
            pieces.close()
            return
        with closing(pieces):
            for piece in pieces:
                due_ns = unit_index(piece)[1]
                timed = due_ns[due_ns > 0]
                if len(timed):
                    first_ns = int(timed[0]) if data.from_ns is None else data.from_ns
                    data = DataSpan(first_ns, int(timed[-1]))
                if data.until_ns is not None and data.until_ns >= start_ns:
                    break
        data.check_not_after(start_ns, "nothing would be sent")
        if data.from_ns is not None and start_ns < data.from_ns:
            self._log.warning("start_is_before_data", first_record=format_time(data.from_ns))

    def _serve(self, sock: socket.socket, name: str) -> None:
        """Serve one client, and log how its connection ended."""
        client = ReplayClient(name)
        self.clients.append(client)
        self._log.info("client_connected", client=name)
        ended = "served"
        try:
            self._send_all(sock, client)
            close_gracefully(sock, self.request.settings.close_timeout_s)
        except StoppedError:
            ended = "stopped"
        except FaultError as error:
            ended = error.fault.value
            if error.fault is Fault.RST:
                reset_connection(sock)
            else:
                close_gracefully(sock, self.request.settings.close_timeout_s)
        except RefusedError as error:
            ended = f"refused: {error}"
        except OSError as error:
            ended = error.strerror or str(error)
        except BatonicsError as error:
            ended = str(error)
            self._log.error("input_failed", client=name, error=ended)
            reset_connection(sock)
        finally:
            self.clients.remove(client)
            self.past_clients.append(client)
            if client.due_ns is not None:
                self._last_due_ns = max(client.due_ns, self._last_due_ns or 0)
        self._log.info(
            "client_left",
            client=name,
            ended=ended,
            bytes=client.bytes,
            records=client.units or None,
            anchor_ns=client.anchor_ns,
        )
        if ended == "served" and self.request.once:
            self.done.set()

    def live_until_ns(self) -> int | None:
        """The latest time of the feed that any client has been sent.

        Before the first client it is the start; at full speed it is then None, which means all.
        """
        due = [client.due_ns for client in list(self.clients) if client.due_ns is not None]
        if self._last_due_ns is not None:
            due.append(self._last_due_ns)
        if due:
            return max(due)
        return None if self.request.pace.is_full_speed else self.request.start_ns or 0

    def _send_plain(self, sock: socket.socket, client: ReplayClient, feed: ReplayFeed) -> None:
        records = self.request.protocol == "dbn"
        number, position = self.positions.begin_connection()
        injector = self.new_injector(number, position, records=records)
        self.send_feed(ClientChannel(sock.sendall), client, feed, self.request.start_ns, injector)

    def new_injector(
        self, number: int, position: ReplayPosition, *, records: bool = True
    ) -> FaultInjector | None:
        """The faults of a connection; None if the request has none."""
        faults = self.request.faults
        return None if faults is None else FaultInjector(faults, number, position, records=records)

    def send_feed(
        self,
        channel: ClientChannel,
        client: ReplayClient,
        feed: ReplayFeed,
        start_ns: int | None,
        injector: FaultInjector | None,
    ) -> None:
        """Send a feed to a client, with the faults of its connection."""
        sender, fault = ClientSender(self._settings, channel, client, injector), None
        try:
            sender.send_feed(feed, start_ns, self.request.loops)
        except FaultError as error:
            fault = error.fault
            raise
        finally:
            if injector is not None:
                self.positions.end_connection(injector, fault)


def _plain_feed(request: ReplayRequest) -> ReplayFeed:
    """The feed of a protocol without sessions."""
    check_regular_files(request.paths)
    options = InputOptions(in_this_order=request.in_this_order)
    if request.protocol == "ndjson":
        return NdjsonFeed(request.paths, options)
    groups = group_paths(request.paths, options)
    paths = tuple(path for group in groups for path in group)
    if request.protocol == "length-prefixed":
        return LengthPrefixedFeed(paths, groups, in_this_order=request.in_this_order)
    mappings = merge_metadata(paths, "mbo").mappings if len(paths) > 1 else None
    return DbnFeed(paths, mappings, groups, in_this_order=request.in_this_order)


class _GatewaySessions:
    """Serves clients by the vendor's live protocol."""

    def __init__(self, replay: Replay, replay_files: ReplayFiles) -> None:
        self._replay, self._files = replay, replay_files

    def run(self, sock: socket.socket, client: ReplayClient) -> None:
        """Run one session."""
        login = log_in(sock, self._files, self._replay.request.settings)
        replay = self._replay
        number, position = replay.positions.begin_connection()
        start_ns = replay.request.start_ns
        feed = self._session_feed(login, start_ns)
        if feed.has_snapshot and position.units:
            # The snapshot stands for all earlier records: the session begins after the position.
            start_ns, position = position.due_ns + 1, REPLAY_START
            feed = self._session_feed(login, start_ns)
        if feed.has_start:
            position = ReplayPosition(suspects=position.suspects)
        injector = replay.new_injector(number, position)
        if injector is not None and feed.has_start:
            feed.rewind(injector.draw_early_ns())

        def now_ns() -> int:
            return client.due_ns or feed.now_ns

        interval_s = float(login.authentication.heartbeat_interval_s)
        channel = ClientChannel(
            sock.sendall,
            heartbeat=Heartbeat(interval_s, lambda: heartbeat_record(now_ns())),
            replies=LateLines(sock, login.unread, now_ns).replies,
        )
        slow_reader_s = replay.request.settings.slow_reader_s
        if slow_reader_s and injector is None:  # faults are set for units of the whole feed
            limit_ns = int(slow_reader_s * NS_PER_S)
            slow_reader = SlowReader(limit_ns, skips=not feed.has_mbo, feed_ns=now_ns)
            channel = replace(channel, slow_reader=slow_reader)
        if login.authentication.compression == "zstd":
            channel = replace(channel, send=ZstdSender(sock.sendall).send)
        replay.send_feed(channel, client, feed, start_ns, injector)

    def _session_feed(self, login: Login, start_ns: int | None) -> SessionFeed:
        return SessionFeed(self._files, login.subscriptions, start_ns, self._replay.live_until_ns())
