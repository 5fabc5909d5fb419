"""ASOF joins of two schemas of a lake: a merge, part by part.

The rule here: the result depends on the rows and their order in the lake, not on how they are
divided into files. DuckDB's ASOF JOIN sorts all rows of both sides, though a lake has them in
order, and takes any of several rows with the same time; this join takes the last one in the order
of the lake.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.prices import PriceKind, find_price_columns
from batonics.frames.scan.sources import Projection, frame_source
from batonics.frames.schemas.schema import Schema
from batonics.lake.catalog import Part, RowFilter, find_parts
from batonics.lake.digest import Verifier
from batonics.lake.parts import HIVE_SCHEMA
from batonics.lake.row_filters import find_alias_note
from batonics.lake.storage import Store
from batonics.model.errors import UsageError

T = TypeVar("T")
DateSymbol = tuple[str | None, str | None]
"""Date and symbol."""
FilesByKey = Mapping[DateSymbol, list[Path]]
JOIN_THREADS = 2
"""Pairs of parts that are read and joined at once."""
_TIME, _ROW = "\0time", "\0row"


class JoinSide(NamedTuple):
    """One side of a join.

    Attributes:
        schema: the schema.
        files: paths of its files, by date and symbol.
        check: called once the files of a date and symbol were read; raises LakeError if one has
            changed since it was verified.
        alias_note: what a user has to know of rows with several of the symbols; empty: nothing.
    """

    schema: Schema
    files: FilesByKey
    check: Callable[[DateSymbol], None]
    alias_note: str = ""


def find_join_sides(
    store: Store, verifier: Verifier, schemas: tuple[Schema, Schema], row_filter: RowFilter
) -> tuple[JoinSide, JoinSide]:
    """The files of the left schema that may have rows of the filter, and the files to join to them.

    Raises:
        LakeError: a file is damaged or missing.
    """
    all_times = row_filter._replace(start_ns=None, end_ns=None)

    def run(connection: sqlite3.Connection) -> tuple[list[Part], list[Part]]:
        left, right = (schema.name for schema in schemas)
        return find_parts(left, row_filter)(connection), find_parts(right, all_times)(connection)

    left, right = store.catalog.read(run)
    keys = {_key(part, row_filter) for part in left}
    right = [part for part in right if _key(part, row_filter) in keys]
    store.fetch([*left, *right], verifier)

    def make_side(schema: Schema, parts: Sequence[Part]) -> JoinSide:
        by_key: dict[DateSymbol, list[Part]] = {}
        for part in parts:
            by_key.setdefault(_key(part, row_filter), []).append(part)

        def check(key: DateSymbol) -> None:
            verifier.check_unchanged(store.local_root, by_key.get(key, ()))

        files = {key: [store.local_path(part) for part in found] for key, found in by_key.items()}
        note = find_alias_note(parts, row_filter.symbols)
        return JoinSide(schema, files, check, note)

    return make_side(schemas[0], left), make_side(schemas[1], right)


def _key(part: Part, row_filter: RowFilter) -> DateSymbol:
    return part.date, part.symbol_among(row_filter.symbols)


@dataclass(frozen=True)
class AsofJoin:
    """A join of two schemas by book, date and time.

    Attributes:
        left: all its rows are in the result, in the lake's order.
        right: each row of `left` gets the last row of `right` before it.
        columns: columns of `right` in the result.
        allow_exact_matches: a row of the same time is before it too.
        suffix: added to the names of columns of `right` that `left` has too.

    Raises:
        UsageError: `right` has no such column, or two have one name.
    """

    left: JoinSide
    right: JoinSide
    columns: Sequence[str]
    allow_exact_matches: bool
    suffix: str

    def __post_init__(self) -> None:
        name, known = self.right.schema.name, self.right.schema.lake_columns
        for column in self.columns:
            if column in BOOK_KEY:
                raise UsageError(f"{column} is the same in both: leave it out")
            if column not in known:
                raise UsageError(f"{name} has no column {column!r}; there are {', '.join(known)}")
        names = [*self.left.schema.lake_columns, *(self.names[name] for name in self.columns)]
        for column in sorted({column for column in names if names.count(column) > 1}):
            raise UsageError(f"two columns would be called {column}; choose another suffix")

    @property
    def names(self) -> dict[str, str]:
        """The name in the result of each column of `right`."""
        own = self.left.schema.lake_columns
        return {name: name + self.suffix if name in own else name for name in self.columns}

    @property
    def schema(self) -> pl.Schema:
        """The schema of the result."""
        columns = self.right.schema.lake_columns
        added = {new: columns[name] for name, new in self.names.items()}
        return pl.Schema({**self.left.schema.lake_columns, **added, **HIVE_SCHEMA})

    @property
    def price_columns(self) -> dict[str, PriceKind]:
        """The columns of the result that are prices."""
        left, right = (
            find_price_columns(side.schema.lake_columns) for side in (self.left, self.right)
        )
        return left | {new: right[name] for name, new in self.names.items() if name in right}

    def rows(self) -> pl.LazyFrame:
        """The result; columns that are not selected are not read."""
        return frame_source("LAKE ASOF", self.schema, self._frames)

    def _frames(self, projection: Projection) -> Iterator[pl.DataFrame]:
        names = {name: new for name, new in self.names.items() if new in projection.columns}
        left_names = [name for name in self.left.schema.lake_columns if name in projection.columns]

        def join_parts(key: DateSymbol) -> pl.DataFrame:
            date, symbol = key
            left = _read_rows(self.left, key, left_names)
            right = _read_rows(self.right, key, list(names)).rename(names)
            return self._joined(left, right).with_columns(
                pl.lit(date, pl.String).str.to_date().alias("date"),
                pl.lit(symbol, pl.String).alias("symbol"),
            )

        yield from _map_ahead(join_parts, self.left.files)

    def _joined(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """A part of `left` with the columns of `right`."""
        is_sorted = left[_TIME].is_sorted() and not left[_TIME].null_count()
        rows = left if is_sorted else left.with_row_index(_ROW).sort(_TIME, maintain_order=True)
        timed = right.drop_nulls(_TIME)
        if not timed[_TIME].is_sorted():
            timed = timed.sort(_TIME, maintain_order=True)
        by = _key_columns(rows, timed)
        joined = rows.join_asof(
            timed.drop(name for name in BOOK_KEY if name not in by),
            on=_TIME,
            by=by or None,
            allow_exact_matches=self.allow_exact_matches,
            check_sortedness=False,
        )
        return joined if is_sorted else joined.sort(_ROW)


def _map_ahead(make: Callable[[DateSymbol], T], keys: Iterable[DateSymbol]) -> Iterator[T]:
    """The result for each key, in order; threads make the next ones meanwhile."""
    with ThreadPoolExecutor(JOIN_THREADS, "batonics-asof") as threads:
        pending: deque[Future[T]] = deque()
        for key in keys:
            pending.append(threads.submit(make, key))
            if len(pending) > JOIN_THREADS:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()


def _read_rows(side: JoinSide, key: DateSymbol, columns: Sequence[str]) -> pl.DataFrame:
    """The rows of a date and symbol: these columns, the key of the book, and the time (Int64)."""
    names = dict.fromkeys((*columns, *BOOK_KEY))
    date = pl.lit(key[0], pl.String).str.to_date()
    time = side.schema.time_on(date).to_physical().alias(_TIME)
    files = side.files.get(key)
    if not files:
        schema = pl.Schema({name: side.schema.lake_columns[name] for name in names})
        return pl.DataFrame(schema=pl.Schema({**schema, _TIME: pl.Int64()}))
    scan = pl.scan_parquet(
        files, schema=side.schema.lake_columns, hive_partitioning=False, glob=False
    )
    rows = scan.select(*names, time).collect()
    side.check(key)
    return rows


def _key_columns(left: pl.DataFrame, right: pl.DataFrame) -> list[str]:
    """The columns by which rows are joined: none if all rows are of one book."""
    both = [frame.select(*BOOK_KEY) for frame in (left, right) if frame.height]
    return [
        name
        for name in BOOK_KEY
        if len({value for frame in both for value in (frame[name].min(), frame[name].max())}) > 1
    ]
