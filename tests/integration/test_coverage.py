"""A time between two files that neither covers: every answer over it says so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import orjson
import polars as pl
import pytest

import batonics
from batonics.codec.messages import ERROR_SKIPPED_RECORDS, ERROR_SYMBOL, write_error_message
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import Action, DayStart, Side
from batonics.sources.stream import MboStream
from tests.support.command import run_command, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.reference_books import Record
from tests.support.serve import serving

HOUR = 3_600 * 10**9
IGNORE_UNCOVERED = pytest.mark.filterwarnings("ignore:.*uncovered")


def records_of_hour(hour: int, number: int) -> list[Record]:
    """A clear, and then a new bid and a trade every ten minutes."""
    start = DAY_NS + hour * HOUR
    rows = [record(Action.CLEAR, instrument_id=number, side=Side.NONE, ts_recv=start)] * (hour == 0)
    for at in range(6):
        ts_recv = start + at * HOUR // 6 + 1
        rows.append(
            record(Action.ADD, instrument_id=number, order_id=10 * hour + at, ts_recv=ts_recv)
        )
        rows.append(
            record(Action.TRADE, instrument_id=number, side=Side.ASK, size=2, ts_recv=ts_recv + 1)
        )
    return rows


def hour_file(
    directory: Path, hour: int, symbols: Sequence[str] = ("AAA",), *, has_end: bool = True
) -> Path:
    """A file of an hour, whose metadata say that it covers the hour."""
    numbers = {symbol: 1 + "ABC".index(symbol[0]) for symbol in symbols}
    start = DAY_NS + hour * HOUR
    header = metadata(numbers, start=start, end=start + HOUR if has_end else None)
    rows = [row for number in numbers.values() for row in records_of_hour(hour, number)]
    rows.sort(key=lambda row: row.ts_recv)
    path = directory / f"{'-'.join(symbols)}-{hour:02}{'' if has_end else '-open'}.dbn"
    path.write_bytes(header + encode(rows))
    return path


def hours(directory: Path, *numbers: int) -> list[str]:
    return [str(hour_file(directory, hour)) for hour in numbers]


def bars(frame: pl.LazyFrame, every: str) -> dict[int, bool]:
    """`complete` of the bars, by the hour that they begin."""
    rows = frame.mbo.bars(time=every).collect()  # type: ignore[attr-defined]
    return dict(zip(rows["ts_open"].dt.hour(), rows["complete"], strict=True))


def test_files_that_follow_each_other_have_no_hole(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 1, 2)
    assert bars(batonics.scan_mbo(files), "2h") == {0: True, 2: False}
    lake = batonics.load_lake(files, tmp_path / "lake", schemas=["trades"])
    rows = lake.sql("queries/time_bars.sql", every="2h")
    assert rows["complete"].to_list() == [True, False]
    assert lake.sql("SELECT count(*) AS n FROM trades")["n"].to_list() == [18]


def test_bars_over_a_hole_are_not_complete_in_frames_and_lakes(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2, 3, 4)
    with pytest.warns(DataWarning, match=r"uncovered: no file covers 2024-10-04T01.*T02.*missing"):
        assert bars(batonics.scan_mbo(files), "2h") == {0: False, 2: True, 4: False}
    lake = batonics.load_lake(files, tmp_path / "lake", schemas=["trades", "states-1", "bbo-1s"])
    assert lake.sql("queries/time_bars.sql", every="2h")["complete"].to_list() == [
        False,
        True,
        False,
    ]
    with pytest.warns(DataWarning, match=r"uncovered: no file covers .*AAA-00.*AAA-02"):
        lake.sql("SELECT max(price) AS p FROM trades")
    with pytest.warns(DataWarning, match="uncovered: no file covers"):
        lake.join_asof("trades", "states-1", columns="bid_px_00").collect()
    lake.join_asof("trades", "states-1", columns="bid_px_00", start="2024-10-04T02:00:00Z")
    # Behind the hole nothing needs a note.
    lake.sql("SELECT max(price) AS p FROM trades WHERE ts_recv >= '2024-10-04T02:00:00Z'")


def test_serve_names_holes_and_marks_books_in_them(tmp_path: Path) -> None:
    with serving(*hours(tmp_path, 0, 2)) as server:
        for path in ("/v1/coverage/AAA", "/v1/stats"):
            (hole,) = server.get(path).document["holes"]
            assert hole == {
                "from": "2024-10-04T01:00:00.000000000Z",
                "until": "2024-10-04T02:00:00.000000000Z",
                "before": hole["before"],
                "after": hole["after"],
                "is_known": True,
            }
            assert hole["before"].endswith("AAA-00.dbn")
            assert hole["after"].endswith("AAA-02.dbn")
        for at, warnings in (
            ("2024-10-04T00:30:00Z", []),
            ("2024-10-04T01:30:00Z", ["uncovered"]),
            ("2024-10-04T02:30:00Z", ["cold"]),
        ):
            assert server.get(f"/v1/books/AAA?at={at}").document["warnings"] == warnings


@IGNORE_UNCOVERED
def test_the_five_queries_have_complete_by_the_times_of_the_source(tmp_path: Path) -> None:
    files = hours(tmp_path, *(hour for hour in range(24) if hour != 12))
    next_day = hour_file(tmp_path, 24)
    for absent, expected in ((True, False), (False, True)):
        given = [*files, str(next_day)] + ([] if absent else hours(tmp_path, 12))
        lake = batonics.load_lake(
            given, tmp_path / f"lake-{absent}", schemas=["trades", "states-1", "bbo-1s"]
        )
        day = pl.col("date").cast(pl.String) == "2024-10-04"
        for name in ("volume_profile", "realised_variance", "session_bars"):
            rows = lake.sql(f"queries/{name}.sql").filter(day)
            assert rows["complete"].unique().to_list() == ([expected] if rows.height else [])
        rows = lake.sql("queries/kyles_lambda.sql", every="1h")
        # A window ends within the source of its rows.
        assert rows["complete"].any()


@IGNORE_UNCOVERED
def test_every_interval_that_a_hole_touches_is_not_complete(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2, 3)
    records = batonics.scan_mbo(files, session="00:00-03:00 UTC mon-sun")
    depth = records.mbo.depth(1, every="30m", fill=True).collect()  # type: ignore[attr-defined]
    over = pl.col("ts").is_between(
        pl.lit("2024-10-04T01:00:00.000000001Z").str.to_datetime(time_unit="ns", time_zone="UTC"),
        pl.lit("2024-10-04T02:00:00Z").str.to_datetime(time_unit="ns", time_zone="UTC"),
    )
    assert not depth.filter(over)["complete"].any()
    assert depth.filter(~over)["complete"].to_list().count(True) == 4
    rows = records.mbo.bars(session="00:00-03:00 UTC mon-sun").collect()  # type: ignore[attr-defined]
    assert rows.filter(pl.col("date").is_not_null())["complete"].to_list() == [False]
    windows = records.mbo.window_measures("2h").collect()  # type: ignore[attr-defined]
    assert windows["complete"].to_list()[0] is False
    out = tmp_path / "bars.csv"
    result = run_in_process("convert", *files, "--schema", "ohlcv-1h", "--out", out)
    assert result.code == 0
    assert "uncovered: no file covers" in result.err


@IGNORE_UNCOVERED
def test_books_in_a_hole_and_behind_it_are_marked(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2)
    inside, behind = "2024-10-04T01:30:00Z", "2024-10-04T02:30:00Z"
    out = tmp_path / "book.json"
    for at, doubt, status in ((inside, "uncovered", "synced"), (behind, "cold", "cold")):
        result = run_in_process("reconstruct", *files, "--out", out, "--at", at)
        assert result.code == 0
        (book,) = orjson.loads(out.read_bytes())["books"]
        assert doubt in book["warnings"]
        assert book["status"] == status
        assert f"{doubt}: " in result.err


@IGNORE_UNCOVERED
def test_an_order_cannot_enter_in_a_hole_and_a_fill_over_it_says_so(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2)
    records = batonics.scan_mbo(files)
    with pytest.raises(UsageError, match="no file covers 2024-10-04T01:30"):
        batonics.would_fill(records, "buy", "99", 1, "2024-10-04T01:30:00Z")
    before = batonics.would_fill(records, "buy", "99", 1, "2024-10-04T00:30:00Z")
    assert "uncovered" in before.warnings
    after = batonics.would_fill(records, "buy", "99", 1, "2024-10-04T02:30:00Z")
    assert "uncovered" not in after.warnings


@IGNORE_UNCOVERED
def test_the_file_of_another_symbol_does_not_cover_a_missing_one(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2, 3)
    others = [str(hour_file(tmp_path, hour, ["BBB"])) for hour in range(4)]
    lake = batonics.load_lake([*files, *others], tmp_path / "lake", schemas=["trades"])
    rows = lake.sql("queries/time_bars.sql", every="2h").sort("symbol", "ts")
    assert rows["symbol"].to_list() == ["AAA", "AAA", "BBB", "BBB"]
    assert rows["complete"].to_list() == [False, False, True, False]
    assert bars(batonics.scan_mbo([*files, *others]), "2h")[0] is False


def test_files_that_do_not_say_their_end_cover_their_records(tmp_path: Path) -> None:
    files = [str(hour_file(tmp_path, hour, has_end=False)) for hour in (0, 1, 2)]
    # No line: such a hole is between any two parts of a recording.
    assert bars(batonics.scan_mbo(files), "2h") == {0: False, 2: False}
    rows = batonics.scan_mbo(files).mbo.bars(time="10m").collect()  # type: ignore[attr-defined]
    at_seams = [rows["complete"].to_list()[number] for number in (5, 6, 11, 12)]
    assert at_seams == [False] * 4
    assert rows["complete"].sum() == 18 - 4 - 1  # nor is the last
    lake = batonics.load_lake(files, tmp_path / "lake", schemas=["trades"])
    assert not lake.sql("queries/time_bars.sql", every="2h")["complete"].any()
    late = hour_file(tmp_path, 48, has_end=False)
    with pytest.warns(DataWarning, match="uncovered"):
        batonics.scan_mbo([files[0], str(late)]).collect()


@IGNORE_UNCOVERED
def test_a_stream_of_several_files_keeps_its_holes_in_the_lake(tmp_path: Path) -> None:
    files = hours(tmp_path, 0, 2, 3)
    lake = batonics.load_lake(files, tmp_path / "lake", schemas=["trades"], one_stream=True)
    rows = lake.sql("queries/time_bars.sql", every="2h")
    assert rows["complete"].to_list() == [False, False]
    assert lake.sql("queries/time_bars.sql", every="1h")["complete"].to_list()[1] is True


def test_a_stream_has_statuses_from_one_place(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    append = ("lake", "append", "--lake", root, "--name", "feed", "--schemas", "states-1,trades")
    first, second = (hour_file(tmp_path, hour).read_bytes() for hour in (0, 1))
    session = ("--session", "00:00-24:00 UTC")
    assert run_command(*append, *session, stdin=first).code == 0
    result = run_command(*append, stdin=second)
    assert result.code != 0
    assert "feed: the lake has states-1 of it with session 00:00-24:00 UTC, not" in result.err
    assert batonics.Lake(root).check() == []
    assert run_command(*append, *session, stdin=second).code == 0


def test_runs_of_a_stream_that_is_appended_are_apart(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    for hour in (0, 2):
        data = hour_file(tmp_path, hour).read_bytes()
        result = run_command(
            *("lake", "append", "--lake", root, "--name", "feed", "--schemas", "trades"), stdin=data
        )
        assert result.code == 0, result.err
    lake = batonics.Lake(root)
    assert not lake.sql("queries/time_bars.sql", every="2h")["complete"].any()
    assert lake.sql("queries/time_bars.sql", every="30m")["complete"].to_list()[1] is True
    with pytest.warns(DataWarning, match="uncovered"):
        lake.sql("SELECT count(*) AS n FROM trades")


@pytest.fixture(name="skipped")
def skipped_file(tmp_path: Path) -> tuple[Path, int]:
    """Three hours as a live feed sent them; before 01:30 the gateway skipped records: the row."""
    rows = [row for hour in range(3) for row in records_of_hour(hour, 1)]
    cut = len(records_of_hour(0, 1)) + 6
    message = write_error_message(ERROR_SKIPPED_RECORDS, "skipped records", rows[cut].ts_recv)
    header = metadata({"AAA": 1}, start=DAY_NS, end=None)
    path = tmp_path / "recorded.dbn"
    path.write_bytes(header + encode(rows[:cut]) + message + encode(rows[cut:]))
    return path, cut


@pytest.mark.parametrize("batch_rows", [5, 7, 19, 1000])
def test_all_books_begin_anew_at_the_row_before_which_a_gateway_skipped_records(
    skipped: tuple[Path, int], batch_rows: int
) -> None:
    path, cut = skipped
    stream = MboStream([path], batch_rows=batch_rows)
    with pytest.warns(DataWarning, match="the gateway skipped records"):
        batches = [(isinstance(one, DayStart), len(one.action)) for one in stream.batches()]
    firsts = [0, *accumulate(length for _, length in batches)]
    starts = [first for first, (is_start, _) in zip(firsts, batches, strict=False) if is_start]
    assert starts == [cut]


def test_records_that_a_gateway_skipped_are_a_gap_in_every_answer(
    skipped: tuple[Path, int],
) -> None:
    path, _ = skipped
    said = "the gateway skipped records for a slow client between 2024-10-04T01:20"
    with pytest.warns(DataWarning, match=said):
        found = bars(batonics.scan_mbo(path), "1h")
    assert found == {0: True, 1: False, 2: False}  # the last one is that of the end
    with pytest.warns(DataWarning, match=f"{said}|cold: 1 of 1"):
        (status,) = batonics.reconstruct(path).summary()["status"]
    assert status == "cold"
    frame = batonics.scan_mbo(path).mbo  # type: ignore[attr-defined]
    with pytest.warns(DataWarning, match=said):
        depths = frame.depth(1, every="10m", extra=("book_status",)).collect()
    behind = depths.filter(pl.col("ts").dt.hour() * 60 + pl.col("ts").dt.minute() > 90)
    assert behind["book_status"].cast(pl.String).unique().to_list() == ["cold"]
    assert str(depths["book_status"][1]) == "synced"


def test_other_errors_of_a_gateway_are_no_gap(tmp_path: Path) -> None:
    rows = records_of_hour(0, 1)
    message = write_error_message(ERROR_SYMBOL, "symbol 'X' could not be resolved", DAY_NS)
    path = tmp_path / "recorded.dbn"
    path.write_bytes(metadata({"AAA": 1}) + encode(rows[:4]) + message + encode(rows[4:]))
    assert batonics.reconstruct(path).summary()["status"].to_list() == ["synced"]
