"""`--at`: the books after the last complete event at or before a moment.

The rule: what is expected comes from feeding the reference, record by record, with each book's
records up to its last event that is complete by then.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from batonics import DataWarning, UsageError, reconstruct, scan_mbo
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag
from batonics.model.times import format_time
from tests.support.command import SAMPLE, error_line, reconstruct_books, run_in_process
from tests.support.compare_books import engine_l3, first_difference, reference_l3
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo
from tests.support.reference_books import Key, Record, ReferenceBooks, records

SEED = 7
TIMES = 24
REAL = {"clx5": CLX5, "dbeq": DBEQ, "esh4": ESH4_DAYS[1], "esh4-adds": ESH4_DAYS[0]}


def received(rows: Sequence[Record]) -> Iterator[int]:
    """When each record was received, as far as it can be told: never running backwards."""
    now_ns = 0
    for row in rows:
        trusted = row.flags & Flag.SNAPSHOT or not row.flags & Flag.BAD_TS_RECV
        if trusted and row.ts_recv != UNDEF_TIMESTAMP:
            now_ns = max(now_ns, row.ts_recv)
        yield now_ns


def event_ends(rows: Sequence[Record]) -> list[bool]:
    """Which records end an event of their book; a snapshot ends with its last record."""
    ends = [bool(row.flags & Flag.LAST) for row in rows]
    follows: dict[Key, bool] = {}  # whether the book's next record is of a snapshot
    for index in range(len(rows) - 1, -1, -1):
        row = rows[index]
        key = (row.publisher_id, row.instrument_id)
        of_snapshot = bool(row.flags & Flag.SNAPSHOT)
        if of_snapshot and not follows.get(key, False):
            ends[index] = True
        follows[key] = of_snapshot
    return ends


def moments(times: Sequence[int]) -> list[int]:
    """Moments to ask for: at, just before and just after records, the ends, and outside."""
    chance = random.Random(SEED)
    near = {chance.choice(times) + chance.choice((-1, 0, 0, 1)) for _ in range(TIMES)}
    return sorted({*near, times[0], times[-1], times[-1] + 10**12} - {times[0] - 1})


@pytest.mark.parametrize("name", [*REAL, "sample"])
def test_the_books_at_a_moment_are_those_of_whole_events(
    name: str, request: pytest.FixtureRequest
) -> None:
    path = SAMPLE
    if name in REAL:
        directory: Path = request.getfixturevalue("test_data")
        path = directory / REAL[name]
    rows = list(records(read_mbo(path)))
    times, ends = list(received(rows)), event_ends(rows)
    reference = ReferenceBooks()
    begun: dict[Key, list[Record]] = defaultdict(list)
    reached = seen_books = 0
    for at_ns in moments(times):
        while reached < len(rows) and times[reached] <= at_ns:
            row = rows[reached]
            waiting = begun[row.publisher_id, row.instrument_id]
            waiting.append(row)
            if ends[reached]:
                for complete in waiting:
                    reference.apply(complete)
                waiting.clear()
            reached += 1
        expected = reference_l3(reference)
        with nullcontext() if at_ns <= times[-1] else pytest.warns(DataWarning, match="after"):
            found = engine_l3(reconstruct(path, at=at_ns).engine)
        # A book whose records waited for their end appears in its turn, which nothing depends on.
        found = {key: found[key] for key in [*expected, *found] if key in found}
        assert first_difference(found, expected) == "", f"at {at_ns}, {format_time(at_ns)}"
        seen_books += len(found)
    assert reached == len(rows)
    assert seen_books > len(moments(times)) // 2


def test_a_moment_may_be_written_in_every_way() -> None:
    text, at_ns = "2026-01-05T14:30:30Z", 1_767_623_430_000_000_000
    forms = [text, str(at_ns), "2026-01-05 14:30:30", "2026-01-05T15:30:30.000000000+01:00"]
    found = [reconstruct_books(SAMPLE, "--at", form) for form in forms]
    assert len(set(found)) == 1
    assert found[0] != reconstruct_books(SAMPLE)
    assert all(
        book["ts_recv"] <= "2026-01-05T14:30:30.000000000Z"
        for book in orjson.loads(found[0])["books"]
    )


BEFORE, AFTER = "2026-01-05T14:29:59Z", "2026-01-06T00:00:00Z"


def test_before_the_first_record_no_book_is_known(tmp_path: Path) -> None:
    out = tmp_path / "book.json"
    done = run_in_process("reconstruct", SAMPLE, "--at", BEFORE, "--out", out)
    assert "is before the first record, at 2026-01-05T14:30:00.000075000Z" in error_line(done, 2)
    assert not out.exists()
    with pytest.raises(UsageError, match="before the first record"):
        reconstruct(SAMPLE, at=BEFORE)
    with pytest.raises(UsageError, match="before the first record"):
        scan_mbo(SAMPLE).mbo.book_at(BEFORE).collect()  # type: ignore[attr-defined]


def test_after_the_last_record_an_answer_says_so() -> None:
    document = orjson.loads(reconstruct_books(SAMPLE, "--at", AFTER))
    last = "2026-01-05T14:31:22.899215818Z"
    assert document["at"] == "2026-01-06T00:00:00.000000000Z"
    assert document["data"] == {"from": "2026-01-05T14:30:00.000075000Z", "until": last}
    assert {tuple(book["warnings"]) for book in document["books"]} == {("after_data",)}
    said = run_in_process("reconstruct", SAMPLE, "--at", AFTER).err.splitlines()[-1]
    assert said.startswith("after_data: the time is after the last record: the book is the last")
    assert said.endswith(last)
    with pytest.warns(DataWarning, match="after the last record"):
        books = reconstruct(SAMPLE, at=AFTER)
    assert repr(books).endswith("levels, after_data>")
    assert books.summary()["warnings"].to_list() == [["after_data"]] * 5
    lazy = scan_mbo(SAMPLE).mbo.book_at(AFTER)  # type: ignore[attr-defined]
    with pytest.warns(DataWarning, match="after the last record"):
        assert lazy.collect().height == len(books.levels())


def test_another_book_shows_that_a_quiet_one_is_not_after_the_data() -> None:
    summary = reconstruct(SAMPLE).summary().sort("ts_recv")
    quiet, last = summary["instrument_id"][0], summary["ts_recv"][-1]
    levels = scan_mbo(SAMPLE).mbo.book_at(last)  # type: ignore[attr-defined]
    assert levels.filter(pl.col("instrument_id") == quiet).collect().height > 0
    assert reconstruct(SAMPLE, at=last, symbols=[quiet]).as_of.warnings() == []


def test_the_records_that_were_applied_are_counted() -> None:
    records = scan_mbo(SAMPLE).filter(
        pl.col("ts_recv") <= datetime(2026, 1, 5, 14, 30, 10, tzinfo=UTC)
    )
    count = records.select(pl.len()).collect().item()
    done = run_in_process("reconstruct", SAMPLE, "--at", "2026-01-05T14:30:10Z")
    (shown,) = re.findall(r"([\d,]+) records, 5 books", done.err)
    assert count - 100 < int(shown.replace(",", "")) <= count < 100_000


def test_the_day_before_is_not_made_cold_by_a_file_of_the_day_after(test_data: Path) -> None:
    days = [test_data / day for day in ESH4_DAYS]
    at = "2023-12-24T23:59:59Z"
    found = orjson.loads(reconstruct_books(*days, "--at", at, "--orders"))["books"]
    assert found == orjson.loads(reconstruct_books(days[0], "--orders"))["books"]
    assert found[0]["status"] == "synced"


def test_symbols_are_chosen_by_name_and_by_number() -> None:
    whole = {
        book["symbol"]: book
        for book in orjson.loads(reconstruct_books(SAMPLE, "--orders"))["books"]
    }
    number = whole["SIM3"]["instrument_id"]
    both = [whole["SIM1"], whole["SIM3"]]
    for names in ("SIM1,SIM3", f"SIM3, SIM1,{number}", f"SIM1,{number}"):
        found = orjson.loads(reconstruct_books(SAMPLE, "--orders", "--symbols", names))["books"]
        assert found == sorted(both, key=lambda book: book["instrument_id"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SIM33", "no symbol 'SIM33' in the input; did you mean SIM3"),
        ("sim1", "no symbol 'sim1' in the input; did you mean SIM1?"),
        ("QQQ", "no symbol 'QQQ' in the input; it has SIM0, SIM1, SIM2, SIM3, SIM4"),
        ("4000000000", "no symbol '4000000000' in the input; it has SIM0"),
        ("9" * 5000, "in the input; it has SIM0"),
        ("", "no symbol '' in the input"),
    ],
    ids=["near", "case", "far", "number", "long", "empty"],
)
def test_an_unknown_symbol_is_answered_with_those_there_are(name: str, words: str) -> None:
    assert words in error_line(
        run_in_process("reconstruct", SAMPLE, "--symbols", f"SIM1,{name}"), 2
    )
