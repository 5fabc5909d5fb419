"""A data file of a Delta table: Parquet, and its statistics for the table's log.

The rule here: a file is synced to the disk before the log can name it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import polars as pl

from batonics.sinks.atomic import output_errors, sync_path
from batonics.sinks.columnar import ParquetWriter, open_file_stream
from batonics.sinks.delta_types import delta_columns, delta_rows, time_columns


class DataFile:
    """A data file that is being written.

    Args:
        path: path of the file.
        columns: columns of its frames.

    Attributes:
        path: path of the file.
        rows: number of rows so far.

    Raises:
        OutputError: it cannot be created.
    """

    def __init__(self, path: Path, columns: pl.Schema) -> None:
        self.path, self.rows = path, 0
        # Least and greatest value and number of nulls of each column of times.
        self._spans: dict[str, tuple[int | None, int | None, int]] = dict.fromkeys(
            time_columns(columns), (None, None, 0)
        )
        with output_errors(path):
            self._stream = open_file_stream(path)
        self._writer = ParquetWriter(self._stream, delta_columns(columns), is_vendor=False)

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows.

        Raises:
            OutputError: there is no room, or the disk fails.
        """
        rows = delta_rows(frame)
        for name, span in self._spans.items():
            self._spans[name] = _extend_span(span, rows[name])
        self.rows += rows.height
        with output_errors(self.path):
            self._writer.write(rows)

    def close(self) -> str:
        """Complete and sync the file; return its statistics for the log, as JSON.

        They are the number of rows, and of each column of times the least value, the greatest value
        and the number of nulls, by which a reader knows which files it need not open.
        """
        with output_errors(self.path):
            self._writer.close()
            self._stream.close()
            sync_path(self.path)
        spans = self._spans.items()
        statistics = {
            "numRecords": self.rows,
            "minValues": {name: low for name, (low, _, _) in spans if low is not None},
            "maxValues": {name: high for name, (_, high, _) in spans if high is not None},
            "nullCount": {name: nulls for name, (_, _, nulls) in spans},
        }
        return json.dumps(statistics)

    def abandon(self) -> None:
        """Close the file as it is; the log will not name it."""
        self._writer.abandon()
        with suppress(OSError):
            self._stream.close()


def _extend_span(
    span: tuple[int | None, int | None, int], values: pl.Series
) -> tuple[int | None, int | None, int]:
    """The span extended to the values, which are integers."""
    low, high, nulls = span
    lows = [low, values.min()]
    highs = [high, values.max()]
    return (
        min((value for value in lows if isinstance(value, int)), default=None),
        max((value for value in highs if isinstance(value, int)), default=None),
        nulls + values.null_count(),
    )
