"""Every way to ask, and every state in which an answer is doubtful: it is marked, or refused.

The rule: a cell of the matrix is either asked here, or `NOT_ASKED` says why it cannot be. The
evidence of a cell is what the answer says of itself, not that it is right.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from structlog.testing import capture_logs

import batonics
from batonics.codec.messages import RTYPE_STATUS
from batonics.frames.namespace import MboNamespace
from batonics.jobs.replay import Replay, ReplayRequest
from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.model.book_changes import TradingStatus
from batonics.model.errors import UsageError
from batonics.model.mbo import Action, Flag, Side
from batonics.model.times import format_time
from batonics.server import payloads
from batonics.server.query_params import ProblemError, find_book
from batonics.server.replica import BookReplica
from batonics.server.subscription_requests import SubscriptionHandler
from batonics.settings.table import ServerLimits
from batonics.sinks import logs
from tests.support.command import CommandResult, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.fanout_harness import FanoutHarness
from tests.support.paths import ROOT
from tests.support.reference_books import Record
from tests.support.server_books import COLD, STALE, TICK, FakeBooks
from tests.support.symbol_rows import symbol_rows

BEFORE, AT, AFTER = (format_time(DAY_NS + seconds * 10**9) or "" for seconds in (-60, 3, 3_600))
UNKNOWN = "ZZZ"
STATES = {
    "before": r"before the first record|not after the first record|no rows? |start_is_before_data"
    r"|no event of the book is complete",
    "after": r"after_data|after the last record|no rows? |incomplete",
    "closed": r"\b(closed|halt)\b",
    "cold": r"\bcold\b",
    "stale": r"\bstale\b",
    "crossed": r"\bcrossed\b",
    "unknown": rf"no (symbol|book of) '{UNKNOWN}'|no book of this name|no row can meet",
}
"""What an answer in each state says of itself."""


def _rows(state: str) -> list[Record]:
    """The records of a file in a state; without one the book is beyond doubt."""
    stale = Flag.MAYBE_BAD_BOOK if state == "stale" else 0
    ask = 100 if state == "crossed" else 102
    bid = 101
    rows = [
        record(Action.CLEAR, side=Side.NONE, ts_recv=DAY_NS),
        record(Action.ADD, price=bid, order_id=1, ts_recv=DAY_NS + 10**9),
        record(Action.ADD, price=ask, order_id=2, side=Side.ASK, ts_recv=DAY_NS + 2 * 10**9),
        record(
            Action.ADD, price=bid, order_id=3, ts_recv=DAY_NS + 3 * 10**9, flags=Flag.LAST | stale
        ),
        record(Action.ADD, price=98, order_id=4, ts_recv=DAY_NS + 4 * 10**9 + 5),
    ]
    return rows[1:] if state == "cold" else rows


def _halt() -> bytes:
    head = struct.pack("<BBHIQ", 10, RTYPE_STATUS, 1, 1, DAY_NS)
    body = struct.pack("<QHHH", DAY_NS, TradingStatus.HALT, 0, 0) + b"N~~"
    return (head + body).ljust(40, b"\0")


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The DBN file in a state."""
    directory = tmp_path_factory.mktemp("states")

    @cache
    def make(state: str) -> Path:
        path = directory / f"{state}.dbn"
        status = _halt() if state == "closed" else b""
        path.write_bytes(metadata() + status + encode(_rows(state)))
        return path

    return make


@pytest.fixture(scope="module")
def lake_of(
    file_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], batonics.Lake]:
    """The lake of a file, with the states of its books."""
    directory = tmp_path_factory.mktemp("lakes")

    @cache
    def make(state: str) -> batonics.Lake:
        name = state if state in ("closed", "cold", "stale", "crossed") else ""
        return batonics.load_lake(file_of(name), directory / f"lake-{name}", schemas=["states-1"])

    return make


def _said(answer: Callable[[], str]) -> str:
    """What an answer in Python says: its marks, its warnings, or why it is refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            marks = answer()
        except (UsageError, ProblemError) as error:
            return str(error)
    return " ".join([marks, *(str(one.message) for one in caught)])


def _marks(rows: pl.DataFrame) -> str:
    """What the rows say of themselves."""
    found = [*rows["book_status"].cast(pl.String), *rows["status"].cast(pl.String).drop_nulls()]
    if rows["crossed"].any():
        found.append("crossed")
    if "complete" in rows.columns and not rows["complete"][-1]:
        found.append("incomplete")
    return " ".join(found)


def _options(state: str, time: str) -> list[str]:
    """Options of a command: its time option, or the symbol."""
    return {
        "before": [time, BEFORE],
        "after": [time, AFTER],
        "unknown": ["--symbols", UNKNOWN],
    }.get(state, [])


def _range(state: str) -> dict[str, Any]:
    """Arguments of a choice of rows: those before or after the data, or of a symbol."""
    return {
        "before": {"end": BEFORE},
        "after": {"start": AFTER},
        "unknown": {"symbols": UNKNOWN},
    }.get(state, {})


def _warnings_of(done: CommandResult, find: Callable[[Any], list[str]]) -> str:
    return done.err if done.code else " ".join(find(orjson.loads(done.out)))


Ways = dict[str, Callable[[str, Path, Callable[[str], batonics.Lake]], str]]
SHOWN = ("symbol", "status", "crossed", "book_status")


def reconstruct(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    done = run_in_process("reconstruct", "-q", path, "--out", "-", *_options(state, "--at"))
    return _warnings_of(done, lambda answer: answer["books"][0]["warnings"])


def terminal(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    return run_in_process("reconstruct", path, *_options(state, "--at")).err


def fill(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    order = ("--side", "buy", "--price", "90", "--size", "1", "--json", "-q")
    options = _options(state, "--at")
    at = [] if "--at" in options else ["--at", AT]
    done = run_in_process("fill", path, *order, *at, *options)
    return _warnings_of(done, lambda answer: answer["warnings"])


def python(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    arguments = {"before": {"at": BEFORE}, "after": {"at": AFTER}, "unknown": {"symbols": UNKNOWN}}
    more: dict[str, Any] = arguments.get(state, {})
    return _said(lambda: str(batonics.reconstruct(path, **more).summary()["warnings"].to_list()))


def book_at(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    symbols = UNKNOWN if state == "unknown" else ()
    at = {"before": BEFORE, "after": AFTER}.get(state, AT)
    frame = MboNamespace(batonics.scan_mbo(path, symbols=symbols)).book_at(at)
    return _said(lambda: str(frame.collect().height))


def depth(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    symbols = UNKNOWN if state == "unknown" else ()
    frame = MboNamespace(batonics.scan_mbo(path, symbols=symbols)).depth(1, every="1s", extra=SHOWN)
    return _said(lambda: _marks(frame.collect()))


def convert(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    out = path.with_suffix(".parquet")
    command = ("convert", path, "--schema", "mbp-1", "--out", out, "--extra", ",".join(SHOWN))
    chosen = {"before": ["--end", BEFORE], "after": ["--start", AFTER]}
    done = run_in_process(*command, *chosen.get(state, _options(state, "")))
    return done.err if done.code else _marks(pl.read_parquet(out)) + done.err


def scan(state: str, _: Path, lake_of: Callable[[str], batonics.Lake]) -> str:
    return _said(lambda: _marks(lake_of(state).scan("states-1", **_range(state)).collect()))


def sql(state: str, _: Path, lake_of: Callable[[str], batonics.Lake]) -> str:
    conditions = {
        "before": f"WHERE ts_recv < '{BEFORE[:-1]}'",
        "after": f"WHERE ts_recv > '{AFTER[:-1]}'",
        "unknown": f"WHERE symbol = '{UNKNOWN}'",
    }
    query = f"SELECT * FROM states_1 {conditions.get(state, '')}"
    return _said(lambda: _marks(lake_of(state).sql(query)))


def query(state: str, _: Path, lake_of: Callable[[str], batonics.Lake]) -> str:
    text = "SELECT book_status, status, crossed FROM states_1"
    chosen = {"before": ["--end", BEFORE], "after": ["--start", AFTER]}
    options = chosen.get(state, _options(state, ""))
    lake = lake_of(state).store.name
    done = run_in_process("query", text, "--lake", lake, "--format", "ndjson", *options)
    return done.err if done.code else _marks(pl.read_ndjson(done.out)) + done.err


def _replica(state: str) -> BookReplica:
    told = FakeBooks()
    told.rows["status"][:1] = {"cold": COLD, "stale": STALE}.get(state, told.rows["status"][0])
    if state == "crossed":
        told.set_levels(0, [(2 * TICK, 1, 1)], [(TICK, 1, 1)])
    replica = BookReplica()
    replica.apply_hello(told.hello)
    replica.apply_names(told.names)
    replica.apply_books(told.payload())
    replica.apply_stats(FeedStats(feed=FeedState.LIVE).as_json())
    return replica


def http(state: str, _: Path, __: Callable[[str], batonics.Lake]) -> str:
    replica = _replica(state)

    def answer() -> str:
        symbol = UNKNOWN if state == "unknown" else "CLX5"
        number = find_book(replica, {"symbol": symbol})
        shown = payloads.display_book(replica, number)
        book = payloads.replica_document(replica.names[number], shown, 1)
        row = symbol_rows(replica)[number]
        assert row["warnings"] == book["warnings"]
        return " ".join(book["warnings"])

    return _said(answer)


def websocket(state: str, _: Path, __: Callable[[str], batonics.Lake]) -> str:
    if state == "unknown":
        harness = FanoutHarness()
        handler = SubscriptionHandler(harness.replica, harness.fanout, ServerLimits())
        request = orjson.dumps({"op": "subscribe", "symbols": [UNKNOWN]}).decode()
        return str(handler.reply(harness.client(), request)["detail"])
    replica = _replica(state)
    shown = payloads.display_book(replica, 0)
    return " ".join(payloads.bbo_message(replica.names[0], shown, None)["warnings"])


def replay(state: str, path: Path, _: Callable[[str], batonics.Lake]) -> str:
    start_ns = DAY_NS + {"before": -60, "after": 3_600}[state] * 10**9
    logs.configure(as_json=True, level="warning")

    def answer() -> str:
        with capture_logs() as lines:
            Replay(ReplayRequest((str(path),), "127.0.0.1:0", start_ns=start_ns)).close()
        return " ".join(line["event"] for line in lines)

    return _said(answer)


WAYS: Ways = {
    way.__name__: way
    for way in (
        *(reconstruct, terminal, fill, python, book_at, depth, convert, scan, sql, query),
        *(http, websocket, replay),
    )
}
NOT_ASKED = {
    ("depth", "before"): "it has no time",
    **dict.fromkeys([(way, "before") for way in ("http", "websocket")], "they have no time"),
    **dict.fromkeys([(way, "after") for way in ("http", "websocket")], "they have no time"),
    **dict.fromkeys([(way, "closed") for way in ("http", "websocket")], "no status is received"),
    **dict.fromkeys(
        [("replay", state) for state in ("closed", "cold", "stale", "crossed", "unknown")],
        "records pass unchanged, whatever they say",
    ),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", WAYS)
def test_a_doubtful_answer_says_so_or_is_refused(
    way: str, state: str, file_of: Callable[[str], Path], lake_of: Callable[[str], batonics.Lake]
) -> None:
    if (way, state) in NOT_ASKED:
        return
    said = WAYS[way](state, file_of(state), lake_of)
    assert re.search(STATES[state], said), f"{way} in state {state}: {said!r}"


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("replay", "terminal")])
def test_an_answer_beyond_doubt_has_no_mark(
    way: str, file_of: Callable[[str], Path], lake_of: Callable[[str], batonics.Lake]
) -> None:
    said = WAYS[way]("", file_of(""), lake_of)
    for state in ("closed", "cold", "stale", "crossed", "unknown"):
        assert not re.search(STATES[state], said), f"{way}: {said!r}"


def test_a_symbol_without_records_is_named(file_of: Callable[[str], Path]) -> None:
    """The metadata of the file has BBB, and no record is of it."""
    path = file_of("")
    words = "no record of BBB in what was read of the input"
    with pytest.warns(batonics.DataWarning, match=words):
        assert len(batonics.reconstruct(path, symbols=["AAA", "BBB"])) == 1
    records = batonics.scan_mbo(path, symbols="BBB")
    with pytest.warns(batonics.DataWarning, match=words):
        assert MboNamespace(records).orders().collect().height == 0
    done = run_in_process("reconstruct", "-q", path, "--symbols", "BBB", "--out", "-")
    assert done.err == f"batonics: warning: {words}\n"
    assert orjson.loads(done.out)["books"] == []
    order = ("--side", "buy", "--price", "1", "--size", "1", "--at", AT)
    assert run_in_process("fill", path, "--symbols", "BBB", *order).code == 2


def test_a_schema_without_rows_of_a_symbol_is_named(tmp_path: Path) -> None:
    rows = [*_rows(""), record(Action.TRADE, instrument_id=2, ts_recv=DAY_NS + 5 * 10**9)]
    path = tmp_path / "day.dbn"
    path.write_bytes(metadata() + encode(rows))
    lake = batonics.load_lake(path, tmp_path / "lake", schemas=["states-1", "trades"])
    words = "trades: no rows of the symbols and times"
    with pytest.warns(batonics.DataWarning, match=words):
        assert lake.scan("trades", symbols="AAA").collect().height == 0
    query = ("query", "SELECT count(*) FROM trades", "--lake", lake.store.name)
    assert run_in_process(*query, "--symbols", "AAA").err == f"batonics: {words}\n"
    assert run_in_process(*query, "--symbols", "BBB").err == ""


def test_a_terminal_shows_that_a_market_does_not_trade(file_of: Callable[[str], Path]) -> None:
    said = run_in_process("reconstruct", file_of("closed")).err
    assert "synced, halt" in said
    assert "closed: 1 of 1 book: the market does not trade at that time" in said
    night = ("--session", "01:00-02:00 UTC mon-sun")
    for way in (
        ("reconstruct",),
        ("fill", "--side", "buy", "--price", "90", "--size", "1", "--at", AT),
    ):
        assert (
            "closed: "
            in (done := run_in_process(*way, file_of(""), *night)).err + done.out.decode()
        )
    order = ("--side", "buy", "--price", "102", "--size", "1", "--at", AT)
    refused = run_in_process("fill", file_of("closed"), *order)
    assert refused.code == 2
    assert "the market does not trade at 2024-10-04T00:00:03" in refused.err


def test_sql_says_that_rows_are_of_cold_books(lake_of: Callable[[str], batonics.Lake]) -> None:
    def said(state: str, condition: str = "") -> str:
        text = f"SELECT count(*) AS n FROM states_1 {condition}"
        return run_in_process("query", text, "--lake", lake_of(state).store.name).err

    assert said("cold").startswith("batonics: cold: rows of states_1: the book began mid-session")
    assert said("cold", "WHERE book_status <> 'cold'") == ""  # who asks for it knows
    assert said("") == ""


def test_a_query_says_what_stands_in_for_sessions(file_of: Callable[[str], Path]) -> None:
    query = ("query", ROOT / "queries" / "session_bars.sql", "--from", file_of(""))
    days = "the parameter sessions is not given, and 00:00-24:00 UTC mon-sun stands in"
    assert days in run_in_process(*query).err
    for given in (("-p", "sessions=01:00-02:00 UTC mon-sun"), ("--session", "01:00-02:00 UTC")):
        assert days not in run_in_process(*query, *given).err
