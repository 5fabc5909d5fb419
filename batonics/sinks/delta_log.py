"""The log of a Delta table of ours, through deltalake.

The rule here: nothing else knows deltalake. It syncs nothing, so what it has written is synced
here before a commit is said to be done; and it never touches a table that is not ours.
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

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import RemoveAction

LOG_DIRECTORY = "_delta_log"
TABLE_DESCRIPTION = "Made by batonics; its next export replaces whatever the table holds."
"""The description of our tables, by which they are known."""
DIGEST_KEY = "batonicsDigest"
"""Where a commit of ours says what the table holds since."""
_SYSTEM = re.compile(r"\bos error (\d+)\)|\bOs \{ code: (\d+)")


class LoggedFile(NamedTuple):
    """A data file, as the log has it.

    Attributes:
        path: from the table's root.
        bytes: how many it has.
        date, symbol: what its rows have in common; a date is ISO text, None is null.
        told: of its rows, as JSON; empty where it was only read.
    """

    path: str
    bytes: int
    date: str | None
    symbol: str | None
    told: str = ""

    @property
    def values(self) -> dict[str, str | None]:
        """Those of the partition columns."""
        return dict(zip(PARTITIONS, (self.date, self.symbol), strict=True))


class DeltaLog:
    """The log of a table, which may not be there yet.

    Args:
        directory: of the table.
        columns: of its frames, in our types.

    Attributes:
        version: the newest, from 0; None: there is no table.
        files: its data files.
        digest: of what that holds, if a commit of ours has made it.
        is_of_columns: it has these columns.

    Raises:
        OutputError: there is a table that is not ours, or is damaged.
        UsageError: deltalake is not installed.
    """

    def __init__(self, directory: Path, columns: pl.Schema) -> None:
        self._directory, self._schema = directory, delta_schema(columns)
        self._table = _opened(directory)
        self.version = None if self._table is None else self._table.version()
        self.files: list[LoggedFile] = []
        self.digest: str | None = None
        self.is_of_columns = False
        if self._table is not None:
            with _ours(directory):
                self.files = _files(self._table)
                self.digest = _digest(directory, self._table.version())
                found = pa.schema(self._table.schema().to_arrow())
                self.is_of_columns = found.equals(self._schema)

    def commit(self, added: Sequence[LoggedFile], gone: Sequence[LoggedFile], digest: str) -> int:
        """Add files to the table and remove others, in one version; its number.

        Args:
            added: on the disk already.
            gone: of `files`; all of them, if the columns are others.
            digest: of what the table then holds.

        Raises:
            OutputError: the log cannot be written, or another has written to it meanwhile.
        """
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import AddAction, create_table_with_add_actions

        now_ms = time.time_ns() // 1_000_000
        actions = [
            AddAction(file.path, file.bytes, file.values, now_ms, data_change=True, stats=file.told)
            for file in added
        ]
        schema = Schema.from_arrow(self._schema)
        properties = CommitProperties(
            custom_metadata={DIGEST_KEY: digest, "batonicsVersion": version("batonics")},
            # Nothing may come between what we have seen and what we say.
            max_commit_retries=0,
        )
        with _ours(self._directory):
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
                # Only an overwrite changes columns; what it replaces, it finds out itself.
                is_change = self.is_of_columns
                self._table.create_write_transaction(
                    [*actions, *(_removals(gone, now_ms) if is_change else ())],
                    "append" if is_change else "overwrite",
                    schema,
                    list(PARTITIONS),
                    commit_properties=properties,
                )
        return self.sync()

    def sync(self) -> int:
        """Have the newest version of the log on the disk, whoever has written it; its number."""
        number = find_version(self._directory) or 0
        log = self._directory / LOG_DIRECTORY
        with _ours(self._directory):
            for path in log.iterdir():
                # Of some versions there is a checkpoint too, and what points to it.
                if path.name.startswith((f"{number:020}.", "_last_checkpoint")):
                    sync_path(path)
            sync_path(log)
            sync_path(self._directory)
        return number


def find_version(directory: Path) -> int | None:
    """The newest version of the table in a directory, from 0; None: there is no table.

    Raises:
        OutputError: there is a table that is not ours, or is damaged.
        UsageError: deltalake is not installed.
    """
    table = _opened(directory)
    return None if table is None else table.version()


def _opened(directory: Path) -> DeltaTable | None:
    """The table in a directory, if there is one."""
    try:
        from deltalake import DeltaTable
    except ImportError:
        raise UsageError(
            f"{directory}: deltalake is missing; `pip install 'batonics[delta]'`"
        ) from None
    with _ours(directory):
        if not DeltaTable.is_deltatable(str(directory)):
            return None
        table = DeltaTable(str(directory))
        is_ours = table.metadata().description == TABLE_DESCRIPTION
    if not is_ours:
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
    """What a version says of itself, if it is a commit of ours.

    deltalake's history passes over versions that say nothing of themselves.
    """
    try:
        with (directory / LOG_DIRECTORY / f"{number:020}.json").open(encoding="utf-8") as file:
            said = [json.loads(line).get("commitInfo") for line in file]
    except (FileNotFoundError, ValueError):
        return None
    found = [info[DIGEST_KEY] for info in said if info is not None and DIGEST_KEY in info]
    return str(found[0]) if found else None


def _removals(files: Sequence[LoggedFile], now_ms: int) -> Iterator[RemoveAction]:
    from deltalake.transaction import RemoveAction

    for file in files:
        yield RemoveAction(
            file.path,
            data_change=True,
            deletion_timestamp=now_ms,
            size=file.bytes,
            partition_values=file.values,
        )


@contextmanager
def _ours(directory: Path) -> Iterator[None]:
    """Within the block deltalake's errors, and those of the file system, are ours."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise OutputError(
            f"{directory}: another has written to the table meanwhile; export again"
        ) from None
    except (DeltaError, OSError) as error:
        kind = "written" if isinstance(error, OSError) else "used"
        raise OutputError(f"{directory}: cannot be {kind}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What the system says, if it has failed, or else the first line of what deltalake does."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (said := _SYSTEM.search(str(error))):
        number = int(said[1] or said[2])
    return os.strerror(number) if number else str(error).partition("\n")[0]
