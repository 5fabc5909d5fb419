"""How a setting is declared: a field of a dataclass, with its description and its bounds.

The rule here: the field is the only place that states a setting's name, type, default and
description. The table, the JSON Schema, the documentation and the options read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from batonics.model.secret import Secret

PREFIX = "BATONICS_"
"""Every environment variable of a setting begins with it, unless the setting names others."""
_FACTS = "setting"
_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Secret: "text",
}


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        name: dotted, such as `server.limits.clients_max`: the section and key of a TOML file.
        type: bool, int, float, str, Secret, or tuple for a list of texts.
        optional: the setting may have no value.
        default: the value where nothing sets it; None if it then has none.
        help: one sentence for people.
        minimum: the least value; None without a bound.
        maximum: the greatest value; None without a bound.
        variables: environment variables, the first that is set counts.
        is_trusted: a file that is found in the working directory cannot set it.
    """

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    variables: tuple[str, ...]
    is_trusted: bool

    @property
    def secret(self) -> bool:
        """Whether the value is never printed."""
        return self.type is Secret

    @property
    def expected(self) -> str:
        """Which values it takes, for an error: `a whole number of 1 or more`."""
        if self.type is tuple:
            return "a list of texts"
        what = _TYPE_NAMES[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{what} from {self.minimum:g} to {self.maximum:g}"
        return what if self.minimum is None else f"{what} of {self.minimum:g} or more"

    def accepts(self, value: Any) -> bool:
        """Whether a value has the right type and lies within the bounds."""
        if self.type is tuple:
            return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        if self.type is float:
            right = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            right = type(value) is (str if self.secret else self.type)
        if not right or self.type in (bool, str, Secret):
            return right
        least = float("-inf") if self.minimum is None else self.minimum
        most = float("inf") if self.maximum is None else self.maximum
        return isfinite(value) and bool(least <= value <= most)

    def convert(self, value: Any) -> Any:
        """An accepted value in the setting's own type: a list becomes a tuple, 1 becomes 1.0."""
        return self.type(value)


def setting(  # noqa: PLR0913 - the columns of the table
    text: str,
    *,
    default: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    variables: tuple[str, ...] = (),
    is_trusted: bool = False,
) -> Any:
    """A field that is a setting; see `Setting` for the arguments."""
    facts = {
        "help": text,
        "minimum": minimum,
        "maximum": maximum,
        "variables": variables,
        "is_trusted": is_trusted,
    }
    return field(default=default, metadata={_FACTS: facts})


def read_table(root: type) -> dict[str, Setting]:
    """Every setting of a dataclass and of its sections by name, in the order of declaration."""
    return {row.name: row for row in _rows(root, "")}


def build(root: type, values: dict[str, Any], prefix: str = "") -> Any:
    """The dataclass with these values by name; a setting that is left out has its default."""
    hints = _hints(root)
    found = {}
    for one in fields(root):
        name = f"{prefix}{one.name}"
        if is_dataclass(hints[one.name]):
            found[one.name] = build(hints[one.name], values, f"{name}.")
        elif name in values:
            found[one.name] = values[name]
    return root(**found)


def format_value(value: Any) -> str:
    """A value as TOML has it, whose texts and lists are those of JSON; a table is named only."""
    if isinstance(value, dict):
        return "a table"
    import json  # most runs print no value

    if isinstance(value, bool | str | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a dataclass and of its sections by name."""
    found: dict[str, Any] = {}
    for one in fields(settings):
        value, name = getattr(settings, one.name), f"{prefix}{one.name}"
        found |= flatten(value, f"{name}.") if is_dataclass(value) else {name: value}
    return found


def flatten_document(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a nested document of settings by dotted name; a list becomes a tuple."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flatten_document(value, f"{name}.")
        else:
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _rows(root: type, prefix: str) -> Iterator[Setting]:
    hints = _hints(root)
    for one in fields(root):
        name = f"{prefix}{one.name}"
        if is_dataclass(hints[one.name]):
            yield from _rows(hints[one.name], f"{name}.")
            continue
        assert one.default is not MISSING  # noqa: S101 - `setting` always gives one
        kind, optional = _unwrap(hints[one.name])
        facts = dict(one.metadata[_FACTS])
        variables = facts.pop("variables") or (PREFIX + name.replace(".", "_").upper(),)
        yield Setting(name, kind, optional, one.default, variables=variables, **facts)


@cache
def _hints(root: type) -> dict[str, Any]:
    return get_type_hints(root)


def _unwrap(hint: Any) -> tuple[type, bool]:
    """The type of an annotation, and whether it may be None: `int | None` is (int, True)."""
    parts = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    (kind,) = (get_origin(part) or part for part in parts if part is not NoneType)
    return kind, NoneType in parts
