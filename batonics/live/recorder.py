"""The raw feed on disk, and checkpoints of what it came to: a restart goes on where it was left.

The rule here: what is written is the feed as it came; each file of DBN can be read by any tool. A
checkpoint says behind which record it stands (`resume.Place`), so it need not agree with the files:
what they have beyond it is taken, what they have before it is left out, as after a reconnect.

| name                 | holds                                                                   |
|----------------------|-------------------------------------------------------------------------|
| feed-000003-001.dbn  | connection 3, part 1: parts of a connection follow each other           |
| feed-000004s-000.dbn | connection 4, which began with a snapshot of each book                  |
| checkpoint.bin       | the books behind some record (`book/checkpoint.py`)                     |

Files are synced every SYNC_SECONDS, and a checkpoint is written every CHECKPOINT_SECONDS, both by a
thread: the feed never waits for a disk. If it cannot be written any more, that is said, and the
books go on.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Any, NamedTuple

from batonics.book import checkpoint
from batonics.codec.framing import Framing
from batonics.codec.metadata import encode_metadata
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import FeedState
from batonics.live.resume import FeedPosition
from batonics.model.errors import BatonicsError, CheckpointError, InputError, OutputError
from batonics.model.symbols import MappingInterval
from batonics.sinks.atomic import open_atomic
from batonics.sinks.logs import logger
from batonics.sources.chunks import READ_BYTES

FILE_BYTES_MAX = 256 << 20
SYNC_INTERVAL_SECONDS = 0.2
CHECKPOINT_INTERVAL_SECONDS = 30.0
CHECKPOINT_NAME = "checkpoint.bin"
_NAME = re.compile(r"feed-(\d{6,})(s?)-(\d{3,})\.([\w.]+)")
_ENDINGS = {
    Framing.DBN: "dbn",
    Framing.FRAGMENT: "dbn",
    Framing.LENGTH_PREFIXED: "lp",
    Framing.NDJSON: "ndjson",
    None: "raw",
}


class RecordingFile(NamedTuple):
    """A file of a recording."""

    connection: int
    snapshot: bool
    number: int
    path: Path


def list_recording_files(directory: Path) -> list[RecordingFile]:
    """The files of a recording, in order."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(RecordingFile(int(match[1]), bool(match[2]), int(match[3]), path))
    return sorted(found)


class FeedRecorder:
    """Writes a recording, after those that are in the directory.

    Args:
        directory: where; made if it is not there.
        part_bytes: a file that has become longer is ended between two records.
        checkpoint_seconds: between two checkpoints.

    Attributes:
        failure: why nothing more is written, if that is so.

    Raises:
        OutputError: the directory cannot be made or read.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        part_bytes: int = FILE_BYTES_MAX,
        checkpoint_seconds: float = CHECKPOINT_INTERVAL_SECONDS,
    ) -> None:
        self.failure: str | None = None
        self._directory = Path(directory)
        self._part_bytes, self._checkpoint_seconds = part_bytes, checkpoint_seconds
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            parts = list_recording_files(self._directory)
        except OSError as error:
            raise OutputError(f"{directory}: cannot be used: {error.strerror}") from None
        self._connection = parts[-1].connection if parts else 0
        self._number = 0
        self._file: int | None = None
        self._bytes = 0  # of this file
        self._written = self._synced = 0  # of all
        self._thread = ThreadPoolExecutor(1, "batonics-recorder")
        self._sync: Future[int] | None = None
        self._save: Future[None] | None = None
        self._ends: list[Future[int]] = []
        self._next_sync = self._next_save = 0.0
        self._snapshot = False
        self._log = logger("live")

    # ------------------------------------------------------------------ as the feed goes on

    def begin(self, *, snapshot: bool) -> None:
        """A connection has begun."""
        self._end_part()
        self._connection += 1
        self._number, self._snapshot = 0, snapshot

    def write(self, data: memoryview, handler: FeedHandler) -> None:
        """Keep bytes that the machine has just taken."""
        if self.failure is not None:
            return
        try:
            if self._file is None:
                self._open(handler)
            pending = handler.pending_bytes
            if self._bytes > self._part_bytes and pending is not None and pending <= len(data):
                whole = len(data) - pending
                self._write(data[:whole])
                self._end_part()
                self._number += 1
                data = data[whole:]
                if not pending:
                    return
                self._open(handler)
            self._write(data)
        except OSError as error:
            self._fail(error)

    def tick(self, handler: FeedHandler) -> None:
        """Sync, and write a checkpoint, if it is time and the last one is done."""
        now = time.monotonic()
        if self._sync is not None and self._sync.done():
            self._take_result(self._sync)
            self._sync = None
        if self._sync is None and self._file is not None and now >= self._next_sync:
            self._next_sync = now + SYNC_INTERVAL_SECONDS
            try:
                self._sync = self._thread.submit(_synced, os.dup(self._file), self._written)
            except OSError as error:
                self._fail(error)
        if self._save is not None and self._save.done():
            self._take_result(self._save)
            self._save = None
        if self._save is None and now >= self._next_save:
            if self._next_save and _has_checkpoints(handler):
                self._save = self._thread.submit(_write_checkpoint, *self._captured(handler))
            self._next_save = now + self._checkpoint_seconds
        while self._ends and self._ends[0].done():
            self._take_result(self._ends.pop(0))
        handler.stats.recorded_bytes = self._synced

    def close(self, handler: FeedHandler) -> None:
        """Keep the rest, synced, and a checkpoint of the end."""
        self._end_part()
        self._thread.shutdown(wait=True)
        for done in (self._sync, self._save, *self._ends):
            if done is not None:
                self._take_result(done)
        if self.failure is None and _has_checkpoints(handler):
            try:
                _write_checkpoint(*self._captured(handler))
            except (OSError, BatonicsError) as error:
                self._fail(error)
        if self.failure is None:
            self._synced = self._written
        handler.stats.recorded_bytes = self._synced

    def follow(self, connection: int) -> None:
        """Number connections from this one on: a checkpoint knows of it, though no file does."""
        self._connection = max(self._connection, connection)

    # ------------------------------------------------------------------ files

    def _open(self, handler: FeedHandler) -> None:
        ending = "dbn.zst" if handler.is_packed else _ENDINGS[handler.framing]
        mark = "s" if self._snapshot else ""
        name = f"feed-{self._connection:06}{mark}-{self._number:03}.{ending}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file, self._bytes = os.open(self._directory / name, flags, 0o644), 0
        if self._number and handler.metadata is not None:
            self._write(memoryview(encode_metadata(handler.metadata)))

    def _write(self, data: memoryview) -> None:
        if self._file is None:
            raise AssertionError("a part is open")
        while len(data):
            written = os.write(self._file, data)
            data = data[written:]
            self._bytes += written
            self._written += written

    def _end_part(self) -> None:
        """End the file; its last bytes are synced by the thread."""
        if self._file is not None:
            file, self._file = self._file, None
            self._ends.append(self._thread.submit(_synced, file, self._written))

    def _take_result(self, done: Future[Any]) -> None:
        try:
            result = done.result()
        except (OSError, BatonicsError) as error:
            self._fail(error)
            return
        if isinstance(result, int):
            self._synced = max(self._synced, result)

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = f"{self._directory}: cannot be recorded any more: {error}"
            self._log.error("recording_failed", reason=str(error), directory=str(self._directory))

    def _captured(self, handler: FeedHandler) -> tuple[Path, list[bytes]]:
        extra: dict[str, Any] = {
            "connection": self._connection,
            "place": list(handler.position),
            "records": handler.stats.records,
            "symbols": [list(interval) for interval in handler.symbols.intervals()],
        }
        return self._directory / CHECKPOINT_NAME, checkpoint.capture(handler.engine, extra)


def _has_checkpoints(handler: FeedHandler) -> bool:
    """Whether a checkpoint can be gone on from: NDJSON numbers its symbols from the start on."""
    return not handler.numbers_symbols


def _synced(file: int, written: int) -> int:
    """Sync and close; how many bytes had been written by then."""
    try:
        os.fsync(file)
    finally:
        os.close(file)
    return written


def _write_checkpoint(path: Path, parts: list[bytes]) -> None:
    with open_atomic(path) as file:
        file.write(checkpoint.seal(parts))


# ---------------------------------------------------------------------- going on


def recover(handler: FeedHandler, directory: str | Path) -> int:
    """Bring a new machine to where a recording ends; the connection within which its checkpoint is.

    Raises:
        CheckpointError: the checkpoint is damaged: remove it to replay all that was recorded.
        InputError: a file cannot be read.
    """
    path = Path(directory)
    if not path.is_dir():
        return 0
    connection = _load(handler, path / CHECKPOINT_NAME)
    for number, parts in _by_connection(path):
        if number < connection:
            continue
        handler.snapshot = parts[0].snapshot
        # What the checkpoint has of this connection was joined when it came.
        if number == connection and handler.snapshot:
            handler.snapshot = False
        handler.connected()
        for part in parts:
            if not _take_part(handler, part.path):
                break
            handler.continued()
        handler.lost()
    stats = handler.stats
    stats.connects = stats.disconnects = stats.duplicates = stats.gaps = stats.bytes = 0
    stats.feed = FeedState.CONNECTING
    return connection


def _load(handler: FeedHandler, path: Path) -> int:
    """Take the checkpoint, if there is one; the connection within which it stands."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        engine, loaded = checkpoint.load(data, tops=handler.published.wanted())
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; remove it to begin anew") from None
    extra: dict[str, Any] = dict(loaded)
    handler.restore(engine, FeedPosition(*extra["place"]), extra["records"])
    for interval in extra["symbols"]:
        handler.symbols.add(MappingInterval(*interval))
    return int(extra["connection"])


def _by_connection(directory: Path) -> Iterator[tuple[int, list[RecordingFile]]]:
    connections: dict[int, list[RecordingFile]] = {}
    for part in list_recording_files(directory):
        connections.setdefault(part.connection, []).append(part)
    yield from connections.items()


def _take_part(handler: FeedHandler, path: Path) -> bool:
    """Take a file; False if it makes no sense from somewhere on, which ended the connection then.

    A kill may have cut its last record.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None
    with file:
        for data in _chunks(file, path):
            try:
                handler.take(data)
            except InputError:
                return False
    with suppress(InputError):
        handler.check_end()
    return True


def _chunks(file: RawIOBase, path: Path) -> Iterator[bytes]:
    try:
        while data := file.read(READ_BYTES):
            yield data
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
