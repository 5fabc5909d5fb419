"""The instruments that a job was asked for, among those of its input.

The rule here: a name that the input does not have is an error, as soon as that can be known.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch, take_batch
from batonics.sources.stream import MboStream

NAMES_MAX = 8


class SymbolSelection:
    """Rows of some symbols, or instrument ids, of a stream; of no names: all rows.

    Args:
        stream: its names are asked for as they come to be known.
        names: symbols or instrument ids.
    """

    def __init__(self, stream: MboStream, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = names
        self._ids: set[int] = set()
        self._intervals_known = -1
        self._unseen = {int(name) for name in names if _is_id(name)}

    def rows(self, batch: MboBatch) -> MboBatch:
        """The rows that are wanted: the batch itself if they are all of it, else copies."""
        if not self._names:
            return batch
        wanted = np.isin(batch.instrument_id, np.fromiter(self._wanted_ids(), np.uint32))
        if self._unseen:
            self._unseen.difference_update(np.unique(batch.instrument_id[wanted]).tolist())
        return batch if wanted.all() else take_batch(batch, wanted)

    def check(self, *, ended: bool = False) -> None:
        """Refuse a name that no file has: at once if the only file names all it holds.

        Raises:
            UsageError: which name, and the nearest that there are.
        """
        stream = self._stream
        if not self._names:
            return
        metadata = stream.files[-1].metadata if stream.files else None
        names_all = len(stream.paths) == 1 and metadata is not None and metadata.mappings
        if not (ended or names_all):
            return
        known = stream.symbols.symbols()
        for name in self._names:
            if name in known or (_is_id(name) and not (ended and int(name) in self._unseen)):
                continue
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else _some(known)
            raise UsageError(f"no symbol {name!r} in the input; {hint}")

    def _wanted_ids(self) -> set[int]:
        symbols = self._stream.symbols
        if len(symbols) != self._intervals_known:
            self._intervals_known = len(symbols)
            for name in self._names:
                ids = symbols.instrument_ids(name)
                self._ids |= ids or ({int(name)} if _is_id(name) else set())
        return self._ids


def _is_id(name: str) -> bool:
    return name.isdecimal() and len(name) <= 10 and int(name) < 2**32


def _some(names: list[str]) -> str:
    if not names:
        return "it names none"
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"it has {', '.join(names[:NAMES_MAX])}{more}"
