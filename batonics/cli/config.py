"""`batonics config`: the settings, where their values come from, and whether a file is right."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Show the settings, check a file, print its JSON Schema.",
    rich_markup_mode=None,
)


@app.command("show")
def show(
    origin: Annotated[
        bool,
        typer.Option(
            "--origin", help="Say of each value whether a file, a variable or nobody set it."
        ),
    ] = False,
) -> None:
    """Print all settings as TOML; never a secret."""
    from batonics.settings.loader import find_file, find_typing_errors, load
    from batonics.settings.render import render_toml

    file = find_file()
    resolved = load()
    typer.echo(f"# file: {'none' if file is None else file.path}")
    typer.echo(render_toml(resolved, origins=origin), nl=False)
    for line in find_typing_errors():
        typer.echo(line, err=True)


@app.command("check")
def check(file: Annotated[str, typer.Argument(help="A file of settings, in TOML.")]) -> None:
    """Check a file of settings: a line for each fault.

    The exit code is 2 if there is a fault.
    """
    from batonics.cli.console import escape_unprintable
    from batonics.model.errors import UsageError
    from batonics.settings.loader import read
    from batonics.settings.resolve import read_file

    found = list(read_file(read(file)))
    faults = [line for line in found if isinstance(line, str)]
    if len(faults) == 1:
        raise UsageError(faults[0])
    for line in faults:
        typer.echo(escape_unprintable(line))
    if faults:
        raise UsageError(f"{file}: {len(faults)} settings are wrong")
    typer.echo(f"{file}: {len(found)} settings, all right")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a file of settings."""
    import json

    from batonics.settings.render import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
