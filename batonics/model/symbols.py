"""The symbols of instrument_ids, by time (rule 2).

An `instrument_id` is unique only within a day. Symbols come from the dated mappings of a file and
from SymbolMapping records of a stream. They are looked up by `ts_recv`, the index timestamp.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from batonics.model.times import NS_PER_DAY

_EPOCH = date(1970, 1, 1)


class MappingInterval(NamedTuple):
    """The symbol of an instrument between two instants, `[start_ns, end_ns)`."""

    start_ns: int
    end_ns: int
    instrument_id: int
    symbol: str


@lru_cache(maxsize=4096)
def day_start_ns(yyyymmdd: int) -> int:
    """The first nanosecond (UTC) of a date such as 20250924. ValueError if there is no such day."""
    day = date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)
    return (day - _EPOCH) // timedelta(days=1) * NS_PER_DAY


class Interval(Protocol):
    """A fact about an instrument that holds between two instants, `[start_ns, end_ns)`."""

    @property
    def start_ns(self) -> int:
        """The first nanosecond at which it holds."""

    @property
    def end_ns(self) -> int:
        """The first nanosecond at which it no longer holds."""

    @property
    def instrument_id(self) -> int:
        """The instrument."""

    def __lt__(self, other: Any, /) -> bool: ...


TInterval = TypeVar("TInterval", bound=Interval)


class IntervalMap(Generic[TInterval]):
    """Facts about instruments by time. A later interval replaces earlier ones from its start on."""

    def __init__(self) -> None:
        self._starts: dict[int, list[int]] = {}
        self._intervals: dict[int, list[TInterval]] = {}

    def __len__(self) -> int:
        return sum(len(intervals) for intervals in self._intervals.values())

    def __contains__(self, instrument_id: int) -> bool:
        return instrument_id in self._intervals

    def add(self, interval: TInterval) -> None:
        """Add an interval. Adding the same one again changes nothing."""
        intervals = self._intervals.setdefault(interval.instrument_id, [])
        starts = self._starts.setdefault(interval.instrument_id, [])
        at = bisect_right(starts, interval.start_ns)
        if at and intervals[at - 1] == interval:
            return
        intervals.insert(at, interval)
        starts.insert(at, interval.start_ns)

    def at(self, instrument_id: int, ts_ns: int) -> TInterval | None:
        """The interval that holds for an instrument at an instant, if any does."""
        at = bisect_right(self._starts.get(instrument_id, []), ts_ns)
        for interval in reversed(self._intervals.get(instrument_id, [])[:at]):
            if ts_ns < interval.end_ns:
                return interval
        return None

    def intervals(self) -> list[TInterval]:
        """Every interval, sorted."""
        return sorted(i for intervals in self._intervals.values() for i in intervals)


class SymbolMap(IntervalMap[MappingInterval]):
    """Symbols of instruments by time, from any number of files and mapping records."""

    def copy(self) -> SymbolMap:
        """A copy, for lookups while this map grows."""
        names = SymbolMap()
        for interval in self.intervals():
            names.add(interval)
        return names

    def symbol(self, instrument_id: int, ts_ns: int) -> str | None:
        """The symbol of an instrument at an instant, or None."""
        interval = self.at(instrument_id, ts_ns)
        return None if interval is None else interval.symbol

    def instrument_ids(self, symbol: str) -> set[int]:
        """Every instrument that ever had a symbol."""
        return {
            instrument_id
            for instrument_id, intervals in self._intervals.items()
            if any(interval.symbol == symbol for interval in intervals)
        }

    def symbols(self) -> list[str]:
        """Every symbol in the map, sorted."""
        names = {i.symbol for intervals in self._intervals.values() for i in intervals}
        return sorted(names)
