"""What a user sees while a job runs: a bar on standard error, and a word on compilation.

The rule: everything here goes to standard error, and only to a terminal is it drawn.
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

from batonics.sources.stream import MboStream

PROGRESS_REDRAW_S = 0.1


@contextmanager
def read_progress(stream_name: str, *, quiet: bool) -> Iterator[Callable[[MboStream], None]]:
    """A bar of bytes, records a second and what is left; feed it the stream after each batch."""
    with _byte_bar(stream_name, quiet=quiet) as bar:
        yield lambda stream: bar.update([stream])


@contextmanager
def load_progress(name: str, sizes: Sequence[int], *, quiet: bool) -> Iterator[SourcesBar]:
    """A bar of bytes over several sources, each of which is read several times at once.

    Args:
        name: of the work.
        sizes: bytes of each source.
        quiet: draw nothing.
    """
    with _byte_bar(name, quiet=quiet) as bar:
        yield SourcesBar(bar, sizes)


@contextmanager
def byte_progress(name: str, size: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of so many bytes; call what it gives with those that are done."""
    with _byte_bar(name, quiet=quiet, total=size) as bar:
        yield bar.advance


class _Bar:
    """A bar of bytes."""

    def __init__(self, bar: Progress, task: TaskID, *, hidden: bool) -> None:
        self._bar, self._task, self._hidden = bar, task, hidden
        self._begun, self._drawn = time.monotonic(), 0.0

    def update(
        self, streams: Sequence[MboStream], *, before: int = 0, total: int | None = None
    ) -> None:
        """Draw it anew, seldom: streams of the same input, of which the slowest tells how far."""
        now = time.monotonic()
        if self._hidden or now - self._drawn < PROGRESS_REDRAW_S:
            return
        self._drawn = now
        stream = min(streams, key=lambda stream: stream.bytes_read)
        records = sum(file.records for file in stream.files)
        self._bar.update(
            self._task,
            completed=before + stream.bytes_read,
            total=stream.bytes_total if total is None else total,
            records=f"{records:,} records",
            rate=f"{records / max(now - self._begun, 1e-9) / 1e6:.1f} M/s",
        )

    def advance(self, size: int) -> None:
        """So many bytes more are done."""
        self._bar.advance(self._task, size)

    def restart_rate(self) -> None:
        """Count records a second from now on."""
        self._begun = time.monotonic()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


class SourcesBar:
    """A bar over several sources, one after the other."""

    def __init__(self, bar: _Bar, sizes: Sequence[int]) -> None:
        self._bar, self._sizes = bar, sizes
        self._done = 0

    def __call__(self, streams: Sequence[MboStream]) -> None:
        """The streams of the source that is being read, after a batch."""
        before = sum(self._sizes[: self._done])
        self._bar.update(streams, before=before, total=sum(self._sizes))

    def next(self, line: str | None) -> None:
        """A source is done; say so, if there is anything to say."""
        self._done += 1
        self._bar.restart_rate()
        if line is not None:
            self._bar.say(line)


@contextmanager
def _byte_bar(name: str, *, quiet: bool, total: int | None = None) -> Iterator[_Bar]:
    console = Console(stderr=True)
    _announce_compilation(console, quiet=quiet)
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[records]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, refresh_per_second=10) as bar:
        task = bar.add_task(name, total=total, records="", rate="")
        yield _Bar(bar, task, hidden=hidden)


def _announce_compilation(console: Console, *, quiet: bool) -> None:
    """Say once that kernels are being compiled: the first run is not as slow as all runs."""
    from batonics import native

    said = False

    def announce(_: str) -> None:
        nonlocal said
        if not said and not quiet:
            console.print(
                "compiling kernels for this machine, as they are first used (some seconds) ..."
            )
        said = True

    native.on_compile(announce)
