"""The last records of a stream that goes on, in a file of a bounded size.

The rule here: one thread appends, any number of threads read meanwhile. Record n is in the place
n modulo the capacity. `first` passes a record before its place is written anew, and a reader that
has copied records looks at `first` afterwards: what was overwritten is refused, never returned.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.history.record_file import BLOCK_RECORDS, READ_RECORDS, RecordFile
from batonics.model.errors import OutputError, UsageError
from batonics.model.mbo import MBO_DTYPE, MboBatch, batch_from_records, due_times

RECORD_BYTES = MBO_DTYPE.itemsize + 8
"""Bytes of a record in the two files."""
_ORDER_ID = np.dtype("<u8")


class RecordRing(RecordFile):
    """The last records of a stream.

    Args:
        directory: an empty directory for the files.
        first: the number of the first record.
        capacity: how many records are kept at most, a multiple of READ_RECORDS.
        due_ns: when the record before the first one is due; -1: none has come.

    Attributes:
        capacity: as given.
    """

    def __init__(self, directory: Path, first: int, capacity: int, due_ns: int = -1) -> None:
        super().__init__(directory)
        if capacity % READ_RECORDS:
            raise ValueError(f"a ring of {capacity} records")
        self.first = self.count = first
        self.capacity = capacity
        self._due_ns = self._due_before_first = due_ns
        self._known_first = -1, -1  # the number of a first record, and when it is due
        self._first_block = first // BLOCK_RECORDS
        self._ends_room = np.empty(1 << 10, np.int64)
        self._block_ends = self._ends_room[:0]
        self._starts = np.empty(0, np.int64)
        try:
            os.ftruncate(self._file.fileno(), capacity * MBO_DTYPE.itemsize)
            os.ftruncate(self._ids_file.fileno(), capacity * _ORDER_ID.itemsize)
            self._records = np.asarray(np.memmap(self._path, MBO_DTYPE, mode="r"))
            self._order_ids = np.asarray(np.memmap(self._ids_path, _ORDER_ID, mode="r"))
        except OSError as error:
            raise _failed(self._path, error) from None

    @property
    def first_ns(self) -> int | None:
        """The time of the first record that is kept; None: none has one, nor has one before."""
        first, due_ns = self._known_first
        if first != self.first or due_ns < 0:
            first = self.first
            due_ns = self.due_ns(first) if first < self.count else self._due_ns
            # The first records may have no time of their own.
            due_ns = due_ns if due_ns >= 0 else self._first_ns
            self._known_first = first, due_ns
        return None if due_ns < 0 else due_ns

    @property
    def free(self) -> int:
        """How many records can be appended before some are dropped."""
        return self.capacity - (self.count - self.first)

    def drop(self, first: int) -> None:
        """Drop the records before a number; they can be overwritten from then on."""
        self._due_before_first = self.due_ns(first - 1)
        self.first = first

    def append_records(self, records: NDArray[np.void], batch: MboBatch) -> None:
        """Write the next records, at most `free`, given as they are written and as columns.

        Raises:
            OutputError: the disk does not take them.
        """
        at, rows = self.count % self.capacity, len(records)
        head = min(rows, self.capacity - at)
        for part, place in (slice(0, head), at), (slice(head, rows), 0):
            self._write(self._file.fileno(), records[part], place)
            self._write(self._ids_file.fileno(), batch.order_id[part], place)
        due_ns = due_times(batch, self._due_ns)
        ends = np.arange(BLOCK_RECORDS - 1 - self.count % BLOCK_RECORDS, rows, BLOCK_RECORDS)
        self._add_block_ends(due_ns[ends])
        self._due_ns = int(due_ns[-1]) if rows else self._due_ns
        if self._first_ns < 0 and self._due_ns >= 0:
            self._first_ns = int(due_ns[due_ns >= 0][0])
        self.count += rows

    def close(self) -> None:
        """Close the files; what was mapped can be read as long as somebody has it."""
        self._file.close()
        self._ids_file.close()

    def find_order(self, order_id: int, last: int) -> tuple[NDArray[np.int64], MboBatch]:
        """The records with an order id before the number `last`: their numbers, and themselves."""
        first = self.first
        numbers = np.arange(0)
        for start, stop in self._spans(first, last):
            at = start % self.capacity
            found = np.flatnonzero(self._order_ids[at : at + stop - start] == np.uint64(order_id))
            numbers = np.concatenate((numbers, start + found))
        batch = batch_from_records(self._records[numbers % self.capacity])
        self._check_kept(first)
        return numbers, batch

    def _spans(self, first: int, stop: int) -> list[tuple[int, int]]:
        """`[first, stop)` as one span or two, none of which goes over the end of the files."""
        edge = first - first % self.capacity + self.capacity
        return [(first, stop)] if stop <= edge else [(first, edge), (edge, stop)]

    def _view(self, first: int, stop: int) -> NDArray[np.void]:
        parts = [
            self._records[start % self.capacity :][: end - start]
            for start, end in self._spans(first, stop)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _check_kept(self, first: int) -> None:
        if first < self.first:
            raise UsageError(f"record {first} is no longer kept; the first one is {self.first}")

    def _add_block_ends(self, due_ns: NDArray[np.int64]) -> None:
        count = len(self._block_ends)
        if count + len(due_ns) > len(self._ends_room):
            room = np.empty(2 * (count + len(due_ns)), np.int64)
            room[:count] = self._block_ends
            self._ends_room = room
        self._ends_room[count : count + len(due_ns)] = due_ns
        self._block_ends = self._ends_room[: count + len(due_ns)]

    def _write(self, descriptor: int, rows: NDArray[Any], place: int) -> None:
        data = np.ascontiguousarray(rows).view(np.uint8).data
        offset = place * rows.dtype.itemsize
        try:
            while len(data):
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        except OSError as error:
            raise _failed(self._path, error) from None


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error.strerror}")
