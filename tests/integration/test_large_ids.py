"""Order ids above 2^53 and sums above 2^32, in everything that is written.

The rule: order ids are text in JSON, as readers of JSON round them. Sums are exact in our own
frames and JSON. Layouts of the vendor hold 32 bits: sizes are clamped, and the rows counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento
import orjson
import polars as pl
import pytest

import batonics
from tests.support.command import reconstruct_books, run_in_process

BIDS = ["18446744073709551615", "9223372036854775809"]
ASK = "9007199254740993"
TWICE = 2 * (2**32 - 2)
CLAMPED = 2**32 - 1


@pytest.fixture
def path(cases: Path) -> Path:
    return cases / "large_ids.dbn"


def converted(path: Path, schema: str, form: str) -> list[dict[str, Any]]:
    done = run_in_process("convert", path, "--schema", schema, "--out", "-", "--format", form)
    assert done.code == 0, done.err
    if form == "json":
        rows: list[dict[str, Any]] = orjson.loads(done.out)
        return rows
    return [orjson.loads(line) for line in done.out.splitlines()]


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_order_ids_of_rows_are_text(path: Path, form: str) -> None:
    ids = [row["order_id"] for row in converted(path, "mbo", form)]
    assert ids == [*BIDS, ASK, "0", "0"]
    assert [row["order_id"] for row in converted(path, "orders", form)] == [*BIDS, ASK]
    query = ("query", "SELECT order_id FROM mbo ORDER BY ts_recv", "--from", path, "--format", form)
    done = run_in_process(*query, "--quiet")
    assert done.code == 0, done.err
    for order_id in (*BIDS, ASK):
        assert f'{{"order_id":"{order_id}"}}' in done.out.decode()


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_books_have_ids_as_text_and_exact_sums(path: Path, form: str) -> None:
    text = reconstruct_books(path, "--orders", "--format", form)
    document = orjson.loads(text)
    assert document["schema"] == "batonics.book/2"
    (book,) = document["books"] if form == "json" else [document]
    (bid,), (ask,) = book["bids"], book["asks"]
    assert [order["order_id"] for order in bid["orders"]] == BIDS
    assert [order["order_id"] for order in ask["orders"]] == [ASK]
    assert (bid["size"], bid["count"]) == (TWICE, 2)


def test_sums_are_exact_in_our_own_frames(path: Path) -> None:
    events = batonics.scan_mbo(path)
    mbo: Any = events.mbo  # type: ignore[attr-defined]
    assert mbo.bbo().collect()["bid_size"].to_list()[-1] == TWICE
    assert mbo.depth(1, every="1s").collect()["bid_sz_00"].to_list()[-1] == TWICE
    assert mbo.deltas().collect().filter(side="B")["size"].sum() == TWICE
    assert mbo.ohlcv("1s").collect()["volume"].to_list() == [TWICE]
    assert mbo.bars(ticks=2).collect()["volume"].to_list() == [TWICE]
    assert batonics.reconstruct(path).levels().filter(side="B")["size"].to_list() == [TWICE]
    assert batonics.reconstruct(path).consolidated()["size"].to_list() == [TWICE, 1]
    for schema, column in (("bbo", "bid_size"), ("depth-1s", "bid_sz_00"), ("ohlcv-1s", "volume")):
        assert converted(path, schema, "ndjson")[-1][column] == TWICE


@pytest.mark.parametrize(("schema", "rows"), [("mbp-1", 4), ("mbp-10", 4), ("bbo-1s", 1)])
@pytest.mark.parametrize("form", ["dbn", "parquet"])
def test_layouts_of_the_vendor_clamp_and_count(
    path: Path, tmp_path: Path, schema: str, rows: int, form: str
) -> None:
    out = tmp_path / f"x.{form}"
    done = run_in_process("convert", path, "--schema", schema, "--out", out, "--quiet")
    assert done.code == 0
    assert done.err == (
        f"batonics: {rows} rows of {schema} have a size of 4294967295, the greatest of its"
        " 32 bits: the level may have more\n"
    )
    if form == "dbn":
        records = databento.DBNStore.from_bytes(out.read_bytes()).to_ndarray()
        sizes = records["bid_sz_00"].tolist()
    else:
        sizes = pl.read_parquet(out)["bid_sz_00"].to_list()
    assert sizes[-rows:] == [CLAMPED] * rows
    assert CLAMPED not in sizes[:-rows]


def test_a_lake_counts_what_it_clamps(path: Path, tmp_path: Path) -> None:
    load = ("lake", "load", path, "--lake", tmp_path / "lake", "--schemas", "mbp-1,bbo", "--quiet")
    assert "4 rows of mbp-1 have a size of 4294967295" in run_in_process(*load).err
    sql = "SELECT max(bid_size) AS size FROM bbo"
    assert batonics.Lake(tmp_path / "lake").sql(sql)["size"].to_list() == [TWICE]


def test_a_proof_names_orders_by_text(path: Path) -> None:
    done = run_in_process("verify", path, "--json", "--quiet")
    assert (done.code, orjson.loads(done.out)["proved"]) == (0, True)
