"""The place of a row: its source, and its position among the records of that source.

The rule here: ordered by `source` and `position`, the states of a book are in the order of the
stream, and so are its trades, whatever their times are. Lakes store both columns; frames of one
stream are in that order already.

| column   | dtype             | content                                                        |
|----------|-------------------|----------------------------------------------------------------|
| source   | Datetime(ns, UTC) | when the source begins: the first `ts_recv` in it that orders  |
|          |                   | anything (rule 16); the same in all rows of the source         |
| position | UInt64            | how many records of the source come before that of the row     |

The record of a row depends on the schema:

| schema      | the record                                                                     |
|-------------|--------------------------------------------------------------------------------|
| mbo, trades | the record itself                                                              |
| tbbo, mbp-N | the trade, or the last record of the event; states-N likewise                  |
| bbo         | the last record of the event                                                   |
| deltas      | the record that changed the level; a clear changes many                        |
| others      | many records make such a row: `position` counts the rows of the schema instead |

Where a trade is the last record of its event, the row of the trade and the row of the event have
one position: the trade comes first.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.mbo_frame import TIME_TYPE

SOURCE, POSITION = "source", "position"
ROW_PLACE_SCHEMA = pl.Schema({SOURCE: TIME_TYPE, POSITION: pl.UInt64()})


def position_series(positions: NDArray[np.int64]) -> pl.Series:
    """The column `position`."""
    return pl.Series(POSITION, positions.view(np.uint64))
