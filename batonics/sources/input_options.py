"""Options of reading that every command and function on files has."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

SALVAGE_ADVICE = "--salvage (in Python salvage=True) keeps the whole records before it"
"""What to do about an input that ends within a record or a zstd frame."""


class InputOptions(NamedTuple):
    """How files are read.

    Attributes:
        skip_bad: count and skip bad records where the framing survives.
        salvage: keep the whole records of an input that ends within one; a warning says what is
            lost.
        in_this_order: read the files one after the other as they are given, whatever their times
            and whether or not they repeat or overlap each other.
        lossy: take values of tables of which something is lost, such as times in microseconds; a
            warning says what.
        session_date: the day of ITCH files whose names do not say it, in New York.
    """

    skip_bad: bool = False
    salvage: bool = False
    in_this_order: bool = False
    lossy: bool = False
    session_date: date | None = None


DEFAULT_OPTIONS = InputOptions()
"""Files are put in the order of their time, and damage is refused."""
