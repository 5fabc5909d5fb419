"""What `inspect` says of a stream: against plain counting, and against what is known of CLX5."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from batonics.jobs.inspect import Inspection
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag
from batonics.model.times import format_time
from tests.support.dbn_files import encode, metadata
from tests.support.real_files import CLX5
from tests.support.reference_books import Record, records
from tests.support.streams import random_stream


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
