"""Depth as a grid of integers: what stands at each price, at each of many times.

The rule here: a column is a span of time `(start, end]`, and its cells show the book at its end,
after the last complete event that is due then: the book of `FileHistory.at`. Nothing is averaged. A
row is a band of prices `[low, low + height)`, whose cell has the sum of the sizes of its levels.

    grid ──▶ segments of its columns ──▶ changes of levels by column ──▶ running sum ──▶ bands
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.history.book_segments import BookSegment
from batonics.model.mbo import SIDE_ASK, SIDE_BID, UNDEF_PRICE

CHUNK_CELLS = 1 << 21
"""Levels times columns that are summed at once."""
PRICE_BOUND = 1 << 60
"""Bands are between this price of 1e-9 and its negative: no sum of two overflows."""
_SHARE_OUTSIDE = 50
"""One of so many best prices may be outside of the range that is chosen."""
_TICK_MAX = 1 << 40
"""A greater common step is that of too few prices."""


class Columns(NamedTuple):
    """Columns of equal spans of time.

    Attributes:
        from_ns: the time before which, or at which, the first column begins.
        column_ns: the length of each column.
        number: how many there are.
    """

    from_ns: int
    column_ns: int
    number: int

    @classmethod
    def covering(cls, from_ns: int, to_ns: int, count_max: int) -> Columns:
        """At most so many columns over `(from_ns, to_ns]`; the last may end later."""
        column_ns = -(-(to_ns - from_ns) // count_max)
        return cls(from_ns, column_ns, -(-(to_ns - from_ns) // column_ns))

    @property
    def to_ns(self) -> int:
        """The end of the last column."""
        return self.from_ns + self.column_ns * self.number

    def ends(self) -> NDArray[np.int64]:
        """(columns,) The end of each column."""
        return self.from_ns + self.column_ns * np.arange(1, self.number + 1, dtype=np.int64)


class Bands(NamedTuple):
    """Rows of equal bands of prices, in units of 1e-9; row 0 is the lowest."""

    low: int
    height: int
    number: int

    @classmethod
    def covering(cls, low: int, high: int, count_max: int, tick: int) -> Bands:
        """At most so many bands of whole ticks over `[low, high)`; the last may end higher."""
        low = low // tick * tick
        height = -(-(high - low) // (count_max * tick)) * tick
        return cls(low, height, -(-(high - low) // height))

    @property
    def high(self) -> int:
        """The price above the last band."""
        return self.low + self.height * self.number


class Heatmap(NamedTuple):
    """A grid; the arrays have a row for each column of time.

    Attributes:
        columns: the columns.
        bands: the bands.
        tick: the greatest step of 1e-9 of which the prices of all levels are multiples.
        status: (columns,) the `Status` of the book at the end of the column, or `NO_BOOK`.
        best_bid: (columns,) the price of the best bid there, UNDEF_PRICE if there is none.
        best_ask: (columns,) the same of the best ask.
        best_bid_size: (columns,) the size at the best bid there, 0 if there is none.
        best_ask_size: (columns,) the same at the best ask.
        buy_total: (columns,) the size of the trades in the column with side B, at any price.
        sell_total: (columns,) the same with side A.
        other_total: (columns,) the same without a side (N).
        bid_size: (columns, bands) the size of the bids in the band there.
        ask_size: (columns, bands) the size of the asks in the band there.
        buy_volume: (columns, bands) the size of those trades in the band with side B.
        sell_volume: (columns, bands) the same with side A.
        other_volume: (columns, bands) the same without a side (N).
    """

    columns: Columns
    bands: Bands
    tick: int
    status: NDArray[np.int64]
    best_bid: NDArray[np.int64]
    best_ask: NDArray[np.int64]
    best_bid_size: NDArray[np.int64]
    best_ask_size: NDArray[np.int64]
    buy_total: NDArray[np.int64]
    sell_total: NDArray[np.int64]
    other_total: NDArray[np.int64]
    bid_size: NDArray[np.int64]
    ask_size: NDArray[np.int64]
    buy_volume: NDArray[np.int64]
    sell_volume: NDArray[np.int64]
    other_volume: NDArray[np.int64]


class SegmentSpan(NamedTuple):
    """Segments of one book that lie in a row, and how their columns are found.

    Attributes:
        find: returns a segment by its number.
        numbers: the numbers of the segments.
        due_ns: (segments - 1,) when the last record before each of them but the first is due.
    """

    find: Callable[[int], BookSegment]
    numbers: range
    due_ns: NDArray[np.int64]

    def of_columns(self, ends: NDArray[np.int64]) -> Iterator[tuple[BookSegment, int, int]]:
        """Each segment, and the columns `[first, stop)` that end in it."""
        stops = np.r_[np.searchsorted(ends, self.due_ns, side="left"), len(ends)]
        first = 0
        for number, stop in zip(self.numbers, stops.tolist(), strict=True):
            yield self.find(number), first, stop
            first = stop


def make_heatmap(
    segments: SegmentSpan, columns: Columns, rows: int, price_range: tuple[int, int] | None
) -> Heatmap:
    """The grid of a book.

    Args:
        segments: from the one of the beginning of the first column to that of the last one's end.
        columns: the columns.
        rows: the most bands.
        price_range: the lowest price, and a price above the highest. None: the range that most
            best prices are in, and as much again around it.
    """
    ends, count = columns.ends(), columns.number
    status = np.empty(count, np.int64)
    best, best_sizes = np.full((2, count), UNDEF_PRICE, np.int64), np.zeros((2, count), np.int64)
    tick = 0
    for segment, first, stop in segments.of_columns(ends):
        at = np.searchsorted(segment.statuses["due_ns"], ends[first:stop], side="right") - 1
        status[first:stop] = segment.statuses["status"][at]
        tick = math.gcd(tick, _common_step(segment))
        for start, sizes in _book_sizes(segment, ends[first:stop]):
            found = slice(first + start, first + start + len(sizes))
            bids = len(segment.bid_prices)
            best[0, found], best_sizes[0, found] = _best_levels(
                segment.bid_prices[::-1], sizes[:, :bids][:, ::-1]
            )
            best[1, found], best_sizes[1, found] = _best_levels(segment.ask_prices, sizes[:, bids:])
    tick = tick if 0 < tick <= _TICK_MAX else 1
    if price_range is None:
        bands = _choose_bands(best, rows, tick)
    else:
        bands = Bands.covering(*price_range, rows, tick)
    grids, totals = np.zeros((5, count, bands.number), np.int64), np.zeros((3, count), np.int64)
    for segment, first, stop in segments.of_columns(ends):
        _add_trades(grids[2:], totals, segment.trades, columns, bands)
        places = [_find_bands(prices, bands) for prices in segment[:2]]
        for start, sizes in _book_sizes(segment, ends[first:stop]):
            found = slice(first + start, first + start + len(sizes))
            bids = len(segment.bid_prices)
            _add_bands(grids[0, found], sizes[:, :bids], *places[0])
            _add_bands(grids[1, found], sizes[:, bids:], *places[1])
    return Heatmap(columns, bands, tick, status, *best, *best_sizes, *totals, *grids)


def _book_sizes(
    segment: BookSegment, ends: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The sizes of a segment's levels at some times, in chunks.

    Yields:
        The place of the first time of the chunk, and (times, levels) the sizes.
    """
    levels, sizes = len(segment.sizes), segment.sizes
    stops = np.searchsorted(segment.changes["due_ns"], ends, side="right")
    length, done = max(1, CHUNK_CELLS // max(1, levels)), 0
    for start in range(0, len(ends), length):
        chunk = stops[start : start + length]
        counts = np.diff(chunk, prepend=done)
        changes = segment.changes[done : chunk[-1]]
        cells = np.repeat(np.arange(len(chunk)) * levels, counts) + changes["level"]
        book = np.zeros((len(chunk), levels), np.int64)
        np.add.at(book.reshape(-1), cells, changes["size"])
        book[0] += sizes
        np.cumsum(book, axis=0, out=book)
        yield start, book
        sizes, done = book[-1].copy(), chunk[-1]


def _best_levels(
    prices: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The price and the size of the best level of each row of (times, levels) sizes."""
    if len(prices) == 0:
        return np.full(len(sizes), UNDEF_PRICE, np.int64), np.zeros(len(sizes), np.int64)
    best = (sizes > 0).argmax(axis=1)
    size = sizes[np.arange(len(sizes)), best]
    price: NDArray[np.int64] = prices[best]
    return np.where(size > 0, price, UNDEF_PRICE), np.maximum(size, 0)


def _common_step(segment: BookSegment) -> int:
    """The greatest number of which all prices of a segment are multiples; 0 without prices."""
    prices = np.concatenate(segment[:2])
    # The least int64 has no absolute value.
    return int(np.gcd.reduce(np.abs(prices[prices > -(2**63)]))) if len(prices) else 0


def _choose_bands(best: NDArray[np.int64], rows: int, tick: int) -> Bands:
    """Bands over most of the best prices, and as much again around them."""
    prices = np.sort(best[best != UNDEF_PRICE])
    if len(prices) == 0:
        return Bands(0, tick, 1)
    outside = len(prices) // _SHARE_OUTSIDE
    low, high = np.clip(prices[[outside, -1 - outside]], -PRICE_BOUND, PRICE_BOUND).tolist()
    height = -(-2 * (high - low + tick) // (rows * tick)) * tick
    # The lowest band begins at a multiple of the height, so that neighbouring spans agree.
    return Bands(((low + high) // 2 // height - rows // 2) * height, height, rows)


def _find_bands(
    prices: NDArray[np.int64], bands: Bands
) -> tuple[slice, NDArray[np.intp], NDArray[np.int64]]:
    """The levels within bands, by ascending prices.

    Returns:
        The levels, where each of the bands begins among them, and the numbers of these bands.
    """
    first, stop = np.searchsorted(prices, [bands.low, bands.high]).tolist()
    band = (prices[first:stop] - bands.low) // bands.height
    begins = np.flatnonzero(np.diff(band, prepend=-1))
    return slice(first, stop), begins, band[begins]


def _add_bands(
    grid: NDArray[np.int64],
    sizes: NDArray[np.int64],
    levels: slice,
    begins: NDArray[np.intp],
    bands: NDArray[np.int64],
) -> None:
    """Write the sums of the levels of each band to a grid."""
    if len(begins):
        grid[:, bands] = np.add.reduceat(sizes[:, levels], begins, axis=1)


def _add_trades(
    grids: NDArray[np.int64],
    totals: NDArray[np.int64],
    trades: NDArray[np.void],
    columns: Columns,
    bands: Bands,
) -> None:
    """Add trades to the grids of bought, sold and other volume, and to the totals of columns."""
    trades = trades[(trades["due_ns"] > columns.from_ns) & (trades["due_ns"] <= columns.to_ns)]
    column = (trades["due_ns"] - columns.from_ns - 1) // columns.column_ns
    side, size = trades["side"], trades["size"]
    grid = np.where(side == SIDE_BID, 0, np.where(side == SIDE_ASK, 1, 2))
    np.add.at(totals, (grid, column), size)
    found = (trades["price"] >= bands.low) & (trades["price"] < bands.high)
    band = (trades["price"][found] - bands.low) // bands.height
    np.add.at(grids, (grid[found], column[found], band), size[found])
