"""Every file that the documentation, a docstring or a comment names exists.

The rule here: a path in a code span may leave out the directories in front of it, such as
`sinks/atomic.py`; a name in parentheses after a path, such as `live/stats.py` (`Stats`), stands in
that file.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.markdown import documents, lines, name
from tests.support.paths import ROOT

_SPAN = re.compile(r"`([^`\s]+)`")
_PATH = re.compile(r"(?:[\w.-]+/)*[a-z0-9_.-]+\.(?:py|sql)|(?:[a-z_]+/)+")
_NAMES_IN_FILE = re.compile(r"`([\w/.-]+\.py)` \((?=`)([^)]*)\)")
_SOURCE_DIRECTORIES = ("batonics", "tests", "docs", "queries", "notebooks", ".ci")


@cache
def project_paths() -> tuple[str, ...]:
    """Every file and directory of the project, from its root; a directory ends with a slash."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for directory in _SOURCE_DIRECTORIES:
        found += [ROOT / directory, *(ROOT / directory).rglob("*")]
    return tuple(
        f"/{path.relative_to(ROOT).as_posix()}{'/' if path.is_dir() else ''}"
        for path in found
        if "__pycache__" not in path.parts
    )


def missing_paths(text: str) -> list[str]:
    """The paths in code spans that name nothing in the project."""
    return [
        span
        for span in _SPAN.findall(text)
        if _PATH.fullmatch(span) and not any(path.endswith(f"/{span}") for path in project_paths())
    ]


def missing_names(text: str) -> list[str]:
    """`path: name` of each name in parentheses after a path that the file does not contain."""
    missing: list[str] = []
    for path, names in _NAMES_IN_FILE.findall(text):
        files = [ROOT / one[1:] for one in project_paths() if one.endswith(f"/{path}")]
        words = {word for file in files for word in re.findall(r"\w+", file.read_text())}
        missing += [f"{path}: {one}" for one in _SPAN.findall(names) if one not in words]
    return missing


def python_sources() -> list[Path]:
    """Every Python file of the package and of the tests."""
    return sorted([*(ROOT / "batonics").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])


@pytest.mark.parametrize("document", documents(), ids=name)
def test_paths_in_a_document_exist(document: Path) -> None:
    text = "\n".join(line.text for line in lines(document.read_text()))
    missing = missing_paths(text) + missing_names(text)
    assert not missing, "\n".join(missing)


def test_paths_in_the_sources_exist() -> None:
    missing = [
        f"{name(source)}: {path}"
        for source in python_sources()
        if source != Path(__file__)
        for path in missing_paths(source.read_text())
    ]
    assert not missing, "\n".join(missing)


def test_a_missing_path_is_found() -> None:
    text = "`sinks/atomic.py` `atomic.py` `sinks/` `NAME.py` `queries/NAME.sql` `day.dbn.zst`"
    assert missing_paths(text) == []
    assert missing_paths("`no/atomic.py` and `tomic.py` and `nothing/`") == [
        "no/atomic.py",
        "tomic.py",
        "nothing/",
    ]


def test_a_name_that_is_not_in_its_file_is_found() -> None:
    assert missing_names(
        "`model/errors.py` (`UsageError`, `NoError`), `model/mbo.py` (rule 3)"
    ) == ["model/errors.py: NoError"]
