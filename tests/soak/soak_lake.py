"""Kills at random calls of random work on lakes: `python -m tests.soak.soak_lake [KILLS [SEED]]`.

The rule: whatever was killed, the lake holds what it held before that work or what it was to hold
after it, its files are as they were committed, and the same work again makes it so.

A walk is a lake of its own and KILLS_OF_A_WALK kills; as many walks run at once as there are
processors. What a walk does follows from the seed and its number, which a failure names: with the
number behind the seed, that walk is repeated alone.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NamedTuple

from batonics.lake.lake import Lake
from batonics.model.mbo import Action
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import KILL, LIST, FaultResult, FaultyCommands, faulty_commands
from tests.support.revision import revision

KILLS = 1_000
KILLS_OF_A_WALK = 100
"""Before a new lake is begun: one that has seen more is slower, and no better a test."""
FILES = 4
SCHEMAS = ("mbo", "trades", "ohlcv-1d", "orders")
CALLS_MAX = 260
"""Of a command of which it is not known yet how many calls it makes."""
FEED = 1_000_000
"""The sizes of what a feed has brought begin above this."""
DAY_LONG_NS = 86_400_000_000_000

Held = dict[tuple[int, str], int]
"""By file, or number of a feed's run, and schema: the size that its rows have."""


class Work(NamedTuple):
    """A command, and what the lake holds after it.

    Attributes:
        kind: what it does; of commands of one kind and `makes`, about as many calls are made.
        makes: of how many schemas it makes rows.
        again: whether it may be given again once it is done.
    """

    kind: str
    makes: int
    arguments: tuple[str | Path, ...]
    after: Held
    stdin: str | Path = os.devnull
    again: bool = True


class Walk:
    """A lake, files that change, and what the lake must hold of them.

    Args:
        directory: for all of it.
        commands: run there.
        seed: from which all follows.
        calls: how many calls works have made, by kind; what is found is added.

    Attributes:
        kills: how many there were.
    """

    def __init__(
        self,
        directory: Path,
        commands: FaultyCommands,
        seed: str,
        calls: dict[tuple[str, int], int],
    ) -> None:
        self.kills = 0
        self._directory, self._commands, self._calls = directory, commands, calls
        self._random = random.Random(seed)
        self._lake = directory / "lake"
        shutil.rmtree(self._lake, ignore_errors=True)
        self._held: Held = {}
        self._versions = dict.fromkeys(range(FILES), 0)
        self._feeds = count(1)
        for number in range(FILES):
            self._write(number)
        self._do(Work("load", 1, self._load(0, ["mbo"]), {(0, "mbo"): self._order_id(0)}))

    def step(self) -> None:
        """Some work, killed somewhere; then the same again, if it is to be."""
        work = self._work()
        number = self._random.randrange(1, self._calls.get((work.kind, work.makes), CALLS_MAX) + 1)
        ended = self._run(work, number)
        found = self._found()
        if ended.status == -signal.SIGKILL:
            self.kills += 1
            assert found in (self._held, work.after), (work, number, self._held, found)
        else:
            assert ended.status == 0, (work, ended)
            assert found == work.after, (work, found)
        if work.again or found != work.after:
            self._do(work)
        self._held = work.after
        if self._random.random() < 0.1:
            self._clear_up()

    def _do(self, work: Work) -> None:
        """The work, to its end."""
        ended = self._run(work)
        assert ended.status == 0, (work, ended)
        self._held = self._found()
        assert self._held == work.after, (work, self._held)
        key = work.kind, work.makes
        self._calls[key] = max(self._calls.get(key, 1), len(ended.calls))

    def _clear_up(self) -> None:
        """What has been replaced goes; nothing lies there that is in no load."""
        vacuum = ("lake", "vacuum", "--lake", self._lake, "--older-than", "0")
        self._do(Work("vacuum", 0, vacuum, self._held))
        lake = Lake(self._lake)
        assert lake.check() == []
        on_disk = {
            path.relative_to(self._lake).as_posix() for path in self._lake.rglob("*.parquet")
        }
        assert on_disk == set(lake.parts()["path"])

    def _work(self) -> Work:
        kind = self._random.choice(
            ["load", "load", "change", "again", "append", "append", "compact", "vacuum"]
        )
        if kind in ("compact", "vacuum"):
            more = ["--older-than", "0"] if kind == "vacuum" else []
            return Work(kind, 0, ("lake", kind, "--lake", self._lake, *more), self._held)
        return self._append() if kind == "append" else self._some_load(kind)

    def _some_load(self, kind: str) -> Work:
        number = self._random.randrange(FILES)
        after = dict(self._held)
        if kind == "change":
            self._versions[number] += 1
            self._write(number)
        # What was made of it before goes with the load, and is made anew.
        size = self._order_id(number)
        after |= {key: size for key in after if key[0] == number}
        schemas = self._random.sample(SCHEMAS, self._random.randrange(1, len(SCHEMAS)))
        after |= {(number, schema): size for schema in schemas}
        made = sum(self._held.get(key) != size for key, size in after.items())
        again = kind == "again"
        if again:
            made = max(made, len(schemas))
        return Work("load", made, self._load(number, schemas, again=again), after)

    def _append(self) -> Work:
        """A feed's next run; what it brings goes behind what the runs before have brought."""
        size = FEED + next(self._feeds)
        schemas = self._random.sample(SCHEMAS, self._random.randrange(1, len(SCHEMAS)))
        file = self._directory / "feed.dbn"
        _write_records(file, DAY_NS - DAY_LONG_NS, size)
        command = (
            "lake",
            "append",
            "--lake",
            self._lake,
            "--name",
            "feed",
            "-q",
            "--in-this-order",
        )
        after = self._held | {(size, schema): size for schema in schemas}
        arguments = (*command, "--schemas", ",".join(schemas))
        return Work("append", len(schemas), arguments, after, file, again=False)

    def _load(
        self, number: int, schemas: list[str], *, again: bool = False
    ) -> tuple[str | Path, ...]:
        more = ["--again"] if again else []
        file = self._directory / f"{number}.dbn"
        return ("lake", "load", file, "--lake", self._lake, "--schemas", ",".join(schemas), *more)

    def _write(self, number: int) -> None:
        file = self._directory / f"{number}.dbn"
        _write_records(file, DAY_NS + number * DAY_LONG_NS, self._order_id(number))

    def _order_id(self, number: int) -> int:
        return 1 + FILES * self._versions[number] + number

    def _found(self) -> Held:
        """What the lake holds; each row tells by its size of what it is."""
        lake, found = Lake(self._lake), {}
        column = {"ohlcv-1d": "volume", "orders": "size_start"}
        for schema in lake.schemas():
            sizes = lake.scan(schema).collect()[column.get(schema, "size")].to_list()
            of_feed = [size for size in sizes if size > FEED]
            assert of_feed == sorted(of_feed), (schema, sizes)
            for size in set(sizes):
                expected = 2 if schema == "mbo" else 1
                assert sizes.count(size) == expected, (schema, sizes)
                found[size if size > FEED else (size - 1) % FILES, schema] = size
        return found

    def _run(self, work: Work, number: int = 0) -> FaultResult:
        """The work, killed at the call of that number if there is one."""
        fate = KILL if number else LIST
        return self._commands.run(*work.arguments, fate=fate, number=number, stdin=work.stdin)


def _write_records(file: Path, at_ns: int, size: int) -> None:
    """An order and a trade of that size."""
    rows = [record(Action.ADD, order_id=size, ts_recv=at_ns, size=size)]
    rows += [record(Action.TRADE, order_id=0, ts_recv=at_ns + 1, size=size)]
    file.write_bytes(metadata() + encode(rows))


class Soak:
    """Walks until there were enough kills.

    Args:
        wanted: kills.
        seed: of all.
        only: the number of a walk, that is done alone.

    Attributes:
        kills: how many there were.
    """

    def __init__(self, wanted: int, seed: int, only: int | None = None) -> None:
        self.kills = 0
        self._wanted, self._seed = wanted, seed
        self._numbers: Iterator[int] = count() if only is None else iter([only])
        self._calls: dict[tuple[str, int], int] = {}
        self._lock = Lock()

    def run(self) -> None:
        """Run as many walks at once as there are processors.

        Raises:
            AssertionError: something was lost, doubled or cannot be read; its note names the walk.
        """
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as threads:
            for ended in [threads.submit(self._work) for _ in range(workers)]:
                ended.result()

    def _work(self) -> None:
        with TemporaryDirectory(prefix="soak-lake-") as text:
            directory = Path(text)
            with faulty_commands(directory / "lake", directory) as commands:
                while self.kills < self._wanted:
                    with self._lock:
                        number = next(self._numbers, None)
                    if number is None:
                        return
                    self._walk(directory, commands, number)

    def _walk(self, directory: Path, commands: FaultyCommands, number: int) -> None:
        try:
            walk = Walk(directory, commands, f"{self._seed}/{number}", self._calls)
            while walk.kills < min(KILLS_OF_A_WALK, self._wanted):
                walk.step()
        except BaseException as error:
            self._wanted = 0  # the others need not go on
            error.add_note(f"seed {self._seed}, walk {number}, commit {revision()}")
            raise
        with self._lock:
            self.kills += walk.kills
            print(f"{self.kills:,} kills, {number + 1} walks", flush=True)


def main() -> None:
    """Kill until there were enough."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    soak = Soak(wanted, seed, int(sys.argv[3]) if len(sys.argv) > 3 else None)
    soak.run()
    print(
        f"{soak.kills:,} kills at random calls: nothing lost, doubled or unreadable;"
        f" seed {seed}, commit {revision()}"
    )


if __name__ == "__main__":
    main()
