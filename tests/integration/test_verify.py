"""`batonics verify`: real and nasty streams are proved, and whatever is broken is found.

The rule: the engine is broken behind the command's back, one word of its state at a time; what the
command then says must name it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult
from batonics.book.state import BID_LADDER, SLOT_WORDS, Anomaly, Book, Ladder, Level, Order, State
from batonics.jobs import verify as verify_module
from batonics.jobs.explanations import ANOMALY_MEANINGS, explain_anomaly
from batonics.jobs.findings import FINDINGS_MAX
from batonics.jobs.record_windows import WindowLength
from batonics.jobs.verify import Verification, VerifyRequest
from batonics.model.mbo import Action, Flag, MboBatch, Side, take_batch
from batonics.model.times import NS_PER_DAY
from tests.support.command import CommandResult, error_line, run_in_process
from tests.support.dbn_files import DAY_NS, SMALL, adds, damaged, encode, metadata, record
from tests.support.real_files import CLX5, ESH4_DAYS, FILES
from tests.support.reference_books import Key, ReferenceBooks, records
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream

Break = Callable[[State], None]


def verify(*paths: Path, every: str = "100000") -> dict[str, Any]:
    request = VerifyRequest(tuple(map(str, paths)), every=WindowLength.parse(every))
    return Verification(request).run()


def write(path: Path, batch: MboBatch) -> Path:
    path.write_bytes(metadata() + encode(list(records(batch))))
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.dbn"
    path.write_bytes(SMALL)
    return path


# ---------------------------------------------------------------------- what is sound is proved


@pytest.mark.parametrize("every", ["250", "1999 records", "700 events", "100000"])
@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"partial"}))
def test_nasty_streams_are_proved(profile: str, every: str, tmp_path: Path) -> None:
    batch = PROFILES[profile](7, 6_000)
    # DBN has no partial modify.
    batch.action[batch.action == Action.MODIFY_PARTIAL] = Action.MODIFY
    report = verify(write(tmp_path / "x.dbn", batch), every=every)
    assert report["proved"], report["differences"]["first"] + report["violations"]["first"]
    assert report["records"] == 6_000
    assert report["compared"]["levels"] > 0


@pytest.mark.parametrize("seed", range(20, 30))
def test_random_streams_with_tops_snapshots_and_faults_are_proved(
    seed: int, tmp_path: Path
) -> None:
    batch = random_stream(
        seed, 8_000, partial_modifies=False, tob_books=2, snapshot_share=0.01, fault_share=0.04
    )
    assert verify(write(tmp_path / "x.dbn", batch), every="1000")["proved"]


@pytest.mark.parametrize("every", ["777", "10000", "500 events", "100000"])
@pytest.mark.parametrize("name", FILES)
def test_real_files_are_proved(name: str, every: str, test_data: Path) -> None:
    report = verify(test_data / name, every=every)
    assert report["proved"], report["differences"]["first"]
    assert report["compared"]["books"] >= len(report["books"])


def test_days_one_after_the_other_are_proved(test_data: Path) -> None:
    report = verify(*(test_data / name for name in ESH4_DAYS), every="5000")
    assert report["proved"]
    (book,) = report["books"]
    (replaced,) = book["anomalies"]
    assert (replaced["name"], replaced["expected"]) == ("snapshot_replaced", True)


def test_a_new_days_books_are_cold_in_both_derivations(tmp_path: Path) -> None:
    clear = record(Action.CLEAR, side=Side.NONE, price=0, size=0, order_id=0)
    days = [[clear, *adds(2)], adds(4, ts_recv=DAY_NS + NS_PER_DAY)]
    paths = [tmp_path / "1.dbn", tmp_path / "2.dbn"]
    for path, rows in zip(paths, days, strict=True):
        path.write_bytes(metadata() + encode(rows))
    report = verify(*paths)
    assert report["proved"], report["differences"]["first"]
    assert [book["status"] for book in report["books"]] == ["cold", "cold"]


def test_clx5_is_explained(test_data: Path) -> None:
    report = verify(test_data / CLX5)
    assert report["compared"] == {"books": 1, "levels": 113, "orders": 147}
    (book,) = report["books"]
    assert (book["status"], book["crossed_events"], book["locked_events"]) == ("cold", 172, 0)
    assert book["fill_order"] == {"compared": 1_061, "out_of_order": 30}
    assert "a lower bound" in book["reason"]
    assert [(a["name"], a["count"], a["expected"]) for a in book["anomalies"]] == [
        ("unknown_cancel", 1_224, True),
        ("unknown_modify", 216, True),
    ]


def test_crossed_and_locked_states_are_counted_after_events(tmp_path: Path) -> None:
    batch = random_stream(31, 5_000, partial_modifies=False)
    reference = ReferenceBooks()
    expected: dict[Key, list[int]] = {}
    for row in records(batch):
        key = row.publisher_id, row.instrument_id
        counts = expected.setdefault(key, [0, 0])
        before = reference.events(key) if key in reference.books() else 0
        quotes = reference.bbo(key) if key in reference.books() else (None, None)
        reference.apply(row)
        ended = reference.events(key) - before
        # An open snapshot ends before the record that shows it.
        last = bool(row.flags & Flag.LAST)
        shown = [quotes] * (ended - last) + [reference.bbo(key)] * last
        for bid, ask in shown:
            if bid is not None and ask is not None:
                counts[0] += bid[0] > ask[0]
                counts[1] += bid[0] == ask[0]
    report = verify(write(tmp_path / "x.dbn", batch), every="313")
    assert {
        (book["publisher_id"], book["instrument_id"]): [
            book["crossed_events"],
            book["locked_events"],
        ]
        for book in report["books"]
    } == expected


def test_a_book_in_the_middle_of_an_event_waits_for_the_end(tmp_path: Path) -> None:
    rows = [*adds(2), record(Action.ADD, order_id=9, flags=0), record(Action.ADD, order_id=10)]
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata() + encode(rows[:3]))
    # The end of the input ends the window, and all books are compared there.
    assert verify(path, every="3")["compared"]["books"] == 2
    path.write_bytes(metadata() + encode(rows))
    assert verify(path, every="4")["compared"]["books"] == 2
    # The third record leaves one of the two books open: it waits for the end.
    assert verify(path, every="3")["compared"]["books"] == 1 + 2


def test_windows_of_events_end_with_events(tmp_path: Path) -> None:
    flags = [int(Flag.LAST), 0, 0, int(Flag.LAST), 0, int(Flag.LAST), 0]
    rows = [record(Action.ADD, order_id=n, flags=flag) for n, flag in enumerate(flags)]
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata() + encode(rows))
    report = verify(path, every="2 events")
    # Records 0 to 3; and what is left.
    assert report["windows"] == 2
    assert verify(path, every="1 events")["windows"] == 4


def test_an_input_of_no_records_is_proved(tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata())
    report = verify(path)
    assert (report["proved"], report["windows"], report["books"]) == (True, 0, [])


# ---------------------------------------------------------------------- what is broken is found


def level_of(state: State, order_id: int) -> int:
    return int(state.orders[order_at(state, order_id) + Order.PACKED] >> 32) * SLOT_WORDS


def order_at(state: State, order_id: int) -> int:
    ids = state.orders[Order.ORDER_ID :: SLOT_WORDS]
    taken = state.orders[Order.OWNER :: SLOT_WORDS] >= 0
    return int(((ids == order_id) & taken).argmax()) * SLOT_WORDS


def grow_level(state: State) -> None:
    state.levels[level_of(state, 3) + Level.SIZE] += 1


def miscount_level(state: State) -> None:
    state.levels[level_of(state, 3) + Level.COUNT] += 1


def grow_order_and_level(state: State) -> None:
    """Consistent in itself: only the records tell."""
    state.orders[order_at(state, 3) + Order.PACKED] += 5
    state.levels[level_of(state, 3) + Level.SIZE] += 5


def swap_priorities(state: State) -> None:
    """Consistent in itself: only the records tell."""
    one, other = (order_at(state, order_id) + Order.PRIORITY for order_id in (1, 11))
    state.orders[one], state.orders[other] = state.orders[other], state.orders[one]


def lose_level(state: State) -> None:
    """The best bid is popped, though it has orders."""
    start, length = state.books[BID_LADDER + Ladder.START], state.books[BID_LADDER + Ladder.LENGTH]
    best = int(state.run_slots[start + length - 1]) * SLOT_WORDS
    state.levels[best + Level.OWNER] &= ~1
    state.books[BID_LADDER + Ladder.LENGTH] -= 1
    state.books[BID_LADDER + Ladder.BEST] = state.run_slots[start + length - 2]


def lose_order(state: State) -> None:
    """An order that was never there, nor its size."""
    order, level = order_at(state, 3), level_of(state, 3)
    state.levels[level + Level.SIZE] -= state.orders[order + Order.PACKED] & 0xFFFFFFFF
    state.levels[level + Level.COUNT] -= 1
    state.orders[order + Order.OWNER] = -1


def trust_the_book(state: State) -> None:
    state.books[Book.STATUS] = 1


def break_after_fold(
    monkeypatch: pytest.MonkeyPatch, *changes: Break, after_records: int = 1
) -> None:
    """Change the state after the batch that brings this record, again after the next, and so on."""
    fold, left = BookEngine.fold, list[Break]()

    def broken_fold(self: BookEngine, batch: MboBatch) -> FoldResult:
        if self.records == 0:  # another engine
            left[:] = changes
        folded = fold(self, batch)
        if self.records >= after_records and left:
            left.pop(0)(self.state)
        return folded

    monkeypatch.setattr(BookEngine, "fold", broken_fold)


@pytest.mark.parametrize(
    ("change", "invariants", "differ"),
    [
        (grow_level, {"level_size"}, {"level"}),
        (miscount_level, {"level_count"}, {"level"}),
        (grow_order_and_level, set(), {"level", "order"}),
        (swap_priorities, set(), {"order"}),
        (lose_level, {"in_ladder"}, {"level"}),
        (lose_order, set(), {"level", "order"}),
        (trust_the_book, set(), {"book"}),
    ],
)
def test_a_broken_engine_is_found_and_what_is_broken_is_named(
    change: Break,
    invariants: set[str],
    differ: set[str],
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert verify(small)["proved"]
    break_after_fold(monkeypatch, change)
    report = verify(small)
    assert not report["proved"]
    assert {row["invariant"] for row in report["violations"]["first"]} == invariants
    assert {row["name"] for row in report["invariants"] if row["violations"]} == invariants
    assert {row["of"] for row in report["differences"]["first"]} == differ


def test_a_difference_says_where_and_what(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_after_fold(monkeypatch, grow_level)
    (found,) = verify(small)["differences"]["first"]
    assert found == {
        "of": "level",
        "first_record": 0,
        "last_record": 19,
        "publisher_id": 1,
        "instrument_id": 1,
        "symbol": "AAA",
        "side": "B",
        "price": "98",
        "price_1e9": 98 * 10**9,
        "engine": {"size": 3, "count": 2},
        "witness": {"size": 2, "count": 2},
    }


def test_what_only_one_has_is_a_difference(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_after_fold(monkeypatch, lose_level)
    (found,) = verify(small)["differences"]["first"]
    assert found["price"] == "100"
    assert found["engine"] is None
    assert found["witness"] == {"size": 2, "count": 2}


def test_a_book_that_the_engine_lacks_is_a_difference(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = BookEngine.fold

    def deaf_fold(self: BookEngine, batch: MboBatch) -> FoldResult:
        return fold(self, take_batch(batch, batch.instrument_id == 1))

    monkeypatch.setattr(BookEngine, "fold", deaf_fold)
    first = verify(small)["differences"]["first"][0]
    assert (first["of"], first["instrument_id"], first["engine"]) == ("book", 2, None)


def test_a_fault_of_one_window_is_told_with_its_records(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after_fold(monkeypatch, swap_priorities)
    report = verify(small, every="15")
    # The two stand in one queue; each stands elsewhere in it, in both windows.
    assert report["differences"]["count"] == 4
    windows = {(row["first_record"], row["last_record"]) for row in report["differences"]["first"]}
    assert windows == {(0, 14), (15, 19)}


def windows_of(report: dict[str, Any]) -> set[tuple[int, int]]:
    """The windows of the findings of a report."""
    findings = report["differences"]["first"] + report["violations"]["first"]
    return {(row["first_record"], row["last_record"]) for row in findings}


@pytest.mark.parametrize(
    "change",
    [grow_level, miscount_level, grow_order_and_level, lose_level, lose_order, trust_the_book],
)
def test_a_fault_in_what_a_window_changes_is_found_at_its_end(
    change: Break, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first window has order 3 and the best level, and no window of five changes both again.
    break_after_fold(monkeypatch, change, after_records=5)
    report = verify(small, every="5")
    assert not report["proved"]
    assert (0, 4) in windows_of(report)


@pytest.mark.parametrize(
    "change", [grow_level, grow_order_and_level, swap_priorities, lose_level, lose_order]
)
def test_a_fault_in_what_is_not_touched_again_is_found_at_the_end(
    change: Break, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Records 15 to 19 touch none of the orders that break, nor their levels.
    break_after_fold(monkeypatch, change, after_records=14)
    report = verify(small, every="1")
    assert not report["proved"]
    assert max(windows_of(report)) == (19, 19)


def test_a_fault_that_is_undone_is_found_in_its_window_alone(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink_level(state: State) -> None:
        state.levels[level_of(state, 3) + Level.SIZE] -= 1

    break_after_fold(monkeypatch, grow_level, shrink_level, after_records=5)
    assert windows_of(verify(small, every="5")) == {(0, 4)}


@pytest.mark.parametrize("whole_every", [1, 10**9])
def test_everything_is_compared_now_and_then(
    whole_every: int, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "WHOLE_RECORDS_MIN", whole_every)
    monkeypatch.setattr(verify_module, "WHOLE_RECORDS_RATIO", 0)
    # The order and its level change in the first window, and break in the second.
    break_after_fold(monkeypatch, grow_order_and_level, after_records=10)
    found = windows_of(verify(small, every="5"))
    assert ((5, 9) in found) is (whole_every == 1)
    assert (15, 19) in found


def test_what_is_wrong_is_counted_but_only_the_first_is_listed(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after_fold(monkeypatch, grow_level)
    report = verify(small, every="1")
    assert report["differences"]["count"] < FINDINGS_MAX
    fold = BookEngine.fold

    def forgetful(self: BookEngine, batch: MboBatch) -> FoldResult:
        return fold(self, batch._replace(side=np.full_like(batch.side, Side.NONE)))

    monkeypatch.setattr(BookEngine, "fold", forgetful)
    report = verify(small, every="1")
    assert report["differences"]["count"] > FINDINGS_MAX
    assert len(report["differences"]["first"]) == FINDINGS_MAX


# ---------------------------------------------------------------------- the command


def test_the_command_prints_a_table_and_a_summary(small: Path) -> None:
    done = run_in_process("verify", small)
    assert done.code == 0, done.err
    said = done.out.decode()
    assert "the count of a level is the number of its orders" in said
    assert "AAA" in said
    summary, cold = said.splitlines()[-2:]
    assert summary.startswith("proved for what the records show: 20 records, 20 events, 2 books")
    assert cold.startswith("cold: 2 of 2 books: ")


def test_the_report_is_the_same_each_time_and_in_a_file(small: Path, tmp_path: Path) -> None:
    printed = run_in_process("verify", "--json", small)
    assert run_in_process("verify", "-q", "--out", "-", small) == printed
    out = tmp_path / "report.json"
    done = run_in_process("verify", "-q", "--out", out, small)
    assert done == CommandResult(0, b"", "")
    assert out.read_bytes() == printed.out
    assert orjson.loads(printed.out)["schema"] == "batonics.verify/1"


def test_symbols_are_selected(small: Path) -> None:
    report = orjson.loads(run_in_process("verify", "--json", "--symbols", "BBB", small).out)
    assert [book["symbol"] for book in report["books"]] == ["BBB"]
    assert report["records"] == 10


def test_a_broken_engine_ends_the_command_with_1_and_one_line(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after_fold(monkeypatch, grow_level)
    out = tmp_path / "report.json"
    said = error_line(run_in_process("verify", "-q", "--out", out, small), 1)
    assert said == (
        "not proved: 1 broken invariant (level_size) and 1 difference; the first: level_size: AAA"
        " of publisher 1 bid 98: its size is 3, that of its orders 2 (records 0 to 19)"
    )
    assert orjson.loads(out.read_bytes())["proved"] is False
    table = run_in_process("verify", small)
    assert table.code == 1
    assert "not proved: 20 records" in table.out.decode()


def test_a_difference_alone_is_described(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_after_fold(monkeypatch, trust_the_book)
    assert error_line(run_in_process("verify", "-q", small), 1) == (
        "not proved: 1 difference; the first: book: AAA of publisher 1: the engine has status"
        " synced, the records say status cold (records 0 to 19)"
    )


def test_errors_are_as_elsewhere(small: Path, tmp_path: Path) -> None:
    error_line(run_in_process("verify", tmp_path / "none.dbn"), 3)
    bad = tmp_path / "bad.dbn"
    bad.write_bytes(damaged(0, 0))
    assert "length byte is 0" in error_line(
        run_in_process("verify", "-q", "--out", tmp_path / "o", bad), 3
    )
    assert not (tmp_path / "o").exists()
    bad.write_bytes(damaged(38, 0))  # an action that is none
    error_line(run_in_process("verify", bad), 3)
    assert b"19 records, 19 events, 2 books, 1 bad record skipped" in (
        run_in_process("verify", "--skip-bad", bad).out
    )
    for every in ("0", "-1", "x", "10 orders", ""):
        assert "--every" in error_line(run_in_process("verify", "--every", every, small), 2)
    assert "not both" in error_line(
        run_in_process("verify", "--json", "--out", tmp_path / "o", small), 2
    )
    assert "no symbol 'X'" in error_line(run_in_process("verify", "--symbols", "X", small), 2)
    error_line(run_in_process("verify", "--out", tmp_path, small), 4)


# ---------------------------------------------------------------------- words


def test_every_anomaly_has_a_meaning() -> None:
    assert list(ANOMALY_MEANINGS) == list(Anomaly)


def test_an_unknown_order_is_to_be_expected_of_incomplete_books_alone() -> None:
    for incomplete in (True, False):
        cancel = explain_anomaly(Anomaly.UNKNOWN_CANCEL, 2, incomplete=incomplete)
        assert cancel["expected"] is incomplete
        assert not explain_anomaly(Anomaly.OVER_CANCEL, 2, incomplete=incomplete)["expected"]
        assert explain_anomaly(Anomaly.TOB_CANCEL, 2, incomplete=incomplete)["expected"]


def test_a_status_has_a_reason(tmp_path: Path) -> None:
    flagged = record(Action.ADD, instrument_id=2, flags=Flag.LAST | Flag.MAYBE_BAD_BOOK)
    clear = record(Action.CLEAR, side=Side.NONE, price=0, size=0, order_id=0)
    path = tmp_path / "x.dbn"
    path.write_bytes(metadata() + encode([*adds(4), clear, flagged, record(Action.CANCEL)]))
    first, second = verify(path)["books"]
    assert first["reason"].endswith("a known beginning at record 4")
    assert "a gap was flagged at record 5" in second["reason"]
    # Its first records came before its clear.
    assert [(a["name"], a["expected"]) for a in first["anomalies"]] == [("unknown_cancel", True)]
