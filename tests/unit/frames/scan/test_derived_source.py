"""Derived sources make and read only what the query selects."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.scan import derived_source as derived_source_module
from batonics.frames.scan.derived_source import DerivationPlan, Frames, derived_source
from tests.support.mbp_rows import frame_of, random_rows


def passed_on(pulled: list[int], reads: list[set[str]]) -> pl.LazyFrame:
    """A source that gives its rows unchanged, and records the pulled rows and the columns read."""
    rows = frame_of(random_rows(5, 100)).lazy()

    def plan(wanted: object) -> DerivationPlan:
        assert isinstance(wanted, set)
        reads.append(wanted)

        def make(frames: Frames) -> Frames:
            for frame in frames:
                pulled.append(frame.height)
                yield frame

        return DerivationPlan({*wanted, *BOOK_KEY}, make)

    return derived_source("TEST", rows, mbp_schema(1), plan)


def test_a_source_gives_what_the_query_wants_and_reads_no_more() -> None:
    reads: list[set[str]] = []
    source = passed_on([], reads)
    whole = frame_of(random_rows(5, 100))
    assert_frame_equal(source.collect(), whole)
    query = (pl.col("size") > 3) & (pl.col("publisher_id") == 1)
    assert_frame_equal(
        source.filter(query).select("price").collect(), whole.filter(query).select("price")
    )
    assert reads == [set(whole.columns), {"price", "size", "publisher_id"}]
    assert source.select(pl.len()).collect().item() == 100


def test_a_predicate_on_the_book_is_pushed_on_into_the_rows() -> None:
    pulled: list[int] = []
    mine = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 7)
    found = passed_on(pulled, []).filter(mine).collect()
    assert_frame_equal(found, frame_of(random_rows(5, 100)).filter(mine))
    assert sum(pulled) == found.height


def test_after_the_last_row_of_a_limit_no_frame_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived_source_module, "FRAME_ROWS", 10)
    pulled: list[int] = []
    source = passed_on(pulled, [])
    whole = frame_of(random_rows(5, 100))
    for count in (0, 1, 10, 25, 1_000):
        assert_frame_equal(source.head(count).collect(), whole.head(count))
    pulled.clear()
    source.head(25).collect()
    assert sum(pulled) <= 40
    assert_frame_equal(
        source.head(60).filter(pl.col("publisher_id") == 2).collect(),
        whole.head(60).filter(pl.col("publisher_id") == 2),
    )
