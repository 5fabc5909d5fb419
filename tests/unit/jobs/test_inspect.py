"""What `inspect` says of a stream: against plain counting, and against what is known of CLX5."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import databento
import numpy as np
import pytest

from batonics.codec.messages import RTYPE_NAMES, record_words
from batonics.jobs.inspect import Inspection, KeyCounter
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag
from batonics.model.times import NS_PER_S, format_time
from tests.support.command import run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.real_files import CLX5
from tests.support.reference_books import Record, records
from tests.support.streams import random_stream
from tests.support.vendor_frames import VENUE_FILES


def longest_silences(rows: list[Record]) -> list[dict[str, object]]:
    times = [
        row.ts_recv
        for row in rows
        if not row.flags & Flag.BAD_TS_RECV and row.ts_recv != UNDEF_TIMESTAMP
    ]
    steps = [(late - early, early) for early, late in itertools.pairwise(times)]
    longest = sorted((step for step in steps if step[0] > 0), reverse=True)[:5]
    return [{"after": format_time(start), "seconds": ns / 10**9} for ns, start in longest]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_counts_are_those_of_plain_counting(seed: int, tmp_path: Path) -> None:
    rows = list(records(random_stream(seed, 70_000, partial_modifies=False)))
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata() + encode(rows))
    report = Inspection([str(path)]).run()
    actions = Counter(Action(row.action).name.lower() for row in rows)
    assert report["actions"] == actions
    assert report["records"] == len(rows) == report["files"][0]["mbo_records"]
    assert report["publishers"] == Counter(str(row.publisher_id) for row in rows)
    flags = {str(f.name).lower(): sum(bool(row.flags & f) for row in rows) for f in Flag}
    assert report["flags"] == {name: count for name, count in flags.items() if count}
    books = Counter((row.publisher_id, row.instrument_id) for row in rows)
    assert {
        (book["publisher_id"], book["instrument_id"]): book["records"] for book in report["books"]
    } == books
    for name in ("ts_event", "ts_recv"):
        times = [getattr(row, name) for row in rows if getattr(row, name) != UNDEF_TIMESTAMP]
        expected = {"first": format_time(min(times)), "last": format_time(max(times))}
        assert report[name] == expected
    assert report["longest_silences"] == longest_silences(rows)


def test_clx5_is_as_it_is_known(test_data: Path) -> None:
    report = Inspection([str(test_data / CLX5)]).run()
    assert report["records"] == 38_212
    assert report["actions"] == {
        "add": 14_959, "cancel": 16_252, "modify": 2_701, "trade": 1_599, "fill": 2_701,
    }  # fmt: skip
    (book,) = report["books"]
    assert (book["symbol"], book["instrument_id"], book["status"]) == ("CLX5", 432_669, "cold")
    assert book["anomalies"] == {"unknown_cancel": 1_224, "unknown_modify": 216}
    described = report["files"][0]["metadata"]
    assert (described["dbn_version"], described["dataset"]) == (3, "GLBX.MDP3")
    assert (described["schema"], described["symbols"]) == ("mbo", ["CLX5"])


def inspected(path: Path) -> str:
    done = run_in_process("inspect", path, "--quiet")
    assert done.code == 0, done.err
    return done.out.decode()


def test_every_kind_of_record_has_a_name() -> None:
    assert set(RTYPE_NAMES) == set(record_words(3, ts_out=False).nonzero()[0].tolist())
    assert len(set(RTYPE_NAMES.values())) == len(RTYPE_NAMES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (f"{name}.dbn.zst", name.split(".", 2)[2].replace("tbbo", "mbp-1"))
            for name in VENUE_FILES
        ),
        ("XNAS.ITCH.definition.dbn.zst", "definition"),
    ],
)
def test_files_of_every_schema_say_what_they_hold(test_data: Path, name: str, kind: str) -> None:
    path = test_data / "venues" / name
    store = databento.DBNStore.from_bytes(path.read_bytes())
    records = list(store)
    report = Inspection([str(path)]).run()
    text = inspected(path)
    assert "None" not in text
    assert f"records: {kind} {len(records)}" in text or kind == "mbo"
    assert store.symbols[0] in text
    if kind == "mbo":
        assert report["records"] == len(records)
        assert report["other_records"] == {}
        return
    (found,) = report["other_records"].items()
    times = [r.ts_event for r in records if r.ts_event != UNDEF_TIMESTAMP]
    assert found[0] == kind
    assert found[1]["records"] == len(records)
    assert found[1]["ts_event"] == {
        "first": format_time(min(times)),
        "last": format_time(max(times)),
    }
    assert [row["records"] for row in found[1]["instruments"]] == [len(records)]
    assert found[1]["instruments"][0]["symbol"] == store.symbols[0]
    assert (
        f"{len(records)} {kind} records of 1 instrument, ts_event {format_time(min(times))}" in text
    )
    assert "MBO records" not in text


def test_a_live_stream_says_what_each_kind_holds(test_data: Path) -> None:
    path = test_data / "dbn-versions" / "live-mixed.v3.dbn.zst"
    text = inspected(path)
    assert "records: mbo 5, trades 2, mbp-1 2, mbp-10 2, definition 2, symbol_mapping 20" in text
    assert "9 statistics records of 1 instrument, ts_event 2023-11-20T22:38:58.386227977Z" in text
    assert "0x" not in text


def test_silences_that_round_to_nothing_are_not_printed(tmp_path: Path) -> None:
    times = [DAY_NS, DAY_NS + 400_000, DAY_NS + 400_000 + NS_PER_S // 1_000]
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata() + encode([record(Action.ADD, ts_recv=at) for at in times]))
    silences = [line for line in inspected(path).splitlines() if "silent" in line]
    assert [line.split(" after ")[0].strip() for line in silences] == ["silent for 0.001 s"]


def test_a_file_without_records_says_so_and_nothing_of_times(tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata())
    text = inspected(path)
    assert "0 MBO records" in text
    assert "None" not in text
    assert "silent" not in text


@pytest.mark.parametrize("books", [1, 300, 9_000])
def test_keys_are_counted_whatever_slots_they_share(books: int) -> None:
    random = np.random.default_rng(books)
    # Keys whose lower halves differ by multiples of the number of slots share a slot.
    keys = random.integers(0, books, 20_000) * 2**16 | random.integers(0, 3, 20_000) << 32
    counter, expected = KeyCounter(), Counter[int]()
    for piece in np.array_split(keys, 7):
        counter.add(piece)
        expected.update(piece.tolist())
    assert counter.counts() == expected
