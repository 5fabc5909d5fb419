"""Files as a live feed: what is to be sent, to whoever connects, until it is over.

The rule: each client reads the files anew, from its own place, so that none waits for another.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from dataclasses import dataclass

from batonics.gateway.pacing import FLAT_OUT, Pace, SystemClock
from batonics.gateway.player import Client, Control, Player, StoppedError
from batonics.gateway.server import Server, parse_address, say_farewell
from batonics.gateway.tape import DbnFeed, Feed
from batonics.jobs import convert
from batonics.model.errors import BatonicsError, UsageError
from batonics.sinks.logs import logger

PROTOCOLS = ("dbn",)
DEPARTED_KEPT = 1000


@dataclass(frozen=True)
class Request:
    """What is to be replayed, and how.

    Attributes:
        paths: DBN files in the order of their time.
        bind: HOST:PORT to listen on; port 0 lets the system choose.
        protocol: one of PROTOCOLS.
        pace: how fast.
        start_ns: from this time of the feed on; None: from its beginning.
        loops: so many times over; 0: until it is ended.
        once: end after the first client that has been sent everything.
        indexed: count units even where nothing else asks for it.
    """

    paths: tuple[str, ...]
    bind: str
    protocol: str = "dbn"
    pace: Pace = FLAT_OUT
    start_ns: int | None = None
    loops: int = 1
    once: bool = False
    indexed: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"no protocol {self.protocol!r}; there are {', '.join(PROTOCOLS)}")
        parse_address(self.bind)


class Replay:
    """A replay that listens, until it is closed.

    Attributes:
        address: host and port it listens on.
        control: pauses, moves and ends it.
        clients: those connected now.
        departed: the last ones that have left.
        done: set when it is over by itself (`Request.once`).

    Raises:
        BatonicsError: the files cannot be replayed, or the address cannot be listened on.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.control = Control()
        self.clients: list[Client] = []
        self.departed: deque[Client] = deque(maxlen=DEPARTED_KEPT)
        self.done = threading.Event()
        self._clock = SystemClock()
        self._log = logger("replay")
        self._feed = self._make_feed()
        self._server = Server(*parse_address(request.bind), self._serve)
        self.address = self._server.address

    def close(self) -> None:
        """End every client, and listen no longer."""
        self.control.stop()
        self._server.close()

    def _make_feed(self) -> Feed:
        paths = self.request.paths
        mappings = None
        if len(paths) > 1:
            mappings = convert.metadata(convert.Request(paths, "mbo")).mappings
        return DbnFeed(paths, mappings)

    def _serve(self, sock: socket.socket, name: str) -> None:
        client = Client(name)
        self.clients.append(client)
        self._log.info("client_connected", client=name)
        ended = "served"
        try:
            self._play(sock, client)
            say_farewell(sock)
        except StoppedError:
            ended = "stopped"
        except OSError as error:
            ended = error.strerror or str(error)
        except BatonicsError as error:
            ended = str(error)
            self._log.error("input_failed", client=name, error=ended)
        finally:
            self.clients.remove(client)
            self.departed.append(client)
        self._log.info(
            "client_left", client=name, ended=ended, bytes=client.bytes, records=client.units
        )
        if ended == "served" and self.request.once:
            self.done.set()

    def _play(self, sock: socket.socket, client: Client) -> None:
        request = self.request
        player = Player(
            sock.sendall, client, self.control, request.pace, self._clock, indexed=request.indexed
        )
        player.play(self._feed, request.start_ns, request.loops)
