"""The merge of files by time: the order of records, later days, and overlaps."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    Action,
    DayStart,
    Flag,
    MboBatch,
    concat_batches,
    slice_batch,
)
from batonics.model.times import NS_PER_DAY
from batonics.sources.merge import FileBatch, FileMerge, MergeInput
from batonics.sources.overlap import KeyedPiece, Overlap, OverlapCheck
from tests.support.dbn_files import DAY_NS, record
from tests.support.streams import batch_of


class _OverlapError(Exception):
    def __init__(self, overlap: Overlap) -> None:
        super().__init__(overlap)
        self.overlap = overlap


def file_of(times: Sequence[int], instrument_id: int, *, flags: int = int(Flag.LAST)) -> MboBatch:
    """Records of an instrument; each has its own order id."""
    return batch_of(
        [
            record(
                Action.ADD,
                ts_recv=DAY_NS + at,
                instrument_id=instrument_id,
                order_id=1000 * instrument_id + number,
                flags=flags,
            )
            for number, at in enumerate(times)
        ]
    )


def merge(files: Sequence[MboBatch], batch_rows: int = 3, *, timed: bool = True) -> list[MboBatch]:
    """The batches of a merge of files, each read in batches of some rows."""

    def read(batch: MboBatch, _: int) -> Generator[FileBatch, None, None]:
        for start in range(0, len(batch.action), batch_rows):
            yield FileBatch(slice_batch(batch, start, start + batch_rows), start == 0)

    inputs = [
        MergeInput(int(file.ts_recv[0]) if timed else None, partial(read, file)) for file in files
    ]
    return list(FileMerge(inputs, _OverlapError).batches())


@given(
    st.lists(
        st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted), min_size=1, max_size=4
    ),
    st.integers(1, 5),
)
def test_records_are_merged_by_time_and_then_by_file(times: list[list[int]], rows: int) -> None:
    times.sort(key=lambda of_file: of_file[0])
    files = [file_of(of_file, number + 1) for number, of_file in enumerate(times)]
    merged = concat_batches(merge(files, rows))
    everything = concat_batches(files)
    order = np.argsort(everything.ts_recv, kind="stable")
    assert merged.order_id.tolist() == everything.order_id[order].tolist()


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=8).map(sorted),
    st.lists(st.integers(0, 12), min_size=1, max_size=8).map(sorted),
    st.integers(1, 4),
)
def test_an_overlap_of_one_book_is_found_whatever_the_batches(
    first: list[int], second: list[int], rows: int
) -> None:
    first, second = sorted([first, second], key=lambda of_file: of_file[0])
    files = [file_of(first, 1), file_of(second, 1)]
    files[1].order_id[:] += 500
    if first[-1] <= second[0]:  # a part that follows may begin at the very time of the last record
        assert len(concat_batches(merge(files, rows)).action) == len(first) + len(second)
        return
    with pytest.raises(_OverlapError) as caught:
        merge(files, rows)
    found = caught.value.overlap
    assert (found.earlier, found.later, found.first_ns) == (0, 1, DAY_NS + second[0])
    assert found.last_ns > found.first_ns


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6).map(sorted),
    st.lists(st.integers(0, 6), min_size=1, max_size=6).map(sorted),
    st.integers(1, 4),
    st.data(),
)
def test_the_same_record_at_the_end_of_a_file_and_the_beginning_of_another_is_found(
    first: list[int], second: list[int], rows: int, data: st.DataObject
) -> None:
    """Whatever the batches, and whichever of the records at the time of the seam it is."""
    seam = first[-1]
    second = [seam, *(seam + at for at in second)]
    earlier, later = file_of(first, 1), file_of(second, 1)
    later.order_id[:] += 500
    others = [file_of([0, seam, seam + 3], 2)]  # merged with both, and no overlap
    assert merge([*others, earlier, later], rows)
    at_end = data.draw(st.sampled_from(np.flatnonzero(earlier.ts_recv == seam + DAY_NS).tolist()))
    at_start = data.draw(st.sampled_from(np.flatnonzero(later.ts_recv == seam + DAY_NS).tolist()))
    later.order_id[at_start] = earlier.order_id[at_end]
    for files in ([earlier, later], [*others, earlier, later]):
        with pytest.raises(_OverlapError) as caught:
            merge(files, rows)
        found = caught.value.overlap
        assert (found.first_ns, found.last_ns, found.key & 0xFFFFFFFF) == (
            DAY_NS + seam,
            DAY_NS + seam,
            1,
        )
        assert found.earlier < found.later


def test_a_shared_time_of_two_files_is_compared_whichever_is_read_first() -> None:
    def piece(file: int, times: list[int], hashes: list[int]) -> KeyedPiece:
        of = np.array(hashes, np.uint64)
        keys = np.ones(len(times), np.int64)
        return KeyedPiece(file, keys, np.array(times, np.int64), lambda rows: of[rows])

    one, other = piece(0, [1, 5, 5], [1, 2, 3]), piece(1, [5, 5, 7], [4, 5, 6])
    same = piece(1, [5, 5, 7], [4, 3, 6])
    for pieces in ([one, other], [other, one]):
        check = OverlapCheck()
        assert [check.find([piece]) for piece in pieces] == [None, None]
    for pieces in ([one, same], [same, one]):
        check = OverlapCheck()
        assert [check.find([piece]) for piece in pieces] == [None, Overlap(0, 5, 1, 5, 1)]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_records_without_a_time_are_no_overlap(rows: int) -> None:
    for at in range(3):
        files = [file_of([1, 2, 3], 1), file_of([2, 3, 4], 2), file_of([5, 6, 7], 1)]
        files[2].order_id[:] += 500
        for file in files:
            file.ts_recv[at] = UNDEF_TIMESTAMP
        assert len(concat_batches(merge(files[::2], rows, timed=False)).action) == 6
        if at:
            assert len(concat_batches(merge(files, rows)).action) == 9


def test_an_overlap_is_found_behind_other_files() -> None:
    day, middle, part = file_of([0, 5, 40], 1), file_of([1, 2, 3], 2), file_of([10, 11], 1)
    with pytest.raises(_OverlapError) as caught:
        merge([day, middle, part])
    assert caught.value.overlap == Overlap(0, DAY_NS + 40, 2, DAY_NS + 10, (1 << 32) + 1)


def test_files_without_times_follow_each_other() -> None:
    files = [file_of([30, 31], 1), file_of([10, 11], 1)]
    merged = concat_batches(merge(files, timed=False))
    assert merged.ts_recv.tolist() == [DAY_NS + at for at in (30, 31, 10, 11)]


def test_untrusted_times_go_with_the_records_before_them() -> None:
    flags = int(Flag.LAST | Flag.BAD_TS_RECV)
    bad = file_of([3, 1], 1, flags=flags)
    first = concat_batches([file_of([2], 1), bad, file_of([6], 1)])
    merged = concat_batches(merge([first, file_of([4, 5], 2)], 2))
    assert (merged.ts_recv - np.uint64(DAY_NS)).tolist() == [2, 3, 1, 4, 5, 6]


def test_a_later_day_starts_with_its_first_record() -> None:
    day = NS_PER_DAY
    a = [file_of([0, 10], 1), file_of([day, day + 10], 1)]
    b = [file_of([5, 15], 2), file_of([day + 5, day + 15], 2)]
    batches = merge([a[0], b[0], a[1], b[1]])
    starts = [batch for batch in batches if isinstance(batch, DayStart)]
    assert [int(batch.ts_recv[0]) for batch in starts] == [DAY_NS + day]
    assert concat_batches(batches).ts_recv.tolist() == sorted(
        DAY_NS + at for at in (0, 5, 10, 15, day, day + 5, day + 10, day + 15)
    )
