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

from batonics.cli import (  # noqa: E402
    config,
    convert,
    fill,
    inspect,
    lake,
    query,
    reconstruct,
    replay,
    simulate,
    stream,
    verify,
)
from batonics.cli.console import escape_unprintable  # noqa: E402
from batonics.model.errors import BatonicsError, OutputError  # noqa: E402

INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt: 128 and the number of SIGINT."""

app = typer.Typer(
    name="batonics",
    help="Rebuild limit order books from market-by-order data in Databento's DBN format.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("reconstruct")(reconstruct.command)
app.command("convert")(convert.command)
app.command("verify")(verify.command)
app.command("fill")(fill.command)
app.command("inspect")(inspect.command)
app.command("replay")(replay.command)
app.command("stream")(stream.command)
app.command("simulate")(simulate.command)
app.add_typer(lake.app, name="lake")
app.command("query")(query.command)
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"batonics {version('batonics')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
    config_file: Annotated[
        str | None,
        typer.Option(
            "--config", help="A file of settings in TOML; see `batonics config`.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Options before the command."""
    if config_file is not None:
        from batonics.settings.loader import select_file

        select_file(config_file)


def main() -> None:
    """Run the command line of this process, and end it."""
    code = run()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:
        # `run` has said it already: what could not be written is still in the buffer.
        code = code or OutputError.exit_code
    # Taking the compiler's data apart, object by object, would be a quarter of a short run.
    os._exit(code)


def run() -> int:  # noqa: PLR0911 - a return for each way to end
    """Run the command line; the exit code."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except SystemExit as ended:
        code = ended.code  # typer's answer to a reader of ours that has gone away
    except BatonicsError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        return _fail(f"{message}; see --help", error.exit_code)
    except OSError as error:
        # Files' errors have words of their own: what is left is standard output's.
        return _fail(f"<stdout>: cannot be written: {error.strerror}", OutputError.exit_code)
    except MemoryError:
        return _fail("out of memory", 1)
    except Exception as error:  # a bug of ours: its traceback is for us
        if _wants_tracebacks():
            raise
        what = f"{type(error).__name__}: {error}"
        return _fail(f"a bug in batonics ({what}); BATONICS_DEBUG=1 shows where, please report", 1)
    if code == INTERRUPTED:
        return _fail("interrupted; nothing was written", code)
    return code if isinstance(code, int) else 0


def _wants_tracebacks() -> bool:
    from batonics.settings.loader import current

    try:
        return current().log.tracebacks
    except BatonicsError:  # the settings are wrong, which is not what has gone wrong here
        return False


def _fail(message: str, code: int) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"batonics: {escape_unprintable(message)}\n")
    return code
