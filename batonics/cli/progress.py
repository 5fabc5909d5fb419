"""Progress bars on standard error, and the notice that kernels are compiled.

The rule: bars are drawn on a terminal only, from the first batch on: a job that fails before it
reads leaves no bar. A bar that ends without an error ends at its total.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from batonics.sources.stream import MboStream

PROGRESS_REDRAW_S = 0.1


@contextmanager
def read_progress(stream_name: str, *, quiet: bool) -> Iterator[Callable[[MboStream], None]]:
    """A bar of bytes, records and records a second; call it with the stream after each batch."""
    with _byte_bar(stream_name, quiet=quiet) as bar:
        yield bar.update
        bar.finish()


@contextmanager
def load_progress(name: str, sizes: Sequence[int], *, quiet: bool) -> Iterator[SourcesBar]:
    """A bar of bytes over several sources.

    Args:
        name: the name of the bar.
        sizes: the bytes of each source.
        quiet: draw nothing.
    """
    with _byte_bar(name, quiet=quiet) as bar:
        yield SourcesBar(bar, sizes)
        bar.finish()


@contextmanager
def byte_progress(name: str, size: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of `size` bytes; call it with the number of bytes after each step."""
    with _byte_bar(name, quiet=quiet, total=size) as bar:
        yield bar.advance
        bar.finish()


class _Bar:
    """A bar of bytes that appears with its first update."""

    def __init__(self, bar: Progress, task: TaskID, *, hidden: bool) -> None:
        self._bar, self._task, self._hidden = bar, task, hidden
        self._start_s, self._drawn_s = time.monotonic(), 0.0
        self._last: Callable[[], None] | None = None

    def update(
        self, stream: MboStream, *, before: int = 0, total: int | None = None, records: int = 0
    ) -> None:
        """Draw the bar again if it is time to.

        Args:
            stream: the reader of the input.
            before: the bytes of the sources before it.
            total: the bytes of all sources; None: those of the input.
            records: the records of the sources before it.
        """
        if self._hidden:
            return
        self._last = lambda: self._draw(stream, before, total, records)
        now_s = time.monotonic()
        if now_s - self._drawn_s >= PROGRESS_REDRAW_S:
            self._drawn_s = now_s
            self._last()

    def _draw(self, stream: MboStream, before: int, total: int | None, records_before: int) -> None:
        records = records_before + _count_records(stream)
        seconds = max(time.monotonic() - self._start_s, 1e-9)
        self._bar.update(
            self._task,
            completed=before + stream.bytes_read,
            total=stream.bytes_total if total is None else total,
            records=f"{records:,} records",
            rate=f"{records / seconds / 1e6:.1f} M/s",
        )
        self._bar.start()

    def advance(self, size: int) -> None:
        """Add bytes that are done."""
        if not self._hidden:
            self._bar.advance(self._task, size)
            self._bar.start()

    def finish(self) -> None:
        """Draw the bar at its total, with all records: the work is done."""
        if self._last is not None:
            self._last()
        completed = self._bar.tasks[0].completed
        # A job that reads a part of its input is done as well.
        self._bar.update(self._task, total=completed, completed=completed)

    def begin_step(self, name: str) -> None:
        """Say what is done now, in the place of the records a second."""
        if self._last is not None:
            self._last()
            self._last = None
        self._bar.update(self._task, rate=name)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


class SourcesBar:
    """A bar over several sources, one after the other."""

    def __init__(self, bar: _Bar, sizes: Sequence[int]) -> None:
        self._bar, self._sizes = bar, sizes
        self._done = self._records = self._records_of_source = 0

    def update(self, stream: MboStream) -> None:
        """Draw the bar, with the stream of the source that is being read, after a batch."""
        before = sum(self._sizes[: self._done])
        self._records_of_source = _count_records(stream)
        self._bar.update(stream, before=before, total=sum(self._sizes), records=self._records)

    def begin_step(self, name: str) -> None:
        """Say what is done now, in the place of the records a second."""
        self._bar.begin_step(name)

    def next(self, line: str | None) -> None:
        """Count a source as done, and print a line if there is one."""
        self._done += 1
        self._records += self._records_of_source
        self._records_of_source = 0
        if line is not None:
            self._bar.print_line(line)


@contextmanager
def _byte_bar(name: str, *, quiet: bool, total: int | None = None) -> Iterator[_Bar]:
    console = Console(stderr=True)
    _announce_compilation(console, quiet=quiet)
    whole = Column(no_wrap=True)  # only the bar becomes shorter on a narrow terminal
    columns = (
        TextColumn("[bold]{task.description}", table_column=whole.copy()),
        BarColumn(),
        DownloadColumn(table_column=whole.copy()),
        TextColumn("{task.fields[records]}", table_column=whole.copy()),
        TextColumn("{task.fields[rate]}", table_column=whole.copy()),
        TimeElapsedColumn(table_column=whole.copy()),
        TimeRemainingColumn(table_column=whole.copy()),
    )
    hidden = quiet or not console.is_terminal
    bar = Progress(*columns, console=console, disable=hidden, refresh_per_second=10)
    task = bar.add_task(name, total=total, records="", rate="")
    try:
        yield _Bar(bar, task, hidden=hidden)
    finally:
        if bar.live.is_started:
            bar.stop()


def _announce_compilation(console: Console, *, quiet: bool) -> None:
    """Say once that kernels are compiled, so that nobody takes the first run for the usual one."""
    from batonics import native

    announced = False

    def announce(_: str) -> None:
        nonlocal announced
        if not announced and not quiet:
            console.print(
                "compiling kernels for this machine, as they are first used (some seconds) ..."
            )
            for reason in native.refused_directories():
                console.print(f"compiled kernels are not kept there: {reason}")
        announced = True

    native.on_compile(announce)


def _count_records(stream: MboStream) -> int:
    """The records of a stream so far."""
    return sum(file.records for file in stream.files)
