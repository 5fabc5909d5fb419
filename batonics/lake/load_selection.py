"""The part of a source that a load takes: symbols, and rows between two times.

The rule here: a part of a file is a source of its own. Its text is the same whenever the same part
is asked for, so the catalog finds it again, and what it covers is said of its symbols and times
alone. Its books are built from the beginning of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from batonics.model.coverage import FileSpan, clip_file
from batonics.model.times import describe_bounds

_LETTERS_MAX = 120
"""Letters of a selection in a message: it may have thousands of symbols."""


class LoadSelection(NamedTuple):
    """What to load of each source; by default all of it.

    Attributes:
        symbols: only records of these symbols on their dates, or of these instrument ids; empty:
            of all.
        start_ns: only rows of this time or later, in nanoseconds since the epoch; None: no limit.
        end_ns: only rows of earlier times, likewise.
    """

    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it has a start or an end."""
        return self.start_ns is not None or self.end_ns is not None

    def encode(self) -> str:
        """The selection as the catalog has it; empty: all of a source."""
        symbols = json.dumps(sorted(set(self.symbols)), ensure_ascii=False)
        bounds = describe_bounds(self.start_ns, self.end_ns)
        return f"{f'symbols {symbols}' if self.symbols else ''} {bounds}".strip()

    def clip_files(self, files: Iterable[FileSpan]) -> list[FileSpan]:
        """What files cover of the selection; one that is outside covers nothing."""
        end_ns = 2**63 - 1 if self.end_ns is None else self.end_ns
        clipped = (clip_file(file, self.start_ns or 0, end_ns) for file in files)
        return [
            file._replace(scope=self._scope(file.scope)) for file in clipped if file is not None
        ]

    def _scope(self, scope: str) -> str:
        """The scope of the selected symbols of a file."""
        if not self.symbols or not scope:
            return scope
        names = "\n".join(sorted(set(self.symbols)))
        return f"{scope} of {sha256(names.encode()).hexdigest()[:16]}"


WHOLE_SOURCE = LoadSelection()
"""All of a source."""


def describe_selection(text: str) -> str:
    """A selection of the catalog for a message, with a space before it; empty: all of a source."""
    if not text:
        return ""
    return f" ({text if len(text) <= _LETTERS_MAX else f'{text[:_LETTERS_MAX]} ...'})"
