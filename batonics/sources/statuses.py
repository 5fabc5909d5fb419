"""Reads trading statuses from files of the vendor's schema `status`, or of mixed records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batonics.model.book_changes import BookChange, BookChanges
from batonics.sources.record_files import read_contents


def read_statuses(paths: Sequence[str | Path]) -> BookChanges:
    """Read the trading statuses of files.

    Raises:
        InputError: a file cannot be read, is damaged, is not DBN, or has another schema.
    """
    known = BookChanges()
    for path in paths:
        for status in read_contents(path, "status", BookChange, "statuses"):
            known.add(status)
    return known
