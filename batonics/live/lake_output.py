"""Sends the records of a live feed to a process that appends them to a lake.

The rule here: the feed never waits for a disk. A thread writes the records into a pipe, as DBN. If
more bytes than the settings permit wait for it, the output logs an error and sends no more. The
books go on.

Behind a gap the records of a book carry F_MAYBE_BAD_BOOK until an R or a snapshot makes the book
complete. So the rows derived from them are flagged too, as the vendor flags its rows.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from queue import Queue
from threading import Thread

import numpy as np

from batonics.book.engine import BookEngine
from batonics.codec.dbn import encode_records
from batonics.codec.messages import write_symbol_mapping
from batonics.codec.metadata import STYPE_RAW_SYMBOL, Metadata, encode_metadata
from batonics.live.child_signals import signals_left_to_parent
from batonics.model.mbo import Action, Flag, MboBatch, copy_batch, record_keys
from batonics.model.symbols import MappingInterval
from batonics.settings.loader import environment_without_secrets
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sinks.logs import logger


class LakeOutput:
    """Sends records to a process that appends them to a lake; a `FeedOutput`.

    Args:
        command: the command line of the process, which reads DBN from standard input.
        settings: the bytes that may wait for the pipe, and the time of the last commit.

    Attributes:
        failure: why the output has given up; None while it works.
    """

    def __init__(self, command: Sequence[str], settings: LiveSettings = LIVE_DEFAULTS) -> None:
        self.failure: str | None = None
        self._settings = settings
        self._log = logger("live")
        with signals_left_to_parent():  # it ends when its input does
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, env=environment_without_secrets()
            )
        self._queue: Queue[bytes | None] = Queue()
        self._queued = self._written = 0  # bytes
        self._suspect_keys = np.empty(0, np.int64)  # books that are not complete since a gap
        self._thread = Thread(target=self._write, name="batonics-lake-output", daemon=True)
        self._thread.start()
        self._put(encode_metadata(Metadata()))

    def write_symbols(self, intervals: Iterable[MappingInterval]) -> None:
        """Send names of instruments, for the records that follow."""
        for interval in intervals:
            name = interval.symbol
            self._put(
                write_symbol_mapping(
                    interval.instrument_id,
                    interval.start_ns,
                    STYPE_RAW_SYMBOL,
                    name,
                    name,
                    start_ns=interval.start_ns,
                    end_ns=interval.end_ns,
                )
            )

    def write_statuses(self, records: Iterable[bytes]) -> None:
        """Send status records, for the records that follow."""
        for record in records:
            self._put(record)

    def write(self, batch: MboBatch) -> None:
        """Send records, in their order."""
        if len(self._suspect_keys):
            batch = self._flag_suspects(batch)
        self._put(encode_records(batch))

    def mark_gap(self, engine: BookEngine) -> None:
        """Record that records are missing: every book of the engine is suspect from now on."""
        keys = [publisher << 32 | instrument for publisher, instrument in list(engine.keys())]
        self._suspect_keys = np.array(sorted(keys), np.int64)

    def close(self) -> None:
        """Send what waits, and wait for the last commit."""
        self._queue.put(None)
        self._thread.join()
        try:
            code = self._process.wait(self._settings.lake_close_timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            self._fail(f"the process that appends to the lake ended with code {code}")

    def _flag_suspects(self, batch: MboBatch) -> MboBatch:
        """The records; those of suspect books are flagged until the book is complete again."""
        keys = record_keys(batch)
        suspect = np.isin(keys, self._suspect_keys)
        if not suspect.any():
            return batch
        completes = (batch.action == Action.CLEAR) | (batch.flags & Flag.SNAPSHOT != 0)
        completes &= batch.flags & Flag.MAYBE_BAD_BOOK == 0
        rows = np.flatnonzero(suspect & completes)[::-1]
        # The dictionary keeps the last of equal keys, which is a book's first such row.
        first_rows = dict(zip(keys[rows].tolist(), rows.tolist(), strict=True))
        for key, row in first_rows.items():
            suspect[row:] &= keys[row:] != key
        self._suspect_keys = self._suspect_keys[~np.isin(self._suspect_keys, list(first_rows))]
        flagged = copy_batch(batch)
        flagged.flags[suspect] |= np.uint8(Flag.MAYBE_BAD_BOOK)
        return flagged

    def _put(self, data: bytes) -> None:
        if self.failure is not None:
            return
        if self._queued - self._written > self._settings.lake_queue_bytes_max:
            self._fail("the lake cannot keep up with the feed: no more is appended to it")
            return
        self._queued += len(data)
        self._queue.put(data)

    def _write(self) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise AssertionError("the process reads a pipe")
        while (data := self._queue.get()) is not None:
            try:
                pipe.write(data)
                pipe.flush()
            except OSError:
                self._fail("the process that appends to the lake has exited")
                break
            self._written += len(data)
        with suppress(OSError):
            pipe.close()

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            self._log.error("lake_failed", reason=reason)
