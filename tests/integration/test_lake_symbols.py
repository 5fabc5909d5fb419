"""Several names of one instrument in a lake: its rows belong to each of them (rule 2).

The rule: what a name must have is found by a plain search through the dates of the file. A question
that cannot see a name is answered with a note.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import orjson
import polars as pl
import pytest

import batonics
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.jobs.lake_append import AppendRequest, LakeAppend
from batonics.jobs.lake_compact import compact_lake
from batonics.lake.lake import Lake
from batonics.model.errors import DataWarning
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY
from tests.support.command import run_in_process
from tests.support.dbn_files import DAY, DAY_NS, encode, record
from tests.support.reference_books import Record

DAYS = 3
SPANS: dict[str, tuple[int, int, int]] = {  # first day, day after the last, instrument id
    "NG.c.0": (0, 3, 5),
    "NG.v.0": (0, 2, 5),
    "CLX5": (0, 3, 6),
    "CL.c.0": (1, 2, 6),
}
SCHEMAS = ("mbo", "trades", "mbp-1", "bbo-1s", "orders")


def rows_of(name: str) -> list[int]:
    first, last, instrument_id = SPANS[name]
    return [100 * day + instrument_id for day in range(first, last)]


def records() -> list[Record]:
    """An order and a trade of each instrument on each day; the id has the day."""
    return [
        record(
            action,
            instrument_id=instrument_id,
            order_id=100 * day + instrument_id,
            ts_recv=DAY_NS + day * NS_PER_DAY + 1_000_000 * at + instrument_id,
        )
        for day in range(DAYS)
        for at, action in enumerate((Action.ADD, Action.TRADE))
        for instrument_id in (5, 6)
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mappings = tuple(
        SymbolMapping(name, (DatedSymbol(DAY + first, DAY + last, str(number)),))
        for name, (first, last, number) in SPANS.items()
    )
    path = tmp_path_factory.mktemp("names") / "names.dbn"
    path.write_bytes(encode_metadata(Metadata(mappings=mappings)) + encode(records()))
    return path


@pytest.fixture(scope="module", params=["load", "append"])
def lake(
    path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Lake:
    root = tmp_path_factory.mktemp("lake") / "lake"
    if request.param == "load":
        return batonics.load_lake(path, root, schemas=SCHEMAS)
    LakeAppend(AppendRequest(str(root), "feed", str(path), SCHEMAS)).run()
    compact_lake(root)
    return Lake(root)


@pytest.mark.parametrize("name", SPANS)
def test_every_name_finds_its_rows_under_its_name(lake: Lake, name: str) -> None:
    trades = lake.scan("trades", symbols=name).sort("ts_recv").collect()
    days = (trades["ts_recv"].to_physical() - DAY_NS) // NS_PER_DAY
    found = [100 * day + i for day, i in zip(days, trades["instrument_id"], strict=True)]
    assert found == rows_of(name)
    assert trades["symbol"].unique().to_list() == [name]
    orders = lake.scan("mbo", symbols=name).collect()
    assert orders["order_id"].unique().sort().to_list() == rows_of(name)
    joined = lake.join_asof("trades", "mbp-1", symbols=name, columns=["bid_px_00"]).collect()
    assert joined.height == len(rows_of(name))
    assert joined["symbol"].unique().to_list() == [name]
    assert not joined["bid_px_00"].null_count()
    sql = f"SELECT symbol, count(*) AS n FROM trades WHERE symbol = '{name}' GROUP BY ALL"
    query = ("query", sql, "--lake", lake.store.name, "--symbols", name, "--format", "json")
    done = run_in_process(*query)
    assert orjson.loads(done.out) == [{"symbol": name, "n": len(rows_of(name))}]
    assert done.err == ""


def test_several_names_find_each_row_once(lake: Lake) -> None:
    for names in (["NG.c.0", "NG.v.0"], ["CL.c.0", "NG.c.0"], list(SPANS)):
        with said_if("NG.v.0" in names):
            rows = lake.scan("mbo", symbols=names).collect()
        expected = sorted({number for name in names for number in rows_of(name)})
        assert rows["order_id"].unique().sort().to_list() == expected
        assert rows.height == 2 * len(expected)
        assert set(rows["symbol"]) <= set(names)


def said_if(expected: bool) -> AbstractContextManager[object]:
    """Requires a note on rows of NG.c.0 that show another name; not expected: it is an error."""
    if not expected:
        return nullcontext()
    return pytest.warns(DataWarning, match=r"rows of NG\.c\.0 have the symbol NG\.v\.0, ")


def test_two_names_of_one_instrument_asked_for_together_are_said(
    lake: Lake, tmp_path: Path
) -> None:
    both = ["NG.c.0", "NG.v.0"]
    options = ("--lake", lake.store.name, "--symbols", ",".join(both), "--quiet")
    for sql in (
        "SELECT symbol, count(*) FROM trades GROUP BY symbol",
        'SELECT "symbol" FROM trades',
        "FROM trades",
        "SELECT size + 1 AS n, * FROM trades",
        "SELECT count(*) FROM trades WHERE symbol = 'NG.c.0'",
    ):
        done = run_in_process("query", sql, *options, "--format", "csv")
        assert done.code == 0
        assert "batonics: rows of NG.c.0 have the symbol NG.v.0, " in done.err
    for sql in (
        "SELECT count(*), sum(price * size) FROM trades",
        "SELECT symbol FROM trades WHERE date = '2024-10-06'",  # NG.v.0 has ended
    ):
        assert run_in_process("query", sql, *options, "--format", "csv").err == ""
    with said_if(True):
        assert lake.scan("trades", symbols=both).collect()["symbol"].n_unique() == 2
    with said_if(True):
        lake.join_asof("trades", "mbp-1", symbols=both).collect()
    with said_if(True):
        batonics.export_lake(lake.store.name, tmp_path, schemas=["trades"], symbols=both)
    with pytest.warns(DataWarning, match=r"rows of NG\.c\.0 have the symbol NG\.v\.0"):
        lake.sql(f"SELECT symbol, size FROM trades WHERE symbol IN ('{both[0]}', '{both[1]}')")


def test_a_question_that_misses_rows_of_a_name_says_so(lake: Lake) -> None:
    count = "SELECT count(*) AS n FROM trades"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.sql(count)["n"].item() == 2 * DAYS
        # All rows of these names have them, and no other name is asked for.
        for name in ("NG.v.0", "CL.c.0"):
            assert lake.sql(f"{count} WHERE symbol = '{name}'")["n"].item() == len(rows_of(name))
    note = r"rows of NG\.c\.0 have the symbol NG\.v\.0, .* --symbols NG\.c\.0 alone, in Python"
    for where in (
        "symbol = 'NG.c.0'",
        "symbol LIKE '%.c.0' AND date < '2024-10-05'",
        "symbol > 'N'",
    ):
        with pytest.warns(DataWarning, match=note):
            lake.sql(f"{count} WHERE {where}")
    with pytest.warns(DataWarning, match=note):
        lake.sql(f"{count} WHERE symbol = $name", name="NG.c.0")
    with pytest.warns(DataWarning, match="rows of .* have the symbol"):
        lake.sql("SELECT symbol, sum(size) FROM trades GROUP BY symbol")
    with pytest.warns(DataWarning, match="rows of .* have the symbol"):
        assert lake.scan("trades").collect().height == 2 * DAYS


def test_names_are_listed_and_suggested(lake: Lake) -> None:
    parts = lake.parts().filter(pl.col("schema") == "mbo").sort("date")
    assert parts.select("first_symbol", "last_symbol", "symbols", "aliases").rows() == [
        ("CLX5", "NG.v.0", 2, '["NG.c.0"]'),
        ("CL.c.0", "NG.v.0", 2, '["CLX5", "NG.c.0"]'),
        ("CLX5", "NG.c.0", 2, "[]"),
    ]
    with pytest.raises(batonics.UsageError, match=r"did you mean NG\.c\.0, NG\.v\.0\?"):
        lake.scan("mbo", symbols="NG.FUT")


def test_an_export_of_a_name_has_all_its_rows_under_it(lake: Lake, tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    for name in ("NG.c.0", "CLX5"):
        batonics.export_lake(lake.store.name, tmp_path, schemas=["trades"], symbols=name)
        rows = deltalake.DeltaTable(tmp_path / "trades").to_pyarrow_table()
        assert rows["symbol"].unique().to_pylist() == [name]
        assert rows.num_rows == len(rows_of(name))
