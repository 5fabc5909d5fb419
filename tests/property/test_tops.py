"""Tops equal those of the reference: at trades, and where an event changed the best levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.book.state import Book, Top
from batonics.model.mbo import Action, MboBatch, Side, concat_batches, slice_batch
from tests.support.compare_books import pieces
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo
from tests.support.reference_tops import ReferenceTop, engine_tops, reference_tops
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream

ROWS = 1_500
BOTH = {"changes": True, "trades": True}


def first_difference(ours: list[ReferenceTop], theirs: list[ReferenceTop]) -> str:
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return f"top {number}: {one} != {other}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} tops != {len(theirs)}"


@pytest.mark.parametrize("depth", [1, 3, 10])
@pytest.mark.parametrize("profile", PROFILES)
def test_tops_equal_those_of_the_reference(profile: str, depth: int) -> None:
    batch = PROFILES[profile](11, ROWS)
    expected = reference_tops(batch, depth)
    assert expected
    assert not first_difference(engine_tops([batch], TopsSpec(depth, **BOTH)), expected)


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 64])
@pytest.mark.parametrize("profile", ["adversarial", "snapshots", "many_books", "partial"])
def test_tops_do_not_depend_on_the_cut_into_batches(profile: str, batch_rows: int) -> None:
    batch = PROFILES[profile](12, ROWS)
    whole = engine_tops([batch], TopsSpec(2, **BOTH))
    cut = engine_tops(pieces(batch, batch_rows), TopsSpec(2, **BOTH))
    assert not first_difference(cut, whole)


@pytest.mark.parametrize("file", [CLX5, DBEQ, ESH4_DAYS[1]])
def test_tops_of_real_days_equal_those_of_the_reference(file: str, test_data: Path) -> None:
    batch = read_mbo(test_data / file)
    rows = min(len(batch.action), 20_000)
    batch = slice_batch(batch, len(batch.action) - rows, len(batch.action))
    for depth in (1, 10):
        expected = reference_tops(batch, depth)
        assert not first_difference(engine_tops([batch], TopsSpec(depth, **BOTH)), expected)


@pytest.mark.parametrize("profile", ["adversarial", "snapshots", "top_of_book", "many_books"])
def test_trades_alone_are_those_of_both(profile: str) -> None:
    batch = PROFILES[profile](13, ROWS)
    both = engine_tops([batch], TopsSpec(2, **BOTH))
    trades = engine_tops(pieces(batch, 7), TopsSpec(2, changes=False, trades=True))
    assert trades == [top for top in both if top.kind == "trade"]


@pytest.mark.parametrize("profile", ["adversarial", "snapshots", "top_of_book"])
def test_without_trades_the_closing_record_describes_a_change(profile: str) -> None:
    batch = PROFILES[profile](13, ROWS)
    expected = reference_tops(batch, 2, trades=False)
    assert not first_difference(engine_tops([batch], TopsSpec(2)), expected)


def test_the_streams_hold_every_kind_of_top() -> None:
    kinds = {top.kind for name in PROFILES for top in reference_tops(PROFILES[name](11, ROWS), 1)}
    assert kinds == {"trade", "change", "ended by trade", "unchanged"}


def test_nothing_is_kept_that_is_not_specified() -> None:
    folded = BookEngine(bbo=True, deltas=True).fold(random_stream(14, ROWS))
    assert folded.tops.shape == (0, len(Top))


def test_tops_beyond_their_first_room_are_all_there() -> None:
    batch = slice_batch(random_stream(15, 1), 0, 1)
    add = batch._replace(
        action=np.array([Action.ADD], np.uint8),
        side=np.array([Side.BID], np.uint8),
        flags=np.array([128], np.uint8),
        size=np.array([1], np.uint32),
    )
    rows: list[MboBatch] = [
        add._replace(price=np.array([n]), order_id=np.array([n], np.uint64)) for n in range(5_000)
    ]
    folded = BookEngine(tops=TopsSpec(10)).fold(concat_batches(rows))
    assert folded.tops[:, Top.ROW].tolist() == list(range(5_000))
    assert folded.tops[:, len(Top)].tolist() == list(range(5_000))


def test_no_row_of_a_batch_is_remembered_in_the_next() -> None:
    engine = BookEngine(tops=TopsSpec(2))
    for piece in pieces(random_stream(16, 200), 3):
        engine.fold(piece)
        assert (engine._book_words()[:, Book.RECORD_ROW] < 0).all()
