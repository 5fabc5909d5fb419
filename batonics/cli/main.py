"""The command line: its commands, and how it reports errors.

The rule: an error is one line on standard error, in JSON with `--log-json`, and an exit code; a
traceback is a bug in batonics. Nothing heavy is imported here, so `batonics --help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from functools import cache
from signal import Signals
from typing import Annotated, Any, TextIO

# Before the imports: start-up makes no garbage, and collecting it takes a fifth of a short run.
gc.set_threshold(200_000, 20, 100)

import typer  # noqa: E402

from batonics.cli import (  # noqa: E402
    config,
    convert,
    fill,
    inspect,
    lake,
    plot,
    query,
    reconstruct,
    recording,
    replay,
    serve,
    simulate,
    stream,
    verify,
)
from batonics.cli.console import escape_unprintable  # noqa: E402
from batonics.cli.termination import pass_on_as_interrupts, received_signal  # noqa: E402
from batonics.model.errors import BatonicsError, DataWarning, LossWarning, OutputError  # noqa: E402
from batonics.sinks.atomic import OutputRecord, record_outputs  # noqa: E402
from batonics.sinks.logs import error_as_json, warning_as_json  # noqa: E402

INTERRUPTED = 130
"""The exit code that typer returns for a KeyboardInterrupt: 128 and the number of SIGINT."""

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
app.command("serve")(serve.command)
app.command("stream")(stream.command)
app.command("recording")(recording.command)
app.command("simulate")(simulate.command)
app.add_typer(lake.app, name="lake")
app.command("query")(query.command)
app.command("plot")(plot.command)
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"batonics {version('batonics')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
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


@cache
def root_command() -> Any:
    """All commands with their options. Typer takes as long to make them as a small file does."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line of this process, and end the process."""
    pass_on_as_interrupts()
    code = run()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:
        # `run` has reported it: the buffer still holds what could not be written.
        code = code or OutputError.exit_code
    # Freeing the compiler's data, object by object, would take a quarter of a short run.
    os._exit(code)


def run() -> int:
    """Run the command line; the exit code."""
    with record_outputs() as outputs, warnings.catch_warnings():
        for category in (DataWarning, LossWarning):
            warnings.simplefilter("default", category)
        warnings.showwarning = _print_warning
        message, code = _run_command(outputs)
    if message is not None:
        _print_error(message, code)
    return code


def _run_command(outputs: list[OutputRecord]) -> tuple[str | None, int]:  # noqa: PLR0911 - one for each way to end
    """Run the command; an error's message, and the exit code."""
    try:
        code = root_command()(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except SystemExit as end:
        code = end.code  # typer ends so when the reader of standard output has gone away
    except BatonicsError as error:
        return str(error), error.exit_code
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        # The words of typer's validator, which say what no user needs.
        message = message.replace("Value error, ", "").replace(
            "Input should be", "expected a value"
        )
        return f"{message}; see --help", error.exit_code
    except OSError as error:
        # Jobs report errors of files, so this one is of standard output.
        return f"<stdout>: cannot be written: {error.strerror}", OutputError.exit_code
    except MemoryError:
        return "out of memory", 1
    except Exception as error:
        if _wants_tracebacks():
            raise
        what = f"{type(error).__name__}: {error}"
        return f"a bug in batonics ({what}); BATONICS_DEBUG=1 shows where, please report", 1
    if code == INTERRUPTED:
        number = received_signal()
        ended = "interrupted" if number is None else f"ended by {Signals(number).name}"
        code = INTERRUPTED if number is None else 128 + number
        return f"{ended}; {_describe_outputs(outputs)}", code
    return None, code if isinstance(code, int) else 0


def _wants_tracebacks() -> bool:
    from batonics.settings.loader import current

    try:
        return current().log.tracebacks
    except BatonicsError:  # the settings are wrong, which is not what has gone wrong here
        return False


def _describe_outputs(outputs: list[OutputRecord]) -> str:
    """What an interrupted command has written."""
    # A file that is written again and again, such as a checkpoint, counts once.
    results = {output.name: output.result for output in outputs if output.result is not None}
    if not results:
        return "nothing was written"
    return ", ".join(f"{name} is {result}" for name, result in results.items())


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line; one that is not ours, as Python does."""
    if sys.stderr is None:
        return
    if not issubclass(category, (DataWarning, LossWarning)):
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(text)
    elif _wants_json():
        sys.stderr.write(f"{warning_as_json(str(message))}\n")
    else:
        sys.stderr.write(f"batonics: warning: {escape_unprintable(str(message))}\n")


def _print_error(message: str, code: int) -> None:
    if sys.stderr is None:
        return
    line = f"batonics: {escape_unprintable(message)}"
    if _wants_json():
        line = error_as_json(message, code)
    sys.stderr.write(f"{line}\n")


def _wants_json() -> bool:
    from batonics.settings.loader import current

    try:
        return "--log-json" in sys.argv or current().log.json is True
    except BatonicsError:  # the settings are wrong; the message is about something else
        return False


if __name__ == "__main__":
    main()
