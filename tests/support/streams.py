"""Streams that try to break a book: hypothesis strategies, and a fast generator with a seed.

The one rule that must hold here: every record is of a legal shape (a decoder would pass it on),
however little sense it makes in its place. Ids are few and recur, across books too; prices are
few, and now and then extreme; snapshots come with and without R and closing record.

`random_stream` draws columns at once and lays structure over them: an id has a home side and a
home price it mostly keeps to, so that modifies of every kind and exact cancels are all frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, product

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.random import Generator
from numpy.typing import NDArray

from batonics.model.mbo import (
    MBO_COLUMN_DTYPES,
    NO_CHANNEL,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    DayStart,
    Flag,
    MboBatch,
    Side,
    empty_batch,
)
from tests.support.reference_books import Key, Record

START_NS = 1_758_742_200_000_000_000
TICK_1E9 = 10_000_000

KEYS: tuple[Key, ...] = ((1, 100), (1, 101), (2, 100), (65_535, 2**32 - 1), (0, 0))
"""Books that share an instrument or a publisher, and the ends of both ranges."""
ORDER_IDS = (1, 2, 0, 2**32 + 1, 2**64 - 1, 2**63, 2**20, 2**40)
"""Ids that meet in any hash that keeps only low bits, or that takes 0 or -1 for "none"."""
EXTREME_PRICES = (0, -1, 1, 2**63 - 2, -(2**63) + 1, -(2**63) + 2, 2**53 + 1, -TICK_1E9)
LARGE_SIZES = (2**32 - 2, 2**32 - 3, 2**31, 2**31 - 1, 100_000)

# Plain ints: numpy takes an enum's member for an int64, which does not fit the column.
_LAST, _TOB, _MBP = int(Flag.LAST), int(Flag.TOB), int(Flag.MBP)
_SNAPSHOT_FLAGS = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
_SNAPSHOT_ORDERS = tuple(product(b"BA", (10, 20, 30), (1, 3)))

DAY_START = DayStart._make(empty_batch(0))
"""A day starts, and nothing else."""


def batch_of(rows: Sequence[Record]) -> MboBatch:
    """Records as a batch."""
    columns = zip(*rows, strict=True) if rows else [()] * len(Record._fields)
    dtypes = MBO_COLUMN_DTYPES.values()
    return MboBatch(*(np.array(c, dtype) for c, dtype in zip(columns, dtypes, strict=True)))


def in_time(rows: Sequence[Record]) -> list[Record]:
    """Records stamped anew: `ts_recv` rises by what each had in it, `sequence` by one."""
    times = list(accumulate((row.ts_recv for row in rows), initial=START_NS))[1:]
    return [
        row._replace(ts_recv=time, ts_event=time - 1_000, sequence=sequence)
        for sequence, (row, time) in enumerate(zip(rows, times, strict=True), start=1)
    ]


def _record(
    step_ns: int, key: Key, action: int, side: int, price: int, size: int, order_id: int, flags: int
) -> Record:
    return Record(step_ns, 0, *key, action, side, price, size, 0, order_id, flags, 0, 0)


def record_strategy(
    *,
    keys: Sequence[Key] = KEYS[:3],
    actions: Sequence[int] = tuple(b"AAAAAACCCCMMMMmmRTFN"),
    order_ids: Sequence[int] = ORDER_IDS[:5],
    prices: Sequence[int] = (10, 20, 30, 10, 20, 30, 0, -10, *EXTREME_PRICES, UNDEF_PRICE),
    sizes: Sequence[int] = (1, 2, 3, 1, 2, 3, 0, *LARGE_SIZES, UNDEF_ORDER_SIZE),
    flags: Sequence[int] = (128, 0, 128, 0, 128, 64, 192, 40, 32, 168, 160, 4, 132, 16, 144, 8, 2),
) -> SearchStrategy[Record]:
    """One record of any kind, from small pools; an entry named twice is drawn twice as often.

    `ts_recv` is a step in ns from the record before: give it a time with `in_time`, or, in a
    state machine, with `_replace`.
    """
    return st.builds(
        _record,
        st.sampled_from((0, 1, 1_000, 1_000_000_000)),
        st.sampled_from(keys),
        st.sampled_from(actions),
        st.sampled_from(tuple(b"BABABAN")),
        st.sampled_from(prices),
        st.sampled_from(sizes),
        st.sampled_from(order_ids),
        st.sampled_from(flags),
    )


@st.composite
def snapshot_strategy(draw: st.DrawFn, *, keys: Sequence[Key] = KEYS[:3]) -> list[Record]:
    """A snapshot of one book: with or without its R, and with or without its closing record."""
    key = draw(st.sampled_from(keys))
    orders = draw(st.lists(st.sampled_from(_SNAPSHOT_ORDERS), min_size=1, max_size=6))
    first_id = draw(st.integers(0, len(ORDER_IDS) - 1))
    order_ids = (ORDER_IDS[first_id:] + ORDER_IDS[:first_id])[: len(orders)]
    rows = [
        _record(0, key, Action.ADD, side, price, size, order_id, _SNAPSHOT_FLAGS)
        for order_id, (side, price, size) in zip(order_ids, orders, strict=True)
    ]
    if draw(st.booleans()):
        clear = _record(0, key, Action.CLEAR, Side.NONE, UNDEF_PRICE, 0, 0, _SNAPSHOT_FLAGS)
        rows.insert(0, clear)
    if draw(st.booleans()):
        rows[-1] = rows[-1]._replace(flags=_SNAPSHOT_FLAGS | _LAST)
    return rows


def stream_strategy(
    *, keys: Sequence[Key] = KEYS[:3], pieces_max: int = 40
) -> SearchStrategy[list[Record]]:
    """Records of several books, single and in snapshots, with rising `ts_recv`.

    `pieces_max` bounds the records and snapshots together; `batch_of` makes a batch of the list.
    """
    piece = st.one_of(
        record_strategy(keys=keys).map(lambda row: [row]),
        record_strategy(keys=keys, flags=(128, 0)).map(lambda row: [row]),
        snapshot_strategy(keys=keys),
    )
    # Left to itself, `lists` draws five on average; it shrinks to the first alternative.
    pieces = st.one_of(
        st.lists(piece, max_size=pieces_max),
        st.lists(piece, min_size=pieces_max // 2, max_size=pieces_max),
    )
    return pieces.map(lambda groups: in_time([row for group in groups for row in group]))


def random_stream(
    seed: int,
    rows: int,
    *,
    books: int = 4,
    tob_books: int = 1,
    ids: int = 16,
    ticks: int = 6,
    clear_share: float = 0.004,
    snapshot_share: float = 0.004,
    fault_share: float = 0.01,
    partial_modifies: bool = True,
) -> MboBatch:
    """A stream of `rows` records, the same for the same arguments.

    Args:
        seed: of the random numbers.
        rows: how many records.
        books: how many books, at most `len(KEYS)`; those of top-of-book publishers included.
        tob_books: how many of them mostly send top-of-book records.
        ids: how many order ids there are; about half of them are live.
        ticks: how many ordinary prices. Deep ladders need many ids and ticks, and time to grow:
            `ids=2_000, ticks=800, clear_share=0, snapshot_share=0, tob_books=0`.
        clear_share: rate of each of the records that empty a book or a side of it: R, and stray
            F_TOB and F_SNAPSHOT on any record.
        snapshot_share: share of records that start a snapshot.
        fault_share: rate of each kind of fault and oddity: sentinels, extreme prices and sizes,
            side N, other stray flags, backward time.
        partial_modifies: whether `Action.MODIFY_PARTIAL` occurs, which DBN cannot carry.
    """
    rng = np.random.default_rng(seed)
    id_index = rng.integers(0, ids, rows)
    book = rng.integers(0, books, rows)
    publisher_id, instrument_id = np.array(KEYS[:books], np.int64)[book].T

    batch = MboBatch(
        **_times(rng, rows, fault_share),
        publisher_id=publisher_id.astype(np.uint16),
        instrument_id=instrument_id.astype(np.uint32),
        action=_actions(rng, rows, clear_share, partial_modifies),
        side=np.where(id_index % 2 == 0, Side.BID, Side.ASK).astype(np.uint8),
        price=_prices(rng, id_index, ticks),
        size=rng.integers(1, 5, rows).astype(np.uint32),
        channel_id=np.array([0, 5, NO_CHANNEL], np.uint8)[book % 3],
        order_id=_order_ids(ids)[id_index],
        flags=np.where(rng.random(rows) < 0.65, _LAST, 0).astype(np.uint8),
        ts_in_delta=rng.integers(-(2**31), 2**31, rows).astype(np.int32),
        sequence=np.cumsum(rng.integers(0, 4, rows)).astype(np.uint32),
    )
    _make_top_of_book(rng, batch, book >= books - tob_books, fault_share)
    _break_some(rng, batch, fault_share)
    for flag in (Flag.TOB, Flag.SNAPSHOT):
        batch.flags[rng.random(rows) < clear_share] |= int(flag)
    for number in range(books):
        _lay_snapshots(rng, batch, np.flatnonzero(book == number), snapshot_share, ids)
    _leave_out_of_partial_modifies(rng, batch)
    _make_clears_plain(batch)
    return batch


def _times(rng: Generator, rows: int, fault_share: float) -> dict[str, NDArray[np.uint64]]:
    """Arrivals in runs of equal times and with gaps; `ts_event` a little before, or long ago."""
    steps_ns = rng.choice([0, 0, 1, 700, 40_000, 900_000_000], rows)
    ts_recv = START_NS + np.cumsum(steps_ns)
    backward = rng.random(rows) < fault_share
    ts_recv[backward] -= 5_000_000_000
    ts_event = (ts_recv - rng.integers(0, 90_000, rows)).astype(np.uint64)
    ts_event[rng.random(rows) < fault_share] = START_NS - 86_400 * 10**9
    ts_event[rng.random(rows) < fault_share] = UNDEF_TIMESTAMP
    return {"ts_recv": ts_recv.astype(np.uint64), "ts_event": ts_event}


def _actions(
    rng: Generator, rows: int, clear_share: float, partial_modifies: bool
) -> NDArray[np.uint8]:
    usual = b"AAAAAAACCCCCMMMMTFN" + (b"m" if partial_modifies else b"M")
    actions = rng.choice(np.frombuffer(usual, np.uint8), rows)
    actions[rng.random(rows) < clear_share] = Action.CLEAR
    return actions


def _prices(rng: Generator, id_index: NDArray[np.int64], ticks: int) -> NDArray[np.int64]:
    """Around zero, so some are negative; half the time the id's home price."""
    home = id_index * 7 % ticks
    at_home = rng.random(len(home)) < 0.5
    tick = np.where(at_home, home, rng.integers(0, ticks, len(home)))
    return (tick - ticks // 3) * TICK_1E9


def _order_ids(ids: int) -> NDArray[np.uint64]:
    """The awkward ids first, then ones of which half differ in high bits only."""
    plain = [n << 32 if n % 2 else n for n in range(3, ids + 3)]
    return np.array([*ORDER_IDS, *plain][:ids], np.uint64)


def _leave_out_of_partial_modifies(rng: Generator, batch: MboBatch) -> None:
    partial = batch.action == Action.MODIFY_PARTIAL
    for column, absent in (
        (batch.price, UNDEF_PRICE),
        (batch.size, UNDEF_ORDER_SIZE),
        (batch.side, Side.NONE),
    ):
        column[partial & (rng.random(len(partial)) < 0.4)] = absent


def _make_top_of_book(
    rng: Generator, batch: MboBatch, of_tob_book: NDArray[np.bool_], fault_share: float
) -> None:
    """Most records of such a book; the others stay orders, as of a mixed publisher (rule 13)."""
    rows = len(of_tob_book)
    top = of_tob_book & (rng.random(rows) < 0.8) & (batch.action != Action.CLEAR)
    batch.action[top & (rng.random(rows) >= fault_share * 10)] = Action.ADD
    batch.side[top] = rng.choice(np.array([Side.BID, Side.ASK], np.uint8), rows)[top]
    batch.flags[top] |= _TOB
    empties = top & (rng.random(rows) < 0.15)
    batch.price[empties] = UNDEF_PRICE
    batch.size[empties] = 0


def _break_some(rng: Generator, batch: MboBatch, fault_share: float) -> None:
    rows = len(batch.action)

    def some(times: float = 1.0) -> NDArray[np.bool_]:
        return rng.random(rows) < fault_share * times

    batch.side[some()] = Side.NONE
    flipped = some(3) & (batch.side != Side.NONE)
    batch.side[flipped] ^= Side.BID ^ Side.ASK
    extreme = some(2)
    batch.price[extreme] = rng.choice(EXTREME_PRICES, rows)[extreme]
    batch.price[some()] = UNDEF_PRICE
    large = some(4)
    batch.size[large] = rng.choice(LARGE_SIZES, rows)[large]
    batch.size[some()] = UNDEF_ORDER_SIZE
    batch.size[some(2)] = 0
    for flag in (Flag.MBP, Flag.BAD_TS_RECV, Flag.PUBLISHER_SPECIFIC):
        batch.flags[some()] |= int(flag)
    batch.flags[some(0.3)] |= int(Flag.MAYBE_BAD_BOOK)
    # On T it is usual (rule 15).
    batch.flags[(batch.action == Action.TRADE) & some(20)] |= _MBP


def _lay_snapshots(
    rng: Generator,
    batch: MboBatch,
    rows_of_book: NDArray[np.intp],
    snapshot_share: float,
    ids: int,
) -> None:
    """Turn runs of one book's records into snapshots: a R or none, adds, a closing or none."""
    order_ids = _order_ids(ids)
    for start in np.flatnonzero(rng.random(len(rows_of_book)) < snapshot_share):
        run = rows_of_book[start : start + rng.integers(1, 1 + min(ids, 64))]
        with_clear, with_last, interrupted = rng.random(3) < (0.5, 0.5, 0.1)
        if interrupted:  # by whatever stands at its middle, which closes it half-way
            run = np.delete(run, len(run) // 2)
        if len(run) == 0:
            continue
        batch.order_id[run] = order_ids[(start + np.arange(len(run))) % ids]
        batch.action[run] = Action.ADD
        batch.flags[run] = batch.flags[run] & _TOB | _SNAPSHOT_FLAGS
        batch.ts_event[run] = START_NS - 3_600 * 10**9
        if with_clear:
            batch.action[run[0]] = Action.CLEAR
        if with_last:
            batch.flags[run[-1]] |= _LAST


def _make_clears_plain(batch: MboBatch) -> None:
    """A R carries no order (rule 11)."""
    clear = batch.action == Action.CLEAR
    batch.order_id[clear] = 0
    batch.price[clear] = UNDEF_PRICE
    batch.size[clear] = 0
    batch.side[clear] = Side.NONE
