"""Measures of trades: by hand, and against a reference in plain Python."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import EVENT_COLUMNS
from batonics.frames.measures.trade_measures import (
    INPUT_COLUMNS,
    trade_frames,
    trade_measures_source,
    trade_schema,
)
from batonics.model.errors import UsageError
from batonics.model.mbo import Flag
from tests.support.mbp_rows import (
    CUTS,
    Row,
    clear,
    cut,
    frame_of,
    random_rows,
    rows_of,
    state,
    trade,
    vendor_rows,
)
from tests.support.reference_measures import clocks_and_series, signs, twice_mid


def found(rows: list[Row], column: str, tau: str | None = None) -> list[object]:
    return trade_measures_source(frame_of(rows).lazy(), tau=tau).collect()[column].to_list()


def test_a_trade_by_hand() -> None:
    # The mid is 10.5: 2 (11 - 10.5) = 1 for a buyer, -2 (8 - 10.5) = 5 for a seller.
    rows = [trade("B", 11, 3, 9, 12), trade("A", 8, 2, 9, 12), trade("B", 11, 4, 9, None)]
    assert found(rows, "sign") == [1, -1, 1]
    assert found(rows, "mid") == [10.5, 10.5, None]
    assert found(rows, "effective_spread") == [1, 5, None]
    assert found(rows, "signed_volume") == [3, -2, 4]


def test_a_trade_without_a_side_goes_by_the_quote() -> None:
    rows = [trade("N", 11, 3, 9, 12), trade("N", 10, 2, 9, 12)]
    assert found(rows, "sign") == [1, -1]
    assert found(rows, "effective_spread") == [1, 1]


def test_at_the_mid_or_without_one_it_goes_by_the_tick() -> None:
    rows = [
        trade("N", 10, 1, 8, 12),  # no price before
        trade("N", 10, 1, None, 12),
        trade("B", 11, 1, 10, 12),
        trade("N", 11, 1, 10, 12),  # up from 10
        trade("N", 11, 1, None, None),  # the last other price is still 10
        trade("N", 10, 1, None, None),
        trade("N", 10, 1, 9, 11),
    ]
    assert found(rows, "sign") == [None, None, 1, 1, 1, -1, -1]
    assert found(rows, "signed_volume") == [None, None, 1, 1, 1, -1, -1]


def test_the_tick_is_of_the_same_book_and_series() -> None:
    elsewhere = trade("N", 5, 1, None, None)._replace(book=(2, 2))
    rows = [trade("B", 9, 1, 8, 10), elsewhere, trade("N", 10, 1, None, None)]
    assert found(rows, "sign") == [1, None, 1]
    assert found([rows[0], clear(), rows[2]], "sign") == [1, None]


def test_a_trade_without_a_price_has_no_tick_and_leaves_none() -> None:
    unpriced = trade("N", 9, 1, 8, 10)._replace(price=None)
    rows = [trade("B", 9, 1, 8, 10), trade("B", 10, 1, 8, 12), unpriced, trade("N", 10, 1, 8, 12)]
    assert found(rows, "sign") == [1, 1, None, 1]


def test_a_realised_spread_by_hand() -> None:
    # 2 (11 - 10.5) = 1 against its own mid; 2 (11 - 13) = -4 against that at 5 + 10.
    rows = [
        state((9, 1), (12, 1), 1),
        trade("B", 11, 3, 9, 12, 5),
        state((10, 1), (12, 1), 14),
        state((12, 1), (14, 1), 15),
        state((20, 1), (24, 1), 16),
    ]
    assert found(rows, "effective_spread", "10ns") == [1]
    assert found(rows, "realised_spread", "10ns") == [-4]
    assert found(rows[:-1], "realised_spread", "10ns") == [None]
    assert found(rows, "realised_spread", "9ns") == [0]
    assert found(rows[:2] + rows[4:], "realised_spread", "10ns") == [1]


def test_a_realised_spread_is_null_if_the_series_restarts_or_a_side_empties() -> None:
    met, after = trade("B", 11, 3, 9, 12, 5), state((12, 1), (14, 1), 8)
    late = state((20, 1), (24, 1), 99)
    assert found([met, clear(7), after, late], "realised_spread", "10ns") == [None]
    assert found([met, Row("C", [(9, 1)], [], 8), late], "realised_spread", "10ns") == [None]
    assert found([clear(5), met, after, late], "realised_spread", "10ns") == [-4]


def test_time_never_runs_backwards_within_a_book() -> None:
    rows = [
        state((9, 1), (12, 1), 100),
        trade("B", 11, 3, 9, 12, 20),
        state((12, 1), (14, 1), 105),
        state((14, 1), (16, 1), 500)._replace(flags=int(Flag.BAD_TS_RECV)),
        state((16, 1), (18, 1), 111),
    ]
    assert found(rows, "realised_spread", "10ns") == [2 * (11 - 15)]


def test_a_trade_without_a_time_has_no_realised_spread() -> None:
    rows = [trade("B", 11, 3, 9, 12)._replace(ts_recv=None), state((9, 1), (12, 1), 50)]
    assert found(rows, "realised_spread", "10ns") == [None]
    far = trade("B", 11, 3, 9, 12, 2**63 - 5)
    assert found([far, state((9, 1), (12, 1), 2**63 - 1)], "realised_spread", "10ns") == [None]


def test_prices_of_the_whole_range_fit() -> None:
    most = 2**63 - 2
    rows = [trade("N", most, 1, -(2**63), most), trade("B", most - 3, 1, most - 4, most)]
    assert found(rows, "sign") == [1, 1]
    assert found(rows, "effective_spread") == [None, -2]


def recomputed(rows: list[Row], tau_ns: int | None) -> pl.DataFrame:
    """The measures of trades, in plain Python."""
    tags, sign_of = clocks_and_series(rows), signs(rows)
    records = []
    for number, row in enumerate(rows):
        if not row.is_trade:
            continue
        sign, mid = sign_of[number], twice_mid(row)
        record: dict[str, object] = {
            "ts_event": number,
            "ts_recv": row.ts_recv,
            "sequence": number,
            "publisher_id": row.book[0],
            "instrument_id": row.book[1],
            "price": row.price,
            "size": row.size,
            "side": row.side,
            "sign": sign,
            "mid": None if mid is None else mid / 2,
            "effective_spread": _spread(row, sign, mid),
            "signed_volume": None if sign is None or row.size is None else sign * row.size,
        }
        order = 0
        if tau_ns is not None:
            order, later = _later(rows, tags, number, tau_ns)
            record["realised_spread"] = _spread(row, sign, later)
        records.append((order, number, record))
    schema = trade_schema(realised=tau_ns is not None)
    return pl.DataFrame([record for *_, record in sorted(records, key=lambda r: r[:2])], schema)


def _spread(row: Row, sign: int | None, mid: int | None) -> int | None:
    if sign is None or row.price is None or mid is None:
        return None
    return sign * (2 * row.price - mid)


def _later(
    rows: list[Row], tags: list[tuple[int | None, int]], number: int, tau_ns: int
) -> tuple[int, int | None]:
    """The row that decides a trade's realised spread, and twice the mid at that row."""
    clock, series = tags[number]
    if clock is None:
        return number, None
    book, last = rows[number].book, None
    for other, row in enumerate(rows):
        if row.book != book:
            continue
        if (tags[other][0] or -1) > clock + tau_ns:
            same = last is not None and tags[last][1] == series
            return other, twice_mid(rows[last]) if same and last is not None else None
        if not row.is_trade:
            last = other
    return len(rows), None


@pytest.mark.parametrize("rows", CUTS)
@pytest.mark.parametrize("tau_ns", [None, 1, 50, 2**62])
@pytest.mark.parametrize("seed", range(2))
def test_they_equal_a_recomputation_however_the_stream_is_cut(
    seed: int, tau_ns: int | None, rows: int
) -> None:
    market = random_rows(seed, 60 if rows == 1 else 400)
    found = pl.concat(trade_frames(cut(frame_of(market), rows), tau_ns))
    expected = recomputed(market, tau_ns)
    assert_frame_equal(found, expected, check_exact=True)
    if rows != 1:
        assert expected["sign"].null_count() > 1
        assert tau_ns not in {1, 50} or expected["realised_spread"].count() > 4


@pytest.mark.parametrize("tau", [None, "1s"], ids=str)
def test_they_equal_a_recomputation_on_a_real_day(test_data: Path, tau: str | None) -> None:
    day = vendor_rows(test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet")
    found = trade_measures_source(day.lazy(), tau=tau).collect()
    expected = recomputed(rows_of(day, 1), None if tau is None else 10**9)
    stamps = ["ts_event", "sequence"]
    assert_frame_equal(found.drop(stamps), expected.drop(stamps), check_exact=True)
    assert found["effective_spread"].count() > 20


def test_leaving_other_books_out_changes_nothing() -> None:
    frame = frame_of(random_rows(6, 500))
    mine = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 7)
    among = pl.concat(trade_frames(iter([frame]), 50)).filter(mine)
    assert_frame_equal(
        trade_measures_source(frame.lazy(), tau="50ns").filter(mine).collect(), among
    )


def test_rows_of_a_book_that_goes_on_do_not_wait_for_one_that_is_silent() -> None:
    silent = trade("B", 11, 1, 9, 12, 1)._replace(book=(2, 2))
    rows = [silent, trade("B", 11, 2, 9, 12, 2), state((9, 1), (12, 1), 50)]
    assert found(rows, "size", "10ns") == [2, 1]


def test_the_schema_is_known_before_anything_runs() -> None:
    rows = pl.LazyFrame(schema=mbp_schema(10))
    for tau in (None, "1s"):
        source = trade_measures_source(rows, tau=tau)
        assert source.collect_schema() == trade_schema(realised=tau is not None)
        assert source.collect().height == 0
    assert list(trade_schema(realised=False))[: len(EVENT_COLUMNS)] == EVENT_COLUMNS


def test_what_cannot_be_asked_for_is_refused() -> None:
    rows = pl.LazyFrame(schema=mbp_schema(1))
    with pytest.raises(UsageError, match="not a duration"):
        trade_measures_source(rows, tau="soon")
    with pytest.raises(UsageError, match="at most 292 years"):
        trade_measures_source(rows, tau="200000d")
    with pytest.raises(UsageError, match="column side is missing"):
        trade_measures_source(rows.drop("side"))
    trade_measures_source(rows.select(INPUT_COLUMNS))
