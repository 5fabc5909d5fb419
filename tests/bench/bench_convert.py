"""How fast a file of MBO becomes files of other schemas, beside writing the same rows alone.

    python -m tests.bench.bench_convert

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.frames.depth.sampling import sampled_depth_frames
from batonics.frames.depth.windows import parse_windows
from batonics.jobs.convert import Conversion, ConvertRequest, RowOptions, output_columns
from batonics.model.mbo import MboBatch
from batonics.sinks.tables import open_table
from tests.bench.bench_fold import cut, day
from tests.bench.harness import figure, heading, median_seconds, print_machine, rate, run_process
from tests.support.market_streams import simulated, tile

TILES = 50
ROUNDS = 3
FLOORS = {"mbp-10": "floor 2", "bbo-1s": "floor 10"}
SCHEMAS = ("mbp-10", "mbp-1", "bbo-1s", "tbbo", "trades", "ohlcv-1s")
INSTRUMENTS = (1, 10, 100, 1_000)
MANY_RECORDS = 1_000_000
LONG_TILES = 524
"""Of CLX5: 20 million records."""


def write(path: Path, batch: MboBatch) -> Path:
    """A plain DBN file of the records."""
    path.write_bytes(encode_metadata(Metadata()) + encode_records(batch))
    return path


def convert(source: Path, schema: str, out: Path) -> None:
    """The job, in this process, as the command does it."""
    request = ConvertRequest((str(source),), schema)
    with open_table(out, output_columns(request, RowOptions(symbol=True)), schema=schema) as table:
        for frame in Conversion(request).frames(RowOptions(symbol=True)):
            table.write(frame)


def rewrite(frames: list[pl.DataFrame], schema: str, out: Path) -> None:
    """The same rows, made already: what writing alone takes."""
    with open_table(out, frames[0].schema, schema=schema) as table:
        for frame in frames:
            table.write(frame)


def bench_schemas(source: Path, rows: int, directory: Path) -> None:
    """From file to Parquet, by schema."""
    for schema in SCHEMAS:
        out = directory / "out.parquet"
        taken = median_seconds(lambda s=schema, o=out: convert(source, s, o), ROUNDS)  # type: ignore[misc]
        frames = list(
            Conversion(ConvertRequest((str(source),), schema)).frames(RowOptions(symbol=True))
        )
        bare = median_seconds(lambda f=frames, s=schema, o=out: rewrite(f, s, o), ROUNDS)  # type: ignore[misc]
        made = sum(frame.height for frame in frames)
        rate(f"{schema} to Parquet, {made:,} rows", rows, taken, note=FLOORS.get(schema, ""))
        figure("  ratio: bare write of the same rows / all", f"{bare / taken:.2f}")


def bench_depth(batch: MboBatch) -> None:
    """Ten levels a side at windows, no file."""
    batches, rows = cut(batch), len(batch.action)

    def depth(every: int | str) -> Callable[[], int]:
        return lambda: sum(
            frame.height for frame in sampled_depth_frames(batches, parse_windows(every), 10)
        )

    for every, note in ((1_000, ""), ("100ms", "floor 8"), ("1s", "")):
        made = depth(every)()
        seconds = median_seconds(depth(every), ROUNDS)
        rate(f"depth(10, every={every!r}), {made:,} rows", rows, seconds, note=note)


def bench_instruments(directory: Path) -> None:
    """The cost of a record, whatever the number of instruments."""
    for instruments in INSTRUMENTS:
        opening, live = simulated(instruments, 20 * instruments + 200, MANY_RECORDS, seed=1)
        source = write(directory / "many.dbn", live)
        rows = len(live.action)
        for schema in ("mbp-1", "bbo-1s"):
            out = directory / "out.parquet"
            taken = median_seconds(lambda s=schema, o=out, f=source: convert(f, s, o), ROUNDS)  # type: ignore[misc]
            rate(f"{schema} to Parquet, {instruments:,} instruments", rows, taken)
        del opening


def bench_memory(one_day: MboBatch, directory: Path) -> None:
    """Resident memory, by the length of the input."""
    for tiles in (TILES, LONG_TILES):
        source = write(directory / "long.dbn", tile(one_day, tiles))
        arguments = ["convert", str(source), "--schema", "mbp-10", "--quiet", "--out"]
        seconds, peak_kib = run_process([*arguments, str(directory / "out.parquet")])
        records = tiles * len(one_day.action)
        figure(
            f"resident memory, mbp-10 of {records:,} records",
            f"{peak_kib // 1024} MiB",
            note=f"in {seconds:.1f} s",
        )


def main() -> None:
    """Print all figures."""
    print_machine()
    name, one_day = day()
    batch = tile(one_day, TILES)
    rows = len(batch.action)
    with TemporaryDirectory() as text:
        directory = Path(text)
        source = write(directory / "day.dbn", batch)
        heading(f"file to file, {name} tiled {TILES} times, {rows:,} records")
        bench_schemas(source, rows, directory)
        heading("windows, from batches")
        bench_depth(batch)
        heading("many instruments, simulated")
        bench_instruments(directory)
        heading("whole processes")
        bench_memory(one_day, directory)


if __name__ == "__main__":
    main()
