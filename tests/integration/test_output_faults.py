"""Row 11 for output files: every call that writes one fails once.

The rule here: the file of that name is as before or complete, nothing else lies beside it, the
error is one line, and the same command works afterwards.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from batonics.model.mbo import Action
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import (
    FAIL,
    FaultyCommands,
    faulty_commands,
    sample_calls,
)

SHARE = 0.1
"""Of calls like others, what CI runs."""
FAULTS = (
    ("write", errno.ENOSPC),
    ("write", errno.EIO),
    ("fsync", errno.EIO),
    ("rename", errno.EIO),
    ("open", errno.EMFILE),
)
COMMANDS = {
    "book.json": ("reconstruct", "INPUT", "-q", "--out", "OUTPUT"),
    "depth.parquet": ("reconstruct", "INPUT", "-q", "--every", "1s", "--snapshots", "OUTPUT"),
    "trades.parquet": ("convert", "INPUT", "-q", "--schema", "trades", "--out", "OUTPUT"),
    "trades.dbn.zst": ("convert", "INPUT", "-q", "--schema", "trades", "--out", "OUTPUT"),
}


@pytest.fixture(scope="module")
def scratch(memory_directory: Path) -> Path:
    directory = memory_directory
    (directory / "out").mkdir()
    rows = [record(Action.ADD, order_id=9, ts_recv=DAY_NS)]
    rows += [record(Action.TRADE, ts_recv=DAY_NS + number) for number in range(3)]
    (directory / "day.dbn").write_bytes(metadata() + encode(rows))
    return directory


@pytest.fixture(scope="module")
def commands(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCommands]:
    with faulty_commands(scratch / "out", tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.sweep
@pytest.mark.parametrize("name", COMMANDS)
def test_a_call_that_fails_leaves_no_partial_file(
    name: str, scratch: Path, commands: FaultyCommands
) -> None:
    output = scratch / "out" / name
    paths = {"INPUT": str(scratch / "day.dbn"), "OUTPUT": str(output)}
    arguments = [paths.get(word, word) for word in COMMANDS[name]]
    listed = commands.run(*arguments)
    assert listed.status == 0, listed
    whole, refused = output.read_bytes(), 0
    for call, error in FAULTS:
        for number in sample_calls(listed.calls, SHARE, call):
            output.write_bytes(b"of before")
            done = commands.run(*arguments, fate=FAIL, name=call, number=number, error=error)
            assert output.read_bytes() in (b"of before", whole), (call, number)
            assert [path.name for path in output.parent.iterdir()] == [name], (call, number)
            if done.status:
                assert done.status == 4, (call, number, done)
                assert len(done.err.splitlines()) == 1, (call, number, done)
                assert done.err.startswith(f"batonics: {output}"), (call, number, done)
                refused += 1
    assert refused >= len(FAULTS) - 1
    assert commands.run(*arguments).status == 0
    assert output.read_bytes() == whole
    output.unlink()
