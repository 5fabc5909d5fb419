"""How fast files get into a lake and answers out of it, beside bare DuckDB on one Parquet file.

    python -m tests.bench.bench_lake [ROWS_IN_MILLIONS]

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl

import batonics
from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from batonics.jobs.lake_load import LakeLoad, LoadRequest
from batonics.lake.digest import Verifier
from batonics.lake.lake import Lake
from batonics.lake.sql import LakeDatabase
from batonics.model.times import NS_PER_DAY
from batonics.sinks.tables import open_table
from tests.bench.bench_convert import TILES, write
from tests.bench.bench_fold import day
from tests.bench.harness import figure, heading, median_seconds, paired_ratio, print_machine, rate
from tests.support.lakes import write_frames
from tests.support.market_streams import tile

ROUNDS = 5
PARTITIONS = 1_000
SYMBOLS = 20
ROWS_MILLIONS = 50
HOUR_NS = 3_600_000_000_000
SPREAD = (
    f"SELECT epoch_ns(ts_recv) // {HOUR_NS} % 24 AS hour, avg(ask_px_00 - bid_px_00), count(*)"
    " FROM {} GROUP BY hour ORDER BY hour"
)
ASOF = (
    "SELECT count(*), avg(abs(t.price - (q.bid_px_00 + q.ask_px_00) / 2)) FROM {} t"
    " ASOF JOIN {} q ON t.symbol = q.symbol AND t.date = q.date AND t.ts_recv > q.ts_recv"
)


def bench_load(source: Path, rows: int, directory: Path) -> None:
    """From MBO to a lake, beside the same rows written as one Parquet file each, without a lake."""
    heading(f"MBO to a lake, mbp-10 + trades + bbo-1s, {rows:,} records")
    lake = directory / "loaded"

    def load() -> None:
        shutil.rmtree(lake, ignore_errors=True)
        list(LakeLoad(LoadRequest((str(source),), str(lake))).run())

    schemas = ("mbp-10", "trades", "bbo-1s")
    records = batonics.scan_mbo(source)
    frames = {name: find_schema(name).rows(records).collect() for name in schemas}

    def bare() -> None:
        for name, frame in frames.items():
            with open_table(directory / f"{name}.parquet", frame.schema, schema=name) as table:
                for piece in frame.iter_slices(65_536):
                    table.write(piece)

    rate("load", rows, median_seconds(load, ROUNDS), note="floor 1.5")
    figure("  ratio: bare write of the same rows / all", f"{paired_ratio(load, bare, ROUNDS):.2f}")
    again = median_seconds(
        lambda: list(LakeLoad(LoadRequest((str(source),), str(lake))).run()), ROUNDS
    )
    figure("the same again: nothing changes", f"{again * 1e3:.1f} ms")


def filled(root: Path, name: str, frames: Iterator[tuple[str, int, pl.DataFrame]]) -> None:
    """Put frames of a symbol, as of so many days later, into a lake: a load of its own."""
    time = find_schema(name).time.to_physical().alias(ROW_TIME)

    def moved() -> Iterator[pl.DataFrame]:
        for symbol, days, frame in frames:
            later = pl.duration(nanoseconds=days * NS_PER_DAY)
            rows = frame.with_columns(pl.col("ts_recv") + later, pl.col("ts_event") + later)
            yield rows.with_columns(time, pl.lit(symbol).alias("symbol"))

    write_frames(root, name, name, moved())


def bench_partition(frame: pl.DataFrame, directory: Path) -> None:
    """One day of one symbol out of a lake of many."""
    root = directory / "many"
    days = PARTITIONS // SYMBOLS
    filled(
        root,
        "mbp-10",
        ((f"S{at}", number, frame) for number in range(days) for at in range(SYMBOLS)),
    )
    lake = Lake(root)
    parts = lake.parts()
    heading(f"a day and a symbol of {PARTITIONS:,}, of {frame.height:,} rows each")
    date = parts["date"][parts.height // 2]
    (one,) = lake.files("mbp-10", symbols="S3", start=str(date), end=str(date + timedelta(days=1)))
    text = "SELECT count(*), avg(ask_px_00 - bid_px_00) FROM mbp_10 WHERE symbol = $s AND date = $d"
    known = LakeDatabase(lake.store, lake.verifier)
    values = {"s": "S3", "d": date}
    seconds = median_seconds(lambda: known.query(text, values).frame(), ROUNDS)
    assert known.files_read == 1
    figure("verified before in this process", f"{seconds * 1e3:.1f} ms", note="floor 50")

    def unknown() -> None:
        LakeDatabase(lake.store, Verifier()).query(text, values).frame()

    figure("not verified yet", f"{median_seconds(unknown, ROUNDS) * 1e3:.1f} ms")
    connection = duckdb.connect()
    bare_text = f"SELECT count(*), avg(ask_px_00 - bid_px_00) FROM '{one}' WHERE symbol = 'S3'"
    bare = median_seconds(lambda: connection.execute(bare_text).fetchall(), ROUNDS)
    figure("bare DuckDB on the one file", f"{bare * 1e3:.1f} ms")


def bench_many_rows(
    quotes: pl.DataFrame, trades: pl.DataFrame, millions: int, directory: Path
) -> None:
    """Questions of many rows, beside the same of one Parquet file."""
    root = directory / "rows"
    repeats = -(-millions * 1_000_000 // quotes.height)
    filled(root, "mbp-1", (("S0", at, quotes) for at in range(repeats)))
    # So few of the trades that those of all days are a fiftieth of the quotes.
    some = trades.gather_every(repeats * trades.height * ROWS_MILLIONS // (millions * 1_000_000))
    filled(root, "trades", (("S0", at, some) for at in range(repeats)))
    lake = Lake(root)
    held = lake.contents()
    rows = dict(zip(held["schema"], held["rows"], strict=True))
    heading(f"{rows['mbp-1']:,} rows of mbp-1, {rows['trades']:,} trades")
    one = {}
    connection = duckdb.connect()
    for name in ("mbp-1", "trades"):
        files = [str(path) for path in lake.files(name)]
        one[name] = f"'{directory}/{name}-all.parquet'"
        connection.execute(
            f"COPY (FROM read_parquet({files}, hive_partitioning = true)) TO {one[name]}"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
    sql = LakeDatabase(lake.store, lake.verifier)
    bench_join_asof(lake, connection, ASOF.format(one["trades"], one["mbp-1"]))
    for what, text, views, floor in (
        ("mean spread by hour", SPREAD, ("mbp-1",), "floor 1"),
        ("ASOF join of trades to quotes in SQL", ASOF, ("trades", "mbp-1"), ""),
    ):
        ours = text.format(*(view.replace("-", "_") for view in views))
        bare = text.format(*(one[view] for view in views))
        # What is asked of the one file has the columns in it: DuckDB loses rows by those of a path.
        found, same = sql.query(ours).frame().row(0), connection.execute(bare).fetchone()
        assert same is not None
        assert abs(found[1] - same[1]) < 1e-3 * abs(same[1])
        seconds = median_seconds(lambda o=ours: sql.query(o).frame(), ROUNDS)  # type: ignore[misc]
        figure(what, f"{seconds:.2f} s", note=floor)
        ratio = paired_ratio(
            lambda o=ours: sql.query(o).frame(),  # type: ignore[misc]
            lambda b=bare: connection.execute(b).fetchall(),  # type: ignore[misc]
            3,
        )
        figure("  ratio: bare DuckDB on one file / all", f"{ratio:.2f}")
    spread = Path(__file__).parents[2] / "queries" / "spread_by_hour.sql"
    seconds = median_seconds(lambda: lake.sql(str(spread)), 1)
    figure("queries/spread_by_hour.sql, time-weighted, quantiles", f"{seconds:.1f} s")


def bench_join_asof(lake: Lake, connection: duckdb.DuckDBPyConnection, bare: str) -> None:
    """`Lake.join_asof`, beside DuckDB's join of two Parquet files."""
    mid = (pl.col("bid_px_00") + pl.col("ask_px_00")) / 2
    asked = pl.col("ts_recv_right").count(), (pl.col("price") - mid).abs().mean()

    def ours() -> pl.DataFrame:
        columns = ["ts_recv", "bid_px_00", "ask_px_00"]
        return lake.join_asof("trades", "mbp-1", columns=columns).select(asked).collect()

    found, same = ours().row(0), connection.execute(bare).fetchone()
    assert same is not None
    assert found[0] == same[0]
    figure("Lake.join_asof", f"{median_seconds(ours, ROUNDS):.2f} s", note="floor 2")
    ratio = paired_ratio(ours, lambda: connection.execute(bare).fetchall(), 3)
    figure("  ratio: bare DuckDB on one file / all", f"{ratio:.2f}")


def main() -> None:
    """Print all figures."""
    print_machine()
    millions = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS_MILLIONS
    name, one_day = day()
    batch = tile(one_day, TILES)
    with TemporaryDirectory(dir=os.environ.get("BATONICS_BENCH_DIR")) as text:
        directory = Path(text)
        source = write(directory / "day.dbn", batch)
        bench_load(source, len(batch.action), directory)
        once = write(directory / "once.dbn", one_day)
        records = batonics.scan_mbo(once)
        bench_partition(find_schema("mbp-10").rows(records).collect(), directory)
        quotes = find_schema("mbp-1").rows(batonics.scan_mbo(source)).collect()
        trades = find_schema("trades").rows(batonics.scan_mbo(source)).collect()
        bench_many_rows(quotes, trades, millions, directory)
    print(f"the tiled day is {name}")


if __name__ == "__main__":
    main()
