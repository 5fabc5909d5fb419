"""The one compiled pass over ITCH messages: it validates them, and turns them into MBO columns.

The rule here: a kernel never raises. It returns where and why it stopped, and `itch.py` has the
words. "I7" is number 7 of the rules of ITCH in docs/formats.md.

A pass stops before the first message of a stock that no directory message has named (NEW_SYMBOL).
The caller notes the symbol and calls again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.itch_check_kernels import (
    BUY,
    EVENT_END,
    EVENT_START,
    NEW_SYMBOL,
    ORDERS_FULL,
    OTHER_STOCK,
    SESSION_END,
    TIME_MASK,
    YES,
    A,
    C,
    D,
    E,
    F,
    H,
    P,
    Q,
    R,
    S,
    U,
    X,
    check_fields,
    check_frame,
)
from batonics.codec.itch_order_kernels import (
    HAS_ENDED,
    IS_WHOLE,
    ITCH_SLOT_WORDS,
    LIVE_ORDERS,
    MESSAGES,
    ItchOrder,
    ItchState,
    Slots,
    find_order,
    insert_order,
    prefetch_order,
    reduce_order,
    slots_of,
)
from batonics.codec.record_kernels import OTHERS_FULL, ROWS_FULL, WHOLE
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_TRADE,
    F_LAST,
    NO_CHANNEL,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
    UNDEF_PRICE,
    MboBatch,
)
from batonics.native import (
    as_word,
    at,
    inlined,
    kernel,
    load_be_u16,
    load_be_u32,
    load_be_u64,
    load_u64,
)

MESSAGE_ROWS_MAX = 3
"""Rows of a message: T, F and C of an execution."""
AHEAD_MESSAGES = 6
"""Orders are prefetched so many messages ahead: a message takes less time than memory does."""
_LENGTH_AND_REFERENCE = 21
"""Bytes of a message that names an order, up to the end of its reference number."""

_PRICE_UNIT_1E9 = 100_000
"""A price of ITCH has four decimals."""


class Message(NamedTuple):
    """What all rows of a message have in common."""

    publisher_id: int
    locate: int
    time_ns: int  # since the epoch
    sequence: int


class ItchSession(NamedTuple):
    """What the messages of a file do not say."""

    publisher_id: int
    midnight_ns: int


class OtherMessages(NamedTuple):
    """Where messages of type S, R and H are; the arrays have one length."""

    position: NDArray[np.int64]  # of the type
    row: NDArray[np.int64]  # the next row when the message came
    message: NDArray[np.int64]  # the number of messages before it


@inlined
def _put_row(
    columns: MboBatch,
    row: int,
    message: Message,
    action: int,
    side: int,
    price_1e9: int,
    size: int,
    order_id: int,
    flags: int,
) -> int:
    """Write a row; the next row."""
    columns.ts_recv[at(row)] = message.time_ns
    columns.ts_event[at(row)] = message.time_ns
    columns.publisher_id[at(row)] = message.publisher_id
    columns.instrument_id[at(row)] = message.locate
    columns.action[at(row)] = action
    columns.side[at(row)] = side
    columns.price[at(row)] = price_1e9
    columns.size[at(row)] = size
    columns.channel_id[at(row)] = NO_CHANNEL
    columns.order_id[at(row)] = order_id
    columns.flags[at(row)] = flags
    columns.ts_in_delta[at(row)] = 0
    columns.sequence[at(row)] = message.sequence
    return row + 1


@inlined
def _price_1e9(price: int) -> int:
    """A price of ITCH in units of 1e-9; UNDEF_PRICE for that of an unknown order."""
    return UNDEF_PRICE if price < 0 else price * _PRICE_UNIT_1E9


@inlined
def _opposite(side: int) -> int:
    """The side of whoever trades with an order of a side."""
    if side == SIDE_BID:
        return SIDE_ASK
    return SIDE_BID if side == SIDE_ASK else SIDE_NONE


@inlined
def _put_execution(
    columns: MboBatch,
    row: int,
    message: Message,
    order: ItchOrder,
    reference: int,
    price: int,
    size: int,
    is_printable: bool,
) -> int:
    """The rows of an execution: T where it is printable, F, and the C of its order (rule I7)."""
    price_1e9 = _price_1e9(price)
    if is_printable:
        side = _opposite(order.side)
        row = _put_row(columns, row, message, ACTION_TRADE, side, price_1e9, size, 0, 0)
    row = _put_row(columns, row, message, ACTION_FILL, order.side, price_1e9, size, reference, 0)
    price_1e9 = _price_1e9(order.price)
    return _put_row(
        columns, row, message, ACTION_CANCEL, order.side, price_1e9, size, reference, F_LAST
    )


@inlined
def _add(
    data: NDArray[np.uint8],
    start: int,
    message: Message,
    state: ItchState,
    slots: Slots,
    columns: MboBatch,
    row: int,
) -> int:
    """A of a message that adds an order (rule I6)."""
    reference = as_word(load_be_u64(data, start + 11))
    side = SIDE_BID if data[start + 19] == BUY else SIDE_ASK
    size, price = as_word(load_be_u32(data, start + 20)), as_word(load_be_u32(data, start + 32))
    insert_order(state, slots, reference, message.locate, side, price, size)
    return _put_row(
        columns, row, message, ACTION_ADD, side, _price_1e9(price), size, reference, F_LAST
    )


@inlined
def _change(
    data: NDArray[np.uint8],
    start: int,
    kind: int,
    message: Message,
    order: ItchOrder,
    state: ItchState,
    slots: Slots,
    columns: MboBatch,
    row: int,
) -> int:
    """Rows of a message that names an order (rules I7 to I9)."""
    reference = as_word(load_be_u64(data, start + 11))
    if kind == D or kind == U:
        size, flags = order.size, F_LAST if kind == D else 0
        reduce_order(state, slots, order, size)
        price_1e9 = _price_1e9(order.price)
        row = _put_row(
            columns, row, message, ACTION_CANCEL, order.side, price_1e9, size, reference, flags
        )
        if kind == D:
            return row
        reference = as_word(load_be_u64(data, start + 19))
        size, price = as_word(load_be_u32(data, start + 27)), as_word(load_be_u32(data, start + 31))
        insert_order(state, slots, reference, message.locate, order.side, price, size)
        price_1e9 = _price_1e9(price)
        return _put_row(
            columns, row, message, ACTION_ADD, order.side, price_1e9, size, reference, F_LAST
        )
    size = as_word(load_be_u32(data, start + 19))
    reduce_order(state, slots, order, size)
    if kind == X:
        price_1e9 = _price_1e9(order.price)
        return _put_row(
            columns, row, message, ACTION_CANCEL, order.side, price_1e9, size, reference, F_LAST
        )
    price, is_printable = order.price, True
    if kind == C:
        price, is_printable = as_word(load_be_u32(data, start + 32)), bool(data[start + 31] == YES)
    return _put_execution(columns, row, message, order, reference, price, size, is_printable)


@inlined
def _trade(
    data: NDArray[np.uint8], start: int, kind: int, message: Message, columns: MboBatch, row: int
) -> int:
    """T of a trade with a hidden order, or of a cross (rule I10)."""
    if kind == P:
        size, price = as_word(load_be_u32(data, start + 20)), as_word(load_be_u32(data, start + 32))
    else:
        size, price = as_word(load_be_u64(data, start + 11)), as_word(load_be_u32(data, start + 27))
    price_1e9 = UNDEF_PRICE if size == 0 else _price_1e9(price)
    return _put_row(columns, row, message, ACTION_TRADE, SIDE_NONE, price_1e9, size, 0, F_LAST)


@inlined
def _open_stock(
    data: NDArray[np.uint8],
    start: int,
    message: Message,
    state: ItchState,
    columns: MboBatch,
    row: int,
) -> int:
    """Note the symbol of a directory message; R if the file has the stock's whole day (rule I5)."""
    is_new = state.symbols[at(message.locate)] == np.uint64(0)
    state.symbols[at(message.locate)] = load_u64(data, start + 11)
    if not is_new or state.progress[IS_WHOLE] == 0:
        return row
    return _put_row(columns, row, message, ACTION_CLEAR, SIDE_NONE, UNDEF_PRICE, 0, 0, F_LAST)


@inlined
def _note_event(code: int, progress: NDArray[np.int64]) -> None:
    """Note the first and the last message of a session (rule I4)."""
    if code == EVENT_START:
        progress[IS_WHOLE] = 1
    elif code == EVENT_END:
        progress[HAS_ENDED] = 1


@inlined
def _names_order(kind: int) -> bool:
    """Whether a message of a type names a live order."""
    return kind == D or kind == U or kind == E or kind == X or kind == C


@inlined
def _prefetch_ahead(
    data: NDArray[np.uint8], ahead: int, stop: int, orders: NDArray[np.int64], slots: Slots
) -> int:
    """Prefetch the order of the message at a position; the position of the message behind it."""
    if ahead + _LENGTH_AND_REFERENCE > stop:
        return ahead
    # Other messages have something else there, which is as good a guess as none.
    prefetch_order(orders, slots, as_word(load_be_u64(data, ahead + 13)))
    return ahead + 2 + as_word(load_be_u16(data, ahead))


@kernel
def parse_messages(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    widths: NDArray[np.uint8],
    day_fields: tuple[int, int],
    state_arrays: tuple[Any, ...],
    column_arrays: tuple[Any, ...],
    row: int,
    other_arrays: tuple[Any, ...],
) -> tuple[int, int, int, int]:
    """Turn whole messages of `data[start:stop]` into rows from `row` on.

    Args:
        data: the bytes.
        start: where the first length stands.
        stop: where the data end.
        widths: `MESSAGE_WIDTHS`.
        day_fields: the fields of an `ItchSession`.
        state_arrays: the arrays of an `ItchState`.
        column_arrays: the columns of an `MboBatch`.
        row: the next row.
        other_arrays: the arrays of an `OtherMessages`.

    Returns:
        The position of the first byte not consumed, the next row, the number of messages of type S,
        R and H, and the reason of the stop.
    """
    day, state, columns = (
        ItchSession(*day_fields),
        ItchState(*state_arrays),
        MboBatch(*column_arrays),
    )
    others = OtherMessages(*other_arrays)
    slots = slots_of(state.orders, state.salt)
    orders_max = len(state.orders) // (2 * ITCH_SLOT_WORDS) - 1
    position, other_count, ahead = start, 0, start
    for _ in range(AHEAD_MESSAGES):
        ahead = _prefetch_ahead(data, ahead, stop, state.orders, slots)
    while True:
        reason = check_frame(data, position, stop, widths, state.progress[HAS_ENDED])
        if reason == SESSION_END:
            state.progress[HAS_ENDED] = 2
            position += 2
            continue
        if reason != WHOLE:
            return position, row, other_count, reason
        if row + MESSAGE_ROWS_MAX > len(columns.action):
            return position, row, other_count, ROWS_FULL
        if state.progress[LIVE_ORDERS] > orders_max:
            return position, row, other_count, ORDERS_FULL
        if other_count == len(others.position):
            return position, row, other_count, OTHERS_FULL
        ahead = _prefetch_ahead(data, ahead, stop, state.orders, slots)
        first = position + 2
        kind = as_word(data[first])
        reason = check_fields(data, first, kind, state)
        if reason != WHOLE and not (reason == NEW_SYMBOL and kind == R):
            return position, row, other_count, reason
        time_ns = day.midnight_ns + as_word(load_be_u64(data, first + 3) & TIME_MASK)
        locate = as_word(load_be_u16(data, first + 1))
        sequence = (state.progress[MESSAGES] + 1) & 0xFFFFFFFF
        message = Message(day.publisher_id, locate, time_ns, sequence)
        if kind == A or kind == F:
            reference = as_word(load_be_u64(data, first + 11))
            if find_order(state, slots, reference, locate).locate != locate:
                return position, row, other_count, OTHER_STOCK
            row = _add(data, first, message, state, slots, columns, row)
        elif _names_order(kind):
            reference = as_word(load_be_u64(data, first + 11))
            order = find_order(state, slots, reference, locate)
            if order.locate != locate:
                return position, row, other_count, OTHER_STOCK
            if kind == U:
                reference = as_word(load_be_u64(data, first + 19))
                if find_order(state, slots, reference, locate).locate != locate:
                    return position, row, other_count, OTHER_STOCK
            row = _change(data, first, kind, message, order, state, slots, columns, row)
        elif kind == P or kind == Q:
            row = _trade(data, first, kind, message, columns, row)
        elif kind == R or kind == H or kind == S:
            others.position[other_count], others.row[other_count] = first, row
            others.message[other_count] = state.progress[MESSAGES]
            other_count += 1
            if kind == R:
                row = _open_stock(data, first, message, state, columns, row)
            elif kind == S:
                _note_event(as_word(data[first + 11]), state.progress)
        state.counts[kind] += 1
        state.progress[MESSAGES] += 1
        position += 2 + as_word(load_be_u16(data, position))
