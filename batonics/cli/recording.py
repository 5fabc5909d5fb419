"""`batonics recording`: compares the files of a recording with their digests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batonics.cli.options import QuietOption


def command(
    directory: Annotated[Path, typer.Argument(help="The directory of stream --record.")],
    quiet: QuietOption = False,
) -> None:
    """Check that a recording is as it was written.

    Bytes behind a digest are those of the last moment before a kill; a restart covers them.
    """
    from batonics.live.recording import check_recording
    from batonics.model.errors import InputError

    damaged = 0
    for file in check_recording(directory):
        damaged += file.damage is not None
        if file.damage is not None:
            typer.echo(f"{file.path.name}: damaged: {file.damage}")
        elif not quiet:
            rest = file.file_bytes - file.covered_bytes
            note = f", {rest:,} bytes are not covered" if rest else ""
            typer.echo(f"{file.path.name}: {file.covered_bytes:,} bytes are as recorded{note}")
    if damaged:
        raise InputError(f"{directory}: {damaged} damaged file{'s' if damaged > 1 else ''}")
