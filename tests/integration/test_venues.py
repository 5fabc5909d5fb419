"""ITCH and LOBSTER files of a simulated day: the books of the market, and every command on them.

The rule: the truth is the market's own queues, and the bests after each event of its DBN records.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import batonics
from batonics.book.engine import BookEngine
from batonics.book.state import Status
from batonics.codec.session_day import midnight_ns
from batonics.model.errors import DataWarning, InputError, UsageError
from batonics.model.mbo import Flag, MboBatch, concat_batches, copy_batch, records_from_batch
from batonics.sim.market import Market
from batonics.sources.input_options import InputOptions
from batonics.sources.inputs import find_inputs
from batonics.sources.stream import MboStream
from tests.support import itch_files, lobster_files
from tests.support.command import error_line, run_in_process
from tests.support.engine_books import engine_orders
from tests.support.venue_orders import VenueOp, VenueOrders

DAY = date(2019, 1, 30)
MIDNIGHT_NS = midnight_ns(DAY)
ITCH_NAME = "01302019.NASDAQ_ITCH50"
LOBSTER_NAME = "AAPL_2019-01-30_34200000_57600000_message_10.csv"
RECORDS = 6_000

Orders = list[tuple[object, ...]]


class VenueDay:
    """A day of the simulated venue, and the market that it is of."""

    def __init__(self, instruments: int) -> None:
        self.market = Market(
            5,
            instruments,
            target_live_orders=150 * instruments,
            start_ns=MIDNIGHT_NS + 34_200 * 10**9,
            recoveries_per_million=0,
        )
        orders = VenueOrders(self.market)
        batches = list(self.market.batches(RECORDS))
        self.records = concat_batches(batches)
        self.ops: list[VenueOp] = [op for batch in batches for op in orders.ops(batch)]
        self.own_ids = orders.own

    def truth(self, number: int) -> Orders:
        """The orders of an instrument: side, price, id and size, as `engine_orders` has them."""
        book = self.market.truth(int(self.market.instrument_ids[number]))
        return [
            (side, level.price_1e9, order_id, size)
            for side, levels in enumerate((book["bids"], book["asks"]))
            for level in levels
            for order_id, size in level.orders
        ]


def read(*paths: Path, options: InputOptions = InputOptions()) -> tuple[MboStream, MboBatch]:  # noqa: B008 - constant
    stream = MboStream(paths, options)
    return stream, concat_batches([copy_batch(batch) for batch in stream.batches()])


def fold(batch: MboBatch) -> tuple[BookEngine, NDArray[np.int64]]:
    """The books of records, and the bests after each."""
    engine = BookEngine(bbo=True)
    return engine, engine.fold(batch).bbo.copy()


def orders_of(engine: BookEngine, number: int, own_ids: dict[int, int]) -> Orders:
    """The orders of the book of an instrument, with their ids in the market."""
    rows = [row for row in engine_orders(engine) if row[0] == (2, number)]
    return sorted_orders(
        [(side, price, own_ids[int(str(order))], size) for _, side, price, order, size in rows]
    )


def sorted_orders(orders: Orders) -> Orders:
    """The orders by level; those of one level stay in their queue."""
    return sorted(orders, key=lambda row: (int(str(row[0])), int(str(row[1]))))


def bests_of_events(bbo: NDArray[np.int64], rows: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = bbo[list(rows)].tolist()
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("venues")


@pytest.fixture(scope="module")
def day() -> VenueDay:
    return VenueDay(3)


@pytest.fixture(scope="module")
def itch(directory: Path, day: VenueDay) -> Path:
    path = directory / ITCH_NAME
    path.write_bytes(itch_files.write_day(day.ops, MIDNIGHT_NS))
    return path


@pytest.fixture(scope="module")
def stock() -> VenueDay:
    return VenueDay(1)


@pytest.fixture(scope="module")
def lobster(directory: Path, stock: VenueDay) -> Path:
    path = directory / LOBSTER_NAME
    path.write_bytes(lobster_files.write_day(stock.ops, MIDNIGHT_NS))
    return path


def last_rows(day: VenueDay, batch: MboBatch, first_message: int, messages: list[int]) -> list[int]:
    """The row of a batch at which each event of the market ends.

    `messages[n]` is the number of messages of operation n.
    """
    last_message: dict[int, int] = {}
    number = first_message
    for op, count in zip(day.ops, messages, strict=True):
        number += count
        last_message[op.event] = number
    row_of = {int(sequence): row for row, sequence in enumerate(batch.sequence.tolist())}
    return [row_of[last_message[event]] for event in sorted(last_message)]


def test_a_day_as_itch_has_the_books_of_the_market_after_every_event(
    itch: Path, day: VenueDay
) -> None:
    stream, batch = read(itch)
    engine, bbo = fold(batch)
    _, own_bbo = fold(day.records)
    for number in range(3):
        truth = sorted_orders(day.truth(number))
        assert len(truth) > 50
        assert orders_of(engine, number + 1, day.own_ids) == truth
    assert set(engine.statuses()) == {Status.SYNCED}
    ends = np.flatnonzero(day.records.flags & Flag.LAST).tolist()
    first = len(itch_files.opening())
    rows = last_rows(day, batch, first, [1] * len(day.ops))
    assert len(rows) == len(ends) > 1_000
    assert bests_of_events(bbo, rows) == bests_of_events(own_bbo, ends)
    names = [stream.symbols.symbol(at, MIDNIGHT_NS) for at in (1, 2, 3)]
    assert names == list(itch_files.SYMBOLS)


def test_a_day_as_lobster_has_the_book_of_the_market_after_every_event(
    lobster: Path, stock: VenueDay
) -> None:
    with pytest.warns(
        DataWarning, match="nothing of orders outside its levels: its books are stale"
    ):
        stream, batch = read(lobster)
    engine, bbo = fold(batch)
    _, own_bbo = fold(stock.records)
    assert orders_of(engine, 1, stock.own_ids) == sorted_orders(stock.truth(0))
    assert engine.statuses() == [Status.STALE]
    ends = np.flatnonzero(stock.records.flags & Flag.LAST).tolist()
    rows = last_rows(stock, batch, 0, [2 if op.kind == "replace" else 1 for op in stock.ops])
    assert bests_of_events(bbo, rows) == bests_of_events(own_bbo, ends)
    assert stream.symbols.symbol(1, MIDNIGHT_NS) == "AAPL"


def test_a_book_of_limited_levels_holds_orders_that_are_gone(
    directory: Path, stock: VenueDay
) -> None:
    """Rule L8: it is no lower bound, so `cold` would be wrong."""
    best = {"B": 0, "S": 2**32}
    for op in stock.ops:
        if op.kind == "execute":
            best[op.side] = op.price_1e4
    near = [op for op in stock.ops if abs(op.price_1e4 - best["B"]) < 3_000]
    kept = {op.order for op in near if op.kind == "add"}
    gone_far = [op for op in near if op.kind != "delete" or op.order % 3]
    lines = [
        line
        for op in gone_far
        if op.kind in ("add", "delete") and op.order in kept
        for line in lobster_files.order_lines(op, MIDNIGHT_NS)
    ]
    path = directory / "AAPL_2019-01-30_34200000_57600000_message_1.csv"
    path.write_bytes(b"".join(lines))
    with pytest.warns(DataWarning, match="its books are stale"):
        _, batch = read(path)
    engine, _ = fold(batch)
    held = {int(str(row[3])) for row in engine_orders(engine)}
    assert held - set(stock.own_ids)
    assert engine.statuses() == [Status.STALE]


@pytest.mark.parametrize("name", ["S013019-v50.txt.gz", "itch.bin"])
def test_a_file_in_gzip_or_of_another_name_has_the_same_records(
    itch: Path, directory: Path, name: str
) -> None:
    data = itch.read_bytes()
    path = directory / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    options = InputOptions(session_date=DAY)
    _, own = read(itch)
    _, found = read(path, options=options)
    assert records_from_batch(found).tobytes() == records_from_batch(own).tobytes()


def test_every_command_reads_them(itch: Path, lobster: Path, directory: Path) -> None:
    for path in (itch, lobster):
        for command in (
            ("inspect", path),
            ("verify", path),
            ("reconstruct", path, "--out", directory / "books.json", "--orders"),
            ("reconstruct", path, "--snapshots", directory / "depth.parquet", "--every", "1s"),
            ("convert", path, "--schema", "mbo", "--out", directory / f"{path.stem}.dbn"),
            ("lake", "load", path, "--lake", directory / path.stem, "--schemas", "mbp-1,trades"),
            ("fill", path, "--symbols", "AAPL", "--side", "buy", "--price", "1", "--size", "1",
             "--at", "2019-01-30T14:30:01Z"),
        ):  # fmt: skip
            done = run_in_process(*command)
            assert done.code == 0, (command, done.err)
    query = "SELECT DISTINCT symbol FROM trades ORDER BY symbol"
    done = run_in_process("query", query, "--lake", directory / itch.stem, "--format", "csv")
    assert done.out.decode().split() == ["symbol", *sorted(itch_files.SYMBOLS)]


def test_python_reads_them_too(itch: Path, directory: Path) -> None:
    path = directory / "python.bin"
    path.write_bytes(itch.read_bytes())
    frames = [
        batonics.scan_mbo(path, session_date=session).collect() for session in (DAY, "2019-01-30")
    ]
    assert frames[0].equals(frames[1])
    trades = frames[0].filter(pl.col("action") == "T")
    assert trades["symbol"].unique().sort().to_list() == sorted(itch_files.SYMBOLS)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.bin", [], "is ITCH, which has no date: give it with --session-date 2019-01-30"),
        (ITCH_NAME, ["--session-date", "2019-01-31"], "its name says 2019-01-30, but the session"),
        (ITCH_NAME, ["--session-date", "30.1.2019"], "not a day: '30.1.2019' (expected such as"),
        ("a.csv", [], "is a LOBSTER message file, which has no ticker and no date: name it as"),
    ],
)
def test_a_day_that_is_not_known_is_one_line(
    itch: Path, lobster: Path, tmp_path: Path, name: str, options: list[str], words: str
) -> None:
    path = tmp_path / name
    path.write_bytes((lobster if name.endswith(".csv") else itch).read_bytes())
    done = run_in_process("reconstruct", path, "--out", tmp_path / "out.json", *options)
    assert words in error_line(done, 2 if "not a day" in words else 3)
    assert not (tmp_path / "out.json").exists()


def test_a_file_without_its_end_is_read_with_a_warning(itch: Path, tmp_path: Path) -> None:
    path = tmp_path / ITCH_NAME
    path.write_bytes(itch.read_bytes()[:-14])
    with pytest.warns(DataWarning, match="it ends without End of Messages"):
        read(path)
    path.write_bytes(itch.read_bytes()[:-15])
    with pytest.raises(InputError, match="the stream ends after 13 bytes of a message"):
        read(path)


def test_instruments_that_could_be_confused_are_refused(
    itch: Path, lobster: Path, tmp_path: Path
) -> None:
    other = tmp_path / "20190130.BX_ITCH_50"
    other.write_bytes(itch.read_bytes())
    with pytest.raises(UsageError, match="ITCH of two venues in one stream"):
        read(itch, other)
    with pytest.raises(UsageError, match="LOBSTER and other files in one stream"):
        read(itch, lobster)


def test_days_of_lobster_are_one_instrument_and_stocks_are_several(
    lobster: Path, tmp_path: Path
) -> None:
    names = [
        "AAPL_2019-01-30_34200000_57600000_message_10.csv",
        "AAPL_2019-01-31_34200000_57600000_message_10.csv",
        "MSFT_2019-01-30_34200000_57600000_message_10.csv",
    ]
    lines = lobster.read_bytes() + lobster_files.line(50_000 * 10**9, 7, 0, 0, -1, -1)
    for name in names:
        (tmp_path / name).write_bytes(lines)
    with pytest.warns(DataWarning, match="its books are stale"):
        stream, batch = read(*(tmp_path / name for name in names))
    assert sorted(np.unique(batch.instrument_id).tolist()) == [1, 2]
    found = {change.instrument_id for change in stream.statuses.all()}
    assert found == {1, 2}
    assert {stream.symbols.symbol(at, MIDNIGHT_NS) for at in (1, 2)} == {"AAPL", "MSFT"}


def test_days_of_itch_in_a_directory_are_one_stream(
    itch: Path, lobster: Path, tmp_path: Path
) -> None:
    days = tmp_path / "itch"
    days.mkdir()
    (days / ITCH_NAME).write_bytes(itch.read_bytes())
    (days / "01312019.NASDAQ_ITCH50.gz").write_bytes(gzip.compress(itch.read_bytes()))
    stream, batch = read(*(Path(one) for one in find_inputs(days)))
    _, first = read(itch)
    rows = len(first.action)
    assert len(batch.action) == 2 * rows
    assert (batch.ts_recv[rows:] - first.ts_recv == 86_400 * 10**9).all()
    assert len(stream.files) == 2
    # Locates are numbered anew each day: names hold on their day.
    for ts_ns in (MIDNIGHT_NS, MIDNIGHT_NS + 86_400 * 10**9):
        names = [stream.symbols.symbol(int(at), ts_ns) for at in np.unique(batch.instrument_id)]
        assert None not in names
        assert len(set(names)) == len(names)
    engine, _ = fold(first)
    both = BookEngine(bbo=True)
    for part in MboStream(find_inputs(days)).batches():
        both.fold(part)
    assert sorted(engine_orders(both)) == sorted(engine_orders(engine))

    books = tmp_path / "lobster"
    books.mkdir()
    (books / LOBSTER_NAME).write_bytes(lobster.read_bytes())
    (books / LOBSTER_NAME.replace("message", "orderbook")).write_bytes(b"1,2,3,4\n")
    with pytest.warns(DataWarning, match="left out, .*orderbook"):
        assert [Path(one).name for one in find_inputs(books)] == [LOBSTER_NAME]
