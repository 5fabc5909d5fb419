"""`ObjectCatalog`: a commit is one put, done once, whoever else commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from batonics.lake import object_catalog
from batonics.lake.bucket_client import BucketClient, ConflictError, ObjectVersion
from batonics.lake.catalog import CATALOG_FILE, LoadedSource, SchemaLoad
from batonics.lake.commits import append_parts, commit_load
from batonics.lake.file_catalog import FileCatalog
from batonics.lake.object_catalog import ObjectCatalog
from batonics.lake.part import Part, make_part
from batonics.lake.part_search import all_parts
from batonics.lake.part_symbols import SymbolRows
from batonics.model.errors import LakeError, OutputError

VERSION = "1"


class Witness(BucketClient):
    """Objects that count the calls, and do something once, before or after a put.

    Attributes:
        gets: how many brought the object, and how many found that it had not changed.
        puts, conflicts: how many were tried, and how many of them refused.
        before, after: called once.
    """

    def __init__(self) -> None:
        super().__init__(MemoryStore(), "memory")
        self.gets = [0, 0]
        self.puts = self.conflicts = 0
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []

    def get(self, key: str, unless: str | None = None) -> ObjectVersion | None:
        found = super().get(key, unless)
        self.gets[found is None] += 1
        return found

    def put(self, key: str, data: bytes, over: str | None) -> str | None:
        self.puts += 1
        if self.before:
            self.before.pop()()
        try:
            tag = super().put(key, data, over)
        except ConflictError:
            self.conflicts += 1
            raise
        if self.after:
            self.after.pop()()
        return tag


@pytest.fixture
def objects() -> Witness:
    made = Witness()
    assert ObjectCatalog.make(made)
    return made


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_catalog, "BACKOFF_SECONDS", 0.0005)


def part(name: str) -> Part:
    path = f"mbo/date=2025-01-01/{name}.parquet"
    return make_part(path, "mbo", "2025-01-01", [SymbolRows("A", 3, 0, 2)], digest="0", size=1)


def put(catalog: ObjectCatalog, name: str) -> bool:
    source = LoadedSource(name, f"digest of {name}", "")
    return catalog.commit(commit_load(source, [SchemaLoad("mbo", [part(name)])], VERSION))


def names(catalog: ObjectCatalog) -> list[str]:
    return [Path(held.path).stem for held in catalog.read(all_parts)]


def test_what_is_committed_is_read_by_all(objects: Witness) -> None:
    one, other = ObjectCatalog(objects), ObjectCatalog(objects)
    assert put(one, "a")
    assert names(one) == names(other) == ["a"]
    assert not put(other, "a")
    assert names(one) == ["a"]


def test_a_catalog_is_made_once(objects: Witness) -> None:
    put(ObjectCatalog(objects), "a")
    assert not ObjectCatalog.make(objects)
    assert names(ObjectCatalog(objects)) == ["a"]


def test_what_has_not_changed_is_not_fetched_again(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    put(catalog, "a")
    for _ in range(3):
        names(catalog)
    # It knows what it has put itself.
    assert objects.gets == [1, 4]
    put(ObjectCatalog(objects), "b")
    assert names(catalog) == ["a", "b"]


def test_a_commit_is_a_get_and_a_put(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    objects.gets, objects.puts = [0, 0], 0
    put(catalog, "a")
    assert (objects.gets, objects.puts) == ([0, 1], 1)


def test_the_change_is_made_again_to_what_another_has_put(objects: Witness) -> None:
    catalog, other = ObjectCatalog(objects), ObjectCatalog(objects)
    objects.before.append(lambda: put(other, "b"))
    assert put(catalog, "a")
    assert objects.conflicts == 1
    assert names(catalog) == ["b", "a"]
    # Nor is anything doubled if the other has put the same.
    objects.before.append(lambda: put(other, "c"))
    assert not put(catalog, "c")
    assert names(catalog) == ["b", "a", "c"]


def test_many_at_once_lose_and_double_nothing(objects: Witness) -> None:
    wanted = [f"{number:03}" for number in range(64)]
    with ThreadPoolExecutor(8) as threads:
        done = list(
            threads.map(lambda name: put(ObjectCatalog(objects), name), [*wanted, *wanted[:16]])
        )
    assert sorted(names(ObjectCatalog(objects))) == wanted
    assert done.count(True) == len(wanted)
    assert objects.conflicts > 0


@pytest.mark.parametrize("error", [ConflictError(), OutputError("the connection was lost")])
def test_a_commit_whose_answer_was_lost_is_done_once(objects: Witness, error: Exception) -> None:
    catalog = ObjectCatalog(objects)

    def lose() -> None:
        raise error

    objects.after.append(lose)
    added = append_parts(LoadedSource("live", None, ""), [SchemaLoad("mbo", [part("a")])], VERSION)
    catalog.commit(added)
    assert names(catalog) == ["a"]
    objects.after.append(lose)
    assert put(catalog, "b")
    assert names(catalog) == ["a", "b"]


def test_marks_do_not_grow(objects: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_catalog, "MARKS_MAX", 4)
    catalog = ObjectCatalog(objects)
    for name in "abcdefgh":
        put(catalog, name)
    assert catalog.read(lambda asked: asked.execute("SELECT count(*) FROM mark").fetchone()) == (4,)


def test_who_never_comes_first_gives_up_in_one_line(
    objects: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_catalog, "TRIES_MAX", 5)
    catalog, other = ObjectCatalog(objects), ObjectCatalog(objects)

    def come_between() -> None:
        objects.before.clear()
        put(other, str(objects.puts))
        objects.before.append(come_between)

    objects.before.append(come_between)
    with pytest.raises(OutputError, match="other loads came first 5 times; give the same command"):
        put(catalog, "a")
    assert "a" not in names(catalog)


def test_a_change_that_fails_changes_nothing(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    put(catalog, "a")

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM part")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catalog.commit(change)
    assert names(catalog) == ["a"]


def test_a_question_changes_nothing(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    with pytest.raises(LakeError, match="readonly"):
        catalog.read(lambda connection: connection.execute("DELETE FROM part"))


def test_no_lake() -> None:
    with pytest.raises(LakeError, match="memory: is not a lake; `batonics lake load` makes one"):
        ObjectCatalog(Witness())


def test_a_lake_that_goes_is_named(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    objects.before.append(lambda: objects.delete([CATALOG_FILE]))
    with pytest.raises(LakeError, match="memory: is not a lake"):
        put(catalog, "a")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not an SQLite database"),
        (b"PAR1" * 1_000, "is not an SQLite database"),
        (b"SQLite format 3\0" + bytes(4_080), "cannot be used: "),
    ],
)
def test_what_is_no_catalog_is_refused(objects: Witness, data: bytes, words: str) -> None:
    found = objects.get(CATALOG_FILE)
    assert found is not None
    objects.put(CATALOG_FILE, data, found.tag)
    with pytest.raises(LakeError, match=words):
        ObjectCatalog(objects)


def test_another_format_is_refused(objects: Witness) -> None:
    catalog = ObjectCatalog(objects)
    catalog.commit(lambda connection: connection.execute("PRAGMA user_version = 10"))
    with pytest.raises(LakeError, match="catalog of format 10, this batonics knows 9"):
        ObjectCatalog(objects)


def test_the_catalog_of_a_directory_is_refused(objects: Witness, tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    FileCatalog.make(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = objects.get(CATALOG_FILE)
    assert found is not None
    objects.put(CATALOG_FILE, path.read_bytes(), found.tag)
    with pytest.raises(LakeError, match="of a lake in a directory, not of a bucket"):
        ObjectCatalog(objects)
