"""Orders that live over a snapshot: their lives, their places, and simulated fills behind them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import batonics
from batonics.frames.orders.fill_simulation import would_fill
from batonics.model.mbo import UNDEF_PRICE, MboBatch
from tests.support.fill_checks import check_fills_over_snapshots, scan
from tests.support.order_checks import check_order_lives_over_snapshots, cut, lives, positions
from tests.support.reference_books import Record
from tests.support.streams import START_NS, batch_of, in_time

LAST, SNAPSHOT, TOB = 128, 32, 64
STEP_NS = 1_000


def rec(
    action: str, order_id: int, price: int = 10, size: int = 5, *, side: str = "B", flags: int = 0
) -> Record:
    code, side_code = ord(action), ord("N" if action == "R" else side)
    price = UNDEF_PRICE if action == "R" else price
    return Record(STEP_NS, 0, 1, 100, code, side_code, price, size, 0, order_id, flags, 0, 0)


def add(order_id: int, price: int = 10, size: int = 5, *, side: str = "B") -> Record:
    return rec("A", order_id, price, size, side=side, flags=LAST)


def snapshot(*rows: Record, clear: bool = True, closed: bool = True) -> list[Record]:
    """Rows as a snapshot, with or without its R and its closing record."""
    found = [rec("R", 0, 0, 0)] * clear + [row._replace(flags=0) for row in rows]
    flagged = [row._replace(flags=SNAPSHOT) for row in found]
    if closed:
        flagged[-1] = flagged[-1]._replace(flags=SNAPSHOT | LAST)
    return flagged


BOOK = (add(1), add(2, 10, 7), add(3, 10, 1), add(4, 12, 2, side="A"))


def made(*rows: Record) -> pl.DataFrame:
    return lives(batch_of(in_time(rows))).sort("order_id")


def placed(*rows: Record, after: int = 2, price: int = 10) -> dict[str, object]:
    """The fate of a buy of 4 that enters after the first so many records."""
    at_ns = START_NS + after * STEP_NS
    result = would_fill(scan(batch_of(in_time(rows))), "B", price, 4, at_ns)
    names = ("ahead_size", "ahead_filled", "ahead_cancelled", "ahead_lost", "filled", "end")
    return {name: getattr(result, name) for name in names}


# ---------------------------------------------------------------------- against the reference


@pytest.mark.parametrize("seed", range(1, 7))
def test_lives_over_snapshots_are_those_of_the_reference(seed: int) -> None:
    check_order_lives_over_snapshots(seed)


def test_fills_over_snapshots_are_those_of_the_reference() -> None:
    met = {what for seed in range(12) for what in check_fills_over_snapshots(seed)}
    assert met == {"filled", "open", "cleared", "lost"}


def test_lives_of_a_real_day_are_not_split_by_its_snapshot(esh4: MboBatch) -> None:
    found = lives(esh4)
    # The first day's file has a snapshot alone; the second opens with the same 8,725 orders.
    assert found.height == 37_941 - 8_725
    assert found.filter(pl.col("end") == "cleared").is_empty()
    assert found["left_censored"].sum() == 8_725


# ---------------------------------------------------------------------- cases


@pytest.fixture
def days(cases: Path) -> list[Path]:
    return [cases / "snapshot_day_1.dbn", cases / "snapshot_day_2.dbn"]


def test_two_days_have_one_life_for_each_order(days: list[Path]) -> None:
    found = batonics.scan_mbo(days).mbo.orders().collect().sort("order_id")  # type: ignore[attr-defined]
    assert found["order_id"].to_list() == [1, 2, 3, 4]
    assert found["end"].to_list() == ["cancelled", "filled", "alive", "alive"]
    assert found["modifies"].to_list() == [0, 0, 0, 0]
    assert not found["left_censored"].any()
    assert found["ts_recv_start"].dt.date().n_unique() == 1


def test_an_order_of_the_first_day_is_still_behind_the_same_orders_on_the_second(
    days: list[Path],
) -> None:
    events = batonics.scan_mbo(days)
    first_ns = events.select(pl.col("ts_recv").min().to_physical()).collect().item()
    result = would_fill(events, "B", 10 * 10**9, 1, first_ns + 2_500_000_000)
    assert (result.ahead_orders, result.ahead_size) == (2, 12)
    assert (result.ahead_filled, result.ahead_cancelled, result.ahead_lost) == (7, 5, 0)
    assert (result.ahead_left, result.filled, result.end) == (0, 0, "open")


def test_a_second_day_that_is_only_its_snapshot_splits_no_life(days: list[Path]) -> None:
    events = batonics.scan_mbo(days).collect()
    opening = events.with_row_index().filter(pl.col("flags") & SNAPSHOT != 0)["index"].to_list()
    found = events.head(opening[-1] + 1).lazy().mbo.orders().collect()  # type: ignore[attr-defined]
    assert found["end"].to_list() == ["alive"] * 4


# ---------------------------------------------------------------------- lives


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_a_snapshot_of_the_same_orders_changes_nothing(clear: bool, closed: bool) -> None:
    rows = [*BOOK, *snapshot(*BOOK, clear=clear, closed=closed), add(9, 8)]
    without = made(*BOOK, add(9, 8))
    columns = pl.exclude("ts_start", "ts_recv_start", "ts_end", "ts_recv_end")
    assert made(*rows).select(columns).equals(without.select(columns))
    before, *after = positions(batch_of(in_time(rows)), 3).rows(named=True)
    assert not after
    assert (before["ahead_orders"], before["ahead_size"]) == (2, 12)


def test_an_order_that_a_snapshot_does_not_have_ends_at_its_first_record() -> None:
    rows = in_time([*BOOK, *snapshot(BOOK[0], BOOK[2], BOOK[3]), add(9)])
    found = lives(batch_of(rows)).sort("order_id")
    assert found["end"].to_list() == ["alive", "cleared", "alive", "alive", "alive"]
    gone = found.row(1, named=True)
    assert gone["ts_recv_end"].timestamp() * 10**9 // 1_000 == rows[4].ts_recv // 1_000
    assert (gone["left"], gone["right_censored"]) == (7, True)
    assert found["left_censored"].to_list() == [False] * 5


def test_a_changed_price_or_size_is_a_modify_that_only_the_snapshot_knows() -> None:
    rows = [add(1), add(2), add(3), add(4)]
    changed = (add(1, 10, 2), add(3, 11, 5), add(4, 10, 9))
    found = made(*rows, *snapshot(changed[0], rows[1], *changed[1:]))
    columns = ("price_end", "added", "cancelled", "left", "modifies", "requeues")
    assert found.select(columns).rows() == [
        (10, 5, 3, 2, 1, 0),
        (10, 5, 0, 5, 0, 0),
        (11, 5, 0, 5, 1, 1),
        (10, 9, 0, 9, 1, 1),
    ]


def test_what_a_fill_had_taken_is_not_said_again_and_was_no_modify() -> None:
    filled = rec("F", 2, 10, 4)
    found = made(*BOOK, filled, *snapshot(BOOK[0], add(2, 10, 3), *BOOK[2:]), rec("C", 2, 10, 3))
    row = found.row(1, named=True)
    assert (row["filled"], row["cancelled"], row["modifies"], row["end"]) == (4, 3, 0, "cancelled")


def test_an_id_on_the_other_side_is_another_order() -> None:
    found = made(add(1), *snapshot(add(1, 12, side="A")))
    assert found["end"].to_list() == ["cleared", "alive"]
    assert found["left_censored"].to_list() == [False, True]


def test_a_plain_clear_or_an_empty_snapshot_ends_all() -> None:
    for clear in (rec("R", 0, flags=LAST), rec("R", 0, flags=SNAPSHOT | LAST)):
        found = made(add(1), clear, add(1))
        assert found["end"].to_list() == ["cleared", "alive"]


def test_a_snapshot_that_the_stream_cuts_off_leaves_the_rest_cleared() -> None:
    found = made(*BOOK, *snapshot(*BOOK[:2], closed=False))
    assert found["end"].to_list() == ["alive", "alive", "cleared", "cleared"]
    batch = batch_of(in_time([*BOOK, *snapshot(*BOOK)]))
    for rows in (1, 3):
        assert pl.concat(lives(piece) for piece in cut(batch, 0)).equals(lives(batch, rows))


def test_levels_are_in_the_order_of_the_snapshot() -> None:
    rows = [add(1), add(2), add(3), *snapshot(add(3), add(1), add(2))]
    last = positions(batch_of(in_time(rows)), 1).row(-1, named=True)
    assert (last["ahead_orders"], last["behind_orders"]) == (1, 1)
    assert made(*rows)["requeues"].to_list() == [0, 0, 0]


# ---------------------------------------------------------------------- fills


def test_an_order_stays_behind_those_that_a_snapshot_has_again() -> None:
    trade = (rec("F", 1), rec("C", 1, flags=LAST), rec("F", 2, 10, 7), rec("C", 2, 10, 7))
    reached = (rec("F", 3, 10, 1, flags=LAST),)
    assert placed(*BOOK, *snapshot(*BOOK), *trade, *reached) == {
        "ahead_size": 12,
        "ahead_filled": 12,
        "ahead_cancelled": 0,
        "ahead_lost": 0,
        "filled": 1,
        "end": "open",
    }


def test_what_a_snapshot_no_longer_has_ahead_is_lost() -> None:
    found = placed(*BOOK, *snapshot(add(2, 10, 6), *BOOK[2:]))
    assert (found["ahead_lost"], found["ahead_cancelled"], found["end"]) == (6, 0, "open")
    moved = placed(*BOOK, *snapshot(add(1, 9), *BOOK[1:]))
    assert (moved["ahead_lost"], moved["end"]) == (5, "open")


@pytest.mark.parametrize(
    "rows",
    [
        (BOOK[1], BOOK[0], *BOOK[2:]),
        (BOOK[0], add(9), *BOOK[1:]),
        (*BOOK[:3], add(9, 10, side="A")),
        (*BOOK[:3], add(4, 9, 2, side="A")),
        (add(9), add(8)),
    ],
    ids=["swapped", "a new order ahead", "crossed", "moved through", "another book"],
)
def test_a_snapshot_that_does_not_confirm_its_place_ends_it(rows: tuple[Record, ...]) -> None:
    assert placed(*BOOK, *snapshot(*rows), rec("F", 3, 10, 1, flags=LAST))["end"] == "cleared"


def test_orders_swapped_behind_it_or_elsewhere_do_not_end_it() -> None:
    deep = (*BOOK, add(5), add(6, 9), add(7, 9))
    swapped = (*BOOK[:2], add(5), BOOK[2], add(7, 9), add(6, 9), BOOK[3])
    found = placed(*deep, *snapshot(*swapped), rec("F", 3, 10, 1, flags=LAST))
    assert (found["ahead_lost"], found["filled"], found["end"]) == (0, 1, "open")


def test_an_unclosed_snapshot_before_its_entry_does_not_end_it() -> None:
    opening = snapshot(*BOOK, closed=False)
    found = placed(*opening, add(5), rec("F", 5, 10, 2, flags=LAST), after=len(opening))
    assert (found["ahead_size"], found["filled"], found["end"]) == (13, 2, "open")
