"""Consoles, and text that is safe to print on them.

The rule: text from a file's name or its bytes can neither break a line nor control the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def escape_unprintable(text: str) -> str:
    """The text, or, where some of it cannot be printed, the text with that part escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: no markup, no colours for numbers, no wrapped lines.

    Args:
        stderr: print to standard error; else to standard output.
    """
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def print_warnings(console: Console, warnings: Iterable[str]) -> None:
    """Print a line for each warning of an answer (`model/answers.py`)."""
    from batonics.model.answers import AnswerWarning

    for warning in warnings:
        console.print(f"  {warning}: {AnswerWarning(warning).meaning}", style="yellow")


def describe_clamped_rows(count: int, schema: str) -> str:
    """A line about rows with a size that 32 bits do not hold (`count_clamped_rows`)."""
    return (
        f"{count:,} rows of {schema} have a size of 4294967295, the greatest of its 32 bits:"
        " the level may have more"
    )
