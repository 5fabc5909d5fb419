"""The library of charts, which is an extra: `pip install 'batonics[plot]'`.

The rule here: a chart holds its data, and shows without a network. Colours are those of the page.
"""

from __future__ import annotations

import importlib
from typing import Any

from batonics.model.errors import UsageError

BID_COLOUR, ASK_COLOUR, OTHER_COLOUR = "#1c5fa8", "#a3371f", "#595b60"
BID_SHADES, ASK_SHADES = ("#eef4fb", "#1c5fa8"), ("#fcf1ee", "#a3371f")
"""From the colour of the smallest size to that of the largest."""


def load_altair() -> Any:
    """The module `altair`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("altair")
    except ImportError:
        raise UsageError("charts need altair: pip install 'batonics[plot]'") from None
