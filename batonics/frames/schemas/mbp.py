"""MBP of any depth, and tbbo, as the vendor derives them from MBO.

The rule here: a row is an event of one book or a trade, never a mere record. The fold decides which
of them have rows, and gives the book; this module makes the vendor's columns.

| rows   | when                                               | the row has the book          |
|--------|----------------------------------------------------|-------------------------------|
| trade  | at each T, in the order of the records             | before the trade takes effect |
| change | at an event's end, if the best levels differ from  | after the event               |
|        | the book's last change; always the first time      |                               |

The last A, C, M or R of its event describes a change: the row has its action, price, size, flags,
times and sequence. `depth` is the number of levels of its side that are better than its price.
`side` is the side of that record if the publisher is in `SIDE_PUBLISHERS`. For other publishers,
and for the row that closes a snapshot, it is N. Fills have no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.book.state import Top
from batonics.frames.columns.levels import level_series
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.columns.row_place import position_series
from batonics.frames.columns.vendor import mbp_schema, rtype_series
from batonics.frames.scan.folding import fold_tops
from batonics.model.mbo import Action, Flag, MboBatch, Side

SIDE_PUBLISHERS = (1,)
"""Publishers whose changes have a side in the vendor's MBP files: GLBX.MDP3.

Files of XNAS.ITCH, DBEQ.BASIC, IFEU.IMPACT and NDEX.IMPACT have N instead."""

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
    for folded in fold_tops(batches, engine):
        frame = tops_frame(folded.tops, folded.top_records.take(), depth, rtype)
        if positions:
            frame = frame.hstack([position_series(folded.top_records.positions())])
        yield frame


def tops_frame(
    tops: NDArray[np.int64], top_records: MboBatch, depth: int, rtype: int | None
) -> pl.DataFrame:
    """A frame of `mbp_schema(depth)` from tops and the records that describe them."""
    head = to_frame(top_records._replace(side=_sides(top_records)), _RECORD_COLUMNS)
    columns = {series.name: series for series in head.get_columns()}
    columns["rtype"] = rtype_series(rtype, head.height)
    columns["depth"] = pl.Series(tops[:, Top.DEPTH].astype(np.uint8))
    columns |= level_series(tops, depth)
    return pl.DataFrame({name: columns[name] for name in mbp_schema(depth)})


def _sides(top_records: MboBatch) -> NDArray[np.uint8]:
    """The sides in the vendor's rows."""
    has_side = np.isin(top_records.publisher_id, SIDE_PUBLISHERS)
    has_side &= top_records.flags & Flag.SNAPSHOT == 0
    has_side |= top_records.action == Action.TRADE
    return np.where(has_side, top_records.side, np.uint8(Side.NONE))
