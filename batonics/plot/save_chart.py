"""Writes a chart as PNG, SVG or HTML, without a network."""

from __future__ import annotations

import importlib
from io import BytesIO, StringIO
from typing import Any

from batonics.frames.charts import load_altair
from batonics.model.errors import UsageError
from batonics.sinks.atomic import open_atomic

_FORMATS = ("png", "svg", "html")
PNG_SCALE = 2.0
"""Pixels of a PNG for each unit of the chart."""


def check_chart_file(path: str) -> str:
    """The format of a chart's file by its name, before anything is read.

    Raises:
        UsageError: the name has no such ending, or the libraries are not installed.
    """
    file_format = path.rpartition(".")[2].lower()
    if file_format not in _FORMATS:
        raise UsageError(f"{path}: the name must end in .png, .svg or .html")
    load_altair()
    try:
        importlib.import_module("vl_convert")
    except ImportError:
        raise UsageError("charts as files need vl-convert: pip install 'batonics[plot]'") from None
    return file_format


def save_chart(chart: Any, path: str) -> None:
    """Write a chart; the file gets its name once it is complete.

    Raises:
        UsageError: as for `check_chart_file`. OutputError: the file cannot be written.
    """
    file_format = check_chart_file(path)
    if file_format == "png":
        picture = BytesIO()
        chart.save(picture, format="png", scale_factor=PNG_SCALE)
        content = picture.getvalue()
    else:
        text = StringIO()
        # `inline`: the page brings its JavaScript along.
        chart.save(text, format=file_format, **({"inline": True} if file_format == "html" else {}))
        content = text.getvalue().encode()
    with open_atomic(path) as file:
        file.write(content)
