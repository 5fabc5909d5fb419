"""Docstrings and documents can be read from any line.

The rule here: the description of an attribute or an argument stands alone, so no paragraph and no
description begins with "Of"; and a document opens with a sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.markdown import documents, name
from tests.support.paths import ROOT

_ENTRY = re.compile(r"\w+(?:, \w+)*(?: \([^)]*\))?: ")
SOURCES = sorted(path for part in ("batonics", "docs") for path in (ROOT / part).rglob("*.py"))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """`(line number, text)` of every docstring, and of every string that follows a constant."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


def faults(text: str) -> list[str]:
    """The paragraphs and descriptions of a docstring that begin with "Of"."""
    found = []
    previous = ""
    for line in text.splitlines():
        stripped = line.strip()
        if not previous and re.match(r"Of\b", stripped):
            found.append(stripped)
        entry = _ENTRY.match(stripped)
        if entry and re.match(r"[Oo]f\b", stripped[entry.end() :]):
            found.append(stripped)
        previous = stripped
    return found


def test_no_description_begins_with_of() -> None:
    found = [
        f"{name(source)}:{number}: {fault}"
        for source in SOURCES
        for number, text in docstrings(ast.parse(source.read_text()))
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("document", documents(), ids=name)
def test_a_document_opens_with_a_sentence(document: Path) -> None:
    _, _, rest = document.read_text().partition("\n\n")
    paragraphs = [text for text in rest.split("\n\n") if not text.startswith("#")]
    assert re.match(r"(?s)[A-Z`*\[b].*[.:]\**$", paragraphs[0].strip())


def test_a_description_that_begins_with_of_is_found() -> None:
    text = """Of a book, its levels.

    Args:
        depth: of each side.
        side (str): Of the book.
        rows: frames of MBO records, or
            of nothing: they may be empty.
    """
    assert faults(text) == [
        "Of a book, its levels.",
        "depth: of each side.",
        "side (str): Of the book.",
    ]
