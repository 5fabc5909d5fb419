"""`reconstruct --snapshots` as a command: its books are those of `.mbo.depth`."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from tests.support.command import SAMPLE, run_in_process


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
