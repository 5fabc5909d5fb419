"""Arrays by book that grow as books appear, at a constant cost for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROOM_MIN = 64


def with_room(array: NDArray[Any], length: int) -> NDArray[Any]:
    """The array itself if it is long enough, or a copy of twice the length, filled with zeros."""
    if length <= len(array):
        return array
    longer = np.zeros(max(2 * length, _ROOM_MIN), array.dtype)
    longer[: len(array)] = array
    return longer
