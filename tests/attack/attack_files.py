"""Files beside those of a lake that other libraries open by their names, and caches and recordings.

The rule: a file that SQLite or deltalake would take along is refused; in a cache, an exported table
or a recording no link is followed. Nothing elsewhere is written, removed or waited for.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from obstore.store import MemoryStore

from batonics.jobs.lake_export import ExportRequest, LakeExport
from batonics.lake.bucket_client import BucketClient
from batonics.lake.bucket_store import BucketStore
from batonics.lake.catalog import CATALOG_FILE
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.live.feed_handler import FeedHandler
from batonics.live.recording import check_recording, recover
from batonics.live.recording_digests import check_and_cover_file
from batonics.model.errors import InputError
from tests.attack.attempt import Attempt
from tests.attack.ground import (
    Ground,
    add_rows,
    change_catalog,
    must_refuse,
    plant_special,
    refusals,
    run_cases,
    tree,
)
from tests.support.dbn_files import SMALL

_PAGE_BYTES, _SECTOR_BYTES = 4_096, 512
_LOCK_PAGE = (1 << 30) // _PAGE_BYTES + 1
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_STATEMENTS = (
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER t AFTER UPDATE ON part BEGIN DELETE FROM part; END",
    "ALTER TABLE source ADD COLUMN x TEXT GENERATED ALWAYS AS (hex(stat))",
    "ALTER TABLE load ADD COLUMN x TEXT CHECK (length(hex(x)) >= 0)",
    "CREATE INDEX i ON part (hex(path))",
    "CREATE TABLE t (x INTEGER CHECK (length(hex(zeroblob(x))) > 0))",
    "CREATE VIRTUAL TABLE t USING fts5(x)",
    "ALTER TABLE source RENAME TO elsewhere",
)


def run(count: int, seed: int) -> Iterator[Attempt]:
    """Try so many cases."""
    yield from run_cases(_PLANTS, count, seed)


def _journal(ground: Ground) -> str:
    """A rollback journal lies beside the catalog; it may name a file for SQLite to remove."""
    catalog = ground.lake / CATALOG_FILE
    journal = ground.lake / f"{CATALOG_FILE}-journal"
    for ending in ("-wal", "-shm"):
        if ground.rng.random() < 0.5:
            Path(f"{catalog}{ending}").unlink()
    target = ground.lake.parent / "journal"
    target.write_bytes(_journal_naming(ground.outside / "secret", catalog.stat().st_size))
    kind = ground.rng.choice(["file", "link", "dangling", "directory"])
    if kind == "file":
        target.rename(journal)
    elif kind == "directory":
        journal.mkdir()
    else:
        journal.symlink_to(target if kind == "link" else ground.outside / "nothing")
    return must_refuse(ground)


def _journal_naming(path: Path, database_bytes: int) -> bytes:
    """A journal of SQLite without pages, which belongs to a super-journal of that name."""
    name = str(path).encode()
    numbers = (0, 0, database_bytes // _PAGE_BYTES, _SECTOR_BYTES, _PAGE_BYTES)
    header = _JOURNAL_MAGIC + b"".join(number.to_bytes(4) for number in numbers)
    ending = (len(name), sum(name))
    return b"".join(
        (
            header.ljust(_SECTOR_BYTES, b"\0"),
            _LOCK_PAGE.to_bytes(4) + name,
            *(number.to_bytes(4) for number in ending),
            _JOURNAL_MAGIC,
        )
    )


def _tables(ground: Ground) -> str:
    """The catalog has tables, views, triggers or columns that are not ours."""
    try:
        change_catalog(ground, ground.rng.choice(_STATEMENTS))
    except sqlite3.OperationalError:
        return ""  # this SQLite has no such module
    return must_refuse(ground)


def _cache(ground: Ground) -> str:
    """A directory of the cache of a bucket's parts is a link, or a part in it is."""
    os.environ["BATONICS_CACHE_DIR"] = str(ground.lake.parent / "cache")
    client = BucketClient(MemoryStore(), "memory")
    add_rows(BucketStore(client, make=True), "A", "first")

    def opened() -> Lake:
        lake = Lake.__new__(Lake)
        lake.store, lake.verifier = BucketStore(client), Verifier()
        return lake

    opened().scan("trades").collect()
    part = next((ground.lake.parent / "cache" / "lakes").glob("*/*/*/*.parquet"))
    victim = ground.outside / "a directory"
    for path in (victim / "date=2025-01-01", victim / "trades" / "date=2025-01-01"):
        path.mkdir(parents=True)
        (path / "x.parquet").write_bytes(b"rows of another")
    before = tree(ground.outside)
    replaced = ground.rng.choice([part, *part.parents[:3]])
    if replaced.is_dir():
        shutil.rmtree(replaced)
    else:
        replaced.unlink()
    replaced.symlink_to(victim if replaced != part else victim / "x.parquet")
    uses: list[Callable[[], object]] = [
        lambda: opened().scan("trades").collect(),
        lambda: opened().vacuum(0),
        lambda: opened().check(),
    ]
    ground.rng.shuffle(uses)
    refusals(uses)
    del os.environ["BATONICS_CACHE_DIR"]
    changed = tree(ground.outside) != before
    for name in ("date=2025-01-01", "trades"):
        shutil.rmtree(victim / name, ignore_errors=True)
    return "a file that a link in the cache leads to has changed" if changed else ""


def _table_log(ground: Ground) -> str:
    """The log of an exported table, or a file in it, is a link."""
    table = ground.lake.parent / "tables" / "trades"
    export = LakeExport(ExportRequest(str(ground.lake), str(table.parent)))
    list(export.run())
    add_rows(DirectoryStore(ground.lake), "B", "second")
    log, elsewhere = table / "_delta_log", ground.lake.parent / "elsewhere"
    if ground.rng.random() < 0.5:
        log.rename(elsewhere)
        log.symlink_to(elsewhere)
    else:
        elsewhere.mkdir()
        name = ground.rng.choice(["_last_checkpoint", f"{1:020}.json", "x"])
        (log / name).symlink_to(elsewhere / "made")
    before = tree(elsewhere)
    lines = refusals([lambda: list(export.run())])
    if tree(elsewhere) != before:
        return "a file that a link in the table leads to has changed"
    return "" if lines else "nothing was refused"


def _recording(ground: Ground) -> str:
    """A file of a recording is a link, a pipe, a device or a directory."""
    recording = ground.lake.parent / "recording"
    recording.mkdir()
    file = recording / "feed-000001-000.dbn"
    file.write_bytes(SMALL)
    check_and_cover_file(file)
    file.write_bytes(SMALL + SMALL[-56:])
    name = ground.rng.choice([file.name, f"{file.name}.sha256", "checkpoint.bin", "part"])
    planted = recording / (f"{file.name}.sha256.part" if name == "part" else name)
    planted.unlink(missing_ok=True)
    plant_special(ground, planted, ground.outside / "secret")
    uses: list[Callable[[], object]] = [
        lambda: recover(FeedHandler(), recording),
        lambda: _check_recording(recording),
    ]
    return "" if len(refusals(uses)) == len(uses) or name == "part" else "something was not refused"


def _check_recording(recording: Path) -> None:
    for found in check_recording(recording):
        if found.damage is not None:
            raise InputError(found.damage)


_PLANTS: dict[str, Callable[[Ground], str]] = {
    plant.__name__.strip("_").replace("_", " "): plant
    for plant in (_journal, _tables, _cache, _recording, _table_log)
}
