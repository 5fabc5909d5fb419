"""Kills at random calls of random work on a lake: `python -m tests.soak.soak_lake [KILLS [SEED]]`.

The rule: whatever was killed, the lake holds what it held before that work or what it was to hold
after it, its files are as they were committed, and the same work again makes it so.
"""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from batonics.lake.lake import Lake
from batonics.model.mbo import Action
from tests.integration.fated import KILL, Fates, fates
from tests.integration.files import DAY_NS, encode, metadata, record

KILLS = 1_000
FILES = 4
SCHEMAS = ("mbo", "trades", "ohlcv-1d", "orders")
CALLS_MAX = 260


class Walk:
    """A lake, files that change, and what the lake must hold of them.

    Attributes:
        kills: how many there were.
    """

    def __init__(self, directory: Path, commands: Fates, seed: int) -> None:
        self.kills = 0
        self._directory, self._commands = directory, commands
        self._random = random.Random(seed)
        self._lake = directory / "lake"
        self._held: dict[tuple[int, str], int] = {}  # by file and schema, the order id of its rows
        self._versions = dict.fromkeys(range(FILES), 0)
        for number in range(FILES):
            self._write(number)
        self._run(self._load(0, ["mbo"]))
        self._held[0, "mbo"] = self._order_id(0)

    def step(self) -> None:
        """Some work, killed somewhere; then the same again, if it is to be."""
        before = dict(self._held)
        arguments, after = self._work()
        number = self._random.randrange(1, CALLS_MAX)
        ended = self._commands.run(*arguments, fate=KILL, number=number)
        if ended.status == -signal.SIGKILL:
            self.kills += 1
            found = self._found()
            assert found in (before, after), (arguments, number, before, after, found)
        else:
            assert ended.status == 0, (arguments, ended)
        self._run(arguments)
        assert self._found() == after, (arguments, after)
        self._held = after
        if self._random.random() < 0.1:
            self._run(("lake", "vacuum", "--lake", self._lake, "--older-than", "0"))
            lake = Lake(self._lake)
            assert lake.check() == []
            on_disk = {
                path.relative_to(self._lake).as_posix() for path in self._lake.rglob("*.parquet")
            }
            assert on_disk == set(lake.parts()["path"])

    def _work(self) -> tuple[tuple[str | Path, ...], dict[tuple[int, str], int]]:
        """A command, and what the lake holds after it."""
        number = self._random.randrange(FILES)
        kind = self._random.choice(["load", "load", "change", "again", "compact", "vacuum"])
        after = dict(self._held)
        if kind in ("compact", "vacuum"):
            more = ["--older-than", "0"] if kind == "vacuum" else []
            return ("lake", kind, "--lake", self._lake, *more), after
        if kind == "change":
            self._versions[number] += 1
            self._write(number)
            # What was made of it before goes with the load, and is made anew.
            stale = [key for key in after if key[0] == number]
            after |= dict.fromkeys(stale, self._order_id(number))
        schemas = self._random.sample(SCHEMAS, self._random.randrange(1, len(SCHEMAS)))
        if any(key[0] == number for key in after):
            current = self._order_id(number)
            after |= {key: current for key in after if key[0] == number}
        after |= {(number, schema): self._order_id(number) for schema in schemas}
        return self._load(number, schemas, again=kind == "again"), after

    def _load(
        self, number: int, schemas: list[str], *, again: bool = False
    ) -> tuple[str | Path, ...]:
        more = ["--again"] if again else []
        file = self._directory / f"{number}.dbn"
        return ("lake", "load", file, "--lake", self._lake, "--schemas", ",".join(schemas), *more)

    def _write(self, number: int) -> None:
        at, order_id = DAY_NS + number * 86_400_000_000_000, self._order_id(number)
        rows = [record(Action.ADD, order_id=order_id, ts_recv=at, size=order_id)]
        rows += [record(Action.TRADE, order_id=0, ts_recv=at + 1, size=order_id)]
        (self._directory / f"{number}.dbn").write_bytes(metadata() + encode(rows))

    def _order_id(self, number: int) -> int:
        return 1 + FILES * self._versions[number] + number

    def _found(self) -> dict[tuple[int, str], int]:
        """What the lake holds; each row tells by its size of which file and version it is."""
        lake, found = Lake(self._lake), {}
        column = {"ohlcv-1d": "volume", "orders": "size_start"}
        for schema in lake.schemas():
            rows = lake.scan(schema).collect()
            sizes = rows[column.get(schema, "size")].to_list()
            for size in set(sizes):
                expected = 2 if schema == "mbo" else 1
                assert sizes.count(size) == expected, (schema, sizes)
                found[(size - 1) % FILES, schema] = size
        return found

    def _run(self, arguments: tuple[str | Path, ...]) -> None:
        ended = self._commands.run(*arguments)
        assert ended.status == 0, (arguments, ended)


def main() -> None:
    """Kill until there were enough."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    with TemporaryDirectory() as text:
        directory = Path(text)
        with fates(directory / "lake", directory) as commands:
            walk = Walk(directory, commands, seed)
            while walk.kills < wanted:
                walk.step()
                if walk.kills % 1_000 == 0:
                    print(f"{walk.kills:,} kills", flush=True)
    print(f"{walk.kills:,} kills at random calls: nothing lost, doubled or unreadable")


if __name__ == "__main__":
    main()
