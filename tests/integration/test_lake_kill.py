"""Rows 10 and 11: what was acknowledged survives, and what was not is not half there.

The rule here: every call by which a commit changes the disk meets its fate once: the process is
killed before it, or it fails. CI runs a sample with every kind of call, `make soak` all calls.
Afterwards the lake is as before the load or as after it, what can be seen of it can be read, and
the same load again makes it whole.
"""

from __future__ import annotations

import errno
import shutil
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import duckdb
import pytest

from batonics.lake.lake import Lake
from batonics.model.mbo import Action
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import (
    FAIL,
    KILL,
    SHORT,
    Call,
    FaultResult,
    FaultyCommands,
    faulty_commands,
    sample_calls,
)
from tests.support.lakes import lake_digest, load, parquet_files

SCHEMAS = ("trades", "ohlcv-1d")
SHARE = 0.1
"""Of calls like others, what CI runs."""
ERRORS = {
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO,),
    "fdatasync": (errno.EIO,),
    "mkdir": (errno.ENOSPC,),
    "rename": (errno.EIO,),
    "open": (errno.EMFILE,),
    "opendir": (errno.EMFILE,),
}


class Scene:
    """A lake of one file, and a second one that is to be loaded.

    Attributes:
        before, after: digests of what the lake holds before and after that.
        arguments: the load, as a command.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = [directory / "1.dbn", directory / "2.dbn"]
        for day, file in enumerate(self.files):
            at = DAY_NS + day * 86_400_000_000_000
            rows = [record(Action.TRADE, ts_recv=at + number) for number in range(3)]
            file.write_bytes(metadata() + encode(rows))
        self.original = directory / "original"
        load(self.original, self.files[0], schemas=SCHEMAS)
        self.before = lake_digest(self.original)
        whole = directory / "whole"
        load(whole, *self.files, schemas=SCHEMAS)
        self.after = lake_digest(whole)
        self.lake = directory / "lake"
        self.arguments = self.loading(self.files[1])

    def loading(self, file: Path) -> tuple[str | Path, ...]:
        """The command that loads a file."""
        return ("lake", "load", file, "--lake", self.lake, "--schemas", ",".join(SCHEMAS))

    def renew(self) -> None:
        """The lake as it is before the load."""
        shutil.rmtree(self.lake, ignore_errors=True)
        shutil.copytree(self.original, self.lake)

    def check(self) -> bool:
        """The lake is as before or as after, and can be made whole; whether it is as after."""
        found = lake_digest(self.lake)
        assert found in (self.before, self.after)
        _all_can_be_read(self.lake)
        load(self.lake, self.files[1], schemas=SCHEMAS)
        self.check_whole()
        return found == self.after

    def check_whole(self) -> None:
        """The lake is as after the load, and nothing else lies in it."""
        assert lake_digest(self.lake) == self.after
        lake = Lake(self.lake)
        lake.store.clean_up()
        assert lake.check() == []
        assert parquet_files(self.lake) == set(lake.parts()["path"])
        assert [path.name for path in (self.lake / ".loading").iterdir()] == ["lock"]


@cache
def _reader() -> duckdb.DuckDBPyConnection:
    """A reader that remembers nothing of files it has read."""
    return duckdb.connect(config={"enable_external_file_cache": False})


def _all_can_be_read(lake: Path) -> None:
    """Whoever lists the directories finds no file that is not whole."""
    for schema in SCHEMAS:
        if list(lake.glob(f"{schema}/*/*.parquet")):
            _reader().sql(f"FROM '{lake}/{schema}/*/*.parquet'").pl()


@pytest.fixture(scope="module")
def scene(memory_directory: Path) -> Scene:
    return Scene(memory_directory)


@pytest.fixture(scope="module")
def commands(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCommands]:
    with faulty_commands(scene.lake, tmp_path_factory.mktemp("kill")) as running:
        yield running


@pytest.fixture(scope="module")
def calls(scene: Scene, commands: FaultyCommands) -> list[Call]:
    scene.renew()
    done = commands.run(*scene.arguments)
    assert done.status == 0
    assert done.err == f"{scene.files[1]}: 3 trades, 1 ohlcv-1d\n"
    return done.calls


@pytest.mark.sweep
def test_a_kill_at_any_call_loses_and_doubles_nothing(
    scene: Scene, commands: FaultyCommands, calls: list[Call]
) -> None:
    committed, numbers = 0, sample_calls(calls, SHARE)
    for number in numbers:
        scene.renew()
        done = commands.run(*scene.arguments, fate=KILL, number=number)
        assert done.status == -signal.SIGKILL, (number, done)
        is_after = scene.check()
        # What was said to be there is there.
        assert is_after or not done.err, (number, calls[number - 1])
        committed += is_after
    print(f"{len(numbers)} kills, {committed} after the commit: nothing lost, doubled, unreadable")
    assert len(calls) > 60
    assert 0 < committed < len(numbers)


@pytest.mark.sweep
def test_a_kill_while_a_lake_is_made_is_made_good_by_the_next_load(
    scene: Scene, commands: FaultyCommands
) -> None:
    shutil.rmtree(scene.lake, ignore_errors=True)
    arguments = scene.loading(scene.files[0])
    made = commands.run(*arguments).calls
    numbers = sample_calls(made, SHARE)
    for number in numbers:
        shutil.rmtree(scene.lake, ignore_errors=True)
        assert commands.run(*arguments, fate=KILL, number=number).status == -signal.SIGKILL
        load(scene.lake, scene.files[0], schemas=SCHEMAS)
        assert lake_digest(scene.lake) == scene.before
        assert Lake(scene.lake).check() == []
    print(f"{len(numbers)} kills while a lake is made")


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "error"), [(n, e) for n, es in ERRORS.items() for e in es])
def test_a_call_that_fails_leaves_the_lake_as_it_was(
    name: str, error: int, scene: Scene, commands: FaultyCommands
) -> None:
    scene.renew()
    numbers = sample_calls(commands.run(*scene.arguments, name=name).calls, SHARE)
    refused = 0
    for number in numbers:
        scene.renew()
        done = commands.run(*scene.arguments, fate=FAIL, name=name, number=number, error=error)
        if done.status == 0:
            # What is cleared up after the commit may fail, and SQLite does without some files.
            scene.check_whole()
            continue
        _is_one_line(done, (name, number))
        assert done.status in (4, 6), (name, number, done)
        scene.check()
        refused += 1
    print(f"{name} fails {len(numbers)} times: {refused} loads refused in one line")
    assert refused > 0


def _is_one_line(done: FaultResult, where: object) -> None:
    lines = done.err.splitlines()
    # The load may have been said to be done before what came after it failed.
    assert len(lines) == 1, (where, done)
    assert lines[0].startswith("batonics: "), (where, done)
    assert "a bug in batonics" not in lines[0], (where, done)


@pytest.mark.sweep
def test_short_writes_are_gone_on_with(
    scene: Scene, commands: FaultyCommands, calls: list[Call]
) -> None:
    for number in sample_calls(calls, SHARE, "write"):
        scene.renew()
        done = commands.run(*scene.arguments, fate=SHORT, name="write", number=number)
        assert done.status == 0, (number, done)
        scene.check_whole()


def test_data_and_names_are_on_the_disk_before_the_load_is_acknowledged(
    calls: list[Call],
) -> None:
    moves = [
        (at, source, Path(target))
        for at, call in enumerate(calls)
        if call.name == "rename" and call.path.endswith(".parquet")
        for source, target in [call.path.split(" -> ")]
    ]
    assert len(moves) == 2
    syncs = {at: call.path for at, call in enumerate(calls) if call.name in ("fsync", "fdatasync")}
    # The acknowledgement, on standard error, comes after the last of all these calls.
    committed = max(at for at, path in syncs.items() if path.endswith("catalog.sqlite-wal"))
    for at, source, target in moves:
        written = max(n for n, call in enumerate(calls) if call == Call("write", source))
        data = min(n for n, path in syncs.items() if path == source)
        name = min(n for n, path in syncs.items() if path == str(target.parent) and n > at)
        assert written < data < at < name < committed
        # And so are the names of the directories that were made for it.
        for parent in target.parent.parents[:2]:
            made = [n for n, path in syncs.items() if path == str(parent)]
            assert made
            assert min(made) < committed
