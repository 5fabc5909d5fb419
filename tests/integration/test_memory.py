"""Memory does not grow with the input, and a few bytes cannot be made to cost much.

The rule: a process is measured by what its kernel says of it (the peak of its resident pages),
against the same command with a small input.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from batonics.model.mbo import Action, Side
from tests.support.command import SAMPLE, SCRIPT, environment
from tests.support.dbn_files import DAY_NS, adds, decompress, encode, metadata, record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STREAM_BYTES = 160 << 20
CONVERTED_BYTES = 64 << 20
"""A row of mbp-10 is more than six times as large as a record."""
GROWTH_BYTES_MAX = 96 << 20
BOMB_BYTES = 1 << 29
BOMB_FILE_BYTES_MAX = 1 << 20
CPU_S_MAX = 20
"""Of processor time; half a gigabyte of records takes two seconds here."""


class Measured(NamedTuple):
    """A process that has ended."""

    code: int
    err: str
    peak_bytes: int
    cpu_s: float


RUNNER = """
import os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
os.write(int(sys.argv[1]), f"{used.ru_maxrss} {used.ru_utime + used.ru_stime}".encode())
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measure(*arguments: str | Path, stdin: Iterable[bytes] = ()) -> Measured:
    """Run `batonics ARGUMENTS`, feeding it, and see what it took."""
    # A process begins with its parent's peak, and this one is large: a small one stands between.
    told, teller = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", RUNNER, str(teller), *SCRIPT, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        pass_fds=[teller],
    )
    os.close(teller)
    assert process.stdin is not None
    assert process.stderr is not None
    feeder = threading.Thread(target=_feed, args=(process.stdin, stdin))
    feeder.start()
    said = process.stderr.read().decode()
    feeder.join()
    process.stderr.close()
    with os.fdopen(told) as usage:
        peak_kib, cpu_s = usage.read().split()
    return Measured(process.wait(), said, int(peak_kib) << 10, float(cpu_s))


def _feed(pipe: IO[bytes], data: Iterable[bytes]) -> None:
    try:
        with pipe:
            for piece in data:
                pipe.write(piece)
    except BrokenPipeError:
        return  # it has refused the rest, as the caller will see


def days(count: int) -> Iterator[bytes]:
    """The sample's records again and again; each time they begin by clearing every book."""
    data = decompress(SAMPLE.read_bytes())
    records_at = 8 + int.from_bytes(data[4:8], "little")
    yield data[:records_at]
    for _ in range(count):
        yield data[records_at:]


@pytest.fixture(scope="module")
def small() -> Measured:
    """The sample once, by the pipe."""
    return measure("reconstruct", "-q", "-", stdin=days(1))


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconstruct", "-q", "--out", "-", "-"),
        ("reconstruct", "-q", "--at", "2027-01-01", "--symbols", "SIM1,SIM2", "-"),
        ("inspect", "-"),
        ("verify", "-q", "-"),
        ("convert", "-q", "--schema", "mbp-10", "--format", "parquet", "--out", "-", "-"),
    ],
    ids=["reconstruct", "at", "inspect", "verify", "convert"],
)
def test_memory_stays_flat_over_a_long_stream(arguments: tuple[str, ...]) -> None:
    stream_bytes = CONVERTED_BYTES if arguments[0] == "convert" else STREAM_BYTES
    count = -(-stream_bytes // sum(map(len, days(1))))
    # A tenth fills every buffer there is.
    short, long = (measure(*arguments, stdin=days(n)) for n in (count // 10, count))
    assert long.code == short.code == 0, long.err
    growth_bytes = long.peak_bytes - short.peak_bytes
    print(f"{count // 10} and {count} days: {short.peak_bytes >> 20}, {long.peak_bytes >> 20} MiB")
    assert growth_bytes < GROWTH_BYTES_MAX


def _inflated(head: bytes, filler: bytes, size: int = BOMB_BYTES) -> bytes:
    """A frame of the head, and then of the filler over and over, in few bytes."""
    packer = zstd.ZstdCompressor(level=1)
    block = filler * max(1, (8 << 20) // len(filler))
    parts = [packer.compress(head)]
    parts += [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.flush()])


def _wide_window() -> bytes:
    options = {int(zstd.CompressionParameter.window_log): 27}
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(metadata() + encode(adds(20))) + packer.flush()


TRADE = encode([record(Action.TRADE, side=Side.NONE, order_id=0, ts_recv=DAY_NS)])
BOMBS: dict[str, tuple[bytes, bytes, int, str]] = {
    "zeros": (
        b"",
        bytes(64),
        3,
        "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 00 00",
    ),
    "zero-records": (metadata(), bytes(64), 3, "record 0: length byte is 0, expected 12"),
    "metadata": (
        b"DBN\x03\xff\xff\xff\x0f",
        bytes(64),
        3,
        "byte 4: metadata claims 268435463 bytes",
    ),
    "spaces": (
        b"",
        b" " * 64,
        3,
        (
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: "
            "4096 bytes of white space come first"
        ),
    ),
    "one-line": (b'{"type":"', b"x" * 64, 3, "the line is longer than 1048576 bytes"),
    "records": (metadata(), TRADE, 0, ""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(name: str, tmp_path: Path, small: Measured) -> None:
    head, filler, code, words = BOMBS[name]
    path = tmp_path / "bomb.zst"
    path.write_bytes(_inflated(head, filler))
    assert path.stat().st_size < BOMB_FILE_BYTES_MAX
    bomb = measure("reconstruct", "-q", path)
    assert bomb.code == code, bomb.err
    assert words in bomb.err
    assert bomb.peak_bytes - small.peak_bytes < GROWTH_BYTES_MAX
    assert bomb.cpu_s < CPU_S_MAX


def test_a_frame_that_needs_a_huge_window_is_refused(tmp_path: Path, small: Measured) -> None:
    path = tmp_path / "wide.zst"
    path.write_bytes(_wide_window())
    wide = measure("reconstruct", "-q", path)
    assert wide.code == 3
    assert "needs a window of more than 32 MiB" in wide.err
    assert wide.peak_bytes < small.peak_bytes + GROWTH_BYTES_MAX
