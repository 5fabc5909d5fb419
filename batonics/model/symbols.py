"""Which symbol an instrument_id had on which day (rule 2).

An `instrument_id` is unique within a day only. Names come from a file's dated mappings and from
SymbolMapping records in a stream; they are resolved by the schema's index timestamp, `ts_recv`.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from typing import NamedTuple

from batonics.model.times import NS_PER_DAY

_EPOCH = date(1970, 1, 1)


class MappingInterval(NamedTuple):
    """One symbol's instrument between two instants, `[start_ns, end_ns)`."""

    start_ns: int
    end_ns: int
    instrument_id: int
    symbol: str


def day_start_ns(yyyymmdd: int) -> int:
    """The first nanosecond (UTC) of a date written 20250924. ValueError if there is no such day."""
    day = date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)
    return (day - _EPOCH) // timedelta(days=1) * NS_PER_DAY


class SymbolMap:
    """Dated names of instruments, from any number of files and mapping records.

    A later interval that overlaps an earlier one wins from its start on.
    """

    def __init__(self) -> None:
        self._starts: dict[int, list[int]] = {}
        self._intervals: dict[int, list[MappingInterval]] = {}

    def __len__(self) -> int:
        return sum(len(intervals) for intervals in self._intervals.values())

    def add(self, interval: MappingInterval) -> None:
        """Add one interval; adding the same one again changes nothing."""
        intervals = self._intervals.setdefault(interval.instrument_id, [])
        starts = self._starts.setdefault(interval.instrument_id, [])
        at = bisect_right(starts, interval.start_ns)
        if at and intervals[at - 1] == interval:
            return
        intervals.insert(at, interval)
        starts.insert(at, interval.start_ns)

    def symbol(self, instrument_id: int, ts_ns: int) -> str | None:
        """The name of an instrument at an instant, or None where nothing names it."""
        at = bisect_right(self._starts.get(instrument_id, []), ts_ns)
        for interval in reversed(self._intervals.get(instrument_id, [])[:at]):
            if ts_ns < interval.end_ns:
                return interval.symbol
        return None

    def instrument_ids(self, symbol: str) -> set[int]:
        """Every instrument that ever had this name."""
        return {
            instrument_id
            for instrument_id, intervals in self._intervals.items()
            if any(interval.symbol == symbol for interval in intervals)
        }

    def symbols(self) -> list[str]:
        """Every name in the map, sorted."""
        names = {i.symbol for intervals in self._intervals.values() for i in intervals}
        return sorted(names)

    def intervals(self) -> list[MappingInterval]:
        """Every interval, sorted."""
        return sorted(i for intervals in self._intervals.values() for i in intervals)
