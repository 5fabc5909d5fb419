"""Tables of HTML for notebooks.

The rule here: what a name or a value says is text, never markup, and a table stays small however
many rows it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from html import escape
from typing import Any

import polars as pl

from batonics.model.prices import format_price

HTML_ROWS_MAX = 20
"""A notebook shows a summary; who wants every row asks for the frame."""

_RIGHT = ' style="text-align:right"'


def html_table(
    frame: pl.DataFrame,
    caption: str,
    *,
    prices: Collection[str] = (),
    rows_max: int = HTML_ROWS_MAX,
) -> str:
    """A table of HTML, with a caption above and, where rows are left out, how many below.

    Args:
        frame: what it shows; null is an empty cell. Integers have separators, times are UTC to the
            millisecond.
        caption: a line of text.
        prices: Int64 columns of 1e-9, shown as exact decimal text.
        rows_max: rows at the most.
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
    """The cells of a column."""
    text = format_price if is_price else _text_of(values.dtype)
    align = _align(values.dtype)
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.strftime("%F %T%.3f")
    return [
        f"<td{align}>{'' if value is None else escape(text(value) or '')}</td>" for value in values
    ]


def _text_of(dtype: pl.DataType) -> Callable[[Any], str | None]:
    if dtype.is_integer():
        return "{:,}".format
    if dtype == pl.Boolean:
        return lambda value: "yes" if value else "no"
    return str


def _align(dtype: pl.DataType) -> str:
    return _RIGHT if dtype.is_numeric() else ""
