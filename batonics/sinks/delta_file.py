"""A data file of a Delta table: Parquet, and what the table's log says of it.

The rule here: when the log is told of a file, its bytes are on the disk.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa

from batonics.sinks.atomic import output_errors, sync_path
from batonics.sinks.columnar import ParquetWriter
from batonics.sinks.delta_types import delta_columns, delta_rows, time_columns

FILE_BUFFER_BYTES = 1 << 20
"""Column chunks are small, and each would be two writes."""


class DataFile:
    """A data file that is being written.

    Args:
        path: where to.
        columns: of its frames, in our types.

    Attributes:
        rows: how many were given so far.

    Raises:
        OutputError: it cannot be made.
    """

    def __init__(self, path: Path, columns: pl.Schema) -> None:
        self.path, self.rows = path, 0
        # Lowest and highest value, how many are null.
        self._spans: dict[str, tuple[int | None, int | None, int]] = dict.fromkeys(
            time_columns(columns), (None, None, 0)
        )
        with output_errors(path):
            self._sink = pa.BufferedOutputStream(pa.OSFile(str(path), "wb"), FILE_BUFFER_BYTES)
        self._writer = ParquetWriter(self._sink, delta_columns(columns), is_vendor=False)

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows of the columns.

        Raises:
            OutputError: there is no room, or the disk fails.
        """
        rows = delta_rows(frame)
        for name, span in self._spans.items():
            self._spans[name] = _wider(span, rows[name])
        self.rows += rows.height
        with output_errors(self.path):
            self._writer.write(rows)

    def close(self) -> str:
        """Have all of it on the disk; what the log says of its rows, as JSON.

        That is how many there are, and of times the lowest, the highest and how many are null: by
        these a reader knows which files it need not open.
        """
        with output_errors(self.path):
            self._writer.close()
            self._sink.close()
            sync_path(self.path)
        spans = self._spans.items()
        told = {
            "numRecords": self.rows,
            "minValues": {name: low for name, (low, _, _) in spans if low is not None},
            "maxValues": {name: high for name, (_, high, _) in spans if high is not None},
            "nullCount": {name: nulls for name, (_, _, nulls) in spans},
        }
        return json.dumps(told)

    def abandon(self) -> None:
        """Close it as it is: nothing is to name it."""
        self._writer.abandon()
        with suppress(OSError):
            self._sink.close()


def _wider(
    span: tuple[int | None, int | None, int], values: pl.Series
) -> tuple[int | None, int | None, int]:
    """The span with the values of integers in it."""
    low, high, nulls = span
    lows = [low, values.min()]
    highs = [high, values.max()]
    return (
        min((value for value in lows if isinstance(value, int)), default=None),
        max((value for value in highs if isinstance(value, int)), default=None),
        nulls + values.null_count(),
    )
