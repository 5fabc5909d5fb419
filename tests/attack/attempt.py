"""What a suite of attacks says of each case."""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """One case of a suite.

    Attributes:
        case: what was tried, with the number or the text that repeats it.
        breach: what went wrong; empty: the case was survived.
    """

    case: str
    breach: str = ""
