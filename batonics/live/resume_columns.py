"""The columns that identify a record of a feed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import read_only
from batonics.model.mbo import MboBatch


class IdentityColumns(NamedTuple):
    """The identifying columns of a batch; all have one length."""

    ts_recv: NDArray[np.uint64]
    ts_event: NDArray[np.uint64]
    order_id: NDArray[np.uint64]
    price: NDArray[np.int64]
    size: NDArray[np.uint32]
    action: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    sequence: NDArray[np.uint32]
    instrument_id: NDArray[np.uint32]


def identity_columns(batch: MboBatch) -> IdentityColumns:
    """The identifying columns of a batch, as read-only views for kernels."""
    return IdentityColumns._make(
        [read_only(getattr(batch, name)) for name in IdentityColumns._fields]
    )
