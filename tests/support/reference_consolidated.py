"""The consolidated book of all publishers, summed over whole ladders.

The rule: ladders are those of the reference books; nothing of `batonics.frames` is used.
"""

from __future__ import annotations

from collections import Counter

from batonics.book.state import TOP_LEVEL_WORDS
from batonics.model.mbo import UNDEF_PRICE
from tests.support.reference_books import Key, Record
from tests.support.reference_tops import ReferenceTop, ReferenceTops


class ReferenceConsolidated:
    """The consolidated book: sums over the whole ladder that each book had at its last top.

    Attributes:
        rows: publisher, instrument, action, depth and levels, as in a consolidated frame.
    """

    def __init__(self, depth: int) -> None:
        self.rows: list[tuple[object, ...]] = []
        self._depth = depth
        self._tops = ReferenceTops(depth, whole=True)
        self._ladders: dict[Key, list[list[tuple[int, int, int]]]] = {}
        self._last: dict[int, list[int]] = {}  # by instrument: after its last changed event
        self._rows: dict[int, list[int]] = {}  # by instrument: of its last row

    def apply(self, record: Record) -> None:
        count = len(self._tops.tops)
        self._tops.apply(record)
        new = zip(self._tops.tops[count:], self._tops.ladders[count:], strict=True)
        for top, ladders in new:
            if top.kind != "trade":
                self._ladders[record.publisher_id, record.instrument_id] = ladders
            self._show(top, record.instrument_id)

    def _show(self, top: ReferenceTop, instrument_id: int) -> None:
        words: list[int] = []
        sides = [self._summed(instrument_id, side) for side in (0, 1)]
        for level in range(self._depth):
            pair = [s[level] if level < len(s) else (UNDEF_PRICE, 0, 0) for s in sides]
            words += [word for both in zip(*pair, strict=True) for word in both]
        row = self._rows.get(instrument_id, [UNDEF_PRICE, UNDEF_PRICE, 0, 0, 0, 0] * self._depth)
        depth = 0
        if top.kind != "trade":
            is_same = words == row and words == self._last.get(instrument_id)
            self._last[instrument_id] = words
            if top.kind == "ended by trade" or (is_same and not top.is_snapshot):
                return
            differs = (at for at in range(len(words)) if words[at] != row[at])
            depth = next(differs, 0) // TOP_LEVEL_WORDS
        self._rows[instrument_id] = words
        record = top.record
        self.rows.append((record.publisher_id, instrument_id, chr(record.action), depth, *words))

    def _summed(self, instrument_id: int, side: int) -> list[tuple[int, int, int]]:
        sizes: Counter[int] = Counter()
        counts: Counter[int] = Counter()
        for key, ladders in self._ladders.items():
            if key[1] == instrument_id:
                for price, size, count in ladders[side]:
                    sizes[price] += size
                    counts[price] += count
        return [(p, sizes[p], counts[p]) for p in sorted(sizes, reverse=side == 0)]
