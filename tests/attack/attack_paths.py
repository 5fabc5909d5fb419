"""Names that are no path of a part, wherever a lake may get them from.

The rule: whatever a catalog, a moves file, a listing, a bucket or a symbol names, nothing outside
of the lake is written, read or removed; nothing is waited for; each refusal is one line; and a lake
that only had such names lying about loads and vacuums as before.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from obstore.store import MemoryStore

from batonics.jobs.lake_export import ExportRequest, LakeExport
from batonics.lake.bucket_client import BucketClient, ConflictError
from batonics.lake.bucket_store import BucketStore
from batonics.lake.catalog import CATALOG_FILE
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.model.errors import BatonicsError
from tests.attack.attempt import Attempt
from tests.attack.ground import (
    Ground,
    add_rows,
    change_catalog,
    must_refuse,
    must_work,
    plant_special,
    refusals,
    run_cases,
    tree,
)
from tests.support.lakes import rewrite_digests

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
ID = "0123456789abcdef"


def run(count: int, seed: int) -> Iterator[Attempt]:
    """Try so many cases, each at one of the places where a lake gets names from."""
    yield from run_cases(_PLANTS, count, seed)


# ---------------------------------------------------------------------- where names come from


def _moves(ground: Ground) -> str:
    """A killed load has left names that are none."""
    staging = ground.loading / ID
    staging.mkdir()
    lines = "\n".join(_hostile_text(ground) for _ in range(3))
    (staging / "moves").write_bytes(lines.encode(errors="surrogateescape"))
    return must_work(ground)


def _catalog(ground: Ground) -> str:
    """The catalog names a live part by a hostile path."""
    change_catalog(ground, "UPDATE part SET path = ?", _hostile_text(ground))
    return must_refuse(ground)


def _catalog_columns(ground: Ground) -> str:
    """The path of a part is that of another schema or date, or its symbols are another part's."""
    column = ground.rng.choice(["schema", "date", "first_symbol", "last_symbol", "aliases"])
    change_catalog(ground, f"UPDATE part SET {column} = ?", _hostile_text(ground))
    return must_refuse(ground)


def _catalog_schema(ground: Ground) -> str:
    """A load has a schema whose name is a path."""
    change_catalog(ground, "UPDATE load SET schema = ?", _hostile_text(ground))
    return must_refuse(ground)


def _removed(ground: Ground) -> str:
    """The catalog names a replaced part, which a vacuum removes, by a hostile path."""
    insert = (
        "INSERT INTO part (path, schema, digest, bytes, rows, aliases, symbols, row_digest,"
        " removed_ns) VALUES (?, 'trades', '0', 1, 1, '[]', x'', 0, 1)"
    )
    change_catalog(ground, insert, _hostile_text(ground))
    return must_work(ground)


def _listing(ground: Ground) -> str:
    """A directory of the lake is a link to another one, in which a vacuum would find orphans."""
    directory = ground.outside / "a directory"
    link = ground.part.parent
    link = ground.rng.choice([link.with_name("date=2025-01-02"), link.parent.with_name("mbp-1")])
    if not link.name.startswith("date"):
        (directory / "date=2025-01-02").symlink_to(directory)
    before = tree(ground.outside)
    link.symlink_to(directory)
    wrong = must_work(ground)
    with suppress(FileNotFoundError):
        link.unlink()
    changed = "" if tree(ground.outside) == before else "a file of a linked directory has changed"
    (directory / "date=2025-01-02").unlink(missing_ok=True)
    return wrong or changed


def _part_file(ground: Ground) -> str:
    """A part is a link to a file with its bytes, a pipe, a device or a directory."""
    part = ground.part
    copy = ground.outside.parent / "copy"
    part.rename(copy)
    plant_special(ground, part, copy)
    return must_refuse(ground)


def _part_directory(ground: Ground) -> str:
    """A directory of the lake is a link to a copy of itself."""
    directory = ground.rng.choice(list(ground.part.parents)[:2])
    moved = ground.outside.parent / "moved"
    directory.rename(moved)
    directory.symlink_to(moved)
    return must_refuse(ground)


def _lock(ground: Ground) -> str:
    """The lock of the lake is a link, a pipe, a device or a directory."""
    lock = ground.loading / "lock"
    lock.unlink()
    plant_special(ground, lock, ground.outside / "secret")
    return must_refuse(ground)


def _staging(ground: Ground) -> str:
    """What a killed load has left is a link, or has links, pipes or devices in it."""
    staging = ground.loading / ID
    name = ground.rng.choice(["", "lock", "moves", "trades-0000.parquet"])
    if name:
        staging.mkdir()
    target = ground.outside / (ground.rng.choice(["secret", "a directory", "nothing"]))
    plant_special(ground, staging / name if name else staging, target)
    return must_work(ground)


def _loading(ground: Ground) -> str:
    """The directory of staging areas is a link to a directory with directories."""
    shutil.rmtree(ground.loading)
    ground.loading.symlink_to(ground.outside)
    return must_refuse(ground)


def _catalog_file(ground: Ground) -> str:
    """The catalog or its log is a link, a pipe or a device."""
    file = ground.lake / ground.rng.choice([CATALOG_FILE, f"{CATALOG_FILE}-wal"])
    copy = ground.outside.parent / "copy"
    file.rename(copy)
    plant_special(ground, file, copy)
    return must_refuse(ground)


def _new_catalog(ground: Ground) -> str:
    """A lake is made in a directory whose catalog is a link to a name outside."""
    shutil.rmtree(ground.lake)
    ground.loading.mkdir(parents=True)
    (ground.lake / CATALOG_FILE).symlink_to(ground.outside / "made")
    return must_refuse(ground)


def _table_lock(ground: Ground) -> str:
    """The lock of an exported table is a link, a pipe or a device; or has other bytes."""
    table = ground.lake.parent / "tables" / "trades"
    list(LakeExport(ExportRequest(str(ground.lake), str(table.parent))).run())
    lock = table / ".batonics-export"
    lock.unlink()
    if ground.rng.random() < 0.3:
        lock.write_bytes(ground.rng.choice([b"\xff\xfe a secret", b"*", b"/../../../../*"]))
        before = lock.read_bytes()
        add_rows(DirectoryStore(ground.lake), "B", "second")
        refusals(
            [lambda: list(LakeExport(ExportRequest(str(ground.lake), str(table.parent))).run())]
        )
        return "" if lock.read_bytes() == before else "a file that was no lock was truncated"
    plant_special(ground, lock, ground.outside / "secret")
    add_rows(DirectoryStore(ground.lake), "B", "second")
    export = ExportRequest(str(ground.lake), str(table.parent))
    lines = refusals([lambda: list(LakeExport(export).run())])
    return "" if lines else "nothing was refused"


def _symbol(ground: Ground) -> str:
    """A symbol that no path can hold as it is comes back from every reader."""
    symbol = ground.rng.choice([_hostile_text, _odd_symbol])(ground).replace("\x00", "")
    store = DirectoryStore(ground.lake)
    add_rows(store, symbol, "odd")
    lake = Lake(ground.lake)
    readers = {
        "scan": lake.scan("trades").collect()["symbol"].to_list(),
        "one symbol": [*lake.scan("trades", symbols=[symbol]).collect()["symbol"], "A"]
        if symbol and symbol == symbol.strip() and "," not in symbol
        else [symbol, "A"],
        "parts": lake.parts()["first_symbol"].to_list(),
    }
    if ground.rng.random() < 0.2:
        readers["sql"] = lake.sql("SELECT symbol FROM trades")["symbol"].to_list()
    wrong = [name for name, found in readers.items() if sorted(found) != sorted(["A", symbol])]
    lines = refusals([lake.check, lambda: lake.vacuum(0)])
    return "; ".join([*lines, *(f"{name} has {readers[name]}" for name in wrong)])


def _bucket(ground: Ground) -> str:
    """The catalog of a bucket that is not ours names objects by hostile keys."""
    client = BucketClient(MemoryStore(), "memory")
    os.environ["BATONICS_CACHE_DIR"] = str(ground.lake.parent / "cache" / "deep" / "er")
    add_rows(BucketStore(client, make=True), "A", "first")
    text = _hostile_text(ground)
    found = client.get(CATALOG_FILE)
    assert found is not None
    column = ground.rng.choice(["path", "schema", "date", "last_symbol", "removed"])
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(found.data)
        change = "path = ?, removed_ns = 1" if column == "removed" else f"{column} = ?"
        connection.execute(f"UPDATE part SET {change}", [text])
        rewrite_digests(connection)
        connection.commit()
        client.put(CATALOG_FILE, connection.serialize(), found.tag)
    with suppress(BatonicsError, ConflictError, ValueError):  # a key that is refused, or taken
        client.put(text, b"the bytes of the owner of the bucket", None)

    def opened() -> Lake:
        lake = Lake.__new__(Lake)
        lake.store, lake.verifier = BucketStore(client), Verifier()
        return lake

    uses: list[Callable[[], object]] = [
        lambda: opened().scan("trades").collect(),
        lambda: opened().check(),
        lambda: opened().vacuum(0),
    ]
    lines = refusals(uses)
    cache = Path(os.environ.pop("BATONICS_CACHE_DIR"))
    made = [path for path in ground.lake.parent.rglob("*") if path.is_file()]
    strays = [path for path in made if b"owner of the bucket" in path.read_bytes()]
    if strays:
        return f"the bucket's bytes are in {strays}"
    beside = {path.name for path in ground.lake.parent.iterdir()} - {"lake", "outside", "cache"}
    if beside or not all(path.is_relative_to(cache) for path in made if "cache" in path.parts):
        return f"there are files beside the cache: {beside}"
    return "" if lines or column == "removed" else "nothing was refused"


_PLANTS: dict[str, Callable[[Ground], str]] = {
    plant.__name__.strip("_").replace("_", " "): plant
    for plant in (
        _moves,
        _catalog,
        _removed,
        _bucket,
        _part_file,
        _symbol,
        _listing,
        _staging,
        _catalog_columns,
        _lock,
        _part_directory,
        _loading,
        _catalog_file,
        _catalog_schema,
        _new_catalog,
        _table_lock,
    )
}


# ---------------------------------------------------------------------- what is planted


def _hostile_text(ground: Ground) -> str:
    """A text that is no path of a part, or of no part of this lake.

    Absolute ones are below the case's own directory: a breach must not cost more than that.
    """
    rng, outside = ground.rng, ground.outside
    real = ground.part.relative_to(ground.lake).as_posix() if ground.lake.is_dir() else "x"
    schema, date, name = real.split("/")
    made = [
        f"{outside}/secret",
        "../outside/secret",
        f"{schema}/../../outside/secret",
        f"{schema}/date=../../../outside/secret",
        f"{schema}/date=%2e%2e/{name}",
        f"{schema}/{date}/symbol=A/{name}",
        f"{schema}/{'x' * rng.choice([249, 300, 5_000])}/{name}",
        f"{schema}/{date}/{'y' * 300}.parquet",
        f"{schema}/{date}/..",
        f"{schema}/{date}/a\x00b.parquet",
        f"{schema}/{date}/a\nb.parquet",
        f"{schema}/{date}/.parquet",
        f"{schema}/{date}/.hidden.parquet",
        f"{schema}/date={HIVE_NULL}x/{name}",
        f"{schema}/date=2025-13-01/{name}",
        f"{schema}//{date}/{name}",
        f"/{real}",
        f"{real}/",
        f"./{real}",
        f"{schema}\\{date}\\{name}",
        CATALOG_FILE,
        ".loading/lock",
        "..",
        "",
        "~/secret",
        f"file://{outside}/secret",
        f"{outside}/a directory/x.parquet",
        "s3://elsewhere/x",
    ]
    text = rng.choice(made)
    if rng.random() < 0.3:
        at = rng.randrange(len(real))
        cut = rng.choice(["/", "..", "../", "\x00", "%", "=", " ", "\u202e", "é", "\r", "'"])
        text = real[:at] + cut + real[at + rng.randrange(3) :]
    return f"{real}/" if text == real else text


def _odd_symbol(ground: Ground) -> str:
    rng = ground.rng
    return rng.choice(
        [
            HIVE_NULL,
            "NULL",
            "null",
            "..",
            ".",
            "/",
            "漢" * rng.choice([27, 28, 100]),
            "x" * rng.choice([247, 248, 249, 1_000]),
            "é" * 200 + "a",
            f"x~{'0' * 32}",
            "a'b\"c",
            "*?[x]{y}$HOME",
            "a\nb",
            "%2F",
            "\u202ea",
        ]
    )
