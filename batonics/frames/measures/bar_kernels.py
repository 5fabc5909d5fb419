"""Folds trades into bars, in one pass over the records.

The rule here: the record that closes a bar closes it at once. Sums that restart at every close are
a recurrence that no cumulative sum gives exactly, so this is a compiled loop.

A bar is a row of int64 words (`Bar`). Each book has one open bar. The sum of price times size has
128 bits in two words: a price of 64 bits times a size of 32 bits has 96 bits, which leaves room for
2^31 trades of the most extreme price and size.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.rule_kernels import has_trusted_time
from batonics.model.mbo import SIDE_ASK, SIDE_BID, UNDEF_PRICE
from batonics.native import as_word, at, inlined, kernel, outlined


class Bar(IntEnum):
    """Words of a bar."""

    KEY = 0  # publisher_id << 32 | instrument_id
    START = 1  # the start of its interval in ns; -1: unknown, or no interval
    TS_OPEN = 2  # the time at its first trade in ns; -1: unknown
    TS_CLOSE = 3  # the time at its last trade in ns; -1: unknown
    OPEN = 4  # this and the next three: UNDEF_PRICE until a trade has a price
    HIGH = 5
    LOW = 6
    CLOSE = 7
    VOLUME = 8
    BUY_VOLUME = 9
    SELL_VOLUME = 10
    TRADES = 11  # 0: the book has no open bar
    PRICED_VOLUME = 12  # the volume of trades with a price
    DOLLAR_HIGH = 13  # the sum of price times size, its upper 64 bits, signed
    DOLLAR_LOW = 14  # its lower 64 bits, unsigned


class BarClock(IntEnum):
    """Words of the clock of the stream."""

    NOW = 0  # the latest time so far in ns; -1: unknown
    START = 1  # the start of the interval of that time in ns; -1: unknown


class BarKind(IntEnum):
    """The measure that closes a bar."""

    TIME = 0
    TICKS = 1
    VOLUME = 2
    DOLLAR = 3


class CloseRule(NamedTuple):
    """When a bar is closed: when it reaches `high << 64 | low`, or after `low` ns.

    Attributes:
        by: a value of `BarKind`.
        high: the upper 64 bits of the limit.
        low: the lower 64 bits of the limit, as a signed word.
    """

    by: int
    high: int
    low: int


class TradeColumns(NamedTuple):
    """The columns that bars are made of, one element for each record."""

    ts_recv: NDArray[np.int64]  # ns; -1: undefined
    flags: NDArray[np.uint8]
    is_trade: NDArray[np.bool_]
    side: NDArray[np.uint8]  # the ASCII code
    price: NDArray[np.int64]
    size: NDArray[np.uint32]  # 0 if undefined


class OpenBars(NamedTuple):
    """The open bars of all books.

    Attributes:
        words: the bar of each book, flat; it is open if it has trades.
        books: the numbers of the books with open bars, first in an array with room for all books.
            Only bars of time use it.
    """

    words: NDArray[np.int64]
    books: NDArray[np.int64]


BAR_WORDS = len(Bar)

BAR_START, TS_OPEN, TS_CLOSE = int(Bar.START), int(Bar.TS_OPEN), int(Bar.TS_CLOSE)
OPEN, HIGH, LOW, CLOSE = int(Bar.OPEN), int(Bar.HIGH), int(Bar.LOW), int(Bar.CLOSE)
VOLUME, BUY_VOLUME, SELL_VOLUME = int(Bar.VOLUME), int(Bar.BUY_VOLUME), int(Bar.SELL_VOLUME)
TRADES, PRICED_VOLUME = int(Bar.TRADES), int(Bar.PRICED_VOLUME)
DOLLAR_HIGH, DOLLAR_LOW = int(Bar.DOLLAR_HIGH), int(Bar.DOLLAR_LOW)
CLOCK_NOW, CLOCK_START = int(BarClock.NOW), int(BarClock.START)
BY_TIME, BY_TICKS = int(BarKind.TIME), int(BarKind.TICKS)
BY_VOLUME = int(BarKind.VOLUME)
LOW_HALF = 0xFFFFFFFF


@kernel
def fold_trades(
    records: TradeColumns,
    trade_book: NDArray[np.int64],
    bars: OpenBars,
    open_count: int,
    clock: NDArray[np.int64],
    rule: CloseRule,
    closed: NDArray[np.int64],
) -> int:
    """Fold records in order, and return the number of closed bars.

    Args:
        records: the records.
        trade_book: the number of the book of each trade.
        bars: the open bars.
        open_count: the number of open bars.
        clock: words of `BarClock`.
        rule: when a bar is closed.
        closed: the closed bars are written here, flat. It has room for `open_count` bars and one
            for each trade.
    """
    count, trade = 0, 0
    now, start = clock[CLOCK_NOW], clock[CLOCK_START]
    for i in range(len(records.is_trade)):
        ts_recv = records.ts_recv[at(i)]
        # A time that is undefined is never later.
        if ts_recv > now and has_trusted_time(as_word(records.flags[at(i)])):
            now = ts_recv
            if rule.by == BY_TIME and (start < 0 or now - start >= rule.low):
                if start >= 0:
                    count = close_all(bars, open_count, start, closed, count)
                    open_count = as_word(0)
                start = now - now % rule.low
        if not records.is_trade[at(i)]:
            continue
        base = trade_book[at(trade)] * BAR_WORDS
        if bars.words[at(base + TRADES)] == 0:
            open_bar(bars.words, base, now)
            if rule.by == BY_TIME:
                bars.books[at(open_count)] = trade_book[at(trade)]
                open_count += 1
        trade += 1
        add_trade(bars.words, base, now, records, i)
        if rule.by != BY_TIME and is_complete(bars.words, base, rule):
            count = close_bar(bars.words, base, as_word(-1), closed, count)
    clock[CLOCK_NOW], clock[CLOCK_START] = now, start
    return count


@inlined
def open_bar(words: NDArray[np.int64], base: int, now: int) -> None:
    """Open a bar without trades at a word offset."""
    for word in range(TS_OPEN, BAR_WORDS):
        words[at(base + word)] = 0
    for word in range(OPEN, CLOSE + 1):
        words[at(base + word)] = UNDEF_PRICE
    words[at(base + TS_OPEN)] = now


@inlined
def add_trade(words: NDArray[np.int64], base: int, now: int, records: TradeColumns, i: int) -> None:
    """Add record `i` to a bar. Without a price it changes no price, but it counts as a trade."""
    side, price, size = records.side[at(i)], records.price[at(i)], as_word(records.size[at(i)])
    words[at(base + TS_CLOSE)] = now
    words[at(base + TRADES)] += 1
    words[at(base + VOLUME)] += size
    if side == SIDE_BID:
        words[at(base + BUY_VOLUME)] += size
    elif side == SIDE_ASK:
        words[at(base + SELL_VOLUME)] += size
    if price == UNDEF_PRICE:
        return
    if words[at(base + OPEN)] == UNDEF_PRICE:
        words[at(base + OPEN)] = price
        words[at(base + HIGH)] = price
        words[at(base + LOW)] = price
    words[at(base + HIGH)] = max(words[at(base + HIGH)], price)
    words[at(base + LOW)] = min(words[at(base + LOW)], price)
    words[at(base + CLOSE)] = price
    words[at(base + PRICED_VOLUME)] += size
    add_dollars(words, base, price, size)


@inlined
def add_dollars(words: NDArray[np.int64], base: int, price: int, size: int) -> None:
    """Add price times size to the sum of a bar, in 128 bits and two's complement."""
    below = np.uint64(price & LOW_HALF) * np.uint64(size)
    # Below 2^63, whatever the price: (2^31 - 1) * (2^32 - 1) + 2^32 - 1.
    above = (price >> 32) * size + as_word(below >> np.uint64(32))
    low = np.uint64(above << 32) | (below & np.uint64(LOW_HALF))
    total = np.uint64(words[at(base + DOLLAR_LOW)]) + low
    words[at(base + DOLLAR_LOW)] = as_word(total)
    words[at(base + DOLLAR_HIGH)] += (above >> 32) + as_word(total < low)


@inlined
def is_complete(words: NDArray[np.int64], base: int, rule: CloseRule) -> bool:
    """Whether a bar has reached the limit that closes it."""
    if rule.by == BY_TICKS:
        return words[at(base + TRADES)] >= rule.low  # type: ignore[no-any-return]
    if rule.by == BY_VOLUME:
        return words[at(base + VOLUME)] >= rule.low  # type: ignore[no-any-return]
    high = words[at(base + DOLLAR_HIGH)]
    if high != rule.high:
        return high > rule.high  # type: ignore[no-any-return]
    return np.uint64(words[at(base + DOLLAR_LOW)]) >= np.uint64(rule.low)  # type: ignore[return-value]


@outlined
def close_all(
    bars: OpenBars, open_count: int, start: int, closed: NDArray[np.int64], count: int
) -> int:
    """Close all open bars of the interval from `start`, and return the number of closed bars."""
    for n in range(open_count):
        count = close_bar(bars.words, bars.books[at(n)] * BAR_WORDS, start, closed, count)
    return count


@inlined
def close_bar(
    words: NDArray[np.int64], base: int, start: int, closed: NDArray[np.int64], count: int
) -> int:
    """Append a bar to the closed ones, and return their number."""
    words[at(base + BAR_START)] = start
    for word in range(BAR_WORDS):
        closed[at(count * BAR_WORDS + word)] = words[at(base + word)]
    words[at(base + TRADES)] = 0
    return count + 1
