"""Extra columns of derived frames: symbol, status of trading, crossed, status of the book."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import batonics
from batonics.frames.columns.book_state import EXTRA_SCHEMA
from batonics.frames.namespace import MboNamespace
from batonics.model.book_changes import TradingStatus
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import Action, Flag, Side
from tests.support.dbn_files import DAY_NS, STATUS_SCHEMA, encode, metadata, record, status_record

ALL = tuple(EXTRA_SCHEMA)

ORDERS = [
    record(Action.ADD, price=100, order_id=1, ts_recv=DAY_NS + 1),
    record(Action.ADD, price=102, order_id=2, side=Side.ASK, ts_recv=DAY_NS + 2),
    record(Action.ADD, price=103, order_id=3, ts_recv=DAY_NS + 3),  # crosses
    record(Action.CANCEL, price=103, order_id=3, ts_recv=DAY_NS + 4),
    record(Action.CLEAR, side=Side.NONE, ts_recv=DAY_NS + 5),
    record(Action.ADD, price=99, order_id=4, ts_recv=DAY_NS + 6),
    record(Action.TRADE, price=99, side=Side.ASK, ts_recv=DAY_NS + 7),
    record(Action.ADD, price=98, order_id=5, ts_recv=DAY_NS + 8,
           flags=Flag.LAST | Flag.MAYBE_BAD_BOOK),
]  # fmt: skip


STATUSES = (
    status_record(DAY_NS + 2, TradingStatus.PRE_OPEN, "N")
    + status_record(DAY_NS + 4, TradingStatus.TRADING, "Y")
    + status_record(DAY_NS + 5, TradingStatus.SSR_CHANGE)  # says nothing of trading
    + status_record(DAY_NS + 6, TradingStatus.HALT, "N", instrument_id=2)  # another instrument
    + status_record(DAY_NS + 7, TradingStatus.POST_CLOSE, "N")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "day.dbn"
    path.write_bytes(metadata() + encode(ORDERS))
    return path


@pytest.fixture
def status_file(tmp_path: Path) -> Path:
    path = tmp_path / "day.status.dbn"
    path.write_bytes(metadata(schema=STATUS_SCHEMA) + STATUSES)
    return path


def mbo(records: pl.LazyFrame) -> MboNamespace:
    """`records.mbo`, typed: a type checker does not see namespaces."""
    return MboNamespace(records)


def test_each_row_has_the_state_at_its_time(file: Path, status_file: Path) -> None:
    events = batonics.scan_mbo(file, statuses=status_file)
    rows = mbo(events).bbo(extra=ALL).collect()
    assert rows.select(ALL).rows() == [
        ("AAA", None, False, "cold"),
        ("AAA", "pre_open", False, "cold"),
        ("AAA", "pre_open", True, "cold"),
        ("AAA", "trading", False, "cold"),
        ("AAA", "trading", False, "synced"),
        ("AAA", "trading", False, "synced"),
        ("AAA", "post_close", False, "synced"),
        ("AAA", "post_close", False, "stale"),
    ]
    assert rows.schema == pl.Schema({**mbo(events).bbo().collect_schema(), **EXTRA_SCHEMA})


def test_status_records_among_the_orders_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recording.dbn"
    path.write_bytes(metadata() + encode(ORDERS[:2]) + STATUSES + encode(ORDERS[2:]))
    rows = mbo(batonics.scan_mbo(path)).trades(extra=["status"]).collect()
    assert rows["status"].to_list() == ["post_close"]


def test_a_session_stands_in_for_statuses(file: Path) -> None:
    day = batonics.scan_mbo(file, session="00:00-24:00 UTC mon-sun")
    assert set(mbo(day).bbo(extra=["status"]).collect()["status"]) == {"trading"}
    night = batonics.scan_mbo(file, session="01:00-02:00 UTC mon-sun")
    assert set(mbo(night).bbo(extra=["status"]).collect()["status"]) == {"close"}


FRAMES: dict[str, Callable[[MboNamespace, tuple[str, ...]], pl.LazyFrame]] = {
    "bbo": lambda frame, extra: frame.bbo(extra=extra),
    "bbo-1s": lambda frame, extra: frame.bbo(every="1s", extra=extra),
    "mbp": lambda frame, extra: frame.mbp(2, extra=extra),
    "consolidated": lambda frame, extra: frame.mbp(2, consolidated=True, extra=extra),
    "tbbo": lambda frame, extra: frame.tbbo(extra=extra),
    "depth": lambda frame, extra: frame.depth(2, extra=extra),
    "depth-fill": lambda frame, extra: frame.depth(2, every="1s", fill=True, extra=extra),
    "changes": lambda frame, extra: frame.depth(2, on_change=True, extra=extra),
    "measures": lambda frame, extra: frame.measures("mid", extra=extra),
    "trade_measures": lambda frame, extra: frame.trade_measures(tau="1s", extra=extra),
}
WITHOUT_QUOTES: dict[str, Callable[[MboNamespace, tuple[str, ...]], pl.LazyFrame]] = {
    "trades": lambda frame, extra: frame.trades(extra=extra),
    "ohlcv": lambda frame, extra: frame.ohlcv(extra=extra),
    "bars": lambda frame, extra: frame.bars(ticks=1, extra=extra),
    "window_measures": lambda frame, extra: frame.window_measures("1s", extra=extra),
}


@pytest.mark.parametrize("name", FRAMES | WITHOUT_QUOTES)
def test_no_row_is_dropped_and_no_other_column_changes(
    name: str, file: Path, status_file: Path
) -> None:
    events = mbo(batonics.scan_mbo(file, statuses=status_file))
    make = (FRAMES | WITHOUT_QUOTES)[name]
    extra = ALL if name in FRAMES else ("symbol", "status", "book_status")
    plain, rows = make(events, ()).collect(), make(events, extra).collect()
    assert plain.height > 0
    assert rows.drop(extra).equals(plain)
    assert rows.columns == [*plain.columns, *sorted(extra, key=rows.columns.index)]
    assert rows["symbol"].to_list() == ["AAA"] * plain.height
    one = make(events, extra).filter(pl.col("instrument_id") == 1).select("symbol").collect()
    assert one.height == plain.height
    assert make(events, extra).select("symbol").head(1).collect().height == 1


@pytest.mark.parametrize("name", WITHOUT_QUOTES)
def test_crossed_needs_quotes(name: str, file: Path) -> None:
    with pytest.raises(UsageError, match="no best bid and ask"):
        WITHOUT_QUOTES[name](mbo(batonics.scan_mbo(file)), ("crossed",))


def test_a_query_of_the_records_keeps_their_names(file: Path) -> None:
    some = batonics.scan_mbo(file).filter(pl.col("symbol") == "AAA")
    rows = mbo(some).bbo(extra=("symbol", "crossed", "book_status")).collect()
    assert set(rows["symbol"]) == {"AAA"}
    assert rows["book_status"].to_list()[-1] == "stale"
    with pytest.raises(UsageError, match="as they are"):
        mbo(some).bbo(extra=("status",))
    with pytest.raises(UsageError, match="no column symbol"):
        mbo(some.drop("symbol")).bbo(extra=("symbol",))


def test_unknown_columns_and_files_are_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="'colour' is unknown"):
        mbo(batonics.scan_mbo(file)).bbo(extra=("colour",))
    with pytest.raises(InputError, match="schema is mbo"):
        batonics.scan_mbo(file, statuses=file)
    with pytest.raises(UsageError, match="session"):
        batonics.scan_mbo(file, session="always")
