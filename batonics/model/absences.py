"""Times for which an input has no records of an instrument, since its symbol names another one.

A continuous symbol may roll from one instrument to another, and back. The records of the symbol
then have the first instrument before and after, and not between: what happened to its books in that
time is not known. The rule here: an absence lies between two intervals of a symbol for one
instrument, where the symbol names another instrument in between, and no other symbol that is read
names the first one. Other times without a symbol, such as weekends, are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batonics.model.symbols import (
    OPEN_END_NS,
    IntervalMap,
    MappingInterval,
    SymbolMap,
    is_instrument_id,
)


class Absence(NamedTuple):
    """A time `[start_ns, end_ns)` for which there are no records of an instrument."""

    start_ns: int
    end_ns: int
    instrument_id: int
    symbol: str


Absences = IntervalMap[Absence]
"""Absences of instruments. They are few."""


class AbsenceFinder:
    """Finds absences while the symbols of a stream become known.

    Args:
        names: the symbols and instrument ids whose records are read; empty: all.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._ids = {int(name) for name in names if is_instrument_id(name)}
        self._found = Absences()
        self._count = 0

    def find(self, symbols: SymbolMap) -> Absences:
        """The absences so far, in one map that grows; the cost follows what is new."""
        if len(symbols) < self._count:  # another map
            self._count = 0
        new = symbols.added_since(self._count)
        self._count = len(symbols)
        for interval in new:
            if self._is_read(interval.symbol) and symbols.is_moved(interval.symbol):
                for absence in self._find_before(interval, symbols):
                    self._found.add(absence)
        return self._found

    def _is_read(self, symbol: str) -> bool:
        return not self._names or symbol in self._names

    def _find_before(self, interval: MappingInterval, symbols: SymbolMap) -> list[Absence]:
        """The absences between an interval and the one of its symbol and instrument before it."""
        end_ns, instrument_id, symbol = interval.start_ns, interval.instrument_id, interval.symbol
        own = symbols.intervals_of(instrument_id)
        earlier = [i.end_ns for i in own if i.symbol == symbol and i.start_ns < end_ns]
        start_ns = max(earlier, default=OPEN_END_NS)
        others = (
            other
            for other_id in symbols.instrument_ids(symbol) - {instrument_id}
            for other in symbols.intervals_of(other_id)
            if other.symbol == symbol
        )
        moves = any(other.start_ns < end_ns and start_ns < other.end_ns for other in others)
        if start_ns >= end_ns or not moves or instrument_id in self._ids:
            return []
        absences = []
        for other in own:
            if not self._is_read(other.symbol) or other.end_ns <= start_ns:
                continue
            if other.start_ns >= end_ns:
                break
            if start_ns < other.start_ns:
                absences.append(Absence(start_ns, other.start_ns, instrument_id, symbol))
            start_ns = other.end_ns
        if start_ns < end_ns:
            absences.append(Absence(start_ns, end_ns, instrument_id, symbol))
        return absences
