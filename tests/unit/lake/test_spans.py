"""When a source has records of each book: what is counted, and how spans grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from batonics.lake.spans import SpanRecorder, share_hash
from batonics.model.mbo import Action, Flag
from batonics.model.record_hashes import record_hashes
from batonics.model.symbols import OPEN_END_NS, MappingInterval, SymbolMap
from batonics.model.times import NS_PER_DAY
from tests.support.dbn_files import DAY_NS, record
from tests.support.reference_books import Record
from tests.support.streams import batch_of

DAY = DAY_NS // NS_PER_DAY


def add(after_ns: int, instrument_id: int = 1, flags: int = int(Flag.LAST)) -> Record:
    return record(Action.ADD, instrument_id=instrument_id, ts_recv=DAY_NS + after_ns, flags=flags)


def spans_of(recorder: SpanRecorder) -> list[tuple[int, str, int, int, bool]]:
    names = SymbolMap()
    names.add(MappingInterval(0, OPEN_END_NS, 1, "AAA"))
    return [
        (span.day - DAY, span.name, span.first_ns - DAY_NS, span.last_ns - DAY_NS, continued)
        for span in recorder.spans(names, by_symbol=False)
        for continued in [span.is_continued]
    ]


def recorded(*batches: Sequence[Record]) -> SpanRecorder:
    recorder = SpanRecorder()
    for rows in batches:
        recorder.add(batch_of(rows))
    return recorder


def test_each_book_and_day_has_a_span_over_all_batches() -> None:
    recorder = recorded(
        [add(5), add(6, 2), add(7), add(9, 2)],
        [add(8), add(NS_PER_DAY + 1), add(NS_PER_DAY - 1), add(NS_PER_DAY + 3)],
    )
    assert spans_of(recorder) == [
        (0, "AAA", 5, NS_PER_DAY - 1, False),
        (0, "instrument 2", 6, 9, False),
        (1, "AAA", NS_PER_DAY + 1, NS_PER_DAY + 3, False),
    ]


def test_snapshots_and_records_without_a_time_are_not_counted() -> None:
    untimed, snapshot = int(Flag.BAD_TS_RECV), int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    recorder = recorded([add(1, flags=untimed), add(2, flags=snapshot), add(3), add(4, flags=64)])
    assert spans_of(recorder) == [(0, "AAA", 3, 4, False)]
    assert spans_of(recorded([add(2, flags=snapshot)], [])) == []


def test_a_span_has_the_hashes_of_its_first_and_last_records() -> None:
    def edges(*batches: Sequence[Record]) -> tuple[bytes, bytes]:
        (span,) = recorded(*batches).spans(SymbolMap(), by_symbol=False)
        return span.first_hashes, span.last_hashes

    def hashes_of(*rows: Record) -> bytes:
        return np.sort(record_hashes(batch_of(rows))).tobytes()

    first, also, last, last_too = add(1), add(1)._replace(order_id=2), add(3), add(3, flags=0)
    middle = add(2)
    expected = hashes_of(first, also), hashes_of(last, last_too)
    rows = [first, also, middle, last, last_too]
    for cut in range(1, 5):
        assert edges(rows[:cut], rows[cut:]) == expected
    assert edges([first]) == (hashes_of(first), hashes_of(first))
    other = add(1, 9)  # the number of an instrument may depend on its stream
    assert edges([other]) == edges([first])
    assert share_hash(expected[0], hashes_of(also))
    assert not share_hash(*expected)


def test_only_what_is_new_since_a_commit_is_given() -> None:
    recorder = recorded([add(1), add(2, 2)])
    recorder.commit()
    assert spans_of(recorder) == []
    recorder.add(batch_of([add(3), add(NS_PER_DAY)]))
    assert spans_of(recorder) == [
        (0, "AAA", 1, 3, True),
        (1, "AAA", NS_PER_DAY, NS_PER_DAY, False),
    ]
