"""The tables that the market draws from: a draw is an index, a value's share its number of rows.

The rule: integers only. A table is the same on every machine, and so is every stream. The shares
are those of a day of CLX5, rounded, except that the queue at the best price is shorter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.sim.feed_kernels import TABLE_ROWS


def spread_shares(shares: dict[int, int], rows: int) -> NDArray[np.int64]:
    """A table of `rows` int64: each value of `shares` has rows in proportion to its share."""
    values = np.array(list(shares), np.int64)
    ends = np.cumsum(np.array(list(shares.values()), np.int64))
    # Row j is at (2 j + 1) / (2 rows) of the whole: its value is the first to end beyond that.
    middles = (2 * np.arange(rows, dtype=np.int64) + 1) * int(ends[-1])
    return values[np.searchsorted(ends * (2 * rows), middles, side="right")]


def distances_ticks() -> NDArray[np.int64]:
    """Ticks between an order's price and the best possible price of its side."""
    near = {ticks: 720 * 83**ticks // 100**ticks for ticks in range(10)}
    middle = dict.fromkeys(range(10, 100), 6)
    far = dict.fromkeys(range(100, 600, 5), 1)
    return spread_shares(near | middle | far, TABLE_ROWS)


def sizes() -> NDArray[np.int64]:
    """Sizes of new orders, in lots."""
    few = {1: 1020, 2: 480, 3: 110, 4: 100, 5: 60, 6: 25, 8: 20, 9: 90, 10: 50}
    many = {15: 10, 20: 12, 25: 6, 40: 3, 50: 4, 100: 2, 125: 1}
    return spread_shares(few | many, TABLE_ROWS)


def fills() -> NDArray[np.int64]:
    """Numbers of resting orders that a trade fills, at most `trader_kernels.TRADE_FILLS_MAX`."""
    shares = {1: 1158, 2: 192, 3: 75, 4: 45, 5: 26, 6: 12, 7: 14, 8: 5, 9: 7, 10: 3}
    return spread_shares(shares | {11: 6, 12: 4, 13: 2, 14: 2, 15: 2, 17: 2}, TABLE_ROWS)


def activity(instruments: int, law: str) -> NDArray[np.int64]:
    """Rows of the instruments that have the next burst of events; the table has each at least once.

    `zipf`: the second instrument half as often as the first, the third a third as often, and so on.
    `uniform`: all equally often.
    """
    if law == "uniform":
        return np.arange(instruments, dtype=np.int64)
    if law == "zipf":
        shares = {rank: (1 << 32) // (rank + 1) for rank in range(instruments)}
        # The shares sum to less than 16 times the first, so the last one gets a row too.
        return spread_shares(shares, 16 * instruments)
    raise ValueError(f"no such law of activity: {law!r} (expected zipf or uniform)")
