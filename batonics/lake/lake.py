"""A lake: years of books in parts that DuckDB, Polars and any Arrow tool read.

The rule here: whoever reads gets files that one state of the catalog names, and that have been
found to be what was committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl

from batonics.frames.html import html_table
from batonics.frames.scan.sources import BOOK_KEY
from batonics.frames.schemas.table import Schema, find_schema
from batonics.lake import catalog
from batonics.lake.catalog import Part, RowFilter
from batonics.lake.digest import Verifier
from batonics.lake.parts import HIVE_SCHEMA
from batonics.lake.storage import Store, open_store
from batonics.model.errors import LakeError, UsageError
from batonics.model.times import NS_PER_S, parse_time

VACUUM_SECONDS = 24 * 3_600
"""So long parts that others have replaced stay for readers that began before."""


class Lake:
    """An existing lake.

    Args:
        root: its directory, or `s3://BUCKET/PREFIX`.

    Raises:
        LakeError: there is none, or its catalog is not one we know.
    """

    def __init__(self, root: str | Path) -> None:
        self.store = open_store(root)
        self.verifier = Verifier()

    def __repr__(self) -> str:
        return f"Lake({self.store.name!r})"

    def _repr_html_(self) -> str:
        """A row a schema, for notebooks: how much there is of it, and from when to when."""
        rows = self.contents().rename({"first": "first (UTC)", "last": "last (UTC)"})
        return html_table(rows, self.store.name)

    def contents(self) -> pl.DataFrame:
        """A row a schema.

        Columns: schema (String); parts, dates, symbols (UInt32), how many; rows, bytes (Int64);
        first, last (Datetime ns UTC), of rows' times.
        """
        held = (
            self.parts()
            .group_by("schema")
            .agg(
                parts=pl.len(),
                dates=pl.col("date").n_unique(),
                symbols=pl.col("symbol").n_unique(),
                rows=pl.sum("rows"),
                bytes=pl.sum("bytes"),
                first=pl.min("ts_min"),
                last=pl.max("ts_max"),
            )
        )
        # One of which no row was made has no parts.
        known = pl.DataFrame({"schema": self.schemas()}, schema={"schema": pl.String()})
        counts = pl.col("parts", "dates", "symbols", "rows", "bytes").fill_null(0)
        joined = known.join(held, on="schema", how="left", maintain_order="left")
        return joined.with_columns(counts)

    def schemas(self) -> list[str]:
        """The schemas that have been loaded."""
        return self.store.catalog.read(catalog.schemas)

    def parts(self) -> pl.DataFrame:
        """A row a part: what the catalog says of it, by schema, date and symbol.

        Columns: schema, symbol (String), date (Date), rows, bytes (Int64), ts_min, ts_max (Datetime
        ns UTC, of rows' times), path (String, from the root), digest (String, SHA-256 in hex).
        """
        rows = self.store.catalog.read(catalog.all_parts)
        return _parts_frame(rows)

    def sources(self) -> pl.DataFrame:
        """A row for each schema of each source: where the rows come from.

        Columns: source (String: paths, a line each, or what a stream was called), schema (String),
        rows (Int64), loaded (Datetime ns UTC), version (String, of batonics), digest (String,
        SHA-256 of the source in hex; null of a stream).
        """
        rows = self.store.catalog.read(catalog.loads)
        frame = pl.DataFrame(rows, schema=_SOURCES_SCHEMA, orient="row")
        return frame.with_columns(pl.col("loaded").cast(_PARTS_SCHEMA["ts_min"]))

    def files(
        self,
        schema: str,
        *,
        symbols: str | Sequence[str] = (),
        start: str | int | None = None,
        end: str | int | None = None,
    ) -> list[Path]:
        """The files that may hold rows of a schema that are wanted, each of them verified.

        Args:
            schema: such as mbp-10.
            symbols: only of these.
            start: only of times from this on: ISO 8601 (UTC) or nanoseconds.
            end: only of times before this.

        Raises:
            UsageError: the lake has no such schema; LakeError: a file is damaged or missing.
        """
        check_schema(self.store, schema)
        return self._verified(schema, parse_row_filter(symbols, start, end))

    def scan(
        self,
        schema: str,
        *,
        symbols: str | Sequence[str] = (),
        start: str | int | None = None,
        end: str | int | None = None,
    ) -> pl.LazyFrame:
        """A LazyFrame of a schema's rows, in the order of date and symbol.

        Dtypes are those of the frames that were loaded; `date` (Date) and `symbol` (String) follow
        the columns. Files are chosen and verified now, by symbols and times; what the frame is
        asked for afterwards, Polars pushes down into them.

        Args: as `files`.

        Raises:
            UsageError: the lake has no such schema, or its path a directory NAME=VALUE; LakeError:
            a file is damaged or missing.
        """
        wanted = parse_row_filter(symbols, start, end)
        check_schema(self.store, schema)
        found = find_schema(schema)
        columns = pl.Schema({**found.columns, **HIVE_SCHEMA})
        files = self._verified(schema, wanted)
        if not files:
            return pl.LazyFrame(schema=columns)
        root = files[0].parents[3]
        if "=" in str(root):
            raise UsageError(
                f"{root}: Polars takes each NAME=VALUE in a path for a column; name the lake by a"
                " link whose path has none"
            )
        rows = pl.scan_parquet(
            files,
            schema=found.columns,
            hive_partitioning=True,
            hive_schema=HIVE_SCHEMA,
            glob=False,
        ).select(list(columns))
        return filter_rows(rows, found, wanted)

    def join_asof(  # noqa: PLR0913 - as Polars has it, and `scan`
        self,
        left: str,
        right: str,
        *,
        columns: str | Sequence[str] | None = None,
        allow_exact_matches: bool = False,
        suffix: str = "_right",
        symbols: str | Sequence[str] = (),
        start: str | int | None = None,
        end: str | int | None = None,
    ) -> pl.LazyFrame:
        """Rows of a schema, each with the last row of another before it: trades with their quotes.

        A row is before another if it is of the same book (publisher_id and instrument_id), symbol
        and date (UTC), and of an earlier time; of several with that time the last is taken. Null
        where there is none. It is a merge, part by part: several times as fast as ASOF JOIN in SQL,
        which takes any of several rows with the same time.

        Args:
            left: a schema; all its rows come, in the order of `scan`.
            right: a schema, of which each of them gets the columns.
            columns: of `right`; None: all but publisher_id and instrument_id.
            allow_exact_matches: a row of the same time is before it too.
            suffix: of the names of those columns that `left` has too.
            symbols: only rows of these.
            start: of `left`, only of times from this on: ISO 8601 (UTC) or nanoseconds.
            end: of `left`, only of times before this.
                These three choose the files; a filter on the answer leaves none out.

        Raises:
            UsageError: there is no such schema or column; LakeError: a file is damaged or missing.
        """
        from batonics.lake.asof import AsofJoin, find_join_sides

        wanted = parse_row_filter(symbols, start, end)
        for schema in (left, right):
            check_schema(self.store, schema)
        schemas = find_schema(left), find_schema(right)
        if isinstance(columns, str):
            columns = [columns]
        elif columns is None:
            columns = [name for name in schemas[1].columns if name not in BOOK_KEY]
        sides_of = find_join_sides(self.store, self.verifier, schemas, wanted)
        join = AsofJoin(*sides_of, columns, allow_exact_matches=allow_exact_matches, suffix=suffix)
        return filter_rows(join.rows(), schemas[0], wanted)

    def sql(self, query: str, **parameters: object) -> pl.DataFrame:
        """The answer to one SELECT over views named after the schemas (`lake/sql.py`).

        Args:
            query: SQL as DuckDB has it; `mbp_10` is the view of mbp-10. Times are TIMESTAMP_NS in
                UTC, and Datetime ns UTC in the answer; prices BIGINT of 1e-9.
                Or a file of it, such as `queries/spread_by_hour.sql`: with the types and defaults
                of its header (`lake/query_file.py`).
            parameters: values of `$name` in it.

        Raises:
            UsageError: what DuckDB says; LakeError: a file is damaged or missing.
        """
        from batonics.lake.sql import LakeDatabase, read_query

        asked = read_query(query)
        values = parameters
        if asked.declared:
            values = asked.values({name: str(value) for name, value in parameters.items()})
        with closing(LakeDatabase(self.store, self.verifier)) as views:
            return views.query(asked.sql, values).frame()

    def check(self, progress: Callable[[int], None] | None = None) -> list[str]:
        """Read every part, and say what is wrong: a line each, none if all is well.

        Args:
            progress: called with the bytes of each part after it was read.
        """
        wrong = []
        for part in self.store.catalog.read(catalog.all_parts):
            try:
                self.store.verify(part)
            except LakeError as error:
                wrong.append(str(error))
            if progress is not None:
                progress(part.bytes)
        stray = self.store.strays()
        wrong += [f"{path}: is in no load (`batonics lake vacuum` removes it)" for path in stray]
        return wrong

    def vacuum(self, older_than_seconds: float = VACUUM_SECONDS) -> tuple[int, int]:
        """Remove files that no reader can want any more; how many, and their bytes.

        Args:
            older_than_seconds: parts that were replaced so long ago, or longer. Files of loads
                that were killed go at once; from a bucket, after a day.
        """
        self.store.sweep()
        before_ns = time.time_ns() - int(older_than_seconds * NS_PER_S)
        removed = self.store.catalog.read(catalog.find_removed_parts(before_ns))
        strays = self.store.strays()
        freed = self.store.remove([*removed, *strays])
        self.store.catalog.commit(catalog.forget_parts(removed))
        return len(removed) + len(strays), freed

    def _verified(self, schema: str, wanted: RowFilter) -> list[Path]:
        parts = self.store.catalog.read(catalog.find_parts(schema, wanted))
        self.store.fetch(parts, self.verifier)
        return [self.store.path(part) for part in parts]


def check_schema(store: Store, schema: str) -> None:
    """UsageError unless a schema has been loaded into a lake."""
    known = store.catalog.read(catalog.schemas)
    if schema not in known:
        there_are = ", ".join(known) or "none"
        raise UsageError(f"{store.name}: no schema {schema!r}; there are {there_are}")


def check_symbols(store: Store, names: Sequence[str]) -> None:
    """UsageError unless a lake has rows of all these symbols."""
    known = store.catalog.read(catalog.symbols) if names else []
    for name in names:
        if name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none"
            raise UsageError(f"no symbol {name!r} in {store.name}; {there_are}")


def parse_row_filter(
    symbols: str | Sequence[str], start: str | int | None, end: str | int | None
) -> RowFilter:
    """What a reader wants, from what a user says.

    Raises:
        UsageError: a time is none, or the start is not before the end.
    """
    names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    start_ns = None if start is None else parse_time(str(start))
    end_ns = None if end is None else parse_time(str(end))
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise UsageError(f"the start, {start}, is not before the end, {end}")
    return RowFilter(names, start_ns, end_ns)


def filter_rows(
    rows: pl.LazyFrame, schema: Schema, wanted: RowFilter, date: pl.Expr | None = None
) -> pl.LazyFrame:
    """The rows whose times are wanted; where there is a bound, one without a time is not.

    Args:
        rows: of `schema`.
        schema: the schema of the rows.
        wanted: the bounds.
        date: of the rows; None: their column `date`.
    """
    time = schema.time_on(pl.col("date") if date is None else date)
    for bound, keeps in ((wanted.start_ns, time.ge), (wanted.end_ns, time.lt)):
        if bound is not None:
            bound_ns = pl.lit(min(bound, 2**63 - 1)).cast(pl.Datetime("ns", "UTC"))
            rows = rows.filter(keeps(bound_ns))
    return rows


_SOURCES_SCHEMA = pl.Schema(
    {
        "source": pl.String(),
        "schema": pl.String(),
        "rows": pl.Int64(),
        "loaded": pl.Int64(),
        "version": pl.String(),
        "digest": pl.String(),
    }
)
_PARTS_SCHEMA = pl.Schema(
    {
        "schema": pl.String(),
        "date": pl.Date(),
        "symbol": pl.String(),
        "rows": pl.Int64(),
        "bytes": pl.Int64(),
        "ts_min": pl.Datetime("ns", "UTC"),
        "ts_max": pl.Datetime("ns", "UTC"),
        "path": pl.String(),
        "digest": pl.String(),
    }
)


def _parts_frame(parts: Sequence[Part]) -> pl.DataFrame:
    columns = {name: [getattr(part, name) for part in parts] for name in _PARTS_SCHEMA}
    raw = {"date": pl.String(), "ts_min": pl.Int64(), "ts_max": pl.Int64()}
    return pl.DataFrame(columns, schema=pl.Schema({**_PARTS_SCHEMA, **raw})).with_columns(
        pl.col("date").str.to_date(),
        pl.col("ts_min", "ts_max").cast(_PARTS_SCHEMA["ts_min"]),
    )
