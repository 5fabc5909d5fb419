"""Which symbol an instrument_id had on which day (rule 2).

An `instrument_id` is unique within a day only. Names come from a file's dated mappings and from
SymbolMapping records in a stream; they are resolved by the schema's index timestamp, `ts_recv`.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

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


class Interval(Protocol):
    """What holds for an instrument between two instants, `[start_ns, end_ns)`; comparable."""

    @property
    def start_ns(self) -> int:
        """From when on it holds."""

    @property
    def end_ns(self) -> int:
        """From when on it does not."""

    @property
    def instrument_id(self) -> int:
        """Whose it is."""

    def __lt__(self, other: Any, /) -> bool: ...


TInterval = TypeVar("TInterval", bound=Interval)


class IntervalMap(Generic[TInterval]):
    """What held for instruments, and when. A later interval wins from its start on."""

    def __init__(self) -> None:
        self._starts: dict[int, list[int]] = {}
        self._intervals: dict[int, list[TInterval]] = {}

    def __len__(self) -> int:
        return sum(len(intervals) for intervals in self._intervals.values())

    def __contains__(self, instrument_id: int) -> bool:
        return instrument_id in self._intervals

    def add(self, interval: TInterval) -> None:
        """Add one interval; adding the same one again changes nothing."""
        intervals = self._intervals.setdefault(interval.instrument_id, [])
        starts = self._starts.setdefault(interval.instrument_id, [])
        at = bisect_right(starts, interval.start_ns)
        if at and intervals[at - 1] == interval:
            return
        intervals.insert(at, interval)
        starts.insert(at, interval.start_ns)

    def at(self, instrument_id: int, ts_ns: int) -> TInterval | None:
        """What holds for an instrument at an instant, if anything does."""
        at = bisect_right(self._starts.get(instrument_id, []), ts_ns)
        for interval in reversed(self._intervals.get(instrument_id, [])[:at]):
            if ts_ns < interval.end_ns:
                return interval
        return None

    def intervals(self) -> list[TInterval]:
        """Every interval, sorted."""
        return sorted(i for intervals in self._intervals.values() for i in intervals)


class SymbolMap(IntervalMap[MappingInterval]):
    """Dated names of instruments, from any number of files and mapping records."""

    def copy(self) -> SymbolMap:
        """The names as they are now, for whoever looks them up while this map grows."""
        names = SymbolMap()
        for interval in self.intervals():
            names.add(interval)
        return names

    def symbol(self, instrument_id: int, ts_ns: int) -> str | None:
        """The name of an instrument at an instant, or None where nothing names it."""
        interval = self.at(instrument_id, ts_ns)
        return None if interval is None else interval.symbol

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
