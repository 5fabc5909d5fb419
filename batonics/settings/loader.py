"""Reads settings where they are: a TOML file, the environment, the command line.

The rule here: no other module reads the file or an environment variable. The file is the one that
`--config` or BATONICS_CONFIG names; else `batonics.toml` in the working directory; else
`batonics/config.toml` below XDG_CONFIG_HOME or ~/.config. Only the first of them is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from batonics.model.errors import UsageError
from batonics.settings.resolve import (
    CONFIG_VARIABLE,
    ConfigFile,
    Flags,
    Resolved,
    find_unknown_variables,
    resolve,
)
from batonics.settings.table import SETTINGS, Settings

LOCAL_NAME = "batonics.toml"
_VARIABLES = (
    CONFIG_VARIABLE,
    "XDG_CONFIG_HOME",
    *sorted({name for row in SETTINGS.values() for name in row.variables}),
)
_cached: tuple[tuple[str | None, ...], Settings] | None = None


def current() -> Settings:
    """The settings of this process, without a command's options.

    They are read once, and again if a variable has changed.

    Raises:
        UsageError: the first value or key that is wrong, and where it stands.
    """
    global _cached  # noqa: PLW0603 - one process, one environment
    seen = tuple(os.environ.get(name) for name in _VARIABLES)
    if _cached is None or _cached[0] != seen:
        _cached = seen, load().settings
    return _cached[1]


def load(flags: Flags | None = None, environment: Mapping[str, str] = os.environ) -> Resolved:
    """Every setting and its origin: from the file, the environment and a command's options.

    Raises:
        UsageError: the first value or key that is wrong, and where it stands.
    """
    return resolve(find_file(environment), environment, flags)


def select_file(path: str) -> None:
    """Let this process and those that it starts read this file; UsageError if it cannot be read."""
    os.environ[CONFIG_VARIABLE] = str(Path(path).absolute())
    find_file()


def find_file(environment: Mapping[str, str] = os.environ) -> ConfigFile | None:
    """The file of settings; None if there is none.

    Raises:
        UsageError: a file is named, or there, and cannot be read.
    """
    if named := environment.get(CONFIG_VARIABLE):
        return read(named)
    if _is_file(Path(LOCAL_NAME)):
        return read(LOCAL_NAME, is_trusted=False)
    home = user_directory("XDG_CONFIG_HOME", "~/.config", environment)
    path = None if home is None else home / "batonics" / "config.toml"
    return read(str(path)) if path is not None and _is_file(path) else None


def environment_without_secrets() -> dict[str, str]:
    """The environment for a process that needs no secret of ours."""
    secret = {name for row in SETTINGS.values() if row.secret for name in row.variables}
    return {name: value for name, value in os.environ.items() if name not in secret}


def find_typing_errors() -> Iterator[str]:
    """A line for each environment variable that is spelled almost as a setting's."""
    return find_unknown_variables(os.environ)


def user_cache() -> Path | None:
    """The directory of the user's caches; None for a user without a home, as in a container."""
    return user_directory("XDG_CACHE_HOME", "~/.cache", os.environ)


def user_directory(variable: str, default: str, environment: Mapping[str, str]) -> Path | None:
    """A directory of the user's, named by a variable; None for a user without a home."""
    try:
        return Path(environment.get(variable) or default).expanduser()
    except RuntimeError:
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # another user's home, which this one may not look into
        return False


def read(path: str, *, is_trusted: bool = True) -> ConfigFile:
    """A file of settings as it is; UsageError if it cannot be read."""
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            raise UsageError(f"{path}: cannot be read: a pipe is no file of settings")
        return ConfigFile(path, Path(path).read_text(encoding="utf-8"), is_trusted)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not TOML: it is not UTF-8") from None
