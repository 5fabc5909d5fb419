"""`reconstruct --snapshots` as a command: its books are those of `.mbo.depth`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from tests.support.command import SAMPLE, error_line, run_in_process


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
@pytest.mark.parametrize("every", ["1s", "500"])
def test_snapshots_are_the_depth_of_the_records(form: str, every: str, tmp_path: Path) -> None:
    out = tmp_path / f"x.{form}"
    done = run_in_process(
        "reconstruct", SAMPLE, "--snapshots", out, "--every", every, "--depth", "3", "--quiet"
    )
    assert done.code == 0, done.err
    windows = int(every) if every.isdecimal() else every
    records = batonics.scan_mbo(SAMPLE)
    expected = records.mbo.depth(3, every=windows).collect()  # type: ignore[attr-defined]
    order = ["instrument_id", "sequence"]
    levels = [*order, "events", *(n for n in expected.columns if n.startswith(("bid_", "ask_")))]
    found = pl.read_parquet(out) if form == "parquet" else pl.read_ndjson(out)
    assert expected["bid_px_00"].null_count() == 0
    assert_frame_equal(
        found.select(levels).sort(order),
        expected.select(levels).sort(order),
        check_dtypes=False,
    )


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_prices_of_snapshots_have_the_unit_that_is_asked_for(form: str, tmp_path: Path) -> None:
    found = {}
    for unit in ("fixed", "decimal", "float"):
        out = tmp_path / f"{unit}.{form}"
        options = ("--every", "1m", "--depth", "1", "--prices", unit, "--quiet")
        assert run_in_process("reconstruct", SAMPLE, "--snapshots", out, *options).code == 0
        rows = pl.read_parquet(out) if form == "parquet" else pl.read_ndjson(out)
        found[unit] = rows["bid_px_00"].to_list()
    assert [Decimal(price) * 10**9 for price in found["decimal"]] == found["fixed"]
    assert [float(price) for price in found["decimal"]] == found["float"]


def test_books_have_no_unit_of_prices(tmp_path: Path) -> None:
    done = run_in_process("reconstruct", SAMPLE, "--out", tmp_path / "x.json", "--prices", "float")
    assert "--prices goes with --snapshots" in error_line(done, 2)
