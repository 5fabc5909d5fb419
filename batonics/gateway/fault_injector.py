"""Applies the faults of one connection to the pieces that it sends.

The rule here: the result depends only on the feed, the faults, the seed and the number of the
connection, never on sockets, on a clock, or on how the feed was cut into pieces. So the connections
of a server can be computed without one (`fault_simulation.py`), and the counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.gateway.faults import DUP_UNITS_MAX, Fault, FaultCounts, Faults
from batonics.gateway.feed_pieces import FeedPiece, cut_piece, unit_index
from batonics.gateway.record_index import record_headers
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Flag

DUP_NS_MAX = 1_000_000_000
"""How much too early a connection may begin in the feed's time, if a client asked for a time."""
_FLAGS_AT = int(MBO_DTYPE.fields["flags"][1])  # type: ignore[index]
_NEVER = 2**62  # a unit that does not come
_STEP_ENDS = (Fault.CUT, Fault.RST, Fault.STALL)
"""The faults that end a step; if several fall on one record, the first of these happens."""


class ReplayPosition(NamedTuple):
    """Where a connection ended, so that the next one can continue.

    Attributes:
        units: the number of units of the feed before the position, lost ones included.
        due_ns: when the last of them was due; 0: there was none.
        suspects: the books (publisher_id << 32 | instrument_id) whose last record is lost.
    """

    units: int = 0
    due_ns: int = 0
    suspects: frozenset[int] = frozenset()


REPLAY_START = ReplayPosition()


class SendStep(NamedTuple):
    """A piece to be sent, and the fault that follows it.

    Attributes:
        piece: the piece. Before a CUT, part of a record follows its last complete record.
        fault: STALL: the connection continues after a while; RST, CUT: it ends; None: it continues.
    """

    piece: FeedPiece
    fault: Fault | None = None


class FaultInjector:
    """The faults of one connection.

    Args:
        faults: how often each kind happens, and the seed.
        number: the number of the connection, from 0 on.
        position: where the connection begins.
        records: whether the units are DBN records.

    Attributes:
        first_unit: the number of the first unit that the connection sends.
        position: the position behind the last step.
        fault_counts: the counts of this connection.
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
        self.first_unit = position.units - self._draw_repeated_units(position)
        self.position = position._replace(units=self.first_unit)
        self._next = dict.fromkeys((*_STEP_ENDS, Fault.DROP), self.first_unit - 1)
        for kind in self._next:
            self._draw(kind)

    @property
    def stall_s(self) -> float:
        """The length of a stall in seconds."""
        return self._faults.stall_ms / 1000

    def steps(self, piece: FeedPiece) -> Iterator[SendStep]:
        """The steps that send the feed's next piece, which is indexed.

        The caller takes no further step after one that ends the connection.
        """
        units, first, begin = len(unit_index(piece)[0]), 0, self.position.units
        while first < units:
            at, kind = min((self._next[kind] - begin, kind.value) for kind in _STEP_ENDS)
            fault = Fault(kind) if at < units else None
            stop = units if fault is None else at + (fault is not Fault.CUT)
            sent = self._drop_units(cut_piece(piece, first, stop))
            if fault is Fault.CUT:
                sent = _append_half(sent, cut_piece(piece, at, at + 1))
            first = stop
            if fault is not None:
                self.fault_counts.count(fault)
                self._draw(fault)
            yield SendStep(sent, fault)

    def draw_early_ns(self) -> int:
        """How much too early the connection begins, if a client asked for a time; counts it."""
        random = self._random[Fault.DUP]
        if random.random() >= self._faults.share(Fault.DUP):
            return 0
        self.fault_counts.dup += 1
        return int(random.integers(1, DUP_NS_MAX + 1))

    def _drop_units(self, piece: FeedPiece) -> FeedPiece:
        """The piece without its lost units, the next record of each suspect book flagged."""
        begin, units = self.position.units, len(unit_index(piece)[0])
        lost = []
        while self._next[Fault.DROP] < begin + units:
            lost.append(self._next[Fault.DROP] - begin)
            self._draw(Fault.DROP)
        suspects = set(self.position.suspects)
        if self._records and (lost or suspects):
            piece = self._drop_and_flag(piece, lost, suspects)
        elif lost:
            self.fault_counts.drop += len(lost)
            piece = _delete_units(piece, lost)
        _, due_ns = unit_index(piece)
        last_due_ns = int(due_ns[-1]) if len(due_ns) else 0
        self.position = ReplayPosition(
            begin + units, max(last_due_ns, self.position.due_ns), frozenset(suspects)
        )
        return piece

    def _drop_and_flag(self, piece: FeedPiece, lost: list[int], suspects: set[int]) -> FeedPiece:
        """Drop the MBO records among `lost` and flag the next ones; updates `suspects`."""
        headers = record_headers(piece)
        is_mbo = (headers >> np.uint64(8)) & np.uint64(0xFF) == RTYPE_MBO
        # publisher_id and instrument_id are bytes 2 to 7 of a header.
        keys = ((headers >> np.uint64(16)) & np.uint64(0xFFFF)) << np.uint64(32) | (
            headers >> np.uint64(32)
        )
        lost = [at for at in lost if is_mbo[at]]
        is_sent = is_mbo.copy()
        is_sent[lost] = False
        flagged = _next_records(keys, is_sent, lost, suspects)
        self.fault_counts.drop += len(lost)
        self.fault_counts.flagged += len(flagged)
        if flagged:
            ends, _ = unit_index(piece)
            data = bytearray(piece.data)
            for at in flagged:
                start = int(ends[at - 1]) if at else 0
                data[start + _FLAGS_AT] |= Flag.MAYBE_BAD_BOOK
            piece = piece._replace(data=bytes(data))
        return _delete_units(piece, lost)

    def _draw_repeated_units(self, position: ReplayPosition) -> int:
        """How many units too early the connection begins; counts them."""
        random = self._random[Fault.DUP]
        if position.units == 0 or random.random() >= self._faults.share(Fault.DUP):
            return 0
        units = min(int(random.integers(1, DUP_UNITS_MAX + 1)), position.units)
        self.fault_counts.dup += 1
        self.fault_counts.repeated += units
        return units

    def _draw(self, kind: Fault) -> None:
        """Draw the next unit that a kind of fault falls on."""
        share = self._faults.share(kind)
        distance = int(self._random[kind].geometric(share)) if share > 0 else _NEVER
        self._next[kind] = min(self._next[kind] + distance, _NEVER)


def _next_records(
    keys: NDArray[np.uint64], is_sent: NDArray[np.bool_], lost: list[int], suspects: set[int]
) -> set[int]:
    """The next sent record of each book that has lost one; updates `suspects`.

    Args:
        keys: (units,) the book of each record.
        is_sent: (units,) whether it is an MBO record that is sent.
        lost: the records that are lost here.
        suspects: the books that have lost a record before.
    """
    found_at = set()
    for since, key in [(0, key) for key in suspects] + [(at, int(keys[at])) for at in lost]:
        later = is_sent[since:] & (keys[since:] == np.uint64(key))
        first = int(np.argmax(later)) if len(later) else 0
        if len(later) and later[first]:
            found_at.add(since + first)
            suspects.discard(key)
        else:
            suspects.add(key)
    return found_at


def _delete_units(piece: FeedPiece, lost: list[int]) -> FeedPiece:
    """The piece without some of its units."""
    if not lost:
        return piece
    ends, due_ns = unit_index(piece)
    starts = np.concatenate(([0], ends[:-1]))
    sizes = np.delete(ends - starts, lost)
    kept, at = [], 0
    for index in lost:
        kept.append(piece.data[at : int(starts[index])])
        at = int(ends[index])
    kept.append(piece.data[at:])
    return FeedPiece(b"".join(kept), np.cumsum(sizes), np.delete(due_ns, lost))


def _append_half(piece: FeedPiece, unit: FeedPiece) -> FeedPiece:
    """The piece, followed by half of the next unit."""
    return piece._replace(data=bytes(piece.data) + bytes(unit.data[: len(unit.data) // 2]))
