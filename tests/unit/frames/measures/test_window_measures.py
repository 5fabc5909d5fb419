"""Measures of windows and VPIN: by hand, and against a reference in plain Python."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.book_state import STATUS_TYPE
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.vpin import VPIN_SCHEMA, vpin_frames, vpin_source
from batonics.frames.measures.window_measures import (
    WINDOW_SCHEMA,
    window_frames,
    window_measures_source,
)
from batonics.model.errors import UsageError
from tests.support.mbp_rows import (
    CUTS,
    RAGGED,
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
from tests.support.reference_measures import clocks_and_series, ofi_of, signs, twice_mid
from tests.support.sweep import sample


def found(rows: list[Row], *columns: str, every: str = "10ns") -> list[tuple[object, ...]]:
    """The columns of windows; `ts` in nanoseconds."""
    frame = window_measures_source(frame_of(rows).lazy(), every).collect()
    return frame.with_columns(pl.col("ts").to_physical()).select(columns).rows()


def test_a_window_by_hand() -> None:
    rows = [
        state((10, 5), (12, 4), 10),
        state((10, 7), (12, 4), 11),  # e = 2
        trade("B", 12, 3, 10, 12, 12),
        trade("N", 11, 1, 10, 12, 12),  # at the mid, below the last price: sold
        trade("N", 11, 2, 10, 12, 13)._replace(size=None),
        state((10, 7), (14, 2), 20),  # e = 4
        state((10, 7), (14, 3), 21),  # e = -1
    ]
    sums = found(rows, "ts", "ofi", "signed_volume", "trades", "volume")
    assert sums == [(10, None, 0, 0, 0), (20, 6, 2, 3, 4), (30, -1, 0, 0, 0)]
    mids = found(rows, "mid_start", "mid_end", "mid_change")
    assert mids == [(None, 11.0, None), (11.0, 12.0, 1.0), (12.0, 12.0, 0.0)]


def test_kyles_lambda_by_hand() -> None:
    # Signed volumes 2, -1, 5 and changes of the mid 1, -0.5, 1.5: means 2 and 2/3;
    # slope = (0 * 1/3 + -3 * -7/6 + 3 * 5/6) / (0 + 9 + 9) = 6 / 18.
    rows = [
        trade("B", 12, 2, 10, 12, 1),
        state((10, 1), (14, 1), 2),
        trade("A", 10, 1, 10, 14, 3),
        state((9, 1), (14, 1), 4),
        trade("B", 14, 5, 9, 14, 5),
        state((12, 1), (14, 1), 6),
    ]
    assert found(rows, "kyle_lambda", "mid_end") == [(pytest.approx(1 / 3), 13.0)]


def test_kyles_lambda_is_null_without_two_different_volumes() -> None:
    one = [trade("B", 12, 2, 10, 12, 1), state((10, 1), (14, 1), 2)]
    assert found(one, "kyle_lambda") == [(None,)]
    again = [*one, trade("B", 14, 2, 10, 14, 3), state((12, 1), (14, 1), 4)]
    assert found(again, "kyle_lambda") == [(None,)]


def test_kyles_steps_end_with_their_window_and_series() -> None:
    first = [trade("B", 12, 2, 10, 12, 1), state((10, 1), (14, 1), 2)]
    second = [trade("A", 12, 1, 10, 14, 3), state((8, 1), (14, 1), 4)]
    slope = Fraction(1 - -1, 2 - -1)
    assert found([*first, *second], "kyle_lambda") == [(pytest.approx(float(slope)),)]
    cleared = [*first, clear(2), state((1, 1), (3, 1), 2), *second]
    assert found(cleared, "kyle_lambda") == [(None,)]
    late = [row._replace(ts_recv=15) for row in second]
    assert found([*first, *late], "kyle_lambda") == [(None,), (None,)]


def test_a_change_of_the_mid_is_null_where_the_book_was_cleared() -> None:
    rows = [
        state((10, 5), (12, 4), 10),
        clear(11),
        state((20, 5), (22, 4), 12),
        state((20, 5), (24, 4), 21),
    ]
    mids = found(rows, "mid_start", "mid_end", "mid_change")
    assert mids == [(None, 11.0, None), (11.0, 21.0, None), (21.0, 22.0, 1.0)]


def test_a_window_of_trades_alone_keeps_the_mid_and_has_no_ofi() -> None:
    rows = [state((10, 5), (12, 4), 10), trade("B", 12, 1, 10, 12, 11), trade("A", 9, 2, 8, 9, 19)]
    columns = ("ofi", "signed_volume", "mid_start", "mid_end", "mid_change")
    assert found(rows, *columns)[1] == (None, -1, 11.0, 11.0, 0.0)


def test_rows_before_a_books_first_time_are_in_its_first_window() -> None:
    untimed = [
        trade("B", 12, 1, 10, 12)._replace(ts_recv=None),
        state((10, 5), (12, 4))._replace(ts_recv=None),
    ]
    assert found([*untimed, state((10, 6), (12, 4), 7)], "ts", "trades", "ofi") == [(10, 1, 1)]
    assert found(untimed, "ts", "trades", "mid_end") == [(None, 1, 11.0)]
    far = state((10, 5), (12, 4), 2**63 - 2)
    assert found([far], "ts", "mid_end") == [(None, 11.0)]


def test_windows_are_closed_by_their_own_book() -> None:
    mine = [state((10, 5), (12, 4), ts) for ts in (5, 45)]
    other = [state((20, 5), (22, 4), ts)._replace(book=(2, 2)) for ts in (1, 11, 21)]
    rows = [mine[0], *other, mine[1]]
    columns = ("ts", "publisher_id")
    assert found(rows, *columns) == [(10, 2), (20, 2), (10, 1), (30, 2), (50, 1)]


Record = dict[str, object]


class Market(NamedTuple):
    """Rows, and what is known of each of them."""

    rows: list[Row]
    tags: list[tuple[int | None, int]]  # its time, and how often its book was cleared
    sign_of: list[int | None]
    left_out: list[bool]
    known: list[bool]  # whether its status is known

    def is_joined(self, first: int, last: int) -> bool:
        """Whether two rows of a book are of one series."""
        book = self.rows[first].book
        between = [n for n in range(first + 1, last + 1) if self.rows[n].book == book]
        gone = [n for n in between if self.left_out[n] and not self.rows[n].is_trade]
        is_same = self.left_out[first] == self.left_out[last]
        return is_same and not gone and self.tags[first][1] == self.tags[last][1]

    def mid(self, number: int) -> int | None:
        """Twice the mid of a row of an open market."""
        return None if self.left_out[number] else twice_mid(self.rows[number])

    def open_states(self, numbers: Iterable[int]) -> list[int]:
        """Those of these rows that are states of an open market."""
        return [n for n in numbers if not self.rows[n].is_trade and not self.left_out[n]]


def is_crossed(row: Row) -> bool:
    return bool(row.bids and row.asks and row.bids[0][0] >= row.asks[0][0])


def recomputed_windows(
    rows: list[Row],
    every_ns: int,
    include: Sequence[str] = (),
    statuses: Sequence[str | None] | None = None,
) -> pl.DataFrame:
    """Windows in plain Python, each computed from the list of its rows."""
    status_of = [None] * len(rows) if statuses is None else list(statuses)
    left_out = [
        (is_crossed(row) and "crossed" not in include)
        or (status not in {None, "trading"} and "closed" not in include)
        for row, status in zip(rows, status_of, strict=True)
    ]
    known = [status is not None for status in status_of]
    tags = clocks_and_series(rows)
    market = Market(rows, tags, signs(rows), left_out, known)
    windows: list[tuple[int | None, list[int]]] = []
    latest: dict[tuple[int, int], int] = {}
    closed: list[int] = []
    for number, row in enumerate(rows):
        clock = tags[number][0]
        label = None if clock is None else -(-clock // every_ns) * every_ns
        window = latest.get(row.book)
        if window is not None and windows[window][0] in {None, label}:
            windows[window] = label, [*windows[window][1], number]
            continue
        if window is not None:
            closed.append(window)
        latest[row.book] = len(windows)
        windows.append((label, [number]))
    closed += sorted(latest.values(), key=lambda window: windows[window][1][0])
    records = [_window(market, *windows[window]) for window in closed]
    return pl.DataFrame(records, schema=WINDOW_SCHEMA)


def _window(market: Market, label: int | None, numbers: list[int]) -> Record:
    rows = market.rows
    book = rows[numbers[0]].book
    before = [n for n in range(numbers[0]) if rows[n].book == book]
    history = before + numbers
    flows = [
        ofi_of(rows[n], _state_before(market, history, n), 0) for n in market.open_states(numbers)
    ]
    known_flows = [e for e in flows if e is not None]
    trades = [n for n in numbers if rows[n].is_trade]
    start, end = _last_mid(market, before), _last_mid(market, history)
    is_one = bool(before) and market.is_joined(before[-1], numbers[-1])
    return {
        "ts": label,
        "publisher_id": book[0],
        "instrument_id": book[1],
        "ofi": sum(known_flows) if known_flows else None,
        "signed_volume": sum((rows[n].size or 0) * (market.sign_of[n] or 0) for n in trades),
        "trades": len(trades),
        "volume": sum(rows[n].size or 0 for n in trades),
        "mid_start": None if start is None else start / 2,
        "mid_end": None if end is None else end / 2,
        "mid_change": (end - start) / 2
        if is_one and start is not None and end is not None
        else None,
        "kyle_lambda": _slope(_steps(market, trades, (numbers[-1], end))),
        "left_out": sum(market.left_out[n] and not rows[n].is_trade for n in numbers),
        "sessions_known": all(market.known[n] for n in numbers),
    }


def _state_before(market: Market, history: list[int], number: int) -> Row | None:
    states = market.open_states(n for n in history if n < number)
    is_joined = bool(states) and market.is_joined(states[-1], number)
    return market.rows[states[-1]] if is_joined else None


def _last_mid(market: Market, numbers: list[int]) -> int | None:
    states = market.open_states(numbers)
    return twice_mid(market.rows[states[-1]]) if states else None


def _steps(
    market: Market, trades: list[int], end: tuple[int, int | None]
) -> list[tuple[int, Fraction]]:
    """Signed volume and change of the mid, from each trade to the next or to the end."""
    ends = [*((n, market.mid(n)) for n in trades[1:]), end]
    steps = []
    for n, (until, mid_after) in zip(trades, ends, strict=False):
        mid, sign, size = market.mid(n), market.sign_of[n], market.rows[n].size
        if None in {mid, sign, size, mid_after} or not market.is_joined(n, until):
            continue
        assert mid is not None
        assert mid_after is not None
        assert sign is not None
        assert size is not None
        steps.append((sign * size, Fraction(mid_after - mid, 2)))
    return steps


def _slope(steps: Sequence[tuple[int, Fraction]]) -> float | None:
    if not steps:
        return None
    mean_x = Fraction(sum(x for x, _ in steps), len(steps))
    mean_y = sum((y for _, y in steps), Fraction(0)) / len(steps)
    spread = sum(((x - mean_x) ** 2 for x, _ in steps), Fraction(0))
    product = sum(((x - mean_x) * (y - mean_y) for x, y in steps), Fraction(0))
    return float(product / spread) if spread else None


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert_frame_equal(left, right, check_exact=False, rel_tol=1e-13, abs_tol=0)


INCLUDES = [(), ("crossed",), ("closed",), ("crossed", "closed")]


CASES = sample(
    product([1, 64, RAGGED], [10, 2**60], INCLUDES), share=0.2, kind=lambda case: case[:2]
)


@pytest.mark.sweep
@pytest.mark.parametrize(("rows", "every_ns", "include"), CASES)
def test_windows_equal_a_recomputation_however_the_stream_is_cut(
    rows: int, every_ns: int, include: tuple[str, ...]
) -> None:
    seed = INCLUDES.index(include)
    market = random_rows(seed, 60 if rows == 1 else 350)
    found = pl.concat(window_frames(cut(frame_of(market), rows), every_ns, include))
    expected = recomputed_windows(market, every_ns, include)
    assert_same(found, expected)
    assert rows == 1 or expected["kyle_lambda"].count() > 0
    assert (expected["left_out"].sum() > 0) is ("crossed" not in include)


@pytest.mark.parametrize("rows", [7, 400])
@pytest.mark.parametrize("include", INCLUDES)
def test_windows_of_a_market_with_statuses_equal_a_recomputation(
    include: tuple[str, ...], rows: int
) -> None:
    market = random_rows(11, 300)
    rng = random.Random(rows)
    statuses = rng.choices(["trading", "halt", None], [8, 1, 1], k=len(market))
    frame = frame_of(market).with_columns(status=pl.Series(statuses, dtype=STATUS_TYPE))
    found = pl.concat(window_frames(cut(frame, rows), 100, include))
    expected = recomputed_windows(market, 100, include, statuses)
    assert_same(found, expected)
    assert expected["sessions_known"].n_unique() == 2


def test_windows_leave_out_states_of_a_market_that_is_not_open() -> None:
    rows = [
        state((10, 5), (12, 4), 1),
        state((10, 8), (12, 4), 2),  # e = 3
        state((13, 5), (12, 4), 3),  # crossed
        state((10, 5), (12, 4), 4),  # a new series: nothing before it
        state((10, 6), (12, 4), 5),  # e = 1
        trade("B", 12, 7, 13, 12, 6),  # counts, whatever book it met
        state((12, 1), (12, 4), 11),  # locked
    ]
    columns = ("ofi", "volume", "mid_end", "mid_change", "left_out", "sessions_known")
    assert found(rows, *columns) == [
        (4, 7, 11.0, None, 1, False),
        (None, 0, 11.0, None, 1, False),
    ]
    source = window_measures_source(frame_of(rows).lazy(), "10ns", include=("crossed",))
    assert source.select("ofi", "left_out").collect().rows() == [(4, 0), (1, 0)]


def test_a_warning_says_that_sessions_are_unknown() -> None:
    rows = frame_of([state((10, 1), (12, 1), 1), state((10, 2), (12, 1), 2)])
    for status, include, expected in (
        ([None, None], (), [False]),
        (["trading", None], (), [False]),
        (["trading", "trading"], (), []),
        ([None, None], ("closed",), []),
    ):
        frame = rows.with_columns(status=pl.Series(status, dtype=STATUS_TYPE)).lazy()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = window_measures_source(frame, "10ns", include=include).collect()
        assert [known["sessions_known"].all() for _ in caught] == expected
        assert all("sessions_known is false: no status" in str(one.message) for one in caught)


def test_windows_equal_a_recomputation_on_a_real_day(test_data: Path) -> None:
    day = vendor_rows(test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet")
    found = window_measures_source(day.lazy(), "10s").collect()
    assert_same(found, recomputed_windows(rows_of(day, 1), 10 * 10**9))
    assert found["volume"].sum() == day.filter(action="T")["size"].sum()


def test_how_a_stream_is_cut_shows_in_no_bit_of_lambda() -> None:
    frame = frame_of(random_rows(4, 600))
    whole = pl.concat(window_frames([frame], 1_000))
    assert_frame_equal(pl.concat(window_frames(cut(frame, 9), 1_000)), whole, check_exact=True)


def buckets(rows: list[Row], volume: int, n: int) -> list[tuple[object, ...]]:
    frame = vpin_source(frame_of(rows).lazy(), bucket_volume=volume, n=n).collect()
    return frame.select(
        "sequence", "bucket", "buy_volume", "sell_volume", pl.col("vpin").round(12)
    ).rows()


def test_vpin_by_hand() -> None:
    # Buckets of 10: 7 bought and 3 sold; 4 sold and 6 bought; 10 bought; 5 bought wait.
    rows = [trade("B", 12, 7, 10, 12), trade("A", 10, 7, 10, 12), trade("B", 12, 21, 10, 12)]
    assert buckets(rows, 10, 2) == [
        (1, 0, 7, 3, None),
        (2, 1, 6, 4, (4 + 2) / 20),
        (2, 2, 10, 0, (2 + 10) / 20),
    ]


def test_trades_without_a_sign_are_in_no_bucket() -> None:
    unsigned = trade("N", 11, 100, 10, 12)
    assert buckets([unsigned, trade("B", 12, 5, 10, 12)], 5, 1) == [(1, 0, 5, 0, 1.0)]


def test_a_cleared_book_ends_no_bucket() -> None:
    rows = [trade("B", 12, 3, 10, 12), clear(), trade("A", 12, 2, 10, 12)]
    assert buckets(rows, 5, 1) == [(2, 0, 3, 2, 0.2)]


def recomputed_vpin(rows: list[Row], volume: int, n: int) -> pl.DataFrame:
    """Buckets in plain Python, unit by unit of volume."""
    filled: dict[tuple[int, int], list[int]] = {}
    records: list[Record] = []
    for number, (row, sign) in enumerate(zip(rows, signs(rows), strict=True)):
        units = filled.setdefault(row.book, [])
        for _ in range(row.size or 0 if sign else 0):
            units.append(sign or 0)
            if len(units) % volume:
                continue
            gaps = [abs(sum(units[at : at + volume])) for at in range(0, len(units), volume)]
            last = units[-volume:]
            records.append(
                {
                    "ts_event": number,
                    "ts_recv": row.ts_recv,
                    "sequence": number,
                    "publisher_id": row.book[0],
                    "instrument_id": row.book[1],
                    "bucket": len(gaps) - 1,
                    "buy_volume": last.count(1),
                    "sell_volume": last.count(-1),
                    "vpin": sum(gaps[-n:]) / (n * volume) if len(gaps) >= n else None,
                }
            )
    return pl.DataFrame(records, schema=VPIN_SCHEMA)


@pytest.mark.parametrize("rows", CUTS)
@pytest.mark.parametrize(("volume", "n"), [(1, 1), (3, 4), (7, 2), (40, 2)])
def test_vpin_equals_a_recomputation_however_the_stream_is_cut(
    volume: int, n: int, rows: int
) -> None:
    market = random_rows(3, 60 if rows == 1 else 400)
    found = pl.concat(vpin_frames(cut(frame_of(market), rows), volume, n))
    expected = recomputed_vpin(market, volume, n)
    assert_same(found, expected)
    assert rows == 1 or expected["vpin"].count() > 3


def test_leaving_other_books_out_changes_nothing() -> None:
    frame = frame_of(random_rows(6, 500))
    mine = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 7)
    windows = pl.concat(window_frames([frame], 100)).filter(mine)
    assert_frame_equal(
        window_measures_source(frame.lazy(), "100ns").filter(mine).collect(), windows
    )
    vpin = pl.concat(vpin_frames([frame], 5, 3)).filter(mine)
    assert_frame_equal(vpin_source(frame.lazy(), bucket_volume=5, n=3).filter(mine).collect(), vpin)


def test_what_cannot_be_asked_for_is_refused() -> None:
    rows = pl.LazyFrame(schema=mbp_schema(1))
    for every in ("event", "0s"):
        with pytest.raises(UsageError, match="not a duration"):
            window_measures_source(rows, every)
    with pytest.raises(UsageError, match="include 'halted': expected crossed or closed"):
        window_measures_source(rows, "1s", include=("halted",))
    with pytest.raises(UsageError, match="column bid_sz_00 is missing"):
        window_measures_source(rows.drop("bid_sz_00"), "1s")
    for volume in (0, 2**33):
        with pytest.raises(UsageError, match="expected a volume from 1 to"):
            vpin_source(rows, bucket_volume=volume, n=1)
    with pytest.raises(UsageError, match="a mean over 0 buckets"):
        vpin_source(rows, bucket_volume=1, n=0)


def test_an_empty_stream_has_neither_windows_nor_buckets() -> None:
    rows = pl.LazyFrame(schema=mbp_schema(1))
    assert window_measures_source(rows, "1s").collect().schema == WINDOW_SCHEMA
    assert vpin_source(rows, bucket_volume=1, n=1).collect().schema == VPIN_SCHEMA
    assert list(window_frames([], 10)) == list(vpin_frames([], 1, 1)) == []
