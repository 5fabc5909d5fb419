"""Counts of a stream's records, and of its events by what their books are at their ends."""

from __future__ import annotations

import numpy as np

from batonics.book.growth import grown
from batonics.book.state import Bbo
from batonics.frames.scan.folding import FoldedPiece


class EventTallies:
    """Counts of records and of events.

    Attributes:
        records: the number of all records.
        crossed: by book, the number of events that end with the book crossed (rule 22).
        locked: by book, the number of events that end with the book locked (rule 22).
    """

    def __init__(self) -> None:
        self.records = 0
        self.crossed, self.locked = np.zeros((2, 64), np.int64)

    def add(self, piece: FoldedPiece) -> None:
        """Count the records and the ends of events of the next piece."""
        self.records += len(piece.batch.action)
        if len(piece.keys) > len(self.crossed):
            self.crossed = grown(self.crossed, 2 * len(piece.keys), 0)
            self.locked = grown(self.locked, 2 * len(piece.keys), 0)
        ends = piece.copy_event_ends()
        bbo = ends.bbo
        both = (bbo[:, Bbo.BID_SIZE] > 0) & (bbo[:, Bbo.ASK_SIZE] > 0)
        bid, ask = bbo[:, Bbo.BID_PRICE], bbo[:, Bbo.ASK_PRICE]
        np.add.at(self.crossed, ends.book[both & (bid > ask)], 1)
        np.add.at(self.locked, ends.book[both & (bid == ask)], 1)
