"""A lake: years of books in parts that DuckDB, Polars and any Arrow tool read.

The rule here: a reader gets only files that one state of the catalog names, and that were verified.
"""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from os import PathLike, fspath
from pathlib import Path

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.prices import scan_prices
from batonics.frames.html import html_table
from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.lake import catalog, part_search
from batonics.lake.catalog_tree import read_days, read_schemas, read_symbols
from batonics.lake.commits import forget_parts
from batonics.lake.coverage import find_day_holes
from batonics.lake.digest import Verifier
from batonics.lake.part import Part
from batonics.lake.part_search import NO_FILTER, RowFilter
from batonics.lake.parts import HIVE_SCHEMA, part_columns
from batonics.lake.row_filters import (
    check_row_filter,
    check_schema,
    filter_rows,
    find_alias_note,
    parse_row_filter,
)
from batonics.lake.storage import open_store
from batonics.lake.symbol_groups import group_by_symbols
from batonics.model.answers import AnswerWarning
from batonics.model.arguments import SymbolNames, check_methods
from batonics.model.coverage import describe_holes
from batonics.model.errors import DataWarning, LakeError, UsageError
from batonics.model.prices import PriceUnit
from batonics.model.times import NS_PER_S, Time, enclosing_span

VACUUM_SECONDS = 24 * 3_600
"""Time for which replaced parts stay, for readers that began before."""


@check_methods
class Lake:
    """An existing lake.

    Args:
        root: its directory, or `s3://BUCKET/PREFIX`.

    Attributes:
        store: catalog and files.
        verifier: verifies files, and knows those that are verified.

    Raises:
        LakeError: there is no lake, or its catalog is damaged or of another format.
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        self.store = open_store(fspath(root))
        self.verifier = Verifier()

    def __repr__(self) -> str:
        return f"Lake({self.store.name!r})"

    def _repr_html_(self) -> str:
        """The table of `contents`, for notebooks."""
        rows = self.contents().rename({"first": "first (UTC)", "last": "last (UTC)"})
        return html_table(rows, self.store.name)

    def contents(self) -> pl.DataFrame:
        """What the lake has of each schema, one row a schema.

        Columns: schema (String); number of parts, dates and symbols (UInt32); rows, bytes (Int64);
        first and last time of the rows (Datetime ns UTC).
        """
        return pl.DataFrame(
            self.store.catalog.read(_count_contents), schema=_CONTENTS_SCHEMA, orient="row"
        )

    def schemas(self) -> list[str]:
        """The names of the schemas that were loaded."""
        return self.store.catalog.read(read_schemas)

    def parts(self) -> pl.DataFrame:
        """The parts in the catalog, one row a part, by schema and date.

        Columns: schema (String), date (Date), first_symbol and last_symbol of the rows, which are
        sorted (String), number of symbols (UInt32), rows, bytes (Int64), least and greatest time of
        the rows ts_min and ts_max (Datetime ns UTC), path from the root (String), digest (String,
        SHA-256 in hex), aliases: the other symbols of any rows (String, a JSON array).
        """
        rows = self.store.catalog.read(part_search.all_parts)
        return _parts_frame(rows)

    def sources(self) -> pl.DataFrame:
        """The sources of the rows, one row for each schema of each source.

        Columns: source (String: paths, one a line, or the name of a stream), schema (String), rows
        (Int64), time of the load (`loaded`, Datetime ns UTC), version of batonics (String), digest
        (String, SHA-256 of the source in hex; null for a stream), selection (String, the
        symbols and times of a part of the files; null: all of them).
        """
        rows = self.store.catalog.read(catalog.all_loads)
        frame = pl.DataFrame(rows, schema=_SOURCES_SCHEMA, orient="row")
        return frame.with_columns(pl.col("loaded").cast(_PARTS_SCHEMA["ts_min"]))

    def files(
        self,
        schema: str,
        *,
        symbols: SymbolNames = (),
        start: Time | None = None,
        end: Time | None = None,
    ) -> list[Path]:
        """The files that may have certain rows of a schema; each file is verified.

        Args:
            schema: name of the schema, such as mbp-10.
            symbols: only rows of these symbols.
            start: only rows from this time on: ISO 8601 (UTC) or nanoseconds.
            end: only rows before this time.

        Raises:
            UsageError: the lake has no such schema or symbol, or no rows at these times. LakeError:
                a file is damaged or missing.
        """
        check_schema(self.store, schema)
        parts = self._fetch(schema, self._row_filter(symbols, start, end))
        return [self.store.local_path(part) for part in parts]

    def scan(
        self,
        schema: str,
        *,
        symbols: SymbolNames = (),
        start: Time | None = None,
        end: Time | None = None,
        prices: PriceUnit = "fixed",
    ) -> pl.LazyFrame:
        """A LazyFrame of a schema's rows, by date and load; those of a load are sorted by symbol.

        Dtypes are those of the frames that were loaded; the place of the row (`source`, Datetime
        ns UTC, and `position`, UInt64), `date` (Date) and `symbol` (String) follow the columns.
        This call chooses files by symbols and times, and verifies them; Polars pushes later filters
        and selections down into them. A row has one `symbol`: one of `symbols`, if they are given.
        Where an instrument has several symbols at once, one name in `symbols` finds all its rows.
        A filter of the column `symbol` does not, nor do several of these names together: a
        DataWarning says which name the rows have.

        Args: those of `files`, and
            prices: the unit of prices: "fixed", "decimal" or "float" (`frames/columns/prices.py`).

        Raises:
            UsageError: the lake has no such schema or symbol, or no rows at these times; there is
            no such unit; or the lake's path has a directory NAME=VALUE.
            LakeError: a file is damaged or missing.
        """
        row_filter = self._row_filter(symbols, start, end)
        check_schema(self.store, schema)
        found = find_schema(schema)
        columns = pl.Schema({**found.lake_columns, **HIVE_SCHEMA, SYMBOL: pl.String()})
        parts = self._fetch(schema, row_filter)
        if not parts:
            if row_filter != NO_FILTER:
                note = f"{schema}: no rows of the symbols and times"
                warnings.warn(note, DataWarning, stacklevel=3)
            return scan_prices(pl.LazyFrame(schema=columns), prices)
        if note := find_alias_note(parts, row_filter.symbols):
            warnings.warn(note, DataWarning, stacklevel=3)
        root = self.store.local_root
        if "=" in str(root):
            raise UsageError(
                f"{root}: Polars takes each NAME=VALUE in a path for a column; name the lake by a"
                " link whose path has none"
            )
        rows = self._scan_parts(parts, found, row_filter.symbols).select(list(columns))
        return scan_prices(filter_rows(rows, found, row_filter), prices)

    def _scan_parts(
        self, parts: Sequence[Part], schema: Schema, symbols: Sequence[str]
    ) -> pl.LazyFrame:
        scans = []
        for group in group_by_symbols(parts, symbols):
            rows = pl.scan_parquet(
                [self.store.local_path(part) for part in group.parts],
                schema=part_columns(schema),
                hive_partitioning=True,
                hive_schema=HIVE_SCHEMA,
                glob=False,
            )
            if group.symbols:
                rows = rows.filter(pl.col(SYMBOL).is_in(group.symbols))
            if group.renamed:
                rows = rows.with_columns(pl.col(SYMBOL).replace(group.renamed))
            scans.append(rows)
        return scans[0] if len(scans) == 1 else pl.concat(scans)

    def _row_filter(self, symbols: SymbolNames, start: Time | None, end: Time | None) -> RowFilter:
        """The filter; UsageError unless the lake has rows of all the symbols, and at the times."""
        row_filter = parse_row_filter(symbols, start, end)
        check_row_filter(self.store, row_filter)
        return row_filter

    def join_asof(  # noqa: PLR0913 - the arguments of Polars and of `scan`
        self,
        left: str,
        right: str,
        *,
        columns: str | Sequence[str] | None = None,
        allow_exact_matches: bool = False,
        suffix: str = "_right",
        symbols: SymbolNames = (),
        start: Time | None = None,
        end: Time | None = None,
        prices: PriceUnit = "fixed",
    ) -> pl.LazyFrame:
        """Join each row of a schema with the last row of another before it: trades with quotes.

        A row is before another if both have the same book (publisher_id and instrument_id), symbol
        and date (UTC), and its time is earlier. If several rows have that time, the last one is
        joined; if no row is before, the columns are null. A DataWarning says of which symbols and
        dates `right` has no rows at all, as if files named them differently, and another names a
        time of a day that no source covers. The join is a merge, symbol by symbol. It is several
        times as fast as ASOF JOIN in SQL, which takes any of several rows with one time.

        Args:
            left: schema whose rows are all in the result, by date and symbol, and then in the order
                of `scan`.
            right: schema whose columns are added.
            columns: columns of `right` to add; None: all but publisher_id and instrument_id.
            allow_exact_matches: a row of the same time is before it too.
            suffix: added to the names of columns of `right` that `left` has too.
            symbols: only rows of these symbols.
            start: only rows of `left` from this time on: ISO 8601 (UTC) or nanoseconds.
            end: only rows of `left` before this time.
                These three arguments choose the files; a filter on the result excludes no file.
            prices: the unit of prices: "fixed", "decimal" or "float".

        Raises:
            UsageError: there is no such schema, column or symbol, or no row at these times.
            LakeError: a file is damaged or missing.
        """
        from batonics.lake.asof import AsofJoin, find_join_sides

        row_filter = self._row_filter(symbols, start, end)
        for schema in (left, right):
            check_schema(self.store, schema)
        schemas = find_schema(left), find_schema(right)
        if isinstance(columns, str):
            columns = [columns]
        elif columns is None:
            columns = [name for name in schemas[1].columns if name not in BOOK_KEY]
        sides = find_join_sides(self.store, self.verifier, schemas, row_filter)
        for note in sides.notes:
            warnings.warn(note, DataWarning, stacklevel=3)
        holes = self.store.catalog.read(find_day_holes((left, right), row_filter))
        if text := describe_holes(holes):
            warnings.warn(f"{AnswerWarning.UNCOVERED}: {text}", DataWarning, stacklevel=3)
        join = AsofJoin(*sides[:2], columns, allow_exact_matches=allow_exact_matches, suffix=suffix)
        return scan_prices(
            filter_rows(join.rows(), schemas[0], row_filter), prices, kinds=join.price_columns
        )

    def sql(
        self,
        query: str,
        *,
        prices: PriceUnit = "fixed",
        include: Collection[str] = (),
        trusted: bool = False,
        **parameters: object,
    ) -> pl.DataFrame:
        """The result of one SELECT over views named after the schemas (`lake/sql.py`).

        Args:
            query: SQL of DuckDB, or the path of a file, such as `queries/spread_by_hour.sql`, whose
                header gives types and defaults (`lake/query_file.py`). `mbp_10` is the view of
                mbp-10. Times of views are TIMESTAMP_NS in UTC, and Datetime ns UTC in the result;
                times computed from them have no time zone. `local_time(ts, 'America/New_York')` is
                the local time of ts.
            prices: the unit of prices in views and in the result: BIGINT of 1e-9 ("fixed"),
                DECIMAL(19, 9) ("decimal") or DOUBLE ("float"). A query with a header computes with
                BIGINT of 1e-9; the columns that the header declares as prices have the unit, and a
                warning names numbers that it does not declare. A DataWarning names numbers beside
                prices that cannot be meant in their unit, such as 64.8 beside integers. Another
                says in how many rows `sessions_known` is false.
            include: states that `is_open` of the views counts as open too: "crossed", "closed".
            trusted: the query may read any file and URL; else it reads this lake alone. A warning
                says that it could.
            parameters: value of each `$name` in the query.

        Raises:
            UsageError: DuckDB refuses the query; the message is DuckDB's. Or there is no such unit.
            LakeError: a file is damaged or missing, or has changed while it was read.
        """
        from batonics.lake.query_file import read_query
        from batonics.lake.sql import LakeDatabase

        parsed = read_query(query)
        database = LakeDatabase(self.store, self.verifier, include=include, trusted=trusted)
        with closing(database):
            result = database.query(
                parsed.sql, parsed.bind(parameters), header=parsed, prices=prices
            )
            frame = result.frame()
            if result.note:  # which the rows may complete
                warnings.warn(result.note, DataWarning, stacklevel=3)
            return frame

    def check(self, progress: Callable[[int], None] | None = None) -> list[str]:
        """Read every part, and describe each problem in one line.

        Args:
            progress: called with the size of each part in bytes once it is read.

        Raises:
            LakeError: the catalog is damaged.
        """
        self.store.catalog.check()
        problems = []
        for part in self.store.catalog.read(part_search.all_parts):
            try:
                self.store.verify(part)
            except LakeError as error:
                problems.append(str(error))
            if progress is not None:
                progress(part.bytes)
        orphans = self.store.find_orphans()
        problems += [
            f"{path}: is in no load (`batonics lake vacuum` removes it)" for path in orphans
        ]
        return problems

    def vacuum(self, older_than_seconds: float = VACUUM_SECONDS) -> tuple[int, int]:
        """Remove files that no reader needs any more; return their number and total bytes.

        Args:
            older_than_seconds: age from which replaced parts are removed. Files of killed loads are
                removed at once; from a bucket, after a day.
        """
        self.store.catalog.check()
        self.store.clean_up()
        before_ns = time.time_ns() - int(older_than_seconds * NS_PER_S)
        removed = self.store.catalog.read(catalog.find_removed_parts(before_ns))
        orphans = self.store.find_orphans()
        bytes_removed = self.store.remove([*removed, *orphans])
        self.store.catalog.commit(forget_parts(removed))
        return len(removed) + len(orphans), bytes_removed

    def _fetch(self, schema: str, row_filter: RowFilter) -> list[Part]:
        parts = self.store.catalog.read(part_search.find_parts(schema, row_filter))
        self.store.fetch(parts, self.verifier)
        return parts


_CONTENTS_SCHEMA = pl.Schema(
    {
        "schema": pl.String(),
        "parts": pl.UInt32(),
        "dates": pl.UInt32(),
        "symbols": pl.UInt32(),
        "rows": pl.Int64(),
        "bytes": pl.Int64(),
        "first": pl.Datetime("ns", "UTC"),
        "last": pl.Datetime("ns", "UTC"),
    }
)
_SOURCES_SCHEMA = pl.Schema(
    {
        "source": pl.String(),
        "schema": pl.String(),
        "rows": pl.Int64(),
        "loaded": pl.Int64(),
        "version": pl.String(),
        "digest": pl.String(),
        "selection": pl.String(),
    }
)
_PARTS_SCHEMA = pl.Schema(
    {
        "schema": pl.String(),
        "date": pl.Date(),
        "first_symbol": pl.String(),
        "last_symbol": pl.String(),
        "symbols": pl.UInt32(),
        "rows": pl.Int64(),
        "bytes": pl.Int64(),
        "ts_min": pl.Datetime("ns", "UTC"),
        "ts_max": pl.Datetime("ns", "UTC"),
        "path": pl.String(),
        "digest": pl.String(),
        "aliases": pl.String(),
    }
)


def _count_contents(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """The rows of `Lake.contents`."""
    rows: list[tuple[object, ...]] = []
    for schema in read_schemas(connection):
        days = read_days(connection, schema)
        rows.append(
            (
                schema,
                sum(day.parts for day in days),
                len(days),
                len(read_symbols(connection, schema).names),
                sum(day.rows for day in days),
                sum(day.bytes for day in days),
                *enclosing_span((day.ts_min, day.ts_max) for day in days),
            )
        )
    return rows


def _parts_frame(parts: Sequence[Part]) -> pl.DataFrame:
    columns = {name: [getattr(part, name) for part in parts] for name in _PARTS_SCHEMA}
    columns["symbols"] = [len(part.list_symbols()) for part in parts]
    raw = {"date": pl.String(), "ts_min": pl.Int64(), "ts_max": pl.Int64()}
    return pl.DataFrame(columns, schema=pl.Schema({**_PARTS_SCHEMA, **raw})).with_columns(
        pl.col("date").str.to_date(),
        pl.col("ts_min", "ts_max").cast(_PARTS_SCHEMA["ts_min"]),
    )
