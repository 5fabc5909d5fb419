"""Instrument definitions: of all that the vendor says of an instrument, what prices need.

The rule here: a definition holds on the day (UTC) that it is of, as an `instrument_id` is unique
within a day only (rule 2); the vendor gives each day's definitions anew.
"""

from __future__ import annotations

from typing import NamedTuple

from batonics.model.symbols import IntervalMap


class Definition(NamedTuple):
    """What an instrument was between two instants, `[start_ns, end_ns)`.

    Attributes:
        start_ns, end_ns: in nanoseconds since the epoch.
        instrument_id: whose it is.
        raw_symbol: the venue's own name of it.
        min_price_increment: the tick, an int64 of 1e-9; UNDEF_PRICE if there is no constant one.
        display_factor: an int64 of 1e-9: the venue's own price times it is the price of records;
            UNDEF_PRICE if unknown.
    """

    start_ns: int
    end_ns: int
    instrument_id: int
    raw_symbol: str
    min_price_increment: int
    display_factor: int


DefinitionMap = IntervalMap[Definition]
