"""What a live feed has taken, handed on to a process that puts it into a lake.

The rule here: the feed never waits for a disk. What is taken goes as DBN into a pipe, written by a
thread; if more than BYTES_MAX waits for it, no more is handed on, and that is said. Books go on.

Behind a gap the records of a book carry F_MAYBE_BAD_BOOK until its R or a snapshot has made it
whole: so are the rows that are made of them marked, as the vendor's are.
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
from batonics.model.mbo import Action, Flag, MboBatch, copy_batch, record_keys
from batonics.model.symbols import MappingInterval
from batonics.sinks.logs import logger

QUEUE_BYTES_MAX = 256 << 20
"""Of records that wait for the pipe: nine seconds of 500,000 a second."""
LAST_COMMIT_SECONDS_MAX = 300.0
"""For the last commit."""


class LakeOutput:
    """Hands records on to a process that appends them to a lake.

    Args:
        command: what the process runs; it reads DBN from standard input.

    Attributes:
        failure: why no more is handed on, if that is so.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.failure: str | None = None
        self._log = logger("live")
        self._process = subprocess.Popen(  # noqa: S603 - ours
            command,
            stdin=subprocess.PIPE,
            process_group=0,  # ^C is for us: it ends when its input does
        )
        self._queue: Queue[bytes | None] = Queue()
        self._queued = self._written = 0  # bytes
        self._suspect = np.empty(0, np.int64)  # keys of books that a gap has made doubtful
        self._thread = Thread(target=self._write, name="batonics-lake-feed", daemon=True)
        self._thread.start()
        self._put(encode_metadata(Metadata()))

    def name(self, intervals: Iterable[MappingInterval]) -> None:
        """Tell names of instruments; they hold from now on."""
        for interval in intervals:
            name = interval.symbol
            ts_ns = max(interval.start_ns, 0)
            self._put(
                write_symbol_mapping(interval.instrument_id, ts_ns, STYPE_RAW_SYMBOL, name, name)
            )

    def take(self, batch: MboBatch) -> None:
        """Hand records on, in their order."""
        if len(self._suspect):
            batch = self._marked(batch)
        self._put(encode_records(batch))

    def gap(self, engine: BookEngine) -> None:
        """Records are missing here: every book that there is has become doubtful."""
        keys = [publisher << 32 | instrument for publisher, instrument in list(engine.keys())]
        self._suspect = np.array(sorted(keys), np.int64)

    def close(self) -> None:
        """Hand the rest on, and wait for the last commit."""
        self._queue.put(None)
        self._thread.join()
        try:
            code = self._process.wait(LAST_COMMIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            self._fail(f"the process that appends to the lake ended with code {code}")

    def _marked(self, batch: MboBatch) -> MboBatch:
        """The records, those of doubtful books flagged until the book is whole again."""
        keys = record_keys(batch)
        doubtful = np.isin(keys, self._suspect)
        if not doubtful.any():
            return batch
        makes_whole = (batch.action == Action.CLEAR) | (batch.flags & Flag.SNAPSHOT != 0)
        makes_whole &= batch.flags & Flag.MAYBE_BAD_BOOK == 0
        whole_at = np.flatnonzero(doubtful & makes_whole)
        # The last comes first, so that of each book the first one stays.
        first = dict(zip(keys[whole_at[::-1]].tolist(), whole_at[::-1].tolist(), strict=True))
        for key, at in first.items():
            doubtful[at:] &= keys[at:] != key
        self._suspect = self._suspect[~np.isin(self._suspect, list(first))]
        marked = copy_batch(batch)
        marked.flags[doubtful] |= np.uint8(Flag.MAYBE_BAD_BOOK)
        return marked

    def _put(self, data: bytes) -> None:
        if self.failure is not None:
            return
        if self._queued - self._written > QUEUE_BYTES_MAX:
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
                self._fail("the process that appends to the lake has gone")
                break
            self._written += len(data)
        with suppress(OSError):
            pipe.close()

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            self._log.error("lake_failed", reason=reason)
