"""Parts that are exchanged for others: verified anew, and never read in silence.

The rule here: the other part is a whole Parquet file with other rows, so that no reader notices by
itself. A reader that had verified the first one has the right rows, or an error that names the
file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from batonics.jobs import lake_compact
from batonics.jobs.lake_export import export_lake
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.lake.part import Part
from batonics.lake.part_search import find_parts
from batonics.lake.sql import LakeDatabase
from batonics.model.errors import LakeError
from batonics.model.mbo import Action
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load

SCHEMAS = ("trades", "mbo")
DAY_LONG_NS = 86_400_000_000_000


class Exchange:
    """A lake of two days, and another one whose parts have other sizes.

    Attributes:
        lake: the lake.
        parts: its parts of trades.
    """

    def __init__(self, root: Path) -> None:
        self.lake, self._other = root / "lake", root / "other"
        for lake, size in ((self.lake, 1), (self._other, 2)):
            rows = [
                record(Action.TRADE, size=size, ts_recv=DAY_NS + day * DAY_LONG_NS + at)
                for day in range(2)
                for at in range(3)
            ]
            file = root / f"{lake.name}.dbn"
            file.write_bytes(metadata() + encode(rows))
            load(lake, file, schemas=SCHEMAS)
        self.parts = [self.lake / path for path in self._paths(self.lake)]
        self._others = [self._other / path for path in self._paths(self._other)]

    def _paths(self, lake: Path) -> list[str]:
        parts = Lake(lake).parts().filter(schema="trades").sort("date")
        return parts["path"].to_list()

    def swap(self, at: int = 0) -> None:
        """Put the other lake's part in the place of a part."""
        new = self.lake / "new"
        shutil.copyfile(self._others[at], new)
        new.replace(self.parts[at])

    def swap_and_back(self) -> None:
        """The same, but the first one is put back."""
        kept = self.lake / "kept"
        self.parts[0].rename(kept)
        shutil.copyfile(self._others[0], self.parts[0])
        kept.replace(self.parts[0])


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


@pytest.fixture(params=["swap", "swap_and_back", "unlink"])
def meanwhile(
    request: pytest.FixtureRequest, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part is exchanged or removed once it was verified."""
    fetch = DirectoryStore.fetch
    act: Callable[[], object] = (
        exchange.parts[0].unlink if request.param == "unlink" else getattr(exchange, request.param)
    )

    def fetch_and_swap(self: DirectoryStore, parts: Sequence[Part], verifier: Verifier) -> None:
        fetch(self, parts, verifier)
        act()

    monkeypatch.setattr(DirectoryStore, "fetch", fetch_and_swap)


def test_a_part_of_the_same_size_and_time_is_verified_anew(exchange: Exchange) -> None:
    opened, part = Lake(exchange.lake), exchange.parts[0]
    assert opened.scan("trades").collect()["size"].to_list() == [1] * 6
    data, stat = bytearray(part.read_bytes()), part.stat()
    data[len(data) // 2] ^= 1
    new = exchange.lake / "new"
    new.write_bytes(data)
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.replace(part)
    for read in (
        lambda: opened.scan("trades"),
        lambda: opened.sql("SELECT * FROM trades"),
        lambda: opened.files("trades"),
    ):
        with pytest.raises(LakeError, match="damaged"):
            read()


@pytest.mark.usefixtures("meanwhile")
@pytest.mark.parametrize(
    "read",
    [
        lambda lake: Lake(lake).sql("SELECT * FROM trades"),
        lambda lake: Lake(lake).sql("SELECT sum(size) FROM trades WHERE symbol = 'AAA'"),
        lambda lake: Lake(lake).join_asof("trades", "mbo", columns=["size"]).collect(),
        lambda lake: export_lake(lake, lake.parent / "tables", schemas=["trades"]),
    ],
    ids=["sql", "sql with a plan", "join_asof", "export"],
)
def test_a_part_that_is_exchanged_while_it_is_read_is_an_error(
    read: Callable[[Path], object], exchange: Exchange
) -> None:
    with pytest.raises(Exception, match=r"\.parquet|No such file") as error:
        read(exchange.lake)
    # Polars wraps what is raised while it collects.
    assert "has changed while it was read" in str(error.value) or "No such file" in str(error.value)
    assert not list((exchange.lake.parent / "tables").glob("trades/_delta_log/*.json"))


def test_a_part_that_is_exchanged_between_two_batches_is_an_error(exchange: Exchange) -> None:
    database = LakeDatabase(DirectoryStore(exchange.lake), Verifier())
    result = database.query("SELECT size FROM trades")
    exchange.swap(1)
    with pytest.raises(LakeError, match="has changed while it was read"):
        list(result.frames())
    database.close()


def test_compaction_of_exchanged_parts_is_an_error(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = DirectoryStore.fetch

    def fetch_and_swap(self: DirectoryStore, parts: Sequence[Part], verifier: Verifier) -> None:
        fetch(self, parts, verifier)
        exchange.swap()

    # The two parts, as if they were of one date.
    monkeypatch.setattr(lake_compact, "_find_mergeable", lambda rows: [find_parts("trades")(rows)])
    monkeypatch.setattr(DirectoryStore, "fetch", fetch_and_swap)
    before = Lake(exchange.lake).parts()
    with pytest.raises(LakeError, match="has changed while it was read"):
        lake_compact.compact_lake(exchange.lake)
    assert Lake(exchange.lake).parts().equals(before)
