"""`python docs/make_frames.py` generates docs/frames.md from the docstrings of `.mbo`."""

from __future__ import annotations

from inspect import getdoc
from pathlib import Path

from batonics.frames.measures import book_measures, trade_measures, vpin, window_measures
from batonics.frames.namespace import MboNamespace
from batonics.frames.orders import fill_simulation, order_lives

TARGET = Path(__file__).with_name("frames.md")
# Frames whose definitions stand in another docstring, which follows that of the method.
DEFINED_IN = {
    "orders": order_lives.orders_source,
    "queue": order_lives.queue_source,
    "measures": book_measures,
    "trade_measures": trade_measures,
    "window_measures": window_measures,
    "vpin": vpin,
}


def render() -> str:
    """The reference of all frames as Markdown."""
    parts = [
        "# The frames of `.mbo`\n",
        "`docs/make_frames.py` generates this page from docstrings, and a test checks that it is",
        "up to date. The page lists the columns of each frame with dtypes and units, and the",
        "definitions of measures with their sources. Every method also takes `prices`: `fixed`",
        "gives the dtypes of this page, `decimal` and `float` give",
        "[other units](schemas.md#units-of-prices).\n",
    ]
    for name, method in vars(MboNamespace).items():
        if not name.startswith("_"):
            parts.append(_section(f".mbo.{name}()", getdoc(method) or ""))
            if name in DEFINED_IN:
                parts.append(_block(getdoc(DEFINED_IN[name]) or ""))
    parts.append(_section("batonics fill", getdoc(fill_simulation) or ""))
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{_block(text)}"


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(render())
