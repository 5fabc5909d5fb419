"""The engine equals the reference on random records, whatever the batches.

`make soak` has a hundred million of them.
"""

from __future__ import annotations

import pytest

from batonics.book.engine import BookEngine
from tests.support.compare_books import EnginePair, assert_same, first_difference
from tests.support.reference_books import ReferenceBooks, records
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream

ROWS = {1: 1_500, 2: 3_000, 7: 6_000, 64: 12_000, 1_000_000: 18_000}
"""Rows to feed, by the size of the batches; the smaller they are, the longer it takes."""
FULL_EVERY = {"deep": 3_000, "many_books": 4_000, "sparse": 500}


@pytest.mark.parametrize("batch_rows", ROWS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_engine_equals_the_reference(profile: str, batch_rows: int) -> None:
    seed = 100 + batch_rows
    pair = EnginePair(
        f"{profile}, seed {seed}, batches of {batch_rows}", full_every=FULL_EVERY.get(profile, 200)
    )
    pair.feed_in_batches(PROFILES[profile](seed, ROWS[batch_rows]), batch_rows)


@pytest.mark.parametrize("profile", ["adversarial", "snapshots", "top_of_book", "partial"])
def test_all_is_compared_after_every_record(profile: str) -> None:
    pair = EnginePair(f"{profile}, seed 7, one by one", full_every=1)
    pair.feed_in_batches(PROFILES[profile](7, 1_000), 1)


@pytest.mark.parametrize(("bbo", "deltas"), [(False, False), (True, False), (False, True)])
def test_the_books_are_the_same_whatever_is_kept(bbo: bool, deltas: bool) -> None:
    batch = random_stream(9, 20_000)
    engine, reference = BookEngine(bbo=bbo, deltas=deltas), ReferenceBooks()
    engine.fold(batch)
    for record in records(batch):
        reference.apply(record)
    assert_same(engine, reference, "seed 9")


# ---------------------------------------------------------------------- the comparison itself


def test_a_difference_is_found_and_named() -> None:
    batch = random_stream(1, 500, books=1, tob_books=0)
    engine, reference = BookEngine(), ReferenceBooks()
    engine.fold(batch)
    for record in list(records(batch))[:-1]:
        reference.apply(record)
    with pytest.raises(
        AssertionError, match=r"seed 1: engine != reference at \[\(1, 100\)\]\[\w+\]"
    ):
        assert_same(engine, reference, "seed 1")


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ({"a": [1, (2, 3)]}, {"a": [1, (2, 4)]}, "[a][1][1]: 3 != 4"),
        ([1], [1, 2], "[1]: nothing != 2"),
        ([1, 2], [1], "[1]: 2 != nothing"),
        ({"a": 1}, {"b": 1}, ": {'a': 1} != {'b': 1}"),
        ([1, 2], [1, 2], ""),
    ],
)
def test_the_first_difference(left: object, right: object, words: str) -> None:
    assert first_difference(left, right) == words
