"""Row 11 for a live feed: every call that writes its recording or its snapshots fails once.

The rule here: the books are those of the whole feed whatever fails, the failure is said in one
line, and the same command, started again on what is left, has the same books.
"""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import reconstruct_books
from tests.support.dbn_files import adds, encode, metadata
from tests.support.faults_syscalls import (
    FAIL,
    FaultResult,
    FaultyCommands,
    faulty_commands,
    sample_calls,
)
from tests.support.live_feed import LiveFeed, ServedConnection

FEED = metadata() + encode(adds(40))
SHARE = 0.1
"""Of calls like others, what CI runs."""
FAULTS = (
    ("write", errno.ENOSPC),
    ("fsync", errno.EIO),
    ("rename", errno.EIO),
    ("open", errno.EMFILE),
)
OUTPUTS: dict[str, tuple[str, ...]] = {
    "--record": ("recording",),
    "--snapshots": ("depth.parquet", "--every", "1ms"),
}


class Stream:
    """Runs `batonics stream` on a feed of forty orders, with outputs below one directory."""

    def __init__(self, scratch: Path, commands: FaultyCommands) -> None:
        self.directory, self.books = scratch / "live", scratch / "book.json"
        self._commands = commands

    def run(self, option: str, **fate: Any) -> FaultResult:
        """Run it with that output; `fate`: as of `FaultyCommands.run`."""
        self.books.unlink(missing_ok=True)
        name, *more = OUTPUTS[option]
        with LiveFeed([ServedConnection(FEED, chunk=400)]) as feed:
            done = self._commands.run(
                *("stream", "--connect", feed.address, "--once", "--quiet"),
                *(option, str(self.directory / name), *more, "--out", str(self.books)),
                **fate,
            )
            if not feed.served:  # it was refused before it connected
                host, _, port = feed.address.partition(":")
                socket.create_connection((host, int(port))).close()
        return done

    def clear(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()


@pytest.fixture(scope="module")
def stream(memory_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    (memory_directory / "live").mkdir()
    with faulty_commands(memory_directory / "live", tmp_path_factory.mktemp("faults")) as commands:
        yield Stream(memory_directory, commands)


@pytest.mark.sweep
@pytest.mark.parametrize("option", OUTPUTS)
def test_books_go_on_whatever_call_fails(option: str, stream: Stream) -> None:
    right = reconstruct_books("-", stdin=FEED)
    stream.clear()
    listed = stream.run(option)
    assert listed.status == 0, listed
    assert stream.books.read_bytes() == right
    failed = set()
    for call, error in FAULTS:
        for number in sample_calls(listed.calls, SHARE, call):
            where = (call, errno.errorcode[error], number)
            stream.clear()
            done = stream.run(option, fate=FAIL, name=call, number=number, error=error)
            if done.status:
                failed.add((call, error))
                # What cannot be opened may be what a restart reads: input, or a checkpoint.
                assert done.status in ((3, 4, 5) if call == "open" else (4,)), (where, done)
                assert str(stream.directory) in done.err.splitlines()[-1], (where, done)
                assert "Traceback" not in done.err, (where, done)
            if stream.books.exists() or done.status == 0:
                assert stream.books.read_bytes() == right, where
            else:
                # Refused before the feed was asked for anything.
                assert number == 1 or call == "open", (where, done)
            again = stream.run(option)
            assert again.status == 0, (where, again)
            assert stream.books.read_bytes() == right, where
    print(f"{option}: {len(listed.calls)} calls, {sorted(failed)} ended the output")
    assert failed, "some fault is seen"
