"""ASOF joins of two schemas of a lake: a merge, symbol by symbol.

The rule here: the result depends on the rows and their order in the lake, not on how they are
divided into files. DuckDB's ASOF JOIN sorts all rows of both sides, though a lake has them in
order, and takes any of several rows with the same time; this join takes the last one in the order
of the lake.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.prices import PriceKind, find_price_columns
from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.scan.sources import Projection, frame_source
from batonics.frames.schemas.schema import Schema
from batonics.lake.digest import Verifier
from batonics.lake.part import Part
from batonics.lake.part_search import RowFilter, find_parts
from batonics.lake.part_symbols import SymbolRows
from batonics.lake.parts import HIVE_SCHEMA, part_columns
from batonics.lake.row_filters import find_alias_note
from batonics.lake.storage import Store
from batonics.model.errors import UsageError

T = TypeVar("T")
DateSymbol = tuple[str | None, str | None]
"""Date and symbol."""
FilesByKey = Mapping[DateSymbol, list["StoredRows"]]
JOIN_THREADS = 2
"""Joins that run at once."""
JOINED_ROWS = 1 << 18
"""Rows of several symbols that are read and joined at once."""
_TIME, _ROW, _KEY = "\0time", "\0row", "\0key"


class StoredRows(NamedTuple):
    """Rows of a file.

    Attributes:
        path: path of the file.
        symbol: the symbol that they have in it; None: nothing names their instruments.
        rows: number of rows.
        place: the place of the file among all files of the schema.
    """

    path: Path
    symbol: str | None
    rows: int
    place: int


class JoinSide(NamedTuple):
    """One side of a join.

    Attributes:
        schema: the schema.
        files: where its rows are, by date and symbol.
        check: called once the files of dates and symbols were read; raises LakeError if one has
            changed since it was verified.
    """

    schema: Schema
    files: FilesByKey
    check: Callable[[Sequence[DateSymbol]], None]

    def count_rows(self, key: DateSymbol) -> int:
        """The number of rows of a date and symbol."""
        return sum(stored.rows for stored in self.files.get(key, ()))


class JoinSides(NamedTuple):
    """Both sides of a join.

    Attributes:
        left: all its rows are in the result.
        right: its rows are joined to them.
        notes: what a user has to know of the result.
    """

    left: JoinSide
    right: JoinSide
    notes: Sequence[str]


def find_join_sides(
    store: Store, verifier: Verifier, schemas: tuple[Schema, Schema], row_filter: RowFilter
) -> JoinSides:
    """The files of the left schema that may have rows of the filter, and the files to join to them.

    Raises:
        LakeError: a file is damaged or missing.
    """
    all_times = row_filter._replace(start_ns=None, end_ns=None)

    def run(connection: sqlite3.Connection) -> tuple[list[Part], list[Part]]:
        left, right = (schema.name for schema in schemas)
        return find_parts(left, row_filter)(connection), find_parts(right, all_times)(connection)

    left, right = store.catalog.read(run)
    left_rows = _rows_by_key(left, row_filter)
    right_rows = _rows_by_key(right, row_filter, left_rows)
    needed = {part for rows in right_rows.values() for part, _ in rows}
    right = [part for part in right if part in needed]
    store.fetch([*left, *right], verifier)

    def make_side(schema: Schema, parts: Sequence[Part], by_key: _RowsByKey) -> JoinSide:
        def check(keys: Sequence[DateSymbol]) -> None:
            read = {part for key in keys for part, _ in by_key.get(key, ())}
            verifier.check_unchanged(store.local_root, list(read))

        places = {part: place for place, part in enumerate(parts)}
        files = {
            key: [
                StoredRows(store.local_path(part), rows.symbol, rows.rows, places[part])
                for part, rows in found
            ]
            for key, found in by_key.items()
        }
        return JoinSide(schema, files, check)

    notes = (
        find_alias_note(left, row_filter.symbols),
        _describe_unmatched(schemas, left_rows, right_rows),
    )
    return JoinSides(
        make_side(schemas[0], left, left_rows),
        make_side(schemas[1], right, right_rows),
        [note for note in notes if note],
    )


def _describe_unmatched(
    schemas: tuple[Schema, Schema], left: Mapping[DateSymbol, object], right: Container[DateSymbol]
) -> str:
    """The note on symbols and dates of which the right has no row at all; empty: there are none.

    That may be so because the two schemas are from files that name an instrument differently.
    """
    unmatched = [key for key in left if key not in right]
    if not unmatched:
        return ""
    (date, symbol), (own, other) = unmatched[0], (schema.name for schema in schemas)
    return (
        f"{other} has no rows of {len(unmatched)} of {len(left)} symbols and dates of {own}, such"
        f" as {symbol} on {date}, and its columns are null there; rows are joined if both schemas"
        " have them under one symbol"
    )


_RowsByKey = dict[DateSymbol, list[tuple[Part, SymbolRows]]]
"""By date and symbol of an answer: parts, and the rows in them."""


def _rows_by_key(
    parts: Sequence[Part], row_filter: RowFilter, only: Container[DateSymbol] | None = None
) -> _RowsByKey:
    found: _RowsByKey = {}
    for part in parts:
        for symbol, stored, _ in part.list_symbols().shown(row_filter.symbols):
            if only is None or (part.date, symbol) in only:
                found.setdefault((part.date, symbol), []).append((part, stored))
    return dict(sorted(found.items(), key=_order))


def _order(of_key: tuple[DateSymbol, object]) -> tuple[bool, str, bool, str]:
    date, symbol = of_key[0]
    return date is not None, date or "", symbol is not None, symbol or ""


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
        keys = {**HIVE_SCHEMA, SYMBOL: pl.String()}
        return pl.Schema({**self.left.schema.lake_columns, **added, **keys})

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

        def join_keys(keys: Sequence[DateSymbol]) -> pl.DataFrame:
            left = _read_rows(self.left, keys, left_names)
            right = _read_rows(self.right, keys, list(names)).rename(names)
            joined = self._joined(left, right)
            symbols = pl.Series([symbol for _, symbol in keys], dtype=pl.String)
            return joined.with_columns(
                pl.lit(keys[0][0], pl.String).str.to_date().alias("date"),
                symbols.gather(joined[_KEY]).alias(SYMBOL),
            )

        yield from _map_ahead(join_keys, self._batches())

    def _batches(self) -> Iterator[list[DateSymbol]]:
        """The symbols whose rows are joined at once; they are of one date."""
        batch: list[DateSymbol] = []
        rows = 0
        for key in self.left.files:
            more = self.left.count_rows(key) + self.right.count_rows(key)
            if batch and (rows + more > JOINED_ROWS or key[0] != batch[0][0]):
                yield batch
                batch, rows = [], 0
            batch.append(key)
            rows += more
        if batch:
            yield batch

    def _joined(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """Rows of `left` with the columns of `right`."""
        is_sorted = left[_TIME].is_sorted() and not left[_TIME].null_count()
        rows = left if is_sorted else left.with_row_index(_ROW).sort(_TIME, maintain_order=True)
        timed = right.drop_nulls(_TIME)
        if not timed[_TIME].is_sorted():
            timed = timed.sort(_TIME, maintain_order=True)
        by = _key_columns(rows, timed)
        joined = rows.join_asof(
            timed.drop(name for name in (_KEY, *BOOK_KEY) if name not in by),
            on=_TIME,
            by=by or None,
            allow_exact_matches=self.allow_exact_matches,
            check_sortedness=False,
        )
        return joined if is_sorted else joined.sort(_ROW)


def _map_ahead(
    make: Callable[[Sequence[DateSymbol]], T], batches: Iterable[Sequence[DateSymbol]]
) -> Iterator[T]:
    """The result for each batch, in order; threads make the next ones meanwhile."""
    with ThreadPoolExecutor(JOIN_THREADS, "batonics-asof") as threads:
        pending: deque[Future[T]] = deque()
        for batch in batches:
            pending.append(threads.submit(make, batch))
            if len(pending) > JOIN_THREADS:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()


def _read_rows(side: JoinSide, keys: Sequence[DateSymbol], columns: Sequence[str]) -> pl.DataFrame:
    """The rows of symbols of one date, symbol by symbol.

    They have these columns, the key of the book, the time (Int64) and the place of the date and
    symbol among the keys (UInt32).
    """
    names = list(dict.fromkeys((*columns, *BOOK_KEY)))
    date = pl.lit(keys[0][0], pl.String).str.to_date()
    time = side.schema.time_on(date).to_physical().alias(_TIME)
    places: dict[tuple[int, Path], dict[str | None, int]] = {}
    for number, key in enumerate(keys):
        for path, symbol, _, place in side.files.get(key, ()):
            places.setdefault((place, path), {})[symbol] = number
    if not places:
        schema = pl.Schema({name: side.schema.lake_columns[name] for name in names})
        return pl.DataFrame(schema=pl.Schema({**schema, _TIME: pl.Int64(), _KEY: pl.UInt32()}))
    scans = [
        pl.scan_parquet(path, schema=part_columns(side.schema), hive_partitioning=False, glob=False)
        .filter(_is_any_symbol(list(found)))
        .select(*names, time, _place_of_symbol(found))
        for (_, path), found in sorted(places.items())
    ]
    rows = pl.concat(scans).collect()
    side.check(keys)
    return rows if rows[_KEY].is_sorted() else rows.sort(_KEY, maintain_order=True)


def _is_any_symbol(symbols: Sequence[str | None]) -> pl.Expr:
    """Whether a row has one of some symbols; the range lets Polars skip row groups."""
    names = sorted(symbol for symbol in symbols if symbol is not None)
    column = pl.col(SYMBOL)
    test = pl.lit(value=False)
    if names:
        test = column.is_between(pl.lit(names[0]), pl.lit(names[-1])) & column.is_in(names)
    return test | column.is_null() if None in symbols else test


def _place_of_symbol(places: Mapping[str | None, int]) -> pl.Expr:
    if len(places) == 1:
        return pl.lit(next(iter(places.values())), pl.UInt32).alias(_KEY)
    return (
        pl.col(SYMBOL)
        .replace_strict(list(places), list(places.values()), return_dtype=pl.UInt32)
        .alias(_KEY)
    )


def _key_columns(left: pl.DataFrame, right: pl.DataFrame) -> list[str]:
    """The columns by which rows are joined: none if all rows are of one book."""
    names = (_KEY, *BOOK_KEY)
    both = [frame.select(*names) for frame in (left, right) if frame.height]
    return [
        name
        for name in names
        if len({value for frame in both for value in (frame[name].min(), frame[name].max())}) > 1
    ]
