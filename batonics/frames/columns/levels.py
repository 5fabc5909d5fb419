"""The columns of the best levels of a book: `bid_px_00`, `ask_px_00`, `bid_sz_00` and so on.

The rule here: every frame that has levels names them as the vendor does, in the vendor's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book import top_kernels
from batonics.model.mbo import UNDEF_PRICE

_UINT32_MAX = 2**32 - 1


def level_column_names(depth: int) -> list[str]:
    """The names: bid_px_00, ask_px_00, bid_sz_00, ask_sz_00, bid_ct_00, ask_ct_00, bid_px_01 ..."""
    return [
        f"{side}_{name}_{level:02}"
        for level in range(depth)
        for name in ("px", "sz", "ct")
        for side in ("bid", "ask")
    ]


def count_clamped_rows(frame: pl.DataFrame) -> int:
    """The rows with a size or count that is the greatest of a 32-bit column: it may be larger.

    Such rows have the vendor's layout. The sum of a level's orders may need more bits.
    """
    names = [
        name
        for name, dtype in frame.schema.items()
        if dtype == pl.UInt32 and ("_sz_" in name or "_ct_" in name)
    ]
    if not names or not frame.height:
        return 0
    if frame.select(pl.max_horizontal(pl.col(names).max())).item() != _UINT32_MAX:
        return 0
    return int(frame.select(pl.any_horizontal(pl.col(names) == _UINT32_MAX).sum()).item())


def level_series(
    tops: NDArray[np.int64], depth: int, sizes_as: type[np.uint32 | np.int64] = np.uint32
) -> dict[str, pl.Series]:
    """The columns of `level_column_names(depth)` by name.

    Args:
        tops: rows of `Top` words, each followed by its levels.
        depth: levels of each side.
        sizes_as: the dtype of sizes and counts. A value that does not fit becomes the greatest one
            that does.
    """
    prices = np.empty((2 * depth, len(tops)), np.int64)
    sizes: NDArray[Any] = np.empty((4 * depth, len(tops)), sizes_as)
    words = np.ascontiguousarray(tops).reshape(-1)
    size_max = int(np.iinfo(sizes_as).max)
    top_kernels.transpose_levels(
        words, len(tops), depth, prices.reshape(-1), sizes.reshape(-1), size_max
    )
    absent = (prices == UNDEF_PRICE).any(axis=1)
    rows: dict[str, pl.Series] = {}
    names = iter(level_column_names(depth))
    for level in range(depth):
        for side in range(2):
            row = 2 * level + side
            rows[next(names)] = _price_series(prices[row], has_absent=bool(absent[row]))
        for value in range(4):
            rows[next(names)] = pl.Series(sizes[4 * level + value])
    return rows


def _price_series(prices: NDArray[Any], *, has_absent: bool) -> pl.Series:
    series = pl.Series(prices)
    return series.set(series == UNDEF_PRICE, None) if has_absent else series
