"""The fold: records in, books out. Every rule that changes a book must live here in this file.

`fold` takes a batch in blocks of `BLOCK` records: a first pass finds each record's book and the
place where the search for its order begins, and asks for those cache lines; a second applies the
records one after the other. It stops before a record for which some array lacks room and says
which; the host makes room (`engine.py`) and calls again. Nothing is ever half applied.

"rule n" is number n of the market-by-order rules in ARCHITECTURE.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.ladder_kernels import (
    BEST,
    EMPTIES,
    FIRST_CAPACITY,
    IN_RUN,
    LENGTH,
    START,
    drop_level,
    open_run,
    raise_level,
)
from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    NO_ASK,
    NO_BID,
    SLOT_WORDS,
    TOP_LEVEL_WORDS,
    Anomaly,
    Bbo,
    Book,
    Delta,
    EventEnd,
    Events,
    FoldStop,
    Ladder,
    Outputs,
    State,
    Status,
    Total,
)
from batonics.book.table_kernels import (
    L_COUNT,
    L_KEY,
    L_OWNER,
    L_SIZE,
    O_ID,
    O_OWNER,
    O_PACKED,
    O_PRIORITY,
    erase_order,
    find_book,
    find_level,
    find_order,
    level_home,
    order_home,
)
from batonics.book.top_kernels import (
    BOTH_SIDES,
    FIRST_LEVEL,
    NOTED_ROW,
    T_TOPS,
    TOUCHED,
    mark_changed,
    note_record,
    write_changed_top,
    write_trade_top,
)
from batonics.book.window_kernels import (
    T_BOUND,
    count_end,
    end_window,
    has_room_to_end,
    keep_before,
)
from batonics.model import mbo
from batonics.model.mbo import Action, Flag, Side
from batonics.native import as_word, at, inlined, kernel, outlined, prefetch

BLOCK = 32
LEVELS_IN_CACHE = 1 << 14
"""A table of so many levels, half a megabyte, is taken to be near anyway."""

# numba folds plain integers, not enum members, into the machine code.
ADD, CANCEL, MODIFY = int(Action.ADD), int(Action.CANCEL), int(Action.MODIFY)
CLEAR, NONE, MODIFY_PARTIAL = int(Action.CLEAR), int(Action.NONE), int(Action.MODIFY_PARTIAL)
TRADE, FILL = int(Action.TRADE), int(Action.FILL)
SIDE_BID, SIDE_ASK, SIDE_NONE = int(Side.BID), int(Side.ASK), int(Side.NONE)
F_LAST, F_TOB, F_SNAPSHOT = int(Flag.LAST), int(Flag.TOB), int(Flag.SNAPSHOT)
F_MBP, F_MAYBE_BAD_BOOK = int(Flag.MBP), int(Flag.MAYBE_BAD_BOOK)
RARE = F_TOB | F_SNAPSHOT | F_MBP | F_MAYBE_BAD_BOOK
UNDEF_PRICE, UNDEF_SIZE = mbo.UNDEF_PRICE, mbo.UNDEF_ORDER_SIZE
SIZE_MASK = 0xFFFFFFFF

B_KEY, STATUS, SNAPSHOT_OPEN = int(Book.KEY), int(Book.STATUS), int(Book.SNAPSHOT_OPEN)
EVENTS, LAST_ROW = int(Book.EVENTS), int(Book.LAST_ROW)
FLOOR = int(Ladder.FLOOR)
T_PRIORITY, T_ORDERS, T_LEVELS = int(Total.PRIORITY), int(Total.ORDERS), int(Total.LEVELS)
T_BOOKS, T_POOL, T_WIDEST = int(Total.BOOKS), int(Total.POOL), int(Total.WIDEST)
T_DELTAS, T_CLOSINGS = int(Total.DELTAS), int(Total.CLOSINGS)
SYNCED, STALE = int(Status.SYNCED), int(Status.STALE)
DONE, ROOM_ORDERS, ROOM_LEVELS = int(FoldStop.DONE), int(FoldStop.ORDERS), int(FoldStop.LEVELS)
ROOM_BOOKS, ROOM_POOL, ROOM_DELTAS = int(FoldStop.BOOKS), int(FoldStop.POOL), int(FoldStop.DELTAS)
ROOM_TOPS = int(FoldStop.TOPS)

ANOMALIES = len(Anomaly)
UNKNOWN_CANCEL, UNKNOWN_MODIFY = int(Anomaly.UNKNOWN_CANCEL), int(Anomaly.UNKNOWN_MODIFY)
DUPLICATE_ADD, OVER_CANCEL = int(Anomaly.DUPLICATE_ADD), int(Anomaly.OVER_CANCEL)
BAD_SIDE, A_UNDEF_PRICE = int(Anomaly.BAD_SIDE), int(Anomaly.UNDEF_PRICE)
A_UNDEF_SIZE, ZERO_SIZE = int(Anomaly.UNDEF_SIZE), int(Anomaly.ZERO_SIZE)
SIDE_MISMATCH, MBP_RECORD = int(Anomaly.SIDE_MISMATCH), int(Anomaly.MBP_RECORD)
TOB_CANCEL, SNAPSHOT_REPLACED = int(Anomaly.TOB_CANCEL), int(Anomaly.SNAPSHOT_REPLACED)

NO_ROOM = -1
# Literals would make numba compile a helper anew for each of them.
ZERO: int = np.int64(0)  # type: ignore[assignment]  # to Python it is an int
ONE: int = np.int64(1)  # type: ignore[assignment]

BBO_WORDS, DELTA_WORDS, CLOSING_WORDS = len(Bbo), len(Delta), len(EventEnd)


@inlined
def lacking_room(state: State, out: Outputs) -> int:
    """What a block of records may need and there is no room for, or DONE."""
    totals = state.totals
    if totals[T_BOOKS] + BLOCK > len(state.books) // BOOK_WORDS:
        return ROOM_BOOKS
    if 2 * (totals[T_ORDERS] + BLOCK) > len(state.orders) // SLOT_WORDS:
        return ROOM_ORDERS
    if 2 * (totals[T_LEVELS] + BLOCK) > len(state.levels) // SLOT_WORDS:
        return ROOM_LEVELS
    # Each record may bring a book with two runs, or widen one.
    if totals[T_POOL] + 2 * BLOCK * (FIRST_CAPACITY + totals[T_WIDEST]) > len(state.run_keys):
        return ROOM_POOL
    if len(out.deltas) > 0 and (totals[T_DELTAS] + 2 * BLOCK) * DELTA_WORDS > len(out.deltas):
        return ROOM_DELTAS
    # Each record may end an open snapshot, and then its own event or be a trade.
    top_words = FIRST_LEVEL + TOP_LEVEL_WORDS * out.depth
    if out.depth > 0 and (totals[T_TOPS] + 2 * BLOCK) * top_words > len(out.tops):
        return ROOM_TOPS
    return DONE


@outlined
def add_book(
    index: NDArray[np.int64],
    books: NDArray[np.int64],
    totals: NDArray[np.int64],
    place: int,
    key: int,
) -> int:
    """Take a row for a key seen for the first time; its number."""
    book = totals[T_BOOKS]
    row = book * BOOK_WORDS
    books[row + B_KEY] = key
    books[row + LAST_ROW] = -1
    books[row + NOTED_ROW] = -1
    totals[T_POOL] = open_run(books, row + BID_LADDER, as_word(NO_BID), totals[T_POOL])
    totals[T_POOL] = open_run(books, row + ASK_LADDER, as_word(NO_ASK), totals[T_POOL])
    totals[T_BOOKS] = book + 1
    index[2 * place] = key
    index[2 * place + 1] = book + 1
    return as_word(book)


@inlined
def emit(
    deltas: NDArray[np.int64],
    n: int,
    row: int,
    book: int,
    event: int,
    side: int,
    key: int,
    size: int,
    count: int,
) -> int:
    """Write one level delta; the number of deltas then."""
    word = n * DELTA_WORDS
    deltas[at(word)] = row
    deltas[at(word + 1)] = book
    deltas[at(word + 2)] = event
    deltas[at(word + 3)] = side
    deltas[at(word + 4)] = key ^ -side
    deltas[at(word + 5)] = size
    deltas[at(word + 6)] = count
    return n + 1


@outlined
def clear_side(
    levels: NDArray[np.int64],
    books: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    totals: NDArray[np.int64],
    deltas: NDArray[np.int64],
    i: int,
    book: int,
    side: int,
) -> bool:
    """Empty one side of a book, each level with a delta; False where there was nothing."""
    ladder = book * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * side
    start, n = books[ladder + START], totals[T_DELTAS]
    found = False
    for j in range(start, start + books[ladder + LENGTH]):
        slot = as_word(run_slots[j]) * SLOT_WORDS
        if levels[slot + L_SIZE] > 0:
            found = True
            if len(deltas) > 0:
                size, count = -levels[slot + L_SIZE], -levels[slot + L_COUNT]
                event = books[book * BOOK_WORDS + EVENTS] >> 1
                n = emit(deltas, n, i, book, event, side, levels[slot + L_KEY], size, count)
        levels[slot + L_OWNER] &= ~IN_RUN
        levels[slot + L_SIZE] = 0
        levels[slot + L_COUNT] = 0
    totals[T_DELTAS] = n
    books[book * BOOK_WORDS + TOUCHED] |= 1 << side
    books[ladder + FLOOR] = totals[T_PRIORITY] + 1
    books[ladder + LENGTH] = 0
    books[ladder + EMPTIES] = 0
    books[ladder + BEST] = NO_ASK if side else NO_BID
    return found


@inlined
def clear_book(state: State, out: Outputs, i: int, book: int) -> bool:
    """Empty both sides; False where there was nothing."""
    found = False
    for side in range(2):
        found |= clear_side(
            state.levels, state.books, state.run_slots, state.totals, out.deltas, i, book, side
        )
    return found


@inlined
def room_to_clear(state: State, out: Outputs, row: int) -> bool:
    """Whether the deltas of clearing the book, and of a block after it, have room."""
    if len(out.deltas) == 0:
        return True
    levels = state.books[row + BID_LADDER + LENGTH] + state.books[row + ASK_LADDER + LENGTH]
    wanted: int = (state.totals[T_DELTAS] + levels + 2 * BLOCK + 2) * DELTA_WORDS
    return wanted <= len(out.deltas)


@inlined
def close_event(
    books: NDArray[np.int64], event_ends: NDArray[np.int64], n: int, i: int, book: int
) -> int:
    """Note that an event of the book ends with row `i` (rule 5); the number of ends then."""
    event = books[at(book * BOOK_WORDS + EVENTS)] >> 1
    books[at(book * BOOK_WORDS + EVENTS)] = (event + 1) << 1
    if len(event_ends) == 0:
        return n
    word = n * CLOSING_WORDS
    event_ends[at(word)] = i
    event_ends[at(word + 1)] = book
    event_ends[at(word + 2)] = event
    return n + 1


@inlined
def end_snapshot(state: State, out: Outputs, book: int) -> None:
    """Rule 14: the last record of a snapshot may lack F_LAST; what follows it ends it."""
    books, totals, row = state.books, state.totals, book * BOOK_WORDS
    if len(out.shown) > 0:
        write_changed_top(state, out, book)
    if len(out.dirty) > 0:
        count_end(state, out, book, books[row + LAST_ROW])
    totals[T_CLOSINGS] = close_event(
        books, out.event_ends, totals[T_CLOSINGS], books[row + LAST_ROW], book
    )
    books[row + SNAPSHOT_OPEN] = 0


@kernel
def set_all_statuses(state: State, out: Outputs, status: int) -> None:
    """Every book gets a status, and an open snapshot ends; there is room for its top."""
    for book in range(state.totals[T_BOOKS]):
        if state.books[book * BOOK_WORDS + SNAPSHOT_OPEN]:
            end_snapshot(state, out, book)
        state.books[book * BOOK_WORDS + STATUS] = status


@outlined
def handle_flags(
    state: State,
    out: Outputs,
    i: int,
    book: int,
    action: int,
    side_code: int,
    price: int,
    size: int,
    flags: int,
) -> int:
    """All that flags other than F_LAST mean for a book (rules 13 to 17).

    The action that is left to apply: the record's own, NONE, or NO_ROOM if nothing could be done.
    """
    row, anomalies, books = book * BOOK_WORDS, book * ANOMALIES, state.books
    if not room_to_clear(state, out, row):
        return NO_ROOM
    if books[row + SNAPSHOT_OPEN] and not flags & F_SNAPSHOT:
        end_snapshot(state, out, book)
    if len(out.dirty) > 0:
        keep_before(state, out, book, flags)
    if flags & F_SNAPSHOT:
        if not books[row + SNAPSHOT_OPEN] and (action == ADD or action == CLEAR):
            books[row + SNAPSHOT_OPEN] = 1
            books[row + STATUS] = SYNCED
            # A snapshot without R replaces what was there, as the next day's file does.
            if action == ADD and clear_book(state, out, i, book):
                state.anomalies[anomalies + SNAPSHOT_REPLACED] += 1
        if flags & F_LAST:
            books[row + SNAPSHOT_OPEN] = 0
    if action == CLEAR:  # rule 11
        clear_book(state, out, i, book)
        books[row + STATUS] = SYNCED
    if flags & F_MAYBE_BAD_BOOK:  # rule 17, of a R too: what follows it may be missing
        books[row + STATUS] = STALE
    if action == ADD or action == MODIFY or action == MODIFY_PARTIAL:
        if flags & F_MBP:  # rule 15
            state.anomalies[anomalies + MBP_RECORD] += 1
            return NONE
        if flags & F_TOB:  # rule 13
            fault = replace_top(state, out, i, book, side_code, price, size)
            if fault >= 0:
                state.anomalies[anomalies + fault] += 1
            return NONE
    if action == CANCEL and flags & (F_MBP | F_TOB):
        state.anomalies[anomalies + (MBP_RECORD if flags & F_MBP else TOB_CANCEL)] += 1
        return NONE
    return action


@inlined
def replace_top(
    state: State, out: Outputs, i: int, book: int, side_code: int, price: int, size: int
) -> int:
    """A top-of-book record is all there is on its side; UNDEF_PRICE empties it. The fault or -1."""
    if side_code != SIDE_BID and side_code != SIDE_ASK:
        return BAD_SIDE
    if size == UNDEF_SIZE and price != UNDEF_PRICE:
        return A_UNDEF_SIZE
    levels, books, totals = state.levels, state.books, state.totals
    side = as_word(side_code == SIDE_ASK)
    clear_side(levels, books, state.run_slots, totals, out.deltas, i, book, side)
    if price == UNDEF_PRICE or size == 0:
        return -1
    key = price ^ -side
    mask = len(levels) // SLOT_WORDS - 1
    place = find_level(levels, mask, shift_of(mask), key, (book << 1 | side) + 1)
    if place < 0:
        place = ~place
        totals[T_LEVELS] += 1
    levels[place * SLOT_WORDS + L_SIZE] = size
    raise_level(state, book * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * side, place)
    if len(out.deltas) > 0:
        event = books[book * BOOK_WORDS + EVENTS] >> 1
        totals[T_DELTAS] = emit(out.deltas, totals[T_DELTAS], i, book, event, side, key, size, ZERO)
    return -1


@outlined
def complete_modify(
    levels: NDArray[np.int64],
    packed: int,
    own_side: int,
    known: bool,
    price: int,
    size: int,
    side_code: int,
) -> tuple[int, int, int, int]:
    """What a partial modify leaves out stays as the book has it: price, size, side, and the fault.

    `packed` and `own_side` are the order's, if it is known; else all must be given.
    """
    lacks_side = side_code != SIDE_BID and side_code != SIDE_ASK
    if not known:
        lacking = price == UNDEF_PRICE or size == UNDEF_SIZE or lacks_side
        return price, size, side_code, UNKNOWN_MODIFY if lacking else -1
    if price == UNDEF_PRICE:
        price = levels[(packed >> 32) * SLOT_WORDS + L_KEY] ^ -own_side
    if size == UNDEF_SIZE:
        size = packed & SIZE_MASK
    if lacks_side:
        side_code = SIDE_ASK if own_side else SIDE_BID
    return price, size, side_code, -1


@outlined
def find_fault(action: int, side_code: int, price: int, size: int) -> int:
    """Why an add or modify changes nothing (rules 7 and 19), or -1."""
    if side_code != SIDE_BID and side_code != SIDE_ASK:
        return BAD_SIDE
    if price == UNDEF_PRICE:
        return A_UNDEF_PRICE
    if size == UNDEF_SIZE:
        return A_UNDEF_SIZE
    if size == 0 and action == ADD:
        return ZERO_SIZE
    return -1


@inlined
def shift_of(mask: int) -> int:
    """64 less the bits of a mask: how far a mixed hash is shifted down to a place."""
    bits = 0
    while mask >> bits:
        bits += 1
    return 64 - bits


@inlined
def take_from_level(
    state: State,
    out: Outputs,
    delta_count: int,
    i: int,
    book: int,
    side: int,
    place: int,
    size: int,
    count: int,
) -> int:
    """Take an order's size from its level; the number of deltas then."""
    levels, row = state.levels, book * BOOK_WORDS
    slot = place * SLOT_WORDS
    mark_changed(state, out, book, side, levels[at(slot + L_KEY)])
    left = levels[at(slot + L_SIZE)] - size
    levels[at(slot + L_SIZE)] = left
    levels[at(slot + L_COUNT)] -= count
    if len(out.deltas) > 0 and size > 0:
        key, event = levels[at(slot + L_KEY)], state.books[at(row + EVENTS)] >> 1
        delta_count = emit(out.deltas, delta_count, i, book, event, side, key, -size, -count)
    if left == 0:
        none = NO_ASK if side else NO_BID
        drop_level(state, row + BID_LADDER + (ASK_LADDER - BID_LADDER) * side, place, none)
    return delta_count


@inlined
def add_to_level(
    state: State,
    out: Outputs,
    delta_count: int,
    i: int,
    book: int,
    side: int,
    place: int,
    size: int,
    count: int,
) -> int:
    """Give an order's size to its level; the number of deltas then."""
    levels, row = state.levels, book * BOOK_WORDS
    slot = place * SLOT_WORDS
    mark_changed(state, out, book, side, levels[at(slot + L_KEY)])
    before = levels[at(slot + L_SIZE)]
    levels[at(slot + L_SIZE)] = before + size
    levels[at(slot + L_COUNT)] += count
    if len(out.deltas) > 0:
        key, event = levels[at(slot + L_KEY)], state.books[at(row + EVENTS)] >> 1
        delta_count = emit(out.deltas, delta_count, i, book, event, side, key, size, count)
    if before == 0:
        raise_level(state, row + BID_LADDER + (ASK_LADDER - BID_LADDER) * side, place)
    return delta_count


@inlined
def orders_match(orders: NDArray[np.int64], slot: int, order_id: int) -> bool:
    """Whether a slot seems to be an order's; good enough to prefetch by."""
    found: int = orders[at(slot + O_ID)]
    return found == as_word(order_id)


@inlined
def locate_block(
    batch: Events,
    state: State,
    first: int,
    length: int,
    shift: int,
    books_of: NDArray[np.int64],
    homes: NDArray[np.int64],
) -> None:
    """First pass: each record's book, and where its order's search begins; prefetch both.

    Where the levels do not fit the cache, they are asked for too: those of new orders by their
    price, those of known ones by the order's slot, which has arrived by then.
    """
    index_mask = len(state.book_index) // 2 - 1
    last_key, book = -ONE, ZERO
    for j in range(length):
        i = first + j
        key = as_word(batch.publisher_id[at(i)]) << 32 | as_word(batch.instrument_id[at(i)])
        if key != last_key:
            last_key = key
            place = find_book(state.book_index, index_mask, key)
            if place < 0:
                book = add_book(state.book_index, state.books, state.totals, ~place, key)
            else:
                book = state.book_index[at(2 * place + 1)] - 1
            prefetch(state.books, book * BOOK_WORDS)
            prefetch(state.books, book * BOOK_WORDS + BID_LADDER)
            prefetch(state.books, book * BOOK_WORDS + ASK_LADDER)
        books_of[at(j)] = book
        home = order_home(as_word(batch.order_id[at(i)]), book, shift)
        homes[at(j)] = home
        prefetch(state.orders, home * SLOT_WORDS)
    if len(state.levels) < LEVELS_IN_CACHE * SLOT_WORDS:
        return
    level_shift = shift_of(len(state.levels) // SLOT_WORDS - 1)
    for j in range(length):
        i, slot = first + j, homes[at(j)] * SLOT_WORDS
        action = as_word(batch.action[at(i)])
        if action == ADD or action == MODIFY:
            side = as_word(batch.side[at(i)] == SIDE_ASK)
            owner = (books_of[at(j)] << 1 | side) + 1
            place = level_home(batch.price[at(i)] ^ -side, owner, level_shift)
            prefetch(state.levels, place * SLOT_WORDS)
        if action != ADD and orders_match(state.orders, slot, batch.order_id[at(i)]):
            prefetch(state.levels, (state.orders[at(slot + O_PACKED)] >> 32) * SLOT_WORDS)


@inlined
def keep_tops(batch: Events, state: State, out: Outputs, i: int, book: int) -> None:
    """Show the book at a trade, note what else an event is, and show the book at its end."""
    action = as_word(batch.action[at(i)])
    if out.trades and action == TRADE:
        write_trade_top(state, out, book, i)
    if len(out.shown) > 0:
        if action != TRADE and action != FILL and action != NONE:
            side = as_word(batch.side[at(i)] == SIDE_ASK)
            note_record(state, book, i, side, batch.price[at(i)])
        if (
            batch.flags[at(i)] & F_LAST
            and state.books[at(book * BOOK_WORDS + TOUCHED)] & BOTH_SIDES
        ):
            write_changed_top(state, out, book)


@inlined
def next_bound(state: State, out: Outputs) -> int:
    """The row before which the next window ends; -1: none of the batch."""
    passed = state.totals[T_BOUND]
    return as_word(out.bounds[passed]) if passed < len(out.bounds) else -ONE


@kernel
def fold(
    batch: Events,
    first: int,
    state: State,
    out: Outputs,
    books_of: NDArray[np.int64],
    homes: NDArray[np.int64],
) -> tuple[int, int]:
    """Apply the batch's rows from `first` on; the row it stopped before, and a `Room`.

    `books_of` and `homes` are scratch of BLOCK words.
    """
    orders, levels, books, totals = state.orders, state.levels, state.books, state.totals
    order_mask, level_mask = len(orders) // SLOT_WORDS - 1, len(levels) // SLOT_WORDS - 1
    order_shift, level_shift = shift_of(order_mask), shift_of(level_mask)
    event_ends, bbo, deltas = out.event_ends, out.bbo, out.deltas
    want_deltas, want_bbo = len(deltas) > 0, len(bbo) > 0
    rows, stop = len(batch.action), DONE
    # Registers are faster than memory: `totals` is brought up to date where others read it.
    priority, orders_taken, levels_taken = totals[T_PRIORITY], totals[T_ORDERS], totals[T_LEVELS]
    delta_count, closing_count = totals[T_DELTAS], totals[T_CLOSINGS]
    want_windows, bound = len(out.dirty) > 0, next_bound(state, out)
    while first < rows:
        totals[T_ORDERS], totals[T_LEVELS], totals[T_DELTAS] = (
            orders_taken,
            levels_taken,
            delta_count,
        )
        stop = lacking_room(state, out)
        if stop != DONE:
            break
        length = min(BLOCK, rows - first)
        locate_block(batch, state, first, length, order_shift, books_of, homes)
        for j in range(length):
            i = first + j
            book = books_of[at(j)]
            row = book * BOOK_WORDS
            action = as_word(batch.action[at(i)])
            flags = as_word(batch.flags[at(i)])
            if i == bound:
                if not has_room_to_end(state, out):
                    first, length, stop = i, 0, ROOM_TOPS
                    break
                end_window(state, out)
                bound = next_bound(state, out)
            if flags & RARE or books[at(row + SNAPSHOT_OPEN)] or action == CLEAR:
                totals[T_PRIORITY], totals[T_LEVELS] = priority, levels_taken
                totals[T_DELTAS], totals[T_CLOSINGS] = delta_count, closing_count
                action = handle_flags(
                    state, out, i, book, action, as_word(batch.side[at(i)]), batch.price[at(i)],
                    as_word(batch.size[at(i)]), flags,
                )  # fmt: skip
                levels_taken = totals[T_LEVELS]
                delta_count, closing_count = totals[T_DELTAS], totals[T_CLOSINGS]
                if action == NO_ROOM:
                    first, length, stop = i, 0, ROOM_DELTAS
                    break
            elif want_windows:
                keep_before(state, out, book, flags)

            if action == CANCEL:
                order_id = as_word(batch.order_id[at(i)])
                slot = find_order(orders, order_mask, homes[at(j)], order_id, book)
                known, side = slot >= 0, ZERO
                if known:
                    side = orders[at(slot + O_OWNER)] & 1  # rule 12: not the record's side
                    floor = books[at(row + BID_LADDER + (ASK_LADDER - BID_LADDER) * side + FLOOR)]
                    known = orders[at(slot + O_PRIORITY)] >= floor
                if known:
                    size, packed = as_word(batch.size[at(i)]), orders[at(slot + O_PACKED)]
                    left, count = packed & SIZE_MASK, ZERO
                    if size < left:  # rule 8: part of the order
                        orders[at(slot + O_PACKED)] = packed - size
                    else:
                        if size > left:
                            state.anomalies[book * ANOMALIES + OVER_CANCEL] += 1
                        erase_order(orders, order_mask, order_shift, slot)
                        orders_taken -= 1
                        size, count = left, ONE
                    delta_count = take_from_level(
                        state, out, delta_count, i, book, side, packed >> 32, size, count
                    )
                else:
                    state.anomalies[book * ANOMALIES + UNKNOWN_CANCEL] += 1

            elif action == ADD or action == MODIFY or action == MODIFY_PARTIAL:
                order_id = as_word(batch.order_id[at(i)])
                slot = find_order(orders, order_mask, homes[at(j)], order_id, book)
                known, held = slot >= 0, slot >= 0
                packed, own_side = ZERO, ZERO
                if held:
                    packed, own_side = orders[at(slot + O_PACKED)], orders[at(slot + O_OWNER)] & 1
                    floor = books[
                        at(row + BID_LADDER + (ASK_LADDER - BID_LADDER) * own_side + FLOOR)
                    ]
                    known = orders[at(slot + O_PRIORITY)] >= floor
                else:
                    slot = ~slot
                price, size = batch.price[at(i)], as_word(batch.size[at(i)])
                side_code = as_word(batch.side[at(i)])
                fault = -1
                if action == MODIFY_PARTIAL:
                    action = MODIFY
                    price, size, side_code, fault = complete_modify(
                        levels, packed, own_side, known, price, size, side_code
                    )
                # One test for the usual case; what is wrong, if anything, is found out of line.
                two_sided = side_code == SIDE_BID or side_code == SIDE_ASK
                if not (two_sided and price != UNDEF_PRICE and 0 < size < UNDEF_SIZE) and fault < 0:
                    fault = find_fault(action, side_code, price, size)
                side = as_word(side_code == SIDE_ASK)
                anomaly = -1
                if action == ADD:
                    if known:
                        anomaly = DUPLICATE_ADD  # rule 7: it replaces the order
                elif not known:
                    anomaly = UNKNOWN_MODIFY  # rule 9: inserted as if A
                elif side != own_side:
                    anomaly = SIDE_MISMATCH
                    side = own_side  # rule 12
                if fault >= 0:
                    state.anomalies[book * ANOMALIES + fault] += 1
                else:
                    old, old_size = packed >> 32, packed & SIZE_MASK
                    new = -ONE
                    if size > 0:
                        key, owner = price ^ -side, (book << 1 | side) + 1
                        new = find_level(levels, level_mask, level_shift, key, owner)
                        if new < 0:
                            new = ~new
                            levels_taken += 1
                    if anomaly >= 0:
                        state.anomalies[book * ANOMALIES + anomaly] += 1
                    given, count = size, ONE
                    if known and new == old:
                        given, count = size - old_size, ZERO
                    elif known:
                        delta_count = take_from_level(
                            state, out, delta_count, i, book, own_side, old, old_size, ONE
                        )
                    if size == 0:  # rule 9: M with size 0 removes
                        if known:
                            erase_order(orders, order_mask, order_shift, slot)
                            orders_taken -= 1
                    else:
                        # Rule 10: back of the queue, but for a known order that does not grow.
                        if count == 1 or given > 0 or action == ADD:
                            priority += 1
                            orders[at(slot + O_PRIORITY)] = priority
                        if not held:
                            orders_taken += 1
                            orders[at(slot + O_ID)] = order_id
                        orders[at(slot + O_OWNER)] = book << 1 | side
                        orders[at(slot + O_PACKED)] = new << 32 | size
                        if given != 0:
                            delta_count = add_to_level(
                                state, out, delta_count, i, book, side, new, given, count
                            )

            books[at(row + LAST_ROW)] = i
            last = flags >> 7
            if want_windows:
                if last:
                    count_end(state, out, book, i)
            elif out.depth > 0:
                keep_tops(batch, state, out, i, book)
            if want_deltas and last:
                closing_count = close_event(books, event_ends, closing_count, i, book)
            else:
                events = books[at(row + EVENTS)]
                books[at(row + EVENTS)] = ((events & ~1) + 2 * last) | (1 - last)
            if want_bbo:
                bid = books[at(row + BID_LADDER + BEST)] * SLOT_WORDS
                ask = books[at(row + ASK_LADDER + BEST)] * SLOT_WORDS
                word = i * BBO_WORDS
                bbo[at(word)] = levels[at(bid + L_KEY)]
                bbo[at(word + 1)] = levels[at(bid + L_SIZE)]
                bbo[at(word + 2)] = levels[at(bid + L_COUNT)]
                bbo[at(word + 3)] = ~levels[at(ask + L_KEY)]
                bbo[at(word + 4)] = levels[at(ask + L_SIZE)]
                bbo[at(word + 5)] = levels[at(ask + L_COUNT)]
        if stop != DONE:
            break
        first += length
    totals[T_PRIORITY], totals[T_ORDERS], totals[T_LEVELS] = priority, orders_taken, levels_taken
    totals[T_DELTAS], totals[T_CLOSINGS] = delta_count, closing_count
    return first, stop
