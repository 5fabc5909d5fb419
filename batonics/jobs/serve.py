"""Serves the books of files at any moment over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from batonics.jobs.file_history import HistoryInput, open_history
from batonics.jobs.progress import ReadProgress
from batonics.lake.catalog import CATALOG_FILE
from batonics.lake.lake import Lake
from batonics.model.errors import UsageError
from batonics.server.config import ServerConfig
from batonics.server.history_server import Served, open_history_listener, serve_history
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar


class ServeRequest(NamedTuple):
    """What is served.

    Attributes:
        paths: paths of the files; `-` is standard input. Empty: a lake alone.
        config: the server; its settings have an address.
        symbols: symbols or instrument ids; empty: all.
        options: how the files are read.
        statuses: files of trading statuses; empty: those of the files.
        sessions: the sessions of the market; None: not known.
        opens_browser: whether a browser is started with the page.
        lake: the root of a lake that answers SQL; None: there is none.
    """

    paths: tuple[str, ...]
    config: ServerConfig
    symbols: tuple[str, ...] = ()
    options: InputOptions = DEFAULT_OPTIONS
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None
    opens_browser: bool = False
    lake: str | None = None


class Serving:
    """Files that are read once and then served; a context manager.

    Args:
        request: what is served.

    Attributes:
        stream: the input.
        progress: called with the stream after each batch; set it before `read`.

    Raises:
        UsageError: the address must not be served. OutputError: it cannot be had.
        InputError: a file cannot be opened. LakeError: there is no lake.
    """

    def __init__(self, request: ServeRequest) -> None:
        self._request = request
        self.progress: ReadProgress | None = None
        self._lake = None if request.lake is None else Lake(request.lake)
        with ExitStack() as stack:
            self._config, listener = open_history_listener(request.config)
            self._listener = stack.enter_context(listener)
            source = HistoryInput(
                request.paths, request.symbols, request.options, request.statuses, request.sessions
            )
            self._reading = stack.enter_context(open_history(source))
            self.stream = self._reading.stream
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self) -> None:
        """Read the files. Records and checkpoints of the books go to a temporary directory.

        Raises:
            UsageError: no file has a symbol. InputError: a file is damaged.
            OutputError: the temporary directory is full.
        """
        self._reading.progress = self.progress
        self._reading.read()

    def serve(self) -> None:
        """Serve until a signal."""
        opens_browser = self._request.opens_browser
        served = Served(self._reading.history, self._lake)
        serve_history(self._config, self._listener, served, opens_browser=opens_browser)


def serve_lake(request: ServeRequest) -> None:
    """Serve a lake alone, until a signal.

    Raises:
        UsageError, OutputError: as for `Serving`. LakeError: there is no lake.
    """
    lake = Lake(request.lake or "")
    config, listener = open_history_listener(request.config)
    with listener:
        serve_history(config, listener, Served(None, lake), opens_browser=request.opens_browser)


def find_lake(files: Sequence[str], lake: str | None) -> tuple[tuple[str, ...], str | None]:
    """The files to serve and the lake: a directory with a catalog among the files is one.

    Raises:
        UsageError: there is neither, or there are two lakes.
    """
    lakes = [path for path in files if Path(path, CATALOG_FILE).exists()]
    rest = tuple(path for path in files if path not in lakes)
    lakes += [] if lake is None else [lake]
    if len(lakes) > 1:
        raise UsageError(f"{len(lakes)} lakes, {', '.join(lakes)}: give one")
    if not rest and not lakes:
        raise UsageError("give files, or a lake: batonics serve FILES [--lake LAKE]")
    return rest, lakes[0] if lakes else None
