"""docs/cli.md from the commands themselves: `python docs/make_cli.py` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from batonics.cli.main import app

TARGET = Path(__file__).with_name("cli.md")


def render() -> str:
    """The reference of all commands, as Markdown."""
    root: Any = typer.main.get_command(app)
    parts = [
        "# The command line\n",
        "Made from the commands by `docs/make_cli.py`; a test holds it to them.\n",
        "Exit codes: 0 done, 1 not proved or not equal (`verify`), 2 the call is wrong, 3 the",
        "input, 4 the output, 5 the checkpoint, 6 the lake, 130 interrupted. An error is one line",
        "on standard error.\n",
    ]
    for name, command in _commands(root, "batonics"):
        parts.append(f"## {name}\n\n{command.help}\n")
        parts.append("| | default | |\n|---|---|---|")
        parts.extend(_row(parameter) for parameter in command.params if parameter.name != "help")
        parts.append("")
    return "\n".join(parts)


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command of a group and of those within it, by its whole name."""
    for part, command in group.commands.items():
        whole = f"{name} {part}"
        if hasattr(command, "commands"):
            yield from _commands(command, whole)
        else:
            yield whole, command


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    else:
        name = ", ".join(sorted(parameter.opts, key=len, reverse=True))
        if not parameter.is_flag:
            name += " VALUE"
    default = parameter.default
    shown = "" if default in (None, False) or callable(default) else f"`{default}`"
    return f"| `{name}` | {shown} | {parameter.help} |"


if __name__ == "__main__":
    TARGET.write_text(render())
