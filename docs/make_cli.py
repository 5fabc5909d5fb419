"""Writes docs/cli.md from the commands: `python docs/make_cli.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from batonics.cli.main import app

TARGET = Path(__file__).with_name("cli.md")
INTRODUCTION = """\
# The command line

`docs/make_cli.py` makes this page from the commands, and a test compares them.

| exit code | |
|---|---|
| 0 | done |
| 1 | `verify`: the books are not proved, or differ from `--against` |
| 2 | the call is wrong |
| 3 | the input cannot be read, or is damaged |
| 4 | the output cannot be written |
| 5 | the checkpoint cannot be used |
| 6 | the lake is damaged, or there is none |
| 130 | interrupted |

An error is one line on standard error; with `BATONICS_LOG_JSON=1`, or `--log-json` where a command
has it, it is a line of JSON. An output file takes its name when it is complete: an interrupted or
failed command leaves the file that was there. Tables fit a terminal; in a pipe they are complete.
"""


def render() -> str:
    """The reference of all commands, as Markdown."""
    root: Any = typer.main.get_command(app)
    parts = [INTRODUCTION]
    for name, command in _commands(root, "batonics"):
        parts.append(f"## {name}\n\n{command.help}\n")
        parts.append("| | default | |\n|---|---|---|")
        parts.extend(_row(parameter) for parameter in command.params if parameter.name != "help")
        parts.append("")
    return "\n".join(parts)


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command of a group and of the groups in it, with its full name."""
    for part, command in group.commands.items():
        full_name = f"{name} {part}"
        if hasattr(command, "commands"):
            yield from _commands(command, full_name)
        else:
            yield full_name, command


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = ", ".join(sorted(parameter.opts, key=len, reverse=True))
        if not parameter.is_flag:
            name += " VALUE"
    default = f"`{text}`" if (text := _default(parameter)) else ""
    return f"| `{name}` | {default} | {parameter.help} |"


def _default(parameter: Any) -> str:
    """The text of a default value; empty if there is none to show."""
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    default = parameter.default
    return "" if default in (None, False) or callable(default) else str(default)


if __name__ == "__main__":
    TARGET.write_text(render())
