"""Rows of a schema beside the last rows of another before them: a merge, part by part.

The rule here: what a row gets depends on the rows and their order in the lake, not on how they lie
in files. DuckDB's ASOF JOIN sorts all rows of both sides, though a lake has them in order, and of
rows with the same time takes any; here the last in the lake's order is taken.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from batonics.frames.scan import sources
from batonics.frames.scan.sources import BOOK_KEY, frame_source
from batonics.frames.schemas.table import Schema
from batonics.lake.catalog import Part, RowFilter, find_parts
from batonics.lake.digest import Verifier
from batonics.lake.parts import HIVE_SCHEMA
from batonics.lake.storage import Store
from batonics.model.errors import UsageError

T = TypeVar("T")
DateSymbol = tuple[str | None, str | None]
"""Date and symbol."""
FilesByKey = Mapping[DateSymbol, list[Path]]
JOIN_THREADS = 2
"""Parts that are read and joined at once."""
_TIME, _ROW = "\0time", "\0row"


class JoinSide(NamedTuple):
    """A schema, and its files by date and symbol."""

    schema: Schema
    files: FilesByKey


def find_join_sides(
    store: Store, verifier: Verifier, schemas: tuple[Schema, Schema], wanted: RowFilter
) -> tuple[JoinSide, JoinSide]:
    """The files of the left schema that may hold rows that are wanted, and what they are joined to.

    Raises:
        LakeError: a file is damaged or missing.
    """
    of_symbols = wanted._replace(start_ns=None, end_ns=None)

    def ask(connection: sqlite3.Connection) -> tuple[list[Part], list[Part]]:
        left, right = (schema.name for schema in schemas)
        return find_parts(left, wanted)(connection), find_parts(right, of_symbols)(connection)

    left, right = store.catalog.read(ask)
    keys = {(part.date, part.symbol) for part in left}
    right = [part for part in right if (part.date, part.symbol) in keys]
    store.fetch([*left, *right], verifier)
    found = []
    for schema, parts in zip(schemas, (left, right), strict=True):
        files: dict[DateSymbol, list[Path]] = {}
        for part in parts:
            files.setdefault((part.date, part.symbol), []).append(store.path(part))
        found.append(JoinSide(schema, files))
    return found[0], found[1]


@dataclass(frozen=True)
class AsofJoin:
    """A join of two schemas by book, date and time.

    Attributes:
        left: each of its rows is in the answer, in the lake's order.
        right: of which each gets the last row before it.
        columns: of `right`, those that are wanted.
        allow_exact_matches: a row of the same time is before it too.
        suffix: of those columns' names where `left` has such a column.

    Raises:
        UsageError: `right` has no such column, or two have one name.
    """

    left: JoinSide
    right: JoinSide
    columns: Sequence[str]
    allow_exact_matches: bool
    suffix: str

    def __post_init__(self) -> None:
        name, known = self.right.schema.name, self.right.schema.columns
        for column in self.columns:
            if column in BOOK_KEY:
                raise UsageError(f"{column} is the same in both: leave it out")
            if column not in known:
                raise UsageError(f"{name} has no column {column!r}; there are {', '.join(known)}")
        names = [*self.left.schema.columns, *(self.names[name] for name in self.columns)]
        for column in sorted({column for column in names if names.count(column) > 1}):
            raise UsageError(f"two columns would be called {column}; choose another suffix")

    @property
    def names(self) -> dict[str, str]:
        """What the columns of `right` are called in the answer."""
        own = self.left.schema.columns
        return {name: name + self.suffix if name in own else name for name in self.columns}

    @property
    def schema(self) -> pl.Schema:
        """Of the answer."""
        columns = self.right.schema.columns
        added = {new: columns[name] for name, new in self.names.items()}
        return pl.Schema({**self.left.schema.columns, **added, **HIVE_SCHEMA})

    def rows(self) -> pl.LazyFrame:
        """The answer; what is not asked for of it is not read."""
        return frame_source("LAKE ASOF", self.schema, self._frames)

    def _frames(self, wanted: sources.Projection) -> Iterator[pl.DataFrame]:
        new = {name: new for name, new in self.names.items() if new in wanted.columns}

        def part(key: DateSymbol) -> pl.DataFrame:
            date, symbol = key
            left = _read(self.left, key, self.left.schema.columns, wanted.columns)
            right = _read(self.right, key, new, new).rename(new)
            return self._joined(left, right).with_columns(
                pl.lit(date, pl.String).str.to_date().alias("date"),
                pl.lit(symbol, pl.String).alias("symbol"),
            )

        yield from _ahead(part, self.left.files)

    def _joined(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """A part of `left` with what its rows get."""
        is_sorted = left[_TIME].is_sorted() and not left[_TIME].null_count()
        rows = left if is_sorted else left.with_row_index(_ROW).sort(_TIME, maintain_order=True)
        known = right.drop_nulls(_TIME)
        if not known[_TIME].is_sorted():
            known = known.sort(_TIME, maintain_order=True)
        by = _books(rows, known)
        joined = rows.join_asof(
            known.drop(name for name in BOOK_KEY if name not in by),
            on=_TIME,
            by=by or None,
            allow_exact_matches=self.allow_exact_matches,
            check_sortedness=False,
        )
        return joined if is_sorted else joined.sort(_ROW)


def _ahead(make: Callable[[DateSymbol], T], keys: Iterable[DateSymbol]) -> Iterator[T]:
    """What is made of each key, in order; the next ones are made while one is worked on."""
    with ThreadPoolExecutor(JOIN_THREADS, "batonics-asof") as threads:
        waiting: deque[Future[T]] = deque()
        for key in keys:
            waiting.append(threads.submit(make, key))
            if len(waiting) > JOIN_THREADS:
                yield waiting.popleft().result()
        for made in waiting:
            yield made.result()


def _read(
    side: JoinSide, key: DateSymbol, columns: Collection[str], wanted: Collection[str]
) -> pl.DataFrame:
    """A part's rows: the columns that are wanted, their books and times (Int64)."""
    names = dict.fromkeys((*(name for name in columns if name in wanted), *BOOK_KEY))
    date = pl.lit(key[0], pl.String).str.to_date()
    time = side.schema.time_on(date).to_physical().alias(_TIME)
    files = side.files.get(key)
    if not files:
        schema = pl.Schema({name: side.schema.columns[name] for name in names})
        return pl.DataFrame(schema=pl.Schema({**schema, _TIME: pl.Int64()}))
    scan = pl.scan_parquet(files, schema=side.schema.columns, hive_partitioning=False, glob=False)
    return scan.select(*names, time).collect()


def _books(left: pl.DataFrame, right: pl.DataFrame) -> list[str]:
    """By which columns rows belong together: none if all are of one book."""
    both = [frame.select(*BOOK_KEY) for frame in (left, right) if frame.height]
    return [
        name
        for name in BOOK_KEY
        if len({limit for frame in both for limit in (frame[name].min(), frame[name].max())}) > 1
    ]
