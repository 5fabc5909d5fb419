"""Compiles every kernel into the cache, for images and first runs.

`python -m batonics.jobs.kernel_compilation` compiles them and prints the cache's directories. The
rule: after it, no command compiles anything; a test runs all commands.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from batonics.book.engine import BookEngine
from batonics.codec.dbn import DbnDecoder, encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.codec.ndjson import NdjsonDecoder
from batonics.frames.orders.fill_simulation import would_fill
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.gateway.dbn_feed import DbnFeed, LengthPrefixedFeed
from batonics.gateway.merge import interleave
from batonics.jobs.verify_kernels import COMPARED_WORDS, compare_changes, forget_compared
from batonics.live.ingest import warm_up
from batonics.live.log_checkpoint import LogOutput
from batonics.live.record_log import LOG_BYTES_MIN, LogReader
from batonics.model.mbo import DayStart, MboBatch, concat_batches, copy_batch
from batonics.reference.books import DerivedBooks
from batonics.sim.market import Market
from batonics.sinks.temporary import temporary_directory

RECORDS = 5_000
"""Enough records that every table grows."""


def compile_kernels() -> None:
    """Run a simulated market through every kernel."""
    market = Market(1, 2, target_live_orders=1_000, start_ns=0)
    batch = concat_batches([copy_batch(piece) for piece in market.batches(RECORDS)])
    for decoded in DbnDecoder().feed(encode_records(batch)):
        engine = BookEngine(bbo=True, deltas=True)
        engine.fold(copy_batch(decoded))
        engine.rebuild()
    for _ in NdjsonDecoder().feed(b'{"type":"clear","symbol":"X"}\n'):
        pass
    _compile_tables()
    _compile_frames(batch)
    warm_up()
    _compile_log()
    _compile_replay(batch)
    _compile_verify(batch)


def _compile_tables() -> None:
    """Read a record of CSV, one of JSON, and a price that is a float."""
    # pyarrow takes a third of a second to import, which other kernels do not need.
    from batonics.codec.csv_records import CsvDecoder
    from batonics.codec.json_records import JsonRecordsDecoder

    row = dict.fromkeys(MboBatch._fields, "1") | {"action": "A", "side": "B", "symbol": "X"}
    csv = f"{','.join(row)}\n{','.join(row.values())}\n".encode()
    for decoder, data in (
        (CsvDecoder(), csv),
        (JsonRecordsDecoder(), json.dumps(row | {"price": 0.5}).encode()),
    ):
        for chunk in (data, decoder.TRAILER):
            for _ in decoder.feed(chunk):
                pass


def _compile_verify(batch: MboBatch) -> None:
    engine, reference = BookEngine(bbo=True, deltas=True), DerivedBooks()
    engine.fold(batch)
    for records in (batch, DayStart._make(batch)):
        reference.add(records)
        compared = np.zeros(COMPARED_WORDS, np.int64)
        compare_changes(engine.state, reference.witness, 0, 1, compared)
        forget_compared(engine.state, reference.witness)
    reference.forget_changes()
    reference.grow()


def _compile_replay(batch: MboBatch) -> None:
    with temporary_directory("batonics-kernels-") as directory:
        path = Path(directory) / "feed.dbn"
        path.write_bytes(encode_metadata(Metadata()) + encode_records(batch))
        for feed in (DbnFeed([str(path)]), LengthPrefixedFeed([str(path)])):
            pieces = list(feed.pieces(int(batch.ts_recv[-1]) // 2, indexed=True))
            interleave([*pieces, *pieces])


def _compile_log() -> None:
    log = LogOutput(LOG_BYTES_MIN, 0)
    for _ in LogReader(log.writer.descriptor).read():
        pass
    log.close()


def _compile_frames(batch: MboBatch) -> None:
    records = scan_batches(lambda: iter([batch, DayStart._make(batch)]))
    mbo = records.mbo  # type: ignore[attr-defined]  # a type checker does not see namespaces
    for frame in (
        mbo.mbp(1, extra=["book_status"]),
        mbo.mbp(1, consolidated=True),
        mbo.depth(1, every="1s"),
        mbo.bars(ticks=1),
        mbo.orders(),
        mbo.queue(int(batch.order_id[-1])),
    ):
        frame.collect()
    one_book = {"publisher_id": 1, "instrument_id": int(batch.instrument_id[0])}
    would_fill(records, "B", 1, 1, int(batch.ts_recv[-1]) // 2, **one_book)


if __name__ == "__main__":
    from rich.console import Console

    from batonics.native import kernel_directories, refused_directories

    compile_kernels()
    places = [str(directory.path) for directory in kernel_directories()]
    console = Console()
    if places:
        console.print("kernels are compiled; the cache is in", *places)
    for reason in refused_directories():
        console.print(f"compiled kernels are not kept: {reason}")
