"""All that an engine says about a stream, in a form that does not depend on how it was cut.

The rule: rows are rows of the whole stream. Two traces of one stream are the same, byte for byte,
whatever the batches were, and whether or not the engine was saved and loaded in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.book.state import Delta, EventEnd
from batonics.model.mbo import DayStart, MboBatch
from tests.support.compare_books import cut_at


class Trace(NamedTuple):
    """Everything that came out of a stream, and the books at its end."""

    bbo: NDArray[np.int64]  # (rows, len(Bbo))
    deltas: NDArray[np.int64]  # (deltas, len(Delta)), rows of the stream
    event_ends: NDArray[np.int64]  # (ends, len(Closing)), rows of the stream
    books: bytes  # every book in full

    def digest(self) -> str:
        """One digest of everything."""
        return hashlib.sha256(b"".join([*(a.tobytes() for a in self[:3]), self.books])).hexdigest()


def restarted(engine: BookEngine) -> BookEngine:
    """The engine as it comes back from a checkpoint."""
    return checkpoint.load(checkpoint.save(engine, {}))[0]


def rebuilt(engine: BookEngine) -> BookEngine:
    """The engine with its tables built anew."""
    engine.rebuild()
    return engine


def trace(
    batch: MboBatch,
    cuts: Iterable[int],
    *,
    between: Callable[[BookEngine], BookEngine] = lambda engine: engine,
    days: bool = False,
) -> Trace:
    """Fold a stream in batches that end before each row of `cuts`.

    `between` gives the engine to go on with after each cut, as `restarted` does; with `days` a day
    starts there.
    """
    engine = BookEngine(bbo=True, deltas=True)
    bbo, deltas, event_ends = [], [], []
    start = 0
    for piece in cut_at(batch, cuts):
        folded = engine.fold(DayStart._make(piece) if days and start else piece)
        bbo.append(folded.bbo.copy())
        deltas.append(folded.deltas.copy())
        deltas[-1][:, Delta.ROW] += start
        event_ends.append(_of_the_stream(folded.event_ends, batch, start, engine))
        start += len(piece.action)
        engine = between(engine)
    return Trace(
        np.concatenate(bbo), np.concatenate(deltas), np.concatenate(event_ends), books(engine)
    )


def every(rows: int, batch: MboBatch) -> range:
    """The cuts that make batches of `rows` rows."""
    return range(rows, len(batch.action), rows)


def books(engine: BookEngine) -> bytes:
    """Every book in full: levels, orders with their priorities, counts of all kinds."""
    parts: list[NDArray[Any]] = [*engine.levels(), *engine.orders(), engine.anomalies()]
    parts += [engine.last_seen(), engine.events(), engine.events_open()]
    parts += map(np.array, (engine.statuses(), [engine.records], engine.keys()))
    return b"|".join(part.tobytes() for part in parts)


def _of_the_stream(
    event_ends: NDArray[np.int64], batch: MboBatch, start: int, engine: BookEngine
) -> NDArray[np.int64]:
    """The ends with rows of the stream: for -1, the book's last row before the piece."""
    event_ends = event_ends.copy()
    before = event_ends[:, EventEnd.ROW] < 0
    event_ends[~before, EventEnd.ROW] += start
    for end in np.flatnonzero(before):
        publisher_id, instrument_id = engine.keys()[event_ends[end, EventEnd.BOOK]]
        of_book = (batch.publisher_id[:start] == publisher_id) & (
            batch.instrument_id[:start] == instrument_id
        )
        event_ends[end, EventEnd.ROW] = np.flatnonzero(of_book)[-1]
    return event_ends
