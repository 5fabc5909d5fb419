"""Writes frames as parts: Parquet files of one date, sorted by symbol.

The rule here: the rows of a load, date and symbol stand together, in the order in which they came,
and the digest of a part is that of the bytes on the disk. Memory, open files and the number of
parts depend on the rows, not on how many symbols they have.

    part 0          part 1   part 2
    A A B C C C     ES ES    F G G H
    └──┴───── symbols share parts and row groups; one with many rows has a part of its own

A row group begins at each symbol with `GROUP_SYMBOL_ROWS` rows or more, and ends with it, so that
the statistics of a file let any reader of Parquet skip what it does not need. A part has the rows
of a symbol with one list of other symbols only; where that list changes, a part ends.

The date of a row is that of its time (`Schema.time`), UTC; a row without a time has the time of
the row before it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl

from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.schema import Schema
from batonics.lake.digest import file_digest
from batonics.lake.disk_room import SortRoom
from batonics.lake.part import NO_ALIASES, Part, make_part
from batonics.lake.part_paths import part_directory
from batonics.lake.part_symbols import SymbolRows
from batonics.lake.row_sort import KeyRows, RowKey, RowSorter, SortedBlock
from batonics.model.times import NS_PER_DAY, enclosing_span
from batonics.sinks.atomic import sync_path
from batonics.sinks.background_write import write_in_background
from batonics.sinks.columnar import ParquetWriter, open_file_stream

PART_MEMORY_BYTES = 96 << 20
"""Size of the rows of a part in memory, within these limits of their number:"""
PART_ROWS_LEAST, PART_ROWS_MOST = 1 << 18, 1 << 20
OWN_PART_ROWS = 8_192
"""A symbol with fewer rows has no part of its own."""
OWN_PART_SHARE = 32
"""A symbol with one in so many of a day's rows has a part of its own."""
OWN_PART_ROWS_MOST = 4 << 20
"""Rows of a part of one symbol: more of them are several parts."""
GROUP_SYMBOL_ROWS = 16_384
"""Rows of a symbol from which it has row groups of its own."""
GATHERED_BYTES_MAX = 160 << 20
"""Size of the rows that wait in memory to be sorted."""
OPEN_DAYS_MAX = 32
"""Days of which rows wait to be sorted."""
BLOCKS_QUEUED_MAX = 2
"""Sorted blocks that wait to be written."""

EPOCH = dt.date(1970, 1, 1)
HIVE_SCHEMA = pl.Schema({"date": pl.Date()})
"""The column whose values are in the names of a part's directories."""
ROW_DAY = "_day"
SEARCHED_COLUMNS = (SYMBOL, "instrument_id")
"""Columns with Bloom filters: parts are not sorted by id, so that statistics do not tell them."""


def part_columns(schema: Schema) -> pl.Schema:
    """The columns of a part's file."""
    return pl.Schema({**schema.lake_columns, SYMBOL: pl.String()})


def part_rows_max(schema: Schema) -> int:
    """The rows of a part of several symbols."""
    row_bytes = sum(_value_bytes(dtype) for dtype in schema.lake_columns.values())
    return min(max(PART_MEMORY_BYTES // row_bytes, PART_ROWS_LEAST), PART_ROWS_MOST)


class PartFile:
    """A part that is being written.

    Args:
        file: path of the file, until it is moved into the lake.
        schema: schema of its rows.
        day: their date, in days since the epoch; None if no row has a time.
        totals: how many rows there are of each key, in this part and in others.

    Attributes:
        rows: number of rows so far.
    """

    def __init__(
        self, file: Path, schema: Schema, day: int | None, totals: Counter[RowKey]
    ) -> None:
        self.rows = 0
        self._last_key: RowKey | None = None
        self._file, self._schema, self._day, self._totals = file, schema, day, totals
        self._columns = list(part_columns(schema))
        self._symbols: list[SymbolRows] = []
        self._stream = open_file_stream(file)
        self._writer = ParquetWriter(
            self._stream,
            part_columns(schema),
            is_vendor=schema.rtype is not None,
            searched=[name for name in SEARCHED_COLUMNS if name in self._columns],
        )

    def write(self, block: SortedBlock) -> None:
        """Write sorted rows, which come behind those before."""
        frame = block.frame.select(self._columns)
        start = at = 0
        for found in block.keys:
            if self._begins_group(found.key):
                self._writer.write(frame[start:at])
                if self._writer.rows_gathered:
                    self._writer.write_gathered()
                start = at
            self._add_key(found)
            at += found.rows
        self._writer.write(frame[start:at])

    def _begins_group(self, key: RowKey) -> bool:
        """Whether the rows of a key begin a row group."""
        if self._last_key is None or self._last_key == key:
            return False
        return max(self._totals[self._last_key], self._totals[key]) >= GROUP_SYMBOL_ROWS

    def _add_key(self, found: KeyRows) -> None:
        key, rows, first, last = found
        self.rows += rows
        if key == self._last_key:
            before = self._symbols.pop()
            rows += before.rows
            first, last = enclosing_span([(first, last), (before.ts_min, before.ts_max)])
        self._last_key = key
        aliases = () if key.aliases == NO_ALIASES else tuple(json.loads(key.aliases))
        self._symbols.append(SymbolRows(key.symbol, rows, first, last, aliases))

    def close(self, name: str) -> tuple[Path, Part]:
        """Write the rest and sync the file.

        Args:
            name: name of the part in the lake, without its ending; it is unique.

        Returns:
            The path of the file, and the part that it becomes.
        """
        self._writer.close()
        self._stream.close()
        sync_path(self._file)
        schema, date = self._schema.name, day_to_date(self._day)
        part = make_part(
            f"{part_directory(schema, date)}/{name}.parquet",
            schema,
            date,
            self._symbols,
            digest=file_digest(self._file),
            size=self._file.stat().st_size,
        )
        return self._file, part

    def abandon(self) -> None:
        """Close the file as it is; it becomes no part."""
        self._writer.abandon()
        self._stream.close()


class PartCutter:
    """Cuts sorted rows of a day into parts, and writes them one after the other.

    Args:
        schema: schema of the rows.
        totals: how many rows there are of each key.
        own_parts: symbols with many rows have parts of their own.
        open_part: opens the next part.
        end_part: completes a part.
    """

    def __init__(
        self,
        schema: Schema,
        totals: Counter[RowKey],
        own_parts: bool,  # noqa: FBT001 - one caller
        open_part: Callable[[], PartFile],
        end_part: Callable[[PartFile], None],
    ) -> None:
        self._totals, self._open_part, self._end_part = totals, open_part, end_part
        self._rows_max = part_rows_max(schema)
        least = max(OWN_PART_ROWS, totals.total() // OWN_PART_SHARE)
        self._own_part_rows = least if own_parts else OWN_PART_ROWS_MOST
        self._part: PartFile | None = None
        self._rows, self._last = 0, RowKey(None)  # rows and last key of the part

    def write(self, block: SortedBlock) -> None:
        """Write the rows of a block, which come behind those of the block before."""
        start = at = 0
        keys: list[KeyRows] = []
        for found in block.keys:
            if self._begins_part(found):
                self._write_rows(SortedBlock(keys, block.frame[start:at]))
                self.close()
                self._part, self._rows = self._open_part(), 0
                keys, start = [], at
            keys.append(found)
            at += found.rows
            self._rows, self._last = self._rows + found.rows, found.key
        self._write_rows(SortedBlock(keys, block.frame[start:at]))

    def close(self) -> None:
        """Complete the last part."""
        part, self._part = self._part, None
        if part is not None:
            self._end_part(part)

    def abandon(self) -> None:
        """Close the open file as it is."""
        if self._part is not None:
            self._part.abandon()

    def _write_rows(self, block: SortedBlock) -> None:
        if block.keys and self._part is not None:
            self._part.write(block)

    def _begins_part(self, found: KeyRows) -> bool:
        """Whether rows are the first of a part."""
        key, last = found.key, self._last
        if self._part is None:
            return True
        if key == last:
            return self._rows + found.rows > OWN_PART_ROWS_MOST
        return (
            key.symbol == last.symbol  # with other aliases
            or max(self._totals[key], self._totals[last]) >= self._own_part_rows
            or self._rows + self._totals[key] > self._rows_max
        )


class PartsWriter:
    """Writes the parts of one load and schema.

    Args:
        schema: schema of the rows.
        directory: directory for the files, until they are moved into the lake.
        prefix: beginning of the names of the parts, unique in the lake.
        own_parts: symbols with many rows have parts of their own. Commits of a feed have none, so
            that few files are written however many symbols trade.
        memory_shares: number of writers that share the memory for rows that wait to be sorted.
        room: knows whether what is still to come fits on the disk; None: nobody does.

    Attributes:
        written: path of each complete file and the part that it becomes, in order.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        schema: Schema,
        directory: Path,
        prefix: str,
        *,
        own_parts: bool = True,
        memory_shares: int = 1,
        room: SortRoom | None = None,
    ) -> None:
        self.written: list[tuple[Path, Part]] = []
        self._schema, self._directory, self._prefix = schema, directory, prefix
        self._own_parts, self._room = own_parts, room
        self._gathered_bytes_max = GATHERED_BYTES_MAX // memory_shares
        self._days: dict[int | None, RowSorter] = {}  # in the order of their first rows
        self._cutter: PartCutter | None = None
        self._sorters_made = 0
        self._latest_day = -1

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows with the schema's `lake_columns`, `_time`, `symbol` and perhaps `_aliases`.

        `_time` (Int64, nanoseconds since the epoch) is the time of the row, or of the row before it
        if it has none; null if neither has one.

        Raises:
            OutputError: there is no room to sort the rows, or for those to come.
        """
        if not frame.height:
            return
        times = frame[ROW_TIME]
        first, last = _day(times.min()), _day(times.max())
        self._end_days_before(first)
        if first == last and not times.null_count():
            self._sorter(first).add(frame)
        else:
            dated = frame.with_columns((pl.col(ROW_TIME) // NS_PER_DAY).alias(ROW_DAY))
            by_day = dated.partition_by(ROW_DAY, include_key=False, as_dict=True)
            for (day,), rows in by_day.items():
                self._sorter(day).add(rows)
        sorters = self._days.values()
        while sum(sorter.bytes_in_memory for sorter in sorters) > self._gathered_bytes_max:
            size = max(sorters, key=lambda sorter: sorter.bytes_in_memory).write_run()
            if self._room is not None:
                self._room.add_run(size, keeps_runs=not self.written)

    def close(self) -> None:
        """Complete all parts."""
        for day in list(self._days):
            self._end_day(day)

    def abandon(self) -> None:
        """Close the open files as they are."""
        if self._cutter is not None:
            self._cutter.abandon()
        for sorter in self._days.values():
            sorter.close()
        self._days.clear()

    def _sorter(self, day: int | None) -> RowSorter:
        if day not in self._days:
            if len(self._days) >= OPEN_DAYS_MAX:
                self._end_day(next(iter(self._days)))
            name = f"{self._schema.name}-{self._sorters_made:04}"
            self._days[day] = RowSorter(self._directory, name)
            self._sorters_made += 1
        return self._days[day]

    def _end_days_before(self, day: int | None) -> None:
        """Complete the parts of days before one, which is the earliest of the new rows.

        Few rows come later than that, and all rows of these days would wait for the end.
        """
        if day is None or day <= self._latest_day:
            return
        for earlier in [other for other in self._days if (-1 if other is None else other) < day]:
            self._end_day(earlier)
        self._latest_day = day

    def _end_day(self, day: int | None) -> None:
        """Sort the rows of a day, and write them."""
        sorter = self._days[day]
        totals, blocks = sorter.finish()
        cutter = self._cutter = PartCutter(
            self._schema,
            totals,
            self._own_parts,
            lambda: self._open_part(day, totals),
            self._end_part,
        )
        with write_in_background(cutter.write, BLOCKS_QUEUED_MAX) as enqueue:
            for block in blocks:
                enqueue(block)
        cutter.close()
        self._cutter = None
        sorter.close()
        del self._days[day]

    def _open_part(self, day: int | None, totals: Counter[RowKey]) -> PartFile:
        file = self._directory / f"{self._schema.name}-{len(self.written):04}.parquet"
        return PartFile(file, self._schema, day, totals)

    def _end_part(self, part: PartFile) -> None:
        self.written.append(part.close(f"{self._prefix}-{len(self.written):04}"))


def _day(ts_ns: object) -> int | None:
    return ts_ns // NS_PER_DAY if isinstance(ts_ns, int) else None


def _value_bytes(dtype: pl.DataType) -> int:
    """Size of a value in memory."""
    small = {pl.Boolean: 1, pl.UInt8: 1, pl.Int8: 1, pl.Enum: 1, pl.UInt16: 2, pl.UInt32: 4}
    return small.get(dtype.base_type(), 8)


def day_to_date(day: int | None) -> str | None:
    """The ISO date of a number of days since the epoch."""
    return None if day is None else str(EPOCH + dt.timedelta(days=day))


def date_to_day(date: str | None) -> int | None:
    """The number of days since the epoch of an ISO date: the inverse of `day_to_date`."""
    return None if date is None else (dt.date.fromisoformat(date) - EPOCH).days
