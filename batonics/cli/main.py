"""The command line: which commands there are, and how an error looks.

The rule: an error is one line on standard error and an exit code; a traceback is a bug of ours.
Nothing heavy is imported here, so that `batonics --help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

# Before the imports: a fifth of a short run goes into collecting garbage that start-up never makes.
gc.set_threshold(200_000, 20, 100)

import typer  # noqa: E402

from batonics.cli import inspect, reconstruct, simulate  # noqa: E402
from batonics.model.errors import BatonicsError  # noqa: E402

app = typer.Typer(
    name="batonics",
    help="Rebuild limit order books from market-by-order data in Databento's DBN format.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("reconstruct")(reconstruct.command)
app.command("inspect")(inspect.command)
app.command("simulate")(simulate.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"batonics {version('batonics')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line of this process, and end it."""
    code = run()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    # Taking the compiler's data apart, object by object, would be a quarter of a short run.
    os._exit(code)


def run() -> int:
    """Run the command line; the exit code."""
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except BatonicsError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", 130)
    except MemoryError:
        return _fail("out of memory", 1)
    return 0


def _fail(message: str, code: int) -> int:
    # One line, whatever a file's name or its bytes put into it.
    line = message.encode("unicode_escape").decode("ascii")
    sys.stderr.write(f"batonics: {message if message.isprintable() else line}\n")
    return code
