"""How fast each form of input becomes batches, in processor time, and the memory of a run over it.

    python -m tests.bench.bench_forms

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

import os
import time
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import databento
import obstore

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.sources.inputs import find_inputs
from batonics.sources.object_stores import open_s3_store
from batonics.sources.stream import MboStream
from tests.bench.bench_fold import day
from tests.bench.harness import (
    figure,
    heading,
    median_seconds,
    print_machine,
    rate,
    run_process,
)
from tests.support.bucket_server import BUCKET, BucketServer
from tests.support.market_streams import tile
from tests.support.vendor_forms import NAMED

TILES = 16
"""Of CLX5: 600,000 records."""
ROUNDS = 3
FLOORS = {"vendor.csv": "floor 1", "vendor.parquet": "floor 5", "fixed.parquet": "floor 5"}
FORMS = ("vendor.csv", "vendor.csv.zst", "raw.csv", "vendor.json", *FLOORS, "pandas-float.feather")
MEASURED_MEMORY = ("vendor.csv", "vendor.json", "vendor.parquet")


def decode_seconds(path: Path) -> float:
    """Processor time of all threads; the least of several rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _batch in MboStream([str(path)]).batches():
            pass
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    """Print the figures."""
    warnings.simplefilter("ignore")
    print_machine()
    name, one = day()
    heading(f"forms of input, {name} tiled {TILES} times, records a second of processor time")
    batch = tile(one, TILES)
    records = len(batch.action)
    ids = sorted(set(batch.instrument_id.tolist()))
    mappings = tuple(
        SymbolMapping(f"S{number}", (DatedSymbol(19700101, 21000101, str(number)),))
        for number in ids
    )
    metadata = Metadata(schema=0, symbols=tuple(m.raw_symbol for m in mappings), mappings=mappings)
    with TemporaryDirectory() as directory:
        dbn = Path(directory) / "day.dbn"
        dbn.write_bytes(encode_metadata(metadata) + encode_records(batch))
        rate("dbn", records, decode_seconds(dbn))
        store = databento.DBNStore.from_file(dbn)
        for form in dict.fromkeys(FORMS):
            path = Path(directory) / form
            NAMED[form](store, path)
            rate(form, records, decode_seconds(path), note=FLOORS.get(form, ""))
            if form in MEASURED_MEMORY:
                _, peak = run_process(["inspect", str(path), "--quiet"])
                figure(f"{form}: memory of inspect", f"{peak / 2**10:.0f} MiB")
        remote_rates(dbn, records)


class _QuietHandler(SimpleHTTPRequestHandler):
    """Serves the files of a directory whole."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def remote_rates(dbn: Path, records: int) -> None:
    """Print how fast the same file is read from servers of this machine, in wall time."""
    heading("from servers in this process, wall time; they and the reader share the cores")
    handler = partial(_QuietHandler, directory=str(dbn.parent))
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=web.serve_forever, daemon=True).start()
    bucket = BucketServer()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "x-1"}
    os.environ["AWS_ENDPOINT_URL"] = bucket.endpoint
    data = dbn.read_bytes()
    obstore.put(open_s3_store(f"s3://{BUCKET}"), "day.dbn", data)
    for name in (
        str(dbn),
        f"http://127.0.0.1:{web.server_port}/{dbn.name}",
        f"s3://{BUCKET}/day.dbn",
    ):
        (path,) = find_inputs(name)
        seconds = median_seconds(lambda path=path: sum(1 for _ in MboStream([path]).batches()), 3)  # type: ignore[misc]
        scheme = name.partition("://")[0] if "://" in name else "file"
        rate(f"{scheme}: dbn", records, seconds, note=f"{len(data) / seconds / 1e6:.0f} MB/s")
    web.shutdown()
    bucket.close()


if __name__ == "__main__":
    main()
