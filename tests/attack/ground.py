"""A lake for attacks on its paths and files, and what a user does with it.

The rule here: nothing outside of the lake may change, nothing is waited for, and each refusal is
one line; whatever else happens is a breach of its case.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from batonics.frames.schemas.table import find_schema
from batonics.jobs.lake_export import ExportRequest, LakeExport
from batonics.lake.catalog import CATALOG_FILE, LoadedSource, SchemaLoad
from batonics.lake.commits import append_parts
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.lake.parts import PartsWriter
from batonics.lake.storage import Store
from batonics.model.errors import BatonicsError
from tests.attack.attempt import Attempt
from tests.support.lakes import rewrite_digests
from tests.support.part_rows import part_rows

SECONDS_MAX = 10
EXPORTS = 0.15
"""Share of the cases in which the lake is exported too, which takes as long as all the rest."""


class Ground(NamedTuple):
    """Where a case happens.

    Attributes:
        lake: a lake's directory.
        outside: a directory beside it, in which nothing may change.
        rng: the case's random choices.
    """

    lake: Path
    outside: Path
    rng: random.Random

    @property
    def part(self) -> Path:
        """The lake's part."""
        return next(self.lake.glob("*/date=*/*.parquet"))

    @property
    def loading(self) -> Path:
        """The directory of staging areas."""
        return self.lake / ".loading"


Plant = Callable[[Ground], str]
"""Plants something in a lake and uses the lake; what went wrong, empty: nothing."""


def run_cases(plants: Mapping[str, Plant], count: int, seed: int) -> Iterator[Attempt]:
    """Try so many cases, each a plant in a lake of its own."""
    kinds = list(plants)
    with TemporaryDirectory(prefix="attack-lakes-") as text:
        template = Path(text, "template")
        (template / "outside" / "a directory").mkdir(parents=True)
        (template / "outside" / "secret").write_text("a secret")
        (template / "outside" / "a directory" / "x.parquet").write_bytes(b"rows of another")
        add_rows(DirectoryStore(template / "lake", make=True), "A", "first")
        for number in range(count):
            kind = kinds[number % len(kinds)]
            rng = random.Random(f"{seed} {number}")
            with TemporaryDirectory(prefix="case-", dir=text) as case:
                shutil.copytree(template, case, dirs_exist_ok=True)
                ground = Ground(Path(case, "lake"), Path(case, "outside"), rng)
                yield Attempt(f"seed {seed}, case {number}, {kind}", _breach(plants[kind], ground))


def _breach(plant: Plant, ground: Ground) -> str:
    """What went wrong in a case; empty: nothing."""
    before = tree(ground.outside)
    try:
        with _time_limit():
            wrong = plant(ground)
    except _TooLongError:
        return f"took over {SECONDS_MAX} s"
    except Exception as error:  # noqa: BLE001 - whatever is no refusal is a breach
        return f"{type(error).__name__}: {error}"
    if tree(ground.outside) != before:
        return "something outside of the lake has changed"
    return wrong


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    """All names below a directory, with their modes and bytes."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
    }


# ---------------------------------------------------------------------- what a user does


def use_lake(ground: Ground) -> list[str]:
    """Use a lake in all ways; return the lines of those that were refused."""
    lake, made = ground.lake, ground.lake.parent / "tables"
    uses: list[Callable[[], object]] = [
        lambda: Lake(lake).scan("trades").collect(),
        lambda: Lake(lake).check(),
        lambda: Lake(lake).vacuum(0),
        lambda: add_rows(DirectoryStore(lake, make=True), "B", "second"),
    ]
    if ground.rng.random() < EXPORTS:
        uses.append(lambda: list(LakeExport(ExportRequest(str(lake), str(made))).run()))
    return refusals(uses)


def refusals(uses: list[Callable[[], object]]) -> list[str]:
    """The lines of those uses that were refused."""
    lines = []
    for use in uses:
        try:
            use()
        except BatonicsError as error:
            lines.append(str(error))
            if len(str(error).splitlines()) != 1:
                raise AssertionError(f"not one line: {error}") from None
    return lines


def must_work(ground: Ground) -> str:
    """What of a lake does not work, though nothing of it was damaged."""
    return "; ".join(use_lake(ground)) or _wrong_rows(ground.lake)


def _wrong_rows(lake: Path) -> str:
    found = sorted(Lake(lake).scan("trades").collect()["symbol"].to_list())
    return "" if found == ["A", "B"] else f"the rows are {found}"


def must_refuse(ground: Ground) -> str:
    """What is wrong with the refusal of a lake that is not as batonics has written it."""
    lines = use_lake(ground)
    return "" if lines else "nothing was refused"


def add_rows(store: Store, symbol: str, source: str) -> None:
    """Commit a row of a symbol to a lake."""
    with store.stage() as staging:
        writer = PartsWriter(find_schema("trades"), staging.directory, staging.id)
        writer.write(part_rows("trades", symbol))
        writer.close()
        staging.publish([(path, part.path) for path, part in writer.written])
        load = SchemaLoad("trades", [part for _, part in writer.written])
        store.catalog.commit(append_parts(LoadedSource(source, None, ""), [load], "attack"))


def plant_special(ground: Ground, path: Path, target: Path) -> None:
    """Make a link, a pipe, a device, a socket's name or a directory."""
    kind = ground.rng.choice(["link", "link", "pipe", "device", "directory", "dangling"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")  # a device of its own needs rights that tests have not
    elif kind == "directory":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(target.with_name("nothing there"))
    else:
        path.symlink_to(target)


def change_catalog(ground: Ground, statement: str, *values: str) -> None:
    """Change the lake's catalog without batonics."""
    with closing(sqlite3.connect(ground.lake / CATALOG_FILE)) as connection:
        connection.execute(statement, values)
        rewrite_digests(connection)
        connection.commit()


class _TooLongError(BaseException):
    """A case has not ended in time."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
