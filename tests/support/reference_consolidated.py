"""The consolidated book of all publishers, summed over whole ladders.

The rule: ladders are those of the reference books; nothing of `batonics.frames` is used.
"""

from __future__ import annotations

from collections import Counter

from batonics.model.mbo import UNDEF_PRICE, Action
from tests.support.reference_books import Key, Record
from tests.support.reference_tops import ReferenceTops


class ReferenceConsolidated:
    """The consolidated book: sums over the whole ladder that each book had at its last top.

    Attributes:
        rows: publisher, instrument, action and levels, as in a consolidated frame.
    """

    def __init__(self, depth: int) -> None:
        self.rows: list[tuple[object, ...]] = []
        self._depth = depth
        self._tops = ReferenceTops(depth, whole=True)
        self._ladders: dict[Key, list[list[tuple[int, int, int]]]] = {}
        self._shown: dict[int, list[int]] = {}

    def apply(self, record: Record) -> None:
        count = len(self._tops.tops)
        self._tops.apply(record)
        new = zip(self._tops.tops[count:], self._tops.ladders[count:], strict=True)
        for top, ladders in new:
            is_trade = top.record.action == Action.TRADE
            if not is_trade:
                self._ladders[record.publisher_id, record.instrument_id] = ladders
            self._show(top.record, record.instrument_id, is_trade=is_trade)

    def _show(self, record: Record, instrument_id: int, *, is_trade: bool) -> None:
        words: list[int] = []
        sides = [self._summed(instrument_id, side) for side in (0, 1)]
        for level in range(self._depth):
            pair = [s[level] if level < len(s) else (UNDEF_PRICE, 0, 0) for s in sides]
            words += [word for both in zip(*pair, strict=True) for word in both]
        if not is_trade and self._shown.get(instrument_id) == words:
            return
        if not is_trade:
            self._shown[instrument_id] = words
        self.rows.append((record.publisher_id, instrument_id, chr(record.action), *words))

    def _summed(self, instrument_id: int, side: int) -> list[tuple[int, int, int]]:
        sizes: Counter[int] = Counter()
        counts: Counter[int] = Counter()
        for key, ladders in self._ladders.items():
            if key[1] == instrument_id:
                for price, size, count in ladders[side]:
                    sizes[price] += size
                    counts[price] += count
        return [(p, sizes[p], counts[p]) for p in sorted(sizes, reverse=side == 0)]
