"""Writes LOBSTER message files, and says what rows their lines become, by the table of the format.

The rule: it shares nothing with the decoder.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.venue_orders import VenueOp

UNDEF_PRICE = 2**63 - 1
LAST, MAYBE_BAD = 128, 4

Row = tuple[int, str, str, int, int, int, int, int]
"""ts_event, action, side, price, size, order_id, flags, sequence."""


def line(
    time_ns: int, kind: int, order: int, size: int, price: int, direction: int, extra: str = ""
) -> bytes:
    """A line; the time without the zeros at its end, as the files have it."""
    seconds, rest = divmod(time_ns, 10**9)
    time = f"{seconds}.{rest:09d}".rstrip("0").rstrip(".")
    return f"{time},{kind},{order},{size},{price},{direction}{extra}\n".encode()


def order_lines(op: VenueOp, midnight_ns: int) -> list[bytes]:
    """The line of an operation of the simulated venue, which is no replace."""
    time_ns, direction = op.time_ns - midnight_ns, 1 if op.side == "B" else -1
    kinds = {"add": 1, "reduce": 2, "delete": 3, "execute": 4}
    return [line(time_ns, kinds[op.kind], op.order, op.size, op.price_1e4, direction)]


def write_day(ops: Iterable[VenueOp], midnight_ns: int) -> bytes:
    """The message file of one instrument; replaced orders are deleted with what is left of them."""
    left: dict[int, VenueOp] = {}
    written: list[bytes] = []
    for op in ops:
        if op.kind == "replace":
            gone = left.pop(op.replaced)
            deletion = gone._replace(kind="delete", time_ns=op.time_ns)
            written += order_lines(deletion, midnight_ns)
            written += order_lines(op._replace(kind="add"), midnight_ns)
            left[op.order] = op
        else:
            written += order_lines(op, midnight_ns)
            if op.kind == "add":
                left[op.order] = op
            else:
                before = left[op.order]
                left[op.order] = before._replace(size=before.size - op.size)
    return b"".join(written)


def expected_rows(
    lines: Iterable[tuple[int, int, int, int, int, int]], midnight_ns: int, *, knows_side: bool
) -> list[Row]:
    """The rows of lines, each of time, type, order, size, price and direction."""
    rows: list[Row] = []
    for number, (time_ns, kind, order, size, price, direction) in enumerate(lines, 1):
        if kind == 7:
            continue
        at, price_1e9 = midnight_ns + time_ns, price * 10**5
        side, other = ("B", "A") if direction == 1 else ("A", "B")
        if not rows:
            rows.append((at, "R", "N", UNDEF_PRICE, 0, 0, LAST | MAYBE_BAD, number))
        if kind == 1:
            rows.append((at, "A", side, price_1e9, size, order, LAST, number))
        elif kind in (2, 3):
            rows.append((at, "C", side, price_1e9, size, order, LAST, number))
        elif kind == 4:
            rows.append((at, "T", other, price_1e9, size, 0, 0, number))
            rows.append((at, "F", side, price_1e9, size, order, 0, number))
            rows.append((at, "C", side, price_1e9, size, order, LAST, number))
        else:
            side = other if kind == 5 and knows_side else "N"
            rows.append((at, "T", side, price_1e9, size, 0, LAST, number))
    return rows
