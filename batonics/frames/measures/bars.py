"""Bars of trades from MBO records: the vendor's OHLCV intervals; time, tick, volume, dollar bars.

The rule here: a bar is its book's own, and its time is the stream's. The stream's time at a record
is the latest `ts_recv` so far, of any book: it never runs backwards, and a `ts_recv` that is
undefined or flagged F_BAD_TS_RECV orders nothing (rule 16). So a late trade is in the interval of
the time that was reached before it, and an interval is over for all books at once.

| bars       | closed by                                                   | those left at the end |
|------------|-------------------------------------------------------------|-----------------------|
| of a time  | the first record of a later interval, be it of another book | are given             |
| of N ticks | the N-th trade                                              | only with `partial`   |
| of volume  | the trade with which the sum of sizes reaches N             | only with `partial`   |
| of dollars | the trade with which the sum of price times size reaches D  | only with `partial`   |

The trade that closes a bar is whole in it: none is split, so a bar may hold more than N or D.
Where a price is negative, as spreads' are, it takes away from the sum of price times size.

A trade is a T, never an F (rules 6 and 12), and one of side N is volume, though neither bought
nor sold. One without a price (rule 19) counts as a trade and as volume, but neither in prices nor
in `vwap` and `dollar`; one without a size has size 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.state import read_only
from batonics.frames.columns.mbo_frame import LETTERS, TIME_TYPE, check_columns
from batonics.frames.columns.vendor import OHLCV_SCHEMA
from batonics.frames.measures.bar_kernels import (
    BAR_WORDS,
    Bar,
    BarClock,
    BarKind,
    CloseRule,
    TradeColumns,
    fold_trades,
)
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.errors import UsageError
from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE
from batonics.model.times import parse_duration

BAR_FOLD_ROWS = 65_536
"""So many records are folded at once: there must be room for as many closed bars."""

BARS_SCHEMA = pl.Schema(
    {
        "publisher_id": pl.UInt16(),
        "instrument_id": pl.UInt32(),
        "ts_open": TIME_TYPE,
        "ts_close": TIME_TYPE,
        "open": pl.Int64(),
        "high": pl.Int64(),
        "low": pl.Int64(),
        "close": pl.Int64(),
        # Signed, so that a difference of two of them is what it should be.
        "volume": pl.Int64(),
        "buy_volume": pl.Int64(),
        "sell_volume": pl.Int64(),
        "trades": pl.Int64(),
        "vwap": pl.Float64(),
        # An integer of up to 38 digits. Not Int128, which neither Arrow nor DuckDB can read.
        "dollar": pl.Decimal(38, 0),
    }
)


def ohlcv_source(records: pl.LazyFrame, length_ns: int, rtype: int | None = None) -> pl.LazyFrame:
    """A LazyFrame of `OHLCV_SCHEMA` over MBO records: a row for each interval and book with trades.

    `ts_event` is the start of the interval, `[ts_event, ts_event + length)` since the epoch, by
    the `ts_recv` of trades: so the vendor's documentation of ohlcv has it. The vendor's files
    agree: the first four bars of a second of XNAS.ITCH are its first four trades, one of side N
    included, and the first bars of GLBX.MDP3, NDEX.IMPACT and IFEU.IMPACT open with their first
    trades. None of those trades has its `ts_event` in another second than its `ts_recv`, so files
    alone would not tell the two apart.

    Rows come when an interval is over for the stream, in order of interval, publisher and
    instrument, and those of the last one at the stream's end. Trades before the stream's first
    known time are in its first interval; `ts_event` is null where no time ever comes to be known.
    `open`, `high`, `low` and `close` are null where no trade had a price.

    Args:
        records: MBO records, in their order.
        length_ns: the length of an interval.
        rtype: the value of the column `rtype`; None: null.

    Raises:
        UsageError: the length is not positive; a column is missing or has another dtype.
    """
    rule = _time_rule(length_ns)
    start, *others = _OHLCV
    columns = [start, pl.lit(rtype, pl.UInt8).alias("rtype"), *others]
    return _source(records, rule, columns, OHLCV_SCHEMA, partial=True)


def bars_source(  # noqa: PLR0913 - four of which one is given
    records: pl.LazyFrame,
    *,
    time: str | None = None,
    ticks: int | None = None,
    volume: int | None = None,
    dollar: str | int | None = None,
    partial: bool = False,
) -> pl.LazyFrame:
    """A LazyFrame of `BARS_SCHEMA` over MBO records, a row a bar, in order of closing.

    Bars of a time come in order of interval, publisher and instrument, and so do the last ones at
    the stream's end; those of an interval are the rows of OHLCV.

    Args:
        records: MBO records, in their order.
        time: bars of an interval, such as "5m": `[T, T + time)`, T a multiple of it since the
            epoch.
        ticks: bars of so many trades.
        volume: bars of at least so much size.
        dollar: bars of at least so much price times size: decimal text such as "1000000", or an
            integer of 1e-9. No contract's multiplier is in it.
        partial: give the last bar of a book too, though nothing has closed it. Bars of a time are
            always given.

    Columns:
        publisher_id (UInt16), instrument_id (UInt32).
        ts_open, ts_close (Datetime ns UTC): the stream's time at the first and at the last trade;
            null where none was known by then.
        open, high, low, close (Int64 of 1e-9): null where no trade had a price.
        volume, buy_volume, sell_volume (Int64): of all trades, of side B, of side A.
        trades (Int64): how many.
        vwap (Float64 of 1e-9): `dollar` by the volume of trades with a price; null where that is 0.
        dollar (Decimal(38, 0), an integer of 1e-9): the sum of price times size, exact.

    Raises:
        UsageError: not exactly one of the four is given, or it is no length; a column is missing
            or has another dtype.
    """
    rule = _rule(time=time, ticks=ticks, volume=volume, dollar=dollar)
    return _source(records, rule, _BARS, BARS_SCHEMA, partial=partial or time is not None)


def _rule(
    *,
    time: str | None = None,
    ticks: int | None = None,
    volume: int | None = None,
    dollar: str | int | None = None,
) -> CloseRule:
    lengths = {"time": time, "ticks": ticks, "volume": volume, "dollar": dollar}
    given = [name for name, length in lengths.items() if length is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise UsageError(f"bars by {found}, expected one of time, ticks, volume and dollar")
    if time is not None:
        return _time_rule(parse_duration(time))
    if ticks is not None:
        return _rule_of(BarKind.TICKS, ticks, f"{ticks} trades", 63)
    if volume is not None:
        return _rule_of(BarKind.VOLUME, volume, f"volume {volume}", 63)
    amount_1e9 = _parse_amount(dollar) if isinstance(dollar, str) else dollar or 0
    return _rule_of(BarKind.DOLLAR, amount_1e9, f"{amount_1e9} dollars of 1e-9", 127)


def _time_rule(length_ns: int) -> CloseRule:
    return _rule_of(BarKind.TIME, length_ns, f"{length_ns} ns", 63)


def _rule_of(by: BarKind, length: int, what: str, bits: int) -> CloseRule:
    if not 1 <= length < 2**bits:
        raise UsageError(f"bars of {what}: expected 1 or more, and less than 2^{bits}")
    low = length % 2**64
    return CloseRule(int(by), length >> 64, low - 2**64 if low >= 2**63 else low)


_AMOUNT = re.compile(r"(\d+)(?:\.(\d{1,9}))?", re.ASCII)


def _parse_amount(text: str) -> int:
    """The integer of 1e-9. Not `parse_price`: an amount may lie far beyond any price."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not an amount: {text!r} (expected decimal digits, at most 9 decimals)")
    return int(match[1]) * PRICE_SCALE + int((match[2] or "").ljust(9, "0"))


# ---------------------------------------------------------------------- words to columns


def _time(word: str) -> pl.Expr:
    return pl.when(pl.col(word) >= 0).then(word).cast(TIME_TYPE)


def _price(word: str) -> pl.Expr:
    return pl.when(pl.col(word) != UNDEF_PRICE).then(word)


_LOW_HALF = pl.col("dollar_low").reinterpret(signed=False).cast(pl.Int128)
_DOLLAR = pl.col("dollar_high").cast(pl.Int128) * 2**64 + _LOW_HALF
_PRICED_VOLUME = pl.when(pl.col("priced_volume") > 0).then("priced_volume")
_KEY = [
    (pl.col("key") // 2**32).cast(pl.UInt16).alias("publisher_id"),
    (pl.col("key") & 0xFFFFFFFF).cast(pl.UInt32).alias("instrument_id"),
]
_PRICES = [_price(word) for word in ("open", "high", "low", "close")]
_OHLCV = [_time("start").alias("ts_event"), *_KEY, *_PRICES, pl.col("volume").cast(pl.UInt64)]
_BARS = [
    *_KEY,
    _time("ts_open"),
    _time("ts_close"),
    *_PRICES,
    *(pl.col(word) for word in ("volume", "buy_volume", "sell_volume", "trades")),
    (_DOLLAR.cast(pl.Float64) / _PRICED_VOLUME).alias("vwap"),
    _DOLLAR.cast(pl.Decimal(38, 0)).alias("dollar"),
]
_WORDS = [word.name.lower() for word in Bar]


# ---------------------------------------------------------------------- records to rows


def _source(
    records: pl.LazyFrame,
    rule: CloseRule,
    columns: Sequence[pl.Expr],
    schema: pl.Schema,
    *,
    partial: bool,
) -> pl.LazyFrame:
    # A wrong frame is refused where the mistake is made, not at its collection.
    check_columns(records.collect_schema(), _READ)

    def frames_of(_: Projection) -> Iterator[pl.DataFrame]:
        # A predicate on books is not pushed on: the time of a bar is that of all records.
        for rows in _closed_rows(records, rule, partial=partial):
            yield pl.DataFrame(rows, schema=_WORDS).select(columns)

    return frame_source(f"MBO {BarKind(rule.by).name} BARS", schema, frames_of)


def _closed_rows(
    records: pl.LazyFrame, rule: CloseRule, *, partial: bool
) -> Iterator[NDArray[np.int64]]:
    """Bars in order of closing: arrays of (bars, len(Bar)), none of them empty."""
    folder = _Folder(rule)
    for batch in records.select(_READ).collect_batches(lazy=True, maintain_order=True):
        for frame in batch.iter_slices(BAR_FOLD_ROWS):
            rows = folder.fold(frame)
            if len(rows):
                yield rows
    rows = folder.open_rows()
    if partial and len(rows):
        yield rows


_PHYSICAL = {
    "ts_recv": pl.col("ts_recv").to_physical().fill_null(-1),
    "publisher_id": pl.col("publisher_id").cast(pl.Int64),
    "instrument_id": pl.col("instrument_id").cast(pl.Int64),
    "action": pl.col("action") == "T",
    "side": pl.col("side").to_physical(),
    "price": pl.col("price").fill_null(UNDEF_PRICE),
    "size": pl.col("size").fill_null(0),
    "flags": pl.col("flags"),
}
_READ = list(_PHYSICAL)


class _Folder:
    """The open bar of each book, from piece to piece."""

    def __init__(self, rule: CloseRule) -> None:
        self._rule = rule
        self._clock = np.full(len(BarClock), -1, np.int64)
        # Sorted by key, so that a book's number is its place in the order of rows.
        self._bars = np.zeros((0, BAR_WORDS), np.int64)

    def fold(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        """The bars that the records close, in order of closing."""
        tape, keys = _tape(frame)
        book = self._numbers(keys[tape.is_trade])
        still_open = np.flatnonzero(self._bars[:, Bar.TRADES])
        open_books = np.empty(len(self._bars), np.int64)
        open_books[: len(still_open)] = still_open
        closed = np.empty((len(still_open) + len(book), BAR_WORDS), np.int64)
        count = fold_trades(
            tape,
            book,
            self._bars.reshape(-1),
            open_books,
            len(still_open),
            self._clock,
            self._rule,
            closed.reshape(-1),
        )
        rows = closed[:count]
        if self._rule.by != BarKind.TIME:
            return rows
        return rows[np.lexsort((rows[:, Bar.KEY], rows[:, Bar.START]))]

    def open_rows(self) -> NDArray[np.int64]:
        """The bars that nothing has closed yet, by book."""
        rows = self._bars[self._bars[:, Bar.TRADES] > 0]
        rows[:, Bar.START] = self._clock[BarClock.START]
        return rows

    def _numbers(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of books; new ones get a bar."""
        known = self._bars[:, Bar.KEY].copy()
        book = np.searchsorted(known, key)
        # A key greater than all is sought behind the last.
        is_known = np.append(known, -1)[book] == key
        if is_known.all():
            return book
        keys = np.union1d(known, key[~is_known])
        grown = np.zeros((len(keys), BAR_WORDS), np.int64)
        grown[:, Bar.KEY] = keys
        grown[np.searchsorted(keys, known)] = self._bars
        self._bars = grown
        return np.searchsorted(keys, key)


def _tape(frame: pl.DataFrame) -> tuple[TradeColumns, NDArray[np.int64]]:
    """What bars are made of, and the key of each record's book."""
    columns = _arrays(frame)
    tape = TradeColumns(
        ts_recv=columns["ts_recv"],
        flags=columns["flags"],
        is_trade=columns["action"],
        side=read_only(LETTERS["side"].take(columns["side"])),
        price=columns["price"],
        size=columns["size"],
    )
    return tape, columns["publisher_id"] << 32 | columns["instrument_id"]


def _arrays(frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    physical = frame.select(**_PHYSICAL)
    for column in physical.iter_columns():
        if nulls := column.null_count():
            raise UsageError(f"column {column.name} holds {nulls} nulls, which mean nothing")
    return {column.name: read_only(column.to_numpy()) for column in physical.iter_columns()}
