"""Frames in, Parquet files out: one for each date and symbol, or several where there are many rows.

The rule here: a part's rows are those of one load, date and symbol, in the order in which they
came, and its digest is that of the bytes on the disk. Memory and open files have a limit, however
many symbols there are; then the largest group of rows is written early, or a part is ended early.

A row's date is that of its time (`Schema.time`), UTC; one without a time is of the time of the
row before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import polars as pl
import pyarrow as pa

from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.row_keys import ROW_TIME
from batonics.frames.schemas.table import Schema
from batonics.lake.catalog import Part
from batonics.lake.digest import file_digest
from batonics.model.times import NS_PER_DAY
from batonics.sinks.atomic import sync_path
from batonics.sinks.columnar import ParquetWriter

PART_ROWS_MAX = 16 << 20
"""Of a part: then another begins. Of mbp-10, half a gigabyte."""
GATHERED_BYTES_MAX = 512 << 20
"""Of rows that wait for their row group to be full."""
FILE_BUFFER_BYTES = 1 << 20
"""Of each open part: column chunks are small, and each would be two writes."""
OPEN_PARTS_MAX = 128
"""Files that are open at once."""

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""What hive-named directories have in the place of null."""
EPOCH = dt.date(1970, 1, 1)
HIVE_SCHEMA = pl.Schema({"date": pl.Date(), SYMBOL: pl.String()})
"""What the directories say of a part's rows."""
ROW_DAY = "_day"


class PartKey(NamedTuple):
    """What a part's rows have in common: days since the epoch, and the symbol."""

    day: int | None
    symbol: str | None


class PartFile:
    """A part that is being written.

    Args:
        file: where to, until it is moved into the lake.
        schema: what its rows are.
        key: what they have in common.

    Attributes:
        rows: how many it has.
        bytes_gathered: of rows that wait for their row group to be full.
        ts_min, ts_max: of its rows' times, nanoseconds since the epoch.
    """

    def __init__(self, file: Path, schema: Schema, key: PartKey) -> None:
        self.file, self.key = file, key
        self.rows = 0
        self.bytes_gathered = 0
        self.ts_min: int | None = None
        self.ts_max: int | None = None
        self._schema = schema
        self._sink = pa.BufferedOutputStream(pa.OSFile(str(file), "wb"), FILE_BUFFER_BYTES)
        self._writer = ParquetWriter(self._sink, schema.columns, is_vendor=schema.rtype is not None)

    def write(self, frame: pl.DataFrame) -> None:
        """Take rows of the schema's columns."""
        self.rows += frame.height
        self._writer.write(frame)
        row_bytes = 1 + int(frame.estimated_size()) // max(1, frame.height)
        self.bytes_gathered = self._writer.rows_gathered * row_bytes

    def span(self, low: int | None, high: int | None) -> None:
        """Note that rows have times from `low` to `high`."""
        if low is not None and high is not None:
            self.ts_min = low if self.ts_min is None else min(self.ts_min, low)
            self.ts_max = high if self.ts_max is None else max(self.ts_max, high)

    def write_gathered(self) -> None:
        """Write the rows that wait, as a row group that is not full."""
        self._writer.write_gathered()
        self.bytes_gathered = 0

    def close(self, name: str) -> tuple[Path, Part]:
        """Write the rest, and have all of it on the disk; the file, and the part it is to be.

        Args:
            name: of the file in the lake, unique there.
        """
        self._writer.close()
        self._sink.close()
        sync_path(self.file)
        part = Part(
            path=f"{part_directory(self._schema.name, self.key)}/{name}.parquet",
            schema=self._schema.name,
            date=day_to_date(self.key.day),
            symbol=self.key.symbol,
            digest=file_digest(self.file),
            bytes=self.file.stat().st_size,
            rows=self.rows,
            ts_min=self.ts_min,
            ts_max=self.ts_max,
        )
        return self.file, part

    def abandon(self) -> None:
        """Close the file as it is: it is no part of anything."""
        self._writer.abandon()
        self._sink.close()


class PartsWriter:
    """The parts of one load and schema.

    Args:
        schema: what the rows are.
        directory: where files are written until they are moved into the lake.
        prefix: of their names there, unique in the lake.

    Attributes:
        written: files that are ended, and the parts they are, in order.
    """

    def __init__(self, schema: Schema, directory: Path, prefix: str) -> None:
        self.written: list[tuple[Path, Part]] = []
        self._schema, self._directory, self._prefix = schema, directory, prefix
        self._open: dict[PartKey, PartFile] = {}  # the one written to last comes last
        self._begun = 0
        self._latest_day = -1

    def write(self, frame: pl.DataFrame) -> None:
        """Take rows: the schema's columns, `_time` and `symbol`.

        `_time` (Int64, nanoseconds since the epoch) is when they were, or when the row before them
        was; null if that is not known.
        """
        self._end_before(_integer(frame[ROW_TIME].min()))
        for key, rows in self._by_key(frame):
            part = self._part(key)
            part.span(_integer(rows[ROW_TIME].min()), _integer(rows[ROW_TIME].max()))
            part.write(rows[list(self._schema.columns)])
        while sum(part.bytes_gathered for part in self._open.values()) > GATHERED_BYTES_MAX:
            max(self._open.values(), key=lambda part: part.bytes_gathered).write_gathered()
        for part in [part for part in self._open.values() if part.rows >= PART_ROWS_MAX]:
            self._end(part)

    def close(self) -> None:
        """End all parts."""
        for part in list(self._open.values()):
            self._end(part)

    def abandon(self) -> None:
        """Close what is open, as it is."""
        for part in self._open.values():
            part.abandon()
        self._open.clear()

    def _by_key(self, frame: pl.DataFrame) -> Iterator[tuple[PartKey, pl.DataFrame]]:
        """The frame's rows by date and symbol, each in their order."""
        times, symbols, ids = frame[ROW_TIME], frame[SYMBOL], frame["instrument_id"]
        first, last = _day(times.min()), _day(times.max())
        is_one = first == last and not times.null_count()
        # One instrument changes its name only from one day to another.
        if is_one and ids.min() == ids.max() and symbols[0] == symbols[-1]:
            yield PartKey(first, symbols[0]), frame
            return
        keyed = frame.hstack([(times // NS_PER_DAY).alias(ROW_DAY)])
        groups = keyed.partition_by(ROW_DAY, SYMBOL, maintain_order=True, as_dict=True)
        for (day, symbol), rows in groups.items():
            yield PartKey(day, symbol), rows

    def _end_before(self, ts_ns: int | None) -> None:
        """End the parts of days before that of the earliest row that has come now.

        Few rows come so late; and what waits in those parts would all be written at the end.
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
            file = self._directory / f"{self._schema.name}-{self._begun:04}.parquet"
            part = PartFile(file, self._schema, key)
            self._begun += 1
        self._open[key] = part
        return part

    def _end(self, part: PartFile) -> None:
        self.written.append(part.close(f"{self._prefix}-{len(self.written):04}"))
        del self._open[part.key]


def _day(ts_ns: object) -> int | None:
    return ts_ns // NS_PER_DAY if isinstance(ts_ns, int) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def part_directory(schema: str, key: PartKey) -> str:
    """Where parts of a date and symbol lie, from the lake's root, as hive names them."""
    date = day_to_date(key.day) or HIVE_NULL
    symbol = HIVE_NULL if key.symbol is None else quote(key.symbol, safe="")
    return f"{schema}/date={date}/symbol={symbol}"


def day_to_date(day: int | None) -> str | None:
    """ISO text of a number of days since the epoch."""
    return None if day is None else str(EPOCH + dt.timedelta(days=day))


def date_to_day(date: str | None) -> int | None:
    """The number of days since the epoch of ISO text: the inverse of `date_of`."""
    return None if date is None else (dt.date.fromisoformat(date) - EPOCH).days
