"""Records the raw feed and checkpoints of its books, so that a restart continues where it ended.

The rule here: a file has the feed's bytes unchanged, and any tool can read the files of DBN. A
checkpoint has the position of its last record (`resume.FeedPosition`), so it need not match the end
of a file (`recording.py`).

| name                 | content                                                                 |
|----------------------|-------------------------------------------------------------------------|
| feed-000003-001.dbn  | connection 3, file 1; the files of a connection follow each other       |
| feed-000004s-000.dbn | connection 4, which began with a snapshot of each book                  |
| NAME.sha256          | the digest of such a file up to its last sync (`recording_digests.py`)  |
| checkpoint.bin       | the books behind some record (`book/checkpoint.py`)                     |

A thread syncs files and writes checkpoints at the intervals of the settings, so the feed never
waits for a disk. When writing fails, or a file or the directory was removed, the recorder logs an
error and writes nothing more; the books go on. One process at a time owns a recording.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from batonics.book import checkpoint
from batonics.codec.framing import Framing
from batonics.codec.metadata import encode_metadata
from batonics.live.feed_handler import FeedHandler
from batonics.live.recording import CHECKPOINT_NAME, capture_checkpoint, list_recording_files
from batonics.live.recording_digests import (
    GrowingDigest,
)
from batonics.model.errors import BatonicsError, OutputError
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sinks.atomic import open_atomic
from batonics.sinks.directory_lock import DirectoryLock
from batonics.sinks.logs import logger

_ENDINGS = {
    Framing.DBN: "dbn",
    Framing.FRAGMENT: "dbn",
    Framing.LENGTH_PREFIXED: "lp",
    Framing.NDJSON: "ndjson",
    None: "raw",
}


class FeedRecorder:
    """Writes a recording; it continues the one that the directory has.

    Args:
        directory: the directory; it is made if it does not exist.
        settings: the size of files, and the time between two syncs and two checkpoints.

    Attributes:
        failure: why the recorder has given up; None while it works.

    Raises:
        OutputError: the directory cannot be made or read, or another process owns it.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: LiveSettings = LIVE_DEFAULTS,
    ) -> None:
        self.failure: str | None = None
        self._directory = Path(directory)
        self._settings = settings
        self._lock = DirectoryLock(self._directory, "stream --record")
        try:
            files = list_recording_files(self._directory)
        except OSError as error:
            raise OutputError(f"{directory}: cannot be used: {error.strerror}") from None
        self._connection = files[-1].connection if files else 0
        self._number = 0
        self._file: int | None = None
        self._file_bytes = 0
        self._digest: GrowingDigest | None = None  # of the open file; the thread uses it
        self._written_bytes = self._synced_bytes = 0  # of all files
        self._thread = ThreadPoolExecutor(1, "batonics-recorder")
        self._sync: Future[int] | None = None
        self._checkpoint: Future[None] | None = None
        self._last_syncs: list[Future[int]] = []  # of files that have ended
        self._next_sync = self._next_checkpoint = 0.0
        self._has_snapshot = False
        self._log = logger("live")

    # ------------------------------------------------------------------ while the feed runs

    def begin_connection(self, *, has_snapshot: bool) -> None:
        """Begin the files of a connection."""
        self._end_file()
        self._connection += 1
        self._number, self._has_snapshot = 0, has_snapshot

    def write(self, data: memoryview, handler: FeedHandler) -> None:
        """Write bytes that the handler has just processed."""
        if self.failure is not None:
            return
        try:
            if self._file is None:
                self._file = self._open(handler)
            _check_present(self._file)
            pending = handler.pending_bytes
            is_full = self._file_bytes > self._settings.recording_file_bytes_max
            if is_full and pending is not None and pending <= len(data):
                complete = len(data) - pending
                self._write(data[:complete])
                self._end_file()
                self._number += 1
                data = data[complete:]
                if not pending:
                    return
                self._file = self._open(handler)
            self._write(data)
        except (OSError, OutputError) as error:
            self._fail(error)

    def run_due_work(self, handler: FeedHandler) -> None:
        """Start a sync and a checkpoint if each is due and the last one is done."""
        handler.stats.recorded_bytes = self._synced_bytes
        if self.failure is not None:
            return
        try:
            self._lock.check()
        except OutputError as error:
            self._fail(error)
            return
        now = time.monotonic()
        if self._sync is not None and self._sync.done():
            self._take_result(self._sync)
            self._sync = None
        if self._sync is None and self._file is not None and now >= self._next_sync:
            self._next_sync = now + self._settings.recording_sync_interval_s
            try:
                self._sync = self._submit_sync(os.dup(self._file))
            except OSError as error:
                self._fail(error)
        if self._checkpoint is not None and self._checkpoint.done():
            self._take_result(self._checkpoint)
            self._checkpoint = None
        if self._checkpoint is None and now >= self._next_checkpoint:
            if self._next_checkpoint and _has_checkpoints(handler):
                self._checkpoint = self._thread.submit(_write_checkpoint, *self._capture(handler))
            self._next_checkpoint = now + self._settings.checkpoint_interval_s
        while self._last_syncs and self._last_syncs[0].done():
            self._take_result(self._last_syncs.pop(0))

    def close(self, handler: FeedHandler) -> None:
        """Sync the last file and write a checkpoint of the end."""
        self._end_file()
        self._thread.shutdown(wait=True)
        for future in (self._sync, self._checkpoint, *self._last_syncs):
            if future is not None:
                self._take_result(future)
        if self.failure is None and _has_checkpoints(handler):
            try:
                _write_checkpoint(*self._capture(handler))
            except (OSError, BatonicsError) as error:
                self._fail(error)
        if self.failure is None:
            self._synced_bytes = self._written_bytes
        handler.stats.recorded_bytes = self._synced_bytes
        self._lock.close()

    def continue_from(self, connection: int) -> None:
        """Number new connections after this one, which a checkpoint may have without any file."""
        self._connection = max(self._connection, connection)

    # ------------------------------------------------------------------ files

    def _open(self, handler: FeedHandler) -> int:
        """The descriptor of the next file."""
        ending = "dbn.zst" if handler.is_compressed else _ENDINGS[handler.framing]
        mark = "s" if self._has_snapshot else ""
        name = f"feed-{self._connection:06}{mark}-{self._number:03}.{ending}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file, self._file_bytes = os.open(self._directory / name, flags, 0o644), 0
        self._digest = GrowingDigest(self._directory / name)
        if self._number and handler.metadata is not None:
            self._write(memoryview(encode_metadata(handler.metadata)))
        return self._file

    def _write(self, data: memoryview) -> None:
        if self._file is None:
            raise AssertionError("a file is open")
        while len(data):
            written = os.write(self._file, data)
            data = data[written:]
            self._file_bytes += written
            self._written_bytes += written

    def _end_file(self) -> None:
        """End the current file; the thread syncs its last bytes."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            self._last_syncs.append(self._submit_sync(descriptor))

    def _submit_sync(self, descriptor: int) -> Future[int]:
        """Let the thread sync the current file, and close the descriptor."""
        digest = self._digest if self.failure is None else None
        return self._thread.submit(
            _sync_and_close, descriptor, digest, self._file_bytes, self._written_bytes
        )

    def _take_result(self, future: Future[Any]) -> None:
        try:
            result = future.result()
        except (OSError, BatonicsError) as error:
            self._fail(error)
            return
        if isinstance(result, int):
            self._synced_bytes = max(self._synced_bytes, result)

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = f"{self._directory}: the recording has ended: {error}"
            self._log.error("recording_failed", reason=str(error), directory=str(self._directory))

    def _capture(self, handler: FeedHandler) -> tuple[Path, list[bytes]]:
        parts = capture_checkpoint(handler, self._connection)
        return self._directory / CHECKPOINT_NAME, parts


def _has_checkpoints(handler: FeedHandler) -> bool:
    """Whether a checkpoint is of use: NDJSON numbers its symbols from the feed's start on."""
    return not handler.numbers_symbols


def _check_present(descriptor: int) -> None:
    """OutputError if an open file has been removed."""
    if os.fstat(descriptor).st_nlink == 0:
        raise OutputError("its file was removed")


def _sync_and_close(
    descriptor: int, digest: GrowingDigest | None, file_bytes: int, written_bytes: int
) -> int:
    """Sync and close a file, and write its digest; `written_bytes`, all of which are synced."""
    try:
        os.fsync(descriptor)
        if digest is not None:
            digest.write(descriptor, file_bytes)
    finally:
        os.close(descriptor)
    return written_bytes


def _write_checkpoint(path: Path, parts: list[bytes]) -> None:
    with open_atomic(path) as file:
        file.write(checkpoint.seal(parts))
