"""Bars of trades from MBO records: the vendor's OHLCV intervals; time, tick, volume, dollar bars.

The rule here: each book has its own bars, but the time is that of the stream. The stream's time at
a record is the latest `ts_recv` so far, over all records of all books (`frames/scan/clock.py`). It
never runs backwards, and a `ts_recv` that orders nothing does not count (rule 16). So a late trade
is in the interval of the time reached before it, and an interval ends for all books at once.

| bars       | closed by                                                   | open bars at the end  |
|------------|-------------------------------------------------------------|-----------------------|
| of a time  | the first record of a later interval, of any book           | are given             |
| of N ticks | the N-th trade                                              | only with `partial`   |
| of volume  | the trade with which the sum of sizes reaches N             | only with `partial`   |
| of dollars | the trade with which the sum of price times size reaches D  | only with `partial`   |
| of sessions | the first record of a later session (`session_bars.py`)    | are given             |

The trade that closes a bar is entirely in it. Trades are not split, so a bar may exceed N or D. A
negative price, as spreads may have, reduces the sum of price times size.

A trade is a T, never an F (rules 6 and 12). A trade of side N counts as volume, but neither as
bought nor as sold. A trade without a price (rule 19) counts as a trade and as volume, but neither
in prices nor in `vwap` and `dollar`. A trade without a size has size 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
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
    OpenBars,
    TradeColumns,
    fold_trades,
)
from batonics.frames.scan.complete_intervals import (
    COMPLETE,
    COMPLETE_SCHEMA,
    RowInterval,
    with_complete,
)
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.errors import UsageError
from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE
from batonics.model.prices import Amount, decimal_text
from batonics.model.times import Duration, parse_duration

BAR_FOLD_ROWS = 65_536
"""Records folded at once. The buffer has room for as many closed bars."""

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
        # Signed, so that differences of two volumes are correct.
        "volume": pl.Int64(),
        "buy_volume": pl.Int64(),
        "sell_volume": pl.Int64(),
        "trades": pl.Int64(),
        "vwap": pl.Float64(),
        # An integer of up to 38 digits. Not Int128, which neither Arrow nor DuckDB can read.
        "dollar": pl.Decimal(38, 0),
        **COMPLETE_SCHEMA,
    }
)


def ohlcv_source(records: pl.LazyFrame, length_ns: int, rtype: int | None = None) -> pl.LazyFrame:
    """A LazyFrame of `OHLCV_SCHEMA` over MBO records: a row for each interval and book with trades.

    `ts_event` is the start of the interval `[ts_event, ts_event + length)` since the epoch, by the
    `ts_recv` of trades, as the vendor documents ohlcv. The vendor's files agree: the first four
    bars of a second of XNAS.ITCH are its first four trades, including one of side N, and the first
    bars of GLBX.MDP3, NDEX.IMPACT and IFEU.IMPACT open with their first trades. The `ts_event` and
    `ts_recv` of these trades are in the same second, so the files alone do not decide between the
    two.

    Rows come when an interval ends for the stream, sorted by interval, publisher and instrument.
    The rows of the last interval come at the end of the stream. Trades before the stream's first
    known time are in its first interval; `ts_event` is null if no time is ever known. `open`,
    `high`, `low` and `close` are null if no trade had a price.

    Args:
        records: MBO records, in their order.
        length_ns: the length of an interval in nanoseconds.
        rtype: the value of the column `rtype`; None: null.

    Raises:
        UsageError: the length is not positive; a column is missing or has another dtype.
    """
    rule = _time_rule(length_ns)
    start, *others = _OHLCV
    columns = [start, pl.lit(rtype, pl.UInt8).alias("rtype"), *others]
    return _bar_source(records, rule, columns, OHLCV_SCHEMA, partial=True)


def bars_source(  # noqa: PLR0913 - exactly one of four is given
    records: pl.LazyFrame,
    *,
    time: Duration | None = None,
    ticks: int | None = None,
    volume: int | None = None,
    dollar: Amount | None = None,
    partial: bool = False,
) -> pl.LazyFrame:
    """A LazyFrame of `BARS_SCHEMA` over MBO records: one row for each bar, in order of closing.

    Bars of a time are sorted by interval, publisher and instrument, and so are the open bars at the
    end of the stream. The bars of an interval are the rows of OHLCV.

    Args:
        records: MBO records, in their order.
        time: the interval of bars of a time, such as "5m": `[T, T + time)`, where T is a multiple
            of it since the epoch.
        ticks: the number of trades of a bar.
        volume: the sum of sizes that closes a bar.
        dollar: the sum of price times size that closes a bar, as decimal text such as "1000000" or
            as an integer of 1e-9. It excludes the multiplier of contracts.
        partial: whether the open bar of each book at the end is given too. Bars of a time always
            are.

    Columns:
        publisher_id (UInt16), instrument_id (UInt32).
        ts_open, ts_close (Datetime ns UTC): the stream's time at the first and at the last trade;
            null if it was not known.
        open, high, low, close (Int64 of 1e-9): null if no trade had a price.
        volume, buy_volume, sell_volume (Int64): the sums of sizes of all trades, of trades of side
            B, and of trades of side A.
        trades (Int64): the number of trades.
        vwap (Float64 of 1e-9): `dollar` divided by the volume of trades with a price; null if that
            is 0.
        dollar (Decimal(38, 0), an integer of 1e-9): the exact sum of price times size.
        complete (Boolean): whether the length of the bar is reached; of bars of a time, whether the
            data reach from the beginning of its interval to the end.

    Raises:
        UsageError: not exactly one of the four is given, or it is not a length, or a column is
            missing or has another dtype.
    """
    rule = _parse_rule(time=time, ticks=ticks, volume=volume, dollar=dollar)
    if time is None:
        return _bar_source(records, rule, BAR_COLUMNS, BARS_SCHEMA, partial=partial)
    own = pl.Schema({name: dtype for name, dtype in BARS_SCHEMA.items() if name != COMPLETE})
    return with_complete(
        records,
        lambda records: _bar_source(records, rule, BAR_COLUMNS, own, partial=True),
        "ts_open",
        RowInterval(parse_duration(time), ends=False),
    )


def _parse_rule(
    *,
    time: Duration | None = None,
    ticks: int | None = None,
    volume: int | None = None,
    dollar: Amount | None = None,
) -> CloseRule:
    lengths = {"time": time, "ticks": ticks, "volume": volume, "dollar": dollar}
    given = [name for name, length in lengths.items() if length is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise UsageError(
            f"bars by {found}, expected one of time, ticks, volume, dollar and session"
        )
    if time is not None:
        return _time_rule(parse_duration(time))
    if ticks is not None:
        return _close_rule(BarKind.TICKS, ticks, f"{ticks} trades", 63)
    if volume is not None:
        return _close_rule(BarKind.VOLUME, volume, f"volume {volume}", 63)
    amount_1e9 = dollar if isinstance(dollar, int) else _parse_amount(dollar or "")
    return _close_rule(BarKind.DOLLAR, amount_1e9, f"{amount_1e9} dollars of 1e-9", 127)


def _time_rule(length_ns: int) -> CloseRule:
    return _close_rule(BarKind.TIME, length_ns, f"{length_ns} ns", 63)


def _close_rule(by: BarKind, length: int, what: str, bits: int) -> CloseRule:
    if not 1 <= length < 2**bits:
        raise UsageError(f"bars of {what}: expected 1 or more, and less than 2^{bits}")
    low = length % 2**64
    return CloseRule(int(by), length >> 64, low - 2**64 if low >= 2**63 else low)


_AMOUNT = re.compile(r"(\d+)(?:\.(\d{1,9}))?", re.ASCII)


def _parse_amount(amount: Decimal | str) -> int:
    """The integer of 1e-9. `parse_price` is not enough: an amount may exceed any price."""
    text = decimal_text(amount)
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
_KEY_COLUMNS = [
    (pl.col("key") // 2**32).cast(pl.UInt16).alias("publisher_id"),
    (pl.col("key") & 0xFFFFFFFF).cast(pl.UInt32).alias("instrument_id"),
]
_PRICES = [_price(word) for word in ("open", "high", "low", "close")]
_OHLCV = [
    _time("start").alias("ts_event"),
    *_KEY_COLUMNS,
    *_PRICES,
    pl.col("volume").cast(pl.UInt64),
]
BAR_COLUMNS = [
    *_KEY_COLUMNS,
    _time("ts_open"),
    _time("ts_close"),
    *_PRICES,
    *(pl.col(word) for word in ("volume", "buy_volume", "sell_volume", "trades")),
    (_DOLLAR.cast(pl.Float64) / _PRICED_VOLUME).alias("vwap"),
    _DOLLAR.cast(pl.Decimal(38, 0)).alias("dollar"),
]
BAR_WORD_NAMES = [word.name.lower() for word in Bar]


# ---------------------------------------------------------------------- records to rows


def _bar_source(
    records: pl.LazyFrame,
    rule: CloseRule,
    columns: Sequence[pl.Expr],
    schema: pl.Schema,
    *,
    partial: bool,
) -> pl.LazyFrame:
    # An unsuitable frame is refused here, where the mistake is made, not when it is collected.
    check_columns(records.collect_schema(), READ_COLUMNS)

    def make_frames(_: Projection) -> Iterator[pl.DataFrame]:
        # A predicate on books is not pushed on: the time of a bar depends on all records.
        for rows, is_closed in _fold_bars(records, rule, partial=partial):
            complete = [pl.lit(is_closed).alias(COMPLETE)] if COMPLETE in schema else []
            yield pl.DataFrame(rows, schema=BAR_WORD_NAMES).select(*columns, *complete)

    return frame_source(f"MBO {BarKind(rule.by).name} BARS", schema, make_frames)


def _fold_bars(
    records: pl.LazyFrame, rule: CloseRule, *, partial: bool
) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """Bars in order of closing: arrays of (bars, len(Bar)), not empty, and if they are closed."""
    bar_folder = BarFolder(rule, new_clock())
    for batch in records.select(READ_COLUMNS).collect_batches(lazy=True, maintain_order=True):
        for frame in batch.iter_slices(BAR_FOLD_ROWS):
            rows = bar_folder.fold(frame)
            if len(rows):
                yield rows, True
    rows = bar_folder.take_open_rows()
    if partial and len(rows):
        yield rows, False


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
READ_COLUMNS = list(_PHYSICAL)


def new_clock() -> NDArray[np.int64]:
    """The clock of a stream before its first time."""
    return np.full(len(BarClock), -1, np.int64)


class BarFolder:
    """Folds records in pieces; keeps the open bar of each book from piece to piece.

    Args:
        rule: when a bar is closed.
        clock: the clock of the stream, which folders that share a stream share too.
    """

    def __init__(self, rule: CloseRule, clock: NDArray[np.int64]) -> None:
        self._rule, self._clock = rule, clock
        # Sorted by key; the number of a book is its position.
        self._bars = np.zeros((0, BAR_WORDS), np.int64)

    def fold(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        """Fold records, and return the bars that they close, in order of closing."""
        records, keys = _trade_columns(frame)
        book = self._book_numbers(keys[records.is_trade])
        still_open = np.flatnonzero(self._bars[:, Bar.TRADES])
        open_books = np.empty(len(self._bars), np.int64)
        open_books[: len(still_open)] = still_open
        closed = np.empty((len(still_open) + len(book), BAR_WORDS), np.int64)
        count = fold_trades(
            records,
            book,
            OpenBars(self._bars.reshape(-1), open_books),
            len(still_open),
            self._clock,
            self._rule,
            closed.reshape(-1),
        )
        rows = closed[:count]
        if self._rule.by != BarKind.TIME:
            return rows
        return rows[np.lexsort((rows[:, Bar.KEY], rows[:, Bar.START]))]

    def take_open_rows(self) -> NDArray[np.int64]:
        """The open bars, by book, which are closed with this."""
        rows = self._bars[self._bars[:, Bar.TRADES] > 0]
        rows[:, Bar.START] = self._clock[BarClock.START]
        self._bars[:, Bar.TRADES] = 0
        return rows

    def _book_numbers(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the books of these keys. New books get a bar."""
        known = self._bars[:, Bar.KEY].copy()
        book = np.searchsorted(known, key)
        # One more element, for a key greater than all others.
        is_known = np.append(known, -1)[book] == key
        if is_known.all():
            return book
        keys = np.union1d(known, key[~is_known])
        grown = np.zeros((len(keys), BAR_WORDS), np.int64)
        grown[:, Bar.KEY] = keys
        grown[np.searchsorted(keys, known)] = self._bars
        self._bars = grown
        return np.searchsorted(keys, key)


def _trade_columns(frame: pl.DataFrame) -> tuple[TradeColumns, NDArray[np.int64]]:
    """The columns that bars are made of, and the key of the book of each record."""
    columns = _arrays(frame)
    records = TradeColumns(
        ts_recv=columns["ts_recv"],
        flags=columns["flags"],
        is_trade=columns["action"],
        side=read_only(LETTERS["side"].take(columns["side"])),
        price=columns["price"],
        size=columns["size"],
    )
    return records, columns["publisher_id"] << 32 | columns["instrument_id"]


def _arrays(frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    physical = frame.select(**_PHYSICAL)
    for column in physical.iter_columns():
        if nulls := column.null_count():
            raise UsageError(f"column {column.name} holds {nulls} nulls, which mean nothing")
    return {column.name: read_only(column.to_numpy()) for column in physical.iter_columns()}
