"""Which books a name stands for over a span of time.

The rule here: a record belongs to a name at its own time (rule 2). A symbol may be one instrument
after the other, so a span of it may have records of several books, each in a time of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, record_keys
from batonics.model.symbols import OPEN_END_NS, MappingInterval
from batonics.model.times import format_time

SPANS_NAMED_MAX = 3
"""Spans of a symbol that an error lists."""


class NamedSpan(NamedTuple):
    """A book, and the time `[start_ns, end_ns)` in which a name is its name."""

    key: int
    start_ns: int
    end_ns: int


class NamedBooks(NamedTuple):
    """The books that a name stands for.

    Attributes:
        spans: the books, each with its time; those of one book never overlap.
    """

    spans: tuple[NamedSpan, ...]

    @property
    def keys(self) -> Collection[int]:
        """The keys of the books."""
        return {span.key for span in self.spans}

    def find_rows(self, batch: MboBatch) -> NDArray[np.bool_]:
        """(rows,) Which records belong to the name."""
        keys, times = record_keys(batch), np.minimum(batch.ts_recv, UNDEF_TIMESTAMP - 1)
        found = np.zeros(len(keys), np.bool_)
        for key, start_ns, end_ns in self.spans:
            found |= (keys == key) & (times >= start_ns) & (times < end_ns)
        return found

    def has(self, key: int, ts_ns: int) -> bool:
        """Whether a book has the name at a time."""
        return any(span.key == key and span.start_ns <= ts_ns < span.end_ns for span in self.spans)


def covers(spans: Sequence[MappingInterval], from_ns: int, to_ns: int) -> bool:
    """Whether intervals of one instrument cover all of `[from_ns, to_ns)`."""
    reached_ns = from_ns
    for span in sorted(spans):
        if span.start_ns <= reached_ns:
            reached_ns = max(reached_ns, span.end_ns)
    return reached_ns >= min(to_ns, OPEN_END_NS - 1)


def describe_spans(name: str, spans: Sequence[MappingInterval]) -> str:
    """When a name is which instrument, in words."""
    ordered = sorted(spans)
    listed = []
    for span in ordered[:SPANS_NAMED_MAX]:
        since = f" from {format_time(span.start_ns)}" if span.start_ns else ""
        until = f" until {format_time(span.end_ns)}" if span.end_ns < OPEN_END_NS - 1 else ""
        listed.append(f"instrument {span.instrument_id}{since}{until}")
    more = len(ordered) - len(listed)
    return f"{name} is {', '.join(listed)}" + (f" and {more} more" if more else "")
