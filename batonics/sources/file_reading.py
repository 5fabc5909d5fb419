"""A file of a stream while it is read.

The rule here: files behind each other in one input are files of their own. The next one begins
behind the one ahead of it: not at an earlier time, and not with one of its last records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from batonics.model.errors import UsageError
from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    MboBatch,
    copy_batch,
    is_untimed,
    record_keys,
    slice_batch,
    take_batch,
)
from batonics.model.record_hashes import record_hashes
from batonics.sources.decoding import DecodedBatch, FileReport
from batonics.sources.file_order import ADVICE, describe_time
from batonics.sources.overlap import EDGE_RECORDS_MAX
from batonics.sources.stream_coverage import FileCoverage


class FileReading:
    """A file that is being read.

    Args:
        report: its report.
        coverage: the time that it covers.
        counts: records, rows and skipped records of its input before it.
        end: the last records of its input before it.

    Attributes:
        report: its report.
        coverage: the time that it covers.
        number: its number in its input.
        counts: records, rows and skipped records of its input so far.
        end: the last records of its input so far.
        instrument_ids: the stream's instrument ids by those of the file (`NUMBERED_FORMS`).
    """

    def __init__(
        self,
        report: FileReport,
        coverage: FileCoverage,
        counts: tuple[int, int, int] = (0, 0, 0),
        end: _LastRecords | None = None,
    ) -> None:
        self.report, self.coverage = report, coverage
        self.counts, self.end = counts, end or _LastRecords()
        self.number = 0
        self.instrument_ids = np.zeros(1, np.uint32)
        self._counts_before = counts
        self._has_rows = False

    def count(self, decoded: DecodedBatch) -> None:
        """Note how many records have been read."""
        self.counts = decoded.records, decoded.rows, decoded.skipped
        report, before = self.report, self._counts_before
        report.records, report.rows, report.skipped = (
            count - earlier for count, earlier in zip(self.counts, before, strict=True)
        )

    def check_beginning(self, batch: MboBatch) -> None:
        """Refuse a batch that begins the file, but not behind the file ahead of it in its input.

        Raises:
            UsageError: it begins at an earlier time than that ends, or with a record of that.
        """
        if self._has_rows or is_untimed(batch.flags[:1])[0] or not self.end.last_ns:
            return
        name, first_ns = self.report.name, int(batch.ts_recv[0])
        if first_ns < self.end.last_ns:
            raise UsageError(
                f"{name}: begins at {describe_time(first_ns)}, before the file ahead of it ends, at"
                f" {describe_time(self.end.last_ns)}; part them, or {ADVICE}"
            )
        if self.end.has_record_of(batch):
            raise UsageError(
                f"{name}: begins with a record that the file ahead of it ends with, at"
                f" {describe_time(first_ns)}; part them, or {ADVICE}"
            )

    def note_batch(self, batch: MboBatch) -> bool:
        """Note the last records of a batch; whether it begins the file."""
        self.end.note(batch)
        self.coverage.data = self.coverage.data.extend(batch)
        begins, self._has_rows = not self._has_rows, True
        return begins


def cut_at_gaps(batch: MboBatch, gaps: Sequence[int]) -> Iterator[tuple[MboBatch, bool]]:
    """The pieces of a batch, and whether records were skipped before each.

    Args:
        batch: the records, one or more.
        gaps: rows before which records were skipped, ascending.
    """
    if not gaps:
        yield batch, False
        return
    edges = [*sorted({0, *gaps}), len(batch.action)]
    for start, stop in pairwise(edges):
        yield slice_batch(batch, start, stop), start in gaps


class _LastRecords:
    """The records of an input at the time of its last one; of very many, the last ones.

    Attributes:
        last_ns: a late trusted time of the input; 0: there is none yet.
    """

    def __init__(self) -> None:
        self.last_ns = 0
        self._batches: list[MboBatch] = []

    def note(self, batch: MboBatch) -> None:
        """Note the next records."""
        last_ns, count, rows = int(batch.ts_recv[-1]), 1, len(batch.action)
        if last_ns == UNDEF_TIMESTAMP or is_untimed(batch.flags[-1:])[0]:
            return
        while count < rows and int(batch.ts_recv[-count]) == last_ns:
            count = min(2 * count, rows)
        if last_ns != self.last_ns:
            self.last_ns, self._batches = last_ns, []
        count = min(count, EDGE_RECORDS_MAX)
        self._batches.append(copy_batch(slice_batch(batch, rows - count, rows)))
        held = sum(len(each.action) for each in self._batches)
        while held - len(self._batches[0].action) >= EDGE_RECORDS_MAX:
            held -= len(self._batches.pop(0).action)

    def has_record_of(self, batch: MboBatch) -> bool:
        """Whether one of the records is the same as one of a batch."""
        ends = _identities(self._batches, self.last_ns)
        return not ends.isdisjoint(_identities([batch], self.last_ns))


def _identities(batches: Sequence[MboBatch], ts_recv: int) -> set[tuple[int, int]]:
    """What identifies the records of a time: the keys of their books, and their hashes."""
    found = set[tuple[int, int]]()
    for batch in batches:
        rows = take_batch(batch, batch.ts_recv == ts_recv)
        found.update(zip(record_keys(rows).tolist(), record_hashes(rows).tolist(), strict=True))
    return found
