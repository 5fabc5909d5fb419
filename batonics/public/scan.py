"""Files as a LazyFrame of MBO records.

The rule: opening and reading happens when the frame is collected, each time anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import batonics.frames.namespace  # noqa: F401 - whoever scans records asks them for `.mbo` next
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.mbo import MboBatch
from batonics.model.symbols import SymbolMap
from batonics.sources.chunks import path_list
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    import polars as pl


def scan_mbo(paths: str | Path | Sequence[str | Path], *, skip_bad: bool = False) -> pl.LazyFrame:
    """A LazyFrame of the MBO records of files; it streams, so they may be larger than memory.

    Columns, in the vendor's order: ts_recv, ts_event (Datetime ns UTC, null where undefined),
    publisher_id u16, instrument_id u32, action, side (Enum of letters), price i64 of 1e-9 (null
    where undefined), size u32 (null where undefined), channel_id u8, order_id u64, flags u8,
    ts_in_delta i32, sequence u32, symbol (String). Projection, predicates and row limits reach
    the decoder: what a query leaves out costs nothing.

    Args:
        paths: one file or several, in the order of their time; several are one stream.
        skip_bad: count and skip bad records where the framing survives.

    Raises:
        InputError: at once where a file cannot be opened; at collection where it is damaged.
    """
    files = _Files(path_list(paths), skip_bad=skip_bad)
    files.check()
    return scan_batches(files.batches, symbols=files.symbols)


class _Files:
    """What each collection opens anew."""

    def __init__(self, paths: Sequence[str | Path], *, skip_bad: bool) -> None:
        self._paths, self._skip_bad = paths, skip_bad
        self._stream: MboStream | None = None
        self._names = SymbolMap()

    def check(self) -> None:
        """Raise now what opening them would raise."""
        self._open().close()

    def _open(self) -> MboStream:
        return MboStream(self._paths, skip_bad=self._skip_bad)

    def batches(self) -> Iterator[MboBatch]:
        self._stream = self._open()
        yield from self._stream.batches()

    def symbols(self) -> SymbolMap:
        """The names so far; a new map when there are new ones."""
        if self._stream is not None and len(self._stream.symbols) != len(self._names):
            self._names = self._stream.symbols.copy()
        return self._names
