"""Each row beside the last row before it, whatever the books, dates, ties and parts.

The rule here: the witness looks through all rows of the right for each row of the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from batonics.lake.lake import Lake
from batonics.model.errors import DataWarning, UsageError
from batonics.model.times import NS_PER_DAY
from tests.support import lakes

SYMBOLS = ("A", "CLX5 C72", None)
FIRST_NS = 20_000 * NS_PER_DAY


class Row(NamedTuple):
    """Of either schema."""

    day: int
    ns: int
    publisher_id: int
    symbol: int  # the instrument is ten more

    @property
    def ts_ns(self) -> int:
        return FIRST_NS + self.day * NS_PER_DAY + self.ns

    @property
    def book(self) -> tuple[int, int, int]:
        return self.day, self.publisher_id, self.symbol


def frame_of(schema: str, rows: Sequence[Row], first: int) -> pl.DataFrame:
    """Rows whose sequence counts them from `first`."""
    found = find_schema(schema)
    values = {
        "ts_recv": [row.ts_ns for row in rows],
        "ts_event": [row.ts_ns for row in rows],
        "sequence": range(first, first + len(rows)),
        "instrument_id": [10 + row.symbol for row in rows],
        "publisher_id": [row.publisher_id for row in rows],
        "action": ["A"] * len(rows),
        "side": ["N"] * len(rows),
        "status": ["trading"] * len(rows),
        "book_status": ["synced"] * len(rows),
    }
    columns = {
        name: pl.Series(name, values.get(name, [0] * len(rows))).cast(dtype)
        for name, dtype in found.lake_columns.items()
    }
    return pl.DataFrame(columns).with_columns(
        found.time.to_physical().alias(ROW_TIME),
        pl.Series("symbol", [SYMBOLS[row.symbol] for row in rows], dtype=pl.String),
    )


def put(root: Path, schema: str, loads: Sequence[Sequence[Row]]) -> None:
    """Rows into a lake, a load after the other."""
    first = 0
    for number, rows in enumerate(loads):
        lakes.write_frames(root, schema, f"{schema} {number}", [frame_of(schema, rows, first)])
        first += len(rows)


def witness(left: Sequence[Row], right: Sequence[Row], *, exact: bool) -> list[int | None]:
    """By row of the left, the place of what it gets."""
    found: list[int | None] = []
    for row in left:
        before = [
            (other.ts_ns, at)
            for at, other in enumerate(right)
            if other.book == row.book
            and (other.ts_ns < row.ts_ns or (exact and other.ts_ns == row.ts_ns))
        ]
        found.append(max(before)[1] if before else None)
    return found


ROWS = st.builds(
    Row, st.integers(0, 1), st.integers(0, 12), st.integers(1, 2), st.integers(0, len(SYMBOLS) - 1)
)
ONE_BOOK = st.builds(Row, st.just(0), st.integers(0, 300), st.just(1), st.just(0))
LOADS = st.sampled_from([ROWS, ONE_BOOK]).flatmap(
    lambda rows: st.lists(st.lists(rows, min_size=1, max_size=80), min_size=1, max_size=3)
)


@settings(max_examples=40, deadline=None)
@given(left=LOADS, right=LOADS, exact=st.booleans(), in_order=st.booleans())
def test_a_merge_finds_what_looking_through_all_rows_finds(
    left: list[list[Row]],
    right: list[list[Row]],
    exact: bool,
    in_order: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("asof") / "lake"
    if in_order:
        left, right = ([sorted(rows) for rows in loads] for loads in (left, right))
    put(root, "trades", left)
    put(root, "mbp-1", right)
    lake = Lake(root)
    on_left, on_right = ({row[::3] for rows in loads for row in rows} for loads in (left, right))
    has_unmatched = bool(on_left - on_right)
    note = pytest.warns(DataWarning, match=f"^mbp-1 has no rows of {len(on_left - on_right)} of ")
    with note if has_unmatched else nullcontext():
        joined = lake.join_asof("trades", "mbp-1", allow_exact_matches=exact)
    rows = joined.collect()
    assert rows.schema == joined.collect_schema()
    assert rows.drop(pl.selectors.matches("_right$|^(bid|ask)_")).equals(
        lakes.sort_by_part(lake.scan("trades").collect())
    )
    expected = witness(
        [row for rows in left for row in rows], [row for rows in right for row in rows], exact=exact
    )
    assert rows.sort("sequence")["sequence_right"].to_list() == expected
    # SQL has no order among rows of one time, and no row where there is none before.
    sign = ">=" if exact else ">"
    answer = lake.sql(
        "SELECT l.sequence, r.ts_recv AS before FROM trades l ASOF JOIN mbp_1 r"
        " ON l.symbol = r.symbol AND l.date = r.date AND l.publisher_id = r.publisher_id"
        f" AND l.ts_recv {sign} r.ts_recv ORDER BY l.sequence"
    )
    named = rows.filter(pl.col("symbol").is_not_null(), pl.col("ts_recv_right").is_not_null())
    same = named.sort("sequence").select("sequence", before="ts_recv_right")
    assert answer.equals(same)


@settings(max_examples=25, deadline=None)
@given(
    left=st.lists(ONE_BOOK, min_size=100, max_size=200),
    right=st.lists(ONE_BOOK, min_size=100, max_size=200),
    sign=st.sampled_from([">", ">=", "<", "<="]),
    keys=st.permutations(["symbol", "date"]),
)
def test_sql_loses_no_row_of_a_join_by_the_columns_of_the_path(
    left: list[Row],
    right: list[Row],
    sign: str,
    keys: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """DuckDB 2.0 and 2.0.1 lose most of them where `symbol` is VARCHAR."""
    root = tmp_path_factory.mktemp("asof") / "lake"
    put(root, "trades", [sorted(left)])
    put(root, "mbp-1", [sorted(right)])
    on = " AND ".join(f"l.{key} = r.{key}" for key in keys)
    rows = Lake(root).sql(
        "SELECT l.symbol, list(l.symbol) AS each, count(*) AS rows, sum(epoch_ns(r.ts_recv)) AS sum"
        f" FROM trades l ASOF JOIN mbp_1 r ON {on} AND l.ts_recv {sign} r.ts_recv GROUP BY l.symbol"
    )
    exact, is_after = "=" in sign, "<" in sign
    turned = [row._replace(ns=-row.ns) if is_after else row for row in left]
    others = [row._replace(ns=-row.ns) if is_after else row for row in right]
    found = [at for at in witness(turned, others, exact=exact) if at is not None]
    expected = [("A", ["A"] * len(found), len(found), sum(right[at].ts_ns for at in found))]
    assert [(*row[:3], int(row[3])) for row in rows.rows()] == (expected if found else [])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("asof") / "lake"
    rows = [Row(day, 10 * number, 1, 0) for day in range(2) for number in range(10)]
    put(root, "trades", [rows])
    put(root, "mbp-1", [[row._replace(ns=row.ns + 5) for row in rows]])
    return Lake(root)


def test_only_what_is_asked_for_comes(lake: Lake) -> None:
    joined = lake.join_asof("trades", "mbp-1", columns=["ts_recv", "bid_px_00"], suffix="_quote")
    assert joined.collect_schema().names()[-4:] == ["ts_recv_quote", "bid_px_00", "date", "symbol"]
    assert joined.select(pl.len()).collect().item() == 20
    few = joined.select("bid_px_00", "symbol").head(3).collect()
    assert (few.columns, few.height) == (["bid_px_00", "symbol"], 3)
    waited = joined.select((pl.col("ts_recv") - pl.col("ts_recv_quote")).alias("wait")).collect()
    assert waited["wait"].null_count() == 2  # the first of each date
    assert set(waited["wait"].drop_nulls().dt.total_nanoseconds()) == {5}


def test_limits_are_those_of_the_left(lake: Lake) -> None:
    start = FIRST_NS + NS_PER_DAY + 20
    rows = lake.join_asof("trades", "mbp-1", start=start, end=start + 20).collect()
    assert rows["ts_recv"].to_physical().to_list() == [start, start + 10]
    assert rows["ts_recv_right"].to_physical().to_list() == [start - 5, start + 5]
    with pytest.raises(UsageError, match="no symbol 'B'"):
        lake.join_asof("trades", "mbp-1", symbols="B")


@pytest.mark.parametrize(
    ("columns", "suffix", "message"),
    [
        (["nonsense"], "_right", "mbp-1 has no column 'nonsense'"),
        (["publisher_id"], "_right", "publisher_id is the same in both"),
        (["size"], "", "two columns would be called size"),
        (["bid_px_00", "bid_px_00"], "", "two columns would be called bid_px_00"),
    ],
)
def test_columns_that_cannot_be_are_refused(
    lake: Lake, columns: list[str], suffix: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        lake.join_asof("trades", "mbp-1", columns=columns, suffix=suffix)


def test_schemas_of_which_files_name_an_instrument_differently_are_said(tmp_path: Path) -> None:
    rows = [Row(0, number, 1, 0) for number in range(3)]
    put(tmp_path, "trades", [rows])
    put(tmp_path, "mbp-1", [[row._replace(symbol=1) for row in rows]])
    note = (
        "^mbp-1 has no rows of 1 of 1 symbols and dates of trades, such as A on 2024-10-04, and its"
        " columns are null there; rows are joined if both schemas have them under one symbol$"
    )
    with pytest.warns(DataWarning, match=note):
        joined = Lake(tmp_path).join_asof("trades", "mbp-1").collect()
    assert joined["ts_recv_right"].null_count() == 3


def test_a_schema_that_is_not_there_is_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match="no schema 'mbp-10'"):
        lake.join_asof("trades", "mbp-10")
