"""Orders over a snapshot: what it has again lives on, the rest ends with it (rule 14).

The rule here: a snapshot empties its book, and says again what is there. So the orders of the book
are *held* until it ends: out of their levels, in a list of the book, with the priority that they
had. An order that the snapshot adds under its id and side is the same order. It *keeps its place*
if it has its price, shows no more than before, and only orders that kept theirs and stood ahead of
it before are ahead of it now. Levels list their orders as the snapshot does.

| an order of the snapshot  | what happened to it                                | change          |
|---------------------------|----------------------------------------------------|-----------------|
| keeps its place           | nothing; or it shrank                              | LOST            |
| is at another price, grew | a modify sent it to the back                       | LOST, APPEARED  |
| stands behind others      | its place is not known                             | LOST, MISPLACED |
| was not held              | its life begins, `left_censored`                   | APPEARED        |
| is held, but not added    | its life ends, cleared by the record that held it  | LOST            |

No record says what was filled and what was cancelled meanwhile: all that is gone is *lost*.
"""

from __future__ import annotations

from batonics.book.queue_list_kernels import (
    add_to_sums,
    display_size_of,
    find_queue_level,
    link,
    unlink,
)
from batonics.book.queue_order_kernels import QueueRecord, end_life, write_change, write_clear
from batonics.book.queue_state import (
    BOTH_SIDES,
    END_CLEARED,
    KIND_APPEARED,
    KIND_LOST,
    KIND_MISPLACED,
    N_ADDED,
    N_AHEAD,
    N_BEHIND,
    N_BOOK,
    N_CANCELLED,
    N_HELD_TS_EVENT,
    N_HELD_TS_RECV,
    N_LEVEL,
    N_MODIFIES,
    N_PENDING,
    N_PRICE,
    N_PRIORITY,
    N_REQUEUES,
    N_SIDE,
    N_SIZE,
    NO_LEVEL,
    NO_NODE,
    NODE_WORDS,
    QB_HELD_FIRST,
    QB_HELD_LAST,
    QB_SNAPSHOT_ORDERS,
    QL_FIRST,
    QL_LAST,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    QueueOutputs,
    Queues,
)
from batonics.hash_kernels import read_salt
from batonics.native import as_word, outlined


@outlined
def hold_level(queues: Queues, price: int, owner: int, record: QueueRecord) -> None:
    """Hold all orders of a level that a snapshot clears."""
    nodes, books, base = queues.nodes, queues.books, record.book * QUEUE_BOOK_WORDS
    level = (
        find_queue_level(queues.levels, queues.totals, read_salt(queues.salt), price, owner)
        * QUEUE_LEVEL_WORDS
    )
    while queues.levels[level + QL_FIRST] != NO_NODE:
        node = queues.levels[level + QL_FIRST]
        word = node * NODE_WORDS
        add_to_sums(queues, node, as_word(-1))
        unlink(queues, node)
        last = books[base + QB_HELD_LAST]
        nodes[word + N_LEVEL] = NO_LEVEL
        nodes[word + N_AHEAD], nodes[word + N_BEHIND] = last, NO_NODE
        nodes[word + N_HELD_TS_EVENT] = record.ts_event
        nodes[word + N_HELD_TS_RECV] = record.ts_recv
        if last == NO_NODE:
            books[base + QB_HELD_FIRST] = node
        else:
            nodes[last * NODE_WORDS + N_BEHIND] = node
        books[base + QB_HELD_LAST] = node


@outlined
def release(queues: Queues, node: int) -> None:
    """Take a node out of its book's list of held orders."""
    nodes, word = queues.nodes, node * NODE_WORDS
    base = nodes[word + N_BOOK] * QUEUE_BOOK_WORDS
    ahead, behind = nodes[word + N_AHEAD], nodes[word + N_BEHIND]
    if ahead == NO_NODE:
        queues.books[base + QB_HELD_FIRST] = behind
    else:
        nodes[ahead * NODE_WORDS + N_BEHIND] = behind
    if behind == NO_NODE:
        queues.books[base + QB_HELD_LAST] = ahead
    else:
        nodes[behind * NODE_WORDS + N_AHEAD] = ahead


@outlined
def end_held(queues: Queues, out: QueueOutputs, id_shift: int, row: int, node: int) -> None:
    """End the life of a held order; the record that held it is its last."""
    nodes, word = queues.nodes, node * NODE_WORDS
    display_size = display_size_of(nodes, node)
    if len(out.changes) > 0 and display_size > 0:
        write_change(queues, out, row, node, as_word(KIND_LOST), display_size)
    release(queues, node)
    ts_event, ts_recv = nodes[word + N_HELD_TS_EVENT], nodes[word + N_HELD_TS_RECV]
    end_life(queues, out, id_shift, node, as_word(END_CLEARED), ts_event, ts_recv)


@outlined
def end_snapshot_lives(
    queues: Queues, out: QueueOutputs, id_shift: int, row: int, book: int
) -> None:
    """A snapshot has ended: end the lives of the orders that it does not have again.

    A snapshot that has no order again is of another book: everything was cleared.
    """
    base = book * QUEUE_BOOK_WORDS
    if queues.books[base + QB_SNAPSHOT_ORDERS] == 1 and len(out.changes) > 0:
        write_clear(queues.totals, out, row, book, as_word(BOTH_SIDES))
    queues.books[base + QB_SNAPSHOT_ORDERS] = 0
    while queues.books[base + QB_HELD_FIRST] != NO_NODE:
        end_held(queues, out, id_shift, row, queues.books[base + QB_HELD_FIRST])


@outlined
def restate_order(
    queues: Queues, out: QueueOutputs, record: QueueRecord, node: int, price: int, size: int
) -> None:
    """The snapshot has a held order again, at the back of a level so far."""
    nodes, word = queues.nodes, node * NODE_WORDS
    old, pending = nodes[word + N_SIZE], nodes[word + N_PENDING]
    display_size, priority = display_size_of(nodes, node), nodes[word + N_PRIORITY]
    owner = (record.book << 1 | nodes[word + N_SIDE]) + 1
    level = find_queue_level(queues.levels, queues.totals, read_salt(queues.salt), price, owner)
    last = queues.levels[level * QUEUE_LEVEL_WORDS + QL_LAST]
    moved = price != nodes[word + N_PRICE] or size > display_size
    # Those that came or moved have a priority above all that are held.
    keeps = not moved and (last == NO_NODE or nodes[last * NODE_WORDS + N_PRIORITY] < priority)
    release(queues, node)
    if len(out.changes) > 0:
        lost = display_size - size if keeps else display_size
        if lost > 0:
            write_change(queues, out, record.row, node, as_word(KIND_LOST), lost)
        if not moved and not keeps:
            write_change(queues, out, record.row, node, as_word(KIND_MISPLACED), size)
    nodes[word + N_ADDED] += max(pending - old, 0) + max(size - display_size, 0)
    nodes[word + N_CANCELLED] += max(display_size - size, 0)
    nodes[word + N_MODIFIES] += as_word(moved or size != display_size)
    nodes[word + N_REQUEUES] += as_word(moved)
    nodes[word + N_PRICE], nodes[word + N_LEVEL] = price, level
    nodes[word + N_SIZE], nodes[word + N_PENDING] = size, 0
    link(queues, node)
    if keeps:
        nodes[word + N_PRIORITY] = priority
    add_to_sums(queues, node, as_word(1))
    if moved and len(out.changes) > 0:
        write_change(queues, out, record.row, node, as_word(KIND_APPEARED), size)
    queues.books[record.book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_ORDERS] += 1
