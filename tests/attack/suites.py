"""The table of attack suites; a new suite is a module of its own and one line here.

The rule: a suite is bounded by its number of cases and repeated by its seed. CI runs the small
number (`test_attack.py`), `make attack` the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.attack import (
    attack_checkpoints,
    attack_files,
    attack_hashes,
    attack_live,
    attack_paths,
    attack_sql,
)
from tests.attack.attempt import Attempt


class Suite(NamedTuple):
    """A suite of attacks.

    Attributes:
        name: name by which it is chosen.
        what: what is attacked, in a few words.
        small: number of cases in CI, which take a second or two.
        cases: number of cases of `make attack`, which take a few minutes at most.
        run: tries so many cases with a seed; yields an attempt for each.
    """

    name: str
    what: str
    small: int
    cases: int
    run: Callable[[int, int], Iterator[Attempt]]


SUITES = (
    Suite(
        "paths",
        "names that are no path of a part: catalogs, moves, listings, keys",
        200,
        5_000,
        attack_paths.run,
    ),
    Suite(
        "files",
        "files that SQLite or deltalake would take along, links in caches, tables and recordings",
        60,
        2_000,
        attack_files.run,
    ),
    Suite(
        "sql",
        "SQL of strangers that would read or write more than a lake",
        300,
        100_000,
        attack_sql.run,
    ),
    Suite(
        "live",
        "feeds that are damaged, inflate without end, or flood with names and white space",
        60,
        5_000,
        attack_live.run,
    ),
    Suite(
        "checkpoints",
        "checkpoints that somebody made up, with a right digest",
        500,
        20_000,
        attack_checkpoints.run,
    ),
    Suite(
        "hashes",
        "order ids, prices and books that are chosen to collide in hash tables",
        60,
        5_000,
        attack_hashes.run,
    ),
)
