"""The fold of trades into bars: one pass over the records, with what each bar adds up to.

The rule here: a bar is closed by the record that closes it, at once. A sum that begins anew at
every close is a recurrence, which no cumulative sum gives exactly; so it is a loop, compiled.

A bar is a row of int64 words (`Bar`), one open bar a book. The sum of price times size is kept in
128 bits, as two words: a price of 64 bits times a size of 32 has 96, which leaves room for the sum
of 2^31 trades of the most extreme price and size.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import F_BAD_TS_RECV, SIDE_ASK, SIDE_BID, UNDEF_PRICE
from batonics.native import as_word, at, inlined, kernel, outlined


class Bar(IntEnum):
    """Words of a bar."""

    KEY = 0  # publisher_id << 32 | instrument_id
    START = 1  # of its interval, in ns; -1: not known, or none
    TS_OPEN = 2  # the time at its first trade, in ns; -1: not known
    TS_CLOSE = 3
    OPEN = 4  # UNDEF_PRICE until a trade has a price, as are the next three
    HIGH = 5
    LOW = 6
    CLOSE = 7
    VOLUME = 8
    BUY_VOLUME = 9
    SELL_VOLUME = 10
    TRADES = 11  # 0: there is no open bar
    PRICED_VOLUME = 12  # of the trades that have a price
    DOLLAR_HIGH = 13  # the sum of price times size, its upper 64 bits, signed
    DOLLAR_LOW = 14  # its lower 64 bits, unsigned


class BarClock(IntEnum):
    """Words of the stream's time."""

    NOW = 0  # the latest time so far, in ns; -1: none is known
    START = 1  # of the interval of that time; -1: none is known


class BarKind(IntEnum):
    """What closes a bar."""

    TIME = 0
    TICKS = 1
    VOLUME = 2
    DOLLAR = 3


class CloseRule(NamedTuple):
    """When a bar is closed: as it reaches `high << 64 | low`, or after `low` ns.

    All three are int64: `low` has the lower 64 bits as a signed word.
    """

    by: int  # of `By`
    high: int
    low: int


class TradeColumns(NamedTuple):
    """The columns that bars are made of, by record; all of one length."""

    ts_recv: NDArray[np.int64]  # ns; -1: undefined
    flags: NDArray[np.uint8]
    is_trade: NDArray[np.bool_]
    side: NDArray[np.uint8]  # the ASCII code
    price: NDArray[np.int64]
    size: NDArray[np.uint32]  # 0: undefined too


BAR_WORDS = len(Bar)

START, TS_OPEN, TS_CLOSE = int(Bar.START), int(Bar.TS_OPEN), int(Bar.TS_CLOSE)
OPEN, HIGH, LOW, CLOSE = int(Bar.OPEN), int(Bar.HIGH), int(Bar.LOW), int(Bar.CLOSE)
VOLUME, BUY_VOLUME, SELL_VOLUME = int(Bar.VOLUME), int(Bar.BUY_VOLUME), int(Bar.SELL_VOLUME)
TRADES, PRICED_VOLUME = int(Bar.TRADES), int(Bar.PRICED_VOLUME)
DOLLAR_HIGH, DOLLAR_LOW = int(Bar.DOLLAR_HIGH), int(Bar.DOLLAR_LOW)
C_NOW, C_START = int(BarClock.NOW), int(BarClock.START)
BY_TIME, BY_TICKS, BY_VOLUME = int(BarKind.TIME), int(BarKind.TICKS), int(BarKind.VOLUME)
LOW_HALF = 0xFFFFFFFF


@kernel
def fold_trades(
    tape: TradeColumns,
    book: NDArray[np.int64],
    bars: NDArray[np.int64],
    open_books: NDArray[np.int64],
    opened: int,
    clock: NDArray[np.int64],
    rule: CloseRule,
    closed: NDArray[np.int64],
) -> int:
    """Fold records in order; how many bars were closed.

    Args:
        tape: the records.
        book: by trade: the number of its book.
        bars: the open bar of each book, flat.
        open_books: room for the number of every book; the first `opened` are those of open bars.
        opened: how many bars are open.
        clock: of the stream, words of `Clock`.
        rule: what closes a bar.
        closed: flat, with room for `opened` bars and one a trade; the closed ones are written here.
    """
    count, trade = 0, 0
    now, start = clock[C_NOW], clock[C_START]
    for i in range(len(tape.is_trade)):
        ts_recv = tape.ts_recv[at(i)]
        # Rule 16: a flagged time orders nothing. One that is undefined is never later.
        if ts_recv > now and tape.flags[at(i)] & F_BAD_TS_RECV == 0:
            now = ts_recv
            if rule.by == BY_TIME and (start < 0 or now - start >= rule.low):
                if start >= 0:
                    count = close_all(bars, open_books, opened, start, closed, count)
                    opened = as_word(0)
                start = now - now % rule.low
        if not tape.is_trade[at(i)]:
            continue
        row = book[at(trade)] * BAR_WORDS
        if bars[at(row + TRADES)] == 0:
            open_bar(bars, row, now)
            if rule.by == BY_TIME:
                open_books[at(opened)] = book[at(trade)]
                opened += 1
        trade += 1
        add_trade(bars, row, now, tape.side[at(i)], tape.price[at(i)], as_word(tape.size[at(i)]))
        if rule.by != BY_TIME and is_reached(bars, row, rule):
            count = close_bar(bars, row, as_word(-1), closed, count)
    clock[C_NOW], clock[C_START] = now, start
    return count


@inlined
def open_bar(bars: NDArray[np.int64], row: int, now: int) -> None:
    """Begin a bar without a trade."""
    for word in range(TS_OPEN, BAR_WORDS):
        bars[at(row + word)] = 0
    for word in range(OPEN, CLOSE + 1):
        bars[at(row + word)] = UNDEF_PRICE
    bars[at(row + TS_OPEN)] = now


@inlined
def add_trade(
    bars: NDArray[np.int64], row: int, now: int, side: int, price: int, size: int
) -> None:
    """Add a trade to a bar; one without a price moves no price, but is a trade and volume."""
    bars[at(row + TS_CLOSE)] = now
    bars[at(row + TRADES)] += 1
    bars[at(row + VOLUME)] += size
    if side == SIDE_BID:
        bars[at(row + BUY_VOLUME)] += size
    elif side == SIDE_ASK:
        bars[at(row + SELL_VOLUME)] += size
    if price == UNDEF_PRICE:
        return
    if bars[at(row + OPEN)] == UNDEF_PRICE:
        bars[at(row + OPEN)] = price
        bars[at(row + HIGH)] = price
        bars[at(row + LOW)] = price
    bars[at(row + HIGH)] = max(bars[at(row + HIGH)], price)
    bars[at(row + LOW)] = min(bars[at(row + LOW)], price)
    bars[at(row + CLOSE)] = price
    bars[at(row + PRICED_VOLUME)] += size
    add_product(bars, row, price, size)


@inlined
def add_product(bars: NDArray[np.int64], row: int, price: int, size: int) -> None:
    """Add price times size to the bar's sum, in 128 bits and two's complement."""
    below = np.uint64(price & LOW_HALF) * np.uint64(size)
    # Below 2^63, whatever the price: (2^31 - 1) * (2^32 - 1) + 2^32 - 1.
    above = (price >> 32) * size + as_word(below >> np.uint64(32))
    low = np.uint64(above << 32) | (below & np.uint64(LOW_HALF))
    total = np.uint64(bars[at(row + DOLLAR_LOW)]) + low
    bars[at(row + DOLLAR_LOW)] = as_word(total)
    bars[at(row + DOLLAR_HIGH)] += (above >> 32) + as_word(total < low)


@inlined
def is_reached(bars: NDArray[np.int64], row: int, rule: CloseRule) -> bool:
    """Whether a bar has what closes it."""
    if rule.by == BY_TICKS:
        return bars[at(row + TRADES)] >= rule.low  # type: ignore[no-any-return]
    if rule.by == BY_VOLUME:
        return bars[at(row + VOLUME)] >= rule.low  # type: ignore[no-any-return]
    high = bars[at(row + DOLLAR_HIGH)]
    if high != rule.high:
        return high > rule.high  # type: ignore[no-any-return]
    return np.uint64(bars[at(row + DOLLAR_LOW)]) >= np.uint64(rule.low)  # type: ignore[return-value]


@outlined
def close_all(
    bars: NDArray[np.int64],
    open_books: NDArray[np.int64],
    opened: int,
    start: int,
    closed: NDArray[np.int64],
    count: int,
) -> int:
    """Close the open bars, as of the interval that begins at `start`; how many are closed then."""
    for n in range(opened):
        count = close_bar(bars, open_books[at(n)] * BAR_WORDS, start, closed, count)
    return count


@inlined
def close_bar(
    bars: NDArray[np.int64], row: int, start: int, closed: NDArray[np.int64], count: int
) -> int:
    """Write a bar to those closed; how many they are then."""
    bars[at(row + START)] = start
    for word in range(BAR_WORDS):
        closed[at(count * BAR_WORDS + word)] = bars[at(row + word)]
    bars[at(row + TRADES)] = 0
    return count + 1
