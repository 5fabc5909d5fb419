"""How fast bytes become batches: DBN, NDJSON and zstd, beside a plain copy of the same bytes.

One rule holds here: buffers are made and kernels compiled before the clock starts, and the best of
several rounds counts, since another process can only make a round slower.

    PYTHONPATH=. python tests/bench/bench_codec.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from backports import zstd

from batonics.codec.arrow import to_arrow
from batonics.codec.dbn import DbnDecoder, encode_records
from batonics.codec.inflate import ZstdInflater
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.mbo import MBO_DTYPE, batch_from_records

RECORDS = 1_000_000
OPS = 100_000
ROUNDS = 7
CHUNK_BYTES = 4 << 20


def seconds(work: Callable[[], object]) -> float:
    """The least time of several rounds, after one that does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def make_records() -> bytes:
    """MBO records of every action and side, with the entropy of a market's ids and prices."""
    rng = np.random.default_rng(1)
    index = np.arange(RECORDS)
    records = np.zeros(RECORDS, MBO_DTYPE)
    records["publisher_id"] = 1
    records["instrument_id"] = 17077 + rng.integers(0, 20, RECORDS)
    records["ts_event"] = records["ts_recv"] = 1_758_742_200 * 10**9 + index * 1000
    records["order_id"] = 6_800_000_000_000 + rng.integers(0, 50_000, RECORDS)
    records["price"] = (6500 + rng.integers(-50, 50, RECORDS)) * 10_000_000
    records["size"] = rng.integers(1, 20, RECORDS)
    records["flags"] = 128
    records["action"] = rng.choice(np.frombuffer(b"AACCCMTF", np.uint8), RECORDS)
    records["side"] = rng.choice(np.frombuffer(b"AB", np.uint8), RECORDS)
    records["sequence"] = index
    return encode_records(batch_from_records(records))


def make_ops() -> bytes:
    """NDJSON adds with every field."""
    return b"".join(
        json.dumps(
            {"type": "add", "symbol": f"S{i % 9}", "side": "bid", "oid": i, "px": 10**11 + i}
            | {"qty": 5, "seq": i, "ts_ns": 1_758_742_200 * 10**9 + i}
        ).encode()
        + b"\n"
        for i in range(OPS)
    )


def decode(decoder: DbnDecoder | NdjsonDecoder, data: memoryview) -> None:
    """All of `data` through a decoder, in chunks."""
    for start in range(0, len(data), CHUNK_BYTES):
        for _ in decoder.feed(data[start : start + CHUNK_BYTES]):
            decoder.other_records.clear()


def inflate(data: bytes) -> None:
    """All of `data` through a new inflater."""
    for _ in ZstdInflater().feed(data):
        pass


def main() -> None:
    """Print the figures."""
    data = make_records()
    view = memoryview(data)
    source = np.frombuffer(data, np.uint8)
    target = np.empty_like(source)
    decoder = DbnDecoder()
    batch = next(iter(DbnDecoder().feed(view)))
    packed = zstd.compress(data)
    ops = make_ops()

    copied = RECORDS / seconds(lambda: np.copyto(target, source)) / 1e6
    decoded = RECORDS / seconds(lambda: decode(decoder, view)) / 1e6
    live = seconds(lambda: decode(decoder, view[:56])) * 1e6
    inflated = len(data) / seconds(lambda: inflate(packed)) / 1e6
    parsed = OPS / seconds(lambda: decode(NdjsonDecoder(), memoryview(ops))) / 1e6
    arrow = seconds(lambda: to_arrow(batch)) * 1e6
    print(f"numpy copy of the bytes      {copied:8.1f} M records/s")
    print(f"DBN to batches               {decoded:8.1f} M records/s, {decoded / copied:.2f} of it")
    print(f"a chunk of one DBN record    {live:8.1f} us")
    print(f"NDJSON to batches            {parsed:8.2f} M ops/s")
    print(f"zstd, level 3                {inflated:8.1f} MB/s of plain bytes")
    print(f"batch to Arrow, no copy      {arrow:8.1f} us")
    with TemporaryDirectory() as directory:
        path = Path(directory) / "records.dbn"
        path.write_bytes(data)
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
            mapped_view = memoryview(mapped)
            read = RECORDS / seconds(lambda: decode(decoder, mapped_view)) / 1e6
            mapped_view.release()
    print(f"DBN to batches, mapped file  {read:8.1f} M records/s")


if __name__ == "__main__":
    main()
