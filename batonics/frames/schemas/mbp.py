"""MBP of any depth, and tbbo, as the vendor derives them from MBO.

The rule here: a row is an event of one book or a trade, never a mere record. The fold decides which
of them have rows, and gives the book; this module makes the vendor's columns.

| rows   | when                                               | the row has the book          |
|--------|----------------------------------------------------|-------------------------------|
| trade  | at each T, in the order of the records             | after the last event          |
| change | at an event's end, if the best levels differ from  | after the event               |
|        | those before it or those of the book's last row;   |                               |
|        | at the end of a snapshot; always the first time    |                               |

An event whose last record is a T has no row but those of its trades; the book's next row shows its
change (rule 24). Measures need the book after these events too: `state_frames`.

The last A, C, M or R of its event describes a change: the row has its action, price, size, flags,
times and sequence. `depth` and `side` say what changed since the book's last row, trades included
(rule 25): `depth` is the best level that differs, 0 if none does. `side` is the side that differs
there, and N if both or none do or if the event cleared the book. For publishers in
`SIDELESS_PUBLISHERS` it is N. A trade has its own side, and a depth of 0. Fills have no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult, TopsSpec
from batonics.book.state import CHANGE_LEVEL_SHIFT, ChangeBits, Top
from batonics.frames.columns.levels import level_series
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.columns.row_place import position_series
from batonics.frames.columns.vendor import mbp_schema, rtype_series
from batonics.frames.scan.folding import TopsPiece, fold_tops_pieces, select_tops
from batonics.model.mbo import ACTION_TRADE, MboBatch, Side

SIDELESS_PUBLISHERS = (39, 40, 41, 42, 59)
"""Publishers of DBEQ.BASIC, whose changes have the side N in the vendor's MBP files."""
_SIDES = np.array([Side.NONE, Side.BID, Side.ASK], np.uint8)
"""Sides by the bits `ChangeBits.BID` and `ChangeBits.ASK`, of which one at most is set."""

_RECORD_COLUMNS = [name for name in mbp_schema(1) if name in MboBatch._fields]


def mbp_frames(
    batches: Iterable[MboBatch],
    depth: int,
    *,
    rtype: int | None = None,
    changes: bool = True,
    positions: bool = False,
) -> Iterator[pl.DataFrame]:
    """Frames of `mbp_schema(depth)`, in stream order.

    Args:
        batches: MBO records, in their order.
        depth: levels of each side.
        rtype: the value of the column `rtype`; None: null.
        changes: whether changes have rows. Without them, a depth of 1 gives tbbo.
        positions: whether the column `position` follows (`frames/columns/row_place.py`).
    """
    engine = BookEngine(tops=TopsSpec(depth, changes=changes, trades=True))
    return mbp_rows(fold_tops_pieces(batches, engine), depth, rtype=rtype, positions=positions)


def mbp_rows(
    pieces: Iterable[TopsPiece], depth: int, *, rtype: int | None, positions: bool
) -> Iterator[pl.DataFrame]:
    """As `mbp_frames`, of records that are folded already."""
    for folded in select_tops(pieces, without=ChangeBits.ENDED_BY_TRADE):
        yield _frame(folded, depth, rtype, positions=positions)


def state_frames(
    batches: Iterable[MboBatch], depth: int, *, positions: bool = False
) -> Iterator[pl.DataFrame]:
    """Frames of `mbp_schema(depth)`: each trade, and the book after each event that changed it.

    An event that ends with a T has a row, and an event that leaves the best levels alone has none,
    whatever the vendor's rows are. `rtype` is null.

    Args:
        batches: MBO records, in their order.
        depth: levels of each side.
        positions: whether the column `position` follows (`frames/columns/row_place.py`).
    """
    engine = BookEngine(tops=TopsSpec(depth, trades=True))
    return state_rows(fold_tops_pieces(batches, engine), depth, positions=positions)


def state_rows(
    pieces: Iterable[TopsPiece], depth: int, *, positions: bool
) -> Iterator[pl.DataFrame]:
    """As `state_frames`, of records that are folded already."""
    for folded in select_tops(pieces, without=ChangeBits.UNCHANGED):
        yield _frame(folded, depth, None, positions=positions)


def _frame(folded: FoldResult, depth: int, rtype: int | None, *, positions: bool) -> pl.DataFrame:
    frame = tops_frame(folded.tops, folded.top_records.take(), depth, rtype)
    if positions:
        frame = frame.hstack([position_series(folded.top_records.positions())])
    return frame


def tops_frame(
    tops: NDArray[np.int64], top_records: MboBatch, depth: int, rtype: int | None
) -> pl.DataFrame:
    """A frame of `mbp_schema(depth)` from tops and the records that describe them."""
    change = tops[:, Top.CHANGE]
    head = to_frame(top_records._replace(side=_sides(change, top_records)), _RECORD_COLUMNS)
    columns = {series.name: series for series in head.get_columns()}
    columns["rtype"] = rtype_series(rtype, head.height)
    columns["depth"] = pl.Series((change >> CHANGE_LEVEL_SHIFT).astype(np.uint8))  # the low byte
    columns |= level_series(tops, depth)
    return pl.DataFrame({name: columns[name] for name in mbp_schema(depth)})


def _sides(change: NDArray[np.int64], top_records: MboBatch) -> NDArray[np.uint8]:
    """The sides in the vendor's rows."""
    sides: NDArray[np.uint8] = _SIDES[change & int(ChangeBits.BID | ChangeBits.ASK)]
    sides[np.isin(top_records.publisher_id, SIDELESS_PUBLISHERS)] = Side.NONE
    trades = top_records.action == ACTION_TRADE
    sides[trades] = top_records.side[trades]
    return sides
