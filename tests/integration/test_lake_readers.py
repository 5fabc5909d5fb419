"""Who has no right to write to a lake reads it all the same, also while others commit.

The rule here: a reader is a process that lacks the right. Of a superuser the right to ignore
permissions is taken away, so that the same tests hold whoever runs them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from batonics.lake.file_catalog import FileCatalog
from batonics.lake.lake import Lake
from batonics.model.errors import LakeError
from batonics.model.mbo import Action
from tests.support.command import CommandResult, environment, error_line, run_command
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import faulty_commands
from tests.support.lakes import load

State = Callable[[Path], None]
IS_ROOT = os.geteuid() == 0
RIGHTLESS = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    if IS_ROOT
    else ()
)
COMMITS = 20
BESIDE = ("catalog.sqlite-wal", "catalog.sqlite-shm")
ASK = """\
import sys
from batonics.lake.lake import Lake
lake, times = Lake(sys.argv[1]), 0
while True:
    sizes = lake.scan("mbo").collect()["size"].to_list()
    assert sorted(sizes[::3] * 3) == sorted(sizes), sizes
    times += 1
    print(times, flush=True)
"""


def write(path: Path, *, size: int = 1, days: int = 0) -> Path:
    """A file of three records, told by their sizes."""
    at = DAY_NS + days * 86_400_000_000_000
    rows = [record(Action.TRADE, size=size, ts_recv=at + number) for number in range(3)]
    path.write_bytes(metadata() + encode(rows))
    return path


Reader = Callable[..., CommandResult]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Runs a command of someone without the right to write where permissions say so."""
    scratch = tmp_path_factory.mktemp("reader")
    with faulty_commands(scratch, scratch, RIGHTLESS) as commands:

        def run(*arguments: str | Path) -> CommandResult:
            done = commands.run(*arguments)
            return CommandResult(done.status, done.out, done.err)

        yield run


@contextmanager
def not_writable(lake: Path) -> Iterator[None]:
    """Within the block permissions let nobody write to the lake."""
    below = [lake, *lake.rglob("*")]
    for path in below:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in below:
            path.chmod(0o755 if path.is_dir() else 0o644)


def seen(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file below, with what changes when it is written to."""
    return {
        path.relative_to(directory).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
    }


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    root = tmp_path / "lake"
    load(root, write(tmp_path / "a.dbn"), schemas=("mbo", "trades"))
    return root


def as_left(_lake: Path) -> None:
    """The lake as batonics leaves it."""


def bare(lake: Path) -> None:
    """Only the catalog itself was copied, or another program has put it in order."""
    for name in BESIDE:
        (lake / name).unlink(missing_ok=True)


def killed(lake: Path) -> None:
    """A writer was killed: what it committed is in the log only."""
    catalog = lake / "catalog.sqlite"
    kept = lake.with_name("kept")
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("CREATE TABLE big AS SELECT 1 AS x")
        connection.execute("DROP TABLE big")
        connection.execute("UPDATE source SET stat = 'in the log'")
        connection.commit()
        shutil.copytree(lake, kept)
    shutil.rmtree(lake)
    kept.rename(lake)
    assert (lake / BESIDE[0]).stat().st_size > 0


def killed_without_index(lake: Path) -> None:
    """The same, copied by someone who knows that the index can be made anew."""
    killed(lake)
    (lake / BESIDE[1]).unlink()


STATES = (as_left, bare, killed, killed_without_index)


@pytest.mark.parametrize("state", STATES)
def test_a_lake_is_read_without_the_right_to_write(
    state: State, lake: Path, reader: Reader
) -> None:
    state(lake)
    before = seen(lake)
    with not_writable(lake):
        asked = [
            reader("lake", "ls", "--lake", lake),
            reader("lake", "check", "--lake", lake),
            reader("query", "SELECT sum(size) AS n FROM mbo", "--lake", lake, "--format", "csv"),
        ]
    assert [done.code for done in asked] == [0, 0, 0], asked
    assert b"trades" in asked[0].out
    assert asked[1].err == "2 files verified\n"
    assert asked[2].out == b"n\n3\n"
    assert seen(lake) == before


@pytest.mark.parametrize("state", STATES)
def test_a_reader_with_rights_leaves_a_lake_as_it_is(state: State, lake: Path) -> None:
    state(lake)
    before = seen(lake)
    opened = Lake(lake)
    assert opened.scan("mbo").collect().height == 3
    assert opened.check() == []
    after = seen(lake)
    assert after.keys() == before.keys()
    # The index is shared memory: who may put it right does.
    assert all(after[path] == of for path, of in before.items() if path != BESIDE[1])


def test_what_was_committed_before_a_kill_is_read(lake: Path) -> None:
    killed(lake)
    for _ in range(2):
        stats = FileCatalog(lake / "catalog.sqlite").read(
            lambda connection: connection.execute("SELECT stat FROM source").fetchall()
        )
        assert stats == [("in the log",)]
        (lake / BESIDE[1]).unlink(missing_ok=True)


@pytest.mark.parametrize("state", STATES)
def test_commits_go_on_from_there(state: State, lake: Path, tmp_path: Path) -> None:
    state(lake)
    load(lake, write(tmp_path / "b.dbn", days=1), schemas=("mbo",))
    assert Lake(lake).scan("mbo").collect().height == 6
    # The next reader may lack the right to make them.
    assert [(lake / name).exists() for name in BESIDE] == [True, True]
    assert (lake / BESIDE[0]).stat().st_size == 0


@pytest.fixture(scope="module")
def appended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two appended parts, so that there is something to compact."""
    directory = tmp_path_factory.mktemp("appended")
    for number in range(2):
        append = ("lake", "append", "--lake", directory / "lake", "--name", "y", "--in-this-order")
        feed = write(directory / "f.dbn", size=number + 7).read_bytes()
        done = run_command(*append, "--schemas", "mbo", "-q", stdin=feed)
        assert done.code == 0, done.err
    return directory / "lake"


@pytest.mark.parametrize(
    "arguments",
    [
        ("load", "FILE", "--schemas", "mbo"),
        ("load", "FILE", "--schemas", "mbo", "--again"),
        ("vacuum",),
        ("compact",),
        ("append", "--name", "x"),
    ],
)
@pytest.mark.parametrize("state", [as_left, bare])
def test_what_would_write_is_refused_in_one_line(
    arguments: tuple[str, ...], state: State, appended: Path, tmp_path: Path, reader: Reader
) -> None:
    lake = shutil.copytree(appended, tmp_path / "lake")
    state(lake)
    file = write(tmp_path / "b.dbn", days=1)
    before = seen(lake)
    with not_writable(lake):
        done = reader("lake", *(str(file) if a == "FILE" else a for a in arguments), "--lake", lake)
    assert "cannot be written: " in error_line(done, 4)
    assert seen(lake) == before


def test_a_catalog_that_may_not_be_read_is_named(lake: Path, reader: Reader) -> None:
    for name in ("catalog.sqlite", *BESIDE):
        (lake / name).chmod(0)
        done = reader("lake", "ls", "--lake", lake)
        (lake / name).chmod(0o644)
        assert error_line(done, 6) == f"{lake / name}: cannot be read: Permission denied"
    lake.parent.joinpath("closed").mkdir(mode=0)
    done = reader("lake", "ls", "--lake", lake.parent / "closed")
    where = lake.parent / "closed" / "catalog.sqlite"
    assert error_line(done, 6) == f"{where}: cannot be read: Permission denied"


@pytest.mark.parametrize("state", [as_left, bare])
def test_readers_without_rights_see_whole_commits_while_others_commit(
    state: State, lake: Path, tmp_path: Path
) -> None:
    state(lake)
    files = [write(tmp_path / f"{day}.dbn", days=day) for day in range(3)]
    readers = [
        subprocess.Popen(
            [*RIGHTLESS, sys.executable, "-c", ASK, str(lake)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        for running in readers:
            assert running.stdout is not None
            assert running.stdout.readline()
        for number in range(COMMITS):
            write(files[number % 3], size=number + 2, days=number % 3)
            load(lake, files[number % 3], schemas=("mbo",))
            for path in lake.rglob("*"):
                if IS_ROOT:  # whoever commits is not bound by them
                    path.chmod(0o555 if path.is_dir() else 0o444)
    finally:
        for running in readers:
            running.terminate()
        ended = [running.communicate(timeout=60) for running in readers]
    assert [err for _, err in ended] == [b"", b""]
    assert min(len(out.splitlines()) for out, _ in ended) > COMMITS // 4


def test_what_changes_while_it_is_copied_is_asked_again(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, copied = FileCatalog(lake / "catalog.sqlite"), shutil.copyfile
    bare(lake)
    copies = []

    def copy_slowly(source: Path, to: Path) -> None:
        copies.append(source)
        copied(source, to)
        if len(copies) == 1:
            load(lake, write(tmp_path / "b.dbn", days=1), schemas=("mbo",))

    monkeypatch.setattr(shutil, "copyfile", copy_slowly)
    rows = opened.read(lambda connection: connection.execute("SELECT * FROM source").fetchall())
    assert len(rows) == 2
    assert len(copies) >= 1


def test_what_never_settles_is_one_line(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batonics.lake.file_catalog.UNSETTLED_SECONDS", 0.02)
    bare(lake)
    catalog, copied = lake / "catalog.sqlite", shutil.copyfile

    def copy_and_touch(source: Path, to: Path) -> None:
        copied(source, to)
        os.utime(catalog)

    monkeypatch.setattr(shutil, "copyfile", copy_and_touch)
    with pytest.raises(LakeError, match=r"catalog\.sqlite: cannot be read: it changes while"):
        FileCatalog(catalog)
