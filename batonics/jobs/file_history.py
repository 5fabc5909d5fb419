"""Reads files once into a history: their records in one file, and checkpoints of their books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.book_history import FileHistory, HistoryFacts
from batonics.jobs.progress import ReadProgress
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.mbo import MboBatch
from batonics.settings.loader import current
from batonics.sinks.temporary import temporary_directory
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar


class HistoryInput(NamedTuple):
    """Which files, and how they are read.

    Attributes:
        paths: paths of the files; `-` is standard input.
        symbols: symbols or instrument ids; empty: all.
        options: how the files are read.
        statuses: files of trading statuses; empty: those of the files.
        sessions: the sessions of the market; None: not known.
    """

    paths: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    options: InputOptions = DEFAULT_OPTIONS
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None


class HistoryReading:
    """Files that are read into a history.

    Args:
        source: the files.
        stream: the files as one stream.
        directory: an empty directory for records and checkpoints.

    Attributes:
        stream: the argument.
        history: the books; complete after `read`.
        progress: called with the stream after each batch; set it before `read`.
    """

    def __init__(self, source: HistoryInput, stream: MboStream, directory: Path) -> None:
        self.stream = stream
        self.progress: ReadProgress | None = None
        self._selection = SymbolSelection(stream, source.symbols)
        given = read_statuses(source.statuses) if source.statuses else None
        facts = HistoryFacts(
            lambda: self._selection.symbols,
            TradingStatuses(stream.statuses if given is None else given, source.sessions),
            current().input.ts_recv_backwards_ns,
            lambda: stream.doubtful_days,
            lambda: stream.losses,
            stream.coverage.holes,
        )
        self.history = FileHistory(directory, facts)

    def read(self) -> None:
        """Read the files.

        Raises:
            UsageError: no file has a symbol. InputError: a file is damaged.
            OutputError: the temporary directory is full.
        """
        self.history.build(self._batches())

    def _batches(self) -> Iterator[MboBatch]:
        for batch in self.stream.batches():
            self._selection.check()
            yield from self._selection.pieces(batch)
            if self.progress is not None:
                self.progress(self.stream)
        self._selection.check(ended=True)


@contextmanager
def open_history(source: HistoryInput) -> Iterator[HistoryReading]:
    """Open files to read them into a history, which is removed when the block ends.

    Raises:
        InputError: a file cannot be opened.
    """
    with ExitStack() as stack:
        stream = MboStream(source.paths, source.options)
        stack.callback(stream.close)
        directory = stack.enter_context(temporary_directory("batonics-serve-"))
        yield HistoryReading(source, stream, Path(directory))
