"""Books as frames over MBO records: best bid and offer, level deltas, depth, whole books.

The rule here: a function `*_frames` folds batches and gives frames; a function `*_source` gives the
same frames as a LazyFrame over records.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from functools import partial

import polars as pl

from batonics.book.doubtful_books import find_renamed, warnings_of_books
from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import EventCutoff
from batonics.book.state import Bbo, Delta
from batonics.frames.columns.books import (
    BBO_SCHEMA,
    BOOK_KEY,
    BOOK_KEY_SCHEMA,
    DELTA_SCHEMA,
    depth_schema,
)
from batonics.frames.columns.mbo_frame import (
    BOOK_SIDE_TYPE,
    null_where,
    side_series,
    to_datetimes,
)
from batonics.frames.columns.row_place import position_series
from batonics.frames.depth.sampling import changed_depth_frames, sampled_depth_frames
from batonics.frames.depth.snapshots import depth_frames, without_absences
from batonics.frames.depth.windows import EventWindows, Windows
from batonics.frames.scan.folding import book_keys, fold_pieces, key_columns
from batonics.frames.scan.mbo_scan import StreamFacts, facts_of
from batonics.frames.scan.record_source import record_source
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.model.answers import AsOf, DataSpan
from batonics.model.errors import DataWarning
from batonics.model.mbo import UNDEF_PRICE, MboBatch

BOOK_SCHEMA = pl.Schema(
    {
        **BOOK_KEY_SCHEMA,
        "side": BOOK_SIDE_TYPE,
        "level": pl.UInt32(),
        "price": pl.Int64(),
        "size": pl.Int64(),
        "count": pl.Int64(),
    }
)


def bbo_source(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of `BBO_SCHEMA` over MBO records."""
    return record_source(
        "MBO BBO",
        records,
        BBO_SCHEMA,
        bbo_frames,
        derive_placed=partial(bbo_frames, positions=True),
    )


def delta_source(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of `DELTA_SCHEMA` over MBO records."""
    return record_source(
        "MBO DELTAS",
        records,
        DELTA_SCHEMA,
        delta_frames,
        derive_placed=partial(delta_frames, positions=True),
    )


def depth_source(
    records: pl.LazyFrame, windows: Windows, depth: int, *, fill: bool
) -> pl.LazyFrame:
    """A LazyFrame of `depth_schema(depth)` over MBO records."""
    facts = facts_of(records) or StreamFacts()

    def derive(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        if fill:
            filled = depth_frames(fold_pieces(batches, deltas=True), windows, depth, fill=True)
            return without_absences(filled, facts.find_absences)
        return sampled_depth_frames(batches, windows, depth)

    books_independent = fill or isinstance(windows, EventWindows)
    return record_source(
        f"MBO DEPTH {depth}",
        records,
        depth_schema(depth),
        derive,
        books_independent=books_independent,
    )


def changes_source(records: pl.LazyFrame, depth: int) -> pl.LazyFrame:
    """A LazyFrame of `depth_schema(depth)` over MBO records: a row for each change of levels."""

    def derive(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        return changed_depth_frames(batches, depth)

    return record_source(f"MBO CHANGES {depth}", records, depth_schema(depth), derive)


def book_source(records: pl.LazyFrame, at_ns: int) -> pl.LazyFrame:
    """A LazyFrame of `BOOK_SCHEMA` over MBO records: all levels at a moment."""
    facts = facts_of(records) or StreamFacts()

    def derive(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        return book_frames(batches, at_ns, facts)

    # Records of all books show until when the data reaches.
    return record_source("MBO BOOK", records, BOOK_SCHEMA, derive, books_independent=False)


def book_frames(
    batches: Iterable[MboBatch], at_ns: int, facts: StreamFacts
) -> Iterator[pl.DataFrame]:
    """One frame of `BOOK_SCHEMA`: each book after its last complete event up to a moment.

    A DataWarning counts the books that are doubtful, by the reason.

    Args:
        batches: MBO records, in their order.
        at_ns: the moment.
        facts: what the stream knows of the trading statuses of its books.

    Raises:
        UsageError: the moment is before the first record, or no record is.
    """
    engine, cutoff, data = BookEngine(), EventCutoff(at_ns), DataSpan()
    for batch in batches:
        data = data.extend(batch)
        for rows in cutoff.take(batch):
            engine.fold(rows)
        if cutoff.done:
            break
    data.check_not_before(at_ns)
    engine.fold(cutoff.finish())
    as_of = AsOf.of_records(at_ns, data, facts.doubtful_days, facts.find_holes())
    trading = TradingStatuses(facts.statuses(), facts.sessions).at(engine.keys(), at_ns)
    levels = engine.levels()
    renamed = find_renamed(engine, facts.symbols(), as_of)
    as_of = as_of._replace(trading=trading, renamed=renamed)
    for line in as_of.describe_warnings(warnings_of_books(engine, as_of)):
        warnings.warn(line, DataWarning, stacklevel=2)
    keys = book_keys(engine)[levels.book]
    frame = pl.DataFrame(
        {
            **key_columns(keys),
            "side": side_series(levels.side),
            "price": levels.price,
            "size": levels.size,
            "count": levels.count,
        }
    )
    level = pl.int_range(pl.len(), dtype=pl.UInt32).over(*BOOK_KEY, "side")
    by_book = frame.with_columns(level=level).sort(*BOOK_KEY, "side", "level")
    yield by_book.select(list(BOOK_SCHEMA))


def bbo_frames(batches: Iterable[MboBatch], *, positions: bool = False) -> Iterator[pl.DataFrame]:
    """Frames of `BBO_SCHEMA`: a row for each end of an event.

    Args:
        batches: MBO records, in their order.
        positions: whether the column `position` follows (`frames/columns/row_place.py`).
    """
    for piece in fold_pieces(batches, bbo=True):
        ends = piece.copy_event_ends()
        levels = ends.bbo.T.copy()
        frame = pl.DataFrame(
            {
                "ts_event": to_datetimes(ends.ts_event),
                "ts_recv": to_datetimes(ends.ts_recv),
                "sequence": ends.sequence,
                **key_columns(piece.keys[ends.book]),
                **{
                    name: null_where(column, column == UNDEF_PRICE) if word in _PRICES else column
                    for word, name, column in zip(Bbo, _BBO_NAMES, levels, strict=True)
                },
            }
        )
        yield frame.hstack([position_series(ends.position)]) if positions else frame


def delta_frames(batches: Iterable[MboBatch], *, positions: bool = False) -> Iterator[pl.DataFrame]:
    """Frames of `DELTA_SCHEMA`: a row for each level delta.

    Args:
        batches: MBO records, in their order.
        positions: whether the column `position` follows (`frames/columns/row_place.py`).
    """
    for piece in fold_pieces(batches, deltas=True):
        words = piece.deltas.T.copy()
        row, batch = words[Delta.ROW], piece.batch
        frame = pl.DataFrame(
            {
                "ts_event": to_datetimes(batch.ts_event[row]),
                "ts_recv": to_datetimes(batch.ts_recv[row]),
                "sequence": batch.sequence[row],
                **key_columns(piece.keys[words[Delta.BOOK]]),
                "event": words[Delta.EVENT],
                "side": side_series(words[Delta.SIDE]),
                "price": words[Delta.PRICE],
                "size": words[Delta.SIZE],
                "count": words[Delta.COUNT],
            }
        )
        yield frame.hstack([position_series(row + piece.first_position)]) if positions else frame


_PRICES = (Bbo.BID_PRICE, Bbo.ASK_PRICE)
_BBO_NAMES = [word.name.lower() for word in Bbo]
