"""The symbols of instrument_ids, by time (rule 2).

An `instrument_id` is unique only within a day. Symbols come from the dated mappings of a file and
from SymbolMapping records of a stream. They are looked up by `ts_recv`, the index timestamp.

Dated intervals may overlap: a file that was requested by two symbols of one instrument has both.
Each of them holds. The one that starts last is the instrument's symbol in rows, and of equal starts
the one that was added last, as in the vendor's client. A symbol without an end (`OPEN_END_NS`) is
that of a live stream: it holds until the next one of its instrument, where no dated symbol does.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.times import NS_PER_DAY

_EPOCH = date(1970, 1, 1)
OPEN_END_NS = UNDEF_TIMESTAMP
"""The end of an interval whose end is not known."""


ALL_SYMBOLS = "ALL_SYMBOLS"
"""The vendor's name for every symbol of a dataset."""

SUGGESTIONS_MAX = 3
NAMES_MAX = 8
"""Symbols of the input that an error lists."""

_PARENT_OR_CONTINUOUS = re.compile(r"(.+)\.(?:FUT|OPT|SPOT|[cnv]\.[0-9]+)", re.IGNORECASE)
_FUTURE = re.compile(r"([A-Z0-9]+?)[FGHJKMNQUVXZ][0-9]{1,2}")


class MappingInterval(NamedTuple):
    """The symbol of an instrument between two instants, `[start_ns, end_ns)`."""

    start_ns: int
    end_ns: int
    instrument_id: int
    symbol: str


def is_instrument_id(name: str) -> bool:
    """Whether text is the decimal number of an instrument."""
    return name.isdecimal() and len(name) <= 10 and int(name) < 2**32


def selected_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a selection; none, which selects everything, where one is `ALL_SYMBOLS`."""
    return () if ALL_SYMBOLS in names else tuple(names)


def suggest_symbols(name: str, known: Sequence[str]) -> str:
    """A phrase for the error of a symbol that is not known: similar symbols, or some of all.

    Args:
        name: the symbol.
        known: every known symbol, sorted.
    """
    wanted = name.casefold()
    near = [symbol for symbol in known if symbol.casefold() == wanted]
    # A parent, a continuous symbol and the contracts that they stand for have one root.
    root, stands_for_contracts = _root(name)
    for symbol in known:
        other, other_stands_for_contracts = _root(symbol)
        if other == root and (stands_for_contracts or other_stands_for_contracts):
            near.append(symbol)
    near += difflib.get_close_matches(name, known, n=SUGGESTIONS_MAX, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(list(dict.fromkeys(near))[:SUGGESTIONS_MAX])}?"
    if not known:
        return "it has no symbols"
    return f"it has {list_names(known)}"


def list_names(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMES_MAX:,} more" if len(names) > NAMES_MAX else ""
    return f"{', '.join(names[:NAMES_MAX])}{more}"


def alias_note(alias: str, symbol: str | None, date: str | None) -> str:
    """What a user has to know of rows that also have another symbol than the one they show.

    Args:
        alias: the other symbol.
        symbol: the symbol that the rows show.
        date: ISO date of one of them; None: it has no time.
    """
    on_date = f" on {date}" if date else ""
    return (
        f"rows of {alias} have the symbol {symbol}, which is the same instrument{on_date}:"
        f" --symbols {alias} alone, in Python symbols=, selects all rows of {alias}"
    )


def _root(symbol: str) -> tuple[str, bool]:
    """The product of a symbol, CL of CL.FUT, CL.c.0 and CLX5; whether it is no single contract."""
    stands_for = _PARENT_OR_CONTINUOUS.fullmatch(symbol)
    match = stands_for or _FUTURE.fullmatch(symbol.upper())
    return (match[1] if match else symbol).upper(), stands_for is not None


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


def _start_ns(interval: Interval) -> int:
    return interval.start_ns


class IntervalMap(Generic[TInterval]):
    """Facts about instruments by time. A later interval replaces earlier ones from its start on."""

    def __init__(self) -> None:
        self._intervals: dict[int, list[TInterval]] = {}
        self._known: set[TInterval] = set()
        self._added: list[TInterval] = []

    def __len__(self) -> int:
        return len(self._added)

    def __contains__(self, instrument_id: int) -> bool:
        return instrument_id in self._intervals

    def add(self, interval: TInterval) -> bool:
        """Add an interval; whether it is new. Adding the same one again changes nothing."""
        if interval in self._known:
            return False
        self._known.add(interval)
        intervals = self._intervals.setdefault(interval.instrument_id, [])
        intervals.insert(bisect_right(intervals, interval.start_ns, key=_start_ns), interval)
        self._added.append(interval)
        return True

    def added_since(self, count: int) -> list[TInterval]:
        """The intervals that were added after the first `count`, in the order of adding."""
        return self._added[count:]

    def at(self, instrument_id: int, ts_ns: int) -> TInterval | None:
        """The interval that holds for an instrument at an instant, if any does."""
        return next((one for one in self._begun(instrument_id, ts_ns) if ts_ns < one.end_ns), None)

    def _begun(self, instrument_id: int, ts_ns: int) -> Iterator[TInterval]:
        """The intervals of an instrument that have begun at an instant, the last one first."""
        intervals = self._intervals.get(instrument_id, [])
        for at in range(bisect_right(intervals, ts_ns, key=_start_ns) - 1, -1, -1):
            yield intervals[at]

    def intervals_of(self, instrument_id: int) -> list[TInterval]:
        """The intervals of an instrument by their start; those of one start keep their order."""
        return list(self._intervals.get(instrument_id, ()))

    def intervals(self) -> list[TInterval]:
        """Every interval by its start. Those of one instrument and start keep their order."""
        intervals = (i for intervals in self._intervals.values() for i in intervals)
        return sorted(intervals, key=lambda interval: interval.start_ns)


class SymbolMap(IntervalMap[MappingInterval]):
    """Symbols of instruments by time, from any number of files and mapping records.

    Attributes:
        may_have_aliases: an instrument has several symbols, be it at once or one after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ids_by_symbol: dict[str, set[int]] = {}
        # One text and one number for all intervals with the same, which files repeat day after day.
        self._shared: dict[Any, Any] = {}
        self._live: dict[int, list[MappingInterval]] = {}  # those without an end, by their start
        self._dated: set[int] = set()  # instruments that have others
        self._first_symbols: dict[int, str] = {}
        self.may_have_aliases = False

    def add(self, interval: MappingInterval) -> bool:
        """Add an interval; whether it is new. Adding the same one again changes nothing.

        The first symbol without an end of an instrument also holds before its start: a gateway
        sends it for records of earlier times too. Saying it again changes nothing.
        """
        share = self._shared.setdefault
        start_ns, end_ns, instrument_id, symbol = interval
        interval = MappingInterval(
            start_ns, end_ns, share(instrument_id, instrument_id), share(symbol, symbol)
        )
        if interval.end_ns == OPEN_END_NS:
            live = self._live.setdefault(interval.instrument_id, [])
            at = bisect_right(live, interval.start_ns, key=_start_ns)
            if not live:
                interval = interval._replace(start_ns=0)
            elif live[at - 1].symbol == interval.symbol:
                return False
            if not super().add(interval):
                return False
            live.insert(at, interval)
        else:
            if not super().add(interval):
                return False
            self._dated.add(interval.instrument_id)
        self._ids_by_symbol.setdefault(interval.symbol, set()).add(interval.instrument_id)
        first = self._first_symbols.setdefault(interval.instrument_id, interval.symbol)
        self.may_have_aliases |= first != interval.symbol
        return True

    def copy(self) -> SymbolMap:
        """A copy, for lookups while this map grows."""
        names = SymbolMap()
        for interval in self.intervals():
            names.add(interval)
        return names

    def at(self, instrument_id: int, ts_ns: int) -> MappingInterval | None:
        """The interval of an instrument's symbol in rows at an instant, if it has one."""
        return next(self.holding(instrument_id, ts_ns), None)

    def holding(self, instrument_id: int, ts_ns: int) -> Iterator[MappingInterval]:
        """Every interval that holds for an instrument at an instant; first that of `at`."""
        is_dated = False
        if instrument_id in self._dated:
            for interval in self._begun(instrument_id, ts_ns):
                if interval.end_ns != OPEN_END_NS and ts_ns < interval.end_ns:
                    is_dated = True
                    yield interval
        live = self._live.get(instrument_id, [])
        at = bisect_right(live, ts_ns, key=_start_ns)
        if at and not is_dated:
            yield live[at - 1]

    def symbol(self, instrument_id: int, ts_ns: int) -> str | None:
        """The symbol of an instrument at an instant, or None."""
        interval = self.at(instrument_id, ts_ns)
        return None if interval is None else interval.symbol

    def symbols_at(self, instrument_id: int, ts_ns: int) -> list[str]:
        """Every symbol of an instrument at an instant; first the one of its rows."""
        return list(dict.fromkeys(i.symbol for i in self.holding(instrument_id, ts_ns)))

    def spans(self, symbol: str) -> list[MappingInterval]:
        """When a symbol holds, and for which instruments. Those of one instrument never overlap."""
        return [
            MappingInterval(start_ns, end_ns, instrument_id, symbol)
            for instrument_id in sorted(self._ids_by_symbol.get(symbol, ()))
            for start_ns, end_ns in self._spans_of(instrument_id, symbol)
        ]

    def _spans_of(self, instrument_id: int, symbol: str) -> list[tuple[int, int]]:
        dated, named = defaultdict[int, int](int), defaultdict[int, int](int)
        live: dict[int, bool] = {}
        for interval in self._intervals[instrument_id]:
            if interval.end_ns == OPEN_END_NS:
                live[interval.start_ns] = interval.symbol == symbol
            elif interval.start_ns < interval.end_ns:
                for edge, change in ((interval.start_ns, 1), (interval.end_ns, -1)):
                    dated[edge] += change
                    named[edge] += change if interval.symbol == symbol else 0
        spans: list[tuple[int, int]] = []
        begun: int | None = None
        dated_count = named_count = 0
        is_live = False
        for edge in sorted({*dated, *live}):
            dated_count += dated.get(edge, 0)
            named_count += named.get(edge, 0)
            is_live = live.get(edge, is_live)
            holds = named_count > 0 or (is_live and not dated_count)
            if holds and begun is None:
                begun = edge
            elif not holds and begun is not None:
                spans.append((begun, edge))
                begun = None
        if begun is not None:
            spans.append((begun, OPEN_END_NS - 1))  # no record has a later time
        return spans

    def symbol_end(self, instrument_id: int, ts_ns: int) -> int | None:
        """When the last symbol of an instrument ended; None: it has one at a time, or never had.

        A continuous symbol ends with each roll, that of an option with the option.
        """
        if self.at(instrument_id, ts_ns) is not None:
            return None
        ends = (interval.end_ns for interval in self._begun(instrument_id, ts_ns))
        return max(ends, default=None)

    def select(self, names: Sequence[str]) -> SymbolMap:
        """The symbols that rows of a selection have: those of its names, all of its other ids."""
        selected = SymbolMap()
        for name in names:
            intervals = self.spans(name)
            if not intervals and is_instrument_id(name):
                intervals = self.intervals_of(int(name))
            for interval in intervals:
                selected.add(interval)
        return selected

    def find_spans(self, names: Sequence[str]) -> IntervalMap[MappingInterval]:
        """When each instrument is selected: while a name is its symbol; always if it is its id."""
        spans = IntervalMap[MappingInterval]()
        for name in names:
            named = self.spans(name)
            if not named and is_instrument_id(name):
                named = [MappingInterval(0, OPEN_END_NS, int(name), name)]
            for span in named:
                spans.add(span)
        return spans

    def instrument_ids(self, symbol: str) -> set[int]:
        """Every instrument that ever has a symbol."""
        return set(self._ids_by_symbol.get(symbol, ()))

    def is_moved(self, symbol: str) -> bool:
        """Whether a symbol names several instruments, each at its time."""
        return len(self._ids_by_symbol.get(symbol, ())) > 1

    def symbols(self) -> list[str]:
        """Every symbol in the map, sorted."""
        return sorted(self._ids_by_symbol)
