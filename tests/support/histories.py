"""Histories of files, as `batonics serve` has them."""

from __future__ import annotations

from pathlib import Path

from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.book_history import FileHistory, HistoryFacts
from batonics.settings.loader import current
from batonics.sources.stream import MboStream


def build_history(paths: list[Path], directory: Path) -> FileHistory:
    """The history of files, in a new directory."""
    stream = MboStream(paths)
    facts = HistoryFacts(
        lambda: stream.symbols,
        TradingStatuses(stream.statuses),
        current().input.ts_recv_backwards_ns,
    )
    directory.mkdir()
    history = FileHistory(directory, facts)
    history.build(stream.batches())
    return history
