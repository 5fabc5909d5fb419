"""What is wrong with an ITCH message: its length, its place in the session, its fields.

The rule here: a message is checked whole before it changes anything, and nothing is read outside
`[start, stop)`. A field that no row has, such as the tracking number, is not checked. "I4" is
number 4 of the rules of ITCH in docs/formats.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.codec.itch_order_kernels import HAS_ENDED, MESSAGES, ItchState
from batonics.codec.record_kernels import INPUT_END, WHOLE
from batonics.model.mbo import UNDEF_ORDER_SIZE
from batonics.native import as_word, at, inlined, load_be_u16, load_be_u64, load_u64, outlined

# Why a pass stopped, beside INPUT_END, ROWS_FULL and OTHERS_FULL. From BAD_TYPE on, the message at
# the returned position is bad.
ORDERS_FULL = 3
NEW_SYMBOL = 4
SESSION_END = 5
BAD_TYPE = 6
BAD_WIDTH = 7
BAD_TIME = 8
BAD_LOCATE = 9
BAD_SYMBOL = 10
OTHER_SYMBOL = 11
OTHER_STOCK = 12
BAD_BUY_SELL = 13
BAD_PRINTABLE = 14
BAD_SHARES = 15
BAD_STATE = 16
BAD_EVENT = 17
NOT_BEGUN = 18
BEGINS_AGAIN = 19
AFTER_END = 20
SESSION_OVER = 21

# Types of messages.
A, C, D, E, F, H, P, Q, R, S, U, V, W, X = (ord(letter) for letter in "ACDEFHPQRSUVWX")
BUY, SELL, YES, NO = ord("B"), ord("S"), ord("Y"), ord("N")
# Codes of system events.
EVENT_START, EVENT_END = ord("O"), ord("C")
_EVENT_SYSTEM_START, _EVENT_MARKET_START = ord("S"), ord("Q")
_EVENT_MARKET_END, _EVENT_SYSTEM_END = ord("M"), ord("E")
_HALTED, _PAUSED, _QUOTING, _TRADING = ord("H"), ord("P"), ord("Q"), ord("T")
_SPACE, _TILDE = ord(" "), ord("~")

TIME_MASK = np.uint64(0xFFFFFFFFFFFF)
"""The bits of the time in the u64 at offset 3."""
_NS_PER_DAY = 86_400_000_000_000


@inlined
def check_frame(
    data: NDArray[np.uint8], position: int, stop: int, widths: NDArray[np.uint8], has_ended: int
) -> int:
    """Whether a whole message stands at a position, whatever its fields say (rules I1 and I4)."""
    if position == stop:
        return INPUT_END
    if has_ended == 2:
        return SESSION_OVER
    if position + 2 > stop:
        return INPUT_END
    length = as_word(load_be_u16(data, position))
    if length == 0:
        return SESSION_END
    if position + 3 > stop:
        return INPUT_END
    width = as_word(widths[data[position + 2]])
    if width == 0:
        return BAD_TYPE
    if width != length:
        return BAD_WIDTH
    return INPUT_END if position + 2 + length > stop else WHOLE


@outlined
def is_symbol(data: NDArray[np.uint8], start: int) -> bool:
    """Whether the 8 bytes are printable letters, then spaces."""
    is_padding = False
    for offset in range(8):
        letter = data[start + offset]
        if letter < _SPACE or letter > _TILDE or (is_padding and letter != _SPACE):
            return False
        is_padding = letter == _SPACE
    return not data[start] == _SPACE


@inlined
def check_symbol(
    data: NDArray[np.uint8], start: int, locate: int, symbols: NDArray[np.uint64]
) -> int:
    """Whether a message names the stock of its stock locate (rule I5)."""
    known = symbols[at(locate)]
    if known == load_u64(data, start):
        return WHOLE
    if not is_symbol(data, start):
        return BAD_SYMBOL
    return NEW_SYMBOL if known == np.uint64(0) else OTHER_SYMBOL


@outlined
def _check_event(code: int, messages: int) -> int:
    """Whether a system event may stand after so many messages (rule I4)."""
    if code == EVENT_START:
        return WHOLE if messages == 0 else BEGINS_AGAIN
    is_known = (
        code == _EVENT_SYSTEM_START
        or code == _EVENT_MARKET_START
        or code == _EVENT_MARKET_END
        or code == _EVENT_SYSTEM_END
        or code == EVENT_END
    )
    return WHOLE if is_known else BAD_EVENT


@outlined
def _check_state(code: int) -> int:
    """Whether a trading state is known (rule I11)."""
    is_known = code == _HALTED or code == _PAUSED or code == _QUOTING or code == _TRADING
    return WHOLE if is_known else BAD_STATE


@inlined
def check_fields(data: NDArray[np.uint8], message: int, kind: int, state: ItchState) -> int:
    """What is wrong with the fields of a message, apart from the order that it names.

    NEW_SYMBOL: nothing, but it is the first of its stock.
    """
    if state.progress[HAS_ENDED] != 0:
        return AFTER_END
    if as_word(load_be_u64(data, message + 3) & TIME_MASK) >= _NS_PER_DAY:
        return BAD_TIME
    if kind == S:
        return _check_event(as_word(data[message + 11]), state.progress[MESSAGES])
    if state.progress[MESSAGES] == 0:
        return NOT_BEGUN
    locate = as_word(load_be_u16(data, message + 1))
    if locate == 0 and kind != V and kind != W:
        return BAD_LOCATE
    if kind == A or kind == F or kind == P:
        side = data[message + 19]
        if side != BUY and side != SELL:
            return BAD_BUY_SELL
        return check_symbol(data, message + 24, locate, state.symbols)
    if kind == C:
        printable = data[message + 31]
        return WHOLE if printable == YES or printable == NO else BAD_PRINTABLE
    if kind == Q:
        if load_be_u64(data, message + 11) >= np.uint64(UNDEF_ORDER_SIZE):
            return BAD_SHARES
        return check_symbol(data, message + 19, locate, state.symbols)
    if kind == R:
        return check_symbol(data, message + 11, locate, state.symbols)
    if kind == H:
        reason = check_symbol(data, message + 11, locate, state.symbols)
        state_reason = _check_state(as_word(data[message + 19]))
        return state_reason if reason == WHOLE or state_reason != WHOLE else reason
    return WHOLE
