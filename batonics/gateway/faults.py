"""Faults of a feed, decided by a seed: what is lost, repeated and cut, and how a connection ends.

The rule here: what happens depends on the feed, the faults, the seed and the number of the
connection alone, never on sockets, on a clock, or on how the feed was cut into pieces. So what a
server does can be worked out without one (`connections`), and its ledger is exact.

| fault | of 1,000      | what happens                                                            |
|-------|---------------|-------------------------------------------------------------------------|
| drop  | MBO records   | it is lost; the next MBO record of its book carries F_MAYBE_BAD_BOOK,   |
|       |               | as the vendor does at a known gap (rule 17)                             |
| stall | records       | after it nothing is sent for a while (`stall_ms`), not even heartbeats  |
| rst   | records       | after it the connection is reset                                        |
| cut   | records       | the connection ends within it (FIN)                                     |
| dup   | connections   | it begins up to DUP_UNITS_MAX records earlier than asked                |

Where a client asks for a time (`start` of the live protocol), `dup` begins up to a second of the
feed before it.

A connection that a fault has ended is gone on with: the next one begins behind its last whole
record. Of other feeds than DBN, lines are lost as records are, and nothing is flagged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from batonics.codec.metadata import DBN_MAGIC, parse_prefix
from batonics.gateway.dbn_feed import FeedPiece, RecordIndex, cut_piece, record_headers
from batonics.model.errors import UsageError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Flag
from batonics.model.times import parse_duration

DUP_UNITS_MAX = 100
DUP_NS_MAX = 1_000_000_000
"""Of a feed's own time: how much earlier, where a client asked for a time."""
STALL_MS = 15_000
"""Longer than the official client waits with the shortest heartbeat (5 s and 10 s more)."""
ENDS_SHARE_MAX = 0.5
"""The greatest share of records that may end a connection."""
NS_PER_MS = 1_000_000
_FLAGS_AT = int(MBO_DTYPE.fields["flags"][1])  # type: ignore[index]
_NEVER = 2**62


class Fault(Enum):
    """A kind of fault; see the table above."""

    DROP = "drop"
    RST = "rst"
    STALL = "stall"
    DUP = "dup"
    CUT = "cut"


_AFTER_UNIT = (Fault.CUT, Fault.RST, Fault.STALL)
"""What ends a step, the first of them where several fall on one record."""


@dataclass(frozen=True)
class Faults:
    """How many of each kind there are of 1,000; and the seed of all decisions.

    Attributes:
        drop, rst, stall, dup, cut: 0 to 1,000.
        stall_ms: how long a stall lasts.
        seed: the same seed makes the same decisions.

    Raises:
        UsageError: the end of a feed would never be reached.
    """

    drop: float = 0.0
    rst: float = 0.0
    stall: float = 0.0
    dup: float = 0.0
    cut: float = 0.0
    stall_ms: int = STALL_MS
    seed: int = 0

    def __post_init__(self) -> None:
        ends = self.share(Fault.RST) + self.share(Fault.CUT)
        taken_back = self.share(Fault.DUP) * DUP_UNITS_MAX
        if self.drop and self.dup:
            raise UsageError(
                "drop and dup exclude each other: no feed says again what it has lost, and loses"
                " something else"
            )
        if ends > ENDS_SHARE_MAX or ends * taken_back > 1:
            raise UsageError(
                f"a connection would bring {1 / ends:.0f} records and the next one go back"
                f" {taken_back / 2:.0f}: nobody would ever see the feed's end"
            )

    def share(self, kind: Fault) -> float:
        """The probability of a kind, 0 to 1."""
        return float(getattr(self, kind.value)) / 1000


def parse_faults(text: str, seed: int = 0) -> Faults:
    """Faults such as `drop=0.5,rst=0.1,stall=0.1:3s`, each of 1,000.

    Raises:
        UsageError: a kind that there is not, or a number that cannot be.
    """
    shares: dict[str, float] = {}
    stall_ms = STALL_MS
    for part in filter(None, text.split(",")):
        kind, _, value = part.strip().partition("=")
        if kind not in {fault.value for fault in Fault}:
            names = ", ".join(fault.value for fault in Fault)
            raise UsageError(f"no fault {kind!r}; there are {names}")
        number, colon, length = value.partition(":")
        if colon and kind != Fault.STALL.value:
            raise UsageError(f"a length goes with stall, not with {kind}")
        if colon:
            stall_ms = max(parse_duration(length) // NS_PER_MS, 1)
        shares[kind] = _share(kind, number)
    return Faults(**shares, stall_ms=stall_ms, seed=seed)


def _share(kind: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1000:
        raise UsageError(f"fault {kind} is {text!r}, expected 0 to 1000 (of 1,000)")
    return number


@dataclass
class FaultCounts:
    """What has happened, counted where it happens.

    Attributes:
        connections: begun.
        drop, rst, stall, dup, cut: faults by kind; of `drop`, records lost.
        flagged: records that carry F_MAYBE_BAD_BOOK for records lost.
        repeated: records sent again by `dup`, where no time was asked for.
    """

    connections: int = 0
    drop: int = 0
    rst: int = 0
    stall: int = 0
    dup: int = 0
    cut: int = 0
    flagged: int = 0
    repeated: int = 0

    def add(self, other: FaultCounts) -> None:
        """Count what another has counted."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


class ReplayPosition(NamedTuple):
    """Where a connection ended, for the next to go on.

    Attributes:
        units: how many units of the feed had been taken from it, the lost ones included.
        due_ns: when the last of them was due; 0: there was none.
        suspects: books (publisher_id << 32 | instrument_id) of which a record was lost since the
            last one of it.
    """

    units: int = 0
    due_ns: int = 0
    suspects: frozenset[int] = frozenset()


REPLAY_START = ReplayPosition()


class SendStep(NamedTuple):
    """What is sent, and what happens then.

    Attributes:
        piece: to be sent. With CUT, part of a record follows its last whole one.
        then: None, STALL (go on after it), or how the connection ends: RST or CUT.
    """

    piece: FeedPiece
    fault: Fault | None = None


class FaultInjector:
    """The faults of one connection.

    Args:
        faults: how many, and the seed.
        number: of the connection, from 0 on.
        place: where it begins.
        records: whether units are DBN records.

    Attributes:
        first_unit: the unit of the feed that it begins with.
        place: where it is.
        ledger: its own.
    """

    def __init__(
        self,
        faults: Faults,
        number: int,
        position: ReplayPosition = REPLAY_START,
        *,
        records: bool = True,
    ) -> None:
        self._faults, self._records = faults, records
        self._random = {
            kind: np.random.default_rng((faults.seed, number, index))
            for index, kind in enumerate(Fault)
        }
        self.fault_counts = FaultCounts(connections=1)
        self.first_unit = position.units - self._repeated(position)
        self.position = position._replace(units=self.first_unit)
        self._next = dict.fromkeys((*_AFTER_UNIT, Fault.DROP), self.first_unit - 1)
        for kind in self._next:
            self._draw(kind)

    def steps(self, piece: FeedPiece) -> Iterator[SendStep]:
        """What becomes of the feed's next piece, which has been looked at.

        After a step that ends the connection no more are asked for.
        """
        if piece.due_ns is None:
            raise AssertionError("a piece that has not been looked at")
        units, first, begun = len(piece.due_ns), 0, self.position.units
        while first < units:
            at, kind = min((self._next[kind] - begun, kind.value) for kind in _AFTER_UNIT)
            fault = Fault(kind) if at < units else None
            whole = units if fault is None else at + (fault is not Fault.CUT)
            sent = self._lossy(cut_piece(piece, first, whole))
            if fault is Fault.CUT:
                sent = _with_part(sent, cut_piece(piece, at, at + 1))
            first = whole
            if fault is not None:
                self._count(fault)
                self._draw(fault)
            yield SendStep(sent, fault)

    def earlier_ns(self) -> int:
        """How much earlier than a time that was asked for it begins, up to DUP_NS_MAX."""
        random = self._random[Fault.DUP]
        if random.random() >= self._faults.share(Fault.DUP):
            return 0
        self.fault_counts.dup += 1
        return int(random.integers(1, DUP_NS_MAX + 1))

    def _lossy(self, piece: FeedPiece) -> FeedPiece:
        """The piece without what is lost, its first record of a suspect book flagged."""
        if piece.ends is None or piece.due_ns is None:
            raise AssertionError("a piece that has not been looked at")
        begun, units = self.position.units, len(piece.due_ns)
        lost = []
        while self._next[Fault.DROP] < begun + units:
            lost.append(self._next[Fault.DROP] - begun)
            self._draw(Fault.DROP)
        suspects = set(self.position.suspects)
        if self._records and (lost or suspects):
            piece = self._flagged(piece, lost, suspects)
        elif lost:
            self.fault_counts.drop += len(lost)
            piece = _without(piece, lost)
        due_ns = int(piece.due_ns[-1]) if piece.due_ns is not None and len(piece.due_ns) else 0
        self.position = ReplayPosition(
            begun + units, max(due_ns, self.position.due_ns), frozenset(suspects)
        )
        return piece

    def _flagged(self, piece: FeedPiece, lost: list[int], suspects: set[int]) -> FeedPiece:
        """Lose MBO records and flag those that follow; `suspects` are changed."""
        headers = record_headers(piece)
        is_mbo = (headers >> np.uint64(8)) & np.uint64(0xFF) == RTYPE_MBO
        # publisher_id and instrument_id, from the header's bytes 2 to 7.
        keys = ((headers >> np.uint64(16)) & np.uint64(0xFFFF)) << np.uint64(32) | (
            headers >> np.uint64(32)
        )
        lost = [at for at in lost if is_mbo[at]]
        is_lost = np.zeros(len(headers), np.bool_)
        is_lost[lost] = True
        flagged = set()
        for since, key in [(0, key) for key in suspects] + [(at, int(keys[at])) for at in lost]:
            later = is_mbo[since:] & ~is_lost[since:] & (keys[since:] == np.uint64(key))
            found = int(np.argmax(later)) if len(later) else 0
            if len(later) and later[found]:
                flagged.add(since + found)
                suspects.discard(key)
            else:
                suspects.add(key)
        self.fault_counts.drop += len(lost)
        self.fault_counts.flagged += len(flagged)
        if flagged:
            data = bytearray(piece.data)
            for at in flagged:
                start = int(piece.ends[at - 1]) if at else 0  # type: ignore[index]
                data[start + _FLAGS_AT] |= Flag.MAYBE_BAD_BOOK
            piece = piece._replace(data=bytes(data))
        return _without(piece, lost)

    def _repeated(self, position: ReplayPosition) -> int:
        """How many records the connection begins earlier than it should."""
        random = self._random[Fault.DUP]
        if position.units == 0 or random.random() >= self._faults.share(Fault.DUP):
            return 0
        units = min(int(random.integers(1, DUP_UNITS_MAX + 1)), position.units)
        self.fault_counts.dup += 1
        self.fault_counts.repeated += units
        return units

    def _draw(self, kind: Fault) -> None:
        """Decide which unit is the next one of a kind."""
        share = self._faults.share(kind)
        gap = int(self._random[kind].geometric(share)) if share > 0 else _NEVER
        self._next[kind] = min(self._next[kind] + gap, _NEVER)

    def _count(self, kind: Fault) -> None:
        setattr(self.fault_counts, kind.value, getattr(self.fault_counts, kind.value) + 1)


def _without(piece: FeedPiece, lost: list[int]) -> FeedPiece:
    """The piece without some of its units."""
    if not lost:
        return piece
    if piece.ends is None or piece.due_ns is None:
        raise AssertionError("a piece that has not been looked at")
    starts = np.concatenate(([0], piece.ends[:-1]))
    sizes = np.delete(piece.ends - starts, lost)
    kept, at = [], 0
    for index in lost:
        kept.append(piece.data[at : int(starts[index])])
        at = int(piece.ends[index])
    kept.append(piece.data[at:])
    return FeedPiece(b"".join(kept), np.cumsum(sizes), np.delete(piece.due_ns, lost))


def _with_part(piece: FeedPiece, unit: FeedPiece) -> FeedPiece:
    """The piece, and half of the unit that follows it."""
    return piece._replace(data=bytes(piece.data) + bytes(unit.data[: len(unit.data) // 2]))


class FaultyConnection(NamedTuple):
    """One connection, as a client sees it.

    Attributes:
        chunks: the bytes that it brings, the metadata first. Between two it stalls.
        end: RST: by a reset; CUT: it ends, within a record; None: it ends, all having been sent.
    """

    chunks: tuple[bytes, ...]
    end: Fault | None


def simulate_connections(feed: bytes, faults: Faults) -> tuple[list[FaultyConnection], FaultCounts]:
    """What a client gets that connects again whenever a fault has ended a connection.

    Args:
        feed: a DBN stream: metadata, or none, and whole records.
        faults: what happens, and its seed.
    """
    opening = parse_prefix(feed[:8]) if feed.startswith(DBN_MAGIC) else 0
    index = RecordIndex()
    pieces = list(index.feed(feed[opening:]))
    index.close()
    position, fault_counts = REPLAY_START, FaultCounts()
    made: list[FaultyConnection] = []
    while not made or made[-1].end is not None:
        injector = FaultInjector(faults, len(made), position)
        made.append(_connection(injector, feed[:opening], pieces))
        position = injector.position
        fault_counts.add(injector.fault_counts)
    return made, fault_counts


def _connection(
    injector: FaultInjector, opening: bytes, pieces: list[FeedPiece]
) -> FaultyConnection:
    chunks, chunk, to_skip = [], [opening], injector.first_unit
    for piece in pieces:
        units = 0 if piece.ends is None else len(piece.ends)
        if to_skip >= units:
            to_skip -= units
            continue
        for step in injector.steps(cut_piece(piece, to_skip, units)):
            chunk.append(bytes(step.piece.data))
            if step.fault is Fault.STALL:
                chunks.append(b"".join(chunk))
                chunk = []
            elif step.fault is not None:
                return FaultyConnection((*chunks, b"".join(chunk)), step.fault)
        to_skip = 0
    return FaultyConnection((*chunks, b"".join(chunk)), None)
