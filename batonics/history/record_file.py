"""The records of a stream in one uncompressed file, which can be read from any record on.

The rule here: a record has one number, its place in the stream. The file is written once, in order,
and read afterwards. What is kept in memory is 8 bytes for each BLOCK_RECORDS records.

| file          | content                                                   |
|---------------|-----------------------------------------------------------|
| records.bin   | the records, 56 bytes each, as DBN has them               |
| order_ids.bin | (records,) uint64, the order id of each: it is searched   |
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import Events
from batonics.model.errors import OutputError
from batonics.model.mbo import (
    MBO_DTYPE,
    DayStart,
    MboBatch,
    batch_from_records,
    due_times,
    records_from_batch,
    trusted_times,
)

BLOCK_RECORDS = 1 << 12
"""Records of a block: the time of its last record is kept in memory."""
READ_RECORDS = 1 << 15
"""Records of a batch that is read."""
_ORDER_ID = np.dtype("<u8")


class DueRows(NamedTuple):
    """The rows of one book among some records of a stream.

    Attributes:
        batch: the rows; a `DayStart` where a day begins with these records. Columns that books do
            not depend on are 0.
        due_ns: (rows,) when each row is due.
        numbers: (rows,) the number of each row in the stream.
        start_ns: when the first of all these records is due.
    """

    batch: MboBatch
    due_ns: NDArray[np.int64]
    numbers: NDArray[np.int64]
    start_ns: int


class RecordFile:
    """The records of a stream. Write it whole with `append` and `finish`; then read it.

    Args:
        directory: an empty directory for the files.

    Attributes:
        first: the number of the first record.
        count: the number behind the last record.
        first_ns: the time of the first record that has one; None: none has.
        last_ns: the greatest time of a record; None: none has one.
    """

    def __init__(self, directory: Path) -> None:
        self.first = self.count = 0
        self._path, self._ids_path = directory / "records.bin", directory / "order_ids.bin"
        self._day_starts: list[int] = []
        self._due_ns = -1  # when the last record is due
        self._due_before_first = -1  # when the record before the first one is due
        self._first_block = 0  # the number of the first block of `_block_ends`
        self._block_due: list[int] = []
        self._first_ns = -1
        try:
            self._file, self._ids_file = self._path.open("wb"), self._ids_path.open("wb")
        except OSError as error:
            raise _failed(self._path, error) from None

    @property
    def first_ns(self) -> int | None:
        """The time of the first record that has one; None: none has."""
        return None if self._first_ns < 0 else self._first_ns

    @property
    def last_ns(self) -> int | None:
        """The greatest time of a record; None: none has one."""
        return None if self._due_ns < 0 else self._due_ns

    # ------------------------------------------------------------------ writing

    def append(self, batch: MboBatch) -> None:
        """Write the next records.

        Raises:
            OutputError: the disk does not take them.
        """
        if isinstance(batch, DayStart):
            self._day_starts.append(self.count)
        if len(batch.action) == 0:
            return
        try:
            self._file.write(records_from_batch(batch).data)
            self._ids_file.write(batch.order_id.astype(_ORDER_ID).data)
        except OSError as error:
            raise _failed(self._path, error) from None
        due_ns = due_times(batch, self._due_ns)
        # The last record of each block that ends in this batch.
        ends = np.arange(BLOCK_RECORDS - 1 - self.count % BLOCK_RECORDS, len(due_ns), BLOCK_RECORDS)
        self._block_due += due_ns[ends].tolist()
        self._due_ns = int(due_ns[-1])
        if self._first_ns < 0:
            known = due_ns[due_ns >= 0]
            self._first_ns = int(known[0]) if len(known) else -1
        self.count += len(due_ns)

    def finish(self) -> None:
        """End writing.

        Raises:
            OutputError: the disk does not take the records.
        """
        try:
            self._file.close()
            self._ids_file.close()
        except OSError as error:
            raise _failed(self._path, error) from None
        empty = self.count == 0  # an empty file cannot be mapped
        self._records: NDArray[np.void] = (
            np.empty(0, MBO_DTYPE) if empty else _map(self._path, MBO_DTYPE)
        )
        self._order_ids: NDArray[np.uint64] = (
            np.empty(0, _ORDER_ID) if empty else _map(self._ids_path, _ORDER_ID)
        )
        self._starts = np.array(self._day_starts, np.int64)
        self._block_ends = np.array(self._block_due, np.int64)

    # ------------------------------------------------------------------ reading

    def read(
        self, first: int, last: int | None = None, keys: Collection[int] | None = None
    ) -> Iterator[MboBatch]:
        """Records `[first, last)` as batches that own their arrays; days start as in the stream.

        Args:
            first: the number of the first record.
            last: the number of the record after the last one; None: to the end.
            keys: only the records of the books with these keys (`record_keys`); None: all.
        """
        for at, stop in self._pieces(first, self.count if last is None else last):
            records = self._view(at, stop)
            if keys is not None:
                records = records[_is_of_books(records, keys)]
            batch = batch_from_records(records)
            self._check_kept(at)
            yield DayStart._make(batch) if at in self._starts else batch

    def read_due(self, first: int, last: int, key: int) -> Iterator[DueRows]:
        """The rows of the book with a key (`record_keys`) among records `[first, last)`."""
        due_ns = self.due_ns(first - 1) if first else -1
        for at, stop in self._pieces(first, last):
            records = self._view(at, stop)
            times = trusted_times(records["ts_recv"].copy(), records["flags"])
            times[0] = max(int(times[0]), due_ns)
            times = np.maximum.accumulate(times)
            start_ns, due_ns = int(times[0]), int(times[-1])
            numbers = np.flatnonzero(_is_of_books(records, (key,)))
            if len(numbers) < len(records):
                records, times = records[numbers], times[numbers]
            kind = DayStart if at in self._starts else MboBatch
            batch = kind._make(_book_columns(records))
            self._check_kept(at)
            yield DueRows(batch, times, at + numbers, start_ns)

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Spans of records `[first, last)` of at most READ_RECORDS; a day begins a span."""
        at, last = first, min(last, self.count)
        while at < last:
            stop = min(last, at + READ_RECORDS)
            next_day = self._starts[np.searchsorted(self._starts, at, side="right") :][:1]
            if len(next_day) and next_day[0] < stop:
                stop = int(next_day[0])
            yield at, stop
            at = stop

    def read_back(
        self, last: int, keys: Collection[int]
    ) -> Iterator[tuple[MboBatch, NDArray[np.int64]]]:
        """The records of books before a number, later batches first, with their numbers."""
        kept = self.first
        for first in range(last - READ_RECORDS, kept - READ_RECORDS, -READ_RECORDS):
            start = max(kept, first)
            records = self._view(start, first + READ_RECORDS)
            rows = np.flatnonzero(_is_of_books(records, keys))
            batch = batch_from_records(records[rows])
            self._check_kept(start)
            yield batch, start + rows

    def count_until(self, at_ns: int) -> int:
        """The number of records that are due at or before a time."""
        block = self._first_block + int(np.searchsorted(self._block_ends, at_ns, side="right"))
        first, before = self._block_start(block * BLOCK_RECORDS)
        stop = (block + 1) * BLOCK_RECORDS
        for batch in self.read(first, stop):
            due_ns = due_times(batch, before)
            first += int(np.searchsorted(due_ns, at_ns, side="right"))
            if len(due_ns) and due_ns[-1] > at_ns:
                break
            before = int(due_ns[-1])
        return first

    def due_ns(self, number: int) -> int:
        """When a record is due: the greatest trusted time up to it; -1: none has come."""
        first, before = self._block_start(number)
        for batch in self.read(first, number + 1):
            before = int(due_times(batch, before)[-1])
        return before

    def find_order(self, order_id: int, last: int) -> tuple[NDArray[np.int64], MboBatch]:
        """The records with an order id among the first `last`: their numbers, and themselves."""
        numbers = np.flatnonzero(self._order_ids[:last] == np.uint64(order_id))
        return numbers, batch_from_records(self._records[numbers])

    def _block_start(self, number: int) -> tuple[int, int]:
        """The first kept record of the block of a number, and when the one before it is due."""
        start, kept = number // BLOCK_RECORDS * BLOCK_RECORDS, self.first
        if start <= kept:
            return kept, self._due_before_first
        return start, int(self._block_ends[start // BLOCK_RECORDS - 1 - self._first_block])

    def _view(self, first: int, stop: int) -> NDArray[np.void]:
        """Records `[first, stop)`, of MBO_DTYPE."""
        return self._records[first:stop]

    def _check_kept(self, first: int) -> None:
        """Refuse what was read from a record on if it may have been overwritten meanwhile."""


def _is_of_books(records: NDArray[np.void], keys: Collection[int]) -> NDArray[np.bool_]:
    instruments = np.array([key & 0xFFFFFFFF for key in keys], np.uint32)
    if len(instruments) == 1:  # which is faster than a search
        is_of_books: NDArray[np.bool_] = records["instrument_id"] == instruments[0]
    else:
        is_of_books = np.isin(records["instrument_id"], instruments)
    rows = np.flatnonzero(is_of_books)
    own = records["publisher_id"][rows].astype(np.int64) << 32 | records["instrument_id"][rows]
    is_of_books[rows] = np.isin(own, np.array(list(keys), np.int64))
    return is_of_books


def _map(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file as an array; a slice of a `memmap` itself would take several times as long."""
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _book_columns(records: NDArray[np.void]) -> Iterator[NDArray[Any]]:
    """The columns of records; those that books do not depend on are 0."""
    for name in MboBatch._fields:
        if name in Events._fields:
            yield records[name].copy()
        else:
            yield _ZEROS[: len(records)].view(MBO_DTYPE[name])[: len(records)]


_ZEROS = np.zeros(READ_RECORDS, np.uint64)


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {error.strerror}")
