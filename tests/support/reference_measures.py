"""Measures row by row, in plain Python: what the frames are held against."""

from __future__ import annotations

from batonics.model.mbo import Flag
from tests.support.mbp_rows import Row, Side


def ofi_of(row: Row, then: Row | None, level: int) -> int | None:
    """What a level adds to order flow imbalance."""
    if then is None or any(len(s) <= level for s in (row.bids, row.asks, then.bids, then.asks)):
        return None
    bid = _flow(row.bids, then.bids, level, 1)
    return bid - _flow(row.asks, then.asks, level, -1)


def _flow(now: Side, then: Side, level: int, sign: int) -> int:
    (price, size), (old_price, old_size) = now[level], then[level]
    flow = 0
    if sign * price >= sign * old_price:
        flow += size
    if sign * price <= sign * old_price:
        flow -= old_size
    return flow


def twice_mid(row: Row) -> int | None:
    """The sum of the best bid and ask."""
    return row.bids[0][0] + row.asks[0][0] if row.bids and row.asks else None


def clocks_and_series(rows: list[Row]) -> list[tuple[int | None, int]]:
    """Of every row: the time of its book, and how often that was cleared."""
    clock: dict[tuple[int, int], int] = {}
    series: dict[tuple[int, int], int] = {}
    found = []
    for row in rows:
        doubtful = row.flags & (Flag.BAD_TS_RECV | Flag.SNAPSHOT) == Flag.BAD_TS_RECV
        if row.ts_recv is not None and not doubtful:
            clock[row.book] = max(row.ts_recv, clock.get(row.book, 0))
        series[row.book] = series.get(row.book, 0) + row.is_restart
        found.append((clock.get(row.book), series[row.book]))
    return found


def signs(rows: list[Row]) -> list[int | None]:
    """Of every row that is a trade: its sign."""
    prices: dict[tuple[int, int], list[int]] = {}
    found = []
    for row in rows:
        before = prices.setdefault(row.book, [])
        if row.is_restart:
            before.clear()
        sign = _sign(row, before) if row.is_trade else None
        if row.is_trade and row.price is not None:
            before.append(row.price)
        found.append(sign)
    return found


def _sign(row: Row, before: list[int]) -> int | None:
    if row.side in "BA":
        return 1 if row.side == "B" else -1
    if row.price is None:
        return None
    mid = twice_mid(row)
    if mid is not None and 2 * row.price != mid:
        return 1 if 2 * row.price > mid else -1
    others = [price for price in before if price != row.price]
    if not others:
        return None
    # The last other price; trades at this one may stand in between, but are its own run.
    last = len(before) - 1
    while before[last] == row.price:
        last -= 1
    return 1 if row.price > before[last] else -1
