"""Writes frames as parts: one Parquet file for each date and symbol, several for many rows.

The rule here: a part has rows of one load and date that have the same symbols, in the order in
which they came, and its digest is that of the bytes on the disk. Memory and open files are limited,
however many symbols there are: beyond the limit the largest group of rows is written early, or a
part ends early.

The date of a row is that of its time (`Schema.time`), UTC; a row without a time has the time of
the row before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.row_keys import ALIASES, ROW_TIME
from batonics.frames.schemas.schema import Schema
from batonics.lake.catalog import NO_ALIASES, Part
from batonics.lake.digest import file_digest
from batonics.lake.part_paths import part_directory
from batonics.model.times import NS_PER_DAY
from batonics.sinks.atomic import sync_path
from batonics.sinks.columnar import ParquetWriter, open_file_stream

PART_ROWS_MAX = 16 << 20
"""Rows of one part: half a gigabyte of mbp-10."""
GATHERED_BYTES_MAX = 512 << 20
"""Size of all rows that wait for their row group to be full."""
OPEN_PARTS_MAX = 128
"""Parts that are open at once."""

EPOCH = dt.date(1970, 1, 1)
HIVE_SCHEMA = pl.Schema({"date": pl.Date(), SYMBOL: pl.String()})
"""Columns whose values are in the names of a part's directories."""
ROW_DAY = "_day"


class PartKey(NamedTuple):
    """What all rows of a part have in common.

    Attributes:
        day: days since the epoch, UTC; None if no row has a time.
        symbol: symbol; None if there is none.
        aliases: other symbols, as `Part` has them.
    """

    day: int | None
    symbol: str | None
    aliases: str = NO_ALIASES


class PartFile:
    """A part that is being written.

    Args:
        file: path of the file, until it is moved into the lake.
        schema: schema of its rows.
        key: day and symbol of its rows.

    Attributes:
        rows: number of rows so far.
        bytes_gathered: size of the rows that wait for their row group to be full.
        ts_min: least time of its rows, nanoseconds since the epoch; None: none is known.
        ts_max: greatest time of its rows, likewise.
    """

    def __init__(self, file: Path, schema: Schema, key: PartKey) -> None:
        self.file, self.key = file, key
        self.rows = 0
        self.bytes_gathered = 0
        self.ts_min: int | None = None
        self.ts_max: int | None = None
        self._schema = schema
        self._stream = open_file_stream(file)
        self._writer = ParquetWriter(
            self._stream, schema.lake_columns, is_vendor=schema.rtype is not None
        )

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows with the schema's `lake_columns`."""
        self.rows += frame.height
        self._writer.write(frame)
        row_bytes = 1 + int(frame.estimated_size()) // max(1, frame.height)
        self.bytes_gathered = self._writer.rows_gathered * row_bytes

    def extend_times(self, low: int | None, high: int | None) -> None:
        """Extend `ts_min` and `ts_max` to times of rows."""
        if low is not None and high is not None:
            self.ts_min = low if self.ts_min is None else min(self.ts_min, low)
            self.ts_max = high if self.ts_max is None else max(self.ts_max, high)

    def write_gathered(self) -> None:
        """Write the waiting rows, as a row group that is not full."""
        self._writer.write_gathered()
        self.bytes_gathered = 0

    def close(self, name: str) -> tuple[Path, Part]:
        """Write the rest and sync the file.

        Args:
            name: name of the part in the lake, without its ending; it is unique.

        Returns:
            The path of the file, and the part that it becomes.
        """
        self._writer.close()
        self._stream.close()
        sync_path(self.file)
        schema, date = self._schema.name, day_to_date(self.key.day)
        part = Part(
            path=f"{part_directory(schema, date, self.key.symbol)}/{name}.parquet",
            schema=schema,
            date=date,
            symbol=self.key.symbol,
            digest=file_digest(self.file),
            bytes=self.file.stat().st_size,
            rows=self.rows,
            ts_min=self.ts_min,
            ts_max=self.ts_max,
            aliases=self.key.aliases,
        )
        return self.file, part

    def abandon(self) -> None:
        """Close the file as it is; it becomes no part."""
        self._writer.abandon()
        self._stream.close()


class PartsWriter:
    """Writes the parts of one load and schema.

    Args:
        schema: schema of the rows.
        directory: directory for the files, until they are moved into the lake.
        prefix: beginning of the names of the parts, unique in the lake.

    Attributes:
        written: path of each complete file and the part that it becomes, in order.
    """

    def __init__(self, schema: Schema, directory: Path, prefix: str) -> None:
        self.written: list[tuple[Path, Part]] = []
        self._schema, self._directory, self._prefix = schema, directory, prefix
        self._open: dict[PartKey, PartFile] = {}  # in the order of the last write
        self._files_made = 0
        self._columns = list(schema.lake_columns)
        self._latest_day = -1

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows with the schema's `lake_columns`, `_time`, `symbol` and perhaps `_aliases`.

        `_time` (Int64, nanoseconds since the epoch) is the time of the row, or of the row before it
        if it has none; null if neither has one.
        """
        self._end_parts_before(_integer(frame[ROW_TIME].min()))
        for key, rows in self._by_key(frame):
            part = self._part(key)
            part.extend_times(_integer(rows[ROW_TIME].min()), _integer(rows[ROW_TIME].max()))
            part.write(rows[self._columns])
        while sum(part.bytes_gathered for part in self._open.values()) > GATHERED_BYTES_MAX:
            max(self._open.values(), key=lambda part: part.bytes_gathered).write_gathered()
        for part in [part for part in self._open.values() if part.rows >= PART_ROWS_MAX]:
            self._end(part)

    def close(self) -> None:
        """Complete all parts."""
        for part in list(self._open.values()):
            self._end(part)

    def abandon(self) -> None:
        """Close the open files as they are."""
        for part in self._open.values():
            part.abandon()
        self._open.clear()

    def _by_key(self, frame: pl.DataFrame) -> Iterator[tuple[PartKey, pl.DataFrame]]:
        """The rows of each date, symbol and aliases, in their order."""
        times, symbols, ids = frame[ROW_TIME], frame[SYMBOL], frame["instrument_id"]
        first, last = _day(times.min()), _day(times.max())
        is_plain = first == last and not times.null_count() and ALIASES not in frame.columns
        # An instrument changes its symbol only from one day to another.
        if is_plain and ids.min() == ids.max() and symbols[0] == symbols[-1]:
            yield PartKey(first, symbols[0]), frame
            return
        keyed = frame.hstack([(times // NS_PER_DAY).alias(ROW_DAY)])
        columns = [name for name in (ROW_DAY, SYMBOL, ALIASES) if name in keyed.columns]
        groups = keyed.partition_by(columns, maintain_order=True, as_dict=True)
        for key, rows in groups.items():
            yield PartKey(*key), rows

    def _end_parts_before(self, ts_ns: int | None) -> None:
        """Complete the parts of days before a time, which is the earliest of the new rows.

        Few rows come later than that, and the rows that wait in these parts would all be written at
        the end.
        """
        day = -1 if ts_ns is None else ts_ns // NS_PER_DAY
        if day <= self._latest_day:
            return
        for part in [part for part in self._open.values() if (part.key.day or day) < day]:
            self._end(part)
        self._latest_day = day

    def _part(self, key: PartKey) -> PartFile:
        part = self._open.pop(key, None)
        if part is None:
            if len(self._open) >= OPEN_PARTS_MAX:
                self._end(next(iter(self._open.values())))
            file = self._directory / f"{self._schema.name}-{self._files_made:04}.parquet"
            part = PartFile(file, self._schema, key)
            self._files_made += 1
        self._open[key] = part
        return part

    def _end(self, part: PartFile) -> None:
        self.written.append(part.close(f"{self._prefix}-{len(self.written):04}"))
        del self._open[part.key]


def _day(ts_ns: object) -> int | None:
    return ts_ns // NS_PER_DAY if isinstance(ts_ns, int) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def day_to_date(day: int | None) -> str | None:
    """The ISO date of a number of days since the epoch."""
    return None if day is None else str(EPOCH + dt.timedelta(days=day))


def date_to_day(date: str | None) -> int | None:
    """The number of days since the epoch of an ISO date: the inverse of `day_to_date`."""
    return None if date is None else (dt.date.fromisoformat(date) - EPOCH).days
