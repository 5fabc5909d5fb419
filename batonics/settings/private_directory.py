"""Directories that belong to this user alone, such as that of compiled kernels.

The rule here: what is read from such a directory may run as this user. So no other user may have
put anything there: the directory, its files and the directories above it have a trusted owner, and
neither the group nor others may write to them. Root is always trusted. A directory with the sticky
bit, such as /tmp, may be above it, since only owners rename or remove what is in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_ROOT_ID = 0
_DIRECTORY_MODE = 0o755


def find_intrusion(
    directory: Path, owners: Collection[int], *, files: tuple[str, ...], below: Path | None = None
) -> str | None:
    """How another user may have put something into a directory; None: none can have.

    A path that does not exist has no owner.

    Args:
        directory: a directory, whose links have been followed.
        owners: user ids that are trusted beside root.
        files: the ends of the names of the files that are read.
        below: directories above this one, and this one, are not checked.
    """
    above = [path for path in directory.parents if below is None or below in path.parents]
    for path in map(str, (*reversed(above), directory)):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        shares_safely = status.st_mode & stat.S_ISVTX and path != str(directory)
        reason = _describe(path, status, owners, is_shared=bool(shares_safely))
        if reason is None and not stat.S_ISDIR(status.st_mode):
            reason = f"{path} is not a directory"
        if reason is not None:
            return reason
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.endswith(files):
                continue
            with suppress(FileNotFoundError):  # it is replaced just now
                status = entry.stat(follow_symlinks=False)
                if reason := _describe(entry.path, status, owners, is_shared=False):
                    return reason
    return None


def _describe(
    path: str, status: os.stat_result, owners: Collection[int], *, is_shared: bool
) -> str | None:
    """What is wrong with an owner and a mode."""
    if status.st_uid not in (_ROOT_ID, *owners):
        return f"{path} belongs to user {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_shared:
        return f"{path} can be written by other users (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def make_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing; only this user may write to them.

    Raises:
        OSError: it cannot be made.
    """
    for path in (*reversed(directory.parents), directory):
        path.mkdir(_DIRECTORY_MODE, exist_ok=True)
