"""The job of one hypothetical order: files, names and the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from databento_dbn import InstrumentDefMsg

import batonics
from batonics.codec.dbn import encode_records
from batonics.codec.metadata import SCHEMA_NAMES
from batonics.jobs.fill import FillRequest, FillSimulation
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_PRICE
from batonics.model.priority import explain_priority
from batonics.model.times import format_time, parse_time
from tests.support.dbn_files import metadata
from tests.support.reference_books import Record
from tests.support.streams import START_NS, batch_of, in_time

STEP_NS = 1_000
PRICE_1E9 = 40_250_000_000


def record(action: str, order_id: int, size: int, *, flags: int = 128, book: int = 100) -> Record:
    code = ord(action)
    return Record(STEP_NS, 0, 1, book, code, ord("B"), PRICE_1E9, size, 0, order_id, flags, 0, 0)


ROWS = [
    record("A", 1, 5),
    record("A", 9, 5, book=101),
    record("F", 1, 5, flags=0),
    record("C", 1, 5),
    record("A", 2, 2),
    record("F", 2, 2, flags=0),
    record("C", 2, 2),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "day.dbn"
    file.write_bytes(encode_records(batch_of(in_time(ROWS))))
    return str(file)


def request_of(path: str, symbol: str | None = "100") -> FillRequest:
    return FillRequest((path,), "B", PRICE_1E9, 3, START_NS + STEP_NS, symbol=symbol)


def test_a_report_says_what_became_of_the_order(path: str) -> None:
    told: list[int] = []
    simulation = FillSimulation(request_of(path))
    simulation.progress = lambda stream: told.append(stream.bytes_read)
    report = simulation.run()
    filled_at = START_NS + 6 * STEP_NS
    assert report == {
        "symbol": None,
        "publisher_id": 1,
        "instrument_id": 100,
        "side": "B",
        "price": "40.25",
        "size": 3,
        "at": format_time(START_NS + STEP_NS),
        "end": "open",
        "filled": 2,
        "marketable": 0,
        "ahead": {"orders": 1, "size": 5, "filled": 5, "cancelled": 0, "lost": 0, "left": 0},
        "priority": "unknown",
        "priority_reason": explain_priority(1),
        "fill_order": {"compared": 0, "out_of_order": 0},
        "fills": [
            {
                "ts_event": format_time(filled_at - 1_000),
                "ts_recv": format_time(filled_at),
                "price": "40.25",
                "size": 2,
                "by": "queue",
            }
        ],
        "data": {"from": format_time(START_NS + STEP_NS), "until": format_time(filled_at + 1_000)},
        "warnings": ["cold"],
    }
    assert told


def test_the_book_must_be_named_where_there_are_several(path: str) -> None:
    with pytest.raises(UsageError, match="several books match"):
        FillSimulation(request_of(path, symbol=None)).run()
    with pytest.raises(UsageError, match="no symbol 'CLX5' in the input"):
        FillSimulation(request_of(path, symbol="CLX5")).run()


def test_an_order_after_the_last_record_of_all_books_is_refused(test_data: Path) -> None:
    file = str(test_data / "clx5" / "CLX5_mbo.dbn")
    at_ns = parse_time("2025-09-25T20:00:00Z")  # 22 hours after the last record
    request = FillRequest((file,), "B", 65_000_000_000, 5, at_ns, symbol="CLX5")
    with pytest.raises(UsageError, match=r"after the last record: .* to 2025-09-24T21:59:59\.99"):
        FillSimulation(request).run()


def test_a_real_order_has_the_symbols_name(test_data: Path) -> None:
    file = str(test_data / "clx5" / "CLX5_mbo.dbn")
    price_1e9, at_ns = 64_830_000_000, 1_758_742_205_000_000_000
    report = FillSimulation(FillRequest((file,), "B", price_1e9, 20, at_ns, symbol="CLX5")).run()
    assert (report["symbol"], report["end"], report["marketable"]) == ("CLX5", "filled", 5)
    assert sum(fill["size"] for fill in report["fills"]) == report["filled"] == 20


def test_retail_priority_is_not_the_order_of_time(cases: Path) -> None:
    """EDGX: order 2 is retail, and stands ahead of order 1."""
    path = cases / "edgx_retail.dbn"
    at_ns = parse_time("2024-03-07T14:30:00Z") + 1
    report = FillSimulation(FillRequest((str(path),), "B", 10 * 10**9, 1, at_ns)).run()
    assert report["ahead"]["orders"] == 2
    assert report["priority"] == "unknown"
    assert "retail" in report["priority_reason"]
    events = batonics.scan_mbo(path)
    for frame in (events.mbo.orders(), events.mbo.queue(1)):  # type: ignore[attr-defined]
        assert frame.collect()["priority"].unique().to_list() == ["unknown"]


def definition_file(path: Path, **fields: object) -> str:
    row = np.zeros(1, InstrumentDefMsg._dtypes)
    row["length"], row["rtype"], row["instrument_id"] = row.dtype.itemsize // 4, 0x13, 100
    row["ts_recv"] = START_NS
    for name, value in fields.items():
        row[name] = value
    path.write_bytes(metadata(schema=SCHEMA_NAMES.index("definition")) + row.tobytes())
    return str(path)


@pytest.mark.parametrize(
    ("tick", "is_marked"), [(250_000_000, False), (200_000_000, True), (UNDEF_PRICE, False)]
)
def test_a_price_off_the_tick_of_the_definition_is_a_warning(
    path: str, tmp_path: Path, tick: int, is_marked: bool
) -> None:
    file = definition_file(tmp_path / "definitions.dbn", min_price_increment=tick)
    report = FillSimulation(replace(request_of(path), definitions=(file,))).run()
    assert ("off_tick" in report["warnings"]) == is_marked


@pytest.mark.parametrize(("algorithm", "priority"), [("F", "fifo"), ("K", "unknown")])
def test_a_definition_says_how_an_instrument_matches(
    path: str, tmp_path: Path, algorithm: str, priority: str
) -> None:
    file = definition_file(tmp_path / "definitions.dbn", match_algorithm=algorithm)
    request = replace(request_of(path), definitions=(file,))
    assert FillSimulation(request).run()["priority"] == priority
    orders = batonics.scan_mbo(path).mbo.orders()  # type: ignore[attr-defined]
    found = batonics.with_definitions(orders, file, time="ts_recv_start").collect()
    by_book = dict(found.select("instrument_id", "priority").iter_rows())
    assert by_book == {100: priority, 101: "unknown"}
