"""Prices in the unit that a user asks for, and which columns are prices.

The rule here: the unit of a column is known by its name in our own frames, or is declared by a
query; it is never guessed from values. In one frame all prices, and all that derives from them,
have one unit.

| unit    | price          | mid             | quotient        | amount         | 64.82 as text |
|---------|----------------|-----------------|-----------------|----------------|---------------|
| fixed   | Int64 of 1e-9  | Float64 of 1e-9 | Float64 of 1e-9 | Decimal(38, 0) | 64820000000   |
| decimal | Decimal(19, 9) | Decimal(20, 10) | Float64         | Decimal(38, 9) | 64.820000000  |
| float   | Float64        | Float64         | Float64         | Float64        | 64.82         |

A mid is half of a sum of two prices, so ten decimals hold it exactly. A mean (`vwap`) or a slope
(`kyle_lambda`) is a quotient, which no number of decimals holds. A float is the one nearest to the
price, which is exact to 15 digits.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import numpy as np
import polars as pl
import pyarrow as pa

from batonics.codec.records import PRICE_FIELDS
from batonics.model.errors import UsageError
from batonics.model.mbo import PRICE_SCALE
from batonics.model.prices import PriceUnit, check_price_unit

T = TypeVar("T")


class PriceKind(Enum):
    """What a column of prices holds.

    Attributes:
        PRICE: a price, or a difference of prices.
        MID: a multiple of half a unit of `fixed`: a mid, or a difference of mids.
        QUOTIENT: a mean of prices, or prices divided by sizes.
        AMOUNT: a sum of prices times sizes.
    """

    PRICE = "price"
    MID = "mid"
    QUOTIENT = "quotient"
    AMOUNT = "amount"


PriceColumns = Mapping[str, PriceKind]
"""The columns of a frame that are in the unit of prices, by name."""

_FIXED: dict[PriceKind, pl.DataType] = {
    PriceKind.PRICE: pl.Int64(),
    PriceKind.MID: pl.Float64(),
    PriceKind.QUOTIENT: pl.Float64(),
    PriceKind.AMOUNT: pl.Decimal(38, 0),
}
_DECIMAL = {
    # Nine decimals, and the ten digits before them that an int64 of 1e-9 has.
    PriceKind.PRICE: pl.Decimal(19, 9),
    PriceKind.MID: pl.Decimal(20, 10),
    PriceKind.AMOUNT: pl.Decimal(38, 9),
}
_LEVEL_PRICE = re.compile(r"(?:bid|ask)_px_\d+")
_KINDS: dict[str, PriceKind] = {
    **dict.fromkeys(PRICE_FIELDS, PriceKind.PRICE),
    "bid_price": PriceKind.PRICE,
    "ask_price": PriceKind.PRICE,
    "price_start": PriceKind.PRICE,
    "price_end": PriceKind.PRICE,
    "spread": PriceKind.PRICE,
    "effective_spread": PriceKind.PRICE,
    "realised_spread": PriceKind.PRICE,
    "min_price_increment": PriceKind.PRICE,
    "display_factor": PriceKind.PRICE,
    "mid": PriceKind.MID,
    "mid_start": PriceKind.MID,
    "mid_end": PriceKind.MID,
    "mid_change": PriceKind.MID,
    "weighted_mid": PriceKind.QUOTIENT,
    "vwap": PriceKind.QUOTIENT,
    "kyle_lambda": PriceKind.QUOTIENT,
    "dollar": PriceKind.AMOUNT,
}


def find_price_columns(columns: Mapping[str, pl.DataType]) -> dict[str, PriceKind]:
    """The price columns of one of our own frames in the unit `fixed`, by name and dtype."""
    kinds = {name: _find_kind(name) for name in columns}
    return {
        name: kind
        for name, kind in kinds.items()
        if kind is not None and columns[name] == _FIXED[kind]
    }


def check_fixed_prices(columns: Mapping[str, pl.DataType]) -> None:
    """Refuse a frame whose prices have been converted already.

    Raises:
        UsageError: a column has the name of a price, and another dtype than in the unit `fixed`.
    """
    for name, dtype in columns.items():
        kind = _find_kind(name)
        if kind is not None and dtype != _FIXED[kind]:
            raise UsageError(
                f"column {name} is {dtype}, expected {_FIXED[kind]} of 1e-9: convert prices once,"
                " as the last step"
            )


def _find_kind(name: str) -> PriceKind | None:
    return PriceKind.PRICE if _LEVEL_PRICE.fullmatch(name) else _KINDS.get(name)


def convert_schema(columns: pl.Schema, kinds: PriceColumns, unit: PriceUnit) -> pl.Schema:
    """The schema of frames whose prices `convert_prices` has converted."""
    return pl.Schema(
        {
            name: _dtype(kinds[name], unit, dtype) if name in kinds else dtype
            for name, dtype in columns.items()
        }
    )


def convert_prices(frame: pl.DataFrame, kinds: PriceColumns, unit: PriceUnit) -> pl.DataFrame:
    """The frame with its prices in a unit.

    Args:
        frame: a frame whose prices are `fixed`.
        kinds: its price columns.
        unit: the unit.
    """
    if unit == "fixed":
        return frame
    return frame.with_columns(
        _convert(frame.get_column(name), kind, unit) for name, kind in kinds.items()
    )


def scan_prices(rows: pl.LazyFrame, prices: str, kinds: PriceColumns | None = None) -> pl.LazyFrame:
    """One of our own LazyFrames with its prices in a unit; `fixed` is the LazyFrame itself.

    Args:
        rows: the LazyFrame, whose prices are `fixed`.
        prices: the name of the unit.
        kinds: its price columns; None: they are known by their names.

    Raises:
        UsageError: there is no such unit.
    """
    unit = check_price_unit(prices)
    if unit == "fixed":
        return rows
    schema = rows.collect_schema()
    kinds = find_price_columns(schema) if kinds is None else kinds
    return rows.with_columns(
        pl.col(name).map_batches(
            _converter(kind, unit),
            return_dtype=_dtype(kind, unit, schema[name]),
            is_elementwise=True,
        )
        for name, kind in kinds.items()
    )


def add_price_argument(frames: type[T]) -> type[T]:
    """Give each public method of a class the keyword `prices`, the unit of its LazyFrame."""
    for name, member in list(vars(frames).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(frames, name, _with_price_argument(member))
    return frames


def _with_price_argument(method: Callable[..., pl.LazyFrame]) -> Callable[..., pl.LazyFrame]:
    @wraps(method)
    def converted(*args: Any, prices: str = "fixed", **kwargs: Any) -> pl.LazyFrame:
        return scan_prices(method(*args, **kwargs), prices)

    signature = inspect.signature(method)
    kind = inspect.Parameter.KEYWORD_ONLY
    prices = inspect.Parameter("prices", kind, default="fixed", annotation=PriceUnit)
    parameters = [*signature.parameters.values(), prices]
    setattr(converted, "__signature__", signature.replace(parameters=parameters))  # noqa: B010
    # Evaluated here, since the names in them belong to the module of the method.
    converted.__annotations__ = get_type_hints(method, include_extras=True) | {"prices": PriceUnit}
    return converted


def _converter(kind: PriceKind, unit: PriceUnit) -> Callable[[pl.Series], pl.Series]:
    return lambda values: _convert(values, kind, unit)


def _dtype(kind: PriceKind, unit: PriceUnit, fixed: pl.DataType) -> pl.DataType:
    if unit == "fixed":
        return fixed
    return _DECIMAL.get(kind, pl.Float64()) if unit == "decimal" else pl.Float64()


def _convert(values: pl.Series, kind: PriceKind, unit: PriceUnit) -> pl.Series:
    if unit == "float" or kind is PriceKind.QUOTIENT:
        # Polars would multiply by 1e-9, which is no float: 64.82 would become 64.82000000000001.
        numbers = values.cast(pl.Float64)
        floats = pl.Series(values.name, numbers.fill_null(0).to_numpy() / PRICE_SCALE)
        return floats.set(numbers.is_null(), None) if numbers.null_count() else floats
    if kind is PriceKind.PRICE:
        return decimal_prices(values)
    if kind is PriceKind.MID:
        # Twice a mid is an integer of 1e-9, and ten times a mid one of 1e-10.
        tenths = (pl.col(values.name) * 2).cast(pl.Int128) * 5
        values = values.to_frame().select(tenths.cast(pl.Decimal(38, 0))).to_series()
    return _move_point(values, _DECIMAL[kind])


def decimal_prices(prices: pl.Series) -> pl.Series:
    """Prices of 1e-9 as Decimal(19, 9), exact; null for null.

    An int64 of 1e-9 is a decimal128 with nine decimals once its word is widened.
    """
    words = np.empty((len(prices), 2), np.int64)
    words[:, 0] = prices.cast(pl.Int64).fill_null(0).to_numpy()
    np.right_shift(words[:, 0], 63, out=words[:, 1])
    wide = pa.Array.from_buffers(pa.decimal128(19, 9), len(prices), [None, pa.py_buffer(words)])
    decimals = pl.Series(prices.name, wide)
    return decimals.set(prices.is_null(), None) if prices.null_count() else decimals


def _move_point(integers: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """Integers in a Decimal of no decimals, read as a Decimal with those of `dtype`."""
    plain = integers.to_arrow()
    moved = pa.Array.from_buffers(
        pa.decimal128(dtype.precision, dtype.scale),
        len(plain),
        plain.buffers(),
        offset=plain.offset,
    )
    return pl.Series(integers.name, moved)
