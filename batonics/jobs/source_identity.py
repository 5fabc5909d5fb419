"""What a source of a lake is known by: the names, the state and the bytes of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from threading import Event

from batonics.frames.scan.sessions import SessionCalendar
from batonics.sources.input_files import absolute_name, input_digest, input_version


def source_name(paths: Sequence[str]) -> str:
    """The name of a source: the paths of its files, one a line."""
    return "\n".join(map(absolute_name, paths))


def source_stat(paths: Sequence[str]) -> str:
    """Size, times and inode of each file (`LoadedSource.stat`)."""
    return "\n".join(map(input_version, paths))


def source_digest(paths: Sequence[str], cancelled: Event | None = None) -> str:
    """Digest of the bytes of files, of several files that of their digests.

    Once `cancelled` is set it returns early, and the result is meaningless.
    """
    digests = [input_digest(path, cancelled) for path in paths]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    )


def describe_statuses(statuses: Sequence[str], sessions: SessionCalendar | None) -> str:
    """Where statuses are from, besides the records of a source; empty: from nowhere else.

    Args:
        statuses: files of the schema status.
        sessions: the sessions of the market.

    Raises:
        InputError: a file of statuses cannot be read.
    """
    named = []
    if statuses:
        named.append(f"status files of digest {source_digest(statuses)[:12]}")
    if sessions is not None:
        named.append(f"session {sessions.name}")
    return " and ".join(named)
