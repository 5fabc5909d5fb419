"""Reads trading statuses from files of the vendor's schema `status`, or of mixed records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batonics.codec.messages import RTYPE_STATUS, parse_status
from batonics.model.book_changes import BookChanges
from batonics.sources.record_files import read_records


def read_statuses(paths: Sequence[str | Path]) -> BookChanges:
    """Read the trading statuses of files.

    Raises:
        InputError: a file cannot be read, is damaged, is not DBN, or has another schema.
    """
    known = BookChanges()
    for path in paths:
        for found in read_records(path, "status", RTYPE_STATUS, "statuses"):
            status = parse_status(found.record)
            if status is not None:
                known.add(status)
    return known
