"""Hashes of records, by which equal records of two sources are found.

The rule here: records have one hash if every field is equal, apart from the instrument id, which an
NDJSON stream numbers itself. Lakes store the hashes, so they never change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import MboBatch

_GAMMA, _FIRST, _SECOND = (
    np.uint64(word) for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""Constants of SplitMix64 (Steele, Lea and Flood, 2014), whose last step mixes each field in."""
_FIELDS = tuple(name for name in MboBatch._fields if name != "instrument_id")


def record_hashes(batch: MboBatch) -> NDArray[np.uint64]:
    """(rows,) The hash of each record, of 64 bits."""
    hashes = np.zeros(len(batch.action), np.uint64)
    for name in _FIELDS:
        hashes ^= getattr(batch, name).astype(np.int64).view(np.uint64)
        hashes += _GAMMA
        hashes = (hashes ^ hashes >> np.uint64(30)) * _FIRST
        hashes = (hashes ^ hashes >> np.uint64(27)) * _SECOND
        hashes ^= hashes >> np.uint64(31)
    return hashes
