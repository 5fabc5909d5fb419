"""What many files and many names cost: `python -m tests.bench.bench_many_files`.

The rule: each figure is a fitted exponent of a cost in the number of files or of names; 1 is a cost
in proportion to the input. Costs of processes are without those of one that reads a single name.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.jobs.convert import ConvertRequest, TableOutput, convert
from batonics.jobs.reconstruct import ReconstructRequest, reconstruct_files
from batonics.model.mbo import Action, Flag, MboBatch, Side, empty_batch
from batonics.model.times import NS_PER_DAY
from tests.bench.harness import figure, fit_exponent, heading, measure_process, print_machine

FILES = (10, 20, 40)
NAMES = (5_000, 20_000, 80_000)
NAMES_A_FILE = 5_000
MANY_FILES = (75, 150, 300)
FEW_NAMES = 100
"""Files of which the memory is measured, and the names of each."""
SYMBOLS = (25_000, 50_000, 100_000)
"""Symbols of files that commands read in processes of their own."""
ROWS = 20_000
FIRST_DAY = np.datetime64("2025-01-06")


def main() -> None:
    """Print all figures."""
    print_machine()
    with TemporaryDirectory() as directory:
        home = Path(directory)
        paths = [write_day(home, day, NAMES_A_FILE) for day in range(max(FILES))]
        out = str(home / "rows.parquet")
        convert(ConvertRequest((paths[0],), "trades"), TableOutput(out))
        heading(f"convert --schema trades, {NAMES_A_FILE:,} names a file")
        seconds = []
        for count in FILES:
            started = time.perf_counter()
            convert(ConvertRequest(tuple(paths[:count]), "trades"), TableOutput(out))
            seconds.append(time.perf_counter() - started)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            figure(f"{count} files", f"{seconds[-1]:.2f} s", note=f"at most {peak} MiB so far")
        figure("exponent in files", f"{fit_exponent(FILES, seconds):.2f}", note="ceiling 1.05")
        bench_memory(home, out)
        heading("names in one file")
        for name, work in (("reconstruct", rebuild), ("convert", write_trades)):
            seconds = []
            for count in NAMES:
                path = write_day(home, 0, count)
                started = time.perf_counter()
                work(path, out)
                seconds.append(time.perf_counter() - started)
                figure(f"{name}, {count:,} names", f"{seconds[-1]:.2f} s")
            figure(
                f"{name}: exponent in names",
                f"{fit_exponent(NAMES, seconds):.2f}",
                note="ceiling 1.05",
            )
        bench_symbols(home)


def bench_symbols(home: Path) -> None:
    """Time and memory of processes that read a file of many symbols, each with one trade."""
    heading("symbols with one trade each, in one file")
    count = "SELECT count(DISTINCT symbol), sum(size) FROM trades"
    options = ["--schema", "trades", "--out", str(home / "symbols.parquet"), "-q"]
    lake = ["--schemas", "trades,mbp-1", "-q", "--lake"]
    commands: dict[str, Callable[[str], list[str]]] = {
        "query --from": lambda path: ["query", count, "--from", path],
        "lake load": lambda path: ["lake", "load", path, *lake, f"{path}-lake"],
        "convert": lambda path: ["convert", path, *options],
        "reconstruct": lambda path: ["reconstruct", path, "--out", f"{path}.json", "-q"],
    }
    for name, arguments in commands.items():
        start, *costs = (
            measure_process(arguments(write_day(home, day, symbols, symbols)))
            for day, symbols in enumerate((1, *SYMBOLS))
        )
        for symbols, cost in zip(SYMBOLS, costs, strict=True):
            figure(
                f"{name}, {symbols:,} symbols",
                f"{cost.seconds:.2f} s",
                note=f"{cost.processor_seconds:.2f} s of processor time, {cost.peak_kib >> 10} MiB",
            )
        own = [cost.processor_seconds - start.processor_seconds for cost in costs]
        exponent = f"{fit_exponent(SYMBOLS, own):.2f}"
        figure(f"{name}: exponent of the time in symbols", exponent, note="ceiling 1.05")
        memory = [float(cost.peak_kib - start.peak_kib) for cost in costs]
        exponent = f"{fit_exponent(SYMBOLS, memory):.2f}"
        figure("  of the memory", exponent, note="ceiling 1.05")


def bench_memory(home: Path, out: str) -> None:
    """Time and memory of processes, by their number of files."""
    heading(f"convert --schema trades in a process, {FEW_NAMES} names a file")
    directory = home / "many"
    directory.mkdir()
    paths = [write_day(directory, day, FEW_NAMES) for day in range(max(MANY_FILES))]
    options = ["--schema", "trades", "--out", out, "-q"]
    costs = [measure_process(["convert", *paths[:count], *options]) for count in MANY_FILES]
    for count, cost in zip(MANY_FILES, costs, strict=True):
        text = f"{cost.processor_seconds:.2f} s"
        figure(f"{count} files, processor time", text, note=f"{cost.peak_kib >> 10} MiB")
    time = fit_exponent(MANY_FILES, [cost.processor_seconds for cost in costs])
    figure("exponent of the time in files", f"{time:.2f}", note="ceiling 1.05")
    memory = fit_exponent(MANY_FILES, [float(cost.peak_kib) for cost in costs])
    figure("exponent of the memory in files", f"{memory:.2f}", note="0: flat")


def rebuild(path: str, _: str) -> None:
    """Rebuild the books of a file."""
    reconstruct_files(ReconstructRequest((path,)))


def write_trades(path: str, out: str) -> None:
    """Write the trades of a file."""
    convert(ConvertRequest((path,), "trades"), TableOutput(out))


def write_day(directory: Path, day: int, names: int, rows: int = ROWS) -> str:
    """A file of one day: its own names, and the same records as on any other day."""
    begin, end = (
        int(str(FIRST_DAY + np.timedelta64(number, "D")).replace("-", ""))
        for number in (day, day + 1)
    )
    mappings = tuple(
        SymbolMapping(f"S{number}", (DatedSymbol(begin, end, str(number)),))
        for number in range(1, names + 1)
    )
    start_ns = int(FIRST_DAY.astype("datetime64[ns]").astype(int)) + day * NS_PER_DAY
    batch = trades(start_ns, names, rows)
    path = directory / f"{day}.dbn"
    metadata = Metadata(start=start_ns, symbols=(), mappings=mappings)
    path.write_bytes(encode_metadata(metadata) + encode_records(batch))
    return str(path)


def trades(start_ns: int, names: int, rows: int) -> MboBatch:
    """Trades of all instruments in turn."""
    batch = empty_batch(rows)
    row = np.arange(rows)
    for column in batch:
        column[:] = 0
    batch.publisher_id[:] = 1
    batch.instrument_id[:] = 1 + row % names
    batch.ts_event[:] = batch.ts_recv[:] = start_ns + row * 1_000_000
    batch.price[:] = 10**9
    batch.size[:] = 1
    batch.action[:] = Action.TRADE
    batch.side[:] = Side.BID
    batch.flags[:] = Flag.LAST
    return batch


if __name__ == "__main__":
    main()
