"""Instrument definitions: the fields that prices and queues need.

The rule here: a definition holds on its own day (UTC), since an `instrument_id` is unique only
within a day (rule 2). The vendor sends all definitions anew each day.
"""

from __future__ import annotations

from typing import NamedTuple

from batonics.model.symbols import IntervalMap


class Definition(NamedTuple):
    """The definition of an instrument between two instants, `[start_ns, end_ns)`.

    Attributes:
        start_ns: the first nanosecond, since the epoch.
        end_ns: the nanosecond after the last one.
        instrument_id: the instrument.
        raw_symbol: the venue's name for the instrument.
        min_price_increment: the tick, an int64 of 1e-9; UNDEF_PRICE if it is not constant.
        display_factor: an int64 of 1e-9. The venue's price times this factor is the price in
            records. UNDEF_PRICE if unknown.
        match_algorithm: how the venue ranks orders: a letter of the vendor's `MatchAlgorithm`, such
            as F; "" if unknown.
    """

    start_ns: int
    end_ns: int
    instrument_id: int
    raw_symbol: str
    min_price_increment: int
    display_factor: int
    match_algorithm: str


DefinitionMap = IntervalMap[Definition]
