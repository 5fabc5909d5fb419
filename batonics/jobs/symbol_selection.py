"""Selects the records of symbols or instrument ids.

The rule here: a symbol that the input does not have is an error as soon as the input shows it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch, take_batch
from batonics.sources.stream import MboStream

NAMES_MAX = 8
"""Symbols of the input that an error lists."""


class SymbolSelection:
    """The rows of some symbols or instrument ids of a stream.

    Args:
        stream: the input; its symbols become known while it is read.
        names: symbols or instrument ids; empty: all.
    """

    def __init__(self, stream: MboStream, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = names
        self._ids: set[int] = set()
        self._intervals_known = -1
        self._unseen = {int(name) for name in names if _is_id(name)}

    def rows(self, batch: MboBatch) -> MboBatch:
        """The selected rows: the batch itself if it has no other rows, else copies."""
        if not self._names:
            return batch
        selected = np.isin(batch.instrument_id, np.fromiter(self._find_ids(), np.uint32))
        if self._unseen:
            self._unseen.difference_update(np.unique(batch.instrument_id[selected]).tolist())
        return batch if selected.all() else take_batch(batch, selected)

    def check(self, *, ended: bool = False) -> None:
        """Refuse a symbol that no file has: at once if the metadata of the only file lists all.

        Raises:
            UsageError: the symbol, and similar symbols of the input.
        """
        stream = self._stream
        if not self._names:
            return
        metadata = stream.files[-1].metadata if stream.files else None
        lists_all = len(stream.paths) == 1 and metadata is not None and metadata.mappings
        if not (ended or lists_all):
            return
        known = stream.symbols.symbols()
        for name in self._names:
            if name in known or (_is_id(name) and not (ended and int(name) in self._unseen)):
                continue
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else _list_names(known)
            raise UsageError(f"no symbol {name!r} in the input; {hint}")

    def _find_ids(self) -> set[int]:
        symbols = self._stream.symbols
        if len(symbols) != self._intervals_known:
            self._intervals_known = len(symbols)
            for name in self._names:
                ids = symbols.instrument_ids(name)
                self._ids |= ids or ({int(name)} if _is_id(name) else set())
        return self._ids


def _is_id(name: str) -> bool:
    return name.isdecimal() and len(name) <= 10 and int(name) < 2**32


def _list_names(names: list[str]) -> str:
    if not names:
        return "it has no symbols"
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"it has {', '.join(names[:NAMES_MAX])}{more}"
