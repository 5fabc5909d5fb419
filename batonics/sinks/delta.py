"""A Delta table that is made of ours, and made anew by one commit.

The rule here: a reader of the table sees what it held before, or all that it is to hold; and its
log names no data file whose bytes are not on the disk.

    TABLE/date=2025-09-24/symbol=CLX5/KEY-RUN.parquet    a data file: KEY tells its rows
    TABLE/_delta_log/                                    which files count (`delta_log.py`)
    TABLE/.batonics-export                               locked by who writes, and holds his RUN

A run that was killed leaves its name in `.batonics-export`. The next one removes the files of that
name, unless they were committed.
"""

from __future__ import annotations

import fcntl
import os
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

TABLE_LOCK_FILE = ".batonics-export"
RUN_BYTES = 8


class DeltaPartition(NamedTuple):
    """Where a data file belongs.

    Attributes:
        key: tells its rows from all others that the table may hold: hex digits.
        directory: from the table's root.
        date, symbol: what its rows have in common; a date is ISO text, None is null.
    """

    key: str
    directory: str
    date: str | None
    symbol: str | None


class DeltaCommit(NamedTuple):
    """What a commit has done.

    Attributes:
        version: of the table, from 0.
        new, kept, removed: how many data files.
    """

    version: int
    new: int
    kept: int
    removed: int


class DeltaOutput:
    """A Delta table that is being written: `open_delta` gives it.

    Attributes:
        digest: of what it holds, if the newest version is a commit of ours.
        kept: keys of the data files that can stay.
    """

    def __init__(self, directory: Path, columns: pl.Schema, lock: int) -> None:
        self._directory, self._columns, self._lock = directory, columns, lock
        self._log = DeltaLog(directory, columns)
        self._added: list[LoggedFile] = []
        self._run = ""
        self._sweep()
        self.digest = self._log.digest
        # After another's commit nobody knows what is in the files, or deleted in them.
        is_known = self.digest is not None and self._log.is_of_columns
        self.kept = frozenset(_key(file) for file in self._log.files if is_known)

    @contextmanager
    def file(self, place: DeltaPartition) -> Iterator[DataFile]:
        """A data file to write frames of the columns to; on the disk when the block ends.

        Raises:
            OutputError: it cannot be written.
        """
        if place.symbol == "":
            raise OutputError(f"{self._directory}: Delta takes a symbol without letters for null")
        path = f"{place.directory}/{place.key}-{self._begun()}.parquet"
        with output_errors(self._directory):
            make_directories((self._directory / path).parent)
        file = DataFile(self._directory / path, self._columns)
        try:
            yield file
            told = file.close()
        except BaseException:
            file.abandon()
            raise
        size = file.path.stat().st_size
        self._added.append(LoggedFile(path, size, place.date, place.symbol, told))

    def commit(self, keep: Collection[str], digest: str) -> DeltaCommit:
        """Have the table hold the files that were written, and of those before only `keep`.

        Args:
            keep: keys, some of `kept`.
            digest: of what it then holds.

        Raises:
            OutputError: it cannot be written, or another has written to it meanwhile.
        """
        with output_errors(self._directory):
            for parent in {(self._directory / file.path).parent for file in self._added}:
                sync_path(parent)
        gone = [file for file in self._log.files if _key(file) not in keep]
        number = self._log.commit(self._added, gone, digest)
        with output_errors(self._directory):
            os.ftruncate(self._lock, 0)
        return DeltaCommit(number, len(self._added), len(self._log.files) - len(gone), len(gone))

    def sync(self) -> None:
        """Have what it holds on the disk, though the run was killed that has committed it."""
        self._log.sync()

    def leave(self) -> None:
        """Remove what was written and not committed."""
        self._log = DeltaLog(self._directory, self._columns)
        self._sweep()
        if self._log.version is None:
            # As it was before, unless deltalake has left something.
            with suppress(FileNotFoundError):
                (self._directory / LOG_DIRECTORY).rmdir()
            (self._directory / TABLE_LOCK_FILE).unlink()
            self._directory.rmdir()

    def _begun(self) -> str:
        """The name of this run, which is on the disk before the first file has it."""
        if not self._run:
            self._run = secrets.token_hex(RUN_BYTES)
            with output_errors(self._directory):
                os.pwrite(self._lock, self._run.encode(), 0)
                os.fsync(self._lock)
        return self._run

    def _sweep(self) -> None:
        """Remove the files of a run that was not committed."""
        with output_errors(self._directory):
            run = os.pread(self._lock, 2 * RUN_BYTES, 0).decode()
            ending = f"-{run}.parquet"
            if run and not any(file.path.endswith(ending) for file in self._log.files):
                for path in self._directory.glob(f"date=*/symbol=*/*{ending}"):
                    path.unlink()
                    with suppress(OSError):  # there are other files in them
                        path.parent.rmdir()
                        path.parent.parent.rmdir()
            os.ftruncate(self._lock, 0)


def check_delta_target(directory: Path) -> None:
    """See that a directory is not there, or empty, or a table of ours.

    Raises:
        OutputError: it is something else; UsageError: deltalake is not installed.
    """
    with output_errors(directory):
        if directory.exists() and not directory.is_dir():
            raise OutputError(f"{directory}: is a file; a Delta table is a directory")
        held = {path.name for path in directory.iterdir()} if directory.exists() else set()
    # One of no version is what a run has left that was killed before its first commit.
    if find_version(directory) is None and held and TABLE_LOCK_FILE not in held:
        raise OutputError(f"{directory}: is neither empty nor a Delta table; name another one")


@contextmanager
def open_delta(directory: Path, columns: pl.Schema) -> Iterator[DeltaOutput]:
    """A Delta table to be made anew; what was not committed when the block ends is removed.

    Only one process at once has it: another waits.

    Args:
        directory: of the table; made if it is not there.
        columns: of its frames, in our types (`delta_types.py`); `date` and `symbol` follow them.

    Raises:
        OutputError: it cannot be written, or holds something else.
        UsageError: deltalake is not installed, or a type is none that Delta can hold.
    """
    check_delta_target(directory)
    lock = _locked(directory)
    try:
        output = DeltaOutput(directory, columns, lock)
        try:
            yield output
        except BaseException:
            # What cannot be removed now, the next run removes.
            with suppress(OSError, OutputError):
                output.leave()
            raise
    finally:
        os.close(lock)


def _locked(directory: Path) -> int:
    """The lock of a table's directory, made if it is not there; held until it is closed."""
    while True:
        with output_errors(directory):
            make_directories(directory)
            try:
                lock = os.open(
                    directory / TABLE_LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666
                )
            except FileNotFoundError:
                continue  # removed meanwhile, as below
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), (directory / TABLE_LOCK_FILE).stat()):
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        # Who had it before has failed, and removed what he had made.
        os.close(lock)


def _key(file: LoggedFile) -> str:
    """By which a run has named a data file; another's name means nothing."""
    return file.path.rpartition("/")[2].partition("-")[0]
