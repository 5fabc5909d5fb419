"""Files below a directory of ours, none of which is reached through a link.

The rule here: only the directory itself may be named by a link. Every name below it is opened
relative to the directory before it, without following links; a file is opened only if it is a
regular one. So a link, a pipe or a device that somebody has put there is refused, and is neither
followed nor waited for. Locks are never truncated.

Errors are OSError with the whole path as `filename` and a text for users as `strerror`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK_ERRORS = (errno.ELOOP, errno.ENOTDIR)


@contextmanager
def open_directory(root: Path, path: str = "", *, make: bool = False) -> Iterator[int]:
    """A descriptor of a directory below a root, until the block ends.

    Args:
        root: the directory of ours; it may be a link.
        path: names below it with `/` between them; none of them is `.` or `..`.
        make: make directories that do not exist, and sync their names.

    Raises:
        OSError: a name does not exist, or is a link or no directory.
    """
    at = Path(root)
    handle = os.open(at, _READ_DIRECTORY)
    try:
        for name in filter(None, path.split("/")):
            at /= name
            with _errors_of(at):
                below = _open_subdirectory(handle, name, make=make)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def open_regular(path: Path, flags: int, *, within: int | None = None) -> int:
    """Open a regular file; a file that is made has the mode of the user's umask.

    Args:
        path: path of the file, for messages; its last name is opened.
        flags: flags of `os.open`.
        within: descriptor of the directory of the file; None: it is named by `path`.

    Raises:
        OSError: the file does not exist, or is no regular file.
    """
    name = path if within is None else path.name
    with _errors_of(path):
        with suppress(FileNotFoundError):  # before it is opened, which may wait or act on a device
            _check_regular(os.stat(name, dir_fd=within, follow_symlinks=False), path)
        handle = os.open(name, flags | _SAFE, 0o666, dir_fd=within)
        try:
            _check_regular(os.fstat(handle), path)
        except BaseException:
            os.close(handle)
            raise
    return handle


def open_lock(path: Path, *, within: int | None = None) -> int:
    """Open a file to lock, and make it if it does not exist; its contents stay.

    Raises:
        OSError: it cannot be made, or is no regular file.
    """
    return open_regular(path, os.O_CREAT | os.O_RDWR, within=within)


def move_file(source: Path, root: Path, path: str) -> None:
    """Move a file to a path below a root, whose directory exists."""
    directory, _, name = path.rpartition("/")
    with open_directory(root, directory) as handle, _errors_of(root / path):
        os.rename(source, name, dst_dir_fd=handle)


def remove_file(root: Path, path: str) -> int:
    """Remove a file below a root, and the directories that it leaves empty; return its size.

    A file that does not exist, or that only a link leads to, has no bytes.
    """
    directory, _, name = path.rpartition("/")
    size = 0
    try:
        with open_directory(root, directory) as handle, _errors_of(root / path):
            size = os.stat(name, dir_fd=handle, follow_symlinks=False).st_size
            os.unlink(name, dir_fd=handle)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (*_LINK_ERRORS, errno.ENAMETOOLONG):
            raise
        return 0
    while directory:
        directory, _, name = directory.rpartition("/")
        with suppress(OSError), open_directory(root, directory) as handle:
            os.rmdir(name, dir_fd=handle)
            continue
        break
    return size


def list_files(root: Path, depth: int, below: str = "") -> Iterator[str]:
    """The paths of all names at a depth below a directory that are no directories.

    Directories that are links are not looked into.

    Args:
        root: the directory of ours.
        depth: number of names in a path.
        below: path of the directory from the root; paths begin there.
    """
    with open_directory(root, below) as handle:
        yield from _list_files(handle, "", depth)


def check_files(root: Path, path: str) -> None:
    """Check that a directory, if it exists, has regular files and directories only.

    Another library then opens them by their paths.

    Args:
        root: the directory of ours.
        path: path of the directory from the root.

    Raises:
        OSError: it has something else, or is a link or no directory.
    """
    with (
        suppress(FileNotFoundError),
        open_directory(root, path) as handle,
        os.scandir(handle) as entries,
    ):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                _check_regular(entry.stat(follow_symlinks=False), root / path / entry.name)


def _list_files(handle: int, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(handle) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        is_directory = entry.is_dir(follow_symlinks=False)
        if depth == 1 and not is_directory:
            yield f"{prefix}{entry.name}"
        elif depth > 1 and is_directory:
            with suppress(FileNotFoundError):  # another process has removed it meanwhile
                below = _open_subdirectory(handle, entry.name, make=False)
                try:
                    yield from _list_files(below, f"{prefix}{entry.name}/", depth - 1)
                finally:
                    os.close(below)


def _open_subdirectory(handle: int, name: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=handle)
            os.fsync(handle)
    return os.open(name, _READ_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)


def _check_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "link" if stat.S_ISLNK(found.st_mode) else "file of another kind"
        raise OSError(errno.EINVAL, f"is a {kind}, expected a regular file", str(path))


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Errors have the whole path, where the system knows only a name."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        if error.errno in _LINK_ERRORS:
            error.strerror = "is a link or no directory"
        raise
