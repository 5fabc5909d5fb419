"""Bars of sessions: every trade is in one bar, by the time of the stream at it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import batonics
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.measures import session_bars
from batonics.frames.measures.session_bars import session_bars_source
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag, MboBatch, Side, slice_batch
from batonics.model.times import parse_time
from tests.support.real_files import CLX5, ESH4_DAYS
from tests.support.reference_books import Record, records
from tests.support.streams import batch_of, random_stream

CHICAGO = "17:00-16:00 America/Chicago"
HOUR_NS = 3_600 * 10**9


def trade(time: str, price: int, size: int, *, instrument_id: int = 7, flags: int = 0) -> Record:
    ts_ns = parse_time(time)
    return Record(
        ts_ns, ts_ns, 1, instrument_id, Action.TRADE, Side.BID, price, size, 0, 1, flags, 0, 0
    )


def bars_of(session: str, *rows: Record) -> list[tuple[Any, ...]]:
    """Date, opening and closing time in the zone of the exchange, first price and volume."""
    bars = MboNamespace(to_frame(batch_of(rows)).lazy()).bars(session=session).collect()
    times = pl.col("ts_session_open", "ts_session_close").dt.to_string("%d %H:%M %z")
    return bars.select(pl.col("date").dt.to_string("%m-%d"), times, "open", "volume").rows()


def test_a_session_is_complete_if_the_data_reach_from_its_opening_to_its_close() -> None:
    rows = [
        trade("2025-09-23T22:30:00Z", 10, 1),
        trade("2025-09-24T22:30:00Z", 11, 2),
        trade("2025-09-25T21:00:00Z", 12, 4),  # the session has closed
        trade("2025-09-25T22:30:00Z", 13, 8),
    ]
    for given in (rows, rows[:3]):
        bars = MboNamespace(to_frame(batch_of(given)).lazy()).bars(session=CHICAGO).collect()
        assert bars["complete"].to_list() == [False, True, None, False][: len(given)]


def test_a_session_over_midnight_is_one_bar_in_the_zone_of_the_exchange() -> None:
    assert bars_of(
        CHICAGO,
        trade("2025-09-23T22:00:00Z", 10, 1),
        trade("2025-09-24T00:00:01Z", 11, 2),
        trade("2025-09-24T20:59:59.999999999Z", 12, 4),
        trade("2025-09-24T21:00:00Z", 13, 8),  # the session has closed
        trade("2025-09-24T22:30:00Z", 14, 16),
    ) == [
        ("09-24", "23 17:00 -0500", "24 16:00 -0500", 10, 7),
        (None, None, None, 13, 8),
        ("09-25", "24 17:00 -0500", "25 16:00 -0500", 14, 16),
    ]


def test_sessions_move_with_the_clocks_of_the_exchange() -> None:
    """Clocks in Chicago go back on 2 November 2025; the session of the 3rd opens at 23:00 UTC."""
    assert bars_of(
        "CMES",
        trade("2025-10-31T20:59:00Z", 10, 1),
        trade("2025-11-02T22:30:00Z", 11, 2),
        trade("2025-11-02T23:00:00Z", 12, 4),
        trade("2025-11-03T21:59:00Z", 13, 8),
    ) == [
        ("10-31", "30 17:00 -0500", "31 16:00 -0500", 10, 1),
        (None, None, None, 11, 2),
        ("11-03", "02 17:00 -0600", "03 16:00 -0600", 12, 12),
    ]


def test_holidays_early_closes_and_breaks_are_those_of_the_calendar() -> None:
    # XNAS: Thanksgiving has no session, the day after it closes at 13:00.
    assert bars_of(
        "XNAS",
        trade("2025-11-26T20:00:00Z", 10, 1),
        trade("2025-11-27T16:00:00Z", 11, 2),
        trade("2025-11-28T17:00:00Z", 12, 4),
        trade("2025-11-28T18:00:00Z", 13, 8),
    ) == [
        ("11-26", "26 09:30 -0500", "26 16:00 -0500", 10, 1),
        (None, None, None, 11, 2),
        ("11-28", "28 09:30 -0500", "28 13:00 -0500", 12, 4),
        (None, None, None, 13, 8),
    ]
    # The bar of a session goes on behind its break; what is traded in the break follows it.
    assert bars_of(
        "CMEGlobex_Grains",
        trade("2025-09-23T12:00:00Z", 10, 1),
        trade("2025-09-23T13:00:00Z", 11, 2),
        trade("2025-09-23T14:00:00Z", 12, 4),
        trade("2025-09-23T19:00:00Z", 13, 8),
    ) == [
        ("09-23", "22 19:00 -0500", "23 13:20 -0500", 10, 5),
        (None, None, None, 11, 10),
    ]


def test_a_late_trade_is_in_the_session_of_the_time_reached_before_it() -> None:
    assert bars_of(
        CHICAGO,
        trade("2025-09-24T20:00:00Z", 10, 1, flags=Flag.BAD_TS_RECV),  # no time is known yet
        trade("2025-09-24T22:30:00Z", 11, 2, instrument_id=8),
        trade("2025-09-24T20:00:00Z", 12, 4),
        trade("2025-09-26T20:00:00Z", 13, 8, flags=Flag.BAD_TS_RECV),
    ) == [
        (None, None, None, 10, 1),
        ("09-25", "24 17:00 -0500", "25 16:00 -0500", 12, 12),
        ("09-25", "24 17:00 -0500", "25 16:00 -0500", 11, 2),
    ]


def test_without_any_time_all_trades_are_outside() -> None:
    rows = trade("2025-09-24T20:00:00Z", 10, 1, flags=Flag.BAD_TS_RECV)
    assert bars_of(CHICAGO, rows, rows) == [(None, None, None, 10, 2)]
    assert bars_of(CHICAGO) == []


def hourly_stream(rows: int) -> MboBatch:
    """A random stream of which half are trades, over three weeks, some without a time."""
    batch = random_stream(4, rows)
    rng = np.random.default_rng(4)
    steps = rng.integers(0, 2 * HOUR_NS, rows)
    batch.ts_recv[:] = parse_time("2025-10-20") + np.cumsum(steps).astype(np.uint64)
    batch.ts_recv[rng.random(rows) < 0.05] = UNDEF_TIMESTAMP
    batch.ts_recv[:3] = UNDEF_TIMESTAMP
    batch.action[rng.random(rows) < 0.5] = int(Action.TRADE)
    return batch


def reference_bars(batch: MboBatch, session: str) -> list[tuple[Any, ...]]:
    """Date, book, sizes and number of trades of each bar, trade by trade."""
    days = (parse_time("2025-10-01"), parse_time("2026-02-01"))
    spans = find_sessions(session).spans(*(day // (24 * HOUR_NS) for day in days))
    edges = list(zip(*(column.tolist() for column in spans), strict=True))
    now, placed = -1, []
    for record in records(batch):
        is_timed = record.flags & (Flag.BAD_TS_RECV | Flag.SNAPSHOT) != Flag.BAD_TS_RECV
        if is_timed and record.ts_recv != UNDEF_TIMESTAMP:
            now = max(now, record.ts_recv)
        if record.action == Action.TRADE:
            opened = [(day, closes) for opens, closes, day in edges if opens <= now]
            day, closes = opened[-1] if opened else (-1, -1)
            key = (day, now >= closes, record.publisher_id, record.instrument_id)
            placed.append((key, record))
    return [
        (None if key[1] else dt.date(1970, 1, 1) + dt.timedelta(key[0]), *key[2:], len(trades))
        for key, group in groupby(sorted(placed, key=lambda at: at[0]), key=lambda at: at[0])
        for trades in [list(group)]
    ]


@pytest.mark.parametrize("session", [CHICAGO, "CMEGlobex_Grains", "00:00-24:00 UTC mon-sun"])
@pytest.mark.parametrize("rows", [1, 50, 10_000])
def test_bars_are_those_of_the_reference_however_the_stream_is_cut(
    session: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hourly_stream(400)
    monkeypatch.setattr(session_bars, "BAR_FOLD_ROWS", rows)

    def batches() -> Iterator[MboBatch]:
        return (slice_batch(batch, at, at + rows) for at in range(0, len(batch.action), rows))

    bars = session_bars_source(scan_batches(batches), find_sessions(session)).collect()
    found = bars.select("date", "publisher_id", "instrument_id", "trades").rows()
    assert found == reference_bars(batch, session)
    assert len(found) > 10


def test_days_in_utc_are_the_bars_of_a_day(test_data: Path) -> None:
    mbo = MboNamespace(batonics.scan_mbo(test_data / ESH4_DAYS[1]))
    days = mbo.bars(time="1d").collect()
    sessions = mbo.bars(session="00:00-24:00 UTC mon-sun").collect()
    assert sessions[:, 3:].equals(days)


@pytest.mark.parametrize("session", ["CMEGlobex_CL", CHICAGO])
def test_the_session_of_a_real_day_ends_before_its_utc_day(session: str, test_data: Path) -> None:
    mbo = MboNamespace(batonics.scan_mbo(test_data / CLX5))
    bars = mbo.bars(session=session).collect()
    columns = ("open", "high", "low", "close", "volume", "trades")
    assert bars["date"].to_list() == [dt.date(2025, 9, 24)]
    assert bars.select(columns).row(0) == (
        *(round(price * 10**9) for price in (64.83, 64.84, 64.79, 64.81)),
        *(3_613, 1_599),
    )
    assert bars["ts_close"][0] < dt.datetime(2025, 9, 24, 21, tzinfo=dt.UTC)


def test_the_evening_of_a_holiday_opens_the_session_of_the_day_after(test_data: Path) -> None:
    paths = [test_data / path for path in ESH4_DAYS]
    mbo = MboNamespace(batonics.scan_mbo(paths))
    bars = mbo.bars(session="CMES").collect()
    # All trades are of 25 December in UTC, which has no session.
    assert bars.select("date", "open", "close", "volume", "trades").rows() == [
        (dt.date(2023, 12, 26), 4_800_250_000_000, 4_810_000_000_000, 9_892, 2_973)
    ]
    assert str(bars["ts_session_open"][0]) == "2023-12-25 17:00:00-06:00"


def test_a_kind_of_bar_beside_a_session_is_refused() -> None:
    mbo = MboNamespace(to_frame(batch_of([])).lazy())
    with pytest.raises(UsageError, match="bars by session and time, expected one of them"):
        mbo.bars(session="CMES", time="1d")
    with pytest.raises(UsageError, match="volume, dollar and session"):
        mbo.bars()
    rows = to_frame(batch_of([trade("2201-09-24T20:00:00Z", 10, 1)])).lazy()
    with pytest.raises(UsageError, match=r"session 'CMES': .* there are records of 2201-09-24"):
        MboNamespace(rows).bars(session="CMES").collect()
