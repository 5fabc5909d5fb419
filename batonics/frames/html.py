"""HTML tables for notebooks.

The rule here: names and values are text, never markup, and a table stays small even if its frame
has many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from html import escape
from typing import Any

import polars as pl

from batonics.model.prices import format_price

HTML_ROWS_MAX = 20
"""The rows that a notebook shows; the frame has all of them."""

_RIGHT = ' style="text-align:right"'


def html_table(
    frame: pl.DataFrame,
    caption: str,
    *,
    prices: Collection[str] = (),
    rows_max: int = HTML_ROWS_MAX,
) -> str:
    """An HTML table with a caption above it and the count of omitted rows below it.

    Args:
        frame: the rows. A null makes an empty cell, integers have thousands separators, and times
            are in UTC with milliseconds.
        caption: one line of text.
        prices: names of Int64 columns of 1e-9, shown as exact decimal text.
        rows_max: the maximum number of rows.
    """
    shown = frame.head(rows_max)
    columns = [_column(shown[name], is_price=name in prices) for name in shown.columns]
    head = "".join(f"<th{_align(frame.schema[name])}>{escape(name)}</th>" for name in frame.columns)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    more = frame.height - shown.height
    foot = f"<p>and {more:,} more</p>" if more else ""
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}"
    )


def _column(values: pl.Series, *, is_price: bool) -> list[str]:
    """The cells of a column as HTML."""
    text = format_price if is_price else _formatter(values.dtype)
    align = _align(values.dtype)
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.strftime("%F %T%.3f")
    return [
        f"<td{align}>{'' if value is None else escape(text(value) or '')}</td>" for value in values
    ]


def _formatter(dtype: pl.DataType) -> Callable[[Any], str | None]:
    if dtype.is_integer():
        return "{:,}".format
    if dtype == pl.Boolean:
        return lambda value: "yes" if value else "no"
    return str


def _align(dtype: pl.DataType) -> str:
    return _RIGHT if dtype.is_numeric() else ""
