"""A frame as a plot in the terminal: the first column on the x axis, numbers on the y axis.

The rule: the plot draws every row at the nearest dot, and smooths nothing.
"""

from __future__ import annotations

import shutil
from math import isfinite, isnan
from typing import TYPE_CHECKING

from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.frame_table import exact_values, format_cell
from batonics.cli.table import UNLIMITED_WIDTH

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

PLOT_HEIGHT = 12
"""Lines of a plot."""
LABEL_WIDTH = 14
"""Letters for the numbers at the left of a plot."""
PLOT_WIDTH_MIN = 10
"""The least width of a plot, in letters."""
BAR = "█"
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a Braille letter: four rows of two dots."""


def print_plot(frame: pl.DataFrame) -> None:
    """Print a plot for each column of numbers after the first column, which is the x axis.

    If the first column is text, the plot has a bar for each row, labelled with all columns before
    the first number with decimals.

    Raises:
        UsageError: there are no rows, or no columns of numbers after the first.
    """
    import polars.selectors as cs

    from batonics.model.errors import UsageError

    across = frame.columns[0]
    has_order = frame.schema[across].is_numeric() or frame.schema[across].is_temporal()
    numbers = frame.select(cs.numeric()).columns if has_order else _fractional_columns(frame)
    numbers = [name for name in numbers if name != across]
    if not frame.height or not numbers:
        raise UsageError("a plot needs rows, and numbers in a column after the first")
    console = plain_console()
    console.width = UNLIMITED_WIDTH
    for name in numbers:
        console.print(escape_unprintable(name))
        for line in _line_plot(frame, across, name) if has_order else _bar_plot(frame, name):
            console.print(line)


def _line_plot(frame: pl.DataFrame, across: str, name: str) -> list[str]:
    import numpy as np

    width = max(PLOT_WIDTH_MIN, _width() - LABEL_WIDTH - 2)
    x, y = _positions(frame[across]), _numbers(frame[name])
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        return ["no numbers"]
    x, y = x[known], y[known]
    ends = frame[across][[int(known[x.argmin()]), int(known[x.argmax()])]].to_frame()
    first, last = (format_cell(value) for (value,) in exact_values(ends).iter_rows())
    return [
        *_drawn(x, y, width),
        f"{'':{LABEL_WIDTH + 2}}{first} {last:>{max(0, width - len(first) - 1)}}",
    ]


def _bar_plot(frame: pl.DataFrame, name: str) -> list[str]:
    end = frame.columns.index(_fractional_columns(frame)[0])
    labels = [" ".join(map(format_cell, row)) for row in exact_values(frame[:, :end]).iter_rows()]
    values = _numbers(frame[name])
    longest = max(map(len, labels))
    width = max(PLOT_WIDTH_MIN, _width() - longest - LABEL_WIDTH - 2)
    scale = max((abs(value) for value in values if isfinite(value)), default=0.0) or 1.0
    return [
        f"{label:<{longest}} {_amount(value):>{LABEL_WIDTH}} {BAR * _length(value, scale, width)}"
        for label, value in zip(labels, values.tolist(), strict=True)
    ]


def _fractional_columns(frame: pl.DataFrame) -> list[str]:
    """The columns of numbers with decimals."""
    import polars as pl

    return [
        name
        for name, dtype in frame.schema.items()
        if dtype.is_float() or (isinstance(dtype, pl.Decimal) and dtype.scale)
    ]


def _length(value: float, scale: float, width: int) -> int:
    return round(abs(value) / scale * width) if isfinite(value) else 0


def _amount(value: float) -> str:
    return "" if isnan(value) else f"{value:.6g}"


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 120)


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    """The column as numbers, NaN where null."""
    values: NDArray[np.float64] = column.cast(float).to_numpy()
    return values


def _positions(column: pl.Series) -> NDArray[np.float64]:
    """The position of each row on the x axis."""
    places = column.to_physical()
    if column.dtype.is_temporal():
        places -= places.min()  # floats cannot hold nanoseconds since the epoch
    found: NDArray[np.float64] = places.cast(float).to_numpy()
    return found


def _drawn(x: NDArray[np.float64], y: NDArray[np.float64], width: int) -> list[str]:
    """The lines of a plot of finite numbers."""
    import numpy as np

    low, high = float(y.min()), float(y.max())
    columns = _scaled(x, 2 * width)
    rows = 4 * PLOT_HEIGHT - 1 - _scaled(y, 4 * PLOT_HEIGHT)
    letters = np.zeros((PLOT_HEIGHT, width), np.int64)
    bits = np.array(_DOTS)[rows % 4, columns % 2]
    np.bitwise_or.at(letters, (rows // 4, columns // 2), bits)
    lines = ["".join(chr(_BRAILLE + int(letter)) for letter in row) for row in letters]
    labels = {0: f"{high:.6g}", PLOT_HEIGHT - 1: f"{low:.6g}"}
    return [f"{labels.get(at, ''):>{LABEL_WIDTH}} |{line}" for at, line in enumerate(lines)]


def _scaled(values: NDArray[np.float64], steps: int) -> NDArray[np.int64]:
    """The step that each value falls on; the middle one if all values are equal."""
    import numpy as np

    low, high = values.min(), values.max()
    if low == high:
        return np.full(len(values), steps // 2, np.int64)
    # Without the scaling, the distance of two values may exceed the range of floats.
    scaled = values / max(abs(low), abs(high))
    shares = (scaled - scaled.min()) / (scaled.max() - scaled.min())
    steps_of: NDArray[np.int64] = np.rint(shares * (steps - 1)).astype(int)
    return steps_of
