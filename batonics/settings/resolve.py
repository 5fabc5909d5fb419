"""From what a file, the environment and the command line say to one value of each setting.

The rule here: no I/O. A later source replaces an earlier one: defaults, file, environment, flags.
What is wrong is one line that names its source: the file and key, the variable, or the flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from batonics.model.errors import UsageError
from batonics.model.secret import Secret
from batonics.settings.definition import PREFIX, Setting, build, format_value
from batonics.settings.table import SETTINGS, Settings

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
CONFIG_VARIABLE = "BATONICS_CONFIG"
Flags = Mapping[str, tuple[str, Any]]
"""The command line's options by setting: the flag, such as `--depth`, and its value."""


class Origin(NamedTuple):
    """Where a value comes from.

    Attributes:
        kind: default, file, environment or flag.
        name: the file's path, the variable or the flag; empty for a default.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.kind


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Resolved:
    """The value of every setting, and where it comes from.

    Attributes:
        settings: the values.
        origins: the origin of every setting by name.
    """

    settings: Settings
    origins: Mapping[str, Origin]


class ConfigFile(NamedTuple):
    """A file of settings.

    Attributes:
        path: its name, for errors.
        text: what it holds, in TOML.
        is_trusted: the user named it, or keeps it; else it was found in the working directory.
    """

    path: str
    text: str
    is_trusted: bool = True


def resolve(
    file: ConfigFile | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Flags | None = None,
) -> Resolved:
    """The value of every setting.

    Raises:
        UsageError: the first value or key that is wrong, and where it stands.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTINGS, DEFAULT)
    sources = (
        read_file(file) if file is not None else (),
        read_environment(environment or {}),
        read_flags(flags or {}),
    )
    for source in sources:
        for found in source:
            if isinstance(found, str):
                raise UsageError(found)
            values[found.setting] = found.value
            origins[found.setting] = found.origin
    return Resolved(build(Settings, values), origins)


class SettingValue(NamedTuple):
    """A value that a source gives to a setting."""

    setting: str
    value: Any
    origin: Origin


def read_file(file: ConfigFile) -> Iterator[SettingValue | str]:
    """The values that a file gives; a line of text for each one that is wrong."""
    import tomllib  # most runs have no file

    try:
        document = tomllib.loads(file.text)
    except RecursionError:
        yield f"{file.path}: not TOML: it is nested too deeply"
        return
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        yield f"{file.path}: not TOML: {message[:1].lower()}{message[1:]}"
        return
    origin = Origin("file", file.path)
    for key, value in _leaves(document, ""):
        row = SETTINGS.get(key)
        if row is None and _is_section(key):
            yield f"{file.path}: {key}: expected a table, not {format_value(value)}"
        elif row is None:
            yield f"{file.path}: {key}: no such setting{suggest(key, SETTINGS)}"
        elif row.is_trusted and not file.is_trusted:
            yield (
                f"{file.path}: {key}: a file in the working directory cannot set it; name the file"
                f" in --config or {CONFIG_VARIABLE}"
            )
        elif not row.accepts(value):
            yield f"{file.path}: {key}: {_refusal(row, value)}"
        else:
            yield SettingValue(key, row.convert(value), origin)


def read_environment(environment: Mapping[str, str]) -> Iterator[SettingValue | str]:
    """The values that environment variables give; an empty variable gives none."""
    for row in SETTINGS.values():
        name = next((one for one in row.variables if environment.get(one, "").strip()), None)
        if name is None:
            continue
        value = _parse(row, environment[name])
        if value is None or not row.accepts(value):
            yield f"{name}: {_refusal(row, environment[name])}"
        else:
            yield SettingValue(row.name, row.convert(value), Origin("environment", name))


def read_flags(flags: Flags) -> Iterator[SettingValue | str]:
    """The values of the command line's options; None and an empty list are no values."""
    for name, (flag, value) in flags.items():
        row = SETTINGS[name]
        if value is None or (row.type is tuple and not value):
            continue
        if row.accepts(value):
            yield SettingValue(name, row.convert(value), Origin("flag", flag))
        else:
            yield f"{flag}: {_refusal(row, value)}"


def find_unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that is spelled almost as one of ours."""
    known = {name: name for row in SETTINGS.values() for name in row.variables}
    known[CONFIG_VARIABLE] = CONFIG_VARIABLE
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and (near := suggest(name, known)):
            yield f"{name}: no such setting{near}"


def suggest(name: str, known: Mapping[str, Any]) -> str:
    """`; did you mean NAME?`, or nothing if no known name is near."""
    from difflib import get_close_matches

    last = name.rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == last]
    same.sort(key=lambda one: one.partition(".")[0] != name.partition(".")[0])
    near = same or get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """The keys of a document that are no tables, dotted, with their values.

    A table in place of a setting counts as its value, and an unknown table that is empty as a key.
    """
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in SETTINGS and (value or _is_section(name)):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _is_section(name: str) -> bool:
    return any(one.startswith(f"{name}.") for one in SETTINGS)


def _parse(row: Setting, text: str) -> Any:
    """A variable's text in the setting's type; None if it is no such value."""
    word = text.strip()
    if row.type in (str, Secret):
        return text
    if row.type is tuple:
        return tuple(one.strip() for one in text.split(",") if one.strip())
    if row.type is bool:
        lower = word.lower()
        return True if lower in _TRUE else False if lower in _FALSE else None
    try:
        return row.type(word)
    except ValueError:
        return None


def _refusal(row: Setting, value: Any) -> str:
    given = "" if row.secret else f", not {format_value(value)[:100]}"
    return f"expected {row.expected}{given}"
