"""The last trading status of each book in a checkpoint: status records as JSON, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batonics.book.checkpoint import JSON
from batonics.codec.messages import read_plain_status
from batonics.model.errors import CheckpointError

STATUSES_KEY = "statuses"


def write_statuses(records: Iterable[bytes]) -> list[JSON]:
    """Status records as JSON: the bytes of each in hexadecimal digits."""
    return [record.hex() for record in records]


def read_statuses(extra: Mapping[str, JSON]) -> dict[tuple[int, int], bytes]:
    """The status records that a checkpoint has, by publisher and instrument; it may have none.

    Raises:
        CheckpointError: they are no status records.
    """
    found: Any = extra.get(STATUSES_KEY, [])
    statuses = {}
    try:
        for text in found:
            record = bytes.fromhex(text)
            status = read_plain_status(record)
            statuses[status.publisher_id, status.instrument_id] = record
    except (TypeError, ValueError):
        pass
    if type(found) is not list or len(statuses) != len(found):
        raise CheckpointError(f"the checkpoint has no {STATUSES_KEY}: it is of another command")
    return statuses
