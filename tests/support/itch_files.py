"""Writes ITCH 5.0 messages, by a literal reading of their tables.

The rule: it shares nothing with the decoder. One function writes one type of message, its fields in
the order in which the specification has them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from tests.support.venue_orders import VenueOp

SYMBOLS = ("AAPL", "ZVZZT", "BRK.B")


def framed(message: bytes) -> bytes:
    """A message as it stands in a file: its length first."""
    return struct.pack(">H", len(message)) + message


def _start(kind: str, locate: int, time_ns: int) -> bytes:
    return kind.encode() + struct.pack(">HH", locate, 7) + time_ns.to_bytes(6, "big")


def _text(text: str, width: int = 8) -> bytes:
    return text.encode().ljust(width)


def system_event(code: str, time_ns: int = 0) -> bytes:
    return _start("S", 0, time_ns) + code.encode()


def directory(locate: int, symbol: str, time_ns: int = 0) -> bytes:
    rest = b"Q" + b"N" + struct.pack(">I", 100) + b"N" + b"C" + b"Z " + b"P" + b"N" + b"N" + b"1"
    return _start("R", locate, time_ns) + _text(symbol) + rest + b"N" + struct.pack(">I", 0) + b"N"


def trading_action(locate: int, symbol: str, state: str, time_ns: int = 0) -> bytes:
    return _start("H", locate, time_ns) + _text(symbol) + state.encode() + b" " + b"    "


def add(
    locate: int, symbol: str, order: int, side: str, size: int, price_1e4: int, time_ns: int = 0,
    attribution: str = "",
) -> bytes:  # fmt: skip
    kind = "F" if attribution else "A"
    order_terms = struct.pack(">QcI", order, side.encode(), size)
    tail = _text(attribution, 4) if attribution else b""
    return (
        _start(kind, locate, time_ns) + order_terms + _text(symbol)
        + struct.pack(">I", price_1e4) + tail
    )  # fmt: skip


def executed(locate: int, order: int, size: int, match: int = 1, time_ns: int = 0) -> bytes:
    return _start("E", locate, time_ns) + struct.pack(">QIQ", order, size, match)


def executed_at(
    locate: int, order: int, size: int, price_1e4: int, printable: str = "Y", match: int = 1,
    time_ns: int = 0,
) -> bytes:  # fmt: skip
    terms = struct.pack(">QIQcI", order, size, match, printable.encode(), price_1e4)
    return _start("C", locate, time_ns) + terms


def cancel(locate: int, order: int, size: int, time_ns: int = 0) -> bytes:
    return _start("X", locate, time_ns) + struct.pack(">QI", order, size)


def delete(locate: int, order: int, time_ns: int = 0) -> bytes:
    return _start("D", locate, time_ns) + struct.pack(">Q", order)


def replace(locate: int, old: int, new: int, size: int, price_1e4: int, time_ns: int = 0) -> bytes:
    return _start("U", locate, time_ns) + struct.pack(">QQII", old, new, size, price_1e4)


def trade(
    locate: int, symbol: str, size: int, price_1e4: int, time_ns: int = 0, side: str = "B"
) -> bytes:
    start = _start("P", locate, time_ns) + struct.pack(">QcI", 0, side.encode(), size)
    return start + _text(symbol) + struct.pack(">IQ", price_1e4, 1)


def cross(
    locate: int, symbol: str, size: int, price_1e4: int, kind: str = "O", time_ns: int = 0
) -> bytes:
    start = _start("Q", locate, time_ns) + struct.pack(">Q", size) + _text(symbol)
    return start + struct.pack(">IQc", price_1e4, 1, kind.encode())


OTHER_BYTES = {"Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "B": 19, "I": 50,
               "N": 20, "O": 48}  # fmt: skip
"""Types that are only counted, and their lengths."""


def other(kind: str, locate: int = 1, time_ns: int = 0) -> bytes:
    """A message of a type that is only counted; its own fields are zeros."""
    return _start(kind, locate, time_ns).ljust(OTHER_BYTES[kind], b"\0")


def opening(symbols: Iterable[str] = SYMBOLS) -> list[bytes]:
    """The first messages of a day: Start of Messages, and a directory of stocks."""
    stocks = [directory(at, symbol) for at, symbol in enumerate(symbols, 1)]
    return [system_event("O"), *stocks, system_event("S"), system_event("Q")]


def closing(time_ns: int) -> list[bytes]:
    """The last messages of a day."""
    return [system_event(code, time_ns) for code in "MEC"]


def order_message(op: VenueOp, midnight_ns: int) -> bytes:
    """The message of an operation of the simulated venue."""
    locate, time_ns = op.instrument + 1, op.time_ns - midnight_ns
    symbol = SYMBOLS[op.instrument]
    match op.kind:
        case "add":
            attribution = "" if op.order % 5 else "GSCO"
            return add(
                locate, symbol, op.order, op.side, op.size, op.price_1e4, time_ns, attribution
            )
        case "execute":
            if op.order % 7:
                return executed(locate, op.order, op.size, time_ns=time_ns)
            return executed_at(locate, op.order, op.size, op.price_1e4, time_ns=time_ns)
        case "reduce":
            return cancel(locate, op.order, op.size, time_ns)
        case "delete":
            return delete(locate, op.order, time_ns)
    return replace(locate, op.replaced, op.order, op.size, op.price_1e4, time_ns)


def write_day(ops: Iterable[VenueOp], midnight_ns: int) -> bytes:
    """The file of a day of the simulated venue."""
    written = [order_message(op, midnight_ns) for op in ops]
    last_ns = int.from_bytes(written[-1][5:11], "big") if written else 0
    return b"".join(map(framed, [*opening(), *written, *closing(last_ns)]))
