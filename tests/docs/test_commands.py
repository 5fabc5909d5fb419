"""Every command that the documentation shows exists, with the options it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from batonics.cli.main import app
from tests.support.markdown import commands, documents, name
from tests.support.paths import ROOT

PARAMETERS = pytest.mark.parametrize("document", documents(), ids=name)


def fault(command: Any, words: list[str]) -> str | None:
    """What is wrong with the words that follow a command's name; None if nothing is."""
    path = "batonics"
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            break
        if words[0] not in command.commands:
            return f"{path} has no command {words[0]!r}"
        command, path, words = command.commands[words[0]], f"{path} {words[0]}", words[1:]
    options = {
        option: parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    return _fault_in_parameters(path, options, arguments, words)


def _fault_in_parameters(
    path: str, options: dict[str, Any], arguments: list[Any], words: list[str]
) -> str | None:
    given = 0
    remaining = iter(words)
    for word in remaining:
        if word == "-" or not word.startswith("-"):
            given += 1
            continue
        option, has_value, _ = word.partition("=")
        if option == "--help":
            return None
        if option not in options:
            return f"{path} has no option {option!r}"
        wants_value = not options[option].is_flag and not options[option].count
        if has_value and not wants_value:
            return f"{path} {option} takes no value"
        if wants_value and not has_value and next(remaining, None) is None:
            return f"{path} {option} wants a value"
    most = sum(a.nargs for a in arguments) if all(a.nargs > 0 for a in arguments) else given
    least = sum(max(a.nargs, 1) for a in arguments if a.required)
    if not least <= given <= most:
        return f"{path} takes {least} to {most} arguments, not {given}"
    return None


@PARAMETERS
def test_batonics_commands_exist(document: Path) -> None:
    root = typer.main.get_command(app)
    faults = [
        f"{name(document)}:{number}: {found}"
        for number, words in commands(document.read_text(), "batonics")
        if (found := fault(root, words))
    ]
    assert not faults, "\n".join(faults)


@PARAMETERS
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    faults = [
        f"{name(document)}:{number}: make has no target {word!r}"
        for number, words in commands(document.read_text(), "make")
        for word in words
        if not word.startswith("-") and "=" not in word and word not in targets
    ]
    assert not faults, "\n".join(faults)


def _groups(group: Any) -> list[Any]:
    """A group of commands, and the groups in it."""
    inner = [command for command in group.commands.values() if hasattr(command, "commands")]
    return [group, *(found for command in inner for found in _groups(command))]


COMMAND_GROUPS = _groups(typer.main.get_command(app))


@pytest.mark.parametrize("group", COMMAND_GROUPS, ids=lambda group: group.name)
def test_the_first_line_of_each_command_fits_the_list_of_commands(group: Any) -> None:
    width = 80 - 2 - 6 - max(map(len, group.commands))
    for part, command in group.commands.items():
        first = (command.help or "").strip().splitlines()[0]
        assert command.get_short_help_str(width) == first, part
        assert first.endswith("."), part


OTHER_NAMES = {"--form", "--symbol", "--from-time", "--until", "--output", "--log-format"}
"""Names that other programs give to options such as --format, --symbols, --start and --out."""


@pytest.mark.parametrize("group", COMMAND_GROUPS, ids=lambda group: group.name)
def test_options_are_named_alike_in_all_commands(group: Any) -> None:
    for part, command in group.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert not options & OTHER_NAMES, part


def test_the_readme_shows_how_to_start() -> None:
    readme = (ROOT / "README.md").read_text()
    assert list(commands(readme, "batonics"))
    assert ["test"] in [words for _, words in commands(readme, "make")]


def test_commands_are_read_from_shell_blocks_only() -> None:
    text = """\
Not this: batonics one
```sh
TZ=UTC .venv/bin/batonics two --at 21:59 | head  # a comment
batonics three \\
    --out=x && batonics four > y
echo batonics five
```
```console
$ batonics six
batonics output
```
```python
batonics = "seven"
```
"""
    assert list(commands(text, "batonics")) == [
        (3, ["two", "--at", "21:59"]),
        (4, ["three", "--out=x"]),
        (4, ["four"]),
        (9, ["six"]),
    ]


def _example() -> Any:
    example = typer.Typer()

    @example.command()
    def copy(source: Path, out: Path = Path("-"), deep: bool = False, level: int = 1) -> None:
        """A command of each kind of parameter."""

    @example.command()
    def stop() -> None:
        """A command without parameters."""

    return typer.main.get_command(example)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["copy", "a"],
        ["copy", "a", "--deep"],
        ["copy", "a", "--level", "2", "--out", "-"],
        ["copy", "--level=2", "a"],
        ["stop"],
    ],
    ids=" ".join,
)
def test_a_right_command_has_no_fault(words: list[str]) -> None:
    assert fault(_example(), words) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["go"], "batonics has no command 'go'"),
        (["copy", "a", "--shallow"], "batonics copy has no option '--shallow'"),
        (["copy", "a", "--deep=yes"], "batonics copy --deep takes no value"),
        (["copy", "a", "--level"], "batonics copy --level wants a value"),
        (["copy"], "batonics copy takes 1 to 1 arguments, not 0"),
        (["copy", "a", "b"], "batonics copy takes 1 to 1 arguments, not 2"),
        (["stop", "now"], "batonics stop takes 0 to 0 arguments, not 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_is_named(words: list[str], expected: str) -> None:
    assert fault(_example(), words) == expected
