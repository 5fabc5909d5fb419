"""The anomaly of a ts_recv that falls back: what counts, whatever the batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batonics
from batonics.book.checkpoint import load, save
from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag, slice_batch
from batonics.model.times import NS_PER_S
from tests.support.command import run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.reference_books import Record, ReferenceBooks
from tests.support.streams import batch_of

LAST = int(Flag.LAST)
BAD = LAST | int(Flag.BAD_TS_RECV)


def rows_at(*seconds: float, flags: int = LAST, instrument_id: int = 1) -> list[Record]:
    """Adds at these times of a day."""
    return [
        record(
            Action.ADD,
            order_id=number,
            instrument_id=instrument_id,
            flags=flags,
            ts_recv=DAY_NS + round(at * NS_PER_S),
        )
        for number, at in enumerate(seconds)
    ]


def counts(rows: list[Record], *cuts: int, limit_ns: int | None = NS_PER_S) -> list[int]:
    """The anomaly of each book, of rows that come in batches."""
    engine, batch = BookEngine(), batch_of(rows)
    engine.backwards_ns_max = limit_ns
    for start, stop in pairwise([0, *cuts, len(rows)]):
        engine.fold(slice_batch(batch, start, stop))
    found: list[int] = engine.anomalies()[:, Anomaly.TS_RECV_BACKWARDS].tolist()
    return found


def test_a_time_more_than_the_limit_behind_the_latest_is_counted() -> None:
    assert counts(rows_at(10, 9, 8.999, 10, 5, 11)) == [2]
    assert counts(rows_at(10, 9, 8.999, 10, 5, 11), limit_ns=3 * NS_PER_S) == [1]
    assert counts(rows_at(10, 9, 8.999, 10, 5, 11), limit_ns=None) == [0]


def test_the_stream_has_one_clock_and_each_book_its_own_count() -> None:
    rows = rows_at(10) + rows_at(2, 3, instrument_id=2) + rows_at(12)
    assert counts(rows) == [0, 2]


def test_untrusted_times_neither_count_nor_move_the_clock() -> None:
    undefined = [record(Action.ADD, ts_recv=UNDEF_TIMESTAMP)]
    late_and_far = rows_at(1, 99, flags=BAD)
    assert counts(rows_at(10) + late_and_far + undefined + rows_at(11, 12)) == [0]
    snapshot = rows_at(0, 0, flags=BAD | int(Flag.SNAPSHOT))
    assert counts(rows_at(10) + snapshot + rows_at(11)) == [0]


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from([LAST, BAD]), st.integers(1, 2)), min_size=1
    ),
    st.lists(st.integers(0, 30), max_size=3),
)
def test_counts_are_those_of_the_reference(
    steps: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    rows = [
        record(Action.ADD, ts_recv=DAY_NS + at * NS_PER_S // 2, flags=flags, instrument_id=number)
        for at, flags, number in steps
    ]
    reference = ReferenceBooks()
    for row in rows:
        reference.apply(row)
    expected = [reference.anomalies(key).get("ts_recv_backwards", 0) for key in reference.books()]
    assert counts(rows, *sorted(min(cut, len(rows)) for cut in cuts)) == expected


def test_the_clock_is_in_a_checkpoint() -> None:
    engine = BookEngine()
    engine.fold(batch_of(rows_at(10)))
    loaded, _ = load(save(engine, {}))
    loaded.fold(batch_of(rows_at(5)))
    assert loaded.anomalies()[0, Anomaly.TS_RECV_BACKWARDS] == 1


def test_the_anomaly_is_shown_and_its_limit_is_a_setting(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/day.dbn"
    with open(path, "wb") as file:  # noqa: PTH123 - a path as text
        file.write(metadata() + encode(rows_at(10, 8, 11)))
    for words in (("inspect", path), ("verify", path), ("verify", path, "--json")):
        assert "ts_recv_backwards" in run_in_process(*words).out.decode(), words
    assert batonics.reconstruct(path).summary()["ts_recv_backwards"].to_list() == [1]
    # Rows of open events are held back for a time of the books; that reorders them.
    rows = rows_at(10, 20, flags=0) + rows_at(30, instrument_id=2) + rows_at(31, 25)
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(metadata() + encode(rows))
    at = batonics.reconstruct(path, at=int(DAY_NS + 31 * NS_PER_S)).summary()
    assert at["ts_recv_backwards"].to_list() == [1, 0]
    monkeypatch.setenv("BATONICS_INPUT_TS_RECV_BACKWARDS_S", "10")
    assert np.sum(batonics.reconstruct(path).summary()["ts_recv_backwards"].to_numpy()) == 0
