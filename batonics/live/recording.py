"""A recording: its files, its checkpoint, and how a handler is brought to its end.

The rule here: recovery folds the records after the position of the checkpoint and skips those
before it, as a reconnect does. `recorder.py` has the names of the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Any, NamedTuple

from batonics.book import checkpoint
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import FeedState
from batonics.live.recorded_statuses import STATUSES_KEY, read_statuses, write_statuses
from batonics.live.recording_digests import (
    DIGEST_SUFFIX,
    CheckedFile,
    check_and_cover_file,
    check_file,
)
from batonics.live.resume import FeedPosition
from batonics.model.answers import DataSpan
from batonics.model.errors import CheckpointError, InputError
from batonics.sinks.owned_directory import open_regular
from batonics.sources.chunks import READ_BYTES

CHECKPOINT_NAME = "checkpoint.bin"
_OTHER_SUFFIXES = (DIGEST_SUFFIX, f"{DIGEST_SUFFIX}.part")
_NAME = re.compile(r"feed-(\d{6,})(s?)-(\d{3,})\.([\w.]+)")


class RecordingFile(NamedTuple):
    """A file of a recording.

    Attributes:
        connection: the number of the connection.
        has_snapshot: whether the connection began with a snapshot of each book.
        number: the number of the file within the connection.
        path: where the file is.
    """

    connection: int
    has_snapshot: bool
    number: int
    path: Path


def list_recording_files(directory: Path) -> list[RecordingFile]:
    """The files of a recording, in order."""
    files = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and not path.name.endswith(_OTHER_SUFFIXES):
            files.append(RecordingFile(int(match[1]), bool(match[2]), int(match[3]), path))
    return sorted(files)


def check_recording(directory: str | Path) -> Iterator[CheckedFile]:
    """Compare every file of a recording with its digest, and its checkpoint too.

    Raises:
        InputError: the directory or a file cannot be read, or there is no recording.
    """
    path = Path(directory)
    try:
        files = list_recording_files(path)
    except OSError as error:
        raise InputError(f"{directory}: cannot be read: {error.strerror}") from None
    checkpoint_path = path / CHECKPOINT_NAME
    has_checkpoint = os.path.lexists(checkpoint_path)
    if not files and not has_checkpoint:
        raise InputError(f"{directory}: is no recording")
    for file in files:
        yield check_file(file.path)
    if has_checkpoint:
        yield _check_checkpoint(checkpoint_path)


def _check_checkpoint(path: Path) -> CheckedFile:
    try:
        _load_checkpoint(FeedHandler(), path)
    except CheckpointError as error:
        return CheckedFile(path, path.lstat().st_size, 0, str(error).removeprefix(f"{path}: "))
    return CheckedFile(path, path.lstat().st_size, path.lstat().st_size, None)


def recover(handler: FeedHandler, directory: str | Path) -> int:
    """Bring a new handler to the end of a recording.

    Returns:
        The number of the connection that the checkpoint belongs to; 0 if there is none.

    Raises:
        CheckpointError: the checkpoint is damaged; without it, all recorded files are folded.
        InputError: a file cannot be read, or its bytes are not those that were recorded.
    """
    path = Path(directory)
    if not path.is_dir():
        return 0
    connection = _load_checkpoint(handler, path / CHECKPOINT_NAME)
    for number, files in _files_by_connection(path):
        if number < connection:
            continue
        # The checkpoint has the snapshot of its own connection already.
        handler.has_snapshot = files[0].has_snapshot and number != connection
        handler.begin_connection()
        for file in files:
            check_and_cover_file(file.path)
            if not _process_file(handler, file.path):
                break
            handler.begin_file()
        handler.end_connection()
    stats = handler.stats
    stats.connects = stats.disconnects = stats.duplicates = stats.gaps = stats.bytes = 0
    stats.feed = FeedState.CONNECTING
    return connection


def capture_checkpoint(handler: FeedHandler, connection: int) -> list[bytes]:
    """What a checkpoint has of a handler in this connection, for `checkpoint.seal`."""
    extra: dict[str, Any] = {
        "counts": [connection, handler.stats.records],
        "place": list(handler.position),
        "data": list(handler.data),
        "symbols": [list(interval) for interval in handler.symbols.intervals()],
        STATUSES_KEY: write_statuses(handler.status_records.values()),
    }
    return checkpoint.capture(handler.engine, extra)


def _load_checkpoint(handler: FeedHandler, path: Path) -> int:
    """Load the checkpoint, if there is one; the number of its connection, or 0."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        engine, extra = checkpoint.load(data, tops=handler.published_books.engine_spec())
        place = checkpoint.read_integers(extra, "place", len(FeedPosition._fields))
        counts = checkpoint.read_integers(extra, "counts", 2)
        times = checkpoint.read_integers(extra, "data", 2, are_times=True)
        symbols = checkpoint.read_symbols(extra)
        statuses = read_statuses(extra)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; remove it to start again") from None
    connection, records = counts
    handler.restore(engine, FeedPosition(*place), records, DataSpan(*times))
    handler.status_records.update(statuses)
    for interval in symbols:
        handler.names.add(interval)
    return int(connection)


def _files_by_connection(directory: Path) -> Iterator[tuple[int, list[RecordingFile]]]:
    connections: dict[int, list[RecordingFile]] = {}
    for file in list_recording_files(directory):
        connections.setdefault(file.connection, []).append(file)
    yield from connections.items()


def _process_file(handler: FeedHandler, path: Path) -> bool:
    """Process a file; False if it is damaged, which had ended the connection too.

    An incomplete last record is no damage: a kill may have cut it.
    """
    try:
        file = os.fdopen(open_regular(path, os.O_RDONLY), "rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None
    with file:
        for data in _read_chunks(file, path):
            try:
                handler.process(data)
            except InputError:
                return False
    with suppress(InputError):
        handler.check_complete()
    return True


def _read_chunks(file: RawIOBase, path: Path) -> Iterator[bytes]:
    try:
        while data := file.read(READ_BYTES):
            yield data
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
