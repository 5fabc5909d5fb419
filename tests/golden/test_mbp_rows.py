"""Rule 25 over real files: depth and side by the rows alone, ours and the vendor's.

The rule: nothing but consecutive rows of a book is compared; no kernel is used but for our rows.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batonics.frames.schemas.mbp import mbp_frames
from tests.support.mbp_rows import vendor_rows
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo

DEPTH = 10
BOOK = ["publisher_id", "instrument_id"]


def described(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `expected_depth` and `expected_side`, but for the first row of each book."""
    sides = {}
    for side, letter in (("bid", "B"), ("ask", "A")):
        level = pl.lit(DEPTH)
        for number in reversed(range(DEPTH)):
            names = [f"{side}_{value}_{number:02}" for value in ("px", "sz", "ct")]
            differs = pl.any_horizontal(
                pl.col(name).ne_missing(pl.col(name).shift().over(BOOK)) for name in names
            )
            level = pl.when(differs).then(number).otherwise(level)
        sides[letter] = level
    best = pl.min_horizontal("bid_change", "ask_change")
    return (
        rows.with_columns(bid_change=sides["B"], ask_change=sides["A"])
        .filter(pl.int_range(pl.len()).over(BOOK) > 0)
        .with_columns(
            expected_depth=pl.when(best < DEPTH).then(best).otherwise(0),
            expected_side=pl.when(pl.col("bid_change") == pl.col("ask_change"))
            .then(pl.lit("N"))
            .when(pl.col("bid_change") < pl.col("ask_change"))
            .then(pl.lit("B"))
            .otherwise(pl.lit("A")),
        )
    )


@pytest.mark.parametrize(("files", "changes"), [([CLX5], 23_733), (ESH4_DAYS, 37_066)])
def test_depth_and_side_are_where_rows_differ(
    files: list[str], changes: int, test_data: Path
) -> None:
    batches = [read_mbo(test_data / file) for file in files]
    rows = pl.concat(mbp_frames(batches, DEPTH))
    assert rows.filter(pl.col("action") != "T").height == changes
    found = described(rows).filter(pl.col("action") != "T")
    assert found.filter(pl.col("depth") != pl.col("expected_depth")).is_empty()
    one = found.filter((pl.col("action") != "R") & (pl.col("flags") & 32 == 0))
    assert one.filter(pl.col("side").cast(pl.String) != pl.col("expected_side")).is_empty()
    assert rows.filter(pl.col("action") == "T")["depth"].max() == 0


def test_the_vendors_depth_is_where_its_rows_differ(test_data: Path) -> None:
    rows = vendor_rows(test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet")
    found = described(rows).filter(pl.col("action") != "T")
    assert found.height > 4_000
    assert found.filter(pl.col("depth") != pl.col("expected_depth")).is_empty()
    ours = pl.concat(mbp_frames([read_mbo(test_data / DBEQ)], DEPTH))
    assert ours["depth"].equals(rows["depth"])
    assert ours["side"].equals(rows["side"])
