"""Files are read in the order of their time; what repeats or overlaps is refused, at every door.

The rule: no order of names on the command line changes an answer. What is refused is one line that
names both files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

import orjson
import polars as pl
import pytest

import batonics
from batonics.gateway.dbn_feed import DbnFeed
from batonics.gateway.replay_files import ReplayFiles
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.model.errors import BatonicsError, InputError, LossWarning, UsageError
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY, NS_PER_S
from batonics.sources.file_order import group_paths
from tests.support.command import error_line, reconstruct_books, run_in_process
from tests.support.dbn_files import DAY_NS, adds, compress, encode, metadata, record
from tests.support.reference_books import Record
from tests.support.replays import receive_all, run_replay

pytestmark = pytest.mark.filterwarnings("ignore:uncovered")  # by the days between the files


def write(path: Path, rows: Sequence[Record], *, is_compressed: bool = False) -> Path:
    """A DBN file of records."""
    data = metadata() + encode(rows)
    path.write_bytes(compress(data) if is_compressed else data)
    return path


def orders(
    ts_recv: int, count: int = 10, instrument_id: int = 1, step_ns: int = 1_000
) -> list[Record]:
    """Orders of one instrument, each an event."""
    return [
        record(
            Action.ADD,
            instrument_id=instrument_id,
            order_id=1 + number + ts_recv // NS_PER_S % 1_000_000,
            ts_recv=ts_recv + step_ns * number,
        )
        for number in range(count)
    ]


DOORS: dict[str, tuple[str, ...]] = {
    "reconstruct": ("reconstruct", "FILES", "--out", "-", "--quiet"),
    "verify": ("verify", "FILES", "--out", "-", "--quiet"),
    "convert": ("convert", "FILES", "--schema", "bbo", "--out", "-", "--format", "ndjson"),
    "snapshots": ("reconstruct", "FILES", "--snapshots", "-", "--every", "1s", "--quiet"),
    "inspect": ("inspect", "FILES", "--json", "--quiet"),
    "fill": (
        "fill", "FILES", "--side", "buy", "--price", "100", "--size", "1",
        "--at", "2024-10-04T00:00:00.000004Z", "--symbols", "AAA", "--json", "--quiet",
    ),
    "query": ("query", "SELECT * FROM mbo", "FROM", "--format", "csv", "--quiet"),
}  # fmt: skip


def arguments(door: str, files: Sequence[Path]) -> list[str | Path]:
    """The command line of a door with these files."""
    found: list[str | Path] = []
    for word in DOORS[door]:
        if word == "FILES":
            found += files
        elif word == "FROM":
            found += [part for file in files for part in ("--from", file)]
        else:
            found.append(word)
    return found


@pytest.fixture
def week(tmp_path: Path) -> list[Path]:
    """Files of three days as a glob names them: fri, mon, thu."""
    days = {"fri": 7, "mon": 3, "thu": 6}
    return [
        write(tmp_path / f"{name}.dbn", orders(DAY_NS + day * NS_PER_DAY))
        if name != "thu"
        else write(tmp_path / "thu.dbn.zst", orders(DAY_NS + day * NS_PER_DAY), is_compressed=True)
        for name, day in days.items()
    ]


@pytest.mark.parametrize("door", DOORS)
def test_files_are_read_in_the_order_of_their_time(door: str, week: list[Path]) -> None:
    fri, mon, thu = week
    if door == "fill":
        at = DOORS[door].index("--at") + 1
        early = [*DOORS[door]]
        early[at] = str(DAY_NS + 3 * NS_PER_DAY + 4_000)
        sorted_files = run_in_process(
            *(x for w in early for x in ([mon, thu, fri] if w == "FILES" else [w]))
        )
        globbed = run_in_process(*(x for w in early for x in (week if w == "FILES" else [w])))
    else:
        sorted_files = run_in_process(*arguments(door, [mon, thu, fri]))
        globbed = run_in_process(*arguments(door, week))
    assert globbed.code == 0, globbed.err
    assert globbed.out == sorted_files.out
    assert len(globbed.out) > 20


@pytest.mark.parametrize("door", DOORS)
def test_a_file_that_is_given_twice_is_refused(door: str, week: list[Path], tmp_path: Path) -> None:
    _, mon, _ = week
    line = error_line(run_in_process(*arguments(door, [mon, mon])), 2)
    assert line.startswith(f"{mon} is given twice; ")
    copy = tmp_path / "copy.dbn.zst"
    copy.write_bytes(compress(mon.read_bytes()))
    line = error_line(run_in_process(*arguments(door, [mon, copy])), 2)
    assert line.startswith(
        f"{mon} and {copy} begin with the same record, at 2024-10-07T00:00:00.000000000Z; "
    )
    link = tmp_path / "link.dbn"
    link.symlink_to(mon)
    line = error_line(run_in_process(*arguments(door, [link, mon])), 2)
    assert line.startswith(f"{link} and {mon} are one file, which is given twice; ")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_files_that_overlap_are_refused(door: str, is_compressed: bool, tmp_path: Path) -> None:
    day, part = tmp_path / "day.dbn", tmp_path / "part.dbn"
    write(day, orders(DAY_NS, 9_000, step_ns=1_000_000), is_compressed=is_compressed)
    write(part, orders(DAY_NS + 7 * NS_PER_S, 10), is_compressed=is_compressed)
    done = run_in_process(*arguments(door, [part, day]))
    if is_compressed and door == "convert":  # rows before the overlap are out already
        done = done._replace(out=b"")
    line = error_line(done, 2)
    assert line.startswith(f"{day} and {part} overlap: {part} has ")
    assert "2024-10-04T00:00:07" in line
    assert f"{day} has it at 2024-10-04T00:00:0" in line
    assert line.endswith("--in-this-order")


@pytest.mark.parametrize("door", DOORS)
def test_a_record_that_ends_a_file_and_begins_the_next_is_refused(
    door: str, tmp_path: Path
) -> None:
    rows = orders(DAY_NS, 20)
    other = rows[9]._replace(order_id=77)
    first = write(tmp_path / "1.dbn.zst", rows[:10], is_compressed=True)
    second = write(tmp_path / "2.dbn", [other, *rows[9:]])
    done = run_in_process(*arguments(door, [second, first]))
    if door == "convert":  # rows before the seam are out already
        done = done._replace(out=b"")
    at = "2024-10-04T00:00:00.000009000Z"
    assert error_line(done, 2).startswith(
        f"{first} and {second} overlap: both have the same record of "
    )
    assert f" at {at}; " in done.err
    write(second, [other, *rows[10:]])
    assert run_in_process(*arguments(door, [second, first])).code == 0


def test_a_file_behind_another_in_one_input_has_its_own_records(tmp_path: Path) -> None:
    rows, joined = orders(DAY_NS, 20), tmp_path / "joined.dbn"
    tied = [row._replace(ts_recv=DAY_NS + 9_000) for row in rows[:10]]
    for ahead in (rows[:10], tied):
        for beginning in ([rows[9]], [rows[9]._replace(order_id=77), rows[9]]):
            behind = [*beginning, *rows[10:]]
            joined.write_bytes(metadata() + encode(ahead) + metadata() + encode(behind))
            with pytest.raises(
                UsageError, match="file 2: begins with a record that the file ahead"
            ):
                batonics.scan_mbo(joined).collect()
    joined.write_bytes(metadata() + encode(rows[:10]) + metadata() + encode(rows[10:]))
    assert batonics.scan_mbo(joined).collect().height == 20
    joined.write_bytes(metadata() + encode(rows[:10]) + metadata() + encode(rows[9:]))
    assert batonics.scan_mbo(joined, in_this_order=True).collect().height == 21


def test_whoever_means_it_gets_the_order_that_is_given(week: list[Path]) -> None:
    fri, mon, _ = week
    rows = batonics.scan_mbo([fri, mon], in_this_order=True).select("ts_recv").collect()
    assert rows["ts_recv"].is_sorted(descending=False) is False
    assert rows.height == 20
    twice = batonics.scan_mbo([mon, mon], in_this_order=True).collect()
    assert twice.height == 20
    assert reconstruct_books(fri, mon, "--in-this-order") != reconstruct_books(fri, mon)
    books = batonics.reconstruct([mon, mon], in_this_order=True)
    assert books.summary()["duplicate_add"].to_list() == [10]


def test_python_has_the_same_order_and_refusals(week: list[Path], tmp_path: Path) -> None:
    fri, mon, thu = week
    expected = batonics.scan_mbo([mon, thu, fri]).collect()
    assert batonics.scan_mbo(week).collect().equals(expected)
    assert expected["ts_recv"].is_sorted()
    summary = batonics.reconstruct([mon, thu, fri]).summary()
    assert batonics.reconstruct(week).summary().equals(summary)
    readers: list[Callable[[], object]] = [
        lambda: batonics.scan_mbo([mon, mon]).collect(),
        lambda: batonics.reconstruct([mon, mon]),
        lambda: batonics.load_lake([mon, mon], tmp_path / "lake", one_stream=True),
    ]
    for read in readers:
        with pytest.raises(UsageError, match="is given twice"):
            read()
    assert not list((tmp_path / "lake").rglob("*.parquet"))


def test_a_lake_of_one_stream_has_one_order(week: list[Path], tmp_path: Path) -> None:
    fri, mon, thu = week
    lake = batonics.load_lake(week, tmp_path / "lake", schemas=["mbo"], one_stream=True)
    rows = lake.scan("mbo").collect()
    batonics.load_lake([mon, thu, fri], tmp_path / "lake", schemas=["mbo"], one_stream=True)
    assert lake.scan("mbo").collect().height == rows.height == 30


def test_files_of_different_symbols_are_merged_by_time(tmp_path: Path) -> None:
    rows = adds(9_000)
    whole = write(tmp_path / "whole.dbn", rows)
    parts = [
        write(
            tmp_path / f"{number}.dbn",
            [row for row in rows if row.instrument_id == number],
            is_compressed=number == 2,
        )
        for number in (2, 1)
    ]
    expected = batonics.scan_mbo(whole).collect()
    assert batonics.scan_mbo(parts).collect().equals(expected)
    assert reconstruct_books(*parts, "--orders") == reconstruct_books(whole, "--orders")


def test_files_of_several_days_and_symbols_are_one_stream(tmp_path: Path) -> None:
    files, rows = [], []
    for day in range(2):
        of_day = adds(50, ts_recv=DAY_NS + day * NS_PER_DAY)
        rows += of_day
        for number in (1, 2):
            chosen = [row for row in of_day if row.instrument_id == number]
            files.append(write(tmp_path / f"{number}-{day}.dbn", chosen))
    days = [write(tmp_path / f"day-{day}.dbn", rows[50 * day : 50 * day + 50]) for day in range(2)]
    assert reconstruct_books(*sorted(files), "--orders") == reconstruct_books(*days, "--orders")
    assert batonics.scan_mbo(sorted(files)).collect().equals(batonics.scan_mbo(days).collect())


def test_ndjson_files_are_ordered_and_merged(tmp_path: Path) -> None:
    def lines(symbol: str, times: range) -> str:
        op = {"type": "add", "symbol": symbol, "side": "bid", "px": 10**9, "qty": 1}
        return "".join(orjson.dumps({**op, "oid": t, "ts_ns": t}).decode() + "\n" for t in times)

    later, a, b = (tmp_path / name for name in ("0-later", "a", "b"))
    later.write_text(lines("A", range(100, 110)))
    a.write_text(lines("A", range(10, 50, 2)))
    b.write_text(lines("B", range(11, 51, 2)))
    rows = batonics.scan_mbo([later, a, b]).collect()
    assert rows["order_id"].to_list() == [*range(10, 50), *range(100, 110)]
    names = [("A", "B")[t % 2] for t in range(10, 50)] + 10 * ["A"]
    assert rows["symbol"].to_list() == names
    # Ops without a time stay where they are given.
    untimed = tmp_path / "untimed"
    untimed.write_text('{"type":"clear","symbol":"A"}\n')
    rows = batonics.scan_mbo([later, untimed, a]).collect()
    assert rows["action"].to_list() == 20 * ["A"] + 10 * ["A"] + ["R"]


def test_pipes_are_ordered_by_their_first_bytes(week: list[Path], tmp_path: Path) -> None:
    fri, mon, _ = week
    pipes = []
    for file in (fri, mon):
        pipe = tmp_path / f"pipe-{file.stem}"
        os.mkfifo(pipe)
        Thread(target=pipe.write_bytes, args=(file.read_bytes(),), daemon=True).start()
        pipes.append(pipe)
    assert reconstruct_books(*pipes) == reconstruct_books(mon, fri)


def test_a_file_behind_another_is_the_next_file(tmp_path: Path, week: list[Path]) -> None:
    fri, mon, _ = week
    joined = tmp_path / "joined.dbn"
    joined.write_bytes(mon.read_bytes() + fri.read_bytes())
    assert reconstruct_books(joined, "--orders") == reconstruct_books(mon, fri, "--orders")
    report = orjson.loads(run_in_process("inspect", "--json", joined).out)
    assert [file["name"] for file in report["files"]] == [f"{joined}", f"{joined}, file 2"]
    assert [file["records"] for file in report["files"]] == [10, 10]
    joined.write_bytes(fri.read_bytes() + mon.read_bytes())
    line = error_line(run_in_process("reconstruct", joined), 2)
    assert line.startswith(f"{joined}, file 2: begins at 2024-10-07T00:00:00.000000000Z, before ")
    assert run_in_process("reconstruct", joined, "--in-this-order").code == 0


def test_the_case_of_joined_files(cases: Path) -> None:
    assert batonics.scan_mbo(cases / "joined.dbn").collect().height == 4


@pytest.mark.parametrize("door", DOORS)
def test_a_cut_file_is_salvaged_where_it_is_asked_for(door: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut.dbn"
    whole = write(tmp_path / "whole.dbn", orders(DAY_NS, 10)).read_bytes()
    cut.write_bytes(whole[:-20])
    assert "the stream ends after 36 bytes of a record" in error_line(
        run_in_process(*arguments(door, [cut])), 3
    )
    done = run_in_process(*arguments(door, [cut]), "--salvage")
    assert done.code == 0, done.err
    assert done.err.startswith(
        f"batonics: warning: {cut}: ends within a record; lost: 36 bytes after record 9\n"
    )


def test_the_loss_of_a_cut_file_is_said_in_python_and_in_json(cases: Path, tmp_path: Path) -> None:
    cut = cases / "cut_tail.dbn"
    with pytest.raises(BatonicsError, match="the stream ends after 36 bytes of a record"):
        batonics.scan_mbo(cut).collect()
    with pytest.warns(LossWarning, match="lost: 36 bytes after record 2$"):
        assert batonics.scan_mbo(cut, salvage=True).collect().height == 2
    report = orjson.loads(run_in_process("inspect", "--json", "--salvage", cut).out)
    assert report["files"][0]["lost"] == "36 bytes after record 2"
    frame = tmp_path / "cut.dbn.zst"
    frame.write_bytes(compress(metadata() + encode(adds(5_000)))[:-100])
    with pytest.warns(LossWarning, match="cut.dbn.zst: ends within a record; lost: "):
        rows = batonics.scan_mbo(frame, salvage=True).collect()
    assert 0 < rows.height < 5_000
    text = tmp_path / "cut.ndjson"
    text.write_text('{"type":"clear","symbol":"A"}\n{"type":"cl')
    with pytest.warns(LossWarning, match="lost: 11 bytes after record 1$"):
        assert batonics.scan_mbo(text, salvage=True).select(pl.len()).collect().item() == 1


def replayed(protocol: str, files: Sequence[Path]) -> bytes:
    """What a replay of files sends to a client."""
    with run_replay(*files, protocol=protocol) as replay:
        return receive_all(replay)


PROTOCOLS = ["dbn", "length-prefixed", "ndjson"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_replay_sends_files_in_the_order_of_their_time(
    protocol: str, week: list[Path], tmp_path: Path
) -> None:
    fri, mon, thu = week
    assert replayed(protocol, week) == replayed(protocol, [mon, thu, fri])
    for files in ([mon, mon], [mon, write(tmp_path / "part.dbn", orders(DAY_NS + 3 * NS_PER_DAY))]):
        with pytest.raises(UsageError):
            replayed(protocol, files)
    with pytest.raises(UsageError):
        ReplayFiles([str(mon), str(mon)])
    assert ReplayFiles(list(map(str, week))).paths == tuple(map(str, (mon, thu, fri)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_replay_merges_files_of_different_symbols(
    protocol: str, is_compressed: bool, tmp_path: Path
) -> None:
    rows = adds(500)
    parts = [
        write(
            tmp_path / f"{number}.dbn",
            [row for row in rows if row.instrument_id == number],
            is_compressed=is_compressed,
        )
        for number in (2, 1)
    ]
    later = write(tmp_path / "later.dbn", orders(DAY_NS + NS_PER_DAY))
    whole = write(tmp_path / "whole.dbn", rows)
    assert replayed(protocol, [later, *parts]) == replayed(protocol, [whole, later])


def test_a_replay_refuses_an_overlap_that_only_its_records_show(tmp_path: Path) -> None:
    day = write(tmp_path / "day.dbn", orders(DAY_NS, 300), is_compressed=True)
    part = write(tmp_path / "part.dbn", orders(DAY_NS + 100_000, 10), is_compressed=True)
    groups = group_paths([str(part), str(day)])
    assert groups == [(str(day), str(part))]
    with pytest.raises(UsageError, match=f"{day} and {part} overlap: "):
        list(DbnFeed(groups[0], groups=groups).pieces(None, indexed=False))
    rows = orders(DAY_NS, 300)
    for is_compressed in (False, True):
        write(day, rows[:100], is_compressed=is_compressed)
        write(part, [rows[99]._replace(order_id=7), *rows[99:]], is_compressed=is_compressed)
        groups = group_paths([str(part), str(day)])
        with pytest.raises(UsageError, match="overlap: both have the same record of instrument 1"):
            list(DbnFeed(groups[0], groups=groups).pieces(None, indexed=False))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_replay_reads_a_file_behind_another_as_the_next_file(
    protocol: str, week: list[Path], tmp_path: Path
) -> None:
    fri, mon, _ = week
    joined = tmp_path / "joined.dbn"
    joined.write_bytes(mon.read_bytes() + fri.read_bytes())
    received = tmp_path / "received"
    received.write_bytes(replayed(protocol, [joined]))
    ours = batonics.scan_mbo(received).collect()
    both = tmp_path / "both"
    both.write_bytes(replayed(protocol, [mon, fri]))
    assert ours.equals(batonics.scan_mbo(both).collect())
    assert ours.height


def test_a_gateway_refuses_a_file_behind_another(tmp_path: Path) -> None:
    joined = tmp_path / "joined.dbn"
    joined.write_bytes(b"".join(metadata() + encode(orders(DAY_NS + at)) for at in (0, NS_PER_S)))
    files = ReplayFiles([str(joined)])
    with pytest.raises(InputError, match=f"{joined}, file 2: begins behind another DBN file"):
        list(record_pieces(files.paths, SessionRequest("mbo", None)))


def test_a_lake_refuses_what_it_has_from_another_file(tmp_path: Path) -> None:
    lake, schemas = tmp_path / "lake", ["mbo", "bbo-1s", "orders"]
    day = write(tmp_path / "day.dbn", orders(DAY_NS, 100, step_ns=NS_PER_S))
    batonics.load_lake(day, lake, schemas=schemas)
    copy = tmp_path / "copy.dbn.zst"
    copy.write_bytes(compress(day.read_bytes()))
    part = write(tmp_path / "part.dbn", orders(DAY_NS + 50 * NS_PER_S, 10, step_ns=NS_PER_S))
    for file, times in ((copy, "00:00:00.000000000Z to"), (part, "00:00:50.000000000Z to")):
        with pytest.raises(UsageError) as caught:
            batonics.load_lake(file, lake, schemas=schemas)
        words = str(caught.value)
        assert words.startswith(f"{file} and {day}, which the lake has, overlap: both have records")
        assert times in words
        line = error_line(run_in_process("lake", "load", file, "--lake", lake, "--quiet"), 2)
        assert line.startswith(f"{file} and {day}, which the lake has, overlap: ")
    held = batonics.Lake(lake)
    assert held.scan("mbo").collect().height == 100
    # The same file, another symbol, another publisher and what follows are no overlaps.
    batonics.load_lake(day, lake, schemas=schemas)
    other = write(tmp_path / "other.dbn", orders(DAY_NS, 5, instrument_id=2))
    publisher = tmp_path / "publisher.dbn"
    rows = [row._replace(publisher_id=7) for row in orders(DAY_NS, 5)]
    publisher.write_bytes(metadata() + encode(rows))
    follows = orders(DAY_NS + 99 * NS_PER_S, 5, step_ns=NS_PER_S)
    follows = [row._replace(order_id=row.order_id + 500) for row in follows]
    rest = write(tmp_path / "rest.dbn", follows)
    batonics.load_lake([other, publisher, rest], lake, schemas=schemas)
    assert held.scan("mbo").collect().height == 115
    batonics.load_lake(part, lake, schemas=["mbo"], in_this_order=True)
    assert held.scan("mbo").collect().height == 125
