"""A venue: a day of thousands of instruments, its lake and its proof, and a catalog of years.

    python -m tests.bench.bench_venue [RECORDS_IN_MILLIONS]

The day is simulated. Loads run in processes of their own, so that their greatest memory is known.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl

from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import find_schema
from batonics.lake.catalog import LoadedSource, SchemaLoad
from batonics.lake.commits import commit_load
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.lake.part import Part, make_part
from batonics.lake.part_paths import part_directory
from batonics.lake.part_search import PartConditions, find_parts
from batonics.lake.part_symbols import SymbolRows
from batonics.lake.sql import LakeDatabase
from batonics.lake.views import view_name
from batonics.model.times import NS_PER_S
from tests.bench.harness import (
    ProcessCost,
    figure,
    fit_exponent,
    heading,
    measure_process,
    median_seconds,
    paired_ratio,
    print_machine,
    rate,
    run_process,
)
from tests.support.lakes import write_frames

INSTRUMENTS = 5_000
LIVE_ORDERS = 100_000
SCHEMAS = "mbp-1,trades,bbo-1s"
CORES = 2
HOURS = (
    f"SELECT instrument_id, epoch_ns(ts_recv) // {3_600 * NS_PER_S} AS hour,"
    " avg(ask_px_00 - bid_px_00), count(*) FROM {} GROUP BY ALL"
)
CATALOG_PARTS = 500_000
PARTS_OF_A_DAY = 1_000
SYMBOLS_OF_A_PART = 50
CATALOG_SCHEMA = "depth-1s"
REAL_SYMBOL = "REAL"
"""The symbol of the only part of the catalog of years that has a file."""


def bench_load(source: Path, records: int, directory: Path) -> None:
    """A day of all instruments into a lake."""
    heading(f"{records:,} records of {INSTRUMENTS:,} instruments to a lake")
    lake = str(directory / "lake")
    cost = measure_process(
        ["lake", "load", str(source), "--lake", lake, "--schemas", SCHEMAS, "-q"]
    )
    rate(SCHEMAS, records, cost.seconds, note="floor 1.0")
    both = cost.processor_seconds / CORES
    rate(f"  if its processor time fills {CORES} cores", records, both, note="floor 1.0")
    figure("  greatest resident memory", f"{cost.peak_kib >> 10} MiB", note="ceiling 1,536")
    figure("  files", f"{Lake(lake).parts().height}", note="ceiling 100")


def bench_verify(source: Path, records: int, directory: Path) -> None:
    """The proof of the books of all instruments."""
    heading(f"{records:,} records of {INSTRUMENTS:,} instruments, verified")
    cost = measure_process(["verify", str(source), "-q"])
    rate("verify", records, cost.seconds, note="floor 1.0")
    rate("  if its processor time fills 2 cores", records, cost.processor_seconds / CORES)
    figure("  greatest resident memory", f"{cost.peak_kib >> 10} MiB")
    books = [INSTRUMENTS // 4, INSTRUMENTS // 2, INSTRUMENTS]
    share = records // 4
    days = [_simulate(share, count, directory / f"verify-{count}.dbn.zst") for count in books]
    times = [measure_process(["verify", str(day), "-q"]).processor_seconds for day in days]
    for count, seconds in zip(books, times, strict=True):
        figure(f"  {share:,} records of {count:,} books", f"{seconds:.1f} s of processor time")
    exponent = f"{fit_exponent(books, times):.2f}"
    figure("  exponent of the time in books", exponent, note="ceiling 1.05")


def bench_growth(records: int, directory: Path) -> None:
    """Exponents of a load's processor time and memory."""
    of_records = [(records // share, INSTRUMENTS) for share in (4, 2, 1)]
    of_instruments = [(records // 2, INSTRUMENTS * times) for times in (1, 2, 4)]
    for what, days, at in (("records", of_records, 0), ("instruments", of_instruments, 1)):
        heading(f"a load by its number of {what}")
        costs = [_load_day(*day, directory) for day in days]
        for day, cost in zip(days, costs, strict=True):
            text = f"{cost.processor_seconds:.1f} s"
            figure(f"{day[at]:,}, processor time", text, note=f"{cost.peak_kib >> 10} MiB")
        sizes = [day[at] for day in days]
        time = fit_exponent(sizes, [cost.processor_seconds for cost in costs])
        memory = fit_exponent(sizes, [float(cost.peak_kib) for cost in costs])
        figure(f"exponent of the time in {what}", f"{time:.2f}", note="ceiling 1.05")
        figure("  of the memory", f"{memory:.2f}", note="ceiling 1.05")


def _load_day(records: int, instruments: int, directory: Path) -> ProcessCost:
    """The cost of loading a simulated day into a lake of its own."""
    source = _simulate(records, instruments, directory / f"{records}-{instruments}.dbn.zst")
    root = directory / f"lake-{records}-{instruments}"
    arguments = ["lake", "load", str(source), "--lake", str(root), "--schemas", SCHEMAS, "-q"]
    return measure_process(arguments)


def _simulate(records: int, instruments: int, path: Path) -> Path:
    """A simulated day."""
    options = ["--instruments", str(instruments), "--live-orders", str(LIVE_ORDERS)]
    run_process(["simulate", "--out", str(path), "--records", str(records), *options])
    return path


def bench_rows(source: Path, directory: Path) -> None:
    """The widest rows, beside `convert`; one symbol out of them."""
    heading("mbp-10, beside `convert` of the same file")
    root, bare = directory / "wide", directory / "bare.parquet"
    loaded, _ = run_process(
        ["lake", "load", str(source), "--lake", str(root), "--schemas", "mbp-10", "-q"]
    )
    converted, _ = run_process(
        ["convert", str(source), "--schema", "mbp-10", "--out", str(bare), "-q"]
    )
    lake = Lake(root)
    parts = lake.parts()
    figure("time of the load / of convert", f"{loaded / converted:.2f}", note="ceiling 1.6")
    size = parts["bytes"].sum() / bare.stat().st_size
    figure("bytes of the lake / of convert", f"{size:.2f}", note="ceiling 1.2")
    figure("files", f"{parts.height}")
    text = "SELECT count(*), avg(ask_px_00 - bid_px_00) FROM mbp_10 WHERE symbol = $s AND date = $d"
    values = {"s": "SIM2500", "d": parts["date"][0]}
    known = LakeDatabase(lake.store, lake.verifier)
    seconds = median_seconds(lambda: known.query(text, values).frame())
    figure("one symbol and day in SQL", f"{seconds * 1e3:.1f} ms", note="ceiling 60")

    def unknown() -> None:
        LakeDatabase(lake.store, Verifier()).query(text, values).frame()

    figure("  not verified yet", f"{median_seconds(unknown) * 1e3:.1f} ms", note="ceiling 150")
    connection = duckdb.connect()
    hours = HOURS.format("mbp_10"), HOURS.format(f"'{bare}'")
    found = known.query(hours[0]).frame().height
    assert found == len(connection.execute(hours[1]).fetchall())
    ratio = paired_ratio(
        lambda: connection.execute(hours[1]).fetchall(), lambda: known.query(hours[0]).frame(), 3
    )
    figure("all instruments by hour / bare DuckDB", f"{ratio:.2f}", note="ceiling 1.3")


def catalog_parts(count: int) -> list[Part]:
    """The parts of many days, each of which has the same symbols."""
    of_a_day = []
    for at in range(PARTS_OF_A_DAY):
        first = at * SYMBOLS_OF_A_PART
        symbols = [
            SymbolRows(f"S{first + place:06}", 1_000, place, place + 1_000)
            for place in range(SYMBOLS_OF_A_PART)
        ]
        path = f"{part_directory(CATALOG_SCHEMA, '2024-01-01')}/{at}.parquet"
        of_a_day.append(make_part(path, CATALOG_SCHEMA, "2024-01-01", symbols, digest="", size=1))
    parts = []
    for number in range(count):
        day, at = divmod(number, PARTS_OF_A_DAY)
        text = str(date(2024, 1, 1) + timedelta(days=day))
        path = f"{part_directory(CATALOG_SCHEMA, text)}/{number}.parquet"
        parts.append(of_a_day[at]._replace(path=path, date=text, digest=f"{number:064x}"))
    return parts


def bench_catalog(directory: Path) -> None:
    """One symbol and day out of a catalog of years."""
    heading(f"a catalog of {CATALOG_PARTS:,} parts")
    root = directory / "years"
    parts = catalog_parts(CATALOG_PARTS)
    middle = parts[len(parts) // 2].date
    assert middle is not None
    _write_part(root, middle)
    store = DirectoryStore(root)
    store.catalog.commit(
        commit_load(LoadedSource("x", "x", ""), [SchemaLoad(CATALOG_SCHEMA, parts)], "bench")
    )
    del parts
    wanted = PartConditions((middle,), (REAL_SYMBOL,))

    def search() -> None:
        (found,) = store.catalog.read(find_parts(CATALOG_SCHEMA, conditions=wanted))
        assert found.list_symbols().shown(wanted.symbols)

    figure("the part of a symbol and day", f"{median_seconds(search) * 1e3:.2f} ms")
    count = f"SELECT count(*) FROM {view_name(CATALOG_SCHEMA)}"
    one = f"{count} WHERE symbol = '{REAL_SYMBOL}' AND date = '{middle}'"
    bare = directory / "one"
    _write_part(bare, middle)
    run_process(["query", one, "--lake", str(bare)])
    started, _ = run_process(["query", one, "--lake", str(bare)])
    seconds, kib = run_process(["query", one, "--lake", str(root)])
    figure("its query, beyond that of a lake of one part", f"{(seconds - started) * 1e3:.0f} ms")
    figure("  greatest resident memory", f"{kib >> 10} MiB", note="ceiling 300")

    def whole() -> None:
        opened = Lake(root)
        LakeDatabase(opened.store, opened.verifier).query(one).frame()

    figure(
        "  opened and asked in a process that runs",
        f"{median_seconds(whole) * 1e3:.0f} ms",
        note="ceiling 100",
    )
    seconds, _ = run_process(["lake", "ls", "--lake", str(root)])
    figure("batonics lake ls, with its start", f"{seconds:.2f} s", note="ceiling 1")
    seconds = median_seconds(DirectoryStore(root).catalog.check, 1)
    figure("a check of the whole catalog, as a load begins", f"{seconds:.2f} s")


def _write_part(root: Path, day: str) -> None:
    """One row of `REAL_SYMBOL` into a lake."""
    schema = find_schema(CATALOG_SCHEMA)
    ts_ns = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * NS_PER_S
    columns = {**schema.lake_columns, "symbol": pl.String(), ROW_TIME: pl.Int64()}
    empty = pl.DataFrame(schema=columns)
    row = pl.DataFrame({"symbol": [REAL_SYMBOL], ROW_TIME: [ts_ns]})
    write_frames(root, CATALOG_SCHEMA, "real", [pl.concat([empty, row], how="diagonal")])


def main(millions: float) -> None:
    """Print all figures."""
    print_machine()
    records = int(millions * 1e6)
    with TemporaryDirectory() as text:
        directory = Path(text)
        source = _simulate(records, INSTRUMENTS, directory / "day.dbn.zst")
        bench_load(source, records, directory)
        bench_verify(source, records, directory)
        bench_rows(source, directory)
        bench_growth(records, directory)
        bench_catalog(directory)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
