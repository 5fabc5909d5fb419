"""Settings as text: as a TOML file of their values, and as a JSON Schema of such a file.

The rule here: the value of a secret is never in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from batonics.model.secret import Secret
from batonics.settings.definition import Setting, flatten, format_value
from batonics.settings.resolve import Resolved
from batonics.settings.table import SETTINGS

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", Secret: "string"}


def render_toml(resolved: Resolved, *, origins: bool = False) -> str:
    """Every setting with its value, as a file that can be read again.

    What has no value, and every secret, is a comment. With `origins` each line says where its value
    comes from.
    """
    values = flatten(resolved.settings)
    lines: list[str] = []
    for section, rows in groupby(SETTINGS.values(), lambda row: row.name.rpartition(".")[0]):
        lines += ["", f"[{section}]"]
        for row in rows:
            line = _line(row, values[row.name])
            lines.append(f"{line}  # {resolved.origins[row.name]}" if origins else line)
    return "\n".join(lines[1:]) + "\n"


def _line(row: Setting, value: Any) -> str:
    key = row.name.rpartition(".")[2]
    if value is None:
        return f"# {key} is not set"
    return f"# {key} is set; it is secret" if row.secret else f"{key} = {format_value(value)}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file of settings."""
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "batonics.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for row in SETTINGS.values():
        *sections, key = row.name.split(".")
        node = root
        for section in sections:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            node = node["properties"].setdefault(section, empty)
        node["properties"][key] = dict(_members(row))
    return root


def _members(row: Setting) -> Iterator[tuple[str, Any]]:
    yield "description", row.help
    if row.type is tuple:
        yield "type", "array"
        yield "items", {"type": "string"}
    else:
        yield "type", _JSON_TYPES[row.type]
    if row.default is not None:
        yield "default", list(row.default) if row.type is tuple else row.default
    if row.minimum is not None:
        yield "minimum", row.minimum
    if row.maximum is not None:
        yield "maximum", row.maximum
    if row.secret:
        yield "writeOnly", True
