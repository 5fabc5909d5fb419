"""A lake in a bucket promises what one in a directory does; the bucket is on a real socket.

The rule here: what a bucket holds is compared with a lake in a directory, and what became of it
with what the server saw.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from batonics.lake import bucket_store
from batonics.lake.bucket_client import ConflictError
from batonics.lake.digest import file_digest
from batonics.lake.lake import Lake
from batonics.lake.part_cache import cache_directory
from batonics.lake.part_search import all_parts
from batonics.model.errors import LakeError
from batonics.model.mbo import Action
from tests.support.bucket_server import (
    LOST,
    BucketServer,
    lake,
    lake_objects,
    object_keys,
    overwrite,
    server,
)
from tests.support.command import SAMPLE, SCRIPT, environment, error_line, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import lake_digest, load, many_parts, parquet_files

__all__ = ["lake", "server"]  # fixtures

CATALOG = "catalog.sqlite"
SCHEMAS = ("mbo", "trades")


def write(path: Path, *, order_id: int = 1, days: int = 0) -> Path:
    """A small file of trades; another id makes other bytes."""
    times = [DAY_NS + days * 86_400_000_000_000 + at for at in range(8)]
    rows = [record(Action.TRADE, order_id=order_id, ts_recv=at) for at in times]
    path.write_bytes(metadata() + encode(rows))
    return path


def load_into(lake: str, *files: Path, schemas: Sequence[str] = SCHEMAS, **more: bool) -> int:
    """Load files as the command does; how many rows were put in."""
    return sum(made.rows for made in load(Path(lake), *files, schemas=schemas, **more))


def digest(lake: str) -> object:
    return lake_digest(Path(lake))


def cached() -> list[Path]:
    """The parts that were fetched."""
    return sorted(cache_directory().glob("*/*/*/*.parquet"))


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again once only."""
    monkeypatch.setenv("BATONICS_LAKE_RETRIES_MAX", "1")


def test_the_server_keeps_the_conditions_of_puts(lake: str) -> None:
    made = lake_objects(lake)
    first = made.put("x", b"1", None)
    with pytest.raises(ConflictError):
        made.put("x", b"2", None)
    second = made.put("x", b"2", first)
    for stale in (first, '"no tag of any"'):
        with pytest.raises(ConflictError):
            made.put("x", b"3", stale)
    found = made.get("x")
    assert found == (b"2", second)
    assert made.get("x", second) is None


# ---------------------------------------------------------------------- what is in it


def test_a_bucket_holds_what_a_directory_does(lake: str, tmp_path: Path) -> None:
    schemas = ("mbo", "mbp-10", "trades", "ohlcv-1m", "orders", "depth-1s")
    load_into(lake, SAMPLE, schemas=schemas)
    load(tmp_path / "lake", SAMPLE, schemas=schemas)
    assert digest(lake) == lake_digest(tmp_path / "lake")
    here_and_there = [
        {(path.rpartition("/")[0], path[-13:]) for path in paths}
        for paths in (parquet_files(tmp_path / "lake"), object_keys(lake))
    ]
    assert here_and_there[0] == here_and_there[1]
    question = (
        "SELECT symbol, count(*), sum(t.size) FROM trades t JOIN orders USING (symbol) GROUP BY 1"
    )
    asked = [Lake(root).sql(f"{question} ORDER BY 1").rows() for root in (lake, tmp_path / "lake")]
    assert asked[0] == asked[1]
    assert Lake(lake).check() == []
    assert repr(Lake(Path(lake))) == f"Lake('{lake}')"


def test_the_cache_is_a_lake_that_any_tool_reads(lake: str) -> None:
    load_into(lake, SAMPLE, schemas=("trades",))
    rows = Lake(lake).scan("trades").collect().height
    (directory,) = cache_directory().iterdir()
    query = f"SELECT count(*), count(DISTINCT symbol) FROM '{directory}/trades/*/*.parquet'"
    assert duckdb.connect().execute(query).fetchall() == [(rows, 5)]


def test_a_part_is_fetched_once_and_only_if_it_is_asked_for(
    lake: str, server: BucketServer, tmp_path: Path
) -> None:
    load_into(lake, *(write(tmp_path / f"{day}.dbn", days=day, order_id=day) for day in range(4)))
    assert cached() == []
    for _ in range(2):
        Lake(lake).sql("SELECT * FROM trades WHERE date = '2024-10-05'")
        assert len(cached()) == 1
    with server.counted() as calls:
        Lake(lake).sql("SELECT * FROM trades WHERE date = '2024-10-05'")
    # Opened, and asked.
    assert calls == {("GET", 200): 1, ("GET", 304): 1}


def test_the_same_file_twice_changes_nothing(lake: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.dbn")
    assert load_into(lake, file) == 16
    before = dict(lake_objects(lake).list_objects())
    assert load_into(lake, file) == 0
    assert dict(lake_objects(lake).list_objects()) == before
    assert load_into(lake, write(tmp_path / "elsewhere.dbn")) == 0
    assert object_keys(lake) == before.keys() - {CATALOG}


def test_names_that_no_path_can_hold(lake: str, tmp_path: Path) -> None:
    names = {"A/B=C": 1, "%2F": 2, "1 2": 3, "..": 5, "a+&?#": 6}
    rows = [record(Action.TRADE, instrument_id=number) for number in names.values()]
    file = tmp_path / "a.dbn"
    file.write_bytes(metadata(names) + encode(rows))
    load_into(lake, file)
    load(tmp_path / "lake", file, schemas=SCHEMAS)
    assert {key.rpartition("/")[0] for key in object_keys(lake)} == {
        path.rpartition("/")[0] for path in parquet_files(tmp_path / "lake")
    }
    assert digest(lake) == lake_digest(tmp_path / "lake")
    found = Lake(lake).scan("trades").select("symbol", "instrument_id").collect()
    assert dict(found.rows()) == names


def test_compaction_changes_no_row(lake: str) -> None:
    with many_parts(8_192):
        load_into(lake, SAMPLE, schemas=("mbo",))
    before, count = digest(lake), len(object_keys(lake))
    assert run_in_process("lake", "compact", "--lake", lake).err == f"{count} files became 1\n"
    assert digest(lake) == before
    assert run_in_process("lake", "vacuum", "--older-than", "0", "--lake", lake).code == 0
    assert len(object_keys(lake)) == len(cached()) == 1
    assert digest(lake) == before


def test_what_was_replaced_goes_with_a_vacuum(lake: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.dbn")
    load_into(lake, file)
    before = digest(lake)
    write(file, order_id=2)
    load_into(lake, file, schemas=("mbo",))
    assert digest(lake) != before
    assert run_in_process("lake", "vacuum", "-q", "--lake", lake).code == 0
    assert len(object_keys(lake)) == 4
    done = run_in_process("lake", "vacuum", "--older-than", "0", "--lake", lake)
    assert done.err.startswith("removed 2 files, ")
    assert object_keys(lake) == set(Lake(lake).parts()["path"])
    # What was fetched of them is gone as well, and nothing else.
    assert cached() == sorted(Lake(lake).files("mbo") + Lake(lake).files("trades"))
    assert Lake(lake).scan("mbo").collect()["order_id"].to_list() == [2] * 8


def test_a_vacuum_clears_the_cache_of_what_no_lake_has(lake: str, tmp_path: Path) -> None:
    load_into(lake, *(write(tmp_path / f"{day}.dbn", days=day, order_id=day) for day in range(3)))
    assert Lake(lake).sql("SELECT count(*) FROM mbo").rows() == [(24,)]
    held = cached()
    left = [held[0].with_name(name) for name in ("other.parquet", "old.part", "young.part")]
    for file in left:
        file.touch()
    os.utime(left[1], (0, 0))
    assert run_in_process("lake", "vacuum", "-q", "--lake", lake).code == 0
    # The young one may be what somebody is fetching.
    assert [file.exists() for file in left] == [False, False, True]
    assert cached() == held


# ---------------------------------------------------------------------- several at once


def run_at_once(lake: str, *loads: tuple[Sequence[Path], str]) -> None:
    """Load at once, each in a process of its own."""
    loaders = [
        subprocess.Popen(
            [*SCRIPT, "lake", "load", *map(str, files), "-q", "--lake", lake, "--schemas", schemas],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        for files, schemas in loads
    ]
    for loader in loaders:
        assert loader.communicate(timeout=240)[1] == b""
        assert loader.returncode == 0


@pytest.mark.parametrize("are_same", [True, False], ids=["the same files", "others"])
def test_loaders_at_once_lose_and_double_nothing(
    are_same: bool,
    lake: str,
    server: BucketServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [write(tmp_path / f"{day}.dbn", days=day, order_id=day) for day in range(12)]
    shares = [files] * 3 if are_same else [files[n::3] for n in range(3)]
    monkeypatch.setattr(server, "wait_seconds", 0.05)
    with server.counted() as calls:
        run_at_once(lake, *zip(shares, ("mbo,trades", "trades,mbo", "mbo,trades"), strict=True))
    load(tmp_path / "alone", *files, schemas=SCHEMAS)
    assert digest(lake) == lake_digest(tmp_path / "alone")
    assert Lake(lake).parts().height == 24
    assert object_keys(lake) == set(Lake(lake).parts()["path"])
    assert Lake(lake).check() == []
    print(f"{calls['CAS', 200]} commits, {calls['CAS', 412]} refused and made again")
    assert calls["CAS", 412] > 0


def test_a_reader_sees_whole_commits_only(lake: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.dbn")
    load_into(lake, file)
    arguments = ("lake", "load", file, "--again", "-q", "--lake", lake, "--schemas", "mbo,trades")
    writer = subprocess.Popen([*SCRIPT, *map(str, arguments)], env=environment())
    opened, asked = Lake(lake), 0
    query = "SELECT (SELECT count(*) FROM mbo) m, (SELECT count(*) FROM trades) t"
    while writer.poll() is None or asked < 3:
        assert opened.sql(query).rows() == [(8, 8)]
        asked += 1
    assert writer.returncode == 0


# ---------------------------------------------------------------------- what goes wrong


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{day}.dbn", days=day, order_id=day) for day in (1, 2)]


def make_it_whole(lake: str, files: Sequence[Path], directory: Path) -> None:
    """The same load again; the lake is then as if nothing had been in the way."""
    load_into(lake, *files)
    load(directory, *files, schemas=SCHEMAS)
    assert digest(lake) == lake_digest(directory)


def test_a_kill_before_the_commit_leaves_the_lake_as_it_was(
    lake: str,
    server: BucketServer,
    two: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_into(lake, two[0])
    before, keys = digest(lake), object_keys(lake)
    arguments = ("lake", "load", two[1], "-q", "--lake", lake, "--schemas", "mbo,trades")
    loader = subprocess.Popen([*SCRIPT, *map(str, arguments)], env=environment())

    def kill(method: str, _path: str) -> int | None:
        if method != "CAS":
            return None
        os.kill(loader.pid, signal.SIGKILL)
        return 500

    with server.faulty(kill):
        assert loader.wait(120) == -signal.SIGKILL
    assert digest(lake) == before
    strays = object_keys(lake) - keys
    assert len(strays) == 2
    # They might be of a load that lives.
    assert Lake(lake).check() == []
    assert run_in_process("lake", "vacuum", "--lake", lake).err == "removed 0 files, 0 bytes\n"
    monkeypatch.setattr(bucket_store, "ORPHAN_SECONDS", -60)
    assert len(Lake(lake).check()) == 2
    assert run_in_process("lake", "vacuum", "--lake", lake).err.startswith("removed 2 files, ")
    assert object_keys(lake) == keys
    assert digest(lake) == before
    make_it_whole(lake, two, tmp_path / "lake")


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("method", "ending", "status"),
    [("CAS", CATALOG, 500), ("CAS", CATALOG, 403), ("PUT", "-0000.parquet", 503)],
)
def test_a_put_that_fails_leaves_the_lake_as_it_was(
    method: str, ending: str, status: int, lake: str, server: BucketServer, two: list[Path]
) -> None:
    load_into(lake, two[0])
    before, keys = digest(lake), object_keys(lake)
    arguments = ("lake", "load", two[1], "--lake", lake, "--schemas", "mbo,trades")
    with server.failing(method, ending, status):
        words = error_line(run_in_process(*arguments), 4)
    assert words.startswith(f"{lake}/")
    assert "cannot be written: " in words
    assert str(status) in words
    assert digest(lake) == before
    # Once the commit was tried, it may be on its way still: then its parts are left to a vacuum.
    assert len(object_keys(lake) - keys) == (2 if method == "CAS" else 0)
    assert run_in_process(*arguments).err == f"{two[1]}: 8 mbo, 8 trades\n"


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("times", [1, 2], ids=["of the first try", "of all tries"])
def test_a_commit_whose_answer_is_lost_is_done_once(
    times: int, lake: str, server: BucketServer, two: list[Path], tmp_path: Path
) -> None:
    load_into(lake, two[0])
    with server.counted() as calls, server.failing("CAS", CATALOG, LOST, times):
        done = run_in_process("lake", "load", two[1], "--lake", lake, "--schemas", "mbo,trades")
    # The client has tried it again, and was refused by what it had put itself.
    assert (calls["CAS", 500], calls["CAS", 412]) == (times, 2 - times)
    assert (done.code, done.err) == (0, f"{two[1]}: 8 mbo, 8 trades\n")
    assert object_keys(lake) == set(Lake(lake).parts()["path"])
    make_it_whole(lake, two, tmp_path / "lake")


def test_a_damaged_object_is_never_read(lake: str, two: list[Path]) -> None:
    load_into(lake, *two)
    part = Lake(lake).store.catalog.read(all_parts)[0]
    found = lake_objects(lake).get(part.path)
    assert found is not None
    for damaged in (flip(found.data), found.data[:-1], found.data + b"0"):
        overwrite(lake, part.path, damaged)
        for ask in (
            lambda: Lake(lake).scan("mbo"),
            lambda: Lake(lake).sql("SELECT count(*) FROM mbo"),
        ):
            with pytest.raises(LakeError, match=f"{lake}/mbo/.*: damaged: .* load its source"):
                ask()
        assert [words.partition(":  ")[0] for words in Lake(lake).check()]
        assert len(cached()) <= 1  # of the other
    overwrite(lake, part.path, found.data)
    assert Lake(lake).scan("mbo").collect().height == 16


def test_check_reads_the_objects_and_not_the_cache(lake: str, two: list[Path]) -> None:
    load_into(lake, *two)
    before = digest(lake)
    first, second, *_ = Lake(lake).store.catalog.read(all_parts)
    found = lake_objects(lake).get(first.path)
    assert found is not None
    overwrite(lake, first.path, flip(found.data))
    lake_objects(lake).delete([second.path])
    assert digest(lake) == before  # all was fetched already
    done = run_in_process("lake", "check", "--lake", lake)
    assert done.code == 6
    damaged, missing = done.out.decode().splitlines()
    assert damaged.startswith(f"{lake}/{first.path}: damaged: ")
    assert missing.startswith(f"{lake}/{second.path}: is missing; ")


@pytest.mark.parametrize(
    "spoil",
    [flip, lambda data: data[:-1], lambda _: b""],
    ids=["a flipped bit", "cut short", "empty"],
)
def test_a_damaged_cached_file_is_fetched_anew(
    spoil: Callable[[bytes], bytes], lake: str, two: list[Path]
) -> None:
    load_into(lake, *two)
    before, opened = digest(lake), Lake(lake)
    assert opened.scan("mbo").collect().height == 16
    whole = {path: file_digest(path) for path in cached()}
    assert len(whole) == 4
    for reader in (opened, Lake(lake)):
        for path in whole:
            path.write_bytes(spoil(path.read_bytes()))
        assert reader.sql("SELECT count(*) FROM mbo").rows() == [(16,)]
        assert digest(lake) == before
        assert {path: file_digest(path) for path in cached()} == whole


def test_no_room_for_what_is_fetched_is_one_line(
    lake: str, two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_into(lake, *two)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    done = run_in_process("query", "SELECT * FROM mbo", "--lake", lake)
    assert "cannot be written: Not a directory" in error_line(done, 4)


@pytest.mark.usefixtures("_quick", "lake")
@pytest.mark.parametrize(
    ("lake_url", "arguments", "code", "words"),
    [
        ("s3://lakes/none", ("check",), 6, "s3://lakes/none: is not a lake; `batonics lake load`"),
        ("s3://no-bucket/x", ("check",), 6, "bucket does not exist (NoSuchBucket)"),
        ("s3://no-bucket/x", ("load", SAMPLE), 4, "bucket does not exist (NoSuchBucket)"),
        ("s3://", ("load", SAMPLE), 2, "s3://: expected s3://BUCKET/PREFIX"),
        ("s3://lakes/a//b", ("load", SAMPLE), 2, "expected s3://BUCKET/PREFIX"),
        ("s3://lakes/../b", ("load", SAMPLE), 2, "expected s3://BUCKET/PREFIX"),
    ],
)
def test_errors_are_one_line(
    lake_url: str, arguments: tuple[str | Path, ...], code: int, words: str
) -> None:
    assert words in error_line(run_in_process("lake", *arguments, "--lake", lake_url), code)


def test_what_is_no_lake_is_left_alone(lake: str, two: list[Path]) -> None:
    lake_objects(lake).put("mine.txt", b"mine", None)
    done = run_in_process("lake", "load", two[0], "--lake", lake)
    assert f"{lake}: is neither empty nor a lake; name another prefix" in error_line(done, 4)
    assert object_keys(lake) == {"mine.txt"}


@pytest.mark.usefixtures("_quick")
def test_a_server_that_is_not_there_is_one_line(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    words = error_line(run_in_process("lake", "check", "--lake", lake), 6)
    assert words.startswith(f"{lake}/{CATALOG}: cannot be read: ")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "nonsense", "http://"])
def test_an_endpoint_that_is_none_is_one_line(
    endpoint: str, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    words = error_line(run_in_process("lake", "check", "--lake", lake), 2)
    assert words == f"endpoint {endpoint!r}: expected http://HOST or https://HOST"


def test_without_obstore_a_bucket_says_what_is_missing(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    done = run_in_process("lake", "check", "--lake", lake)
    assert error_line(done, 2) == f"{lake}: obstore is missing; `pip install 'batonics[s3]'`"
