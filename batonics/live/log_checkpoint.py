"""The books at a place of the log, in shared memory: where a reader of the log begins.

The rule here: ingest copies its books when a reader asks, between two batches, and a thread of its
own makes the checkpoint of the copies. The digest of the checkpoint covers all of it, so a reader
can tell a whole one from one that is being written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from batonics.book import checkpoint
from batonics.book.checkpoint import JSON
from batonics.book.engine import BookEngine
from batonics.live.feed_handler import FeedHandler
from batonics.live.record_log import LogWriter, open_log_memory
from batonics.live.recorded_statuses import STATUSES_KEY, read_statuses, write_statuses
from batonics.model.errors import OutputError
from batonics.model.symbols import MappingInterval

_PLACE_KEY = "log"


class LogStart(NamedTuple):
    """Where a reader begins.

    Attributes:
        place: the place in the log.
        record: the number of the next record.
        due_ns: the greatest time of a record before; -1: none has one.
        feed: the state of the feed there, a `protocol.FeedState`.
        engine: the books there.
        symbols: the names of instruments that are known there.
        statuses: the status records that hold there, as in the log.
    """

    place: int
    record: int
    due_ns: int
    feed: int
    engine: BookEngine
    symbols: list[MappingInterval]
    statuses: list[bytes]


class LogOutput:
    """A log, and checkpoints for its readers, one at a time.

    Args:
        size: bytes of the log.
        records: the number of the first record.

    Attributes:
        writer: appends to the log.
        checkpoint_descriptor: a descriptor of the shared memory of checkpoints.

    Raises:
        OutputError: there is no memory for the log.
    """

    def __init__(self, size: int, records: int) -> None:
        self.writer = LogWriter(open_log_memory(size), records)
        self.checkpoint_descriptor = os.memfd_create("batonics-log-checkpoint", os.MFD_CLOEXEC)
        self._thread = ThreadPoolExecutor(1, "batonics-log-checkpoint")
        self._written: Future[int] | None = None

    def poll_checkpoint(self, handler: FeedHandler) -> int | None:
        """The bytes of a checkpoint once it is written; begins one if none is being written.

        Raises:
            OutputError: there is no memory for it.
        """
        if self._written is None:
            parts = checkpoint.capture(handler.engine, _facts(handler, self.writer))
            self._written = self._thread.submit(_write, self.checkpoint_descriptor, parts)
        if not self._written.done():
            return None
        written, self._written = self._written, None
        return written.result()

    def close(self) -> None:
        """Wait for the thread, and close the descriptors."""
        self._thread.shutdown()
        os.close(self.checkpoint_descriptor)
        os.close(self.writer.descriptor)


def _facts(handler: FeedHandler, log: LogWriter) -> Mapping[str, JSON]:
    until_ns = handler.data.until_ns
    place: list[JSON] = [log.place, log.records, -1 if until_ns is None else until_ns]
    return {
        _PLACE_KEY: [*place, int(handler.stats.feed)],
        "symbols": [list(interval) for interval in handler.symbols.intervals()],
        STATUSES_KEY: write_statuses(handler.status_records.values()),
    }


def _write(descriptor: int, parts: list[bytes]) -> int:
    data = memoryview(checkpoint.seal(parts))
    size, at = len(data), 0
    try:
        while at < size:
            at += os.pwrite(descriptor, data[at:], at)
        os.ftruncate(descriptor, size)
    except OSError as error:
        raise OutputError(f"no memory for a checkpoint: {error.strerror}") from None
    return size


def read_log_start(descriptor: int) -> LogStart:
    """The checkpoint that was written last.

    Raises:
        CheckpointError: it is not whole: another one is being written.
    """
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    engine, extra = checkpoint.load(data)
    place, record, due_ns, feed = checkpoint.read_integers(extra, _PLACE_KEY, 4)
    statuses = list(read_statuses(extra).values())
    return LogStart(place, record, due_ns, feed, engine, checkpoint.read_symbols(extra), statuses)
