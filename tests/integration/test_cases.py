"""The small cases of the real data, each with the values that its README.md gives, by the command.

The rule here: a case that is made has a check here, and a check has a case. Tests elsewhere look at
each case more closely.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

import batonics
from tests.support.command import error_line, reconstruct_books, run_in_process


def rows(path: Path, schema: str, *columns: str) -> list[tuple[Any, ...]]:
    done = run_in_process("convert", path, "--schema", schema, "--out", "-", "--format", "ndjson")
    assert done.code == 0, done.err
    return [
        tuple(row[name] for name in columns) for row in map(orjson.loads, done.out.splitlines())
    ]


def mbp(path: Path, schema: str = "mbp-10") -> list[tuple[Any, ...]]:
    return rows(path, schema, "action", "side", "depth", "flags")


def check_v1(path: Path) -> None:
    for schema in ("mbp-1", "mbp-10"):
        action, *found = mbp(path, schema)[-1]
        assert found == ["B", 0, 130]
        assert action == ("C" if path.stem == "v1_two_levels" else "M")


def check_both_sides(path: Path) -> None:
    assert mbp(path)[-2:] == [("T", "A", 0, 0), ("A", "N", 0, 130)]


def check_one_side(path: Path) -> None:
    assert mbp(path)[-1] == ("A", "B", 2, 130)


def check_trade_ends(path: Path) -> None:
    assert mbp(path)[-3:] == [("T", "A", 0, 0), ("T", "N", 0, 130), ("A", "B", 0, 130)]
    bids = [price for (price,) in rows(path, "mbp-10", "bid_px_00")[-3:]]
    assert bids == [233_860_000_000, 233_860_000_000, 233_810_000_000]


def check_same_snapshot(path: Path) -> None:
    assert mbp(path)[1:3] == [("A", "B", 1, 130), ("A", "N", 0, 168)]
    assert len(mbp(path)) == 4


def check_snapshot_days(path: Path) -> None:
    days = [path.with_name(f"snapshot_day_{day}.dbn") for day in (1, 2)]
    lives = run_in_process(
        *("convert", "--schema", "orders", "--out", "-", "--format", "ndjson"), *days
    )
    ends = {row["order_id"]: row["end"] for row in map(orjson.loads, lives.out.splitlines())}
    assert ends == {"1": "cancelled", "2": "filled", "3": "alive", "4": "alive"}
    done = run_in_process(
        *("fill", "--symbols", "ESM4", "--side", "buy", "--price", "10.00", "--size", "1"),
        *("--at", "2024-03-07T00:00:02.5Z", "--json"),
        *days,
    )
    assert done.code == 0, done.err
    fate = orjson.loads(done.out)
    assert (fate["ahead"]["orders"], fate["ahead"]["left"]) == (2, 0)
    assert (fate["end"], fate["filled"]) == ("open", 0)


def check_retail(path: Path) -> None:
    assert rows(path, "orders", "priority") == [("unknown",)] * 3
    done = run_in_process(
        *("fill", "--symbols", "AAPL", "--side", "buy", "--price", "10", "--size", "1"),
        *("--at", "2024-03-07T14:30:00.000000001Z", "--json"),
        path,
    )
    assert orjson.loads(done.out)["priority"] == "unknown"


def check_large_ids(path: Path) -> None:
    (bid,) = orjson.loads(reconstruct_books(path, "--orders"))["books"][0]["bids"]
    assert [order["order_id"] for order in bid["orders"]] == [str(2**64 - 1), str(2**63 + 1)]
    assert bid["size"] == 2 * (2**32 - 2)
    clamped = run_in_process("convert", path, "--schema", "mbp-1", "--out", "-", "--format", "csv")
    assert "batonics: 4 rows of mbp-1 have a size of 4294967295" in clamped.err


def check_joined(path: Path) -> None:
    (book,) = orjson.loads(reconstruct_books(path))["books"]
    assert (book["bids"][0]["size"], book["bids"][0]["count"]) == (1 + 2 + 3 + 4, 4)


def check_cut(path: Path) -> None:
    refused = error_line(run_in_process("reconstruct", path), 3)
    assert "the stream ends after 36 bytes of a record" in refused
    done = run_in_process("inspect", path, "--salvage", "--json")
    report = orjson.loads(done.out)
    assert report["records"] == 2
    assert report["files"][0]["lost"] == "36 bytes after record 2"
    assert "lost: 36 bytes after record 2" in done.err


def check_many(path: Path) -> None:
    found = batonics.scan_mbo(path).select(
        pl.len(), pl.col("symbol").n_unique(), last=pl.max("symbol")
    )
    assert found.collect().row(0) == (400_000, 100_000, "EW1H4 C099999")


CHECKS: dict[str, Callable[[Path], None]] = {
    "v1_two_levels": check_v1,
    "v1_moves_away": check_v1,
    "v2_both_sides": check_both_sides,
    "v2_one_side": check_one_side,
    "v3_trade_ends": check_trade_ends,
    "v4_same_snapshot": check_same_snapshot,
    "snapshot_day_1": check_snapshot_days,
    "snapshot_day_2": check_snapshot_days,
    "edgx_retail": check_retail,
    "large_ids": check_large_ids,
    "joined": check_joined,
    "cut_tail": check_cut,
    "many_100000": check_many,
}


@pytest.mark.parametrize("name", sorted(set(CHECKS) - {"snapshot_day_2"}))
def test_a_case_has_the_values_of_its_readme(name: str, cases: Path) -> None:
    CHECKS[name](cases / f"{name}.dbn")


def test_every_case_is_checked(cases: Path, test_data: Path) -> None:
    assert set(CHECKS) == {path.stem for path in cases.iterdir()}
    table = (test_data / "cases" / "README.md").read_text()
    named = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    stems = [name for cell in named for name in re.findall(r"`(\w+)`", cell)]
    whole = {f"snapshot_day{name}" if name.startswith("_") else name for name in stems}
    assert whole == set(CHECKS)
