"""Kinds of streams, by name. The rule: a name, a seed and a length give the same stream always."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, MboBatch, Side
from tests.support.streams import random_stream


def many_books(seed: int, rows: int, *, books: int = 300) -> MboBatch:
    """The adversarial stream, each record sent to any of `books` instruments of its publisher."""
    batch = random_stream(seed, rows, ids=8)
    instrument = np.random.default_rng(seed).integers(0, books, rows)
    batch.instrument_id[:] = (instrument * 2_654_435_761) % 2**32
    return batch


def small_keys(seed: int, rows: int) -> MboBatch:
    """Books of the publisher and the instruments that are nearest to none."""
    batch = random_stream(seed, rows)
    batch.publisher_id[:] = 0
    batch.instrument_id[:] = np.random.default_rng(seed).integers(0, 4, rows)
    return batch


def partial_heavy(seed: int, rows: int) -> MboBatch:
    """As of NDJSON: every modify leaves out what it pleases."""
    rng = np.random.default_rng(seed)
    batch = random_stream(seed, rows, tob_books=0)
    modify = batch.action == Action.MODIFY
    batch.action[modify] = Action.MODIFY_PARTIAL
    batch.price[modify & (rng.random(rows) < 0.5)] = UNDEF_PRICE
    batch.size[modify & (rng.random(rows) < 0.5)] = UNDEF_ORDER_SIZE
    batch.side[modify & (rng.random(rows) < 0.5)] = Side.NONE
    return batch


PROFILES: dict[str, Callable[[int, int], MboBatch]] = {
    "adversarial": random_stream,
    "faulty": partial(random_stream, fault_share=0.08),
    "deep": partial(
        random_stream, ids=2_000, ticks=800, clear_share=0, snapshot_share=0, tob_books=0
    ),
    "sparse": partial(random_stream, books=2, ids=200, ticks=400, tob_books=0, clear_share=0.0003),
    "many_books": many_books,
    "small_keys": small_keys,
    "top_of_book": partial(random_stream, books=5, tob_books=4),
    "snapshots": partial(random_stream, snapshot_share=0.05, ids=64),
    "partial": partial_heavy,
}
