"""The arguments and options that several commands have, declared once.

The rule here: an option has the same name and the same meaning in every command.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.option_groups import SettingOption

if TYPE_CHECKING:
    from batonics.frames.scan.sessions import SessionCalendar
    from batonics.lake.part_search import RowFilter
    from batonics.model.prices import PriceUnit

FILES_HELP = (
    "Files of DBN, CSV, JSON, Parquet, Arrow or NDJSON; directories, batch downloads, zip archives"
    " and patterns of them; s3:// and https:// URLs"
)
FilesArgument = Annotated[
    list[str], typer.Argument(help=f"{FILES_HELP}; - is standard input.", metavar="FILES...")
]
StoredFilesArgument = Annotated[
    list[str], typer.Argument(help=f"{FILES_HELP}.", metavar="FILES...")
]
SymbolsOption = Annotated[
    str | None,
    typer.Option("--symbols", help="Keep these symbols on their dates, or instrument ids: A,B,C."),
]
BookSymbolOption = Annotated[
    str | None,
    typer.Option(
        "--symbols", help="The symbol or instrument id of the book, if FILES have several."
    ),
]
BookPublisherOption = Annotated[
    int | None,
    typer.Option("--publisher", help="The publisher id of the book, if several have the symbol."),
]
LakeSymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Keep rows of these symbols on their dates: A,B,C.")
]
DateOption = Annotated[
    str | None, typer.Option("--date", help="Keep rows of this day, in --tz: 2025-09-24.")
]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start",
        help="Keep rows from this time on: ISO 8601 (in --tz) or nanoseconds since the epoch.",
    ),
]
TimeZoneOption = Annotated[
    str,
    typer.Option(
        "--tz",
        help="The time zone of times in the output, and of --start, --end and --date where they"
        " have no offset: America/Chicago.",
    ),
]
OutputTimeZoneOption = Annotated[
    str, typer.Option("--tz", help="The time zone of times in the output: America/Chicago.")
]
QueryTimeZoneOption = Annotated[
    str | None,
    typer.Option(
        "--tz",
        help="The time zone of times in the output, of hours of the day, and of --start, --end and"
        " --date where they have no offset: America/Chicago. By default UTC; hours follow"
        " --session.",
    ),
]
AtTimeZoneOption = Annotated[
    str,
    typer.Option(
        "--tz", help="The time zone of --at where it has no offset, such as America/Chicago."
    ),
]
EndOption = Annotated[str | None, typer.Option("--end", help="Keep rows before this time.")]


class PricesChoice(StrEnum):
    """The units of prices: `frames/columns/prices.py`."""

    FIXED = "fixed"
    DECIMAL = "decimal"
    FLOAT = "float"


PricesOption = Annotated[
    PricesChoice | None,
    typer.Option(
        "--prices",
        help="The unit of prices and of all that derives from them: fixed is integers of 1e-9. By"
        " default decimal in CSV and on terminals, and fixed in other files.",
    ),
]
SkipBadOption = Annotated[
    bool,
    typer.Option("--skip-bad", help="Count and skip bad records where the framing survives."),
]
SalvageOption = Annotated[
    bool,
    typer.Option(
        "--salvage",
        help="Keep the whole records of a file that ends within one; a warning says what is lost.",
    ),
]
InThisOrderOption = Annotated[
    bool,
    typer.Option(
        "--in-this-order",
        help="Read FILES one after the other as they are given, even if they repeat or overlap each"
        " other. By default they are put in the order of their time.",
    ),
]
LossyOption = Annotated[
    bool,
    typer.Option(
        "--lossy",
        help="Take tables of which something was lost when they were written, such as times in"
        " microseconds; a warning says what.",
    ),
]
SessionDateOption = Annotated[
    str | None,
    typer.Option(
        "--session-date",
        help="The day in New York of an ITCH file whose name does not say it: 2019-01-30.",
    ),
]
VerifyManifestOption = Annotated[
    bool,
    typer.Option(
        "--verify-manifest",
        help="Compare every file of FILES with its SHA-256 in the manifest of its batch download.",
    ),
]
SCHEMA_FORMS = (
    "mbo, trades, tbbo, bbo, deltas, orders, mbp-N, states-N, bbo-INTERVAL, ohlcv-INTERVAL,"
    " depth-INTERVAL"
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
ExtraOption = Annotated[
    str | None,
    typer.Option("--extra", help="Add these columns: symbol,status,crossed,book_status."),
]
StatusesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--statuses",
        help="A file of the schema status, which says when instruments trade. May be repeated. By"
        " default the status records in FILES.",
    ),
]
SessionOption = Annotated[
    str | None,
    typer.Option(
        "--session",
        help="When the market is open, where no status says it: '17:00-16:00 America/Chicago', or"
        " the calendar of an exchange such as CMES (the extra `calendar`).",
    ),
]
IncludeOption = Annotated[
    str | None,
    typer.Option(
        "--include",
        help="Count states that averages leave out: crossed (books), closed (markets).",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")]
LogJsonOption = Annotated[
    bool | None,
    SettingOption("log.json", "--log-json", "Write standard error as lines of JSON."),
]
WideOption = Annotated[
    bool, typer.Option("--wide", help="Print all columns, whatever the width of the terminal.")
]


def price_unit(prices: PricesChoice | None) -> PriceUnit | None:
    """The unit that `--prices` names; None: the default of the output."""
    return None if prices is None else prices.value


def split_names(symbols: str | None) -> tuple[str, ...]:
    """The names of a list such as that of `--symbols`."""
    return tuple(name.strip() for name in symbols.split(",")) if symbols else ()


def parse_session_date(text: str | None) -> date | None:
    """The day that `--session-date` names; UsageError if it names none."""
    if text is None:
        return None
    from batonics.model.times import parse_date

    return parse_date(text)


def parse_session(text: str | None) -> SessionCalendar | None:
    """The sessions that `--session` names; UsageError if it names none."""
    if text is None:
        return None
    from batonics.frames.scan.exchange_sessions import find_sessions

    return find_sessions(text)


def parse_row_filter(
    symbols: str | None, day: str | None, start: str | None, end: str | None, tz: str = "UTC"
) -> RowFilter:
    """The rows of a lake that `--symbols`, `--date`, `--start` and `--end` select, in `--tz`.

    Raises:
        UsageError: a text is not a time, or the options exclude each other.
    """
    from batonics.lake.row_filters import parse_row_filter
    from batonics.model.errors import UsageError
    from batonics.model.times import find_time_zone, parse_time

    find_time_zone(tz)
    if day is not None:
        if start is not None or end is not None:
            raise UsageError("--date is a whole day: it does not go with --start and --end")
        start, end = _day_bounds(day)
    bounds = [None if time is None else parse_time(time, tz) for time in (start, end)]
    return parse_row_filter(split_names(symbols), *bounds)


def _day_bounds(day: str) -> tuple[str, str]:
    """A day and the day after it, as text."""
    from datetime import date, timedelta

    from batonics.model.errors import UsageError

    try:
        found = date.fromisoformat(day)
        if str(found) == day:
            return day, str(found + timedelta(days=1))
    except (ValueError, OverflowError):
        pass  # the same error as for another form of a day
    raise UsageError(f"--date {day}: a day is expected, such as 2025-09-24")


def refuse_input_as_output(files: Sequence[str], *outputs: str | None) -> None:
    """Refuse an output that would replace an input.

    Raises:
        UsageError: the output.
    """
    from pathlib import Path

    from batonics.model.errors import UsageError
    from batonics.sources.input_files import local_path

    for out in outputs:
        for name in map(local_path, files):
            # The job that opens a missing file says so.
            with suppress(OSError):
                if out not in ("-", None) and name not in ("-", None) and Path(name).samefile(out):
                    raise UsageError(f"{out} is an input: it would be replaced by the output")
