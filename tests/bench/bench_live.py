"""How fast a live feed becomes books, and how soon: replay and ingest as two processes.

    python -m tests.bench.bench_live

Latencies are of batches: received to published, by the clock of ingest; and scheduled to published,
where the schedule is the sender's (record i at its start + i / rate), so that a sender or a reader
that falls behind shows in every record that it makes late.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import orjson

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.jobs.stream import real_time
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.log_checkpoint import LogOutput
from batonics.live.protocol import MessageKind
from batonics.live.recorder import FeedRecorder
from batonics.live.recording import CHECKPOINT_NAME, recover
from batonics.live.server_link import ServerLink
from batonics.model.errors import UsageError
from batonics.server.config import ServerConfig
from batonics.server.launch import start_server
from batonics.settings.table import LIVE_DEFAULTS, ServerSettings
from batonics.sinks.logs import configure
from batonics.sources.tcp import TcpAddress
from tests.bench.bench_fold import day
from tests.bench.harness import figure, heading, print_machine
from tests.support.market_streams import simulated, tile
from tests.support.paths import ROOT

FLAT_OUT_TILES, FLAT_OUT_LOOPS = 50, int(os.environ.get("LOOPS", "20"))
STEADY_SECONDS = int(os.environ.get("STEADY_SECONDS", "30"))
RATES = (500_000, 50_000)
MEMORY_MINUTES = int(os.environ.get("MEMORY_MINUTES", "1"))
SYMBOL = "BENCH"
LOG_BYTES = LIVE_DEFAULTS.log_bytes


class Run(NamedTuple):
    """What one run came to."""

    handler: FeedHandler
    seconds: float
    cpu_seconds: float
    batches: np.ndarray  # (n, 3): records so far, received ns, published ns
    started_ns: int  # of the sender's schedule


@contextmanager
def replaying(source: Path, *arguments: str) -> Iterator[tuple[str, list[bytes]]]:
    """A replay in a process of its own; its address, and what it has logged once it has ended."""
    command = [
        sys.executable, "-m", "batonics", "replay", str(source), "--bind", "127.0.0.1:0", "--once",
        *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    if process.stderr is None:
        raise AssertionError
    logged: list[bytes] = []
    try:
        yield process.stderr.readline().decode().split()[-1], logged
        logged += process.stderr.readlines()
        process.wait(60)
    finally:
        process.kill()
        process.stderr.close()


def run(
    source: Path,
    *arguments: str,
    link: ServerLink | None = None,
    log: LogOutput | None = None,
) -> Run:
    """Follow a replay to its end; what is accepted goes to a log, if there is one."""
    handler = FeedHandler(source="bench")
    if log is not None:
        handler.outputs.append(log.writer)
    with replaying(source, *arguments) as (address, logged):
        batches: list[tuple[int, int, int]] = []

        def on_batch(handler: FeedHandler, received_ns: int, published_ns: int) -> None:
            batches.append((handler.stats.records, received_ns, published_ns))

        feed = PlainFeed(TcpAddress.parse(address))
        ingest = IngestLoop(handler, feed, once=True, link=link, on_batch=on_batch)
        started, cpu = time.perf_counter(), time.process_time()
        ingest.run()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    events = [orjson.loads(line) for line in logged if line.startswith(b"{")]
    schedule = next(event["anchor_ns"] for event in events if "anchor_ns" in event) or 0
    return Run(handler, seconds, cpu, np.array(batches), schedule)


def bench_flat_out(source: Path, rows: int) -> None:
    """As fast as it goes, every record folded and its best bid and offer kept."""
    run(source)  # what is compiled is so now
    for name, log in (("flat out over TCP", None), ("  with a log", LogOutput(LOG_BYTES, 0))):
        whole = run(source, "--loop", str(FLAT_OUT_LOOPS), log=log)
        taken = whole.handler.stats.records
        figure(name, f"{taken / whole.seconds / 1e6:.1f} M/s", note="floor 12")
        figure("  records lost", f"{FLAT_OUT_LOOPS * rows - taken:,}", note="ceiling 0")
        figure("  CPU of ingest a record", f"{whole.cpu_seconds / taken * 1e9:.0f} ns")
        if log is not None:
            log.close()


def bench_steady(
    one_day: bytes,
    head: bytes,
    rows: int,
    rate: int,
    directory: Path,
    *,
    realtime: bool,
    has_log: bool,
) -> None:
    """At a steady rate, while the serving process is kept busy; it may follow a log as well."""
    source = directory / "steady.dbn"
    tiles = rate * STEADY_SECONDS // rows + 1
    with source.open("wb") as file:
        file.write(head)
        for _ in range(tiles):
            file.write(one_day)
    config = ServerConfig(ServerSettings(http="127.0.0.1:0"), log_json=True)
    log = LogOutput(LOG_BYTES, 0) if has_log else None
    if log is not None:
        config = replace(
            config, log_fd=log.writer.descriptor, checkpoint_fd=log.checkpoint_descriptor
        )
    server = start_server(config)
    link = ServerLink(server.socket, log)
    link.queue(MessageKind.HELLO, {"depth": 10, "source": "bench", "version": 1})
    load = subprocess.Popen(
        [
            # Whoever asks is elsewhere: what he costs is to take nothing from what is measured.
            "nice", "-n", "19", sys.executable, "-m", "tests.bench.live_load", str(server.address),
            str(STEADY_SECONDS), SYMBOL,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        with real_time() if realtime else nullcontext():
            steady = run(source, "--rate", str(rate), link=link, log=log)
        served_cpu = cpu_seconds(server.pid)
        served = int(load.communicate(timeout=60)[0])
    finally:
        load.kill()
        server.close()
        source.unlink()
        if log is not None:
            log.close()
    name = f"{rate:,}/s" + (" with --realtime" if realtime else "")
    _print_latencies(steady, name + (" with a log" if has_log else ""), rate)
    figure("  CPU of the serving process", f"{100 * served_cpu / steady.seconds:.0f} %")
    figure("  JSON of the serving process meanwhile", f"{served / STEADY_SECONDS / 1e6:.1f} MB/s")
    figure("  CPU of ingest", f"{100 * steady.cpu_seconds / steady.seconds:.0f} %")


def _print_latencies(steady: Run, name: str, rate: int) -> None:
    records, received, published = steady.batches.T
    counts = np.diff(records, prepend=0)
    inside = np.repeat(published - received, counts) / 1e6
    scheduled = steady.started_ns + np.arange(records[-1]) * 1e9 / rate
    whole = (np.repeat(published, counts) - scheduled) / 1e6
    p50, p99, p999 = np.percentile(inside, [50, 99, 99.9])
    figure(f"at {name}, received to published, p50", f"{p50:.3f} ms")
    figure("  p99", f"{p99:.3f} ms", note="ceiling 0.2")
    figure("  p99.9", f"{p999:.3f} ms")
    p50, p99, p999 = np.percentile(whole, [50, 99, 99.9])
    figure("  scheduled to published, p50", f"{p50:.3f} ms", note="ceiling 0.3")
    figure("  p99", f"{p99:.3f} ms", note="ceiling 2")
    figure("  p99.9", f"{p999:.3f} ms", note="ceiling 10")


def bench_restart(source: Path, rows: int, directory: Path) -> None:
    """From a recording back to its books: a checkpoint, and all that was recorded since."""
    record = directory / "recording"
    handler = FeedHandler(source="bench")
    recorder = FeedRecorder(record)
    with replaying(source) as (address, _):
        feed = PlainFeed(TcpAddress.parse(address))
        IngestLoop(handler, feed, once=True, recorder=recorder).run()
    for name, path in (("at its end", None), ("none", record / CHECKPOINT_NAME)):
        if path is not None:
            path.unlink()
        again = FeedHandler(source="again")
        started = time.perf_counter()
        recover(again, record)
        seconds = time.perf_counter() - started
        if again.stats.records != rows:
            raise AssertionError(again.stats)
        figure(
            f"restart, {rows:,} records recorded, checkpoint {name}",
            f"{seconds:.2f} s",
            note="ceiling 2" if path is None else f"{rows / seconds / 1e6:.0f} M/s",
        )


def bench_memory(directory: Path) -> None:
    """An endless feed in which order ids come and go."""
    source, out = directory / "churn.dbn", directory / "book.json"
    _, live = simulated(20, 20_000, 3_000_000, seed=1)
    source.write_bytes(encode_metadata(Metadata()) + encode_records(live))
    del live
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with replaying(source, "--loop", "0", "--rate", str(RATES[0])) as (address, _):
        command = [sys.executable, "-m", "batonics", "stream", "--connect", address, "--quiet"]
        process = subprocess.Popen([*command, "--out", str(out)], env=environment)
        resident = []
        for _ in range(MEMORY_MINUTES * 12):
            time.sleep(5)
            resident.append(resident_kib(process.pid))
        process.terminate()
        process.wait(60)
        warm = resident[len(resident) // 4]
        figure(
            f"resident memory of {MEMORY_MINUTES} minutes at {RATES[0]:,}/s",
            f"{warm // 1024} MiB",
            note=f"{(max(resident) - warm) / 1024:+.1f} MiB after its first quarter",
        )
        raise _Over


class _Over(Exception):  # noqa: N818 - it is no error
    """The endless replay is to be ended."""


def cpu_seconds(process_id: int) -> float:
    """The processor time that a process has taken."""
    words = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(process_id: int) -> int:
    """What a process has in memory."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def main() -> None:
    """Print all figures."""
    configure(level="error")
    print_machine()
    name, batch = day()
    number = str(int(batch.instrument_id[0]))
    mapping = SymbolMapping(SYMBOL, (DatedSymbol(19700102, 20990101, number),))
    head = encode_metadata(Metadata(symbols=(SYMBOL,), mappings=(mapping,)))
    tiled = tile(batch, FLAT_OUT_TILES)
    with TemporaryDirectory() as text:
        directory = Path(text)
        source = directory / "day.dbn"
        source.write_bytes(head + encode_records(tiled))
        heading(f"live, {name} tiled; replay and ingest are two processes")
        bench_flat_out(source, len(tiled.action))
        bench_restart(source, len(tiled.action), directory)
        data = encode_records(tiled)
        for rate in RATES:
            for realtime, has_log in product((False, True), (False, True)):
                try:
                    bench_steady(
                        data,
                        head,
                        len(tiled.action),
                        rate,
                        directory,
                        realtime=realtime,
                        has_log=has_log,
                    )
                except UsageError as error:
                    figure(f"at {rate:,}/s with --realtime", "-", note=str(error))
        if MEMORY_MINUTES:
            with suppress(_Over):
                bench_memory(directory)


if __name__ == "__main__":
    main()
