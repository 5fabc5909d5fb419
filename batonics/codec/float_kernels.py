"""The compiled pass over prices that are floats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE
from batonics.native import kernel

FLOAT_PRICE_MAX = 8_388_608
"""From here on, floats are too far apart to tell prices of 1e-9."""


@kernel
def exact_prices(
    values: NDArray[np.float64], prices: NDArray[np.int64], is_exact: NDArray[np.bool_]
) -> int:
    """Write the price of each float, in units of 1e-9, and whether it is the nearest float to it.

    A NaN is no price, and exact. The price of a float that is not exact is 0.

    Returns:
        The number of floats that are not exact.
    """
    lost = 0
    for row in range(len(values)):
        value = values[row]
        if np.isnan(value):
            prices[row], is_exact[row] = UNDEF_PRICE, True
            continue
        prices[row], is_exact[row] = 0, False
        if abs(value) < FLOAT_PRICE_MAX:
            # Rounding alone is off by one for some floats; dividing back shows it.
            units = np.rint(value * PRICE_SCALE)
            for near in (units, units - 1, units + 1):
                if not is_exact[row] and near / PRICE_SCALE == value:
                    prices[row], is_exact[row] = np.int64(near), True
        if not is_exact[row]:
            lost += 1
    return lost
