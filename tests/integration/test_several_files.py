"""Several files are one stream: names, days, statuses, and inputs of other forms.

The rule: a book that goes on over files is what one file of all its records would give.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

import batonics
from batonics.model.mbo import Action, Flag, Side
from batonics.model.times import NS_PER_DAY
from batonics.sources.stream import MboStream
from tests.support.command import error_line, reconstruct_books, run_in_process
from tests.support.dbn_files import (
    DAY_NS,
    SMALL,
    adds,
    encode,
    list_names,
    metadata,
    record,
)
from tests.support.ndjson_lines import NDJSON_1, NDJSON_2
from tests.support.real_files import ESH4_DAYS


def load(*arguments: str | Path) -> list[dict[str, Any]]:
    """The books of a command, with queues."""
    document: dict[str, list[dict[str, Any]]] = orjson.loads(
        reconstruct_books("--orders", *arguments)
    )
    return document["books"]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_many_files_are_read_with_few_open(tmp_path: Path) -> None:
    paths = []
    for day in range(30):
        data = metadata() + encode(adds(20, ts_recv=DAY_NS + day * NS_PER_DAY))
        paths.append(write(tmp_path / f"{day:02}.dbn", data))
    before = len(list_names(Path("/proc/self/fd")))
    stream = MboStream(paths)
    opened, rows = [], 0
    with closing(stream.batches()) as batches:
        for batch in batches:
            opened.append(len(list_names(Path("/proc/self/fd"))) - before)
            rows += len(batch.action)
    assert rows == 30 * 20
    assert max(opened) <= 2
    # The lists of names of a file that was read are forgotten; what they say is not.
    assert all(file.metadata and not file.metadata.mappings for file in stream.files)
    assert stream.symbols.symbol(1, DAY_NS) == "AAA"


def test_a_file_of_many_that_is_missing_is_named_before_any_is_read(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{day}.dbn", SMALL) for day in range(3)]
    paths[2].unlink()
    line = error_line(run_in_process("inspect", *paths), 3)
    assert line == f"{paths[2]}: cannot be opened: No such file or directory"


def test_the_second_day_after_the_first_is_the_second_day_alone(test_data: Path) -> None:
    first, second = (test_data / day for day in ESH4_DAYS)
    (alone,) = load(second)
    (both,) = load(first, second)
    (only_first,) = load(first)
    assert only_first["status"] == both["status"] == alone["status"] == "synced"
    # What is there when a snapshot comes is replaced by it, and counted.
    assert both["anomalies"].pop("snapshot_replaced") == 1
    assert alone["anomalies"].pop("snapshot_replaced") == 0
    assert not any(both["anomalies"].values())
    assert both.pop("events") == alone.pop("events") + only_first["events"]
    assert both == alone


def test_two_halves_of_a_day_are_the_day(tmp_path: Path) -> None:
    rows = adds(40)
    halves = [
        write(tmp_path / f"{number}.dbn", metadata() + encode(half))
        for number, half in enumerate((rows[:17], rows[17:]))
    ]
    whole = write(tmp_path / "whole.dbn", metadata() + encode(rows))
    assert reconstruct_books(*halves, "--orders") == reconstruct_books(whole, "--orders")
    # A fragment has no metadata: the names of the first file go on.
    fragment = write(tmp_path / "fragment.dbn", encode(rows[17:]))
    assert reconstruct_books(halves[0], fragment, "--orders") == reconstruct_books(
        whole, "--orders"
    )


def test_a_new_day_without_a_snapshot_is_cold(tmp_path: Path) -> None:
    clear = record(Action.CLEAR, side=Side.NONE, price=0, size=0, order_id=0)
    first = write(tmp_path / "1.dbn", metadata() + encode([clear, *adds(1)]))
    same_day = write(tmp_path / "2.dbn", metadata() + encode(adds(3, ts_recv=DAY_NS + 10**9)))
    next_day = write(tmp_path / "3.dbn", metadata() + encode(adds(3, ts_recv=DAY_NS + NS_PER_DAY)))
    assert [book["status"] for book in load(first)] == ["synced"]
    assert load(first, same_day)[0]["status"] == "synced"
    assert load(first, next_day)[0]["status"] == "cold"
    # The books stay as they are: good-till-cancelled orders are not gone overnight.
    assert load(first, next_day)[0]["bids"] == load(first, same_day)[0]["bids"]


def test_a_new_day_with_a_snapshot_is_synced(tmp_path: Path) -> None:
    flags = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    day = DAY_NS + NS_PER_DAY
    snapshot = [
        record(Action.ADD, order_id=50, size=5, flags=flags, ts_recv=day),
        record(Action.ADD, order_id=51, size=6, flags=flags | int(Flag.LAST), ts_recv=day),
    ]
    first = write(tmp_path / "1.dbn", metadata() + encode(adds(5)))
    second = write(tmp_path / "2.dbn", metadata() + encode(snapshot))
    book, other = load(first, second)
    assert (book["status"], other["status"]) == ("synced", "cold")
    (level,) = book["bids"]
    assert level["orders"] == [{"order_id": "50", "size": 5}, {"order_id": "51", "size": 6}]
    assert book["anomalies"]["snapshot_replaced"] == 1


@pytest.fixture
def two_openings(tmp_path: Path) -> tuple[Path, Path]:
    """A day that ends within a snapshot, and one that opens with another without R."""
    flags = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    paths = []
    for day in range(2):
        ts_recv = DAY_NS + day * NS_PER_DAY
        rows = [
            record(
                Action.ADD,
                order_id=10 * day + place,
                price=100 - place,
                size=day + 1,
                flags=flags,
                ts_recv=ts_recv,
                instrument_id=1 + place // 2,
            )
            for place in range(4)
        ]
        paths.append(write(tmp_path / f"{day}.dbn", metadata() + encode(rows)))
    return paths[0], paths[1]


def test_a_snapshot_that_a_day_leaves_open_ends_with_it(two_openings: tuple[Path, Path]) -> None:
    records = batonics.scan_mbo(list(two_openings))
    rows = records.mbo.mbp(2).collect()  # type: ignore[attr-defined]
    best = ["instrument_id", "bid_px_00", "bid_sz_00", "bid_px_01", "bid_sz_01", "ask_px_00"]
    one_book = (1, 100 * 10**9, 1, 99 * 10**9, 1, None)
    # The second day's snapshots are still open when the stream ends: no event of them is over.
    assert rows.select(best).rows() == [one_book, (2, 98 * 10**9, 1, 97 * 10**9, 1, None)]
    of_one = records.mbo.mbp(2).filter(pl.col("instrument_id") == 1)  # type: ignore[attr-defined]
    assert of_one.collect().select(best).rows() == [one_book]
    for every in ("1s", 1):
        windows = records.mbo.depth(2, every=every).collect()  # type: ignore[attr-defined]
        assert windows.select(best).rows() == rows.select(best).rows()
        assert windows["events"].to_list() == [1, 1]
    ends = records.mbo.bbo().collect()  # type: ignore[attr-defined]
    assert ends["bid_size"].to_list() == [1, 1]
    place = records.mbo.queue(1).collect()  # type: ignore[attr-defined]
    assert place["ahead_orders"].to_list() == [0]
    lives = records.mbo.orders().collect()  # type: ignore[attr-defined]
    assert lives["end"].to_list() == 4 * ["cleared"] + 4 * ["alive"]


def test_books_of_two_openings_hold_the_second(two_openings: tuple[Path, Path]) -> None:
    later = f"{DAY_NS + NS_PER_DAY}"
    for arguments in ((), ("--at", later), ("--symbols", "AAA,BBB")):
        for book in load(*two_openings, *arguments):
            assert [level["size"] for level in book["bids"]] == [2, 2]
            assert book["anomalies"]["snapshot_replaced"] == 1
    records = batonics.scan_mbo(list(two_openings))
    levels = records.mbo.book_at(later).collect()  # type: ignore[attr-defined]
    assert levels["size"].to_list() == 4 * [2]


def test_names_are_those_of_the_day(tmp_path: Path) -> None:
    first = write(tmp_path / "1.dbn", SMALL)
    other = {"CCC": 3}
    second = write(
        tmp_path / "2.dbn",
        metadata(other) + encode([record(Action.ADD, instrument_id=3, order_id=1)]),
    )
    assert [book["symbol"] for book in load(first, second)] == ["AAA", "BBB", "CCC"]
    assert [book["symbol"] for book in load(first, second, "--symbols", "CCC,AAA")] == [
        "AAA",
        "CCC",
    ]


def test_two_ndjson_files_share_their_symbols(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1", NDJSON_1), write(tmp_path / "2", NDJSON_2)
    whole = write(tmp_path / "whole", NDJSON_1 + NDJSON_2)
    assert reconstruct_books(first, second, "--orders") == reconstruct_books(whole, "--orders")
    found = {book["symbol"]: (book["bids"], book["asks"]) for book in load(first, second)}
    assert found == {
        "AAA": (
            [
                {
                    "price": "100",
                    "price_1e9": 100_000_000_000,
                    "size": 13,
                    "count": 2,
                    # A fill takes 4 and keeps the place; growing to 8 goes to the back.
                    "orders": [{"order_id": "2", "size": 5}, {"order_id": "1", "size": 8}],
                }
            ],
            [],
        ),
        "BBB": (
            [],
            [
                {
                    "price": "101.5",
                    "price_1e9": 101_500_000_000,
                    "size": 3,
                    "count": 1,
                    "orders": [{"order_id": "1", "size": 3}],
                }
            ],
        ),
        "CCC": ([], []),
    }


def test_ndjson_and_dbn_do_not_mix(tmp_path: Path) -> None:
    ndjson, dbn = write(tmp_path / "1", NDJSON_1), write(tmp_path / "2", SMALL)
    for paths in ((ndjson, dbn), (dbn, ndjson)):
        words = error_line(run_in_process("reconstruct", *paths), 2)
        assert words.startswith("NDJSON and DBN")


@pytest.mark.parametrize("name", ["test_data.mbo.v1.dbn.zst", "test_data.mbo.v2.dbn.zst"])
def test_older_versions_give_the_same_books(name: str, test_data: Path) -> None:
    directory = test_data / "dbn-versions"
    assert reconstruct_books(directory / name, "--orders") == reconstruct_books(
        directory / "test_data.mbo.v3.dbn.zst", "--orders"
    )


def test_a_live_stream_of_mixed_records_is_named_by_its_mappings(test_data: Path) -> None:
    path = test_data / "dbn-versions" / "live-mixed.v3.dbn.zst"
    (book,) = load(path)
    assert book["symbol"] == "ESZ4"
    report = orjson.loads(run_in_process("inspect", "--json", path).out)
    assert report["files"][0]["other_records"]["symbol_mapping"] == 20
    assert report["files"][0]["mbo_records"] == report["records"] == 5
