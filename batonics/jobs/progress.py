"""How a job reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from batonics.sources.stream import MboStream

ReadProgress = Callable[[MboStream], None]
"""A function that a job calls with its input after each batch."""

ProgressBars = Callable[[str], AbstractContextManager[ReadProgress]]
"""A function that opens a progress bar of a name, for a job that reads its input several times."""
