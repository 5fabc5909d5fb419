"""A lake has each record once: what it has already is refused, whichever way it comes.

The rule: two sources overlap if records of one book are at intersecting times. Other books, other
times, and a stream that goes on are no overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

import batonics
from batonics.jobs.lake_append import AppendRequest, LakeAppend
from batonics.model.errors import UsageError
from batonics.model.mbo import Action, Flag
from batonics.model.times import NS_PER_DAY, NS_PER_S
from batonics.sources.input_options import InputOptions
from tests.support.command import run_command
from tests.support.dbn_files import DAY_NS, adds, compress, encode, metadata, record
from tests.support.reference_books import Record


def write(path: Path, rows: Sequence[Record]) -> Path:
    path.write_bytes(metadata() + encode(rows))
    return path


def append(
    lake: Path,
    path: Path,
    name: str = "feed",
    *,
    schemas: Sequence[str] = ("mbo",),
    again: bool = False,
) -> None:
    options = InputOptions(in_this_order=again)
    LakeAppend(AppendRequest(str(lake), name, str(path), tuple(schemas), 60.0, options)).run()


def rows_in(lake: Path, schema: str = "mbo") -> int:
    return int(batonics.Lake(lake).scan(schema).select(pl.len()).collect().item())


def refusal(lake: Path, path: Path, name: str = "feed") -> str:
    with pytest.raises(UsageError) as caught:
        append(lake, path, name)
    return str(caught.value)


def test_a_stream_that_is_appended_again_is_refused(tmp_path: Path) -> None:
    lake, day = tmp_path / "lake", write(tmp_path / "day.dbn", adds(10))
    append(lake, day)
    first, last = "2024-10-04T00:00:00.000000000Z", "2024-10-04T00:00:00.000008000Z"
    assert refusal(lake, day) == (
        f"feed has records of AAA from {first} to {last} in the lake already; give each record"
        " once, or add --in-this-order to have such rows twice"
    )
    assert refusal(lake, day, "other") == (
        f"other and feed, which the lake has, overlap: both have records of AAA from {first} to"
        f" {last}; give each record once, or add --in-this-order to have such rows twice"
    )
    assert rows_in(lake) == 10
    assert batonics.Lake(lake).check() == []
    append(lake, day, again=True)
    assert rows_in(lake) == 20


def test_a_day_that_was_loaded_is_not_appended_but_on_request(tmp_path: Path) -> None:
    lake, day = tmp_path / "lake", write(tmp_path / "day.dbn", adds(10))
    batonics.load_lake(day, lake, schemas=["mbo"])
    assert refusal(lake, day).startswith(f"feed and {day}, which the lake has, overlap: both have")
    assert rows_in(lake) == 10
    command = ("lake", "append", "--lake", lake, "--name", "feed", "--schemas", "mbo")
    assert run_command(*command, "--in-this-order", stdin=day.read_bytes()).code == 0
    assert rows_in(lake) == 20


def test_a_file_of_what_was_appended_is_refused(tmp_path: Path) -> None:
    lake, day = tmp_path / "lake", write(tmp_path / "day.dbn", adds(10))
    append(lake, day)
    with pytest.raises(UsageError, match=f"{day} and feed, which the lake has, overlap: both have"):
        batonics.load_lake(day, lake, schemas=["mbo"])
    assert rows_in(lake) == 10


def test_a_stream_goes_on_behind_what_the_lake_has_of_it(tmp_path: Path) -> None:
    lake, rows = tmp_path / "lake", adds(30)
    append(lake, write(tmp_path / "1.dbn", rows[:10]))
    # It begins with a snapshot of what is there already, as a live session does.
    snapshot = [row._replace(flags=int(Flag.SNAPSHOT | Flag.LAST)) for row in rows[:10]]
    append(lake, write(tmp_path / "2.dbn", [*snapshot, *rows[10:20]]))
    append(lake, write(tmp_path / "3.dbn", rows[20:]), "another run")
    assert rows_in(lake) == 40
    again = refusal(lake, write(tmp_path / "4.dbn", rows[16:20]))
    assert again.startswith("feed has records of AAA from 2024-10-04T00:00:00.000016000Z to ")


@pytest.mark.parametrize("schemas", [["ohlcv-1d"], ["orders"], ["trades"]])
def test_rows_that_cannot_be_compared_themselves_are_refused_too(
    schemas: list[str], tmp_path: Path
) -> None:
    lake, trade = tmp_path / "lake", record(Action.TRADE, ts_recv=DAY_NS + 5)
    day = write(tmp_path / "day.dbn", [trade])
    batonics.load_lake(day, lake, schemas=schemas)
    copy = tmp_path / "copy.dbn.zst"
    copy.write_bytes(compress(day.read_bytes()))
    with pytest.raises(UsageError, match=f"{copy} and {day}, which the lake has, overlap: "):
        batonics.load_lake(copy, lake, schemas=schemas)


def test_the_same_books_under_another_name_are_refused(tmp_path: Path) -> None:
    lake, day = tmp_path / "lake", write(tmp_path / "day.dbn", adds(10))
    batonics.load_lake(day, lake, schemas=["mbo"])
    other = tmp_path / "other.dbn"
    other.write_bytes(metadata({"AAA.c.0": 1}) + encode(adds(10)))
    with pytest.raises(UsageError, match=r"both have records of AAA\.c\.0"):
        batonics.load_lake(other, lake, schemas=["mbo"])


@pytest.mark.parametrize("is_appended", [False, True])
def test_a_record_at_the_seam_of_two_sources_is_there_once(
    is_appended: bool,
    tmp_path: Path,
) -> None:
    lake, rows = tmp_path / "lake", adds(10)
    last = rows[-1]._replace(instrument_id=1)
    same_time = last._replace(order_id=77)

    def add(name: str, rows: Sequence[Record]) -> None:
        path = write(tmp_path / name, rows)
        if is_appended:
            append(lake, path)
        else:
            batonics.load_lake(path, lake, schemas=["mbo"])

    add("1.dbn", [*rows[:9], last])
    refused = r"the same record of AAA at 2024-10-04T00:00:00.000009000Z"
    for beginning in ([last], [same_time, last], [last, same_time]):
        with pytest.raises(UsageError, match=refused):
            add("2.dbn", [*beginning, *adds(5, ts_recv=DAY_NS + 100_000)])
    with pytest.raises(UsageError, match=refused):
        batonics.load_lake(write(tmp_path / "point.dbn", [last]), lake, schemas=["mbo"])
    add("3.dbn", [same_time, *adds(5, ts_recv=DAY_NS + 100_000)])
    assert rows_in(lake) == 16
    # An earlier source may end where the lake begins, too.
    earlier = [rows[0]._replace(order_id=78)]
    batonics.load_lake(write(tmp_path / "0.dbn", earlier), lake, schemas=["mbo"])
    with pytest.raises(UsageError, match="the same record of AAA at 2024-10-04T00:00:00"):
        batonics.load_lake(write(tmp_path / "again.dbn", rows[:1]), lake, schemas=["mbo"])
    assert rows_in(lake) == 17


@pytest.mark.filterwarnings("ignore:uncovered")  # a day between two files has none
def test_what_is_no_overlap_is_loaded(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    days = [
        write(tmp_path / f"{day}.dbn", adds(10, ts_recv=DAY_NS + day * NS_PER_DAY))
        for day in range(3)
    ]
    batonics.load_lake([days[0], days[2]], lake, schemas=["mbo"], one_stream=True)
    batonics.load_lake(days[1], lake, schemas=["mbo"])  # a day between those of one source
    copy = tmp_path / "copy.dbn.zst"
    copy.write_bytes(compress(days[1].read_bytes()))
    batonics.load_lake(copy, lake, schemas=["trades"])  # no row is there twice
    assert rows_in(lake) == 30
    # What a changed file had before does not count any more.
    write(days[1], adds(4, ts_recv=DAY_NS + NS_PER_DAY + NS_PER_S))
    batonics.load_lake(days[1], lake, schemas=["mbo"])
    append(lake, write(tmp_path / "rest.dbn", adds(5, ts_recv=DAY_NS + NS_PER_DAY)))
    assert rows_in(lake) == 29


def test_symbols_of_ndjson_are_books_whatever_their_numbers(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    line = '{{"type":"add","symbol":"{0}","side":"bid","oid":1,"px":10,"qty":5,"ts_ns":{1}}}\n'
    for symbol in ("AAA", "BBB"):
        path = tmp_path / f"{symbol}.ndjson"
        path.write_text("".join(line.format(symbol, DAY_NS + number) for number in range(5)))
        batonics.load_lake(path, lake, schemas=["mbo"])
    assert rows_in(lake) == 10
    both = tmp_path / "both.ndjson"
    both.write_text(line.format("CCC", DAY_NS) + line.format("BBB", DAY_NS + 2))
    with pytest.raises(UsageError, match="both have records of BBB"):
        batonics.load_lake(both, lake, schemas=["mbo"])
