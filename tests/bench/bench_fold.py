"""How fast records become books: the fold alone, and from file to book.json.

    python -m tests.bench.bench_fold

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from backports import zstd

from batonics.book.engine import BookEngine
from batonics.codec.dbn import DbnDecoder, encode_records
from batonics.codec.inflate import ZstdInflater
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.mbo import MboBatch, concat_batches, copy_batch, slice_batch
from batonics.sinks.atomic import open_atomic
from batonics.sinks.book_json import write_books
from batonics.sources.stream import BATCH_ROWS, MboStream
from tests.bench.harness import (
    figure,
    heading,
    median_seconds,
    paired_ratio,
    print_machine,
    rate,
)
from tests.support.market_streams import simulated, tile
from tests.support.paths import ROOT

TILES = 50
CHUNK_BYTES = 1 << 20


def day() -> tuple[str, MboBatch]:
    """The records that are tiled, and what they are."""
    data = os.environ.get("BATONICS_TEST_DATA")
    path = Path(data) / "clx5" / "CLX5_mbo.dbn" if data else ROOT / "data" / "sample.dbn.zst"
    pieces = [copy_batch(batch) for batch in MboStream([path]).batches()]
    return path.name, concat_batches(pieces)


def folder(batches: list[MboBatch], **wanted: Any) -> Callable[[], BookEngine]:
    """Folds the batches from no books on."""

    def work() -> BookEngine:
        engine = BookEngine(**wanted)
        for batch in batches:
            engine.fold(batch)
        return engine

    return work


def cut(batch: MboBatch) -> list[MboBatch]:
    """The batch in pieces of the size that files are read in."""
    rows = len(batch.action)
    return [slice_batch(batch, start, start + BATCH_ROWS) for start in range(0, rows, BATCH_ROWS)]


def bench_fold(name: str, batch: MboBatch) -> None:
    """The fold of one instrument, by what is asked of it."""
    batches, rows = cut(batch), len(batch.action)
    heading(f"fold, {name} tiled {TILES} times, {rows:,} records")
    rate("BBO after every record", rows, median_seconds(folder(batches, bbo=True)))
    rate("level deltas and event ends", rows, median_seconds(folder(batches, deltas=True)))
    rate("books only", rows, median_seconds(folder(batches)))


def bench_scale(instruments: int, live_orders: int, records: int) -> None:
    """The fold of many books, on the live part of a simulated market."""
    opening, live = simulated(instruments, live_orders, records, seed=1)
    opened, live_batches = cut(opening), cut(live)
    engine = folder(opened, bbo=True)()
    half = len(live_batches) // 2
    # Each round goes on from where the one before left the books, so none is measured twice.
    rounds = [live_batches[:half], live_batches[half:]]
    rows = [sum(len(batch.action) for batch in batches) for batches in rounds]

    def go_on() -> None:
        for batch in rounds.pop(0):
            engine.fold(batch)

    go_on()
    seconds = median_seconds_once(go_on)
    rate(f"BBO after every record, {instruments:,} books, {live_orders:,} orders", rows[1], seconds)


def median_seconds_once(work: Callable[[], object]) -> float:
    """The wall time of work that cannot be repeated."""
    import time

    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bench_files(name: str, batch: MboBatch) -> None:
    """From file to book.json, start-up apart, beside what the parts reach alone."""
    rows = len(batch.action)
    plain = encode_metadata(Metadata(symbols=(name,))) + encode_records(batch)
    packed = zstd.compress(plain, 3)
    raw = np.frombuffer(plain, np.uint8)
    target = np.empty_like(raw)
    heading(f"file to book.json, {rows:,} records, {len(plain):,} bytes, {len(packed):,} as zstd")
    with TemporaryDirectory() as directory:
        files = {"plain": Path(directory) / "day.dbn", "zstd": Path(directory) / "day.dbn.zst"}
        files["plain"].write_bytes(plain)
        files["zstd"].write_bytes(packed)
        copy = rate(
            "limit: copy of the bytes", rows, median_seconds(lambda: np.copyto(target, raw))
        )
        decode = rate("limit: validate and transpose", rows, median_seconds(lambda: decoded(plain)))
        rate("limit: bare zstd", rows, median_seconds(lambda: inflated(packed)))
        done = {
            form: rate(
                f"file to book.json, {form}",
                rows,
                median_seconds(partial(to_json, path, Path(directory))),
            )
            for form, path in files.items()
        }
        beside_zstd = paired_ratio(
            partial(to_json, files["zstd"], Path(directory)), lambda: inflated(packed), rounds=9
        )
    figure("ratio: decode / copy", f"{decode / copy:.2f}")
    figure("ratio: plain file / decode", f"{done['plain'] / decode:.2f}")
    figure("ratio: zstd file / bare zstd, in turn", f"{beside_zstd:.2f}", note="floor 0.80")


def decoded(data: bytes) -> int:
    """Decode everything; how many rows."""
    decoder, view = DbnDecoder(batch_rows=BATCH_ROWS), memoryview(data)
    return sum(
        len(batch.action)
        for start in range(0, len(data), CHUNK_BYTES)
        for batch in decoder.feed(view[start : start + CHUNK_BYTES])
    )


def inflated(data: bytes) -> int:
    """Inflate everything; how many bytes."""
    return sum(len(piece) for piece in ZstdInflater().feed(data))


def to_json(path: Path, directory: Path) -> None:
    """The main job, in this process."""
    with open_atomic(directory / "book.json") as out:
        run = Reconstruction(ReconstructRequest((str(path),)))
        run.run()
        write_books(out, run.engine, run.symbols)


def main() -> None:
    """Print all figures."""
    print_machine()
    name, batch = day()
    tiled = tile(batch, TILES)
    bench_fold(name, tiled)
    heading("fold, simulated markets")
    bench_scale(100, 100_000, 4_000_000)
    bench_scale(5_000, 2_000_000, 4_000_000)
    bench_files(name, tiled)


if __name__ == "__main__":
    main()
