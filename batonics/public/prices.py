"""Prices of any frame in another unit, and frames as pandas has them.

The rule here: `frames/columns/prices.py` knows the price columns of our frames and converts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import polars as pl

from batonics.frames.columns.prices import (
    check_fixed_prices,
    convert_prices,
    find_price_columns,
    scan_prices,
)
from batonics.model.arguments import check_arguments
from batonics.model.errors import UsageError
from batonics.model.prices import PriceUnit

if TYPE_CHECKING:
    import pandas as pd


@overload
def with_prices(rows: pl.LazyFrame, prices: PriceUnit) -> pl.LazyFrame: ...
@overload
def with_prices(rows: pl.DataFrame, prices: PriceUnit) -> pl.DataFrame: ...
@check_arguments
def with_prices(
    rows: pl.LazyFrame | pl.DataFrame, prices: PriceUnit
) -> pl.LazyFrame | pl.DataFrame:
    """A frame with its prices, and all that derives from them, in a unit.

    Args:
        rows: any frame of `.mbo`, of records, of `Books` or of `Lake.scan`, whose prices are
            integers of 1e-9. Its price columns are known by their names.
        prices: "decimal" (exact: Decimal(19, 9), a mid Decimal(20, 10)), "float" (Float64), or
            "fixed" (the frame as it is).

    Raises:
        UsageError: there is no such unit, `rows` is no frame, or its prices have a unit already.
    """
    if prices == "fixed":
        return rows
    check_fixed_prices(rows.collect_schema())
    if isinstance(rows, pl.LazyFrame):
        return scan_prices(rows, prices)
    return convert_prices(rows, find_price_columns(rows.schema), prices)


@check_arguments
def to_pandas(rows: pl.LazyFrame | pl.DataFrame, *, prices: PriceUnit = "fixed") -> pd.DataFrame:
    """A frame as a DataFrame of pandas, whose dtypes do not depend on where nulls are.

    | column                        | dtype of pandas                                    |
    |-------------------------------|----------------------------------------------------|
    | integers; prices, if fixed    | nullable: Int64, UInt32 ...                        |
    | prices, if decimal            | Arrow's decimal128, whose values are `Decimal`     |
    | floats; prices, if float      | float64, NaN for null                              |
    | ts_* and other times          | datetime64[ns, UTC], or [ns] without a time zone   |
    | action, side and other Enums  | category                                           |
    | Boolean                       | nullable: boolean                                  |

    Args:
        rows: any frame; a LazyFrame is collected.
        prices: the unit of prices, as of `with_prices`.

    Raises:
        UsageError: pandas is not installed; as of `with_prices`.
    """
    try:
        import pandas as pd
    except ImportError:
        raise UsageError("pandas is not installed: pip install pandas") from None
    import pyarrow as pa

    frame = rows.collect() if isinstance(rows, pl.LazyFrame) else rows
    table = with_prices(frame, prices).to_arrow()
    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }

    def find_dtype(dtype: pa.DataType) -> object:
        return pd.ArrowDtype(dtype) if pa.types.is_decimal(dtype) else nullable.get(dtype)

    found: pd.DataFrame = table.to_pandas(types_mapper=find_dtype)
    return found
