"""A damaged catalog is an error that names it, or says exactly what it said before.

The rule here: whatever bytes of the catalog are others now, no row goes missing or comes twice
unsaid, and what cannot be used is one line.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from batonics.lake.lake import Lake
from batonics.lake.sql import LakeDatabase
from batonics.model.errors import LakeError
from batonics.model.mbo import Action
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load
from tests.support.sweep import sample

CATALOG = "catalog.sqlite"
SCHEMAS = ("mbo", "trades")
MUTANTS, SHARE = 300, 0.3
"""Damaged catalogs, and the share of them that CI runs."""
SEED = 20250924
PAGE = 4096
DAY_LONG_NS = 86_400_000_000_000
SQL = "SELECT symbol, date, count(*) AS n FROM mbo GROUP BY ALL ORDER BY ALL"


def write(path: Path, *, days: int, size: int = 1) -> Path:
    """Trades of three instruments."""
    at = DAY_NS + days * DAY_LONG_NS
    rows = [
        record(Action.TRADE, instrument_id=1 + number % 3, size=size, ts_recv=at + number)
        for number in range(9)
    ]
    path.write_bytes(metadata() + encode(rows))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of several days, with parts that were replaced."""
    directory = tmp_path_factory.mktemp("whole")
    lake = directory / "lake"
    for days in range(6):
        load(lake, write(directory / f"{days}.dbn", days=days), schemas=SCHEMAS)
    load(lake, write(directory / "0.dbn", days=0, size=2), schemas=SCHEMAS)
    return lake


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(whole, tmp_path / "lake")
    return tmp_path / "lake"


Answers = list[pl.DataFrame]


def answers(lake: Path) -> Answers:
    """All that a lake says of its rows: every way to ask for them."""
    opened = Lake(lake)
    late = DAY_NS + 3 * DAY_LONG_NS
    found = [opened.contents().drop("bytes"), opened.sources().select("source", "schema")]
    for schema in SCHEMAS:
        found.append(opened.scan(schema).collect())
        found.append(opened.scan(schema, symbols="AAA", start=late).collect())
        found.append(opened.scan(schema, end=late).collect())
    found.append(LakeDatabase(opened.store, opened.verifier).query(SQL).frame())
    found.append(opened.parts().drop("bytes"))
    return found


def flipped_bits(data: bytes, rng: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def flipped_in_cells(data: bytes, rng: random.Random) -> bytes:
    """A bit of what is there, and not of the room between."""
    made = bytearray(data)
    made[rng.choice([at for at, byte in enumerate(data) if byte])] ^= 1 << rng.randrange(8)
    return bytes(made)


def wrong_in_header(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(100)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def zeroed(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) // PAGE) * PAGE
    return data[:at] + bytes(PAGE) + data[at + PAGE :]


def swapped(data: bytes, rng: random.Random) -> bytes:
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    one, other = rng.sample(range(1, len(pages)), 2)
    pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


def spliced(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.randrange(1, 64)
    return data[:at] + rng.randbytes(size) + data[at + size :]


KINDS = (
    flipped_bits,
    *(flipped_in_cells,) * 3,
    wrong_in_header,
    cut,
    zeroed,
    swapped,
    spliced,
)


def asked(lake: Path) -> Answers | str:
    """What a lake says, or why it does not."""
    try:
        return answers(lake)
    except LakeError as error:
        return str(error)


@pytest.mark.sweep
@pytest.mark.parametrize("part", range(3))
def test_a_damaged_catalog_is_refused_or_says_the_same(part: int, lake: Path) -> None:
    catalog = lake / CATALOG
    data, expected = catalog.read_bytes(), answers(lake)
    numbers, refused = sample(range(MUTANTS // 3), SHARE), 0
    for number in numbers:
        rng = random.Random(f"{SEED} {part} {number}")
        for path in lake.glob(f"{CATALOG}*"):
            path.unlink()
        kind = KINDS[number % len(KINDS)]
        catalog.write_bytes(kind(data, rng))
        found, where = asked(lake), (SEED, part, number, kind.__name__)
        if isinstance(found, str):
            refused += 1
            assert "\n" not in found, where
            assert found.startswith(str(lake)), where
        else:
            same = [one.equals(other) for one, other in zip(found, expected, strict=True)]
            assert all(same), (where, same)
    print(f"seed {SEED}: {refused} of {len(numbers)} damaged catalogs refused, the rest harmless")
    assert refused > len(numbers) // 2


def newer(catalog: Path) -> None:
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("PRAGMA user_version = 99")


def emptied(catalog: Path) -> None:
    catalog.write_bytes(b"")


def text(catalog: Path) -> None:
    catalog.write_text("these are my notes\n" * 1_000)


def halved(catalog: Path) -> None:
    catalog.write_bytes(catalog.read_bytes()[: catalog.stat().st_size // 2])


def flipped(catalog: Path) -> None:
    """The digest of everything, by which each reader begins."""
    with closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as connection:
        (digest,) = connection.execute("SELECT digest FROM root").fetchone()
    data = catalog.read_bytes()
    at = data.index(digest.encode())
    catalog.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def of_a_directory(catalog: Path) -> None:
    catalog.unlink()
    catalog.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (newer, "catalog of format 99, this batonics knows 9"),
        (emptied, ""),
        (text, "file is not a database"),
        (halved, ""),
        (flipped, "damaged: "),
        (of_a_directory, ""),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("lake", "ls"),
        ("lake", "ls", "--parts"),
        ("lake", "check"),
        ("query", SQL),
        ("query", "SELECT 1", "--symbols", "AAA"),
        ("lake", "compact"),
        ("lake", "vacuum", "--older-than", "0"),
        ("lake", "load", "FILE", "--schemas", "mbo"),
    ],
)
def test_every_command_says_so_in_one_line(
    arguments: tuple[str, ...],
    damage: Callable[[Path], None],
    words: str,
    lake: Path,
    tmp_path: Path,
) -> None:
    for path in lake.glob(f"{CATALOG}-*"):
        path.unlink()
    damage(lake / CATALOG)
    file = str(write(tmp_path / "new.dbn", days=9))
    before = sorted(lake.rglob("*.parquet"))
    done = run_in_process(*(file if word == "FILE" else word for word in arguments), "--lake", lake)
    said = error_line(done, 6)
    assert said.startswith(str(lake))
    assert words in said
    assert sorted(lake.rglob("*.parquet")) == before


def test_a_lake_without_its_catalog_is_not_begun_anew(lake: Path, tmp_path: Path) -> None:
    for path in lake.glob(f"{CATALOG}*"):
        path.unlink()
    file = write(tmp_path / "new.dbn", days=9)
    said = error_line(run_in_process("lake", "load", file, "--lake", lake), 6)
    assert said.startswith(f"{lake}: has parts, but no catalog")
    assert not (lake / CATALOG).exists()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("UPDATE part SET path = replace(path, 'mbo', 'mbp')", r"the part \d+ is not the one"),
        ("UPDATE part SET digest = 'x'", r"the part \d+ is not the one"),
        ("UPDATE part SET last_symbol = 'Z'", r"the parts of mbo, 2024-\S+, are not those"),
        ("UPDATE part SET removed_ns = 1 WHERE id = 13", r"the parts of mbo, 2024-\S+, are not"),
        ("DELETE FROM day WHERE schema = 'mbo'", "the dates of mbo are not those"),
        ("UPDATE schema SET days_digest = 'x'", "its schemas are not those"),
        ("DELETE FROM schema WHERE name = 'trades'", "its schemas are not those"),
        ("DELETE FROM root", "its schemas are not those"),
    ],
)
def test_a_query_refuses_what_was_not_committed(where: str, words: str, lake: Path) -> None:
    opened = Lake(lake)
    database = LakeDatabase(opened.store, opened.verifier)
    assert database.query(SQL).frame().height == 18
    with closing(sqlite3.connect(lake / CATALOG)) as connection:
        connection.execute(where)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(LakeError, match=rf"catalog\.sqlite: damaged: {words}"):
        database.query(SQL)
    with pytest.raises(LakeError, match=r"catalog\.sqlite: damaged: "):
        Lake(lake).check()


def test_damage_that_a_query_does_not_read_does_not_stop_it(lake: Path) -> None:
    with closing(sqlite3.connect(lake / CATALOG)) as connection:
        connection.execute("UPDATE part SET digest = 'x' WHERE schema = 'trades'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened = Lake(lake)
    assert LakeDatabase(opened.store, opened.verifier).query(SQL).frame().height == 18
    with pytest.raises(LakeError, match="damaged: "):
        opened.check()
