"""Which times files cover, and the holes between them.

The rule here: a file covers the time from the start to the end that its metadata name; where they
name none, the time from its first to its last record. Several files cover what at least one of
them covers, and files of one scope, such as the daily files of a symbol, have to cover the time
between them by themselves. A hole is a time between two files that neither covers: a file is
missing, or the market was closed and no file was made. Which of the two is not known.

Metadata of files that are parts of one request may name the time of the request. Where the metadata
of two files of one scope name times that intersect, the records of these files decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from batonics.model.times import NS_PER_DAY, format_time

HOLE_SAID_NS = NS_PER_DAY
"""The shortest hole that a line of text names, of those that only records show. Shorter ones are
between the parts of a recording and between days; an interval over any hole is not complete."""


class FileSpan(NamedTuple):
    """What a file says of the time that it covers.

    Attributes:
        name: the file's name, for messages.
        scope: what the file was asked for: its dataset and symbols; empty: not known.
        first_ns: the time of its first record, by the clock of the stream; None: none has a time.
        last_ns: the greatest time of its records; None: none has a time.
        start_ns: the first time that it covers, by its metadata; None: they do not say it.
        end_ns: the time that it ends before, by its metadata; None: they do not say it.
    """

    name: str
    scope: str
    first_ns: int | None
    last_ns: int | None
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def by_metadata(self) -> bool:
        """Whether the metadata name a start and an end that the records agree with."""
        if self.start_ns is None or self.end_ns is None or self.start_ns >= self.end_ns:
            return False
        if self.first_ns is None or self.last_ns is None:
            return True
        return self.start_ns <= self.first_ns and self.last_ns < self.end_ns


def clip_file(file: FileSpan, start_ns: int, end_ns: int) -> FileSpan | None:
    """What a file covers from one time until before another; None: nothing."""
    first_ns, last_ns = file.first_ns, file.last_ns
    if first_ns is not None and last_ns is not None:
        first_ns, last_ns = max(first_ns, start_ns), min(last_ns, end_ns - 1)
        if first_ns > last_ns:
            first_ns = last_ns = None
    clipped = file._replace(
        first_ns=first_ns,
        last_ns=last_ns,
        start_ns=None if file.start_ns is None else max(file.start_ns, start_ns),
        end_ns=None if file.end_ns is None else min(file.end_ns, end_ns),
    )
    return clipped if first_ns is not None or clipped.by_metadata else None


class CoveredSpan(NamedTuple):
    """A time that is covered.

    Attributes:
        from_ns: its first nanosecond.
        until_ns: its last one.
        first: the name of the file that it begins with.
        last: the name of the file that it ends with.
        begins_known: the metadata of that file say that it begins there.
        ends_known: likewise, that it ends there.
    """

    from_ns: int
    until_ns: int
    first: str = ""
    last: str = ""
    begins_known: bool = False
    ends_known: bool = False


class Hole(NamedTuple):
    """A time that no file covers, between files that do.

    Attributes:
        start_ns: its first nanosecond.
        end_ns: the first nanosecond after it.
        before: the name of the file that ends there.
        after: the name of the file that begins behind it.
        is_known: the metadata of both files say so; otherwise only their records do.
    """

    start_ns: int
    end_ns: int
    before: str = ""
    after: str = ""
    is_known: bool = False


Holes = tuple[Hole, ...]
"""Holes in the order of their starts. They may intersect, if they are of different scopes."""


def cover_by_scope(files: Iterable[FileSpan]) -> dict[str, list[CoveredSpan]]:
    """The times that the files of each scope cover, in order and apart from each other."""
    by_scope: dict[str, list[FileSpan]] = {}
    for file in files:
        by_scope.setdefault(file.scope, []).append(file)
    return {scope: join_spans(_spans_of(found)) for scope, found in by_scope.items()}


def find_holes(files: Iterable[FileSpan]) -> Holes:
    """The holes between files of one scope, and those that no file of any scope covers."""
    by_scope = cover_by_scope(files)
    covers = list(by_scope.values())
    if len(covers) > 1:
        covers.append(join_spans(span for spans in by_scope.values() for span in spans))
    found = {
        (one.until_ns + 1, other.from_ns): Hole(
            one.until_ns + 1,
            other.from_ns,
            one.last,
            other.first,
            one.ends_known and other.begins_known,
        )
        for spans in covers
        for one, other in pairwise(spans)
    }
    return tuple(found[edges] for edges in sorted(found))


def _spans_of(files: Sequence[FileSpan]) -> list[CoveredSpan]:
    """What each file of a scope covers; a file of which no time is known covers none."""
    shared = _find_shared(files)
    spans = []
    for at, file in enumerate(files):
        uses_metadata = at not in shared and file.by_metadata
        start_ns, end_ns = file.start_ns, file.end_ns
        if uses_metadata and start_ns is not None and end_ns is not None:
            span = CoveredSpan(start_ns, end_ns - 1, file.name, file.name)
            spans.append(span._replace(begins_known=True, ends_known=True))
        elif file.first_ns is not None and file.last_ns is not None:
            spans.append(CoveredSpan(file.first_ns, file.last_ns, file.name, file.name))
    return spans


def _find_shared(files: Sequence[FileSpan]) -> set[int]:
    """The files whose metadata name a time that those of another file name too."""
    named = sorted(
        (file.start_ns, file.end_ns, at)
        for at, file in enumerate(files)
        if file.by_metadata and file.start_ns is not None and file.end_ns is not None
    )
    shared = set[int]()
    end_ns, last = -1, -1  # of the file so far that ends last
    for start_ns, file_end_ns, at in named:
        if start_ns < end_ns:
            shared |= {last, at}
        if file_end_ns > end_ns:
            end_ns, last = file_end_ns, at
    return shared


def join_spans(spans: Iterable[CoveredSpan]) -> list[CoveredSpan]:
    """The spans in order; those that touch or intersect are one."""
    joined: list[CoveredSpan] = []
    for span in sorted(spans):
        if joined and span.from_ns <= joined[-1].until_ns + 1:
            if span.until_ns > joined[-1].until_ns:
                joined[-1] = joined[-1]._replace(
                    until_ns=span.until_ns, last=span.last, ends_known=span.ends_known
                )
        else:
            joined.append(span)
    return joined


def holes_between(holes: Holes, first_ns: int | None, last_ns: int | None) -> Holes:
    """The holes that have an instant from `first_ns` to `last_ns`; none if one is not known."""
    if first_ns is None or last_ns is None:
        return ()
    return tuple(hole for hole in holes if hole.start_ns <= last_ns and first_ns < hole.end_ns)


def describe_holes(holes: Sequence[Hole]) -> str:
    """What holes mean, in one line; empty: none is long enough to be named."""
    said = [one for one in holes if one.is_known or one.end_ns - one.start_ns >= HOLE_SAID_NS]
    if not said:
        return ""
    hole = max(said, key=lambda one: one.end_ns - one.start_ns)
    others = f" ({len(said) - 1:,} more)" if len(said) > 1 else ""
    between = f", between {hole.before} and {hole.after}" if hole.before and hole.after else ""
    return (
        f"no file covers {format_time(hole.start_ns)} to {format_time(hole.end_ns)}{between}"
        f"{others}: the market was closed, or a file is missing"
    )
