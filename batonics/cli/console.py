"""Text that comes from a file's name or its bytes, made fit for a terminal's line.

The rule: nothing that is printed can break the line or speak to the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def escape_unprintable(text: str) -> str:
    """The text, or, where it holds what cannot be printed, the text with that escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def plain_console() -> Console:
    """A console on standard output that shows text as it is: no markup, no colours of its own."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
