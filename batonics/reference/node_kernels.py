"""The memory of the reference: orders in linked lists by level, and what has changed since a check.

The rule here: nothing is shared with the fold. Orders of a level are a doubly linked list in the
order of their queue, levels of a side with orders are one too, and both are found by hash chains.
A *node* is the number of an order or a level, from 1; 0 is none. An *owner* is book << 1 | side.

An order or level that changes is *touched*, and so is its book, until a check has compared it. A
touched order that has left the book stays, with size 0, and so does a touched level without orders.
So an order costs the same whatever the number of books, and a check costs what has changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.native import as_word, at, inlined, kernel, outlined

NOT_TOUCHED = -1
FREE_NODE = -1
"""The owner of a node that is not used."""

# Words of an order.
W_ID, W_OWNER, W_CHAIN, W_TOUCHED = 0, 1, 2, 3  # the last two: the next node of a bucket, a check
W_LEVEL, W_SIZE, W_QUEUED, W_PREVIOUS, W_NEXT = 4, 5, 6, 7, 8
W_ORDER_WORDS = 9

# Words of a level; the first four are those of an order, with the price in place of the id.
W_PRICE, W_LEVEL_SIZE, W_COUNT, W_FIRST, W_LAST = 0, 4, 5, 6, 7
W_LEVEL_PREVIOUS, W_LEVEL_NEXT = 8, 9
W_LEVEL_WORDS = 10

# Words of a book.
W_KEY, W_BOOK_CHAIN, W_IN_CHECK, W_TOUCHED_ORDERS, W_TOUCHED_LEVELS = 0, 1, 2, 3, 4
W_STATUS, W_SINCE, W_SNAPSHOT_OPEN, W_WAS_COLD, W_WAS_STALE = 5, 6, 7, 8, 9
W_RECORDS, W_LAST_NS, W_HAS_TOPS = 10, 11, 12
W_LEVELS, W_TOP_PRICE, W_TOP_SIZE = 13, 15, 17  # one word for each side; W_LEVELS: the first level
W_BOOK_WORDS = 19

# Words of the totals: the least node never used, the first free node, and how many are free.
W_FRESH_ORDER, W_FREE_ORDER, W_FREE_ORDERS = 0, 1, 2
W_FRESH_LEVEL, W_FREE_LEVEL, W_FREE_LEVELS = 3, 4, 5
W_BOOKS, W_TOUCHED_BOOKS, W_TOUCHED_NODES = 6, 7, 8
W_TOTALS = 9

_MIX_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_MIX_SECOND = np.uint64(0x94D049BB133111EB)


class Witness(NamedTuple):
    """All that the reference remembers. Buckets are a power of two of first nodes."""

    orders: NDArray[np.int64]
    order_buckets: NDArray[np.int64]
    levels: NDArray[np.int64]
    level_buckets: NDArray[np.int64]
    books: NDArray[np.int64]
    book_buckets: NDArray[np.int64]
    touched_books: NDArray[np.int64]
    totals: NDArray[np.int64]
    salt: NDArray[np.uint64]  # (`hash_salt`)


@inlined
def bucket_of(name: int, owner: int, salt: NDArray[np.uint64], buckets: int) -> int:
    """The bucket of an order's id and book, of a level's price and owner, or of a book's key."""
    mixed = np.uint64(name) * salt[0] + np.uint64(owner) * salt[1]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_SECOND
    return as_word((mixed ^ (mixed >> np.uint64(31))) & np.uint64(buckets - 1))


# ---------------------------------------------------------------------- books


@inlined
def find_witness_book(witness: Witness, key: int) -> int:
    """The number of a book, from 0; a new one has no records, and is cold."""
    books, buckets = witness.books, witness.book_buckets
    bucket = bucket_of(key, 0, witness.salt, len(buckets))
    book = as_word(buckets[at(bucket)]) - 1
    while book >= 0:
        if books[at(book * W_BOOK_WORDS + W_KEY)] == key:
            return book
        book = as_word(books[at(book * W_BOOK_WORDS + W_BOOK_CHAIN)]) - 1
    book = as_word(witness.totals[W_BOOKS])
    base = book * W_BOOK_WORDS
    for word in range(W_BOOK_WORDS):
        books[base + word] = 0
    books[base + W_KEY], books[base + W_SINCE] = key, -1
    books[base + W_BOOK_CHAIN] = buckets[bucket]
    buckets[bucket] = book + 1
    witness.totals[W_BOOKS] = book + 1
    return book


@inlined
def touch_book(witness: Witness, book: int) -> None:
    """A check has to look at the book."""
    base = book * W_BOOK_WORDS
    if witness.books[at(base + W_IN_CHECK)] == 0:
        witness.books[at(base + W_IN_CHECK)] = 1
        witness.touched_books[at(witness.totals[W_TOUCHED_BOOKS])] = book
        witness.totals[W_TOUCHED_BOOKS] += 1


# ---------------------------------------------------------------------- nodes


@inlined
def touch_node(
    witness: Witness, nodes: NDArray[np.int64], base: int, node: int, first_word: int
) -> None:
    """A check has to compare a node; `first_word` is that of the touched nodes of its book."""
    if nodes[at(base + W_TOUCHED)] == NOT_TOUCHED:
        first = (nodes[at(base + W_OWNER)] >> 1) * W_BOOK_WORDS + first_word
        nodes[at(base + W_TOUCHED)] = witness.books[at(first)]
        witness.books[at(first)] = node
        witness.totals[W_TOUCHED_NODES] += 1


@inlined
def touch_order(witness: Witness, node: int) -> None:
    """A check has to compare an order."""
    touch_node(witness, witness.orders, node * W_ORDER_WORDS, node, W_TOUCHED_ORDERS)


@inlined
def touch_level(witness: Witness, node: int) -> None:
    """A check has to compare a level."""
    touch_node(witness, witness.levels, node * W_LEVEL_WORDS, node, W_TOUCHED_LEVELS)


@inlined
def take_node(totals: NDArray[np.int64], nodes: NDArray[np.int64], words: int, fresh: int) -> int:
    """A node that is not used; `fresh` is the first word of its kind in the totals."""
    node = as_word(totals[fresh + 1])
    if node:
        totals[fresh + 1] = nodes[at(node * words + W_CHAIN)]
        totals[fresh + 2] -= 1
        return node
    node = as_word(totals[fresh])
    totals[fresh] = node + 1
    return node


@inlined
def find_order_node(witness: Witness, order_id: int, book: int) -> int:
    """The node of an order that is in the book, or is touched; else 0."""
    orders, buckets = witness.orders, witness.order_buckets
    node = as_word(buckets[at(bucket_of(order_id, book, witness.salt, len(buckets)))])
    while node:
        base = node * W_ORDER_WORDS
        if orders[at(base + W_ID)] == order_id and orders[at(base + W_OWNER)] >> 1 == book:
            return node
        node = as_word(orders[at(base + W_CHAIN)])
    return as_word(0)


@inlined
def make_order_node(witness: Witness, order_id: int, book: int) -> int:
    """A new node of an order of size 0."""
    orders, buckets = witness.orders, witness.order_buckets
    node = take_node(witness.totals, orders, W_ORDER_WORDS, W_FRESH_ORDER)
    base, bucket = node * W_ORDER_WORDS, bucket_of(order_id, book, witness.salt, len(buckets))
    orders[at(base + W_ID)], orders[at(base + W_OWNER)] = order_id, book << 1
    orders[at(base + W_TOUCHED)], orders[at(base + W_SIZE)] = NOT_TOUCHED, 0
    orders[at(base + W_CHAIN)] = buckets[at(bucket)]
    buckets[at(bucket)] = node
    return node


@inlined
def level_node(witness: Witness, owner: int, price: int) -> int:
    """The node of a level, which is made if there is none."""
    levels, buckets = witness.levels, witness.level_buckets
    bucket = bucket_of(price, owner, witness.salt, len(buckets))
    node = as_word(buckets[at(bucket)])
    while node:
        base = node * W_LEVEL_WORDS
        if levels[at(base + W_PRICE)] == price and levels[at(base + W_OWNER)] == owner:
            return node
        node = as_word(levels[at(base + W_CHAIN)])
    node = take_node(witness.totals, levels, W_LEVEL_WORDS, W_FRESH_LEVEL)
    base = node * W_LEVEL_WORDS
    for word in range(W_LEVEL_WORDS):
        levels[at(base + word)] = 0
    levels[at(base + W_PRICE)], levels[at(base + W_OWNER)] = price, owner
    levels[at(base + W_TOUCHED)] = NOT_TOUCHED
    levels[at(base + W_CHAIN)] = buckets[at(bucket)]
    buckets[at(bucket)] = node
    return node


# ---------------------------------------------------------------------- lists


@inlined
def list_level(witness: Witness, node: int) -> None:
    """Put a level that gets its first order into the list of its side."""
    levels, books, base = witness.levels, witness.books, node * W_LEVEL_WORDS
    owner = levels[at(base + W_OWNER)]
    first = (owner >> 1) * W_BOOK_WORDS + W_LEVELS + (owner & 1)
    following = books[at(first)]
    levels[at(base + W_LEVEL_PREVIOUS)], levels[at(base + W_LEVEL_NEXT)] = 0, following
    if following:
        levels[at(following * W_LEVEL_WORDS + W_LEVEL_PREVIOUS)] = node
    books[at(first)] = node


@inlined
def unlist_level(witness: Witness, node: int) -> None:
    """Take a level that has lost its last order from the list of its side."""
    levels, base = witness.levels, node * W_LEVEL_WORDS
    owner = levels[at(base + W_OWNER)]
    before, following = levels[at(base + W_LEVEL_PREVIOUS)], levels[at(base + W_LEVEL_NEXT)]
    if following:
        levels[at(following * W_LEVEL_WORDS + W_LEVEL_PREVIOUS)] = before
    if before:
        levels[at(before * W_LEVEL_WORDS + W_LEVEL_NEXT)] = following
    else:
        witness.books[at((owner >> 1) * W_BOOK_WORDS + W_LEVELS + (owner & 1))] = following


@inlined
def join_queue(witness: Witness, node: int, owner: int, price: int, size: int, row: int) -> None:
    """Put an order that is in no queue at the back of its level's."""
    orders, levels, base = witness.orders, witness.levels, node * W_ORDER_WORDS
    level = level_node(witness, owner, price)
    level_base = level * W_LEVEL_WORDS
    last = levels[at(level_base + W_LAST)]
    orders[at(base + W_OWNER)], orders[at(base + W_LEVEL)] = owner, level
    orders[at(base + W_SIZE)], orders[at(base + W_QUEUED)] = size, row
    orders[at(base + W_PREVIOUS)], orders[at(base + W_NEXT)] = last, 0
    if last:
        orders[at(last * W_ORDER_WORDS + W_NEXT)] = node
    else:
        levels[at(level_base + W_FIRST)] = node
        list_level(witness, level)
    levels[at(level_base + W_LAST)] = node
    levels[at(level_base + W_LEVEL_SIZE)] += size
    levels[at(level_base + W_COUNT)] += 1
    touch_order(witness, node)
    touch_level(witness, level)


@inlined
def leave_queue(witness: Witness, node: int) -> None:
    """Take an order from its queue; its size is then 0."""
    orders, levels, base = witness.orders, witness.levels, node * W_ORDER_WORDS
    level = orders[at(base + W_LEVEL)]
    level_base = level * W_LEVEL_WORDS
    before, following = orders[at(base + W_PREVIOUS)], orders[at(base + W_NEXT)]
    if before:
        orders[at(before * W_ORDER_WORDS + W_NEXT)] = following
    else:
        levels[at(level_base + W_FIRST)] = following
    if following:
        orders[at(following * W_ORDER_WORDS + W_PREVIOUS)] = before
    else:
        levels[at(level_base + W_LAST)] = before
    levels[at(level_base + W_LEVEL_SIZE)] -= orders[at(base + W_SIZE)]
    levels[at(level_base + W_COUNT)] -= 1
    if levels[at(level_base + W_COUNT)] == 0:
        unlist_level(witness, level)
    orders[at(base + W_SIZE)] = 0
    touch_order(witness, node)
    touch_level(witness, level)


# ---------------------------------------------------------------------- checks


@inlined
def drop_node(
    totals: NDArray[np.int64],
    nodes: NDArray[np.int64],
    buckets: NDArray[np.int64],
    words: int,
    node: int,
    bucket: int,
    fresh: int,
) -> None:
    """Free a node; `fresh` is the first word of its kind in the totals."""
    following = nodes[at(node * words + W_CHAIN)]
    one = as_word(buckets[at(bucket)])
    if one == node:
        buckets[at(bucket)] = following
    else:
        while nodes[at(one * words + W_CHAIN)] != node:
            one = as_word(nodes[at(one * words + W_CHAIN)])
        nodes[at(one * words + W_CHAIN)] = following
    nodes[at(node * words + W_OWNER)] = FREE_NODE
    nodes[at(node * words + W_CHAIN)] = totals[fresh + 1]
    totals[fresh + 1] = node
    totals[fresh + 2] += 1


@inlined
def bucket_of_node(
    nodes: NDArray[np.int64], base: int, words: int, salt: NDArray[np.uint64], buckets: int
) -> int:
    """The bucket of an order (`words` is W_ORDER_WORDS) or of a level."""
    owner = nodes[base + W_OWNER]
    if words == W_ORDER_WORDS:
        owner >>= 1
    return bucket_of(nodes[base + W_ID], owner, salt, buckets)


@outlined
def release_nodes(
    witness: Witness,
    nodes: NDArray[np.int64],
    buckets: NDArray[np.int64],
    words: int,
    used: int,
    first: int,
    fresh: int,
) -> None:
    """No check has to look at the touched nodes of a book; what is in no book is dropped.

    `used` is the word of a node that is 0 if it is in no book, `first` the word of the books that
    has the first of the nodes, and `fresh` the first word of their kind in the totals.
    """
    totals = witness.totals
    node = as_word(witness.books[first])
    witness.books[first] = 0
    while node:
        base = node * words
        following = as_word(nodes[base + W_TOUCHED])
        nodes[base + W_TOUCHED] = NOT_TOUCHED
        totals[W_TOUCHED_NODES] -= 1
        if nodes[base + used] == 0:
            bucket = bucket_of_node(nodes, base, words, witness.salt, len(buckets))
            drop_node(totals, nodes, buckets, words, node, bucket, fresh)
        node = following


@outlined
def release_book(witness: Witness, book: int) -> None:
    """No check has to look at what was touched of a book."""
    orders, order_buckets = witness.orders, witness.order_buckets
    levels, level_buckets = witness.levels, witness.level_buckets
    first = book * W_BOOK_WORDS
    touched_orders, touched_levels = first + W_TOUCHED_ORDERS, first + W_TOUCHED_LEVELS
    release_nodes(
        witness, orders, order_buckets, W_ORDER_WORDS, W_SIZE, touched_orders, W_FRESH_ORDER
    )
    release_nodes(
        witness, levels, level_buckets, W_LEVEL_WORDS, W_COUNT, touched_levels, W_FRESH_LEVEL
    )


@kernel
def release_all(witness: Witness) -> None:
    """No check has to look at anything."""
    for book in range(witness.totals[W_BOOKS]):
        release_book(witness, book)
        witness.books[book * W_BOOK_WORDS + W_IN_CHECK] = 0
    witness.totals[W_TOUCHED_BOOKS] = 0


@kernel
def fill_buckets(
    nodes: NDArray[np.int64], words: int, salt: NDArray[np.uint64], buckets: NDArray[np.int64]
) -> None:
    """Fill empty buckets with the orders (`words` is W_ORDER_WORDS) or the levels."""
    for node in range(1, len(nodes) // words):
        base = node * words
        if nodes[base + W_OWNER] == FREE_NODE:
            continue
        bucket = bucket_of_node(nodes, base, words, salt, len(buckets))
        nodes[base + W_CHAIN] = buckets[bucket]
        buckets[bucket] = node


@kernel
def fill_book_buckets(
    books: NDArray[np.int64], count: int, salt: NDArray[np.uint64], buckets: NDArray[np.int64]
) -> None:
    """Fill empty buckets with the books."""
    for book in range(count):
        base = book * W_BOOK_WORDS
        bucket = bucket_of(books[base + W_KEY], 0, salt, len(buckets))
        books[base + W_BOOK_CHAIN] = buckets[bucket]
        buckets[bucket] = book + 1
