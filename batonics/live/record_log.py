"""The log that ingest hands on: accepted records, and what belongs to them, in shared memory.

The rule here: one process writes and never waits; any number of readers read at their own pace. The
log is a ring: a reader that falls behind by more than its size is overtaken, notices it, and begins
anew from a checkpoint of the books (`log_checkpoint.py`). Nothing that was overwritten is returned.

    head, 4096 bytes: `LogWord` | ring: entry, entry, ...

An entry is 16 bytes, which are the kind and the bytes of the content and a number, and the content,
filled up to 16 bytes. It never goes over the end of the ring; what is left there is a FILL.

| kind     | number                 | content                                                     |
|----------|------------------------|-------------------------------------------------------------|
| FILL     | 0                      | nothing that counts                                         |
| RECORDS  | that of the first one  | MBO records, 56 bytes each, as DBN has them                 |
| SYMBOLS  | 0                      | JSON: [[start_ns, end_ns, instrument_id, symbol], ...]      |
| STATUS   | 0                      | a status record (`messages.plain_status`)                   |
| GAP      | 0                      | nothing: records are missing before the next ones           |
| FEED     | a `protocol.FeedState` | nothing: the state from here on                             |

Records are numbered in the order of the feed, from 0 or from the record where a recording ended.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import read_only
from batonics.live.log_kernels import (
    ENTRY_WORDS,
    OVERTAKEN,
    LogWord,
    copy_entries,
    write_rows,
    write_words,
)
from batonics.model.errors import InputError, OutputError
from batonics.model.mbo import MBO_DTYPE, MboBatch, empty_batch
from batonics.model.symbols import MappingInterval

HEAD_BYTES = 4096
ENTRY_ROWS_MAX = 1 << 14
"""Rows of one entry; a reader copies whole entries."""
ENTRY_NAMES_MAX = 1 << 10
"""Names of one entry."""
LOG_BYTES_MIN = 1 << 21
"""The least size of a ring: two of the largest entries."""
_ENTRY_BYTES = 8 * ENTRY_WORDS


class EntryKind(IntEnum):
    """Kinds of entries; see the table above."""

    FILL = 0
    RECORDS = 1
    SYMBOLS = 2
    STATUS = 3
    GAP = 4
    FEED = 5


class LogEntry(NamedTuple):
    """An entry.

    Attributes:
        kind: its kind.
        number: its number.
        content: its content; it is valid until the next `read`.
    """

    kind: EntryKind
    number: int
    content: memoryview

    def rows(self) -> NDArray[np.void]:
        """The records of RECORDS, rows of `MBO_DTYPE`; a view."""
        return np.frombuffer(self.content, MBO_DTYPE)


class OvertakenError(Exception):
    """The writer has overwritten what the reader would read next."""


def open_log_memory(size: int) -> int:
    """A descriptor of shared memory for a log; close it when no process needs it.

    Args:
        size: bytes of the ring, at least LOG_BYTES_MIN.

    Raises:
        OutputError: the system has no such memory.
    """
    capacity = max(size, LOG_BYTES_MIN) // HEAD_BYTES * HEAD_BYTES
    try:
        descriptor = os.memfd_create("batonics-log", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, HEAD_BYTES + capacity)
    except OSError as error:
        raise OutputError(f"no shared memory for the log: {error.strerror}") from None
    return descriptor


class _Memory(NamedTuple):
    head: NDArray[np.int64]
    ring: NDArray[np.int64]


def _map(descriptor: int) -> _Memory:
    size = os.fstat(descriptor).st_size
    # Otherwise the first round of the ring would take ten times as long as the others.
    memory = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    words = np.frombuffer(memory, np.int64)
    return _Memory(words[: HEAD_BYTES // 8], words[HEAD_BYTES // 8 :])


class LogWriter:
    """Appends to a log; it is a `FeedOutput`. There is one for each log.

    Args:
        descriptor: a descriptor of `open_log_memory`.
        records: the number of the first record.

    Attributes:
        descriptor: as given.
        records: the number of the next record.
        place: the place of the next entry.
    """

    def __init__(self, descriptor: int, records: int = 0) -> None:
        self.descriptor, self.records, self.place = descriptor, records, 0
        self._head, self._ring = _map(descriptor)
        self._capacity = 8 * len(self._ring)
        self._head[LogWord.CAPACITY] = self._capacity
        self._feed = -1
        nothing = MboBatch._make([read_only(column) for column in empty_batch(0)])
        self._append_rows(nothing, 0, 0)  # loads the kernels, before a feed waits for them
        self._append(EntryKind.FILL)

    def write(self, batch: MboBatch) -> None:
        """Append records."""
        rows = len(batch.action)
        columns = MboBatch._make([read_only(column) for column in batch])
        for first in range(0, rows, ENTRY_ROWS_MAX):
            self._append_rows(columns, first, min(rows, first + ENTRY_ROWS_MAX))

    def write_symbols(self, intervals: Iterable[MappingInterval]) -> None:
        """Append names of instruments, for the records that follow."""
        rows = [list(interval) for interval in intervals]
        for first in range(0, len(rows), ENTRY_NAMES_MAX):
            self._append(EntryKind.SYMBOLS, 0, orjson.dumps(rows[first : first + ENTRY_NAMES_MAX]))

    def write_statuses(self, records: Iterable[bytes]) -> None:
        """Append status records, for the records that follow."""
        for record in records:
            self._append(EntryKind.STATUS, 0, record)

    def mark_gap(self, engine: BookEngine) -> None:  # noqa: ARG002 - as FeedOutput
        """Append that records are missing before the next ones."""
        self._append(EntryKind.GAP)

    def note_feed(self, state: int) -> None:
        """Append the state of the feed if it has changed."""
        if state != self._feed:
            self._feed = state
            self._append(EntryKind.FEED, state)

    def _append_rows(self, columns: MboBatch, first: int, stop: int) -> None:
        content = (stop - first) * MBO_DTYPE.itemsize
        place, end = self._begin(content)
        entry = EntryKind.RECORDS << 32 | content
        write_rows(self._head, self._ring, place, end, entry, self.records, columns, first, stop)
        self.place = end
        self.records += stop - first

    def _append(self, kind: EntryKind, number: int = 0, content: bytes = b"") -> None:
        place, end = self._begin(len(content))
        words = np.frombuffer(content + bytes(-len(content) % 8), np.int64)
        entry = kind << 32 | len(content)
        write_words(self._head, self._ring, place, end, entry, number, words)
        self.place = end

    def _begin(self, content: int) -> tuple[int, int]:
        """The place of an entry with so many bytes, and the place behind it."""
        size = _ENTRY_BYTES + -(-content // _ENTRY_BYTES) * _ENTRY_BYTES
        place, left = self.place, self._capacity - self.place % self._capacity
        if size > left:
            fill = EntryKind.FILL << 32 | left - _ENTRY_BYTES
            write_words(self._head, self._ring, place, place + left, fill, 0, _NO_WORDS)
            place += left
        return place, place + size


_NO_WORDS = np.frombuffer(b"", np.int64)


class LogReader:
    """Reads a log from a place on.

    Args:
        descriptor: a descriptor of `open_log_memory`.
        place: the place of the first entry.

    Attributes:
        place: the place of the next entry.
    """

    def __init__(self, descriptor: int, place: int = 0) -> None:
        self.place = place
        self._head, self._ring = _map(descriptor)
        entry_words = ENTRY_WORDS + ENTRY_ROWS_MAX * MBO_DTYPE.itemsize // 8
        self._out = np.empty(2 * entry_words, np.int64)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are written and were not read."""
        return int(self._head[LogWord.WRITTEN]) - self.place

    def read(self) -> Iterator[LogEntry]:
        """The next entries that are written, some at a time; none if there are none.

        Raises:
            OvertakenError: the next entry was overwritten.
            InputError: the memory has no log; both ends are ours, so it is a bug.
        """
        count = copy_entries(self._head, self._ring, self.place, self._out)
        if count == OVERTAKEN:
            raise OvertakenError
        copied = self._out[:count].data.cast("B")
        at = 0
        while len(copied) - at >= _ENTRY_BYTES:
            word, number = self._out[at // 8 : at // 8 + ENTRY_WORDS].tolist()
            length = word & 0xFFFF_FFFF
            start, at_next = at + _ENTRY_BYTES, at + _ENTRY_BYTES + -(-length // 16) * 16
            kind = word >> 32
            if kind == EntryKind.FILL and at_next > len(copied):
                self.place += at_next - at
                return  # what is left of the ring, of which nothing counts
            if kind not in _KINDS or at_next > 8 * len(self._out) + at:
                raise InputError(f"the log has no entry at {self.place}")
            if at_next > len(copied):
                return  # the rest of the entry is copied next
            self.place += at_next - at
            if kind != EntryKind.FILL:
                yield LogEntry(EntryKind(kind), number, copied[start : start + length])
            at = at_next


_KINDS = frozenset(EntryKind)
