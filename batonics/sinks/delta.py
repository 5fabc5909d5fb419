"""Writes a Delta table; one commit replaces its contents.

The rule here: a reader of the table sees the old contents or all of the new ones; and the log names
no data file whose bytes are not on the disk.

    TABLE/date=2025-09-24/symbol=CLX5/KEY-RUN.parquet    a data file; KEY identifies its rows
    TABLE/_delta_log/                                    the log of versions (`delta_log.py`)
    TABLE/.batonics-export                               a lock, which contains the writer's RUN

A killed run leaves its name in `.batonics-export`. The next run removes the files with that name,
unless they were committed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.model.errors import OutputError
from batonics.sinks.atomic import make_directories, output_errors, sync_path
from batonics.sinks.delta_file import DataFile
from batonics.sinks.delta_log import LOG_DIRECTORY, DeltaLog, LoggedFile, find_version
from batonics.sinks.owned_directory import list_files, open_directory, open_lock, remove_file

TABLE_LOCK_FILE = ".batonics-export"
RUN_BYTES = 8
_RUN = re.compile(rb"[0-9a-f]{16}")
_FILE_DEPTH = 3
"""Number of names in the path of a data file."""


class DeltaPartition(NamedTuple):
    """The partition of a data file.

    Attributes:
        key: hex digits that identify the rows of the partition and their version.
        directory: path of the partition from the table's root.
        date: ISO date of its rows; None is null.
        symbol: symbol of its rows; None is null.
    """

    key: str
    directory: str
    date: str | None
    symbol: str | None


class DeltaCommit(NamedTuple):
    """The result of a commit.

    Attributes:
        version: version of the table, from 0.
        new: number of new data files.
        kept: number of data files that stay.
        removed: number of data files that were removed.
    """

    version: int
    new: int
    kept: int
    removed: int


class DeltaOutput:
    """A Delta table that is being written; `open_delta` opens it.

    Attributes:
        digest: digest of its contents; None unless the newest version is a commit of batonics.
        reusable_keys: keys of the data files that can stay.
    """

    def __init__(self, directory: Path, columns: pl.Schema, lock: int) -> None:
        self._directory, self._columns, self._lock = directory, columns, lock
        self._log = DeltaLog(directory, columns)
        self._added: list[LoggedFile] = []
        self._run = ""
        self._clean_up()
        self.digest = self._log.digest
        # Another program may have changed the files, or deleted rows of them.
        is_known = self.digest is not None and self._log.has_columns
        self.reusable_keys = frozenset(_key_of(file) for file in self._log.files if is_known)

    @contextmanager
    def file(self, partition: DeltaPartition) -> Iterator[DataFile]:
        """A data file to write frames to; it is on the disk when the block ends.

        Raises:
            OutputError: it cannot be written.
        """
        if partition.symbol == "":
            raise OutputError(f"{self._directory}: Delta reads an empty symbol as null")
        path = f"{partition.directory}/{partition.key}-{self._start_run()}.parquet"
        with (
            output_errors(self._directory),
            open_directory(self._directory, partition.directory, make=True),
        ):
            pass
        file = DataFile(self._directory / path, self._columns)
        try:
            yield file
            statistics = file.close()
        except BaseException:
            file.abandon()
            raise
        size = file.path.stat().st_size
        self._added.append(LoggedFile(path, size, partition.date, partition.symbol, statistics))

    def commit(self, keep: Collection[str], digest: str) -> DeltaCommit:
        """Commit the new files and those to keep as the contents of the table.

        Args:
            keep: keys of `reusable_keys` whose files stay.
            digest: digest of the new contents.

        Raises:
            OutputError: it cannot be written, or another program has written to it meanwhile.
        """
        with output_errors(self._directory):
            for parent in {(self._directory / file.path).parent for file in self._added}:
                sync_path(parent)
        removed = [file for file in self._log.files if _key_of(file) not in keep]
        number = self._log.commit(self._added, removed, digest)
        with output_errors(self._directory):
            os.ftruncate(self._lock, 0)
        return DeltaCommit(
            number, len(self._added), len(self._log.files) - len(removed), len(removed)
        )

    def sync(self) -> None:
        """Sync the newest version, in case the run that committed it was killed."""
        self._log.sync()

    def roll_back(self) -> None:
        """Remove the files that were not committed."""
        self._log = DeltaLog(self._directory, self._columns)
        self._clean_up()
        if self._log.version is None:
            # There was no table before. deltalake may have left the directory of the log.
            with suppress(FileNotFoundError):
                (self._directory / LOG_DIRECTORY).rmdir()
            (self._directory / TABLE_LOCK_FILE).unlink()
            self._directory.rmdir()

    def _start_run(self) -> str:
        """The name of this run, which is on the disk before the first file bears it."""
        if not self._run:
            self._run = secrets.token_hex(RUN_BYTES)
            with output_errors(self._directory):
                os.pwrite(self._lock, self._run.encode(), 0)
                os.fsync(self._lock)
        return self._run

    def _clean_up(self) -> None:
        """Remove the files of a run that was not committed."""
        with output_errors(self._directory):
            run = os.pread(self._lock, 2 * RUN_BYTES + 1, 0)
            if run and not _RUN.fullmatch(run):
                raise OutputError(
                    f"{self._directory / TABLE_LOCK_FILE}: is no lock of an export; move it away"
                )
            ending = f"-{run.decode()}.parquet"
            if run and not any(file.path.endswith(ending) for file in self._log.files):
                for path in list(list_files(self._directory, _FILE_DEPTH)):
                    if path.endswith(ending):
                        remove_file(self._directory, path)
            os.ftruncate(self._lock, 0)


def check_delta_target(directory: Path) -> None:
    """Check that a directory does not exist, is empty, or is a table that batonics has made.

    Raises:
        OutputError: it is something else. UsageError: deltalake is not installed.
    """
    with output_errors(directory):
        if directory.exists() and not directory.is_dir():
            raise OutputError(f"{directory}: is a file; a Delta table is a directory")
        names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    # A table with the lock but without a version was left by a run killed before its first commit.
    if find_version(directory) is None and names and TABLE_LOCK_FILE not in names:
        raise OutputError(f"{directory}: is neither empty nor a Delta table; name another one")


@contextmanager
def open_delta(directory: Path, columns: pl.Schema) -> Iterator[DeltaOutput]:
    """A Delta table to write; files that are not committed when the block ends are removed.

    The table is locked: another process waits.

    Args:
        directory: directory of the table; made if it does not exist.
        columns: columns of the frames (`delta_types.py`); the table has `date` and `symbol` too.

    Raises:
        OutputError: it cannot be written, or the directory has something else.
        UsageError: deltalake is not installed, or has no type for a column.
    """
    check_delta_target(directory)
    lock = _lock_table(directory)
    try:
        output = DeltaOutput(directory, columns, lock)
        try:
            yield output
        except BaseException:
            # The next run removes what cannot be removed now.
            with suppress(OSError, OutputError):
                output.roll_back()
            raise
    finally:
        os.close(lock)


def _lock_table(directory: Path) -> int:
    """Lock a table, making its directory if needed; the lock is held until it is closed."""
    while True:
        with output_errors(directory):
            make_directories(directory)
            try:
                lock = open_lock(directory / TABLE_LOCK_FILE)
            except FileNotFoundError:
                continue  # the directory was removed meanwhile, as below
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), (directory / TABLE_LOCK_FILE).stat()):
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        # The previous holder has failed, and removed the directory that it had made.
        os.close(lock)


def _key_of(file: LoggedFile) -> str:
    """The key in a data file's name; in a name by another program it means nothing."""
    return file.path.rpartition("/")[2].partition("-")[0]
