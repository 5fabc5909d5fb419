"""Bad messages of ITCH: a reason of the kernel becomes one line on what was found and expected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.codec import itch_check_kernels as checks
from batonics.codec.itch_messages import MESSAGE_WIDTHS, SYMBOL_AT, SYMBOL_BYTES
from batonics.codec.itch_order_kernels import ItchState

_FIELDS = {
    checks.BAD_BUY_SELL: ("the side", 19, "B or S"),
    checks.BAD_PRINTABLE: ("printable", 31, "Y or N"),
    checks.BAD_STATE: ("the trading state", 19, "H, P, Q or T"),
    checks.BAD_EVENT: ("the code of the system event", 11, "O, S, Q, M, E or C"),
}
_REASONS = {
    checks.NOT_BEGUN: "it is not a system event, as the first message of a file is",
    checks.BEGINS_AGAIN: (
        "Start of Messages comes again: another day begins, or the file was joined; give each day"
        " as a file of its own"
    ),
    checks.AFTER_END: "it follows End of Messages, the last message of a day",
    checks.SESSION_OVER: "bytes follow the length of 0 that ends the session",
    checks.BAD_LOCATE: "the stock locate is 0, which is that of no stock",
}


def describe_bad_message(data: NDArray[np.uint8], reason: int, state: ItchState) -> str:
    """One line on the bad message at the start of `data`, its length before it."""
    length = int.from_bytes(data[:2].tobytes(), "big")
    if reason == checks.SESSION_OVER:
        return _REASONS[reason]
    letter = _letter(int(data[2]))
    if reason == checks.BAD_TYPE:
        return f"the type is {letter}, which ITCH 5.0 does not have"
    if reason == checks.BAD_WIDTH:
        return f"the length is {length}, expected {MESSAGE_WIDTHS[data[2]]} for type {letter}"
    return f"type {letter}: {_describe_field(data[2:].tobytes(), reason, state)}"


def _describe_field(message: bytes, reason: int, state: ItchState) -> str:
    if reason in _FIELDS:
        name, at, expected = _FIELDS[reason]
        return f"{name} is {_letter(message[at])}, expected {expected}"
    if reason in _REASONS:
        return _REASONS[reason]
    if reason == checks.BAD_TIME:
        time_ns = int.from_bytes(message[5:11], "big")
        return f"the time is {time_ns} ns after midnight, which is more than a day"
    if reason == checks.BAD_SHARES:
        return f"{int.from_bytes(message[11:19], 'big')} shares do not fit a size of 32 bits"
    return _describe_stock(message, reason, state)


def _describe_stock(message: bytes, reason: int, state: ItchState) -> str:
    locate = int.from_bytes(message[1:3], "big")
    if reason == checks.OTHER_STOCK:
        return f"stock locate {locate} has no such order: its reference number is another stock's"
    start = SYMBOL_AT[chr(message[0])]
    symbol = message[start : start + SYMBOL_BYTES]
    if reason == checks.BAD_SYMBOL:
        return f"the symbol is {symbol.hex(' ')}, expected printable letters, then spaces"
    known = state.symbols[locate : locate + 1].tobytes().decode("ascii").rstrip(" ")
    return f"stock locate {locate} is {known}, not {symbol.decode('ascii').rstrip(' ')}"


def _letter(code: int) -> str:
    return chr(code) if 0x20 < code < 0x7F else f"0x{code:02x}"
