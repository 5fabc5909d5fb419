"""Serves the books of files at any moment over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.book_history import FileHistory, HistoryFacts
from batonics.jobs.progress import ReadProgress
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.mbo import MboBatch
from batonics.server.config import ServerConfig
from batonics.server.history_server import open_history_listener, serve_history
from batonics.settings.loader import current
from batonics.sinks.temporary import temporary_directory
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar


class ServeRequest(NamedTuple):
    """What is served.

    Attributes:
        paths: paths of the files; `-` is standard input.
        config: the server; its settings have an address.
        symbols: symbols or instrument ids; empty: all.
        options: how the files are read.
        statuses: files of trading statuses; empty: those of the files.
        sessions: the sessions of the market; None: not known.
        opens_browser: whether a browser is started with the page.
    """

    paths: tuple[str, ...]
    config: ServerConfig
    symbols: tuple[str, ...] = ()
    options: InputOptions = DEFAULT_OPTIONS
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None
    opens_browser: bool = False


class Serving:
    """Files that are read once and then served; a context manager.

    Args:
        request: what is served.

    Attributes:
        stream: the input.
        progress: called with the stream after each batch; set it before `read`.

    Raises:
        UsageError: the address must not be served. OutputError: it cannot be had.
        InputError: a file cannot be opened.
    """

    def __init__(self, request: ServeRequest) -> None:
        self._request = request
        self.progress: ReadProgress | None = None
        with ExitStack() as stack:
            self._config, listener = open_history_listener(request.config)
            self._listener = stack.enter_context(listener)
            self.stream = MboStream(request.paths, request.options)
            stack.callback(self.stream.close)
            directory = stack.enter_context(temporary_directory("batonics-serve-"))
            self._selection = SymbolSelection(self.stream, request.symbols)
            given = read_statuses(request.statuses) if request.statuses else None
            statuses = self.stream.statuses if given is None else given
            facts = HistoryFacts(
                lambda: self._selection.symbols,
                TradingStatuses(statuses, request.sessions),
                current().input.ts_recv_backwards_ns,
                lambda: self.stream.doubtful_days,
                lambda: self.stream.losses,
                self.stream.coverage.holes,
            )
            self._history = FileHistory(Path(directory), facts)
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
        self._history.build(self._batches())

    def serve(self) -> None:
        """Serve until a signal."""
        opens_browser = self._request.opens_browser
        serve_history(self._config, self._listener, self._history, opens_browser=opens_browser)

    def _batches(self) -> Iterator[MboBatch]:
        for batch in self.stream.batches():
            self._selection.check()
            yield from self._selection.pieces(batch)
            if self.progress is not None:
                self.progress(self.stream)
        self._selection.check(ended=True)
