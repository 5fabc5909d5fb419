"""The faults of a replayed feed: their kinds, how often each happens, and their counts.

| fault | chance per 1,000 | what happens                                                         |
|-------|------------------|----------------------------------------------------------------------|
| drop  | MBO records      | the record is lost; the next MBO record of its book carries          |
|       |                  | F_MAYBE_BAD_BOOK, as the vendor flags a known gap (rule 17)          |
| stall | records          | nothing is sent for a while after it (`stall_ms`), no heartbeat      |
| rst   | records          | the connection is reset after it                                     |
| cut   | records          | the connection ends within it (FIN)                                  |
| dup   | connections      | the connection begins up to DUP_UNITS_MAX records too early          |

If a client asks for a time (`start` of the live protocol), `dup` begins up to one second of the
feed too early. After a fault that ends a connection, the next connection begins behind the last
complete record. In a feed that is not DBN, lines are lost as records are, and none is flagged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum

from batonics.model.errors import UsageError
from batonics.model.times import parse_duration

DUP_UNITS_MAX = 100
STALL_MS = 15_000
"""Longer than the vendor's client waits with the shortest heartbeat: 5 s, and 10 s more."""
ENDS_SHARE_MAX = 0.5
"""The greatest share of records that may end a connection."""
_NS_PER_MS = 1_000_000


class Fault(Enum):
    """A kind of fault; see the table above."""

    DROP = "drop"
    RST = "rst"
    STALL = "stall"
    DUP = "dup"
    CUT = "cut"


@dataclass(frozen=True)
class Faults:
    """How often each kind of fault happens, and the seed of all random draws.

    Attributes:
        drop: lost records per 1,000 MBO records.
        rst: resets per 1,000 records.
        stall: stalls per 1,000 records.
        dup: early beginnings per 1,000 connections.
        cut: cuts per 1,000 records.
        stall_ms: the length of a stall.
        seed: the seed; the same seed makes the same faults.

    Raises:
        UsageError: no client would ever reach the feed's end.
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
                "drop and dup exclude each other: no feed repeats records that it has lost, and"
                " loses others instead"
            )
        if ends > ENDS_SHARE_MAX or ends * taken_back > 1:
            raise UsageError(
                f"a connection would bring {1 / ends:.0f} records and the next one go back by"
                f" {taken_back / 2:.0f}: no client would ever reach the feed's end"
            )

    def share(self, kind: Fault) -> float:
        """The probability of a kind, 0 to 1."""
        return float(getattr(self, kind.value)) / 1000


def parse_faults(text: str, seed: int = 0) -> Faults:
    """Parse faults such as `drop=0.5,rst=0.1,stall=0.1:3s`.

    Raises:
        UsageError: a kind is unknown, or a number is out of range.
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
            stall_ms = max(parse_duration(length) // _NS_PER_MS, 1)
        shares[kind] = _parse_share(kind, number)
    return Faults(**shares, stall_ms=stall_ms, seed=seed)


def _parse_share(kind: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1000:
        raise UsageError(f"fault {kind} is {text!r}, expected 0 to 1000 (of 1,000)")
    return number


@dataclass
class FaultCounts:
    """The counts of faults of one or more connections.

    Attributes:
        connections: connections begun.
        drop: records lost.
        rst: connections reset.
        stall: stalls.
        dup: connections that began too early.
        cut: connections that ended within a record.
        flagged: records that carry F_MAYBE_BAD_BOOK because of lost records.
        repeated: records that `dup` sent again, where no time was asked for.
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
        """Add the counts of other connections."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)

    def count(self, kind: Fault) -> None:
        """Count one fault."""
        setattr(self, kind.value, getattr(self, kind.value) + 1)
