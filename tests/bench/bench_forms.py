"""How fast each form of input becomes batches, in processor time, and the memory of a run over it.

    python -m tests.bench.bench_forms

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import databento

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.sources.stream import MboStream
from tests.bench.bench_fold import day
from tests.bench.harness import figure, heading, print_machine, rate, run_process
from tests.support.market_streams import tile
from tests.support.vendor_forms import NAMED

TILES = 26
"""Of CLX5: a million records."""
ROUNDS = 3
FLOORS = {"vendor.csv": "floor 1", "vendor.parquet": "floor 5", "fixed.parquet": "floor 5"}
FORMS = ("vendor.csv", "vendor.csv.zst", "raw.csv", "vendor.json", *FLOORS, "pandas-float.feather")


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
            _, peak = run_process(["inspect", str(path), "--quiet"])
            figure(f"{form}: memory of inspect", f"{peak / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
