"""Faults: equal seeds give equal faults, and the counts are exact."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from batonics.gateway.fault_injector import FaultInjector, ReplayPosition
from batonics.gateway.fault_simulation import simulate_connections
from batonics.gateway.faults import DUP_UNITS_MAX, Fault, FaultCounts, Faults, parse_faults
from batonics.gateway.feed_pieces import FeedPiece
from batonics.model.errors import UsageError
from batonics.model.mbo import MBO_DTYPE, Flag
from tests.support.dbn_files import RECORDS_AT, encode
from tests.support.replay_feeds import SYSTEM, make_feed, rows, split_pieces

RECORDS = 5_000
FEED = make_feed(RECORDS)
ALL = Faults(drop=5, rst=1, stall=1, cut=1, seed=3)


def records_of(chunks: tuple[bytes, ...]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The complete records of a connection."""
    data = b"".join(chunks)[RECORDS_AT:]
    return np.frombuffer(data[: len(data) // 56 * 56], MBO_DTYPE)


def test_without_faults_there_is_one_connection_and_the_feed() -> None:
    connections, fault_counts = simulate_connections(FEED, Faults())
    assert [(b"".join(c.chunks), c.end) for c in connections] == [(FEED, None)]
    assert fault_counts == FaultCounts(connections=1)


def test_the_same_seed_makes_the_same_faults() -> None:
    assert simulate_connections(FEED, ALL) == simulate_connections(FEED, ALL)
    other = Faults(drop=5, rst=1, stall=1, cut=1, seed=4)
    assert simulate_connections(FEED, ALL)[0] != simulate_connections(FEED, other)[0]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["drop", "dup"])
def test_the_counts_are_exact(seed: int, kind: str) -> None:
    faults = Faults(rst=1, stall=1, cut=1, seed=seed, **{kind: {"drop": 5, "dup": 500}[kind]})
    connections, fault_counts = simulate_connections(FEED, faults)
    ends = Counter(connection.end for connection in connections)
    assert (fault_counts.connections, fault_counts.rst, fault_counts.cut) == (
        len(connections), ends[Fault.RST], ends[Fault.CUT],
    )  # fmt: skip
    assert ends[None] == 1
    assert connections[-1].end is None
    assert sum(len(c.chunks) - 1 for c in connections) == fault_counts.stall
    received = [records_of(c.chunks) for c in connections]
    assert sum(map(len, received)) == RECORDS - fault_counts.drop + fault_counts.repeated
    flagged = sum(int((r["flags"] & Flag.MAYBE_BAD_BOOK != 0).sum()) for r in received)
    assert flagged == fault_counts.flagged
    if fault_counts.repeated == 0:
        ids = np.concatenate([r["order_id"] for r in received])
        assert RECORDS - len(np.unique(ids)) == fault_counts.drop
        assert (np.diff(ids.astype(np.int64)) > 0).all()


def test_the_next_record_of_a_book_that_lost_one_is_flagged() -> None:
    connections, fault_counts = simulate_connections(FEED, Faults(drop=20, seed=1))
    (connection,) = connections
    records = records_of(connection.chunks)
    received = set(records["order_id"].tolist())
    originals = rows(RECORDS)
    suspects, expected = set(), set()
    for row in originals:
        if row.order_id not in received:
            suspects.add(row.instrument_id)
        elif row.instrument_id in suspects:
            suspects.discard(row.instrument_id)
            expected.add(row.order_id)
    flagged = records[records["flags"] & Flag.MAYBE_BAD_BOOK != 0]["order_id"].tolist()
    assert set(flagged) == expected
    assert fault_counts.drop == RECORDS - len(received) > 50


@pytest.mark.parametrize("chunk_bytes", [56, 560, 5_600, 1 << 20])
def test_the_cut_into_pieces_changes_nothing(chunk_bytes: int) -> None:
    data = FEED[RECORDS_AT:]
    expected = simulate_connections(FEED, ALL)[0][0]
    injector = FaultInjector(ALL, 0)
    sent, end = b"", None
    for piece in split_pieces(data, chunk_bytes):
        for step in injector.steps(piece):
            sent += bytes(step.piece.data)
            if step.fault in (Fault.RST, Fault.CUT):
                end = step.fault
                break
        if end:
            break
    assert (sent, end) == (b"".join(expected.chunks)[RECORDS_AT:], expected.end)


def test_a_connection_continues_behind_the_last_complete_record() -> None:
    connections, fault_counts = simulate_connections(FEED, Faults(rst=2, cut=2, seed=5))
    assert fault_counts.rst > 1
    assert fault_counts.cut > 1
    whole = b"".join(records_of(c.chunks).tobytes() for c in connections)
    assert whole == FEED[RECORDS_AT:]
    for connection in connections:
        is_cut = len(b"".join(connection.chunks)[RECORDS_AT:]) % 56 != 0
        assert is_cut == (connection.end is Fault.CUT)


def test_dup_begins_too_early() -> None:
    faults = Faults(rst=2, dup=1000, seed=5)
    connections, fault_counts = simulate_connections(FEED, faults)
    assert fault_counts.dup == len(connections) - 1
    ids = [records_of(c.chunks)["order_id"] for c in connections]
    back = [int(a[-1]) + 1 - int(b[0]) for a, b in pairwise(ids)]
    assert all(1 <= units <= DUP_UNITS_MAX for units in back)
    assert sum(back) == fault_counts.repeated


def test_only_mbo_records_are_lost() -> None:
    data = FEED[:RECORDS_AT] + SYSTEM * 200 + encode(rows(200))
    ((connection,), fault_counts) = simulate_connections(data, Faults(drop=500, seed=1))
    assert b"".join(connection.chunks)[RECORDS_AT:].startswith(SYSTEM * 200)
    assert 50 < fault_counts.drop < 150


def test_lost_lines_are_not_flagged() -> None:
    lines = [b"%d\n" % number for number in range(1000)]
    ends = np.cumsum([len(line) for line in lines])
    piece = FeedPiece(b"".join(lines), ends, np.zeros(1000, np.int64))
    injector = FaultInjector(Faults(drop=100, seed=1), 0, records=False)
    (step,) = injector.steps(piece)
    left = bytes(step.piece.data).splitlines(keepends=True)
    assert set(left) < set(lines)
    assert len(left) == 1000 - injector.fault_counts.drop
    assert injector.fault_counts.flagged == 0
    assert np.asarray(step.piece.ends).tolist() == np.cumsum([len(line) for line in left]).tolist()
    assert injector.position == ReplayPosition(1000, 0, frozenset())


def test_faults_are_parsed() -> None:
    read = parse_faults("rst=1,stall=2:3s,dup=1000,cut=0", 9)
    assert read == Faults(rst=1, stall=2, dup=1000, cut=0, stall_ms=3000, seed=9)
    assert parse_faults("drop=0.5, cut=2", 9) == Faults(drop=0.5, cut=2, seed=9)


@pytest.mark.parametrize(
    "text", ["drop=1,dup=1", "lose=1", "drop", "drop=x", "drop=-1", "rst=1001", "drop=1:3s",
             "stall=1:x", "rst=600",
             "rst=20,dup=1000"]
)  # fmt: skip
def test_impossible_faults_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_faults(text)
