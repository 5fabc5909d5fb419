"""What a user sees while a job runs: a bar on standard error, and a word on compilation.

The rule: everything here goes to standard error, and only to a terminal is it drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from batonics.sources.stream import MboStream

REDRAW_S = 0.1


@contextmanager
def reading(stream_name: str, *, quiet: bool) -> Iterator[Callable[[MboStream], None]]:
    """A bar of bytes, records a second and what is left; feed it the stream after each batch."""
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
        task = bar.add_task(stream_name, total=None, records="", rate="")
        begun, drawn = time.monotonic(), 0.0

        def update(stream: MboStream) -> None:
            nonlocal drawn
            now = time.monotonic()
            if hidden or now - drawn < REDRAW_S:
                return
            drawn = now
            show(stream, now)

        def show(stream: MboStream, now: float) -> None:
            records = sum(file.records for file in stream.files)
            bar.update(
                task,
                completed=stream.bytes_read,
                total=stream.bytes_total,
                records=f"{records:,} records",
                rate=f"{records / max(now - begun, 1e-9) / 1e6:.1f} M/s",
            )

        yield update


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
