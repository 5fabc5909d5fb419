"""The log of a Delta table that batonics has made, by way of deltalake.

The rule here: no other module knows deltalake. deltalake does not sync, so this module syncs its
files before a commit returns. It never writes to a table of another program.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from batonics.model.errors import OutputError, UsageError
from batonics.sinks.atomic import sync_path
from batonics.sinks.delta_types import PARTITIONS, delta_schema
from batonics.sinks.owned_directory import check_files

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import RemoveAction

LOG_DIRECTORY = "_delta_log"
TABLE_DESCRIPTION = "Made by batonics; its next export replaces whatever the table holds."
"""The description of tables that batonics has made, by which they are known."""
DIGEST_KEY = "batonicsDigest"
"""The key in a commit's information for the digest of the table's contents."""
_SYSTEM_ERROR = re.compile(r"\bos error (\d+)\)|\bOs \{ code: (\d+)")


class LoggedFile(NamedTuple):
    """A data file in the log.

    Attributes:
        path: path from the table's root.
        bytes: size.
        date: ISO date of its rows; None is null.
        symbol: symbol of its rows; None is null.
        statistics: statistics of its rows, as JSON; empty if the file was read from the log.
    """

    path: str
    bytes: int
    date: str | None
    symbol: str | None
    statistics: str = ""

    @property
    def partition_values(self) -> dict[str, str | None]:
        """The values of the partition columns."""
        return dict(zip(PARTITIONS, (self.date, self.symbol), strict=True))


class DeltaLog:
    """The log of a table, which may not exist yet.

    Args:
        directory: directory of the table.
        columns: columns of the frames to write.

    Attributes:
        version: newest version, from 0; None: there is no table.
        files: data files of that version.
        digest: digest of its contents; None unless a commit of batonics made it.
        has_columns: whether the table has the columns of the frames.

    Raises:
        OutputError: the table is damaged, or batonics has not made it.
        UsageError: deltalake is not installed.
    """

    def __init__(self, directory: Path, columns: pl.Schema) -> None:
        self._directory, self._schema = directory, delta_schema(columns)
        self._table = _open_table(directory)
        self.version = None if self._table is None else self._table.version()
        self.files: list[LoggedFile] = []
        self.digest: str | None = None
        self.has_columns = False
        if self._table is not None:
            with _delta_errors(directory):
                self.files = _files(self._table)
                self.digest = _digest(directory, self._table.version())
                found = pa.schema(self._table.schema().to_arrow())
                self.has_columns = found.equals(self._schema)

    def commit(
        self, added: Sequence[LoggedFile], removed: Sequence[LoggedFile], digest: str
    ) -> int:
        """Add files to the table and remove others, in one version; return its number.

        Args:
            added: files to add, which are on the disk.
            removed: files of `files` to remove; all of them, if the columns have changed.
            digest: digest of the table's new contents.

        Raises:
            OutputError: the log cannot be written, or another program has written to it meanwhile.
        """
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import AddAction, create_table_with_add_actions

        now_ms = time.time_ns() // 1_000_000
        actions = [
            AddAction(
                file.path,
                file.bytes,
                file.partition_values,
                now_ms,
                data_change=True,
                stats=file.statistics,
            )
            for file in added
        ]
        schema = Schema.from_arrow(self._schema)
        properties = CommitProperties(
            custom_metadata={DIGEST_KEY: digest, "batonicsVersion": version("batonics")},
            # No other commit may come between the version that was read and this one.
            max_commit_retries=0,
        )
        with _delta_errors(self._directory):
            if self._table is None:
                create_table_with_add_actions(
                    str(self._directory),
                    schema,
                    actions,
                    partition_by=list(PARTITIONS),
                    name=self._directory.name,
                    description=TABLE_DESCRIPTION,
                    commit_properties=properties,
                )
            else:
                # Only an overwrite changes columns; it removes all files itself.
                same_columns = self.has_columns
                self._table.create_write_transaction(
                    [*actions, *(_removals(removed, now_ms) if same_columns else ())],
                    "append" if same_columns else "overwrite",
                    schema,
                    list(PARTITIONS),
                    commit_properties=properties,
                )
        return self.sync()

    def sync(self) -> int:
        """Sync the newest version of the log, whatever process wrote it; return its number."""
        number = find_version(self._directory) or 0
        log = self._directory / LOG_DIRECTORY
        with _delta_errors(self._directory):
            for path in log.iterdir():
                # Some versions have a checkpoint too, and a file that points to it.
                if path.name.startswith((f"{number:020}.", "_last_checkpoint")):
                    sync_path(path)
            sync_path(log)
            sync_path(self._directory)
        return number


def find_version(directory: Path) -> int | None:
    """The newest version of the table in a directory, from 0; None: there is no table.

    Raises:
        OutputError: the table is damaged, or batonics has not made it.
        UsageError: deltalake is not installed.
    """
    table = _open_table(directory)
    return None if table is None else table.version()


def _open_table(directory: Path) -> DeltaTable | None:
    """The table in a directory; None: there is none.

    deltalake follows links and waits for pipes, so a log that has any is refused.
    """
    try:
        from deltalake import DeltaTable
    except ImportError:
        raise UsageError(
            f"{directory}: deltalake is missing; `pip install 'batonics[delta]'`"
        ) from None
    try:
        check_files(directory, LOG_DIRECTORY)
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from None
    with _delta_errors(directory):
        if not DeltaTable.is_deltatable(str(directory)):
            return None
        table = DeltaTable(str(directory))
        is_made_here = table.metadata().description == TABLE_DESCRIPTION
    if not is_made_here:
        raise OutputError(
            f"{directory}: is a Delta table that batonics has not made; name another directory"
        )
    return table


def _files(table: DeltaTable) -> list[LoggedFile]:
    """The data files of a table's version."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = ["path", "size_bytes", *(f"partition.{name}" for name in PARTITIONS)]
    return [
        LoggedFile(unquote(path), size, None if date is None else str(date), symbol)
        for path, size, date, symbol in (row.values() for row in actions.select(names).to_pylist())
    ]


def _digest(directory: Path, number: int) -> str | None:
    """The digest in a version's commit information; None if it is no commit of batonics.

    deltalake's history leaves out versions without commit information.
    """
    try:
        with (directory / LOG_DIRECTORY / f"{number:020}.json").open(encoding="utf-8") as file:
            infos = [json.loads(line).get("commitInfo") for line in file]
    except (FileNotFoundError, ValueError):
        return None
    found = [info[DIGEST_KEY] for info in infos if info is not None and DIGEST_KEY in info]
    return str(found[0]) if found else None


def _removals(files: Sequence[LoggedFile], now_ms: int) -> Iterator[RemoveAction]:
    from deltalake.transaction import RemoveAction

    for file in files:
        yield RemoveAction(
            file.path,
            data_change=True,
            deletion_timestamp=now_ms,
            size=file.bytes,
            partition_values=file.partition_values,
        )


@contextmanager
def _delta_errors(directory: Path) -> Iterator[None]:
    """Raise errors of deltalake and of the file system as OutputError."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise OutputError(
            f"{directory}: another program has written to the table meanwhile; export again"
        ) from None
    except (DeltaError, OSError) as error:
        kind = "written" if isinstance(error, OSError) else "used"
        raise OutputError(f"{directory}: cannot be {kind}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The system's message, if it has failed, or else the first line of deltalake's."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _SYSTEM_ERROR.search(str(error))):
        number = int(found[1] or found[2])
    return os.strerror(number) if number else str(error).partition("\n")[0]
