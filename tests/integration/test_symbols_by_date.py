"""One file through every door: names hold on their dates, and all doors agree.

The rule: what is expected is found by a plain search through the dates of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

import batonics
from batonics.codec import gateway as lines
from batonics.codec.metadata import (
    STYPE_PARENT,
    DatedSymbol,
    Metadata,
    SymbolMapping,
    encode_metadata,
)
from batonics.gateway.replay_files import ReplayFiles
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.model.mbo import MBO_DTYPE, Action, Flag, Side
from batonics.model.times import NS_PER_DAY, format_time, time_ns
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY, DAY_NS, encode, record
from tests.support.reference_books import Record
from tests.support.serve import Server, serving

MAPPINGS: dict[str, list[tuple[int, int, int]]] = {
    # first day, day after the last, instrument id
    "AAA": [(0, 1, 1)],
    "BBB": [(1, 3, 1)],  # has the id that AAA had
    "CL.c.0": [(0, 1, 3), (1, 3, 4)],  # rolls from 3 to 4
    "CL.c.1": [(0, 1, 4)],
    "NG.c.0": [(0, 3, 5)],  # two names of one id
    "NG.v.0": [(0, 2, 5)],
}
NG_NOTE = r"rows of NG\.[cv]\.0 have the symbol NG\.[cv]\.0, which is the same instrument on 2024"
IDS = (1, 3, 4, 5, 6)
DAYS = 3


def day_of(number: int, instrument_id: int) -> list[Record]:
    """A day of an instrument: it begins with an R; then three orders and a trade."""
    at = DAY_NS + number * NS_PER_DAY
    first_id = 100 * number + 10 * instrument_id
    hour = NS_PER_DAY // 24

    def make(action: Action, order_id: int, after_ns: int, side: Side = Side.BID) -> Record:
        return record(
            action,
            instrument_id=instrument_id,
            side=side,
            order_id=order_id,
            price=100 + instrument_id,
            ts_recv=at + after_ns,
        )

    return [
        make(Action.CLEAR, 0, 0, Side.NONE),
        make(Action.ADD, first_id, hour),
        make(Action.ADD, first_id + 1, 2 * hour),
        make(Action.TRADE, 0, 3 * hour, Side.ASK),
        make(Action.ADD, first_id + 2, NS_PER_DAY - 1),
    ]


def date_of(number: int) -> int:
    return DAY + number


def make_file(path: Path) -> list[Record]:
    """The file, and its records."""
    rows = [row for number in range(DAYS) for i in IDS for row in day_of(number, i)]
    rows.sort(key=lambda row: row.ts_recv)
    mappings = tuple(
        SymbolMapping(name, tuple(DatedSymbol(date_of(a), date_of(b), str(i)) for a, b, i in spans))
        for name, spans in MAPPINGS.items()
    )
    path.write_bytes(encode_metadata(Metadata(mappings=mappings)) + encode(rows))
    return rows


def belongs(row: Record, name: str) -> bool:
    day = (row.ts_recv - DAY_NS) // NS_PER_DAY
    if name.isdecimal():
        return row.instrument_id == int(name)
    return any(a <= day < b and row.instrument_id == i for a, b, i in MAPPINGS[name])


def identities(rows: list[Record]) -> list[tuple[int, int, int]]:
    return [(row.ts_recv, row.instrument_id, row.order_id) for row in rows]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names") / "names.dbn"


@pytest.fixture(scope="module")
def rows(path: Path) -> list[Record]:
    return make_file(path)


@pytest.fixture(scope="module")
def lake(path: Path, rows: list[Record]) -> batonics.Lake:
    assert rows
    return batonics.load_lake(path, path.parent / "lake", schemas=["mbo", "trades", "mbp-1"])


def columns_of(frame: pl.DataFrame) -> list[tuple[int, int, int]]:
    times = frame["ts_recv"].to_physical()
    return list(zip(times, frame["instrument_id"], frame["order_id"], strict=True))


def converted(path: Path, name: str, schema: str) -> pl.DataFrame:
    out = path.parent / f"{schema}.parquet"
    options = ("--schema", schema, "--out", out, "--symbols", name, "--quiet")
    done = run_in_process("convert", path, *options)
    assert done.code == 0, done.err
    return pl.read_parquet(out)


def sent(path: Path, name: str, stype_in: str = "raw_symbol") -> list[tuple[int, int, int]]:
    """What a gateway sends for a name."""
    files = ReplayFiles([str(path)])
    subscription = lines.SubscriptionRequest("mbo", (name,), stype_in)
    request = SessionRequest("mbo", files.resolve_symbols(subscription).spans)
    with closing(record_pieces(files.paths, request)) as pieces:
        data = b"".join(bytes(piece.data) for piece in pieces)
    records = np.frombuffer(data, MBO_DTYPE)
    names = ("ts_recv", "instrument_id", "order_id")
    return list(zip(*(records[name].tolist() for name in names), strict=True))


def scanned(path: Path, name: str) -> pl.LazyFrame:
    records = batonics.scan_mbo(path)
    return records.filter(pl.col("symbol") == name)


@pytest.mark.parametrize("name", [*MAPPINGS, "1", "6"])
def test_every_selection_of_records_agrees(path: Path, rows: list[Record], name: str) -> None:
    mine = [row for row in rows if belongs(row, name)]
    frame = converted(path, name, "mbo")
    assert columns_of(frame) == identities(mine)
    if not name.isdecimal():
        assert frame["symbol"].unique().to_list() == [name]
        assert sent(path, name) == identities(mine)
    elif name == "1":
        assert sent(path, name, "instrument_id") == identities(mine)
    proof = run_in_process("verify", path, "--symbols", name, "--json", "--quiet")
    report = orjson.loads(proof.out)
    assert (report["records"], report["proved"]) == (len(mine), True)
    assert columns_of(batonics.scan_mbo(path, symbols=name).collect()) == identities(mine)
    sql = "SELECT count(*) AS n, count(DISTINCT symbol) AS names FROM mbo"
    query = ("query", sql, "--from", path, "--symbols", name, "--format", "json", "--quiet")
    (answer,) = orjson.loads(run_in_process(*query).out)
    assert answer == {"n": len(mine), "names": frame["symbol"].drop_nulls().n_unique()}
    # A name that ends before the last day leaves a book behind.
    ended = {i for _, day, i in MAPPINGS.get(name, ()) if day < DAYS}
    doubts = pytest.warns(batonics.DataWarning, match=f"renamed: {len(ended)} of ")
    with doubts if ended else nullcontext():
        books = batonics.reconstruct(path, symbols=[name])
    marked = books.summary().filter(pl.col("warnings").list.contains("renamed"))
    assert {*marked["instrument_id"]} == ended
    last = {row.instrument_id: row for row in mine}
    expected = {
        row.order_id
        for row in mine
        if row.action == Action.ADD
        and (row.ts_recv - DAY_NS) // NS_PER_DAY
        == (last[row.instrument_id].ts_recv - DAY_NS) // NS_PER_DAY
    }
    assert {*books.orders()["order_id"]} == expected
    if not name.isdecimal():
        assert {*books.summary()["symbol"]} == {name}


@pytest.mark.parametrize("name", ["AAA", "CL.c.0", "CL.c.1"])
def test_frames_lakes_and_derived_rows_agree(
    path: Path, rows: list[Record], lake: batonics.Lake, name: str
) -> None:
    mine = [row for row in rows if belongs(row, name)]
    scan = scanned(path, name)
    assert columns_of(scan.collect()) == identities(mine)
    in_lake = lake.scan("mbo", symbols=name).collect().sort("ts_recv", maintain_order=True)
    assert sorted(columns_of(in_lake)) == sorted(identities(mine))
    keys = ["ts_recv", "instrument_id", "action", "bid_px_00", "bid_sz_00", "bid_ct_00"]
    ours = converted(path, name, "mbp-1").select(keys)
    of_frame = scan.mbo.mbp(1).collect().select(keys)  # type: ignore[attr-defined]
    of_lake = lake.scan("mbp-1", symbols=name).collect().select(keys)
    for other in (of_frame, of_lake):
        assert ours.rows() == other.rows() or ours.sort(keys).rows() == other.sort(keys).rows()
    assert ours.height >= len(mine) - 3
    trades = lake.sql(f"SELECT count(*) AS n FROM trades WHERE symbol = '{name}'")
    assert trades["n"].item() == sum(row.action == Action.TRADE for row in mine)


@pytest.mark.parametrize("schema", ["mbp-1", "bbo-1s", "ohlcv-1h", "mbo"])
def test_verify_compares_the_rows_of_the_names_dates(
    path: Path, rows: list[Record], schema: str
) -> None:
    assert rows
    theirs = path.parent / f"theirs-{schema}.parquet"
    options = ("--schema", schema, "--out", theirs, "--quiet")
    assert run_in_process("convert", path, *options).code == 0
    names = ["AAA", "NG.v.0", "6"]
    if schema != "bbo-1s":  # whose rows have the last trade of their id, whatever its name was
        names += ["BBB", "CL.c.0"]
    for name in names:
        compared = ("--symbols", name, "--against", theirs, "--schema", schema)
        done = run_in_process("verify", path, *compared, "--json", "--quiet")
        against = orjson.loads(done.out)["against"]
        assert against["agrees"], (name, against)
        assert against["only_theirs"] == {}
        # The interval in which a name ends has the next name where that begins.
        cut_off = against["only_ours"].get("cut_off", 0)
        assert cut_off == (schema == "bbo-1s" and name in {"AAA", "NG.v.0"})
        count = against["rows"]["theirs"]
        assert count == against["pairs"]["equal"] == converted(path, name, schema).height - cut_off


def test_names_of_derived_frames_are_those_of_their_records(path: Path, rows: list[Record]) -> None:
    records = batonics.scan_mbo(path).drop("symbol")
    with pytest.warns(batonics.DataWarning, match=NG_NOTE):
        named = batonics.with_symbols(records, path).collect()
    with pytest.warns(batonics.DataWarning, match=NG_NOTE):
        assert named["symbol"].equals(batonics.scan_mbo(path).collect()["symbol"])
    assert named.height == len(rows)


def test_rows_that_show_one_of_two_names_are_said_at_every_door(
    path: Path, rows: list[Record]
) -> None:
    assert rows
    both, scan = ["NG.v.0", "NG.c.0"], batonics.scan_mbo(path)
    of_both = batonics.scan_mbo(path, symbols=both)
    frames = (
        of_both,
        scan,
        scan.filter(symbol="NG.c.0"),
        scan.filter(pl.col("symbol").is_in(both), pl.col("instrument_id") == 5),
        scan.group_by("symbol").len(),
        scan.mbo.bbo(extra=("symbol",)),  # type: ignore[attr-defined]
        scan.filter(symbol="NG.c.0").mbo.bbo(),  # type: ignore[attr-defined]
    )
    for frame in frames:
        with pytest.warns(batonics.DataWarning, match=NG_NOTE) as caught:
            frame.collect()
        assert len(caught) == 1
    for names in (both, ()):
        with pytest.warns(batonics.DataWarning, match="which is the same instrument on 2024-10-0"):
            batonics.reconstruct(path, symbols=names, at=DAY_NS + NS_PER_DAY)
    symbols = ("--symbols", ",".join(both), "--quiet")
    out = path.parent
    for command in (
        ("convert", "--schema", "mbp-1", "--out", out / "both.csv"),
        ("reconstruct", "--out", out / "both.json", "--at", "2024-10-05"),
        ("reconstruct", "--snapshots", out / "both.parquet", "--every", "1h"),
    ):
        done = run_in_process(command[0], path, *command[1:], *symbols)
        assert done.code == 0
        assert re.search(f"^batonics: warning: {NG_NOTE}", done.err, re.MULTILINE)


def test_rows_with_one_name_have_no_note(path: Path, rows: list[Record]) -> None:
    assert rows
    scan = batonics.scan_mbo(path)
    for frame in (
        scan.select("order_id"),
        scan.filter(pl.col("symbol") == "CL.c.0"),
        scan.filter(symbol="NG.v.0"),  # all of its rows have it
        scan.filter(instrument_id=4),
        batonics.scan_mbo(path, symbols=["NG.c.0", "CL.c.0"]),
        scan.mbo.bbo(),  # type: ignore[attr-defined]
    ):
        frame.collect()  # a warning is an error
    out = path.parent / "both.dbn"  # whose metadata has all names
    done = run_in_process("convert", path, "--schema", "mbo", "--out", out, "--quiet")
    assert (done.code, done.err) == (0, "")


def test_a_fill_is_in_the_book_of_the_name_at_its_time(path: Path, rows: list[Record]) -> None:
    assert rows
    for day, instrument_id in ((0, 3), (1, 4)):
        at = str(DAY_NS + day * NS_PER_DAY + NS_PER_DAY // 6)
        order = ("--side", "buy", "--price", "50", "--size", "1", "--at", at)
        done = run_in_process("fill", path, "--symbols", "CL.c.0", *order, "--json", "--quiet")
        assert done.code == 0, done.err
        report = orjson.loads(done.out)
        assert (report["symbol"], report["instrument_id"]) == ("CL.c.0", instrument_id)
        # An order of day 0 is watched until the roll; the R of the next day clears that of day 1.
        expected = ("open", ["renamed"]) if day == 0 else ("cleared", [])
        assert (report["end"], report["warnings"]) == expected
        assert report["data"]["until"] == format_time(DAY_NS + (day + 1) * NS_PER_DAY)


def test_a_name_that_is_not_there_is_answered_with_those_of_its_product(
    path: Path, rows: list[Record], lake: batonics.Lake
) -> None:
    assert rows
    assert "did you mean CL.c.0, CL.c.1?" in error_line(
        run_in_process("verify", path, "--symbols", "CL.FUT"), 2
    )
    with pytest.raises(batonics.UsageError, match=r"did you mean CL\.c\.0, CL\.c\.1\?"):
        lake.scan("mbo", symbols="CLX5")


def test_all_symbols_selects_everything(path: Path, rows: list[Record]) -> None:
    assert converted(path, "ALL_SYMBOLS", "mbo").height == len(rows)


def test_an_untimed_record_belongs_to_the_name_of_the_streams_time(tmp_path: Path) -> None:
    path = tmp_path / "untimed.dbn"
    flags = int(Flag.LAST | Flag.BAD_TS_RECV)
    noon = DAY_NS + NS_PER_DAY + NS_PER_DAY // 2
    rows = [
        record(Action.ADD, order_id=1, ts_recv=DAY_NS + 5),
        record(Action.ADD, order_id=2, ts_recv=noon),
        record(Action.ADD, order_id=3, ts_recv=DAY_NS + 7, flags=flags),
    ]
    mappings = tuple(
        SymbolMapping(name, (DatedSymbol(date_of(day), date_of(day + 1), "1"),))
        for day, name in enumerate(("AAA", "BBB"))
    )
    path.write_bytes(encode_metadata(Metadata(mappings=mappings)) + encode(rows))
    lake = batonics.load_lake(path, tmp_path / "lake", schemas=["mbo"])
    for name, ids in (("AAA", [1]), ("BBB", [2, 3])):
        assert converted(path, name, "mbo")["order_id"].to_list() == ids
        assert scanned(path, name).collect()["order_id"].to_list() == ids
        assert sorted(lake.scan("mbo", symbols=name).collect()["order_id"]) == ids
        assert [order_id for *_, order_id in sent(path, name)] == ids


@pytest.mark.parametrize(
    ("name", "stype_in", "instrument_ids"),
    [
        ("CL.c.0", "continuous", {3, 4}),
        ("CL.FUT", "parent", {7, 8}),
        ("ES.FUT", "parent", {9}),
        ("cl.C.0", "continuous", {3, 4}),
        ("QQ.FUT", "parent", None),
    ],
)
def test_a_gateway_resolves_continuous_and_parent_symbols(
    tmp_path: Path, name: str, stype_in: str, instrument_ids: set[int] | None
) -> None:
    first, second = tmp_path / "1.dbn", tmp_path / "2.dbn"
    make_file(first)
    days = DatedSymbol(date_of(3), date_of(4), "7")
    children = {"CLX5": "7", "CLX5-CLZ5": "8", "ESZ5": "9"}
    metadata = Metadata(
        stype_in=STYPE_PARENT,
        symbols=("CL.FUT", "ES.FUT"),
        mappings=tuple(
            SymbolMapping(child, (days._replace(symbol=number),))
            for child, number in children.items()
        ),
    )
    at = DAY_NS + 3 * NS_PER_DAY
    records = [record(Action.ADD, instrument_id=i, order_id=i, ts_recv=at + i) for i in (7, 8, 9)]
    second.write_bytes(encode_metadata(metadata) + encode(records))
    files = ReplayFiles([str(first), str(second)])
    resolved = files.resolve_symbols(lines.SubscriptionRequest("mbo", (name,), stype_in))
    assert resolved.unknown == ([name] if instrument_ids is None else [])
    assert resolved.spans is not None
    assert {span.instrument_id for span in resolved.spans.intervals()} == (instrument_ids or set())
    assert {asked for asked, _ in resolved.mappings} == ({name} if instrument_ids else set())


BACK = {"X.v.0": [(0, 1, 3), (1, 2, 4), (2, 3, 3)]}
"""A continuous name that rolls from 3 to 4, and back."""
BACK_WARNING = "uncovered: X.v.0 is another instrument than 3 from 2024-10-05"


@pytest.fixture(params=["with-R", "without-R"])
def rolled_back(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, bool]:
    """A file of 3 and 4, and whether each of its days begins with an R."""
    monkeypatch.setitem(globals(), "MAPPINGS", BACK)
    has_clear = request.param == "with-R"
    rows = [row for number in range(DAYS) for i in (3, 4) for row in day_of(number, i)]
    rows = [row for row in rows if has_clear or row.action != Action.CLEAR]
    rows.sort(key=lambda row: row.ts_recv)
    spans = tuple(DatedSymbol(date_of(a), date_of(b), str(i)) for a, b, i in BACK["X.v.0"])
    metadata = Metadata(mappings=(SymbolMapping("X.v.0", spans),))
    path = tmp_path / "back.dbn"
    path.write_bytes(encode_metadata(metadata) + encode(rows))
    return path, has_clear


def test_nothing_is_said_of_a_book_while_its_name_is_another_instrument(
    rolled_back: tuple[Path, bool],
) -> None:
    path, has_clear = rolled_back
    away_ns = DAY_NS + NS_PER_DAY, DAY_NS + 2 * NS_PER_DAY

    def collected(**options: bool) -> pl.DataFrame:
        records = batonics.scan_mbo(path, symbols="X.v.0").mbo  # type: ignore[attr-defined]
        with pytest.warns(batonics.DataWarning, match=BACK_WARNING):
            frame: pl.DataFrame = records.depth(1, every="6h", **options).collect()
        return frame.with_columns(ns=pl.col("ts").to_physical())

    of_3 = collected(fill=True).filter(pl.col("instrument_id") == 3)
    inside = (of_3["ns"] > away_ns[0]) & (of_3["ns"] < away_ns[1])
    assert not inside.any()
    touches = (of_3["ns"] > away_ns[0]) & (of_3["ns"] - 6 * NS_PER_DAY // 24 < away_ns[1])
    assert not of_3.filter(touches)["complete"].any()
    of_4 = collected(fill=True).filter(pl.col("instrument_id") == 4)
    assert of_4["complete"].to_list()[1:] == [True] * (of_4.height - 1)

    with pytest.warns(batonics.DataWarning, match=f"{BACK_WARNING}|renamed: 1 of 2"):
        books = batonics.reconstruct(path, symbols=["X.v.0"])
    (status,) = books.summary().filter(pl.col("instrument_id") == 3)["status"]
    assert status == ("synced" if has_clear else "cold")


@pytest.mark.filterwarnings("ignore:uncovered", "ignore:renamed", "ignore:cold")
def test_a_book_that_has_not_returned_yet_is_marked(rolled_back: tuple[Path, bool]) -> None:
    path, has_clear = rolled_back
    before = DAY_NS + 2 * NS_PER_DAY - 1  # the name is of 4
    for at in (before, before + 1):  # and of 3 again, of which the next record is later or an R
        books = batonics.reconstruct(path, symbols=["X.v.0"], at=at)
        marked = books.summary().filter(pl.col("warnings").list.contains("renamed"))
        if at == before or 3 in marked["instrument_id"]:
            assert 3 in marked["instrument_id"]
        else:  # the R at that very time
            assert books.summary().filter(instrument_id=3)["events"].to_list() == [6]
            assert has_clear


def test_daily_files_say_so_too(tmp_path: Path) -> None:
    paths = []
    for number, instrument_id in enumerate((3, 4, 3)):
        path = tmp_path / f"{number}.dbn"
        span = DatedSymbol(date_of(number), date_of(number + 1), str(instrument_id))
        header = encode_metadata(Metadata(mappings=(SymbolMapping("X.v.0", (span,)),)))
        path.write_bytes(header + encode(day_of(number, instrument_id)))
        paths.append(path)
    with pytest.warns(batonics.DataWarning, match=BACK_WARNING):
        batonics.scan_mbo(paths).mbo.depth(1, every="6h").collect()  # type: ignore[attr-defined]


def test_no_state_lasts_while_its_name_is_another_instrument(
    rolled_back: tuple[Path, bool],
) -> None:
    path, _ = rolled_back
    query = ("query", "queries/depth_by_hour.sql", "--from", path, "--symbols", "X.v.0")
    done = run_in_process(*query, "--format", "json")
    assert BACK_WARNING in done.err
    hours = orjson.loads(done.out)
    assert [row["seconds_bid"] for row in hours[1:23]] == [3 * 3600.0] * 22
    assert [row["left_out_seconds"] for row in hours[1:23]] == [3600.0] * 22
    # Until the first order of the last day nothing is known of the book without an R.
    assert hours[0]["seconds_bid"] == 0.0


def test_a_fill_over_the_time_says_so(rolled_back: tuple[Path, bool]) -> None:
    path, _ = rolled_back
    order = ("--side", "B", "--price", "103", "--size", "1", "--at", "2024-10-04T12:00")
    done = run_in_process("fill", path, *order, "--symbols", "X.v.0", "--json")
    report = orjson.loads(done.out)
    assert "uncovered" in report["warnings"]


@pytest.fixture(scope="module")
def server(path: Path, rows: list[Record]) -> Iterator[Server]:
    assert rows
    with serving(path) as server:
        yield server


def served_ids(server: Server, query: str) -> list[tuple[int, int]]:
    """Instrument and order of the records of an answer."""
    found, cursor = [], ""
    while True:
        page = server.get(f"/v1/{query}&limit=7{cursor}").document
        found += [(one["instrument_id"], int(one["order_id"])) for one in page["records"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("name", [*MAPPINGS, "1", "6"])
def test_served_records_belong_to_a_name_at_their_own_time(
    server: Server, rows: list[Record], name: str
) -> None:
    mine = [row for row in rows if belongs(row, name)]
    expected = [(row.instrument_id, row.order_id) for row in mine]
    assert served_ids(server, f"records?symbol={name}") == expected
    assert served_ids(server, f"records?symbol={name}&order=newest") == expected[::-1]
    trades = [row for row in mine if row.action == Action.TRADE]
    seen, moment = [], DAY_NS
    while True:  # from trade to trade
        found = server.get(f"/v1/next?symbol={name}&kind=trade&from={format_time(moment)}")
        if found.status == 404:
            break
        moment = time_ns(found.document["ts_recv"])
        seen.append((found.document["instrument_id"], moment))
    assert seen == [(row.instrument_id, row.ts_recv) for row in trades]
    if trades:
        late = f"from={format_time(DAY_NS + (DAYS + 1) * NS_PER_DAY)}"
        last = server.get(f"/v1/previous?symbol={name}&kind=trade&{late}").document
        assert time_ns(last["ts_recv"]) == trades[-1].ts_recv


@pytest.mark.parametrize("path_of", ["bars/{}?every=1d", "heatmap/{}?columns=10", "coverage/{}?"])
def test_what_is_served_of_one_book_is_refused_over_a_roll(server: Server, path_of: str) -> None:
    for name in ("AAA", "BBB", "CL.c.0", "CL.c.1", "NG.v.0"):
        refused = server.get(f"/v1/{path_of.format(name)}")
        assert refused.status in (404, 422)
        assert f"{name} is instrument" in refused.document["detail"]
    assert server.get(f"/v1/{path_of.format('NG.c.0')}").status == 200
    if "coverage" in path_of:
        return
    second = f"&from={format_time(DAY_NS + NS_PER_DAY + 1)}"
    first = f"&to={format_time(DAY_NS + NS_PER_DAY // 2)}"
    for name, span, instrument_id in (("BBB", second, 1), ("CL.c.0", second, 4), ("AAA", first, 1)):
        answer = server.get(f"/v1/{path_of.format(name)}{span}")
        assert answer.status == 200, answer.document
        if "heatmap" in path_of:
            assert answer.document["instrument_id"] == instrument_id


def test_a_picture_over_a_roll_is_refused(path: Path, rows: list[Record], tmp_path: Path) -> None:
    assert rows
    out = tmp_path / "depth.html"
    done = run_in_process("plot", path, "--symbols", "CL.c.0", "--out", out, "--quiet")
    assert "CL.c.0 is instrument 3 from 2024-10-04" in error_line(done, 2)
    assert not out.exists()
