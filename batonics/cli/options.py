"""What several commands take, declared once: the same words, the same help.

The rule here: an option means the same in every command that has it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.option_groups import SettingOption

if TYPE_CHECKING:
    from batonics.lake.catalog import RowFilter

FilesArgument = Annotated[
    list[str],
    typer.Argument(
        help="DBN (plain, zstd, fragments) or NDJSON files in the order of their time;"
        " - is standard input."
    ),
]
SymbolsOption = Annotated[
    str | None, typer.Option(help="Only these symbols (or instrument ids), A,B,C.")
]
DateOption = Annotated[str | None, typer.Option(help="Only rows of this day: 2025-09-24.")]
StartOption = Annotated[
    str | None, typer.Option(help="Only rows from this time on: ISO 8601 (UTC) or nanoseconds.")
]
EndOption = Annotated[str | None, typer.Option(help="Only rows before this time.")]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Count and skip bad records where framing survives.")
]
SCHEMA_FORMS = (
    "mbo, trades, tbbo, bbo, deltas, orders, mbp-N, bbo-INTERVAL, ohlcv-INTERVAL, depth-INTERVAL"
)
"""What `frames.schemas.table.schema_forms` gives. The table is not imported for a help text."""


def find_lake() -> str:
    """The lake that the settings name; UsageError if they name none."""
    from batonics.model.errors import UsageError
    from batonics.settings.loader import current

    lake = current().lake.path
    if lake is None:
        raise UsageError("--lake names the lake; so do BATONICS_LAKE and the setting lake.path")
    return lake


LakeOption = Annotated[
    str,
    SettingOption("lake.path", "--lake", default_factory=find_lake),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def split_names(symbols: str | None) -> tuple[str, ...]:
    """The names of `--symbols`."""
    return tuple(name.strip() for name in symbols.split(",")) if symbols else ()


def parse_row_filter(
    symbol: str | None, date: str | None, start: str | None, end: str | None
) -> RowFilter:
    """The rows of a lake that `--symbol`, `--date`, `--start` and `--end` ask for.

    Raises:
        UsageError: a time is none, or they do not go together.
    """
    from batonics.lake.lake import parse_row_filter
    from batonics.model.errors import UsageError
    from batonics.model.times import NS_PER_DAY, parse_time

    if date is not None:
        if start is not None or end is not None:
            raise UsageError("--date is a whole day: it does not go with --start and --end")
        day_ns = parse_time(date)
        if day_ns % NS_PER_DAY:
            raise UsageError(f"--date {date}: a day is expected, such as 2025-09-24")
        start, end = str(day_ns), str(day_ns + NS_PER_DAY)
    return parse_row_filter(split_names(symbol), start, end)


def refuse_input_as_output(files: list[str], *outputs: str | None) -> None:
    """Refuse an output that would take an input's place.

    Raises:
        UsageError: which one.
    """
    from pathlib import Path

    from batonics.model.errors import UsageError

    for out in outputs:
        for name in files:
            # What is not there, or has no such name, is for whoever opens it to say.
            with suppress(OSError):
                if "-" not in (out, name) and out is not None and Path(name).samefile(out):
                    raise UsageError(f"{out} is an input: it would be replaced by the output")
