"""A log in shared memory: whole entries in order, or the news that the reader was overtaken."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.book.engine import BookEngine
from batonics.live.log_kernels import ENTRY_WORDS, LogWord
from batonics.live.record_log import (
    HEAD_BYTES,
    LOG_BYTES_MIN,
    EntryKind,
    LogReader,
    LogWriter,
    OvertakenError,
    open_log_memory,
)
from batonics.model.mbo import MBO_DTYPE, MboBatch, batch_from_records, slice_batch
from batonics.model.symbols import MappingInterval

ROWS = 1 << 16


def numbered_batch(rows: int) -> MboBatch:
    """Rows with other values in each column, and their number as `order_id`."""
    values = np.random.default_rng(5).integers(0, 256, (rows, MBO_DTYPE.itemsize), np.uint8)
    records = values.reshape(-1).view(MBO_DTYPE)
    records["order_id"] = np.arange(rows)
    return batch_from_records(records)


BATCH = numbered_batch(ROWS)


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = open_log_memory(LOG_BYTES_MIN)
    yield descriptor
    os.close(descriptor)


def read_all(reader: LogReader) -> list[tuple[EntryKind, int, bytes]]:
    """All entries that are written, with copies of their content."""
    found = []
    while reader.waiting_bytes:
        place = reader.place
        found += [(kind, number, bytes(content)) for kind, number, content in reader.read()]
        assert reader.place > place
    return [one for one in found if one[0] is not EntryKind.RECORDS or one[2]]


def test_entries_come_as_they_were_written(memory: int) -> None:
    writer = LogWriter(memory, records=70)
    interval = MappingInterval(1, 2, 3, "ESZ5")
    writer.write_symbols([interval])
    writer.write(slice_batch(BATCH, 0, 3))
    writer.write_statuses([b"status"])
    writer.note_feed(1)
    writer.note_feed(1)
    writer.mark_gap(BookEngine())
    writer.write(slice_batch(BATCH, 3, 4))
    found = read_all(LogReader(memory))
    kinds = [(kind, number) for kind, number, _ in found]
    assert kinds == [
        (EntryKind.SYMBOLS, 0),
        (EntryKind.RECORDS, 70),
        (EntryKind.STATUS, 0),
        (EntryKind.FEED, 1),
        (EntryKind.GAP, 0),
        (EntryKind.RECORDS, 73),
    ]
    assert found[0][2] == b'[[1,2,3,"ESZ5"]]'
    assert found[2][2] == b"status"
    rows = np.frombuffer(found[1][2], MBO_DTYPE)
    assert (rows["length"] == 14).all()
    assert (rows["rtype"] == 0xA0).all()
    for name, column in slice_batch(BATCH, 0, 3)._asdict().items():
        assert np.array_equal(rows[name], column), name


@given(sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=30), pause=st.integers(0, 12))
def test_a_reader_has_every_record_or_is_overtaken(sizes: list[int], pause: int) -> None:
    """A reader that reads after `pause` writes each time, over several rounds of the ring."""
    memory = open_log_memory(LOG_BYTES_MIN)
    try:
        writer, reader = LogWriter(memory), LogReader(memory)
        expected, taken, unread = 0, 0, 0
        for number, size in enumerate(sizes):
            at = expected % (ROWS - size)
            writer.write(slice_batch(BATCH, at, at + size))
            rows = np.arange(at, at + size)
            expected += size
            unread += 1
            if number % (pause + 1):
                continue
            try:
                entries = read_all(reader)
            except OvertakenError:
                assert writer.place - reader.place > LOG_BYTES_MIN - HEAD_BYTES
                reader = LogReader(memory, writer.place)
                taken, unread = expected, 0
                continue
            for _, first, content in entries:
                records = np.frombuffer(content, MBO_DTYPE)
                assert first == taken
                taken += len(records)
            assert taken == expected
            last = np.frombuffer(entries[-1][2], MBO_DTYPE)["order_id"]
            assert np.array_equal(last, rows[-len(last) :])
            unread = 0
    finally:
        os.close(memory)


def test_what_is_claimed_and_not_written_is_not_read(memory: int) -> None:
    """The writer has died within an entry: readers have all before it."""
    writer = LogWriter(memory)
    writer.write(slice_batch(BATCH, 0, 5))
    head, ring = (np.frombuffer(part, np.int64) for part in map_parts(memory))
    head[LogWord.CLAIMED] = writer.place + 4_096
    ring[writer.place // 8 : writer.place // 8 + ENTRY_WORDS] = 1 << 32 | 1_000, 5
    reader = LogReader(memory)
    (records,) = read_all(reader)
    assert records[:2] == (EntryKind.RECORDS, 0)
    assert reader.place == writer.place


def test_a_reader_is_overtaken_as_soon_as_its_bytes_are_claimed(memory: int) -> None:
    """Whether they are overwritten already cannot be known."""
    writer = LogWriter(memory)
    writer.write(slice_batch(BATCH, 0, 5))
    head, _ = (np.frombuffer(part, np.int64) for part in map_parts(memory))
    head[LogWord.CLAIMED] = head[LogWord.CAPACITY]
    reader = LogReader(memory)
    assert read_all(reader)
    head[LogWord.CLAIMED] += 1
    with pytest.raises(OvertakenError):
        list(LogReader(memory).read())


def map_parts(descriptor: int) -> tuple[memoryview, memoryview]:
    """The head and the ring of a log, to be written."""
    whole = memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size))
    return whole[:HEAD_BYTES], whole[HEAD_BYTES:]
