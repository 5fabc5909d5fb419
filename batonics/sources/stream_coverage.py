"""Which times the files of a stream cover, as they are read.

The rule here: every stream says which time between its files none of them covers, so every answer
does, whoever asks.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from hashlib import sha256

from batonics.codec.metadata import Metadata
from batonics.model.answers import AnswerWarning, DataSpan
from batonics.model.coverage import FileSpan, Hole, Holes, describe_holes, find_holes
from batonics.model.errors import DataWarning
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch
from batonics.model.times import format_time

_LATEST_NS = 2**63 - 1


class FileCoverage:
    """The time that one file covers, so far.

    Args:
        name: the file's name, for messages.

    Attributes:
        data: the times of its records.
        is_ended: its last record was read.
        is_cut: records are missing behind the last one that could be read.
        gaps: the times of records that the gateway skipped.
    """

    def __init__(self, name: str) -> None:
        self.data = DataSpan()
        self.is_ended = self.is_cut = False
        self.gaps: list[Hole] = []
        self._named = FileSpan(name, "", None, None)
        self._has_metadata = False

    def note_metadata(self, metadata: Metadata | None) -> None:
        """Note the metadata, before their lists of symbols are dropped."""
        if metadata is None or self._has_metadata:
            return
        self._has_metadata = True
        self._named = self._named._replace(scope=_describe_scope(metadata))
        if metadata.limit is None:  # else it may end before the end that it names
            self._named = self._named._replace(
                start_ns=_known(metadata.start or None), end_ns=_known(metadata.end)
            )

    def note_gap(self, batch: MboBatch) -> None:
        """Note that the gateway skipped records before the next batch of the file."""
        before_ns, after_ns = self.data.until_ns, DataSpan().extend(batch).from_ns
        if before_ns is not None and after_ns is not None:
            name = self._named.name
            self.gaps.append(Hole(before_ns, after_ns + 1, name, name, is_known=True))

    def span(self) -> FileSpan:
        """What the file says of its time. One that is cut off has no end but its last record."""
        span = self._named._replace(first_ns=self.data.from_ns, last_ns=self.data.until_ns)
        return span._replace(end_ns=None) if self.is_cut else span


class StreamCoverage:
    """The times that the files of a stream cover, so far."""

    def __init__(self) -> None:
        self._files: list[FileCoverage] = []
        self._holes: Holes = ()
        self._between: Holes = ()  # those between files
        self._state: tuple[int, int, int] | None = None

    def begin_file(self, name: str) -> FileCoverage:
        """The coverage of the next file."""
        self._files.append(FileCoverage(name))
        return self._files[-1]

    def spans(self) -> list[FileSpan]:
        """What each file says of its time; one that was not read to its end has no end yet."""
        spans = [(file.span(), file.is_ended) for file in self._files]
        return [span if is_ended else span._replace(end_ns=None) for span, is_ended in spans]

    def holes(self) -> Holes:
        """The holes between the files that were begun, and the gaps in them.

        What is being read goes on for ever.
        """
        begun = [file for file in self._files if file.is_ended or file.data.from_ns is not None]
        gaps = [gap for file in begun for gap in file.gaps]
        state = len(begun), sum(file.is_ended for file in begun), len(gaps)
        if state != self._state:
            self._state = state
            spans = [file.span() for file in begun]
            self._between = find_holes(
                span if file.is_ended or span.by_metadata else span._replace(last_ns=_LATEST_NS)
                for span, file in zip(spans, begun, strict=True)
            )
            self._holes = tuple(sorted((*self._between, *gaps)))
        return self._holes

    def follows_hole(self, file: FileCoverage) -> bool:
        """Whether a file that has begun follows a hole that the metadata of files show."""
        name = file.span().name
        return any(hole.is_known and hole.after == name for hole in self.holes())

    def warn(self) -> None:
        """Warn of the holes, if there are any."""
        self.holes()
        text = describe_holes(self._between)
        if text:
            warnings.warn(f"{AnswerWarning.UNCOVERED}: {text}", DataWarning, stacklevel=2)
        for file in self._files:
            if file.gaps:
                warnings.warn(_describe_gaps(file.gaps), DataWarning, stacklevel=2)


def _describe_gaps(gaps: Sequence[Hole]) -> str:
    first = gaps[0]
    more = f", and {len(gaps) - 1:,} times more" if len(gaps) > 1 else ""
    return (
        f"{AnswerWarning.UNCOVERED}: {first.before}: the gateway skipped records for a slow client"
        f" between {format_time(first.start_ns)} and {format_time(first.end_ns - 1)}{more}: books"
        " are cold behind that until their next R or snapshot"
    )


def _known(time_ns: int | None) -> int | None:
    return None if time_ns is None or time_ns >= min(UNDEF_TIMESTAMP, _LATEST_NS) else time_ns


def _describe_scope(metadata: Metadata) -> str:
    """What a file was asked for; empty: its metadata do not say it."""
    names = metadata.symbols or tuple(mapping.raw_symbol for mapping in metadata.mappings)
    if not names:
        return ""
    digest = sha256("\n".join(sorted(set(names))).encode()).hexdigest()[:16]
    return f"{metadata.dataset} {metadata.stype_in} {digest}"
