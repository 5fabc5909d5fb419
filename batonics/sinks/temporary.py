"""Temporary files and directories that do not outlive their process for long.

The rule here: each has an owner, which holds a lock of the system on it (flock). What a killed
process has left behind has none, and the next process that makes one of the same kind removes it.
Where the file system has no locks, nothing is removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".part"
_OWNER = ".owner"
_RANDOM = r"[a-z0-9_]{8}"  # as `tempfile` makes it
_LOOK = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_temporary_file(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, for its future content: a descriptor that owns it, and its path.

    Raises:
        OSError: it cannot be made.
    """
    prefix = f".{path.name}."
    pattern = re.compile(re.escape(prefix) + _RANDOM + re.escape(SUFFIX))
    for left in _entries(path.parent, pattern):
        _remove_unowned(left, left)
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=SUFFIX, dir=path.parent)
        if _own(handle):
            return handle, Path(name)
        os.close(handle)  # another process took it for one that was left behind


@contextmanager
def temporary_directory(prefix: str) -> Iterator[str]:
    """A new directory for temporary files, until the block ends."""
    pattern = re.compile(re.escape(prefix) + _RANDOM)
    for left in _entries(Path(tempfile.gettempdir()), pattern):
        _remove_unowned(left / _OWNER, left)
    while True:
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as directory:
            handle = os.open(Path(directory, _OWNER), _LOOK | os.O_CREAT, 0o600)
            try:
                if _own(handle):
                    yield directory
                    return
            finally:
                os.close(handle)


def _own(handle: int) -> bool:
    """Lock a new file; False if another process has it, or has removed it, in the meantime."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # there are no locks here
    return os.fstat(handle).st_nlink > 0


def _entries(directory: Path, pattern: re.Pattern[str]) -> list[Path]:
    with suppress(OSError), os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    return []


def _remove_unowned(owned: Path, left: Path) -> None:
    """Remove what a process has left behind, if nobody holds the lock of `owned`."""
    with suppress(OSError):
        handle = os.open(owned, _LOOK)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if left == owned:
                left.unlink()
            else:
                shutil.rmtree(left)
        finally:
            os.close(handle)
