"""One owner of a directory that a process writes to, such as a recording.

The rule here: a second owner is refused and told who the first one is. The lock is the system's
(flock), so it ends with its process. The file with the holder's name is opened without following
links and is never truncated; one that is not ours is refused.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from pathlib import Path

from batonics.model.errors import OutputError
from batonics.model.times import format_time
from batonics.sinks.owned_directory import open_lock

LOCK_NAME = ".batonics-lock"
_MARK = b"batonics "
_HOLDER_BYTES = 200


class DirectoryLock:
    """Owns a directory until `close`, or until the process ends.

    Args:
        directory: the directory; it is made if it does not exist.
        purpose: what the owner does there, for the refusal of others.

    Raises:
        OutputError: another process owns the directory, or it cannot be used.
    """

    def __init__(self, directory: Path, purpose: str) -> None:
        self._directory, self._path = directory, directory / LOCK_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._handle = open_lock(self._path)
        except OSError as error:
            raise OutputError(f"{directory}: cannot be used: {error.strerror}") from None
        # It closes itself if its owner is lost after an error.
        self._closing = weakref.finalize(self, os.close, self._handle)
        try:
            self._acquire(purpose)
        except OSError as error:
            self._closing()
            raise OutputError(f"{self._path}: cannot be locked: {error.strerror}") from None
        except BaseException:
            self._closing()
            raise

    def close(self) -> None:
        """Give the directory up; harmless if that is done."""
        self._closing()

    def check(self) -> None:
        """Check that the directory is still the one that was locked.

        Raises:
            OutputError: it was moved or removed, or its lock was.
        """
        own = os.fstat(self._handle)
        try:
            found = self._path.stat(follow_symlinks=False)
        except OSError:
            found = None
        if found is None or not os.path.samestat(found, own):
            raise OutputError(f"{self._directory}: was moved or removed while it was written to")

    def _acquire(self, purpose: str) -> None:
        handle = self._handle
        holder = os.pread(handle, _HOLDER_BYTES, 0)
        if holder and not holder.startswith(_MARK):
            raise OutputError(f"{self._path}: is no lock of batonics; use another directory")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = holder.decode(errors="replace").strip() or "another process"
            raise OutputError(f"{self._directory}: is in use by {name}") from None
        since = format_time(time.time_ns() // 10**9 * 10**9)
        text = f"{purpose}, process {os.getpid()} on {socket.gethostname()}, since {since}"
        os.pwrite(handle, (_MARK + text.encode())[:_HOLDER_BYTES].ljust(_HOLDER_BYTES), 0)
