"""What a catalog holds after any changes: what was committed, once, in its order.

The rule here: the model is a dict; a lake must hold what it says, whatever came before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from batonics.jobs.lake_compact import compact_lake
from batonics.lake.catalog import (
    LoadedSource,
    SchemaLoad,
    Transaction,
    find_removed_parts,
    find_source_by_digest,
    find_source_by_name,
    known_paths,
    may_have_source,
)
from batonics.lake.catalog_tree import make_row_digest, read_schemas, update_tree
from batonics.lake.commits import (
    Replacement,
    append_parts,
    commit_load,
    forget_parts,
    replace_parts,
)
from batonics.lake.file_catalog import FileCatalog
from batonics.lake.lake import Lake
from batonics.lake.part import Part, make_part
from batonics.lake.part_paths import part_directory
from batonics.lake.part_search import (
    RowFilter,
    all_parts,
    find_parts,
    find_time_span,
    loaded_symbols,
)
from batonics.lake.part_symbols import PartSymbols, SymbolRows
from batonics.model.errors import LakeError
from batonics.model.mbo import Action
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load, many_parts, parquet_files, sort_by_part

VERSION = "1"
LATER = 2**62


@pytest.fixture
def held(tmp_path: Path) -> FileCatalog:
    FileCatalog.make(tmp_path / "catalog.sqlite")
    return FileCatalog(tmp_path / "catalog.sqlite")


def path(name: str, *, schema: str = "mbo") -> str:
    """The path of a part of that name."""
    return f"{part_directory(schema, '2024-10-04')}/{name}.parquet"


def part(name: str, *, schema: str = "mbo", symbol: str | None = "A", at: int = 0) -> Part:
    """A part of ten rows from `at` on."""
    return make_part(
        path(name, schema=schema),
        schema,
        "2024-10-04",
        [SymbolRows(symbol, 10, at, at + 9)],
        digest=f"digest of {name}",
        size=100,
    )


def loaded(*names: str, schema: str = "mbo") -> SchemaLoad:
    return SchemaLoad(schema, [part(name, schema=schema) for name in names])


def names_of(paths: Iterable[str]) -> list[str]:
    """The names of parts, without directories and endings."""
    return [Path(path).stem for path in paths]


def source(name: str, digest: str | None = None) -> LoadedSource:
    return LoadedSource(name, digest, f"stat of {digest}")


def paths(held: FileCatalog, schema: str | None = None) -> list[str]:
    """Of live parts, in the order in which they are read."""
    change = all_parts if schema is None else find_parts(schema)
    return names_of(found.path for found in held.read(change))


def put(held: FileCatalog, name: str, digest: str, *loads: SchemaLoad, again: bool = False) -> bool:
    return held.commit(commit_load(source(name, digest), loads, VERSION, again=again))


def replaced(name: str, *olds: str) -> Transaction[list[bool]]:
    """Put a part in the place of others."""
    return replace_parts([Replacement([path(old) for old in olds], part(name))])


def removed(held: FileCatalog) -> list[str]:
    return names_of(held.read(find_removed_parts(LATER)))


# ---------------------------------------------------------------------- loads


def test_a_part_comes_back_as_it_was_put_in(held: FileCatalog) -> None:
    bare = make_part(
        f"{part_directory('mbo', None)}/x.parquet",
        "mbo",
        None,
        [SymbolRows(None, 10, None, None)],
        digest="x",
        size=2**40,
    )
    assert put(held, "a", "1", SchemaLoad("mbo", [bare, part("y")]))
    assert held.read(all_parts) == [bare, part("y")]
    assert held.read(read_schemas) == ["mbo"]


def test_the_same_bytes_are_put_in_once_whatever_they_are_called(held: FileCatalog) -> None:
    assert put(held, "a", "1", loaded("p"))
    assert not put(held, "a", "1", loaded("q"))
    assert not put(held, "b", "1", loaded("r"))
    assert paths(held) == ["p"]
    assert removed(held) == []
    known = held.read(lambda connection: find_source_by_digest(connection, "1"))
    assert known is not None
    assert known.source == source("a", "1")
    assert held.read(lambda connection: find_source_by_name(connection, "b")) is None


def test_a_file_of_another_size_and_name_cannot_be_known(held: FileCatalog) -> None:
    held.commit(commit_load(LoadedSource("a", "1", "120 7 7 7\n90 1 1 1"), [loaded("x")], VERSION))
    for name, stat, expected in (
        ("a", "5 1 1 1", True),
        ("b", "120 9 9 9\n90 2 2 2", True),
        ("b", "12 9 9 9", False),
        ("b", "1200 9 9 9", False),
        ("b", "90 1 1 1", False),
    ):
        assert held.read(may_have_source(name, stat)) is expected, (name, stat)


def test_only_schemas_that_are_new_are_taken(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"))
    assert put(held, "b", "1", loaded("q"), loaded("t", schema="trades"))
    assert paths(held) == ["p", "t"]
    known = held.read(lambda connection: find_source_by_name(connection, "a"))
    assert known is not None
    assert known.schemas == {"mbo": "", "trades": ""}


def test_again_replaces_what_was_made_of_the_same_bytes_and_no_other_schema(
    held: FileCatalog,
) -> None:
    put(held, "a", "1", loaded("p"), loaded("t", schema="trades"))
    assert put(held, "b", "1", loaded("q"), again=True)
    assert paths(held) == ["q", "t"]
    assert removed(held) == ["p"]


def test_other_bytes_of_a_name_replace_all_that_it_had(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"), loaded("t", schema="trades"))
    put(held, "c", "3", loaded("s"))
    assert put(held, "a", "2", loaded("q"))
    assert paths(held) == ["s", "q"]
    assert sorted(removed(held)) == ["p", "t"]
    assert held.read(lambda connection: find_source_by_digest(connection, "1")) is None


def test_a_name_that_gets_anothers_bytes_has_nothing_of_its_own(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"))
    put(held, "b", "2", loaded("q"))
    assert not put(held, "a", "2")
    assert paths(held) == ["q"]
    assert held.read(lambda connection: find_source_by_name(connection, "a")) is None


def test_a_load_without_rows_is_a_load(held: FileCatalog) -> None:
    assert put(held, "a", "1", loaded(schema="trades"))
    assert not put(held, "a", "1", loaded("t", schema="trades"))
    assert paths(held) == []
    assert held.read(read_schemas) == ["trades"]


def test_what_is_known_of_a_file_that_was_only_touched_is_new(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"))
    held.commit(commit_load(LoadedSource("a", "1", "touched"), [], VERSION))
    known = held.read(lambda connection: find_source_by_name(connection, "a"))
    assert known is not None
    assert known.source.stat == "touched"
    assert paths(held) == ["p"]


def test_a_change_that_fails_leaves_everything_as_it_was(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"))
    with pytest.raises(LakeError, match=r"catalog\.sqlite: cannot be used: UNIQUE"):
        put(held, "a", "2", loaded("q", "q"))
    assert paths(held) == ["p"]
    assert removed(held) == []

    def stop(connection: sqlite3.Connection) -> None:
        commit_load(source("a", "2"), [loaded("q")], VERSION)(connection)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held.commit(stop)
    assert paths(held) == ["p"]


def test_rows_that_are_wanted_choose_the_parts(held: FileCatalog) -> None:
    made = [part(f"{symbol}{at}", symbol=symbol, at=at) for symbol in "AB" for at in (0, 10, 20)]
    no_time = make_part(
        f"{part_directory('mbo', None)}/none.parquet",
        "mbo",
        None,
        [SymbolRows("A", 10, None, None)],
        digest="none",
        size=1,
    )
    put(held, "a", "1", SchemaLoad("mbo", [*made, no_time]))

    def chosen(*symbols: str, start_ns: int | None = None, end_ns: int | None = None) -> str:
        wanted = RowFilter(symbols, start_ns, end_ns)
        return " ".join(names_of(found.path for found in held.read(find_parts("mbo", wanted))))

    assert chosen() == "none A0 A10 A20 B0 B10 B20"
    assert chosen("B") == "B0 B10 B20"
    assert chosen("A", "B", "C", start_ns=19) == "A10 A20 B10 B20"
    assert chosen("A", end_ns=10) == "A0"
    assert chosen("A", end_ns=11) == "A0 A10"
    assert chosen("A", start_ns=9, end_ns=10) == "A0"
    assert chosen("A", start_ns=30) == ""
    assert chosen("A", start_ns=2**64 - 2) == ""
    assert chosen("A", end_ns=2**64 - 2) == "A0 A10 A20"
    assert chosen("'; DROP TABLE part") == ""


def test_the_list_of_a_parts_symbols_decides(held: FileCatalog) -> None:
    rows = [
        SymbolRows(None, 1, 0, 0),
        SymbolRows("A", 2, 1, 2, ("A.c.0",)),
        SymbolRows("C", 3, 5, 9),
    ]
    shared = make_part(path("p"), "mbo", "2024-10-04", rows, digest="p", size=1)
    put(held, "a", "1", SchemaLoad("mbo", [shared]))

    def found(*wanted: Any) -> bool:
        return bool(held.read(find_parts("mbo", RowFilter(*wanted))))

    assert found(())
    assert found(("A",))
    assert found(("A.c.0",))
    assert found(("C",), 9)
    assert not found(("B",))
    assert not found(("",))
    assert not found(("A",), 3)
    assert not found(("C",), None, 5)
    assert held.read(find_time_span(RowFilter(("A.c.0", "C"), 2))) == (1, 9)
    assert held.read(find_time_span(RowFilter())) == (0, 9)
    assert held.read(loaded_symbols) == ["A", "A.c.0", "C"]


@pytest.mark.parametrize("change", ["cut", "flip", "other", "empty", "rows"])
def test_a_list_of_symbols_that_is_not_the_parts_is_an_error(
    change: str, held: FileCatalog
) -> None:
    good = part("p")
    data = bytearray(good.symbols)
    if change == "flip":
        data[len(data) // 2] ^= 4
    changed = {
        "cut": good.symbols[:-1],
        "flip": bytes(data),
        "other": part("p", symbol="B").symbols,
        "empty": b"",
        "rows": PartSymbols.of([SymbolRows("A", 11, 0, 9)]).encode(),
    }
    put(held, "a", "1", SchemaLoad("mbo", [good]))
    bad = good._replace(symbols=changed[change])

    def damage(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE part SET symbols = ?", [bad.symbols])

    def fake(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE part SET row_digest = ?", [make_row_digest(bad)])
        update_tree(connection, [good], [good])

    held.commit(damage)
    with pytest.raises(LakeError, match=r"catalog\.sqlite: damaged: the part 1 is not the one"):
        held.read(find_parts("mbo", RowFilter(("A",))))
    held.commit(fake)
    with pytest.raises(LakeError, match=r"catalog\.sqlite: damaged: the symbols of mbo/"):
        held.read(find_parts("mbo", RowFilter(("A",))))


# ---------------------------------------------------------------------- feeds, compaction, vacuum


def test_a_feed_adds_to_what_it_has(held: FileCatalog) -> None:
    for name in ("p", "q"):
        held.commit(append_parts(source("feed"), [loaded(name)], VERSION))
    held.commit(append_parts(source("other"), [loaded("s")], VERSION))
    held.commit(append_parts(source("feed"), [loaded("t", schema="trades")], VERSION))
    assert paths(held) == ["p", "q", "s", "t"]
    rows = held.read(
        lambda connection: connection.execute("SELECT rows FROM load ORDER BY id").fetchall()
    )
    assert rows == [(20,), (10,), (10,)]


def test_parts_are_replaced_all_or_not_at_all(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p", "q", "r"))
    assert held.commit(replaced("s", "p", "gone")) == [False]
    assert paths(held) == ["p", "q", "r"]
    assert held.commit(replaced("s", "p", "q")) == [True]
    assert held.commit(replaced("t", "p", "q")) == [False]
    assert sorted(paths(held)) == ["r", "s"]
    assert sorted(removed(held)) == ["p", "q"]
    # What was put together is still of its load.
    assert put(held, "a", "2", loaded("u"))
    assert paths(held) == ["u"]


def test_what_is_put_together_stands_where_it_stood_among_loads(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p", "q"))
    put(held, "b", "2", loaded("r"))
    held.commit(replaced("s", "p", "q"))
    assert paths(held) == paths(held, "mbo") == ["s", "r"]


def test_what_is_put_together_stands_where_it_stood_in_its_load(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p", "q", "r"))
    held.commit(replaced("s", "p", "q"))
    assert paths(held) == paths(held, "mbo") == ["s", "r"]


def test_what_a_feed_adds_meanwhile_stays_behind(held: FileCatalog) -> None:
    held.commit(append_parts(source("feed"), [loaded("p", "q")], VERSION))
    held.commit(append_parts(source("other"), [loaded("x")], VERSION))
    held.commit(append_parts(source("feed"), [loaded("r")], VERSION))
    held.commit(replaced("s", "p", "q"))
    held.commit(append_parts(source("feed"), [loaded("t")], VERSION))
    found = paths(held)
    assert [name for name in found if name != "x"] == ["s", "r", "t"]


def test_only_what_was_taken_out_is_forgotten(held: FileCatalog) -> None:
    put(held, "a", "1", loaded("p"))
    put(held, "a", "2", loaded("q"))
    assert held.read(known_paths) == {path("p"), path("q")}
    assert held.read(find_removed_parts(0)) == []
    held.commit(forget_parts([path("p"), path("q"), path("x")]))
    assert held.read(known_paths) == {path("q")}
    assert paths(held) == ["q"]
    assert removed(held) == []


@pytest.mark.parametrize(
    ("version", "remedy"), [(10, "read it with a newer one"), (1, "load its files anew")]
)
def test_another_format_is_refused(
    version: int, remedy: str, held: FileCatalog, tmp_path: Path
) -> None:
    held.commit(
        lambda connection: connection.execute(f"PRAGMA user_version = {version}").fetchall()
    )
    said = f"catalog of format {version}, this batonics knows 9: {remedy}"
    with pytest.raises(LakeError, match=said):
        FileCatalog(tmp_path / "catalog.sqlite")


def test_what_is_no_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, " * 100)
    with pytest.raises(LakeError, match="cannot be used: file is not a database"):
        FileCatalog(tmp_path / "text")


# ---------------------------------------------------------------------- any history


NAMES, CONTENTS = ("a", "b", "c"), (1, 2, 3)
SCHEMAS = ("mbo", "trades")


def content(number: int) -> bytes:
    """A file of two symbols and two days, told by its sizes."""
    rows = [
        record(
            Action.TRADE,
            instrument_id=1 + at // 2 % 2,
            size=number,
            price=at + 1,
            ts_recv=DAY_NS + at // 6 * 86_400_000_000_000 + at,
        )
        for at in range(12)
    ]
    return metadata() + encode(rows)


class AnyHistory(RuleBasedStateMachine):
    """Loads and upkeep of a lake, beside a dict: by file, its content and the schemas of it."""

    @initialize()
    def begin(self) -> None:
        self.directory = TemporaryDirectory()
        self.root = Path(self.directory.name)
        self.lake = self.root / "lake"
        self.disk: dict[str, int] = {}
        self.held: dict[str, tuple[int, set[str]]] = {}
        self.write("a", 1)
        self.load(["a"], ["trades"], again=False, in_twos=True)

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            self.directory.cleanup()

    @rule(name=st.sampled_from(NAMES), number=st.sampled_from(CONTENTS))
    def write(self, name: str, number: int) -> None:
        # Another name in between: a file of the same inode and time would be the same.
        other = self.root / "new"
        other.write_bytes(content(number))
        other.replace(self.root / name)
        self.disk[name] = number

    @rule(
        names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        schemas=st.lists(st.sampled_from(SCHEMAS), min_size=1, max_size=2),
        again=st.booleans(),
        in_twos=st.booleans(),
    )
    def load(self, names: list[str], schemas: list[str], *, again: bool, in_twos: bool) -> None:
        there = [name for name in names if name in self.disk]
        if not there:
            return
        files = [self.root / name for name in there]
        if in_twos:
            with many_parts():
                load(self.lake, *files, schemas=schemas, again=again)
        else:
            load(self.lake, *files, schemas=schemas, again=again)
        for name in there:
            self.model_load(name, set(schemas))

    def model_load(self, name: str, schemas: set[str]) -> None:
        number = self.disk[name]
        before = self.held.get(name)
        if before is not None and before[0] != number:
            schemas |= before[1]
            del self.held[name]
        holder = next((other for other, (has, _) in self.held.items() if has == number), None)
        if holder is None:
            self.held[name] = number, schemas
        else:
            self.held[holder][1].update(schemas)

    @rule()
    def compact(self) -> None:
        rows = [Lake(self.lake).scan(schema).collect() for schema in Lake(self.lake).schemas()]
        before, after = compact_lake(self.lake)
        assert before >= 2 * after
        assert compact_lake(self.lake) == (0, 0)
        again = [Lake(self.lake).scan(schema).collect() for schema in Lake(self.lake).schemas()]
        for one, other in zip(rows, again, strict=True):
            assert sort_by_part(one).equals(sort_by_part(other))

    @rule(seconds=st.sampled_from([0.0, 3_600.0]))
    def vacuum(self, seconds: float) -> None:
        lake = Lake(self.lake)
        lake.vacuum(seconds)
        if not seconds:
            assert parquet_files(self.lake) == set(lake.parts()["path"])

    @invariant()
    def it_holds_what_the_dict_says(self) -> None:
        lake = Lake(self.lake)
        assert lake.check() == []
        for schema in SCHEMAS:
            expected = sorted(
                number for number, made in self.held.values() if schema in made for _ in range(12)
            )
            if schema in lake.schemas():
                found = lake.scan(schema).collect()
                assert sorted(found["size"].to_list()) == expected
                of_one = found.group_by("date", "symbol", "size", maintain_order=True)
                assert all(rows["price"].is_sorted() for _, rows in of_one)
            else:
                assert expected == []


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
